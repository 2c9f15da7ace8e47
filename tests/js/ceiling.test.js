// The ceiling of `nibble bench`: the module that reads and multiplies, what a model has to do, and the formula.
// tests/js/cli.test.js runs the command.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ceilingOf, measureMachine, TYPES, wayOf, workOf } from '../../web/cli/ceiling.js';
import { instantiate, OTHERS, productsOf, STEP, STREAMS, WAYS } from '../../web/cli/ceiling-module.js';
import { load } from '../../web/index.js';
import { builds, root } from '../support/builds.js';

const isRelaxed = builds.some(({ relaxed, supported }) => relaxed && supported),
    ways = Object.keys(WAYS).filter((way) => isRelaxed || way === 'words' || way === 'floats');
const source = (/** @type {string} */ path) => readFileSync(root + path, 'utf8');

test('read() reads each word of four streams once, and nothing else', () => {
    const memory = new WebAssembly.Memory({ initial: 1 }),
        words = new Int32Array(memory.buffer);
    for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + 1, 2654435761);
    const { read } = instantiate('words', memory);
    for (const [at, stride, bytes] of [
        [0, STEP, STEP],
        [128, 1024, 3 * STEP],
        [STEP, 12_800, 12_800],
        [65536 - 4 * 256, 256, 256],
    ]) {
        let all = 0;
        for (let stream = 0; stream < STREAMS; stream++)
            for (let i = 0; i < bytes; i += 4) all ^= words[(at + stream * stride + i) / 4];
        assert.equal(read(at, stride, at + bytes), all, `${at}, ${stride}, ${bytes}`);
    }
});

/** What multiply() gives, lane by lane. @param {string} way @param {ArrayBuffer} memory @param {number} count */
function expected(way, memory, count) {
    const { sums, loads, others } = WAYS[way],
        isFloat = /floats/i.test(way),
        Operands = isFloat ? Float32Array : way === 'words' ? Int16Array : Int8Array,
        Sums = isFloat ? Float32Array : way === 'bytesInParts' ? Int16Array : Int32Array;
    let all = 0,
        products = 0;
    for (let i = 0; i < sums; i++) {
        const words = new Int32Array(4).fill(i),
            sum = new Sums(words.buffer);
        for (let left = count; left > 0; left--) {
            const a = new Operands(memory, 32 * (left % 128) + 16 * (i % loads)),
                b = new Operands(memory, OTHERS + 16 * (Math.floor(i / loads) % others)),
                each = 16 / Operands.BYTES_PER_ELEMENT / sum.length;
            for (let lane = 0; lane < sum.length; lane++)
                for (let k = lane * each; k < (lane + 1) * each; k++, products++) sum[lane] += a[k] * b[k];
        }
        all = words.reduce((x, word) => x ^ word, all);
    }
    return { all, products };
}

for (const way of ways)
    test(`multiply() takes as many steps as it is told: ${way}`, () => {
        const memory = new WebAssembly.Memory({ initial: 1 });
        // sums of these floats are exact, so that it does not matter whether a product is rounded; bytes have 7 bits
        if (/floats/i.test(way))
            new Float32Array(memory.buffer).set(Array.from({ length: 2048 }, (_, i) => 1 + (i % 7)));
        else new Uint8Array(memory.buffer).set(Array.from({ length: 8192 }, (_, i) => (i * 37 + (i >> 8)) % 128));
        const { multiply } = instantiate(way, memory);
        for (const count of [1, 2, 3, 127, 128, 300])
            assert.deepEqual(
                { all: multiply(count), products: productsOf(way, count) },
                expected(way, memory.buffer, count),
                `${count} steps`,
            );
    });

test('the types are those of the kernels', () => {
    const lists = source('src/kernels/matmul.h'),
        shared = source('src/kernels/packing.c').match(/uint32_t nb_kernel_type[\s\S]*?\n}/)?.[0] ?? '';
    const list = (/** @type {string} */ name) =>
        [
            ...(
                lists.match(new RegExp(`#define NB_MATMUL_${name}_TYPES.*\\\\\\n([\\s\\S]*?)\\n[#/]`))?.[1] ?? ''
            ).matchAll(/X\(\w+, (\w+), form/g),
        ].map(([, type]) => type);
    /** @type {string[]} */
    let waiting = [];
    /** @type {[string, string][]} */
    const others = [];
    for (const [, from, to] of shared.matchAll(/case NB_TYPE_(\w+):|return NB_TYPE_(\w+);/g)) {
        if (from) waiting.push(from);
        else {
            others.push(...waiting.map((type) => /** @type {[string, string]} */ ([type, to])));
            waiting = [];
        }
    }
    assert.equal(others.length, 7);
    const withOthers = (/** @type {string[]} */ types) =>
        [...types, ...others.filter(([, to]) => types.includes(to)).map(([type]) => type)].sort();
    const bytes = list('Q8');
    assert.ok(bytes.length > 5);
    assert.deepEqual([...TYPES.BYTES].sort(), withOthers(bytes));
    assert.deepEqual([...TYPES.HALVES].sort(), withOthers([...bytes, ...list('HALVES')]));
    assert.deepEqual([...TYPES.WIDE].sort(), withOthers(list('WIDE')));
});

test('each build multiplies in its own way', () => {
    const way = (/** @type {Parameters<typeof wayOf>} */ ...of) => Object.values(wayOf(...of)).join();
    assert.equal(way('Q4_0', 'simd128', 'fast'), 'words,1');
    assert.equal(way('Q4_0', 'relaxed-threads', 'exact'), 'words,1');
    assert.equal(way('Q4_0', 'relaxed', 'fast'), 'bytesInParts,1');
    assert.equal(way('Q4_0', 'relaxed-dot', 'exact'), 'bytes,2');
    assert.equal(way('Q4_0', 'relaxed-dot-threads', 'fast'), 'bytes,1');
    assert.equal(way('Q5_1', 'relaxed-dot', 'fast'), 'bytes,2');
    assert.equal(way('Q8_0', 'relaxed-dot', 'fast'), 'words,1');
    assert.equal(way('F16', 'simd128-threads', 'exact'), 'floats,1');
    assert.equal(way('F16', 'relaxed-dot', 'fast'), 'fusedFloats,1');
    assert.equal(way('I8', 'integer-threads', 'exact'), 'words,1');
});

/** @param {string} name @param {string} type @param {number[]} shape @param {number} bits of a weight in the file */
const tensor = (name, type, shape, bits) => ({
    name,
    type,
    shape,
    bytes: (shape.reduce((product, side) => product * side) * bits) / 8,
});
const info = (/** @type {ReturnType<typeof tensor>[]} */ ...tensors) =>
    /** @type {Parameters<typeof workOf>[0]} */ ({ tensors, architecture: 'a', metadata: {}, build: 'simd128' });

test('a token reads all weights, but one row of embeddings, and the experts that it uses', () => {
    const embedding = tensor('token_embd.weight', 'Q8_0', [64, 1000], 8.5),
        matrix = tensor('blk.0.attn_q.weight', 'Q4_0', [64, 32], 4.5),
        norm = tensor('output_norm.weight', 'F32', [64], 32);
    // the output matrix is the embedding
    assert.deepEqual(workOf(info(embedding, matrix, norm), 'exact', 1), {
        tokens: 1,
        bytes: 68_000 + 1152 + 256,
        multiplyAdds: 64_000 + 2048,
        products: { words: 64_000 + 2048 },
    });
    // a prompt is multiplied with the output matrix only once
    assert.deepEqual(workOf(info(embedding, matrix, norm), 'exact', 10), {
        tokens: 10,
        bytes: 68_000 + 1152 + 256,
        multiplyAdds: 64_000 + 10 * 2048,
        products: { words: 64_000 + 10 * 2048 },
    });
    const output = tensor('output.weight', 'F16', [64, 1000], 16);
    assert.deepEqual(workOf(info(embedding, output), 'exact', 3), {
        tokens: 3,
        bytes: 3 * 68 + 128_000,
        multiplyAdds: 64_000,
        products: { floats: 64_000 },
    });
    const experts = [
        tensor('blk.0.ffn_up_exps.weight', 'Q4_0', [64, 32, 8], 4.5),
        tensor('blk.0.ffn_up_shexp.weight', 'Q4_0', [64, 32], 4.5),
        tensor('blk.1.ffn_gate.7.weight', 'Q4_0', [64, 32], 4.5),
    ];
    const metadata = { 'a.expert_count': 8, 'a.expert_used_count': 2 };
    assert.equal(workOf({ ...info(...experts), metadata }, 'exact', 1).bytes, 2 * 1152 + 1152 + 1152 / 4);
    assert.equal(workOf({ ...info(...experts), metadata }, 'exact', 1).multiplyAdds, 2 * 2048 + 2048 + 2048 / 4);
});

test('weights that take more memory than in the file count as they are in memory', () => {
    const bits = (/** @type {string} */ type, /** @type {number} */ inFile) =>
        workOf(info(tensor('w', type, [256, 4], inFile)), 'exact', 1).bytes / 128;
    // the comment on the layouts in src/kernels/packing.h
    for (const [type, inFile, more] of /** @type {const} */ ([
        ['Q4_K', 4.5, 2.8],
        ['Q5_K', 5.5, 2.3],
        ['Q3_K', 3.4375, 3.6],
        ['IQ4_XS', 4.25, 1.5],
        ['MXFP4', 4.25, 17.6],
        ['Q6_K', 6.5625, 0],
    ]))
        assert.equal((100 * (bits(type, inFile) / inFile - 1)).toFixed(1), more.toFixed(1), type);
    for (const [type, inFile, held] of /** @type {const} */ ([
        ['IQ1_S', 1.5625, 3.6],
        ['IQ2_XS', 2.3125, 3.6],
        ['IQ3_XXS', 3.0625, 4.6],
        ['TQ1_0', 1.6875, 2.1],
    ]))
        assert.equal(bits(type, inFile).toFixed(1), held.toFixed(1), type);
});

test('of a mixture of experts a token uses some', async () => {
    const model = await load(`${root}tests/fixtures/models/mixtral.gguf`, { headerOnly: true }),
        { info } = model,
        all = workOf({ ...info, metadata: { 'llama.expert_count': 1, 'llama.expert_used_count': 1 } }, 'exact', 1),
        some = workOf(info, 'exact', 1);
    await model.dispose();
    const { 'llama.expert_count': count, 'llama.expert_used_count': used } = info.metadata,
        ofExperts = info.tensors
            .filter(({ name }) => name.includes('_exps'))
            .reduce((sum, { shape: [a, b, c] }) => sum + a * b * c, 0);
    assert.ok(ofExperts > 0 && Number(used) < Number(count));
    assert.equal(all.multiplyAdds - some.multiplyAdds, ofExperts * (1 - Number(used) / Number(count)));
    assert.ok(some.bytes < all.bytes && all.bytes <= info.bytes);
});

test('the slower of reading and multiplying limits', () => {
    const work = { tokens: 10, bytes: 600, multiplyAdds: 4000, products: { bytes: 400, floats: 50 } };
    const machine = { readBytesPerSecond: 300, productsPerSecond: { bytes: 400, floats: 100 } };
    // multiplying takes 1 + 0.5 seconds, reading 2
    assert.deepEqual(ceilingOf(work, machine, 4), {
        share: 0.8,
        tokensPerSecond: 5,
        limit: 'reading',
        bytesPerToken: 60,
        readBytesPerSecond: 300,
        multiplyAddsPerToken: 400,
        multiplyAddsPerSecond: 4000 / 1.5,
    });
    const { limit, tokensPerSecond } = ceilingOf(work, { ...machine, readBytesPerSecond: 600 }, 4);
    assert.deepEqual([limit, tokensPerSecond], ['multiplying', 10 / 1.5]);
});

test('the machine is measured by several threads, and can be stopped', async () => {
    const task = { threads: 2, bytes: 1e6, ways, rounds: 1 };
    const machine = await measureMachine(task);
    for (const rate of [machine.readBytesPerSecond, ...ways.map((way) => machine.productsPerSecond[way])])
        assert.ok(Number.isFinite(rate) && rate > 0, JSON.stringify(machine));
    const interrupt = new AbortController(),
        stopped = measureMachine({ ...task, rounds: 500 }, interrupt.signal);
    setTimeout(() => interrupt.abort(), 50);
    await assert.rejects(stopped, { name: 'AbortError' });
});
