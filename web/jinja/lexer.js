/**
 * A chat template -> tokens, as jinja2's lexer cuts it with the settings that transformers gives it: trim_blocks
 * (the line end after a tag goes), lstrip_blocks (so do the spaces before a tag that begins a line), and the
 * template's last line end goes.
 */
import { SyntaxProblem } from './problems.js';
import { SPACE, spelt } from './text.js';

/**
 * @typedef {object} Token
 * @property {'data' | 'block_begin' | 'block_end' | 'variable_begin' | 'variable_end' | 'name' | 'string' |
 *     'integer' | 'float'
 *     | 'operator' | 'end'} type
 * @property {string} value
 * @property {number} line
 */

const RULES = /** @type {[Token['type'] | 'space', RegExp][]} */ ([
    ['space', new RegExp(`[${SPACE}]+`, 'y')],
    ['float', /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy],
    ['integer', /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy],
    ['name', /[\p{L}\p{Nl}\p{Nd}\p{M}\p{Pc}]+/uy],
    ['string', /'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"/sy],
    ['operator', /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y],
]);
const LONG_NUMBER = /\d[\d_]{1000}/y;
const CLOSING = /** @type {Record<string, string>} */ ({ '{': '}', '(': ')', '[': ']' });
const ENDS = {
    block: new RegExp(`\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?`, 'y'),
    variable: new RegExp(`-\\}\\}[${SPACE}]*|\\}\\}`, 'y'),
    comment: new RegExp(`[+]#\\}|-#\\}[${SPACE}]*|#\\}\\n?`, 'y'),
};
const RAW = new RegExp(`\\{%[-+]?[${SPACE}]*raw[${SPACE}]*(?:-%\\}[${SPACE}]*|%\\})`, 'y');
const END_RAW = new RegExp(`\\{%([-+]?)[${SPACE}]*endraw[${SPACE}]*(?:\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?)`, 'g');
const BLANK = new RegExp(`^[${SPACE}]+$`),
    BLANK_END = new RegExp(`[${SPACE}]$`);

/**
 * @param {string} template
 * @returns {Token[]}
 */
export function tokens(template) {
    return new Lexer(template).run();
}

class Lexer {
    /** @param {string} template */
    constructor(template) {
        // as jinja2 does, all line ends become \n, and the last one is dropped
        this.source = template.replace(/\r\n|\r/g, '\n').replace(/\n$/, '');
        this.at = 0;
        this.line = 1;
        this.counted = 0; // up to here its line ends are counted
        this.lineStarts = true; // what was read last ended a line
        /** @type {Token[]} */
        this.tokens = [];
    }

    run() {
        const { source } = this;
        while (this.at < source.length) {
            const begin = nextTag(source, this.at);
            if (begin < 0) {
                this.push('data', source.slice(this.at));
                break;
            }
            const kind = source[begin + 1];
            const sign = /[-+]/.test(source[begin + 2] ?? '') ? source[begin + 2] : '';
            this.data(begin, sign, kind !== '{');
            const raw = kind === '%' && matchAt(RAW, source, begin);
            if (raw) this.raw(begin + raw.length);
            else if (kind === '#') this.comment(begin + 2 + sign.length);
            else this.tag(kind === '%' ? 'block' : 'variable', begin + 2 + sign.length);
        }
        this.at = source.length;
        this.push('end', '');
        return this.tokens;
    }

    /** @param {Token['type']} type @param {string} value */
    push(type, value) {
        for (; this.counted < this.at; this.counted++) this.line += this.source[this.counted] === '\n' ? 1 : 0;
        this.tokens.push({ type, value, line: this.line });
    }

    /** @param {string} message @returns {never} */
    fail(message) {
        this.push('end', '');
        throw new SyntaxProblem(`line ${this.line}: ${message}`);
    }

    /** Moves on. @param {number} to */
    moveTo(to) {
        this.lineStarts = this.source[to - 1] === '\n';
        this.at = to;
    }

    /**
     * The text before a tag.
     * @param {number} to
     * @param {string} sign of the tag: - takes the white space before it, + leaves all
     * @param {boolean} block not a variable: spaces at the front of its line go
     */
    data(to, sign, block) {
        let end = to;
        if (sign === '-') {
            while (end > this.at && BLANK_END.test(this.source[end - 1])) end--;
        } else if (sign !== '+' && block) {
            const before = this.source.slice(this.at, to),
                line = before.lastIndexOf('\n') + 1;
            if ((line > 0 || this.lineStarts) && BLANK.test(before.slice(line))) end = this.at + line;
        }
        if (end > this.at) this.push('data', this.source.slice(this.at, end));
        this.moveTo(to);
    }

    /** @param {number} from */
    raw(from) {
        this.moveTo(from);
        END_RAW.lastIndex = from;
        const end = END_RAW.exec(this.source);
        if (!end) this.fail('{% raw %} has no {% endraw %}');
        this.data(end.index, end[1], true);
        this.moveTo(end.index + end[0].length);
    }

    /** @param {number} from */
    comment(from) {
        const close = this.source.indexOf('#}', from);
        if (close < 0) this.fail('a comment has no end');
        const begin = close > from && /[-+]/.test(this.source[close - 1]) ? close - 1 : close;
        this.moveTo(begin + /** @type {string} */ (matchAt(ENDS.comment, this.source, begin)).length);
    }

    /** @param {'block' | 'variable'} kind @param {number} from */
    tag(kind, from) {
        this.push(`${kind}_begin`, '');
        this.moveTo(from);
        /** @type {string[]} */
        const open = [];
        for (;;) {
            const end = open.length === 0 && matchAt(ENDS[kind], this.source, this.at);
            if (end) {
                this.push(`${kind}_end`, '');
                this.moveTo(this.at + end.length);
                return;
            }
            if (this.at >= this.source.length) this.fail(`a tag has no end`);
            const [type, value] = this.next();
            if (type === 'operator' && CLOSING[value]) open.push(CLOSING[value]);
            else if (type === 'operator' && /[)\]}]/.test(value) && open.pop() !== value)
                this.fail(`unexpected ${value}`);
            if (type !== 'space') this.push(type, type === 'string' ? this.unescaped(value.slice(1, -1)) : value);
            this.moveTo(this.at + value.length);
        }
    }

    /** @returns {[Token['type'] | 'space', string]} */
    next() {
        if (matchAt(LONG_NUMBER, this.source, this.at)) this.fail('a number has more than 1000 digits');
        for (const [type, rule] of RULES) {
            const value = matchAt(rule, this.source, this.at);
            if (value && type === 'name' && !/^[\p{L}\p{Nl}_]/u.test(value)) this.fail(`${value} is no name`);
            if (value) return [type, value];
        }
        return this.fail(`unexpected character ${JSON.stringify(this.source[this.at])}`);
    }

    /**
     * Escapes as in Python's strings. Unknown ones stay as they are; jinja2 spells out what is not ASCII after a
     * backslash.
     * @param {string} string
     */
    unescaped(string) {
        return string.replace(
            /\\(\n|[0-7]{1,3}|x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|.)/gsu,
            (whole, /** @type {string} */ code) => {
                const plain = PLAIN[code];
                if (plain !== undefined) return plain;
                if (/^[0-7]/.test(code)) return String.fromCharCode(parseInt(code, 8));
                if (/^[xuU]./.test(code)) {
                    const point = parseInt(code.slice(1), 16);
                    return point <= 0x10ffff
                        ? String.fromCodePoint(point)
                        : this.fail(`there is no character ${whole}`);
                }
                if (/^[xuUN]$/.test(code))
                    return this.fail(`the escape ${whole} is not complete, or needs the names of characters`);
                const point = /** @type {number} */ (code.codePointAt(0));
                return point < 128 ? whole : spelt(point);
            },
        );
    }
}

const PLAIN = /** @type {Record<string, string>} */ ({
    '\n': '',
    '\\': '\\',
    "'": "'",
    '"': '"',
    a: '\x07',
    b: '\b',
    f: '\f',
    n: '\n',
    r: '\r',
    t: '\t',
    v: '\v',
});

/** @param {RegExp} rule sticky @param {string} source @param {number} at */
function matchAt(rule, source, at) {
    rule.lastIndex = at;
    return rule.exec(source)?.[0];
}

/** Where the next {{, {% or {# is, or -1. @param {string} source @param {number} from */
function nextTag(source, from) {
    for (let at = source.indexOf('{', from); at >= 0; at = source.indexOf('{', at + 1))
        if ('{%#'.includes(source[at + 1] || ' ')) return at;
    return -1;
}
