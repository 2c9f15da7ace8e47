// quantize() with a budget of bits or bytes: the divergence is lower than with llama.cpp's recipe of the same size and
// the same importance matrix; the budget is kept; given types stay; and senseless options are refused. (The choice and
// the losses are tested in tests/core/test_mix.c, divergences in tests/core/test_probe.c.)
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { compare, load, quantize } from '../../web/index.js';
import { models, root } from '../support/builds.js';
import { littleMemory } from '../support/little-memory.js';

/** @typedef {import('../../web/index.js').QuantizeOptions} QuantizeOptions */
/** @typedef {import('../../web/index.js').PlannedTensor} PlannedTensor */

const temporary = mkdtempSync(join(tmpdir(), 'nibble-'));
after(() => rmSync(temporary, { recursive: true }));

/** Texts written by the model: one to calibrate with, one to measure with. */
let text = '',
    heldOut = '',
    /** @type {Uint8Array} of the first */
    imatrix;
before(async () => {
    const model = await load(models.tiny, { threads: 1 });
    const stories = async (/** @type {number[]} */ seeds) => {
        let all = '';
        for (const seed of seeds) {
            const options = { seed, temperature: 1, topK: 0, topP: 1, minP: 0, maxTokens: 400, repeatPenalty: 1 };
            all += (await model.complete('Once upon a time', { ...options, ignoreEnd: true })).text;
        }
        return all;
    };
    text = await stories([1, 2, 3, 4, 5, 6]);
    heldOut = await stories([11, 12, 13, 14]);
    imatrix = (await model.importanceMatrix(text, { context: 64 })).bytes;
    await model.dispose();
});

/** requantize: the model's weights already have 4 and 8 bits. @returns {QuantizeOptions} */
const options = () => ({ requantize: true, calibration: text, context: 64, imatrix });

/** @param {QuantizeOptions} options @param {import('../../web/index.js').Source} source */
async function made(options, source = models.tiny) {
    /** @type {PlannedTensor[]} */
    let plan = [];
    /** @type {import('../../web/index.js').TypeChoice | undefined} */
    let choice;
    /** @type {QuantizeOptions['onPlan']} */
    const onPlan = (tensors, chosen) => {
        plan = tensors;
        choice = chosen;
    };
    const bytes = new Uint8Array(await new Response(quantize(source, { onPlan, ...options })).arrayBuffer());
    return { bytes, plan, choice };
}

const hash = (/** @type {Uint8Array} */ bytes) => createHash('sha256').update(bytes).digest('hex');

/** Mean divergences from the original. @param {Uint8Array[]} files */
async function divergences(...files) {
    const { models: found } = await compare([models.tiny, ...files], {
        text: heldOut,
        context: 64,
        weights: false,
        speed: false,
        threads: 1,
    });
    return found.map(({ divergence }) => divergence.mean);
}

/** The header of a GGUF. @param {Uint8Array} bytes */
async function infoOf(bytes) {
    const model = await load(bytes, { headerOnly: true });
    await model.dispose();
    return model.info;
}

test('less divergence than the recipe of equal size, and about as much as predicted', async () => {
    const recipe = await made({ type: 'q4_0', requantize: true, imatrix }),
        mixed = await made({ ...options(), size: recipe.bytes.length });
    assert.ok(mixed.bytes.length <= recipe.bytes.length, `${mixed.bytes.length} of ${recipe.bytes.length} bytes`);
    const [fixed, best] = await divergences(recipe.bytes, mixed.bytes);
    assert.ok(best < 0.9 * fixed, `a divergence of ${best}, and ${fixed} by the recipe`);
    assert.equal(recipe.choice, undefined);
    assert.equal(mixed.choice?.isMeasured, true);
    const predicted = mixed.plan.reduce((sum, { loss }) => sum + (loss ?? 0), 0);
    assert.ok(predicted > best / 2 && predicted < 2 * best, `${predicted} was predicted, it is ${best}`);
});

test('the budget of bits is used up almost entirely; the file type is that of most tensors', async () => {
    /** @type {import('../../web/index.js').Progress[]} */
    const told = [];
    const onProgress = (/** @type {import('../../web/index.js').Progress} */ progress) => told.push(progress);
    const { bytes, plan } = await made({ ...options(), bits: 5.25, threads: 1, onProgress }),
        info = await infoOf(bytes),
        bits = (8 * info.types.reduce((sum, type) => sum + type.bytes, 0)) / info.parameters;
    assert.ok(bits <= 5.25 && bits > 5.15, `${bits} bits`);
    for (const { type, loss, name } of plan)
        if (type === 'f32') assert.equal(loss, null, name);
        else assert.ok(typeof loss === 'number' && loss >= 0, `${name}: ${loss}`);
    const [most] = info.types.filter(({ type }) => type !== 'F32').sort((a, b) => b.tensors - a.tensors),
        fileTypes = { Q4_0: 2, Q4_1: 3, Q8_0: 7, Q5_0: 8, Q5_1: 9, IQ4_NL: 25 };
    assert.equal(info.metadata['general.file_type'], fileTypes[/** @type {keyof typeof fileTypes} */ (most.type)]);
    const shares = told.flatMap(({ measuring }) => measuring?.share ?? []);
    assert.ok(
        shares.length > 1 && shares.every((share, i) => share >= (shares[i - 1] ?? 0) && share <= 1),
        `${shares}`,
    );
    assert.equal(told.at(-1)?.loaded, bytes.length);
    const two = await made({ ...options(), bits: 5.25, threads: 2 });
    assert.equal(hash(two.bytes), hash(bytes), 'the bytes are the same for any number of threads');
});

test('given types stay, with gptq, too', async () => {
    const { bytes, plan } = await made({
        ...options(),
        imatrix: undefined,
        method: 'gptq',
        bits: 7,
        tensors: { 'ffn_down|attn_q': 'q8_0', ffn_up: 'q5_k' },
        outputType: 'q6_k',
    });
    const typeOf = (/** @type {string} */ name) => plan.find((tensor) => tensor.name === name);
    assert.equal(typeOf('blk.0.ffn_down.weight')?.type, 'q8_0');
    assert.equal(typeOf('blk.0.ffn_down.weight')?.loss, null);
    assert.equal(typeOf('blk.5.attn_q.weight')?.type, 'q8_0');
    assert.equal(typeOf('blk.5.ffn_up.weight')?.type, 'q5_1', 'rows of 96 are no blocks of q5_k');
    assert.equal(typeOf('token_embd.weight')?.type, 'q8_0', 'it is the output, and its rows are no blocks of q6_k');
    const info = await infoOf(bytes),
        bits = (8 * info.types.reduce((sum, type) => sum + type.bytes, 0)) / info.parameters;
    assert.ok(bits <= 7 && info.metadata['general.file_type'] !== undefined);
});

test('other families: experts, merged and transposed matrices; an importance matrix alone suffices', async () => {
    const calibration = 'abcdefghij klmno pqrst uvwxyz 0123456789 ABCDEF. '.repeat(20);
    for (const name of ['mixtral', 'phi3', 'gpt2']) {
        const source = `${root}tests/fixtures/models/${name}.gguf`,
            { bytes, plan } = await made({ requantize: true, calibration, context: 16, samples: 4, bits: 9 }, source);
        assert.ok(
            plan.some(({ loss }) => (loss ?? 0) > 0),
            name,
        );
        await (await load(bytes, { threads: 1 })).dispose();
    }
    const { plan, choice } = await made({ requantize: true, imatrix, bits: 5 });
    assert.equal(choice?.isMeasured, false);
    assert.match(choice?.chosenBy ?? '', /weighted by the importance matrix; .* because there is no calibration text$/);
    assert.ok(plan.every(({ type, loss }) => (type === 'f32' ? loss === null : typeof loss === 'number')));
    assert.ok(plan.some(({ loss }) => (loss ?? 0) > 0));
});

test('layers, embeddings and output keep the types that are given, whatever the budget', async () => {
    const source = `${root}tests/fixtures/models/separate-output.gguf`,
        calibration = 'abcdefghij klmno pqrst uvwxyz 0123456789 ABCDEF. '.repeat(20);
    const given = {
            bits: 10,
            outputType: 'q8_0',
            tokenEmbeddingType: 'f16',
            tensors: { 'blk\\.0\\.': 'q8_0', attn_k: 'f16' },
        },
        { bytes, plan } = await made(/** @type {any} */ ({ ...given, calibration, context: 16, samples: 4 }), source),
        { tensors, types, parameters } = await infoOf(bytes);
    const matrices = tensors.filter(({ type }) => type !== 'F32'),
        typesOf = (/** @type {RegExp} */ pattern) => [
            ...new Set(matrices.filter(({ name }) => pattern.test(name)).map(({ type }) => type)),
        ];
    assert.deepEqual(typesOf(/^output\./), ['Q8_0']);
    assert.deepEqual(typesOf(/^token_embd\./), ['F16']);
    assert.deepEqual(typesOf(/^blk\.0\./), ['Q8_0'], 'the first pattern that fits counts');
    assert.deepEqual(typesOf(/^blk\.1\.attn_k\./), ['F16']);
    assert.ok(!typesOf(/^blk\.1\.(attn_[qvo]|ffn)/).includes('F16'), 'the rest makes up for it');
    assert.ok((8 * types.reduce((sum, type) => sum + type.bytes, 0)) / parameters <= 10);
    for (const { name, loss } of plan)
        assert.equal(
            typeof loss === 'number',
            /^blk\.1\.(attn_(q|v|output)|ffn_\w+)\.weight$/.test(name) && !/norm/.test(name),
            name,
        );
});

test('if the model does not fit into memory, the command says that nothing was measured', async () => {
    for (const [megabytes, said] of /** @type {[number, RegExp][]} */ ([
        [
            2,
            /^the error of the rounded weights alone; .* was not measured, because the model does not fit into memory$/,
        ],
        [
            4,
            /^the error of the rounded weights.*; .* was not measured, because there is no memory left to run the model$/,
        ],
    ])) {
        const most = megabytes << 20,
            wasmUrl = littleMemory(join(temporary, `wasm-${megabytes}`), { engine: most }),
            { plan, choice } = await made({ ...options(), imatrix: undefined, bits: 5.25, threads: 1, wasmUrl });
        assert.equal(choice?.isMeasured, false);
        assert.match(choice?.chosenBy ?? '', said);
        assert.ok(plan.some(({ loss }) => (loss ?? 0) > 0));
    }
});

test('senseless options are refused', async () => {
    for (const [given, said] of /** @type {[object, RegExp][]} */ ([
        [{}, /which type\? Pass type \(--type\), one of .*; or a budget: bits \(--bits\), or size \(--size\)/],
        [{ bits: 5, type: 'q4_0' }, /pass either type \(--type\) or bits \(--bits\), not both/],
        [{ bits: 5, size: 500000 }, /pass either bits \(--bits\) or size \(--size\), not both/],
        [{ bits: 3 }, /bits \(--bits\) must be 4\.\d+ or more for this model/],
        [{ size: '300kB' }, /size \(--size\) must be 3\d{5} bytes or more for this model/],
        [{ size: '300 pounds' }, /size must be a number of bytes, such as 90000000, 90MB or 1\.5GiB, not "300 pounds"/],
        [{ size: -5 }, /size must be a number of bytes/],
        [{ bits: 0 }, /bits must be a number from 0\.1 to 32/],
        [
            { bits: 5, calibration: undefined, imatrix: undefined, context: undefined },
            /bits \(--bits\) chooses types by what a text shows of the model: pass calibration \(--calibration\)/,
        ],
        [{ bits: 5, calibration: '', imatrix: undefined }, /calibration \(--calibration\): the text is empty/],
        [{ bits: 5, calibration: 'Once', imatrix: undefined }, /is less than one window of 64: take a longer text/],
        [{ bits: 5, imatrix: new Uint8Array(9) }, /imatrix/],
        [{ bits: 5, damping: 0.1 }, /damping \(--damping\) is for methods that calibrate/],
        [{ bits: 5, requantize: undefined }, /quantized already/],
    ]))
        await assert.rejects(async () => made(/** @type {any} */ ({ ...options(), ...given })), said);
    const bytes = new Uint8Array(readFileSync(models.tiny));
    await assert.rejects(made({ ...options(), bits: 5 }, new Blob([bytes]).stream()), /read only once/);
});

test('aborted while it measures: the stream rejects with the reason', async () => {
    const controller = new AbortController(),
        reason = new Error('enough');
    const reading = made({
        ...options(),
        bits: 5,
        threads: 2,
        signal: controller.signal,
        onProgress({ measuring }) {
            if (measuring?.tensor.startsWith('blk.2')) controller.abort(reason);
        },
    });
    await assert.rejects(reading, reason);
});

test('the command writes the file, and prints the plan and how it was chosen', () => {
    const folder = mkdtempSync(join(temporary, 'command-')),
        [words, matrix, out] = ['words.txt', 'imatrix.gguf', 'mixed.gguf'].map((name) => join(folder, name));
    writeFileSync(words, text);
    writeFileSync(matrix, imatrix);
    const run = (/** @type {string[]} */ ...flags) =>
        spawnSync(process.execPath, [`${root}web/cli.js`, 'quantize', models.tiny, out, '--requantize', ...flags], {
            encoding: 'utf8',
        });
    const calibrated = ['--calibration', words, '--context', '64', '--imatrix', matrix];
    const refused = run('--bits', '2', ...calibrated);
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /bits \(--bits\) must be 4\.\d+ or more/);
    assert.deepEqual(readdirSync(folder).sort(), ['imatrix.gguf', 'words.txt']);
    const { status, stdout, stderr } = run('--size', '560kB', '--json', ...calibrated);
    assert.equal(status, 0, stderr);
    const { bytes, type, plan, divergence, isMeasured, chosenBy } = JSON.parse(stdout);
    assert.ok(bytes <= 560_000 && bytes > 550_000, `${bytes} bytes`);
    assert.equal(type, 'mix');
    assert.ok(divergence > 0 && isMeasured);
    assert.match(chosenBy, /^what rounding each matrix changes in the model's output/);
    /** @type {number[]} */
    const shares = plan.flatMap((/** @type {any} */ tensor) => tensor.lossShare ?? []);
    assert.ok(Math.abs(shares.reduce((sum, share) => sum + share, 0) - 1) < 1e-9);
    assert.ok(plan.every((/** @type {any} */ tensor) => tensor.name && tensor.type && tensor.bits > 0));

    const measured = run('--bits', '5', '--force', ...calibrated);
    assert.match(
        measured.stdout,
        /\nThe types were chosen by what .*\nPredicted KL divergence from the original: 0\.\d+ nats\.\n$/,
    );
    const unmeasured = run('--bits', '5', '--force', '--imatrix', matrix);
    assert.match(
        unmeasured.stdout,
        /\nThe types were chosen by the error .* not measured, because there is no calibration text\.\n$/,
    );
    assert.doesNotMatch(unmeasured.stdout, /KL/);
    const told = JSON.parse(run('--bits', '5', '--force', '--imatrix', matrix, '--json').stdout);
    assert.deepEqual([told.isMeasured, told.divergence], [false, null]);
});
