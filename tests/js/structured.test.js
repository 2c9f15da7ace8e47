// Answers that are held to a JSON Schema: 50 schemas, each with 20 seeds, at a temperature at which a model says
// anything. ajv says whether they are valid.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { schemaToGbnf } from '../../web/grammar/schema.js';
import { load } from '../../web/index.js';
import { models } from '../support/builds.js';
import { grammarOf } from '../support/grammar.js';
import { CASES, REALISTIC, validator } from '../support/schemas.js';

/** Cases with few possible answers say little here. */
const SCHEMAS = [...REALISTIC, ...CASES.filter(({ valid }) => valid.length > 1)].slice(0, 50),
    SEEDS = 20;

/** @type {import('../../web/index.d.ts').Model} */
let model;
before(async () => {
    model = await load(models.tiny, { threads: 1 });
});
after(() => model.dispose());

test('each of 1,000 answers is valid, or the beginning of one that is', async () => {
    assert.equal(SCHEMAS.length, 50);
    let ended = 0;
    for (const { name, schema } of SCHEMAS) {
        const isValid = validator(schema),
            grammar = grammarOf(schemaToGbnf(schema));
        for (let seed = 0; seed < SEEDS; seed++) {
            const { text, finishReason } = await model.complete('One day', {
                ...{ schema, seed, maxTokens: 80, temperature: 2, topK: 0, topP: 1, minP: 0 },
            });
            if (finishReason === 'stop') {
                assert.ok(isValid(JSON.parse(text)), `${name}, seed ${seed}: ${text}`);
                ended++;
            } else {
                assert.equal(finishReason, 'length');
                assert.ok(grammar.begins(text.replace(/\ufffd+$/, '')), `${name}, seed ${seed}: ${text}`);
            }
        }
        grammar.free();
    }
    assert.ok(ended >= 800, `only ${ended} of 1,000 answers ended by themselves`);
});

describe('the option schema', () => {
    const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] };

    test('holds complete() and chat()', async () => {
        for (const answer of [model.complete('One day', { schema }), model.chat('Hello', { schema })]) {
            const { text, finishReason } = await answer;
            assert.equal(typeof JSON.parse(text).ok, 'boolean');
            assert.equal(finishReason, 'stop');
        }
    });

    test('true and {} are any JSON', async () => {
        for (const any of [/** @type {true} */ (true), {}]) {
            const { text, finishReason } = await model.complete('{', { schema: any, temperature: 1, seed: 5 });
            if (finishReason === 'stop') JSON.parse(text);
            else assert.equal(finishReason, 'length');
        }
    });

    test('a refused schema is an error of the call, with its keyword', () => {
        const refused = (/** @type {any} */ options) => () => model.chat('Hello', options);
        assert.throws(refused({ schema: { not: {} } }), {
            code: 'NB_ERR_UNSUPPORTED',
            message: /^chat\(\): schema: "not" at # is not supported/,
        });
        assert.throws(
            refused({ schema: false }),
            /chat\(\): schema must be a JSON Schema, an object or true, not false/,
        );
        assert.throws(refused({ schema, grammar: 'root ::= "a"' }), /schema and grammar are two ways/);
    });
});
