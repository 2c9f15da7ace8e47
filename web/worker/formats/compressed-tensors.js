/**
 * compressed-tensors' "pack-quantized": its QuantizationConfig, and the tensors of its PackedQuantizationCompressor.
 * vLLM's CompressedTensorsWNA16 reads them (vllm/model_executor/layers/quantization/compressed_tensors).
 */
import { NB_FORMAT_COMPRESSED } from '../../abi.js';
import { BYTES, bytesOf, codedFormat, groupsOf, isOrdered } from './coded.js';

const coded = codedFormat(NB_FORMAT_COMPRESSED);

/**
 * A QuantizationConfig with one scheme for all matrices.
 * @param {string} format
 * @param {string[]} ignore modules with matrices that stay as they are
 * @param {object} weights QuantizationArgs
 * @param {object | null} [inputs] QuantizationArgs; null: they are not quantized
 */
export const configOf = (format, ignore, weights, inputs = null) => ({
    quant_method: 'compressed-tensors',
    format,
    quantization_status: 'compressed',
    global_compression_ratio: null,
    kv_cache_scheme: null,
    ignore,
    config_groups: { group_0: { targets: ['Linear'], weights, input_activations: inputs, output_activations: null } },
});

/** @type {import('./folder-formats.js').FolderFormat} */
export const COMPRESSED_TENSORS = {
    ...coded,

    config: (_, folder, ignore) =>
        configOf('pack-quantized', ignore, {
            num_bits: folder.bits,
            type: 'int',
            symmetric: folder.symmetric,
            strategy: folder.group > 0 ? 'group' : 'channel',
            group_size: folder.group > 0 ? folder.group : null,
            actorder: isOrdered(folder) ? 'group' : null,
            dynamic: false,
            observer: 'minmax',
        }),

    refusal: (coding, folder) =>
        coding.isTransposed
            ? 'it is stored transposed (Conv1D), which compressed-tensors cannot express; take gptq'
            : coded.refusal(coding, folder),

    parts({ tensor: { rows, columns } }, folder) {
        const { bits, symmetric } = folder,
            groups = groupsOf(columns, folder),
            shape = bytesOf(BigInt64Array.of(BigInt(rows), BigInt(columns)));
        const parts = [
            { name: 'weight_g_idx', dtype: 'I32', shape: [columns], bytes: BYTES.groups },
            { name: 'weight_packed', dtype: 'I32', shape: [rows, (columns / 32) * bits], bytes: BYTES.codes },
            { name: 'weight_scale', dtype: 'F16', shape: [rows, groups], bytes: BYTES.scales },
            { name: 'weight_shape', dtype: 'I64', shape: [2], bytes: () => shape },
            { name: 'weight_zero_point', dtype: 'I32', shape: [(rows / 32) * bits, groups], bytes: BYTES.zeros },
        ];
        const has = (/** @type {string} */ name) =>
            name === 'weight_g_idx' ? isOrdered(folder) : name !== 'weight_zero_point' || !symmetric;
        return parts.filter(({ name }) => has(name));
    },
};
