// quantizeFolder() without a calibration text rounds matrices to nearest. The tensors of compressed-tensors equal those
// of its own compressor (tests/oracles/rounded_folders.py); the codes of GPTQ and AWQ are those of the formula.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { quantizeFolder } from '../../web/index.js';
import { root } from '../support/builds.js';
import { fromAwq, fromCompressed, fromGptq, numbersOf, tensorsOf, writeTensors } from '../support/folders.js';
import { nibbleError } from '../support/nibble-error.js';

/** @typedef {import('../../web/index.js').QuantizeFolderOptions} QuantizeFolderOptions */

const plain = `${root}tests/fixtures/quantize/plain`,
    down = 'model.layers.0.mlp.down_proj';
const temporary = mkdtempSync(join(tmpdir(), 'nibble-')),
    at = (/** @type {string} */ name) => join(temporary, name);
after(() => rmSync(temporary, { recursive: true }));

let made = 0;
/** @param {QuantizeFolderOptions} options @param {string} source @returns {Promise<string>} the folder */
async function make(options, source = plain) {
    const out = at(`made-${made++}`);
    mkdirSync(out);
    for await (const { name, stream } of quantizeFolder(source, options))
        writeFileSync(join(out, name), new Uint8Array(await new Response(/** @type {any} */ (stream)).arrayBuffer()));
    return out;
}

/**
 * Asserts that codes differ only at ties with odd zero points. Both round halves to even, but the library adds the zero
 * point before rounding, and nibble after it.
 * @param {Map<string, import('../support/folders.js').Tensor>} tensors
 * @param {Map<string, import('../support/folders.js').Tensor>} expected
 * @param {string} kind @param {string} module
 */
function checkTies(tensors, expected, kind, module) {
    const got = fromCompressed(tensors, module, 4),
        theirs = fromCompressed(expected, `${kind}/${module}`, 4),
        scales = numbersOf(/** @type {any} */ (tensors.get(`${module}.weight_scale`))),
        x = numbersOf(/** @type {any} */ (tensorsOf(plain).get(`${module}.weight`)));
    for (const [i, value] of got.entries()) {
        const scale = scales[Math.floor(i / 32)],
            isTie = Math.abs((x[i] / scale) % 1) === 0.5 && Math.abs(value - x[i]) === Math.abs(theirs[i] - x[i]);
        assert.ok(value === theirs[i] || isTie, `${module}: weight ${i} is ${value}, not ${theirs[i]}`);
    }
}

test("compressed-tensors: the tensors of the library's own compressor", async () => {
    mkdirSync(at('oracle'));
    cpSync(`${root}tests/fixtures/quantize/plain-rounded.safetensors`, at('oracle/model.safetensors'));
    const expected = tensorsOf(at('oracle')),
        format = /** @type {const} */ ('compressed-tensors');
    const kinds = /** @type {[string, QuantizeFolderOptions][]} */ ([
        ['4-symmetric', { format, bits: 4, group: 32 }],
        ['4-asymmetric', { format, bits: 4, group: 32, symmetric: false }],
        ['8-rows', { format, bits: 8, group: 0 }],
    ]);
    let count = 0;
    for (const [kind, options] of kinds) {
        const tensors = tensorsOf(await make(options));
        for (const [name, { dtype, shape, bytes }] of expected) {
            const [its, own] = name.split('/');
            if (its !== kind) continue;
            const tensor = tensors.get(own);
            assert.deepEqual([tensor?.dtype, tensor?.shape], [dtype, shape], name);
            if (own.endsWith('_packed') && options.symmetric === false)
                checkTies(tensors, expected, kind, own.slice(0, -'.weight_packed'.length));
            else assert.ok(tensor?.bytes.equals(bytes), `${name} has other bytes`);
            count++;
        }
    }
    assert.equal(count, expected.size);
});

const half = new DataView(new ArrayBuffer(8));
/** Rounds a positive number to binary16, ties to even; it must be in the normal range. @param {number} x */
function toHalf(x) {
    half.setFloat64(0, x);
    return (
        roundEven(x / 2 ** (((half.getUint16(0) >> 4) & 2047) - 1033)) * 2 ** (((half.getUint16(0) >> 4) & 2047) - 1033)
    );
}

/** @param {number} x */
const roundEven = (x) => (Math.abs(x - Math.trunc(x)) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

/**
 * s (q - z) of a group, q = round(x / s) + z. Symmetric: s = max |x| / (2^(bits - 1) - 1/2), z = 2^(bits - 1).
 * Asymmetric: s = (high - low) / (2^bits - 1), z = round(-low / s).
 * @param {Float32Array} x @param {number} bits @param {boolean} symmetric
 */
function rounded(x, bits, symmetric) {
    const low = Math.min(0, ...x),
        high = Math.max(0, ...x),
        last = 2 ** bits - 1,
        largest = Math.max(high, -low);
    const step = Math.fround(symmetric ? Math.fround(2 * largest) / last : Math.fround(high - low) / last),
        zero = symmetric ? 2 ** (bits - 1) : roundEven(Math.fround(-low / step)),
        scale = toHalf(step);
    return x.map((value) => {
        const code = Math.max(0, Math.min(last, roundEven(Math.fround(value / scale)) + zero));
        return Math.fround(scale * (code - zero)) + 0;
    });
}

test('GPTQ and AWQ: the codes that the formula gives', async () => {
    const x = numbersOf(/** @type {any} */ (tensorsOf(plain).get(`${down}.weight`)));
    const cases = /** @type {QuantizeFolderOptions[]} */ ([
        ...[2, 3, 4, 8].map((bits) => ({ format: 'gptq', bits, group: 32 })),
        { format: 'gptq_v2', bits: 4, group: 0 },
        { format: 'gptq_v2', bits: 3, group: 32, symmetric: false },
        { format: 'awq', bits: 4, group: 32 },
    ]);
    for (const options of cases) {
        const { format, bits = 4, group = 32, symmetric = format !== 'awq' } = options,
            folder = await make(options),
            tensors = tensorsOf(folder),
            got = format === 'awq' ? fromAwq(tensors, down) : fromGptq(tensors, down, bits, format === 'gptq');
        const n = group || 64;
        for (let i = 0; i < x.length; i += n)
            assert.deepEqual(
                Float32Array.from(got.subarray(i, i + n), (value) => value + 0),
                rounded(x.subarray(i, i + n), bits, symmetric),
                `${JSON.stringify(options)}, from weight ${i}`,
            );
        const { quantization_config: config } = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
        assert.deepEqual([config.bits, config.group_size, config.desc_act ?? false], [bits, group || -1, false]);
    }
});

test('the default method is GPTQ with a calibration text, and rounding to nearest without', async () => {
    const calibration = 'abcdefghij klmno pqrst uvwxyz 0123456789. '.repeat(20),
        small = { calibration, context: 16, samples: 4, group: 32, threads: 1 },
        weights = async (/** @type {QuantizeFolderOptions} */ options) =>
            readFileSync(join(await make(options), 'model.safetensors'));
    const [plainly, rtn, text, gptq] = [
        await weights({ group: 32 }),
        await weights({ group: 32, method: 'rtn' }),
        await weights(small),
        await weights({ ...small, method: 'gptq' }),
    ];
    assert.ok(plainly.equals(rtn) && text.equals(gptq) && !rtn.equals(gptq));
});

test('what is refused', async () => {
    for (const [options, message] of /** @type {[any, RegExp][]} */ ([
        [{ method: 'rtn', calibration: 'text' }, /calibration \(--calibration\) is not needed to round to nearest/],
        [{ damping: 0.1 }, /damping \(--damping\) is not needed to round to nearest/],
        [{ method: 'gptq' }, /method \(--method\) gptq needs a calibration text/],
        [{ bits: 5 }, /bits \(--bits\) is 5, but format \(--format\) gptq takes 2, 3, 4 or 8/],
        [{ bits: 3, format: 'compressed-tensors' }, /takes 4 or 8/],
        [{ group: 48 }, /group \(--group\) is 48, which is no multiple of 32/],
    ]))
        assert.throws(() => quantizeFolder(plain, options), nibbleError('NB_ERR_ARGUMENT', message), String(message));
    await assert.rejects(make({ group: 96 }), /groups of 96 do not divide its 64 columns/);
    const abort = new AbortController(),
        files = quantizeFolder(plain, { group: 32, signal: abort.signal });
    await files.next();
    abort.abort(new Error('enough'));
    await assert.rejects(files.next(), /enough/);
});

test('a weight that is not finite is named, and groups of zeros stay zeros', async () => {
    const tensors = tensorsOf(plain),
        { bytes } = /** @type {any} */ (tensors.get(`${down}.weight`));
    cpSync(plain, at('changed'), { recursive: true });
    for (const bits of [0x7fc0, 0x7f80]) {
        // BF16's NaN and infinity
        const before = bytes.readUInt16LE(2 * (3 * 64 + 5));
        bytes.writeUInt16LE(bits, 2 * (3 * 64 + 5));
        writeTensors(at('changed/model.safetensors'), tensors);
        await assert.rejects(
            make({ group: 32 }, at('changed')),
            nibbleError('NB_ERR_FORMAT', /(mlp\.down_proj|ffn_down)\.weight.* not finite: row 3, column 5/),
        );
        bytes.writeUInt16LE(before, 2 * (3 * 64 + 5));
    }
    bytes.fill(0, 0, 2 * 64);
    writeTensors(at('changed/model.safetensors'), tensors);
    const got = fromGptq(tensorsOf(await make({ group: 32 }, at('changed'))), down, 4, true);
    assert.ok(got.subarray(0, 64).every((value) => value === 0));
    assert.ok(got.subarray(64).some((value) => value !== 0));
});

test('progress goes once from the first byte to the last', async () => {
    const calibration = 'abcdefghij klmno pqrst uvwxyz 0123456789. '.repeat(20);
    for (const options of /** @type {QuantizeFolderOptions[]} */ ([
        { group: 32 },
        { format: 'bitsandbytes', type: 'int8' },
        { group: 32, calibration, context: 16, samples: 4 },
    ])) {
        /** @type {[number, number][]} */
        const told = [];
        await make({
            ...options,
            onProgress({ loaded, total, calibration }) {
                if (!calibration) told.push([loaded, total]);
            },
        });
        const totals = new Set(told.map(([, total]) => total)),
            all = told.map(([loaded]) => loaded);
        assert.equal(totals.size, 1, 'one number of bytes');
        assert.deepEqual(
            all,
            [...all].sort((a, b) => a - b),
        );
        assert.equal(
            all.findIndex((loaded) => totals.has(loaded)),
            all.length - 1,
        );
    }
});

test('on the command line', () => {
    const out = at('by-command'),
        nibble = (/** @type {string[]} */ ...args) =>
            spawnSync(process.execPath, [`${root}web/cli.js`, 'quantize', ...args], { encoding: 'utf8' });
    const flags = ['--format', 'gptq', '--bits', '3', '--group', '32'];
    const { status, stdout, stderr } = nibble(plain, out, ...flags, '--json');
    assert.deepEqual([status, stderr], [0, '']);
    assert.equal(JSON.parse(stdout).format, 'gptq');
    assert.ok(existsSync(join(out, 'quantize_config.json')));
    assert.match(nibble(plain, out, ...flags).stderr, /by-command is there already/);
    const wrong = nibble(plain, at('none'), ...flags, '--samples', '3');
    assert.deepEqual([wrong.status, /samples \(--samples\) is not needed/.test(wrong.stderr)], [2, true]);
    assert.equal(existsSync(at('none')), false);
});
