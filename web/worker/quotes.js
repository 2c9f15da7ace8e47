/** A text with quotes in it (nb_quote), on its way into the core's memory. */

/** Start, end and kind of each quote in turn, in ascending order; offsets in UTF-16 units. @typedef {number[]}
 * Marks */

/**
 * UTF-8 of the text, and the quotes with offsets in bytes.
 * @param {string} text
 * @param {Marks} marks
 * @returns {{ utf8: Uint8Array, quotes: { from: number, to: number, kind: number }[] }} quotes as nb_quote has them
 */
export function encodeQuotes(text, marks) {
    const encoder = new TextEncoder(),
        quotes = [];
    /** @type {Uint8Array[]} */
    const pieces = [];
    let at = 0,
        bytes = 0;
    const add = (/** @type {number} */ to) => {
        const piece = encoder.encode(text.slice(at, to));
        pieces.push(piece);
        bytes += piece.length;
        at = to;
        return bytes;
    };
    for (let i = 0; i < marks.length; i += 3)
        quotes.push({ from: add(marks[i]), to: add(marks[i + 1]), kind: marks[i + 2] });
    const utf8 = new Uint8Array(add(text.length));
    let offset = 0;
    for (const piece of pieces) {
        utf8.set(piece, offset);
        offset += piece.length;
    }
    return { utf8, quotes };
}
