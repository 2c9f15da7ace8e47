import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

/**
 * ajv's validator of a schema.
 * @param {any} schema
 * @returns {(value: unknown) => boolean}
 */
export function validator(schema) {
    const isOld = Array.isArray(schema.items), // ajv knows arrays of items only as draft 7 has them
        ajv = new (isOld ? Ajv : Ajv2020)({ strict: false, ownProperties: true });
    /** @type {any} */ (addFormats)(ajv);
    return ajv.compile(schema);
}

/**
 * Schemas, with values that are valid and values that are not. ajv is the oracle of both: tests/js/schema.test.js asks it
 * first. `kept`: valid values, but no answer has them, for the reason that stands there.
 * @typedef {{ name: string, schema: any, valid: any[], invalid: any[], kept?: [string, any][] }} Case
 */

const NAMED = 'an answer has the named properties, in their order';
const TYPED = 'keywords of one type ask for that type';

const tree = {
    $ref: '#/$defs/node',
    $defs: {
        node: {
            type: 'object',
            properties: { name: { type: 'string' }, children: { type: 'array', items: { $ref: '#/$defs/node' } } },
            required: ['name', 'children'],
        },
    },
};

/** @param {string} format @param {string[]} valid @param {string[]} invalid @returns {Case} */
const format = (format, valid, invalid) => ({
    name: `format ${format}`,
    schema: { type: 'string', format },
    valid,
    invalid,
});

/** @type {Case[]} */
export const CASES = [
    { name: 'true', schema: true, valid: [null, 1.5, 'a', [], [1, [{}]], { a: { b: [] } }], invalid: [] },
    {
        name: 'annotations',
        schema: { title: 't', default: 3, examples: [1], $comment: 'c' },
        valid: [1, {}],
        invalid: [],
    },
    { name: 'null', schema: { type: 'null' }, valid: [null], invalid: [0, false, '', 'null'] },
    { name: 'boolean', schema: { type: 'boolean' }, valid: [true, false], invalid: [0, 'true', null] },
    { name: 'integer', schema: { type: 'integer' }, valid: [0, -7, 123456789012345], invalid: [1.5, '1', null] },
    { name: 'number', schema: { type: 'number' }, valid: [0, -7, 1.25, 1e-7, 123456.789], invalid: ['1', null, []] },
    {
        name: 'string',
        schema: { type: 'string' },
        valid: ['', 'a"b\\c\n\u0001\u007f', '😀é'],
        invalid: [1, null, ['a']],
    },
    { name: 'types', schema: { type: ['string', 'null'] }, valid: ['a', null], invalid: [1, {}] },
    { name: 'number and integer', schema: { type: ['integer', 'number'] }, valid: [1, 1.5], invalid: ['a'] },
    {
        name: 'enum',
        schema: { enum: ['a', 1, null, [1, 'x'], { b: 2 }] },
        valid: ['a', 1, null, [1, 'x'], { b: 2 }],
        invalid: ['b', 2, [], {}],
    },
    {
        name: 'enum with a type',
        schema: { type: 'string', enum: ['a', 1, 'bcd'], minLength: 2 },
        valid: ['bcd'],
        invalid: ['a', 1],
    },
    { name: 'const', schema: { const: { a: [1, null] } }, valid: [{ a: [1, null] }], invalid: [{ a: [1] }, {}, 'a'] },
    { name: 'const and enum', schema: { const: 'b', enum: ['a', 'b'] }, valid: ['b'], invalid: ['a'] },
    {
        name: 'minimum',
        schema: { type: 'integer', minimum: -12 },
        valid: [-12, -9, 0, 7, 1000000],
        invalid: [-13, -100, -12.5],
    },
    {
        name: 'maximum',
        schema: { type: 'integer', maximum: 105 },
        valid: [105, 99, 100, 9, 0, -1000],
        invalid: [106, 110, 200, 1000],
    },
    {
        name: 'a range',
        schema: { type: 'integer', minimum: 37, maximum: 1205 },
        valid: [37, 40, 99, 100, 999, 1000, 1199, 1205],
        invalid: [36, 0, 1206, 1300, 2000, -37],
    },
    {
        name: 'a range around 0',
        schema: { type: 'integer', exclusiveMinimum: -20, exclusiveMaximum: 5 },
        valid: [-19, -1, 0, 4],
        invalid: [-20, 5, 20],
    },
    { name: 'one digit', schema: { type: 'integer', minimum: 3, maximum: 3 }, valid: [3], invalid: [2, 4, 33] },
    {
        name: 'safe integers',
        schema: { type: 'integer', minimum: -9007199254740991, maximum: 9007199254740991 },
        valid: [0, 999999999999999, -999999999999999],
        invalid: [0.5],
        kept: [['an integer has at most 15 digits', 9007199254740991]],
    },
    {
        name: 'bounds with fractions',
        schema: { type: 'integer', minimum: 0.5, maximum: 3.5 },
        valid: [1, 3],
        invalid: [0, 4],
    },
    {
        name: 'numbers in a range',
        schema: { type: 'number', minimum: 0.25, maximum: 10.5 },
        valid: [0.25, 0.3, 0.999, 1, 5.125, 10, 10.49, 10.5],
        invalid: [0.24, 0.2, 0, 10.51, 10.6, 11, 100, -1],
    },
    {
        name: 'numbers between',
        schema: { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
        valid: [0.5, 0.001, 0.999],
        invalid: [0, 1, -0.5, 1.5],
    },
    {
        name: 'numbers below 0',
        schema: { type: 'number', minimum: -2.5, exclusiveMaximum: -0.5 },
        valid: [-2.5, -1, -0.51],
        invalid: [-2.51, -0.5, -0.4, 0, 1, -3],
    },
    {
        name: 'numbers around 0',
        schema: { type: 'number', minimum: -1.5, maximum: 0.5 },
        valid: [-1.5, -0.25, 0, 0.5],
        invalid: [-1.6, 0.6, 1],
    },
    {
        name: 'numbers in one unit',
        schema: { type: 'number', exclusiveMinimum: 3.1, maximum: 3.25 },
        valid: [3.11, 3.2, 3.25],
        invalid: [3.1, 3.05, 3, 3.26, 3.3, 4],
    },
    {
        name: 'a number above',
        schema: { type: 'number', exclusiveMinimum: 99.5 },
        valid: [99.51, 100, 12345.678],
        invalid: [99.5, 99, 0, -100],
    },
    {
        name: 'a small bound',
        schema: { type: 'number', minimum: 1e-7, maximum: 1 },
        valid: [1, 0.5, 0.001],
        invalid: [0, 1.5],
        kept: [['with bounds a number has no exponent', 1e-7]],
    },
    { name: 'bounds alone', schema: { minimum: 3 }, valid: [3, 3.5], invalid: [2], kept: [[TYPED, 'a']] },
    { name: 'multipleOf 1', schema: { type: 'number', multipleOf: 1 }, valid: [3, -4, 0], invalid: [0.5] },
    {
        name: 'multipleOf 5',
        schema: { type: 'integer', multipleOf: 5 },
        valid: [0, 5, -10, 12345],
        invalid: [1, 12, 1.5],
    },
    {
        name: 'multipleOf 125',
        schema: { type: 'integer', multipleOf: 125, minimum: 0 },
        valid: [0, 125, 1000, 1375],
        invalid: [25, 1001, -125],
    },
    {
        name: 'multipleOf in a range',
        schema: { type: 'integer', multipleOf: 7, minimum: -15, maximum: 30 },
        valid: [-14, 0, 7, 28],
        invalid: [-21, 1, 35],
    },
    {
        name: 'lengths',
        schema: { type: 'string', minLength: 2, maxLength: 4 },
        valid: ['ab', 'abcd', '😀"', '\n\\\u0000'],
        invalid: ['', 'a', 'abcde', '😀'],
    },
    {
        name: 'pattern',
        schema: { type: 'string', pattern: '^[a-c]+\\d{2,3}$' },
        valid: ['a12', 'abc123'],
        invalid: ['12', 'a1', 'a1234', ' a12', 'd12'],
    },
    {
        name: 'pattern, not anchored',
        schema: { type: 'string', pattern: 'b.d|^x|y$' },
        valid: ['abcd', 'b"d', 'x', 'xa', 'y', 'ay'],
        invalid: ['', 'ax', 'ya', 'b\nd', 'bd'],
    },
    {
        name: 'pattern with escapes',
        schema: { type: 'string', pattern: '^\\w\\s[^\\d"]\\\\\\u{1F600}(?:\\x41|\\/)?$' },
        valid: ['a\tb\\😀', '_ c\\😀A', '0\u00a0\n\\😀/'],
        invalid: ['a b\\', 'a 1\\😀', 'a "\\😀'],
    },
    {
        name: 'pattern with a length',
        schema: { type: 'string', pattern: '^[A-Z][a-z]*$', minLength: 3, maxLength: 5 },
        valid: ['Abc', 'Abcde'],
        invalid: ['Ab', 'Abcdef', 'abc'],
    },
    {
        name: 'pattern in two groups',
        schema: { type: 'string', pattern: '^(?<a>ab|c){2}$' },
        valid: ['abab', 'cab', 'cc'],
        invalid: ['ab', 'c', 'ccc'],
    },
    {
        name: 'pattern beside a format',
        schema: { type: 'string', format: 'date', pattern: '^[0-9-]{10}$' },
        valid: ['2024-02-29'],
        invalid: ['2023-02-29', '2024-1-01'],
    },
    format(
        'date',
        ['2024-02-29', '2000-02-29', '1999-12-31', '2023-04-30'],
        ['2023-02-29', '1900-02-29', '2023-04-31', '2023-13-01', '2023-00-10', '23-01-01'],
    ),
    format('time', ['12:34:56Z', '23:59:59.5+02:00'], ['24:00:00Z', '12:60:00Z', '12:34:56', '12:34']),
    format(
        'date-time',
        ['2024-02-29T12:34:56Z', '1999-12-31T00:00:00.123-05:30'],
        ['2024-02-30T12:34:56Z', '2024-02-29', '2024-02-29T12:34:56'],
    ),
    format('duration', ['P1Y2M3D', 'PT5M', 'P2W', 'P1DT12H'], ['P', 'PT', '1Y', 'P1H', 'PT1Y']),
    format(
        'uuid',
        ['123e4567-e89b-42d3-a456-426614174000'],
        ['123e4567e89b42d3a456426614174000', '123e4567-e89b-42d3-a456-42661417400g'],
    ),
    format('email', ['a@b.co', 'first.last+tag@mail.example.org'], ['a', 'a@', '@b.co', 'a..b@c.de', 'a@b c.de']),
    format('hostname', ['localhost', 'a.example-1.com'], ['-a.com', 'a_b.com', 'a..b']),
    format('ipv4', ['0.0.0.0', '255.249.99.1'], ['256.1.1.1', '1.1.1', '01.1.1.1', '1.1.1.1.1']),
    format(
        'ipv6',
        ['::', '::1', '1:2:3:4:5:6:7:8', 'fe80::1:2', '1:2:3:4:5:6::'],
        [':', '1:2', '1::2::3', '12345::', '1:2:3:4:5:6:7:8:9'],
    ),
    format('uri', ['https://example.com/a/b?c=d#e', 'http://localhost:8080'], ['example.com', 'https:// a', 'a b']),
    {
        name: 'items',
        schema: { type: 'array', items: { type: 'integer' } },
        valid: [[], [1], [1, 2, 3]],
        invalid: [['a'], [1, null], {}],
    },
    {
        name: 'counts of items',
        schema: { type: 'array', items: { type: 'boolean' }, minItems: 1, maxItems: 3 },
        valid: [[true], [true, false, true]],
        invalid: [[], [true, true, true, true]],
    },
    { name: 'no items', schema: { type: 'array', maxItems: 0 }, valid: [[]], invalid: [[1]] },
    {
        name: 'prefixItems',
        schema: { type: 'array', prefixItems: [{ type: 'integer' }, { type: 'string' }] },
        valid: [[1, 'a']],
        invalid: [
            ['a', 1],
            [1, 2],
        ],
        kept: [
            ['all of prefixItems, unless minItems says less', [1]],
            ['nothing follows prefixItems without items', [1, 'a', 2]],
        ],
    },
    {
        name: 'prefixItems and items',
        schema: {
            type: 'array',
            prefixItems: [{ type: 'integer' }],
            items: { type: 'null' },
            minItems: 0,
            maxItems: 3,
        },
        valid: [[], [1], [1, null], [1, null, null]],
        invalid: [[null], [1, 1], [1, null, null, null]],
    },
    {
        name: 'prefixItems that end',
        schema: { type: 'array', prefixItems: [{ type: 'null' }, false] },
        valid: [[null]],
        invalid: [[null, null]],
        kept: [['all of prefixItems, unless minItems says less', []]],
    },
    {
        name: 'properties',
        schema: {
            type: 'object',
            properties: { a: { type: 'integer' }, 'b "é': { type: 'string' }, c: {} },
            required: ['a'],
        },
        valid: [{ a: 1 }, { a: 1, 'b "é': 'x' }, { a: 1, c: [] }, { a: 1, 'b "é': '', c: null }],
        invalid: [{}, { c: 1 }, { a: 'x' }, { a: 1, 'b "é': 2 }],
        kept: [
            [NAMED, { c: 1, a: 1 }],
            [NAMED, { a: 1, d: 2 }],
        ],
    },
    {
        name: 'optional properties',
        schema: {
            type: 'object',
            properties: { a: { type: 'null' }, b: { type: 'null' }, c: { type: 'null' } },
            additionalProperties: false,
        },
        valid: [
            {},
            { a: null },
            { b: null },
            { c: null },
            { a: null, c: null },
            { b: null, c: null },
            { a: null, b: null, c: null },
        ],
        invalid: [{ d: null }, { a: 1 }],
    },
    {
        name: 'additionalProperties',
        schema: {
            type: 'object',
            properties: { ab: { type: 'null' }, abc: { type: 'null' }, '': { type: 'null' } },
            additionalProperties: { type: 'integer' },
        },
        valid: [{}, { ab: null, x: 1 }, { a: 1, b: 2 }, { abcd: 3 }, { '': null, 'a"\n': 4 }, { abc: null, bc: 5 }],
        invalid: [{ ab: 1 }, { abc: 2 }, { '': 3 }, { x: null }],
    },
    {
        name: 'additionalProperties alone',
        schema: { type: 'object', additionalProperties: { type: 'boolean' } },
        valid: [{}, { a: true, b: false }],
        invalid: [{ a: 1 }],
    },
    { name: 'any object', schema: { type: 'object' }, valid: [{}, { a: [{}] }], invalid: [[], null] },
    {
        name: 'required without properties',
        schema: { type: 'object', required: ['a'] },
        valid: [{ a: 1 }, { a: [], b: 2 }],
        invalid: [{}, { b: 1 }],
    },
    {
        name: 'patternProperties',
        schema: {
            type: 'object',
            properties: { id: { type: 'integer' } },
            patternProperties: { '^x_': { type: 'string' } },
            additionalProperties: false,
        },
        valid: [{}, { id: 1, x_: 'a', x_b: '' }, { x_1: 'a' }],
        invalid: [{ y: 'a' }, { x_: 1 }],
    },
    {
        name: 'propertyNames',
        schema: {
            type: 'object',
            propertyNames: { pattern: '^[a-z]{1,3}$' },
            additionalProperties: { type: 'integer' },
        },
        valid: [{}, { a: 1, abc: 2 }],
        invalid: [{ A: 1 }, { abcd: 1 }, { a: 'x' }],
    },
    {
        name: 'propertyNames in a list',
        schema: {
            type: 'object',
            propertyNames: { enum: ['a', 'b'] },
            additionalProperties: { type: 'integer' },
            required: ['b'],
        },
        valid: [{ b: 1 }],
        invalid: [{}, { a: 1 }, { b: 1, c: 1 }, { b: 'x' }],
    },
    {
        name: 'counts of properties',
        schema: {
            type: 'object',
            properties: { a: { type: 'null' }, b: { type: 'null' }, c: { type: 'null' } },
            minProperties: 1,
            maxProperties: 2,
            additionalProperties: false,
        },
        valid: [{ a: null }, { c: null }, { a: null, b: null }, { b: null, c: null }],
        invalid: [{}, { a: null, b: null, c: null }],
    },
    {
        name: 'counts of any properties',
        schema: { type: 'object', minProperties: 1, maxProperties: 2, additionalProperties: { type: 'integer' } },
        valid: [{ a: 1 }, { a: 1, b: 2 }],
        invalid: [{}, { a: 1, b: 2, c: 3 }],
    },
    {
        name: 'anyOf',
        schema: { anyOf: [{ type: 'string', maxLength: 2 }, { type: 'integer', minimum: 10 }, { type: 'null' }] },
        valid: ['ab', 10, null],
        invalid: ['abc', 9, true],
    },
    {
        name: 'anyOf beside keywords',
        schema: {
            type: 'object',
            properties: { a: { type: 'integer' }, b: { type: 'integer' } },
            anyOf: [{ required: ['a'] }, { required: ['b'] }],
        },
        valid: [{ a: 1 }, { b: 1 }, { a: 1, b: 2 }],
        invalid: [{}],
    },
    {
        name: 'anyOf with impossible options',
        schema: { anyOf: [false, { type: 'integer', enum: ['x'] }, { type: 'boolean' }] },
        valid: [true],
        invalid: [1, 'x'],
    },
    {
        name: 'oneOf of types',
        schema: { oneOf: [{ type: 'string' }, { type: 'integer' }] },
        valid: ['a', 1],
        invalid: [1.5, null],
    },
    {
        name: 'oneOf of ranges',
        schema: {
            oneOf: [
                { type: 'integer', maximum: 3 },
                { type: 'integer', minimum: 10 },
                { type: 'string', minLength: 5 },
                { type: 'string', maxLength: 4 },
            ],
        },
        valid: [3, 10, 'abcd', 'abcde'],
        invalid: [4, 9],
    },
    {
        name: 'oneOf with a tag',
        schema: {
            oneOf: [
                {
                    type: 'object',
                    properties: { kind: { const: 'a' }, n: { type: 'integer' } },
                    required: ['kind', 'n'],
                },
                { type: 'object', properties: { kind: { enum: ['b', 'c'] } }, required: ['kind'] },
            ],
        },
        valid: [{ kind: 'a', n: 1 }, { kind: 'c' }],
        invalid: [{ kind: 'a' }, { kind: 'd' }, {}],
    },
    {
        name: 'oneOf with names',
        schema: {
            oneOf: [
                { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] },
                { type: 'object', properties: { b: { type: 'integer' } }, required: ['b'] },
            ],
        },
        valid: [{ a: 1 }, { b: 1 }],
        invalid: [{}, { a: 'x' }, { a: 1, b: 2 }],
    },
    {
        name: 'oneOf of arrays',
        schema: {
            oneOf: [
                { type: 'array', prefixItems: [{ const: 1 }], items: false, minItems: 1 },
                { type: 'array', prefixItems: [{ const: 2 }], minItems: 1, items: { type: 'null' } },
            ],
        },
        valid: [[1], [2, null]],
        invalid: [[], [3], [1, null]],
    },
    {
        name: 'allOf',
        schema: { allOf: [{ type: 'integer', minimum: 3 }, { maximum: 7 }], multipleOf: 1 },
        valid: [3, 7],
        invalid: [2, 8, 'a'],
    },
    {
        name: 'allOf of objects',
        schema: {
            allOf: [
                { type: 'object', properties: { a: { type: 'integer' }, b: { minimum: 2 } }, required: ['a'] },
                { properties: { a: { minimum: 5 }, b: { type: 'integer' } }, required: ['b'] },
            ],
        },
        valid: [{ a: 5, b: 2 }],
        invalid: [{ a: 4, b: 2 }, { a: 5, b: 1 }, { a: 5 }, { b: 2 }],
    },
    {
        name: 'allOf with additionalProperties',
        schema: {
            allOf: [
                { type: 'object', properties: { a: {} }, additionalProperties: { type: 'integer' } },
                { properties: { b: { minimum: 3 } } },
            ],
        },
        valid: [{ b: 3 }, { a: 'x', b: 4 }],
        invalid: [{ b: 2 }, { b: 'x' }],
    },
    {
        name: 'allOf of anyOf',
        schema: {
            allOf: [
                { anyOf: [{ type: 'integer' }, { type: 'string' }] },
                { anyOf: [{ type: 'string' }, { type: 'null' }] },
            ],
        },
        valid: ['a'],
        invalid: [1, null],
    },
    {
        name: '$ref',
        schema: {
            type: 'object',
            properties: { a: { $ref: '#/$defs/p~1q%25' }, b: { $ref: '#/properties/a', maxLength: 3 } },
            required: ['a', 'b'],
            $defs: { 'p/q%': { type: 'string', minLength: 2 } },
        },
        valid: [{ a: 'abcd', b: 'abc' }],
        invalid: [
            { a: 'a', b: 'abc' },
            { a: 'ab', b: 'abcd' },
        ],
    },
    {
        name: 'recursion',
        schema: tree,
        valid: [
            { name: 'a', children: [] },
            {
                name: 'a',
                children: [
                    { name: 'b', children: [{ name: '', children: [] }] },
                    { name: 'c', children: [] },
                ],
            },
        ],
        invalid: [{ name: 'a' }, { name: 'a', children: [{ name: 'b' }] }],
    },
    {
        name: 'recursion that can end',
        schema: { type: 'object', properties: { next: { $ref: '#' } } },
        valid: [{}, { next: {} }, { next: { next: {} } }],
        invalid: [{ next: 1 }],
    },
    {
        name: 'a dead end',
        schema: {
            anyOf: [{ $ref: '#/$defs/endless' }, { type: 'integer' }],
            $defs: { endless: { type: 'object', properties: { a: { $ref: '#/$defs/endless' } }, required: ['a'] } },
        },
        valid: [1],
        invalid: [{}, 'a'],
    },
    {
        name: 'a property that cannot be',
        schema: { type: 'object', properties: { a: false, b: { type: 'null' } } },
        valid: [{}, { b: null }],
        invalid: [{ a: 1 }],
    },
    {
        name: 'names of Object.prototype',
        schema: {
            type: 'object',
            properties: { toString: { type: 'integer' }, constructor: { type: 'null' } },
            required: ['toString'],
        },
        valid: [{ toString: 1 }, { toString: 1, constructor: null }],
        invalid: [{ toString: 'x' }, {}],
    },
    {
        name: 'tuples before draft 2020-12',
        schema: { type: 'array', items: [{ type: 'integer' }], additionalItems: false, minItems: 1 },
        valid: [[1]],
        invalid: [['a']],
    },
];

/** Schemas as people write them. @type {{ name: string, schema: any }[]} */
export const REALISTIC = [
    {
        name: 'a person',
        schema: {
            type: 'object',
            properties: {
                name: { type: 'string', minLength: 1, maxLength: 20 },
                age: { type: 'integer', minimum: 0, maximum: 120 },
                email: { type: 'string', format: 'email' },
                tags: { type: 'array', items: { enum: ['new', 'regular', 'former'] }, maxItems: 3 },
            },
            required: ['name', 'age'],
            additionalProperties: false,
        },
    },
    {
        name: 'a classification',
        schema: {
            type: 'object',
            properties: {
                label: { enum: ['positive', 'negative', 'neutral'] },
                confidence: { type: 'number', minimum: 0, maximum: 1 },
            },
            required: ['label', 'confidence'],
        },
    },
    {
        name: 'steps of a plan',
        schema: {
            type: 'object',
            properties: {
                steps: {
                    type: 'array',
                    minItems: 1,
                    maxItems: 3,
                    items: { $ref: '#/$defs/step' },
                },
            },
            required: ['steps'],
            $defs: {
                step: {
                    type: 'object',
                    properties: {
                        what: { type: 'string', pattern: '^[A-Z][a-z ]{0,20}$' },
                        minutes: { type: 'integer', exclusiveMinimum: 0, maximum: 600, multipleOf: 5 },
                        optional: { type: ['boolean', 'null'] },
                    },
                    required: ['what', 'minutes', 'optional'],
                },
            },
        },
    },
    {
        name: 'a union with a tag',
        schema: {
            oneOf: ['circle', 'square'].map((kind) => ({
                type: 'object',
                properties: {
                    kind: { const: kind },
                    size: { type: 'number', exclusiveMinimum: 0 },
                    id: { format: 'uuid' },
                },
                required: ['kind', 'size', 'id'],
            })),
        },
    },
    {
        name: 'a time',
        schema: {
            type: 'object',
            properties: {
                at: { type: 'string', format: 'date-time' },
                zone: { type: ['string', 'null'], maxLength: 5 },
            },
            required: ['at'],
        },
    },
];
