// An engine in the process of the test, which can look into it, and give it any chat template: without weights, or as a
// model that answers.

import { Model } from '../../web/api/model.js';
import { findAssets } from '../../web/assets.js';
import { checkOptions } from '../../web/checks.js';
import { LOAD_OPTIONS } from '../../web/options.js';
import { chatPrompt } from '../../web/worker/chat.js';
import { Engine } from '../../web/worker/engine.js';
import { generate } from '../../web/worker/generation.js';

const SAFETENSORS = new Blob(['\x02\0\0\0\0\0\0\0{}']);

/**
 * @param {import('../../web/sources/open.js').Source} source
 * @param {object} [options]
 * @param {import('../../web/sources/open.js').Source} [draft]
 */
export async function openEngine(source, options = {}, headerOnly = true, draft) {
    const checked = {
        ...checkOptions(LOAD_OPTIONS, { build: 'simd128', ...options }, 'openEngine()'),
        headerOnly,
        assets: await findAssets({}),
    };
    return Engine.load(source, checked, { progress() {}, nextFromPort: async () => null, watch() {} }, draft);
}

/**
 * A model without a worker: requests are answered where they are made, one after another.
 * @param {import('../../web/sources/open.js').Source} source
 * @param {object} [options]
 * @param {import('../../web/sources/open.js').Source} [draft]
 * @returns {Promise<{ model: import('../../web/index.d.ts').Model, engine: Engine,
 *     setTemplate: (template: string) => void }>}
 */
export async function openModel(source, options, draft) {
    const engine = await openEngine(source, options, false, draft);
    /** Of the request that is answered. */
    let returned = (/** @type {Float32Array | undefined} */ _) => {};
    const job = {
        stopped: false,
        returned: () =>
            new Promise((resolve) => {
                returned = resolve;
            }),
    };
    /** @type {Record<string, (ask: any, listeners: any) => any>} */
    const answers = {
        tokenize: ({ text, flags }) => engine.encode(text, flags),
        detokenize: ({ tokens, special }) => engine.detokenize(tokens, special),
        generate: (ask, { text, logits }) =>
            generate(
                engine,
                ask,
                /** @type {any} */ (job),
                (chunk, tokens, logprobs) => text({ chunk, tokens, logprobs }),
                (lent, position) => {
                    const back = job.returned();
                    logits({ logits: lent, position });
                    return /** @type {any} */ (back);
                },
            ),
    };
    const link = {
        nextId: 1,
        request: async (/** @type {string} */ type, /** @type {any} */ ask, /** @type {any} */ listeners) =>
            answers[type](ask, listeners),
        post: (/** @type {any} */ { type, logits }) => {
            if (type === 'logits') returned(logits);
        },
    };
    const model = new Model(/** @type {any} */ (link), /** @type {any} */ (engine.description));
    return {
        model: /** @type {any} */ (model),
        engine,
        setTemplate(template) {
            engine.description.chatTemplate = template;
        },
    };
}

/**
 * An entry of added_tokens in a tokenizer.json.
 * @param {string} content
 * @param {number} id
 * @param {boolean} special
 */
export const addedToken = (content, id, special) => ({
    id,
    content,
    special,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
});

/** A folder's files without weights. @param {object} tokenizer @param {object} [config] of the tokenizer */
export function engineOf(tokenizer, config = {}) {
    const file = (/** @type {string} */ name, /** @type {BlobPart} */ data) => ({
        name,
        source: { kind: /** @type {const} */ ('blob'), blob: new Blob([data]) },
    });
    return openEngine({
        kind: 'files',
        files: [
            file('config.json', '{"model_type":"llama"}'),
            file('tokenizer.json', JSON.stringify(tokenizer)),
            file('tokenizer_config.json', JSON.stringify(config)),
            file('model.safetensors', SAFETENSORS),
        ],
    });
}

/**
 * The prompt that the engine's template alone makes; null if the job was stopped.
 * @param {Engine} engine
 * @param {any[]} messages
 * @param {import('../../web/index.d.ts').TemplateOptions} [options]
 */
export const rendered = (engine, messages, options = {}, job = { stopped: false }) =>
    chatPrompt(engine.chatModel(), messages, options, engine.pauseOf(job));

/**
 * @param {Engine} engine
 * @param {string} template
 * @param {any[]} messages
 * @param {import('../../web/index.d.ts').TemplateOptions} [options]
 */
export async function promptOf(engine, template, messages, options = {}) {
    engine.description.chatTemplate = template;
    const prompt = await rendered(engine, messages, options);
    if (!prompt) throw new Error('nobody stopped it');
    return prompt;
}
