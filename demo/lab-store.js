// Keeps the files that the lab makes. They go to the browser's origin private file system, so that they take no memory
// of the page; if that fails, they are kept in memory.

const PREFIX = 'nibble-lab-';

/** @typedef {{ file: File, remove: () => Promise<void> }} Kept */
/** @typedef {Awaited<ReturnType<typeof openStore>>} Store */

export async function openStore() {
    const folder = await ownFolder().catch(() => null);
    let count = 0;
    return {
        /** Whether the files are kept in memory. If so, the page must tell its user. */
        inMemory: folder === null,

        /**
         * Stores the bytes of a stream as a file. If the stream fails, nothing is kept.
         * @param {string} name
         * @param {ReadableStream<Uint8Array<ArrayBuffer>>} stream
         * @returns {Promise<Kept>}
         */
        async keep(name, stream) {
            if (!folder) {
                const file = new File([await new Response(stream).blob()], name);
                return { file, remove: async () => {} };
            }
            const own = `${count++}`; // a folder for each file, as several may have the same name
            const remove = () => folder.removeEntry(own, { recursive: true }).catch(() => {});
            try {
                const within = await folder.getDirectoryHandle(own, { create: true });
                const handle = await within.getFileHandle(name, { create: true });
                await stream.pipeTo(await handle.createWritable());
                return { file: await handle.getFile(), remove };
            } catch (error) {
                await remove();
                throw error;
            }
        },
    };
}

/**
 * A folder for this page. The page holds a lock with the folder's name as long as it lives, and takes it before it
 * makes the folder. So a folder without a lock was left by a page that ended before it could remove the folder.
 */
async function ownFolder() {
    if (!('createWritable' in FileSystemFileHandle.prototype)) throw new Error('this page cannot write files');
    const root = await navigator.storage.getDirectory();
    await removeAbandoned(root);
    const name = `${PREFIX}${crypto.randomUUID()}`;
    await new Promise((/** @type {(value?: unknown) => void} */ granted, refused) => {
        const held = () => {
            granted();
            return new Promise(() => {}); // never settles, so the lock is held as long as the page lives
        };
        navigator.locks.request(name, held).catch(refused);
    });
    const folder = await root.getDirectoryHandle(name, { create: true });
    addEventListener('pagehide', ({ persisted }) => {
        // a page in the back/forward cache keeps its folder and its lock
        if (!persisted) root.removeEntry(name, { recursive: true }).catch(() => {});
    });
    return folder;
}

/** Removes folders of pages that have ended. If one cannot be removed, the next page tries again.
 * @param {FileSystemDirectoryHandle} root */
async function removeAbandoned(root) {
    const names = [];
    for await (const name of root.keys()) if (name.startsWith(PREFIX)) names.push(name);
    for (const name of names)
        await navigator.locks.request(name, { ifAvailable: true }, async (lock) => {
            if (lock) await root.removeEntry(name, { recursive: true }).catch(() => {});
        });
}
