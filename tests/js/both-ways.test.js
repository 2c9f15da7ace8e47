// Decoders with bidirectional attention: logits and embeddings are transformers', or llama.cpp's for windows as in
// GGUF.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { root } from '../support/builds.js';
import { configurations, logitsOf, maxDistance } from '../support/vectors.js';

const folder = `${root}tests/fixtures/both-ways/`;
const names = readdirSync(folder)
    .filter((file) => file.endsWith('.gguf'))
    .map((file) => file.slice(0, -5));

/** @typedef {{ tokens: number[], logits: string, mean?: number[], cls?: number[], last?: number[] }} Case */
/** @param {string} name @returns {Case[]} */
const cases = (name) => JSON.parse(readFileSync(`${folder}${name}.json`, 'utf8')).cases;

/** @param {string} base64 of F32 */
function floats(base64) {
    const bytes = Buffer.from(base64, 'base64');
    return Float32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

test('there is a model for each kind', () => assert.ok(names.length >= 6));

for (const { build, threads } of configurations())
    test(`${build}, ${threads} threads: logits and embeddings of whole texts`, { timeout: 120_000 }, async () => {
        for (const name of names)
            for (const kvType of /** @type {('f32' | 'i16')[]} */ (threads === 1 ? ['f32'] : ['i16'])) {
                const model = await load(`${folder}${name}.gguf`, { build, threads, kvType });
                const by = name === 'gemma3-window' ? 10 : 1; // llama.cpp, whose GELU is a table in half precision
                const most = by * (kvType === 'f32' ? 2e-4 : 2e-2);
                try {
                    assert.equal(model.info.causal, false);
                    for (const { tokens, logits, ...expected } of cases(name)) {
                        const rows = await logitsOf(model, tokens);
                        assert.equal(rows.length, tokens.length);
                        const all = Float32Array.from(rows.flatMap((row) => [...row]));
                        const far = maxDistance(all, floats(logits));
                        assert.ok(
                            far < most,
                            `${name}, ${kvType}: ${far} from the reference's logits of ${tokens.length} tokens`,
                        );
                        for (const pooling of /** @type {('mean' | 'cls' | 'last')[]} */ (Object.keys(expected))) {
                            const embedding = await model.embed(tokens, { pooling });
                            const distance = maxDistance(embedding, expected[pooling] ?? []);
                            assert.ok(
                                distance < most / 10,
                                `${name}, ${kvType}: ${pooling} is ${distance} from the reference`,
                            );
                        }
                    }
                } finally {
                    await model.dispose();
                }
            }
    });

test('texts are independent; the default pooling is the mean; no text is continued', async () => {
    const model = await load(`${folder}qwen2.gguf`, { kvType: 'f32' });
    const [long, short] = cases('qwen2');
    for (const { tokens, mean } of [long, short, long])
        assert.ok(maxDistance(await model.embed(tokens), mean ?? []) < 1e-5);
    await assert.rejects(
        async () => {
            for await (const piece of model.complete(short.tokens, { maxTokens: 3 })) assert.fail(String(piece));
        },
        { code: 'NB_ERR_UNSUPPORTED', message: /not causal.*cannot continue/ },
    );
    assert.ok(maxDistance(await model.embed(short.tokens), short.mean ?? []) < 1e-5, 'it works on after an error');
    await model.dispose();
});
