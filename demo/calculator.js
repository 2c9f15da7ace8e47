// Computes what a person or a model writes as arithmetic. Nothing of the text is ever run as code.

const MOST_DEEP = 100; // parentheses, signs and powers within one another
const TOKEN = /\s*(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|[a-z]+|\*\*|[-+*/%^()×÷−])/iy;

/** @type {Map<string, (x: number) => number>} */
const FUNCTIONS = new Map(
    Object.entries({
        sqrt: Math.sqrt,
        abs: Math.abs,
        round: Math.round,
        floor: Math.floor,
        ceil: Math.ceil,
        exp: Math.exp,
        ln: Math.log,
        log: Math.log10,
        sin: Math.sin,
        cos: Math.cos,
        tan: Math.tan,
    }),
);
const CONSTANTS = new Map(Object.entries({ pi: Math.PI, e: Math.E }));
const SAME = new Map(Object.entries({ '×': '*', '÷': '/', '−': '-', '**': '^' }));

/** @param {string} text @returns {string[]} */
function tokensOf(text) {
    const tokens = [],
        trimmed = text.trimEnd();
    for (let at = 0; at < trimmed.length; at = TOKEN.lastIndex) {
        TOKEN.lastIndex = at;
        const found = TOKEN.exec(trimmed)?.[1];
        if (!found) throw new Error(`it cannot be read from "${trimmed.slice(at, at + 20).trim()}" on`);
        tokens.push(SAME.get(found) ?? found.toLowerCase());
    }
    return tokens;
}

/**
 * @param {string} text with + - * / % ^, parentheses, pi, e, and functions such as sqrt
 * @returns {number}
 */
export function calculate(text) {
    const tokens = tokensOf(text);
    let at = 0,
        depth = 0;
    const takes = (/** @type {string} */ token) => tokens[at] === token && at++ >= 0;
    const expect = (/** @type {string} */ token) => {
        if (!takes(token))
            throw new Error(`there should be "${token}" ${tokens[at] ? `before "${tokens[at]}"` : 'at the end'}`);
    };
    /** Operators of one precedence, from the left.
     * @param {Record<string, (a: number, b: number) => number>} operators @param {() => number} operand */
    const chain = (operators, operand) => {
        let value = operand();
        for (let sign = tokens[at]; sign && Object.hasOwn(operators, sign); sign = tokens[at]) {
            at++;
            value = operators[sign](value, operand());
        }
        return value;
    };
    const sum = () => chain({ '+': (a, b) => a + b, '-': (a, b) => a - b }, product);
    const product = () => chain({ '*': (a, b) => a * b, '/': (a, b) => a / b, '%': (a, b) => a % b }, signed);
    /** A power binds more tightly than a sign before it: -2^2 is -4.
     * @returns {number} */
    const signed = () => {
        if (++depth > MOST_DEEP) throw new Error('it is nested too deeply');
        const value = takes('-') ? -signed() : takes('+') ? signed() : power();
        depth--;
        return value;
    };
    const power = () => {
        const base = atom();
        return takes('^') ? base ** signed() : base; // from the right
    };
    /** @returns {number} */
    const atom = () => {
        const token = tokens[at++] ?? '';
        if (token === '(') {
            const value = sum();
            expect(')');
            return value;
        }
        if (/^[\d.]/.test(token)) return Number(token);
        const constant = CONSTANTS.get(token),
            apply = FUNCTIONS.get(token);
        if (constant !== undefined) return constant;
        if (!apply) throw new Error(token ? `"${token}" is not known here` : 'it is not complete');
        expect('(');
        const value = sum();
        expect(')');
        return apply(value);
    };
    const value = sum();
    if (at < tokens.length) throw new Error(`"${tokens[at]}" does not belong there`);
    if (!Number.isFinite(value)) throw new Error('the result is no number, or too large for one');
    return Number(value.toPrecision(15)); // 0.1 + 0.2 is 0.3
}
