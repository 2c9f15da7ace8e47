// Hugging Face folders for tests: made from a fixture with other sizes, read, and dequantized by the formats' rules.
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from '../../web/index.js';
import { root } from './builds.js';
import { logitsOf } from './vectors.js';

/** @typedef {{ dtype: string, shape: number[], bytes: Buffer }} Tensor */

/** The tensors of a folder's files of weights. @param {string} folder @returns {Map<string, Tensor>} */
export function tensorsOf(folder) {
    const files = readdirSync(folder).filter((name) => name.endsWith('.safetensors'));
    return new Map(files.flatMap((name) => [...readTensors(readFileSync(join(folder, name)))]));
}

/** @param {Buffer} file @returns {Map<string, Tensor>} */
function readTensors(file) {
    const length = Number(file.readBigUInt64LE(0)),
        { __metadata__, ...tensors } = JSON.parse(file.toString('utf8', 8, 8 + length));
    return new Map(
        Object.entries(tensors).map(
            ([
                name,
                {
                    dtype,
                    shape,
                    data_offsets: [begin, end],
                },
            ]) => [name, { dtype, shape, bytes: file.subarray(8 + length + begin, 8 + length + end) }],
        ),
    );
}

/** @param {string} path @param {Map<string, Tensor>} tensors */
export function writeTensors(path, tensors) {
    let at = 0;
    const header = Object.fromEntries(
        [...tensors].map(([name, { dtype, shape, bytes }]) => {
            at += bytes.length;
            return [name, { dtype, shape, data_offsets: [at - bytes.length, at] }];
        }),
    );
    const json = Buffer.from(JSON.stringify(header)),
        length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    writeFileSync(path, Buffer.concat([length, json, ...[...tensors.values()].map(({ bytes }) => bytes)]));
}

/**
 * A copy of a fixture with matrices of other shapes, and random weights in BF16.
 * @param {string} fixture
 * @param {string} folder
 * @param {Record<string, unknown>} config changes of config.json
 * @param {Record<number, number>} sides the new length of each side, by its old one
 */
export function makeFolder(fixture, folder, config, sides) {
    const from = `${root}tests/fixtures/safetensors/${fixture}`;
    cpSync(from, folder, { recursive: true });
    const said = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...said, ...config }));
    let seed = 1;
    const tensors = tensorsOf(from);
    for (const [name, tensor] of tensors) {
        const shape = tensor.shape.map((side) => sides[side] ?? side),
            n = shape.reduce((product, side) => product * side, 1),
            bytes = Buffer.alloc(2 * n);
        for (let i = 0; i < n; i++) {
            seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
            const value = new Float32Array([(/norm.*weight$/.test(name) ? 1 : 0) + (seed / 2 ** 32 - 0.5) / 2]);
            bytes.writeUInt16LE(new Uint32Array(value.buffer)[0] >>> 16, 2 * i);
        }
        tensors.set(name, { dtype: 'BF16', shape, bytes });
    }
    writeTensors(join(folder, 'model.safetensors'), tensors);
}

/** @param {Tensor} tensor of floating-point numbers @returns {Float32Array} */
export function numbersOf({ dtype, bytes }) {
    if (dtype === 'F32') return new Float32Array(Uint8Array.from(bytes).buffer);
    return Float32Array.from({ length: bytes.length / 2 }, (_, i) => {
        const half = bytes.readUInt16LE(2 * i);
        return dtype === 'BF16' ? new Float32Array(new Uint32Array([half << 16]).buffer)[0] : fromHalf(half);
    });
}

/** A binary16 as a number. @param {number} half */
function fromHalf(half) {
    const exponent = (half >> 10) & 31,
        fraction = half & 1023,
        size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
    return half >> 15 ? -size : size;
}

/** Number i in a stream of 32-bit words that are packed with numbers of `bits` bits.
 * @param {(i: number) => number} words @param {number} bits @param {number} i */
function field(words, bits, i) {
    const at = i * bits,
        shift = at % 32,
        low = words(Math.floor(at / 32)) >>> shift,
        high = shift + bits > 32 ? words(Math.floor(at / 32) + 1) << (32 - shift) : 0;
    return ((low | high) & (2 ** bits - 1)) >>> 0;
}

/**
 * A module's matrix [rows, columns] in AutoGPTQ's format: w = scale (code - zero). The first format (`isFirst`) stores
 * zero - 1.
 * @param {Map<string, Tensor>} tensors @param {string} module @param {number} bits @param {boolean} isFirst
 */
export function fromGptq(tensors, module, bits, isFirst) {
    const of = (/** @type {string} */ name) => /** @type {Tensor} */ (tensors.get(`${module}.${name}`)),
        [qweight, qzeros, groups] = ['qweight', 'qzeros', 'g_idx'].map(
            (name) => new Int32Array(Uint8Array.from(of(name).bytes).buffer),
        ),
        scales = numbersOf(of('scales'));
    const rows = of('qweight').shape[1],
        columns = groups.length,
        words = of('qzeros').shape[1];
    return Float32Array.from({ length: rows * columns }, (_, at) => {
        const row = Math.floor(at / columns),
            column = at % columns,
            group = groups[column];
        const code = field((i) => qweight[i * rows + row], bits, column),
            zero = field((i) => qzeros[group * words + i], bits, row) + (isFirst ? 1 : 0);
        return scales[group * rows + row] * (code - zero);
    });
}

/** The order of eight rows within AutoAWQ's words (awq/utils/packing_utils.py, AWQ_ORDER). */
const AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7];

/**
 * A module's matrix in AutoAWQ's format "gemm": w = scale (code - zero), words of eight rows.
 * @param {Map<string, Tensor>} tensors @param {string} module
 */
export function fromAwq(tensors, module) {
    const of = (/** @type {string} */ name) => /** @type {Tensor} */ (tensors.get(`${module}.${name}`)),
        [qweight, qzeros] = ['qweight', 'qzeros'].map((name) => new Int32Array(Uint8Array.from(of(name).bytes).buffer)),
        scales = numbersOf(of('scales')),
        [columns, words] = of('qweight').shape,
        [groups, rows] = of('scales').shape;
    const code = (/** @type {Int32Array} */ packed, /** @type {number} */ first, /** @type {number} */ row) =>
        (packed[first * words + Math.floor(row / 8)] >>> (4 * AWQ_ORDER.indexOf(row % 8))) & 15;
    return Float32Array.from({ length: rows * columns }, (_, at) => {
        const row = Math.floor(at / columns),
            column = at % columns,
            group = Math.floor((column * groups) / columns);
        return scales[group * rows + row] * (code(qweight, column, row) - code(qzeros, group, row));
    });
}

/**
 * A module's matrix in compressed-tensors' format "pack-quantized".
 * @param {Map<string, Tensor>} tensors @param {string} module @param {number} bits
 */
export function fromCompressed(tensors, module, bits) {
    const of = (/** @type {string} */ name) => tensors.get(`${module}.${name}`),
        integers = (/** @type {Tensor | undefined} */ tensor) =>
            tensor && new Int32Array(Uint8Array.from(tensor.bytes).buffer);
    const packed = /** @type {Int32Array} */ (integers(of('weight_packed'))),
        zeros = integers(of('weight_zero_point')),
        order = integers(of('weight_g_idx')),
        scale = /** @type {Tensor} */ (of('weight_scale')),
        scales = numbersOf(scale);
    const [rows, groups] = scale.shape,
        columns = (packed.length * 32) / bits / rows;
    return Float32Array.from({ length: rows * columns }, (_, at) => {
        const row = Math.floor(at / columns),
            column = at % columns,
            group = order ? order[column] : Math.floor((column * groups) / columns);
        const code = field((i) => packed[(row * columns * bits) / 32 + i], bits, column),
            zero = zeros ? field((i) => zeros[i * groups + group], bits, row) : 2 ** (bits - 1);
        return scales[row * groups + group] * (code - zero);
    });
}

/** The logits that nibble computes with a folder, for some tokens, one row each. @param {string} folder */
export async function logits(folder) {
    const model = await load(folder, { threads: 1 });
    try {
        return await logitsOf(model, [2, 7, 30, 11, 5, 60, 8]);
    } finally {
        await model.dispose();
    }
}
