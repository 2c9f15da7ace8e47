// quantize() with a calibration text: GPTQ's file loads, and its perplexity on another text is lower than after
// rounding to nearest; the bytes are the same for any number of threads; nothing is left of an aborted run; and
// senseless options are refused. (tests/core/test_gptq.c compares the blocks with GPTQModel's.)
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { load, quantize } from '../../web/index.js';
import { fitsAsFloats } from '../../web/worker/calibrate.js';
import { models, root } from '../support/builds.js';
import { logitsOf } from '../support/vectors.js';

/** @typedef {import('../../web/index.js').QuantizeOptions} QuantizeOptions */

const temporary = mkdtempSync(join(tmpdir(), 'nibble-'));
after(() => rmSync(temporary, { recursive: true }));

/** Texts written by the model: one to calibrate with, one to measure with. */
let text = '',
    heldOut = '';
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
    text = await stories([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    heldOut = await stories([11, 12, 13, 14, 15, 16]);
    await model.dispose();
});

/** requantize: the model's weights already have 4 and 8 bits. @type {QuantizeOptions} */
const Q4_0 = { type: 'q4_0', requantize: true };
/** @returns {QuantizeOptions} */
const gptq = () => ({ ...Q4_0, method: 'gptq', calibration: text, context: 64 });

/** @param {import('../../web/index.js').Source} source @param {QuantizeOptions} options */
async function made(source, options) {
    return new Uint8Array(await new Response(quantize(source, options)).arrayBuffer());
}

/** @param {Uint8Array} bytes */
async function perplexity(bytes) {
    const model = await load(bytes, { threads: 1 });
    try {
        return { ...(await model.perplexity(heldOut, { context: 64 })), info: model.info };
    } finally {
        await model.dispose();
    }
}

const hash = (/** @type {Uint8Array} */ bytes) => createHash('sha256').update(bytes).digest('hex');

test('the file loads, loses less than rounding to nearest, and is the same for any threads', async () => {
    const nearest = await perplexity(await made(models.tiny, Q4_0));
    /** @type {import('../../web/index.js').Progress[]} */
    const told = [];
    const one = await made(models.tiny, { ...gptq(), threads: 1, onProgress: (progress) => told.push(progress) }),
        two = await made(models.tiny, { ...gptq(), threads: 2 });
    assert.equal(hash(two), hash(one));
    const { perplexity: found, info } = await perplexity(one);
    assert.deepEqual(info.types, nearest.info.types);
    const plain = await perplexity(readFileSync(models.tiny));
    assert.ok(found < nearest.perplexity, `${found}, and ${nearest.perplexity} by rounding to nearest`);
    assert.ok(
        found - plain.perplexity < 0.8 * (nearest.perplexity - plain.perplexity),
        `${plain.perplexity}, ${found}`,
    );
    const steps = told.flatMap(({ calibration }) => calibration ?? []);
    assert.deepEqual([...new Set(steps.map(({ layer }) => layer))], [0, 1, 2, 3, 4, 5]);
    assert.ok(
        steps.every(({ share }, i) => share >= 0 && share <= 1 && (i === 0 || share >= steps[i - 1].share - 0.1)),
    );
    assert.equal(told.at(-1)?.loaded, one.length);
});

test('an array of files; each option changes the bytes', async () => {
    const file = new File([readFileSync(models.tiny)], 'tiny.gguf');
    const few = { ...gptq(), samples: 8 },
        calibrated = hash(await made([file], few));
    assert.equal(hash(await made(models.tiny, few)), calibrated);
    for (const options of /** @type {Partial<QuantizeOptions>[]} */ ([
        { trueSequential: false },
        { order: 'natural' },
        { damping: 0.1 },
        { samples: 3 },
        { search: 'best' },
    ]))
        assert.notEqual(hash(await made(models.tiny, { ...few, ...options })), calibrated, JSON.stringify(options));
});

test('other families: experts, merged and transposed matrices', async () => {
    const calibration = 'abcdefghij klmno pqrst uvwxyz 0123456789 ABCDEF. '.repeat(20);
    for (const name of ['mixtral', 'qwen2moe', 'phi3', 'gpt2', 'gemma3']) {
        const source = `${root}tests/fixtures/models/${name}.gguf`,
            nearest = await made(source, Q4_0);
        const calibrated = await made(source, { ...Q4_0, method: 'gptq', calibration, context: 16, samples: 4 });
        assert.equal(calibrated.length, nearest.length, name);
        assert.notEqual(hash(calibrated), hash(nearest), name);
        const model = await load(calibrated, { threads: 1 });
        const [row] = await logitsOf(model, [1, 2, 3]);
        assert.ok(row.every(Number.isFinite), name);
        await model.dispose();
    }
});

test('a layer is held as floats, unless it is as large as those of models of 70B', () => {
    const shapes = (/** @type {number} */ width, /** @type {number} */ hidden) =>
        /** @type {any} */ (
            [0, 1].flatMap((layer) => [
                { name: `blk.${layer}.attn_q.weight`, columns: width, rows: width, matrices: 1 },
                { name: `blk.${layer}.ffn_up.weight`, columns: width, rows: 3 * hidden, matrices: 1 },
            ])
        );
    assert.ok(fitsAsFloats(shapes(4096, 14336), 1));
    assert.ok(!fitsAsFloats(shapes(8192, 28672), 1));
});

test('senseless options are refused', async () => {
    for (const [options, said] of /** @type {[object, RegExp][]} */ ([
        [{ calibration: undefined }, /method \(--method\) gptq needs a calibration text: pass calibration/],
        [{ calibration: '' }, /calibration \(--calibration\): the text is empty/],
        [
            { calibration: 'Once upon' },
            /the text has \d+ tokens, which is less than one window of 64: take a longer text/,
        ],
        [{ context: 1024 }, /larger than the model's own, which is 512/],
        [{ method: 'rtn' }, /calibration \(--calibration\) is for methods that calibrate: pass method/],
        [{ method: 'rtn', calibration: undefined }, /context \(--context\) is for methods that calibrate/],
        [{ method: 'best' }, /method must be one of rtn, gptq, awq, awq\+gptq, autoround, integer, not "best"/],
        [{ imatrix: new Uint8Array(5) }, /leave out imatrix \(--imatrix\)/],
        [{ type: 'int8' }, /does not make int8: take q8_0/],
        [{ type: 'nf4', doubleQuant: true }, /does not quantize scales: leave out doubleQuant/],
        [{ damping: 2 }, /damping must be a number from 0 to 1/],
        [{ order: 'static' }, /order must be one of group-aware, natural/],
        [{ requantize: undefined }, /quantized already/],
    ]))
        await assert.rejects(async () => made(models.tiny, /** @type {any} */ ({ ...gptq(), ...options })), said);
    const bytes = new Uint8Array(readFileSync(models.tiny));
    for (const source of [bytes, new Blob([bytes]).stream()])
        await assert.rejects(
            made(source, gptq()),
            /the source is read several times, and this one can be read only once/,
        );
});

/** The number of threads of this process, on systems that have /proc. */
const threads = () => (existsSync('/proc/self/task') ? readdirSync('/proc/self/task').length : 0);

test('aborted at any moment: the stream rejects with the reason, and no thread stays', async () => {
    await wait(300); // until threads of earlier tests have ended
    const before = threads();
    for (const stage of ['observe', 'quantize', 'pass']) {
        const controller = new AbortController(),
            reason = new Error('enough');
        const reading = made(models.tiny, {
            ...gptq(),
            threads: 2,
            signal: controller.signal,
            onProgress({ calibration }) {
                if (calibration?.stage === stage && calibration.layer === 1) controller.abort(reason);
            },
        });
        await assert.rejects(reading, reason);
    }
    // a stream that is cancelled before its first byte
    /** @type {(value?: unknown) => void} */
    let begun = () => {};
    const observed = new Promise((resolve) => {
        begun = resolve;
    });
    const reader = quantize(models.tiny, {
        ...gptq(),
        samples: 1000,
        threads: 2,
        onProgress: ({ calibration }) => calibration?.stage === 'observe' && begun(),
    }).getReader();
    const first = reader.read();
    await observed;
    await reader.cancel();
    assert.deepEqual(await first, { done: true, value: undefined });
    for (let tries = 0; threads() > before && tries < 100; tries++) await wait(100);
    assert.ok(threads() <= before, `${threads()} threads, and ${before} before`);
});

test('the command: a file, and nothing under its name if it is interrupted', async () => {
    const words = join(temporary, 'words.txt'),
        out = join(temporary, 'small.gguf');
    writeFileSync(words, text);
    const command = [`${root}web/cli.js`, 'quantize', models.tiny, out, '--type', 'q4_0', '--requantize'];
    const calibrated = ['--method', 'gptq', '--calibration', words, '--context', '64'];
    const killed = spawn(process.execPath, [...command, ...calibrated], { stdio: 'ignore' }),
        ended = once(killed, 'exit');
    while (killed.exitCode === null && readdirSync(temporary).length === 1) await wait(5); // its temporary file is there
    killed.kill('SIGINT');
    assert.equal((await ended)[0], 130);
    assert.deepEqual(readdirSync(temporary), ['words.txt']);
    const { status, stdout, stderr } = spawnSync(process.execPath, [...command, ...calibrated], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.match(stdout, /small\.gguf: q4_0, /);
    assert.equal(hash(readFileSync(out)), hash(await made(models.tiny, gptq())));
    const refused = spawnSync(process.execPath, [...command, '--force', '--calibration', words], { encoding: 'utf8' });
    assert.equal(refused.status, 2, refused.stderr);
    assert.match(refused.stderr, /calibration \(--calibration\) is for methods that calibrate/);
    const bad = join(temporary, 'bad.txt');
    writeFileSync(bad, new Uint8Array([0xff, 0xfe, 0x41]));
    const broken = spawnSync(process.execPath, [...command, '--force', '--method', 'gptq', '--calibration', bad], {
        encoding: 'utf8',
    });
    assert.equal(broken.status, 2);
    assert.match(broken.stderr, /--calibration: .*bad\.txt is not a text in UTF-8/);
});
