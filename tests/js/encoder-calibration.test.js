// Calibrated quantizing of encoders: each window of the text is a whole text with special tokens; GPTQ's codes are
// GPTQModel's, and AWQ's scales are the formula's (tests/oracles/encoder_calibration.py); files and folders load; AWQ's
// scaling changes no output; and senseless options are refused. (tests/core/test_walk_oracle.c compares the observed
// inputs with transformers'.)
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { load, quantize, quantizeFolder } from '../../web/index.js';
import { root } from '../support/builds.js';
import { fromGptq, makeFolder as makeSource, tensorsOf } from '../support/folders.js';
import { checkScaled } from '../support/scaled.js';
import { cosine } from '../support/vectors.js';

/** @typedef {import('../../web/index.js').QuantizeOptions} QuantizeOptions */
/** @typedef {import('../../web/index.js').QuantizeFolderOptions} QuantizeFolderOptions */

const temporary = mkdtempSync(join(tmpdir(), 'nibble-'));
after(() => rmSync(temporary, { recursive: true }));

const encoders = `${root}tests/fixtures/encoders/`,
    source = `${encoders}calibrated`;
/** @type {{ text: string, context: number, windows: number, damping: number, group: number,
 *     modules: Record<string, { codes: string[], scales: number[][] }>, awq: Record<string, number[]> }} */
const oracle = JSON.parse(readFileSync(`${encoders}calibrated.json`, 'utf8'));
const CALIBRATED = { calibration: oracle.text, context: oracle.context, threads: 1 };

/** @param {string} from @param {QuantizeOptions} options */
const made = async (from, options) =>
    new Uint8Array(await new Response(quantize(from, { threads: 1, ...options })).arrayBuffer());

/** @param {string} name of the folder @param {QuantizeFolderOptions} options */
async function makeFolder(name, options) {
    const folder = join(temporary, name);
    mkdirSync(folder);
    for await (const file of quantizeFolder(source, { threads: 1, ...options }))
        writeFileSync(
            join(folder, file.name),
            new Uint8Array(await new Response(/** @type {any} */ (file.stream)).arrayBuffer()),
        );
    return folder;
}

const TEXTS = ['a leaf fell on the hill', 'good old friend', 'dance back again; bee'];

/** @param {string | Uint8Array} model */
async function embeddings(model) {
    const loaded = await load(model, { threads: 1 });
    try {
        const found = [];
        for (const text of TEXTS) found.push(await loaded.embed(text));
        return found;
    } finally {
        await loaded.dispose();
    }
}

/** The mean of 1 - cosine. @param {Float32Array[]} a @param {Float32Array[]} b */
const distance = (a, b) => a.reduce((sum, vector, i) => sum + 1 - cosine(vector, b[i]), 0) / a.length;

test("codes and scales are GPTQModel's for the Hessians of transformers' inputs", async () => {
    const { group, damping, modules } = oracle,
        options = { ...CALIBRATED, format: /** @type {const} */ ('gptq'), group, damping };
    const tensors = tensorsOf(await makeFolder('gptq', { ...options, order: 'natural' }));
    for (const [module, { codes, scales }] of Object.entries(modules)) {
        const found = fromGptq(tensors, module, 4, true),
            expected = codes.flatMap((digits, row) =>
                Array.from(
                    digits,
                    (digit, column) => scales[row][Math.floor(column / group)] * (Number.parseInt(digit, 16) - 8),
                ),
            );
        assert.deepEqual([...found], expected, module);
    }
});

test("AWQ's scales are those of the formula, on transformers' inputs", async () => {
    const options = /** @type {const} */ ({ ...CALIBRATED, type: 'q4_0', method: 'awq' });
    checkScaled(await made(source, { ...options, tensors: { attn_v: 'f32' } }), oracle.awq);
});

test('a file by each method loads; GPTQ loses less than rounding to nearest', async () => {
    const exact = await embeddings(source),
        nearest = distance(await embeddings(await made(source, { type: 'q4_0' })), exact);
    /** @type {Map<string, number>} */
    const found = new Map();
    for (const method of /** @type {const} */ (['gptq', 'awq', 'awq+gptq'])) {
        const file = await made(source, { ...CALIBRATED, type: 'q4_0', method });
        found.set(method, distance(await embeddings(file), exact));
        assert.deepEqual(await made(source, { ...CALIBRATED, threads: 2, type: 'q4_0', method }), file, method);
    }
    const model = await load(source, { threads: 1 });
    const { bytes, windows } = await model.importanceMatrix(oracle.text, { context: oracle.context });
    await model.dispose();
    assert.equal(windows, oracle.windows);
    found.set('importance', distance(await embeddings(await made(source, { type: 'q4_0', imatrix: bytes })), exact));
    const all = JSON.stringify([...found]);
    for (const method of ['gptq', 'awq+gptq'])
        assert.ok((found.get(method) ?? 1) < 0.6 * nearest, `${method} of ${all}, and ${nearest} to nearest`);
    // AWQ scales one of six matrices here, and random weights have no columns that matter more.
    for (const method of ['awq', 'importance'])
        assert.ok((found.get(method) ?? 1) < 1.5 * nearest, `${method} of ${all}, and ${nearest} to nearest`);
});

test('AWQ scales only matrices whose scales can be folded, and says which are not scaled', async () => {
    const nomic = join(temporary, 'nomic'); // rows of its ffn_down are whole blocks
    makeSource('nomic-bert', nomic, { n_inner: 64 }, { 48: 64 });
    for (const [from, pairs, others] of /** @type {[string, RegExp[], RegExp?][]} */ ([
        [source, [/attn_v.* -> .*attn_output/], /attn_k.*attn_q.*attn_v.*ffn_up.*ffn_down.*: not scaled/],
        [nomic, [/attn_qkv.* -> .*attn_output/, /ffn_up.* -> .*ffn_down/], /attn_qkv.*ffn_up.*ffn_gate.*: not scaled/],
        [`${encoders}gemma-embedding.gguf`, [/attn_norm.* -> .*attn_v/, /ffn_norm.* -> .*ffn_up/]],
        // a decoder with bidirectional attention
        [`${root}tests/fixtures/both-ways/llama.gguf`, [/attn_norm.* -> .*attn_v/, /ffn_norm.* -> .*ffn_up/]],
    ])) {
        /** @type {string[]} */
        const told = [];
        const options = { ...CALIBRATED, samples: 8, debug: (/** @type {string} */ line) => told.push(line) };
        const file = await made(from, { ...options, type: 'q8_0', method: 'awq' }),
            scaled = told.filter((line) => /: scaled, /.test(line));
        for (const pair of pairs)
            assert.ok(
                scaled.some((line) => pair.test(line)),
                `${from}: ${pair}, ${told}`,
            );
        assert.ok(!told.some((line) => /left alone/.test(line)), String(told));
        const kept = told.filter((line) => /: not scaled/.test(line));
        assert.ok(others ? kept.some((line) => others.test(line)) : kept.length === 0, `${from}: ${others}, ${told}`);
        const far = distance(await embeddings(file), await embeddings(from));
        assert.ok(far < 1e-3, `${from}: ${far}`);
    }
});

test('folders of every format load', async () => {
    const exact = await embeddings(source);
    for (const [options, most] of /** @type {[QuantizeFolderOptions, number][]} */ ([
        [{ ...CALIBRATED, format: 'gptq_v2', bits: 8, group: 32 }, 1e-3],
        [{ ...CALIBRATED, format: 'awq', method: 'awq', group: 32 }, 0.02],
        [{ ...CALIBRATED, format: 'compressed-tensors', group: 32 }, 0.02],
        [{ ...CALIBRATED, activations: 'static' }, 1e-3],
        [{ format: 'bitsandbytes', type: 'int8' }, 1e-3],
    ])) {
        const name = `${options.format}-${options.activations}`,
            folder = await makeFolder(name, options);
        const far = distance(await embeddings(folder), exact);
        assert.ok(far < most, `${name}: ${far}`);
    }
});

/** @param {string} from @param {QuantizeOptions} options */
async function mixed(from, options) {
    /** @type {import('../../web/index.js').PlannedTensor[]} */
    let plan = [];
    /** @type {import('../../web/index.js').TypeChoice | undefined} */
    let choice;
    const bytes = await made(from, {
        ...{ ...CALIBRATED, ...options },
        onPlan: (tensors, chosen) => {
            plan = tensors;
            choice = chosen;
        },
    });
    return { bytes, plan, choice, predicted: plan.reduce((sum, { loss }) => sum + (loss ?? 0), 0) };
}

test('a budget: embeddings are nearer than with the recipe of equal size, and as near as predicted', async () => {
    const exact = await embeddings(source),
        recipe = await made(source, { type: 'q4_1' }),
        { bytes, choice, predicted } = await mixed(source, { size: recipe.length });
    assert.ok(bytes.length <= recipe.length, `${bytes.length} of ${recipe.length} bytes`);
    assert.deepEqual([choice?.isMeasured, choice?.measure], [true, 'cosine']);
    const [fixed, best] = [distance(await embeddings(recipe), exact), distance(await embeddings(bytes), exact)];
    assert.ok(best < 0.9 * fixed, `1 - cosine is ${best}, and ${fixed} by the recipe`);
    assert.ok(predicted > best / 3 && predicted < 3 * best, `${predicted} was predicted, it is ${best}`);
});

test('a budget for other encoders, and for a decoder with bidirectional attention', async () => {
    for (const [from, measure] of [
        [`${encoders}nomic-bert.gguf`, 'cosine'],
        [`${encoders}gemma-embedding.gguf`, 'cosine'],
        [`${root}tests/fixtures/both-ways/llama.gguf`, 'divergence'],
    ]) {
        const { bytes, choice, predicted } = await mixed(from, { bits: 10, samples: 8, requantize: true });
        assert.deepEqual([choice?.isMeasured, choice?.measure], [true, measure], from);
        assert.ok(predicted > 0, from);
        const far = distance(await embeddings(bytes), await embeddings(from));
        assert.ok(far < 0.05, `${from}: ${far}`);
    }
});

test('the command prints the predicted cosine', () => {
    const words = join(temporary, 'words.txt'),
        out = join(temporary, 'mixed.gguf');
    writeFileSync(words, oracle.text);
    const run = (/** @type {string[]} */ ...flags) =>
        execFileSync(
            process.execPath,
            [
                `${root}web/cli.js`,
                'quantize',
                source,
                out,
                '--bits',
                '9',
                '--calibration',
                words,
                '--context',
                '16',
                ...flags,
            ],
            { encoding: 'utf8' },
        );
    assert.match(run(), /\nPredicted cosine of embeddings to those of the original: 0\.9\d+\.\n$/);
    const { divergence, cosine: expected, isMeasured } = JSON.parse(run('--force', '--json'));
    assert.ok(isMeasured && divergence === null && expected > 0.9 && expected < 1, `${expected}`);
});

test('senseless options are refused', async () => {
    const GPTQ = /** @type {const} */ ({ ...CALIBRATED, type: 'q4_0', method: 'gptq' });
    for (const [options, message] of /** @type {[QuantizeOptions, RegExp][]} */ ([
        [{ ...GPTQ, calibration: '' }, /calibration \(--calibration\): the text is empty/],
        [{ ...GPTQ, calibration: 'a leaf' }, /the text has 8 tokens, which is less than one window of 16/],
        [{ ...GPTQ, context: 33 }, /larger than the model's own, which is 32/],
        [{ bits: 2, calibration: oracle.text, context: 16 }, /bits \(--bits\) must be \d+(\.\d+)? or more/],
    ]))
        await assert.rejects(made(source, options), message);
    await assert.rejects(makeFolder('smooth', { ...CALIBRATED, activations: 'static', smooth: 0.5 }), {
        code: 'NB_ERR_ARGUMENT',
        message: /smooth \(--smooth\): no norm of this model feeds only matrices/,
    });
    const model = await load(source, { threads: 1 });
    await assert.rejects(model.importanceMatrix('a leaf'), {
        code: 'NB_ERR_ARGUMENT',
        message: /less than one window/,
    });
    await assert.rejects(model.importanceMatrix(''), { code: 'NB_ERR_ARGUMENT', message: /the text is empty/ });
    await model.dispose();
});
