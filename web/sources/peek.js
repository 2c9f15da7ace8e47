/** The first bytes of a file before it is decided where the file goes. */

import { give } from './open.js';

/** @typedef {import('./open.js').Opened} Opened */
/** @typedef {import('./open.js').Sink} Sink */

/** Bytes of the buffer at first, which a chunk of a stream mostly fits; and by how many it grows at least. */
const ROOM = 1 << 20;

/**
 * @param {Opened} opened
 * @param {number} size how many bytes are wanted; a file may have fewer
 * @returns {Promise<{ head: Uint8Array, rest: Opened }>} rest: the whole file, the first bytes included
 */
export async function peek(opened, size) {
    const head = new Uint8Array(size);
    let filled = 0;
    const rest = await lookAhead(opened, {
        room: () => head.subarray(filled),
        commit: (n) => {
            filled += n;
        },
    });
    return { head: head.subarray(0, filled), rest };
}

/**
 * Gives the first bytes of a file to a sink, until that wants no more or the file ends. If the sink throws or the source
 * fails before, so does this.
 * @param {Opened} opened
 * @param {Sink} first
 * @returns {Promise<Opened>} the whole file, the first bytes included
 */
export async function lookAhead(opened, first) {
    let kept = new Uint8Array(ROOM),
        filled = 0;
    /** @type {Sink | undefined} */
    let sink;
    let isOver = false, // the target failed, so nothing more is read
        isEnough = false; // for the first sink
    /** What the source or the first sink threw. @type {{ error: unknown } | undefined} */
    let failure;
    /** Never empty: a source that has more bytes ready, such as a converter, does not wait between them. */
    const room = () => {
        if (filled === kept.length) {
            const larger = new Uint8Array(filled + Math.max(ROOM, filled));
            larger.set(kept);
            kept = larger;
        }
        return kept.subarray(filled);
    };
    const chosen = resolvers(),
        read = resolvers();
    /** @param {Uint8Array} bytes */
    const look = (bytes) => {
        for (let at = 0; ; ) {
            const room = first.room(),
                n = Math.min(room.length, bytes.length - at);
            isEnough = room.length === 0;
            if (n === 0) break;
            room.set(bytes.subarray(at, at + n));
            first.commit(n);
            at += n;
        }
        if (isEnough) read.resolve(); // even if nothing more ever comes
    };
    const pump = opened.into({
        ready: async () => {
            if (isEnough) await chosen.promise;
            await sink?.ready?.();
        },
        room: () => (isOver ? new Uint8Array() : (sink?.room() ?? room())),
        commit: (n) => {
            if (sink) return sink.commit(n);
            filled += n;
            if (!isEnough) look(kept.subarray(filled - n, filled));
        },
    });
    // the file may end or fail before
    pump.catch((error) => {
        failure = { error };
    }).then(read.resolve);
    await read.promise;
    if (failure) throw failure.error;
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
        kept = new Uint8Array();
        chosen.resolve();
        await pump;
    };
    return { ...opened, into };
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
