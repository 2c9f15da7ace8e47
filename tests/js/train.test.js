// train(): what it learns, that the same seed always gives the same bits, and what it refuses.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { load, quantize, train } from '../../web/index.js';
import { checksum, logarithm, Random } from '../../web/random.js';
import { DataOrder } from '../../web/worker/data-order.js';
import { readCheckpoint, writeCheckpoint } from '../../web/worker/train-checkpoint.js';
import { models, root } from '../support/builds.js';
import { littleMemory } from '../support/little-memory.js';
import { entropy, run, whole } from '../support/train-run.js';

/** @typedef {import('../../web/index.js').TrainOptions} TrainOptions */
/** @typedef {Parameters<typeof train>[0]} TrainSource */

const fixtures = `${root}tests/fixtures/`,
    small = `${fixtures}safetensors/llama-f32`,
    text = readFileSync(`${root}LICENSE`, 'utf8').repeat(2);

/** Options of a short run: batches in parts of two sizes, and more than one pass over the text. */
const SHORT = { data: text.slice(0, 600), steps: 5, batch: 5, length: 32, part: 2, rate: 0.01, warmup: 1, seed: 7 };

test('the random numbers are those of the reference implementations', () => {
    const random = new Random(0, 0);
    random.state.set([1, 2, 3, 4]);
    // xoshiro128starstar.c 1.1; the numbers are from the tests of rand_xoshiro
    const expected = [
        11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ];
    assert.deepEqual(
        expected.map(() => random.next()),
        expected,
    );
    // MurmurHash3_x86_32 of "test" and of "", seed 0
    assert.equal(checksum(new Uint32Array(new TextEncoder().encode('test').buffer)), 0xba6bd213);
    assert.equal(checksum(new Uint32Array(0)), 0);
    for (const x of [1e-300, 1e-9, 0.3, 0.6, 1, 1.5, 2, 12345.678])
        assert.ok(Math.abs(logarithm(x) - Math.log(x)) <= 4e-16 * Math.max(1, Math.abs(Math.log(x))), String(x));
    const numbers = Array.from({ length: 20000 }, () => random.normal()),
        mean = (/** @type {(x: number) => number} */ f) => numbers.reduce((sum, x) => sum + f(x), 0) / numbers.length;
    assert.ok(Math.abs(mean((x) => x)) < 0.03 && Math.abs(mean((x) => x * x) - 1) < 0.05);
    assert.ok(Math.abs(mean((x) => x ** 4) - 3) < 0.3, 'the kurtosis is that of a normal distribution');
});

test('each window comes once before any comes again, in an order of the seed', () => {
    const tokens = Int32Array.from({ length: 101 }, (_, i) => i),
        orderOf = (/** @type {number} */ seed) => {
            const order = new DataOrder(tokens, 10, 4, 0.2, seed);
            return Array.from({ length: 24 }, (_, i) => order.window(i));
        };
    const all = orderOf(3),
        rounds = [0, 1, 2].map((i) => all.slice(8 * i, 8 * i + 8));
    for (const round of rounds)
        assert.deepEqual(
            [...round].sort((a, b) => a - b),
            [0, 1, 2, 3, 4, 5, 6, 7],
        );
    assert.notDeepEqual(rounds[0], rounds[1]);
    assert.notDeepEqual(all, orderOf(4));
    assert.deepEqual(all, orderOf(3));
    const order = new DataOrder(tokens, 10, 4, 0.2, 3);
    assert.equal(order.window(20), all[20], 'it can begin anywhere');
    assert.deepEqual(Array.from(order.heldOutSequences(1, 1).targets), [91, 92, 93, 94, 95, 96, 97, 98, 99, 100]);
});

for (const [name, source] of /** @type {[string, TrainSource][]} */ ([
    ['a folder', small],
    ['a quantized GGUF', `${fixtures}models/type-q2_k.gguf`],
    ['a folder whose weights were quantized', `${fixtures}safetensors/gptq`],
    ['a GGUF with an output matrix of its own', `${fixtures}models/separate-output.gguf`],
    ['a GGUF that is written in several pieces', models.tiny],
    ['bytes', readFileSync(`${fixtures}models/type-f16.gguf`)],
    ['a new model', newSource({})],
]))
    test(`${name}: the losses are those of the engine before and after, and the model learns`, async () => {
        const one = await load(typeof source === 'string' || source instanceof Uint8Array ? source : small);
        const tokens = (await one.tokenize(text)).slice(0, 161);
        await one.dispose();
        const options = {
            data: tokens,
            length: 32,
            batch: 1,
            steps: 20,
            rate: 0.01,
            validation: 0.2,
            validateEvery: 1,
        };
        const before = await run(source, { ...options, rate: 0, decay: 0, steps: 1 });
        const after = await run(source, options);
        assert.deepEqual([after.info.sequences, after.info.heldOut, after.info.tokens], [4, 1, 161]);
        const last = after.steps[19];
        assert.ok(last.loss < after.losses[0] - 0.5, `${after.losses[0]} became ${last.loss}`);
        for (const { model, steps } of [before, after]) {
            const told = steps[steps.length - 1].validationLoss ?? Number.NaN,
                expected = await entropy(model, tokens.slice(128));
            assert.ok(Math.abs(told - expected) < 1e-4 * expected, `${told}, and by the engine ${expected}`);
        }
        if (!isNew(source))
            // with a rate of 0 nothing changes, so this is the source as quantize() converts it
            assert.ok(before.model.equals(await whole(quantize(source, { type: 'f32', requantize: true }))));
    });

/** @param {TrainSource} source @returns {source is import('../../web/index.js').NewModel} */
function isNew(source) {
    return typeof source === 'object' && 'config' in source;
}

/** @param {object} changes of the config */
function newSource(changes) {
    return {
        config: {
            ...{ hidden_size: 32, intermediate_size: 64, num_hidden_layers: 8, num_attention_heads: 4 },
            ...{ num_key_value_heads: 2, tie_word_embeddings: false, max_position_embeddings: 64, rms_norm_eps: 1e-5 },
            ...changes,
        },
        tokenizer: ['tokenizer.json', 'tokenizer_config.json'].map((name) => `${small}/${name}`),
    };
}

test("folders: loss, gradient and learning rate of each step are PyTorch's", async () => {
    const { options, cases } = JSON.parse(readFileSync(`${fixtures}train/folder.json`, 'utf8'));
    for (const { folder, tokens, losses, norms, rates } of cases) {
        const { steps } = await run(fixtures + folder, { ...options, data: tokens, part: 3 });
        assert.equal(steps.length, losses.length);
        for (const [i, { loss, norm, rate }] of steps.entries()) {
            assert.ok(Math.abs(loss - losses[i]) < 1e-4 * losses[i], `${folder}, step ${i}: ${loss} and ${losses[i]}`);
            assert.ok(Math.abs(norm - norms[i]) < 1e-3 * norms[i], `${folder}, step ${i}: ${norm} and ${norms[i]}`);
            assert.ok(Math.abs(rate - rates[i]) < 1e-6 * rates[i], `${folder}, step ${i}: ${rate} and ${rates[i]}`);
        }
    }
});

test('a new model: the distribution of its weights', async () => {
    const { model } = await run(newSource({}), { ...SHORT, steps: 1, warmup: 0, rate: 0, decay: 0 });
    const loaded = await load(model, { headerOnly: true }),
        { tensors } = loaded.info;
    await loaded.dispose();
    assert.equal(tensors.length, 3 + 9 * 8);
    let at = model.length - tensors.reduce((sum, { bytes }) => sum + bytes, 0); // no tensor needs padding
    for (const { name, shape, bytes } of tensors) {
        const weights = new Float32Array(model.buffer.slice(model.byteOffset + at, model.byteOffset + at + bytes));
        at += bytes;
        const mean = weights.reduce((sum, x) => sum + x, 0) / weights.length,
            deviation = Math.sqrt(weights.reduce((sum, x) => sum + (x - mean) ** 2, 0) / weights.length);
        const wanted = shape.length < 2 ? 0 : /attn_output|ffn_down/.test(name) ? 0.02 / Math.sqrt(16) : 0.02;
        assert.ok(Math.abs(deviation - wanted) <= 0.1 * wanted, `${name}: ${deviation}`);
        assert.ok(Math.abs(mean - (wanted === 0 ? 1 : 0)) < 0.003, `${name}: ${mean}`);
    }
});

test('the time that is left includes measuring the held-out text', async () => {
    const { info, steps } = await run(small, { ...SHORT, data: text, validation: 0.5, validateEvery: 2 }),
        tokens = info.batch * info.length;
    for (const [i, { tokensPerSecond, secondsLeft }] of steps.entries()) {
        const learning = ((info.steps - i - 1) * tokens) / tokensPerSecond;
        assert.ok(
            i === info.steps - 1 ? secondsLeft === 0 : secondsLeft > 1.1 * learning,
            `${secondsLeft}, ${learning}`,
        );
    }
});

test('one thread and two give the same bits', async () => {
    const [one, two] = [await run(small, { ...SHORT, threads: 1 }), await run(small, { ...SHORT, threads: 2 })];
    assert.deepEqual([one.info.threads, two.info.threads], [1, 2]);
    assert.ok(one.model.equals(two.model));
    assert.deepEqual(one.losses, two.losses);
    const other = await run(small, { ...SHORT, seed: 8 });
    assert.notDeepEqual(other.losses, one.losses);
    const atOnce = await run(small, { ...SHORT, part: 5 });
    for (const [i, loss] of atOnce.losses.entries())
        assert.ok(Math.abs(loss - one.losses[i]) < 1e-4, `step ${i}: ${loss} and ${one.losses[i]}`);
});

test('if memory is short, parts of a batch are smaller, unless the option sets their size', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'nibble-little-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const wasmUrl = littleMemory(join(folder, 'wasm'), { train: 4 << 20 }),
        options = { data: text, steps: 2, batch: 32, length: 64, rate: 0.01, threads: 1 };
    const [free, little] = [await run(small, options), await run(small, { ...options, wasmUrl })];
    assert.equal(free.info.part, 32);
    assert.ok(little.info.part < 32 && little.info.part > 1, `a part is ${little.info.part} sequences`);
    for (const [i, loss] of little.losses.entries()) assert.ok(Math.abs(loss - free.losses[i]) < 1e-4, `step ${i}`);
    await assert.rejects(train(small, { ...options, wasmUrl, part: 32 }), { code: 'NB_ERR_MEMORY' });
    // a run resumed from a checkpoint keeps the smaller parts, even if there is more memory
    const first = await run(small, { ...options, wasmUrl }, 1),
        second = await run(small, { ...options, checkpoint: first.checkpoint });
    assert.ok(second.model.equals(little.model));
});

/** The facts about steps that a checkpoint has. @param {import('../../web/index.js').TrainStep[]} steps */
const historyOf = (steps) =>
    steps.map(({ step, loss, validationLoss }) => ({
        step,
        loss,
        ...(validationLoss !== undefined && { validationLoss }),
    }));

test('a checkpoint has the losses of all steps, and of the held-out text', async () => {
    const options = { ...SHORT, data: text.slice(0, 1500), validation: 0.2, validateEvery: 2 },
        straight = await run(small, options),
        second = await run(small, { ...options, checkpoint: (await run(small, options, 2)).checkpoint }, 4),
        third = await run(small, { ...options, checkpoint: second.checkpoint });
    assert.deepEqual(third.info.history, historyOf(straight.steps.slice(0, 4)));
    assert.equal(straight.steps.filter(({ validationLoss }) => validationLoss !== undefined).length, 3);
    // a header with wrong or missing facts, and the right checksum
    const broken = (/** @type {(facts: any) => void} */ change) => {
        const { facts, weights, moments } = readCheckpoint(second.checkpoint);
        change(facts);
        return writeCheckpoint(facts, weights, moments);
    };
    for (const change of /** @type {((facts: any) => void)[]} */ ([
        (facts) => facts.losses.pop(),
        (facts) => (facts.losses[1] = '3'),
        (facts) => (facts.losses = undefined),
        (facts) => (facts.heldOut[0] = [9, 1]),
        (facts) => (facts.heldOut[0] = 1),
    ]))
        await assert.rejects(train(small, { ...options, checkpoint: broken(change) }), {
            message: /damaged \(its header cannot be read\)/,
        });
});

test('a run that ends after any step resumes with the same bits', async () => {
    const straight = await run(newSource({ num_hidden_layers: 1 }), SHORT);
    for (let until = 0; until <= SHORT.steps; until++) {
        const first = await run(newSource({ num_hidden_layers: 1 }), SHORT, until),
            second = await run(newSource({ num_hidden_layers: 1 }), {
                ...SHORT,
                checkpoint: first.checkpoint,
                threads: 1,
            });
        assert.equal(second.info.step, until);
        assert.deepEqual(second.info.history, historyOf(first.steps), `after ${until}`);
        assert.deepEqual([...first.losses, ...second.losses], straight.losses, `after ${until}`);
        assert.ok(second.model.equals(straight.model), `after ${until}`);
        assert.deepEqual(second.checkpoint, straight.checkpoint, `after ${until}`);
    }
});

test('AdamW in 8 bits: nearly the same losses, smaller checkpoints, and the same bits after a break', async () => {
    const source = newSource({ hidden_size: 128, intermediate_size: 256, num_hidden_layers: 1 }),
        options = { ...SHORT, steps: 8, rate: 0.002 },
        exact = await run(source, options),
        eight = /** @type {TrainOptions} */ ({ ...options, optimizerBits: 8 }),
        straight = await run(source, eight),
        first = await run(source, { ...eight, threads: 2 }, 3),
        second = await run(source, { ...eight, threads: 1, checkpoint: first.checkpoint });
    for (const [i, loss] of straight.losses.entries())
        assert.ok(Math.abs(loss / exact.losses[i] - 1) < 0.002, `step ${i}: ${loss} and ${exact.losses[i]}`);
    assert.notDeepEqual(straight.losses, exact.losses);
    assert.deepEqual([...first.losses, ...second.losses], straight.losses);
    assert.ok(second.model.equals(straight.model));
    assert.deepEqual(second.checkpoint, straight.checkpoint);
    // except for norms and the embedding (263 x 128), each weight has 2 bytes instead of 8, and each 256 a scale of 4
    // bytes
    const small = straight.info.parameters - 3 * 128 - 263 * 128,
        saved = exact.checkpoint.length - straight.checkpoint.length;
    assert.ok(Math.abs(saved - small * (8 - 2 - 8 / 256)) < 256, `${saved} bytes are saved`);
    await assert.rejects(train(source, { ...options, checkpoint: straight.checkpoint }), {
        message: /of a training whose optimizerBits was 8, and now it is 32/,
    });
    await assert.rejects(train(source, { ...options, optimizerBits: /** @type {any} */ (16) }), {
        code: 'NB_ERR_ARGUMENT',
        message: /optimizerBits \(--optimizer-bits\) must be 8 or 32, not 16/,
    });
});

test('checkpoints of another run, or damaged ones, are refused', async () => {
    const { checkpoint } = await run(small, SHORT, 1);
    const refused = (
        /** @type {RegExp} */ message,
        /** @type {Uint8Array} */ bytes,
        /** @type {Partial<TrainOptions>} */ changes = {},
        /** @type {TrainSource} */ source = small,
    ) => assert.rejects(train(source, { ...SHORT, ...changes, checkpoint: bytes }), { name: 'NibbleError', message });
    await refused(/of another model \(its vocabulary is 263\)/, checkpoint, {}, models.tiny);
    await refused(
        /of another model: the weights/,
        checkpoint,
        {},
        newSource({ num_hidden_layers: 1, tie_word_embeddings: true }),
    );
    await refused(/of another text, which has/, checkpoint, { data: text.slice(1, 601) });
    await refused(/whose rate was 0.01, and now it is 0.02/, checkpoint, { rate: 0.02, lastRate: 0.001 });
    await refused(/whose steps was 5, and now it is 6/, checkpoint, { steps: 6 });
    await refused(/whose seed was 7/, checkpoint, { seed: 8 });
    await refused(/whose part was 2/, checkpoint, { part: 5 });
    await refused(/not one of a training by nibble/, new Uint8Array(40));
    await refused(/not one of a training by nibble/, checkpoint.slice(0, 7));
    await refused(/damaged \(it was cut off\)/, checkpoint.slice(0, 15 + 6));
    for (const at of [20, 700, checkpoint.length - 3000, checkpoint.length - 1]) {
        const bytes = checkpoint.slice();
        bytes[at] ^= 4;
        await refused(/damaged \(its checksum is another one\)/, bytes);
    }
    for (const length of [24, 400, checkpoint.length - 4, checkpoint.length - 1])
        await refused(/damaged/, checkpoint.slice(0, length));
    const later = checkpoint.slice();
    later[8] = 4;
    await refused(/version 4 of the format, and this nibble reads version 3: go on with/, later);
});

test('what cannot be trained is refused by name', async () => {
    for (const [name, what] of /** @type {[string, RegExp][]} */ ([
        ['biases', /biases \(blk\.0\.attn_q\.bias\)/],
        ['qwen2', /biases \(blk\.0\.attn_q\.bias\)/],
        ['qwen3', /norms of queries and keys \(blk\.0\.attn_q_norm\.weight\)/],
        ['mixtral', /experts/],
        ['rope-llama3', /scaled rotary positions/],
        ['rope-linear', /scaled rotary positions \(linear\)/],
        ['rope-yarn', /scaled rotary positions \(yarn\)/],
        ['granite', /the architecture granite/],
        ['phi3', /layers that are not as Llama's/],
        ['sliding-window', /a window of 12 tokens, .* take length \(--length\) 12$/],
    ]))
        await assert.rejects(train(`${fixtures}models/${name}.gguf`, SHORT), {
            code: 'NB_ERR_UNSUPPORTED',
            message: what,
        });
    await assert.rejects(train(`${fixtures}safetensors/gptq-desc-act`, SHORT), /columns in another order/);
});

test('a text that is too short, invalid tokens, and other wrong arguments', async () => {
    for (const [options, message] of /** @type {[any, RegExp][]} */ ([
        [{ data: 'a' }, /data \(--data\) has 1 tokens, which is 0 sequences of 32, and a batch is 5/],
        [{ data: text.slice(0, 150) }, /which is 4 sequences of 32, and a batch is 5/],
        [{ validation: 0.9 }, /without the \d+ that are held out, and a batch is 5/],
        [{ data: Array(400).fill(263) }, /token 0 is 263; this model's tokens are the numbers 0 to 262/],
        [{ data: [...Array(400).fill(1), -1] }, /array of tokens, which are whole numbers, not -1/],
        [{ data: [1, 2.5] }, /whole numbers, not 2.5/],
        [{ data: undefined }, /data must be a text/],
        [{ data: [] }, /data must be a text/],
        [{ length: 256 }, /a length \(--length\) of 256 is larger than the model's own context, which is 128/],
        [{ steps: 10, warmup: 10 }, /a warm-up of 10 steps leaves nothing of 10/],
        [{ rate: -1 }, /rate must be a number from 0/],
        [{ stepps: 1 }, /did you mean "steps"/],
        [{ checkpoint: 'file' }, /checkpoint must be the bytes/],
    ]))
        await assert.rejects(train(small, { ...SHORT, ...options }), { code: 'NB_ERR_ARGUMENT', message });
    for (const [source, message] of /** @type {[any, RegExp][]} */ ([
        [new ReadableStream(), /can be read only once/],
        [newSource({ hidden_size: undefined }), /hidden_size must be a whole number .*, not absent/],
        [newSource({ model_type: 'qwen3' }), /new models are of the type "llama"/],
        [
            newSource({ num_hidden_layers: 1 << 24 }),
            /has [\d,]{15,} parameters, and memory has room for less than 268,435,456/,
        ],
        [newSource({ hidden_size: 20000, intermediate_size: 60000 }), /take smaller ones/],
        [newSource({ vocab_size: 262 }), /vocab_size is 262, and the tokenizer has 263 tokens: leave vocab_size out/],
        [newSource({ attention_bias: true }), /attention_bias: a model with biases/],
        [{ config: {}, tokenizer: [] }, /there must be a tokenizer/],
        [{ ...newSource({}), tokenizer: [`${small}/none.json`] }, /vocab_size must be .* not absent|none\.json/],
    ]))
        await assert.rejects(train(source, SHORT), message);
});

test('a rate that diverges ends the run; the error names the step, and the last checkpoint is good', async () => {
    const options = { ...SHORT, rate: 1e5, lastRate: 1e5, warmup: 0, clip: 0 };
    const training = await train(small, options),
        good = await training.checkpoint();
    let told = 0;
    await assert.rejects(
        async () => {
            for await (const { step } of training) told = step;
        },
        (/** @type {Error} */ error) => {
            assert.match(error.message, new RegExp(`not finite after ${told} steps`));
            return true;
        },
    );
    assert.ok(told < SHORT.steps);
    await assert.rejects(training.checkpoint(), /not finite/, 'no checkpoint is made of such weights');
    await training.dispose();
    const again = await train(small, { ...options, checkpoint: good });
    assert.equal(again.step, 0);
    await again.dispose();
});

test('a model that is not read blocks later requests; cancelling it unblocks them', async () => {
    const large = newSource({ hidden_size: 128, intermediate_size: 512 }), // 8 MB
        training = await train(large, SHORT),
        reader = training.model().getReader();
    assert.equal((await reader.read()).value?.length, 1 << 20);
    const checkpoint = training.checkpoint();
    assert.ok((await Promise.race([checkpoint, setTimeout(200, 'waits')])) === 'waits', 'it did not wait');
    await reader.cancel();
    assert.ok((await checkpoint) instanceof Uint8Array);
    assert.ok((await whole(training.model())).length > 7 << 20);
    await training.dispose();
});

test('an abort ends it at once; later calls say that it is over', async () => {
    const controller = new AbortController(),
        reason = new Error('enough'),
        training = await train(small, { ...SHORT, signal: controller.signal });
    await assert.rejects(async () => {
        for await (const { step } of training) if (step === 2) controller.abort(reason);
    }, reason);
    await assert.rejects(training.checkpoint(), reason);
    const aborted = AbortSignal.abort(reason);
    await assert.rejects(train(small, { ...SHORT, signal: aborted }), reason);
    const other = await train(small, SHORT);
    await other.dispose();
    await assert.rejects(other.checkpoint(), /disposed/);
});
