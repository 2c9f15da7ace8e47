/** What loadModel() and the create functions are given -> options of nibble and fields of OpenAI's requests. */
import { nearest } from '../checks.js';
import { lacking, WllamaError } from './errors.js';

/** These say how wllama computes and not what, or are about parts that nibble does not have. */
const WITHOUT_EFFECT = new Set([
    ...['log_level', 'n_batch', 'n_ubatch', 'n_gpu_layers', 'offload_kqv', 'kv_unified', 'flash_attn'],
    ...['swa_full', 'jinja', 'image_min_tokens', 'image_max_tokens', 'warmup', 'no_kv_offload', 'mmproj_offload'],
    ...['cont_batching', 'cache_idle_slots', 'n_cache_reuse', 'spec_draft_ngl', 'spec_draft_n_max'],
    ...['spec_draft_n_min', 'spec_draft_p_min', 'spec_draft_threads', 'spec_draft_threads_batch', 'useCache'],
    'metadataAdditional',
]);

const ROPE = 'the positions are those that the file says; leave it out',
    PARSING = 'thoughts and calls are always apart from the text; leave it out';
const isUnset = (/** @type {any} */ value) => /UNSPECIFIED$/.test(value);

/** What changes answers, and nibble does not have. Values that ask for nothing may stay.
 * @type {Record<string, { isNothing?: (value: any) => boolean, advice: string }>} */
const LACKING = {
    rope_scaling_type: { isNothing: isUnset, advice: ROPE },
    ...Object.fromEntries(
        ['rope_freq_base', 'rope_freq_scale', 'yarn_ext_factor', 'yarn_attn_factor', 'yarn_beta_fast']
            .concat(['yarn_beta_slow', 'yarn_orig_ctx'])
            .map((name) => [name, { advice: ROPE }]),
    ),
    chat_template: { advice: "chats follow the file's own template; write another one into the GGUF" },
    n_keep: { isNothing: (n) => n === 0, advice: 'a chat keeps its system messages; leave it out' },
    spec_draft_model: { advice: 'leave it out; where a text repeats itself, nibble guesses without a second model' },
    kv_overrides: {
        isNothing: (pairs) => Object.keys(pairs).length === 0,
        advice: 'change the values in the file itself',
    },
    reasoning_budget_message: {
        isNothing: (text) => text === '',
        advice: 'leave it out, and give reasoning_budget_tokens',
    },
    reasoning_format: { isNothing: (format) => format === 'deepseek', advice: PARSING },
    skip_chat_parsing: { isNothing: (skip) => !skip, advice: PARSING },
    prefill_assistant: {
        isNothing: Boolean,
        advice: 'a last message of the assistant is always the beginning of the answer; leave it out',
    },
};

/** @param {import('./index.d.ts').LoadModelParams} params @returns {import('../index.d.ts').LoadOptions['kvType']} */
function kvTypeOf({ cache_type_k: keys, cache_type_v: values = keys }) {
    if (keys === undefined && values === undefined) return undefined;
    if (keys === 'q8_0' && values === 'q4_0') return 'q8_0/q4_0';
    if (values === (keys ?? values) && (values === 'f32' || values === 'f16' || values === 'q8_0' || values === 'q4_0'))
        return values;
    throw lacking(
        `cache_type_k ${JSON.stringify(keys)} with cache_type_v ${JSON.stringify(values)}`,
        "both must be the same, 'f32', 'f16', 'q8_0' or 'q4_0', or 'q8_0' for k and 'q4_0' for v",
        'load_error',
    );
}

/** How one vector is made of the tokens' vectors. @type {Record<string, 'file' | 'mean' | 'cls' | 'last' | 'rank'>} */
const POOLING = { unspecified: 'file', mean: 'mean', cls: 'cls', last: 'last', rank: 'rank' };

/**
 * A model's settings beside what load() gets. seed: of requests that have none. defaults: fields of requests.
 * @typedef {{ embeddings: boolean, pooling: 'file' | 'mean' | 'cls' | 'last' | 'rank', seed?: number,
 *     defaults: Record<string, any>, variables: Record<string, any> }} Settings
 */

/**
 * @param {import('./index.d.ts').LoadModelParams & import('./index.d.ts').DownloadOptions} params
 * @returns {{ options: import('../index.d.ts').LoadOptions, settings: Settings }}
 */
export function loadOptionsOf(params) {
    const {
        n_ctx,
        n_threads,
        n_parallel,
        lora_adapters,
        lora_init_without_apply,
        pooling_type = 'unspecified',
    } = params;
    const { seed, reasoning, reasoning_budget_tokens: budget, ctx_shift, default_template_kwargs } = params;
    const pooling = POOLING[String(pooling_type).replace('LLAMA_POOLING_TYPE_', '').toLowerCase()],
        kvType = kvTypeOf(params);
    for (const [name, value] of Object.entries(params)) {
        if (value === undefined || value === null) continue;
        const lack = Object.hasOwn(LACKING, name) ? LACKING[name] : undefined;
        if (lack && !lack.isNothing?.(value)) throw lacking(name, lack.advice, 'load_error');
        if (!lack && !WITHOUT_EFFECT.has(name) && !TAKEN.includes(name)) {
            const near = nearest(name, [...TAKEN, ...WITHOUT_EFFECT, ...Object.keys(LACKING)]);
            throw new WllamaError(
                `loadModel() has no parameter "${name}"${near ? `; did you mean "${near}"?` : ''}`,
                'load_error',
            );
        }
    }
    if (!pooling)
        throw lacking(
            `pooling_type ${JSON.stringify(pooling_type)}`,
            "give 'mean', 'cls', 'last' or 'rank', or leave it out for what the file says",
            'load_error',
        );
    const options = {
        ...(n_ctx !== undefined && { contextLength: n_ctx }),
        ...(n_threads !== undefined && { threads: Math.max(1, n_threads) }),
        ...(n_parallel !== undefined && { parallel: Math.max(1, n_parallel) }),
        ...(kvType && { kvType }),
        ...(lora_adapters && {
            adapters: lora_adapters.map(({ path, scale }) => ({
                source: path,
                scale: lora_init_without_apply ? 0 : scale,
            })),
        }),
    };
    const settings = {
        embeddings: Boolean(params.embeddings),
        pooling,
        seed,
        defaults: {
            ...(ctx_shift && { context_overflow: 'shift' }),
            ...(reasoning === false && { reasoning_effort: 'none' }),
            ...(budget !== undefined && { thinking_budget_tokens: budget }),
        },
        variables: { ...(reasoning && { enable_thinking: true }), ...default_template_kwargs },
    };
    return { options, settings };
}

/** Parameters that loadOptionsOf() and index.js read. */
const TAKEN = [
    ...[
        'seed',
        'n_ctx',
        'n_threads',
        'n_parallel',
        'embeddings',
        'pooling_type',
        'cache_type_k',
        'cache_type_v',
        'reasoning',
    ],
    ...['ctx_shift', 'lora_adapters', 'lora_init_without_apply', 'reasoning_budget_tokens', 'default_template_kwargs'],
    ...['progressCallback', 'headers', 'signal'],
];

/** Names of wllama's types for fields that have others in llama.cpp's server, and so in nibble. */
const ALIASES = Object.entries({
    temp: 'temperature',
    penalty_repeat: 'repeat_penalty',
    penalty_freq: 'frequency_penalty',
    penalty_present: 'presence_penalty',
    typ_p: 'typical_p',
    n_predict: 'max_tokens',
});

/** Fields that ask for more about an answer, or for speed, and that nibble has no use for. */
const IGNORED = ['cache_prompt', 'return_tokens', 'timings_per_token', 'return_progress'].concat(
    ['n_prev', 'samplers_sequence'], // which wllama does not use, either
);

/** Seeds that mean a new one each time. */
const ANY_SEED = [-1, 2 ** 32 - 1];

/**
 * A request of createChatCompletion() or createCompletion(): the fields for OpenAI's create(), with the defaults of
 * llama.cpp's server; options of generations that these fields do not have; and what is for index.js.
 * @param {any} request
 * @param {Settings} settings
 * @param {number} context the tokens of the context
 */
export function requestOf(request, { seed, defaults, variables }, context) {
    if (typeof request !== 'object' || request === null)
        throw new WllamaError('the request must be an object, as in version 3 of wllama', 'inference_error');
    const { onData, abortSignal, penalty_last_n, ignore_eos, n_probs, ...fields } = request;
    if (n_probs) throw lacking('n_probs', 'give logprobs and top_logprobs', 'inference_error');
    for (const [alias, name] of ALIASES) {
        fields[name] ??= fields[alias];
        delete fields[alias];
    }
    for (const name of IGNORED) delete fields[name];
    fields.seed ??= seed;
    if (ANY_SEED.includes(fields.seed)) delete fields.seed;
    if (Array.isArray(fields.logit_bias))
        fields.logit_bias = fields.logit_bias.map((/** @type {any} */ item) =>
            Array.isArray(item) ? item : [item?.token, item?.bias],
        );
    const most = fields.max_tokens ?? -1,
        { context_overflow } = defaults;
    return {
        onData,
        abortSignal,
        options: { penaltyLast: penalty_last_n ?? 64, ...(ignore_eos && { ignoreEnd: true }) },
        fields: {
            ...{ temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05 },
            ...('messages' in fields ? defaults : context_overflow && { context_overflow }),
            // null is no value, for which OpenAI's requests have other defaults than this server
            ...Object.fromEntries(Object.entries(fields).filter(([, value]) => (value ?? undefined) !== undefined)),
            // without a limit the context ends the answer, which with a shift it does not
            max_tokens: most < 0 ? (context_overflow ? context : 2 ** 31 - 1) : most,
            ...('messages' in fields && {
                chat_template_kwargs: { ...variables, ...fields.chat_template_kwargs },
            }),
        },
    };
}

/**
 * A vector in another norm, as llama.cpp numbers them.
 * @param {Float32Array} vector
 * @param {number} norm 0: the largest number is 32760; otherwise the norm of this power is 1
 */
export function normalized(vector, norm) {
    const size =
        norm === 0
            ? vector.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / 32760
            : vector.reduce((sum, x) => sum + Math.abs(x) ** norm, 0) ** (1 / norm);
    return size > 0 ? vector.map((x) => x / size) : vector;
}
