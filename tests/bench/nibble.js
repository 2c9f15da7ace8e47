// nibble with the interface of the bench, for pages and for Node.
import { measure } from '../../demo/bench-work.js';
import { load } from '../../web/index.js';

/** @typedef {import('../../demo/bench-work.js').Measure} Measure */
/** @typedef {import('../../web/index.d.ts').Result['timings']} Rates */
/**
 * An engine that has loaded a model.
 * @typedef {object} Opened
 * @property {string} about
 * @property {any} [info] only nibble: facts about the model
 * @property {(prompt: string, count: number) => Promise<Measure>} measure
 * @property {(prompt: number[], count: number) => Promise<Rates>} [rates] only nibble: by the engine's own clock
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
