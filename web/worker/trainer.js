/** A trainer (src/nibble_train.h). start() gives it a core with a pool; a teacher's shares those of its pupil. */
import {
    NB_TRAIN_LEARNS,
    nb_train_loss,
    nb_train_optimizer,
    nb_train_rounding,
    nb_train_shape,
    nb_train_signals,
    nb_train_tensor,
    nb_train_type,
    TYPES,
} from '../abi.js';
import { NibbleError } from '../errors.js';
import { startPooledCore } from './pool.js';
import { writeStructs } from './structs.js';
import { roundingsOf, signalsOf } from './train-rounding.js';

/** nb_train_shape. @typedef {Record<keyof typeof nb_train_shape.fields, number>} Shape */
/** nb_train_optimizer. @typedef {Record<keyof typeof nb_train_optimizer.fields, number>} Optimizer */

/** A tensor. first: the index of its first float in the arrays. isMatrix: a matrix, not the weights of a norm.
 * @typedef {{ name: string, first: number, rows: number, columns: number, isMatrix: boolean }} TrainerTensor */

/** What is rounded in each pass. seed: of the random numbers by which gradients are rounded.
 * @typedef {{ qat: import('../qat-options.js').FullQat, seed: number }} Rounded */

/** The types of a quantized model's tensors. @typedef {{ name: string, type: string }[]} Types */

/** The two arrays that a checkpoint keeps. @typedef {'weights' | 'moments'} ArrayName */

const LESS_MEMORY = 'dispose of other models, or take a smaller model, length or part';

export class Trainer {
    /** @type {TrainerTensor[]} */
    tensors = [];
    #handle = 0;
    /** Memory for the tokens and targets of a micro-batch, and after them the sum of the losses. step() puts the
     * gradient's norm at the beginning. */
    #room = 0;
    /** Memory for a part's logits, if they were asked for. */
    #logits = 0;
    /** Memory for the blocks of one rounded tensor; 0: no tensor is rounded to a type of GGUF. #blocksOf: the tensor
     * whose blocks are in it. */
    #blocks = 0;
    /** @type {TrainerTensor | undefined} */
    #blocksOf;

    /**
     * @param {import('./core.js').Core} core
     * @param {number} pool
     * @param {number} threads of it
     */
    constructor(core, pool, threads) {
        this.core = core;
        this.pool = pool;
        this.threads = threads;
    }

    /**
     * @param {import('../assets.js').Assets} assets
     * @param {number} threads
     * @param {(port: MessagePort) => void} watch
     */
    static async start(assets, threads, watch) {
        const { core, pool } = await startPooledCore('train', assets, threads, watch);
        return new Trainer(core, pool, threads);
    }

    /**
     * @param {Shape} shape
     * @param {number} sequences the most sequences of one call
     * @param {number} length tokens of each sequence
     * @param {{ learns?: number, types?: Types, rounded?: Rounded }} [how] learns: NB_TRAIN_EVALUATES, _LEARNS or
     *     _LEARNS_IN_8_BITS; not used with `types`. types: makes it a trainer that tunes a quantized model, whose codes
     *     stay and whose scales learn. rounded: what is rounded in each pass; not used with `types`
     */
    open(shape, sequences, length, { learns = NB_TRAIN_LEARNS, types, rounded } = {}) {
        const { core, pool } = this;
        this.#handle = core.borrow(nb_train_shape.size, (at) => {
            writeStructs(core.memory, at, nb_train_shape, [shape]);
            if (types)
                return this.#typed(types, (list) =>
                    core.object('nb_trainer_new_tuned', pool, at, list, types.length, sequences, length),
                );
            if (rounded)
                return this.#rounded(at, rounded, (roundings, signals) =>
                    core.object('nb_trainer_new_rounded', pool, at, roundings, signals, sequences, length, learns),
                );
            return core.object('nb_trainer_new', pool, at, sequences, length, learns);
        });
        this.#room = core.allocate(8 * sequences * length + 16, 'a batch of tokens', LESS_MEMORY);
        this.sequences = sequences;
        this.length = length;
        this.tensors = this.#describe(core.exports.nb_trainer_tensors(this.#handle), (i, at) => {
            core.exports.nb_trainer_tensor(this.#handle, i, at);
        });
        // allocated now: at the end of a long training there may be no memory left
        const most = Math.max(0, ...this.tensors.map((tensor) => this.#exported(tensor)?.bytes ?? 0));
        if (most > 0) this.#blocks = core.allocate(most, 'the blocks of a rounded matrix', LESS_MEMORY);
    }

    close() {
        const { exports } = this.core;
        exports.nb_trainer_free(this.#handle);
        exports.nb_free(this.#room);
        exports.nb_free(this.#logits);
        exports.nb_free(this.#blocks);
        this.#handle = this.#room = this.#logits = this.#blocks = 0;
    }

    /**
     * Writes an nb_train_type for each tensor into borrowed memory, and calls f with its address.
     * @param {Types} types
     * @param {(at: number) => number} f
     */
    #typed(types, f) {
        const { core } = this,
            { size, fields } = nb_train_type;
        return core.borrow(size * types.length, (at) => {
            core.bytes(at, size * types.length).fill(0);
            const encoder = new TextEncoder(),
                view = new DataView(core.memory.buffer, at, size * types.length);
            // a name's last byte stays 0, which ends it
            for (const [i, { name, type }] of types.entries()) {
                core.bytes(at + i * size + fields.name.at, fields.type.at - 1).set(
                    encoder.encode(name).subarray(0, fields.type.at - 1),
                );
                view.setUint32(i * size + fields.type.at, TYPES[/** @type {keyof typeof TYPES} */ (type)], true);
            }
            return f(at);
        });
    }

    /**
     * Writes an nb_train_rounding for each tensor, and after them an nb_train_signals, into borrowed memory, and calls
     * f with both addresses.
     * @param {number} shape its address
     * @param {Rounded} rounded
     * @param {(roundings: number, signals: number) => number} f
     */
    #rounded(shape, { qat, seed }, f) {
        const { core } = this,
            count = core.object('nb_train_tensors_of', shape), // not an object: the number of tensors; 0: an error
            tensors = this.#describe(count, (i, at) => core.count('nb_train_tensor_of', shape, i, at)),
            roundings = roundingsOf(qat, tensors);
        return core.borrow(nb_train_rounding.size * tensors.length + nb_train_signals.size, (at) => {
            const signals = writeStructs(core.memory, at, nb_train_rounding, roundings);
            writeStructs(core.memory, signals, nb_train_signals, [signalsOf(qat, seed)]);
            return f(at, signals);
        });
    }

    /**
     * @param {number} n
     * @param {(i: number, at: number) => void} write writes the nb_train_tensor of tensor i to the address `at`
     * @returns {TrainerTensor[]}
     */
    #describe(n, write) {
        const { core } = this,
            { size, fields } = nb_train_tensor;
        return core.borrow(size, (at) =>
            Array.from({ length: n }, (_, i) => {
                write(i, at);
                const [first, rows, columns, decays] = core.ints(at, 4),
                    bytes = core.bytes(at + fields.name.at, size - fields.name.at),
                    name = core.string(at + fields.name.at, bytes.indexOf(0));
                return { name, first: first >>> 0, rows, columns, isMatrix: decays === 1 };
            }),
        );
    }

    /** The number of floats in the array of weights. */
    get floats() {
        return this.core.exports.nb_trainer_floats(this.#handle) >>> 0;
    }

    /** The bytes of an array: a view that is valid until the core allocates. @param {ArrayName} what */
    bytes(what) {
        const { exports } = this.core,
            at = exports[`nb_trainer_${what}`](this.#handle) >>> 0;
        return this.core.bytes(
            at,
            what === 'weights' ? 4 * this.floats : exports.nb_trainer_moments_bytes(this.#handle),
        );
    }

    /** A tensor's weights, valid until the core allocates. @param {TrainerTensor} tensor */
    weights({ first, rows, columns }) {
        return this.bytes('weights').subarray(4 * first, 4 * (first + rows * columns));
    }

    /**
     * A tensor as the model's file has it: its weights; or, if a quantized model is tuned, its blocks (of all tensors
     * but norms in F32). Valid until the core allocates.
     * @param {TrainerTensor} tensor
     */
    stored(tensor) {
        const { exports } = this.core,
            index = this.tensors.indexOf(tensor),
            at = exports.nb_trainer_blocks(this.#handle, index) >>> 0;
        if (!at) return this.weights(tensor);
        return this.core.bytes(at, exports.nb_trainer_blocks_bytes(this.#handle, index) >>> 0);
    }

    /**
     * What a rounded tensor is written as.
     * @param {TrainerTensor} tensor
     * @returns {{ index: number, type: number, bytes: number } | null} null: it is written as it is stored
     */
    #exported(tensor) {
        const { exports } = this.core,
            index = this.tensors.indexOf(tensor),
            type = exports.nb_trainer_export_type(this.#handle, index);
        return type === TYPES.f32 ? null : { index, type, bytes: exports.nb_trainer_export_bytes(this.#handle, index) };
    }

    /** The type of a rounded tensor's blocks; undefined: it has none. @param {TrainerTensor} tensor */
    exportType(tensor) {
        return this.#exported(tensor)?.type;
    }

    /**
     * A tensor's bytes for the output file: if its weights are rounded to a type of GGUF, blocks of that type; else
     * what stored() returns. Valid until the core allocates.
     * @param {TrainerTensor} tensor
     */
    written(tensor) {
        const { core } = this,
            exported = this.#exported(tensor);
        if (!exported) return this.stored(tensor);
        if (this.#blocksOf !== tensor) core.count('nb_trainer_export', this.#handle, exported.index, this.#blocks);
        this.#blocksOf = tensor;
        return core.bytes(this.#blocks, exported.bytes);
    }

    /** Fits the steps of the grids to the weights that training begins with. Call it after these were written. */
    fitSteps() {
        this.core.count('nb_trainer_fit_steps', this.#handle);
    }

    /** Whether scales of this type can learn. @param {string} type */
    tunes(type) {
        return this.core.exports.nb_train_tunes(TYPES[/** @type {keyof typeof TYPES} */ (type)]) !== 0;
    }

    /** Makes the scales of a quantized model's blocks the parameters. Call it after the blocks were written. */
    beginTuning() {
        this.core.count('nb_trainer_begin_tuning', this.#handle);
    }

    /** Writes the parameters into a quantized model's blocks. Call it before the blocks are read. */
    roundBlocks() {
        this.core.count('nb_trainer_round_blocks', this.#handle);
    }

    /** Makes the divergence from a teacher all of the loss. */
    distil() {
        const { core } = this;
        core.borrow(nb_train_loss.size, (at) => {
            writeStructs(core.memory, at, nb_train_loss, [{ share: 1, temperature: 1 }]);
            core.count('nb_trainer_set_loss', this.#handle, at);
        });
    }

    /** Allocates the memory in which logits() puts its result, for as many sequences as open() was given.
     * @param {number} vocabulary */
    openLogits(vocabulary) {
        const { sequences = 1, length = 1 } = this;
        this.#logits = this.core.allocate(4 * sequences * length * vocabulary, "a teacher's logits", LESS_MEMORY);
    }

    /** The logits of some sequences. @param {Int32Array} tokens @returns {number} their address, until the next call */
    logits(tokens) {
        const { core, length = 1 } = this;
        core.ints(this.#room, tokens.length).set(tokens);
        core.count('nb_trainer_logits', this.#handle, this.#room, tokens.length / length, length, this.#logits);
        return this.#logits;
    }

    /** @param {Optimizer} optimizer */
    setOptimizer(optimizer) {
        const { core } = this;
        core.borrow(nb_train_optimizer.size, (at) => {
            writeStructs(core.memory, at, nb_train_optimizer, [optimizer]);
            core.count('nb_trainer_set_optimizer', this.#handle, at);
        });
    }

    /**
     * The learning rate of a step; steps are counted from 0.
     * @param {Optimizer} optimizer
     * @param {number} step
     */
    rate(optimizer, step) {
        const { core } = this;
        return core.borrow(nb_train_optimizer.size, (at) => {
            writeStructs(core.memory, at, nb_train_optimizer, [optimizer]);
            return core.exports.nb_train_rate(at, step);
        });
    }

    /**
     * The sum of the losses of some sequences, and how many positions counted.
     * @param {'accumulate' | 'evaluate'} what accumulate: their gradients are added, too
     * @param {{ tokens: Int32Array, targets: Int32Array }} sequences
     * @param {Trainer} [teacher]
     */
    loss(what, { tokens, targets }, teacher) {
        const { core } = this,
            { length = 1 } = this,
            at = this.#room,
            sumAt = at + 8 * tokens.length;
        core.ints(at, tokens.length).set(tokens);
        core.ints(at + 4 * tokens.length, targets.length).set(targets);
        const args = [at, at + 4 * tokens.length, teacher?.logits(tokens) ?? 0, tokens.length / length, length, sumAt];
        const counted = core.count(`nb_trainer_${what}`, this.#handle, ...args);
        return { sum: this.#double(sumAt), counted };
    }

    /** One step with what was accumulated. @returns {number} the gradient's norm */
    step() {
        this.#blocksOf = undefined;
        this.core.count('nb_trainer_step', this.#handle, this.#room);
        return this.#double(this.#room);
    }

    /** Goes on from weights and moments that were copied in. @param {number} steps that are done */
    resume(steps) {
        this.#blocksOf = undefined;
        this.core.count('nb_trainer_resume', this.#handle, steps);
    }

    /** @param {number} at */
    #double(at) {
        return new DataView(this.core.memory.buffer).getFloat64(at, true);
    }
}

/** Whether there was no memory. @param {unknown} error */
export const isOutOfMemory = (error) => error instanceof NibbleError && error.code === 'NB_ERR_MEMORY';
