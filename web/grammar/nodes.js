/** Reads a JSON Schema: each schema becomes a node, whose keywords are checked. What is not supported is refused. */
import { nearest } from '../checks.js';
import { NibbleError } from '../errors.js';
import { FORMATS } from './formats.js';
import { matching, PatternError } from './regex.js';

/** @typedef {'null' | 'boolean' | 'integer' | 'number' | 'string' | 'array' | 'object'} Type */
/** @typedef {{ schema: unknown, pointer: string }} Place a schema, and where it stands */

/**
 * One schema. What a keyword says is undefined where the schema does not have it.
 * @typedef {object} Node
 * @property {number} id
 * @property {string} pointer
 * @property {Set<Type>} [types]
 * @property {Set<Type>} suggested what the keywords are about, where no type is given
 * @property {unknown[]} [values] the only ones
 * @property {Place[]} also schemas that must hold, too
 * @property {{ options: Place[], exclusive: boolean }[]} choices lists of schemas of which one must hold; exclusive:
 *     only one
 * @property {number} [minimum]
 * @property {number} [maximum]
 * @property {number} [exclusiveMinimum]
 * @property {number} [exclusiveMaximum]
 * @property {number} [multipleOf]
 * @property {number} [minLength]
 * @property {number} [maxLength]
 * @property {string} [pattern]
 * @property {string} [format]
 * @property {Place[]} prefix
 * @property {Place} [items] those after the prefix
 * @property {Place} [additionalItems] the same, before draft 2020-12
 * @property {number} [minItems]
 * @property {number} [maxItems]
 * @property {Map<string, Place>} [properties]
 * @property {[string, Place][]} patterns
 * @property {Place} [additional]
 * @property {Place} [propertyNames]
 * @property {string[]} required
 * @property {number} [minProperties]
 * @property {number} [maxProperties]
 */

/** @type {Type[]} */
export const TYPES = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'];

/** Keywords that say nothing about which values are valid. */
const ANNOTATIONS = [
    '$schema',
    '$id',
    '$anchor',
    '$comment',
    '$defs',
    'definitions',
    'title',
    'description',
    'default',
    'examples',
    'deprecated',
    'readOnly',
    'writeOnly',
    'contentEncoding',
    'contentMediaType',
    'contentSchema',
];

/** What to do about some keywords that are not supported. @type {Record<string, string>} */
const ADVICE = {
    not: 'say what is allowed instead',
    if: 'use anyOf, with a property that tells the cases apart',
    uniqueItems: 'leave it out, and check the answer',
    contains: 'leave it out, and check the answer',
    unevaluatedProperties: 'use additionalProperties in one schema that has all properties',
    unevaluatedItems: 'use items',
    dependentRequired: 'use anyOf',
    dependentSchemas: 'use anyOf',
    $dynamicRef: 'use $ref',
    nullable: 'use a list of types with "null"',
};

const MOST_NODES = 20_000;
/** How long names of properties, texts in enum and patterns may be together, and how many of them. */
const MOST_NAMES = 10_000,
    LONGEST_NAME = 500;

/** @param {string} pointer */
const at = (pointer) => `at #${pointer.length > 200 ? `${pointer.slice(0, 197)}...` : pointer}`;

/** What is wrong with a schema. @param {string} keyword @param {string} pointer @param {string} what */
export const wrong = (keyword, pointer, what) =>
    new NibbleError('NB_ERR_ARGUMENT', `schema: ${JSON.stringify(keyword)} ${at(pointer)} ${what}`);

/** @param {string} keyword @param {string} pointer @param {string} what */
export const unsupported = (keyword, pointer, what) =>
    new NibbleError('NB_ERR_UNSUPPORTED', `schema: ${JSON.stringify(keyword)} ${at(pointer)} is not supported${what}`);

/** @param {unknown} value @returns {value is Record<string, unknown>} */
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** A part of a JSON pointer. @param {string} name */
const escaped = (name) => name.replaceAll('~', '~0').replaceAll('/', '~1');

/** How a keyword's value is read. @typedef {(node: Node, value: any, pointer: string, keyword: string) => void} Read */

/** @param {Type} type @returns {Read} */
const count = (type) => (node, value, pointer, keyword) => {
    if (!Number.isInteger(value) || value < 0) throw wrong(keyword, pointer, 'must be a whole number, at least 0');
    node.suggested.add(type);
    /** @type {any} */ (node)[keyword] = value;
};

/** @type {Read} */
function bound(node, value, pointer, keyword) {
    if (!Number.isFinite(value)) throw wrong(keyword, pointer, 'must be a number');
    if (keyword === 'multipleOf' && !(value > 0)) throw wrong(keyword, pointer, 'must be above 0');
    node.suggested.add('number');
    /** @type {any} */ (node)[keyword] = value;
}

/** @param {any} value @param {string} pointer @param {string} keyword @returns {Place[]} */
function places(value, pointer, keyword) {
    if (!Array.isArray(value) || value.length === 0)
        throw wrong(keyword, pointer, 'must be an array of schemas that is not empty');
    return value.map((schema, i) => ({ schema, pointer: `${pointer}/${keyword}/${i}` }));
}

/** @param {any} value @param {string} pointer @param {string} keyword @returns {[string, Place][]} */
function namedPlaces(value, pointer, keyword) {
    if (!isObject(value)) throw wrong(keyword, pointer, 'must be an object of schemas');
    const all = Object.entries(value);
    checkNames(
        all.map(([name]) => name),
        pointer,
        keyword,
    );
    return all.map(([name, schema]) => [name, { schema, pointer: `${pointer}/${keyword}/${escaped(name)}` }]);
}

/** @param {string[]} names @param {string} pointer @param {string} keyword */
function checkNames(names, pointer, keyword) {
    if (names.length > MOST_NAMES) throw wrong(keyword, pointer, `has more than ${MOST_NAMES} entries`);
    if (names.some((name) => name.length > LONGEST_NAME))
        throw wrong(keyword, pointer, `has a text of more than ${LONGEST_NAME} characters`);
    if (names.some((name) => /\p{Surrogate}/u.test(name))) throw wrong(keyword, pointer, 'has half a surrogate pair');
}

/** @param {unknown[]} values @param {string} pointer @param {string} keyword */
function checkValues(values, pointer, keyword) {
    let texts;
    try {
        texts = values.map((value) => JSON.stringify(value));
    } catch {
        throw wrong(keyword, pointer, 'must be JSON');
    }
    if (texts.length > MOST_NAMES) throw wrong(keyword, pointer, `has more than ${MOST_NAMES} values`);
    if (texts.some((text) => text === undefined)) throw wrong(keyword, pointer, 'must be JSON');
    if (texts.some((text) => text.length > 10 * LONGEST_NAME))
        throw wrong(keyword, pointer, `has a value of more than ${10 * LONGEST_NAME} characters`);
    return texts.map((text) => JSON.parse(text)); // without what JSON does not have
}

/** @param {string} source @param {string} pointer @param {string} keyword */
function checkPattern(source, pointer, keyword) {
    if (typeof source !== 'string') throw wrong(keyword, pointer, 'must be a regular expression in a text');
    try {
        matching(source);
    } catch (error) {
        if (!(error instanceof PatternError)) throw error;
        throw unsupported(keyword, pointer, `: in ${JSON.stringify(source.slice(0, 60))}, ${error.message}`);
    }
}

/** @type {Record<string, Read>} */
const KEYWORDS = {
    type(node, value, pointer, keyword) {
        const types = Array.isArray(value) ? value : [value];
        if (types.length === 0 || types.some((type) => !TYPES.includes(type)))
            throw wrong(keyword, pointer, `must be one of ${TYPES.join(', ')}, or a list of them`);
        node.types = new Set(types);
        if (node.types.has('number')) node.types.add('integer');
    },
    enum(node, value, pointer, keyword) {
        if (!Array.isArray(value)) throw wrong(keyword, pointer, 'must be an array');
        const values = checkValues(value, pointer, keyword);
        node.values = node.values ? values.filter((each) => same(each, node.values?.[0])) : values;
    },
    const(node, value, pointer, keyword) {
        const [one] = checkValues([value], pointer, keyword);
        node.values = node.values ? node.values.filter((each) => same(each, one)) : [one];
    },
    $ref(node, value, pointer, keyword) {
        if (typeof value !== 'string') throw wrong(keyword, pointer, 'must be a text');
        node.also.push({ schema: undefined, pointer: value });
    },
    allOf: (node, value, pointer, keyword) => node.also.push(...places(value, pointer, keyword)),
    anyOf(node, value, pointer, keyword) {
        node.choices.push({ options: places(value, pointer, keyword), exclusive: false });
    },
    oneOf(node, value, pointer, keyword) {
        node.choices.push({ options: places(value, pointer, keyword), exclusive: true });
    },
    minimum: bound,
    maximum: bound,
    exclusiveMinimum: bound,
    exclusiveMaximum: bound,
    multipleOf: bound,
    minLength: count('string'),
    maxLength: count('string'),
    pattern(node, value, pointer, keyword) {
        checkPattern(value, pointer, keyword);
        node.suggested.add('string');
        node.pattern = value;
    },
    format(node, value, pointer, keyword) {
        if (typeof value !== 'string' || !Object.hasOwn(FORMATS, value))
            throw unsupported(
                keyword,
                pointer,
                ` as ${JSON.stringify(String(value)).slice(0, 60)}: nibble knows ${Object.keys(FORMATS).join(', ')}`,
            );
        node.suggested.add('string');
        node.format = value;
    },
    prefixItems(node, value, pointer, keyword) {
        node.suggested.add('array');
        node.prefix = places(value, pointer, keyword);
    },
    items(node, value, pointer, keyword) {
        node.suggested.add('array');
        if (Array.isArray(value))
            node.prefix = places(value, pointer, keyword); // so before draft 2020-12
        else node.items = { schema: value, pointer: `${pointer}/${keyword}` };
    },
    additionalItems(node, value, pointer, keyword) {
        node.additionalItems = { schema: value, pointer: `${pointer}/${keyword}` };
    },
    minItems: count('array'),
    maxItems: count('array'),
    uniqueItems(node, value, pointer, keyword) {
        if (value !== false) throw unsupported(keyword, pointer, `: ${ADVICE[keyword]}`);
        node.suggested.add('array');
    },
    properties(node, value, pointer, keyword) {
        node.suggested.add('object');
        node.properties = new Map(namedPlaces(value, pointer, keyword));
    },
    patternProperties(node, value, pointer, keyword) {
        node.suggested.add('object');
        node.patterns = namedPlaces(value, pointer, keyword);
        for (const [source] of node.patterns) checkPattern(source, pointer, keyword);
    },
    additionalProperties(node, value, pointer, keyword) {
        node.suggested.add('object');
        node.additional = { schema: value, pointer: `${pointer}/${keyword}` };
    },
    propertyNames(node, value, pointer, keyword) {
        node.suggested.add('object');
        node.propertyNames = { schema: value, pointer: `${pointer}/${keyword}` };
    },
    required(node, value, pointer, keyword) {
        if (!Array.isArray(value) || value.some((name) => typeof name !== 'string'))
            throw wrong(keyword, pointer, 'must be an array of names');
        checkNames(value, pointer, keyword);
        node.suggested.add('object');
        node.required = value;
    },
    minProperties: count('object'),
    maxProperties: count('object'),
};

/** A JSON value as a text that is the same for equal values. @param {any} value @returns {string} */
export const canonical = (value) =>
    JSON.stringify(value, (_, each) =>
        isObject(each) ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1))) : each,
    );

/** @param {unknown} a @param {unknown} b */
export const same = (a, b) => canonical(a) === canonical(b);

export class Nodes {
    #root;
    /** @type {Map<unknown, Node>} */
    #nodes = new Map();

    /** @param {unknown} root */
    constructor(root) {
        this.#root = root;
    }

    /** The node at a place; a place without a schema is a reference. @param {Place} place @returns {Node} */
    at({ schema, pointer }) {
        return schema === undefined ? this.#refered(pointer) : this.#read(schema, pointer);
    }

    /** @param {unknown} schema @param {string} pointer @returns {Node} */
    #read(schema, pointer) {
        const known = this.#nodes.get(schema);
        if (known) return known;
        if (typeof schema !== 'boolean' && !isObject(schema))
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                `schema: what stands ${at(pointer)} must be a schema: an object, true or false`,
            );
        if (this.#nodes.size === MOST_NODES)
            throw new NibbleError('NB_ERR_ARGUMENT', `schema: it has more than ${MOST_NODES} schemas`);
        /** @type {Node} */
        const node = {
            id: this.#nodes.size,
            pointer,
            suggested: new Set(),
            also: [],
            choices: [],
            prefix: [],
            patterns: [],
            required: [],
        };
        this.#nodes.set(schema, node);
        if (schema === false) node.values = [];
        if (isObject(schema))
            for (const [keyword, value] of Object.entries(schema)) {
                if (value === undefined) continue;
                if (Object.hasOwn(KEYWORDS, keyword)) KEYWORDS[keyword](node, value, pointer, keyword);
                else if (!ANNOTATIONS.includes(keyword) || (keyword === '$id' && pointer !== ''))
                    throw unsupported(keyword, pointer, adviceOn(keyword));
            }
        if (node.additionalItems && (node.items || node.prefix.length === 0))
            throw unsupported('additionalItems', pointer, ' without an array of items: use prefixItems and items');
        node.items ??= node.additionalItems;
        return node;
    }

    /** What a $ref points to. @param {string} reference @returns {Node} */
    #refered(reference) {
        const refused = (/** @type {string} */ what) =>
            new NibbleError(
                'NB_ERR_UNSUPPORTED',
                `schema: "$ref" to ${JSON.stringify(reference.slice(0, 200))} ${what}`,
            );
        if (reference !== '#' && !reference.startsWith('#/'))
            throw refused('is not supported: references have the form "#/$defs/NAME"');
        /** @type {any} */
        let found = this.#root;
        let names;
        try {
            names = decodeURIComponent(reference.slice(1)).split('/').slice(1);
        } catch {
            throw refused('is no JSON pointer');
        }
        const path = names.map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'));
        for (const name of path) {
            if (typeof found !== 'object' || found === null || !Object.hasOwn(found, name))
                throw refused('leads to nothing');
            found = found[name];
        }
        return this.#read(found, path.map((name) => `/${escaped(name)}`).join(''));
    }
}

/** @param {string} keyword */
function adviceOn(keyword) {
    if (Object.hasOwn(ADVICE, keyword)) return `: ${ADVICE[keyword]}`;
    const near = nearest(keyword, Object.keys(KEYWORDS));
    return near ? `; did you mean "${near}"?` : '';
}
