// Finds the passages of the text that are nearest to a sentence, by the vectors that one model makes of them.
import { fitting } from '../web/api/passages.js';
import { dot, unit } from '../web/api/similarity.js';
import { make } from './dom.js';

/** @typedef {import('../web/index.js').Model} Model */
/** A passage, by its number, and its cosine to the sentence. @typedef {{ passage: number, cosine: number }} Found */

/** How many passages are shown, and how many characters of each. */
const SHOWN = 3,
    MOST = 240;

/**
 * The vectors of the passages, of length 1.
 * @param {Model} model
 * @param {string[]} passages
 * @param {AbortSignal} signal
 * @param {(done: number) => void} onProgress
 */
export async function vectorsOf(model, passages, signal, onProgress) {
    const found = [];
    for (const passage of passages) {
        found.push(await embed(model, passage, 'document', signal));
        onProgress(found.length);
    }
    return found;
}

/**
 * All passages, the nearest first.
 * @param {Model} model
 * @param {string} sentence
 * @param {Float64Array[]} vectors of the passages
 * @param {AbortSignal} signal
 * @returns {Promise<Found[]>}
 */
export async function search(model, sentence, vectors, signal) {
    const wanted = await embed(model, sentence, 'query', signal);
    return vectors
        .map((vector, passage) => ({ passage, cosine: dot(vector, wanted) }))
        .sort((a, b) => b.cosine - a.cosine);
}

/**
 * The vector of a text, of length 1. A text that is longer than the model's context is cut.
 * @param {Model} model
 * @param {string} text
 * @param {'query' | 'document'} kind some models have a prompt of this name for it
 * @param {AbortSignal} signal
 */
async function embed(model, text, kind, signal) {
    const promptName = Object.hasOwn(model.info.embedding?.prompts ?? {}, kind) ? kind : undefined,
        options = { promptName, signal };
    return unit(await model.embed(await fitting(model, text, options), options));
}

/**
 * The nearest passages as a list. Where the original has another one in that place, the list says which place it has
 * there.
 * @param {string[]} passages
 * @param {Found[]} found
 * @param {Found[] | null} original what the original found; null: it was not asked
 */
export const listOf = (passages, found, original) =>
    make(
        'ol',
        { class: 'nearest' },
        ...found.slice(0, SHOWN).map(({ passage, cosine }, i) => {
            const place = original ? original.findIndex((other) => other.passage === passage) : i;
            const text = passages[passage];
            return make(
                'li',
                { dir: 'auto' },
                text.length > MOST ? `${text.slice(0, MOST)}…` : text,
                make(
                    'span',
                    { class: 'meta' },
                    `cosine ${cosine.toFixed(4)}${place === i ? '' : `; the original has it in place ${place + 1}`}`,
                ),
            );
        }),
    );
