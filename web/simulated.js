/**
 * Simulated grids: the options of quantize() that choose one, and what a GGUF says of the grid that its weights were
 * rounded to. Such a GGUF has floating-point weights and is not smaller.
 */

import { checkOptions } from './checks.js';
import { NibbleError } from './errors.js';
import { QUANTIZE_OPTIONS } from './quantize-options.js';

/** @typedef {Required<import('./index.d.ts').SimulateOptions>} CheckedSimulation */
/** @typedef {import('./index.d.ts').Simulated} Simulated */

/** The key of a GGUF's metadata: Simulated, as JSON. */
const KEY = 'nibble.simulated';

/** @type {import('./checks.js').Table<CheckedSimulation>} */
export const SIMULATE_OPTIONS = {
    grid: {
        flag: 'simulate',
        type: 'choice',
        choices: ['uniform', 'log', 'codebook'],
        default: 'uniform',
        value: 'GRID',
        help:
            'round the matrices to a grid, and write the rounded values as floating-point numbers (--type f32, the ' +
            'default, or f16): perplexity and compare then tell what such a grid costs, but the file is not smaller. ' +
            'uniform: equal steps; log: signed powers of two; codebook: the values that fit best (Lloyd-Max)',
    },
    bits: { flag: 'bits', type: 'integer', min: 2, max: 8, default: 4, value: 'N', help: 'bits of a code, 2 to 8' },
    group: {
        flag: 'group',
        type: 'integer',
        min: 0,
        max: 1 << 20,
        default: 32,
        value: 'N',
        help: 'columns that share a scale or a codebook; 0: whole rows, which are output channels',
    },
    perTensor: {
        flag: 'per-tensor',
        type: 'switch',
        default: false,
        help: 'with --simulate: all of a matrix shares a scale or a codebook',
    },
    symmetric: {
        flag: 'asymmetric',
        type: 'switch',
        off: true,
        default: true,
        help: 'each group chooses its zero point, instead of having zero in the middle of the codes',
    },
    ranges: {
        flag: 'ranges',
        type: 'choice',
        choices: ['minmax', 'percentile', 'mse', 'entropy'],
        default: 'minmax',
        value: 'NAME',
        help:
            'with --simulate uniform: which range of the weights the steps cover. minmax (the default): all; ' +
            'percentile: that share of them (--percentile); mse: the range with the least squared error; entropy: ' +
            'the range with the least KL divergence',
    },
    percentile: {
        flag: 'percentile',
        type: 'number',
        min: 50,
        max: 100,
        default: 99.9,
        value: 'P',
        help: 'with --ranges percentile: percent of the weights within the range',
    },
    rounding: {
        flag: 'rounding',
        type: 'choice',
        choices: ['nearest', 'stochastic'],
        default: 'nearest',
        value: 'NAME',
        help:
            'with --simulate uniform: nearest, or stochastic, which rounds up with the probability of the fraction, ' +
            'so that the mean error is 0',
    },
    seed: {
        flag: 'seed',
        type: 'integer',
        modulo: 2 ** 32,
        default: 0,
        value: 'N',
        help: 'with --rounding stochastic: the same seed gives the same weights',
    },
};

const refuse = (/** @type {string} */ message) => new NibbleError('NB_ERR_ARGUMENT', message);
const withFlag = (/** @type {keyof CheckedSimulation} */ name) => `${name} (--${SIMULATE_OPTIONS[name].flag})`;

/**
 * Checks that the options of a grid fit each other.
 * @param {import('./index.d.ts').SimulateOptions} options
 * @returns {CheckedSimulation}
 */
export function checkSimulation(options) {
    const checked = checkOptions(SIMULATE_OPTIONS, options, 'quantize(): simulate'),
        { grid, perTensor, ranges, rounding } = checked;
    /** @type {[keyof CheckedSimulation, boolean, string][]} */
    const needs = [
        ['symmetric', grid === 'uniform', 'a uniform grid'],
        ['ranges', grid === 'uniform', 'a uniform grid'],
        ['rounding', grid === 'uniform', 'a uniform grid'],
        ['percentile', ranges === 'percentile', 'ranges (--ranges) percentile'],
        ['seed', rounding === 'stochastic', 'rounding (--rounding) stochastic'],
        ['group', !perTensor, 'groups, and perTensor (--per-tensor) has none'],
    ];
    for (const [name, holds, what] of needs)
        if (options[name] !== undefined && !holds) throw refuse(`${withFlag(name)} is for ${what}: leave it out`);
    return checked;
}

/**
 * The grid that the command line's flags choose.
 * @param {Record<string, any>} values
 * @returns {import('./index.d.ts').SimulateOptions | undefined} undefined: none
 */
export function simulateOf(values) {
    if (values.grid === undefined) return undefined;
    const given = Object.keys(SIMULATE_OPTIONS).flatMap((name) =>
        values[name] === undefined ? [] : [[name, values[name]]],
    );
    const options = Object.fromEntries(given);
    checkSimulation(options);
    return options;
}

/** Options for budgets, for GGUF's types and for methods that calibrate. With `simulate` they have no use. */
const USELESS = [
    ...['bits', 'size', 'calibration', 'imatrix', 'doubleQuant', 'outliers', 'resume', 'samples', 'context'],
    ...['damping', 'order', 'clip', 'trueSequential', 'steps', 'method', 'search'],
];

/**
 * Checks quantize()'s other options when `simulate` is given.
 * @param {Record<string, any>} checked with their defaults
 */
export function checkWithSimulation(checked) {
    const { type } = checked;
    if (type !== 'f32' && type !== 'f16')
        throw refuse(
            `type (--type) with simulate (--simulate) is f32 or f16, which hold the rounded values, not ${type}`,
        );
    const flags = /** @type {Record<string, import('./checks.js').Option>} */ (QUANTIZE_OPTIONS),
        defaults = /** @type {Record<string, any>} */ ({ doubleQuant: false, method: 'rtn', search: 'reference' }),
        useless = USELESS.find((name) => (checked[name] ?? defaults[name]) !== defaults[name]);
    if (useless)
        throw refuse(
            `simulate (--simulate) does not use ${useless} (--${flags[useless]?.flag ?? useless}): leave it out`,
        );
}

/**
 * A description of the grid, such as "uniform, 4 bits, groups of 32, symmetric".
 * @param {Simulated} simulated
 */
export function describeSimulated({ grid, bits, group, perTensor, symmetric, ranges, percentile, rounding, seed }) {
    const parts = [`${grid}, ${bits} bits`, perTensor ? 'per tensor' : group > 0 ? `groups of ${group}` : 'per row'];
    if (grid === 'uniform') {
        parts.push(symmetric ? 'symmetric' : 'asymmetric');
        if (ranges !== 'minmax') parts.push(`ranges ${ranges}${ranges === 'percentile' ? ` ${percentile}` : ''}`);
        if (rounding === 'stochastic') parts.push(`stochastic rounding, seed ${seed}`);
    }
    return parts.join(', ');
}

/** @param {Simulated} simulated */
export const simulatedValue = (simulated) => JSON.stringify(simulated);

/**
 * The grid that a model's file names.
 * @param {{ metadata: Record<string, unknown> }} info
 * @returns {Simulated | undefined} undefined: there is none, or it cannot be parsed
 */
export function simulatedOf({ metadata }) {
    const text = metadata[KEY];
    if (typeof text !== 'string') return undefined;
    try {
        const { weights, bytes, type, ...options } = JSON.parse(text);
        const isCount = (/** @type {unknown} */ n) => typeof n === 'number' && n >= 0 && n < 2 ** 53;
        if (!isCount(weights) || !isCount(bytes) || (type !== 'f32' && type !== 'f16')) return undefined;
        return { ...checkOptions(SIMULATE_OPTIONS, options, KEY), weights, bytes, type };
    } catch {
        return undefined;
    }
}

/**
 * Bits per weight of a file. If its weights are simulated, their codes and scales are counted instead of the
 * floating-point numbers that the file has.
 * @param {{ bytes: number, parameters: number, metadata: Record<string, unknown> }} info
 */
export function bitsPerWeight(info) {
    const simulated = simulatedOf(info),
        more = simulated ? simulated.bytes - simulated.weights * (simulated.type === 'f32' ? 4 : 2) : 0;
    return ((info.bytes + more) * 8) / info.parameters;
}
