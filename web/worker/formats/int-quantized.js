/**
 * compressed-tensors' "int-quantized" (W8A8): weights of 8 bits with a scale for each row, and inputs of 8 bits, either
 * with a scale for each token that the reader chooses (dynamic), or with one scale that is written here (static). The
 * fields are those of its QuantizationConfig and QuantizationArgs. vLLM's CompressedTensorsW8A8Int8 reads them
 * (vllm/model_executor/layers/quantization/compressed_tensors): weights are symmetric, inputs may have a zero point.
 */
import { NB_FORMAT_INT8, TYPES } from '../../abi.js';
import { BYTES, bytesOf, codedFormat } from './coded.js';
import { configOf } from './compressed-tensors.js';

/** @typedef {import('./folder-formats.js').Part} Part */
/** @typedef {import('../inputs.js').Room} Room */
/** @typedef {import('../inputs.js').Input} Input */

const base = codedFormat(NB_FORMAT_INT8);

/** Types as safetensors names them. @type {Record<string, string>} */
const DTYPES = { f32: 'F32', f16: 'F16', bf16: 'BF16' };

/** llm-compressor's names of those observers that it has. @type {Record<string, string>} */
const OBSERVERS = { minmax: 'static_minmax', 'moving-average': 'minmax', mse: 'mse' };

/** @param {Room} made */
const inputOf = ({ input }) => /** @type {Input} */ (input);

/** @type {Part['bytes']} */
const inputScale = (quantizer, made) => {
    const { settings, found } = inputOf(made);
    return quantizer.narrow({ dtype: settings.dtype, less: 0 }, Float32Array.of(found?.scale ?? NaN));
};

/** @type {Part['bytes']} */
const inputZero = (_, made) => bytesOf(Int8Array.of(inputOf(made).found?.zero ?? 0));

/** @type {import('./folder-formats.js').FolderFormat} */
export const INT_QUANTIZED = {
    values: base.values,

    config: (_, { symmetric, activations, ranges }, ignore) =>
        configOf(
            'int-quantized',
            ignore,
            {
                num_bits: 8,
                type: 'int',
                symmetric: true,
                strategy: 'channel',
                group_size: null,
                actorder: null,
                dynamic: false,
                observer: 'minmax',
            },
            {
                num_bits: 8,
                type: 'int',
                symmetric,
                strategy: activations === 'static' ? 'tensor' : 'token',
                group_size: null,
                actorder: null,
                dynamic: activations === 'dynamic',
                observer: activations === 'static' ? (OBSERVERS[ranges] ?? null) : null,
            },
        ),

    refusal: ({ isTransposed, tensor: { from, columns, matrices } }, { activations }) =>
        matrices > 1 && activations === 'static'
            ? 'it is one of experts, whose inputs are dynamic in vLLM; take activations (--activations) dynamic'
            : isTransposed
              ? 'it is stored transposed (Conv1D), which compressed-tensors cannot express'
              : columns % 32 !== 0
                ? `it has ${columns} columns, which must be a multiple of 32`
                : DTYPES[from] === undefined
                  ? `its type is ${from}, and not F32, F16 or BF16`
                  : undefined,

    parts({ tensor: { rows, columns, from } }, { activations, symmetric }) {
        const dtype = DTYPES[from],
            isStatic = activations === 'static';
        // isLast: what follows numbers of one or two bytes would not be aligned
        /** @type {Part[]} */
        const parts = [
            { name: 'input_scale', dtype, shape: [1], bytes: inputScale, isLast: true },
            { name: 'input_zero_point', dtype: 'I8', shape: [1], bytes: inputZero, isLast: true },
            { name: 'weight', dtype: 'I8', shape: [rows, columns], bytes: BYTES.codes },
            { name: 'weight_scale', dtype, shape: [rows, 1], bytes: BYTES.scales },
        ];
        const has = (/** @type {string} */ name) =>
            name === 'input_scale' ? isStatic : name !== 'input_zero_point' || (isStatic && !symmetric);
        return parts.filter(({ name }) => has(name));
    },

    room(coding, settings) {
        const { from, rows } = coding.tensor,
            { activations, symmetric, ranges, percentile } = settings,
            room = base.room(coding, { ...settings, symmetric: true, group: 0 }),
            made = /** @type {import('../inputs.js').Coded} */ (room.coded),
            dtype = /** @type {Input['settings']['dtype']} */ (from);
        return {
            ...room,
            coded: {
                ...made,
                format: { ...made.format, scale_type: TYPES[from] },
                scales: new Uint8Array((from === 'f32' ? 4 : 2) * rows),
            },
            ...(activations === 'static' && { input: { settings: { ranges, percentile, symmetric, dtype } } }),
        };
    },
};
