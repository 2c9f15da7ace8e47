/**
 * Strings of a chat template. Each remembers which of its characters the caller wrote (a message) and which the
 * template did, so that after rendering it is known where every message's text stands. All operations on strings
 * are made of two, `slice` and `joined`, which keep that knowledge, and of `mapped`, which rewrites one span of
 * one origin at a time.
 *
 * Indices are those of JavaScript (UTF-16 units); Python's, which count code points, are converted by `unitAt`.
 */
import { LimitError } from './problems.js';

/** Who wrote a span of text: the template, the caller, or the model itself, in an earlier answer. */
export const TEMPLATE = 0,
    CALLER = 1,
    MODEL = 2;

/** Characters of the longest text that a template may make. */
export const MAX_TEXT = 1 << 23;
/** Items of the longest list. */
export const MAX_ITEMS = 1 << 20;
/** Steps of a search, in the worst case. */
const MAX_SEARCH = 1e10;

/** Spans of text that the template did not write: from, to and origin of each in turn, in ascending order. */
/** @typedef {number[]} Marks */

/** @type {Marks} */
const NONE = [];

export class Text {
    /**
     * @param {string} string
     * @param {Marks} [marks]
     * @param {boolean} [safe] Markup, to which jinja2 adds other strings only with their HTML escaped
     */
    constructor(string, marks = NONE, safe = false) {
        this.string = string;
        this.marks = marks;
        this.safe = safe;
        /** @type {number[] | undefined} where each code point begins, if some are two units long */
        this.points = undefined;
    }

    /**
     * @param {string} string
     * @param {number} origin
     */
    static from(string, origin) {
        return new Text(string, origin === TEMPLATE || string === '' ? NONE : [0, string.length, origin]);
    }

    /** Python's len(). */
    get length() {
        return this.#starts()?.length ?? this.string.length;
    }

    #starts() {
        if (!this.points && /[\ud800-\udbff][\udc00-\udfff]/.test(this.string)) {
            this.points = [];
            for (
                let at = 0;
                at < this.string.length;
                at += /** @type {number} */ (this.string.codePointAt(at)) > 0xffff ? 2 : 1
            )
                this.points.push(at);
        }
        return this.points;
    }

    /** The unit at which a code point begins. @param {number} point 0 to length */
    unitAt(point) {
        const starts = this.#starts();
        return starts ? (starts[point] ?? this.string.length) : point;
    }

    /** How many code points stand before a unit. @param {number} unit */
    pointAt(unit) {
        const starts = this.#starts();
        if (!starts) return unit;
        let low = 0,
            high = starts.length;
        while (low < high) {
            const middle = (low + high) >> 1;
            if (starts[middle] < unit) low = middle + 1;
            else high = middle;
        }
        return low;
    }

    /** Each code point as a text of its own. */
    characters() {
        checkItems(this.length);
        return Array.from({ length: this.length }, (_, i) => this.slice(this.unitAt(i), this.unitAt(i + 1)));
    }

    /**
     * @param {number} from
     * @param {number} [to]
     */
    slice(from, to = this.string.length) {
        if (from === 0 && to === this.string.length) return this;
        /** @type {Marks} */
        const marks = [];
        for (let i = this.#markAfter(from); from < to && this.marks[i] < to; i += 3)
            marks.push(Math.max(this.marks[i], from) - from, Math.min(this.marks[i + 1], to) - from, this.marks[i + 2]);
        return new Text(this.string.slice(from, to), marks, this.safe);
    }

    /**
     * The index of the first mark that ends after a unit. A text may have many marks, and be cut into many pieces.
     * @param {number} unit
     */
    #markAfter(unit) {
        let low = 0,
            high = this.marks.length / 3;
        while (low < high) {
            const middle = (low + high) >> 1;
            if (this.marks[3 * middle + 1] <= unit) low = middle + 1;
            else high = middle;
        }
        return 3 * low;
    }

    /** @returns {Text[]} its spans, of one origin each */
    spans() {
        if (this.marks.length === 0) return [this];
        const cuts = [0];
        for (let i = 0; i < this.marks.length; i += 3) cuts.push(this.marks[i], this.marks[i + 1]);
        cuts.push(this.string.length);
        return cuts
            .slice(1)
            .map((to, i) => this.slice(cuts[i], to))
            .filter((span) => span.string !== '');
    }

    /**
     * Rewrites the characters. Each span keeps its origin.
     * @param {(string: string) => string} rewrite
     */
    mapped(rewrite) {
        return joined(
            this.spans().map((span) => Text.from(rewrite(span.string), span.marks[2] ?? TEMPLATE)),
            this.safe,
        );
    }

    toString() {
        return this.string;
    }
}

/** @param {string} string written by the template, or by nobody */
export const text = (string) => new Text(string);

export const EMPTY = text('');

/** A text that grows. */
export class Builder {
    /** @type {string[]} */
    pieces = [];
    /** @type {Marks} */
    marks = [];
    length = 0;

    /** @param {Text} piece */
    push(piece) {
        const { marks } = this;
        for (let i = 0; i < piece.marks.length; i += 3) {
            const from = piece.marks[i] + this.length,
                to = piece.marks[i + 1] + this.length,
                origin = piece.marks[i + 2];
            if (marks.length > 0 && marks[marks.length - 2] === from && marks[marks.length - 1] === origin)
                marks[marks.length - 2] = to;
            else marks.push(from, to, origin);
        }
        this.pieces.push(piece.string);
        this.length += piece.string.length;
        checkLength(this.length);
    }

    /** @param {boolean} [safe] */
    text(safe = false) {
        return new Text(this.pieces.join(''), this.marks, safe);
    }
}

/** @param {number} length */
export function checkLength(length) {
    if (length > MAX_TEXT) throw new LimitError(`it writes more than ${MAX_TEXT} characters`);
}

/**
 * @param {Iterable<Text>} pieces
 * @param {boolean} [safe]
 */
export function joined(pieces, safe = false) {
    const builder = new Builder();
    for (const piece of pieces) builder.push(piece);
    return builder.text(safe);
}

/** @param {number} n */
export function checkItems(n) {
    if (n > MAX_ITEMS) throw new LimitError(`it makes a list of more than ${MAX_ITEMS} items`);
}

/** Before a search: of long strings it can take very long. @param {string} string @param {string} sought */
export function checkSearch(string, sought) {
    if (string.length * sought.length > MAX_SEARCH) throw new LimitError('it searches long texts for long texts');
}

/** @param {Text} a @param {Text} b */
export const concat = (a, b) =>
    a.string === '' && !b.safe ? b : b.string === '' && !b.safe ? a : joined([a, b], a.safe || b.safe);

/**
 * @param {Text} piece
 * @param {number} times
 */
export function repeated(piece, times) {
    const n = piece.string === '' ? 0 : Math.max(0, times);
    checkLength(piece.string.length * n);
    return piece.marks.length === 0
        ? new Text(piece.string.repeat(n), NONE, piece.safe)
        : joined(
              Array.from({ length: n }, () => piece),
              piece.safe,
          );
}

/** What Python calls white space: not U+FEFF, but U+001C to U+001F and U+0085. */
export const SPACE = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const space = new RegExp(`[${SPACE}]`);

/**
 * Python's strip, lstrip and rstrip.
 * @param {Text} of
 * @param {string | null} characters null: white space
 * @param {boolean} left
 * @param {boolean} right
 */
export function stripped(of, characters, left, right) {
    const { string } = of;
    const set = characters === null ? null : new Set(characters);
    const goes = (/** @type {string} */ c) => (set ? set.has(c) : space.test(c));
    let from = 0,
        to = string.length;
    for (
        let c;
        left && from < to && goes((c = String.fromCodePoint(/** @type {number} */ (string.codePointAt(from)))));
    )
        from += c.length;
    while (right && to > from) {
        const wide = to - from > 1 && /[\udc00-\udfff]/.test(string[to - 1]) && /[\ud800-\udbff]/.test(string[to - 2]);
        const c = string.slice(to - (wide ? 2 : 1), to);
        if (!goes(c)) break;
        to -= c.length;
    }
    return of.slice(from, to);
}

/**
 * Where a string occurs, from left to right and without overlaps.
 * @param {string} string
 * @param {string} sought not empty
 * @param {number} most
 */
export function occurrences(string, sought, most = Infinity) {
    checkSearch(string, sought);
    const found = [];
    for (
        let at = string.indexOf(sought);
        at >= 0 && found.length < most;
        at = string.indexOf(sought, at + sought.length)
    )
        found.push(at);
    checkItems(found.length);
    return found;
}

/**
 * Python's split(), without a separator: at runs of white space.
 * @param {Text} of
 * @param {number} most cuts, or -1
 */
export function splitAtSpaces(of, most) {
    const parts = [],
        run = new RegExp(`[${SPACE}]+`, 'y'),
        word = new RegExp(`[^${SPACE}]+`, 'y');
    const pass = (/** @type {RegExp} */ what, /** @type {number} */ from) => {
        what.lastIndex = from;
        return what.test(of.string) ? what.lastIndex : from;
    };
    for (let at = pass(run, 0); at < of.string.length; ) {
        if (parts.length === most) {
            parts.push(stripped(of.slice(at), null, false, false));
            break;
        }
        const end = pass(word, at);
        parts.push(of.slice(at, end));
        checkItems(parts.length);
        at = pass(run, end);
    }
    return parts;
}

/**
 * Python's split(separator) and rsplit(separator).
 * @param {Text} of
 * @param {string} separator
 * @param {number} most cuts, or -1
 * @param {boolean} [fromRight]
 */
export function splitAt(of, separator, most, fromRight = false) {
    let cuts = occurrences(of.string, separator, fromRight || most < 0 ? Infinity : most);
    if (fromRight && most >= 0) cuts = lastOccurrences(of.string, separator, most);
    const parts = [];
    let from = 0;
    for (const at of cuts) {
        parts.push(of.slice(from, at));
        from = at + separator.length;
    }
    parts.push(of.slice(from));
    return parts;
}

/** @param {string} string @param {string} sought @param {number} most */
function lastOccurrences(string, sought, most) {
    checkSearch(string, sought);
    const found = [];
    for (let end = string.length; found.length < most; ) {
        const at = end < sought.length ? -1 : string.lastIndexOf(sought, end - sought.length);
        if (at < 0) break;
        found.push(at);
        end = at;
    }
    checkItems(found.length);
    return found.reverse();
}

/** Python's splitlines(). @param {Text} of @param {boolean} keepEnds */
export function splitLines(of, keepEnds) {
    const parts = [];
    let from = 0;
    for (const { 0: end, index } of of.string.matchAll(/\r\n|[\n-\r\x1c-\x1e\x85\u2028\u2029]/g)) {
        parts.push(of.slice(from, keepEnds ? index + end.length : index));
        from = index + end.length;
        checkItems(parts.length);
    }
    if (from < of.string.length) parts.push(of.slice(from));
    return parts;
}

/**
 * Python's replace().
 * @param {Text} of
 * @param {Text} old
 * @param {Text} by
 * @param {number} most or -1
 */
export function replaced(of, old, by, most) {
    const limit = most < 0 ? Infinity : most;
    if (old.string === '') {
        // before every character, and at the end
        const pieces = of.characters().flatMap((c, i) => (i < limit ? [by, c] : [c]));
        return joined(of.length < limit ? [...pieces, by] : pieces, of.safe);
    }
    const builder = new Builder();
    let from = 0;
    for (const at of occurrences(of.string, old.string, limit)) {
        builder.push(of.slice(from, at));
        builder.push(by);
        from = at + old.string.length;
    }
    builder.push(of.slice(from));
    return from === 0 ? of : builder.text(of.safe);
}

/** Order of code points, which is Python's. @param {string} a @param {string} b */
export function compareStrings(a, b) {
    const n = Math.min(a.length, b.length);
    let i = 0;
    while (i < n && a[i] === b[i]) i++;
    if (i === n) return a.length - b.length;
    // surrogates stand for what comes after U+FFFF
    const high = (/** @type {string} */ c) => (c >= '\ud800' && c <= '\udfff' ? 1 : 0);
    return high(a[i]) - high(b[i]) || (a[i] < b[i] ? -1 : 1);
}

/** A character as Python spells it where it cannot be printed. @param {number} point */
export function spelt(point) {
    const hex = point.toString(16);
    return point < 256
        ? `\\x${hex.padStart(2, '0')}`
        : point < 65536
          ? `\\u${hex.padStart(4, '0')}`
          : `\\U${hex.padStart(8, '0')}`;
}

/** Escapes HTML as jinja2 does. @param {Text} of */
export const escaped = (of) =>
    of.safe
        ? of
        : new Text(of.string, of.marks).mapped((s) =>
              s.replace(
                  /[&<>'"]/g,
                  (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&#39;', '"': '&#34;' })[c] ?? c,
              ),
          );
