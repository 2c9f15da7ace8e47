/**
 * The quantizer (src/nibble_quantize.h), a core of its own with a pool of its own: what was observed of a group of
 * matrices, and their weights -> blocks of a tensor type, or codes with scales and zero points.
 */
import { NB_RANGE_BYTES, nb_code_format, nb_fold_rule, nb_input_found, nb_input_settings, TYPES } from '../abi.js';
import { NibbleError } from '../errors.js';
import { Inputs, RANGES } from './inputs.js';
import { isFloat } from './planned.js';
import { startPooledCore } from './pool.js';
import { blockBytes } from './quantize-core.js';
import { writeStructs } from './structs.js';

/** @typedef {import('./core.js').Core} Core */
/** @typedef {import('./inputs.js').Settings} Settings */

/**
 * What was observed of the inputs of some matrices, as arrays of the caller's: [columns, columns], [columns],
 * [columns]. hessian: null: it is not needed.
 * @typedef {{ hessian: Float32Array | null, mean: Float32Array, largest: Float32Array }} Observed
 */

export class Quantizer {
    /**
     * @param {Core} core
     * @param {number} pool
     * @param {number} threads of the pool
     * @param {Settings} settings
     * @param {() => void} end ends the threads
     */
    constructor(core, pool, threads, settings, end) {
        this.end = end;
        this.threads = threads;
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
    static async start(assets, threads, settings, watch) {
        const { core, pool, end } = await startPooledCore('quantize', assets, threads, watch);
        return new Quantizer(core, pool, threads, settings, end);
    }

    /**
     * Bytes of whole blocks of a type.
     * @param {string} type
     * @param {number} weights
     */
    bytesOf(type, weights) {
        return blockBytes(this.core, type, weights);
    }

    /**
     * Which tensors may absorb the scales of a matrix's columns.
     * @param {string} name
     * @param {boolean} isGated
     * @returns {{ absorbers: string[], isNorm: boolean, clips: boolean }}
     */
    foldRule(name, isGated) {
        const { core } = this,
            { fields } = nb_fold_rule;
        return core.borrow(nb_fold_rule.size, (at) => {
            core.borrowText(name, (text, length) => core.exports.nb_quantizer_fold(text, length, isGated ? 1 : 0, at));
            const word = (/** @type {'is_norm' | 'clips' | 'absorber_bytes'} */ field) =>
                core.ints(at + fields[field].at, 1)[0];
            const names = core.string(at + fields.absorber.at, word('absorber_bytes'));
            return {
                absorbers: names === '' ? [] : names.split(','),
                isNorm: word('is_norm') === 1,
                clips: word('clips') === 1,
            };
        });
    }

    /**
     * A copy of weights as floats. Types of floating-point numbers may have rows of any length.
     * @param {string} type
     * @param {Uint8Array} weights
     * @param {number} columns
     */
    floats(type, weights, columns) {
        if (type === 'f32') return new Float32Array(weights.slice().buffer);
        const { core, pool } = this,
            side = isFloat(type) ? 32 : columns,
            handle = core.object('nb_quantizer_new', pool, side),
            rows = weights.length / this.bytesOf(type, side);
        try {
            return new Inputs(core, handle, side, this.settings, this.threads).floats(type, weights, rows);
        } finally {
            core.exports.nb_quantizer_free(handle);
        }
    }

    /**
     * The bytes of one tensor of a folder.
     * @param {import('./inputs.js').CodeFormat} format
     * @param {number} part NB_PART_...
     * @param {Uint8Array} values
     * @param {number} rows
     * @param {number} columns
     */
    pack(format, part, values, rows, columns) {
        const { core } = this;
        return core.borrow(nb_code_format.size, (at) => {
            writeStructs(core.memory, at, nb_code_format, [format]);
            const size = core.exports.nb_quantizer_part_bytes(at, part, rows, columns);
            return core.borrowBytes(values, (from) =>
                core.borrow(Math.max(1, size), (to) => {
                    core.count('nb_quantizer_pack', at, part, from, rows, columns, to);
                    return core.bytes(to, size).slice();
                }),
            );
        });
    }

    /**
     * Subtracts `less`, and rounds to the type that the file has.
     * @param {import('./kept-tensors.js').Stored} stored
     * @param {Float32Array} values
     */
    narrow({ dtype, less }, values) {
        const { core } = this,
            size = values.length * (dtype === 'f32' ? 4 : 2);
        return core.borrow(4 * values.length + size, (at) => {
            const out = at + 4 * values.length;
            core.floats(at, values.length).set(values);
            core.count('nb_quantizer_narrow', TYPES[dtype], less, at, values.length, out);
            return core.bytes(out, size).slice();
        });
    }

    /**
     * The range of static activations, and the scale and zero point for it.
     * @param {import('./inputs.js').InputSettings} settings
     * @param {Uint8Array} observed what the walk has recorded of them
     */
    input({ ranges, percentile, symmetric, dtype }, observed) {
        const { core } = this,
            [{ size, fields }, how] = [nb_input_found, nb_input_settings];
        return core.borrow(size + how.size + NB_RANGE_BYTES, (found) => {
            const settings = found + size,
                seen = settings + how.size,
                numbers = { percentile, ranges: RANGES[ranges], symmetric: symmetric ? 1 : 0 };
            core.bytes(seen, NB_RANGE_BYTES).set(observed);
            writeStructs(core.memory, settings, how, [{ ...numbers, scale_type: TYPES[dtype], nothing: 0 }]);
            core.count('nb_quantizer_input', seen, settings, found);
            const view = new DataView(core.memory.buffer, found, size);
            return {
                low: view.getFloat32(fields.low.at, true),
                high: view.getFloat32(fields.high.at, true),
                clipped: view.getFloat64(fields.clipped.at, true),
                scale: view.getFloat32(fields.scale.at, true),
                zero: view.getInt32(fields.zero.at, true),
            };
        });
    }

    /**
     * A quantizer of matrices with so many columns, for as long as run() does.
     * @template T
     * @param {number} columns
     * @param {Observed | null} observed null: not needed
     * @param {(inputs: Inputs) => Promise<T>} run
     */
    async open(columns, observed, run) {
        const { core } = this,
            handle = core.object('nb_quantizer_new', this.pool, columns);
        try {
            for (const name of /** @type {(keyof Observed)[]} */ (['hessian', 'mean', 'largest'])) {
                const numbers = observed?.[name];
                if (!numbers) continue;
                const at = core.exports[`nb_quantizer_${name}`](handle) >>> 0;
                if (at === 0)
                    throw new NibbleError('NB_ERR_MEMORY', `there is no memory for a Hessian of ${columns} columns`);
                core.floats(at, numbers.length).set(numbers);
            }
            return await run(new Inputs(core, handle, columns, this.settings, this.threads));
        } finally {
            core.exports.nb_quantizer_free(handle);
        }
    }
}
