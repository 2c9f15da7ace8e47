/**
 * The one table of options: the API checks its arguments with it, and the command line makes its flags and its help
 * from it. Defaults stand here and nowhere else.
 */
import { POOLINGS, PRECISIONS, PRESETS, TYPES } from './abi.js';
import { messageOf, NibbleError } from './errors.js';

/**
 * @typedef {object} Option
 * @property {string} [flag] on the command line; none: only the API has the option
 * @property {'integer' | 'number' | 'switch' | 'text' | 'texts' | 'biases' | 'rules' | 'choice' | 'objects' |
 *     'object' | 'bytes'} type
 * @property {string} help
 * @property {true} [off] of a switch: the flag turns it off, and the help says what happens then
 * @property {number} [min] inclusive
 * @property {number} [max] inclusive
 * @property {number} [modulo] any whole number is taken, modulo this
 * @property {readonly string[]} [choices]
 * @property {any} [default] none: decided when it is needed, as the help says
 * @property {string} [value] what the help calls the value
 */

/**
 * A table of options, which has all that an object of checked options has.
 * @template Checked
 * @typedef {{ [name in keyof Checked]-?: Option }} Table
 */

/** @typedef {import('./index.d.ts').LoadOptions} LoadOptions */
/** @typedef {import('./index.d.ts').GenerateOptions} GenerateOptions */

// Options as the engine gets them: checked, and with their defaults.

/**
 * @typedef {Pick<LoadOptions, 'threads' | 'contextLength' | 'quantize' | 'build'>
 *     & Required<Pick<LoadOptions, 'kvType' | 'precision' | 'doubleQuant'>>} CheckedLoad
 */

/**
 * @typedef {Required<Pick<GenerateOptions, 'maxTokens' | 'temperature' | 'topK' | 'topP' | 'minP' | 'repeatPenalty'
 *     | 'presencePenalty' | 'frequencyPenalty' | 'penaltyLast' | 'special' | 'ignoreEnd'>>
 *     & { seed?: number, stop: string[], logitBias: Record<string, number> }} CheckedGenerate
 */

/**
 * @typedef {{ addGenerationPrompt: boolean, tools?: object[], documents?: object[],
 *     templateVariables: Record<string, unknown> }} CheckedTemplate
 */

/** @typedef {CheckedGenerate & CheckedTemplate} CheckedChat */

/** @typedef {{ special: boolean, bare: boolean }} CheckedTokenize */

/** @typedef {{ special: boolean }} CheckedDetokenize */

/**
 * @typedef {Required<Pick<import('./index.d.ts').QuantizeOptions,
 *     'samples' | 'damping' | 'order' | 'clip' | 'trueSequential'>>
 *     & { method: 'rtn' | 'gptq' | 'awq' | 'awq+gptq', calibration?: string, context?: number }} CheckedCalibration
 */

/**
 * @typedef {Required<Pick<import('./index.d.ts').QuantizeOptions, 'type' | 'search' | 'requantize' | 'doubleQuant'>>
 *     & CheckedCalibration
 *     & { bits?: number, size?: number, tensors: [string, string][], outputType?: string, tokenEmbeddingType?: string,
 *     threads?: number, resume?: string }} CheckedQuantize
 */

/**
 * quantizeFolder()'s own options, checked.
 * @typedef {Required<Pick<import('./index.d.ts').QuantizeFolderOptions, 'format' | 'bits' | 'group' | 'block' |
 *     'doubleQuant' | 'symmetric' | 'search' | 'shardBytes' | 'order' | 'ranges' | 'percentile'>>
 *     & Pick<import('./index.d.ts').QuantizeFolderOptions, 'activations' | 'smooth' | 'type'>} CheckedFolder
 */

/**
 * @typedef {Omit<CheckedFolder, 'order' | 'symmetric' | 'ranges' | 'percentile'>
 *     & Omit<CheckedCalibration, 'method' | 'order'>
 *     & Partial<Pick<CheckedFolder, 'order' | 'symmetric' | 'ranges' | 'percentile'>>
 *     & { method: 'rtn' | 'gptq' | 'awq' | 'awq+gptq', threads?: number }} CheckedQuantizeFolder
 */

/** @typedef {{ pooling: keyof typeof POOLINGS, prompt?: string, promptName?: string }} CheckedEmbed */

/** @typedef {{ context?: number, stride?: number }} CheckedPerplexity */

/** @typedef {CheckedPerplexity & Pick<CheckedLoad, 'threads' | 'kvType' | 'precision' | 'build'>
 *     & { weights: boolean, speed: boolean }} CheckedCompare */

/** @typedef {{ context?: number, format: 'gguf' | 'dat', textName: string }} CheckedImportance */

/** Of the presets. (Which ones: nb_preset_needs_importance.) */
const NEED_IMATRIX = 'q2_k_s, iq3_xs, iq3_xxs and all of iq2 and iq1 need --imatrix';

/** @type {Table<CheckedLoad>} */
export const LOAD_OPTIONS = {
    threads: {
        flag: 'threads',
        type: 'integer',
        min: 1,
        max: 64,
        value: 'N',
        help:
            'threads to compute with, never more than there are cores ' +
            '(default: about the number of cores, at most 8)',
    },
    contextLength: {
        flag: 'context',
        type: 'integer',
        min: 1,
        max: 1 << 24,
        value: 'N',
        help: "tokens that prompt and answer may have together (default: the model's own context, at most 4096)",
    },
    kvType: {
        flag: 'kv-type',
        type: 'choice',
        choices: ['i16', 'f16', 'f32', 'q8_0'],
        default: 'i16',
        value: 'TYPE',
        help:
            'number format of the attention cache: i16 is 16-bit integers with scales, q8_0 takes half the memory, ' +
            'f16 and f32 are slower',
    },
    precision: {
        flag: 'precision',
        type: 'choice',
        choices: Object.keys(PRECISIONS),
        default: 'exact',
        value: 'NAME',
        help: 'exact keeps activations in 16 bits; fast takes 8 bits where that is faster, as other engines do',
    },
    quantize: {
        flag: 'quantize',
        type: 'choice',
        value: 'NAME',
        choices: PRESETS,
        help:
            'quantize floating-point weights while they are loaded: nf4, fp4 and int8 as bitsandbytes does, the ' +
            `others as llama.cpp does; ${NEED_IMATRIX}`,
    },
    doubleQuant: {
        flag: 'double-quant',
        type: 'switch',
        default: false,
        help: 'with nf4 or fp4: quantize their scales, too',
    },
    build: {
        flag: 'build',
        type: 'choice',
        choices: ['simd128', 'simd128-threads', 'relaxed', 'relaxed-threads'],
        value: 'NAME',
        help: 'WebAssembly build to use (default: the fastest that computes correctly here)',
    },
};

/** @type {Table<CheckedGenerate>} */
export const GENERATE_OPTIONS = {
    maxTokens: {
        flag: 'max-tokens',
        type: 'integer',
        min: 1,
        max: 2 ** 31 - 1,
        default: 512,
        value: 'N',
        help: 'end the answer after this many tokens',
    },
    temperature: {
        flag: 'temperature',
        type: 'number',
        min: 0,
        max: 100,
        default: 0,
        value: 'T',
        help: '0 always takes the likeliest token; higher values vary more, and 0.7 is usual',
    },
    topK: {
        flag: 'top-k',
        type: 'integer',
        min: 0,
        max: 2 ** 31 - 1,
        default: 40,
        value: 'K',
        help: 'choose among the K likeliest tokens; 0: among all',
    },
    topP: {
        flag: 'top-p',
        type: 'number',
        min: 0,
        max: 1,
        default: 0.95,
        value: 'P',
        help: 'choose among the likeliest tokens whose probabilities together reach P; 1: among all',
    },
    minP: {
        flag: 'min-p',
        type: 'number',
        min: 0,
        max: 1,
        default: 0.05,
        value: 'P',
        help: 'leave out tokens whose probability is below P times that of the likeliest; 0: leave out none',
    },
    repeatPenalty: {
        flag: 'repeat-penalty',
        type: 'number',
        min: 0.01,
        max: 100,
        default: 1,
        value: 'R',
        help: 'make tokens that occurred already less likely; 1: off',
    },
    presencePenalty: {
        flag: 'presence-penalty',
        type: 'number',
        min: -100,
        max: 100,
        default: 0,
        value: 'R',
        help: 'subtract R from the logit of every token that occurred already',
    },
    frequencyPenalty: {
        flag: 'frequency-penalty',
        type: 'number',
        min: -100,
        max: 100,
        default: 0,
        value: 'R',
        help: 'subtract R from the logit of a token for each time that it occurred',
    },
    penaltyLast: {
        flag: 'penalty-last',
        type: 'integer',
        min: -1,
        max: 2 ** 31 - 1,
        default: 64,
        value: 'N',
        help: 'number of tokens that the three penalties look back; -1: all',
    },
    seed: {
        flag: 'seed',
        type: 'integer',
        modulo: 2 ** 32,
        value: 'S',
        help:
            'any whole number, taken modulo 2^32: the same seed gives the same answer (default: a new one each time; ' +
            'the result tells it)',
    },
    stop: {
        flag: 'stop',
        type: 'texts',
        default: [],
        value: 'TEXT',
        help: 'end the answer before this text (may be given several times)',
    },
    logitBias: {
        flag: 'logit-bias',
        type: 'biases',
        default: {},
        value: 'ID=B',
        help: 'add B to the logit of token ID (may be given several times)',
    },
    special: {
        flag: 'special',
        type: 'switch',
        default: false,
        help: 'parse the special tokens that are written in the prompt',
    },
    ignoreEnd: {
        flag: 'ignore-end',
        type: 'switch',
        default: false,
        help: 'go on when the model ends its answer, as measuring needs',
    },
};

/** What a chat template is given beside the messages. @type {Table<CheckedTemplate>} */
export const TEMPLATE_OPTIONS = {
    addGenerationPrompt: {
        flag: 'no-generation-prompt',
        type: 'switch',
        off: true,
        default: true,
        help: "leave out the beginning of the model's answer",
    },
    tools: {
        flag: 'tools',
        type: 'objects',
        value: 'JSON',
        help:
            'functions that the model may call: a JSON array as its chat template expects it, or a file that ' +
            'holds one',
    },
    documents: {
        flag: 'documents',
        type: 'objects',
        value: 'JSON',
        help: 'documents that the answer may draw on: a JSON array of { title, text }, or a file that holds one',
    },
    templateVariables: {
        flag: 'variables',
        type: 'object',
        default: {},
        value: 'JSON',
        help:
            'further variables of the chat template, such as {"enable_thinking": false}: a JSON object, or a file ' +
            'that holds one',
    },
};

/** @type {Table<CheckedChat>} */
export const CHAT_OPTIONS = { ...GENERATE_OPTIONS, ...TEMPLATE_OPTIONS };

/** @type {Table<CheckedTokenize>} */
export const TOKENIZE_OPTIONS = {
    special: {
        flag: 'special',
        type: 'switch',
        default: false,
        help: 'parse the special tokens that are written in the text',
    },
    bare: {
        flag: 'bare',
        type: 'switch',
        default: false,
        help: 'leave off the beginning and end tokens',
    },
};

/** @type {Table<CheckedDetokenize>} */
export const DETOKENIZE_OPTIONS = {
    special: {
        type: 'switch',
        default: false,
        help: 'write special tokens, too',
    },
};

/** @type {Table<CheckedEmbed>} */
export const EMBED_OPTIONS = {
    pooling: {
        flag: 'pooling',
        type: 'choice',
        choices: Object.keys(POOLINGS),
        default: 'file',
        value: 'NAME',
        help: 'how one vector is made of those of all tokens: as the file says, their mean, the first, or the last',
    },
    prompt: {
        flag: 'prompt',
        type: 'text',
        value: 'TEXT',
        help: 'what to put before the text',
    },
    promptName: {
        flag: 'prompt-name',
        type: 'text',
        value: 'NAME',
        help: 'the same by its name, of the prompts that the folder has',
    },
};

/** Types of tensors that can be written; those that are left out are for activations, or numbers that are no
 * weights. */
export const TENSOR_TYPES = Object.keys(TYPES).filter(
    (name) => !/^(q8_1|q8_k|i8|i16|i32|i64|f64|u8|bool|f8_.*)$/.test(name),
);

/** @type {Option} */
const WINDOW = {
    flag: 'context',
    type: 'integer',
    min: 8,
    max: 1 << 24,
    value: 'N',
    help: "tokens of a window of the text (default: 512, or the model's own context if that is smaller)",
};

/** How the weights of a layer's matrices are rounded, and by which text. @type {Table<CheckedCalibration>} */
export const CALIBRATION_OPTIONS = {
    method: {
        flag: 'method',
        type: 'choice',
        choices: ['rtn', 'gptq', 'awq', 'awq+gptq'],
        default: 'rtn',
        value: 'NAME',
        help:
            'rtn rounds each weight to nearest; gptq rounds column by column, and the columns that follow make up ' +
            'for the errors, as far as a calibration text shows how; awq scales columns before rounding to nearest, ' +
            'so that those with large inputs lose less; awq+gptq does both',
    },
    calibration: {
        flag: 'calibration',
        type: 'text',
        value: 'FILE',
        help: 'with a method that calibrates: the calibration text, in UTF-8; it should be like what the model is for',
    },
    samples: {
        flag: 'samples',
        type: 'integer',
        min: 1,
        max: 1 << 20,
        value: 'N',
        help:
            'with such a method: windows of the text that are used, at most (default: 128); if it has more, they are ' +
            'spread over it',
    },
    context: { ...WINDOW, help: `with such a method: ${WINDOW.help}` },
    damping: {
        flag: 'damping',
        type: 'number',
        min: 0,
        max: 1,
        value: 'D',
        help: "with gptq: this share of the mean of the Hessian's diagonal is added to the diagonal (default: 0.01)",
    },
    order: {
        flag: 'order',
        type: 'choice',
        choices: ['group-aware', 'natural'],
        value: 'NAME',
        help:
            'with gptq, which columns come first: group-aware (the default) takes the blocks with the largest ' +
            'inputs, and in a block the columns with the largest; natural takes them as they lie',
    },
    clip: {
        flag: 'no-clip',
        type: 'switch',
        off: true,
        help: 'with awq: do not clip the ranges of blocks (those of K-quants and IQ types never are)',
    },
    trueSequential: {
        flag: 'no-true-sequential',
        type: 'switch',
        off: true,
        help:
            "with a method that calibrates: observe all of a layer's matrices before any of them is quantized, which " +
            'is faster and takes more memory',
    },
};

/** Their defaults. The table has none, so that it can be seen whether an option was given that is of no use. */
const CALIBRATION_DEFAULTS = { samples: 128, damping: 0.01, order: 'group-aware', clip: true, trueSequential: true };

/** A budget in the place of a type. */
const BUDGET_OPTIONS = /** @type {const} */ ({
    bits: {
        flag: 'bits',
        type: 'number',
        min: 0.1,
        max: 32,
        value: 'B',
        help:
            'of a GGUF, in the place of --type: bits of a weight on average, such as 4.25. Each matrix gets a type ' +
            'of its own, so that the loss is least; it needs --calibration, or at least --imatrix',
    },
    size: {
        flag: 'size',
        type: 'bytes',
        value: 'SIZE',
        help:
            'of a GGUF, in the place of --type: the same, so that the file has no more than SIZE bytes, such as 90MB ' +
            '(10^6 bytes) or 1.5GiB (2^30)',
    },
});

/** @type {Table<CheckedQuantize>} */
export const QUANTIZE_OPTIONS = {
    type: {
        flag: 'type',
        type: 'choice',
        choices: PRESETS,
        value: 'NAME',
        help:
            'what the weights become: nf4, fp4 and int8 as bitsandbytes does, the others as in files of those names ' +
            `that llama.cpp makes; ${NEED_IMATRIX}`,
    },
    ...BUDGET_OPTIONS,
    tensors: {
        flag: 'tensor',
        type: 'rules',
        default: [],
        value: 'PATTERN=TYPE',
        help:
            'give TYPE to the tensors in whose names the regular expression PATTERN is found, such as ffn_down=q6_k ' +
            'or "blk\\.[01]\\.=q8_0" (may be given several times: the first that is found counts)',
    },
    outputType: {
        flag: 'output-type',
        type: 'choice',
        choices: TENSOR_TYPES,
        value: 'TYPE',
        help: 'type of output.weight, or of the token embedding if that is the output, too',
    },
    tokenEmbeddingType: {
        flag: 'token-embedding-type',
        type: 'choice',
        choices: TENSOR_TYPES,
        value: 'TYPE',
        help: 'type of token_embd.weight',
    },
    search: {
        flag: 'search',
        type: 'choice',
        choices: ['reference', 'best'],
        default: 'reference',
        value: 'NAME',
        help:
            'how the scales of blocks are chosen. reference: of a GGUF as llama.cpp does, byte for byte; of a folder ' +
            '(--format) by the smallest and the largest weight of a group. best: the scales with the least error, of ' +
            'either; the format is the same, and it takes longer',
    },
    requantize: {
        flag: 'requantize',
        type: 'switch',
        default: false,
        help: 'take weights that are quantized already, which loses more than quantizing the original ones',
    },
    doubleQuant: LOAD_OPTIONS.doubleQuant,
    ...CALIBRATION_OPTIONS,
    resume: {
        flag: 'resume',
        type: 'text',
        help: 'file that keeps the layers that are done, and from which an interrupted run goes on',
    },
    threads: {
        ...LOAD_OPTIONS.threads,
        help:
            'threads that share the work if the model is on this machine ' +
            '(default: about the number of cores, at most 8)',
    },
};

/**
 * What each format of folders takes. (How they are made: web/worker/formats.) bits: of a code. symmetric: the default.
 * sideBySide: groups are of columns side by side, and no whole rows. types: the
 * format has types, and no bits and groups.
 * @type {Record<CheckedFolder['format'], { bits: number[], symmetric: boolean, sideBySide?: boolean,
 *     types?: string[] }>}
 */
export const FOLDER_FORMATS = {
    gptq: { bits: [2, 3, 4, 8], symmetric: true },
    gptq_v2: { bits: [2, 3, 4, 8], symmetric: true },
    awq: { bits: [4], symmetric: false, sideBySide: true },
    'compressed-tensors': { bits: [4, 8], symmetric: true },
    bitsandbytes: { bits: [4], symmetric: true, types: ['nf4', 'fp4', 'int8'] },
};

/** @type {Table<CheckedQuantizeFolder>} */
export const FOLDER_OPTIONS = {
    format: {
        flag: 'format',
        type: 'choice',
        choices: Object.keys(FOLDER_FORMATS),
        default: 'gptq',
        value: 'NAME',
        help:
            'write a Hugging Face folder instead of a GGUF: gptq and gptq_v2 as AutoGPTQ and GPTQModel do, awq as AutoAWQ ' +
            'does (gemm), compressed-tensors as llm-compressor does, bitsandbytes as that library does',
    },
    type: {
        flag: 'type',
        type: 'choice',
        choices: ['nf4', 'fp4', 'int8'],
        value: 'NAME',
        help: 'with --format bitsandbytes: nf4, fp4, or int8 (LLM.int8())',
    },
    block: {
        flag: 'block',
        type: 'integer',
        min: 32,
        max: 4096,
        default: 64,
        value: 'N',
        help: 'with --format bitsandbytes and nf4 or fp4: weights that share a scale, a power of two (default: 64)',
    },
    doubleQuant: LOAD_OPTIONS.doubleQuant,
    bits: { flag: 'bits', type: 'integer', min: 2, max: 8, default: 4, value: 'N', help: 'of a code: 2, 3, 4 or 8' },
    group: {
        flag: 'group',
        type: 'integer',
        min: 0,
        max: 1 << 20,
        default: 128,
        value: 'N',
        help: 'columns that share a scale, a multiple of 32; 0: whole rows',
    },
    symmetric: {
        flag: 'asymmetric',
        type: 'switch',
        off: true,
        help:
            'with --format: each group chooses its zero point, instead of having zero in the middle of the codes ' +
            '(awq always has them). With --activations the inputs have one, and the weights have none',
    },
    activations: {
        flag: 'activations',
        type: 'choice',
        choices: ['dynamic', 'static'],
        value: 'NAME',
        help:
            'W8A8, with --format compressed-tensors: weights of 8 bits with a scale for each row, and products with ' +
            'inputs of 8 bits, too. dynamic: a scale for each token, chosen when it is known; static: one scale, ' +
            'chosen with the calibration text. With --asymmetric the inputs have a zero point',
    },
    ranges: {
        flag: 'ranges',
        type: 'choice',
        choices: ['minmax', 'moving-average', 'percentile', 'mse', 'entropy'],
        value: 'NAME',
        help:
            'With --activations static: which range of the inputs is covered, minmax (the default), percentile, mse ' +
            "or entropy of what the text shows, or moving-average, of the ends of the text's windows",
    },
    percentile: {
        flag: 'percentile',
        type: 'number',
        min: 50,
        max: 100,
        value: 'P',
        help: 'with --ranges percentile: the percentage of the inputs that are covered (default: 99.99)',
    },
    smooth: {
        flag: 'smooth',
        type: 'number',
        min: 0,
        max: 1,
        value: 'ALPHA',
        help:
            'with --activations: SmoothQuant, which moves large columns of the inputs over to the weights before ' +
            'they are rounded. 0.5 is usual; a larger one moves more. It needs a calibration text',
    },
    search: QUANTIZE_OPTIONS.search,
    shardBytes: {
        flag: 'shard-bytes',
        type: 'integer',
        min: 1,
        max: 2 ** 53 - 1,
        default: 5e9,
        value: 'N',
        help: 'of tensors in one file of weights, at most; the next ones come into further files',
    },
    ...CALIBRATION_OPTIONS,
    method: { ...CALIBRATION_OPTIONS.method, choices: ['rtn', 'gptq', 'awq', 'awq+gptq'], default: 'rtn' },
    order: {
        ...CALIBRATION_OPTIONS.order,
        choices: ['group-aware', 'natural', 'activation', 'static'],
        help:
            'with gptq, which columns come first: group-aware (the default) takes the groups with the largest ' +
            'inputs, and in a group the columns with the largest; natural takes them as they lie. For folders only: ' +
            'activation takes the columns with the largest inputs, and groups are of columns in this order ' +
            '(desc_act); static does so, but groups are of neighbours',
    },
    threads: QUANTIZE_OPTIONS.threads,
};

/** @type {Table<CheckedPerplexity>} */
export const PERPLEXITY_OPTIONS = {
    context: WINDOW,
    stride: {
        flag: 'stride',
        type: 'integer',
        min: 1,
        max: 1 << 24,
        value: 'N',
        help:
            "tokens from the beginning of a window to that of the next (default: the context, so that each window's " +
            "second half is scored); if smaller, each window's last N tokens are scored",
    },
};

/** @type {Table<CheckedCompare>} */
export const COMPARE_OPTIONS = {
    ...PERPLEXITY_OPTIONS,
    weights: {
        flag: 'no-weights',
        type: 'switch',
        off: true,
        default: true,
        help: 'leave out the errors of the weights',
    },
    speed: { flag: 'no-speed', type: 'switch', off: true, default: true, help: 'leave out tokens per second' },
    threads: LOAD_OPTIONS.threads,
    kvType: LOAD_OPTIONS.kvType,
    precision: LOAD_OPTIONS.precision,
    build: LOAD_OPTIONS.build,
};

/** @type {Table<CheckedImportance>} */
export const IMPORTANCE_OPTIONS = {
    context: WINDOW,
    format: {
        type: 'choice',
        choices: ['gguf', 'dat'],
        default: 'gguf',
        value: 'NAME',
        help: 'file format of llama.cpp: GGUF, or the older one',
    },
    textName: {
        type: 'text',
        default: '',
        value: 'TEXT',
        help: 'what the file calls the text',
    },
};

const refuse = (/** @type {string} */ message) => new NibbleError('NB_ERR_ARGUMENT', message);

/**
 * A value for a message; an object by its kind, as what it says of itself may be long, or an exception.
 * @param {unknown} value
 */
const show = (value) => {
    if (typeof value === 'object' && value !== null)
        return Array.isArray(value) ? 'an array' : `an object (${Object.prototype.toString.call(value).slice(8, -1)})`;
    const text =
        typeof value === 'string' ? JSON.stringify(value) : typeof value === 'function' ? 'a function' : String(value);
    return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};

/** @param {Option} option */
function range({ min = -Infinity, max = Infinity }) {
    if (max >= 2 ** 31 - 1) return min === -Infinity ? '' : `, at least ${min}`;
    return ` from ${min} to ${max}`;
}

/**
 * @param {string} name as the caller spells it
 * @param {Option} option
 * @param {any} value
 * @returns {any} the value, in the one form that the engine takes
 */
export function checkOption(name, option, value) {
    switch (option.type) {
        case 'integer':
        case 'number': {
            const fits =
                typeof value === 'number' && value >= (option.min ?? -Infinity) && value <= (option.max ?? Infinity);
            if (!fits || (option.type === 'integer' ? !Number.isInteger(value) : !Number.isFinite(value))) {
                const kind = option.type === 'integer' ? 'a whole number' : 'a number';
                throw refuse(`${name} must be ${kind}${range(option)}, not ${show(value)}`);
            }
            return option.modulo ? ((value % option.modulo) + option.modulo) % option.modulo : value;
        }
        case 'switch':
            if (typeof value !== 'boolean') throw refuse(`${name} must be true or false, not ${show(value)}`);
            return value;
        case 'choice':
            if (!option.choices?.includes(value))
                throw refuse(`${name} must be one of ${option.choices?.join(', ')}, not ${show(value)}`);
            return value;
        case 'text':
            if (typeof value !== 'string') throw refuse(`${name} must be a text, not ${show(value)}`);
            return value;
        case 'texts': {
            const texts = typeof value === 'string' ? [value] : value;
            if (!Array.isArray(texts)) throw refuse(`${name} must be a text or an array of texts, not ${show(value)}`);
            for (const text of texts)
                if (typeof text !== 'string' || text === '')
                    throw refuse(`${name} must be a text that is not empty, not ${show(text)}`);
            return [...texts];
        }
        case 'objects':
            if (!Array.isArray(value) || value.some((item) => typeof item !== 'object' || item === null))
                throw refuse(`${name} must be an array of objects, not ${show(value)}`);
            return value;
        case 'object':
            if (typeof value !== 'object' || value === null || Array.isArray(value))
                throw refuse(`${name} must be an object, not ${show(value)}`);
            return value;
        case 'rules':
            return checkRules(name, value);
        case 'bytes':
            return checkBytes(name, value);
        case 'biases': {
            // a Map of any realm; other collections have no entries that an object would have
            const isMap = Object.prototype.toString.call(value) === '[object Map]';
            if (typeof value !== 'object' || value === null || (!isMap && Symbol.iterator in value))
                throw refuse(
                    `${name} must be an object like { "123": -5 }, or a Map: token id to bias, not ${show(value)}`,
                );
            /** @type {[unknown, unknown][]} */
            const entries = isMap ? [...value] : Object.entries(value);
            const pairs = entries.map(
                ([token, bias]) => /** @type {[number, unknown]} */ ([token === '' ? NaN : Number(token), bias]),
            );
            for (const [token, bias] of pairs) {
                if (!Number.isInteger(token) || token < 0)
                    throw refuse(`${name} has ${show(token)} where a token id is expected`);
                if (typeof bias !== 'number' || Number.isNaN(bias))
                    throw refuse(`${name} gives token ${token} the bias ${show(bias)}, which is not a number`);
            }
            return Object.fromEntries(pairs);
        }
    }
}

/**
 * A number of bytes, or a text such as "90MB".
 * @param {string} name
 * @param {any} value
 * @returns {number}
 */
function checkBytes(name, value) {
    const [, digits = '', unit = '', binary] = /^\s*(\d+(?:\.\d+)?)\s*([kmg]?)(i?)b?\s*$/i.exec(String(value)) ?? [],
        bytes = Math.floor(Number(digits) * (binary ? 1024 : 1000) ** ' kmg'.indexOf(unit.toLowerCase() || ' '));
    if (digits === '' || !/^(number|string)$/.test(typeof value) || bytes < 1 || bytes > 2 ** 53 || (binary && !unit))
        throw refuse(`${name} must be a number of bytes, such as 90000000, 90MB or 1.5GiB, not ${show(value)}`);
    return bytes;
}

/**
 * Patterns and types of tensors: an object, or pairs in an array.
 * @param {string} name
 * @param {any} value
 * @returns {[string, string][]}
 */
function checkRules(name, value) {
    if (typeof value !== 'object' || value === null)
        throw refuse(`${name} must be an object like { "ffn_down": "q6_k" }, not ${show(value)}`);
    const rules = Array.isArray(value) ? value : Object.entries(value);
    for (const rule of rules) {
        if (!Array.isArray(rule) || rule.length !== 2 || typeof rule[0] !== 'string')
            throw refuse(`${name} must be pairs of a pattern and a type, not ${show(rule)}`);
        const [pattern, type] = rule;
        if (!TENSOR_TYPES.includes(type))
            throw refuse(
                `${name}: ${show(pattern)} gets the type ${show(type)}, but a tensor's type is one of ` +
                    TENSOR_TYPES.join(', '),
            );
        try {
            new RegExp(pattern);
        } catch (error) {
            throw refuse(`${name}: ${show(pattern)} is no regular expression: ${messageOf(error)}`);
        }
    }
    return rules.map(([pattern, type]) => [pattern, type]);
}

/**
 * Checks the caller's options and fills in the defaults. A name that nobody knows is refused: it is a typing mistake.
 * @template Checked
 * @param {Table<Checked>} table
 * @param {object | undefined} given
 * @param {string} caller for the message, such as "complete()"
 * @param {string[]} [others] names that are not the table's to check
 * @returns {Checked}
 */
export function checkOptions(table, given, caller, others = []) {
    if (given !== undefined && (typeof given !== 'object' || given === null))
        throw refuse(`${caller}: the options must be an object, not ${show(given)}`);
    /** @type {Record<string, any>} */
    const checked = {};
    const options = /** @type {Record<string, Option>} */ (table);
    for (const [name, option] of Object.entries(options)) checked[name] = option.default;
    for (const [name, value] of Object.entries(given ?? {})) {
        if (value === undefined || others.includes(name)) continue;
        if (!Object.hasOwn(table, name)) {
            const near = nearest(name, [...Object.keys(table), ...others]);
            throw refuse(`${caller} has no option "${name}"${near ? `; did you mean "${near}"?` : ''}`);
        }
        checked[name] = checkOption(`${caller}: ${name}`, options[name], value);
    }
    return /** @type {Checked} */ (checked);
}

/**
 * What load()'s options must be together, and quantize()'s, which has a type.
 * @param {{ quantize?: string, type?: string, doubleQuant?: boolean }} options
 */
export function checkQuantize({ quantize, type, doubleQuant }) {
    if (doubleQuant && !/^(nf4|fp4)$/.test(type ?? quantize ?? ''))
        throw refuse(
            'doubleQuant (--double-quant) quantizes the scales of NF4 and FP4: it needs ' +
                `${type === undefined ? 'quantize (--quantize)' : 'type (--type)'} nf4 or fp4 beside it`,
        );
}

/**
 * quantize() has one of these: a type, or a budget.
 * @param {{ type?: string, bits?: number, size?: number }} given
 */
export function checkBudget(given) {
    const names = /** @type {const} */ (['type', 'bits', 'size']),
        [first, second] = names.filter((name) => given[name] !== undefined),
        both = (/** @type {'type' | 'bits' | 'size'} */ name) => `${name} (--${QUANTIZE_OPTIONS[name].flag})`;
    if (first === undefined)
        throw refuse(
            `which type? Pass ${both('type')}, one of ${PRESETS.join(', ')}; or a budget: ${both('bits')}, or ` +
                both('size'),
        );
    if (second !== undefined) throw refuse(`pass either ${both(first)} or ${both(second)}, not both`);
}

/**
 * What the options of methods that calibrate must be together.
 * @param {Record<string, any>} given checked one by one
 */
export function checkMethod({ method, type, bits, size, calibration, imatrix, doubleQuant, ...others }) {
    const flags = /** @type {Record<string, Option>} */ (QUANTIZE_OPTIONS),
        both = (/** @type {string} */ name) => `${name} (--${flags[name].flag})`;
    const mixes = bits !== undefined || size !== undefined;
    if (mixes && calibration === undefined && imatrix === undefined)
        throw refuse(
            `${both(bits === undefined ? 'size' : 'bits')} chooses types by what a text shows of the model: pass ` +
                `${both('calibration')}, or at least imatrix (--imatrix)`,
        );
    const useless = ['calibration', ...Object.keys(CALIBRATION_DEFAULTS), 'context', 'resume'].find(
        (name) =>
            !(mixes && (name === 'calibration' || (calibration !== undefined && /^(samples|context)$/.test(name)))) &&
            /** @type {Record<string, any>} */ ({ ...others, calibration })[name] !== undefined,
    );
    if (method === 'rtn' && useless)
        throw refuse(`${both(useless)} is for methods that calibrate: pass ${both('method')}, such as gptq, beside it`);
    if (method === 'rtn') return;
    checkCalibrated({ ...others, method, calibration });
    const needs = `${both('method')} ${method}`;
    if (imatrix !== undefined)
        throw refuse(`${needs} observes by itself what an importance matrix would say: leave out imatrix (--imatrix)`);
    if (doubleQuant) throw refuse(`${needs} does not quantize scales: leave out ${both('doubleQuant')}`);
    if (/^(int8|f16|bf16)$/.test(type))
        throw refuse(
            `${needs} does not make ${type}: take ${type === 'int8' ? 'q8_0' : 'a type of fewer bits, such as q4_0'}`,
        );
}

/**
 * What a method that calibrates needs, and has no use for.
 * @param {Record<string, any>} given checked one by one
 */
function checkCalibrated({ method, calibration, ...others }) {
    const idle = /** @type {const} */ (['damping', 'order', 'clip']).find(
        (name) => others[name] !== undefined && !(name === 'clip' ? method === 'awq' : method.includes('gptq')),
    );
    if (idle)
        throw refuse(
            `${idle} (--${CALIBRATION_OPTIONS[idle].flag}) is for ${idle === 'clip' ? 'AWQ' : 'GPTQ'}: leave it out, ` +
                'or pass another method',
        );
    if (calibration === undefined)
        throw refuse(`method (--method) ${method} needs a calibration text: pass calibration (--calibration)`);
}

/**
 * quantizeFolder()'s options with the defaults that activations of 8 bits change. Without them a calibration text is for
 * GPTQ, and without a text weights are rounded to nearest.
 * @template {object} Options
 * @param {Options | undefined} options
 * @returns {Record<string, any>}
 */
export function withFolderDefaults(options) {
    const given = Object.fromEntries(Object.entries(options ?? {}).filter(([, value]) => value !== undefined)),
        method = given.calibration === undefined ? 'rtn' : 'gptq',
        defaults = { format: 'compressed-tensors', bits: 8, group: 0, method: 'rtn' };
    if (given.format === 'bitsandbytes') return { method: 'rtn', ...given };
    return given.activations === undefined ? { method, ...given } : { ...defaults, ...given };
}

/**
 * What activations of 8 bits need, and are needed for.
 * @param {Record<string, any>} given checked one by one
 */
function checkActivations({ activations, format, bits, group, method, ranges, percentile, smooth, calibration }) {
    const needless = Object.entries({ ranges, percentile, smooth }).find(
        ([name, value]) => value !== undefined && activations !== 'static' && !(name === 'smooth' && activations),
    );
    if (needless)
        throw refuse(
            `${needless[0]} (--${needless[0]}) is for activations of 8 bits: pass activations (--activations) ` +
                `${needless[0] === 'smooth' ? '' : 'static '}beside it`,
        );
    if (percentile !== undefined && ranges !== 'percentile')
        throw refuse('percentile (--percentile) is for ranges (--ranges) percentile: pass this, too');
    if (activations === undefined) return;
    if (format !== 'compressed-tensors')
        throw refuse(
            `activations (--activations) of 8 bits are for format (--format) compressed-tensors, not ${format}`,
        );
    if (bits !== 8 || group !== 0)
        throw refuse(
            'with activations (--activations) weights have 8 bits and a scale for each row: leave out bits (--bits) ' +
                'and group (--group)',
        );
    if (method.startsWith('awq'))
        throw refuse(
            'with activations (--activations) take smooth (--smooth) in the place of AWQ, and method gptq or rtn',
        );
    const what = activations === 'static' ? 'activations (--activations) static' : 'smooth (--smooth)';
    if (calibration === undefined && (activations === 'static' || smooth !== undefined))
        throw refuse(`${what} needs a calibration text: pass calibration (--calibration)`);
}

/**
 * What rounding to nearest has no use for.
 * @param {Record<string, any>} given checked one by one
 */
function checkNearest(given) {
    const isCalibrated = given.activations === 'static' || given.smooth !== undefined,
        uses = isCalibrated ? ['calibration', 'samples', 'context', 'trueSequential'] : [],
        useless = /** @type {const} */ ([
            ...['calibration', 'samples', 'context'],
            ...['damping', 'order', 'clip', 'trueSequential'],
        ]).find((name) => given[name] !== undefined && !uses.includes(name));
    if (useless)
        throw refuse(
            `${useless} (--${CALIBRATION_OPTIONS[/** @type {'clip'} */ (useless)].flag}) is not needed to round to ` +
                'nearest: leave it out, or pass method (--method) gptq',
        );
}

/** Options of formats with groups of columns, and of what these are made by. */
const OF_GROUPS = [
    ...['bits', 'group', 'symmetric', 'search', 'activations', 'ranges', 'percentile', 'smooth'],
    ...Object.keys(CALIBRATION_OPTIONS).filter((name) => name !== 'method'),
];
/** Options of formats with types. */
const OF_TYPES = ['type', 'block', 'doubleQuant'];

/**
 * What the format has nothing of must not be asked for.
 * @param {Record<string, any>} checked
 * @param {string[]} others
 */
function checkHas(checked, others) {
    for (const name of others) {
        const option = /** @type {Record<string, Option>} */ (FOLDER_OPTIONS)[name];
        if (checked[name] !== undefined && checked[name] !== option.default)
            throw refuse(`${name} (--${option.flag}) is nothing that format (--format) ${checked.format} has`);
    }
}

/**
 * @param {Pick<CheckedQuantizeFolder, 'format' | 'method' | 'type' | 'block' | 'doubleQuant'>} checked
 * @param {string[]} types
 */
function checkTypes({ format, method, type, block, doubleQuant }, types) {
    const of = `format (--format) ${format}`;
    if (method !== 'rtn') throw refuse(`method (--method) is ${method}, but ${of} takes rtn`);
    if (type === undefined || !types.includes(type))
        throw refuse(`${of} needs type (--type), one of ${types.join(', ')}${type ? `, not ${type}` : ''}`);
    if ((block & (block - 1)) !== 0) throw refuse(`block (--block) is ${block}, which is no power of two`);
    if (type === 'int8' && (doubleQuant || block !== FOLDER_OPTIONS.block.default))
        throw refuse(
            `${doubleQuant ? 'doubleQuant (--double-quant)' : 'block (--block)'} is for nf4 and fp4, not int8`,
        );
}

/**
 * What quantizeFolder()'s options must be together.
 * @param {Pick<CheckedQuantizeFolder, 'format' | 'bits' | 'group' | 'method' | 'order' | 'calibration' | 'activations' |
 *     'type' | 'block' | 'doubleQuant'>} checked
 */
export function checkFolder(checked) {
    const { format, bits, group, ...calibration } = checked,
        { bits: some, sideBySide, types } = FOLDER_FORMATS[format];
    checkHas(checked, types ? OF_GROUPS : OF_TYPES);
    if (types) return checkTypes(checked, types);
    checkActivations(checked);
    if (!some.includes(bits))
        throw refuse(
            `bits (--bits) is ${bits}, but format (--format) ${format} takes ` +
                some.join(', ').replace(/, (?=\d+$)/, ' or '),
        );
    if (group % 32 !== 0) throw refuse(`group (--group) is ${group}, which is no multiple of 32`);
    if (sideBySide && group === 0)
        throw refuse(
            `group (--group) is 0, but format (--format) ${format} has no groups of whole rows; take 128 or 32`,
        );
    if (sideBySide && calibration.order === 'activation')
        throw refuse(
            `order (--order) activation needs a group for each column, which format (--format) ${format} cannot ` +
                'store; take static',
        );
    if (checked.method === 'rtn') checkNearest(calibration);
    else checkCalibrated(calibration);
}

/**
 * With the defaults that the table lacks.
 * @template {CheckedQuantize | CheckedQuantizeFolder} Checked
 * @param {Checked} checked
 * @returns {Checked}
 */
export function withCalibrationDefaults(checked) {
    const given = Object.entries(checked).filter(([, value]) => value !== undefined);
    return /** @type {Checked} */ ({ ...CALIBRATION_DEFAULTS, ...Object.fromEntries(given) });
}

/**
 * The known word that a mistyped one was likely meant to be.
 * @param {string} word
 * @param {string[]} known
 * @returns {string | undefined}
 */
export function nearest(word, known) {
    const plain = (/** @type {string} */ text) => text.toLowerCase().replace(/[-_]/g, '');
    let best,
        least = Math.max(2, word.length / 3);
    for (const candidate of known) {
        const d = distance(plain(word), plain(candidate));
        if (d <= least && (best === undefined || d < least)) [best, least] = [candidate, d];
    }
    return best;
}

/**
 * Levenshtein's distance.
 * @param {string} a
 * @param {string} b
 */
function distance(a, b) {
    let row = Array.from({ length: b.length + 1 }, (_, j) => j);
    for (let i = 1; i <= a.length; i++) {
        const next = [i];
        for (let j = 1; j <= b.length; j++)
            next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
        row = next;
    }
    return row[b.length];
}
