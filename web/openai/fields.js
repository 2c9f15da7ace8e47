/**
 * The fields of OpenAI's requests. Each is checked, and becomes an option of nibble; what nibble lacks is refused by
 * name. null is the same as leaving a field out, as OpenAI has it.
 */
import { checkOption, nearest, SCALE } from '../checks.js';
import { NibbleError } from '../errors.js';
import { grammarOfSchema } from '../grammar/schema.js';
import { GENERATE_OPTIONS } from '../options.js';

/** @typedef {import('../checks.js').Option} Option */
/** @typedef {Record<string, Omit<Option, 'help'>>} Fields */

/**
 * What is wrong with a request. param: the field's name, for OpenAI's errors.
 * @param {'NB_ERR_ARGUMENT' | 'NB_ERR_UNSUPPORTED'} code
 * @param {string} param
 * @param {string} message
 */
export const fieldError = (code, param, message) => Object.assign(new NibbleError(code, message), { param });

/** @type {Fields} */
const COMMON = {
    model: { type: 'text' },
    user: { type: 'text' },
};

/** How tokens are chosen, by the names that llama.cpp's server has for what OpenAI does not have. */
const SAMPLING = /** @type {const} */ ({
    top_k: 'topK',
    min_p: 'minP',
    typical_p: 'typicalP',
    top_n_sigma: 'topNSigma',
    xtc_probability: 'xtcProbability',
    xtc_threshold: 'xtcThreshold',
    dynatemp_range: 'dynatempRange',
    dynatemp_exponent: 'dynatempExponent',
    mirostat: 'mirostat',
    mirostat_tau: 'mirostatTau',
    mirostat_eta: 'mirostatEta',
    samplers: 'samplers',
    repeat_penalty: 'repeatPenalty',
    dry_multiplier: 'dryMultiplier',
    dry_base: 'dryBase',
    dry_allowed_length: 'dryAllowedLength',
    dry_penalty_last_n: 'dryPenaltyLast',
    dry_sequence_breakers: 'drySequenceBreakers',
});

/** @type {Fields} */
const GENERATION = {
    ...COMMON,
    temperature: { type: 'number', min: 0, max: 2, default: 1 },
    top_p: { type: 'number', min: 0, max: 1, default: 1 },
    ...Object.fromEntries(Object.entries(SAMPLING).map(([field, option]) => [field, GENERATE_OPTIONS[option]])),
    top_k: { ...GENERATE_OPTIONS.topK, default: 0 },
    min_p: { ...GENERATE_OPTIONS.minP, default: 0 },
    presence_penalty: { type: 'number', min: -2, max: 2, default: 0 },
    frequency_penalty: { type: 'number', min: -2, max: 2, default: 0 },
    grammar: { type: 'text' },
    seed: GENERATE_OPTIONS.seed, // reduced modulo 2^32 here, so that seed + i is exact
    logit_bias: { type: 'biases', default: [] },
    stop: { type: 'texts', default: [] },
    n: { type: 'integer', min: 1, max: 128, default: 1 },
    stream: { type: 'switch', default: false },
    stream_options: { type: 'object' },
    context_overflow: GENERATE_OPTIONS.contextOverflow,
    lora: { type: 'objects' },
};

/** @type {Option} */
const TOKENS = { ...GENERATE_OPTIONS.maxTokens, default: undefined };

/** @type {Fields} */
export const CHAT_FIELDS = {
    ...GENERATION,
    max_completion_tokens: TOKENS,
    max_tokens: TOKENS,
    logprobs: { type: 'switch', default: false },
    top_logprobs: { type: 'integer', min: 0, max: 20 },
    chat_template_kwargs: { type: 'object', default: {} },
    tools: { type: 'objects', default: [] },
    parallel_tool_calls: { type: 'switch', default: true },
    reasoning_effort: { type: 'text' },
    thinking_budget_tokens: { type: 'integer', min: -1, max: 2 ** 31 - 1 },
    response_format: { type: 'object' },
    safety_identifier: { type: 'text' },
    prompt_cache_key: { type: 'text' },
};

/** @type {Fields} */
export const COMPLETION_FIELDS = {
    ...GENERATION,
    max_tokens: { ...TOKENS, default: 16 },
    echo: { type: 'switch', default: false },
    suffix: { type: 'text', default: '' },
    logprobs: { type: 'integer', min: 0, max: 20 },
};

/** @type {Fields} */
export const EMBEDDING_FIELDS = {
    ...COMMON,
    encoding_format: { type: 'choice', choices: ['float', 'base64'], default: 'float' },
    dimensions: { type: 'integer', min: 1, max: 2 ** 31 - 1 },
};

/** Those of Jina's, Cohere's and llama.cpp's servers. @type {Fields} */
export const RERANK_FIELDS = {
    ...COMMON,
    query: { type: 'text' },
    top_n: { type: 'integer', min: 1, max: 2 ** 31 - 1 },
    return_documents: { type: 'switch', default: false },
    raw_scores: { type: 'switch', default: false },
};

/** @type {Fields} */
const STREAM_FIELDS = {
    include_usage: { type: 'switch', default: false },
};

/** A value that asks for nothing. @param {...unknown} values */
const only = (...values) => ({ isNothing: (/** @type {unknown} */ value) => values.includes(value) });

const isEmpty = (/** @type {unknown} */ value) => Array.isArray(value) && value.length === 0;

/**
 * OpenAI's fields that nibble lacks. isNothing: tells whether a value asks for nothing in its request, and may stay.
 * advice: what to do instead.
 * @typedef {Record<string, { isNothing?: (value: any, request: any) => boolean, advice: string }>} Lacking
 */

const TOOLS = 'leave it out, and give tools and tool_choice, which are its newer names';

/** @type {Lacking} */
export const CHAT_LACKING = {
    functions: { isNothing: isEmpty, advice: TOOLS },
    function_call: { ...only('none'), advice: TOOLS },
    audio: { advice: 'leave it out; answers are text' },
    modalities: {
        isNothing: (list) => Array.isArray(list) && list.every((each) => each === 'text'),
        advice: "leave it out or give ['text']; answers are text",
    },
    verbosity: { advice: 'leave it out, and say in a message how long the answer should be' },
    prediction: { advice: 'leave it out' },
    web_search_options: { advice: 'leave it out, and put what you have found into a message' },
    moderation: { advice: 'leave it out' },
    store: { ...only(false), advice: 'leave it out, and keep the answer yourself' },
    metadata: {
        isNothing: (metadata) => typeof metadata === 'object' && Object.keys(metadata).length === 0,
        advice: 'leave it out, and keep it with the answer yourself',
    },
    service_tier: { ...only('auto', 'default'), advice: 'leave it out; nothing leaves this machine' },
    prompt_cache_options: { advice: 'leave it out; a shared prefix is always reused' },
    prompt_cache_retention: { advice: 'leave it out; a shared prefix is always reused' },
};

/** @type {Lacking} */
export const COMPLETION_LACKING = {
    best_of: { isNothing: (best, { n }) => best === (n ?? 1), advice: 'leave it out; n gives several answers' },
};

/** @type {Lacking} */
const STREAM_LACKING = {
    include_obfuscation: { ...only(false), advice: 'leave it out; chunks are not padded' },
};

/**
 * Checks the fields of a request, and fills in the defaults.
 * @param {string} caller for messages
 * @param {unknown} request
 * @param {Fields} fields
 * @param {Lacking} lacking
 * @param {string[]} [others] names that the caller checks itself
 * @returns {Record<string, any>}
 */
export function checkFields(caller, request, fields, lacking = {}, others = []) {
    if (typeof request !== 'object' || request === null || Array.isArray(request))
        throw new NibbleError('NB_ERR_ARGUMENT', `${caller}: the request must be an object`);
    /** @type {Record<string, any>} */
    const checked = {};
    for (const [name, field] of Object.entries(fields)) checked[name] = field.default;
    for (const [name, value] of Object.entries(request)) {
        if (value === undefined || others.includes(name)) continue;
        if (Object.hasOwn(lacking, name)) refuseLacking(caller, name, lacking[name], value, request);
        else if (!Object.hasOwn(fields, name)) refuseUnknown(caller, name, [...Object.keys(fields), ...others]);
        else if (value !== null) checked[name] = checkField(caller, name, fields[name], value);
    }
    return checked;
}

/**
 * @param {string} caller
 * @param {string} name
 * @param {Lacking[string]} lack
 * @param {unknown} value
 * @param {object} request
 */
function refuseLacking(caller, name, { isNothing, advice }, value, request) {
    if (value === null || isNothing?.(value, request)) return;
    throw fieldError('NB_ERR_UNSUPPORTED', name, `${caller}: nibble does not support ${name} yet: ${advice}`);
}

/** @param {string} caller @param {string} name @param {string[]} known */
function refuseUnknown(caller, name, known) {
    const near = nearest(name, known);
    const short = name.length > 64 ? `${name.slice(0, 61)}...` : name;
    throw fieldError(
        'NB_ERR_ARGUMENT',
        short,
        `${caller} has no field "${short}"${near ? `; did you mean "${near}"?` : ': leave it out'}`,
    );
}

/** @param {string} caller @param {string} name @param {Omit<Option, 'help'>} field @param {unknown} value */
function checkField(caller, name, field, value) {
    return inField(name, () => checkOption(`${caller}: ${name}`, { ...field, help: '' }, value));
}

/** @type {Fields} */
const RESPONSE_FORMAT = {
    type: { type: 'choice', choices: ['text', 'json_object', 'json_schema'], default: 'text' },
    json_schema: { type: 'object' },
    schema: { type: 'schema' }, // of llama.cpp's server
};

/** @type {Fields} */
const JSON_SCHEMA = {
    name: { type: 'text' },
    description: { type: 'text' },
    schema: { type: 'schema' },
    strict: { type: 'switch' }, // an answer follows its schema in any case
};

/**
 * The grammar that a response_format asks for.
 * @param {string} caller
 * @param {Record<string, any>} checked
 * @returns {string | undefined}
 */
export function grammarOf(caller, { grammar, response_format }) {
    const own = grammar || undefined; // clients of llama.cpp's server send an empty one for none
    if (response_format === undefined) return own;
    const name = `${caller}: response_format`,
        refused = (/** @type {string} */ message) => fieldError('NB_ERR_ARGUMENT', 'response_format', message);
    try {
        const format = checkFields(name, response_format, RESPONSE_FORMAT);
        if (format.type === 'text') return own;
        if (own) throw refused(`${name} and grammar are two ways to hold an answer; give one`);
        if (format.type === 'json_object') return grammarOfSchema(name, format.schema ?? { type: 'object' });
        if (!format.json_schema) throw refused(`${name}: the type json_schema needs json_schema: { name, schema }`);
        const { schema } = checkFields(`${name}: json_schema`, format.json_schema, JSON_SCHEMA);
        return grammarOfSchema(`${name}: json_schema`, schema ?? { type: 'object' });
    } catch (error) {
        throw Object.assign(/** @type {Error} */ (error), { param: 'response_format' });
    }
}

/** @type {Fields} */
const LORA = {
    id: { type: 'integer', min: 0, max: 2 ** 31 - 1 },
    scale: SCALE,
};

/**
 * The adapters that a request's `lora` has, by their places among those of the model, as llama.cpp's server has it.
 * Those that it does not name are off.
 * @param {string} caller
 * @param {object[] | undefined} lora
 * @param {readonly { name: string }[]} [adapters] of the model
 * @returns {import('../index.d.ts').AdapterScale[] | undefined} undefined: those of the model
 */
export function adaptersOf(caller, lora, adapters = []) {
    const refused = (/** @type {string} */ message) => fieldError('NB_ERR_ARGUMENT', 'lora', `${caller}: ${message}`);
    /** @type {Set<number>} */
    const ids = new Set();
    return lora?.map((item) => {
        const { id, scale } = inField('lora', () => checkFields(`${caller}: lora`, item, LORA));
        if (id === undefined || scale === undefined) throw refused('lora must be an array like [{ id: 0, scale: 1 }]');
        if (!adapters[id]) throw refused(`lora names the adapter ${id}, and there are ${adapters.length}, from 0 on`);
        if (ids.has(id)) throw refused(`lora names the adapter ${id} twice`);
        ids.add(id);
        return { name: adapters[id].name, scale };
    });
}

/** Errors of f are of this field. @template T @param {string} param @param {() => T} f */
function inField(param, f) {
    try {
        return f();
    } catch (error) {
        throw Object.assign(/** @type {Error} */ (error), { param });
    }
}

/**
 * Whether a last chunk has the usage.
 * @param {string} caller
 * @param {Record<string, any>} checked
 * @returns {boolean}
 */
export function includesUsage(caller, { stream, stream_options }) {
    if (stream_options === undefined) return false;
    if (!stream)
        throw fieldError(
            'NB_ERR_ARGUMENT',
            'stream_options',
            `${caller}: stream_options goes with stream: true; leave it out`,
        );
    return checkFields(`${caller}: stream_options`, stream_options, STREAM_FIELDS, STREAM_LACKING).include_usage;
}

/**
 * The options of complete() and chat() that a request's fields become. Seeds of several answers differ by 1: with the
 * same seed they would be the same.
 * @param {Record<string, any>} checked with the options logprobs, topLogprobs and adapters
 * @param {(string | number)[][]} biases
 * @param {number} maxTokens
 * @param {AbortSignal | undefined} signal
 * @returns {(answer: number) => import('../index.d.ts').GenerateOptions}
 */
export const optionsOf = (checked, biases, maxTokens, signal) => (answer) => ({
    maxTokens,
    contextOverflow: checked.context_overflow,
    temperature: checked.temperature,
    topP: checked.top_p,
    ...Object.fromEntries(Object.entries(SAMPLING).map(([field, option]) => [option, checked[field]])),
    presencePenalty: checked.presence_penalty,
    frequencyPenalty: checked.frequency_penalty,
    penaltyLast: -1,
    seed: checked.seed === undefined ? undefined : checked.seed + answer,
    logitBias: /** @type {[number, number][]} */ (biases),
    grammar: checked.grammar,
    logprobs: checked.logprobs,
    topLogprobs: checked.topLogprobs,
    ...(checked.adapters && { adapters: checked.adapters }),
    stop: checked.stop,
    signal,
});

/**
 * The options of a turn of chat() that a request's fields become.
 * @param {string} caller
 * @param {Record<string, any>} checked
 * @param {unknown} choice tool_choice, as it was given
 * @returns {import('../index.d.ts').ChatOptions}
 */
export function turnOf(caller, checked, choice) {
    const { tools, reasoning_effort: effort, thinking_budget_tokens: most } = checked;
    for (const [i, tool] of tools.entries()) {
        if (tool.type !== 'function')
            throw fieldError(
                'NB_ERR_UNSUPPORTED',
                'tools',
                `${caller}: nibble supports tools of the type "function" only, and tools[${i}] is of another`,
            );
        if (typeof tool.function?.name !== 'string')
            throw fieldError('NB_ERR_ARGUMENT', 'tools', `${caller}: tools[${i}].function.name must be a text`);
    }
    const toolChoice = choiceOf(caller, choice ?? 'auto', tools);
    return {
        templateVariables: {
            ...(effort !== undefined && { reasoning_effort: effort }),
            ...checked.chat_template_kwargs,
        },
        ...(tools.length > 0 && { tools, toolChoice, parallelToolCalls: checked.parallel_tool_calls }),
        ...(effort === 'none' && { thinking: false }),
        ...(most >= 0 && { thinking: { maxTokens: most } }),
    };
}

/**
 * @param {string} caller
 * @param {unknown} choice
 * @param {any[]} tools
 * @returns {NonNullable<import('../index.d.ts').ChatOptions['toolChoice']>}
 */
function choiceOf(caller, choice, tools) {
    if (choice === 'auto' || choice === 'none') return choice;
    const name = /** @type {any} */ (choice)?.function?.name,
        isKnown = choice === 'required' || typeof name === 'string';
    if (!isKnown)
        throw fieldError(
            'NB_ERR_ARGUMENT',
            'tool_choice',
            `${caller}: tool_choice must be "auto", "none", "required" or { type: "function", function: { name } }`,
        );
    if (tools.length === 0 || (name !== undefined && !tools.some((tool) => tool.function.name === name)))
        throw fieldError(
            'NB_ERR_ARGUMENT',
            'tool_choice',
            `${caller}: tool_choice names a tool that is not among tools`,
        );
    return name === undefined ? 'required' : { name };
}

/** Texts of a request, as of OpenAI's. More could fill the memory with answers. */
export const MOST_TEXTS = 2048;

/**
 * A field that has a text, token ids, or an array of either: as an array of texts and of token ids.
 * @param {string} caller
 * @param {string} name
 * @param {unknown} value
 * @param {number} [vocabulary] how many tokens the model has
 * @returns {(string | number[])[]}
 */
export function textsOrTokens(caller, name, value, vocabulary) {
    const isTokens = (/** @type {unknown} */ each) =>
        Array.isArray(each) && each.length > 0 && each.every((token) => typeof token === 'number');
    const list = typeof value === 'string' || isTokens(value) ? [value] : value;
    if (
        !Array.isArray(list) ||
        list.length === 0 ||
        !list.every((each) => (typeof list[0] === 'string' ? typeof each === 'string' : isTokens(each)))
    )
        throw fieldError(
            'NB_ERR_ARGUMENT',
            name,
            `${caller}: ${name} must be a text, an array of texts, an array of token ids, or an array of such arrays`,
        );
    if (list.length > MOST_TEXTS)
        throw fieldError('NB_ERR_ARGUMENT', name, `${caller}: ${name} may have ${MOST_TEXTS} texts: ask several times`);
    for (const each of list) if (typeof each !== 'string') checkTokens(caller, name, each, vocabulary);
    return list;
}

/**
 * Refuses token ids that the model does not have. Its worker does so, too, but does not know the field's name.
 * @param {string} caller
 * @param {string} name
 * @param {number[]} tokens
 * @param {number} [vocabulary] how many tokens the model has
 */
export function checkTokens(caller, name, tokens, vocabulary) {
    if (vocabulary === undefined) return;
    const wrong = tokens.find((token) => !(Number.isInteger(token) && token >= 0 && token < vocabulary));
    if (wrong !== undefined)
        throw fieldError(
            'NB_ERR_ARGUMENT',
            name,
            `${caller}: ${name} has the token ${wrong}; this model's tokens are the numbers 0 to ${vocabulary - 1}`,
        );
}
