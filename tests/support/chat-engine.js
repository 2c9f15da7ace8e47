// An engine without weights in the process of the test, which can look into it: a tokenizer and any chat template.
import { findAssets } from '../../web/assets.js';
import { checkOptions } from '../../web/checks.js';
import { LOAD_OPTIONS } from '../../web/options.js';
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
 * @param {Engine} engine
 * @param {string} template
 * @param {any[]} messages
 * @param {import('../../web/index.d.ts').TemplateOptions} [options]
 */
export async function promptOf(engine, template, messages, options = {}) {
    engine.description.chatTemplate = template;
    const prompt = await engine.applyTemplate(messages, options, { stopped: false });
    if (!prompt) throw new Error('nobody stopped it');
    return prompt;
}
