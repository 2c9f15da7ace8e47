/**
 * Values in the text of an answer: JSON, and the calls and literals of Python that some models write instead. All of
 * it is a model's word, so whatever does not parse gives undefined, and never throws.
 */

/** How deep values may be nested. */
const MOST_DEEP = 64;

/** @param {string} text @returns {any} */
export function json(text) {
    for (const { depth } of brackets(text, 0)) if (depth > MOST_DEEP) return undefined;
    try {
        return JSON.parse(text);
    } catch {
        return undefined;
    }
}

/**
 * The brackets in JSON that are in none of its texts: the place behind each, and how deep it is nested there.
 * @param {string} text
 * @param {number} from
 */
function* brackets(text, from) {
    let depth = 0,
        quoted = false;
    for (let at = from; at < text.length; at++) {
        const c = text[at];
        if (quoted) {
            if (c === '\\') at++;
            else if (c === '"') quoted = false;
        } else if (c === '"') quoted = true;
        else if (c === '{' || c === '[') {
            depth += 1;
            yield { behind: at + 1, depth };
        } else if (c === '}' || c === ']') {
            depth -= 1;
            yield { behind: at + 1, depth };
        }
    }
}

/**
 * The end of the JSON object or array that begins at a place.
 * @param {string} text
 * @param {number} from where its bracket is
 * @returns {number} behind its last bracket; -1 if the text ends before
 */
export function endOfJson(text, from) {
    for (const { behind, depth } of brackets(text, from)) if (depth === 0) return behind;
    return -1;
}

/**
 * JSON objects or arrays that follow one another, with commas, semicolons or white space between them.
 * @param {string} text
 * @returns {any[] | undefined} undefined if there is anything else, or nothing
 */
export function jsonSequence(text) {
    const values = [];
    for (let at = skip(text, 0, /[\s,;]/); at < text.length; at = skip(text, at, /[\s,;]/)) {
        const end = text[at] === '{' || text[at] === '[' ? endOfJson(text, at) : -1,
            value = end < 0 ? undefined : json(text.slice(at, end));
        if (value === undefined) return undefined;
        values.push(value);
        at = end;
    }
    return values.length > 0 ? values : undefined;
}

/** @param {string} text @param {number} at @param {RegExp} what */
function skip(text, at, what) {
    while (at < text.length && what.test(text[at])) at++;
    return at;
}

/**
 * Calls with named arguments that are literals, as Python writes them: [f(a="x", b=[1, None]), g()].
 * @param {string} text
 * @returns {{ name: string, arguments: Record<string, any> }[] | undefined}
 */
export function pythonCalls(text) {
    try {
        return new Python(text).calls();
    } catch (error) {
        if (error instanceof Wrong) return undefined;
        throw error;
    }
}

/** The text is not what it should be. */
class Wrong extends Error {}

const ESCAPES = /** @type {Record<string, string>} */ ({
    n: '\n',
    t: '\t',
    r: '\r',
    b: '\b',
    f: '\f',
    v: '\v',
    a: '\x07',
    0: '\0',
    '\n': '',
});

/** @type {Map<string, any>} */
const WORDS = new Map([
    ['True', true],
    ['False', false],
    ['None', null],
    ['true', true],
    ['false', false],
    ['null', null],
]);

class Python {
    #at = 0;
    #text;
    #depth = 0;

    /** @param {string} text */
    constructor(text) {
        this.#text = text;
    }

    /** One call, several with commas between them, or a list of them. */
    calls() {
        const isList = this.#takes('['),
            calls = this.#items(isList ? ']' : '', () => this.#call());
        this.#at = skip(this.#text, this.#at, /\s/);
        if (this.#at < this.#text.length || calls.length === 0) throw new Wrong();
        return calls;
    }

    #call() {
        const name = this.#match(/[A-Za-z_][\w.]*/y);
        this.#expect('(');
        /** @type {Record<string, any>} */
        const values = {};
        this.#items(')', () => {
            const key = this.#match(/[A-Za-z_]\w*/y);
            this.#expect('=');
            put(values, key, this.#value());
        });
        return { name, arguments: values };
    }

    /** @returns {any} */
    #value() {
        this.#depth += 1;
        if (this.#depth > MOST_DEEP) throw new Wrong();
        const value = this.#valueAt(this.#peek());
        this.#depth -= 1;
        return value;
    }

    /** @param {string} c @returns {any} */
    #valueAt(c) {
        if (c === '"' || c === "'") return this.#string();
        if (this.#takes('[')) return this.#items(']', () => this.#value());
        if (this.#takes('(')) return this.#items(')', () => this.#value());
        if (this.#takes('{')) {
            /** @type {Record<string, any>} */
            const values = {};
            this.#items('}', () => {
                const key = this.#value();
                this.#expect(':');
                put(values, String(key), this.#value());
            });
            return values;
        }
        const word = this.#match(/[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?|[A-Za-z]+/y);
        if (WORDS.has(word)) return WORDS.get(word);
        const number = Number(word.replaceAll('_', ''));
        if (!Number.isFinite(number)) throw new Wrong();
        return number;
    }

    #string() {
        let value = '';
        // Python joins strings that follow one another
        for (let quote = this.#peek(); quote === '"' || quote === "'"; quote = this.#peek()) {
            const mark = this.#text.startsWith(quote.repeat(3), this.#at) ? quote.repeat(3) : quote;
            this.#at += mark.length;
            while (!this.#text.startsWith(mark, this.#at)) value += this.#character();
            this.#at += mark.length;
        }
        return value;
    }

    #character() {
        if (this.#at >= this.#text.length) throw new Wrong();
        const c = this.#text[this.#at++];
        if (c !== '\\') return c;
        const escaped = this.#text[this.#at++] ?? '';
        const digits = { x: 2, u: 4, U: 8 }[escaped];
        if (digits === undefined) return ESCAPES[escaped] ?? (/[\\'"]/.test(escaped) ? escaped : `\\${escaped}`);
        const hex = this.#text.slice(this.#at, this.#at + digits),
            point = /^[\da-f]+$/i.test(hex) && hex.length === digits ? Number.parseInt(hex, 16) : Infinity;
        if (point > 0x10ffff) throw new Wrong();
        this.#at += digits;
        return String.fromCodePoint(point);
    }

    /**
     * @template Item
     * @param {string} end '' for the end of the text
     * @param {() => Item} item
     */
    #items(end, item) {
        /** @type {Item[]} */
        const items = [];
        const isOver = () => (end === '' ? this.#peek() === '' : this.#takes(end));
        while (!isOver()) {
            items.push(item());
            if (isOver()) break;
            this.#expect(',');
        }
        return items;
    }

    /** The next character that is no white space; '' at the end. */
    #peek() {
        this.#at = skip(this.#text, this.#at, /\s/);
        return this.#text[this.#at] ?? '';
    }

    /** @param {string} c */
    #takes(c) {
        if (this.#peek() !== c) return false;
        this.#at++;
        return true;
    }

    /** @param {string} c */
    #expect(c) {
        if (!this.#takes(c)) throw new Wrong();
    }

    /** @param {RegExp} what sticky */
    #match(what) {
        this.#peek();
        what.lastIndex = this.#at;
        const [found = ''] = what.exec(this.#text) ?? [];
        if (found === '') throw new Wrong();
        this.#at += found.length;
        return found;
    }
}

/** Sets a property of any name, "__proto__" too. @param {object} values @param {string} key @param {any} value */
export const put = (values, key, value) =>
    Object.defineProperty(values, key, { value, writable: true, enumerable: true, configurable: true });
