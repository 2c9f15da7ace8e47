// The figures of compare() are those of llama.cpp's tools/perplexity --kl-divergence, computed with models in F32 by
// tests/oracles/comparison_vectors.py.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { compare, quantize } from '../../web/index.js';
import { models, root } from '../support/builds.js';

/** @typedef {{ mean: number, standardError: number }} Mean */
/**
 * @typedef {{ base: string, model: string, context: number, stride?: number, tokens: number, perplexity: number,
 *     basePerplexity: number, logRatio: Mean, sameTop: number, errors?: Record<string, number>,
 *     divergence: Mean & { median: number, p99: number, largest: number, byPosition: number[] } }} Case
 */

const read = (/** @type {string} */ file) => JSON.parse(readFileSync(`${root}tests/fixtures/llamacpp/${file}`, 'utf8'));
/** @type {Record<string, Case>} */
const cases = read('comparison.json');
/** @type {{ input: number[] }} */
const { input } = read('perplexity.json').gemma2;
const { text } = read('prompts.json').logits;
const fixture = (/** @type {string} */ file) => `${root}tests/fixtures/${file}`;
const gemma = fixture('models/gemma2.gguf'),
    rounded = fixture('llamacpp/gemma2-q4_0.gguf');
const quick = /** @type {const} */ ({ context: 32, speed: false, weights: false, threads: 1 });

for (const [name, expected] of Object.entries(cases))
    for (const threads of [1, 2])
        test(`${name}: the figures are the oracle's, ${threads === 1 ? 'one thread' : 'two threads'}`, async (t) => {
            const { context, stride } = expected;
            // with F32 weights and an F32 cache only F32 arithmetic rounds; with Q4_0 activations have 16 bits
            const bound = expected.errors ? 1e-4 : 1e-6;
            const found = await compare([fixture(expected.base), fixture(expected.model)], {
                ...quick,
                text: input,
                context,
                stride,
                kvType: 'f32',
                threads,
                weights: true,
            });
            const [model] = found.models;
            /** @param {string} what @param {number} is @param {number} should @param {number} [times] the bound */
            const near = (what, is, should, times = 1) =>
                assert.ok(Math.abs(is - should) <= times * bound * Math.abs(should), `${what}: ${is}, not ${should}`);
            assert.equal(found.tokens, expected.tokens);
            near('perplexity', model.perplexity, expected.perplexity);
            near('base', found.base.perplexity, expected.basePerplexity);
            assert.ok(Math.abs(model.logRatio.mean - expected.logRatio.mean) < bound * Math.log(expected.perplexity));
            near('error of the ratio', model.logRatio.standardError, expected.logRatio.standardError);
            assert.equal(model.sameTop.mean, expected.sameTop);
            const { byPosition, ...figures } = expected.divergence;
            for (const [key, should] of Object.entries(figures)) {
                // these come from one or two tokens, so rounding errors of activations do not average out
                const times = /median|p99|largest/.test(key) ? 10 : 1;
                near(`divergence, ${key}`, /** @type {Record<string, any>} */ (model.divergence)[key], should, times);
            }
            for (const [i, should] of byPosition.entries())
                near(`position ${i}`, model.divergence.byPosition[i], should);
            assert.equal(model.divergence.byPosition.length, byPosition.length);
            const worst = Math.abs(model.divergence.mean / figures.mean - 1);
            t.diagnostic(`mean divergence ${model.divergence.mean}, ${worst.toExponential(1)} off`);
            for (const { kind, layer, error } of expected.errors ? (model.weights?.matrices ?? []) : []) {
                const tensor = `${layer === null ? '' : `blk.${layer}.`}${kind}.weight`;
                const should = expected.errors?.[tensor] ?? NaN;
                assert.ok(Math.abs(error - should) <= 1e-7 * should, `${tensor}: ${error}, not ${should}`);
            }
            if (expected.errors)
                assert.equal(model.weights?.matrices.length, Object.keys(expected.errors).length, 'all matrices');
        });

test('the same model has no divergence; there are speed, size and histograms', async () => {
    const copy = new Uint8Array(readFileSync(gemma));
    const {
        base,
        models: [same, other],
    } = await compare([gemma, { source: copy, name: 'copy' }, rounded], {
        text: input,
        context: 32,
        threads: 1,
    });
    assert.deepEqual([base.name, same.name, other.name], [gemma, 'copy', rounded]);
    assert.deepEqual(
        [same.divergence.mean, same.divergence.largest, same.sameTop.mean, same.weights?.error],
        [0, 0, 1, 0],
    );
    assert.equal(same.perplexity, base.perplexity);
    assert.deepEqual([same.bytes, other.bytes], [copy.length, readFileSync(rounded).length]);
    assert.equal(other.bitsPerWeight, (other.bytes * 8) / other.parameters);
    for (const { promptTokensPerSecond, generateTokensPerSecond, memoryBytes } of [base, same, other])
        for (const figure of [promptTokensPerSecond, generateTokensPerSecond, memoryBytes])
            assert.ok(Number(figure) > 0);
    const sum = (/** @type {number[]} */ counts) => counts.reduce((a, b) => a + b, 0);
    for (const { before, after } of other.weights?.histograms ?? []) assert.equal(sum(before), sum(after));
    assert.notDeepEqual(other.weights?.histograms[0].before, other.weights?.histograms[0].after);
    assert.deepEqual(same.weights?.histograms[0].before, same.weights?.histograms[0].after);
    assert.ok(same.divergence.byWindow.length > 1);
});

test('progress names the models, and reaches the end', async () => {
    /** @type {import('../../web/index.js').CompareProgress[]} */
    const reports = [];
    await compare([gemma, rounded], { ...quick, text: input, onProgress: (progress) => reports.push(progress) });
    assert.deepEqual([...new Set(reports.map(({ model }) => model))], [gemma, rounded]);
    const last = reports.at(-1);
    assert.ok(last && last.done === last.total && last.total > 0 && last.secondsLeft === 0, JSON.stringify(last));
    assert.ok(reports.every(({ done }, i) => i === 0 || done >= reports[i - 1].done));
});

test('a signal ends it, and so does what onProgress throws', async () => {
    const controller = new AbortController();
    const long = Array.from({ length: 20 }, () => input).flat();
    const stopped = compare([gemma, rounded], {
        ...quick,
        text: long,
        signal: controller.signal,
        onProgress: ({ doing }) => doing === 'text' && controller.abort(new Error('enough')),
    });
    await assert.rejects(stopped, { message: 'enough' });
    const broken = compare([gemma, rounded], {
        ...quick,
        text: long,
        onProgress: ({ doing }) => {
            if (doing === 'text') throw new Error('no');
        },
    });
    await assert.rejects(broken, { message: /onProgress threw: no/ });
    const aborted = compare([gemma, rounded], {
        ...quick,
        text: input,
        signal: AbortSignal.abort(new Error('before')),
    });
    await assert.rejects(aborted, { message: 'before' });
});

test('models that cannot be compared are refused by name', async () => {
    const given = { ...quick, text: input },
        any = /** @type {any} */ (compare);
    for (const [run, code, message] of /** @type {[() => Promise<any>, string, RegExp][]} */ ([
        [() => any(gemma, given), 'ARGUMENT', /the models must be an array/],
        [() => any([gemma], given), 'ARGUMENT', /a base and at least one model/],
        [() => compare([gemma, rounded, gemma], given), 'ARGUMENT', /gemma2\.gguf is given twice/],
        [() => any([gemma, rounded], { context: 32 }), 'ARGUMENT', /text must be a text or an array/],
        [() => compare([gemma, rounded], { ...given, text: [] }), 'ARGUMENT', /the text is empty/],
        [
            () => compare([gemma, rounded], { ...given, text: [1, 2, 3] }),
            'ARGUMENT',
            /has 3 tokens, .*less than one window/,
        ],
        [
            () => compare([gemma, rounded], { ...given, text: [...input, 88] }),
            'ARGUMENT',
            /gemma2\.gguf: token 200 is 88/,
        ],
        [() => compare([gemma, fixture('none.gguf')], given), 'FILE', /none\.gguf: there is no such file/],
        [
            () => compare([gemma, models.tiny], given),
            'ARGUMENT',
            /tiny\.gguf: .*1024 tokens, and the base .* of 88: only/,
        ],
        [
            () => compare([gemma, fixture('encoders/bert.gguf')], given),
            'UNSUPPORTED',
            /bert\.gguf: .* is not causal.* compareEmbeddings\(\)/,
        ],
        [() => compare([gemma, { source: new Uint8Array(40), name: 'zeros' }], given), 'FORMAT', /zeros: /],
        [() => any([gemma, rounded], { ...given, speeds: 1 }), 'ARGUMENT', /no option "speeds"; did you mean "speed"/],
        [() => any([gemma, rounded], { ...given, onProgress: 1 }), 'ARGUMENT', /onProgress must be a function/],
        [() => any([gemma, { source: rounded, name: 5 }], given), 'ARGUMENT', /the name of model 1 must be a text/],
    ]))
        await assert.rejects(run, { name: 'NibbleError', code: `NB_ERR_${code}`, message });
});

test('models that make different tokens of the text are told apart', async () => {
    const bytes = new Uint8Array(readFileSync(models.tiny)),
        at = Buffer.from(bytes.buffer).indexOf('tokenizer.ggml.add_bos_token') + 'tokenizer.ggml.add_bos_token'.length;
    assert.deepEqual([...bytes.subarray(at, at + 5)], [7, 0, 0, 0, 0], 'a boolean that is false');
    bytes[at + 4] = 1;
    const other = compare([models.tiny, { source: bytes, name: 'other' }], { ...quick, text });
    await assert.rejects(other, {
        code: 'NB_ERR_ARGUMENT',
        message: /other: .*different tokens .* different vocabularies/,
    });
});

test('a folder and a GGUF that was made of it have the same weights, row by row', async () => {
    const folder = fixture('safetensors/llama-sharded');
    /** @type {Uint8Array[]} */
    const pieces = [];
    const reader = quantize(folder, { type: 'f16' }).getReader();
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) pieces.push(piece.value);
    const source = new Uint8Array(await new Blob(/** @type {BlobPart[]} */ (pieces)).arrayBuffer());
    const {
        models: [made],
    } = await compare([folder, { source, name: 'made' }], { ...quick, text: input, weights: true });
    assert.ok(made.divergence.largest < 1e-6 && made.sameTop.mean === 1, String(made.divergence.largest));
    assert.deepEqual([made.weights?.error, made.weights?.matrices.filter(({ error }) => error > 0)], [0, []]);
});
