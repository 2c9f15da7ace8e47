// Weights that are quantized while they are loaded: logits are those of bitsandbytes' weights of the same model, and
// every preset works. (tests/core/test_quantize.c compares the blocks with those of bitsandbytes and llama.cpp.)
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { openAsBlob, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load, quantize } from '../../web/index.js';
import { LOAD_OPTIONS } from '../../web/options.js';
import { root } from '../support/builds.js';
import { configurations, cosine, logitsOf, logitsVectors } from '../support/vectors.js';

/** @typedef {import('../../web/index.js').LoadOptions} LoadOptions */
/** @typedef {NonNullable<LoadOptions['quantize']>} Name */

const folder = `${root}tests/fixtures/quantize/plain`,
    vectors = 'quantize/plain-nf4.json';
const ONE = { threads: 1, kvType: /** @type {'f32'} */ ('f32') };
/** name, doubleQuant, its vectors, a type that it makes, the tolerance of logits. */
const WAYS = /** @type {[Name, boolean, string, string, number][]} */ ([
    // activations have 16 bits, the values of NF4 and FP4 have 13; scales are in half precision
    ['nf4', false, 'nf4', 'NF4', 1e-2],
    ['fp4', false, 'fp4', 'FP4', 1e-2],
    ['nf4', true, 'nf4-double', 'NF4', 1e-2],
    ['int8', false, 'int8', 'Q8_0', 2e-2],
]);

/** @param {import('../../web/index.js').Source} source @param {LoadOptions} options */
async function run(source, options, tokens = logitsVectors(vectors).tokens) {
    const model = await load(source, { ...ONE, ...options });
    try {
        return { rows: await logitsOf(model, tokens), info: model.info };
    } finally {
        await model.dispose();
    }
}

for (const { build, threads } of configurations(true))
    test(`as bitsandbytes quantizes, ${build}: logits are transformers'`, async () => {
        for (const [quantize, doubleQuant, name, type, tolerance] of WAYS) {
            const expected = logitsVectors(`quantize/plain-${name}.json`);
            const { rows, info } = await run(folder, { build, threads, quantize, doubleQuant });
            assert.equal(info.types.find((entry) => entry.type === type)?.tensors, 7, JSON.stringify(info.types));
            for (const [i, row] of rows.entries())
                for (const [j, entry] of expected.entries.entries())
                    assert.ok(
                        Math.abs(row[entry] - expected.rows[i][j]) < tolerance,
                        `${name}, position ${i}: ${row[entry]}, not ${expected.rows[i][j]}`,
                    );
        }
    });

test('every preset quantizes, and fewer bits are smaller', async () => {
    const plain = await run(folder, {});
    /** @type {Record<string, number>} */
    const bytes = {};
    for (const name of /** @type {Name[]} */ (LOAD_OPTIONS.quantize.choices)) {
        const { info, rows } = await run(folder, { quantize: name });
        bytes[name] = info.bytes;
        assert.ok(
            rows.every((row) => row.every(Number.isFinite)),
            name,
        );
        assert.ok(info.bytes < plain.info.bytes || /f16|f32/.test(name), `${name}: ${info.bytes} bytes`);
    }
    // rows of 64 are too short for K-quants, so these become other types, as in llama.cpp
    assert.ok(
        bytes.q4_0 < bytes.q4_1 && bytes.q4_1 < bytes.q5_0 + 1 && bytes.q5_0 < bytes.q8_0 && bytes.q8_0 < bytes.f16,
        JSON.stringify(bytes),
    );
});

test('one GGUF: from a path, a Blob, a stream, quantized alike; what is quantized stays', async () => {
    const path = `${root}tests/fixtures/models/head-size.gguf`,
        tokens = logitsVectors('models/head-size.json').tokens;
    const wanted = await run(path, { quantize: 'q8_0' }, tokens);
    assert.ok(
        wanted.info.types.some(({ type }) => type === 'Q8_0'),
        JSON.stringify(wanted.info.types),
    );
    assert.equal(wanted.info.format, 'GGUF');
    const blob = await openAsBlob(path);
    for (const source of [blob, blob.stream(), new Uint8Array(await blob.arrayBuffer())])
        assert.deepEqual((await run(source, { quantize: 'q8_0' }, tokens)).rows, wanted.rows);
    const quantized = `${root}tests/fixtures/models/type-q4_0.gguf`,
        same = logitsVectors('models/type-q4_0.json').tokens;
    const before = await run(quantized, {}, same),
        after = await run(quantized, { quantize: 'q8_0' }, same);
    assert.equal(
        after.info.types.find(({ type }) => type === 'Q4_0')?.tensors,
        before.info.types.find(({ type }) => type === 'Q4_0')?.tensors,
    );
});

test('transposed, reordered and stacked tensors are quantized, too', async () => {
    /**
     * @type {[string, Name, boolean, string, RegExp, number][]} model, preset, doubleQuant, a resulting type, the
     *     tensors that get it, how many there are
     */
    const cases = [
        ['gpt2', 'q8_0', false, 'Q8_0', /attn_qkv|attn_output|ffn/, 4],
        ['gpt2', 'nf4', false, 'NF4', /ffn_down/, 1],
        ['gpt2', 'nf4', true, 'NF4', /ffn_down/, 1],
        ['gpt-neox', 'q8_0', false, 'Q8_0', /attn_qkv/, 2],
        ['falcon-40b', 'q8_0', false, 'Q8_0', /attn_qkv/, 2],
        ['mixtral', 'q8_0', false, 'Q8_0', /ffn_(gate|up)_exps/, 2],
    ];
    for (const [name, quantize, doubleQuant, type, tensors, count] of cases) {
        const { tokens, entries, rows: expected } = logitsVectors(`safetensors/${name}.json`);
        const { rows, info } = await run(
            `${root}tests/fixtures/safetensors/${name}`,
            { quantize, doubleQuant },
            tokens,
        );
        assert.equal(
            info.tensors.filter((t) => t.type === type && tensors.test(t.name)).length,
            count,
            JSON.stringify(info.tensors),
        );
        const alike = cosine(
            rows.flatMap((row) => entries.map((entry) => row[entry])),
            expected.flatMap((row) => [...row]),
        );
        assert.ok(alike > 0.995, `${name} as ${quantize}: ${alike}`);
    }
});

test('wrong names are refused, and the command line quantizes', async () => {
    await assert.rejects(load(folder, { ...ONE, quantize: /** @type {any} */ ('q3') }), /quantize.*one of.*nf4/);
    await assert.rejects(
        load(folder, { ...ONE, quantize: 'q8_0', doubleQuant: true }),
        /doubleQuant.*needs quantize.*nf4 or fp4/,
    );
    const said = execFileSync(
        process.execPath,
        [
            `${root}web/cli.js`,
            'run',
            folder,
            '--quantize',
            'nf4',
            '--double-quant',
            '--prompt',
            'the',
            '--max-tokens',
            '2',
            '--json',
        ],
        { encoding: 'utf8' },
    );
    assert.match(said, /"tokens"/);
});

test('with an importance matrix, load() gives the same model as the file that quantize() makes with it', async () => {
    const path = `${root}tests/fixtures/models/mixtral.gguf`,
        { tokens } = logitsVectors('models/mixtral.json'),
        imatrix = new Uint8Array(readFileSync(`${root}tests/fixtures/imatrix/mixtral.gguf`));
    const stream = /** @type {any} */ (quantize(path, { type: 'q4_0', imatrix, requantize: true }));
    const file = new Uint8Array(await new Response(stream).arrayBuffer());
    const wanted = await run(file, {}, tokens);
    assert.deepEqual((await run(path, { quantize: 'q4_0', imatrix }, tokens)).rows, wanted.rows);
    assert.notDeepEqual((await run(path, { quantize: 'q4_0' }, tokens)).rows, wanted.rows);
    await assert.rejects(
        load(path, { imatrix }),
        /imatrix \(--imatrix\) is for weights that are quantized: pass quantize \(--quantize\) as well/,
    );
    await assert.rejects(
        load(path, { quantize: 'q4_0', imatrix: new Uint8Array(9) }),
        /^NibbleError: load\(\): imatrix/,
    );
    const wrong = /** @type {any} */ ({ quantize: 'q4_0', imatrix: 'a' });
    await assert.rejects(load(path, wrong), /imatrix must be the bytes of an importance matrix/);
});
