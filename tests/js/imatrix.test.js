// Importance matrices equal the reference's (tests/oracles/imatrix_vectors.py), in both file formats.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { load, quantize } from '../../web/index.js';
import { models, root } from '../support/builds.js';
import { configurations } from '../support/vectors.js';

const fixtures = `${root}tests/fixtures/imatrix/`;
/** @type {Record<string, { model: string, context: number, windows: number, input?: number[] }>} */
const cases = JSON.parse(readFileSync(`${fixtures}imatrix.json`, 'utf8'));
const { text } = JSON.parse(readFileSync(`${root}tests/fixtures/llamacpp/prompts.json`, 'utf8')).logits;
const folder = mkdtempSync(join(tmpdir(), 'nibble-'));
after(() => rmSync(folder, { recursive: true }));

/** Reads the bytes of a file in order. */
class Reader {
    at = 0;

    /** @param {Uint8Array} bytes */
    constructor(bytes) {
        this.bytes = Buffer.from(bytes);
    }

    u32() {
        return this.bytes.readUInt32LE((this.at += 4) - 4);
    }

    u64() {
        return Number(this.bytes.readBigUInt64LE((this.at += 8) - 8));
    }

    /** @param {number} size */
    text(size) {
        return this.bytes.toString('utf8', this.at, (this.at += size));
    }

    /** @param {number} n @param {number} [from] */
    floats(n, from = (this.at += 4 * n) - 4 * n) {
        return Float32Array.from({ length: n }, (_, i) => this.bytes.readFloatLE(from + 4 * i));
    }
}

/**
 * @typedef {{ chunks: number, text: string, entries: Map<string, { means: Float32Array, counts?: Float32Array }> }}
 *     Parsed
 */

/** @param {Uint8Array} bytes @returns {Parsed} of the legacy format */
function parseDat(bytes) {
    const r = new Reader(bytes),
        entries = new Map();
    for (let n = r.u32(); n > 0; n--) {
        const name = r.text(r.u32()),
            calls = r.u32(),
            values = r.u32();
        entries.set(name, { means: r.floats(values).map((x) => x / calls) });
    }
    const chunks = r.u32(),
        text = r.text(r.u32());
    assert.equal(r.at, bytes.length);
    return { chunks, text, entries };
}

/** @param {Uint8Array} bytes @returns {Parsed} of a GGUF, which must have these four keys */
function parseGguf(bytes) {
    const r = new Reader(bytes),
        tensors = new Map(),
        keys = new Map();
    assert.deepEqual([r.text(4), r.u32()], ['GGUF', 3]);
    const n = r.u64();
    for (let k = r.u64(); k > 0; k--) {
        const key = r.text(r.u64()),
            type = r.u32();
        if (type === 9) assert.deepEqual([r.u32(), r.u64()], [8, 1], key);
        keys.set(key, type === 4 ? r.u32() : r.text(r.u64()));
    }
    assert.deepEqual([keys.size, keys.get('general.type')], [4, 'imatrix']);
    for (let i = 0; i < n; i++) {
        const name = r.text(r.u64());
        assert.equal(r.u32(), 2);
        const columns = r.u64(),
            matrices = r.u64();
        assert.equal(r.u32(), 0, 'F32');
        tensors.set(name, { n: columns * matrices, at: r.u64() });
    }
    const data = Math.ceil(r.at / 32) * 32,
        entries = new Map();
    for (const [name, { n, at }] of tensors)
        if (name.endsWith('.in_sum2')) {
            const whole = name.slice(0, -'.in_sum2'.length),
                counted = tensors.get(`${whole}.counts`);
            const counts = r.floats(counted.n, data + counted.at),
                columns = n / counts.length;
            assert.equal(at % 32, 0);
            entries.set(whole, {
                counts,
                means: r.floats(n, data + at).map((x, i) => x / counts[Math.floor(i / columns)]),
            });
        }
    return { chunks: keys.get('imatrix.chunk_count'), text: keys.get('imatrix.datasets'), entries };
}

/**
 * @param {Parsed} found
 * @param {Parsed} expected
 * @param {string} name
 * @param {boolean} some expected has only some of the entries
 */
function compare(found, expected, name, some) {
    assert.deepEqual([found.chunks, found.text], [expected.chunks, expected.text], name);
    if (!some) assert.deepEqual([...found.entries.keys()].sort(), [...expected.entries.keys()].sort(), name);
    let worst = 0;
    for (const [tensor, { means, counts }] of expected.entries) {
        const entry = found.entries.get(tensor);
        assert.ok(entry, `${name}: there is no ${tensor}`);
        assert.deepEqual([entry.means.length, entry.counts], [means.length, counts], `${name}, ${tensor}`);
        for (const [i, mean] of means.entries()) worst = Math.max(worst, Math.abs(entry.means[i] / mean - 1));
    }
    assert.ok(worst < 1e-3, `${name}: a number is ${worst} off`);
    return worst;
}

test('the fixtures of the oracle are there', () =>
    assert.deepEqual(
        readdirSync(fixtures).sort(),
        [...Object.keys(cases).flatMap((name) => [`${name}.dat`, `${name}.gguf`]), 'imatrix.json'].sort(),
    ));

for (const [name, { model: path, context, windows, input }] of Object.entries(cases))
    for (const { build, threads } of configurations())
        test(`${name}, ${build}, ${threads} threads: sums and counts are the reference's`, {
            timeout: 120_000,
        }, async (t) => {
            const model = await load(root + path, { build, threads });
            try {
                for (const format of /** @type {const} */ (['gguf', 'dat'])) {
                    const found = await model.importanceMatrix(input ?? text, {
                        context,
                        format,
                        textName: 'text.txt',
                    });
                    assert.deepEqual(
                        [found.windows, found.tokens, found.context],
                        [windows, windows * context, context],
                    );
                    const parse = format === 'dat' ? parseDat : parseGguf;
                    const worst = compare(
                        parse(found.bytes),
                        parse(readFileSync(`${fixtures}${name}.${format}`)),
                        `${name}.${format}`,
                        name === 'tiny',
                    );
                    t.diagnostic(`${format}: ${worst.toExponential(1)} off at most`);
                }
            } finally {
                await model.dispose();
            }
        });

test("it has every matrix of the tiny model's layers, and no other", async () => {
    const model = await load(models.tiny);
    const { bytes } = await model.importanceMatrix(text, { context: 64 });
    const matrices = model.info.tensors.filter(({ name, shape }) => name.startsWith('blk.') && shape.length > 1);
    await model.dispose();
    const { entries } = parseGguf(bytes);
    assert.deepEqual([...entries.keys()].sort(), matrices.map(({ name }) => name).sort());
    for (const { name, shape } of matrices) assert.equal(entries.get(name)?.means.length, shape[0], name);
});

test('quantize() weighs errors by it, in either format', async () => {
    const { model: path, context, input = [] } = cases.mixtral,
        file = root + path;
    const model = await load(file);
    const matrices = [];
    for (const format of /** @type {const} */ (['gguf', 'dat']))
        matrices.push((await model.importanceMatrix(input, { context, format })).bytes);
    await model.dispose();
    /** @param {Uint8Array} [imatrix] */
    const bytesOf = async (imatrix) =>
        Buffer.from(await new Response(quantize(file, { type: 'q4_0', ...(imatrix && { imatrix }) })).arrayBuffer());
    const [plain, ...weighted] = await Promise.all([undefined, ...matrices].map(bytesOf));
    for (const bytes of weighted) assert.ok(bytes.length > 10_000 && !bytes.equals(plain));
    const copy = await load(new Uint8Array(weighted[0]));
    await assert.rejects(copy.importanceMatrix(input, { context: 256 }), { code: 'NB_ERR_ARGUMENT' });
    assert.equal((await copy.importanceMatrix(input, { context })).windows, cases.mixtral.windows);
    await copy.dispose();
});

test('what cannot be collected is refused; a signal ends it', async () => {
    const model = await load(models.tiny),
        any = /** @type {any} */ (model),
        code = 'NB_ERR_ARGUMENT';
    await assert.rejects(model.importanceMatrix(''), { code, message: /the text is empty/ });
    await assert.rejects(model.importanceMatrix('Hi'), { code, message: /less than one window of 512/ });
    await assert.rejects(model.importanceMatrix(text, { context: 1024 }), {
        code,
        message: /larger than the model's own/,
    });
    await assert.rejects(any.importanceMatrix(text, { format: 'txt' }), {
        code,
        message: /format must be one of gguf, dat/,
    });
    await assert.rejects(any.importanceMatrix(text, { stride: 64 }), { code, message: /no option "stride"/ });
    const abort = new AbortController();
    await assert.rejects(
        model.importanceMatrix(text.repeat(40), { context: 64, signal: abort.signal, onProgress: () => abort.abort() }),
        { name: 'AbortError' },
    );
    await model.dispose();
});

test('the command writes a complete file, and replaces another only if told to', () => {
    const file = join(folder, 'text.txt');
    writeFileSync(file, text);
    const command = (/** @type {string[]} */ ...args) => [
        `${root}web/cli.js`,
        'imatrix',
        models.tiny,
        '--file',
        file,
        '--context',
        '64',
        ...args,
    ];
    for (const [name, parse] of /** @type {const} */ ([
        ['a.gguf', parseGguf],
        ['a.dat', parseDat],
    ])) {
        const out = join(folder, name);
        const told = JSON.parse(execFileSync(process.execPath, command('-o', out, '--json'), { encoding: 'utf8' }));
        const bytes = readFileSync(out);
        assert.deepEqual([told.bytes, told.windows, told.format], [bytes.length, 8, name.slice(2)]);
        compare(parse(bytes), parse(readFileSync(`${fixtures}tiny.${name.slice(2)}`)), name, true);
        const again = spawnSync(process.execPath, command('--output', out), { encoding: 'utf8' });
        assert.deepEqual(
            [again.status, /is there already; --force writes over it/.test(again.stderr)],
            [2, true],
            again.stderr,
        );
    }
    const line = execFileSync(process.execPath, command('-o', join(folder, 'a.dat'), '--force'), { encoding: 'utf8' });
    assert.match(line, /a\.dat: [\d,]+ bytes, from 512 tokens in 8 windows of 64\n$/);
    const wrong = spawnSync(process.execPath, command('-o', join(folder, 'a.txt')), { encoding: 'utf8' });
    assert.deepEqual([wrong.status, /must end with \.gguf or \.dat/.test(wrong.stderr)], [2, true], wrong.stderr);
    assert.deepEqual(readdirSync(folder).sort(), ['a.dat', 'a.gguf', 'text.txt']);
});
