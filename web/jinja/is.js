/** jinja2's tests: what "is" asks. */

import { apply, takes } from './arguments.js';
import { hasFilter } from './filters.js';
import { Text } from './text.js';
import { Builtin, compared, contains, Dict, fail, Iterator, isNumber, needText, str, Undefined } from './values.js';

/** @typedef {import('./values.js').Value} Value */
/** @typedef {import('./arguments.js').Signature} Signature */

/** @param {(value: Value) => boolean} test */
const plain = (test) => takes('', test);
/** @param {string} operator */
const order = (operator) => takes('other /', (value, other) => compared(operator, value, other));
/** @param {Value} value @param {Value} by */
const rest = (value, by) =>
    isNumber(value) && isNumber(by)
        ? ((Number(value) % Number(by)) + Number(by)) % Number(by)
        : fail('this test is for numbers');

/** @type {Record<string, Signature>} */
export const TESTS = {
    boolean: plain((value) => typeof value === 'boolean'),
    callable: plain((value) => value instanceof Builtin || typeof value?.call === 'function'),
    defined: plain((value) => !(value instanceof Undefined)),
    divisibleby: takes('num /', (value, by) => rest(value, by) === 0),
    escaped: plain((value) => value instanceof Text && value.safe),
    even: plain((value) => rest(value, 2n) === 0),
    false: plain((value) => value === false),
    filter: plain((value) => hasFilter(needText(value).string)),
    float: plain((value) => typeof value === 'number'),
    in: takes('seq /', (value, within) => contains(value, within)),
    integer: plain((value) => typeof value === 'bigint'),
    iterable: plain(
        (value) =>
            value instanceof Text ||
            Array.isArray(value) ||
            value instanceof Dict ||
            value instanceof Iterator ||
            value instanceof Undefined,
    ),
    lower: plain((value) => isCased(str(value).string, str(value).string.toLowerCase())),
    mapping: plain((value) => value instanceof Dict),
    none: plain((value) => value === null),
    number: plain(isNumber),
    odd: plain((value) => rest(value, 2n) === 1),
    sameas: takes(
        'other /',
        (value, other) =>
            value === other || (value instanceof Text && other instanceof Text && value.string === other.string),
    ),
    sequence: plain(
        (value) => value instanceof Text || Array.isArray(value) || value instanceof Dict || value instanceof Undefined,
    ),
    string: plain((value) => value instanceof Text),
    test: plain((value) => hasTest(needText(value).string)),
    true: plain((value) => value === true),
    undefined: plain((value) => value instanceof Undefined),
    upper: plain((value) => isCased(str(value).string, str(value).string.toUpperCase())),
    '==': order('=='),
    '!=': order('!='),
    '<': order('<'),
    '<=': order('<='),
    '>': order('>'),
    '>=': order('>='),
};

/** @param {string} string @param {string} rewritten */
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
