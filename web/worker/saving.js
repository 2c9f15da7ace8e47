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

/** The sizes of the pieces. @param {Engine} engine */
function sizesOf({ core, session }) {
    /** @type {number[]} */
    const sizes = [];
    for (let size = core.count('nb_session_save', session, 0, 0); size > 0; ) {
        sizes.push(size);
        size = core.count('nb_session_save', session, sizes.length, 0);
    }
    return sizes;
}

/** How many bytes save() gives. @param {Engine} engine */
export const savedBytes = (engine) => sizesOf(engine).reduce((sum, size) => sum + size, 0);

/** The tokens of piece 1. Its last two numbers are the checksum. @param {Uint8Array} piece */
const tokensIn = (piece) => new Int32Array(piece.slice().buffer).slice(0, -2);

/** The tokens that the session holds. @param {Engine} engine */
export const heldTokens = ({ core, session }) =>
    core.borrow(core.count('nb_session_save', session, 1, 0), (address) =>
        tokensIn(core.bytes(address, core.count('nb_session_save', session, 1, address))),
    );

/** How many tokens the session holds. @param {Engine} engine */
export const heldCount = ({ core, session }) => core.count('nb_session_save', session, 1, 0) / 4 - 2;

/** @param {Engine} engine */
export function save(engine) {
    engine.needSession();
    const { core, session } = engine,
        sizes = sizesOf(engine);
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
        if (piece === 1) tokens = tokensIn(part);
        at += part.length;
    }
    if (at < bytes.length)
        throw new NibbleError(
            'NB_ERR_FORMAT',
            `there are ${bytes.length - at} bytes behind the end of what was saved: ` +
                'give restore() what save() gave, and no more',
        );
    return tokens;
}
