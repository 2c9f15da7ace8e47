// quantizeFolder({ activations }), and `nibble quantize --activations`: int-quantized folders of compressed-tensors
// have the scales, zero points, codes and norms of the oracle (tests/oracles/w8a8_folders.py), and the fields that vLLM
// reads; nibble's logits of them are those with the dequantized weights. (tests/core/test_ranges.c tests the observers
// of ranges; tests/oracles/w8a8_perplexity.py lets the libraries read the folders.)
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { quantizeFolder } from '../../web/index.js';
import { root } from '../support/builds.js';
import { logits, makeFolder, numbersOf, tensorsOf, writeTensors } from '../support/folders.js';
import { relativeDistance } from '../support/vectors.js';

/** @typedef {import('../../web/index.js').QuantizeFolderOptions} QuantizeFolderOptions */
/** @typedef {import('../../web/index.d.ts').ActivationRange} ActivationRange */
/** @typedef {import('../support/folders.js').Tensor} Tensor */

/** @typedef {{ low: number, high: number, scale: number, zero: number, ninety: number }} Input */
/** @typedef {{ folder: string, options: QuantizeFolderOptions, norms: Record<string, number[]>, inputs: Record<string,
 *     Input>, scales: Record<string, number[]>, codes: Record<string, string> }} Case */

const temporary = mkdtempSync(join(tmpdir(), 'nibble-')),
    at = (/** @type {string} */ name) => join(temporary, name),
    fixture = (/** @type {string} */ name) => `${root}tests/fixtures/${name}`;
after(() => rmSync(temporary, { recursive: true }));

/** @type {{ text: string, context: number, samples: number, cases: Case[] }} */
const { text, context, samples, cases } = JSON.parse(readFileSync(fixture('quantize/w8a8.json'), 'utf8'));
const LLAMA = fixture('safetensors/llama-f32'),
    TEXT = { calibration: text, context, samples, threads: 1 };

/** @param {string} source @param {string} out @param {QuantizeFolderOptions} options */
async function make(source, out, options) {
    mkdirSync(at(out));
    /** @type {ActivationRange[]} */
    let ranges = [];
    const files = quantizeFolder(source, {
        ...options,
        onRanges: (found) => {
            ranges = found;
        },
    });
    for await (const { name, stream } of files)
        writeFileSync(at(`${out}/${name}`), Buffer.from(await new Response(/** @type {any} */ (stream)).arrayBuffer()));
    return { folder: at(out), ranges, tensors: tensorsOf(at(out)) };
}

/** @param {Map<string, Tensor>} tensors @param {string} name */
function tensor(tensors, name) {
    const found = tensors.get(name);
    assert.ok(found, name);
    return found;
}

/** @param {number} a @param {number} b @param {number} most relative @param {string} what */
const near = (a, b, most, what) => assert.ok(Math.abs(a - b) <= most * Math.abs(b), `${what}: ${a}, not ${b}`);

for (const [i, { folder, options, ...right }] of cases.entries())
    test(`${folder}, ${JSON.stringify(options)}: the oracle's numbers`, async () => {
        const isBf16 = folder === 'quantize/plain',
            // both round to the type; numbers near a tie may be rounded either way
            most = isBf16 ? 2 ** -8 : 1e-5;
        const isCalibrated = options.activations === 'static' || options.smooth !== undefined;
        const { tensors, ranges } = await make(fixture(folder), `case-${i}`, { ...(isCalibrated && TEXT), ...options });
        for (const [name, numbers] of Object.entries(right.norms))
            for (const [k, x] of numbersOf(tensor(tensors, name)).entries()) near(x, numbers[k], most, `${name} ${k}`);
        for (const [module, { low, high, scale, zero }] of Object.entries(right.inputs)) {
            const found = ranges.find((range) => range.module === module);
            assert.ok(found, module);
            near(found.high, options.symmetric === false ? high : Math.max(-low, high), most, `${module}: high`);
            near(numbersOf(tensor(tensors, `${module}.input_scale`))[0], scale, most, `${module}.input_scale`);
            if (options.symmetric === false)
                assert.equal(tensor(tensors, `${module}.input_zero_point`).bytes.readInt8(), zero, module);
            else assert.ok(!tensors.has(`${module}.input_zero_point`));
            assert.equal(found.zero, zero);
        }
        assert.equal(ranges.length, Object.keys(right.inputs).length);
        for (const [module, scales] of Object.entries(right.scales))
            for (const [k, x] of numbersOf(tensor(tensors, `${module}.weight_scale`)).entries())
                near(x, scales[k], most, `${module}.weight_scale ${k}`);
        let others = 0,
            all = 0;
        for (const [module, codes] of Object.entries(right.codes)) {
            const { bytes, dtype, shape } = tensor(tensors, `${module}.weight`),
                want = Buffer.from(codes, 'base64');
            assert.deepEqual([dtype, shape[0] * shape[1]], ['I8', want.length]);
            all += want.length;
            for (let k = 0; k < want.length; k++) {
                const off = Math.abs(bytes.readInt8(k) - want.readInt8(k));
                assert.ok(off <= 1, `${module}: code ${k} is ${bytes.readInt8(k)}, not ${want.readInt8(k)}`);
                others += off;
            }
        }
        // if a scale is rounded differently, so are a few codes of its row
        assert.ok(others <= (isBf16 ? 0.01 : 0.002) * all, `${others} of ${all} codes are others`);
    });

test('the fields and tensors that vLLM and compressed-tensors read', async () => {
    const { folder, tensors } = await make(LLAMA, 'fields', { ...TEXT, activations: 'static', symmetric: false });
    const { quantization_config: said } = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
    // vLLM, vllm/model_executor/layers/quantization/compressed_tensors/compressed_tensors.py: from_config(),
    // is_activation_quantization_format(), _is_static_tensor_w8a8(), _is_dynamic_token_w8a8()
    assert.deepEqual(
        [said.quant_method, said.format, said.ignore],
        ['compressed-tensors', 'int-quantized', ['lm_head']],
    );
    const of = (/** @type {any} */ { config_groups }) => {
        const { targets, weights: w, input_activations: x, output_activations } = config_groups.group_0;
        assert.deepEqual([targets, output_activations], [['Linear'], null]);
        assert.deepEqual([w.num_bits, w.type, w.symmetric, w.strategy, w.dynamic], [8, 'int', true, 'channel', false]);
        return [x.num_bits, x.type, x.symmetric, x.strategy, x.dynamic];
    };
    assert.deepEqual(of(said), [8, 'int', false, 'tensor', false]);
    // schemes/compressed_tensors_w8a8_int8.py: create_weights()
    const module = 'model.layers.0.self_attn.k_proj';
    const shapes = (/** @type {Map<string, Tensor>} */ some) =>
        [...some].filter(([name]) => name.startsWith(module)).map(([name, { dtype, shape }]) => [name, dtype, shape]);
    assert.deepEqual(shapes(tensors).sort(), [
        [`${module}.input_scale`, 'F32', [1]],
        [`${module}.input_zero_point`, 'I8', [1]],
        [`${module}.weight`, 'I8', [16, 32]],
        [`${module}.weight_scale`, 'F32', [16, 1]],
    ]);
    // tensors are aligned to the size of their numbers
    const file = readFileSync(join(folder, 'model.safetensors')),
        header = JSON.parse(file.toString('utf8', 8, 8 + Number(file.readBigUInt64LE(0))));
    for (const [name, { dtype, data_offsets: at }] of Object.entries(header))
        if (at)
            assert.equal(at[0] % /** @type {Record<string, number>} */ ({ F32: 4, BF16: 2, I8: 1 })[dtype], 0, name);
    const dynamic = await make(fixture('quantize/plain'), 'dynamic', { activations: 'dynamic', threads: 1 });
    const { quantization_config: also } = JSON.parse(readFileSync(join(dynamic.folder, 'config.json'), 'utf8'));
    assert.deepEqual(of(also), [8, 'int', true, 'token', true]);
    assert.deepEqual(shapes(dynamic.tensors).sort(), [
        [`${module}.weight`, 'I8', [32, 64]],
        [`${module}.weight_scale`, 'BF16', [32, 1]],
    ]);
    for (const [name, { bytes }] of tensorsOf(fixture('quantize/plain')))
        if (!/proj\.weight$/.test(name)) assert.deepEqual(tensor(dynamic.tensors, name).bytes, bytes, name);
});

/**
 * Writes the folder with dequantized weights.
 * @param {string} folder
 * @param {string} source
 */
function dequantized(folder, source) {
    const out = `${folder}-plain`,
        tensors = tensorsOf(folder);
    cpSync(source, out, { recursive: true });
    /** @type {Map<string, Tensor>} */
    const plain = new Map();
    for (const [name, one] of tensors) {
        if (one.dtype !== 'I8') {
            if (!/(_scale|_zero_point)$/.test(name)) plain.set(name, one);
            continue;
        }
        if (!name.endsWith('.weight')) continue;
        const scales = numbersOf(tensor(tensors, `${name}_scale`)),
            columns = one.shape[1],
            values = Float32Array.from(
                { length: one.bytes.length },
                (_, k) => one.bytes.readInt8(k) * scales[Math.floor(k / columns)],
            );
        plain.set(name, { dtype: 'F32', shape: one.shape, bytes: Buffer.from(values.buffer) });
    }
    writeTensors(join(out, 'model.safetensors'), plain);
    return out;
}

test('logits are those with the dequantized weights; smoothing does not change the outputs', async () => {
    const original = await logits(LLAMA);
    const far = (/** @type {Float32Array[]} */ a, /** @type {Float32Array[]} */ b) =>
        relativeDistance(
            a.flatMap((row) => [...row]),
            b.flatMap((row) => [...row]),
        );
    for (const [i, options] of /** @type {QuantizeFolderOptions[]} */ ([
        { activations: 'dynamic' },
        { ...TEXT, activations: 'static', smooth: 0.5, method: 'gptq' },
    ]).entries()) {
        const { folder } = await make(LLAMA, `way-${i}`, options),
            ours = await logits(folder);
        const exact = await logits(dequantized(folder, LLAMA));
        assert.ok(far(ours, exact) < 2e-3, `${i}: ${far(ours, exact)}`);
        assert.ok(far(exact, original) < 0.05, `${i}: ${far(exact, original)}`); // with a wrong scale it is near 1
    }
});

test('GPTQ gives other codes; each kind of range gives other scales', async () => {
    const nearest = await make(LLAMA, 'nearest', { activations: 'dynamic', threads: 1 }),
        gptq = await make(LLAMA, 'gptq', { ...TEXT, activations: 'dynamic', method: 'gptq' });
    const name = 'model.layers.0.mlp.down_proj.weight';
    assert.notDeepEqual(tensor(gptq.tensors, name).bytes, tensor(nearest.tensors, name).bytes);
    assert.deepEqual(tensor(gptq.tensors, `${name}_scale`), tensor(nearest.tensors, `${name}_scale`));
    const module = 'model.layers.0.self_attn.q_proj';
    /** @type {Record<string, ActivationRange>} */
    const found = {};
    for (const ranges of /** @type {const} */ (['minmax', 'moving-average', 'percentile', 'mse', 'entropy'])) {
        const options = { ...TEXT, activations: /** @type {const} */ ('static'), ranges },
            made = await make(
                LLAMA,
                `ranges-${ranges}`,
                ranges === 'percentile' ? { ...options, percentile: 90 } : options,
            );
        const range = made.ranges.find((one) => one.module === module);
        assert.ok(range, ranges);
        found[ranges] = range;
        near(range.scale, range.high / 127.5, 1e-6, ranges);
        assert.equal(range.low, -range.high);
    }
    const { ninety } = cases[1].inputs[module];
    near(found.percentile.high, ninety, 2e-3, 'percentile');
    near(found.percentile.clipped, 0.1, 0.02, 'clipped');
    assert.equal(found.minmax.clipped, 0);
    for (const ranges of ['moving-average', 'mse', 'entropy'])
        assert.ok(found[ranges].high <= found.minmax.high && found[ranges].clipped >= 0, JSON.stringify(found));
    assert.ok(found['moving-average'].high < found.minmax.high);
});

test('the command: a summary of ranges, all of them in --json; conflicting options are refused', () => {
    writeFileSync(at('words.txt'), text);
    const run = (/** @type {string[]} */ ...more) =>
        spawnSync(process.execPath, [`${root}web/cli.js`, 'quantize', LLAMA, at('made'), ...more], {
            encoding: 'utf8',
        });
    const format = ['--format', 'compressed-tensors'],
        activations = [...format, '--activations', 'static'],
        calibrated = ['--calibration', at('words.txt'), '--context', String(context)];
    const { stdout, stderr, status } = run(...activations, ...calibrated, '--ranges', 'percentile', '--smooth', '0.5');
    assert.equal(status, 0, stderr);
    assert.match(stdout, /activations {2}7 ranges, to [\d.]+ \.\.\. [\d.]+; 0\.\d+ % of the inputs clipped/);
    const json = run(...activations, ...calibrated, '--json', '--force', '--asymmetric');
    assert.equal(json.status, 0, json.stderr);
    const { ranges } = JSON.parse(json.stdout);
    assert.equal(ranges.length, 7);
    assert.deepEqual(Object.keys(ranges[0]), ['module', 'low', 'high', 'clipped', 'scale', 'zero']);
    for (const [more, said] of /** @type {[string[], RegExp][]} */ ([
        [['--activations', 'static', '--type', 'q4_0'], /--activations is for folders/],
        [['--format', 'gptq', '--activations', 'static'], /are for format \(--format\) compressed-tensors/],
        [[...activations], /activations \(--activations\) static needs a calibration text/],
        [[...format, '--activations', 'dynamic', '--smooth', '0.5'], /smooth \(--smooth\) needs a calibration text/],
        [[...format, '--activations', 'dynamic', ...calibrated], /calibration \(--calibration\) is not needed/],
        [[...activations, ...calibrated, '--bits', '4'], /weights have 8 bits/],
        [[...activations, ...calibrated, '--percentile', '99'], /percentile \(--percentile\) is for ranges/],
        [[...format, '--method', 'gptq', ...calibrated, '--smooth', '1'], /smooth \(--smooth\) is for activations/],
        [[...activations, ...calibrated, '--smooth', '2'], /--smooth must be a number from 0 to 1/],
        [[...activations, ...calibrated, '--method', 'awq+gptq'], /take smooth/],
    ])) {
        const refused = run(...more, '--force');
        assert.equal(refused.status, 2, `${more.join(' ')}: ${refused.stdout}${refused.stderr}`);
        assert.match(refused.stderr, said);
    }
});

test('experts one by one, with dynamic inputs; nibble says that it does not round inputs', async () => {
    makeFolder('mixtral', at('mixtral'), { intermediate_size: 64 }, { 40: 64 });
    const { folder, tensors } = await make(at('mixtral'), 'experts', { activations: 'dynamic', threads: 1 });
    const expert = tensor(tensors, 'model.layers.0.block_sparse_moe.experts.1.w2.weight');
    assert.deepEqual([expert.dtype, expert.shape[1]], ['I8', 64]);
    const options = { ...TEXT, activations: /** @type {const} */ ('static') };
    await assert.rejects(
        make(at('mixtral'), 'static', options),
        /it is one of experts, whose inputs are dynamic in vLLM/,
    );
    const told = spawnSync(process.execPath, [`${root}web/cli.js`, 'inspect', folder], { encoding: 'utf8' });
    assert.match(told.stdout, /inputs +rounded by other programs/);
});

test('what cannot be made is refused, by name', async () => {
    for (const [source, said] of /** @type {[string, RegExp][]} */ ([
        [fixture('safetensors/gpt2'), /c_attn\.weight .* it is stored transposed/],
        [
            fixture('safetensors/mixtral'),
            /experts\.\d\.w2\.weight .* it has 40 columns, which must be a multiple of 32/,
        ],
        [fixture('safetensors/gemma'), /mlp\.down_proj\.weight .* it has 48 columns, which must be a multiple of 32/],
    ]))
        await assert.rejects(
            make(source, `refused-${Math.random()}`, { activations: 'dynamic', threads: 1 }),
            said,
            source,
        );
});
