// quantize --method autoround: the file loads, and its logits are nearer to the exact ones than after rounding to
// nearest; the bytes are the same for any number of threads, and for a run that was interrupted; a budget chooses types
// that AutoRound can make; nibble computes with the codes of a folder; and what is not supported is refused by name.
// (tests/core/test_auto_round.c compares the arithmetic with the library's.)
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { load, quantize, quantizeFolder } from '../../web/index.js';
import { models, root } from '../support/builds.js';
import { fromCompressed, fromGptq, logits, makeFolder, tensorsOf, writeTensors } from '../support/folders.js';
import { logitsOf, maxDistance } from '../support/vectors.js';

/** @typedef {import('../../web/index.js').QuantizeOptions} QuantizeOptions */
/** @typedef {import('../../web/index.js').QuantizeFolderOptions} QuantizeFolderOptions */

const temporary = mkdtempSync(join(tmpdir(), 'nibble-'));
after(() => rmSync(temporary, { recursive: true }));

const text = 'Once upon a time there was a little girl. She liked to play with her dog in the park. '.repeat(30);
/** @type {QuantizeOptions} */
const OPTIONS = {
    ...{ type: 'q4_0', requantize: true, method: 'autoround', calibration: text },
    ...{ context: 32, samples: 4, steps: 12, threads: 1 },
};

/** @param {Partial<QuantizeOptions>} options @param {import('../../web/index.js').Source} source */
const made = async (options = {}, source = models.tiny) =>
    new Uint8Array(await new Response(quantize(source, { ...OPTIONS, ...options })).arrayBuffer());

const hash = (/** @type {Uint8Array} */ bytes) => createHash('sha256').update(bytes).digest('hex');

/** The logits of the beginning of the text. @param {Uint8Array | string} source */
async function logitsFor(source) {
    const model = await load(source, { threads: 1 });
    try {
        return await logitsOf(model, (await model.tokenize(text)).slice(0, 48));
    } finally {
        await model.dispose();
    }
}

/** The mean squared distance. @param {Float32Array[]} a @param {Float32Array[]} b */
function distance(a, b) {
    const squares = a.flatMap((row, i) => [...row].map((x, k) => (x - b[i][k]) ** 2));
    return squares.reduce((sum, x) => sum + x, 0) / squares.length;
}

test('logits are nearer to the exact ones than after rounding to nearest; the same bytes for any threads', async () => {
    const [one, two, nearest] = [
        await made(),
        await made({ threads: 2 }),
        await made({ method: 'rtn', calibration: undefined, context: undefined, samples: undefined, steps: undefined }),
    ];
    assert.equal(hash(two), hash(one));
    assert.equal(one.length, nearest.length);
    const plain = await logitsFor(models.tiny),
        [rounded, learned] = [distance(await logitsFor(nearest), plain), distance(await logitsFor(one), plain)];
    assert.ok(learned < 0.7 * rounded, `to nearest ${rounded}, by AutoRound ${learned}`);
    assert.notEqual(hash(await made({ steps: 3 })), hash(one));
});

test('K-quants keep their scales', async () => {
    const source = `${root}tests/fixtures/models/type-q4_k.gguf`,
        calibration = 'abcdefghij klmno pqrst uvwxyz 0123456789 ABCDEF. '.repeat(20);
    for (const type of /** @type {const} */ (['q2_k', 'q4_k_m', 'q6_k'])) {
        const bytes = await made({ type, calibration, samples: 2 }, source),
            model = await load(bytes, { threads: 1 });
        assert.ok(Number.isFinite((await model.perplexity(calibration, { context: 32 })).perplexity), type);
        await model.dispose();
        assert.notEqual(hash(await made({ type, calibration, samples: 2, search: 'best' }, source)), hash(bytes), type);
    }
});

test('a run that was interrupted goes on, with the same bytes', async () => {
    const resume = join(temporary, 'side.part'),
        more = { samples: 9, steps: 8 }, // a step uses 8 of the windows, so the choice of windows matters
        controller = new AbortController(),
        reason = new Error('enough');
    const interrupted = made({
        ...more,
        resume,
        signal: controller.signal,
        onProgress({ calibration }) {
            if (calibration?.stage === 'quantize' && calibration.layer === 2) controller.abort(reason);
        },
    });
    await assert.rejects(interrupted, reason);
    /** @type {Set<number>} */
    const rounded = new Set();
    const bytes = await made({
        ...more,
        resume,
        onProgress({ calibration }) {
            if (calibration?.stage === 'quantize') rounded.add(calibration.layer);
        },
    });
    assert.deepEqual([...rounded], [2, 3, 4, 5]);
    assert.equal(hash(bytes), hash(await made(more)));
    await assert.rejects(made({ ...more, resume, steps: 9 }), /steps/);
});

test('a layer that keeps floats takes no steps', async () => {
    /** @type {Set<number>} */
    const rounded = new Set();
    await made({
        ...{ tensors: [['blk\\.[0-3]\\.', 'f16']], steps: 1, samples: 1 },
        onProgress({ calibration }) {
            if (calibration?.stage === 'quantize') rounded.add(calibration.layer);
        },
    });
    assert.deepEqual([...rounded], [4, 5]);
});

test('a budget chooses only types that AutoRound can make', async () => {
    for (const [bits, source] of /** @type {const} */ ([
        [5.25, models.tiny],
        [6, `${root}tests/fixtures/models/type-q4_k.gguf`],
    ])) {
        /** @type {import('../../web/index.js').PlannedTensor[]} */
        let plan = [];
        const calibration = source === models.tiny ? text : 'abcdefghij klmno pqrst uvwxyz 0123456789. '.repeat(20),
            budget = { type: undefined, bits, calibration, samples: 2, steps: 1 };
        await made({ ...budget, onPlan: (tensors) => (plan = tensors) }, source);
        const types = new Set(plan.filter(({ name }) => name.startsWith('blk.')).map(({ type }) => type));
        assert.ok(types.size > 1 && ![...types].some((type) => type.startsWith('iq')), [...types].join());
    }
});

/** @param {string} source @param {string} out @param {QuantizeFolderOptions} options */
async function makeQuantized(source, out, options) {
    mkdirSync(out);
    for await (const { name, stream } of quantizeFolder(source, options))
        writeFileSync(join(out, name), new Uint8Array(await new Response(/** @type {any} */ (stream)).arrayBuffer()));
}

test('folders: nibble computes with the dequantized codes', async () => {
    const source = join(temporary, 'llama');
    makeFolder('llama-f32', source, { hidden_size: 64, head_dim: 16 }, { 32: 64, 16: 32 });
    const small = { method: /** @type {const} */ ('autoround'), calibration: text, context: 16, samples: 3, steps: 4 };
    for (const [i, options] of /** @type {QuantizeFolderOptions[]} */ ([
        { format: 'gptq', bits: 4, group: 32 },
        { format: 'gptq', bits: 2, group: 0, symmetric: false },
        { format: 'compressed-tensors', bits: 8, group: 32, symmetric: false },
    ]).entries()) {
        const out = join(temporary, String(i)),
            plain = `${out}-plain`,
            isCompressed = options.format === 'compressed-tensors',
            part = isCompressed ? '.weight_packed' : '.qweight';
        await makeQuantized(source, out, { ...small, ...options, threads: 1 });
        const tensors = tensorsOf(out),
            weights = new Map(tensorsOf(source)),
            modules = [...tensors.keys()]
                .filter((name) => name.endsWith(part))
                .map((name) => name.slice(0, -part.length));
        assert.ok(modules.length >= 7);
        for (const module of modules) {
            const values = isCompressed
                    ? fromCompressed(tensors, module, options.bits ?? 4)
                    : fromGptq(tensors, module, options.bits ?? 4, true),
                tensor = weights.get(`${module}.weight`);
            weights.set(`${module}.weight`, {
                dtype: 'F32',
                shape: tensor?.shape ?? [],
                bytes: Buffer.from(values.buffer, values.byteOffset, values.byteLength),
            });
        }
        mkdirSync(plain);
        for (const name of readdirSync(source).filter((name) => name.endsWith('.json')))
            writeFileSync(join(plain, name), readFileSync(join(source, name)));
        writeTensors(join(plain, 'model.safetensors'), weights);
        const [coded, expected] = [await logits(out), await logits(plain)],
            largest = Math.max(...expected.flatMap((row) => [...row]).map(Math.abs));
        for (const [row, numbers] of coded.entries())
            assert.ok(maxDistance(numbers, expected[row]) < 2e-3 * largest, `${options.format}, row ${row}`);
    }
});

test('an overflow is an error that names the layer', async () => {
    const source = join(temporary, 'overflow');
    makeFolder('llama-f32', source, { hidden_size: 64, head_dim: 16 }, { 32: 64, 16: 32 });
    const tensors = tensorsOf(source),
        name = 'model.layers.0.mlp.down_proj.weight',
        tensor = /** @type {import('../support/folders.js').Tensor} */ (tensors.get(name)),
        large = Buffer.alloc(tensor.bytes.length);
    for (let i = 0; i < large.length; i += 2) large.writeUInt16LE(0x7f00, i); // 1.7e38 in BF16
    tensors.set(name, { ...tensor, bytes: large });
    writeTensors(join(source, 'model.safetensors'), tensors);
    await assert.rejects(made({ context: 16 }, source), /layer 0: what the layer puts out is not finite in window 0/);
});

test('what AutoRound does not support is refused by name', async () => {
    const fixture = (/** @type {string} */ name) => `${root}tests/fixtures/models/${name}.gguf`;
    for (const [source, options, said] of /** @type {[string, object, RegExp][]} */ ([
        [fixture('gpt2'), {}, /autoround goes backward through layers, and .*Method gptq takes such models/],
        [fixture('mixtral'), {}, /autoround .*experts/],
        [models.tiny, { type: 'iq4_nl' }, /autoround does not round to iq4_nl \(blk\.0\..*\): take method gptq/],
        [
            models.tiny,
            { search: 'best' },
            /search \(--search\) best chooses scales, which .* autoround learns for q4_0/,
        ],
        [models.tiny, { damping: 0.1 }, /damping \(--damping\) is for GPTQ/],
        [models.tiny, { clip: false }, /clip \(--no-clip\) is for AWQ/],
        [models.tiny, { trueSequential: false }, /trueSequential \(--no-true-sequential\) is for GPTQ and AWQ/],
        [models.tiny, { method: 'gptq' }, /steps \(--steps\) is for AutoRound/],
        [models.tiny, { steps: 0 }, /steps must be a whole number/],
        [models.tiny, { calibration: undefined }, /autoround needs a calibration text/],
    ]))
        await assert.rejects(made(/** @type {any} */ (options), source), said);
    const windowed = join(temporary, 'windowed');
    makeFolder('llama-f32', windowed, { model_type: 'mistral', sliding_window: 8 }, {});
    await assert.rejects(
        made({ context: 16 }, windowed),
        /a window of 8 tokens, and sequences are longer: take context \(--context\) 8\. Method gptq takes/,
    );
    await assert.rejects(
        makeQuantized('none', join(temporary, 'none'), {
            ...{ method: 'autoround', calibration: text, format: 'gptq', search: 'best' },
        }),
        /search \(--search\) best chooses scales, which method \(--method\) autoround learns/,
    );
});
