/** Methods of strings, lists and dicts that Python has and a sandbox allows: nothing is changed in place. */
import { bound, takes } from './arguments.js';
import { braces } from './format.js';
import {
    Builder,
    checkLength,
    checkSearch,
    EMPTY,
    joined,
    occurrences,
    repeated,
    replaced,
    SPACE,
    splitAt,
    splitAtSpaces,
    splitLines,
    stripped,
    Text,
    text,
} from './text.js';
import {
    Attributes,
    Builtin,
    Dict,
    describeValue,
    equal,
    fail,
    Group,
    isInteger,
    iterate,
    kind,
    Namespace,
    needIndex,
    needText,
    Range,
    str,
    Tuple,
    Undefined,
    View,
} from './values.js';

/** @typedef {import('./values.js').Value} Value */
/** @typedef {import('./arguments.js').Signature} Signature */

const spaceRun = new RegExp(`^[${SPACE}]+$`),
    space = new RegExp(`[${SPACE}]`);

/** @param {Value} value the argument of strip() */
const stripSet = (value) => (value === undefined || value === null ? null : needText(value, 'what is stripped').string);

/** Python's clamping of a slice's ends. @param {Value} value @param {number} length @param {number} otherwise */
function end(value, length, otherwise) {
    if (value === undefined || value === null) return otherwise;
    const at = needIndex(value);
    return at < 0 ? Math.max(0, at + length) : Math.min(at, length);
}

/** The part that find() and its kin look at. @param {Text} self @param {Value} from @param {Value} to */
function window(self, from, to) {
    const start = self.unitAt(end(from, self.length, 0)),
        stop = self.unitAt(end(to, self.length, self.length));
    return { start, string: self.string.slice(start, Math.max(start, stop)) };
}

/** @param {(string: string, sought: string) => number} search @param {boolean} must */
const finder = (search, must) =>
    takes('sub / start end', (/** @type {Text} */ self, sub, from, to) => {
        const { start, string } = window(self, from, to);
        checkSearch(string, needText(sub).string);
        const at = search(string, sub.string);
        return at >= 0 ? BigInt(self.pointAt(at + start)) : must ? fail('substring not found') : -1n;
    });

/** @param {(string: string, affix: string) => boolean} has */
const affix = (has) =>
    takes('affix / start end', (/** @type {Text} */ self, given, from, to) => {
        const { string } = window(self, from, to);
        return (given instanceof Tuple ? given : [given]).some((one) =>
            has(string, needText(one, 'what a string starts or ends with').string),
        );
    });

/** @param {boolean} left @param {boolean} right */
const strip = (left, right) =>
    takes('chars', (/** @type {Text} */ self, set) => stripped(self, stripSet(set), left, right));

/** @param {(string: string) => string} rewrite */
const rewritten = (rewrite) => takes('', (/** @type {Text} */ self) => self.mapped(rewrite));

/** Whether the string is not empty and matches as a whole. @param {RegExp} all */
const every = (all) => takes('', (/** @type {Text} */ self) => self.string !== '' && all.test(self.string));

/** Whether there are cased letters, and all have this case. @param {(string: string) => string} rewrite */
const cased = (rewrite) =>
    takes(
        '',
        (/** @type {Text} */ self) =>
            self.string === rewrite(self.string) && self.string.toLowerCase() !== self.string.toUpperCase(),
    );

/** A small sigma has another form at the end of a word. @param {string} s @param {number} at */
const sigma = (s, at) => (/\p{L}$/u.test(s.slice(0, at)) && !/^\p{L}/u.test(s.slice(at + 1)) ? 'ς' : 'σ');

/** @param {string} string */
const capitalized = (string) => {
    const first = String.fromCodePoint(string.codePointAt(0) ?? 32);
    return string === '' ? '' : titled(first) + string.slice(first.length).toLowerCase();
};

/** A few letters have a third case. @param {string} c */
const titled = (c) =>
    ({ ß: 'Ss', Ǆ: 'ǅ', ǅ: 'ǅ', ǆ: 'ǅ', Ǉ: 'ǈ', ǈ: 'ǈ', ǉ: 'ǈ', Ǌ: 'ǋ', ǋ: 'ǋ', ǌ: 'ǋ', ﬀ: 'Ff', ﬁ: 'Fi', ﬂ: 'Fl' })[
        c
    ] ?? c.toUpperCase();

/** @param {Text} self @param {(string: string) => string} rewrite of a word */
function eachWord(self, rewrite) {
    return self.mapped((string) => string.replace(/[\p{L}\p{M}\p{Nl}]+/gu, rewrite));
}

/** @param {Text} self @param {Value} width @param {Value} fill @param {(room: number) => number} left */
function padded(self, width, fill, left) {
    const room = Math.max(0, needIndex(width) - self.length);
    const pad = fill === undefined ? text(' ') : needText(fill);
    if (pad.length !== 1) fail('the fill must be one character');
    return joined([repeated(pad, left(room)), self, repeated(pad, room - left(room))], self.safe);
}

/** Python puts the odd space of a centred text on the left if the width is odd. @param {number} room @param {number}
 * width */
export const centred = (room, width) => (room >> 1) + (room & width & 1);

/** @param {Text} self @param {Value} separator @param {number} at */
function parts(self, separator, at) {
    const { string } = needText(separator);
    if (at < 0) return null;
    return Tuple.of(self.slice(0, at), self.slice(at, at + string.length), self.slice(at + string.length));
}

/** @param {boolean} fromRight */
const split = (fromRight) =>
    takes('sep maxsplit', (/** @type {Text} */ self, separator = null, most = -1n) => {
        if (separator === null)
            return fromRight && most >= 0n ? splitRight(self, Number(most)) : splitAtSpaces(self, needIndex(most));
        if (needText(separator, 'a separator').string === '') fail('the separator is empty');
        return splitAt(self, separator.string, needIndex(most), fromRight);
    });

/** rsplit at white space. @param {Text} self @param {number} most */
function splitRight(self, most) {
    const all = [];
    let rest = stripped(self, null, false, true);
    while (all.length < most && rest.string !== '') {
        let from = rest.string.length;
        while (from > 0 && !space.test(rest.string[from - 1])) from--;
        all.push(rest.slice(from));
        rest = stripped(rest.slice(0, from), null, false, true);
    }
    return [...(rest.string === '' ? [] : [stripped(rest, null, true, false)]), ...all.reverse()];
}

/** @type {Record<string, Signature>} */
export const STRING = {
    capitalize: takes('', (self) => firstRewritten(self)),
    casefold: rewritten((s) => [...s].map((c) => (c === 'ı' ? c : c.toUpperCase().toLowerCase())).join('')),
    center: takes('width / fillchar', (self, width, fill) =>
        padded(self, width, fill, (room) => centred(room, needIndex(width))),
    ),
    count: takes('sub / start end', (self, sub, from, to) => {
        const { string } = window(self, from, to);
        const sought = needText(sub).string;
        return BigInt(sought === '' ? new Text(string).length + 1 : occurrences(string, sought).length);
    }),
    endswith: affix((s, end) => s.endsWith(end)),
    expandtabs: takes('tabsize', (self, size = 8n) => expanded(self, needIndex(size))),
    find: finder((s, sub) => s.indexOf(sub), false),
    index: finder((s, sub) => s.indexOf(sub), true),
    isalnum: every(/^[\p{L}\p{N}]+$/u),
    isalpha: every(/^\p{L}+$/u),
    isascii: takes('', (self) => /^[\0-\x7f]*$/.test(self.string)),
    isdecimal: every(/^\p{Nd}+$/u),
    isdigit: every(/^[\p{Nd}\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089]+$/u),
    isidentifier: every(/^[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{M}\p{Nd}\p{Pc}]*$/u),
    islower: cased((s) => s.toLowerCase()),
    isnumeric: every(/^\p{N}+$/u),
    isprintable: takes('', (self) => !/(?! )[\p{C}\p{Z}]/u.test(self.string)),
    isspace: every(spaceRun),
    istitle: takes('', (self) => /\p{L}/u.test(self.string) && eachWord(self, capitalized).string === self.string),
    isupper: cased((s) => s.toUpperCase()),
    join: takes('iterable /', (self, items) =>
        joinedBy(
            self,
            iterate(items).map((item) => needText(item, 'what is joined')),
        ),
    ),
    ljust: takes('width / fillchar', (self, width, fill) => padded(self, width, fill, () => 0)),
    lower: rewritten((s) => s.toLowerCase()),
    lstrip: strip(true, false),
    partition: takes(
        'sep /',
        (self, separator) =>
            parts(self, separator, self.string.indexOf(needText(separator).string)) ?? Tuple.of(self, EMPTY, EMPTY),
    ),
    removeprefix: takes('prefix /', (self, prefix) =>
        self.string.startsWith(needText(prefix).string) ? self.slice(prefix.string.length) : self,
    ),
    removesuffix: takes('suffix /', (self, suffix) =>
        needText(suffix).string !== '' && self.string.endsWith(suffix.string)
            ? self.slice(0, self.string.length - suffix.string.length)
            : self,
    ),
    replace: takes('old new / count', (self, old, by, count = -1n) =>
        replaced(self, needText(old), needText(by), needIndex(count)),
    ),
    rfind: finder((s, sub) => s.lastIndexOf(sub), false),
    rindex: finder((s, sub) => s.lastIndexOf(sub), true),
    rjust: takes('width / fillchar', (self, width, fill) => padded(self, width, fill, (room) => room)),
    rpartition: takes(
        'sep /',
        (self, separator) =>
            parts(self, separator, self.string.lastIndexOf(needText(separator).string)) ?? Tuple.of(EMPTY, EMPTY, self),
    ),
    rsplit: split(true),
    rstrip: strip(false, true),
    split: split(false),
    splitlines: takes('keepends', (self, keep = false) => splitLines(self, Boolean(keep))),
    startswith: affix((s, start) => s.startsWith(start)),
    strip: strip(true, true),
    swapcase: rewritten((s) =>
        s.replace(/./gsu, (c, at) =>
            c !== c.toUpperCase() ? c.toUpperCase() : c === 'Σ' ? sigma(s, at) : c.toLowerCase(),
        ),
    ),
    title: takes('', (self) => eachWord(self, capitalized)),
    upper: rewritten((s) => s.toUpperCase()),
    zfill: takes('width /', (self, width) => {
        const sign = /^[-+]/.test(self.string) ? 1 : 0;
        return joined([
            self.slice(0, sign),
            padded(self.slice(sign), BigInt(needIndex(width) - sign), text('0'), (room) => room),
        ]);
    }),
};

/** @param {Text} self */
export function firstRewritten(self) {
    const at = self.unitAt(Math.min(1, self.length));
    return joined([self.slice(0, at).mapped(titled), self.slice(at).mapped((s) => s.toLowerCase())], self.safe);
}

/** @param {Text} between @param {Text[]} items */
export function joinedBy(between, items) {
    const builder = new Builder();
    items.forEach((item, i) => {
        if (i > 0 && between.string !== '') builder.push(between);
        builder.push(item);
    });
    return builder.text(between.safe);
}

/** @param {Text} self @param {number} size */
function expanded(self, size) {
    const builder = new Builder();
    let column = 0;
    for (const c of self.characters()) {
        if (c.string === '\t') {
            const n = size > 0 ? size - (column % size) : 0;
            checkLength(n);
            builder.push(text(' '.repeat(n)));
            column += n;
        } else {
            builder.push(c);
            column = /[\n\r]/.test(c.string) ? 0 : column + 1;
        }
    }
    return builder.text();
}

/** @type {Record<string, Signature>} */
const LIST = {
    count: takes('value /', (/** @type {Value[]} */ self, value) =>
        BigInt(self.filter((item) => equal(item, value)).length),
    ),
    index: takes('value / start stop', (/** @type {Value[]} */ self, value, from, to) => {
        const start = end(from, self.length, 0),
            stop = end(to, self.length, self.length);
        const at = self.findIndex((item, i) => i >= start && i < stop && equal(item, value));
        return at < 0 ? fail('the list does not have this value') : BigInt(at);
    }),
};

/** @type {Record<string, Signature>} */
const LIST_ONLY = { copy: takes('', (self) => [...self]) };

/** @type {Record<string, Signature>} */
const DICT = {
    copy: takes('', (/** @type {Dict} */ self) => copied(self)),
    get: takes('key / default', (/** @type {Dict} */ self, key, otherwise = null) => self.get(key) ?? otherwise),
    items: takes('', (/** @type {Dict} */ self) => self.items()),
    keys: takes('', (/** @type {Dict} */ self) => self.keys()),
    values: takes('', (/** @type {Dict} */ self) => self.values()),
};

/** @param {Dict} dict */
export function copied(dict) {
    const copy = new Dict();
    for (const [key, value] of dict.entries.values()) copy.set(key, value);
    return copy;
}

/** Methods that Python has, and a sandbox refuses. */
const FORBIDDEN = new Set([
    'append',
    'clear',
    'extend',
    'insert',
    'pop',
    'popitem',
    'remove',
    'reverse',
    'setdefault',
    'sort',
    'update',
]);

/** @param {Value} mapping @returns {Map<string, Value>} */
const namesOf = (mapping) =>
    mapping instanceof Dict
        ? new Map([...mapping.entries.values()].map(([key, value]) => [str(key).string, value]))
        : fail(`format_map() needs a dict, not ${describeValue(mapping)}`);

/** @param {Value} object @param {string} name @returns {Value} undefined (JavaScript's) if it has none */
function method(object, name) {
    if (object instanceof Text && name === 'format')
        return new Builtin(name, (args, named) => braces(object, args, named, look));
    if (object instanceof Text && name === 'format_map')
        return bound(
            name,
            takes('mapping /', (self, mapping) => braces(self, [], namesOf(mapping), look)),
            object,
        );
    const tables =
        object instanceof Text
            ? [STRING]
            : object instanceof Dict
              ? [DICT]
              : object instanceof View
                ? []
                : object instanceof Tuple || object instanceof Range
                  ? [LIST]
                  : Array.isArray(object)
                    ? [LIST, LIST_ONLY]
                    : [];
    for (const table of tables) if (Object.hasOwn(table, name)) return bound(name, table[name], object);
    if (FORBIDDEN.has(name) && (object instanceof Dict || object?.constructor === Array))
        return new Builtin(name, () => fail(`${name}() would change ${kind(object)}, which a template may not`));
    return undefined;
}

/** @param {Value} object @param {Value} key @returns {Value} undefined (JavaScript's) if it has none */
function item(object, key) {
    if (object instanceof Dict) return object.get(key);
    if (object instanceof Namespace) return key instanceof Text ? object.names.get(key.string) : undefined;
    if (!isInteger(key) || !(object instanceof Text || Array.isArray(object)) || object instanceof View)
        return undefined;
    const { length } = object,
        at = Number(key) < 0 ? Number(key) + length : Number(key);
    if (at < 0 || at >= length) return undefined;
    return object instanceof Text ? object.slice(object.unitAt(at), object.unitAt(at + 1)) : iterate(object)[at];
}

/** @param {Value} object @param {string} name @returns {Value} undefined (JavaScript's) if it has none */
function attribute(object, name) {
    if (object instanceof Attributes) return Object.hasOwn(object.getters, name) ? object.getters[name]() : undefined;
    if (object instanceof Namespace) return object.names.get(name);
    if (object instanceof Group && /^(grouper|list)$/.test(name)) return object[name === 'list' ? 1 : 0];
    return method(object, name);
}

/**
 * object.name or object[key], as jinja2 looks them up: attributes first or items first, then the other.
 * @param {Value} object
 * @param {Value} key
 * @param {boolean} dot
 * @returns {Value}
 */
export function look(object, key, dot) {
    if (object instanceof Undefined) return fail(object.message);
    const name = key instanceof Text ? key.string : null;
    const ofAttribute = () => (name === null ? undefined : attribute(object, name)),
        first = dot ? ofAttribute() : item(object, key); // null is none, which is a value
    const found = first !== undefined ? first : dot ? item(object, key) : ofAttribute();
    return found === undefined
        ? new Undefined(`${kind(object)} has no ${name === null ? `item ${str(key).string}` : JSON.stringify(name)}`)
        : found;
}

/**
 * object[from:to:step]
 * @param {Value} object
 * @param {Value} from
 * @param {Value} to
 * @param {Value} step
 */
export function sliced(object, from, to, step) {
    if (!(object instanceof Text || Array.isArray(object)) || object instanceof View)
        return object instanceof Undefined ? fail(object.message) : new Undefined(`${kind(object)} has no slices`);
    const stride = step === null ? 1 : needIndex(step),
        { length } = object;
    if (stride === 0) fail("a slice's step is 0");
    const back = stride < 0;
    const clamp = (/** @type {Value} */ value, /** @type {number} */ otherwise) => {
        if (value === null) return otherwise;
        const at = needIndex(value),
            placed = at < 0 ? at + length : at;
        return back ? Math.min(Math.max(placed, -1), length - 1) : Math.min(Math.max(placed, 0), length);
    };
    const first = clamp(from, back ? length - 1 : 0),
        last = clamp(to, back ? -1 : length);
    if (object instanceof Text && stride === 1)
        return object.slice(object.unitAt(first), object.unitAt(Math.max(first, last)));
    const items = [];
    for (let i = first; back ? i > last : i < last; i += stride)
        items.push(object instanceof Text ? object.slice(object.unitAt(i), object.unitAt(i + 1)) : object[i]);
    return object instanceof Text ? joined(items, object.safe) : object instanceof Tuple ? Tuple.from(items) : items;
}
