/**
 * Renders a chat template, as jinja2 does in the environment that transformers makes for it. The texts that come
 * out know who wrote them (text.js).
 *
 * A template is a stranger's program: the steps that it takes, the text that it writes and the depth of its calls
 * are bounded. It runs as a generator, which yields now and then, so that its caller can let other work in, or
 * leave it.
 */

import { apply, takes } from './arguments.js';
import { filtered, hasFilter } from './filters.js';
import { percent } from './format.js';
import { hasTest, is } from './is.js';
import { copied, look, sliced } from './methods.js';
import { parse } from './parser.js';
import { LimitError, SyntaxProblem, TemplateError } from './problems.js';
import { Builder, EMPTY, joined, Text, text } from './text.js';
import { strftime } from './time.js';
import {
    Attributes,
    Builtin,
    calculated,
    compared,
    Dict,
    describeValue,
    equal,
    fail,
    isNumber,
    iterate,
    limited,
    Namespace,
    needIndex,
    needText,
    Range,
    several,
    str,
    Tuple,
    truth,
    Undefined,
    weight,
} from './values.js';

/** @typedef {import('./values.js').Value} Value */
/** @typedef {import('./parser.js').Node} Node */
/** @typedef {import('./parser.js').Arguments} Arguments */
/** @typedef {Generator<void, any, void>} Work */
/** @typedef {{ args: Value[], named: Map<string, Value> }} Given */

export { LimitError, SyntaxProblem, TemplateError };

/**
 * Steps: some ten for each part of an expression, and one for four characters of a text. A thousand messages
 * take about three million.
 */
export const MAX_STEPS = 2e7;
/** How many steps to take between two yields: about a millisecond. */
const STEPS_TO_YIELD = 20000;
const MAX_CALLS = 100,
    MAX_RANGE = 100000;

/** Variables, and where to look for others. */
class Scope {
    /** @type {Map<string, Value>} */
    names = new Map();

    /** @param {Scope | null} outer */
    constructor(outer) {
        this.outer = outer;
    }

    /** @param {string} name @returns {Value} */
    get(name) {
        for (let scope = /** @type {Scope | null} */ (this); scope; scope = scope.outer) {
            const value = scope.names.get(name);
            if (value !== undefined) return value;
        }
        return new Undefined(`${name} is undefined`);
    }
}

/** A macro, or the body of a call block. */
class Macro {
    /** @param {Node} node @param {Scope} scope that it was defined in */
    constructor(node, scope) {
        this.node = node;
        this.scope = scope;
    }
}

/** The variable `loop`: where a loop stands. */
class Loop extends Attributes {
    at = -1;
    /** @type {Value[] | null} */
    last = null;

    /**
     * @param {Value[]} items
     * @param {Node} node
     * @param {Scope} scope
     * @param {number} depth of recursive loops
     */
    constructor(items, node, scope, depth) {
        const whole = (/** @type {() => number} */ number) => () => BigInt(number());
        super({
            index: whole(() => this.at + 1),
            index0: whole(() => this.at),
            revindex: whole(() => items.length - this.at),
            revindex0: whole(() => items.length - this.at - 1),
            first: () => this.at === 0,
            last: () => this.at === items.length - 1,
            length: whole(() => items.length),
            depth: whole(() => depth + 1),
            depth0: whole(() => depth),
            previtem: () => (this.at > 0 ? items[this.at - 1] : new Undefined('there is no previous item')),
            nextitem: () => items[this.at + 1] ?? new Undefined('there is no next item'),
            cycle: () => new Builtin('cycle', (args) => args[this.at % args.length] ?? fail('cycle() needs items')),
            changed: () =>
                new Builtin('changed', (args) => {
                    const same = this.last !== null && equal(this.last, args);
                    this.last = args;
                    return !same;
                }),
        });
        this.node = node;
        this.scope = scope;
        this.depth = depth;
    }
}

/** @type {Record<string, (args: Value[], named: Map<string, Value>) => Value>} */
const GLOBALS = {
    range: (args) => {
        const [a, b, c = 1n] = args.map((arg) => BigInt(needIndex(arg, 'range()')));
        const [from, to, step] = b === undefined ? [0n, a, 1n] : [a, b, c];
        if (from === undefined || to === undefined || step === 0n)
            return fail('range() needs an end, and a step that is not 0');
        const n = Math.max(0, Math.ceil(Number(to - from) / Number(step)));
        if (n > MAX_RANGE) throw new LimitError(`range() gives at most ${MAX_RANGE} numbers, not ${n}`);
        return Range.from(Array.from({ length: n }, (_, i) => from + BigInt(i) * step));
    },
    dict: (args, named) => {
        const dict = args[0] instanceof Dict ? copied(args[0]) : new Dict();
        if (args.length > 0 && !(args[0] instanceof Dict))
            for (const item of iterate(args[0])) {
                const [key, value] = several(item, 2, 'dict()');
                dict.set(key, value);
            }
        for (const [key, value] of named) dict.set(text(key), value);
        return dict;
    },
    namespace: (args, named) => {
        const made = new Namespace();
        for (const [key, value] of args[0] instanceof Dict ? args[0].entries.values() : [])
            made.names.set(needText(key).string, value);
        for (const [key, value] of named) made.names.set(key, value);
        for (const key of made.names.keys()) checkAttribute(key);
        return made;
    },
    cycler: (args) => {
        let at = 0;
        return new Attributes({
            current: () => args[at % args.length],
            next: () => new Builtin('next', () => args[at++ % args.length]),
            reset: () =>
                new Builtin('reset', () => {
                    at = 0;
                    return null;
                }),
        });
    },
    joiner: ([between = text(', ')]) => {
        let used = false;
        return new Builtin('joiner', () => {
            const now = used ? between : EMPTY;
            used = true;
            return now;
        });
    },
    raise_exception: (args, named) =>
        apply(
            'raise_exception',
            takes('message /', (message) => fail(str(message).string)),
            [],
            args,
            named,
        ),
    strftime_now: (args, named) =>
        apply(
            'strftime_now',
            takes('format /', (format) => text(strftime(needText(format).string))),
            [],
            args,
            named,
        ),
};

/** @param {string} name */
function checkAttribute(name) {
    if (name.startsWith('_')) fail(`a namespace may not have ${name}: it begins with _`);
}

export class Template {
    /** @param {string} source */
    constructor(source) {
        const { body, literals } = guarded(() => parse(source));
        this.body = body;
        /** Texts that the template itself may write. */
        this.literals = literals;
    }

    /**
     * Yields from time to time, and returns the text.
     * @param {Map<string, Value>} variables
     * @returns {Generator<void, Text, void>}
     */
    *render(variables) {
        const root = new Scope(null);
        for (const [name, run] of Object.entries(GLOBALS)) root.names.set(name, new Builtin(name, run));
        const scope = new Scope(root);
        scope.names = new Map(variables);
        const out = new Builder();
        const work = new Interpreter().run(this.body, scope, out);
        for (;;) {
            const { done } = guarded(() => work.next());
            if (done) return out.text();
            yield;
        }
    }
}

/** JavaScript's own stack may end before a bound is reached. @template T @param {() => T} run @returns {T} */
function guarded(run) {
    try {
        return run();
    } catch (error) {
        if (error instanceof RangeError)
            throw new LimitError(`it is nested too deep, or makes too much at once (${error.message})`, {
                cause: error,
            });
        throw error;
    }
}

class Interpreter {
    steps = 0;
    pause = STEPS_TO_YIELD;
    calls = 0;

    /** Counts work. @param {number} n */
    spend(n) {
        this.steps += n;
        if (this.steps > MAX_STEPS) throw new LimitError(`it takes more than ${MAX_STEPS} steps`);
    }

    /** Counts a statement. @returns {boolean} whether it is time to yield */
    due() {
        this.spend(10);
        if (this.steps < this.pause) return false;
        this.pause = this.steps + STEPS_TO_YIELD;
        return true;
    }

    // ---- statements ----

    /**
     * @param {Node[]} nodes
     * @param {Scope} scope
     * @param {Builder} out
     * @returns {Generator<void, 'break' | 'continue' | undefined, void>} how a loop's body ended early
     */
    *run(nodes, scope, out) {
        for (const node of nodes) {
            if (this.due()) yield;
            switch (node.type) {
                case 'data':
                    out.push(node.text);
                    break;
                case 'output':
                    for (const value of node.values) out.push(str(yield* this.value(value, scope)));
                    break;
                case 'if': {
                    const end = yield* this.runIf(node, scope, out);
                    if (end) return end;
                    break;
                }
                case 'for':
                    yield* this.loop(node, yield* this.value(node.items, scope), scope, out, 0);
                    break;
                case 'set':
                    this.assign(node.target, yield* this.value(node.value, scope), scope);
                    break;
                case 'setblock': {
                    const body = yield* this.captured(node.body, new Scope(scope));
                    this.assign(node.target, node.filter ? yield* this.filled(node.filter, body, scope) : body, scope);
                    break;
                }
                case 'filterblock':
                    out.push(
                        str(yield* this.filled(node.filter, yield* this.captured(node.body, new Scope(scope)), scope)),
                    );
                    break;
                case 'macro':
                    scope.names.set(node.name, new Macro(node, scope));
                    break;
                case 'callblock':
                    out.push(str(yield* this.callBlock(node, scope)));
                    break;
                case 'with': {
                    const inner = new Scope(scope);
                    for (const { target, value } of node.sets)
                        this.assign(target, yield* this.value(value, scope), inner);
                    const end = yield* this.run(node.body, inner, out);
                    if (end) return end;
                    break;
                }
                case 'scope': {
                    const end = yield* this.run(node.body, new Scope(scope), out);
                    if (end) return end;
                    break;
                }
                case 'break':
                case 'continue':
                    return node.type;
            }
        }
        return undefined;
    }

    /** @param {Node} node @param {Scope} scope @param {Builder} out @returns {Work} */
    *runIf(node, scope, out) {
        for (const { test, body } of node.branches)
            if (truth(yield* this.value(test, scope))) return yield* this.run(body, scope, out);
        return yield* this.run(node.otherwise, scope, out);
    }

    /** @param {Node[]} body @param {Scope} scope @returns {Generator<void, Text, void>} */
    *captured(body, scope) {
        const out = new Builder();
        yield* this.run(body, scope, out);
        return out.text();
    }

    /**
     * @param {Node} node
     * @param {Value} value
     * @param {Scope} scope
     * @param {Builder} out
     * @param {number} depth
     * @returns {Work}
     */
    *loop(node, value, scope, out, depth) {
        const items =
            node.test && node.usesLoop ? yield* this.tested(node, iterate(value), scope) : [...iterate(value)];
        const loop = new Loop(items, node, scope, depth);
        let ran = false;
        for (const item of items) {
            if (this.due()) yield;
            const inner = new Scope(scope);
            this.assign(node.target, item, inner);
            if (node.test && !node.usesLoop && !truth(yield* this.value(node.test, inner))) continue;
            loop.at++;
            inner.names.set('loop', loop);
            const end = yield* this.run(node.body, inner, out);
            if (end === 'break') break;
            ran ||= end === undefined; // as in jinja2, an item that ends with `continue` does not count
        }
        if (!ran) yield* this.run(node.otherwise, new Scope(scope), out);
    }

    /** The items that pass a loop's own test. @param {Node} node @param {Value[]} items @param {Scope} scope */
    *tested(node, items, scope) {
        const passed = [];
        for (const item of items) {
            const inner = new Scope(scope);
            this.assign(node.target, item, inner);
            if (truth(yield* this.value(node.test, inner))) passed.push(item);
        }
        return passed;
    }

    /** @param {Node} target @param {Value} value @param {Scope} scope */
    assign(target, value, scope) {
        if (target.type === 'name') {
            scope.names.set(target.name, value);
        } else if (target.type === 'reference') {
            const object = scope.get(target.name);
            checkAttribute(target.attribute);
            if (!(object instanceof Namespace))
                fail(
                    `line ${target.line}: only a namespace's attributes can be set, and ${target.name} is ${describeValue(object)}`,
                );
            object.names.set(target.attribute, value);
        } else {
            const values = [...iterate(value)];
            if (values.length !== target.items.length)
                fail(`line ${target.line}: ${values.length} values for ${target.items.length} names`);
            for (const [i, item] of target.items.entries()) this.assign(item, values[i], scope);
        }
    }

    /** Applies a chain of filters to a value. @param {Node} filter @param {Value} body @param {Scope}
     * scope */
    *filled(filter, body, scope) {
        const inner = new Scope(scope);
        inner.names.set(HOLE, body);
        return yield* this.value(filter, inner);
    }

    // ---- expressions ----

    /** @param {Node} node @param {Scope} scope @returns {Work} */
    *value(node, scope) {
        this.spend(10);
        switch (node.type) {
            case 'constant':
                return node.value;
            case 'name':
                return scope.get(node.name);
            case 'hole':
                return scope.get(HOLE);
            case 'attribute': {
                const object = yield* this.value(node.object, scope);
                return look(object, new Text(node.name), true);
            }
            case 'item': {
                const object = yield* this.value(node.object, scope);
                if (node.key.type === 'slice')
                    return this.weighed(sliced(object, ...(yield* this.sliceOf(node.key, scope))));
                return look(object, yield* this.value(node.key, scope), false);
            }
            case 'and': {
                const left = yield* this.value(node.left, scope);
                return truth(left) ? yield* this.value(node.right, scope) : left;
            }
            case 'or': {
                const left = yield* this.value(node.left, scope);
                return truth(left) ? left : yield* this.value(node.right, scope);
            }
            case 'not':
                return !truth(yield* this.value(node.value, scope));
            case 'conditional':
                if (truth(yield* this.value(node.test, scope))) return yield* this.value(node.value, scope);
                return node.otherwise
                    ? yield* this.value(node.otherwise, scope)
                    : new Undefined(`line ${node.line}: this "if" has no "else", and is false`);
            case 'compare':
                return yield* this.comparison(node, scope);
            case 'binary': {
                const left = yield* this.value(node.left, scope),
                    right = yield* this.value(node.right, scope);
                return this.weighed(
                    node.operator === '%' && left instanceof Text
                        ? percent(left, right)
                        : calculated(node.operator, left, right),
                );
            }
            case 'concat': {
                const parts = [];
                for (const part of node.values) parts.push(str(yield* this.value(part, scope)));
                return this.weighed(joined(parts));
            }
            case 'sign': {
                const value = yield* this.value(node.value, scope);
                if (!isNumber(value)) fail(`line ${node.line}: ${describeValue(value)} has no sign`);
                return node.sign === '+'
                    ? calculated('+', value, 0n)
                    : calculated('*', value, typeof value === 'number' ? -1 : -1n);
            }
            case 'tuple':
                return Tuple.from(yield* this.values(node.items, scope));
            case 'list':
                return yield* this.values(node.items, scope);
            case 'dict': {
                const dict = new Dict();
                for (const { key, value } of node.items)
                    dict.set(yield* this.value(key, scope), yield* this.value(value, scope));
                return dict;
            }
            case 'filter': {
                if (!hasFilter(node.name))
                    throw new SyntaxProblem(`line ${node.line}: there is no filter ${node.name}`);
                const value = yield* this.value(node.value, scope),
                    { args, named } = yield* this.given(node.args, scope);
                this.weighed(value);
                return this.weighed(filtered(node.name, value, args, named));
            }
            case 'test': {
                if (!hasTest(node.name)) throw new SyntaxProblem(`line ${node.line}: there is no test ${node.name}`);
                const value = yield* this.value(node.value, scope),
                    { args, named } = yield* this.given(node.args, scope);
                return is(node.name, value, args, named);
            }
            case 'call': {
                const callee = yield* this.value(node.callee, scope),
                    given = yield* this.given(node.args, scope);
                return yield* this.call(node, callee, given);
            }
            case 'slice':
                return fail(`line ${node.line}: a slice is no index`);
        }
        throw new SyntaxProblem(`line ${node.line}: ${node.type} is not supported`);
    }

    /** Counts the size of a value: one step can make a large one. @param {Value} value @returns {Value} */
    weighed(value) {
        this.spend(weight(value) >> 2);
        return value;
    }

    /** @param {Node[]} nodes @param {Scope} scope @returns {Generator<void, Value[], void>} */
    *values(nodes, scope) {
        const values = [];
        for (const node of nodes) values.push(yield* this.value(node, scope));
        return values;
    }

    /** @param {Node} slice @param {Scope} scope @returns {Generator<void, [Value, Value, Value], void>} */
    *sliceOf({ from, to, step }, scope) {
        return [
            from ? yield* this.value(from, scope) : null,
            to ? yield* this.value(to, scope) : null,
            step ? yield* this.value(step, scope) : null,
        ];
    }

    /** a < b < c @param {Node} node @param {Scope} scope @returns {Work} */
    *comparison(node, scope) {
        let left = yield* this.value(node.first, scope);
        for (const { operator, value } of node.rest) {
            const right = yield* this.value(value, scope);
            this.weighed(left);
            this.weighed(right);
            if (!compared(operator, left, right)) return false;
            left = right;
        }
        return true;
    }

    /** @param {Arguments} args @param {Scope} scope @returns {Generator<void, Given, void>} */
    *given({ positional, named, spread, spreadNamed }, scope) {
        const args = yield* this.values(positional, scope);
        /** @type {Map<string, Value>} */
        const names = new Map();
        for (const [name, node] of named) names.set(name, yield* this.value(node, scope));
        if (spread) args.push(...limited(iterate(yield* this.value(spread, scope))));
        if (spreadNamed) {
            const dict = yield* this.value(spreadNamed, scope);
            for (const [key, value] of dict instanceof Dict
                ? dict.entries.values()
                : fail(`** needs a dict, not ${describeValue(dict)}`))
                names.set(needText(key).string, value);
        }
        return { args, named: names };
    }

    // ---- calls ----

    /** @param {Node} node @param {Value} callee @param {Given} given @returns {Work} */
    *call(node, callee, given) {
        if (callee instanceof Builtin) {
            for (const arg of given.args) this.weighed(arg);
            return this.weighed(callee.run(given.args, given.named));
        }
        if (callee instanceof Macro) return yield* this.nested(this.callMacro(callee, given));
        if (callee instanceof Loop && callee.node.recursive) {
            const out = new Builder();
            yield* this.nested(this.loop(callee.node, given.args[0] ?? [], callee.scope, out, callee.depth + 1));
            return out.text();
        }
        return fail(`line ${node.line}: ${describeValue(callee)} cannot be called`);
    }

    /** @param {Work} work @returns {Work} */
    *nested(work) {
        if (++this.calls > MAX_CALLS) throw new LimitError(`its macros call each other more than ${MAX_CALLS} deep`);
        const result = yield* work;
        this.calls--;
        return result;
    }

    /** @param {Macro} macro @param {Given} given @returns {Work} */
    *callMacro({ node, scope }, { args, named }) {
        const inner = new Scope(scope),
            rest = new Map(named);
        const name = node.name ?? 'caller';
        const parameters = /** @type {{ name: string, value: Node | null }[]} */ (node.parameters);
        for (const [i, parameter] of parameters.entries()) {
            let value = args[i];
            if (rest.has(parameter.name)) {
                if (value !== undefined) fail(`macro ${name} is given ${parameter.name} twice`);
                value = rest.get(parameter.name);
                rest.delete(parameter.name);
            }
            value ??= parameter.value ? undefined : new Undefined(`parameter ${parameter.name} was not given`);
            inner.names.set(
                parameter.name,
                value === undefined ? yield* this.value(/** @type {Node} */ (parameter.value), inner) : value,
            );
        }
        if (node.caller) {
            inner.names.set('caller', rest.get('caller') ?? new Undefined('there is no caller'));
            rest.delete('caller');
        }
        if (node.kwargs) inner.names.set('kwargs', GLOBALS.dict([], rest));
        else if (rest.size > 0) fail(`macro ${name} has no parameter ${[...rest.keys()][0]}`);
        if (node.varargs) inner.names.set('varargs', Tuple.from(args.slice(parameters.length)));
        else if (args.length > parameters.length)
            fail(`macro ${name} takes at most ${parameters.length} arguments, not ${args.length}`);
        return yield* this.captured(node.body, inner);
    }

    /** @param {Node} node @param {Scope} scope @returns {Work} */
    *callBlock(node, scope) {
        const callee = yield* this.value(node.call.callee, scope),
            given = yield* this.given(node.call.args, scope);
        given.named.set('caller', new Macro(node, scope));
        return yield* this.call(node.call, callee, given);
    }
}

/** The name of the value that a chain of filters starts from. */
const HOLE = ' hole';
