/** The options of quantize() and quantizeFolder(), and how they fit together. */
import { PRESETS } from './abi.js';
import { refuse, TENSOR_TYPES } from './checks.js';
import { LOAD_OPTIONS, NEED_IMATRIX, WINDOW } from './options.js';

/** @typedef {import('./checks.js').Option} Option */
/**
 * @template Checked
 * @typedef {import('./checks.js').Table<Checked>} Table
 */

/**
 * @typedef {Required<Pick<import('./index.d.ts').QuantizeOptions,
 *     'samples' | 'damping' | 'order' | 'clip' | 'trueSequential' | 'steps'>>
 *     & { method: NonNullable<import('./index.d.ts').QuantizeOptions['method']>, calibration?: string,
 *     context?: number }} CheckedCalibration
 */

/**
 * @typedef {Required<Pick<import('./index.d.ts').QuantizeOptions, 'type' | 'search' | 'requantize' | 'doubleQuant'>>
 *     & CheckedCalibration
 *     & { bits?: number, size?: number, outliers?: number, tensors: [string, string][], outputType?: string,
 *     tokenEmbeddingType?: string, threads?: number, resume?: string }} CheckedQuantize
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
 *     & { method: CheckedCalibration['method'], threads?: number }} CheckedQuantizeFolder
 */

/** The methods for both GGUFs and folders. */
const METHODS = ['rtn', 'gptq', 'awq', 'awq+gptq', 'autoround'];

/** How the weights of a layer's matrices are rounded, and by which text. @type {Table<CheckedCalibration>} */
export const CALIBRATION_OPTIONS = {
    method: {
        flag: 'method',
        type: 'choice',
        choices: [...METHODS, 'integer'],
        default: 'rtn',
        value: 'NAME',
        help:
            'rtn rounds each weight to nearest; gptq rounds column by column, and the columns that follow make up ' +
            'for the errors, as far as a calibration text shows how; awq scales columns before rounding to nearest, ' +
            'so that those with large inputs lose less; awq+gptq does both; autoround learns for each weight of a ' +
            "layer whether to round it up or down, and takes much longer (models of Llama's family); integer, " +
            'without --type, writes a Llama that runs on integers alone (only in nibble)',
    },
    calibration: {
        flag: 'calibration',
        type: 'text',
        value: 'FILE',
        help:
            'with a method that calibrates, or with --outliers: the calibration text, in UTF-8; it should be like ' +
            'what the model is for',
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
        help: 'with awq: do not clip the ranges of blocks (those of Q4, Q5, K-quants and IQ types never are)',
    },
    trueSequential: {
        flag: 'no-true-sequential',
        type: 'switch',
        off: true,
        help:
            "with a method that calibrates: observe all of a layer's matrices before any of them is quantized, which " +
            'is faster and takes more memory',
    },
    steps: {
        flag: 'steps',
        type: 'integer',
        min: 1,
        max: 1 << 20,
        value: 'N',
        help: 'with autoround: steps of learning for each layer, of 8 windows each (default: 200)',
    },
};

/** Their defaults. They are not in the table, so that an option that was given, but has no use, can be refused. */
const CALIBRATION_DEFAULTS = {
    ...{ samples: 128, damping: 0.01, order: 'group-aware', clip: true, trueSequential: true, steps: 200 },
};

/** A budget instead of a type. */
const BUDGET_OPTIONS = /** @type {const} */ ({
    bits: {
        flag: 'bits',
        type: 'number',
        min: 0.1,
        max: 32,
        value: 'B',
        help:
            'of a GGUF, instead of --type: bits of a weight on average, such as 4.25. Each matrix gets a type ' +
            'of its own, so that the loss is least; it needs --calibration, or at least --imatrix',
    },
    size: {
        flag: 'size',
        type: 'bytes',
        value: 'SIZE',
        help:
            'of a GGUF, instead of --type: the same, so that the file has at most SIZE bytes, such as 90MB ' +
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
            'either; the format is the same, and it takes longer (with autoround, for K-quants only)',
    },
    requantize: {
        flag: 'requantize',
        type: 'switch',
        default: false,
        help: 'quantize weights that are quantized already, which loses more than quantizing the original ones',
    },
    doubleQuant: LOAD_OPTIONS.doubleQuant,
    outliers: {
        flag: 'outliers',
        type: 'number',
        min: 0.001,
        max: 1e6,
        value: 'X',
        help:
            'with --type int8 and --calibration: columns that have inputs of magnitude X or more in the text stay in ' +
            '16 bits, as LLM.int8() has it (its paper takes 6). Only nibble reads the file then',
    },
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
            '(default: half of the logical processors, or all if there are at most 4; at most 8)',
    },
};

/**
 * What each format of folders can have. (web/worker/formats makes them.) bits: of a code. symmetric: the default.
 * sideBySide: groups are of some columns side by side, never whole rows. types: the format has types instead of bits
 * and groups.
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
            'write a Hugging Face folder instead of a GGUF: gptq and gptq_v2 as AutoGPTQ and GPTQModel do, awq as ' +
            'AutoAWQ does (gemm), compressed-tensors as llm-compressor does, bitsandbytes as that library does',
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
        help: 'with --format bitsandbytes and nf4 or fp4: weights that share a scale, a power of two',
    },
    doubleQuant: LOAD_OPTIONS.doubleQuant,
    bits: {
        flag: 'bits',
        type: 'integer',
        min: 2,
        max: 8,
        default: 4,
        value: 'N',
        help: 'bits of a code: 2, 3, 4 or 8',
    },
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
            'with --format or --simulate uniform: each group chooses its zero point, instead of having zero in the ' +
            'middle of the codes (awq always does so). With --activations the inputs have a zero point, and the ' +
            'weights have none',
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
            'With --activations static: which range of the inputs is covered. minmax (the default), percentile, mse ' +
            "or entropy: by all inputs of the text; moving-average: by the ends of its windows' ranges",
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
        help: 'bytes of tensors in one file of weights, at most; further files take the others',
    },
    ...CALIBRATION_OPTIONS,
    method: { ...CALIBRATION_OPTIONS.method, choices: METHODS, default: 'rtn' },
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

/**
 * Checks that options of load(), or of quantize(), which has a type, fit together.
 * @param {{ quantize?: string, type?: string, doubleQuant?: boolean }} options
 */
export function checkQuantize({ quantize, type, doubleQuant }) {
    if (doubleQuant && !/^(nf4|fp4)$/.test(type ?? quantize ?? ''))
        throw refuse(
            'doubleQuant (--double-quant) quantizes the scales of NF4 and FP4: it needs ' +
                `${type === undefined ? 'quantize (--quantize)' : 'type (--type)'} nf4 or fp4 as well`,
        );
}

/**
 * Checks that quantize() is given either a type or a budget.
 * @param {{ type?: string, bits?: number, size?: number }} given
 */
export function checkBudget(given) {
    const names = /** @type {const} */ (['type', 'bits', 'size']),
        [first, second] = names.filter((name) => given[name] !== undefined),
        withFlag = (/** @type {'type' | 'bits' | 'size'} */ name) => `${name} (--${QUANTIZE_OPTIONS[name].flag})`;
    if (first === undefined)
        throw refuse(
            `which type? Pass ${withFlag('type')}, one of ${PRESETS.join(', ')}; ` +
                `or a budget: ${withFlag('bits')}, or ${withFlag('size')}`,
        );
    if (second !== undefined) throw refuse(`pass either ${withFlag(first)} or ${withFlag(second)}, not both`);
}

/** Types of GGUFs whose scales, if they have any, are not searched for. */
export const WITHOUT_SEARCH = /^(f32|f16|bf16|q8_0|nf4|fp4|int8)$/;

/**
 * Refuses how scales are chosen for a type that leaves no choice. (llama.cpp takes an importance matrix for all of its
 * own types.)
 * @param {Record<string, any>} given each checked by itself
 */
function checkSearch({ type, search, imatrix, tensors = [], outputType, tokenEmbeddingType }) {
    if (!WITHOUT_SEARCH.test(type) || tensors.length > 0 || (outputType ?? tokenEmbeddingType)) return;
    const useless =
        search === 'best'
            ? 'search (--search) best'
            : imatrix && /^(nf4|fp4|int8)$/.test(type) && 'imatrix (--imatrix)';
    if (useless) throw refuse(`${useless} changes nothing for ${type}: leave it out`);
}

/**
 * Checks that the options of methods that calibrate fit together.
 * @param {Record<string, any>} given each checked by itself
 */
export function checkMethod(given) {
    const { method, type, bits, size, calibration, imatrix, doubleQuant, ...others } = given;
    const flags = /** @type {Record<string, Option>} */ (QUANTIZE_OPTIONS),
        withFlag = (/** @type {string} */ name) => `${name} (--${flags[name].flag})`;
    const mixes = bits !== undefined || size !== undefined;
    if (mixes && calibration === undefined && imatrix === undefined)
        throw refuse(
            `${withFlag(bits === undefined ? 'size' : 'bits')} chooses types by what a text shows of the model: pass ` +
                `${withFlag('calibration')}, or at least imatrix (--imatrix)`,
        );
    if (others.outliers !== undefined) checkOutliers({ ...others, method, type, calibration, imatrix });
    checkSearch(given);
    if (others.outliers !== undefined) return;
    const useless = ['calibration', ...Object.keys(CALIBRATION_DEFAULTS), 'context', 'resume'].find(
        (name) =>
            !(
                mixes &&
                (name === 'calibration' || (calibration !== undefined && /^(samples|context|resume)$/.test(name)))
            ) && /** @type {Record<string, any>} */ ({ ...others, calibration })[name] !== undefined,
    );
    if (method === 'rtn' && useless)
        throw refuse(
            `${withFlag(useless)} is for methods that calibrate: pass ${withFlag('method')}, ` +
                `such as ${userOf(useless)}, as well`,
        );
    if (method === 'rtn') return;
    checkCalibrated({ ...others, method, calibration });
    const needs = `${withFlag('method')} ${method}`;
    if (imatrix !== undefined)
        throw refuse(`${needs} observes by itself what an importance matrix would say: leave out imatrix (--imatrix)`);
    if (doubleQuant) throw refuse(`${needs} does not quantize scales: leave out ${withFlag('doubleQuant')}`);
    if (/^(int8|f32|f16|bf16)$/.test(type))
        throw refuse(
            `${needs} does not make ${type}: take ${type === 'int8' ? 'q8_0' : 'a type of fewer bits, such as q4_0'}`,
        );
}

/**
 * Refuses options with method 'integer', which leaves nothing to choose.
 * @param {Record<string, any>} given each checked by itself
 */
export function checkInteger(given) {
    const flags = /** @type {Record<string, Option>} */ (QUANTIZE_OPTIONS),
        ours = ['method', 'threads'],
        other = Object.keys(QUANTIZE_OPTIONS).find(
            (name) => given[name] !== undefined && given[name] !== flags[name].default && !ours.includes(name),
        );
    if (other ?? given.imatrix)
        throw refuse(
            'method (--method) integer has one form, and needs no text: leave out ' +
                (other ? `${other} (--${flags[other].flag})` : 'imatrix (--imatrix)'),
        );
}

/**
 * Checks the options that come with `outliers`: some are needed, others have no use.
 * @param {Record<string, any>} given each checked by itself
 */
function checkOutliers({ method, type, calibration, imatrix, ...others }) {
    if (type !== 'int8' || method !== 'rtn')
        throw refuse('outliers (--outliers) is for type (--type) int8, and method (--method) rtn');
    if (calibration === undefined)
        throw refuse('outliers (--outliers) are found with a calibration text: pass calibration (--calibration)');
    if (imatrix !== undefined) throw refuse('outliers (--outliers) do not use imatrix (--imatrix): leave it out');
    const useless = /** @type {const} */ (['damping', 'order', 'clip', 'steps', 'resume']).find(
        (name) => others[name] !== undefined,
    );
    if (useless)
        throw refuse(`outliers (--outliers) do not use ${useless} (--${QUANTIZE_OPTIONS[useless].flag}): leave it out`);
}

/** Options that only some of the methods that calibrate use: who does, in words, and whether a method does.
 * @type {['damping' | 'order' | 'clip' | 'trueSequential' | 'steps', string, (method: string) => boolean][]} */
const USED_BY = [
    ['damping', 'GPTQ', (method) => method.includes('gptq')],
    ['order', 'GPTQ', (method) => method.includes('gptq')],
    ['clip', 'AWQ', (method) => method === 'awq'],
    ['trueSequential', 'GPTQ and AWQ', (method) => method !== 'autoround'],
    ['steps', 'AutoRound', (method) => method === 'autoround'],
];

/** A method that uses the option. @param {string} name */
function userOf(name) {
    const uses = USED_BY.find(([option]) => option === name)?.[2];
    return METHODS.find((method) => method !== 'rtn' && (!uses || uses(method)));
}

/**
 * Checks that a method that calibrates has its text, and no options that it does not use.
 * @param {Record<string, any>} given each checked by itself
 */
function checkCalibrated({ method, calibration, ...others }) {
    const unused = USED_BY.find(([name, , uses]) => others[name] !== undefined && !uses(method));
    if (unused)
        throw refuse(
            `${unused[0]} (--${CALIBRATION_OPTIONS[unused[0]].flag}) is for ${unused[1]}: ` +
                'leave it out, or pass another method',
        );
    if (calibration === undefined)
        throw refuse(`method (--method) ${method} needs a calibration text: pass calibration (--calibration)`);
}

/**
 * Fills in those defaults of quantizeFolder() that depend on other options. `activations` change some. Otherwise the
 * method is GPTQ if there is a calibration text, and rounding to nearest if not.
 * @template {object} Options
 * @param {Options | undefined} options
 * @returns {Record<string, any>}
 */
export function withFolderDefaults(options) {
    // checkOptions() refuses it
    if (typeof options !== 'object' || options === null) return /** @type {any} */ (options);
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
        method = given.calibration === undefined ? 'rtn' : 'gptq',
        defaults = { format: 'compressed-tensors', bits: 8, group: 0, method: 'rtn' };
    if (given.format === 'bitsandbytes') return { method: 'rtn', ...given };
    return given.activations === undefined ? { method, ...given } : { ...defaults, ...given };
}

/**
 * Checks activations of 8 bits, and the options that need them.
 * @param {Record<string, any>} given each checked by itself
 */
function checkActivations({ activations, format, bits, group, method, ranges, percentile, smooth, calibration }) {
    const needless = Object.entries({ ranges, percentile, smooth }).find(
        ([name, value]) => value !== undefined && activations !== 'static' && !(name === 'smooth' && activations),
    );
    if (needless)
        throw refuse(
            `${needless[0]} (--${needless[0]}) is for activations of 8 bits: pass activations (--activations) ` +
                `${needless[0] === 'smooth' ? '' : 'static '}as well`,
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
        throw refuse('with activations (--activations) take smooth (--smooth) instead of AWQ, and method gptq or rtn');
    if (method === 'autoround')
        throw refuse('method (--method) autoround does not make activations (--activations): take gptq or rtn');
    const what = activations === 'static' ? 'activations (--activations) static' : 'smooth (--smooth)';
    if (calibration === undefined && (activations === 'static' || smooth !== undefined))
        throw refuse(`${what} needs a calibration text: pass calibration (--calibration)`);
}

/**
 * Refuses options that rounding to nearest does not use.
 * @param {Record<string, any>} given each checked by itself
 */
function checkNearest(given) {
    const isCalibrated = given.activations === 'static' || given.smooth !== undefined,
        uses = isCalibrated ? ['calibration', 'samples', 'context', 'trueSequential'] : [],
        useless = /** @type {const} */ ([
            ...['calibration', 'samples', 'context'],
            ...['damping', 'order', 'clip', 'trueSequential', 'steps'],
        ]).find((name) => given[name] !== undefined && !uses.includes(name));
    if (useless)
        throw refuse(
            `${useless} (--${CALIBRATION_OPTIONS[/** @type {'clip'} */ (useless)].flag}) is not needed to round to ` +
                `nearest: leave it out, or pass method (--method) ${userOf(useless)}`,
        );
}

/** Options of formats with groups of columns, and of the methods that make these. */
const OF_GROUPS = [
    ...['bits', 'group', 'symmetric', 'search', 'activations', 'ranges', 'percentile', 'smooth'],
    ...Object.keys(CALIBRATION_OPTIONS).filter((name) => name !== 'method'),
];
/** Options of formats with types. */
const OF_TYPES = ['type', 'block', 'doubleQuant'];

/**
 * Refuses options that the format does not have.
 * @param {string} format
 * @param {string[]} missing their names
 * @param {Record<string, any>} asked the caller's own options
 */
function checkHas(format, missing, asked) {
    for (const name of missing) {
        const { flag, type, default: usual } = /** @type {Record<string, Option>} */ (FOLDER_OPTIONS)[name];
        if (asked[name] !== undefined && !(type === 'switch' && asked[name] === usual))
            throw refuse(`format (--format) ${format} has no ${name} (--${flag})`);
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
 * Checks that quantizeFolder()'s options fit together.
 * @param {Pick<CheckedQuantizeFolder, 'format' | 'bits' | 'group' | 'method' | 'order' | 'calibration' | 'activations'
 *     | 'type' | 'block' | 'doubleQuant'>} checked
 * @param {Record<string, any>} asked the caller's own options
 */
export function checkFolder(checked, asked) {
    const { format, bits, group, ...calibration } = checked,
        { bits: some, sideBySide, types } = FOLDER_FORMATS[format];
    checkHas(format, types ? OF_GROUPS : OF_TYPES, asked);
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
    if (checked.method === 'autoround' && asked.search === 'best')
        throw refuse('search (--search) best chooses scales, which method (--method) autoround learns: leave it out');
    if (checked.method === 'rtn') checkNearest(calibration);
    else checkCalibrated(calibration);
}

/**
 * Fills in the defaults that the table lacks.
 * @template {CheckedQuantize | CheckedQuantizeFolder} Checked
 * @param {Checked} checked
 * @returns {Checked}
 */
export function withCalibrationDefaults(checked) {
    const given = Object.entries(checked).filter(([, value]) => value !== undefined);
    return /** @type {Checked} */ ({ ...CALIBRATION_DEFAULTS, ...Object.fromEntries(given) });
}
