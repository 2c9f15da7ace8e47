/**
 * What train() is asked to round, in the trainer's structs (src/nibble_train.h: nb_train_rounding, nb_train_signals).
 */
import {
    NB_TRAIN_ABSMEAN,
    NB_TRAIN_AVERAGE,
    NB_TRAIN_FIT_ERROR,
    NB_TRAIN_GROUP_OF_TYPE,
    NB_TRAIN_GROUP_ROW,
    NB_TRAIN_GROUP_TENSOR,
    NB_TRAIN_LEARNED,
    NB_TRAIN_PLAIN,
    NB_TRAIN_TOKENS,
    nb_train_rounding,
    nb_train_signals,
    TYPES,
} from '../abi.js';
import { NibbleError } from '../errors.js';
import { TRAINED_TYPES } from '../qat-options.js';
import { unmatchedPattern } from './type-rules.js';

/** @typedef {import('../qat-options.js').FullQat} FullQat */
/** @typedef {Record<keyof typeof nb_train_rounding.fields, number>} Rounding */
/** @typedef {Record<keyof typeof nb_train_signals.fields, number>} Signals */

const GROUPS = { block: NB_TRAIN_GROUP_OF_TYPE, row: NB_TRAIN_GROUP_ROW, tensor: NB_TRAIN_GROUP_TENSOR };
const RANGES = { token: NB_TRAIN_TOKENS, average: NB_TRAIN_AVERAGE, learned: NB_TRAIN_LEARNED };

/** The share of the old range that a moving average of the inputs' ranges keeps. */
const AVERAGE = 0.99;

/** Columns of a block of Q8_0: the ends of a model get this type by default if their rows can have it. */
const ENDS = 32;

/**
 * The type that a matrix is trained for.
 * @param {FullQat} qat
 * @param {{ name: string, columns: number }} tensor
 */
function typeOf({ type, tensors }, { name, columns }) {
    const rule = tensors.find(([pattern]) => new RegExp(pattern).test(name));
    if (rule) return rule[1];
    if (type === 'f32' || !/^(token_embd|output)\.weight$/.test(name)) return type;
    return columns % ENDS === 0 ? 'q8_0' : 'f32';
}

/**
 * The rounding of each tensor. A pattern that no matrix's name matches is refused, as it is a typing mistake.
 * @param {FullQat} qat
 * @param {import('./trainer.js').TrainerTensor[]} tensors
 */
export function roundingsOf(qat, tensors) {
    const names = tensors.filter(({ isMatrix }) => isMatrix).map(({ name }) => name),
        pattern = unmatchedPattern(qat.tensors, names);
    if (pattern !== undefined) {
        const first = names.filter((name) => !/^blk\.[1-9]/.test(name)).join(', ');
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            `tensors (--qat-tensor): ${JSON.stringify(pattern)} is found in the name of no matrix. The matrices of ` +
                `this model are ${first}, and as many in each other layer`,
        );
    }
    return tensors.map((tensor) => roundingOf(qat, tensor));
}

/**
 * @param {FullQat} qat
 * @param {import('./trainer.js').TrainerTensor} tensor
 * @returns {Rounding}
 */
function roundingOf(qat, tensor) {
    const type = tensor.isMatrix ? typeOf(qat, tensor) : 'f32',
        isMain = type === qat.type;
    const how = { type: TYPES[type], levels: 0, has_minima: 0, fit: NB_TRAIN_FIT_ERROR };
    if (type === 'f32') return { ...how, method: NB_TRAIN_PLAIN, group: NB_TRAIN_GROUP_OF_TYPE, rate: 0 };
    return {
        ...how,
        method: isMain && qat.scales === 'absmean' ? NB_TRAIN_ABSMEAN : NB_TRAIN_LEARNED,
        group: isMain ? GROUPS[qat.group] : NB_TRAIN_GROUP_OF_TYPE,
        // so that the end of a group's range moves as fast as a weight
        rate: qat.scaleRate / TRAINED_TYPES[type].most,
    };
}

/**
 * @param {FullQat} qat
 * @param {number} seed
 * @returns {Signals}
 */
export const signalsOf = ({ activations, ranges, asymmetric, freezeAfter, scaleRate, gradients }, seed) => ({
    inputs: activations ? RANGES[ranges] : NB_TRAIN_PLAIN,
    input_levels: activations ? 2 ** activations : 0,
    input_minima: activations && asymmetric ? 1 : 0,
    frozen: freezeAfter,
    average: AVERAGE,
    rate: activations ? scaleRate / 2 ** (activations - 1) : 0,
    gradient_bits: gradients,
    seed,
});
