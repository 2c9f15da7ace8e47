// quantize() with `simulate`: every matrix of the GGUF has the values of its grid, and nothing else changes. The values
// are computed here by the formula. (tests/core/test_simulate.c compares all kinds of grids with torch.ao, numpy and
// scikit-learn.)
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findAssets } from '../../web/assets.js';
import { compare, load, quantize } from '../../web/index.js';
import { checkSimulation, SIMULATE_OPTIONS } from '../../web/simulated.js';
import { pour } from '../../web/sources/open.js';
import { Simulation } from '../../web/worker/simulation.js';
import { root } from '../support/builds.js';
import { parse, readValue } from '../support/gguf.js';
import { nibbleError } from '../support/nibble-error.js';

/** @typedef {import('../../web/index.js').QuantizeOptions} QuantizeOptions */
/** @typedef {import('../../web/index.js').SimulateOptions} SimulateOptions */

const folder = `${root}tests/fixtures/quantize/plain`,
    gguf = `${root}tests/fixtures/models/head-size.gguf`,
    experts = `${root}tests/fixtures/models/mixtral.gguf`;
const temporary = mkdtempSync(join(tmpdir(), 'nibble-'));
after(() => rmSync(temporary, { recursive: true }));

/** @param {import('../../web/index.js').Source} source @param {QuantizeOptions} options */
async function made(source, options) {
    const pieces = [];
    for await (const piece of /** @type {any} */ (quantize(source, options))) pieces.push(piece);
    return Buffer.concat(pieces);
}

/** The F32 tensors of a file, with their shapes. @param {Buffer} file */
function floatsOf(file) {
    const { tensors } = parse(file);
    return new Map(
        tensors
            .filter(({ type }) => type === 0)
            .map(({ name, shape, data }) => {
                const n = shape.reduce((product, side) => product * side, 1), // data also has padding
                    x = new Float32Array(new Uint8Array(/** @type {Uint8Array} */ (data)).buffer).subarray(0, n);
                return [name, { shape, x }];
            }),
    );
}

const half = new DataView(new ArrayBuffer(8));
/** Rounds a positive number to binary16, ties to even; it must be in the normal range. @param {number} x */
function toHalf(x) {
    half.setFloat64(0, x);
    const step = 2 ** (((half.getUint16(0) >> 4) & 2047) - 1023 - 10);
    return roundEven(x / step) * step;
}

/** @param {number} x */
function roundEven(x) {
    const whole = Math.round(x);
    return Math.abs(x - Math.trunc(x)) === 0.5 ? 2 * Math.round(x / 2) : whole;
}

/**
 * Rounds to a symmetric grid: s = max |x| / (2^(bits - 1) - 1/2), q = round(x / s).
 * @param {Float32Array} x
 * @param {number} bits
 */
function uniform(x, bits) {
    const last = 2 ** (bits - 1),
        largest = x.reduce((most, value) => Math.max(most, Math.abs(value)), 0),
        scale = toHalf(Math.fround(largest / (last - 0.5)));
    return x.map((value) =>
        largest === 0
            ? 0
            : Math.fround(scale * (Math.max(-last, Math.min(last - 1, roundEven(Math.fround(value / scale)))) + 0)),
    );
}

/** Asserts that every matrix has the values of the formula, and that the other tensors are unchanged.
 * @param {import('../../web/index.js').Source} source @param {SimulateOptions} simulate
 * @param {(shape: number[]) => number} each the weights of a group @param {QuantizeOptions} [options] */
async function checkValues(source, simulate, each, options = {}) {
    const before = floatsOf(await made(source, { type: 'f32' })),
        after = floatsOf(await made(source, { simulate, ...options }));
    assert.deepEqual([...after.keys()], [...before.keys()]);
    let count = 0;
    for (const [name, { shape, x }] of before) {
        const got = /** @type {{ x: Float32Array }} */ (after.get(name)).x;
        const isMatrix = shape.length > 1 && !/gate_inp|output_norm/.test(name);
        const n = isMatrix ? each(shape) : x.length;
        count += isMatrix ? 1 : 0;
        for (let at = 0; at < x.length; at += n) {
            const part = x.subarray(at, at + n);
            assert.deepEqual(got.subarray(at, at + n), isMatrix ? uniform(part, simulate.bits ?? 4) : part, name);
        }
    }
    assert.ok(count > 5, `${count} matrices`);
}

test('groups, rows and whole tensors, from a GGUF, a folder and a stream, and of experts', async () => {
    await checkValues(folder, {}, () => 32);
    await checkValues(folder, { bits: 3, group: 16 }, () => 16, { threads: 1 });
    await checkValues(gguf, { bits: 8, group: 0 }, ([columns]) => columns);
    await checkValues(experts, { bits: 2, perTensor: true }, ([columns, rows]) => columns * rows);
    const file = await made(folder, { type: 'f32' });
    await checkValues(new Uint8Array(file), { bits: 5 }, () => 32);
});

test('F16 weights give the same as F32 weights', async () => {
    const model = await made(folder, { type: 'f16' });
    const f16 = new Uint8Array(model), // its values are exact in binary16
        a = parse(await made(f16, { simulate: {}, type: 'f16' })).tensors,
        b = parse(await made(f16, { simulate: {}, type: 'f32' })).tensors;
    const types = new Set(a.map(({ type }) => type));
    assert.deepEqual([...types].sort(), [0, 1]);
    for (const [i, { type, data }] of a.entries())
        if (type === 1) {
            const halves = new DataView(new Uint8Array(/** @type {Uint8Array} */ (data)).buffer),
                wide = new Float32Array(new Uint8Array(/** @type {Uint8Array} */ (b[i].data)).buffer);
            for (const [k, value] of wide.entries()) {
                const bits = halves.getUint16(2 * k, true),
                    expected = value === 0 ? 0 : Math.sign(value) * toHalf(Math.abs(value));
                const size = (bits >> 10) & 31 ? (1 + (bits & 1023) / 1024) * 2 ** (((bits >> 10) & 31) - 15) : null;
                if (size !== null) assert.equal(bits & 0x8000 ? -size : size, expected, `${i}, ${k}`);
            }
        }
});

test('the file says that it is simulated, and compare() how large the real format would be', async () => {
    const simulate = /** @type {SimulateOptions} */ ({ grid: 'uniform', bits: 3, group: 32, symmetric: false }),
        file = await made(folder, { simulate, tokenEmbeddingType: 'f32' }),
        { values, tensors } = parse(file);
    const said = JSON.parse(
        /** @type {any} */ (readValue(/** @type {Uint8Array} */ (values.get('nibble.simulated'))))[1],
    );
    const rounded = tensors.filter(({ name, shape }) => shape.length === 2 && name !== 'token_embd.weight'),
        weights = rounded.reduce((sum, { shape }) => sum + shape[0] * shape[1], 0);
    // 3 bits per weight, and for each 32 a scale of 16 bits and a zero point of 3
    const bytes = Math.ceil((weights * (3 + 19 / 32)) / 8);
    assert.deepEqual(said, {
        ...{ grid: 'uniform', bits: 3, group: 32, perTensor: false, symmetric: false, ranges: 'minmax' },
        ...{ percentile: 99.9, rounding: 'nearest', seed: 0, type: 'f32', weights, bytes },
    });
    const { base, models } = await compare([folder, new Uint8Array(file)], {
        ...{ text: Array.from({ length: 64 }, (_, i) => i), context: 32, speed: false, threads: 1 },
    });
    assert.equal(base.simulated, undefined);
    assert.deepEqual(models[0].simulated, said);
    const expected = ((file.length - 4 * weights + bytes) * 8) / models[0].parameters;
    assert.ok(Math.abs(models[0].bitsPerWeight - expected) < 1e-9, `${models[0].bitsPerWeight}, not ${expected}`);
    // a file that is quantized from a simulated one is not marked as simulated; and each key stands once
    const again = await made(new Uint8Array(file), { type: 'q8_0' }),
        twice = await made(new Uint8Array(file), { simulate: { bits: 4 } });
    const keys = (/** @type {Buffer} */ bytes) => {
        const names = [...parse(bytes).values.keys()].filter((name) => /^(general|nibble)\./.test(name));
        return names.map((name) => [name, bytes.toString('latin1').split(`\0\0\0\0${name}`).length - 1]);
    };
    assert.ok(keys(twice).length > 3 && [...keys(again), ...keys(twice)].every(([, count]) => count === 1));
    assert.equal(parse(again).values.has('nibble.simulated'), false);
    assert.match(JSON.stringify(keys(twice)), /"nibble\.simulated"/);
    assert.equal(
        JSON.parse(
            /** @type {any} */ (readValue(/** @type {Uint8Array} */ (parse(twice).values.get('nibble.simulated'))))[1],
        ).bits,
        4,
    );
    const loaded = await load(new Uint8Array(file), { quantize: 'nf4', headerOnly: true });
    assert.equal(loaded.info.metadata['nibble.simulated'], undefined);
    await loaded.dispose();
});

test('stochastic rounding: seeds, threads, and a mean error of 0', async () => {
    const simulate = (/** @type {number} */ seed) =>
        /** @type {SimulateOptions} */ ({ bits: 2, group: 0, rounding: 'stochastic', seed });
    const [one, two, other] = [
        await made(folder, { simulate: simulate(1), threads: 1 }),
        await made(folder, { simulate: simulate(1), threads: 2 }),
        await made(folder, { simulate: simulate(2), threads: 2 }),
    ];
    assert.ok(one.equals(two), 'threads change what is made');
    assert.ok(!one.equals(other), 'seeds change nothing');
    const before = floatsOf(await made(folder, { type: 'f32' }));
    let sum = 0,
        squares = 0;
    for (const [name, { shape, x }] of floatsOf(one)) {
        const was = /** @type {{ x: Float32Array }} */ (before.get(name)).x,
            columns = shape.length === 2 ? shape[0] : 0;
        for (let at = 0; columns > 0 && at < x.length; at += columns) {
            const row = was.subarray(at, at + columns),
                last = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 1.51; // below it nothing is clipped
            for (const [i, value] of row.entries()) {
                const off = Math.abs(value) < last ? x[at + i] - value : 0;
                sum += off;
                squares += off * off;
            }
        }
    }
    const size = Math.sqrt(squares);
    assert.ok(size > 1 && Math.abs(sum) < 5 * size, `the sum of the errors is ${sum}, their size ${size}`);
});

test('ranges: the share of clipped weights is reported', async () => {
    for (const ranges of /** @type {const} */ (['minmax', 'percentile', 'mse', 'entropy'])) {
        let clipped = -1;
        await made(folder, {
            simulate: { bits: 3, group: 0, ranges },
            onProgress: (progress) => {
                clipped = progress.clipped ?? -1;
            },
        });
        assert.ok(
            ranges === 'minmax' || ranges === 'percentile' ? clipped === 0 : clipped > 0,
            `${ranges}: ${clipped}`,
        );
    }
});

test('what is refused', async () => {
    for (const [options, message] of /** @type {[any, RegExp][]} */ ([
        [{ simulate: { bits: 1 } }, /simulate: bits must be a whole number from 2 to 8, not 1/],
        [{ simulate: { bits: 9 } }, /simulate: bits must be a whole number from 2 to 8, not 9/],
        [{ simulate: { grid: 'cubic' } }, /simulate: grid must be one of uniform, log, codebook, not "cubic"/],
        [{ simulate: { grid: 'log', ranges: 'mse' } }, /ranges \(--ranges\) is for a uniform grid/],
        [{ simulate: { grid: 'log', rounding: 'stochastic' } }, /rounding \(--rounding\) is for a uniform grid/],
        [{ simulate: { percentile: 99 } }, /percentile \(--percentile\) is for ranges \(--ranges\) percentile/],
        [{ simulate: { seed: 1 } }, /seed \(--seed\) is for rounding \(--rounding\) stochastic/],
        [{ simulate: { perTensor: true, group: 32 } }, /group \(--group\) is for groups/],
        [{ simulate: {}, type: 'q8_0' }, /with simulate \(--simulate\) is f32 or f16.* not q8_0/],
        [{ simulate: {}, imatrix: new Uint8Array(4) }, /simulate \(--simulate\) does not use imatrix \(--imatrix\)/],
        [{ simulate: {}, method: 'gptq' }, /does not use method \(--method\): leave it out/],
        [{ simulate: {}, search: 'best' }, /does not use search \(--search\)/],
        [{ simulate: {}, bits: 4 }, /does not use bits \(--bits\)/],
        [{ simulate: {}, outliers: 6 }, /does not use outliers \(--outliers\)/],
        [{ simulate: {}, clip: false }, /does not use clip \(--no-clip\)/],
        [{ simulate: {}, doubleQuant: true }, /does not use doubleQuant \(--double-quant\)/],
    ]))
        assert.throws(
            () => quantize(folder, options),
            nibbleError('NB_ERR_ARGUMENT', message),
            JSON.stringify(options),
        );
    await assert.rejects(
        made(folder, { simulate: { group: 48 } }),
        nibbleError('NB_ERR_ARGUMENT', /tensor \S+: groups of 48 columns do not divide rows of \d+/),
    );
});

test('weights that are not finite are named; groups of zeros stay zeros', async () => {
    const file = await made(folder, { type: 'f32' }),
        at =
            file.length -
            parse(file).tensors.reduce((sum, { data }) => sum + /** @type {Uint8Array} */ (data).length, 0);
    for (const perTensor of [false, true]) {
        const bad = Buffer.from(file);
        const tensor = /** @type {any} */ (parse(bad).tensors.find(({ name }) => name === 'blk.0.ffn_up.weight')),
            weight = 4 * (2 * tensor.shape[0] + 3);
        tensor.data.fill(0xff, weight, weight + 4);
        await assert.rejects(
            made(new Uint8Array(bad), { simulate: perTensor ? { perTensor } : {} }),
            nibbleError('NB_ERR_FORMAT', /not finite: tensor blk\.0\.ffn_up\.weight .*row 2, column 3/),
        );
    }
    const zeros = Buffer.from(file).fill(0, at);
    for (const grid of /** @type {const} */ (['uniform', 'log', 'codebook']))
        for (const { x } of floatsOf(await made(new Uint8Array(zeros), { simulate: { grid } })).values())
            assert.ok(
                x.every((value) => value === 0),
                grid,
            );
});

test('a matrix that is rounded as a whole waits for its reader, and its rows come in order', async () => {
    const columns = 256,
        rows = 4096, // 4 MB
        before = 1000, // bytes before it
        behind = 70_000,
        tensor = /** @type {any} */ ({ name: 'a', i: 0, type: 'f32', columns, rows, matrices: 1 });
    const how = checkSimulation({ bits: 2, perTensor: true }),
        simulation = await Simulation.start(await findAssets({}), 1, () => {}, how, [tensor]);
    /** @type {Uint8Array[]} */
    const got = [];
    let ahead = 0, // bytes since the reader last had room
        most = 0,
        room = new Uint8Array(0);
    const sink = simulation.through(
        {
            ready: async () => {
                ahead = 0;
            },
            room: () => (room = new Uint8Array(1 << 20)),
            commit(n) {
                ahead += n;
                most = Math.max(most, ahead);
                got.push(room.subarray(0, n));
            },
        },
        () => ({ ...tensor, at: before, bytes: 4 * columns * rows }),
    );
    const weights = Float32Array.from({ length: columns * rows }, (_, i) => [-1.5, -0.2, 0.1, 1][i % 4]),
        file = Buffer.concat([Buffer.alloc(before, 1), Buffer.from(weights.buffer), Buffer.alloc(behind, 2)]);
    const pieces = [file][Symbol.iterator]();
    await pour(async () => pieces.next().value ?? null, sink);
    await sink.end();
    simulation.end();
    assert.ok(most <= 1 << 20, `${most} bytes went ahead`);
    const all = Buffer.concat(got);
    assert.equal(all.length, file.length);
    assert.ok(all.subarray(0, before).equals(file.subarray(0, before)));
    assert.ok(all.subarray(-behind).equals(file.subarray(-behind)));
    assert.deepEqual(new Float32Array(new Uint8Array(all.subarray(before, -behind)).buffer), uniform(weights, 2));
});

test('aborting ends it', async () => {
    const abort = new AbortController();
    await assert.rejects(
        made(folder, {
            simulate: { grid: 'codebook', perTensor: true },
            signal: abort.signal,
            onPlan: () => abort.abort(new Error('enough')),
        }),
        /enough/,
    );
});

/** @param {string[]} args */
function command(...args) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [`${root}web/cli.js`, ...args], {
        encoding: 'utf8',
    });
    return { code: status, out: stdout, err: stderr };
}

test('on the command line: the result is reported, by inspect and compare, too', async () => {
    const out = join(temporary, 'grid.gguf'),
        text = join(temporary, 'text.txt');
    const flags = ['--simulate', 'uniform', '--bits', '3', '--group', '0', '--ranges', 'mse', '--asymmetric'];
    const { code, out: told, err } = command('quantize', folder, out, ...flags, '--json');
    assert.deepEqual([code, err], [0, '']);
    const { type, bytes, bitsPerWeight, simulated } = JSON.parse(told);
    assert.equal(bytes, readFileSync(out).length);
    assert.ok(type === 'f32' && bitsPerWeight > 32 && simulated.bitsPerWeight < 6, told);
    assert.ok(simulated.clipped > 0 && simulated.clipped < 0.2, told);
    const expected = await made(folder, { simulate: { bits: 3, group: 0, ranges: 'mse', symmetric: false } });
    assert.ok(expected.equals(readFileSync(out)), 'the API makes other bytes');
    assert.match(
        command('inspect', out).out,
        /simulated +uniform, 3 bits, per row, asymmetric, ranges mse: the weights are f32 numbers of a grid/,
    );
    writeFileSync(text, 'a text '.repeat(40));
    const compared = command('compare', folder, out, '--file', text, '--context', '16', '--no-speed', '--no-weights');
    assert.match(compared.out, new RegExp(`${simulated.bitsPerWeight.toFixed(2)} \\(simulated\\)`), compared.err);
    const there = command('quantize', folder, out, ...flags);
    assert.deepEqual([there.code, /is there already; --force writes over it/.test(there.err)], [2, true]);
});

test('on the command line: the help has the defaults of a grid', () => {
    const flags = command('quantize', '--help').out.split(/\n(?= {2}-)/);
    for (const [name, { flag, type, default: usual }] of Object.entries(SIMULATE_OPTIONS)) {
        const help = flags.find((text) => text.startsWith(`  --${flag} `))?.replace(/\s+/g, ' ') ?? '';
        assert.notEqual(help, '', flag);
        if (type === 'switch') continue;
        const isTold = help.includes(`default: ${usual}`) || help.includes(`${usual} (the default)`);
        assert.equal(isTold, name !== 'grid', help); // without --simulate there is no grid
    }
});

test('on the command line: wrong usage is exit code 2, and leaves nothing', () => {
    const out = join(temporary, 'none.gguf');
    for (const [flags, said] of /** @type {[string[], RegExp][]} */ ([
        [['--simulate', 'uniform', '--bits', '9'], /--bits must be a whole number from 2 to 8, not 9/],
        [['--simulate', 'uniform', '--bits', '2.5'], /--bits must be a whole number from 2 to 8, not 2\.5/],
        [['--simulate', 'cubic'], /--simulate must be one of uniform, log, codebook, not "cubic"/],
        [['--simulate', 'log', '--asymmetric'], /symmetric \(--asymmetric\) is for a uniform grid/],
        [['--simulate', 'uniform', '--type', 'q8_0'], /with simulate \(--simulate\) is f32 or f16/],
        [['--simulate', 'uniform', '--format', 'gptq'], /--simulate makes a GGUF: leave out --format/],
        [
            ['--type', 'q8_0', '--ranges', 'mse'],
            /--ranges is for folders and grids: give --format or --simulate as well/,
        ],
        [['--type', 'q8_0', '--group', '32'], /--group is for folders and grids: give --format or --simulate as well/],
        [['--simulate', 'uniform', '--group', '48'], /groups of 48 columns do not divide rows of 64/],
        [['--simulate', 'uniform', '--size', '1MB'], /does not use size \(--size\)/],
    ])) {
        const { code, err } = command('quantize', folder, out, ...flags);
        assert.deepEqual([code, said.test(err)], [2, true], `${flags}: ${err}`);
    }
    assert.equal(existsSync(out), false);
});
