/** The calls of OpenAI's API that a model answers. */
import { Model } from '../api/model.js';
import { chatCompletions, completions, embeddings, rerankings } from '../openai/create.js';

/** @typedef {import('../openai/respond.js').CallPath} CallPath */
/** @typedef {import('../index.d.ts').ModelInfo} ModelInfo */

/** @type {Record<CallPath, (model: import('../index.d.ts').Model, count?: import('../openai/answers.js').Count)
 *     => { create: Function }>} */
export const CALLS = { 'chat/completions': chatCompletions, completions, embeddings, rerank: rerankings };

/** What comes of a request that has passed all checks. */
const PASSED = new Error('nothing answers');

/** Answers of requests that only prepare others. @type {Record<string, (ask: any) => unknown>} */
const PREPARED = { tokensOfTexts: ({ texts }) => texts.map(() => []), detokenize: () => '' };

/** Stands for a worker, which computes nothing. */
const NOBODY = /** @type {import('../api/link.js').Link} */ (
    /** @type {unknown} */ ({
        nextId: 0,
        request: async (/** @type {string} */ type, /** @type {object} */ ask) => {
            if (!PREPARED[type]) throw PASSED;
            return PREPARED[type](ask);
        },
        post() {},
    })
);

/**
 * Checks a request before it waits for a model, and before one is loaded for it. create() checks a request before it
 * asks the worker to compute. So create() is called here, with a worker that computes nothing.
 * @param {CallPath} path
 * @param {any} body
 * @param {Partial<ModelInfo>} info what is known of the model
 * @param {import('../index.d.ts').AdapterInfo[]} adapters that it has, or will have
 */
export async function checkCall(path, body, info, adapters) {
    const model = new Model(NOBODY, /** @type {ModelInfo} */ (info), adapters);
    try {
        await CALLS[path](model).create(body);
    } catch (error) {
        if (error !== PASSED) throw error;
    }
}
