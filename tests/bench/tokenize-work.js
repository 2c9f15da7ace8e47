// The clocked part of tokenize.js, in Node and in a page alike: model.tokenize() of a text, as a user would call it.
import { load } from '../../web/index.js';

const PIECE = 1 << 20; // UTF-16 units; a piece more may end between the two halves of a character

/** @param {string} text @returns {string[]} */
function inPieces(text) {
    const pieces = [];
    for (let from = 0, to; from < text.length; from = to) {
        to = from + PIECE;
        while (to < text.length && (text.charCodeAt(to) & 0xfc00) === 0xdc00) to++;
        pieces.push(text.slice(from, to));
    }
    return pieces;
}

/** @param {string} source a vocabulary @param {string} text @param {number} repetitions
 * @returns {Promise<number[]>} seconds */
export async function timeTokenize(source, text, repetitions) {
    const model = await load(source, { headerOnly: true });
    const pieces = inPieces(text),
        seconds = [];
    try {
        await model.tokenize(pieces[0]); // the engine compiles it anew, for speed, while it runs
        for (let i = 0; i < repetitions; i++) {
            const began = performance.now();
            for (const piece of pieces) await model.tokenize(piece);
            seconds.push((performance.now() - began) / 1000);
        }
    } finally {
        await model.dispose();
    }
    return seconds;
}
