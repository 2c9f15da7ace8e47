// quantize() with `outliers`: LLM.int8() with outlier columns in 16 bits. The columns, both parts of each matrix, and
// the logits are those of tests/oracles/outlier_vectors.py; without outlier columns the logits are far from these.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { load, quantize } from '../../web/index.js';
import { root } from '../support/builds.js';
import { parse } from '../support/gguf.js';
import { nibbleError } from '../support/nibble-error.js';
import { configurations, logitsOf, logitsVectors, relativeDistance } from '../support/vectors.js';

/** @typedef {import('../../web/index.js').QuantizeOptions} QuantizeOptions */

const source = `${root}tests/fixtures/quantize/outlier-inputs.gguf`,
    expected =
        /** @type {import('../support/vectors.js').LogitsVectors & { text: string, context: number, threshold: number,
    matrices: Record<string, { columns: number[], codes: string, kept: string }> }} */ (
            logitsVectors('quantize/outlier-inputs.json')
        ),
    { text, context, threshold } = expected;
/** @type {QuantizeOptions} */
const options = { type: 'int8', outliers: threshold, calibration: text, context };

const temporary = mkdtempSync(join(tmpdir(), 'nibble-'));
after(() => rmSync(temporary, { recursive: true }));

/** @param {import('../../web/index.js').Source} from @param {QuantizeOptions} options */
const made = async (from, options) => Buffer.from(await new Response(quantize(from, options)).arrayBuffer());

/** @type {Buffer} */
let file, /** @type {Buffer} */ plain;
before(async () => {
    file = await made(source, options);
    plain = await made(source, { type: 'int8' });
});

/** @param {Buffer} bytes */
const tensorsOf = (bytes) => new Map(parse(bytes).tensors.map((tensor) => [tensor.name, tensor]));
const digest = (/** @type {Uint8Array} */ bytes) => createHash('sha256').update(bytes).digest('hex');
/** The codes of Q8_0 blocks, which have 2 bytes of scale and 32 codes. @param {Uint8Array} blocks */
const codesOf = (blocks) => blocks.filter((_, i) => i % 34 >= 2);

test("the columns are the oracle's, and so are both parts of each matrix", () => {
    const tensors = tensorsOf(file);
    for (const [name, { columns, codes, kept }] of Object.entries(expected.matrices)) {
        const beside = name.replace(/weight$/, ''),
            /** @type {any} */ list = tensors.get(`${beside}outlier_columns`),
            /** @type {any} */ weights = tensors.get(`${beside}outliers`),
            /** @type {any} */ matrix = tensors.get(name),
            rows = matrix.shape[1];
        assert.deepEqual([list.type, list.shape], [26, [columns.length]], name);
        assert.deepEqual([...new Int32Array(Uint8Array.from(list.data).buffer, 0, columns.length)], columns, name);
        assert.deepEqual([weights.type, weights.shape], [1, [columns.length, rows]], name);
        assert.equal(digest(weights.data.subarray(0, 2 * columns.length * rows)), kept, name);
        assert.equal(matrix.type, 8, name);
        assert.equal(digest(codesOf(matrix.data.subarray(0, (34 / 32) * matrix.shape[0] * rows))), codes, name);
    }
    const more = 2 * Object.keys(expected.matrices).length;
    assert.equal(tensors.size, tensorsOf(plain).size + more);
});

/** The relative distance of logits from the oracle's. @param {Float32Array[]} rows */
function distance(rows) {
    let off = 0,
        all = 0;
    for (const [position, row] of rows.entries())
        for (const [i, entry] of expected.entries.entries()) {
            off += (row[entry] - expected.rows[position][i]) ** 2;
            all += expected.rows[position][i] ** 2;
        }
    return Math.sqrt(off / all);
}

// nibble rounds the inputs of the 8-bit part to 16 bits, and the oracle does not
for (const { build, threads } of configurations())
    test(`logits are the oracle's, ${build}, ${threads} threads`, async (t) => {
        for (const precision of /** @type {const} */ (['exact', 'fast'])) {
            const distances = [];
            for (const bytes of [file, plain]) {
                const model = await load(bytes, { build, threads, precision, kvType: 'f32' });
                distances.push(distance(await logitsOf(model, expected.tokens)));
                await model.dispose();
            }
            t.diagnostic(`${precision}: ${distances.map((x) => x.toExponential(2)).join(', without outliers ')}`);
            assert.ok(distances[0] < 1e-3, `${precision}: ${distances[0]}`);
            assert.ok(distances[1] > 10 * distances[0], `${precision}: without outliers ${distances[1]}`);
        }
    });

test('any number of threads gives the same bytes; with a high threshold nothing differs from int8', async () => {
    assert.equal(
        digest(await made(source, { ...options, threads: 2 })),
        digest(await made(source, { ...options, threads: 1 })),
    );
    assert.equal(digest(await made(source, { ...options, outliers: 1e5 })), digest(plain));
});

test('a tensor that a pattern names has no outlier columns', async () => {
    const some = await made(source, { ...options, tensors: { 'blk\\.0\\.ffn_up': 'q8_0', attn_k: 'f16' } }),
        names = [...tensorsOf(some).keys()].filter((name) => name.endsWith('.outliers'));
    assert.equal(names.length, Object.keys(expected.matrices).length - 3);
    assert.ok(!names.some((name) => /attn_k|blk\.0\.ffn_up/.test(name)));
});

test('a folder; other families: experts, merged and transposed matrices', async () => {
    const calibration = 'abcdefghij klmno pqrst uvwxyz 0123456789 ABCDEF. '.repeat(4);
    for (const name of ['quantize/plain', 'models/mixtral.gguf', 'models/phi3.gguf', 'models/gpt2.gguf']) {
        const from = `${root}tests/fixtures/${name}`,
            bytes = await made(from, { type: 'int8', outliers: 1.5, calibration, context: 16, samples: 3 }),
            names = [...tensorsOf(bytes).keys()].filter((each) => each.endsWith('.outliers'));
        assert.ok(names.length > 0 && !names.some((each) => each.includes('_exps')), `${name}: ${names}`);
        const model = await load(bytes, { threads: 1 });
        const [row] = await logitsOf(model, [1, 2, 3]);
        assert.ok(row.every(Number.isFinite), name);
        await model.dispose();
    }
});

test('a file whose matrices and output have scales (X.scale): these count for both parts of a matrix', async () => {
    const from = `${root}tests/fixtures/models/nvfp4-scales.gguf`,
        usual = /** @type {const} */ ({ type: 'int8', requantize: true }),
        calibration = 'abcdefghij klmno pqrst uvwxyz 0123456789 ABCDEF. '.repeat(4);
    const rows = [];
    for (const more of [{}, { outliers: 1, calibration, context: 16, samples: 3 }]) {
        const bytes = await made(from, { ...usual, ...more });
        assert.equal(tensorsOf(bytes).has('blk.0.attn_q.outliers'), 'outliers' in more);
        const model = await load(bytes, { threads: 1 });
        rows.push((await logitsOf(model, [1, 2, 3, 4]))[3]);
        await model.dispose();
    }
    const [int8, apart] = rows,
        norm = (/** @type {Float32Array} */ x) => Math.hypot(...x);
    assert.ok(norm(apart.map((x, i) => x - int8[i])) < 0.05 * norm(int8));
});

test('the columns stay where such a file is quantized again', async () => {
    const again = tensorsOf(await made(file, { type: 'q4_0', requantize: true }));
    for (const [name, { type, data }] of tensorsOf(file))
        if (name.includes('.outlier')) assert.deepEqual(again.get(name)?.data, data, name);
        else if (name in expected.matrices) assert.notEqual(again.get(name)?.type, type, name);
});

test('GPTQ moves no error into outlier columns, where the other part has no weights', async () => {
    const from = join(temporary, 'of-int8.gguf');
    writeFileSync(from, file);
    const again = /** @type {const} */ ({ type: 'q4_0', requantize: true }),
        gptq = await made(from, { ...again, method: 'gptq', calibration: text, context, threads: 1 }),
        tensors = tensorsOf(gptq);
    for (const [name, { columns }] of Object.entries(expected.matrices)) {
        const { data, shape } = /** @type {any} */ (tensors.get(name)),
            codeAt = (/** @type {number} */ row, /** @type {number} */ column) => {
                const block = 18 * ((row * shape[0] + column) >> 5), // 2 bytes of scale, and two codes per byte
                    at = column % 32;
                return (data[block + 2 + (at % 16)] >> (at < 16 ? 0 : 4)) & 15;
            };
        for (const column of columns)
            for (let row = 0; row < shape[1]; row++) assert.equal(codeAt(row, column), 8, `${name} ${row} ${column}`);
    }
    /** @type {Float32Array[][]} */
    const logits = [];
    for (const bytes of [file, gptq, await made(from, again)]) {
        const model = await load(bytes, { threads: 1, kvType: 'f32' });
        logits.push(await logitsOf(model, (await model.tokenize(text)).slice(0, context)));
        await model.dispose();
    }
    const [exact, byGptq, nearest] = logits,
        off = (/** @type {Float32Array[]} */ rows) =>
            rows.reduce((sum, row, i) => sum + relativeDistance(row, exact[i]), 0) / rows.length;
    assert.ok(off(byGptq) < 0.8 * off(nearest), `${off(byGptq)} by GPTQ, ${off(nearest)} to nearest`);
    await assert.rejects(
        made(from, { ...again, method: 'awq', calibration: text, context }),
        nibbleError('NB_ERR_ARGUMENT', /awq scales columns, but this model keeps some .*attn_q\.outliers.*take gptq/),
    );
});

test('a model without a matrix that can be split is refused', async () => {
    const write = (/** @type {string} */ name, /** @type {Buffer} */ bytes) => {
        writeFileSync(join(temporary, name), bytes);
        return join(temporary, name);
    };
    const again = { ...options, requantize: true };
    for (const of of [write('plain.gguf', plain), `${root}tests/fixtures/safetensors/gptq-8-bits`])
        await assert.rejects(
            made(of, again),
            nibbleError('NB_ERR_ARGUMENT', /no matrix of a layer is rounded to int8/),
        );
    const fewer = write('fewer.gguf', await made(file, { type: 'q4_0', requantize: true }));
    for (const of of [write('apart.gguf', file), fewer])
        await assert.rejects(
            made(of, again),
            nibbleError('NB_ERR_ARGUMENT', /the model has blk\.0\.attn_q\.outliers already: take the one/),
        );
});

test('the number of parameters is the same, and the file says that only nibble reads it', async () => {
    const [model, whole] = await Promise.all([load(file, { headerOnly: true }), load(plain, { headerOnly: true })]);
    assert.equal(model.info.parameters, whole.info.parameters);
    assert.match(String(model.info.metadata['nibble.only']), /llama\.cpp has no columns of 16 bits beside a matrix/);
    assert.equal(whole.info.metadata['nibble.only'], undefined);
    await Promise.all([model.dispose(), whole.dispose()]);
});

/** @param {string[]} args */
const nibble = (...args) =>
    spawnSync(process.execPath, [`${root}web/cli.js`, 'quantize', source, ...args], { encoding: 'utf8' });

test('the command says how many columns of each kind of matrix stay in 16 bits', () => {
    const words = join(temporary, 'text'),
        out = join(temporary, 'out.gguf'),
        usual = ['--type', 'int8', '--calibration', words, '--context', String(context), '--force'];
    writeFileSync(words, text);
    const told = nibble(out, ...usual, '--outliers', String(threshold));
    assert.equal(told.status, 0, told.stderr);
    assert.match(told.stdout, /^ {2}attn_q +6 of 128 columns in 16 bits, in 2 layers$/m);
    assert.match(told.stdout, /^ {2}ffn_down +16 of 128 columns in 16 bits, in 2 layers$/m);
    assert.match(
        told.stderr,
        /llama\.cpp does not read this file as nibble does: llama\.cpp has no columns of 16 bits/,
    );
    assert.equal(digest(readFileSync(out)), digest(file));
    const { outliers, onlyNibble } = JSON.parse(nibble(out, ...usual, '--outliers', '6', '--json').stdout);
    assert.deepEqual(outliers[0], { kind: 'attn_q', columns: 6, of: 128, layers: 2 });
    assert.match(onlyNibble, /columns of 16 bits/);
    const none = nibble(out, ...usual, '--outliers', '1e5');
    assert.match(none.stdout, /No input reached 100000: all columns have 8 bits/);
    assert.doesNotMatch(none.stderr, /llama\.cpp/);
    const refused = nibble(join(temporary, 'none.gguf'), '--type', 'int8', '--outliers', '6');
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /outliers \(--outliers\) are found with a calibration text/);
    assert.ok(!existsSync(join(temporary, 'none.gguf')));
});

test('senseless options are refused', () => {
    for (const [more, said] of /** @type {[object, RegExp][]} */ ([
        [{ calibration: undefined }, /found with a calibration text: pass calibration \(--calibration\)/],
        [{ type: 'q8_0' }, /outliers \(--outliers\) is for type \(--type\) int8/],
        [{ method: 'gptq' }, /for type \(--type\) int8, and method \(--method\) rtn/],
        [{ type: undefined, bits: 8 }, /is for type \(--type\) int8/],
        [{ damping: 0.1 }, /do not use damping \(--damping\)/],
        [{ resume: 'file' }, /do not use resume \(--resume\)/],
        [{ imatrix: new Uint8Array(4) }, /do not use imatrix \(--imatrix\)/],
        [{ outliers: 0 }, /outliers/],
        [{ outliers: Number.NaN }, /outliers/],
    ]))
        assert.throws(() => quantize(source, { ...options, ...more }), nibbleError('NB_ERR_ARGUMENT', said));
});
