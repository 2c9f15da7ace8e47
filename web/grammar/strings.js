/** The characters of JSON strings, as expressions. */
import { all, any, common, maybe, oneOf, others, rule, SURROGATES, set, text, times, union } from './expressions.js';

/** @typedef {import('./expressions.js').Expression} Expression */
/** @typedef {import('./expressions.js').Ranges} Ranges */

/** @type {Ranges} */
export const CHARACTERS = others(SURROGATES);

/** Characters with an escape of one letter, and these letters. */
const SHORT = '"\\\b\f\n\r\t',
    LETTERS = '"\\bfnrt';
/** Written as they are. @type {Ranges} */
const PLAIN = others(union([[0, 0x1f], [0x22, 0x22], [0x5c, 0x5c], ...SURROGATES]));

/** @param {Ranges} ranges @param {number} point */
const has = (ranges, point) => ranges.some(([first, last]) => first <= point && point <= last);

/**
 * A character of a set as JSON.stringify() writes it: each character in one way.
 * @param {Ranges} ranges
 * @returns {Expression}
 */
export function jsonSet(ranges) {
    const letters = Array.from(LETTERS).filter((_, i) => has(ranges, SHORT.charCodeAt(i))),
        digits = ['', ''];
    for (let point = 0; point < 0x20; point++)
        if (has(ranges, point) && !SHORT.includes(String.fromCharCode(point)))
            digits[point >> 4] += (point % 16).toString(16);
    return any(
        set(common(ranges, PLAIN)),
        all(
            '\\',
            any(oneOf(letters.join('')), all('u00', any(all('0', oneOf(digits[0])), all('1', oneOf(digits[1]))))),
        ),
    );
}

const hex = (/** @type {number} */ n) => times(oneOf('0123456789ABCDEFabcdef'), n, n);

/** A character of a JSON string in all ways that JSON has; of surrogates, only pairs. */
const CHARACTER = any(
    set(PLAIN),
    all(
        '\\',
        any(
            oneOf('"\\/bfnrt'),
            all('u', any(all(oneOf('0123456789ABCEFabcef'), hex(3)), all(oneOf('Dd'), oneOf('01234567'), hex(2)))),
            all('u', oneOf('Dd'), oneOf('89ABab'), hex(2), '\\u', oneOf('Dd'), oneOf('CDEFcdef'), hex(2)),
        ),
    ),
);

/** JSON's values of any kind. Rules by these names are added to a grammar that refers to them. */
const COMMA = all(',', maybe(text(' '))),
    DIGIT = oneOf('0123456789'),
    INTEGER = all(maybe(text('-')), any('0', all(oneOf('123456789'), times(DIGIT, 0, 14))));

/** @param {Expression} item */
const listOf = (item) => maybe(all(item, times(all(COMMA, item), 0)));

/** @type {Record<string, Expression>} */
export const SHARED = {
    character: CHARACTER,
    string: all('"', times(rule('character'), 0), '"'),
    integer: INTEGER,
    number: all(
        INTEGER,
        maybe(all('.', times(DIGIT, 1, 15))),
        maybe(all(oneOf('Ee'), maybe(oneOf('+-')), times(DIGIT, 1, 2))),
    ),
    boolean: any('true', 'false'),
    value: any('null', rule('boolean'), rule('number'), rule('string'), rule('array'), rule('object')),
    array: all('[', listOf(rule('value')), ']'),
    object: all('{', listOf(all(rule('string'), ':', maybe(text(' ')), rule('value'))), '}'),
};

/**
 * The texts of a JSON string that are none of some names, as JSON.stringify() writes them. The names are followed
 * letter by letter: where a text leaves them, anything may follow.
 * @param {Iterable<string>} names
 * @param {(body: Expression) => Expression} add gives a rule of its own to an expression
 * @returns {Expression} without quotes
 */
export function otherThan(names, add) {
    /** @typedef {{ end: boolean, next: Map<string, Node> }} Node */
    /** @returns {Node} */
    const node = () => ({ end: false, next: new Map() });
    const root = node();
    for (const name of names) {
        let at = root;
        for (const character of name) {
            const next = at.next.get(character) ?? node();
            at.next.set(character, next);
            at = next;
        }
        at.end = true;
    }
    const rest = times(add(jsonSet(CHARACTERS)), 0);
    /** @type {(node: Node) => Expression} */
    const from = ({ end, next }) => {
        const named = /** @type {Ranges} */ (
            Array.from(next.keys(), (c) => [Number(c.codePointAt(0)), Number(c.codePointAt(0))])
        );
        const parts = [all(jsonSet(common(CHARACTERS, others(union(named)))), rest)];
        for (const [character, child] of next) parts.push(all(jsonSet(pointOf(character)), add(from(child))));
        return end ? any(...parts) : maybe(any(...parts));
    };
    return from(root);
}

/** @param {string} character @returns {Ranges} */
const pointOf = (character) => [[Number(character.codePointAt(0)), Number(character.codePointAt(0))]];
