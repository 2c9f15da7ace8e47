/** jinja2's tests, such as `is defined`. */

import { apply, takes } from './arguments.js';
import { hasFilter } from './filters.js';
import { Text } from './text.js';
import {
    Builtin,
    calculated,
    compared,
    contains,
    Dict,
    equal,
    fail,
    Iterator,
    isNumber,
    kind,
    needText,
    str,
    Undefined,
} from './values.js';

/** @typedef {import('./values.js').Value} Value */
/** @typedef {import('./arguments.js').Signature} Signature */

/** A test without arguments. @param {(value: Value) => boolean} test */
const unary = (test) => takes('', test);
/** @param {string} operator */
const comparison = (operator) => takes('other /', (value, other) => compared(operator, value, other));
/** Whether value % by == wanted, as Python computes it.
 * @param {string} test its name @param {Value} value @param {Value} by @param {bigint} wanted */
const leaves = (test, value, by, wanted) =>
    isNumber(value) && isNumber(by)
        ? equal(calculated('%', value, by), wanted)
        : fail(`"is ${test}" is for numbers, not for ${kind(isNumber(value) ? by : value)}`);

/** @type {Record<string, Signature>} */
export const TESTS = {
    boolean: unary((value) => typeof value === 'boolean'),
    callable: unary((value) => value instanceof Builtin || typeof value?.call === 'function'),
    defined: unary((value) => !(value instanceof Undefined)),
    divisibleby: takes('num /', (value, by) => leaves('divisibleby', value, by, 0n)),
    escaped: unary((value) => value instanceof Text && value.safe),
    even: unary((value) => leaves('even', value, 2n, 0n)),
    false: unary((value) => value === false),
    filter: unary((value) => hasFilter(needText(value).string)),
    float: unary((value) => typeof value === 'number'),
    in: takes('seq /', (value, within) => contains(value, within)),
    integer: unary((value) => typeof value === 'bigint'),
    iterable: unary(
        (value) =>
            value instanceof Text ||
            Array.isArray(value) ||
            value instanceof Dict ||
            value instanceof Iterator ||
            value instanceof Undefined,
    ),
    lower: unary((value) => isCased(str(value).string, str(value).string.toLowerCase())),
    mapping: unary((value) => value instanceof Dict),
    none: unary((value) => value === null),
    number: unary(isNumber),
    odd: unary((value) => leaves('odd', value, 2n, 1n)),
    sameas: takes(
        'other /',
        (value, other) =>
            value === other || (value instanceof Text && other instanceof Text && value.string === other.string),
    ),
    sequence: unary(
        (value) => value instanceof Text || Array.isArray(value) || value instanceof Dict || value instanceof Undefined,
    ),
    string: unary((value) => value instanceof Text),
    test: unary((value) => hasTest(needText(value).string)),
    true: unary((value) => value === true),
    undefined: unary((value) => value instanceof Undefined),
    upper: unary((value) => isCased(str(value).string, str(value).string.toUpperCase())),
    '==': comparison('=='),
    '!=': comparison('!='),
    '<': comparison('<'),
    '<=': comparison('<='),
    '>': comparison('>'),
    '>=': comparison('>='),
};

/** Python's islower() or isupper(): the text stays as it is when rewritten, and has a letter with two cases.
 * @param {string} string @param {string} rewritten in lower or upper case */
const isCased = (string, rewritten) => string === rewritten && string.toLowerCase() !== string.toUpperCase();

const ALIASES = /** @type {Record<string, string>} */ ({
    eq: '==',
    equalto: '==',
    ne: '!=',
    lt: '<',
    lessthan: '<',
    le: '<=',
    gt: '>',
    greaterthan: '>',
    ge: '>=',
});

/** @param {string} name */
export const hasTest = (name) => Object.hasOwn(TESTS, Object.hasOwn(ALIASES, name) ? ALIASES[name] : name);

/**
 * @param {string} name
 * @param {Value} value
 * @param {Value[]} args
 * @param {Map<string, Value>} named
 * @returns {boolean}
 */
export function is(name, value, args, named) {
    const known = Object.hasOwn(ALIASES, name) ? ALIASES[name] : name;
    return Object.hasOwn(TESTS, known)
        ? apply(name, TESTS[known], [value], args, named)
        : fail(`there is no test ${name}`);
}
