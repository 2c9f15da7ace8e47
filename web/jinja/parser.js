/**
 * A chat template -> a tree of statements and expressions. The grammar is jinja2's (its parser.py), with the tags that
 * transformers adds: break, continue, generation.
 */

import { tokens } from './lexer.js';
import { SyntaxProblem } from './problems.js';
import { Text, text } from './text.js';

/** @typedef {import('./lexer.js').Token} Token */
/**
 * @typedef {{ type: string, line: number, [key: string]: any }} Node one of a kind: `type` says what else it has
 *     (interpreter.js)
 */
/** @typedef {{ positional: Node[], named: [string, Node][], spread: Node | null, spreadNamed: Node | null }}
 *     Arguments */

/** The most tags within tags, or brackets within brackets: more are an attack. */
const MAX_DEPTH = 200;

/**
 * @param {string} source
 * @returns {{ body: Node[], literals: string[] }} and the texts that the template itself may write
 */
export function parse(source) {
    const parser = new Parser(tokens(source));
    const body = parser.statements([]);
    return { body, literals: parser.literals };
}

/** What ends a tuple without brackets. */
const TUPLE_ENDS = [')'];
const COMPARISONS = ['==', '!=', '<', '<=', '>', '>='];

class Parser {
    /** @param {Token[]} list */
    constructor(list) {
        this.list = list;
        this.at = 0;
        this.depth = 0;
        this.loops = 0;
        /** @type {string[]} */
        this.literals = [];
        /** Names that are read within each macro or loop that is open. @type {Set<string>[]} */
        this.open = [];
    }

    // ---- tokens ----

    get token() {
        return this.list[this.at];
    }

    /** @param {string} type @param {string} [value] */
    is(type, value) {
        return this.token.type === type && (value === undefined || this.token.value === value);
    }

    /** @param {string} value */
    operator(value) {
        return this.is('operator', value);
    }

    /** @param {string} type @param {string} [value] */
    skip(type, value) {
        const found = this.is(type, value);
        if (found) this.at++;
        return found;
    }

    /** @param {string} type @param {string} [value] @returns {Token} */
    expect(type, value) {
        const { token } = this;
        if (!this.skip(type, value)) this.fail(`expected ${value ?? WORDS[type] ?? type}, found ${describe(token)}`);
        return token;
    }

    /** @param {string} message @param {number} [line] @returns {never} */
    fail(message, line = this.token.line) {
        throw new SyntaxProblem(`line ${line}: ${message}`);
    }

    /** @template T @param {() => T} inner @returns {T} */
    nested(inner) {
        if (++this.depth > MAX_DEPTH) this.fail(`more than ${MAX_DEPTH} tags or brackets within each other`);
        const result = inner();
        this.depth--;
        return result;
    }

    /**
     * @template T
     * @param {() => T} inner
     * @returns {[T, Set<string>]} and which names it reads
     */
    reading(inner) {
        const names = new Set();
        this.open.push(names);
        const result = inner();
        this.open.pop();
        return [result, names];
    }

    // ---- statements ----

    /**
     * @param {string[]} ends names of the tags that end these statements; none: the template's end does
     * @returns {Node[]} up to the tag's name, which comes next
     */
    statements(ends) {
        return this.nested(() => {
            const body = [],
                { line } = this.token;
            for (;;) {
                const { token } = this;
                if (token.type === 'end') {
                    if (ends.length > 0) this.fail(`the template ends before ${ends.join(' or ')}`, line);
                    return body;
                }
                this.at++;
                if (token.type === 'data') {
                    this.literals.push(token.value);
                    body.push({ type: 'data', line: token.line, text: text(token.value) });
                } else if (token.type === 'variable_begin') {
                    body.push({ type: 'output', line: token.line, values: [this.tuple()] });
                    this.expect('variable_end');
                } else {
                    if (this.token.type === 'name' && ends.includes(this.token.value)) return body;
                    body.push(this.statement());
                    this.expect('block_end');
                }
            }
        });
    }

    /** The statements within a tag. @param {string[]} ends */
    body(...ends) {
        this.skip('operator', ':');
        this.expect('block_end');
        const body = this.statements(ends);
        return body;
    }

    /** @param {string} end */
    wholeBody(end) {
        const body = this.body(end);
        this.at++;
        return body;
    }

    /** @returns {Node} */
    statement() {
        const { value, line } = this.expect('name');
        switch (value) {
            case 'if':
                return this.ifStatement(line);
            case 'for':
                return this.forStatement(line);
            case 'set':
                return this.setStatement(line);
            case 'macro':
                return this.macro(line);
            case 'call':
                return this.callBlock(line);
            case 'filter':
                return this.filterBlock(line);
            case 'with':
                return this.withStatement(line);
            case 'generation':
                return { type: 'scope', line, body: this.wholeBody('endgeneration') };
            case 'autoescape':
                this.fail('autoescape is not supported');
                break;
            case 'block':
                return this.block(line);
            case 'print': {
                const values = [];
                while (!this.is('block_end')) {
                    if (values.length > 0) this.expect('operator', ',');
                    values.push(this.expression());
                }
                return { type: 'output', line, values };
            }
            case 'break':
            case 'continue':
                if (this.loops === 0) this.fail(`${value} outside of a loop`, line);
                return { type: value, line };
            case 'include':
            case 'import':
            case 'from':
            case 'extends':
                this.fail(`${value}: a chat template stands alone: there is no other to load`, line);
        }
        return this.fail(`unknown tag ${value}`, line);
    }

    /** @param {number} line @returns {Node} */
    ifStatement(line) {
        /** @type {{ test: Node, body: Node[] }[]} */
        const branches = [];
        do branches.push({ test: this.tuple({ conditional: false }), body: this.body('elif', 'else', 'endif') });
        while (this.list[this.at++].value === 'elif');
        const otherwise = this.list[this.at - 1].value === 'else' ? this.wholeBody('endif') : [];
        return { type: 'if', line, branches, otherwise };
    }

    /** @param {number} line @returns {Node} */
    forStatement(line) {
        const target = this.target(['in']);
        this.expect('name', 'in');
        const items = this.tuple({ conditional: false, ends: ['recursive'] });
        const test = this.skip('name', 'if') ? this.expression() : null;
        const recursive = this.skip('name', 'recursive');
        this.loops++;
        const [body, names] = this.reading(() => this.body('endfor', 'else'));
        this.loops--;
        for (const name of names) this.read(name);
        const otherwise = this.list[this.at++].value === 'else' ? this.wholeBody('endfor') : [];
        return { type: 'for', line, target, items, test, recursive, body, otherwise, usesLoop: names.has('loop') };
    }

    /** @param {number} line @returns {Node} */
    setStatement(line) {
        const target = this.target([], true);
        if (this.skip('operator', '=')) return { type: 'set', line, target, value: this.tuple() };
        const filter = this.operator('|') ? this.filters({ type: 'hole', line }) : null;
        return { type: 'setblock', line, target, filter, body: this.wholeBody('endset') };
    }

    /** @param {number} line @returns {Node} */
    macro(line) {
        const { value: name } = this.expect('name');
        return { type: 'macro', line, name, ...this.callable(true, 'endmacro') };
    }

    /**
     * Parameters and body of a macro or of a call block.
     * @param {boolean} signature whether there are parameters
     * @param {string} end
     * @param {() => Node} [between] what stands between them
     */
    callable(signature, end, between) {
        /** @type {{ name: string, value: Node | null }[]} */
        const parameters = [];
        const { loops } = this;
        this.loops = 0;
        let call = null;
        const [body, names] = this.reading(() => {
            if (signature) {
                this.expect('operator', '(');
                while (!this.operator(')')) {
                    if (parameters.length > 0) this.expect('operator', ',');
                    const { value: name } = this.expect('name');
                    const value = this.skip('operator', '=') ? this.expression() : null;
                    if (!value && parameters.at(-1)?.value)
                        this.fail('a parameter without a default follows one with a default');
                    parameters.push({ name, value });
                }
                this.expect('operator', ')');
            }
            call = between?.() ?? null;
            return this.wholeBody(end);
        });
        this.loops = loops;
        for (const name of names) this.read(name);
        return {
            parameters,
            body,
            call,
            varargs: names.has('varargs'),
            kwargs: names.has('kwargs'),
            caller: names.has('caller'),
        };
    }

    /** @param {number} line @returns {Node} */
    callBlock(line) {
        return {
            type: 'callblock',
            line,
            ...this.callable(this.operator('('), 'endcall', () => {
                const call = this.expression();
                return call.type === 'call' ? call : this.fail('{% call %} wants a call', line);
            }),
        };
    }

    /** @param {number} line @returns {Node} */
    filterBlock(line) {
        const filter = this.filters(this.oneFilter({ type: 'hole', line }));
        return { type: 'filterblock', line, filter, body: this.wholeBody('endfilter') };
    }

    /** @param {number} line @returns {Node} */
    withStatement(line) {
        const sets = [];
        while (!this.is('block_end')) {
            if (sets.length > 0) this.expect('operator', ',');
            const target = this.target([]);
            this.expect('operator', '=');
            sets.push({ target, value: this.expression() });
        }
        return { type: 'with', line, sets, body: this.wholeBody('endwith') };
    }

    /** Nothing extends a chat template, so a block is only its content. @param {number} line @returns {Node} */
    block(line) {
        const { value: name } = this.expect('name');
        this.skip('name', 'scoped');
        this.skip('name', 'required');
        const body = this.wholeBody('endblock');
        this.skip('name', name);
        return { type: 'scope', line, body };
    }

    /**
     * What is assigned to: a name, an attribute of a namespace, or several of them.
     * @param {string[]} ends
     * @param {boolean} [attributes]
     * @returns {Node}
     */
    target(ends, attributes = false) {
        const target = this.tuple({ simple: true, attributes, ends });
        const check = (/** @type {Node} */ node) => {
            if (node.type === 'tuple') node.items.forEach(check);
            else if (node.type !== 'name' && node.type !== 'reference')
                this.fail('this cannot be assigned to', node.line);
        };
        check(target);
        return target;
    }

    // ---- expressions ----

    /**
     * One expression, or several with commas between them.
     * @param {{ simple?: boolean, conditional?: boolean, attributes?: boolean, ends?: string[], brackets?: boolean
     *     }} [how]
     * @returns {Node}
     */
    tuple({ simple = false, conditional = true, attributes = false, ends = [], brackets = false } = {}) {
        const { line } = this.token;
        const items = [];
        let several = false;
        for (;;) {
            if (items.length > 0) this.expect('operator', ',');
            if (
                this.is('variable_end') ||
                this.is('block_end') ||
                (this.token.type === 'operator' && TUPLE_ENDS.includes(this.token.value)) ||
                (this.token.type === 'name' && ends.includes(this.token.value))
            )
                break;
            items.push(simple ? this.primary(attributes) : conditional ? this.expression() : this.or());
            if (!this.operator(',')) break;
            several = true;
        }
        if (!several && items.length === 1) return items[0];
        if (!several && !brackets) this.fail(`expected an expression, found ${describe(this.token)}`);
        return { type: 'tuple', line, items };
    }

    /** @returns {Node} */
    expression() {
        return this.nested(() => {
            let node = this.or();
            while (this.is('name', 'if')) {
                const { line } = this.token;
                this.at++;
                const test = this.or();
                node = {
                    type: 'conditional',
                    line,
                    test,
                    value: node,
                    otherwise: this.skip('name', 'else') ? this.expression() : null,
                };
            }
            return node;
        });
    }

    /**
     * A chain of operators of one rank, taken from the left.
     * @param {string} type
     * @param {() => string | null} operator skips one
     * @param {() => Node} operand
     * @returns {Node}
     */
    chain(type, operator, operand) {
        let left = operand();
        for (;;) {
            const { line } = this.token;
            const found = operator();
            if (found === null) return left;
            left = { type, line, operator: found, left, right: operand() };
        }
    }

    /** @param {string} type @param {string[]} values */
    accept(type, ...values) {
        const { value } = this.token;
        return this.token.type === type && values.includes(value) && this.skip(type) ? value : null;
    }

    /** @returns {Node} */
    or() {
        return this.chain(
            'or',
            () => this.accept('name', 'or'),
            () =>
                this.chain(
                    'and',
                    () => this.accept('name', 'and'),
                    () => this.not(),
                ),
        );
    }

    /** @returns {Node} */
    not() {
        const { line } = this.token;
        return this.skip('name', 'not')
            ? { type: 'not', line, value: this.nested(() => this.not()) }
            : this.comparison();
    }

    /** @returns {Node} */
    comparison() {
        const { line } = this.token;
        const first = this.sum();
        const rest = [];
        for (;;) {
            let operator = this.accept('operator', ...COMPARISONS) ?? this.accept('name', 'in');
            const following = this.list[this.at + 1];
            if (!operator && this.is('name', 'not') && following.type === 'name' && following.value === 'in') {
                this.at += 2;
                operator = 'not in';
            }
            if (!operator) break;
            rest.push({ operator, value: this.sum() });
        }
        return rest.length > 0 ? { type: 'compare', line, first, rest } : first;
    }

    /** @returns {Node} */
    sum() {
        return this.chain(
            'binary',
            () => this.accept('operator', '+', '-'),
            () => this.concatenation(),
        );
    }

    /** @returns {Node} */
    concatenation() {
        const { line } = this.token;
        const values = [this.product()];
        while (this.skip('operator', '~')) values.push(this.product());
        return values.length > 1 ? { type: 'concat', line, values } : values[0];
    }

    /** @returns {Node} */
    product() {
        return this.chain(
            'binary',
            () => this.accept('operator', '*', '/', '//', '%'),
            () =>
                this.chain(
                    'binary',
                    () => this.accept('operator', '**'),
                    () => this.unary(),
                ),
        );
    }

    /** @param {boolean} [filters] @returns {Node} */
    unary(filters = true) {
        const { line } = this.token;
        const sign = this.accept('operator', '-', '+');
        let node = this.postfix(
            sign ? { type: 'sign', line, sign, value: this.nested(() => this.unary(false)) } : this.primary(),
        );
        while (filters) {
            if (this.operator('|')) node = this.filters(node);
            else if (this.is('name', 'is')) node = this.test(node);
            else if (this.operator('(')) node = this.call(node);
            else break;
        }
        return node;
    }

    /** @param {string} name */
    read(name) {
        this.open.at(-1)?.add(name);
    }

    /** @param {boolean} [attributes] whether name.attribute is one target @returns {Node} */
    primary(attributes = false) {
        const { type, value, line } = this.token;
        this.at++;
        switch (type) {
            case 'name':
                if (/^([tT]rue|[fF]alse)$/.test(value)) return { type: 'constant', line, value: /^t/i.test(value) };
                if (/^[nN]one$/.test(value)) return { type: 'constant', line, value: null };
                if (attributes && this.skip('operator', '.'))
                    return { type: 'reference', line, name: value, attribute: this.expect('name').value };
                this.read(value);
                return { type: 'name', line, name: value };
            case 'string': {
                let whole = value;
                while (this.is('string')) whole += this.list[this.at++].value;
                this.literals.push(whole);
                return { type: 'constant', line, value: new Text(whole) };
            }
            case 'integer':
                return { type: 'constant', line, value: BigInt(value.replace(/_/g, '').replace(/^0+(?=0)/, '')) };
            case 'float':
                return { type: 'constant', line, value: Number(value.replace(/_/g, '')) };
            case 'operator':
                if (value === '(') {
                    const node = this.nested(() => this.tuple({ brackets: true }));
                    this.expect('operator', ')');
                    return node;
                }
                if (value === '[') return { type: 'list', line, items: this.separated(']', () => this.expression()) };
                if (value === '{')
                    return {
                        type: 'dict',
                        line,
                        items: this.separated('}', () => {
                            const key = this.expression();
                            this.expect('operator', ':');
                            return { key, value: this.expression() };
                        }),
                    };
        }
        this.at--;
        return this.fail(`unexpected ${describe(this.token)}`);
    }

    /** @template T @param {string} end @param {() => T} item @returns {T[]} */
    separated(end, item) {
        const items = [];
        while (!this.operator(end)) {
            if (items.length > 0) this.expect('operator', ',');
            if (this.operator(end)) break;
            items.push(item());
        }
        this.expect('operator', end);
        return items;
    }

    /** @param {Node} first @returns {Node} */
    postfix(first) {
        let node = first;
        for (;;) {
            const { line } = this.token;
            if (this.skip('operator', '.')) {
                const { type, value } = this.token;
                this.at++;
                if (type === 'name') node = { type: 'attribute', line, object: node, name: value };
                else if (type === 'integer')
                    node = {
                        type: 'item',
                        line,
                        object: node,
                        key: { type: 'constant', line, value: BigInt(value.replace(/_/g, '')) },
                    };
                else this.fail('expected a name or a number after the dot', line);
            } else if (this.skip('operator', '[')) {
                const keys = this.separated(']', () => this.subscript());
                if (keys.length === 0) this.fail('[] has no index', line);
                node = {
                    type: 'item',
                    line,
                    object: node,
                    key: keys.length === 1 ? keys[0] : { type: 'tuple', line, items: keys },
                };
            } else if (this.operator('(')) {
                node = this.call(node);
            } else {
                return node;
            }
        }
    }

    /** @returns {Node} */
    subscript() {
        const { line } = this.token;
        const part = () => (this.operator(':') || this.operator(']') || this.operator(',') ? null : this.expression());
        const first = part();
        if (!this.skip('operator', ':')) return first ?? this.fail('expected an index');
        const to = part();
        return { type: 'slice', line, from: first, to, step: this.skip('operator', ':') ? part() : null };
    }

    /** @param {Node} callee @returns {Node} */
    call(callee) {
        return { type: 'call', line: this.token.line, callee, args: this.callArguments() };
    }

    /** @returns {Arguments} */
    callArguments() {
        const { line } = this.expect('operator', '(');
        /** @type {Arguments} */
        const args = { positional: [], named: [], spread: null, spreadNamed: null };
        this.separated(')', () => {
            const following = this.list[this.at + 1];
            if (this.skip('operator', '*')) {
                if (args.spread || args.spreadNamed) this.fail('this call is not well-formed', line);
                args.spread = this.expression();
            } else if (this.skip('operator', '**')) {
                if (args.spreadNamed) this.fail('this call is not well-formed', line);
                args.spreadNamed = this.expression();
            } else if (this.is('name') && following.type === 'operator' && following.value === '=') {
                if (args.spreadNamed) this.fail('this call is not well-formed', line);
                const { value: name } = this.token;
                this.at += 2;
                args.named.push([name, this.expression()]);
            } else {
                if (args.spread || args.spreadNamed || args.named.length > 0)
                    this.fail('this call is not well-formed', line);
                args.positional.push(this.expression());
            }
        });
        return args;
    }

    /** @param {Node} first @returns {Node} */
    filters(first) {
        let node = first;
        while (this.skip('operator', '|')) node = this.oneFilter(node);
        return node;
    }

    dottedName() {
        let { value: name } = this.expect('name');
        while (this.skip('operator', '.')) name += `.${this.expect('name').value}`;
        return name;
    }

    /** @param {Node} value @returns {Node} */
    oneFilter(value) {
        const { line } = this.token;
        const name = this.dottedName();
        return { type: 'filter', line, name, value, args: this.operator('(') ? this.callArguments() : NO_ARGUMENTS };
    }

    /** @param {Node} value @returns {Node} */
    test(value) {
        const { line } = this.expect('name', 'is');
        const negated = this.skip('name', 'not');
        const name = this.dottedName();
        let args = NO_ARGUMENTS;
        if (this.operator('(')) {
            args = this.callArguments();
        } else if (
            (['name', 'string', 'integer', 'float'].includes(this.token.type) &&
                !(this.token.type === 'name' && /^(else|or|and)$/.test(this.token.value))) ||
            this.operator('[') ||
            this.operator('{')
        ) {
            if (this.is('name', 'is')) this.fail('tests with "is" cannot be chained');
            args = { ...NO_ARGUMENTS, positional: [this.postfix(this.primary())] };
        }
        const node = { type: 'test', line, name, value, args };
        return negated ? { type: 'not', line, value: node } : node;
    }
}

/** @type {Arguments} */
const NO_ARGUMENTS = { positional: [], named: [], spread: null, spreadNamed: null };

const WORDS = /** @type {Record<string, string>} */ ({
    block_end: '%}',
    variable_end: '}}',
    name: 'a name',
    end: 'the end',
});

/** @param {Token} token */
const describe = ({ type, value }) => (value === '' ? (WORDS[type] ?? type) : JSON.stringify(value));
