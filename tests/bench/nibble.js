// nibble as the bench sees it, in a page and in Node alike.
import { measure } from '../../demo/bench-work.js';
import { load } from '../../web/index.js';

/** @typedef {import('../../demo/bench-work.js').Measure} Measure */
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

/** @param {string} source @param {import('../../web/index.d.ts').LoadOptions} options @returns {Promise<Opened>} */
export async function openNibble(source, options) {
    const model = await load(source, options);
    const { build, memoryBytes, sessionBytes, vocabulary, types } = model.info;
    return {
        about: build,
        info: {
            memoryBytes,
            sessionBytes,
            vocabulary,
            weightBytes: types.reduce((sum, type) => sum + type.bytes, 0),
        },
        measure: (prompt, count) => measure(model, prompt, count),
        rates: async (prompt, count) => (await model.complete(prompt, { maxTokens: count, ignoreEnd: true })).timings,
        close: () => model.dispose(),
    };
}
