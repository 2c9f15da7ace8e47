/**
 * Grammars as trees, and as text in GBNF, llama.cpp's notation. A tree can be searched for what can never end, which a
 * text cannot.
 */

/** Inclusive ranges of code points, in order, with gaps between them. @typedef {[number, number][]} Ranges */

/**
 * text: these characters. set: one character of a set. rule: a reference. all: one after the other. any: one of them.
 * times: min to max of them.
 * @typedef {{ is: 'text', text: string } | { is: 'set', ranges: Ranges } | { is: 'rule', name: string }
 *     | { is: 'all', parts: Expression[] } | { is: 'any', parts: Expression[] }
 *     | { is: 'times', part: Expression, min: number, max: number }} Expression
 */

/** Matches the empty text alone. @type {Expression} */
export const EMPTY = { is: 'all', parts: [] };
/** Matches nothing. @type {Expression} */
export const NEVER = { is: 'any', parts: [] };

/** @param {Expression} expression */
export const isEmpty = (expression) => expression.is === 'all' && expression.parts.length === 0;
/** @param {Expression} expression */
export const isNever = (expression) => expression.is === 'any' && expression.parts.length === 0;

/** @param {string} text @returns {Expression} */
export const text = (text) => (text === '' ? EMPTY : { is: 'text', text });

/** @param {Ranges} ranges @returns {Expression} */
export const set = (ranges) => (ranges.length === 0 ? NEVER : { is: 'set', ranges });

/** The characters of a text. @param {string} characters */
export const oneOf = (characters) =>
    set(union(Array.from(characters, (c) => [Number(c.codePointAt(0)), Number(c.codePointAt(0))])));

/** @param {string} name @returns {Expression} */
export const rule = (name) => ({ is: 'rule', name });

/** @param {...(Expression | string)} given @returns {Expression} */
export function all(...given) {
    /** @type {Expression[]} */
    const parts = [];
    for (const each of given) {
        const part = typeof each === 'string' ? text(each) : each,
            last = parts[parts.length - 1];
        if (isNever(part)) return NEVER;
        if (part.is === 'text' && last?.is === 'text') parts[parts.length - 1] = text(last.text + part.text);
        else parts.push(...(part.is === 'all' ? part.parts : [part]));
    }
    return parts.length === 1 ? parts[0] : { is: 'all', parts };
}

/** @param {...(Expression | string)} given @returns {Expression} */
export function any(...given) {
    const parts = given
        .map((each) => (typeof each === 'string' ? text(each) : each))
        .flatMap((part) => (part.is === 'any' ? part.parts : [part]));
    return parts.length === 1 ? parts[0] : { is: 'any', parts };
}

/** @param {Expression} part @param {number} min @param {number} [max] @returns {Expression} */
export function times(part, min, max = Infinity) {
    if (min > max) return NEVER;
    if (max === 0 || isEmpty(part)) return EMPTY;
    if (isNever(part)) return min === 0 ? EMPTY : NEVER;
    return min === 1 && max === 1 ? part : { is: 'times', part, min, max };
}

/** @param {Expression} part */
export const maybe = (part) => times(part, 0, 1);

export const LAST_CODE_POINT = 0x10ffff;

/** Ranges in any order -> in order, with gaps between them. @param {Ranges} ranges @returns {Ranges} */
export function union(ranges) {
    /** @type {Ranges} */
    const joined = [];
    for (const [first, last] of [...ranges].sort(([a], [b]) => a - b)) {
        const before = joined[joined.length - 1];
        if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
        else joined.push([first, last]);
    }
    return joined;
}

/** All other code points. @param {Ranges} ranges @returns {Ranges} */
export function others(ranges) {
    /** @type {Ranges} */
    const rest = [];
    let next = 0;
    for (const [first, last] of ranges) {
        if (first > next) rest.push([next, first - 1]);
        next = last + 1;
    }
    if (next <= LAST_CODE_POINT) rest.push([next, LAST_CODE_POINT]);
    return rest;
}

/** @param {Ranges} a @param {Ranges} b @returns {Ranges} */
export const common = (a, b) => others(union([...others(a), ...others(b)]));

/**
 * Leaves out all that cannot come to an end, such as an object that must contain itself: an answer that had entered it
 * could never be finished. Rules that are not used are left out, too.
 * @param {Map<string, Expression>} rules the first is the root
 * @returns {Map<string, Expression>} without rules if the root can never end
 */
export function prune(rules) {
    /** @type {Set<string>} */
    const ending = new Set();
    /** @param {Expression} e @returns {boolean} */
    const ends = (e) => {
        if (e.is === 'rule') return ending.has(e.name);
        if (e.is === 'all') return e.parts.every(ends);
        if (e.is === 'any') return e.parts.some(ends);
        return e.is !== 'times' || e.min === 0 || ends(e.part);
    };
    for (let before = -1; before < ending.size; ) {
        before = ending.size;
        for (const [name, body] of rules) if (!ending.has(name) && ends(body)) ending.add(name);
    }
    /** @param {Expression} e @returns {Expression} */
    const without = (e) => {
        if (e.is === 'rule') {
            const body = (ending.has(e.name) && rules.get(e.name)) || NEVER;
            // a rule of one word is written where it is used
            return /^(text|set|rule)$/.test(body.is) || isNever(body) || isEmpty(body) ? without(body) : e;
        }
        if (e.is === 'all') return all(...e.parts.map(without));
        if (e.is === 'any') return any(...e.parts.map(without).filter((part) => !isNever(part)));
        return e.is === 'times' ? times(without(e.part), e.min, e.max) : e;
    };
    /** @type {Map<string, Expression>} */
    const kept = new Map();
    const keep = (/** @type {string} */ name) => {
        const pending = [name];
        for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
            if (kept.has(next)) continue;
            const body = without(rules.get(next) ?? NEVER);
            kept.set(next, body);
            pending.push(...namesIn(body).reverse());
        }
    };
    const [root] = rules.keys();
    if (ending.has(root)) keep(root);
    return kept;
}

/** @param {Expression} e @returns {string[]} */
function namesIn(e) {
    if (e.is === 'rule') return [e.name];
    if (e.is === 'times') return namesIn(e.part);
    return e.is === 'all' || e.is === 'any' ? e.parts.flatMap(namesIn) : [];
}

/** @param {number} point @param {string} special characters with a meaning of their own here */
function character(point, special) {
    const hex = point.toString(16).toUpperCase(),
        plain = String.fromCodePoint(point);
    if (point === 0x0a) return '\\n';
    if (point >= 0x20 && point < 0x7f) return special.includes(plain) ? `\\x${hex}` : plain === '\\' ? '\\\\' : plain;
    if (point < 0x100) return `\\x${hex.padStart(2, '0')}`;
    return point < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
}

/** A text as GBNF writes it. @param {string} text */
export const literal = (text) =>
    `"${Array.from(text, (c) => (c === '"' ? '\\"' : character(Number(c.codePointAt(0)), ''))).join('')}"`;

/** Halves of surrogate pairs are no characters, and in no class. @type {Ranges} */
export const SURROGATES = [[0xd800, 0xdfff]];

/** @param {Ranges} ranges */
function classOf(ranges) {
    const negated = ranges[ranges.length - 1][1] === LAST_CODE_POINT,
        shown = negated ? others(union([...ranges, ...SURROGATES])) : common(ranges, others(SURROGATES));
    if (negated && shown.length === 0) return '.';
    const point = (/** @type {number} */ p) => character(p, '[]^-');
    const items = shown.map(([first, last]) => (first === last ? point(first) : `${point(first)}-${point(last)}`));
    return `[${negated ? '^' : ''}${items.join('')}]`;
}

/** @param {number} min @param {number} max */
function suffix(min, max) {
    if (min === 0 && max === 1) return '?';
    if (max === Infinity) return min === 0 ? '*' : min === 1 ? '+' : `{${min},}`;
    return min === max ? `{${min}}` : `{${min},${max}}`;
}

/**
 * @param {Expression} e
 * @param {0 | 1 | 2} within an alternative may stand here bare; only a sequence; only one item
 * @returns {string}
 */
function write(e, within = 0) {
    const grouped = (/** @type {string} */ content, /** @type {boolean} */ bare) => (bare ? content : `(${content})`);
    switch (e.is) {
        case 'text':
            return literal(e.text);
        case 'set': {
            const [[first, last]] = e.ranges;
            if (e.ranges.length > 1 || first < last) return classOf(e.ranges);
            return write(text(String.fromCodePoint(first)));
        }
        case 'rule':
            return e.name;
        case 'all':
            return e.parts.length === 0
                ? '""'
                : grouped(e.parts.map((part) => write(part, 1)).join(' '), within < 2 || e.parts.length === 1);
        case 'any':
            return grouped(e.parts.map((part) => write(part, 1)).join(' | '), within === 0);
        case 'times':
            return grouped(`${write(e.part, 2)}${suffix(e.min, e.max)}`, within < 2);
    }
}

/**
 * The same rules by other names, which begin with this.
 * @param {Map<string, Expression>} rules
 * @param {string} prefix
 * @returns {Map<string, Expression>}
 */
export function prefixed(rules, prefix) {
    /** @param {Expression} e @returns {Expression} */
    const within = (e) => {
        if (e.is === 'rule') return rule(prefix + e.name);
        if (e.is === 'times') return { ...e, part: within(e.part) };
        return e.is === 'all' || e.is === 'any' ? { ...e, parts: e.parts.map(within) } : e;
    };
    return new Map(Array.from(rules, ([name, body]) => [prefix + name, within(body)]));
}

/** A grammar's text. @param {Map<string, Expression>} rules the first is the root, and is called so */
export const toGbnf = (rules) => Array.from(rules, ([name, body]) => `${name} ::= ${write(body)}\n`).join('');
