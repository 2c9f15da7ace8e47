/** What config.json of a folder says that was quantized here. */
import { NibbleError } from '../errors.js';

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
        // which transformers refuses without its point: JSON.stringify() writes 6.0 as 6
        json = JSON.stringify(quantization, null, 2).replace(/("llm_int8_threshold": \d+)(?=,)/, '$1.0'),
        added = json.replaceAll('\n', '\n  ');
    return `${before}${Object.keys(fields).length > 0 ? ',' : ''}\n  "quantization_config": ${added}\n}\n`;
}
