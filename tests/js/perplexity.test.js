// Perplexities are computed as by llama.cpp's tools/perplexity; the reference is transformers in F32
// (tests/oracles/perplexity_vectors.py).
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { load } from '../../web/index.js';
import { missing, models, root } from '../support/builds.js';
import { fewConfigurations } from '../support/vectors.js';

/**
 * @typedef {{ model: string, input?: number[], context: number, stride?: number, begin: boolean, perplexity: number,
 *     standardError: number, negativeLogLikelihood: number, tokens: number, windows: number }} Case
 */

/** @type {Record<string, Case>} */
const cases = JSON.parse(readFileSync(`${root}tests/fixtures/llamacpp/perplexity.json`, 'utf8'));
const { text } = JSON.parse(readFileSync(`${root}tests/fixtures/llamacpp/prompts.json`, 'utf8')).logits;
const folder = mkdtempSync(join(tmpdir(), 'nibble-'));
after(() => rmSync(folder, { recursive: true }));

/** The tiny model, whose tokenizer puts a beginning token before a text. */
function withBegin() {
    const bytes = new Uint8Array(readFileSync(models.tiny));
    const at =
        Buffer.from(bytes.buffer).indexOf('tokenizer.ggml.add_bos_token') + 'tokenizer.ggml.add_bos_token'.length;
    assert.deepEqual([...bytes.subarray(at, at + 5)], [7, 0, 0, 0, 0], 'a boolean that is false');
    bytes[at + 4] = 1;
    return bytes;
}

/** @param {Case} expected */
const sourceOf = ({ model, begin }) =>
    begin
        ? withBegin()
        : ({ 'tiny.gguf': models.tiny }[model] ??
          (model.startsWith('SmolLM2') ? models.real : `${root}tests/fixtures/models/${model}`));

for (const [name, expected] of Object.entries(cases))
    for (const { build, threads } of fewConfigurations())
        test(`${name}, ${build}, ${threads} threads: the perplexity is the reference's`, {
            skip: name === 'smollm2' && missing(models.realMissing),
            timeout: 120_000,
        }, async (t) => {
            const model = await load(sourceOf(expected), { build, threads });
            try {
                const { context, stride } = expected;
                const found = await model.perplexity(expected.input ?? text, { context, stride });
                t.diagnostic(
                    `${found.perplexity}, ${((found.perplexity / expected.perplexity - 1) * 100).toFixed(4)} % off`,
                );
                assert.deepEqual(
                    [found.tokens, found.windows, found.context, found.stride],
                    [expected.tokens, expected.windows, context, stride ?? context],
                );
                for (const key of /** @type {const} */ (['perplexity', 'standardError', 'negativeLogLikelihood']))
                    assert.ok(
                        Math.abs(found[key] / expected[key] - 1) < 0.003,
                        `${key} is ${found[key]}, not ${expected[key]}`,
                    );
            } finally {
                await model.dispose();
            }
        });

test('with an F32 cache and F32 weights nothing is rounded', async () => {
    const model = await load(`${root}tests/fixtures/models/gemma2.gguf`, { kvType: 'f32' }),
        expected = cases.gemma2;
    const found = await model.perplexity(Int32Array.from(expected.input ?? []), { context: expected.context });
    await model.dispose();
    assert.ok(
        Math.abs(found.perplexity / expected.perplexity - 1) < 1e-5,
        `${found.perplexity}, not ${expected.perplexity}`,
    );
});

test('progress counts all tokens; other requests are answered in between', async () => {
    const model = await load(models.tiny, { contextLength: 64 });
    /** @type {import('../../web/index.js').TextProgress[]} */
    const reports = [];
    const measuring = model.perplexity(text, {
        context: 64,
        stride: 8,
        onProgress: (progress) => reports.push(progress),
    });
    const answer = await model.complete('Once', { maxTokens: 4 });
    assert.equal(answer.tokens.length, 4);
    const { windows } = await measuring;
    await model.dispose();
    assert.deepEqual(reports.at(-1), { done: windows * 64, total: windows * 64, secondsLeft: 0 });
    assert.ok(reports.every(({ done }, i) => i === 0 || done > reports[i - 1].done));
});

test('a signal ends it, also between two windows; what onProgress throws, too', async () => {
    const model = await load(models.tiny),
        abort = new AbortController(),
        long = text.repeat(40);
    const measuring = model.perplexity(long, {
        context: 64,
        signal: abort.signal,
        onProgress: () => abort.abort(new Error('enough')),
    });
    await assert.rejects(measuring, { message: 'enough' });
    await assert.rejects(
        model.perplexity(text, {
            context: 64,
            onProgress: () => {
                throw new Error('no');
            },
        }),
        { message: 'no' },
    );
    assert.ok((await model.perplexity(text, { context: 64 })).perplexity > 1, 'the model is of use afterwards');
    await model.dispose();
});

test('what cannot be measured is refused', async () => {
    const model = await load(models.tiny),
        any = /** @type {any} */ (model);
    for (const [run, message] of /** @type {[() => Promise<any>, RegExp][]} */ ([
        [() => model.perplexity(''), /the text is empty/],
        [() => model.perplexity([]), /the text is empty/],
        [() => model.perplexity('Once upon a time'), /the text has \d+ tokens, which is less than one window of 512/],
        [
            () => model.perplexity(text, { context: 513 }),
            /context .* of 513 is larger than the model's own, which is 512/,
        ],
        [() => model.perplexity(text, { context: 64, stride: 65 }), /a stride .* of 65 would leave out tokens/],
        [() => model.perplexity(text, { context: 7 }), /context must be a whole number from 8/],
        [() => model.perplexity([1, 2, 5000], { context: 8 }), /token 2 is 5000/],
        [() => any.perplexity(5), /the text must be a text or an array of token ids/],
        [() => any.perplexity(text, { windows: 5 }), /has no option "windows"/],
        [() => any.perplexity(text, { onProgress: 5 }), /onProgress must be a function/],
    ]))
        await assert.rejects(run, { name: 'NibbleError', code: 'NB_ERR_ARGUMENT', message });
    await model.dispose();
    for (const file of ['bert', 'gemma-embedding']) {
        const encoder = await load(`${root}tests/fixtures/encoders/${file}.gguf`);
        await assert.rejects(encoder.perplexity(text, { context: 8 }), {
            code: 'NB_ERR_UNSUPPORTED',
            message: /is not causal/,
        });
        await encoder.dispose();
    }
    const header = await load(models.tiny, { headerOnly: true });
    await assert.rejects(header.perplexity(text), { code: 'NB_ERR_STATE' });
    await header.dispose();
});

test('the command prints it, as a line or as JSON', () => {
    const file = join(folder, 'text.txt'),
        cli = [`${root}web/cli.js`, 'perplexity', models.tiny, '--file', file, '--context', '128'];
    writeFileSync(file, `\ufeff${text}`);
    const line = execFileSync(process.execPath, cli, { encoding: 'utf8' });
    assert.match(line, /^perplexity 85\.\d{4} \+\/- 16\.5\d{3} \(252 tokens scored, in 4 windows of 128\)\n$/);
    const result = JSON.parse(execFileSync(process.execPath, [...cli, '--json'], { encoding: 'utf8' }));
    assert.ok(Math.abs(result.perplexity / cases.tiny.perplexity - 1) < 0.003, String(result.perplexity));
    const { status, stderr } = spawnSync(process.execPath, [...cli.slice(0, 4), join(folder, 'none.txt')], {
        encoding: 'utf8',
    });
    assert.deepEqual([status, /--file: cannot read .*none\.txt: there is no such/.test(stderr)], [1, true], stderr);
    const other = spawnSync(process.execPath, [...cli.slice(0, 4), models.tiny], { encoding: 'utf8' });
    assert.deepEqual([other.status, /--file: .* is not a text in UTF-8/.test(other.stderr)], [2, true], other.stderr);
});
