/** Downloads that are read before their turn. */
import { pour } from './open.js';

/** @typedef {import('./open.js').Opened} Opened */
/** @typedef {import('./open.js').Sink} Sink */

/**
 * Reads a download some megabytes ahead of its reader.
 * @param {Promise<Opened>} opening
 * @returns {{ into: (sink: Sink) => Promise<void>, cancel: () => void }}
 */
export function readAhead(opening) {
    const AHEAD = 64; // pieces, of 256 KB at most
    /** @type {Promise<Uint8Array | null>[]} */
    const pieces = [];
    /** @type {Promise<unknown>} */
    let last = opening;
    const ask = () => {
        const piece = last.then(async () => (await (await opening).next?.())?.slice() ?? null);
        piece.catch(() => {}); // its reader gets the error
        pieces.push((last = piece));
        return piece;
    };
    for (let i = 0; i < AHEAD; i++) ask();
    const cancel = () =>
        void opening.then(
            (opened) => opened.cancel?.(),
            () => {},
        );
    return {
        async into(sink) {
            try {
                await opening;
                await pour(() => {
                    ask();
                    return /** @type {Promise<Uint8Array | null>} */ (pieces.shift());
                }, sink);
            } finally {
                cancel();
            }
        },
        cancel,
    };
}
