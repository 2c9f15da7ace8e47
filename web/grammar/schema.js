/**
 * JSON Schema, draft 2020-12 -> GBNF. docs/structured.md lists what is supported. A rule of the grammar stands for a
 * list of schemas which must hold together: allOf and $ref make such lists, and anyOf makes alternatives of them. So
 * what several schemas say of one value is joined before anything is written.
 */
import { about, NibbleError } from '../errors.js';
import { all, any, EMPTY, maybe, NEVER, prefixed, prune, rule, text, times, toGbnf } from './expressions.js';
import { answerTypes, boundsOf, countsOf, DEEPEST, Facts, isOpen, namesOf } from './facts.js';
import { FORMATS, WHOLE_FORMATS } from './formats.js';
import { isIncluded } from './included.js';
import { Nodes, unsupported } from './nodes.js';
import { integers, MOST, multiples, numbers } from './numbers.js';
import { limited, matching, written } from './regex.js';
import { jsonSet, otherThan, SHARED } from './strings.js';

/** @typedef {import('./expressions.js').Expression} Expression */
/** @typedef {import('./nodes.js').Node} Node */
/** @typedef {import('./nodes.js').Type} Type */

/** Bounds of the grammar: of its rules, of a count such as maxLength, and of the parts when counts are written out. */
const MOST_RULES = 5000,
    MOST_COUNT = 100_000,
    MOST_PARTS = 200_000;
/** So many multiples in a range are listed. */
const MOST_LISTED = 1000;
/** Letters of names that the names of other properties are told apart from. */
const MOST_LETTERS = 20_000;

/** Between two members or elements. */
const COMMA = all(',', maybe(text(' ')));

class Translator {
    #nodes;
    #facts;
    /** @type {Map<string, Expression>} */
    rules = new Map();
    /** The names of rules, by the numbers of their schemas. @type {Map<string, string>} */
    #known = new Map();
    /** Names that are taken, with the next number to tell another one apart. @type {Map<string, number>} */
    #used = new Map();
    #depth = 0;

    /** @param {unknown} schema @param {unknown[]} also others that must hold, too */
    constructor(schema, also) {
        this.#nodes = new Nodes(schema);
        this.#facts = new Facts(this.#nodes);
        this.#rule(
            [schema, ...also].map((schema) => this.#nodes.at({ schema, pointer: '' })),
            'root',
        );
        for (const [name, body] of Object.entries(SHARED)) this.rules.set(name, body);
    }

    /** @param {string} hint @returns {string} the name of a new rule */
    #name(hint) {
        if (this.rules.size === MOST_RULES)
            throw new NibbleError(
                'NB_ERR_UNSUPPORTED',
                `schema: its grammar has more than ${MOST_RULES} rules: make it simpler`,
            );
        const plain = hint.replace(/[^A-Za-z0-9-]+/g, '-').slice(0, 60);
        let name = plain;
        for (let i = this.#used.get(plain) ?? 2; this.rules.has(name) || Object.hasOwn(SHARED, name); i++) {
            name = `${plain}-${i}`;
            this.#used.set(plain, i + 1);
        }
        this.rules.set(name, NEVER); // reserved
        return name;
    }

    /** A rule for a part that is in no schema by itself. @param {string} hint @param {Expression} body */
    #add(hint, body) {
        const name = this.#name(hint);
        this.rules.set(name, body);
        return rule(name);
    }

    /** The rule of schemas that must hold together. @param {Node[]} nodes @param {string} hint @returns {Expression} */
    #rule(nodes, hint) {
        const key = [...new Set(nodes.map(({ id }) => id))].sort((a, b) => a - b).join(),
            known = this.#known.get(key);
        if (known) return rule(known);
        if (this.#depth === DEEPEST)
            throw new NibbleError(
                'NB_ERR_UNSUPPORTED',
                `schema: what stands at #${nodes[0]?.pointer.slice(0, 100)} is nested deeper than ${DEEPEST} levels`,
            );
        const name = this.#name(hint);
        this.#known.set(key, name);
        this.#depth++;
        const ways = this.#facts.ways(nodes);
        this.rules.set(name, any(...ways.map((way) => this.#oneWay(way, name))));
        this.#depth--;
        return rule(name);
    }

    /** @param {Node[]} nodes @param {string} name of the rule @returns {Expression} */
    #oneWay(nodes, name) {
        const values = this.#facts.valuesOf(nodes);
        if (values) return any(...values.map((value) => text(JSON.stringify(value))));
        const types = answerTypes(nodes);
        if (types.size === 7 && nodes.every(({ suggested }) => suggested.size === 0)) return rule('value');
        /** @type {Expression[]} */
        const parts = [];
        if (types.has('null')) parts.push(text('null'));
        if (types.has('boolean')) parts.push(rule('boolean'));
        if (types.has('number') || types.has('integer')) parts.push(this.#number(nodes, types.has('number')));
        if (types.has('string')) parts.push(this.#string(nodes));
        if (types.has('array')) parts.push(this.#array(nodes, name));
        if (types.has('object')) parts.push(this.#object(nodes, name));
        return any(...parts);
    }

    /** @param {Node[]} nodes @param {boolean} fractions */
    #number(nodes, fractions) {
        const [low, high] = boundsOf(nodes),
            divisors = nodes.filter(({ multipleOf }) => multipleOf !== undefined && multipleOf !== 1),
            whole = !fractions || nodes.some(({ multipleOf }) => multipleOf !== undefined);
        if (divisors.length === 0 && !whole) return numbers(low, high);
        const first = Math.max(Math.ceil(low.value) + (low.open && Number.isInteger(low.value) ? 1 : 0), -MOST),
            last = Math.min(Math.floor(high.value) - (high.open && Number.isInteger(high.value) ? 1 : 0), MOST);
        if (divisors.length === 0) return integers(first, last);
        const [{ pointer, multipleOf: divisor = 1 }] = divisors;
        const refused = (/** @type {string} */ why) => unsupported('multipleOf', pointer, `: ${why}`);
        if (!Number.isInteger(divisor))
            throw refused('it must be a whole number; digits after the point are binary fractions');
        if (divisors.some(({ multipleOf }) => multipleOf !== divisor)) throw refused('another schema has another one');
        if ((last - first) / divisor <= MOST_LISTED) {
            const listed = [];
            for (let n = Math.ceil(first / divisor) * divisor; n <= last; n += divisor)
                listed.push(text(String(n + 0)));
            return any(...listed);
        }
        const found =
            last === MOST && (first === -MOST || (first >= 0 && first <= divisor)) && multiples(divisor, first);
        if (!found)
            throw refused(
                `it must be a divisor of 1000, with a minimum of 0 or none and without a maximum, or have at most ` +
                    `${MOST_LISTED} multiples between both`,
            );
        return found;
    }

    /** @param {Node[]} nodes @param {number} count @param {string} keyword */
    #checkCount(nodes, count, keyword) {
        if (count <= MOST_COUNT || count === Infinity) return;
        const { pointer } = /** @type {Node} */ (nodes.find((node) => /** @type {any} */ (node)[keyword] === count));
        throw unsupported(
            keyword,
            pointer,
            ` above ${MOST_COUNT}: leave it out, as maxTokens and the context end an answer`,
        );
    }

    /** @param {Node[]} nodes @returns {Expression} */
    #string(nodes) {
        const [min, max] = countsOf(nodes, 'Length');
        this.#checkCount(nodes, min, 'minLength');
        this.#checkCount(nodes, max, 'maxLength');
        const patterns = new Set(nodes.flatMap(({ pattern }) => pattern ?? [])),
            formats = new Set(nodes.flatMap(({ format }) => format ?? []));
        if (patterns.size + formats.size === 0) {
            if (min === 0 && max === Infinity) return rule('string');
            return all('"', times(rule('character'), min, max), '"');
        }
        const keyword = patterns.size > 0 ? 'pattern' : 'format',
            { pointer } = /** @type {Node} */ (nodes.find((node) => node[keyword] !== undefined)),
            source = narrowest([...patterns], [...formats]);
        if (source === undefined)
            throw unsupported(keyword, pointer, ' beside another pattern or format: leave one out');
        const texts = limited(matching(source), min, max);
        if (!texts)
            throw unsupported(
                keyword,
                pointer,
                ' beside minLength or maxLength here: say in the pattern how long a text may be',
            );
        return all('"', written(texts, jsonSet), '"');
    }

    /** @param {Node[]} nodes @param {string} name @returns {Expression} */
    #array(nodes, name) {
        let [min, max] = countsOf(nodes, 'Items');
        this.#checkCount(nodes, min, 'minItems');
        this.#checkCount(nodes, max, 'maxItems');
        let prefix = Math.max(...nodes.map((node) => node.prefix.length));
        const element = (/** @type {number} */ i) => this.#facts.ofElement(nodes, i);
        for (let i = 0; i < prefix; i++)
            if (element(i).some(({ values }) => values?.length === 0)) max = Math.min(max, (prefix = i));
        // without items nothing follows the prefix; without minItems all of the prefix is there
        if (nodes.some((node) => node.prefix.length > 0 && !node.items)) max = Math.min(max, prefix);
        if (!nodes.some((node) => node.minItems !== undefined)) min = Math.min(prefix, max);
        /** @type {(i: number) => Expression} */
        const from = (i) => {
            if (i >= max) return EMPTY;
            if (i >= prefix) {
                const item = this.#rule(element(i), `${name}-item`),
                    more = all(COMMA, item);
                if (i > 0) return times(more, Math.max(0, min - i), max - i);
                const list = all(item, times(more, Math.max(0, min - 1), max - 1));
                return min === 0 ? maybe(list) : list;
            }
            const rest = all(i > 0 ? COMMA : EMPTY, this.#rule(element(i), `${name}-${i}`), from(i + 1));
            return i < min ? rest : this.#add(`${name}-from-${i}`, maybe(rest));
        };
        return min > max ? NEVER : all('[', from(0), ']');
    }

    /**
     * Members in the order of the schema.
     * @param {Node[]} nodes
     * @param {string} name
     * @returns {Expression}
     */
    #object(nodes, name) {
        const [min, max] = countsOf(nodes, 'Properties'),
            required = new Set(nodes.flatMap((node) => node.required)),
            limits = this.#names(nodes),
            names = [...(limits ? new Set([...namesOf(nodes), ...limits]) : namesOf(nodes))];
        const member = (/** @type {Expression} */ key, /** @type {Expression} */ value) =>
            all(key, ':', maybe(text(' ')), value);
        const members = names.map((each) => {
            if (limits && !limits.includes(each)) return NEVER;
            const value = this.#rule(this.#facts.ofProperty(nodes, each), `${name}-${each}`);
            return member(text(JSON.stringify(each)), value);
        });
        const other = limits ? undefined : this.#others(nodes, names, name, member);
        const counted = min > 0 || max < Infinity,
            /** @type {Map<string, Expression>} */ known = new Map();
        /** What follows when `n` members stand there (1: some, if nobody counts), and `i` are decided on.
         * @type {(i: number, n: number) => Expression} */
        const from = (i, n) => {
            const key = `${i} ${n}`,
                before = known.get(key);
            if (before) return before;
            let rest = EMPTY;
            if (n > max) rest = NEVER;
            else if (i < names.length) {
                const here = all(n > 0 ? COMMA : EMPTY, members[i]),
                    after = (/** @type {boolean} */ there) => from(i + 1, there ? (counted ? n + 1 : 1) : n);
                if (required.has(names[i])) rest = all(here, after(true));
                else if (n > 0 && !counted) rest = all(maybe(here), after(true));
                else rest = any(all(here, after(true)), after(false));
            } else if (other) rest = this.#rest(other, nodes, n, min, max);
            else if (n < min) rest = NEVER;
            // a rule of its own where more than one part leads here
            if (i > 0 && i < names.length && !required.has(names[i])) rest = this.#add(`${name}-from-${i}`, rest);
            known.set(key, rest);
            return rest;
        };
        return all('{', from(0, 0), '}');
    }

    /** Members whose names are not given. @param {Expression} other @param {Node[]} nodes @param {number} n how many
     * members stand before @param {number} min @param {number} max */
    #rest(other, nodes, n, min, max) {
        const least = Math.max(0, min - n);
        if (least > 1) {
            const { pointer } = /** @type {Node} */ (nodes.find(({ minProperties }) => minProperties === min));
            throw unsupported('minProperties', pointer, ' where two names that are not given might be the same');
        }
        this.#checkCount(nodes, max, 'maxProperties');
        const more = all(COMMA, other);
        if (n > 0) return times(more, least, max - n);
        if (max === 0) return least === 0 ? EMPTY : NEVER;
        const list = all(other, times(more, 0, max - 1));
        return least === 0 ? maybe(list) : list;
    }

    /** The only names that propertyNames allows. @param {Node[]} nodes @returns {string[] | undefined} */
    #names(nodes) {
        const places = nodes.flatMap(({ propertyNames }) => propertyNames ?? []);
        if (places.length === 0) return;
        const ways = this.#facts.ways(this.#facts.read(places)),
            lists = ways.map((way) => this.#facts.valuesOf(way));
        if (!lists.every((list) => list !== undefined)) return;
        return lists.flat().filter((name) => typeof name === 'string');
    }

    /**
     * A member with another name.
     * @param {Node[]} nodes
     * @param {string[]} names
     * @param {string} name
     * @param {(key: Expression, value: Expression) => Expression} member
     * @returns {Expression | undefined} undefined: there is none
     */
    #others(nodes, names, name, member) {
        if (!isOpen(nodes)) return;
        const patterns = new Set(nodes.flatMap((node) => node.patterns.map(([source]) => source))),
            keys = this.#facts.read(nodes.flatMap(({ propertyNames }) => propertyNames ?? [])),
            anyKey = keys.every(
                ({ suggested, values, also, choices, types }) =>
                    suggested.size === 0 &&
                    !values &&
                    also.length === 0 &&
                    choices.length === 0 &&
                    (!types || types.has('string')),
            );
        const refused = (
            /** @type {'patternProperties' | 'propertyNames' | 'additionalProperties'} */ keyword,
            /** @type {string} */ why,
        ) => {
            const owner = nodes.find((node) =>
                keyword === 'propertyNames' ? node.propertyNames : node.patterns.length > 0 || node.additional,
            );
            return unsupported(keyword, owner?.pointer ?? '', why);
        };
        const [source] = patterns;
        if (patterns.size > 1) throw refused('patternProperties', ' with more than one pattern');
        if (patterns.size === 1) {
            if (!anyKey) throw refused('propertyNames', ' beside patternProperties');
            if (nodes.some(({ additional }) => additional && this.#nodes.at(additional).values?.length !== 0))
                throw refused('patternProperties', ' beside additionalProperties, unless that is false');
            if (names.some((each) => this.#facts.matches(source, each)))
                throw refused('patternProperties', ' whose pattern fits the name of another property');
            const values = nodes.flatMap(
                (node) => node.patterns.find(([own]) => own === source)?.[1] ?? node.additional ?? [],
            );
            return member(
                all('"', written(matching(source), jsonSet), '"'),
                this.#rule(this.#facts.read(values), `${name}-value`),
            );
        }
        const value = this.#rule(
            this.#facts.read(nodes.flatMap(({ additional }) => additional ?? [])),
            `${name}-value`,
        );
        if (names.length === 0) {
            if (anyKey) return member(rule('string'), value);
            const key = this.#rule(
                [...keys, this.#nodes.at({ schema: STRING, pointer: '/propertyNames' })],
                `${name}-key`,
            );
            return member(key, value);
        }
        if (!anyKey) throw refused('propertyNames', ' beside named properties, unless it lists all names in enum');
        if (names.join('').length > MOST_LETTERS)
            throw refused('additionalProperties', ` beside names of more than ${MOST_LETTERS} letters together`);
        const key = otherThan(names, (body) => this.#add(`${name}-other`, body));
        return member(this.#add(`${name}-key`, all('"', key, '"')), value);
    }
}

const STRING = { type: 'string' };

/**
 * The pattern whose texts all others allow, if there is one: libraries write a pattern beside a format.
 * @param {string[]} patterns
 * @param {string[]} formats
 */
function narrowest(patterns, formats) {
    const candidates = [
        ...formats.map((format) => ({ source: FORMATS[format], whole: WHOLE_FORMATS[format] })),
        ...patterns.map((source) => ({ source, whole: source })),
    ];
    const all = candidates.map(({ whole }) => matching(whole));
    return candidates.find((_, i) => all.every((other, j) => i === j || isIncluded(all[i], other)))?.source;
}

/** How many parts an expression has when its counts are written out. @param {Expression} e @returns {number} */
function partsOf(e) {
    if (e.is === 'times') return partsOf(e.part) * Math.max(1, e.min, e.max === Infinity ? 1 : e.max);
    if (e.is === 'all' || e.is === 'any') return e.parts.reduce((sum, part) => sum + partsOf(part), 1);
    return e.is === 'text' ? e.text.length : 1;
}

/**
 * The rules of schemas that must hold together. Long lists are followed by recursion, which JavaScript ends.
 * @param {unknown} schema
 * @param {unknown[]} also
 */
function rulesOf(schema, also) {
    try {
        return prune(new Translator(schema, also).rules);
    } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        throw new NibbleError(
            'NB_ERR_UNSUPPORTED',
            'schema: it has too many required properties or prefixItems in one place: make it simpler',
            { cause: error },
        );
    }
}

/**
 * The same, if there are any, and not too many.
 * @param {unknown} schema
 * @param {unknown[]} [also]
 */
function checkedRulesOf(schema, also = []) {
    const rules = rulesOf(schema, also);
    if (rules.size === 0)
        throw new NibbleError('NB_ERR_ARGUMENT', 'schema: no value is valid, or none that comes to an end');
    let parts = 0;
    for (const body of rules.values()) parts += partsOf(body);
    if (parts > MOST_PARTS)
        throw new NibbleError(
            'NB_ERR_UNSUPPORTED',
            `schema: its grammar has more than ${MOST_PARTS} parts: lower maxLength, maxItems and the counts in patterns`,
        );
    return rules;
}

/**
 * @param {unknown} schema an object, true or false
 * @returns {string} a grammar in GBNF. Each text that it allows is JSON, and valid under the schema.
 */
export const schemaToGbnf = (schema) => toGbnf(checkedRulesOf(schema));

/**
 * The rules of JSON objects that are valid under a schema, as a part of a grammar: their names begin with the prefix,
 * and the first is called `${prefix}root`.
 * @param {unknown} schema
 * @param {string} prefix
 */
export const objectRules = (schema, prefix) => toGbnf(prefixed(checkedRulesOf(schema, [{ type: 'object' }]), prefix));

/** schemaToGbnf() for an option. @param {string} caller for messages @param {unknown} schema */
export function grammarOfSchema(caller, schema) {
    try {
        return schemaToGbnf(schema);
    } catch (error) {
        throw about(caller, error);
    }
}
