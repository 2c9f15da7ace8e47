/** An untrained model: a config.json and a tokenizer -> a Hugging Face folder with random weights. */
import { NibbleError } from '../errors.js';
import { Random } from '../random.js';
import { lastOf } from '../sources/names.js';
import { readWhole } from '../sources/open.js';
import { shardsOf } from './safetensors.js';

/** @typedef {import('../sources/open.js').Source} Source */
/** @typedef {Extract<Source, { kind: 'files' }>['files'][number]} File */

/** The standard deviation of new weights (Radford et al. 2018, "Improving Language Understanding by Generative
 * Pre-Training", section 4.1). */
const DEVIATION = 0.02;

/** The stream of random numbers for new weights (see Random). */
const STREAM = 0;

/** The most parameters that can be trained: each takes 16 bytes, and WebAssembly's memory has 4 GB at most. */
const MOST = 2 ** 28;

/** @param {string} what */
const refuse = (what) => new NibbleError('NB_ERR_ARGUMENT', `config (--config): ${what}`);

/**
 * The files of the folder.
 * @param {Source} tokenizer its files
 * @param {Record<string, unknown>} config
 * @param {number} seed
 * @returns {Promise<Source>}
 */
export async function newModel(tokenizer, config, seed) {
    const given = tokenizer.kind === 'files' ? tokenizer.files : [],
        documents = given
            .map((file) => ({ ...file, name: lastOf(file.name.replace(/\\/g, '/')), loose: true }))
            .filter(({ name }) => /\.(json|jinja|model)$/.test(name) && name !== 'config.json');
    const tokens = await vocabularyOf(documents);
    if (tokens !== undefined && Number(config.vocab_size) < tokens)
        throw refuse(
            `vocab_size is ${config.vocab_size}, and the tokenizer has ${tokens} tokens: leave vocab_size out`,
        );
    const whole = {
        architectures: ['LlamaForCausalLM'],
        model_type: 'llama',
        vocab_size: tokens,
        ...config,
        dtype: 'float32',
    };
    return {
        kind: 'files',
        files: [
            ...documents,
            fileOf('config.json', [JSON.stringify(whole, null, 2)]),
            fileOf('model.safetensors', randomWeights(whole, new Random(seed, STREAM))),
        ],
    };
}

/** @param {string} name @param {BlobPart[]} parts @returns {File} */
const fileOf = (name, parts) => ({ name, source: { kind: 'blob', blob: new Blob(parts) }, loose: true });

/**
 * How many tokens a tokenizer.json has.
 * @param {File[]} documents
 * @returns {Promise<number | undefined>} undefined: it is not there, or cannot be read, which the converter will report
 */
async function vocabularyOf(documents) {
    const file = documents.find(({ name }) => name === 'tokenizer.json'),
        text = file && (await readWhole(file.source));
    try {
        const { model, added_tokens: added = [] } = JSON.parse(text ?? ''),
            ids = Array.isArray(model.vocab)
                ? Object.keys(model.vocab).map(Number) // of a unigram model
                : /** @type {number[]} */ (Object.values(model.vocab));
        const most = [...ids, ...added.map((/** @type {any} */ { id }) => id)].reduce((a, b) => Math.max(a, b), -1);
        return most >= 0 ? most + 1 : undefined;
    } catch {
        return undefined;
    }
}

/**
 * A safetensors file. Norms are 1. Matrices are random numbers of the normal distribution. Those whose products are
 * added to the residual stream, two for each layer, are divided by the square root of their number (Radford et al.
 * 2019, "Language Models are Unsupervised Multitask Learners", section 2.3).
 * @param {Record<string, any>} config
 * @param {Random} random
 * @returns {BlobPart[]}
 */
function randomWeights(config, random) {
    const shapes = shapesOf(config),
        deviation = config.initializer_range ?? DEVIATION,
        residual = deviation / Math.sqrt(2 * config.num_hidden_layers);
    if (!(typeof deviation === 'number' && deviation >= 0 && deviation <= 10))
        throw refuse(`initializer_range must be a number from 0 to 10, such as ${DEVIATION}`);
    const entries = shapes.map(([name, ...shape]) => ({
        name,
        dtype: 'F32',
        shape,
        bytes: 4 * shape.reduce((a, b) => a * b, 1),
    }));
    const weights = entries.map(({ name, bytes, shape }) => {
        const numbers = new Float32Array(bytes / 4);
        if (shape.length === 1) return numbers.fill(1);
        const by = /(o|down)_proj\.weight$/.test(name) ? residual : deviation;
        for (let i = 0; i < numbers.length; i++) numbers[i] = by * random.normal();
        return numbers;
    });
    return [...shardsOf(entries, Infinity, { format: 'pt' }).map(({ header }) => bytesOf(header)), ...weights];
}

/** @param {Uint8Array} bytes */
const bytesOf = (bytes) => /** @type {Uint8Array<ArrayBuffer>} */ (bytes);

/**
 * The tensors of Llama, by the names that its folders have.
 * @param {Record<string, any>} config
 * @returns {[string, ...number[]][]} name, and the sides: rows, columns
 */
function shapesOf(config) {
    if (config.model_type !== 'llama')
        throw refuse(`model_type is ${JSON.stringify(config.model_type)}; new models are of the type "llama"`);
    for (const name of ['attention_bias', 'mlp_bias'])
        if (config[name]) throw refuse(`${name}: a model with biases cannot be trained; leave it out`);
    const side = (/** @type {string} */ name, /** @type {number | undefined} */ usual = undefined) => {
        const n = config[name] ?? usual;
        if (Number.isInteger(n) && n >= 1 && n <= 1 << 24) return n;
        throw refuse(`${name} must be a whole number from 1 to 2^24, not ${JSON.stringify(n) ?? 'absent'}`);
    };
    const width = side('hidden_size'),
        heads = side('num_attention_heads'),
        head = side('head_dim', width / heads),
        keys = side('num_key_value_heads', heads) * head,
        hidden = side('intermediate_size'),
        vocabulary = side('vocab_size'),
        layers = side('num_hidden_layers'),
        embeddings = config.tie_word_embeddings ? 1 : 2;
    const parameters = width * (1 + embeddings * vocabulary + layers * (2 + 2 * heads * head + 2 * keys + 3 * hidden));
    if (parameters > MOST)
        throw refuse(
            `a model of these sizes has ${parameters.toLocaleString('en')} parameters, and memory has room for less ` +
                `than ${MOST.toLocaleString('en')}: take smaller ones`,
        );
    return [
        ['model.embed_tokens.weight', vocabulary, width],
        ...Array.from({ length: layers }, (_, layer) =>
            /** @type {[string, ...number[]][]} */ ([
                ['input_layernorm', width],
                ['self_attn.q_proj', heads * head, width],
                ['self_attn.k_proj', keys, width],
                ['self_attn.v_proj', keys, width],
                ['self_attn.o_proj', width, heads * head],
                ['post_attention_layernorm', width],
                ['mlp.gate_proj', hidden, width],
                ['mlp.up_proj', hidden, width],
                ['mlp.down_proj', width, hidden],
            ]).map(([name, ...sides]) => [`model.layers.${layer}.${name}.weight`, ...sides]),
        ).flat(),
        ['model.norm.weight', width],
        ...(config.tie_word_embeddings ? [] : [['lm_head.weight', vocabulary, width]]),
    ].map(([name, ...sides]) => [String(name), ...sides.map(Number)]);
}
