/** The config.json of a folder that is quantized. */
import { NibbleError } from '../errors.js';

const FIELD = 'quantization_config';

/**
 * Adds a quantization_config as the last field; an empty one is replaced. All else stays as it is, to the last digit:
 * libraries tell 1.0 from 1.
 * @param {string} config
 * @param {object} quantization
 */
export function withQuantization(config, quantization) {
    const text = config.replace(/^\ufeff/, '').trimEnd();
    let fields;
    try {
        fields = JSON.parse(text);
    } catch {
        // reported below
    }
    if (typeof fields !== 'object' || fields === null || Array.isArray(fields))
        throw new NibbleError('NB_ERR_FORMAT', 'config.json is no JSON object: download it again');
    const members = membersOf(text).filter(({ key }) => key !== FIELD),
        before = `{${members.map(({ text }) => text).join(',')}`.trimEnd(),
        // JSON.stringify() writes 6.0 as 6, which transformers refuses here
        json = JSON.stringify(quantization, null, 2).replace(/("llm_int8_threshold": \d+)(?=,)/, '$1.0'),
        added = json.replaceAll('\n', '\n  ');
    return `${before}${members.length > 0 ? ',' : ''}\n  "${FIELD}": ${added}\n}\n`;
}

/**
 * The members of a JSON object, as they are written between its commas.
 * @param {string} json an object
 */
function membersOf(json) {
    /** @type {{ key: string, text: string }[]} */
    const members = [];
    let depth = 0,
        begin = 0,
        key = '';
    for (const { 0: token, index } of json.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],]/g)) {
        if (depth === 1 && (token === ',' || token === '}')) {
            if (key) members.push({ key: JSON.parse(key), text: json.slice(begin, index) });
            begin = index + 1;
            key = '';
        }
        if (token === '{' || token === '[') {
            if (depth++ === 0) begin = index + 1;
        } else if (token === '}' || token === ']') depth--;
        else if (depth === 1 && token !== ',' && !key) key = token;
    }
    return members;
}
