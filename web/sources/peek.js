/** The first bytes of a file before it is decided where the file goes. */

import { give } from './open.js';

/** @typedef {import('./open.js').Opened} Opened */
/** @typedef {import('./open.js').Sink} Sink */

/** Bytes of the buffer at first, which a chunk of a stream mostly fits; and by how many it grows. */
const ROOM = 1 << 20;

/**
 * @param {Opened} opened
 * @param {number} size how many bytes are wanted; a file may have fewer
 * @returns {Promise<{ head: Uint8Array, rest: Opened }>} rest: the whole file, the first bytes included
 */
export async function peek(opened, size) {
    let kept = new Uint8Array(Math.max(size, ROOM)),
        filled = 0;
    /** @type {Sink | undefined} */
    let sink;
    let isOver = false; // the target failed, so nothing more is read
    /** Never empty: a source that has more bytes ready, such as a converter, does not wait between them. */
    const room = () => {
        if (filled === kept.length) {
            const larger = new Uint8Array(filled + ROOM);
            larger.set(kept);
            kept = larger;
        }
        return kept.subarray(filled);
    };
    const chosen = resolvers(),
        read = resolvers();
    const pump = opened.into({
        ready: async () => {
            if (filled >= size) await chosen.promise;
            await sink?.ready?.();
        },
        room: () => (isOver ? new Uint8Array() : (sink?.room() ?? room())),
        commit: (n) => {
            if (sink) sink.commit(n);
            else if ((filled += n) >= size) read.resolve(); // even if nothing more ever comes
        },
    });
    pump.then(read.resolve, read.resolve); // the file may end or fail before
    await read.promise;
    const into = async (/** @type {Sink} */ target) => {
        try {
            // more may be kept while the target gets ready
            for (let at = 0; at < filled; ) {
                const end = filled;
                if (!(await give(kept.subarray(at, end), target))) break;
                at = end;
            }
        } catch (error) {
            isOver = true;
            chosen.resolve(); // the source ends, and closes what it reads
            throw error;
        }
        sink = target;
        chosen.resolve();
        await pump;
    };
    return { head: kept.subarray(0, Math.min(filled, size)), rest: { ...opened, into } };
}

/** A promise, and the function that resolves it. @returns {{ promise: Promise<void>, resolve: () => void }} */
function resolvers() {
    let resolve = () => {};
    const promise = /** @type {Promise<void>} */ (
        new Promise((settle) => {
            resolve = () => settle(undefined);
        })
    );
    return { promise, resolve };
}
