/** Splits a matrix into the two parts of LLM.int8() (nb_quantizer_split), some rows a call. */
import { TYPES } from '../abi.js';

/**
 * How a matrix is split: columns that have inputs of magnitude `threshold` or more stay in 16 bits. columns, kept: set
 * by splitRows(), the numbers of these columns and their weights [rows, columns]. values: the weights after the split
 * and rounding, F32.
 * @typedef {{ threshold: number, values: Uint8Array, columns: Int32Array, kept: Uint8Array }} Split
 */

/**
 * Fills `blocks` and `split`.
 * @param {import('./core.js').Core} core
 * @param {number} handle of the quantizer, which knows the largest inputs
 * @param {number} columns
 * @param {{ from: string, rows: number, firstRow: number, weights: Uint8Array, blocks: Uint8Array, split: Split }}
 *     matrix
 * @param {number} most rows of a call
 * @param {(rows: number) => Promise<void>} tick
 */
export async function splitRows(core, handle, columns, { from, rows, firstRow, weights, blocks, split }, most, tick) {
    const list = core.allocate(4 * columns, 'numbers of columns');
    try {
        const n = core.count('nb_quantizer_outliers', handle, split.threshold, list);
        split.columns = core.ints(list, n).slice();
        split.kept = new Uint8Array(2 * n * rows);
        const arrays = [weights, blocks, split.kept, split.values],
            sizes = arrays.map(({ length }) => length / rows), // of a row
            starts = sizes.map((_, i) => sizes.slice(0, i).reduce((sum, size) => sum + aligned(most * size), 0)),
            memory = core.allocate(starts[3] + most * sizes[3], 'rows of weights');
        try {
            const [source, to, kept, values] = starts.map((start) => memory + start);
            for (let row = 0; row < rows; row += most) {
                const some = Math.min(most, rows - row);
                core.bytes(source, some * sizes[0]).set(weights.subarray(row * sizes[0], (row + some) * sizes[0]));
                const what = [TYPES[from], source, firstRow + row, some, list, n];
                core.count('nb_quantizer_split', handle, ...what, to, kept, values);
                for (const [i, at] of [to, kept, values].entries())
                    arrays[i + 1].set(core.bytes(at, some * sizes[i + 1]), row * sizes[i + 1]);
                await tick(row + some);
            }
        } finally {
            core.exports.nb_free(memory);
        }
    } finally {
        core.exports.nb_free(list);
    }
}

/** Where the next array may begin. @param {number} bytes */
export const aligned = (bytes) => Math.ceil(bytes / 64) * 64;
