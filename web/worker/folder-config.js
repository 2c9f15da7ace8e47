/** What config.json and quantize_config.json say of a folder that was quantized here. */
import { NibbleError } from '../errors.js';

/** @typedef {import('../protocol.js').QuantizeOptions} QuantizeOptions */
/** @typedef {import('../options.js').CheckedFolder} CheckedFolder */

/**
 * AutoGPTQ's fields, as GPTQModel writes them. vLLM asks for bits, group_size, desc_act and sym, and heeds lm_head and
 * checkpoint_format (vllm/model_executor/layers/quantization/gptq.py, GPTQConfig.from_config()).
 * @param {QuantizeOptions} options
 * @param {CheckedFolder} folder
 */
const gptq = ({ damping, trueSequential }, { format, bits, group, symmetric, order }) => ({
    quant_method: 'gptq',
    bits,
    group_size: group || -1,
    desc_act: order === 'activation' && group > 0,
    static_groups: order === 'static',
    sym: symmetric,
    lm_head: false,
    damp_percent: damping,
    true_sequential: trueSequential,
    checkpoint_format: format,
    pack_dtype: 'int32',
    meta: { quantizer: ['nibble'] },
});

/**
 * compressed-tensors' QuantizationConfig.
 * @param {CheckedFolder} folder
 * @param {string[]} ignore modules with matrices that stay as they are
 */
const compressed = ({ bits, group, symmetric, order }, ignore) => ({
    quant_method: 'compressed-tensors',
    format: 'pack-quantized',
    quantization_status: 'compressed',
    global_compression_ratio: null,
    kv_cache_scheme: null,
    ignore,
    config_groups: {
        group_0: {
            targets: ['Linear'],
            weights: {
                num_bits: bits,
                type: 'int',
                symmetric,
                strategy: group > 0 ? 'group' : 'channel',
                group_size: group > 0 ? group : null,
                actorder: order === 'activation' && group > 0 ? 'group' : null,
                dynamic: false,
                observer: 'minmax',
            },
            input_activations: null,
            output_activations: null,
        },
    },
});

/**
 * @param {QuantizeOptions} options
 * @param {CheckedFolder} folder
 * @param {string[]} ignore
 */
export const quantizationConfig = (options, folder, ignore) =>
    folder.format === 'compressed-tensors' ? compressed(folder, ignore) : gptq(options, folder);

/**
 * config.json with a quantization_config as its last field. What was there stays as it is, to the last digit: libraries
 * tell 1.0 from 1.
 * @param {string} config
 * @param {object} quantization
 */
export function withQuantization(config, quantization) {
    const text = config.replace(/^\ufeff/, '').trimEnd();
    let fields;
    try {
        fields = JSON.parse(text);
    } catch {
        // said below
    }
    if (typeof fields !== 'object' || fields === null || Array.isArray(fields))
        throw new NibbleError('NB_ERR_FORMAT', 'config.json is no JSON object: download it again');
    const before = text.slice(0, -1).trimEnd(),
        added = JSON.stringify(quantization, null, 2).replaceAll('\n', '\n  ');
    return `${before}${Object.keys(fields).length > 0 ? ',' : ''}\n  "quantization_config": ${added}\n}\n`;
}
