/**
 * bitsandbytes' folders: NF4, FP4 and LLM.int8(), with the tensors that its Linear4bit and Linear8bitLt save
 * (bitsandbytes/nn/modules.py, functional.py: QuantState.as_dict()). transformers reads them (quantizers/
 * quantizer_bnb_4bit.py, quantizer_bnb_8bit.py), and so does vLLM (model_loader/bitsandbytes_loader.py).
 */
import { TYPES } from '../../abi.js';
import { yieldToEvents } from '../../platform.js';

/** @typedef {import('./folder-formats.js').Part} Part */
/** @typedef {import('./folder-formats.js').FolderFormat} FolderFormat */
/** @typedef {import('./folder-formats.js').CheckedFolder} CheckedFolder */
/** @typedef {import('../folder-tensors.js').Coding} Coding */
/** @typedef {import('../core.js').Core} Core */
/** @typedef {Parameters<NonNullable<FolderFormat['round']>>[2]} Weights */

/** Weights that are rounded in one call: whole blocks of any size. */
const WEIGHTS_AT_ONCE = 1 << 18;
/** Scales that share a scale of their own, in double quantization. */
const NESTED_BLOCK = 256;
/** Characters that are kept free for an F32 number in JSON. */
const NUMBER = 24;
/** Each matrix begins at a multiple of so many bytes, so that its numbers are aligned for readers. */
const ALIGNMENT = 8;

/** Types of source weights, as torch calls them. @type {Record<string, string>} */
const TORCH = { f32: 'float32', f16: 'float16', bf16: 'bfloat16' };

/** @param {Float32Array} numbers */
const bytesOf = (numbers) => new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);

/**
 * The weights with their rows in the order of the folder's files, not of a GGUF.
 * @param {Coding} coding
 * @param {Weights} weights
 */
function inFiles({ order }, { weights }) {
    if (order.every((row, i) => row === i)) return weights;
    const out = new Uint8Array(weights.length),
        size = weights.length / order.length;
    order.forEach((row, i) => {
        out.set(weights.subarray(i * size, (i + 1) * size), row * size);
    });
    return out;
}

/**
 * Runs a function with memory for an input, which is copied in, and for outputs of the given sizes.
 * @template T
 * @param {Core} core
 * @param {Uint8Array} input
 * @param {number[]} sizes
 * @param {(input: number, outputs: number[]) => T} run
 */
function withMemory(core, input, sizes, run) {
    let end = Math.ceil(input.length / 64) * 64;
    const starts = sizes.map((size) => {
        const start = end;
        end += Math.ceil(size / 64) * 64;
        return start;
    });
    const memory = core.allocate(Math.max(end, 64), 'weights');
    try {
        core.bytes(memory, input.length).set(input);
        return run(
            memory,
            starts.map((start) => memory + start),
        );
    } finally {
        core.exports.nb_free(memory);
    }
}

/** The number that each code stands for. @param {Core} core @param {string} type */
const mapOf = (core, type) =>
    core.borrow(4 * 256, (at) => core.floats(at, core.count('nb_bnb_map', TYPES[type], at)).slice());

/**
 * QuantState's numbers as JSON, as json.dumps() writes them, filled up with spaces.
 * @param {Coding} coding
 * @param {CheckedFolder} settings
 * @param {number} offset the mean of the scales, in double quantization
 * @param {number} length of the result; 0: no spaces at its end
 */
function stateOf({ tensor: { rows, columns, from } }, { type, block, doubleQuant }, offset, length) {
    const nested = doubleQuant
        ? `, "nested_blocksize": ${NESTED_BLOCK}, "nested_dtype": "float32", "nested_offset": ${String(offset).padEnd(NUMBER)}`
        : '';
    const text = `{"quant_type": "${type}", "blocksize": ${block}, "dtype": "${TORCH[from]}", "shape": [${rows}, ${columns}]${nested}}`;
    return new TextEncoder().encode(text.padEnd(length));
}

/** @param {string} name @returns {Part['bytes']} */
const made =
    (name) =>
    (_, { bytes }) =>
        /** @type {Record<string, Uint8Array>} */ (bytes)[name];

/**
 * @param {Coding} coding
 * @param {CheckedFolder} settings
 * @returns {Part[]}
 */
function partsOf4Bits(coding, settings) {
    const { rows, columns } = coding.tensor,
        codes = Math.ceil((rows * columns) / 2),
        blocks = Math.ceil((rows * columns) / settings.block);
    const part = (/** @type {string} */ name, /** @type {string} */ dtype, /** @type {number[]} */ ...shape) => ({
        ...{ name, dtype, shape },
        bytes: made(name),
    });
    const numbers = settings.doubleQuant
        ? [
              part('weight.nested_absmax', 'F32', Math.ceil(blocks / NESTED_BLOCK)),
              part('weight.nested_quant_map', 'F32', 256),
              part('weight.quant_map', 'F32', 16),
          ]
        : [part('weight.absmax', 'F32', blocks), part('weight.quant_map', 'F32', 16)];
    const bytes = [
        part('weight', 'U8', codes, 1),
        ...(settings.doubleQuant ? [part('weight.absmax', 'U8', blocks)] : []),
    ];
    const before =
        numbers.reduce((sum, { shape }) => sum + 4 * shape[0], 0) + bytes.reduce((sum, { shape }) => sum + shape[0], 0);
    const state = stateOf(coding, settings, 0, 0).length,
        end = Math.ceil((before + state) / ALIGNMENT) * ALIGNMENT;
    return [...numbers, ...bytes, part(`weight.quant_state.bitsandbytes__${settings.type}`, 'U8', end - before)];
}

/**
 * @param {Coding} coding
 * @returns {Part[]}
 */
const partsOf8Bits = ({ tensor: { rows, columns } }) => [
    { name: 'SCB', dtype: 'F32', shape: [rows], bytes: made('SCB') },
    { name: 'weight', dtype: 'I8', shape: [rows, columns], bytes: made('weight') },
    // 0: row-major. The other values are layouts for old graphics cards
    { name: 'weight_format', dtype: 'U8', shape: [], bytes: () => Uint8Array.of(0), isLast: true },
];

/**
 * @param {Core} core
 * @param {Coding} coding
 * @param {Weights} weights
 * @param {CheckedFolder} settings
 * @param {Record<string, Uint8Array>} parts receives the bytes of each part
 */
async function roundTo4Bits(core, coding, weights, settings, parts) {
    const { rows, columns } = coding.tensor,
        { type = 'nf4', block } = settings,
        n = rows * columns,
        source = inFiles(coding, weights),
        size = source.length / n;
    const codes = new Uint8Array(Math.ceil(n / 2)),
        absmax = new Float32Array(Math.ceil(n / block));
    for (let at = 0; at < n; at += WEIGHTS_AT_ONCE) {
        const some = Math.min(WEIGHTS_AT_ONCE, n - at),
            blocks = Math.ceil(some / block),
            input = source.subarray(at * size, (at + some) * size);
        withMemory(core, input, [Math.ceil(some / 2), 4 * blocks], (from, [to, scales]) => {
            const kinds = [TYPES[type], block, TYPES[weights.from]];
            core.count('nb_bnb_blocks', ...kinds, from, at, some, to, scales);
            codes.set(core.bytes(to, Math.ceil(some / 2)), at / 2);
            absmax.set(core.floats(scales, blocks), at / block);
        });
        await yieldToEvents();
    }
    parts.weight = codes;
    parts['weight.quant_map'] = bytesOf(mapOf(core, type));
    const state = /** @type {Part} */ (partsOf4Bits(coding, settings).at(-1));
    let offset = 0;
    if (settings.doubleQuant) offset = nest(core, absmax, parts);
    else parts['weight.absmax'] = bytesOf(absmax);
    parts[state.name] = stateOf(coding, settings, offset, state.shape[0]);
}

/**
 * Double quantization.
 * @param {Core} core
 * @param {Float32Array} absmax
 * @param {Record<string, Uint8Array>} parts
 * @returns {number} the offset
 */
function nest(core, absmax, parts) {
    const n = absmax.length,
        blocks = Math.ceil(n / NESTED_BLOCK);
    parts['weight.nested_quant_map'] = bytesOf(mapOf(core, 'i8'));
    return withMemory(core, bytesOf(absmax), [n, 4 * blocks, 4], (from, [codes, nested, offset]) => {
        core.count('nb_bnb_nested', from, n, codes, nested, offset);
        parts['weight.absmax'] = core.bytes(codes, n).slice();
        parts['weight.nested_absmax'] = bytesOf(core.floats(nested, blocks).slice());
        return core.floats(offset, 1)[0];
    });
}

/**
 * @param {Core} core
 * @param {Coding} coding
 * @param {Weights} weights
 * @param {Record<string, Uint8Array>} parts receives the bytes of each part
 */
async function roundTo8Bits(core, coding, weights, parts) {
    const { rows, columns } = coding.tensor,
        source = inFiles(coding, weights),
        size = source.length / rows,
        most = Math.max(1, Math.floor(WEIGHTS_AT_ONCE / columns));
    const codes = new Uint8Array(rows * columns),
        scales = new Float32Array(rows);
    for (let row = 0; row < rows; row += most) {
        const some = Math.min(most, rows - row),
            input = source.subarray(row * size, (row + some) * size);
        withMemory(core, input, [some * columns, 4 * some], (from, [to, largest]) => {
            core.count('nb_bnb_rows', TYPES[weights.from], from, row * columns, some, columns, to, largest);
            codes.set(core.bytes(to, some * columns), row * columns);
            scales.set(core.floats(largest, some), row);
        });
        await yieldToEvents();
    }
    parts.weight = codes;
    parts.SCB = bytesOf(scales);
}

/** @type {FolderFormat} */
export const BITSANDBYTES = {
    // transformers' BitsAndBytesConfig.to_dict()
    config: (_, { type, doubleQuant }, ignore) => ({
        _load_in_4bit: type !== 'int8',
        _load_in_8bit: type === 'int8',
        bnb_4bit_compute_dtype: 'float32',
        bnb_4bit_quant_storage: 'uint8',
        bnb_4bit_quant_type: type === 'int8' ? 'fp4' : type,
        bnb_4bit_use_double_quant: doubleQuant,
        llm_int8_enable_fp32_cpu_offload: false,
        llm_int8_has_fp16_weight: false,
        llm_int8_skip_modules: ignore,
        llm_int8_threshold: 6,
        load_in_4bit: type !== 'int8',
        load_in_8bit: type === 'int8',
        quant_method: 'bitsandbytes',
    }),

    refusal({ tensor: { from, matrices } }) {
        if (matrices > 1) return 'it is an expert, and transformers leaves experts as they are; take another format';
        if (!TORCH[from]) return `its weights are ${from}; F32, F16 and BF16 can be quantized`;
    },

    parts: (coding, settings) => (settings.type === 'int8' ? partsOf8Bits(coding) : partsOf4Bits(coding, settings)),

    room: () => ({ to: 'f32', blocks: new Uint8Array(0), bytes: {} }),

    round: ({ core }, coding, weights, { bytes = {} }, settings) =>
        settings.type === 'int8'
            ? roundTo8Bits(core, coding, weights, bytes)
            : roundTo4Bits(core, coding, weights, settings, bytes),
};
