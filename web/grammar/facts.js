/** What is known of schemas that must hold together: which values they take, and whether two such lists share any. */
import { NibbleError } from '../errors.js';
import { WHOLE_FORMATS } from './formats.js';
import { matcherOf } from './included.js';
import { canonical, same, TYPES } from './nodes.js';
import { matching } from './regex.js';

/** @typedef {import('./nodes.js').Node} Node */
/** @typedef {import('./nodes.js').Place} Place */
/** @typedef {import('./nodes.js').Type} Type */
/** @typedef {import('./numbers.js').Bound} Bound */

/** How deep schemas may lie within each other. */
export const DEEPEST = 100;
/** How many ways there may be to choose among the options of a schema, and how many steps of all comparisons, and of
 * those of texts with patterns. */
const MOST_WAYS = 500,
    MOST_STEPS = 200_000,
    MOST_READ = 1_000_000;

/** @param {string} what */
const tooLarge = (what) => new NibbleError('NB_ERR_UNSUPPORTED', `schema: ${what}: make it simpler`);

/** @param {Node[]} nodes @returns {Set<Type>} the types that all of them allow */
export function typesOf(nodes) {
    return new Set(TYPES.filter((type) => nodes.every(({ types }) => !types || types.has(type))));
}

/**
 * The types that an answer may have. Without a type, those that the keywords are about: who lists properties wants an
 * object.
 * @param {Node[]} nodes
 */
export function answerTypes(nodes) {
    const types = typesOf(nodes);
    if (nodes.some((node) => node.types)) return types;
    const suggested = new Set(nodes.flatMap((node) => [...node.suggested]));
    if (suggested.has('number')) suggested.add('integer');
    return suggested.size > 0 ? suggested : types;
}

/** @param {number[]} numbers */
const largest = (numbers) => numbers.reduce((a, b) => Math.max(a, b), -Infinity);
/** @param {number[]} numbers */
const smallest = (numbers) => numbers.reduce((a, b) => Math.min(a, b), Infinity);

/**
 * @param {Node[]} nodes
 * @param {'Length' | 'Items' | 'Properties'} what
 * @returns {[number, number]}
 */
export const countsOf = (nodes, what) => [
    largest([0, ...nodes.map((node) => node[`min${what}`] ?? 0)]),
    smallest(nodes.map((node) => node[`max${what}`] ?? Infinity)),
];

/** @param {Node[]} nodes @returns {[Bound, Bound]} */
export function boundsOf(nodes) {
    const side = (/** @type {1 | -1} */ sign) => {
        let bound = { value: -Infinity, open: false };
        for (const node of nodes) {
            const [closed, open] =
                sign > 0 ? [node.minimum, node.exclusiveMinimum] : [node.maximum, node.exclusiveMaximum];
            if (closed !== undefined && sign * closed > bound.value) bound = { value: sign * closed, open: false };
            if (open !== undefined && sign * open >= bound.value) bound = { value: sign * open, open: true };
        }
        return { value: sign * bound.value, open: bound.open };
    };
    return [side(1), side(-1)];
}

export class Facts {
    #steps = 0;
    #read = 0;
    /** What tells whether a text has a pattern. @type {Map<string, ReturnType<typeof matcherOf>>} */
    #matchers = new Map();

    /** @param {import('./nodes.js').Nodes} nodes */
    constructor(nodes) {
        this.nodes = nodes;
    }

    #step() {
        if (++this.#steps > MOST_STEPS) throw tooLarge('it takes too many comparisons of its parts');
    }

    /** Whether a text has a pattern. @param {string} source @param {string} text */
    matches(source, text) {
        if (!this.#matchers.has(source)) this.#matchers.set(source, matcherOf(matching(source)));
        const matcher = this.#matchers.get(source);
        if (!matcher)
            throw tooLarge(`the pattern ${JSON.stringify(source.slice(0, 60))} is too large to compare texts with`);
        return matcher(text, (n) => {
            this.#read += n;
            if (this.#read > MOST_READ) throw tooLarge('it takes too long to compare its texts with its patterns');
        });
    }

    /** The schemas that a node has for a property. @param {Node} node @param {string} name @returns {Place[]} */
    #placesOf(node, name) {
        const own = node.properties?.get(name),
            places = node.patterns.filter(([source]) => this.matches(source, name)).map(([, place]) => place);
        if (own) places.push(own);
        return places.length === 0 && node.additional ? [node.additional] : places;
    }

    /** @param {Place[]} places */
    read(places) {
        return places.map((place) => this.nodes.at(place));
    }

    /**
     * The ways in which nodes can hold together: lists of nodes, without references and choices that are still open.
     * @param {Node[]} nodes
     * @returns {Node[][]}
     */
    ways(nodes) {
        /** @typedef {{ options: Place[], exclusive: boolean, path: Node[] }} Choice */
        /** @type {(node: Node, path: Node[], plain: Node[], open: Choice[]) => void} */
        const add = (node, path, plain, open) => {
            this.#step();
            if (path.includes(node) || path.length > DEEPEST)
                throw new NibbleError(
                    'NB_ERR_ARGUMENT',
                    `schema: what stands at #${node.pointer} refers to itself without an object or array between`,
                );
            if (plain.includes(node)) return;
            plain.push(node);
            const inner = [...path, node];
            for (const also of this.read(node.also)) add(also, inner, plain, open);
            for (const choice of node.choices) open.push({ ...choice, path: inner });
        };
        /** @type {(plain: Node[], open: Choice[]) => Node[][]} */
        const choose = (plain, open) => {
            if (typesOf(plain).size === 0 || plain.some(({ values }) => values?.length === 0)) return [];
            const [choice, ...others] = open;
            if (!choice) return [plain];
            const lists = this.read(choice.options).map((option) => {
                const [own, rest] = [[...plain], [...others]];
                add(option, choice.path, own, rest);
                return choose(own, rest);
            });
            if (choice.exclusive) this.#checkApart(lists, choice.path);
            const all = lists.flat();
            if (all.length > MOST_WAYS) throw tooLarge(`its options have more than ${MOST_WAYS} combinations`);
            return all;
        };
        const plain = /** @type {Node[]} */ ([]),
            open = /** @type {Choice[]} */ ([]);
        for (const node of nodes) add(node, [], plain, open);
        return choose(plain, open);
    }

    /** @param {Node[][][]} lists for each option its ways @param {Node[]} path */
    #checkApart(lists, path) {
        lists.forEach((ways, i) => {
            const rest = lists.filter((_, j) => j !== i).flat();
            if (ways.some((way) => rest.some((other) => !this.apart(way, other))))
                throw new NibbleError(
                    'NB_ERR_UNSUPPORTED',
                    `schema: "oneOf" at #${path[path.length - 1].pointer} is not supported where a value may fit two of ` +
                        'its schemas: use anyOf, or give each a required property with a const of its own',
                );
        });
    }

    /** Whether a value is valid under all nodes. @param {Node[]} nodes @param {any} value @param {number} [depth] */
    accepts(nodes, value, depth = 0) {
        return nodes.every((node) => this.#accepts(node, value, depth));
    }

    /** @param {Node} node @param {any} value @param {number} depth @returns {boolean} */
    #accepts(node, value, depth) {
        this.#step();
        if (depth > 2 * DEEPEST) throw tooLarge(`what stands at #${node.pointer} is nested too deep`);
        /** @type {(place: Place, each: any) => boolean} */
        const fits = (place, each) => this.#accepts(this.nodes.at(place), each, depth + 1);
        const { types, values, format, pattern, multipleOf } = node;
        if (types && !typesOfValue(value).some((type) => types.has(type))) return false;
        if (values && !values.some((each) => same(each, value))) return false;
        if (!node.also.every((place) => fits(place, value))) return false;
        for (const { options, exclusive } of node.choices) {
            const n = options.filter((place) => fits(place, value)).length;
            if (n === 0 || (exclusive && n > 1)) return false;
        }
        if (typeof value === 'number') {
            const [low, high] = boundsOf([node]);
            return (
                (low.open ? value > low.value : value >= low.value) &&
                (high.open ? value < high.value : value <= high.value) &&
                (multipleOf === undefined || Number.isInteger(value / multipleOf))
            );
        }
        const within = (/** @type {'Length' | 'Items' | 'Properties'} */ what, /** @type {number} */ n) => {
            const [min, max] = countsOf([node], what);
            return n >= min && n <= max;
        };
        if (typeof value === 'string')
            return (
                within('Length', Array.from(value).length) &&
                (pattern === undefined || this.matches(pattern, value)) &&
                (format === undefined || this.matches(WHOLE_FORMATS[format], value))
            );
        if (Array.isArray(value))
            return (
                within('Items', value.length) &&
                value.every((each, i) => {
                    const place = node.prefix[i] ?? node.items;
                    return !place || fits(place, each);
                })
            );
        if (typeof value !== 'object' || value === null) return true;
        const names = Object.keys(value);
        return (
            within('Properties', names.length) &&
            node.required.every((name) => Object.hasOwn(value, name)) &&
            names.every(
                (name) =>
                    this.#placesOf(node, name).every((place) => fits(place, value[name])) &&
                    (!node.propertyNames || fits(node.propertyNames, name)),
            )
        );
    }

    /** The only values that nodes allow, if a schema lists them. @param {Node[]} nodes @returns {unknown[] | undefined} */
    valuesOf(nodes) {
        const listed = nodes.find(({ values }) => values)?.values;
        if (!listed) return;
        const distinct = new Map(listed.map((value) => [canonical(value), value]));
        return [...distinct.values()].filter((value) => this.accepts(nodes, value));
    }

    /** @param {Node[]} nodes @param {string} name @returns {Node[]} what a property's value must be */
    ofProperty(nodes, name) {
        return this.read(nodes.flatMap((node) => this.#placesOf(node, name)));
    }

    /** @param {Node[]} nodes @param {number} i @returns {Node[]} what an element of an array must be */
    ofElement(nodes, i) {
        return this.read(nodes.flatMap((node) => node.prefix[i] ?? node.items ?? []));
    }

    /**
     * Whether no answer to one way is valid the other way. An answer has no properties but those that are named, unless
     * a schema says so.
     * @param {Node[]} answer
     * @param {Node[]} other
     * @param {number} [depth]
     * @returns {boolean} false: it is not known
     */
    apart(answer, other, depth = 0) {
        this.#step();
        if (depth > 4) return false;
        const values = this.valuesOf(answer),
            otherValues = this.valuesOf(other);
        if (values) return values.every((value) => !this.accepts(other, value));
        if (otherValues) return otherValues.every((value) => !this.accepts(answer, value));
        const types = answerTypes(answer),
            otherTypes = typesOf(other);
        return TYPES.every(
            (type) => !types.has(type) || !otherTypes.has(type) || this.#apartAs(type, answer, other, depth),
        );
    }

    /** @param {Node[]} a @param {Node[]} b @param {number} depth of answers to the nodes a and b, in any way */
    #waysApart(a, b, depth) {
        const [ways, others] = [this.ways(a), this.ways(b)];
        return ways.every((way) => others.every((other) => this.apart(way, other, depth + 1)));
    }

    /** @param {Type} type @param {Node[]} answer @param {Node[]} other @param {number} depth @returns {boolean} */
    #apartAs(type, answer, other, depth) {
        const counts = (/** @type {'Length' | 'Items' | 'Properties'} */ what) => {
            const [[min, max], [otherMin, otherMax]] = [countsOf(answer, what), countsOf(other, what)];
            return min > otherMax || otherMin > max;
        };
        if (type === 'integer' || type === 'number') {
            const [[low, high], [otherLow, otherHigh]] = [boundsOf(answer), boundsOf(other)];
            const below = (/** @type {Bound} */ top, /** @type {Bound} */ bottom) =>
                top.value < bottom.value || (top.value === bottom.value && (top.open || bottom.open));
            return below(high, otherLow) || below(otherHigh, low);
        }
        if (type === 'string') return counts('Length');
        if (type === 'array') {
            const least = Math.min(countsOf(answer, 'Items')[0], countsOf(other, 'Items')[0], 10);
            return (
                counts('Items') ||
                Array.from({ length: least }, (_, i) => i).some((i) =>
                    this.#waysApart(this.ofElement(answer, i), this.ofElement(other, i), depth),
                )
            );
        }
        if (type !== 'object') return false;
        const [required, otherRequired] = [answer, other].map(
            (nodes) => new Set(nodes.flatMap((node) => node.required)),
        );
        return (
            counts('Properties') ||
            (!isOpen(answer) && [...otherRequired].some((name) => !namesOf(answer).has(name))) ||
            [...required].some((name) =>
                this.#waysApart(this.ofProperty(answer, name), this.ofProperty(other, name), depth),
            )
        );
    }
}

/** @param {any} value @returns {Type[]} */
function typesOfValue(value) {
    if (value === null) return ['null'];
    if (Array.isArray(value)) return ['array'];
    if (typeof value === 'number') return Number.isInteger(value) ? ['integer', 'number'] : ['number'];
    return [/** @type {Type} */ (typeof value)];
}

/** The names of properties that nodes speak of, in their order. @param {Node[]} nodes @returns {Set<string>} */
export const namesOf = (nodes) =>
    new Set([
        ...nodes.flatMap((node) => [...(node.properties?.keys() ?? [])]),
        ...nodes.flatMap((node) => node.required),
    ]);

/** Whether an answer may have other properties than those. @param {Node[]} nodes */
export const isOpen = (nodes) =>
    !nodes.some(({ additional, patterns }) => additional?.schema === false && patterns.length === 0) &&
    (nodes.some((node) => node.additional || node.patterns.length > 0) || !nodes.some((node) => node.properties));
