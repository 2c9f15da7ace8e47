/**
 * compressed-tensors' "pack-quantized": its QuantizationConfig, and the tensors of its PackedQuantizationCompressor.
 * vLLM's CompressedTensorsWNA16 reads them (vllm/model_executor/layers/quantization/compressed_tensors).
 */
import { NB_FORMAT_COMPRESSED } from '../../abi.js';
import { BYTES, bytesOf, codedFormat, groupsOf, needsGroupIndex } from './coded.js';

const base = codedFormat(NB_FORMAT_COMPRESSED);

/**
 * A QuantizationConfig of any of compressed-tensors' formats, with one scheme for all matrices but those of `ignore`.
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
    ...base,

    config: (_, settings, ignore) =>
        configOf('pack-quantized', ignore, {
            num_bits: settings.bits,
            type: 'int',
            symmetric: settings.symmetric,
            strategy: settings.group > 0 ? 'group' : 'channel',
            group_size: settings.group > 0 ? settings.group : null,
            actorder: needsGroupIndex(settings) ? 'group' : null,
            dynamic: false,
            observer: 'minmax',
        }),

    refusal: (coding, settings) =>
        coding.isTransposed
            ? 'it is stored transposed (Conv1D), which compressed-tensors cannot express; use --format gptq'
            : base.refusal(coding, settings),

    parts({ tensor: { rows, columns } }, settings) {
        const { bits, symmetric } = settings,
            groups = groupsOf(columns, settings),
            shape = bytesOf(BigInt64Array.of(BigInt(rows), BigInt(columns)));
        const parts = [
            { name: 'weight_g_idx', dtype: 'I32', shape: [columns], bytes: BYTES.groups },
            { name: 'weight_packed', dtype: 'I32', shape: [rows, (columns / 32) * bits], bytes: BYTES.codes },
            { name: 'weight_scale', dtype: 'F16', shape: [rows, groups], bytes: BYTES.scales },
            { name: 'weight_shape', dtype: 'I64', shape: [2], bytes: () => shape },
            { name: 'weight_zero_point', dtype: 'I32', shape: [(rows / 32) * bits, groups], bytes: BYTES.zeros },
        ];
        const has = (/** @type {string} */ name) =>
            name === 'weight_g_idx' ? needsGroupIndex(settings) : name !== 'weight_zero_point' || !symmetric;
        return parts.filter(({ name }) => has(name));
    },
};
