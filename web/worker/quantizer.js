/**
 * The quantizer (src/nibble_quantize.h), a core of its own with a pool of its own: what was observed of a group of
 * matrices, and their weights -> blocks of a tensor type.
 */
import {
    NB_ORDER_GROUP_AWARE,
    NB_ORDER_NATURAL,
    NB_ROWS_BEST,
    NB_ROWS_PLAINLY,
    nb_gptq_settings,
    TYPES,
} from '../abi.js';
import { NibbleError } from '../errors.js';
import { startBuild } from './core.js';
import { startThreads } from './pool.js';
import { writeStructs } from './structs.js';

/** @typedef {import('./core.js').Core} Core */

/**
 * What was observed of the inputs of some matrices, as arrays of the caller's: [columns, columns], [columns], [columns].
 * @typedef {{ hessian: Float32Array, mean: Float32Array, largest: Float32Array }} Observed
 */

/**
 * Rows of weights that share their inputs: `weights` are of the type `from`, and `blocks`, of the type `to`, are
 * written. firstRow: of the tensor, for messages.
 * @typedef {{ name: string, from: string, to: string, rows: number, firstRow: number, weights: Uint8Array,
 *     blocks: Uint8Array }} Rows
 */

/** @typedef {{ search: 'reference' | 'best', damping: number, order: keyof typeof ORDERS }} Settings */

const ORDERS = { natural: NB_ORDER_NATURAL, 'group-aware': NB_ORDER_GROUP_AWARE };

/** Bytes of weights that are quantized in one call: between two calls it is told how far they are. */
const SLICE = 1 << 20;

export class Quantizer {
    /**
     * @param {Core} core
     * @param {number} pool
     * @param {Settings} settings
     * @param {() => void} end ends the threads
     */
    constructor(core, pool, settings, end) {
        this.end = end;
        this.core = core;
        this.pool = pool;
        this.settings = settings;
    }

    /**
     * @param {import('../assets.js').Assets} assets
     * @param {number} threads
     * @param {Settings} settings
     * @param {(port: MessagePort) => void} watch
     */
    static async start({ wasm, poolWorkerUrl }, threads, settings, watch) {
        const core = await startBuild(threads > 1 ? 'quantize-threads' : 'quantize', wasm),
            pool = core.object('nb_pool_new', threads);
        return new Quantizer(core, pool, settings, await startThreads(core, pool, threads, poolWorkerUrl, watch));
    }

    /**
     * Bytes of whole blocks of a type.
     * @param {string} type
     * @param {number} weights
     */
    bytesOf(type, weights) {
        const { nb_quantizer_block, nb_quantizer_block_bytes } = this.core.exports;
        return (weights / nb_quantizer_block(TYPES[type])) * nb_quantizer_block_bytes(TYPES[type]);
    }

    /**
     * Quantizes the rows of matrices that share their inputs.
     * @param {number} columns
     * @param {Observed} observed
     * @param {Rows[]} matrices
     * @param {(share: number) => Promise<void>} tick how much of it is done, from 0 to 1
     */
    async quantize(columns, observed, matrices, tick) {
        const { core } = this,
            handle = core.object('nb_quantizer_new', this.pool, columns);
        try {
            for (const name of /** @type {(keyof Observed)[]} */ (['hessian', 'mean', 'largest'])) {
                const at = core.exports[`nb_quantizer_${name}`](handle) >>> 0;
                core.floats(at, observed[name].length).set(observed[name]);
            }
            const total = matrices.reduce((sum, { rows }) => sum + rows, 0);
            let done = 0,
                group = 0;
            for (const matrix of [...matrices].sort((a, b) => this.#block(a) - this.#block(b))) {
                const share = (/** @type {number} */ rows) => tick((done + rows) / total);
                try {
                    if (this.#block(matrix) !== group) {
                        group = this.#block(matrix);
                        await this.#prepare(handle, group, () => share(0));
                    }
                    await this.#rows(handle, columns, matrix, share);
                } catch (error) {
                    throw withName(error, matrix.name);
                }
                done += matrix.rows;
            }
        } finally {
            core.exports.nb_quantizer_free(handle);
        }
    }

    /** Weights in a block of the type that a matrix becomes. @param {Rows} matrix */
    #block({ to }) {
        return this.core.exports.nb_quantizer_block(TYPES[to]);
    }

    /**
     * @param {number} handle
     * @param {number} group
     * @param {() => Promise<void>} tick
     */
    async #prepare(handle, group, tick) {
        const { core } = this,
            { damping, order } = this.settings;
        core.borrow(nb_gptq_settings.size, (at) => {
            const settings = { damping, order: ORDERS[order], group: order === 'group-aware' ? group : 0 };
            writeStructs(core.memory, at, nb_gptq_settings, [settings]);
            core.count('nb_quantizer_prepare', handle, at);
        });
        while (core.count('nb_quantizer_factor', handle) > 0) await tick();
    }

    /**
     * @param {number} handle
     * @param {number} columns
     * @param {Rows} matrix
     * @param {(rows: number) => Promise<void>} tick
     */
    async #rows(handle, columns, { from, to, rows, firstRow, weights, blocks }, tick) {
        const { core } = this,
            flags = this.settings.search === 'best' ? NB_ROWS_BEST : NB_ROWS_PLAINLY;
        const rowBytes = weights.length / rows,
            blockBytes = blocks.length / rows,
            most = Math.min(rows, Math.max(16, Math.floor(SLICE / (4 * columns))));
        const room = Math.ceil((most * rowBytes) / 64) * 64, // so that the blocks are aligned, too
            memory = core.take(room + most * blockBytes, 'rows of weights'),
            out = memory + room;
        try {
            for (let row = 0; row < rows; row += most) {
                const n = Math.min(most, rows - row);
                core.bytes(memory, n * rowBytes).set(weights.subarray(row * rowBytes, (row + n) * rowBytes));
                core.count('nb_quantizer_rows', handle, TYPES[to], flags, TYPES[from], memory, firstRow + row, n, out);
                blocks.set(core.bytes(out, n * blockBytes), row * blockBytes);
                await tick(row + n);
            }
        } finally {
            core.exports.nb_free(memory);
        }
    }
}

/**
 * An error of the core that says which tensor it is about.
 * @param {unknown} error
 * @param {string} name
 */
const withName = (error, name) =>
    error instanceof NibbleError && !error.message.includes(name)
        ? new NibbleError(error.code, `tensor ${name}: ${error.message}`, { cause: error })
        : error;
