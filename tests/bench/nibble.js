// nibble as the bench sees it, in a page and in Node alike.
import { load } from '../../web/index.js';

/** @typedef {{ text: string, tokens: number, promptTokens: number, firstMs: number, restMs: number }} Measure */
/** @typedef {import('../../web/index.d.ts').Result['timings']} Rates */
/**
 * An engine with a model in it.
 * @typedef {object} Opened
 * @property {string} about
 * @property {any} [info] nibble's: what it says of the model
 * @property {(prompt: string, count: number) => Promise<Measure>} measure
 * @property {(prompt: number[], count: number) => Promise<Rates>} [rates] nibble's own: by the engine's clock
 * @property {() => Promise<void>} close
 */

/** Times of a clock on this side of the engine: to the first piece of text, and from there to the last.
 * @param {(onPiece: () => void) => Promise<{ text: string, tokens: number, promptTokens: number }>} complete
 * @returns {Promise<Measure>} */
export async function clock(complete) {
    const began = performance.now();
    let first = 0, last = 0;
    const result = await complete(() => {
        last = performance.now();
        first ||= last;
    });
    return { ...result, firstMs: first - began, restMs: last - first };
}

/** @param {string} source @param {import('../../web/index.d.ts').LoadOptions} options @returns {Promise<Opened>} */
export async function openNibble(source, options) {
    const model = await load(source, options);
    const { build, memoryBytes, sessionBytes, vocabulary, types } = model.info;
    return {
        about: build,
        info: {
            memoryBytes, sessionBytes, vocabulary, weightBytes: types.reduce((sum, type) => sum + type.bytes, 0),
        },
        measure: (prompt, count) => clock(async onPiece => {
            const generation = model.complete(prompt, { maxTokens: count, temperature: 0, ignoreEnd: true });
            for await (const _ of generation) onPiece();
            const { text, tokens, promptTokens } = await generation;
            return { text, tokens: tokens.length, promptTokens };
        }),
        rates: async (prompt, count) => (await model.complete(prompt, { maxTokens: count, ignoreEnd: true })).timings,
        close: () => model.dispose(),
    };
}
