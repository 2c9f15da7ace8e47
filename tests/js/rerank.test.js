// A reranker's scores are transformers', from GGUF files and from folders, in every build; and requests that are refused.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { openaiFetch } from '../../web/openai/index.js';
import { models, root } from '../support/builds.js';
import { edited, whole } from '../support/gguf.js';
import { comparison, tested } from '../support/tested.js';
import { configurations } from '../support/vectors.js';

const folder = `${root}tests/fixtures/rerankers/`;
const NAMES = ['bert-reranker', 'xlm-roberta-reranker'];

/** @param {string} name @returns {{ query: string, documents: string[], tokens: number[][], logits: number[],
 *     'of-one-type': number[] }[]} */
const casesOf = (name) => JSON.parse(readFileSync(`${folder}${name}.json`, 'utf8')).cases;

for (const { build, threads } of configurations())
    for (const name of NAMES)
        for (const path of [`${folder}${name}.gguf`, `${folder}${name}`])
            comparison(`${path.slice(folder.length)}, ${build}, ${threads} threads: scores`, {}, async () => {
                const model = await load(path, { build, threads, kvType: 'f32' });
                try {
                    assert.equal(model.info.embedding?.scores, 1);
                    for (const { query, documents, tokens, logits } of casesOf(name)) {
                        const own = /** @type {import('../../web/api/model.js').Model} */ (model),
                            { results, tokens: read } = await own.rerankCounted(query, documents);
                        assert.equal(read, tokens.flat().length);
                        const order = logits.map((_, i) => i).sort((a, b) => logits[b] - logits[a]);
                        assert.deepEqual(
                            results.map(({ index }) => index),
                            order,
                        );
                        for (const { index, score, relevance, document, truncated } of results) {
                            assert.ok(
                                Math.abs(score - logits[index]) < 1e-4,
                                `${document}: ${score}, ${logits[index]}`,
                            );
                            assert.ok(Math.abs(relevance - 1 / (1 + Math.exp(-logits[index]))) < 1e-4);
                            assert.equal(document, documents[index]);
                            assert.equal(truncated, document.length > 100);
                        }
                    }
                    tested(path, model.info);
                } finally {
                    await model.dispose();
                }
            });

test('rerank() computes with the adapters that are chosen', async () => {
    const model = await load(`${folder}bert-reranker.gguf`, { threads: 1 }),
        [{ query, documents }] = casesOf('bert-reranker'),
        { width = 0 } = model.info;
    const scores = async () => (await model.rerank(query, documents)).map(({ score }) => score),
        plain = await scores();
    const matrix = (/** @type {string} */ part, /** @type {number[]} */ shape) => ({
        name: `blk.0.attn_output.weight.${part}`,
        shape,
        type: 0,
        bytes: 4 * width,
        data: new Uint8Array(Float32Array.from({ length: width }, (_, i) => (i % 5) - 2).buffer),
    });
    /** @type {Map<string, [any, any]>} */
    const values = new Map([
        ['general.type', ['string', 'adapter']],
        ['adapter.type', ['string', 'lora']],
        ['general.architecture', ['string', 'bert']],
        ['adapter.lora.alpha', ['f32', 1]],
    ]);
    await model.addAdapter(whole(values, [matrix('lora_a', [width, 1]), matrix('lora_b', [1, width])]), { name: 'a' });
    const adapted = await scores();
    assert.ok(adapted.every((score) => !plain.includes(score)));
    await model.setAdapters([]);
    assert.deepEqual(await scores(), plain);
    await model.dispose();
});

test('rerank(): top, progress, abort, and requests that are refused', async () => {
    const model = await load(`${folder}bert-reranker.gguf`, { threads: 1 }),
        [{ query, documents, logits }] = casesOf('bert-reranker'),
        best = logits.indexOf(Math.max(...logits));
    assert.deepEqual(
        (await model.rerank(query, documents, { topN: 1 })).map(({ index }) => index),
        [best],
    );
    assert.equal((await model.rerank(query, documents, { topN: 9 })).length, documents.length);

    const many = Array(1000).fill(documents[3]);
    /** @type {number[]} */
    const told = [];
    const controller = new AbortController();
    const onProgress = (/** @type {{ done: number, total: number }} */ { done, total }) => {
        assert.equal(total, 1000);
        told.push(done);
        controller.abort();
    };
    await assert.rejects(model.rerank(query, many, { signal: controller.signal, onProgress }), { name: 'AbortError' });
    assert.ok(told.length > 0 && told[0] < 1000, `${told}`);
    const all = await model.rerank(query, many);
    assert.deepEqual(
        all.map(({ index }) => index),
        many.map((_, i) => i),
    );

    /** @type {[any[], RegExp][]} */
    const refused = [
        [['', documents], /the query must be a text that is not empty/],
        [[' ', documents], /the query must be/],
        [[7, documents], /the query must be/],
        [[query, []], /at least one text/],
        [[query, 'a text'], /the documents must be an array/],
        [[query, ['a', null]], /document 1 must be a text, not null/],
        [[query, documents, { topN: 0 }], /topN must be a whole number, at least 1/],
        [[query, documents, { onProgress: 1 }], /onProgress must be a function/],
        [['the old fox '.repeat(20), documents], /the query has 60 tokens, which leave no room.*context of 48/],
    ];
    for (const [args, message] of refused)
        await assert.rejects(/** @type {any} */ (model).rerank(...args), (/** @type {Error} */ error) => {
            assert.match(error.message, message);
            return error.name === 'NibbleError';
        });
    await assert.rejects(model.embed('a'), /is a reranker.*use rerank\(\)/);
    assert.equal((await model.embed('a', { pooling: 'mean' })).length, 24);
    await model.dispose();
});

test('models without such a head are refused', async () => {
    /** @type {[string, RegExp][]} */
    const refused = [
        [`${root}tests/fixtures/encoders/bert.gguf`, /this bert model has no head.*or compare embeddings/],
        [models.tiny, /this llama model has no head/],
    ];
    for (const [path, message] of refused) {
        const model = await load(path, { threads: 1 });
        await assert.rejects(model.rerank('a', ['b']), message);
        await model.dispose();
    }
    const bert = readFileSync(`${root}tests/fixtures/encoders/bert.gguf`);
    await assert.rejects(
        load(edited(bert, { pooling_type: ['u32', 4] })),
        /bert\.pooling_type is 4, for rerankers, but there is no cls\.weight/,
    );
});

test("/v1/rerank: the form of Jina's and llama.cpp's answers, and requests that are refused", async () => {
    const model = await load(`${folder}bert-reranker.gguf`, { threads: 1, kvType: 'f32' }),
        fetch = openaiFetch({ own: model }),
        [{ query, documents, logits, tokens }] = casesOf('bert-reranker');
    const ask = async (/** @type {any} */ body) => {
        const answer = await fetch('http://localhost/v1/rerank', { method: 'POST', body: JSON.stringify(body) });
        return { status: answer.status, ...(await answer.json()) };
    };
    const best = logits.indexOf(Math.max(...logits)),
        total = tokens.flat().length;
    for (const raw_scores of [true, undefined]) {
        const { results, ...rest } = await ask({ model: 'own', query, documents, top_n: 2, raw_scores });
        assert.deepEqual(rest, {
            status: 200,
            object: 'list',
            model: 'own',
            usage: { prompt_tokens: total, total_tokens: total },
        });
        assert.equal(results.length, 2);
        assert.deepEqual(Object.keys(results[0]), ['index', 'relevance_score']);
        const right = raw_scores ? logits[best] : 1 / (1 + Math.exp(-logits[best]));
        assert.equal(results[0].index, best);
        assert.ok(Math.abs(results[0].relevance_score - right) < 1e-4);
    }
    const asObjects = documents.map((text) => ({ text }));
    const { results } = await ask({ model: 'own', query, documents: asObjects, top_n: 1, return_documents: true });
    assert.deepEqual(results[0].document, { text: documents[best] });
    for (const [body, param, message] of [
        [{ query, documents: [] }, 'documents', /array of 1 to 2048 texts/],
        [{ query, documents: [7] }, 'documents', /array of 1 to 2048 texts/],
        [{ query, documents: 'a' }, 'documents', /array of 1 to 2048 texts/],
        [{ query: '', documents }, 'query', /query must be a text that is not empty/],
        [{ documents }, 'query', /query must be a text that is not empty/],
        [{ query, documents, top_n: 0 }, 'top_n', /top_n must be/],
    ]) {
        const { status, error } = await ask({ model: 'own', .../** @type {object} */ (body) });
        assert.deepEqual([status, error.param], [400, param]);
        assert.match(error.message, /** @type {RegExp} */ (message));
    }
    await model.dispose();
});

test('the command rerank sorts files, and lines of a file', (t) => {
    const place = mkdtempSync(join(tmpdir(), 'nibble-'));
    t.after(() => rmSync(place, { recursive: true }));
    const [{ query, documents, logits }] = casesOf('bert-reranker'),
        texts = [documents[1], documents[0]],
        paths = texts.map((text, i) => {
            const path = `${place}/${i}.txt`;
            writeFileSync(path, text);
            return path;
        });
    const rerank = (/** @type {string[]} */ ...args) => [
        `${root}web/cli.js`,
        'rerank',
        `${folder}bert-reranker.gguf`,
        '--query',
        query,
        '--kv-type',
        'f32',
        ...args,
    ];
    const out = JSON.parse(execFileSync(process.execPath, rerank(...paths, '--json'), { encoding: 'utf8' }));
    assert.deepEqual(
        out.map((/** @type {any} */ { index, file }) => [index, file]),
        [
            [1, paths[1]],
            [0, paths[0]],
        ],
    );
    assert.ok(Math.abs(out[0].score - logits[0]) < 1e-4);
    const lines = `${place}/lines.txt`;
    writeFileSync(lines, `${texts.join('\r\n')}\n\n`);
    assert.equal(
        execFileSync(process.execPath, rerank(lines, '--lines', '--top', '1'), { encoding: 'utf8' }),
        `${(1 / (1 + Math.exp(-logits[0]))).toFixed(4)}  ${texts[1]}\n`,
    );
    const wrong = spawnSync(process.execPath, rerank(), { encoding: 'utf8' });
    assert.equal(wrong.status, 2);
    assert.match(wrong.stderr, /which documents\?/);
});
