// The part of tokenize.js that is timed, in Node and in pages: model.tokenize() of a text, as a user would call it.
import { load } from '../../web/index.js';

const PIECE = 1 << 20; // UTF-16 units; one more if a piece would end within a surrogate pair

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
        await model.tokenize(pieces[0]); // warm-up: the JavaScript engine optimizes the code meanwhile
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
