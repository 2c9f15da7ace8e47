// Reads the reference logits and embeddings of tests/fixtures, which tests/oracles/*.py write, and compares with them.
import { readFileSync } from 'node:fs';
import { builds, root } from './builds.js';

/**
 * A greedy continuation. special: special tokens in the text are parsed. prompt: the text's tokens. tokens: what
 * follows them. best: the two best tokens of each step, as [token, logit, second token, its logit].
 * @typedef {{ name: string, text: string, special: boolean, prompt: number[], tokens: number[], best: number[][] }}
 *     GreedyCase
 */
/**
 * Logits of a text's tokens. rows[i][j]: the logit of token entries[j] at position skip + i. norms: of all logits of a
 * position. scales: those of the int16 numbers in the file. best: as in GreedyCase.
 * @typedef {{ tokens: number[], skip: number, entries: number[], norms: number[], scales: number[], best: number[][],
 *     rows: Float32Array[] }} LogitsVectors
 */

/**
 * @param {string} path within tests/fixtures
 * @returns {GreedyCase[]}
 */
export const greedyVectors = (path) => JSON.parse(readFileSync(`${root}tests/fixtures/${path}`, 'utf8')).cases;

/**
 * @param {string} path of the .json file within tests/fixtures
 * @returns {LogitsVectors}
 */
export function logitsVectors(path) {
    const head = JSON.parse(readFileSync(`${root}tests/fixtures/${path}`, 'utf8'));
    const coded = readFileSync(`${root}tests/fixtures/${path.replace(/json$/, 'bin')}`);
    const n = head.entries.length;
    const rows = head.scales.map((/** @type {number} */ scale, /** @type {number} */ position) =>
        Float32Array.from({ length: n }, (_, i) => scale * coded.readInt16LE(2 * (position * n + i))),
    );
    return { skip: 0, ...head, rows };
}

/**
 * The logits of all positions from skip on, one row each.
 * @param {import('../../web/index.d.ts').Model} model
 * @param {number[]} tokens
 */
export async function logitsOf(model, tokens, skip = 0) {
    /** @type {Float32Array[]} */
    const rows = [];
    let position = 0;
    for await (const piece of model.logits(tokens)) {
        const vocabulary = /** @type {number} */ (model.info.vocabulary);
        for (let at = 0; at < piece.length; at += vocabulary)
            if (position++ >= skip) rows.push(piece.slice(at, at + vocabulary));
    }
    return rows;
}

/**
 * @param {string} path within tests/fixtures
 * @returns {({ tokens: number[] } & Record<'mean' | 'cls' | 'last', number[]>)[]}
 */
export const embeddingVectors = (path) => JSON.parse(readFileSync(`${root}tests/fixtures/${path}`, 'utf8')).cases;

/** @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
export const maxDistance = (a, b) => Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i])));

/** The root mean square of the differences, relative to that of b.
 * @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
export function relativeDistance(a, b) {
    const differences = Array.from(a, (x, i) => x - b[i]);
    return Math.sqrt(dot(differences, differences) / dot(b, b));
}

/** @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
export function dot(a, b) {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
    return sum;
}

/** @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
export const cosine = (a, b) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));

/**
 * Every supported build: those without threads with one, the others with two, and the simd128 one of these also with
 * one. once: that one, too, only with two, for tests that take long.
 * @param {boolean} once
 */
export const configurations = (once = false) =>
    builds
        .filter((b) => b.supported)
        .flatMap((b) =>
            (b.threads ? (once || b.relaxed ? [2] : [1, 2]) : [1]).map((threads) => ({
                build: /** @type {import('../../web/index.d.ts').Build} */ (b.name),
                threads,
            })),
        );

/** Each set of kernels once, without threads or with them, for tests that take longest. */
export const fewConfigurations = () =>
    configurations(true).filter(({ build }) => build !== 'relaxed-threads' && build !== 'relaxed-dot');
