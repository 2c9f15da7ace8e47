// Where the files lie that the lab makes: in the browser's private file system, so that they take no memory of the
// page. Where a browser has none that a page can write to, they are Blobs.

const PREFIX = 'nibble-lab-';

/** @typedef {{ file: File, remove: () => Promise<void> }} Kept */
/** @typedef {Awaited<ReturnType<typeof openStore>>} Store */

export async function openStore() {
    const folder = await ownFolder().catch(() => null);
    let count = 0;
    return {
        /** Whether the files are kept in memory, which the page must say. */
        inMemory: folder === null,

        /**
         * Keeps what a stream gives. If it fails, nothing of it is kept.
         * @param {string} name
         * @param {ReadableStream<Uint8Array<ArrayBuffer>>} stream
         * @returns {Promise<Kept>}
         */
        async keep(name, stream) {
            if (!folder) {
                const file = new File([await new Response(stream).blob()], name);
                return { file, remove: async () => {} };
            }
            const own = `${count++}`; // a folder for each, as several may have the same name
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
 * A folder for this page, which holds the lock of its name as long as it lives. It gets the lock first and the folder
 * afterwards, so a folder whose lock is free belongs to no page: one that was ended before it could remove it.
 */
async function ownFolder() {
    if (!('createWritable' in FileSystemFileHandle.prototype)) throw new Error('this page cannot write files');
    const root = await navigator.storage.getDirectory();
    await removeDead(root);
    const name = `${PREFIX}${crypto.randomUUID()}`;
    await new Promise((/** @type {(value?: unknown) => void} */ granted, refused) => {
        const held = () => {
            granted();
            return new Promise(() => {}); // held as long as the page lives
        };
        navigator.locks.request(name, held).catch(refused);
    });
    const folder = await root.getDirectoryHandle(name, { create: true });
    addEventListener('pagehide', ({ persisted }) => {
        // a page that may come back keeps its folder, and its lock
        if (!persisted) root.removeEntry(name, { recursive: true }).catch(() => {});
    });
    return folder;
}

/** What cannot be removed stays for the next page to try. @param {FileSystemDirectoryHandle} root */
async function removeDead(root) {
    const names = [];
    for await (const name of root.keys()) if (name.startsWith(PREFIX)) names.push(name);
    for (const name of names)
        await navigator.locks.request(name, { ifAvailable: true }, async (lock) => {
            if (lock) await root.removeEntry(name, { recursive: true }).catch(() => {});
        });
}
