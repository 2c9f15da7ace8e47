/** The trainer (src/nibble_train.h): a core of its own with a pool of its own, and one trainer in it. */
import { nb_train_optimizer, nb_train_shape, nb_train_tensor } from '../abi.js';
import { NibbleError } from '../errors.js';
import { startBuild } from './core.js';
import { startThreads } from './pool.js';
import { writeStructs } from './structs.js';

/** nb_train_shape. @typedef {Record<keyof typeof nb_train_shape.fields, number>} Shape */
/** nb_train_optimizer. @typedef {Record<keyof typeof nb_train_optimizer.fields, number>} Optimizer */

/** A tensor. first: where its floats begin in the arrays.
 * @typedef {{ name: string, first: number, rows: number, columns: number }} Trained */

/** What an array of the trainer holds. @typedef {'weights' | 'first_moments' | 'second_moments'} Numbers */

export class Trainer {
    /** @type {Trained[]} */
    tensors = [];
    #handle = 0;
    /** Of the tokens and targets of a part, and of two doubles. */
    #room = 0;

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
    static async start({ wasm, poolWorkerUrl }, threads, watch) {
        const core = await startBuild(threads > 1 ? 'train-threads' : 'train', wasm),
            pool = core.object('nb_pool_new', threads);
        await startThreads(core, pool, threads, poolWorkerUrl, watch);
        return new Trainer(core, pool, threads);
    }

    /**
     * @param {Shape} shape
     * @param {number} sequences at most of a call
     * @param {number} length of each
     * @param {boolean} [learns]
     */
    open(shape, sequences, length, learns = true) {
        const { core } = this;
        this.#handle = core.borrow(nb_train_shape.size, (at) => {
            writeStructs(core.memory, at, nb_train_shape, [shape]);
            return core.object('nb_trainer_new', this.pool, at, sequences, length, learns ? 1 : 0);
        });
        this.#room = core.take(8 * sequences * length + 16, 'a batch of tokens');
        this.sequences = sequences;
        this.length = length;
        this.tensors = this.#describe();
    }

    #describe() {
        const { core } = this,
            { size, fields } = nb_train_tensor;
        return core.borrow(size, (at) =>
            Array.from({ length: core.exports.nb_trainer_tensors(this.#handle) }, (_, i) => {
                core.exports.nb_trainer_tensor(this.#handle, i, at);
                const [first, rows, columns] = core.ints(at, 3),
                    name = core.bytes(at + fields.name.at, size - fields.name.at);
                return { name: core.string(at + fields.name.at, name.indexOf(0)), first: first >>> 0, rows, columns };
            }),
        );
    }

    /** Floats of each array. */
    get floats() {
        return this.core.exports.nb_trainer_floats(this.#handle) >>> 0;
    }

    /** Good until the core allocates. @param {Numbers} what */
    bytes(what) {
        const at = this.core.exports[`nb_trainer_${what}`](this.#handle) >>> 0;
        return this.core.bytes(at, 4 * this.floats);
    }

    /** A tensor's weights, as above. @param {Trained} tensor */
    weights({ first, rows, columns }) {
        return this.bytes('weights').subarray(4 * first, 4 * (first + rows * columns));
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
     * Of the learning rate of a step, from 0.
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
     */
    loss(what, { tokens, targets }) {
        const { core } = this,
            { length = 1 } = this,
            at = this.#room,
            numbers = at + 8 * tokens.length;
        core.ints(at, tokens.length).set(tokens);
        core.ints(at + 4 * tokens.length, targets.length).set(targets);
        const args = [at, at + 4 * tokens.length, 0, tokens.length / length, length, numbers];
        const counted = core.count(`nb_trainer_${what}`, this.#handle, ...args);
        return { sum: this.#double(numbers), counted };
    }

    /** One step with what was accumulated. @returns {number} the gradient's length */
    step() {
        this.core.count('nb_trainer_step', this.#handle, this.#room);
        return this.#double(this.#room);
    }

    /** After weights and moments were written. @param {number} steps that are done */
    resume(steps) {
        this.core.count('nb_trainer_resume', this.#handle, steps);
    }

    /** @param {number} at */
    #double(at) {
        return new DataView(this.core.memory.buffer).getFloat64(at, true);
    }
}

/** Whether there was no memory. @param {unknown} error */
export const isOutOfMemory = (error) => error instanceof NibbleError && error.code === 'NB_ERR_MEMORY';
