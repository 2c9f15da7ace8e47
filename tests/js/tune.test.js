// tune(): the divergence from the teacher falls, the file keeps its types and size, and what is refused.
// (tests/core/test_tuning.c checks that the blocks have exactly the trained weights.)
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { compare, load, quantize, train, tune } from '../../web/index.js';
import { root } from '../support/builds.js';

const folder = mkdtempSync(join(tmpdir(), 'nibble-tune-')),
    at = (/** @type {string} */ name) => join(folder, name),
    license = readFileSync(`${root}tests/fixtures/formats/gguf-keys.txt`, 'utf8'),
    text = license.slice(0, license.length / 2),
    other = license.slice(license.length / 2),
    tokenizer = ['tokenizer.json', 'tokenizer_config.json'].map(
        (name) => `${root}tests/fixtures/safetensors/llama-f32/${name}`,
    );
after(() => rmSync(folder, { recursive: true }));

const CONFIG = {
    ...{
        hidden_size: 256,
        intermediate_size: 256,
        num_hidden_layers: 1,
        num_attention_heads: 4,
        num_key_value_heads: 2,
    },
    ...{ tie_word_embeddings: true, max_position_embeddings: 64, rms_norm_eps: 1e-5 },
};
const OPTIONS = { teacher: at('base.gguf'), data: text, steps: 20, batch: 4, length: 32, rate: 0.002, seed: 3 };

/** The bytes of a stream. @param {any} stream */
const whole = async (stream) => Buffer.from(await new Response(stream).arrayBuffer());

/**
 * @param {string} source
 * @param {import('../../web/index.js').TuneOptions} options
 * @param {number} [until] steps
 */
async function tuned(source, options, until = Infinity) {
    const tuning = await tune(source, options);
    try {
        const losses = [];
        if (tuning.step < until)
            for await (const { step, loss } of tuning) {
                losses.push(loss);
                if (step === until) break;
            }
        return { losses, checkpoint: await tuning.checkpoint(), model: await whole(tuning.model()) };
    } finally {
        await tuning.dispose();
    }
}

before(async () => {
    const training = await train(
        { config: CONFIG, tokenizer },
        { data: license, steps: 60, batch: 8, length: 32, rate: 0.003, seed: 1 },
    );
    for await (const _ of training);
    writeFileSync(at('base.gguf'), await whole(training.model()));
    await training.dispose();
    for (const type of /** @type {const} */ (['q2_k', 'q4_0']))
        writeFileSync(at(`${type}.gguf`), await whole(quantize(at('base.gguf'), { type })));
});

for (const type of ['q2_k', 'q4_0'])
    test(`${type}: the divergence falls on another text, and types and size are the same`, async () => {
        const source = readFileSync(at(`${type}.gguf`)),
            { model } = await tuned(at(`${type}.gguf`), OPTIONS);
        writeFileSync(at('tuned.gguf'), model);
        assert.equal(model.length, source.length);
        // magic, version, keys and the table of tensors
        const header = source.indexOf('output_norm.weight');
        assert.ok(header > 0 && model.subarray(0, header).equals(source.subarray(0, header)), 'another header');
        const { models: both } = await compare([at('base.gguf'), at(`${type}.gguf`), at('tuned.gguf')], {
            text: other,
            context: 64,
            speed: false,
        });
        const [was, is] = both.map(({ divergence }) => divergence.mean);
        assert.ok(is < 0.8 * was, `the divergence was ${was}, and is ${is}`);
    });

test('a learning rate of 0 writes the bytes that were read', async () => {
    const { model } = await tuned(at('q2_k.gguf'), { ...OPTIONS, rate: 0, steps: 2 });
    assert.ok(model.equals(readFileSync(at('q2_k.gguf'))));
});

test('a run resumes with the same bits, also with other threads, but not with another teacher', async () => {
    const short = { ...OPTIONS, steps: 6 },
        straight = await tuned(at('q4_0.gguf'), { ...short, threads: 1 }),
        { checkpoint } = await tuned(at('q4_0.gguf'), { ...short, threads: 2 }, 3),
        resumed = await tuned(at('q4_0.gguf'), { ...short, threads: 2, checkpoint });
    assert.deepEqual(resumed.losses, straight.losses.slice(3));
    assert.ok(resumed.model.equals(straight.model));
    await assert.rejects(tuned(at('q4_0.gguf'), { ...short, teacher: at('q2_k.gguf'), checkpoint }), {
        message: /of a training by another teacher \(--teacher\)/,
    });
});

test('the command: a file of the same size, and its last line', () => {
    writeFileSync(at('text.txt'), text);
    const args = [
            '--data',
            at('text.txt'),
            '-o',
            at('out.gguf'),
            '--steps',
            '2',
            '--batch',
            '2',
            '--length',
            '32',
            '--html',
            at('out.html'),
        ],
        command = [`${root}web/cli.js`, 'tune', at('q2_k.gguf'), '--teacher', at('base.gguf'), ...args],
        { status, stdout, stderr } = spawnSync(process.execPath, command, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.match(stdout, /out\.gguf: [\d,]+ parameters, 2 steps, loss 0\.0*[1-9]\d\d, [\d.]+ s\n$/);
    assert.match(readFileSync(at('out.html'), 'utf8'), /The mean divergence from the teacher, in nats/);
    assert.equal(statSync(at('out.gguf')).size, statSync(at('q2_k.gguf')).size);
});

test('a learning rate far too high: the loss rises, and scales stay within what the type can hold', async () => {
    const { losses, model } = await tuned(at('q4_0.gguf'), { ...OPTIONS, rate: 1e6, warmup: 0, clip: 0 });
    assert.ok(losses.every(Number.isFinite) && losses[19] > 10 * losses[0], losses.join(', '));
    const loaded = await load(model); // load() refuses numbers that are not finite
    await loaded.dispose();
});

test('an abort ends it at once, and so does a signal before it begins', async () => {
    const controller = new AbortController(),
        reason = new Error('enough'),
        tuning = await tune(at('q4_0.gguf'), { ...OPTIONS, signal: controller.signal });
    await assert.rejects(async () => {
        for await (const { step } of tuning) if (step === 2) controller.abort(reason);
    }, reason);
    await assert.rejects(tuning.checkpoint(), reason);
    await assert.rejects(tune(at('q4_0.gguf'), { ...OPTIONS, signal: AbortSignal.abort(reason) }), reason);
});

test('what cannot be tuned is refused', async () => {
    const refused = (/** @type {string} */ source, /** @type {object} */ options, /** @type {RegExp} */ message) =>
        assert.rejects(tune(source, { ...OPTIONS, ...options }), { name: 'NibbleError', message });
    await refused(at('base.gguf'), {}, /no tensor of the model has scales that can learn \(its types are f32\)/);
    await refused(at('q4_0.gguf'), { teacher: undefined }, /teacher must be the model that the source was made of/);
    await refused(
        at('q4_0.gguf'),
        { teacher: `${root}tests/fixtures/models/separate-output.gguf` },
        /the teacher \(--teacher\): it has 32 numbers in its residual stream, and the quantized model 256/,
    );
    await refused(at('q4_0.gguf'), { teacher: `${root}LICENSE` }, /^the teacher \(--teacher\): /);
    await refused(`${root}tests/fixtures/models/qwen3.gguf`, {}, /has what training in nibble does not have/);
    await refused(at('q4_0.gguf'), { data: 'too short' }, /take a longer text/);
    await refused(at('q4_0.gguf'), { data: Array(400).fill(263) }, /token 0 is 263; this model's tokens are/);
});
