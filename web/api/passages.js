/** Cuts a text into passages to embed. */

/** Shorter ones, such as headings, are left out. */
const SHORTEST = 40;
/** If paragraphs are fewer than this, lines are tried, and then sentences. */
const ENOUGH = 20;
/** Between paragraphs, lines, sentences. */
const CUTS = [/\n\s*\n/, /\n/, /(?<=[.!?…。！？])\s+/];

/**
 * The passages of a text, in its order, none of them twice.
 * @param {string} text
 * @returns {string[]}
 */
export function passagesOf(text) {
    /** @type {string[]} */
    let most = [];
    for (const cut of CUTS) {
        const parts = text.split(cut).map((part) => part.trim());
        const found = [...new Set(parts.filter((part) => part.length > SHORTEST))];
        if (found.length >= ENOUGH) return found;
        if (found.length > most.length) most = found;
    }
    return most;
}
