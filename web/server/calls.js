/** The calls of OpenAI's API that a model answers. */
import { Model } from '../api/model.js';
import { chatCompletions, completions, embeddings } from '../openai/create.js';

/** @typedef {import('../openai/respond.js').CallPath} CallPath */
/** @typedef {import('../index.d.ts').ModelInfo} ModelInfo */

/** @type {Record<CallPath, (model: import('../index.d.ts').Model, count?: import('../openai/answers.js').Count)
 *     => { create: Function }>} */
export const CALLS = { 'chat/completions': chatCompletions, completions, embeddings };

/** What comes of a request that has passed all checks. */
const PASSED = new Error('nothing answers');

/** Stands for a worker, and answers nothing. */
const NOBODY = /** @type {import('../api/link.js').Link} */ (
    /** @type {unknown} */ ({ nextId: 0, request: () => Promise.reject(PASSED), post() {} })
);

/**
 * Checks a request before it waits for a model, and before one is loaded for it. What answers requests checks them,
 * too: so it is asked, over a worker that answers nothing.
 * @param {CallPath} path
 * @param {any} body
 * @param {Partial<ModelInfo>} info what is known of the model
 */
export async function checkCall(path, body, info) {
    const model = new Model(NOBODY, /** @type {ModelInfo} */ (info));
    try {
        await CALLS[path](model).create(body);
    } catch (error) {
        if (error !== PASSED) throw error;
    }
}
