// Where the files lie that the lab makes: in the browser's private file system, so that they take no memory of the
// page. Where a browser has none that a page can write to, they are Blobs.

const PREFIX = 'nibble-lab-';

/** @typedef {{ file: File, remove: () => Promise<void> }} Kept */
/** @typedef {Awaited<ReturnType<typeof openStore>>} Store */

export async function openStore() {
    const folder = await ownFolder().catch(() => null);
    let count = 0;
    return {
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
 * A folder for this page. A page that is closed removes its own. One that was ended before it could do so has left
 * its folder behind: nobody holds the lock of that name any more, and the next page removes it.
 */
async function ownFolder() {
    if (!('createWritable' in FileSystemFileHandle.prototype)) throw new Error('this page cannot write files');
    const root = await navigator.storage.getDirectory();
    const { held = [] } = await navigator.locks.query();
    const alive = new Set(held.map(({ name }) => name));
    for await (const name of root.keys())
        if (name.startsWith(PREFIX) && !alive.has(name)) await root.removeEntry(name, { recursive: true });
    const name = `${PREFIX}${crypto.randomUUID()}`;
    await new Promise((/** @type {(value?: unknown) => void} */ granted) => {
        navigator.locks.request(name, () => {
            granted();
            return new Promise(() => {}); // held as long as the page lives
        });
    });
    addEventListener('pagehide', () => void root.removeEntry(name, { recursive: true }).catch(() => {}));
    return root.getDirectoryHandle(name, { create: true });
}
