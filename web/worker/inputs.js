/** What was observed of the inputs that some matrices share (nb_quantizer): with it these matrices are quantized. */
import {
    NB_AWQ_STEPS,
    NB_ORDER_ACTIVATION,
    NB_ORDER_GROUP_AWARE,
    NB_ORDER_NATURAL,
    NB_ORDER_STATIC,
    NB_RANGE_DIVERGENCE,
    NB_RANGE_MIN_MAX,
    NB_RANGE_MOVING,
    NB_RANGE_PERCENTILE,
    NB_RANGE_SQUARED_ERROR,
    NB_ROWS_BEST,
    NB_ROWS_NEAREST,
    NB_ROWS_PLAINLY,
    nb_awq_found,
    nb_awq_settings,
    nb_code_format,
    nb_gptq_settings,
    TYPES,
} from '../abi.js';
import { withName } from './quantize-core.js';
import { aligned, splitRows } from './split-rows.js';
import { writeStructs } from './structs.js';

/** @typedef {import('./core.js').Core} Core */
/** @typedef {import('./walk.js').Tick} Tick */

/**
 * Rows of weights that share their inputs. weights: of the type `from`. quantize() writes the result into the Room.
 * firstRow: where in its tensor the first of these rows is, for messages. clips: whether AWQ clips the weights.
 * @typedef {{ name: string, from: string, rows: number, firstRow: number, clips: boolean, weights: Uint8Array } & Room}
 *     Rows
 */

/**
 * Memory for the result. blocks: of the type `to`. coded: if set, codes are made instead. split: if set, the rows are
 * split as LLM.int8() does. parts: for a tensor of experts, a Room for each, used instead of this one. input: the range
 * of static activations. bytes: the tensors of a folder, by their names.
 * @typedef {{ to: string, blocks: Uint8Array, coded?: Coded, bytes?: Record<string, Uint8Array>, parts?: Room[],
 *     input?: Input, split?: import('./split-rows.js').Split }} Room
 */

/** How the range of static activations is chosen. dtype: of the scale.
 * @typedef {{ ranges: keyof typeof RANGES, percentile: number, symmetric: boolean, dtype: 'f32' | 'f16' | 'bf16' }}
 *     InputSettings */

/** found: what nb_quantizer_input writes (nb_input_found).
 * @typedef {{ settings: InputSettings, found?: { low: number, high: number, clipped: number, scale: number,
 *     zero: number } }} Input */

/**
 * Codes [rows, columns], scales [rows, groups] and zero points [rows, groups], in the order that the files have: row i
 * of the weights becomes row order[i] of codes, scales and zeros. values: what the codes stand for, F32 [rows, columns]
 * in the order of the weights. groups: the group of each column.
 * @typedef {{ format: CodeFormat, order: Uint32Array, codes: Uint8Array, scales: Uint8Array, zeros: Uint8Array,
 *     values: Uint8Array, groups: Int32Array }} Coded
 */

/** search: an exponent, as in nb_code_format.
 * @typedef {{ format: number, bits: number, group: number, symmetric: number, search: number, scale_type: number }}
 *     CodeFormat */

/**
 * What AWQ's searches round to: blocks of a GGUF type, or codes of some bits (nb_awq_settings). search: how scales are
 * chosen; absent: as in Settings.
 * @typedef {{ type: number, bits: number, group: number, symmetric: number, search?: 'reference' | 'best' }} Grid
 */

/** A Grid that stands for a GGUF type consists of `type` and these fields. */
export const NO_CODES = { bits: 0, group: 0, symmetric: 0 };

/** @typedef {{ method: string, search: 'reference' | 'best', damping: number, order: keyof typeof ORDERS }} Settings */

/**
 * Numbers of attention heads and of key-value heads, if the inputs are the outputs of heads (attn_output); else both
 * are 0.
 * @typedef {{ heads: number, kv_heads: number }} Heads
 */

/** Ways to choose the range of static activations (InputSettings.ranges). */
export const RANGES = {
    minmax: NB_RANGE_MIN_MAX,
    'moving-average': NB_RANGE_MOVING,
    percentile: NB_RANGE_PERCENTILE,
    mse: NB_RANGE_SQUARED_ERROR,
    entropy: NB_RANGE_DIVERGENCE,
};

const ORDERS = {
    natural: NB_ORDER_NATURAL,
    activation: NB_ORDER_ACTIVATION,
    static: NB_ORDER_STATIC,
    'group-aware': NB_ORDER_GROUP_AWARE,
};

/**
 * At most so many bytes of weights, counted as F32, are quantized in one call, but at least SLAB rows for each thread
 * (or all rows, if there are fewer). Between two calls the progress is reported.
 */
const BYTES_AT_ONCE = 1 << 20;
/** Rows that a thread claims at once (src/quant/gptq_feed.c). */
const SLAB = 32;

export class Inputs {
    /**
     * @param {Core} core
     * @param {number} handle
     * @param {number} columns
     * @param {Settings} settings
     * @param {number} threads
     */
    constructor(core, handle, columns, settings, threads) {
        this.core = core;
        this.handle = handle;
        this.columns = columns;
        this.settings = settings;
        this.threads = threads;
    }

    /** Rows that are quantized in one call: some for each thread. @param {number} rows */
    #rowsAtOnce(rows) {
        const least = SLAB * this.threads;
        return Math.min(rows, least * Math.max(1, Math.floor(BYTES_AT_ONCE / (4 * this.columns * least))));
    }

    /**
     * Quantizes the matrices into their rooms. They are sorted by #block, so that nb_quantizer_prepare is called once
     * for each size.
     * @param {Rows[]} matrices
     * @param {Tick} tick
     */
    async quantize(matrices, tick) {
        const total = matrices.reduce((sum, { rows }) => sum + rows, 0);
        let done = 0,
            group = 0;
        for (const matrix of [...matrices].sort((a, b) => this.#block(a) - this.#block(b))) {
            const report = (/** @type {number} */ rows) => tick((done + rows) / total);
            try {
                if (!matrix.split && this.#block(matrix) !== group) {
                    group = this.#block(matrix);
                    await this.#prepare(group, () => report(0));
                }
                if (matrix.split) await this.#split(matrix, matrix.split, report);
                else await (matrix.coded ? this.#codes(matrix, matrix.coded, report) : this.#rows(matrix, report));
            } catch (error) {
                throw withName(error, matrix.name);
            }
            done += matrix.rows;
        }
    }

    /**
     * Weights in a block of the type `to`, or columns in a group of the codes (all columns, if groups are whole rows).
     * @param {Rows} matrix
     */
    #block({ to, coded }) {
        if (coded) return coded.format.group || this.columns;
        return this.core.exports.nb_quantizer_block(TYPES[to]);
    }

    /**
     * @param {Rows} matrix
     * @param {import('./split-rows.js').Split} split
     * @param {(rows: number) => Promise<void>} tick
     */
    #split(matrix, split, tick) {
        const { core, handle, columns } = this;
        return splitRows(core, handle, columns, { ...matrix, split }, this.#rowsAtOnce(matrix.rows), tick);
    }

    /** Only GPTQ feeds errors forward. */
    get #feeds() {
        return this.settings.method.includes('gptq');
    }

    /**
     * @param {number} group
     * @param {() => Promise<void>} tick
     */
    async #prepare(group, tick) {
        const { core, handle } = this,
            { damping, order } = this.settings;
        const settings = this.#feeds
            ? { damping, order: ORDERS[order], group: order === 'group-aware' ? group : 0 }
            : { damping: 0, order: NB_ORDER_NATURAL, group: 0 };
        core.borrow(nb_gptq_settings.size, (at) => {
            writeStructs(core.memory, at, nb_gptq_settings, [settings]);
            core.count('nb_quantizer_prepare', handle, at);
        });
        if (this.#feeds) while (core.count('nb_quantizer_factor', handle) > 0) await tick();
    }

    /**
     * @param {Rows} matrix
     * @param {(rows: number) => Promise<void>} tick
     */
    async #rows({ from, to, rows, firstRow, clips, weights, blocks }, tick) {
        const { core, handle, columns } = this,
            flags = (this.settings.search === 'best' ? NB_ROWS_BEST : 0) | (this.#feeds ? 0 : NB_ROWS_NEAREST);
        const rowBytes = weights.length / rows,
            blockBytes = blocks.length / rows,
            most = this.#rowsAtOnce(rows);
        const room = aligned(most * rowBytes),
            memory = core.allocate(room + aligned(4 * most * columns) + most * blockBytes, 'rows of weights'),
            floats = memory + room,
            out = floats + aligned(4 * most * columns);
        try {
            for (let row = 0; row < rows; row += most) {
                const n = Math.min(most, rows - row),
                    source = clips ? [TYPES.f32, floats] : [TYPES[from], memory];
                core.bytes(memory, n * rowBytes).set(weights.subarray(row * rowBytes, (row + n) * rowBytes));
                if (clips) this.#clip({ ...NO_CODES, type: TYPES[to] }, TYPES[from], memory, firstRow + row, n, floats);
                core.count('nb_quantizer_rows', handle, TYPES[to], flags, ...source, firstRow + row, n, out);
                blocks.set(core.bytes(out, n * blockBytes), row * blockBytes);
                await tick(row + n);
            }
        } finally {
            core.exports.nb_free(memory);
        }
    }

    /**
     * @param {Rows} matrix
     * @param {Coded} coded
     * @param {(rows: number) => Promise<void>} tick
     */
    async #codes({ from, rows, firstRow, clips, weights }, coded, tick) {
        const { core, handle, columns } = this,
            { order, codes, scales, zeros, values } = coded,
            { bits, group, symmetric, search } = coded.format,
            grid = /** @type {Grid} */ ({ type: 0, bits, group, symmetric, search: search > 0 ? 'best' : 'reference' }),
            most = this.#rowsAtOnce(rows);
        // One allocation: nb_code_format in the first 64 bytes, then an array for each of these. Names with _ are
        // addresses in it. sizes: bytes of a row of each array.
        const sizes = [weights, values, codes, scales, zeros].map((array) => array.length / rows).concat(4 * columns),
            starts = sizes.map((_, i) => sizes.slice(0, i).reduce((sum, size) => sum + aligned(most * size), 64));
        const formatAt = core.allocate(starts[5] + (clips ? most * sizes[5] : 0), 'rows of weights'),
            [from_, values_, codes_, scales_, zeros_, clipped] = starts.map((start) => formatAt + start);
        try {
            writeStructs(core.memory, formatAt, nb_code_format, [coded.format]);
            for (let row = 0; row < rows; row += most) {
                const n = Math.min(most, rows - row);
                core.bytes(from_, n * sizes[0]).set(weights.subarray(row * sizes[0], (row + n) * sizes[0]));
                const source = clips ? [TYPES.f32, clipped] : [TYPES[from], from_],
                    flags = this.#feeds ? 0 : NB_ROWS_NEAREST;
                if (clips) this.#clip(grid, TYPES[from], from_, firstRow + row, n, clipped);
                const args = [formatAt, flags, ...source, firstRow + row, n, codes_, scales_, zeros_, values_];
                core.count('nb_quantizer_codes', handle, ...args);
                values.set(core.bytes(values_, n * sizes[1]), row * sizes[1]);
                for (const [at, size, out] of /** @type {[number, number, Uint8Array][]} */ ([
                    [codes_, sizes[2], codes],
                    [scales_, sizes[3], scales],
                    [zeros_, sizes[4], zeros],
                ]))
                    for (let i = 0; i < n; i++) out.set(core.bytes(at + i * size, size), order[row + i] * size);
                await tick(row + n);
            }
            core.borrow(4 * columns, (at) => {
                core.count('nb_quantizer_groups', handle, formatAt, at);
                coded.groups.set(core.ints(at, columns));
            });
        } finally {
            core.exports.nb_free(formatAt);
        }
    }

    /**
     * Converts rows (type `from`, at the address `weights`) to F32 at the address `out`, and clips them there.
     * @param {Grid} grid
     * @param {number} from
     * @param {number} weights
     * @param {number} firstRow
     * @param {number} rows
     * @param {number} out
     */
    #clip(grid, from, weights, firstRow, rows, out) {
        const { core, handle } = this;
        core.count('nb_quantizer_floats', handle, from, weights, firstRow, rows, out);
        this.#withSettings({ ...grid, ...NO_HEADS }, (settings) =>
            core.count('nb_quantizer_clip', handle, settings, 0, out, rows),
        );
    }

    /**
     * @template T
     * @param {Grid & Heads} grid
     * @param {(address: number) => T} run
     */
    #withSettings({ search = this.settings.search, ...settings }, run) {
        const { core } = this;
        return core.borrow(nb_awq_settings.size, (at) => {
            const flags = search === 'best' ? NB_ROWS_BEST : NB_ROWS_PLAINLY;
            writeStructs(core.memory, at, nb_awq_settings, [{ flags, plain: 0, ...settings }]);
            return run(at);
        });
    }

    /**
     * AWQ's search.
     * @param {Grid & Heads} settings
     * @param {Float32Array} weights
     * @param {Tick} tick
     * @returns {Promise<Float32Array | null>} scales of the columns; null: the error is least without scales
     */
    async searchScales(settings, weights, tick) {
        const { core, handle, columns } = this,
            { fields } = nb_awq_found,
            room = 4 * weights.length + 4 * columns;
        const memory = core.allocate(nb_awq_found.size + room, 'the weights of a group of matrices'),
            scales = memory + nb_awq_found.size,
            rows = scales + 4 * columns;
        try {
            core.floats(rows, weights.length).set(weights);
            for (let step = 0; step < NB_AWQ_STEPS; step++) {
                this.#withSettings(settings, (at) =>
                    core.count(
                        'nb_quantizer_awq',
                        ...[handle, at, rows, weights.length / columns, step, scales, memory],
                    ),
                );
                await tick((step + 1) / NB_AWQ_STEPS);
            }
            const ratio = new DataView(core.memory.buffer).getFloat64(memory + fields.ratio.at, true);
            return ratio < 0 ? null : core.floats(scales, columns).slice();
        } finally {
            core.exports.nb_free(memory);
        }
    }

    /**
     * Weights of a type, as floats.
     * @param {string} from
     * @param {Uint8Array} weights
     * @param {number} rows
     */
    floats(from, weights, rows) {
        const { core, handle, columns } = this;
        return core.borrowBytes(weights, (at) =>
            core.borrow(4 * rows * columns, (out) => {
                core.count('nb_quantizer_floats', handle, TYPES[from], at, 0, rows, out);
                return core.floats(out, rows * columns).slice();
            }),
        );
    }

    /**
     * SmoothQuant's scales.
     * @param {number} alpha
     * @param {Heads} heads
     * @param {Float32Array} weights of all matrices that read the input
     */
    smoothScales(alpha, { heads, kv_heads }, weights) {
        const { core, handle, columns } = this,
            memory = core.allocate(4 * (weights.length + columns), 'the weights of a group of matrices'),
            rows = memory + 4 * columns;
        try {
            core.floats(rows, weights.length).set(weights);
            core.count(
                'nb_quantizer_smooth',
                ...[handle, alpha, heads, kv_heads, rows, weights.length / columns, memory],
            );
            return core.floats(memory, columns).slice();
        } finally {
            core.exports.nb_free(memory);
        }
    }

    /**
     * Changes scales such that a norm, divided by them, is stored exactly.
     * @param {import('./kept-tensors.js').Stored} stored
     * @param {Float32Array} norm
     * @param {Float32Array} scales
     */
    fitScales({ dtype, less }, norm, scales) {
        this.#inLinearMemory(scales, norm, (factors, at) =>
            this.core.count('nb_quantizer_fit_scales', TYPES[dtype], less, at, norm.length, factors),
        );
    }

    /**
     * Multiplies the columns of the weights by the scales, in place.
     * @param {Float32Array} weights
     * @param {Float32Array} scales
     */
    foldColumns(weights, scales) {
        const { core, handle, columns } = this;
        this.#inLinearMemory(weights, scales, (at, factors) =>
            core.exports.nb_quantizer_fold_columns(handle, at, weights.length / columns, factors),
        );
    }

    /**
     * Divides the tensor that makes these inputs by the scales, in place, from row `first` on.
     * @param {Float32Array} weights
     * @param {number} first
     * @param {number} columns those of that tensor; 1 for a vector
     * @param {Heads} heads
     * @param {Float32Array} scales
     */
    foldRows(weights, first, columns, { heads, kv_heads }, scales) {
        this.#inLinearMemory(weights, scales, (at, factors) =>
            this.core.count('nb_quantizer_fold_rows', this.handle, at, first, columns, heads, kv_heads, factors),
        );
    }

    /**
     * Copies both arrays into linear memory, calls run() with their addresses, and copies the weights back.
     * @param {Float32Array} weights which run() changes
     * @param {Float32Array} scales
     * @param {(weights: number, scales: number) => void} run
     */
    #inLinearMemory(weights, scales, run) {
        const { core } = this;
        core.borrow(4 * (weights.length + scales.length), (at) => {
            const behind = at + 4 * weights.length;
            core.floats(at, weights.length).set(weights);
            core.floats(behind, scales.length).set(scales);
            run(at, behind);
            weights.set(core.floats(at, weights.length));
        });
    }
}

const NO_HEADS = { heads: 0, kv_heads: 0 };
