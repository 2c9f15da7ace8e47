/**
 * Regular expressions of JavaScript, with its flag u, as grammars. What no grammar can say is refused by name:
 * assertions about what stands before or after, and references back.
 */
import { NibbleError } from '../errors.js';
import {
    all,
    any,
    common,
    EMPTY,
    LAST_CODE_POINT,
    others,
    prune,
    SURROGATES,
    set,
    times,
    toGbnf,
    union,
} from './expressions.js';

/** @typedef {import('./expressions.js').Expression} Expression */
/** @typedef {import('./expressions.js').Ranges} Ranges */

/** A pattern that cannot be a grammar. */
export class PatternError extends Error {}

/** One branch of a pattern: `start` and `end` tell whether it is tied to the text's ends.
 * @typedef {{ start: boolean, end: boolean, body: Expression }} Branch */

const NEWLINES = union([0x0a, 0x0d, 0x2028, 0x2029].map((p) => [p, p]));
const SPACES = union([
    [0x09, 0x0d],
    [0x20, 0x20],
    [0xa0, 0xa0],
    [0x1680, 0x1680],
    [0x2000, 0x200a],
    [0x2028, 0x2029],
    [0x202f, 0x202f],
    [0x205f, 0x205f],
    [0x3000, 0x3000],
    [0xfeff, 0xfeff],
]);
/** @type {Ranges} */
const DIGITS = [[0x30, 0x39]];
const LETTERS = union([...DIGITS, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]]);

/** @type {Record<string, Ranges>} */
const CLASSES = {
    d: DIGITS,
    D: others(DIGITS),
    s: SPACES,
    S: others(SPACES),
    w: LETTERS,
    W: others(LETTERS),
};
/** @type {Record<string, number>} */
const CONTROLS = { t: 9, n: 10, v: 11, f: 12, r: 13 };
const DEEPEST = 50;

/**
 * Reads a pattern, and gives its branches. Each of their characters is a set.
 * @param {string} source
 * @param {boolean} [dotAll]
 * @returns {Branch[]}
 */
function read(source, dotAll = false) {
    try {
        new RegExp(source, 'u');
    } catch {
        throw new PatternError('it is no regular expression with the flag u');
    }
    const points = Array.from(source);
    let at = 0;
    const peek = () => points[at],
        take = () => points[at++],
        ahead = (/** @type {string} */ start) => points.slice(at, at + start.length).join('') === start;
    /** @param {string} what */
    const refuse = (what) => new PatternError(`${what} has no form in a grammar`);

    /** @param {number} digits */
    const hexadecimal = (digits) => Number.parseInt(points.slice(at, (at += digits)).join(''), 16);

    /** What follows a backslash. @returns {Ranges} */
    function escaped() {
        const letter = take();
        if (Object.hasOwn(CLASSES, letter)) return CLASSES[letter];
        if (Object.hasOwn(CONTROLS, letter)) return [[CONTROLS[letter], CONTROLS[letter]]];
        if (/[1-9k]/.test(letter)) throw refuse(`the back reference \\${letter}`);
        if (/[bB]/.test(letter)) throw refuse(`the assertion \\${letter}`);
        if (/[pP]/.test(letter)) throw refuse(`the property \\${letter}`);
        let point = Number(letter.codePointAt(0));
        if (letter === '0') point = 0;
        else if (letter === 'x') point = hexadecimal(2);
        else if (letter === 'c') point = Number(take().codePointAt(0)) % 32;
        else if (letter === 'u' && peek() === '{') {
            const end = points.indexOf('}', at);
            point = Number.parseInt(points.slice(at + 1, end).join(''), 16);
            at = end + 1;
        } else if (letter === 'u') {
            point = hexadecimal(4);
            if (point >= 0xd800 && point < 0xdc00 && ahead('\\u')) {
                at += 2;
                point = String.fromCharCode(point, hexadecimal(4)).codePointAt(0) ?? 0;
            }
        }
        return [[point, point]];
    }

    /** What follows an opening bracket. @returns {Ranges} */
    function characterClass() {
        const negated = peek() === '^';
        if (negated) at++;
        /** @type {Ranges} */
        const ranges = [];
        const item = () => {
            const character = take();
            if (character !== '\\') return /** @type {Ranges} */ ([[point(character), point(character)]]);
            if (peek() !== 'b') return escaped();
            at++;
            return /** @type {Ranges} */ ([[8, 8]]); // here \b is a backspace
        };
        while (peek() !== ']') {
            const first = item();
            if (peek() === '-' && points[at + 1] !== ']') {
                at++;
                ranges.push([first[0][0], item()[0][0]]);
            } else ranges.push(...first);
        }
        at++;
        const joined = union(ranges);
        return negated ? others(joined) : joined;
    }

    /** @param {number} depth @returns {Expression} */
    function atom(depth) {
        const character = take();
        if (character === '.') return set(dotAll ? [[0, LAST_CODE_POINT]] : others(NEWLINES));
        if (character === '[') return set(characterClass());
        if (character === '\\') return set(escaped());
        if (character !== '(') return set([[point(character), point(character)]]);
        if (peek() === '?') {
            if (ahead('?:')) at += 2;
            else if (/^\?<[^=!]$/.test(points.slice(at, at + 3).join(''))) at = points.indexOf('>', at) + 1;
            else throw refuse(`(${points.slice(at, at + (ahead('?<') ? 3 : 2)).join('')}`);
        }
        const inner = branches(depth + 1);
        at++;
        return any(...inner.map(({ body }) => body));
    }

    /** @param {Expression} part @returns {Expression} */
    function quantified(part) {
        const bounds = /^(?:([*+?])|\{(\d+)(,?)(\d*)\})\??/.exec(points.slice(at, at + 40).join(''));
        if (!bounds) return part;
        at += bounds[0].length;
        const [, sign, min, comma, max] = bounds;
        if (sign) return times(part, sign === '+' ? 1 : 0, sign === '?' ? 1 : Infinity);
        return times(part, Number(min), comma ? (max ? Number(max) : Infinity) : Number(min));
    }

    /** @param {number} depth @returns {Branch[]} */
    function branches(depth) {
        if (depth > DEEPEST) throw new PatternError(`its groups are nested deeper than ${DEEPEST}`);
        const found = [];
        for (;;) {
            const start = peek() === '^';
            if (start) at++;
            const parts = [];
            let end = false;
            while (at < points.length && peek() !== '|' && peek() !== ')') {
                if (end || peek() === '^') throw refuse('an anchor in the middle');
                if (peek() === '$') {
                    at++;
                    end = true;
                } else parts.push(quantified(atom(depth)));
            }
            if (depth > 0 && (start || end)) throw refuse('an anchor in a group');
            found.push({ start, end, body: all(...parts) });
            if (peek() !== '|') return found;
            at++;
        }
    }
    return branches(0);
}

/** @param {string} character */
const point = (character) => Number(character.codePointAt(0));

/**
 * @param {string} source of a pattern
 * @returns {Expression} of sets: the texts that have what the pattern says somewhere, as RegExp.test() and JSON Schema
 *     have it
 */
export function matching(source) {
    const anything = times(set([[0, LAST_CODE_POINT]]), 0);
    return any(
        ...read(source).map(({ start, end, body }) => all(start ? EMPTY : anything, body, end ? EMPTY : anything)),
    );
}

/**
 * @param {RegExp} regex
 * @returns {string} a grammar in GBNF: the texts that it matches from their beginning to their end
 */
export function regexToGbnf({ source, flags, dotAll }) {
    const shown = `the regular expression /${source.slice(0, 60)}/${flags}`,
        refused = flags.replace(/[dgsuv]/g, '');
    try {
        if (refused) throw new PatternError(`the flag ${refused[0]} has no form in a grammar`);
        const whole = any(...read(source, dotAll).map(({ body }) => body)),
            rules = prune(new Map([['root', written(whole, (ranges) => set(common(ranges, others(SURROGATES))))]]));
        if (rules.size === 0) throw new PatternError('it matches no text');
        return toGbnf(rules);
    } catch (error) {
        if (!(error instanceof PatternError)) throw error;
        throw new NibbleError('NB_ERR_UNSUPPORTED', `${shown} is not supported: ${error.message}`, { cause: error });
    }
}

/**
 * @param {Expression} e of sets
 * @param {(ranges: Ranges) => Expression} write how a character of a set is written
 * @returns {Expression}
 */
export function written(e, write) {
    if (e.is === 'set') return write(e.ranges);
    if (e.is === 'times') return times(written(e.part, write), e.min, e.max);
    if (e.is === 'all') return all(...e.parts.map((part) => written(part, write)));
    return e.is === 'any' ? any(...e.parts.map((part) => written(part, write))) : e;
}

/**
 * How many characters the texts of an expression have, at least and at most.
 * @param {Expression} e of sets
 * @returns {[number, number]}
 */
export function lengths(e) {
    if (e.is === 'all' || e.is === 'any') {
        const each = e.parts.map(lengths);
        if (e.is === 'any') return [Math.min(...each.map(([a]) => a)), Math.max(...each.map(([, b]) => b))];
        return [each.reduce((sum, [a]) => sum + a, 0), each.reduce((sum, [, b]) => sum + b, 0)];
    }
    if (e.is === 'times') {
        const [a, b] = lengths(e.part);
        return [a * e.min, b === 0 ? 0 : b * e.max];
    }
    return [1, 1];
}

/**
 * Holds the texts of an expression to a length, where only one of its parts varies, and all that repeats there has one
 * length.
 * @param {Expression} e of sets
 * @param {number} min
 * @param {number} max
 * @returns {Expression | undefined} undefined: it is not so simple
 */
export function limited(e, min, max) {
    const [least, most] = lengths(e);
    if (least >= min && most <= max) return e;
    const parts = e.is === 'all' ? e.parts : [e],
        varying = parts.filter((part) => lengths(part)[0] !== lengths(part)[1]);
    const [one] = varying;
    if (varying.length !== 1 || one.is !== 'times') return;
    const [length, longest] = lengths(one.part);
    if (length !== longest || length === 0) return;
    const fixed = least - length * one.min,
        times_ = times(
            one.part,
            Math.max(one.min, Math.ceil((min - fixed) / length)),
            Math.min(one.max, Math.floor((max - fixed) / length)),
        );
    return all(...parts.map((part) => (part === one ? times_ : part)));
}
