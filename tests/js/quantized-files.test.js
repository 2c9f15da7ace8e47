// The files that quantize() writes are llama.cpp's, tensor by tensor: types and bytes
// (tests/oracles/quantized_files.py).
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { TYPES } from '../../web/abi.js';
import { load, quantize } from '../../web/index.js';
import { root } from '../support/builds.js';
import { parse, whole } from '../support/gguf.js';
import { logitsOf, logitsVectors } from '../support/vectors.js';

/** @typedef {import('../../web/index.js').QuantizeOptions} QuantizeOptions */
/** @typedef {import('../../web/index.js').PlannedTensor} PlannedTensor */
/**
 * @typedef {{ architecture: string, layers: number, heads: number, kvHeads: number, experts: number,
 *     tensors: Record<string, number[]> }} Model
 * @typedef {{ model: string, preset: import('../../web/index.js').Preset, importance: boolean, fileType: number,
 *     types: string, digests: string, source?: import('../../web/index.js').Preset,
 *     tensor_types?: [string, string][], output_tensor_type?: string,
 *     token_embedding_type?: string }} File
 */

const { models, files } = /** @type {{ models: Record<string, Model>, files: File[] }} */ (
    JSON.parse(readFileSync(`${root}tests/fixtures/formats/quantized-files.json`, 'utf8'))
);
const NAMES = new Map(Object.entries(TYPES).map(([name, number]) => [number, name.toUpperCase()]));

/** Integers for tensor k, as in the oracle. @param {number} k @param {number} i */
function mix(k, i) {
    let x = (Math.imul(i, 2654435761) + k * 40503 + 12345) >>> 0;
    x = Math.imul(x ^ (x >>> 15), 2246822519) >>> 0;
    return (x ^ (x >>> 13)) >>> 0;
}

/** @param {number} k @param {number} n */
const weights = (k, n) =>
    Float32Array.from({ length: n }, (_, i) => {
        const x = mix(k, i);
        return ((x & 255) + ((x >>> 8) & 255) + ((x >>> 16) & 255) + (x >>> 24) - 510) / 4096;
    });

/** @param {number} k @param {number} n */
const importance = (k, n) =>
    Float32Array.from({ length: n }, (_, i) => {
        const x = mix(k + 1000, i);
        return ((1 + (x & 255)) * (((x >>> 8) & 255) < 16 ? 64 : 1)) / 256;
    });

/** @param {Model} model */
function gguf({ architecture, layers, heads, kvHeads, experts, tensors }) {
    const values = new Map(
        /** @type {[string, import('../support/gguf.js').Value][]} */ ([
            ['general.architecture', ['string', architecture]],
            ['general.file_type', ['u32', 0]],
            [`${architecture}.block_count`, ['u32', layers]],
            [`${architecture}.attention.head_count`, ['u32', heads]],
            [`${architecture}.attention.head_count_kv`, ['u32', kvHeads]],
            [`${architecture}.expert_count`, ['u32', experts]],
        ]),
    );
    return whole(
        values,
        Object.entries(tensors).map(([name, shape], k) => {
            const data = new Uint8Array(
                weights(
                    k,
                    shape.reduce((a, b) => a * b),
                ).buffer,
            );
            return { name, shape, type: TYPES.f32, bytes: data.length, data };
        }),
    );
}

/** The importance matrix as a legacy file of llama.cpp. @param {Model} model */
function imatrix({ tensors }) {
    const entries = Object.entries(tensors)
        .map(([name, shape], k) => /** @type {const} */ ([name, shape, k]))
        .filter(([, shape]) => shape.length > 1);
    const parts = [Buffer.from(Int32Array.of(entries.length).buffer)];
    for (const [name, shape, k] of entries) {
        const numbers = importance(k, shape[0] * (shape[2] ?? 1));
        parts.push(
            Buffer.from(Int32Array.of(name.length).buffer),
            Buffer.from(name),
            Buffer.from(Int32Array.of(1, numbers.length).buffer),
            Buffer.from(numbers.buffer),
        );
    }
    return new Uint8Array(Buffer.concat(parts));
}

/** @param {import('../../web/index.js').Source} source @param {QuantizeOptions} options */
const bytesOf = async (source, options) =>
    new Uint8Array(await new Response(/** @type {any} */ (quantize(source, options))).arrayBuffer());

/** A hash of the bytes with a file's padding. @param {Uint8Array} data */
const digest = (data) =>
    createHash('sha256')
        .update(data)
        .update(new Uint8Array(-data.length & 31))
        .digest('hex')
        .slice(0, 8);

/** A metadata value of four bytes. @param {Map<string, any>} values @param {string} key */
const u32 = (values, key) => new DataView(values.get(key).buffer, values.get(key).byteOffset).getUint32(4, true);

/** @param {File} file @param {Uint8Array} source */
async function compare(file, source) {
    const model = models[file.model],
        label = JSON.stringify({ ...file, types: undefined, digests: undefined });
    const type = (/** @type {string | undefined} */ name) => /** @type {any} */ (name?.toLowerCase());
    const made = parse(
        await bytesOf(source, {
            type: file.preset,
            imatrix: file.importance ? imatrix(model) : undefined,
            requantize: file.source !== undefined,
            tensors: file.tensor_types?.map(([pattern, name]) => [pattern, type(name)]),
            outputType: type(file.output_tensor_type),
            tokenEmbeddingType: type(file.token_embedding_type),
        }),
    );
    const found = new Map(made.tensors.map((tensor) => [tensor.name, tensor]));
    const names = Object.keys(model.tensors),
        digests = file.digests.split(' ');
    assert.deepEqual(
        names.map((name) => NAMES.get(found.get(name)?.type ?? -1)),
        file.types.split(' '),
        label,
    );
    for (const [i, name] of names.entries())
        assert.equal(
            digest(/** @type {Uint8Array} */ (found.get(name)?.data)),
            digests[i],
            `${label}: the bytes of ${name}`,
        );
    assert.equal(u32(made.values, 'general.file_type'), file.fileType, label);
    assert.equal(u32(made.values, 'general.quantization_version'), 2, label);
}

for (const name of Object.keys(models))
    test(`the files made from the model ${name} are llama.cpp's`, async () => {
        const source = gguf(models[name]);
        /** @type {Map<string | undefined, Uint8Array>} */
        const sources = new Map([[undefined, source]]);
        for (const file of files.filter(({ model }) => model === name)) {
            if (!sources.has(file.source))
                sources.set(file.source, await bytesOf(source, { type: /** @type {any} */ (file.source) }));
            await compare(file, /** @type {Uint8Array} */ (sources.get(file.source)));
        }
    });

test('experts that are separate tensors, as in old files, use the importance of the stacked tensor', async () => {
    const model = models.experts,
        stacked = parse(gguf(model));
    const apart = stacked.tensors.flatMap((tensor) => {
        const [columns, rows, experts = 1] = tensor.shape,
            bytes = columns * rows * 4;
        if (!tensor.name.includes('_exps.')) return [tensor];
        return Array.from({ length: experts }, (_, i) => ({
            ...tensor,
            name: tensor.name.replace('_exps.', `.${i}.`),
            shape: [columns, rows],
            bytes,
            data: tensor.data?.subarray(i * bytes, (i + 1) * bytes),
        }));
    });
    const options = /** @type {const} */ ({ type: 'q4_0', imatrix: imatrix(model) });
    const together = parse(await bytesOf(whole(stacked.values, stacked.tensors), options)).tensors,
        parts = parse(await bytesOf(whole(stacked.values, apart), options)).tensors;
    const name = 'blk.1.ffn_up_exps.weight',
        all = /** @type {Uint8Array} */ (together.find((tensor) => tensor.name === name)?.data);
    for (let i = 0; i < model.experts; i++) {
        const part = parts.find((tensor) => tensor.name === name.replace('_exps.', `.${i}.`));
        const bytes = all.length / model.experts;
        assert.deepEqual(part?.data, all.subarray(i * bytes, (i + 1) * bytes), `expert ${i}`);
    }
});

/**
 * @param {import('../../web/index.js').Source} source
 * @param {import('../../web/index.js').LoadOptions} options
 * @param {number[]} tokens
 */
async function logits(source, options, tokens) {
    const model = await load(source, { threads: 1, kvType: 'f32', ...options });
    try {
        return { rows: await logitsOf(model, tokens), info: model.info };
    } finally {
        await model.dispose();
    }
}

test('a file gives the same logits as load() with the same preset', async () => {
    /** @type {[string, string, import('../../web/index.js').Preset][]} */
    const cases = [
        ['models/head-size.gguf', 'models/head-size.json', 'q8_0'],
        ['quantize/plain', 'quantize/plain-nf4.json', 'q4_k_m'],
        ['quantize/plain', 'quantize/plain-nf4.json', 'nf4'],
        ['safetensors/gpt2', 'safetensors/gpt2.json', 'q5_1'],
        ['safetensors/mixtral', 'safetensors/mixtral.json', 'q8_0'],
    ];
    for (const [source, vectors, type] of cases) {
        const path = `${root}tests/fixtures/${source}`,
            { tokens } = logitsVectors(vectors);
        const loaded = await logits(path, { quantize: type }, tokens),
            written = await logits(await bytesOf(path, { type }), {}, tokens);
        assert.deepEqual(written.rows, loaded.rows, `${source} as ${type}`);
    }
});

test("a folder's vectors become F32, as llama.cpp needs them", async () => {
    const { tensors } = parse(await bytesOf(`${root}tests/fixtures/quantize/plain`, { type: 'q8_0' }));
    assert.deepEqual(
        [...new Set(tensors.filter(({ shape }) => shape.length === 1).map(({ type }) => type))],
        [TYPES.f32],
    );
});

test('a longer search gives other codes of the same types', async () => {
    const source = gguf(models.narrow),
        types = (/** @type {Uint8Array} */ file) => parse(file).tensors.map(({ type }) => type);
    const [reference, best] = [
        await bytesOf(source, { type: 'q4_0' }),
        await bytesOf(source, { type: 'q4_0', search: 'best' }),
    ];
    assert.deepEqual(types(best), types(reference));
    assert.notDeepEqual(best, reference);
});

test('threads share the work, and the bytes are the same', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nibble-'));
    try {
        const path = join(folder, 'model.gguf'),
            source = gguf(models.dense);
        writeFileSync(path, source);
        for (const type of /** @type {const} */ (['q4_k_m', 'nf4'])) {
            const doubleQuant = type === 'nf4',
                one = await bytesOf(source, { type, doubleQuant }); // a source of bytes is read by one thread
            for (const threads of [1, 2]) assert.deepEqual(await bytesOf(path, { type, doubleQuant, threads }), one);
        }
        const bad = source.slice(),
            { tensors } = parse(source),
            last = /** @type {Uint8Array} */ (tensors.at(-1)?.data);
        new DataView(bad.buffer, last.byteOffset - source.byteOffset).setFloat32(0, NaN, true);
        writeFileSync(path, bad);
        await assert.rejects(bytesOf(path, { type: 'q8_0', threads: 2 }), /index 0 .*NaN/);
    } finally {
        rmSync(folder, { recursive: true });
    }
});

test('numbers that are not finite are named by tensor and index', async () => {
    const source = gguf(models.narrow),
        { tensors } = parse(source);
    for (const [name, index, number, said] of /** @type {[string, number, number, string][]} */ ([
        ['blk.1.attn_q.weight', 100, NaN, 'index 100 (row 1, column 4): NaN'],
        ['blk.0.ffn_norm.weight', 95, -Infinity, 'index 95 (row 0, column 95): -infinity'],
        ['token_embd.weight', 0, Infinity, 'index 0 (row 0, column 0): infinity'],
    ])) {
        const bad = source.slice(),
            { data } = /** @type {{ data: Uint8Array }} */ (tensors.find((tensor) => tensor.name === name));
        new DataView(bad.buffer, data.byteOffset - source.byteOffset).setFloat32(4 * index, number, true);
        await assert.rejects(
            bytesOf(bad, { type: 'q4_k_m' }),
            (/** @type {Error} */ { message }) => message.includes(`tensor ${name} has`) && message.includes(said),
            name,
        );
    }
});

test('quantized models, and types that need an importance matrix, are refused', async () => {
    const small = `${root}tests/fixtures/models/type-q4_0.gguf`,
        dense = gguf(models.dense);
    await assert.rejects(
        bytesOf(small, { type: 'q8_0' }),
        /tensor \S+ is of type Q4_0, quantized already.*\(--requantize\)/,
    );
    assert.ok((await bytesOf(small, { type: 'q8_0', requantize: true })).length > 0);
    await assert.rejects(
        bytesOf(dense, { type: 'iq2_xs' }),
        /would become IQ2_XS.*without an importance matrix, and none is given; give one \(--imatrix; /,
    );
    await assert.rejects(load(dense, { quantize: 'iq2_xs' }), /would become IQ2_XS/);
    const { tensors, ...other } = models.dense,
        some = Object.fromEntries(Object.entries(tensors).slice(0, 8));
    await assert.rejects(
        bytesOf(dense, { type: 'iq2_xs', imatrix: imatrix({ ...other, tensors: some }) }),
        /the one that is given has nothing for it/,
    );
    await assert.rejects(bytesOf(dense, { type: 'q4_k_m', imatrix: new Uint8Array(20) }), /importance matrix/);
});

test('the first pattern that matches a name counts; tensors that cannot be quantized stay', async () => {
    /** @type {PlannedTensor[]} */
    let plan = [];
    await bytesOf(gguf(models.narrow), {
        type: 'q4_0',
        tensors: { 'blk\\.0\\..*_q': 'f16', attn: 'q8_0', ffn_up: 'q6_k' },
        onPlan: (tensors) => {
            plan = tensors;
        },
    });
    const of = (/** @type {string} */ name) => plan.find((tensor) => tensor.name === name);
    assert.deepEqual(of('blk.0.attn_q.weight'), {
        name: 'blk.0.attn_q.weight',
        from: 'f32',
        wanted: 'f16',
        type: 'f16',
    });
    assert.equal(of('blk.1.attn_q.weight')?.type, 'q8_0');
    assert.equal(of('blk.0.attn_norm.weight')?.type, 'f32');
    assert.deepEqual(of('blk.0.ffn_up.weight'), {
        name: 'blk.0.ffn_up.weight',
        from: 'f32',
        wanted: 'q6_k',
        type: 'q8_0',
    });
});

test('wrong options are refused at once', () => {
    const go = (/** @type {any} */ options) => () => quantize('model.gguf', options);
    assert.throws(go(undefined), /which type\? Pass type \(--type\), one of nf4, .*q4_k_m.*; or a budget: bits/);
    assert.throws(go({ type: 'q4' }), /type must be one of nf4, .*q4_k_m.*not "q4"/);
    assert.throws(
        go({ type: 'q4_0', tensors: { a: 'q4_k_m' } }),
        /"a" gets the type "q4_k_m", but it must be one of f32, /,
    );
    assert.throws(go({ type: 'q4_0', tensors: { '(': 'q4_0' } }), /"\(" is no regular expression/);
    assert.throws(go({ type: 'q4_0', tensors: 'q4_0' }), /tensors must be an object like/);
    assert.throws(go({ type: 'q4_0', tensor: {} }), /no option "tensor"; did you mean "tensors"/);
    assert.throws(go({ type: 'q4_0', imatrix: 'file' }), /imatrix must be the bytes/);
    assert.throws(go({ type: 'q4_0', onPlan: 1 }), /onPlan must be a function/);
    assert.throws(go({ type: 'q4_0', doubleQuant: true }), /doubleQuant/);
});

test('aborting and cancelling end it at any moment, and a listener that throws does, too', async () => {
    const source = gguf(models.dense),
        reason = new Error('enough');
    const aborted = AbortSignal.abort(reason);
    await assert.rejects(bytesOf(source, { type: 'q8_0', signal: aborted }), reason);
    for (const delay of [0, 20, 60, 150]) {
        // the worker starts, reads, writes, or is done
        const controller = new AbortController(),
            stalled = new ReadableStream({
                // it never ends by itself
                start: (feed) => feed.enqueue(source.slice(0, source.length - 1000)),
            });
        setTimeout(() => controller.abort(reason), delay);
        await assert.rejects(
            bytesOf(stalled, { type: 'q8_0', signal: controller.signal }),
            reason,
            `after ${delay} ms`,
        );
    }
    const stream = quantize(source, { type: 'q8_0' }).getReader();
    assert.ok((await stream.read()).value?.length);
    await stream.cancel();
    const thrown = () => {
        throw new Error('no');
    };
    await assert.rejects(bytesOf(source, { type: 'q8_0', onProgress: thrown }), /onProgress threw: no/);
    await assert.rejects(bytesOf(source, { type: 'q8_0', onPlan: thrown }), /onPlan threw: no/);
});
