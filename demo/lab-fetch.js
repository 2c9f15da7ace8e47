// Copies the files of a model at a URL into this browser, because a run reads them many times.
import { describeSource } from '../web/sources/describe.js';
import { severalFiles } from '../web/sources/folder.js';
import { isAbsent, openOne, unlessVacant } from '../web/sources/open.js';

/** @typedef {import('./lab-store.js').Kept} Kept */
/** @typedef {import('../web/sources/open.js').Opened} Opened */
/** @typedef {Pick<import('../web/sources/folder.js').NamedSource, 'name' | 'source' | 'absent' | 'unless'>} Wanted */

/**
 * @param {string} address of a file or a folder; hf:owner/model for one on the hub
 * @param {import('./lab-store.js').Store} store
 * @param {(share: number | null, secondsLeft: number | null) => void} progress of the current file
 * @param {AbortSignal} signal
 * @returns {Promise<{ source: File | File[], remove: () => void }>}
 */
export async function fetchModel(address, store, progress, signal) {
    const { plain } = await describeSource(address);
    const several = await severalFiles(plain);
    const single = /** @type {import('../web/sources/open.js').Single} */ (plain);
    /** @type {Wanted[]} */
    const wanted = several ?? [{ name: 'model.gguf', source: single }];
    /** @type {Kept[]} */
    const copies = [];
    const remove = () => void copies.map((copy) => copy.remove());
    try {
        for (const file of wanted) {
            // files in subfolders are only for embeddings
            if (file.name.includes('/') || copies.some((copy) => copy.file.name === file.unless)) continue;
            signal.throwIfAborted();
            const opened = await openFile(file);
            if (opened) copies.push(await store.keep(file.name, streamOf(opened, progress, signal)));
        }
    } catch (error) {
        remove();
        throw error;
    }
    const files = copies.map(({ file }) => file);
    return { source: several ? files : files[0], remove };
}

/** Opens a file; null if it is absent and the model does not need it. @param {Wanted} file */
async function openFile({ source, absent }) {
    try {
        const opened = await openOne(source);
        return absent ? ((await unlessVacant(opened)) ?? (await absent())) : opened;
    } catch (error) {
        if (absent && isAbsent(error)) return absent(error);
        throw error;
    }
}

/** @param {Opened} opened @param {Parameters<typeof fetchModel>[2]} progress @param {AbortSignal} signal */
function streamOf({ next, total, cancel }, progress, signal) {
    const began = performance.now();
    let loaded = 0;
    const abort = () => cancel?.();
    signal.addEventListener('abort', abort);
    return new ReadableStream({
        async pull(controller) {
            const piece = await next?.();
            signal.throwIfAborted(); // an aborted download ends like a complete one
            if (!piece) {
                signal.removeEventListener('abort', abort);
                return controller.close();
            }
            loaded += piece.length;
            const spent = (performance.now() - began) / 1000;
            progress(total ? loaded / total : null, total ? (spent / loaded) * (total - loaded) : null);
            controller.enqueue(piece.slice()); // the piece's buffer is used again for the next one
        },
        cancel: abort,
    });
}
