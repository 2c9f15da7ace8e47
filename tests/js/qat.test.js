// Quantization-aware training: the file has exactly the weights that the last pass computed with; training adapts to
// the rounding; a run resumed from a checkpoint gives the same bits; wrong options are refused.
// (tests/core/test_train_rounding.c compares losses and gradients with PyTorch's.)
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { compare, load, quantize, train } from '../../web/index.js';
import { TRAINED_TYPES } from '../../web/qat-options.js';
import { models, root } from '../support/builds.js';
import { entropy, run, whole } from '../support/train-run.js';

/** @typedef {import('../../web/index.js').QatOptions} QatOptions */
/** @typedef {import('../../web/index.js').QatType} QatType */

const folder = mkdtempSync(join(tmpdir(), 'nibble-qat-')),
    at = (/** @type {string} */ name) => join(folder, name),
    text = readFileSync(`${root}tests/fixtures/formats/gguf-keys.txt`, 'utf8'),
    tokenizer = ['tokenizer.json', 'tokenizer_config.json'].map(
        (name) => `${root}tests/fixtures/safetensors/llama-f32/${name}`,
    );
after(() => rmSync(folder, { recursive: true }));

const CONFIG = {
    ...{ hidden_size: 256, intermediate_size: 256, num_hidden_layers: 1, num_attention_heads: 4 },
    ...{ num_key_value_heads: 2, tie_word_embeddings: true, max_position_embeddings: 64, rms_norm_eps: 1e-5 },
};
const OPTIONS = { data: text, steps: 3, batch: 2, length: 32, rate: 0.001, warmup: 0, seed: 3 };

/** @type {number[]} */
let tokens;

before(async () => {
    const { model } = await run({ config: CONFIG, tokenizer }, { ...OPTIONS, steps: 60, batch: 8, rate: 0.003 });
    writeFileSync(at('base.gguf'), model);
    const loaded = await load(model);
    tokens = (await loaded.tokenize(text)).slice(0, 161);
    await loaded.dispose();
});

/** The types of a GGUF's tensors, by their names. @param {Uint8Array} model */
async function typesOf(model) {
    const loaded = await load(model, { headerOnly: true }),
        { tensors, metadata } = loaded.info;
    await loaded.dispose();
    return { types: Object.fromEntries(tensors.map(({ name, type }) => [name, type.toLowerCase()])), metadata };
}

/** llama.cpp's numbers of file types (llama.h, enum llama_ftype). @type {Record<string, number>} */
const FILE_TYPES = {
    ...{ q4_0: 2, q4_1: 3, q8_0: 7, q5_0: 8, q5_1: 9, q3_k: 11, q4_k: 14, q5_k: 16, q6_k: 18, q2_k: 21, tq2_0: 37 },
    q2_0: 41,
};

for (const type of /** @type {Exclude<QatType, 'f32'>[]} */ (Object.keys(TRAINED_TYPES)))
    test(`${type}: the file has the trainer's weights, and the engine gives the trainer's logits`, async () => {
        const options = { ...OPTIONS, data: tokens, batch: 1, validation: 0.2, validateEvery: 1 };
        const { model, steps } = await run(at('base.gguf'), { ...options, qat: { type } });
        const { types, metadata } = await typesOf(model);
        assert.equal(metadata['general.file_type'], FILE_TYPES[type]);
        for (const [name, found] of Object.entries(types))
            assert.equal(found, /norm/.test(name) ? 'f32' : name === 'token_embd.weight' ? 'q8_0' : type, name);
        const told = steps[2].validationLoss ?? Number.NaN;
        // a pass over the file's weights in F32, with the learning rate 0, gives the same loss to the bit
        const again = await run(model, { ...options, steps: 1, rate: 0, decay: 0 });
        assert.equal(again.steps[0].validationLoss, told);
        const expected = await entropy(model, tokens.slice(128));
        assert.ok(Math.abs(told - expected) < 2e-4 * expected, `${told}, and by the engine ${expected}`);
    });

test('types of single matrices, a scale for each row, and ternary weights as in BitNet b1.58', async () => {
    const { model } = await run(at('base.gguf'), {
        ...OPTIONS,
        qat: { type: 'q4_0', group: 'row', tensors: { ffn_down: 'q6_k', token_embd: 'f32', attn_q: 'f32' } },
    });
    const { types } = await typesOf(model);
    assert.deepEqual(
        ['token_embd', 'blk.0.attn_q', 'blk.0.ffn_down', 'blk.0.attn_k'].map((name) => types[`${name}.weight`]),
        ['f32', 'f32', 'q6_k', 'q4_0'],
    );
    const ternary = await run(at('base.gguf'), { ...OPTIONS, qat: { type: 'tq2_0', scales: 'absmean' } });
    const f32 = await whole(quantize(ternary.model, { type: 'f32', requantize: true })),
        loaded = await load(f32, { headerOnly: true }),
        sizes = loaded.info.tensors.map(({ name, bytes }) => ({ name, bytes }));
    await loaded.dispose();
    let from = f32.length - sizes.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const { name, bytes } of sizes) {
        const weights = new Float32Array(f32.buffer.slice(f32.byteOffset + from, f32.byteOffset + from + bytes));
        from += bytes;
        if (/attn_.\.|ffn_[gud]/.test(name)) assert.equal(new Set(weights).size, 3, `${name}: a scale for all`);
    }
});

test('on another text, quantization-aware training loses less than rounding after training', async () => {
    const half = Math.floor(text.length / 2),
        options = { ...OPTIONS, data: text.slice(0, half), steps: 40, batch: 4, rate: 0.0005, warmup: 4 };
    const plain = await run(at('base.gguf'), options);
    writeFileSync(at('rounded.gguf'), await whole(quantize(plain.model, { type: 'tq2_0' })));
    const aware = await run(at('base.gguf'), { ...options, qat: { type: 'tq2_0' } });
    writeFileSync(at('aware.gguf'), aware.model);
    const taught = await run(at('base.gguf'), { ...options, qat: { type: 'tq2_0' }, teacher: at('base.gguf') });
    writeFileSync(at('taught.gguf'), taught.model);
    assert.ok(taught.losses[39] < 0.7 * taught.losses[0], `the divergence was ${taught.losses[0]}`);
    const all = ['base.gguf', 'rounded.gguf', 'aware.gguf', 'taught.gguf'].map(at),
        found = await compare(all, { text: text.slice(half), context: 64, speed: false }),
        [rounded, trained] = found.models.map(({ perplexity }) => perplexity),
        divergence = found.models[2].divergence.mean;
    assert.ok(trained < rounded, `the perplexity is ${trained}, and of rounding ${rounded}`);
    assert.ok(divergence < 0.5 * found.models[0].divergence.mean, `the divergence is ${divergence}`);
});

test('a run resumes with the same bits, for any number of threads, and only with the same options', async () => {
    /** @type {QatOptions} */
    const qat = { type: 'q4_k', activations: 8, ranges: 'average', asymmetric: true, freezeAfter: 3, gradients: 8 };
    const options = { ...OPTIONS, data: text.slice(0, 4000), steps: 5, batch: 5, part: 2, qat },
        straight = await run(at('base.gguf'), { ...options, threads: 1 });
    for (const until of [0, 2, 4]) {
        const { checkpoint, losses } = await run(at('base.gguf'), { ...options, threads: 2 }, until),
            second = await run(at('base.gguf'), { ...options, threads: 2, checkpoint });
        assert.deepEqual([...losses, ...second.losses], straight.losses, `after ${until}`);
        assert.ok(second.model.equals(straight.model), `after ${until}`);
        assert.deepEqual(second.checkpoint, straight.checkpoint, `after ${until}`);
    }
    const { checkpoint } = straight,
        plain = await run(at('base.gguf'), { ...options, qat: undefined }, 1);
    for (const [given, message, kept = checkpoint] of /** @type {[QatOptions?, RegExp?, Uint8Array?][]} */ ([
        [{ ...qat, type: 'q5_k' }, /of a training whose qat\.type was q4_k, and now it is q5_k/],
        [{ ...qat, gradients: 4 }, /whose qat\.gradients was 8, and now it is 4/],
        [{ ...qat, tensors: { attn: 'q8_0' } }, /whose qat\.tensors was absent, and now it is attn=q8_0/],
        [undefined, /whose qat\.type was q4_k, and now it is absent/],
        [qat, /whose qat\.type was absent, and now it is q4_k/, plain.checkpoint],
    ]))
        await assert.rejects(train(at('base.gguf'), { ...options, qat: given, checkpoint: kept }), { message });
    // the error names the rounding, even if another option differs, too
    await assert.rejects(train(at('base.gguf'), { ...options, steps: 6, qat: undefined, checkpoint }), {
        message: /whose qat\.type was q4_k, and now it is absent/,
    });
});

test('a model that is read between steps is that of the step, and reading it changes nothing', async () => {
    const options = { ...OPTIONS, qat: { tensors: /** @type {const} */ ({ ffn_down: 'q4_0' }) } },
        first = await run(at('base.gguf'), options, 1),
        straight = await run(at('base.gguf'), options),
        training = await train(at('base.gguf'), options),
        models = [];
    for await (const _ of training) models.push(await whole(training.model()));
    await training.dispose();
    assert.ok(models[0].equals(first.model) && models[2].equals(straight.model));
    assert.ok(!models[1].equals(models[2]));
});

test('gradients or activations can be rounded while the weights are not', async () => {
    const [plain, gradients, activations] = await Promise.all(
        [undefined, { gradients: 8 }, { activations: 8 }].map((qat) => run(at('base.gguf'), { ...OPTIONS, qat })),
    );
    assert.equal(plain.losses[0], gradients.losses[0], 'the first pass is the same');
    assert.notEqual(plain.losses[1], gradients.losses[1]);
    assert.notEqual(plain.losses[0], activations.losses[0]);
    for (const { losses, model } of [gradients, activations]) {
        assert.ok(Math.abs(losses[2] / plain.losses[2] - 1) < 0.02, `${losses[2]} and ${plain.losses[2]}`);
        assert.equal(model.length, plain.model.length);
    }
});

test('what cannot be trained is refused', async () => {
    for (const [qat, message] of /** @type {[any, RegExp][]} */ ([
        [{ type: 'q4_k_m' }, /qat: type must be one of q8_0, .*tq2_0, f32, not "q4_k_m"/],
        [{ type: 'q4_0', tensors: { ffn: 'iq4_nl' } }, /"ffn" gets the type "iq4_nl", but it must be one of q8_0,/],
        [{ type: 'q4_0', activations: 9 }, /activations must be a whole number from 2 to 8, not 9/],
        [{ gradients: 1 }, /gradients must be a whole number from 2 to 8, not 1/],
        [{ type: 'q4_0', bits: 4 }, /qat has no option "bits"/],
        [{}, /nothing is rounded: give a type \(--qat\), activations/],
        [
            { type: 'q4_0', ranges: 'average' },
            /ranges \(--qat-ranges\) needs activations \(--qat-activations\) as well/,
        ],
        [{ activations: 8, freezeAfter: 9 }, /freezeAfter .* needs ranges \(--qat-ranges\) average as well/],
        [
            { activations: 8, ranges: 'average', scaleRate: 2 },
            /scaleRate .* needs a type .* or ranges .* learned, as well/,
        ],
        [{ activations: 8, group: 'row' }, /group \(--qat-group\) needs a type \(--qat\) other than f32 as well/],
        [{ type: 'q4_0', scales: 'absmean' }, /absmean is for ternary weights: take the type tq2_0 or q2_0/],
        [{ type: 'q4_k', group: 'row' }, /group \(--qat-group\): q4_k has superblocks, which fix the groups/],
        ['q4_0', /the options must be an object/],
    ]))
        await assert.rejects(train(at('base.gguf'), { ...OPTIONS, qat }), { code: 'NB_ERR_ARGUMENT', message });
    const small = `${root}tests/fixtures/safetensors/llama-f32`;
    await assert.rejects(train(small, { ...OPTIONS, qat: { type: 'q2_k' } }), {
        message: /blk\.0\.attn_q\.weight: its rows of 32 weights are not whole blocks of q2_k, which have 256/i,
    });
    await assert.rejects(train(small, { ...OPTIONS, teacher: `${root}LICENSE` }), { message: /^the teacher/ });
    await assert.rejects(train(small, { ...OPTIONS, teacher: models.tiny }), {
        message: /the teacher \(--teacher\): it has \d+ tokens in its vocabulary, and the model 263: take one with the/,
    });
    for (const pattern of ['ffn_dwon', 'norm', 'blk\\.8'])
        await assert.rejects(
            train(at('base.gguf'), { ...OPTIONS, qat: { tensors: { ffn_up: 'q4_0', [pattern]: 'q8_0' } } }),
            {
                code: 'NB_ERR_ARGUMENT',
                message: new RegExp(
                    `^train\\(\\): tensors \\(--qat-tensor\\): ${JSON.stringify(pattern).replaceAll('\\', '\\\\')} ` +
                        'is found in the name of no matrix\\. .* token_embd\\.w',
                ),
            },
        );
    // a vocabulary of the same size in which two tokens are swapped
    const json = JSON.parse(readFileSync(tokenizer[0], 'utf8')),
        { vocab } = json.model;
    [vocab.e, vocab.t] = [vocab.t, vocab.e];
    const others = [new File([JSON.stringify(json)], 'tokenizer.json'), tokenizer[1]],
        { model } = await run({ config: CONFIG, tokenizer: others }, { ...OPTIONS, steps: 1 });
    await assert.rejects(train(at('base.gguf'), { ...OPTIONS, teacher: model }), {
        message:
            /the teacher \(--teacher\): its token \d+ is "[et]", and the model's is "[et]": take one with the same/,
    });
});

test('the command: the file, the output, and wrong values', () => {
    writeFileSync(at('text.txt'), text);
    const nibble = (/** @type {string[]} */ ...args) =>
        spawnSync(
            process.execPath,
            [
                ...[`${root}web/cli.js`, 'train', '--init', at('base.gguf'), '--data', at('text.txt')],
                ...['-o', at('out.gguf'), '--steps', '2', '--batch', '2', '--length', '32', ...args],
            ],
            { encoding: 'utf8' },
        );
    const { status, stdout, stderr } = nibble(
        ...['--qat', 'Q4_0', '--qat-tensor', 'ffn_down=q5_1', '--qat-activations', '8', '--qat-asymmetric'],
        ...['--qat-gradients', '8', '--teacher', at('base.gguf'), '--html', at('out.html')],
    );
    assert.equal(status, 0, stderr);
    assert.match(stdout, /out\.gguf: [\d,]+ parameters, 2 steps, loss 0\.\d+, [\d.]+ s\n$/);
    assert.match(readFileSync(at('out.html'), 'utf8'), /The mean divergence from the teacher, in nats/);
    assert.ok(statSync(at('out.gguf')).size < statSync(at('base.gguf')).size / 4);
    for (const [args, message] of /** @type {[string[], RegExp][]} */ ([
        [['--qat', 'q4_k_m'], /--qat must be one of q8_0, /],
        [['--qat-activations', '1'], /--qat-activations must be a whole number from 2 to 8, not 1/],
        [['--qat-freeze-after', '9'], /freezeAfter \(--qat-freeze-after\) needs ranges/],
        [['--qat-tensor', 'ffn=iq4_nl'], /"ffn" gets the type "iq4_nl", but it must be one of q8_0/],
    ])) {
        const wrong = nibble('--force', ...args);
        assert.match(wrong.stderr, message);
        assert.equal(wrong.status, 2);
    }
});
