// The same random texts that random_texts.py and gguf_texts.py of tests/oracles make, and the hashes of their tokens.
import assert from 'node:assert/strict';

/** A function that gives random numbers below n, by Numerical Recipes' generator. @param {number} state */
export const randomFrom = (state) => (/** @type {number} */ n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Number((BigInt(state) * BigInt(n)) >> 32n);
};

/** FNV-1a. @param {number} hash @param {Iterable<number>} bytes */
function fnv(hash, bytes) {
    for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
    return hash;
}

/** Texts made of 1 to 12 atoms each. @param {string[]} atoms @param {number} seed @param {number} texts */
function* textsOf(atoms, seed, texts) {
    const below = randomFrom(seed);
    for (let i = 0; i < texts; i++)
        yield Array.from({ length: 1 + below(12) }, () => atoms[below(atoms.length)]).join('');
}

const utf8 = new TextEncoder();

/**
 * Asserts that the texts have the right tokens, and that these are decoded to the right texts, by their hashes.
 * @param {{ atoms: string[], seed: number, aHash: number, hashes: number[] }} wanted aHash: the number of texts
 *     that share a hash
 * @param {(text: string, i: number) => Promise<{ tokens: number[], text: string }>} answer
 * @param {(first: number) => string} show how to see the texts from `first` on
 */
export async function checkHashes({ atoms, seed, aHash, hashes }, answer, show) {
    let hash = 0x811c9dc5,
        i = 0;
    for (const text of textsOf(atoms, seed, hashes.length * aHash)) {
        const { tokens, text: back } = await answer(text, i);
        hash = fnv(
            hash,
            tokens.flatMap((token) => [token & 255, (token >> 8) & 255, token >> 16]),
        );
        hash = fnv(hash, utf8.encode(back));
        if (++i % aHash) continue;
        assert.equal(hash, hashes[i / aHash - 1], `among these: ${show(i - aHash)}`);
        hash = 0x811c9dc5;
    }
}
