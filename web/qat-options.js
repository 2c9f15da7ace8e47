/**
 * Quantization-aware training: the options of train() that say what is rounded in each pass, which are flags of
 * `nibble train`, too.
 */
import { checkOptions, refuse } from './checks.js';

/** @typedef {import('./index.d.ts').QatOptions} QatOptions */
/** @typedef {import('./index.d.ts').QatType} QatType */

/**
 * All options, with their defaults. 0: no rounding of `activations` and `gradients`, and no `freezeAfter`.
 * @typedef {Required<Omit<QatOptions, 'tensors'>> & { tensors: [string, QatType][] }} FullQat
 */

/**
 * The types that weights can be trained for. most: the largest code. groups: whether it has superblocks, whose groups
 * have a fixed size. preset: the type of a whole file (general.file_type).
 * @type {Record<Exclude<QatType, 'f32'>, { most: number, preset: import('./index.d.ts').Preset, groups?: true }>}
 */
export const TRAINED_TYPES = {
    q8_0: { most: 127, preset: 'q8_0' },
    q6_k: { most: 31, preset: 'q6_k', groups: true },
    q5_k: { most: 31, preset: 'q5_k_s', groups: true },
    q5_1: { most: 31, preset: 'q5_1' },
    q5_0: { most: 15, preset: 'q5_0' },
    q4_k: { most: 15, preset: 'q4_k_s', groups: true },
    q4_1: { most: 15, preset: 'q4_1' },
    q4_0: { most: 7, preset: 'q4_0' },
    q3_k: { most: 3, preset: 'q3_k_s', groups: true },
    q2_k: { most: 3, preset: 'q2_k_s', groups: true },
    q2_0: { most: 2, preset: 'q2_0' },
    tq2_0: { most: 1, preset: 'tq2_0' },
};

const TYPES = /** @type {QatType[]} */ ([...Object.keys(TRAINED_TYPES), 'f32']);

/** Types with the codes -1, 0 and 1. Q2_0 also has 2, which absmean does not use. */
const TERNARY = ['tq2_0', 'q2_0'];

/** @type {import('./checks.js').Table<FullQat>} */
export const QAT_OPTIONS = {
    type: {
        flag: 'qat',
        type: 'choice',
        choices: TYPES,
        value: 'TYPE',
        help:
            "quantization-aware training: the layers' matrices are rounded to this type in each pass, and " +
            'written in it. f32: they are not rounded',
    },
    tensors: {
        flag: 'qat-tensor',
        type: 'rules',
        types: TYPES,
        value: 'PATTERN=TYPE',
        help:
            'another type for the matrices in whose names the regular expression PATTERN is found, such as ' +
            'ffn_down=q6_k (may be given several times: the first that is found counts). With --qat, the token ' +
            'embedding and the output matrix become q8_0 if no pattern is found in their names',
    },
    group: {
        flag: 'qat-group',
        type: 'choice',
        choices: ['block', 'row', 'tensor'],
        value: 'NAME',
        help:
            "with --qat: which weights share a scale in matrices of --qat's type: those of a block (the default), of a " +
            'row, which is an output channel, or of the whole matrix, the tensor (the default of absmean)',
    },
    scales: {
        flag: 'qat-scales',
        type: 'choice',
        choices: ['learned', 'absmean'],
        value: 'NAME',
        help:
            'with --qat: learned: scales, and minima, are parameters (the default; LSQ); absmean: the scale is the ' +
            'mean magnitude of the weights, for ternary ones (BitNet b1.58)',
    },
    scaleRate: {
        flag: 'qat-scale-rate',
        type: 'number',
        min: 0,
        max: 1000,
        value: 'R',
        help:
            'how fast the ends of learned ranges, of weights and of inputs, move, relative to the weights: a factor of ' +
            'their learning rate (default: 1)',
    },
    activations: {
        flag: 'qat-activations',
        type: 'integer',
        min: 2,
        max: 8,
        value: 'BITS',
        help: "round the inputs of the layers' matrices to so many bits",
    },
    ranges: {
        flag: 'qat-ranges',
        type: 'choice',
        choices: ['token', 'average', 'learned'],
        value: 'NAME',
        help:
            'with --qat-activations: their range is that of each token (the default), a moving average over ' +
            'micro-batches, or learned (LSQ)',
    },
    asymmetric: {
        flag: 'qat-asymmetric',
        type: 'switch',
        help: 'with --qat-activations: their range need not be symmetric about 0',
    },
    freezeAfter: {
        flag: 'qat-freeze-after',
        type: 'integer',
        min: 1,
        max: 2 ** 31 - 1,
        value: 'STEPS',
        help: 'with --qat-ranges average: the range no longer moves after so many steps (default: it always does)',
    },
    gradients: {
        flag: 'qat-gradients',
        type: 'integer',
        min: 2,
        max: 8,
        value: 'BITS',
        help: "round the gradients of the layers' products to so many bits, at random and without bias (DoReFa)",
    },
};

const withFlag = (/** @type {keyof FullQat} */ name) => `${name} (--${QAT_OPTIONS[name].flag})`;

/**
 * Checks that the options fit each other, and fills in the others.
 * @param {QatOptions} options
 * @returns {FullQat}
 */
export function checkQat(options) {
    const given = /** @type {Partial<FullQat>} */ (checkOptions(QAT_OPTIONS, options, 'train(): qat')),
        { type = 'f32', tensors = [], activations = 0, gradients = 0, freezeAfter = 0, scales = 'learned' } = given,
        { group = scales === 'absmean' ? 'tensor' : 'block', ranges = 'token' } = given;
    const rounds = type !== 'f32' || tensors.length > 0;
    /** @type {[keyof FullQat, boolean, string][]} */
    const needs = [
        ['group', type !== 'f32', `a ${withFlag('type')} other than f32`],
        ['scales', type !== 'f32', `a ${withFlag('type')} other than f32`],
        ['scaleRate', rounds || ranges === 'learned', `a ${withFlag('type')}, or ${withFlag('ranges')} learned,`],
        ['ranges', activations > 0, withFlag('activations')],
        ['asymmetric', activations > 0, withFlag('activations')],
        ['freezeAfter', ranges === 'average', `${withFlag('ranges')} average`],
    ];
    for (const [name, holds, what] of needs)
        if (given[name] !== undefined && !holds) throw refuse(`${withFlag(name)} needs ${what} as well`);
    if (!rounds && !activations && !gradients)
        throw refuse(
            `nothing is rounded: give a ${withFlag('type')}, ${withFlag('activations')} or ${withFlag('gradients')}`,
        );
    if (scales === 'absmean' && !TERNARY.includes(type))
        throw refuse(`${withFlag('scales')} absmean is for ternary weights: take the type ${TERNARY.join(' or ')}`);
    if (group !== 'block' && type !== 'f32' && TRAINED_TYPES[type].groups)
        throw refuse(
            `${withFlag('group')}: ${type} has superblocks, which fix the groups; leave it out, or take another type`,
        );
    const { scaleRate = 1, asymmetric = false } = given;
    return { type, tensors, group, scales, scaleRate, activations, ranges, asymmetric, freezeAfter, gradients };
}

/**
 * What the command line's flags choose.
 * @param {Record<string, any>} values
 * @returns {QatOptions | undefined} undefined: nothing is rounded
 */
export function qatOf(values) {
    const given = Object.keys(QAT_OPTIONS).flatMap((name) =>
        values[name] === undefined ? [] : [[name, values[name]]],
    );
    if (given.length === 0) return undefined;
    const options = Object.fromEntries(given);
    checkQat(options);
    return options;
}
