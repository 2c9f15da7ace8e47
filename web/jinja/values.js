/**
 * Values of a chat template, and what Python's operators make of them.
 *
 *   None: null; bool: boolean; int: bigint; float: number; str: Text; list: Array; the others are the classes below.
 */
import { LimitError, TemplateError } from './problems.js';
import {
    Builder,
    checkItems,
    checkSearch,
    compareStrings,
    concat,
    EMPTY,
    escaped,
    joined,
    MAX_ITEMS,
    repeated,
    spelt,
    Text,
    text,
} from './text.js';

/** @typedef {any} Value */

const MAX_DEPTH = 500,
    MAX_BITS = 1 << 16;

/** A missing value. It prints nothing, is false and has no items; any other use of it fails. */
export class Undefined {
    /** @param {string} message */
    constructor(message) {
        this.message = message;
    }
}

export class Tuple extends Array {}
/** What dict.keys(), values() and items() give: it has no indices. */
export class View extends Array {
    label = 'items';
}
/** What groupby() gives: (grouper, list). */
export class Group extends Tuple {}
export class Range extends Array {}

/** What select, map and their kin give: its items can be had once. */
export class Iterator {
    /** @param {Value[]} items */
    constructor(items) {
        this.items = items;
    }
}

/** A message's content in parts. All of one rendering share their flags. */
export class Parts extends Array {
    /** Whether the template has looked into the parts of a content. */
    seen = false;
    /** Whether it has used a content as a text. */
    printed = false;
    /** The one that holds the flags. @type {Parts} */
    shared = this;
}

/** In the order of insertion. Keys that are equal in Python are one: 1, 1.0 and True. */
export class Dict {
    /** @type {Map<unknown, [Value, Value]>} */
    entries = new Map();

    /** @param {Value} key @returns {Value} undefined (JavaScript's): it is not there */
    get(key) {
        return this.entries.get(hashed(key))?.[1];
    }

    /** The value of a name that is written in the template. @param {string} name */
    getName(name) {
        return this.entries.get(name)?.[1];
    }

    /** @param {Value} key @param {Value} value */
    set(key, value) {
        const hash = hashed(key);
        this.entries.set(hash, [this.entries.get(hash)?.[0] ?? key, value]);
    }

    get size() {
        return this.entries.size;
    }

    keys() {
        return labelled(
            'keys',
            [...this.entries.values()].map(([key]) => key),
        );
    }

    values() {
        return labelled(
            'values',
            [...this.entries.values()].map(([, value]) => value),
        );
    }

    items() {
        return labelled(
            'items',
            [...this.entries.values()].map(([key, value]) => Tuple.of(key, value)),
        );
    }
}

/** @param {string} label @param {Value[]} items @returns {Value[]} */
const labelled = (label, items) => Object.assign(View.from(items), { label });

/** namespace(): its attributes can be set. */
export class Namespace {
    /** @type {Map<string, Value>} */
    names = new Map();
}

/** A function that runs no code of the template. */
export class Builtin {
    /**
     * @param {string} name
     * @param {(args: Value[], named: Map<string, Value>) => Value} run
     */
    constructor(name, run) {
        this.name = name;
        this.run = run;
    }
}

/** An object whose attributes can be read: loop, cycler(). */
export class Attributes {
    /** @param {Record<string, () => Value>} getters */
    constructor(getters) {
        this.getters = getters;
    }
}

/** @param {string} message @returns {never} */
export function fail(message) {
    throw new TemplateError(message);
}

// ---- what a caller gives ----------------------------------------------------------------------------------------

/**
 * JSON's values -> a template's.
 * @param {unknown} value
 * @param {number} origin of its texts, and of its keys
 * @param {number} [depth]
 * @returns {Value}
 */
export function toValue(value, origin, depth = 0) {
    if (depth > MAX_DEPTH) fail(`what it is given is nested more than ${MAX_DEPTH} deep`);
    switch (typeof value) {
        case 'string':
            return Text.from(value, origin);
        case 'number':
            return Number.isInteger(value) ? BigInt(value) : value;
        case 'boolean':
        case 'bigint':
            return value;
        case 'undefined':
            return null;
        case 'object':
            if (value === null) return null;
            if (Array.isArray(value)) return value.map((item) => toValue(item, origin, depth + 1));
            return dictOf(value, () => origin, null, depth);
    }
    return fail(`a ${typeof value} is not what a template can be given`);
}

/**
 * @param {object} object
 * @param {(key: string, value: unknown) => number} originOf
 * @param {Parts | null} [parts] of a message: holds the flags of its content
 * @param {number} [depth]
 */
export function dictOf(object, originOf, parts = null, depth = 0) {
    const dict = new Dict();
    for (const [key, value] of Object.entries(object))
        if (value !== undefined)
            dict.set(Text.from(key, originOf(key, value)), memberOf(key, value, originOf(key, value), parts, depth));
    return dict;
}

/** @param {string} key @param {unknown} value @param {number} origin @param {Parts | null} parts @param {number}
 *     depth */
function memberOf(key, value, origin, parts, depth) {
    if (!parts || key !== 'content' || !Array.isArray(value)) return toValue(value, origin, depth + 1);
    const list = /** @type {Parts} */ (Parts.from(toValue(value, origin, depth + 1)));
    list.shared = parts;
    return list;
}

// ---- kinds ------------------------------------------------------------------------------------------------------

/** @param {Value} value */
export const isNumber = (value) => typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean';
/** @param {Value} value */
export const isInteger = (value) => typeof value === 'bigint' || typeof value === 'boolean';

/** Whether both are lists, or both tuples and so on. @param {Value} a @param {Value} b @returns {boolean} */
const isList = (a, b) => {
    const type = (/** @type {Value} */ value) =>
        value instanceof Parts ? Array : value instanceof Tuple ? Tuple : value.constructor;
    return Array.isArray(a) && Array.isArray(b) && type(a) === type(b);
};

/** The name of its type, for messages. @param {Value} value */
export function kind(value) {
    if (value === null) return 'None';
    const names = /** @type {[Function, string][]} */ ([
        [Text, 'a string'],
        [Tuple, 'a tuple'],
        [Array, 'a list'],
        [Dict, 'a dict'],
        [Namespace, 'a namespace'],
        [Iterator, 'a generator'],
        [Undefined, 'undefined'],
        [Builtin, 'a function'],
    ]);
    const simple = /** @type {Record<string, string>} */ ({ boolean: 'a bool', bigint: 'an int', number: 'a float' });
    return simple[typeof value] ?? names.find(([type]) => value instanceof type)?.[1] ?? 'an object';
}

/** @param {Value} value @param {string} [what] */
export function needText(value, what = 'this') {
    return value instanceof Text ? value : fail(`${what} must be a string, not ${describeValue(value)}`);
}

/** The name of its type; of an undefined value, why it is undefined. @param {Value} value */
export const describeValue = (value) => (value instanceof Undefined ? value.message : kind(value));

/** @param {Value} value @param {string} [what] @returns {number} a whole number, as JavaScript's indices are */
export function needIndex(value, what = 'an index') {
    return isInteger(value) ? Number(value) : fail(`${what} must be a whole number, not ${describeValue(value)}`);
}

/** @param {Value} value */
export function truth(value) {
    if (value instanceof Text) return value.string !== '';
    if (Array.isArray(value)) return value.length > 0;
    if (value instanceof Dict) return value.size > 0;
    if (isNumber(value)) return Boolean(value) || Number.isNaN(value);
    return value !== null && !(value instanceof Undefined);
}

/** @param {Value} value @returns {Value[]} what a loop over it sees */
export function iterate(value) {
    if (value instanceof Parts) value.shared.seen = true;
    if (Array.isArray(value)) return value;
    if (value instanceof Text) return value.characters();
    if (value instanceof Dict) return value.keys();
    if (value instanceof Iterator) return value.items.splice(0);
    return value instanceof Undefined ? [] : fail(`cannot loop over ${kind(value)}`);
}

/**
 * The items of a value, which must be so many.
 * @param {Value} value
 * @param {number} n
 * @param {string} what needs them, for the message
 */
export function several(value, n, what) {
    const items = [...iterate(value)];
    return items.length === n ? items : fail(`${what} needs ${n} items, not ${items.length}`);
}

/** @param {Value} value */
export function lengthOf(value) {
    if (value instanceof Text || Array.isArray(value)) return BigInt(value.length);
    if (value instanceof Dict) return BigInt(value.size);
    return value instanceof Undefined ? 0n : fail(`${kind(value)} has no length`);
}

/** How much work a value is, roughly: for counting steps. @param {Value} value */
export function weight(value) {
    return value instanceof Text ? value.string.length + value.marks.length : Array.isArray(value) ? value.length : 0;
}

/** @param {Value} key @returns {unknown} what a Map takes for the same key */
function hashed(key) {
    if (key instanceof Text) return key.string;
    if (isNumber(key)) return Number(key);
    if (key === null) return key;
    if (key instanceof Tuple) return `\0${key.map((item) => `${typeof hashed(item)} ${hashed(item)}`).join('\0')}`;
    return key instanceof Undefined ? fail(key.message) : fail(`${kind(key)} cannot be a key`);
}

// ---- comparing --------------------------------------------------------------------------------------------------

/**
 * Python's ==.
 * @param {Value} a
 * @param {Value} b
 * @param {{ left: number }} [work]
 * @returns {boolean}
 */
export function equal(a, b, work = { left: MAX_ITEMS }) {
    work.left -= 1 + (a instanceof Text ? a.string.length >> 6 : 0);
    if (work.left < 0) throw new LimitError(`it compares more than ${MAX_ITEMS} values at once`);
    if (a instanceof Text || b instanceof Text) return a instanceof Text && b instanceof Text && a.string === b.string;
    if (isNumber(a) && isNumber(b))
        // biome-ignore lint/suspicious/noDoubleEquals: a bigint equals the same number
        return a == b;
    if (Array.isArray(a) && Array.isArray(b))
        return isList(a, b) && a.length === b.length && a.every((item, i) => equal(item, b[i], work));
    if (a instanceof Dict && b instanceof Dict)
        return (
            a.size === b.size &&
            [...a.entries].every(
                ([hash, [, value]]) => b.entries.has(hash) && equal(value, b.entries.get(hash)?.[1], work),
            )
        );
    return a === b || (a instanceof Undefined && b instanceof Undefined);
}

/** Negative, 0 or positive. @param {Value} a @param {Value} b @returns {number} */
export function compare(a, b) {
    if (isNumber(a) && isNumber(b)) return a < b ? -1 : a > b ? 1 : 0;
    if (a instanceof Text && b instanceof Text) return compareStrings(a.string, b.string);
    if (isList(a, b)) {
        const at = a.findIndex(
            (/** @type {Value} */ item, /** @type {number} */ i) => i >= b.length || !equal(item, b[i]),
        );
        return at < 0 || at >= b.length ? a.length - b.length : compare(a[at], b[at]);
    }
    return fail(`${describeValue(a)} and ${describeValue(b)} have no order`);
}

/** Python's "in". @param {Value} item @param {Value} within @returns {boolean} */
export function contains(item, within) {
    if (within instanceof Text) {
        const { string } = needText(item, 'what is sought in a string');
        checkSearch(within.string, string);
        return within.string.includes(string);
    }
    if (within instanceof Dict) return within.entries.has(hashed(item));
    if (within instanceof Parts && item instanceof Text) within.shared.printed = true; // it is sought in a text
    const work = { left: MAX_ITEMS };
    return iterate(within).some((other) => equal(item, other, work));
}

/** @param {string} operator @param {Value} a @param {Value} b @returns {boolean} */
export function compared(operator, a, b) {
    switch (operator) {
        case '==':
            return equal(a, b);
        case '!=':
            return !equal(a, b);
        case 'in':
            return contains(a, b);
        case 'not in':
            return !contains(a, b);
        case '<':
            return ordered(a, b) && compare(a, b) < 0;
        case '<=':
            return ordered(a, b) && compare(a, b) <= 0;
        case '>':
            return ordered(a, b) && compare(a, b) > 0;
        default:
            return ordered(a, b) && compare(a, b) >= 0;
    }
}

/** NaN is neither before nor after a number. @param {Value} a @param {Value} b */
const ordered = (a, b) => !(Number.isNaN(a) || Number.isNaN(b)) || !(isNumber(a) && isNumber(b));

// ---- arithmetic -------------------------------------------------------------------------------------------------

/** @param {string} operator @param {Value} a @param {Value} b @returns {Value} */
export function calculated(operator, a, b) {
    if (operator === '+' && a instanceof Text && b instanceof Text)
        return a.safe || b.safe
            ? concat(new Text(escaped(a).string, escaped(a).marks, true), escaped(b))
            : concat(a, b);
    if (operator === '+' && isList(a, b) && !(a instanceof View))
        return a instanceof Tuple ? Tuple.from(limited([...a, ...b])) : limited([...a, ...b]);
    if (operator === '*' && (isInteger(a) || isInteger(b))) {
        const [value, times] = isInteger(b) ? [a, b] : [b, a];
        if (value instanceof Text) return repeated(value, Number(times));
        if (Array.isArray(value) && !(value instanceof View)) return multiplied(value, Number(times));
    }
    if (!isNumber(a) || !isNumber(b))
        return fail(`${operator} does not go with ${describeValue(a)} and ${describeValue(b)}`);
    const whole = isInteger(a) && isInteger(b);
    if ('//%'.includes(operator) && Number(b) === 0) fail('division by zero');
    return whole ? wholeNumbers(operator, BigInt(a), BigInt(b)) : floats(operator, Number(a), Number(b));
}

/** @param {Value[]} items */
export function limited(items) {
    checkItems(items.length);
    return items;
}

/** @param {Value[]} items @param {number} times */
function multiplied(items, times) {
    checkItems(items.length * times);
    const all = [];
    for (let i = 0; i < times && items.length > 0; i++) all.push(...items);
    return items instanceof Tuple ? Tuple.from(all) : all;
}

/** @param {string} operator @param {bigint} a @param {bigint} b @returns {Value} */
function wholeNumbers(operator, a, b) {
    switch (operator) {
        case '+':
            return a + b;
        case '-':
            return a - b;
        case '*':
            return small(a) && small(b) ? a * b : tooLarge();
        case '/':
            return Number(a) / Number(b);
        case '//':
            return (a - (((a % b) + b) % b)) / b;
        case '%':
            return ((a % b) + b) % b;
    }
    if (b < 0n) return Number(a) ** Number(b);
    return BigInt(a.toString(2).length) * b <= MAX_BITS ? a ** b : tooLarge();
}

/** @param {bigint} x */
const small = (x) => BigInt.asIntN(MAX_BITS, x) === x;

/** @returns {never} */
function tooLarge() {
    throw new LimitError(`it computes numbers of more than ${MAX_BITS} bits`);
}

/** @param {string} operator @param {number} a @param {number} b @returns {number} */
function floats(operator, a, b) {
    const rest = ((a % b) + b) % b;
    switch (operator) {
        case '+':
            return a + b;
        case '-':
            return a - b;
        case '*':
            return a * b;
        case '/':
            return a / b;
        case '//':
            return Math.floor(a / b);
        case '%':
            return rest;
        default:
            return a ** b;
    }
}

// ---- what is printed --------------------------------------------------------------------------------------------

/** Python's str(). @param {Value} value @returns {Text} */
export function str(value) {
    if (value instanceof Text) return value;
    if (value instanceof Undefined) return EMPTY;
    if (value instanceof Parts) value.shared.printed = true;
    return repr(value);
}

/** Python's repr(). @param {Value} value @returns {Text} */
export function repr(value) {
    const out = new Builder();
    writeRepr(value, out, 0);
    return out.text();
}

/** @param {Value} value @param {Builder} out @param {number} depth */
function writeRepr(value, out, depth) {
    checkDepth(depth, out);
    const write = (/** @type {string} */ string) => out.push(text(string));
    const list = (/** @type {Value[]} */ items) =>
        items.forEach((item, i) => {
            write(i > 0 ? ', ' : '');
            writeRepr(item, out, depth + 1);
        });
    if (value instanceof Text) {
        out.push(reprText(value));
    } else if (value instanceof Range) {
        const step = value.length > 1 ? value[1] - value[0] : 1n;
        write(value.length > 0 ? `range(${value[0]}, ${value.at(-1) + step})` : 'range(0, 0)');
    } else if (value instanceof Tuple) {
        write('(');
        list(value);
        write(value.length === 1 ? ',)' : ')');
    } else if (Array.isArray(value)) {
        write(value instanceof View ? `dict_${value.label}([` : '[');
        list(value);
        write(value instanceof View ? '])' : ']');
    } else if (value instanceof Dict) {
        write('{');
        [...value.entries.values()].forEach(([key, item], i) => {
            write(i > 0 ? ', ' : '');
            writeRepr(key, out, depth + 1);
            write(': ');
            writeRepr(item, out, depth + 1);
        });
        write('}');
    } else {
        write(reprSimple(value));
    }
}

/** @param {Value} value */
function reprSimple(value) {
    if (value === null) return 'None';
    if (typeof value === 'boolean') return value ? 'True' : 'False';
    if (typeof value === 'bigint') return value.toString();
    return typeof value === 'number' ? floatText(value) : value instanceof Undefined ? 'Undefined' : `<${kind(value)}>`;
}

/** @param {number} depth @param {Builder} out */
function checkDepth(depth, out) {
    checkItems(out.pieces.length >> 2); // the pieces of a text and its quotes
    if (depth > MAX_DEPTH) throw new LimitError(`it writes values that are nested more than ${MAX_DEPTH} deep`);
}

/** Python's repr of a float: the shortest digits, and an exponent for other powers than JavaScript's. @param {number}
 * value */
export function floatText(value) {
    if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value < 0 ? '-inf' : 'inf';
    const [mantissa, exponent] = value.toExponential().split('e');
    const power = Number(exponent);
    if (value !== 0 && (power < -4 || power >= 16))
        return `${mantissa}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
    const plain = power < 0 ? value.toFixed(mantissa.replace(/[-.]/g, '').length - 1 - power) : String(value);
    return `${Object.is(value, -0) ? '-' : ''}${plain}${plain.includes('.') ? '' : '.0'}`;
}

/** @param {Text} value */
function reprText(value) {
    const quote = value.string.includes("'") && !value.string.includes('"') ? '"' : "'";
    const body = new Text(value.string, value.marks).mapped((s) =>
        s.replace(/[\\'"]|(?! )[\p{C}\p{Z}]/gu, (c) => {
            if (c === '"' || c === "'") return c === quote ? `\\${c}` : c;
            const short = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }[c];
            return short ?? spelt(/** @type {number} */ (c.codePointAt(0)));
        }),
    );
    return joined([text(quote), body, text(quote)]);
}

// ---- JSON -------------------------------------------------------------------------------------------------------

/** @typedef {{ ascii: boolean, indent: string | null, item: Text, key: Text, sort: boolean }} JsonStyle */

/** Python's json.dumps. @param {Value} value @param {JsonStyle} style */
export function json(value, style) {
    const out = new Builder();
    writeJson(value, style, out, 0);
    return out.text();
}

/** @param {Value} value @param {JsonStyle} style @param {Builder} out @param {number} depth */
function writeJson(value, style, out, depth) {
    checkDepth(depth, out);
    const write = (/** @type {string} */ string) => out.push(text(string));
    const all = (
        /** @type {string} */ open,
        /** @type {string} */ close,
        /** @type {Value[]} */ items,
        /** @type {(item: Value) => void} */ one,
    ) => {
        const line = style.indent === null ? '' : `\n${style.indent.repeat(depth + 1)}`;
        write(open);
        items.forEach((item, i) => {
            if (i > 0) out.push(style.item);
            write(line);
            one(item);
        });
        if (items.length > 0 && style.indent !== null) write(`\n${style.indent.repeat(depth)}`);
        write(close);
    };
    if (value instanceof Text) {
        out.push(jsonText(value, style.ascii));
    } else if (Array.isArray(value) && !(value instanceof View || value instanceof Range)) {
        all('[', ']', iterate(value), (item) => writeJson(item, style, out, depth + 1));
    } else if (value instanceof Dict) {
        const entries = [...value.entries.values()];
        if (style.sort) entries.sort(([a], [b]) => compare(a, b));
        all('{', '}', entries, ([key, item]) => {
            out.push(jsonText(jsonKey(key), style.ascii));
            out.push(style.key);
            writeJson(item, style, out, depth + 1);
        });
    } else if (value === null || isNumber(value)) {
        write(jsonSimple(value));
    } else {
        fail(`${describeValue(value)} cannot be written as JSON`);
    }
}

/** @param {Value} value */
function jsonSimple(value) {
    if (typeof value === 'number' && !Number.isFinite(value))
        return Number.isNaN(value) ? 'NaN' : value < 0 ? '-Infinity' : 'Infinity';
    return value === null ? 'null' : typeof value === 'boolean' ? String(value) : reprSimple(value);
}

/** @param {Value} key */
const jsonKey = (key) =>
    key instanceof Text
        ? key
        : key === null || isNumber(key)
          ? text(jsonSimple(key))
          : fail(`${kind(key)} is no key of JSON`);

/** @param {Text} value @param {boolean} ascii */
function jsonText(value, ascii) {
    const unit = (/** @type {string} */ c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;
    const short = /** @type {Record<string, string>} */ ({
        '"': '\\"',
        '\\': '\\\\',
        '\n': '\\n',
        '\r': '\\r',
        '\t': '\\t',
        '\b': '\\b',
        '\f': '\\f',
    });
    const body = new Text(value.string, value.marks).mapped((s) =>
        s.replace(ascii ? /["\\\0-\x1f\x7f-\uffff]/g : /["\\\0-\x1f]/g, (c) => short[c] ?? unit(c)),
    );
    return joined([text('"'), body, text('"')]);
}
