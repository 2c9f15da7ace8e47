/** Checks values against a table of options (options.js, quantize-options.js), and says what is wrong with them. */
import { TYPES } from './abi.js';
import { messageOf, NibbleError } from './errors.js';

/**
 * @typedef {object} Option
 * @property {string} [flag] on the command line; without it, only the API has the option
 * @property {'integer' | 'number' | 'switch' | 'text' | 'texts' | 'biases' | 'rules' | 'choice' | 'objects' |
 *     'object' | 'schema' | 'bytes' | 'thinking' | 'toolChoice' | 'adapters'} type
 * @property {string} help
 * @property {true} [file] of a text: on the command line it is the name of a file that has it
 * @property {true} [off] of a switch: the flag turns it off, and the help says what happens then
 * @property {number} [min] inclusive
 * @property {number} [max] inclusive
 * @property {number} [modulo] any whole number is accepted, and reduced modulo this
 * @property {readonly string[]} [choices]
 * @property {readonly string[]} [types] of rules: the types that they may give (default: TENSOR_TYPES)
 * @property {any} [default] without it, the value is decided when it is needed, as the help says
 * @property {string} [value] what the help calls the value
 */

/**
 * A table of options: an entry for each field of the checked options.
 * @template Checked
 * @typedef {{ [name in keyof Checked]-?: Option }} Table
 */

/** Types of tensors that can be written. The others are for activations, or not for weights. */
export const TENSOR_TYPES = Object.keys(TYPES).filter(
    (name) => !/^(q8_1|q8_k|i8|i16|i32|i64|f64|u8|bool|f8_.*)$/.test(name),
);

/** @param {string} message */
export const refuse = (message) => new NibbleError('NB_ERR_ARGUMENT', message);

/**
 * A value for a message; of an object only its kind, because its own text may be long, or throw.
 * @param {unknown} value
 */
export const show = (value) => {
    if (typeof value === 'object' && value !== null)
        return Array.isArray(value) ? 'an array' : `an object (${Object.prototype.toString.call(value).slice(8, -1)})`;
    const text =
        typeof value === 'string' ? JSON.stringify(value) : typeof value === 'function' ? 'a function' : String(value);
    return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};

/** @param {Option} option */
function range({ min = -Infinity, max = Infinity }) {
    if (max >= 2 ** 31 - 1) return min === -Infinity ? '' : `, at least ${min}`;
    return ` from ${min} to ${max}`;
}

/**
 * @param {string} name as the caller spells it
 * @param {Option} option
 * @param {any} value
 * @returns {any} the value, in the form that the engine expects
 */
export function checkOption(name, option, value) {
    switch (option.type) {
        case 'integer':
        case 'number': {
            const fits =
                typeof value === 'number' && value >= (option.min ?? -Infinity) && value <= (option.max ?? Infinity);
            if (!fits || (option.type === 'integer' ? !Number.isInteger(value) : !Number.isFinite(value))) {
                const kind = option.type === 'integer' ? 'a whole number' : 'a number';
                throw refuse(`${name} must be ${kind}${range(option)}, not ${show(value)}`);
            }
            return option.modulo ? ((value % option.modulo) + option.modulo) % option.modulo : value;
        }
        case 'switch':
            if (typeof value !== 'boolean') throw refuse(`${name} must be true or false, not ${show(value)}`);
            return value;
        case 'choice':
            if (!option.choices?.includes(value))
                throw refuse(`${name} must be one of ${option.choices?.join(', ')}, not ${show(value)}`);
            return value;
        case 'text':
            if (typeof value !== 'string') throw refuse(`${name} must be a text, not ${show(value)}`);
            return value;
        case 'texts': {
            const texts = typeof value === 'string' ? [value] : value;
            if (!Array.isArray(texts)) throw refuse(`${name} must be a text or an array of texts, not ${show(value)}`);
            for (const text of texts)
                if (typeof text !== 'string' || text === '')
                    throw refuse(`${name} must be a text that is not empty, not ${show(text)}`);
                else if (option.choices && !option.choices.includes(text))
                    throw refuse(`${name} must be names among ${option.choices.join(', ')}, not ${show(text)}`);
            if (option.choices && new Set(texts).size < texts.length) throw refuse(`${name} names a step twice`);
            return [...texts];
        }
        case 'objects':
            if (!Array.isArray(value) || value.some((item) => typeof item !== 'object' || item === null))
                throw refuse(`${name} must be an array of objects, not ${show(value)}`);
            return value;
        case 'object':
            if (typeof value !== 'object' || value === null || Array.isArray(value))
                throw refuse(`${name} must be an object, not ${show(value)}`);
            return value;
        case 'schema':
            if (value !== true && (typeof value !== 'object' || value === null || Array.isArray(value)))
                throw refuse(`${name} must be a JSON Schema, an object or true, not ${show(value)}`);
            return value;
        case 'rules':
            return checkRules(name, value, option.types ?? TENSOR_TYPES);
        case 'bytes':
            return checkBytes(name, value);
        case 'biases':
            return checkBiases(name, value);
        case 'thinking':
            return checkThinking(name, value);
        case 'toolChoice':
            return checkToolChoice(name, value);
        case 'adapters':
            return checkAdapters(name, value);
    }
}

/** @param {string} name @param {any} value @returns {boolean | { maxTokens: number }} */
function checkThinking(name, value) {
    const most = value?.maxTokens,
        others = Object.keys(Object(value)).filter((key) => key !== 'maxTokens');
    if (typeof value === 'boolean') return value;
    if (!Number.isInteger(most) || most < 0 || most > 2 ** 31 - 1 || others.length > 0)
        throw refuse(`${name} must be true, false or { maxTokens: N }, not ${show(value)}`);
    return { maxTokens: most };
}

/** @param {string} name @param {any} value @returns {'auto' | 'none' | 'required' | { name: string }} */
function checkToolChoice(name, value) {
    if (value === 'auto' || value === 'none' || value === 'required') return value;
    const others = Object.keys(Object(value)).filter((key) => key !== 'name');
    if (typeof value?.name !== 'string' || others.length > 0)
        throw refuse(`${name} must be "auto", "none", "required" or { name } of a function, not ${show(value)}`);
    return { name: value.name };
}

/**
 * A number of bytes, or a text such as "90MB".
 * @param {string} name
 * @param {any} value
 * @returns {number}
 */
function checkBytes(name, value) {
    const [, digits = '', unit = '', binary] = /^\s*(\d+(?:\.\d+)?)\s*([kmg]?)(i?)b?\s*$/i.exec(String(value)) ?? [],
        bytes = Math.floor(Number(digits) * (binary ? 1024 : 1000) ** ' kmg'.indexOf(unit.toLowerCase() || ' '));
    if (digits === '' || !/^(number|string)$/.test(typeof value) || bytes < 1 || bytes > 2 ** 53 || (binary && !unit))
        throw refuse(`${name} must be a number of bytes, such as 90000000, 90MB or 1.5GiB, not ${show(value)}`);
    return bytes;
}

/**
 * Token ids or texts, and their biases. Keys of an object are texts in JavaScript: one of digits is a token id there.
 * @param {string} name
 * @param {any} value
 * @returns {[number | string, number][]}
 */
function checkBiases(name, value) {
    // the Map may be of another realm; other collections, which have iterators, too, are refused
    const isMap = Object.prototype.toString.call(value) === '[object Map]';
    if (typeof value !== 'object' || value === null || (!isMap && !Array.isArray(value) && Symbol.iterator in value))
        throw refuse(
            `${name} must be an object like { "123": -5, " the": -5 }, or a Map or an array of such pairs: ` +
                `token ids or texts, and biases, not ${show(value)}`,
        );
    /** @type {any[]} */
    const pairs =
        isMap || Array.isArray(value)
            ? [...value]
            : Object.entries(value).map(([key, bias]) => [/^\d+$/.test(key) ? Number(key) : key, bias]);
    for (const pair of pairs) {
        if (!Array.isArray(pair) || pair.length !== 2)
            throw refuse(`${name} must have pairs of a token id or a text and its bias, not ${show(pair)}`);
        const [key, bias] = pair;
        if (typeof key === 'string' ? key === '' : !Number.isInteger(key) || key < 0)
            throw refuse(`${name} has ${show(key)} where a token id or a text is expected`);
        if (typeof bias !== 'number' || Number.isNaN(bias))
            throw refuse(
                `${name} gives ${typeof key === 'string' ? show(key) : `token ${key}`} the bias ${show(bias)}, ` +
                    'which is not a number',
            );
    }
    return pairs;
}

/**
 * Names of adapters and their scales.
 * @param {string} name
 * @param {any} value
 * @returns {import('./index.d.ts').AdapterScale[]}
 */
function checkAdapters(name, value) {
    if (!Array.isArray(value))
        throw refuse(`${name} must be an array like [{ name: "a", scale: 1 }], not ${show(value)}`);
    const names = new Set();
    return value.map((item) => {
        const { name: own, scale = 1, ...others } = typeof item === 'string' ? { name: item } : (item ?? {});
        if (typeof own !== 'string' || Object.keys(others).length > 0)
            throw refuse(`${name} must have names of adapters, or objects of a name and a scale, not ${show(item)}`);
        if (names.has(own)) throw refuse(`${name} names the adapter ${show(own)} twice`);
        names.add(own);
        return { name: own, scale: checkOption(`${name}: the scale of ${show(own)}`, SCALE, scale) };
    });
}

/** Of an adapter. @type {Option} */
export const SCALE = { type: 'number', min: -1000, max: 1000, help: '' };

/**
 * Patterns and types of tensors: an object, or pairs in an array.
 * @param {string} name
 * @param {any} value
 * @param {readonly string[]} types
 * @returns {[string, string][]}
 */
function checkRules(name, value, types) {
    if (typeof value !== 'object' || value === null)
        throw refuse(`${name} must be an object like { "ffn_down": "q6_k" }, not ${show(value)}`);
    const rules = Array.isArray(value) ? value : Object.entries(value);
    for (const rule of rules) {
        if (!Array.isArray(rule) || rule.length !== 2 || typeof rule[0] !== 'string')
            throw refuse(`${name} must be pairs of a pattern and a type, not ${show(rule)}`);
        const [pattern, type] = rule;
        if (!types.includes(type))
            throw refuse(
                `${name}: ${show(pattern)} gets the type ${show(type)}, but it must be one of ${types.join(', ')}`,
            );
        try {
            new RegExp(pattern);
        } catch (error) {
            throw refuse(`${name}: ${show(pattern)} is no regular expression: ${messageOf(error)}`);
        }
    }
    return rules.map(([pattern, type]) => [pattern, type]);
}

/**
 * Checks the caller's options and fills in the defaults. An unknown name is refused: it is a typing mistake.
 * @template Checked
 * @param {Table<Checked>} table
 * @param {object | undefined} given
 * @param {string} caller for the message, such as "complete()"
 * @param {string[]} [others] names that the caller checks itself
 * @returns {Checked}
 */
export function checkOptions(table, given, caller, others = []) {
    if (given !== undefined && (typeof given !== 'object' || given === null))
        throw refuse(`${caller}: the options must be an object, not ${show(given)}`);
    /** @type {Record<string, any>} */
    const checked = {};
    const options = /** @type {Record<string, Option>} */ (table);
    for (const [name, option] of Object.entries(options)) checked[name] = option.default;
    for (const [name, value] of Object.entries(given ?? {})) {
        if (value === undefined || others.includes(name)) continue;
        if (!Object.hasOwn(table, name)) {
            const near = nearest(name, [...Object.keys(table), ...others]);
            throw refuse(`${caller} has no option ${show(name)}${near ? `; did you mean "${near}"?` : ''}`);
        }
        checked[name] = checkOption(`${caller}: ${name}`, options[name], value);
    }
    return /** @type {Checked} */ (checked);
}

/**
 * The known word that a mistyped one was likely meant to be.
 * @param {string} word
 * @param {string[]} known
 * @returns {string | undefined}
 */
export function nearest(word, known) {
    if (word.length > 64) return; // no typing mistake, and a long one would take long to compare
    const plain = (/** @type {string} */ text) => text.toLowerCase().replace(/[-_]/g, '');
    let best,
        least = Math.max(2, word.length / 3);
    for (const candidate of known) {
        const d = distance(plain(word), plain(candidate));
        if (d <= least && (best === undefined || d < least)) [best, least] = [candidate, d];
    }
    return best;
}

/**
 * Levenshtein's distance.
 * @param {string} a
 * @param {string} b
 */
function distance(a, b) {
    let row = Array.from({ length: b.length + 1 }, (_, j) => j);
    for (let i = 1; i <= a.length; i++) {
        const next = [i];
        for (let j = 1; j <= b.length; j++)
            next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
        row = next;
    }
    return row[b.length];
}
