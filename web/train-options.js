/** The options of train(), which are flags of `nibble train`, too (checks.js has the rules of such tables). */
import { refuse } from './checks.js';
import { LOAD_OPTIONS } from './options.js';

/**
 * @typedef {import('./index.d.ts').TrainOptions} TrainOptions
 * @typedef {Required<Pick<TrainOptions, 'steps' | 'batch' | 'rate' | 'decay' | 'clip' | 'beta1' | 'beta2' | 'seed' |
 *     'validation' | 'validateEvery' | 'special' | 'optimizerBits'>> &
 *     Pick<TrainOptions, 'length' | 'part' | 'lastRate' | 'warmup' | 'threads'>} CheckedTrain
 */

/** @type {import('./checks.js').Table<CheckedTrain>} */
export const TRAIN_OPTIONS = {
    steps: {
        flag: 'steps',
        type: 'integer',
        min: 1,
        max: 2 ** 31 - 1,
        default: 1000,
        value: 'N',
        help: 'number of steps',
    },
    batch: {
        flag: 'batch',
        type: 'integer',
        min: 1,
        max: 1 << 20,
        default: 8,
        value: 'N',
        help: 'sequences that a step learns from',
    },
    length: {
        flag: 'length',
        type: 'integer',
        min: 2,
        max: 1 << 20,
        value: 'N',
        help: "tokens of a sequence (default: 256, or the model's own context if that is smaller)",
    },
    part: {
        flag: 'part',
        type: 'integer',
        min: 1,
        max: 1 << 20,
        value: 'N',
        help:
            'sequences of a batch that are in memory at once, a micro-batch (default: as many as have 4096 tokens, ' +
            'or fewer if memory is short). Another number adds gradients in another order, so the last bits of the ' +
            'result differ',
    },
    rate: {
        flag: 'rate',
        type: 'number',
        min: 0,
        max: 1e6,
        default: 0.001,
        value: 'R',
        help: 'the highest learning rate. For a model that is trained already, take a tenth of the default, or less',
    },
    lastRate: {
        flag: 'last-rate',
        type: 'number',
        min: 0,
        max: 1e6,
        value: 'R',
        help:
            'the learning rate at the last step; it falls there along half a cosine wave (default: a tenth of the ' +
            'highest)',
    },
    warmup: {
        flag: 'warmup',
        type: 'integer',
        min: 0,
        max: 2 ** 31 - 1,
        value: 'N',
        help:
            'first steps, in which the learning rate rises linearly (default: 100, or a tenth of all steps if that ' +
            'is less)',
    },
    decay: {
        flag: 'decay',
        type: 'number',
        min: 0,
        max: 1e6,
        default: 0.1,
        value: 'D',
        help: 'weight decay of matrices; each step multiplies it by the learning rate (AdamW)',
    },
    clip: {
        flag: 'clip',
        type: 'number',
        min: 0,
        max: 1e6,
        default: 1,
        value: 'C',
        help: 'the largest norm of all gradients together; larger ones are scaled down to it; 0: off',
    },
    beta1: {
        flag: 'beta1',
        type: 'number',
        min: 0,
        max: 0.999999,
        default: 0.9,
        value: 'B',
        help: "how much of the first moment, the gradients' mean, is kept at each step (AdamW)",
    },
    beta2: {
        flag: 'beta2',
        type: 'number',
        min: 0,
        max: 0.999999,
        default: 0.95,
        value: 'B',
        help: "how much of the second moment, the mean of the gradients' squares, is kept at each step (AdamW)",
    },
    optimizerBits: {
        flag: 'optimizer-bits',
        type: 'integer',
        min: 8,
        max: 32,
        default: 32,
        value: 'N',
        help:
            "bits of AdamW's two moments of a weight: 32, or 8 with a scale for each 256 of them. With 8 bits " +
            'training takes 10 bytes of memory for a weight instead of 16',
    },
    seed: {
        flag: 'seed',
        type: 'integer',
        modulo: 2 ** 32,
        default: 0,
        value: 'S',
        help: 'any whole number: it decides the order of the data, and the weights of a new model',
    },
    validation: {
        flag: 'validation',
        type: 'number',
        min: 0,
        max: 0.9,
        default: 0,
        value: 'SHARE',
        help: 'share of the text, at its end, that is held out to measure the loss on it; such as 0.05',
    },
    validateEvery: {
        flag: 'validate-every',
        type: 'integer',
        min: 1,
        max: 2 ** 31 - 1,
        default: 100,
        value: 'N',
        help: 'with --validation: steps between two such measurements; the last step has one, too',
    },
    special: {
        flag: 'special',
        type: 'switch',
        default: false,
        help: 'parse the special tokens that are written in the text',
    },
    threads: LOAD_OPTIONS.threads,
};

/**
 * The options of tune(). Scales have no weight decay, and are too few for optimizerBits to matter.
 * @type {import('./checks.js').Table<Omit<CheckedTrain, 'decay' | 'optimizerBits'>>}
 */
export const TUNE_OPTIONS = (({ decay, optimizerBits, ...others }) => ({
    ...others,
    steps: { ...others.steps, default: 300 },
    rate: {
        ...others.rate,
        default: 0.001,
        help: 'the highest learning rate, as a share of each scale: 0.001 lets a step change it by about a thousandth',
    },
    seed: { ...others.seed, help: 'any whole number: it decides the order of the data' },
}))(TRAIN_OPTIONS);

/** @typedef {CheckedTrain & { lastRate: number, warmup: number }} FullTrain */

/**
 * Fills in the defaults that depend on other options.
 * @param {CheckedTrain} checked
 * @returns {FullTrain}
 */
export function withTrainDefaults(checked) {
    const { optimizerBits: bits } = checked;
    if (bits !== 8 && bits !== 32) throw refuse(`optimizerBits (--optimizer-bits) must be 8 or 32, not ${bits}`);
    return {
        ...checked,
        lastRate: checked.lastRate ?? checked.rate / 10,
        warmup: checked.warmup ?? Math.min(100, Math.floor(checked.steps / 10)),
    };
}

/** The same for tune(). @param {Omit<CheckedTrain, 'decay' | 'optimizerBits'>} checked */
export const withTuneDefaults = (checked) => withTrainDefaults({ ...checked, decay: 0, optimizerBits: 32 });
