// Embeddings are transformers', for encoders with random weights, in every build; and requests that encoders refuse.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { models, root } from '../support/builds.js';
import { comparison, tested } from '../support/tested.js';
import { configurations, cosine, dot, embeddingVectors, maxDistance } from '../support/vectors.js';

const folder = `${root}tests/fixtures/encoders/`;
const MINILM = { skip: models.minilmMissing, timeout: 300_000 };
const POOLINGS = /** @type {const} */ (['mean', 'cls', 'last']);

/** @param {string} name */
const vectors = (name) => embeddingVectors(`encoders/${name}.json`);

for (const { build, threads } of configurations())
    for (const name of ['bert', 'nomic-bert', 'bert-head-9', 'bert-head-13'])
        comparison(`${name}, ${build}, ${threads} threads: embeddings are transformers'`, {}, async () => {
            const model = await load(`${folder}${name}.gguf`, { build, threads, kvType: 'f32' });
            try {
                assert.equal(model.info.encoder, true);
                for (const { tokens, ...expected } of vectors(name))
                    for (const pooling of POOLINGS) {
                        const embedding = await model.embed(tokens, { pooling });
                        assert.equal(embedding.length, model.info.width);
                        const far = maxDistance(embedding, expected[pooling]);
                        assert.ok(far < 1e-5, `${pooling} of ${tokens.length}: ${far} from the reference`);
                    }
                tested(`${folder}${name}.gguf`, model.info);
            } finally {
                await model.dispose();
            }
        });

for (const { build, threads } of configurations(true))
    comparison(`gemma-embedding, ${build}, ${threads} threads: embeddings are transformers'`, {}, async () => {
        const model = await load(`${folder}gemma-embedding.gguf`, { build, threads, kvType: 'f32' });
        try {
            for (const { tokens, file, mean } of JSON.parse(readFileSync(`${folder}gemma-embedding.json`, 'utf8'))
                .cases) {
                assert.ok(maxDistance(await model.embed(tokens), file) < 1e-5);
                assert.ok(maxDistance(await model.embed(tokens, { pooling: 'mean' }), mean) < 1e-5);
            }
            tested(`${folder}gemma-embedding.gguf`, model.info);
        } finally {
            await model.dispose();
        }
    });

test('the file says how to pool, and an F16 cache is good enough', async () => {
    const model = await load(`${folder}bert.gguf`);
    const [{ tokens, cls }] = vectors('bert');
    const embedding = await model.embed(tokens);
    assert.ok(cosine(embedding, cls) > 0.9999);
    await model.dispose();
});

for (const { build, threads } of configurations(true))
    test(`all-MiniLM-L6-v2, ${build}, ${threads} threads: transformers' tokens and embeddings`, MINILM, async (t) => {
        const { cases, scales } = JSON.parse(readFileSync(`${folder}minilm.json`, 'utf8'));
        const coded = readFileSync(`${folder}minilm.bin`);
        const model = await load(models.minilm, { build, threads });
        try {
            const { width = 0 } = model.info;
            assert.equal(coded.length, 2 * cases.length * width);
            let least = 1;
            for (const [i, { text, tokens }] of cases.entries()) {
                assert.deepEqual(await model.tokenize(text), tokens, text);
                const expected = Float32Array.from(
                    { length: width },
                    (_, j) => scales[i] * coded.readInt16LE(2 * (i * width + j)),
                );
                const c = cosine(await model.embed(text, { pooling: 'mean' }), expected);
                assert.ok(c >= 0.9999, `cosine ${c}: ${text}`);
                least = Math.min(least, c);
            }
            t.diagnostic(`least cosine of ${cases.length} texts: ${least.toFixed(7)}`);
        } finally {
            await model.dispose();
        }
    });

test('an encoder continues no text, and takes no more than its positions', async () => {
    const model = await load(`${folder}bert.gguf`);
    await assert.rejects(
        model.complete('!').then(() => {}),
        /bert model is an encoder.*embeddings/,
    );
    await assert.rejects(
        model.chat('!').then(() => {}),
        /is an encoder.*Use embed\(\)/,
    );
    await assert.rejects(model.embed([]), /no tokens/);
    await assert.rejects(model.embed([1, 99999]), /token 1 is 99999/);
    await assert.rejects(model.embed(Array(129).fill(5)), /129 tokens do not fit the context of 128/);
    await assert.rejects(model.embed('a', /** @type {any} */ ({ pooling: 'max' })), /pooling must be/);
    await assert.rejects(model.embed(/** @type {any} */ (7)), /text or an array/);
    await model.dispose();
    await assert.rejects(load(`${folder}bert.gguf`, { contextLength: 129 }), /learned 128 positions/);
});

test('other models embed too: the last token, or all, before and after they generate', async () => {
    const model = await load(models.tiny);
    const before = await model.complete('Once upon', { temperature: 0, maxTokens: 8 });
    const last = await model.embed('Once upon a time'),
        again = await model.embed('Once upon a time', { pooling: 'last' });
    const mean = await model.embed('Once upon a time', { pooling: 'mean' });
    assert.deepEqual(last, again);
    assert.ok(Math.abs(dot(mean, mean) - 1) < 1e-5 && cosine(mean, last) < 0.999);
    const after = await model.complete('Once upon', { temperature: 0, maxTokens: 8 });
    assert.equal(after.text, before.text);
    await model.dispose();
});

test('the command embed prints the numbers', () => {
    const [{ tokens, last }] = vectors('nomic-bert');
    const out = execFileSync(
        process.execPath,
        [
            `${root}web/cli.js`,
            'embed',
            `${folder}nomic-bert.gguf`,
            '--tokens',
            tokens.join(','),
            '--pooling',
            'last',
            '--kv-type',
            'f32',
        ],
        { encoding: 'utf8' },
    );
    assert.ok(maxDistance(JSON.parse(out), last) < 1e-5);
});
