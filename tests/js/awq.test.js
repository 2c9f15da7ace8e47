// quantize() by AWQ: a layer becomes what the paper's formula gives; the file's perplexity is lower than after rounding
// to nearest; in every family scaling does not change what a layer computes; and options without effect are refused.
// (tests/core/test_awq.c compares the searches and clipping with autoawq's.)
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { compare, load, quantize } from '../../web/index.js';
import { Folding } from '../../web/worker/folding.js';
import { GGUF_BLOCKS } from '../../web/worker/maker.js';
import { models, root } from '../support/builds.js';
import { checkScaled } from '../support/scaled.js';
import { logitsOf } from '../support/vectors.js';

/** @typedef {import('../../web/index.js').QuantizeOptions} QuantizeOptions */

/** @param {import('../../web/index.js').Source} source @param {QuantizeOptions} options */
const made = async (source, options) =>
    new Uint8Array(await new Response(quantize(source, { threads: 1, ...options })).arrayBuffer());

/** Texts written by the model: one to calibrate with, one to measure with. */
async function stories() {
    const model = await load(models.tiny, { threads: 1 });
    const tell = async (/** @type {number[]} */ seeds) => {
        let all = '';
        for (const seed of seeds) {
            const options = { seed, temperature: 1, topK: 0, topP: 1, minP: 0, maxTokens: 400, repeatPenalty: 1 };
            all += (await model.complete('Once upon a time', { ...options, ignoreEnd: true })).text;
        }
        return all;
    };
    const texts = [await tell([1, 2, 3, 4]), await tell([11, 12, 13])];
    await model.dispose();
    return texts;
}

test("a layer's scales are those of the formula, on transformers' inputs", async () => {
    const right = JSON.parse(readFileSync(`${root}tests/fixtures/quantize/awq-layer.json`, 'utf8'));
    const file = await made(`${root}tests/fixtures/models/type-f16.gguf`, {
        ...{ type: 'q4_0', method: 'awq', calibration: right.text, context: right.context },
        tensors: { 'attn_v|ffn_up': 'f32' },
    });
    checkScaled(file, right.tensors);
});

test('less is lost than by rounding to nearest; the same bytes for any threads', async () => {
    const [calibration, text] = await stories();
    const Q4_0 = /** @type {const} */ ({ type: 'q4_0', requantize: true }),
        nearest = await made(models.tiny, Q4_0);
    /** @type {Set<string>} */
    const stages = new Set();
    const options = { ...Q4_0, calibration, context: 64 },
        awq = await made(models.tiny, {
            ...options,
            method: 'awq',
            onProgress: ({ calibration: at }) => stages.add(at?.stage ?? ''),
        });
    assert.deepEqual(await made(models.tiny, { ...options, method: 'awq', threads: 2 }), awq);
    assert.deepEqual([...stages].sort(), ['', 'observe', 'pass', 'quantize', 'scale']);
    const both = await made(models.tiny, { ...options, method: 'awq+gptq' });
    assert.equal(awq.length, nearest.length);
    // The mean KL divergence, as perplexities of so short a text say little. Over eight pairs of texts AWQ's was 0.79 to
    // 0.87 of that of rounding, and that of both 0.61 to 0.70.
    const { models: compared } = await compare([models.tiny, nearest, awq, both], {
        ...{ text, context: 64, threads: 1, speed: false, weights: false },
    });
    const [ofNearest, ofAwq, ofBoth] = compared.map(({ divergence }) => divergence.mean);
    assert.ok(ofAwq < 0.9 * ofNearest, `${ofNearest} to nearest, ${ofAwq} by AWQ`);
    assert.ok(ofBoth < 0.8 * ofNearest, `${ofNearest} to nearest, ${ofBoth} by both`);
    // Q4_0's encoder searches for the range of a block itself, so nothing is clipped before; NF4's does not
    const unclipped = { ...options, method: /** @type {const} */ ('awq'), clip: false };
    assert.deepEqual(await made(models.tiny, unclipped), awq);
    const nf4 = /** @type {const} */ ({ ...unclipped, type: 'nf4' });
    assert.notDeepEqual(await made(models.tiny, nf4), await made(models.tiny, { ...nf4, clip: true }));
});

test('every family: scaling changes no output, and what must not be scaled is not', async () => {
    const calibration = 'abcdefghij klmno pqrst uvwxyz 0123456789 ABCDEF. '.repeat(20);
    for (const [name, pairs] of /** @type {[string, RegExp[]][]} */ ([
        ['biases', [/attn_norm/, /attn_v/, /ffn_norm/, /ffn_up/]],
        ['mixtral', [/attn_norm/, /attn_v/, /ffn_norm/, /ffn_up_exps/]],
        ['qwen2moe', [/attn_norm/, /attn_v/, /ffn_norm/, /ffn_up_exps/, /ffn_up_shexp/]],
        ['phi3', [/attn_norm/, /attn_qkv/, /ffn_norm/, /ffn_up/]],
        ['gpt2', [/attn_norm/, /attn_qkv/, /ffn_norm/]],
        ['phi2', [/attn_norm\.weight -> .*ffn_up/]],
        ['falcon-40b', [/attn_norm_2/, /attn_norm\./]],
        ['gemma3', []],
        ['olmo2', [/attn_v/]],
        ['../safetensors/mistral', [/attn_norm/, /attn_v/, /ffn_norm/, /ffn_up/]],
    ])) {
        const source = `${root}tests/fixtures/models/${name}${name.includes('/') ? '' : '.gguf'}`; // a folder in BF16
        /** @type {string[]} */
        const told = [];
        const options = { ...{ calibration, context: 16, samples: 4 }, method: /** @type {const} */ ('awq') };
        const file = await made(source, {
            ...{ ...options, type: 'q8_0', requantize: true },
            debug: (line) => told.push(line),
        });
        const scaled = told.filter((line) => /: scaled, /.test(line));
        for (const pair of pairs)
            assert.ok(
                scaled.some((line) => pair.test(line)),
                `${name}: ${pair}, ${told}`,
            );
        assert.deepEqual(
            told.filter((line) => /: left alone, /.test(line)),
            [],
            name,
        );
        const [model, base] = [await load(file, { threads: 1 }), await load(source, { threads: 1 })];
        const [row] = await logitsOf(model, [1, 2, 3]),
            [right] = await logitsOf(base, [1, 2, 3]);
        const largest = Math.max(...right.map(Math.abs));
        assert.ok(
            row.every((logit, i) => Math.abs(logit - right[i]) < 0.1 * largest),
            name,
        );
        await model.dispose();
        await base.dispose();
    }
});

test('large inputs and weights of Q8_0, whose products round inputs: scales are not taken for a change', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nibble-')),
        source = join(folder, 'q8_0.gguf'),
        { text, context } = JSON.parse(readFileSync(`${root}tests/fixtures/quantize/outlier-inputs.json`, 'utf8'));
    try {
        writeFileSync(source, await made(`${root}tests/fixtures/quantize/outlier-inputs.gguf`, { type: 'q8_0' }));
        /** @type {string[]} */
        const told = [];
        await made(source, {
            ...{ type: 'q4_0', method: 'awq', requantize: true, calibration: text, context },
            debug: (line) => told.push(line),
        });
        const put = told.filter((line) => /: (scaled|left alone), outputs change/.test(line));
        assert.equal(put.length, 8, String(told)); // norms, attn_v and ffn_up of two layers
        for (const line of put) assert.match(line, /: scaled, /);
    } finally {
        rmSync(folder, { recursive: true });
    }
});

test('scales that change the outputs of a layer are undone', async () => {
    for (const change of [0, 0.01, Number.POSITIVE_INFINITY, Number.NaN]) {
        const tensor = (/** @type {string} */ name, /** @type {string} */ type, /** @type {number} */ rows) => ({
            ...{
                i: 0,
                name,
                source: name,
                from: 'f32',
                wanted: type,
                type,
                columns: 32,
                rows,
                matrices: 1,
                at: 0,
                bytes: 0,
            },
            weights: new Uint8Array(new Float32Array(32 * rows).fill(1).buffer),
        });
        const tensors = [tensor('blk.0.attn_norm.weight', 'f32', 1), tensor('blk.0.attn_q.weight', 'q4_0', 4)],
            [norm, q] = tensors.map(({ weights }) => weights);
        /** @type {Map<string, Uint8Array>} */
        const inEngine = new Map();
        const walk = {
            observed: () => null,
            replace: (/** @type {string} */ name, /** @type {number} */ _, /** @type {Uint8Array} */ bytes) =>
                inEngine.set(name, bytes),
            note: () => {},
            change: () => change,
        };
        const inputs = {
            searchScales: async () => new Float32Array(32).fill(2),
            foldColumns: (/** @type {Float32Array} */ weights) => weights.fill(2),
            foldRows: (/** @type {Float32Array} */ weights) => weights.fill(0.5),
        };
        const quantizer = {
            foldRule: (/** @type {string} */ name) => ({
                ...{ absorbers: name.includes('attn_q') ? ['attn_norm'] : [], isNorm: true, clips: false },
            }),
            open: (/** @type {number} */ _, /** @type {any} */ __, /** @type {any} */ run) => run(inputs),
            floats: (/** @type {string} */ _, /** @type {Uint8Array} */ weights) =>
                new Float32Array(weights.slice().buffer),
        };
        const folding = new Folding(
            /** @type {any} */ (walk),
            [[{ name: 'blk.0.attn_q.weight', columns: 32, rows: 4, experts: 1, part: 0 }]],
            new Map(tensors.map((one) => [one.name, one])),
            new Set(['blk.0.attn_q.weight']),
            ...[{ heads: 1, kvHeads: 1 }, /** @type {any} */ (quantizer), GGUF_BLOCKS],
        );
        const pairs = await folding.pairs();
        assert.equal(pairs.length, 1);
        await folding.fold(pairs[0], async () => {});
        const is = (/** @type {Uint8Array | undefined} */ bytes) => new Float32Array(bytes?.slice().buffer ?? [])[0];
        assert.deepEqual([...inEngine.values()].map(is), change === 0 ? [2, 0.5] : [1, 1]);
        assert.deepEqual(
            tensors.map(({ weights }) => is(weights)),
            change === 0 ? [0.5, 2] : [1, 1],
        );
        assert.equal(folding.changed.size, change === 0 ? 2 : 0);
        assert.deepEqual([is(norm), is(q)], [1, 1]);
    }
});

test('options without effect are refused', async () => {
    for (const [options, said] of /** @type {[object, RegExp][]} */ ([
        [{ calibration: undefined }, /method \(--method\) awq needs a calibration text/],
        [{ damping: 0.1 }, /damping \(--damping\) is for GPTQ: leave it out/],
        [{ order: 'natural' }, /order \(--order\) is for GPTQ/],
        [{ method: 'gptq', clip: false }, /clip \(--no-clip\) is for AWQ/],
    ]))
        await assert.rejects(
            async () =>
                made(models.tiny, /** @type {any} */ ({ type: 'q4_0', method: 'awq', calibration: 'x', ...options })),
            said,
        );
});
