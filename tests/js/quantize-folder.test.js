// quantizeFolder(), and `nibble quantize --format`: the folder has the tensors and fields that vLLM and transformers
// read, with rows in the folder's order; nibble's logits of it are those with the dequantized weights; everything else
// is unchanged; and nothing is left of an interrupted run. (tests/core/test_gptq.c compares the codes with GPTQModel's;
// tests/oracles/quantized_here.py lets the libraries read the folders.)
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { quantizeFolder } from '../../web/index.js';
import { withQuantization } from '../../web/worker/folder-config.js';
import { root } from '../support/builds.js';
import {
    fromAwq,
    fromCompressed,
    fromGptq,
    logits,
    makeFolder,
    numbersOf,
    tensorsOf,
    writeTensors,
} from '../support/folders.js';
import { maxDistance, relativeDistance } from '../support/vectors.js';

/** @typedef {import('../../web/index.js').QuantizeFolderOptions} QuantizeFolderOptions */

const temporary = mkdtempSync(join(tmpdir(), 'nibble-')),
    at = (/** @type {string} */ name) => join(temporary, name);
after(() => rmSync(temporary, { recursive: true }));

const calibration = 'abcdefghij klmno pqrst uvwxyz 0123456789 ABCDEF. '.repeat(20);
/** @type {QuantizeFolderOptions} */
const SMALL = { calibration, context: 16, samples: 4, group: 32, threads: 1 };

before(() => {
    // heads of 32 rows, which GGUF files have in another order
    makeFolder('llama-3', at('llama'), { head_dim: 32 }, { 96: 128, 48: 64 });
    writeFileSync(at('llama/notes.txt'), 'as it was');
    writeFileSync(at('llama/pytorch_model.bin'), 'other weights');
    // the same with some larger inputs for each matrix; and such a model whose norms are stored as w - 1
    makeFolder('llama-3', at('uneven'), { head_dim: 32 }, { 96: 128, 48: 64 });
    makeFolder('gemma', at('gemma'), { head_dim: 16, intermediate_size: 64 }, { 48: 64, 24: 32 });
    for (const name of ['uneven', 'gemma']) {
        const tensors = tensorsOf(at(name));
        for (const [name, { bytes }] of tensors)
            if (/_layernorm/.test(name)) for (let i = 0; i < bytes.length; i += 16) bytes.writeUInt16LE(0x40c0, i); // 6
        writeTensors(at(`${name}/model.safetensors`), tensors);
    }
    // q, k and v in one matrix, head by head
    makeFolder('gpt-neox', at('gpt-neox'), { intermediate_size: 64 }, { 48: 64 });
});

/** @param {string} source @param {string} out @param {QuantizeFolderOptions} options */
async function make(source, out, options) {
    mkdirSync(at(out));
    for await (const { name, size, stream } of quantizeFolder(source, options)) {
        const bytes = new Uint8Array(await new Response(/** @type {any} */ (stream)).arrayBuffer());
        assert.equal(bytes.length, size, name);
        writeFileSync(join(at(out), name), bytes);
    }
    return at(out);
}

/**
 * The folder's weights as numbers. Quantized modules are dequantized.
 * @param {string} folder
 * @param {{ format: string, bits: number }} options
 */
function dequantized(folder, { format, bits }) {
    const tensors = tensorsOf(folder),
        part = format === 'compressed-tensors' ? 'weight_packed' : 'qweight';
    /** @type {Map<string, Float32Array>} */
    const modules = new Map();
    for (const name of tensors.keys())
        if (name.endsWith(`.${part}`)) {
            const module = name.slice(0, -part.length - 1);
            const weights = {
                awq: () => fromAwq(tensors, module),
                'compressed-tensors': () => fromCompressed(tensors, module, bits),
                gptq: () => fromGptq(tensors, module, bits, true),
                gptq_v2: () => fromGptq(tensors, module, bits, false),
            }[format];
            modules.set(module, /** @type {() => Float32Array} */ (weights)());
        }
    return { tensors, modules };
}

/**
 * Asserts that nibble's logits of a folder are those with the dequantized weights.
 * @param {string} source
 * @param {string} out
 * @param {ReturnType<typeof tensorsOf>} plain all tensors, dequantized
 */
async function checkLogits(source, out, plain) {
    const folder = `${out}-plain`;
    mkdirSync(folder);
    for (const name of readdirSync(source).filter((name) => name.endsWith('.json')))
        writeFileSync(join(folder, name), readFileSync(join(source, name)));
    writeTensors(join(folder, 'model.safetensors'), plain);
    const [coded, expected] = [await logits(out), await logits(folder)],
        largest = Math.max(...expected.flatMap((row) => [...row]).map(Math.abs));
    for (const [i, row] of coded.entries())
        assert.ok(maxDistance(row, expected[i]) < 2e-3 * largest, `row ${i}: ${maxDistance(row, expected[i])}`);
}

/**
 * Asserts that every matrix of the folder is near the source's, that all else is the same byte for byte, and that
 * nibble's logits of the folder are those with the dequantized weights.
 * @param {string} source
 * @param {string} out
 * @param {{ format: string, bits: number }} options
 * @param {object} [kind] isTransposed: the source's matrices; isForeign: nibble does not load the folder itself
 * @param {boolean} [kind.isTransposed]
 * @param {boolean} [kind.isForeign]
 */
async function checkFolder(source, out, options, { isTransposed = false, isForeign = false } = {}) {
    const before = tensorsOf(source),
        { tensors, modules } = dequantized(out, options);
    assert.ok(modules.size > 0);
    const plain = new Map(before);
    for (const [module, weights] of modules) {
        const name = `${module}.weight`,
            original = /** @type {NonNullable<ReturnType<typeof before.get>>} */ (before.get(name)),
            [rows, columns] = isTransposed ? [...original.shape].reverse() : original.shape,
            numbers = numbersOf(original);
        const turned = isTransposed
            ? Float32Array.from(numbers, (_, i) => numbers[(i % columns) * rows + Math.floor(i / columns)])
            : numbers;
        const found = relativeDistance(weights, turned);
        assert.ok(found < [0, 0, 0.8, 0.4, 0.2, 0, 0, 0, 0.02][options.bits], `${name}: ${found}`);
        const back = isTransposed
            ? Float32Array.from(weights, (_, i) => weights[(i % rows) * columns + Math.floor(i / rows)])
            : weights;
        plain.set(name, { dtype: 'F32', shape: original.shape, bytes: Buffer.from(back.buffer) });
    }
    for (const [name, tensor] of before) {
        if (modules.has(name.slice(0, -'.weight'.length))) assert.ok(!tensors.has(name), name);
        else assert.deepEqual(tensors.get(name), tensor, name);
    }
    if (!isForeign) await checkLogits(source, out, plain);
}

/**
 * Asserts that in a folder made by AWQ norms and matrices together compute the same as before. Returns its tensors.
 * @param {string} source
 * @param {string} out
 * @param {{ format: string, bits: number }} options
 * @param {{ less?: number, others?: RegExp }} [kind] less: norms are stored as w - less. others: further tensors that
 *     may change
 */
async function checkScaled(source, out, options, { less = 0, others } = {}) {
    const before = tensorsOf(source),
        { tensors, modules } = dequantized(out, options),
        plain = new Map(before),
        numbers = (/** @type {string} */ name, from = tensors) =>
            numbersOf(/** @type {NonNullable<ReturnType<typeof before.get>>} */ (from.get(name)));
    for (const [name, tensor] of before) {
        const now = tensors.get(name);
        if (!now) continue;
        assert.deepEqual([now.dtype, now.shape], [tensor.dtype, tensor.shape], name);
        plain.set(name, now);
    }
    const changed = [...before.keys()].filter(
            (name) => tensors.get(name)?.bytes.equals(before.get(name)?.bytes ?? Buffer.of()) === false,
        ),
        norms = [...before.keys()].filter((name) => /layers\.\d+\.(input|post_attention)_layernorm/.test(name));
    assert.ok(changed.includes('model.layers.0.input_layernorm.weight'), changed.join());
    assert.ok(
        changed.every((name) => norms.includes(name) || others?.test(name)),
        changed.join(),
    );
    for (const [module, weights] of modules) {
        const name = `${module}.weight`,
            shape = before.get(name)?.shape ?? [];
        plain.set(name, { dtype: 'F32', shape, bytes: Buffer.from(weights.buffer) });
        const [, layer, matrix] = /^(.*\.\d+)\..*\.(\w+)$/.exec(module) ?? [],
            norm = { q_proj: 'input', k_proj: 'input', gate_proj: 'post_attention' }[matrix]; // scales are folded into others
        if (!norm) continue;
        const [was, is] = [before, tensors].map((from) => numbers(`${layer}.${norm}_layernorm.weight`, from)),
            product = (/** @type {Float32Array} */ matrix, /** @type {Float32Array} */ scales) =>
                matrix.map((x, i) => x * (scales[i % scales.length] + less));
        const found = relativeDistance(product(weights, is), product(numbers(name, before), was));
        assert.ok(found < [0, 0, 0.8, 0.4, 0.2, 0, 0, 0, 0.02][options.bits], `${name}: ${found}`);
    }
    await checkLogits(source, out, plain);
}

test('gptq: the tensors and fields that readers need; all else is unchanged', async () => {
    const out = await make(at('llama'), 'gptq', SMALL);
    await checkFolder(at('llama'), out, { format: 'gptq', bits: 4 });
    assert.deepEqual(readdirSync(out).sort(), [
        'config.json',
        'generation_config.json',
        'model.safetensors',
        'notes.txt',
        'quantize_config.json',
        'tokenizer.json',
        'tokenizer_config.json',
    ]);
    for (const name of ['generation_config.json', 'notes.txt', 'tokenizer.json', 'tokenizer_config.json'])
        assert.deepEqual(readFileSync(join(out, name)), readFileSync(at(`llama/${name}`)), name);
    const { quantization_config: said, ...config } = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'));
    assert.deepEqual(config, JSON.parse(readFileSync(at('llama/config.json'), 'utf8')));
    assert.deepEqual(JSON.parse(readFileSync(join(out, 'quantize_config.json'), 'utf8')), said);
    // vLLM, vllm/model_executor/layers/quantization/gptq_marlin.py: from_config(), is_gptq_marlin_compatible()
    const { quant_method, bits, group_size, desc_act, sym, lm_head, checkpoint_format } = said;
    assert.deepEqual(
        { quant_method, bits, group_size, desc_act, sym, lm_head, checkpoint_format },
        {
            quant_method: 'gptq',
            bits: 4,
            group_size: 32,
            desc_act: false,
            sym: true,
            lm_head: false,
            checkpoint_format: 'gptq',
        },
    );
    // the same file, create_weights(): input // pack_factor by output, groups by output // pack_factor, ...
    const tensors = tensorsOf(out),
        module = 'model.layers.0.self_attn.q_proj', // [128, 32]
        of = (/** @type {string} */ name) => tensors.get(`${module}.${name}`);
    for (const [name, dtype, shape] of /** @type {const} */ ([
        ['qweight', 'I32', [32 / 8, 128]],
        ['qzeros', 'I32', [1, 128 / 8]],
        ['scales', 'F16', [1, 128]],
        ['g_idx', 'I32', [32]],
    ])) {
        const found = of(name);
        assert.deepEqual([found?.dtype, found?.shape], [dtype, shape], name);
    }
    assert.deepEqual(
        [...tensors.keys()].filter((name) => name.startsWith(module)).sort(),
        ['g_idx', 'qweight', 'qzeros', 'scales'].map((name) => `${module}.${name}`),
    );
});

test('an empty quantization_config is replaced; all else in config.json stays, to the last digit', () => {
    for (const [config, kept] of [
        ['{}', '{'],
        ['{"a": 1.0}', '{"a": 1.0,'],
        ['{"quantization_config": {}, "a": [1.0, {"}": ","}]}', '{ "a": [1.0, {"}": ","}],'],
        ['{"a": 1e2,\n  "quantization_config" : null\n}\n', '{"a": 1e2,'],
        ['{"quantization_config": {}}', '{'],
        ['{"text": {"quantization_config": null}}', '{"text": {"quantization_config": null},'],
    ])
        assert.equal(
            withQuantization(config, { bits: 4 }),
            `${kept}\n  "quantization_config": {\n    "bits": 4\n  }\n}\n`,
        );
});

test('a reader that asks for the next file while it waits for one loses none', async () => {
    const options = { ...SMALL, calibration: undefined, context: undefined, samples: undefined, shardBytes: 20_000 };
    /** @type {[string, number][]} */
    const expected = [],
        /** @type {[string, number][]} */ got = [];
    for await (const { name, size } of quantizeFolder(at('llama'), options)) expected.push([name, size]);
    assert.ok(expected.length > 8);
    for await (const { name, size, stream } of quantizeFolder(at('llama'), options)) {
        const reader = /** @type {ReadableStream<Uint8Array>} */ (stream).getReader();
        for (let i = 0; i < got.length % 4; i++) void reader.read(); // 0 to 3 reads that are not awaited
        got.push([name, size]);
    }
    assert.deepEqual(got, expected);
});

test('compressed-tensors: the tensors and fields that readers need', async () => {
    const out = await make(at('llama'), 'compressed', { ...SMALL, format: 'compressed-tensors', symmetric: false });
    await checkFolder(at('llama'), out, { format: 'compressed-tensors', bits: 4 });
    const { quantization_config: said } = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'));
    // vLLM, vllm/model_executor/layers/quantization/compressed_tensors/compressed_tensors.py: from_config()
    assert.equal(said.quant_method, 'compressed-tensors');
    assert.equal(said.format, 'pack-quantized');
    assert.deepEqual(said.ignore, ['lm_head']);
    const { targets, weights, input_activations } = said.config_groups.group_0;
    assert.deepEqual([targets, input_activations], [['Linear'], null]);
    const { num_bits, type, symmetric, strategy, group_size, actorder } = weights;
    assert.deepEqual([num_bits, type, symmetric, strategy, group_size, actorder], [4, 'int', false, 'group', 32, null]);
    // schemes/compressed_tensors_wNa16.py: create_weights()
    const tensors = tensorsOf(out);
    for (const [name, dtype, shape] of /** @type {const} */ ([
        ['weight_packed', 'I32', [128, 32 / 8]],
        ['weight_scale', 'F16', [128, 1]],
        ['weight_shape', 'I64', [2]],
        ['weight_zero_point', 'I32', [128 / 8, 1]],
    ])) {
        const found = tensors.get(`model.layers.0.self_attn.q_proj.${name}`);
        assert.deepEqual([found?.dtype, found?.shape], [dtype, shape], name);
    }
    const shape = tensors.get('model.layers.0.mlp.down_proj.weight_shape')?.bytes;
    assert.deepEqual([shape?.readBigInt64LE(0), shape?.readBigInt64LE(8)], [32n, 64n]);
});

test('awq: the tensors and fields that readers need', async () => {
    const out = await make(at('llama'), 'awq', { ...SMALL, format: 'awq' });
    await checkFolder(at('llama'), out, { format: 'awq', bits: 4 });
    const { quantization_config: said } = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'));
    // AutoAWQ writes these (awq/models/_config.py, to_transformers_dict()). vLLM reads bits, group_size and zero_point,
    // which must be true for 4 bits (awq_marlin.py, is_awq_marlin_compatible(); query_marlin_supported_quant_types()).
    assert.deepEqual(said, {
        quant_method: 'awq',
        zero_point: true,
        group_size: 32,
        bits: 4,
        version: 'gemm',
        modules_to_not_convert: null,
    });
    assert.ok(!readdirSync(out).includes('quantize_config.json'));
    // awq.py, create_weights(): input by output // pack_factor, groups by output // pack_factor, groups by output
    const tensors = tensorsOf(out),
        module = 'model.layers.0.self_attn.q_proj'; // [128, 32]
    assert.deepEqual(
        [...tensors]
            .filter(([name]) => name.startsWith(module))
            .map(([name, { dtype, shape }]) => [name, dtype, shape]),
        [
            [`${module}.qweight`, 'I32', [32, 128 / 8]],
            [`${module}.qzeros`, 'I32', [1, 128 / 8]],
            [`${module}.scales`, 'F16', [1, 128]],
        ],
    );
});

test('bits, zero points, orders and whole rows; several files with an index', async () => {
    for (const [i, options] of /** @type {QuantizeFolderOptions[]} */ ([
        { bits: 8, shardBytes: 9000 },
        { bits: 3, group: 0, search: 'best' },
        { bits: 2, format: 'gptq_v2', symmetric: false },
        { bits: 4, order: 'activation', symmetric: false },
        { bits: 4, format: 'compressed-tensors', order: 'activation' },
        { bits: 8, format: 'compressed-tensors', group: 0, order: 'natural' },
        { bits: 4, order: 'static', trueSequential: false },
    ]).entries()) {
        const { bits = 4, format = 'gptq', shardBytes, order } = options,
            out = await make(at('llama'), `way-${i}`, { ...SMALL, ...options });
        await checkFolder(at('llama'), out, { bits, format });
        const weights = readdirSync(out).filter((name) => name.endsWith('.safetensors'));
        const { quantization_config: said } = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'));
        if (order === 'activation')
            assert.ok(said.desc_act ?? said.config_groups.group_0.weights.actorder === 'group', JSON.stringify(said));
        if (!shardBytes) {
            assert.deepEqual(weights, ['model.safetensors']);
            continue;
        }
        const index = JSON.parse(readFileSync(join(out, 'model.safetensors.index.json'), 'utf8'));
        assert.ok(
            weights.length > 1 && weights.every((name) => name.endsWith(`-of-0000${weights.length}.safetensors`)),
        );
        assert.deepEqual(Object.keys(index.weight_map).sort(), [...tensorsOf(out).keys()].sort());
        assert.deepEqual([...new Set(Object.values(index.weight_map))].sort(), weights.sort());
    }
});

test("awq: scales are folded into norms, in the files' own type", async () => {
    for (const [i, options] of /** @type {QuantizeFolderOptions[]} */ ([
        { method: 'awq+gptq' },
        { method: 'awq+gptq', format: 'compressed-tensors', bits: 8 },
        { method: 'awq+gptq', format: 'awq' },
        { method: 'awq', format: 'awq' },
        { method: 'awq', format: 'awq', clip: false, search: 'best' },
        { method: 'awq', format: 'gptq', bits: 2 },
    ]).entries()) {
        const { bits = 4, format = 'gptq' } = options,
            out = await make(at('uneven'), `awq-${i}`, { ...SMALL, ...options });
        await checkScaled(at('uneven'), out, { bits, format });
    }
    /** @param {string} name @param {QuantizeFolderOptions} options */
    const awq = async (name, options) =>
        tensorsOf(await make(at('uneven'), name, { ...SMALL, method: 'awq', format: 'awq', ...options }));
    const [plain, unclipped, best] = [
        await awq('awq-clipped', {}),
        await awq('awq-unclipped', { clip: false }),
        await awq('awq-best', { search: 'best' }),
    ];
    assert.notDeepEqual(plain, unclipped, 'clipping changes codes or scales');
    const norms = (/** @type {typeof plain} */ tensors) => [...tensors].filter(([name]) => name.includes('layernorm'));
    assert.deepEqual(norms(plain), norms(unclipped));
    assert.notDeepEqual(
        norms(plain),
        norms(best),
        'the search for scales of columns does not know how codes are chosen',
    );
    const out = await make(at('gemma'), 'awq-gemma', { ...SMALL, method: 'awq+gptq' });
    await checkScaled(at('gemma'), out, { bits: 4, format: 'gptq' }, { less: 1 });
});

test('experts: each of their matrices by itself', async () => {
    const less = { num_key_value_heads: 4 };
    makeFolder('mixtral', at('mixtral'), { ...less, intermediate_size: 64 }, { 16: 32, 40: 64 });
    const sizes = { moe_intermediate_size: 32, shared_expert_intermediate_size: 64 };
    makeFolder('qwen2-moe', at('qwen2-moe'), { ...less, ...sizes }, { 16: 32, 8: 32, 20: 64 });
    for (const [i, [source, options]] of /** @type {[string, QuantizeFolderOptions][]} */ ([
        ['mixtral', {}],
        ['mixtral', { format: 'compressed-tensors' }],
        ['qwen2-moe', { format: 'awq' }],
        ['mixtral', { format: 'awq', method: 'awq+gptq' }],
        ['qwen2-moe', { method: 'awq+gptq' }],
    ]).entries()) {
        const { format = 'gptq', method = 'gptq' } = options,
            out = await make(at(source), `experts-${i}`, { ...SMALL, samples: 16, ...options }),
            experts = [...tensorsOf(out).keys()].filter((name) =>
                /experts\.\d+\.\w+\.(qweight|weight_packed)$/.test(name),
            );
        assert.equal(experts.length, (source === 'mixtral' ? 1 : 2) * 4 * 3);
        if (method === 'gptq') await checkFolder(at(source), out, { format, bits: 4 });
        else await checkScaled(at(source), out, { format, bits: 4 }, { others: /gate\.weight|v_proj\.bias/ });
        const { quantization_config: said } = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')),
            routers = 'model.layers.0.block_sparse_moe.gate';
        if (format === 'compressed-tensors') assert.deepEqual(said.ignore, ['lm_head', routers]);
        if (format === 'awq' && source === 'mixtral') assert.deepEqual(said.modules_to_not_convert, [routers]);
    }
});

test('rows that a GGUF has in another order, and transposed matrices', async () => {
    const neox = await make(at('gpt-neox'), 'neox', SMALL);
    await checkFolder(at('gpt-neox'), neox, { format: 'gptq', bits: 4 }, { isForeign: true });
    const gpt2 = `${root}tests/fixtures/safetensors/gpt2`;
    await checkFolder(gpt2, await make(gpt2, 'gpt2', SMALL), { format: 'gptq', bits: 4 }, { isTransposed: true });
});

test('what cannot be made is refused, by name', async () => {
    const fixture = (/** @type {string} */ name) => `${root}tests/fixtures/safetensors/${name}`;
    for (const [source, options, said] of /** @type {[string, object, RegExp][]} */ ([
        [fixture('gptq-mixtral'), {}, /quantized already/],
        [fixture('mixtral'), {}, /experts\.\d\.w1\.weight does not become gptq: it has 40 rows of 32 columns/],
        [fixture('gpt2'), { format: 'compressed-tensors' }, /c_attn\.weight .* it is stored transposed/],
        [fixture('gpt2'), { format: 'awq' }, /c_attn\.weight .* it is stored transposed/],
        [fixture('gptq'), {}, /quantized already/],
        [fixture('gemma'), {}, /mlp\.down_proj\.weight does not become gptq: it has 32 rows of 48 columns/],
        [at('llama'), { group: 64 }, /groups of 64 do not divide its 32 columns; take another group/],
        [`${root}tests/fixtures/models/head-size.gguf`, {}, /made only from a Hugging Face folder/],
    ]))
        await assert.rejects(make(source, `refused-${Math.random()}`, { ...SMALL, ...options }), said, source);
    for (const [options, said] of /** @type {[object, RegExp][]} */ ([
        [{ bits: 5 }, /bits \(--bits\) is 5, but format \(--format\) gptq takes 2, 3, 4 or 8/],
        [{ bits: 3, format: 'compressed-tensors' }, /takes 4 or 8/],
        [{ bits: 8, format: 'awq' }, /takes 4$/],
        [{ group: 0, format: 'awq' }, /format \(--format\) awq has no groups of whole rows/],
        [{ order: 'activation', format: 'awq' }, /order \(--order\) activation needs a group for each column/],
        [{ clip: true }, /clip \(--no-clip\) is for AWQ/],
        [{ group: 48 }, /group \(--group\) is 48, which is no multiple of 32/],
        [{ calibration: undefined, method: 'gptq' }, /needs a calibration text/],
        [{ calibration: undefined }, /samples \(--samples\) is not needed to round to nearest/],
        [{ format: 'exl2' }, /format must be one of gptq, gptq_v2, awq, compressed-tensors, bitsandbytes/],
        [{ type: 'q4_0' }, /type must be one of nf4, fp4, int8/],
    ]))
        assert.throws(() => quantizeFolder(at('llama'), { ...SMALL, ...options }), said);
});

test('aborted: the stream rejects with the reason', async () => {
    const controller = new AbortController(),
        reason = new Error('enough');
    const options = { ...SMALL, signal: controller.signal, onProgress: () => controller.abort(reason) };
    await assert.rejects(make(at('llama'), 'aborted', options), reason);
    // leaving the loop early ends the worker, and a skipped stream does not block the next file
    const names = [];
    for await (const { name } of quantizeFolder(at('llama'), SMALL)) if (names.push(name) === 3) break;
    assert.deepEqual(names, ['config.json', 'generation_config.json', 'notes.txt']);
});

test('the command: a folder, and nothing under its name if it is interrupted', async () => {
    writeFileSync(at('words.txt'), calibration);
    const before = readdirSync(temporary),
        made = at('made'),
        command = [`${root}web/cli.js`, 'quantize', at('llama'), made, '--format', 'gptq', '--group', '32'],
        calibrated = ['--method', 'gptq', '--calibration', at('words.txt'), '--context', '16'],
        run = (/** @type {string[]} */ ...more) =>
            spawnSync(process.execPath, [...command, ...more], { encoding: 'utf8' });
    const killed = spawn(process.execPath, [...command, ...calibrated], { stdio: 'ignore' }),
        ended = once(killed, 'exit');
    while (readdirSync(temporary).length === before.length) {
        assert.equal(killed.exitCode, null, 'the command ended before it wrote anything');
        await new Promise((resolve) => setTimeout(resolve, 5));
    }
    killed.kill('SIGINT');
    assert.equal((await ended)[0], 130);
    assert.deepEqual(readdirSync(temporary), before);
    const { status, stdout, stderr } = run(...calibrated, '--samples', '4', '--threads', '1');
    assert.equal(status, 0, stderr);
    assert.match(stdout, /made: gptq, [\d,]+ bytes of weights, /);
    assert.deepEqual(readFileSync(join(made, 'model.safetensors')), readFileSync(at('gptq/model.safetensors')));
    assert.match(run(...calibrated).stderr, /is there already; --force replaces it/);
    const again = run(...calibrated, '--samples', '4', '--asymmetric', '--force', '--json');
    assert.equal(again.status, 0, again.stderr);
    assert.equal(JSON.parse(again.stdout).format, 'gptq');
    assert.equal(JSON.parse(readFileSync(join(made, 'config.json'), 'utf8')).quantization_config.sym, false);
    assert.deepEqual(
        readdirSync(temporary).filter((name) => !before.includes(name)),
        ['made'],
    );
    for (const [more, said] of /** @type {[string[], RegExp][]} */ ([
        [['--method', 'gptq'], /method \(--method\) gptq needs a calibration text/],
        [[...calibrated, '--type', 'q4_0'], /--type must be one of nf4, fp4, int8/],
        [[...calibrated, '--tensor', 'a=q8_0'], /--tensor is for GGUFs/],
        [[...calibrated, '--bits', '5'], /--bits.* 2, 3, 4 or 8/],
    ])) {
        const refused = run(...more, '--force');
        assert.equal(refused.status, 2, refused.stderr);
        assert.match(refused.stderr, said);
    }
    const gguf = spawnSync(
        process.execPath,
        [`${root}web/cli.js`, 'quantize', at('llama'), at('x.gguf'), '--group', '32'],
        {
            encoding: 'utf8',
        },
    );
    assert.match(gguf.stderr, /which type|--group is for folders/);
    // --force replaces a model's folder, and nothing else
    const kept = (/** @type {RegExp} */ said, /** @type {string[]} */ given = calibrated) => {
        const there = readdirSync(made);
        assert.match(run(...given, '--force').stderr, said);
        assert.deepEqual(readdirSync(made), there);
    };
    mkdirSync(join(made, 'inner'));
    kept(/made has inner in it, which is no file of a model/);
    rmSync(join(made, 'inner'), { recursive: true });
    writeFileSync(join(made, '.hidden'), '');
    kept(/made has \.hidden in it/);
    rmSync(join(made, '.hidden'));
    writeFileSync(join(made, 'words.txt'), calibration);
    kept(/has .*words\.txt in it, which is read/, ['--method', 'gptq', '--calibration', join(made, 'words.txt')]);
    rmSync(join(made, 'words.txt'));
    rmSync(join(made, 'config.json'));
    assert.match(run(...calibrated, '--force').stderr, /has no config\.json: it is no folder of a model/);
    const within = ['quantize', at('llama'), at('llama/model.safetensors.gguf'), '--type', 'q8_0', '--force'];
    writeFileSync(at('llama/model.safetensors.gguf'), '');
    const refused = spawnSync(process.execPath, [`${root}web/cli.js`, ...within], { encoding: 'utf8' });
    assert.match(refused.stderr, /is what is read, or part of it/);
});
