/** Rounds rows of weights to nearest, and measures the loss (nb_rounder); chooses types under a budget. */
import { NB_ROWS_BEST, NB_ROWS_PLAINLY, TYPES } from '../abi.js';
import { yieldToEvents } from '../platform.js';
import { namingImatrix } from './convert.js';
import { startPooledCore } from './pool.js';
import { blockBytes } from './quantize-core.js';

/** Weights as a file has them, [matrices, rows, columns] of the type `from`.
 * @typedef {{ name: string, from: string, columns: number, rows: number, matrices: number, weights: Uint8Array }}
 *     Tensor */

/** Weights that are rounded in one call. */
const WEIGHTS_AT_ONCE = 1 << 18;
/** Rows and matrices of a tensor by which a type is judged. */
const SAMPLED_ROWS = 128,
    SAMPLED_MATRICES = 16;

export class Rounder {
    /**
     * @param {import('./core.js').Core} core
     * @param {number} pool
     * @param {() => void} end ends the threads
     * @param {'reference' | 'best'} search
     */
    constructor(core, pool, end, search) {
        this.core = core;
        this.end = end;
        this.flags = search === 'best' ? NB_ROWS_BEST : NB_ROWS_PLAINLY;
        this.handle = core.object('nb_rounder_new', pool);
    }

    /**
     * @param {import('../assets.js').Assets} assets
     * @param {number} threads
     * @param {'reference' | 'best'} search
     * @param {(port: MessagePort) => void} watch
     */
    static async start(assets, threads, search, watch) {
        const { core, pool, end } = await startPooledCore('quantize', assets, threads, watch);
        return new Rounder(core, pool, end, search);
    }

    free() {
        this.core.exports.nb_rounder_free(this.handle);
        this.end();
    }

    /** @param {Uint8Array} imatrix */
    useImportance(imatrix) {
        const { core, handle } = this;
        namingImatrix('quantize()', () =>
            core.borrowBytes(imatrix, (at, size) => core.count('nb_rounder_importance', handle, at, size)),
        );
    }

    /** Makes this the current tensor. @param {Omit<Tensor, 'weights'>} tensor */
    begin({ name, columns, matrices }) {
        const { core, handle } = this;
        core.borrowText(name, (at, length) => core.count('nb_rounder_tensor', handle, at, length, columns, matrices));
    }

    /** Whether the current tensor can become this type. @param {string} type */
    canBecome(type) {
        return this.core.exports.nb_rounder_takes(this.handle, TYPES[type]) === 1;
    }

    /**
     * Bytes of so many weights, which are whole blocks.
     * @param {string} type
     * @param {number} weights
     */
    bytesOf(type, weights) {
        return blockBytes(this.core, type, weights);
    }

    /**
     * The loss of the current tensor as this type, estimated from a sample of its rows.
     * @param {Tensor} tensor
     * @param {string} type
     */
    async loss(tensor, type) {
        const { rows, matrices } = tensor,
            some = Math.min(matrices, SAMPLED_MATRICES),
            each = Math.min(rows, Math.ceil(SAMPLED_ROWS / some));
        let loss = 0;
        for (let i = 0; i < some; i++) {
            const matrix = Math.floor((i * matrices) / some),
                chosen = Array.from({ length: each }, (_, row) => matrix * rows + Math.floor((row * rows) / each));
            loss += this.#round(tensor, matrix, chosen, type);
            await yieldToEvents();
        }
        return (loss * rows * matrices) / (each * some);
    }

    /**
     * All rows of the current tensor, as blocks of a type.
     * @param {Tensor} tensor
     * @param {string} type
     */
    async blocks(tensor, type) {
        const { rows, matrices, columns } = tensor,
            rowBytes = this.bytesOf(type, columns),
            out = new Uint8Array(rowBytes * rows * matrices),
            most = Math.max(1, Math.floor(WEIGHTS_AT_ONCE / columns));
        for (let matrix = 0; matrix < matrices; matrix++)
            for (let row = 0; row < rows; row += most) {
                const first = matrix * rows + row,
                    n = Math.min(most, rows - row),
                    chosen = Array.from({ length: n }, (_, i) => first + i);
                this.#round(tensor, matrix, chosen, type, out.subarray(first * rowBytes, (first + n) * rowBytes));
                await yieldToEvents();
            }
        return out;
    }

    /**
     * @param {Tensor} tensor
     * @param {number} matrix
     * @param {number[]} chosen rows, counted over all matrices
     * @param {string} type
     * @param {Uint8Array} [out]
     * @returns {number} their loss
     */
    #round({ from, rows, matrices, weights }, matrix, chosen, type, out) {
        const { core } = this,
            rowBytes = weights.length / rows / matrices,
            room = Math.ceil((chosen.length * rowBytes) / 64) * 64,
            blocks = out ? out.length : 0;
        const memory = core.allocate(64 + room + blocks, 'rows of weights'),
            source = memory + 64,
            to = source + room;
        try {
            for (const [i, row] of chosen.entries())
                core.bytes(source + i * rowBytes, rowBytes).set(weights.subarray(row * rowBytes, (row + 1) * rowBytes));
            core.bytes(memory, 8).fill(0);
            core.count(
                'nb_rounder_rows',
                this.handle,
                matrix,
                TYPES[type],
                this.flags,
                TYPES[from],
                source,
                chosen[0],
                chosen.length,
                out ? to : 0,
                memory,
            );
            out?.set(core.bytes(to, blocks));
            return new DataView(core.memory.buffer).getFloat64(memory, true);
        } finally {
            core.exports.nb_free(memory);
        }
    }

    /**
     * Chooses one of the types for each tensor, so that the sum of the losses is least and all fit.
     * @param {number[][]} bytes of each tensor as each of the types
     * @param {number[][]} losses of the same; infinite: the tensor cannot have the type
     * @param {number} budget
     * @returns {number[]} the numbers of types
     */
    choose(bytes, losses, budget) {
        const { core } = this,
            n = bytes.length,
            types = bytes[0].length,
            size = 8 * n * types;
        return core.borrow(2 * size + 4 * n, (at) => {
            const doubles = (/** @type {number} */ address) => new Float64Array(core.memory.buffer, address, n * types);
            doubles(at).set(bytes.flat());
            doubles(at + size).set(losses.flat());
            core.count('nb_mix_choose', n, types, at, at + size, budget, at + 2 * size);
            return [...core.ints(at + 2 * size, n)];
        });
    }
}
