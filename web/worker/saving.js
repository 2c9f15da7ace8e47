/** What a session holds, as bytes: nb_session_save and nb_session_restore, piece by piece (src/models/saving.c). */
import { NB_SAVED_HEAD } from '../abi.js';
import { NibbleError } from '../errors.js';

/** @typedef {import('./engine.js').Engine} Engine */

/** @param {number} size */
function memoryFor(size) {
    try {
        return new Uint8Array(size);
    } catch (error) {
        throw new NibbleError('NB_ERR_MEMORY', `there is no memory for the ${size} bytes that save() makes`, {
            cause: error,
        });
    }
}

/** @param {Engine} engine */
export function save(engine) {
    engine.needSession();
    const { core, session } = engine;
    /** @type {number[]} */
    const sizes = [];
    for (let size = core.count('nb_session_save', session, 0, 0); size > 0; ) {
        sizes.push(size);
        size = core.count('nb_session_save', session, sizes.length, 0);
    }
    const bytes = memoryFor(sizes.reduce((sum, size) => sum + size, 0));
    return core.borrow(Math.max(...sizes), (address) => {
        let filled = 0;
        for (const [piece, size] of sizes.entries()) {
            core.count('nb_session_save', session, piece, address);
            bytes.set(core.bytes(address, size), filled);
            filled += size;
        }
        return bytes;
    });
}

/**
 * @param {Engine} engine
 * @param {Uint8Array} bytes
 * @returns {Int32Array} the tokens that the session holds then
 */
export function restore(engine, bytes) {
    engine.needSession();
    const { core, session } = engine;
    let at = 0,
        tokens = new Int32Array();
    for (let piece = 0, size = NB_SAVED_HEAD; size > 0; piece++) {
        const part = bytes.subarray(at, at + size);
        size = core.borrowBytes(part, (address, length) =>
            core.count('nb_session_restore', session, piece, address, length),
        );
        // the sum at its end are two more numbers
        if (piece === 1) tokens = new Int32Array(part.slice().buffer).slice(0, -2);
        at += part.length;
    }
    if (at < bytes.length)
        throw new NibbleError(
            'NB_ERR_FORMAT',
            `what was saved has ${bytes.length - at} bytes behind its end: give restore() what save() gave, and no more`,
        );
    return tokens;
}
