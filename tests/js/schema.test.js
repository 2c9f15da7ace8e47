// JSON Schema -> GBNF (web/grammar). ajv is the oracle, which says which values are valid. The cases have the meanings of
// JSON Schema's own test suite, for each keyword that is supported.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { schemaToGbnf } from '../../web/grammar/schema.js';
import { NibbleError } from '../../web/index.js';
import { randomText, readGbnf } from '../support/gbnf.js';
import { grammarOf } from '../support/grammar.js';
import { CASES, validator } from '../support/schemas.js';

/** Numbers from 0 to 1, the same each time: a linear congruential generator. @param {number} seed */
function randomOf(seed) {
    let state = seed;
    return () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state / 2 ** 32;
    };
}

describe('schemaToGbnf()', () => {
    for (const { name, schema, valid, invalid, kept = [] } of CASES)
        test(`${name}: allows what is valid, and nothing else`, () => {
            const isValid = validator(schema),
                gbnf = schemaToGbnf(schema),
                grammar = grammarOf(gbnf),
                allows = (/** @type {any} */ value) => grammar.matches(JSON.stringify(value));
            for (const value of valid) assert.ok(isValid(value) && allows(value), `valid: ${JSON.stringify(value)}`);
            for (const value of invalid)
                assert.ok(!isValid(value) && !allows(value), `not valid: ${JSON.stringify(value)}`);
            for (const [why, value] of kept)
                assert.ok(isValid(value) && !allows(value), `${why}: ${JSON.stringify(value)}`);
            const random = randomOf(1),
                rules = readGbnf(gbnf);
            for (let i = 0; i < 20; i++) {
                const text = randomText(rules, random);
                assert.ok(isValid(JSON.parse(text)), `by chance: ${text}`);
                assert.ok(grammar.matches(text), text);
            }
            grammar.free();
        });
});

/** What is refused, with the code and what the message says. @type {[any, string, RegExp][]} */
const REFUSED = [
    [{ not: {} }, 'UNSUPPORTED', /"not" at # is not supported: say what is allowed/],
    [{ properties: { 'a/b': { if: {} } } }, 'UNSUPPORTED', /"if" at #\/properties\/a~1b is not supported/],
    [{ items: { uniqueItems: true } }, 'UNSUPPORTED', /"uniqueItems" at #\/items is not/],
    [{ contains: {} }, 'UNSUPPORTED', /"contains"/],
    [{ minContains: 1 }, 'UNSUPPORTED', /"minContains"/],
    [{ dependentRequired: {} }, 'UNSUPPORTED', /"dependentRequired" at # is not supported: use anyOf/],
    [{ dependentSchemas: {} }, 'UNSUPPORTED', /"dependentSchemas"/],
    [{ unevaluatedProperties: false }, 'UNSUPPORTED', /"unevaluatedProperties".*use additionalProperties/],
    [{ unevaluatedItems: false }, 'UNSUPPORTED', /"unevaluatedItems"/],
    [{ $dynamicRef: '#a' }, 'UNSUPPORTED', /"\$dynamicRef"/],
    [{ minLenght: 3 }, 'UNSUPPORTED', /"minLenght" at # is not supported; did you mean "minLength"\?/],
    [{ properties: { a: { $id: 'https://a.b/c' } } }, 'UNSUPPORTED', /"\$id" at #\/properties\/a/],
    [{ $ref: 'https://a.b/c' }, 'UNSUPPORTED', /"\$ref" to "https:\/\/a.b\/c" is not supported/],
    [{ $ref: '#/$defs/a' }, 'UNSUPPORTED', /"\$ref" to "#\/\$defs\/a" leads to nothing/],
    [{ $ref: '#/$defs/%' }, 'UNSUPPORTED', /is no JSON pointer/],
    [{ format: 'regex' }, 'UNSUPPORTED', /"format" at # is not supported as "regex": nibble knows date, time/],
    [{ pattern: '(?=a)b' }, 'UNSUPPORTED', /"pattern" at #.*\(\?= has no form in a grammar/],
    [{ pattern: '(a)\\1' }, 'UNSUPPORTED', /the back reference \\1/],
    [{ pattern: '\\bword' }, 'UNSUPPORTED', /the assertion \\b/],
    [{ pattern: '\\p{L}' }, 'UNSUPPORTED', /the property \\p/],
    [{ pattern: 'a^b' }, 'UNSUPPORTED', /an anchor in the middle/],
    [{ pattern: '(^a|b)' }, 'UNSUPPORTED', /an anchor in a group/],
    [{ pattern: 'a(' }, 'UNSUPPORTED', /no regular expression with the flag u/],
    [{ pattern: 'a', format: 'date' }, 'UNSUPPORTED', /"pattern" at # .*beside another pattern or format/],
    [{ pattern: '^(a|bc)*$', minLength: 3 }, 'UNSUPPORTED', /beside minLength or maxLength/],
    [{ multipleOf: 0.01 }, 'UNSUPPORTED', /"multipleOf" at # is not supported: it must be a whole number/],
    [{ multipleOf: 7 }, 'UNSUPPORTED', /"multipleOf".*divisor of 1000/],
    [
        { oneOf: [{ type: 'string' }, { maxLength: 3 }] },
        'UNSUPPORTED',
        /"oneOf" at # is not supported where a value may/,
    ],
    [{ oneOf: [{ type: 'integer' }, { type: 'number', minimum: 3 }] }, 'UNSUPPORTED', /"oneOf"/],
    [
        {
            oneOf: [
                { type: 'object', properties: { a: {} } },
                { type: 'object', properties: { b: {} } },
            ],
        },
        'UNSUPPORTED',
        /"oneOf"/,
    ],
    [{ patternProperties: { a: {}, b: {} } }, 'UNSUPPORTED', /"patternProperties" at # .*more than one/],
    [{ properties: { ab: {} }, patternProperties: { a: {} } }, 'UNSUPPORTED', /fits the name of another property/],
    [{ patternProperties: { a: {} }, additionalProperties: {} }, 'UNSUPPORTED', /beside additionalProperties/],
    [
        { properties: { a: {} }, additionalProperties: {}, propertyNames: { maxLength: 3 } },
        'UNSUPPORTED',
        /"propertyNames" at # .*beside named properties/,
    ],
    [{ type: 'object', minProperties: 3 }, 'UNSUPPORTED', /"minProperties".*might be the same/],
    [{ additionalItems: false }, 'UNSUPPORTED', /"additionalItems"/],
    [{ type: 'text' }, 'ARGUMENT', /"type" at # must be one of null, boolean/],
    [{ type: [] }, 'ARGUMENT', /"type"/],
    [{ enum: 'a' }, 'ARGUMENT', /"enum" at # must be an array/],
    [{ const: () => {} }, 'ARGUMENT', /"const" at # must be JSON/],
    [{ minLength: -1 }, 'ARGUMENT', /"minLength" at # must be a whole number/],
    [{ exclusiveMinimum: true }, 'ARGUMENT', /"exclusiveMinimum" at # must be a number/],
    [{ multipleOf: 0 }, 'ARGUMENT', /"multipleOf" at # must be above 0/],
    [{ required: 'a' }, 'ARGUMENT', /"required" at # must be an array of names/],
    [{ properties: [] }, 'ARGUMENT', /"properties" at # must be an object/],
    [{ anyOf: [] }, 'ARGUMENT', /"anyOf" at # must be an array of schemas that is not empty/],
    [{ items: 3 }, 'ARGUMENT', /what stands at #\/items must be a schema/],
    [3, 'ARGUMENT', /what stands at # must be a schema/],
    [null, 'ARGUMENT', /what stands at # must be a schema/],
    [false, 'ARGUMENT', /no value is valid/],
    [{ type: 'integer', minimum: 5, maximum: 4 }, 'ARGUMENT', /no value is valid/],
    [{ type: 'integer', minimum: 1e15 }, 'ARGUMENT', /no value is valid/],
    [{ type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }, 'ARGUMENT', /none that comes to an end/],
];

/** Schemas that would take for ever, or all memory. */
function hostile() {
    const cyclic = /** @type {any} */ ({ allOf: [] });
    cyclic.allOf.push(cyclic);
    /** @type {any} */
    let deep = {};
    for (let i = 0; i < 100_000; i++) deep = { items: deep };
    /** @type {any} */
    let deepAllOf = {};
    for (let i = 0; i < 100_000; i++) deepAllOf = { allOf: [deepAllOf] };
    const names = Array.from({ length: 3000 }, (_, i) => `${i}`.repeat(50)),
        choice = (/** @type {number} */ n) => ({ anyOf: Array.from({ length: n }, (_, i) => ({ minLength: i })) });
    return {
        'a $ref to itself': { $ref: '#' },
        'a circle of $ref': { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { anyOf: [{ $ref: '#' }] } } },
        'an object within itself': cyclic,
        'a deep schema': deep,
        'a deep allOf': deepAllOf,
        'a huge maxLength': { type: 'string', maxLength: 1e9 },
        'many large counts': {
            type: 'object',
            properties: Object.fromEntries(
                names.slice(0, 10).map((name) => [name, { type: 'string', maxLength: 90_000 }]),
            ),
        },
        'a pattern with large counts': { pattern: '^((a{900}){900}){900}$' },
        'a deep pattern': { pattern: `${'('.repeat(1000)}a${')'.repeat(1000)}` },
        'a pattern for which a RegExp takes 2^n steps': { pattern: '^(a+)+$', enum: [`${'a'.repeat(50)}!`] },
        'many long texts and patterns': {
            pattern: '^(a*)*b$',
            enum: Array.from({ length: 5000 }, (_, i) => 'a'.repeat(4000) + i),
        },
        'a long prefix': { type: 'array', prefixItems: Array(100_000).fill(true), minItems: 100_000 },
        'many required properties': {
            type: 'object',
            properties: Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [i, true])),
            required: Array.from({ length: 10_000 }, (_, i) => `${i}`),
        },
        'many combinations': { allOf: Array.from({ length: 20 }, () => choice(10)) },
        'many options to compare': {
            oneOf: Array.from({ length: 2000 }, (_, i) => ({ type: 'string', enum: [`${i}`] })),
        },
        'many properties that others must not be': {
            type: 'object',
            properties: Object.fromEntries(names.map((name) => [name, {}])),
            additionalProperties: {},
        },
        'a long name': { properties: { ['a'.repeat(1_000_000)]: {} } },
        'many counts of properties': {
            type: 'object',
            properties: Object.fromEntries(names.map((name) => [name, {}])),
            minProperties: 1000,
        },
    };
}

test('many properties and no others make a grammar', () => {
    const names = Array.from({ length: 500 }, (_, i) => `${i}`.padStart(50, '-'));
    const schema = {
        type: 'object',
        properties: Object.fromEntries(names.map((name) => [name, { type: 'null' }])),
        required: names,
        additionalProperties: false,
    };
    assert.equal(schemaToGbnf(schema).split('\n').length, 2); // one rule
});

describe('schemaToGbnf() refuses', () => {
    test('by keyword and place what is not supported', () => {
        for (const [schema, code, message] of REFUSED)
            assert.throws(
                () => schemaToGbnf(schema),
                (error) => {
                    assert.ok(error instanceof NibbleError, String(error));
                    assert.equal(error.code, `NB_ERR_${code}`, error.message);
                    assert.match(error.message, /^schema: /);
                    assert.match(error.message, message);
                    return true;
                },
                JSON.stringify(schema),
            );
    });
    for (const [name, schema] of Object.entries(hostile()))
        test(`${name}, quickly`, () => {
            const start = process.cpuUsage();
            assert.throws(() => schemaToGbnf(schema), { name: 'NibbleError' });
            const { user } = process.cpuUsage(start);
            assert.ok(user < 3e6, `it took ${user / 1e6} s`);
        });
});
