// An engine without weights in the process of the test, which can look into it: a tokenizer and any chat template.
import { findAssets } from '../../web/assets.js';
import { checkOptions } from '../../web/checks.js';
import { LOAD_OPTIONS } from '../../web/options.js';
import { chatPrompt } from '../../web/worker/chat.js';
import { Engine } from '../../web/worker/engine.js';

const SAFETENSORS = new Blob(['\x02\0\0\0\0\0\0\0{}']);

/**
 * @param {import('../../web/sources/open.js').Source} source
 * @param {object} [options]
 */
export async function openEngine(source, options = {}) {
    const checked = {
        ...checkOptions(LOAD_OPTIONS, { build: 'simd128', ...options }, 'openEngine()'),
        headerOnly: true,
        assets: await findAssets({}),
    };
    return Engine.load(source, checked, { progress() {}, nextFromPort: async () => null, watch() {} });
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
