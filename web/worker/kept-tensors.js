/**
 * Tensors of a folder that are not quantized, but that AWQ's scales may change: norms, biases, routers. They are
 * written in the type that the source's files have them in.
 */
import { withName } from './quantize-core.js';
import { readBytes } from './safetensors.js';

/** @typedef {import('./safetensors.js').Entry} Entry */
/** @typedef {import('./folding.js').Weights} Weights */
/** @typedef {import('./quantizer.js').Quantizer} Quantizer */

/** How the files have a tensor: its type, and by how much its numbers are less than those that the model computes with:
 * 1 for Gemma's norms, else 0. @typedef {{ dtype: 'f32' | 'f16' | 'bf16', less: number }} Stored */

/** Types by their names in safetensors. @type {Record<string, Stored['dtype']>} */
const DTYPES = { F32: 'f32', F16: 'f16', BF16: 'bf16' };

export class KeptTensors {
    /** @param {Entry[]} entries */
    constructor(entries) {
        this.entries = new Map(entries.map((entry) => [entry.name, entry]));
        /** How the files have the tensors that were found, by their names in the plan. @type {Map<string, Stored & { entry: Entry,
         * quantizer: Quantizer }>} */
        this.stored = new Map();
        /** The bytes of the tensors that were changed, by their names in the files. @type {Map<string, Uint8Array>} */
        this.changed = new Map();
    }

    /**
     * Whether the files have the tensor's numbers, or these less 1. Other tensors, such as those that are made of
     * several, cannot be written back.
     * @param {Quantizer} quantizer
     * @param {Weights} tensor
     */
    async find(quantizer, { name, source, from, weights, columns, rows, matrices }) {
        const entry = this.entries.get(source),
            dtype = DTYPES[entry?.dtype ?? ''],
            numbers = columns * rows * matrices;
        if (!entry?.from || !dtype || columns % 32 !== 0 || entry.bytes !== numbers * (dtype === 'f32' ? 4 : 2))
            return false;
        const bytes = await readBytes(entry.from.file, entry.from.at, entry.bytes);
        return quantizer.open(columns, null, async (q) => {
            const theirs = q.floats(dtype, bytes, rows * matrices),
                ours = q.floats(from, weights, rows * matrices),
                less = [0, 1].find((one) => theirs.every((x, i) => Math.fround(x + one) === ours[i]));
            if (less === undefined) return false;
            this.stored.set(name, { dtype, less, entry, quantizer });
            return true;
        });
    }

    /**
     * @param {string} name in the plan
     * @param {Float32Array} values
     */
    change(name, values) {
        const stored = this.stored.get(name);
        if (!stored) throw new TypeError(`${name} was not found before`);
        try {
            this.changed.set(stored.entry.name, stored.quantizer.narrow(stored, values));
        } catch (error) {
            throw withName(error, name);
        }
    }
}
