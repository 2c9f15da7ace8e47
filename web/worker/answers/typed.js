/**
 * Some models write the arguments of calls as bare text between marks, without their types. This makes JSON values of
 * them, by the JSON Schema of their function. The schema is a caller's, and may be anything.
 */
import { json } from './literals.js';

/** How many schemas within a schema are looked at: references may go round in circles. */
const MOST_LOOKED_AT = 200;

/** @typedef {'string' | 'number' | 'integer' | 'boolean' | 'null' | 'array' | 'object'} Type */

/** @param {any} value @returns {Type} */
function typeOf(value) {
    if (value === null) return 'null';
    if (Array.isArray(value)) return 'array';
    if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
    return /** @type {Type} */ (typeof value);
}

/** @param {any} value @returns {value is Record<string, any>} */
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** What a reference such as "#/$defs/unit" points to. @param {any} root @param {string} reference */
function resolve(root, reference) {
    if (!reference.startsWith('#/')) return undefined;
    let found = root;
    for (const part of reference.slice(2).split('/')) {
        const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
        if (!isObject(found) || !Object.hasOwn(found, key)) return undefined;
        found = found[key];
    }
    return found;
}

/**
 * The types that a schema allows; undefined: it does not say.
 * @param {any} schema
 * @param {any} root what its references are in
 * @param {{ left: number }} [budget]
 * @returns {Set<string> | undefined}
 */
function typesOf(schema, root, budget = { left: MOST_LOOKED_AT }) {
    if (!isObject(schema) || budget.left-- <= 0) return undefined;
    const { type, enum: values, $ref: reference, anyOf, oneOf, allOf } = schema;
    if (Object.hasOwn(schema, 'const')) return new Set([typeOf(schema.const)]);
    if (Array.isArray(values)) return new Set(values.map(typeOf));
    if (typeof type === 'string') return new Set([type]);
    if (Array.isArray(type)) return new Set(type);
    if (typeof reference === 'string') return typesOf(resolve(root, reference), root, budget);
    const options = anyOf ?? oneOf;
    if (Array.isArray(options)) {
        const all = options.map((each) => typesOf(each, root, budget));
        return all.every((each) => each !== undefined) ? new Set(all.flatMap((each) => [...each])) : undefined;
    }
    if (Array.isArray(allOf))
        for (const each of allOf) {
            const types = typesOf(each, root, budget);
            if (types) return types;
        }
    return undefined;
}

/**
 * @param {string} text
 * @param {string} key of the argument
 * @param {unknown} parameters the function's schema
 * @returns {any} the value that fits the schema. If none does, or the schema does not say: the text parsed as JSON, or
 *     the text if it is not JSON
 */
export function typedValue(text, key, parameters) {
    const parsed = json(text),
        guess = parsed === undefined ? text : parsed,
        properties = isObject(parameters) ? parameters.properties : undefined;
    const types =
        isObject(properties) && Object.hasOwn(properties, key) ? typesOf(properties[key], parameters) : undefined;
    if (!types) return guess;
    const type = typeOf(guess);
    if (type !== 'string' && (types.has(type) || (type === 'integer' && types.has('number')))) return guess;
    if (types.has('string')) return text;
    if (types.has('boolean') && /^(true|false)$/i.test(text)) return text.toLowerCase() === 'true'; // Python's
    return types.has('null') && text === 'None' ? null : guess;
}
