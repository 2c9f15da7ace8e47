// quantize --resume: an interrupted run continues after the last complete layer, and its file is byte for byte that of
// an uninterrupted run. If the side file is cut off or damaged, only the layers from there on are made again; the side
// file of another run is refused.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { quantize } from '../../web/index.js';
import { openSideFile } from '../../web/worker/side-file.js';
import { models, root } from '../support/builds.js';

/** @typedef {import('../../web/index.js').QuantizeOptions} QuantizeOptions */

const temporary = mkdtempSync(join(tmpdir(), 'nibble-'));
after(() => rmSync(temporary, { recursive: true }));

const text = 'Once upon a time there was a little girl. She liked to play with her dog in the park. '.repeat(30);
const words = join(temporary, 'words.txt');
writeFileSync(words, text);
/** @type {QuantizeOptions} */
const OPTIONS = {
    type: 'q4_0',
    requantize: true,
    method: 'gptq',
    calibration: text,
    context: 64,
    samples: 6,
    threads: 1,
};
const LAYERS = 6;

const hash = (/** @type {Uint8Array} */ bytes) => createHash('sha256').update(bytes).digest('hex');

/**
 * @param {Partial<QuantizeOptions>} [options]
 * @param {import('../../web/index.js').Source} [source]
 */
async function made(options = {}, source = models.tiny) {
    /** @type {Set<number>} */
    const observed = new Set();
    const onProgress = (/** @type {import('../../web/index.js').Progress} */ { calibration }) => {
        if (calibration?.stage === 'observe') observed.add(calibration.layer);
    };
    const stream = quantize(source, { ...OPTIONS, onProgress, ...options }),
        bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    return { hash: hash(bytes), observed: [...observed] };
}

let files = 0;
/** Writes a side file. @param {Uint8Array} [bytes] */
function sideFile(bytes) {
    const path = join(temporary, `${files++}.part`);
    if (bytes) writeFileSync(path, bytes);
    return path;
}

/** The offsets of the records of a side file, and of its end. @param {Buffer} file */
function recordsOf(file) {
    const begins = [8];
    for (let at = 8; at < file.length; begins.push(at))
        at += 12 + file.readUInt32LE(at) + Number(file.readBigUInt64LE(at + 4)) + 32;
    return begins;
}

let whole = '',
    full = Buffer.alloc(0);
before(async () => {
    whole = (await made()).hash;
    const resume = sideFile();
    assert.deepEqual(await made({ resume }), { hash: whole, observed: [0, 1, 2, 3, 4, 5] });
    full = readFileSync(resume);
});

test('a complete file, or one that is cut off or damaged: complete layers are not made again', async () => {
    const begins = recordsOf(full); // the run, each layer, and the end
    assert.equal(begins.length, 2 + LAYERS);
    assert.equal(begins.at(-1), full.length);
    const damaged = (/** @type {number} */ at) => {
        const bytes = Buffer.from(full);
        bytes[at] ^= 1;
        return bytes;
    };
    for (const [name, bytes, layers] of /** @type {[string, Buffer, number][]} */ ([
        ['whole', full, 6],
        ['four layers', full.subarray(0, begins[5]), 4],
        ['cut off in the last layer', full.subarray(0, full.length - 1), 5],
        ['cut off in the lengths of a record', full.subarray(0, begins[4] + 5), 3],
        ['cut off in the record of the run', full.subarray(0, 40), 0],
        ['cut off in the first bytes', full.subarray(0, 5), 0],
        ['empty', full.subarray(0, 0), 0],
        ['damaged weights', damaged(begins[4] - 100), 2],
        ['a damaged length', damaged(begins[6] + 3), 5],
        ['a damaged checksum', damaged(full.length - 1), 5],
        ['something after the last layer', Buffer.concat([full, Buffer.alloc(1000, 7)]), 6],
        ['a layer twice', Buffer.concat([full.subarray(0, begins[3]), full.subarray(begins[2], begins[3])]), 2],
    ])) {
        const resume = sideFile(bytes);
        assert.deepEqual(await made({ resume }), { hash: whole, observed: [0, 1, 2, 3, 4, 5].slice(layers) }, name);
        if (layers < LAYERS) assert.equal(hash(readFileSync(resume)), hash(full), name);
        rmSync(resume);
    }
});

test('with awq, whose scales change norms, too', async () => {
    const resume = sideFile(),
        { hash: whole } = await made({ method: 'awq' });
    await made({ method: 'awq', resume });
    const all = readFileSync(resume);
    writeFileSync(resume, all.subarray(0, recordsOf(all)[4]));
    assert.deepEqual(await made({ method: 'awq', resume }), { hash: whole, observed: [3, 4, 5] });
});

/**
 * The side file with a changed head in the record of the first layer, and the right checksum.
 * @param {(head: any) => any} change
 */
function withHead(change) {
    const begins = recordsOf(full),
        at = begins[1],
        json = full.readUInt32LE(at),
        head = Buffer.from(JSON.stringify(change(JSON.parse(full.toString('utf8', at + 12, at + 12 + json)))));
    const front = Buffer.from(full.subarray(at, at + 12));
    front.writeUInt32LE(head.length);
    const record = Buffer.concat([front, head, full.subarray(at + 12 + json, begins[2] - 32)]);
    const sum = createHash('sha256').update(record).digest();
    return [full.subarray(0, at), record, sum, full.subarray(begins[2])];
}

test('a record with a right checksum and wrong contents is not believed', async () => {
    for (const change of /** @type {((head: any) => any)[]} */ ([
        (head) => ({ ...head, layer: 1 }),
        (head) => ({ ...head, tensors: [null] }),
        (head) => ({ ...head, tensors: head.tensors.map((/** @type {any} */ one) => ({ ...one, bytes: 2 ** 60 })) }),
        (head) => ({ ...head, tensors: head.tensors.map((/** @type {any} */ one) => ({ ...one, bytes: -1 })) }),
        (head) => ({ ...head, tensors: head.tensors.map((/** @type {any} */ one) => ({ ...one, type: 'q8_0' })) }),
        (head) => ({ ...head, tensors: head.tensors.slice(1) }),
        () => null,
    ])) {
        const resume = sideFile(Buffer.concat(withHead(change).slice(0, 3)));
        assert.deepEqual(await made({ resume }), { hash: whole, observed: [0, 1, 2, 3, 4, 5] }, String(change));
    }
    // the sum of all sizes is right, so that only the sizes of single tensors are wrong
    const shifted = withHead(({ tensors: [first, second, ...others], ...head }) => ({
        ...head,
        tensors: [{ ...first, bytes: first.bytes - 18 }, { ...second, bytes: second.bytes + 18 }, ...others],
    }));
    await assert.rejects(made({ resume: sideFile(Buffer.concat(shifted)) }), /too few bytes of blk\.0\./);
});

test('the file of another run is refused, and stays as it is', async () => {
    const resume = sideFile(full);
    for (const [options, said] of /** @type {[Partial<QuantizeOptions>, RegExp][]} */ ([
        [
            { damping: 0.1, order: 'natural' },
            /is of a run with other options \(damping, order\): repeat that run's command/,
        ],
        [{ type: 'q4_1' }, /other options \(type\)/],
        [{ tensors: { ffn_down: 'q8_0' } }, /other options \(tensors\)/],
        [{ calibration: `A${text}` }, /another calibration text/],
    ]))
        await assert.rejects(made({ resume, ...options }), said);
    // threads change nothing
    assert.deepEqual(await made({ resume, threads: 2 }), { hash: whole, observed: [] });
    // this model's tokenizer makes other tokens of the same text
    await assert.rejects(
        made({ resume }, `${root}tests/fixtures/models/head-size.gguf`),
        /of a run with another calibration text, or another model:/,
    );
    const other = new Uint8Array(readFileSync(models.tiny));
    other[other.length - 1000] ^= 1; // within the last tensor
    await assert.rejects(made({ resume }, [new File([other], 'other.gguf')]), /is of .*another model|other weights/);
    await assert.rejects(
        made({ resume: sideFile(Buffer.from('a letter')) }),
        /is no file of an interrupted run: move it/,
    );
    await assert.rejects(made({ resume: temporary }), /is there and is no file: move it away/);
    await assert.rejects(
        made({ resume: join(temporary, 'none', 'a.part') }),
        /cannot write .*a\.part: there is no such/,
    );
    assert.equal(hash(readFileSync(resume)), hash(full));
});

test('options that do not change the layers may differ', async () => {
    const resume = sideFile(full);
    for (const options of /** @type {Partial<QuantizeOptions>[]} */ ([
        { tensors: { attn_q: 'q4_0' } },
        { outputType: 'q8_0' },
        { tokenEmbeddingType: 'q5_0' },
    ])) {
        const { hash: fresh } = await made(options);
        assert.deepEqual(await made({ ...options, resume }), { hash: fresh, observed: [] }, JSON.stringify(options));
    }
    const two = { calibration: text.slice(0, 600) },
        short = sideFile(),
        { hash: fresh, observed } = await made({ ...two, samples: 2, resume: short });
    assert.equal(observed.length, LAYERS);
    assert.deepEqual(
        await made({ ...two, samples: 3, resume: short }),
        { hash: fresh, observed: [] },
        'there are two windows',
    );
});

test('a budget: the measurements are kept with the layers', async () => {
    let measured = 0;
    const options = { type: undefined, bits: 6, calibration: text.slice(0, 600) },
        run = async (/** @type {Partial<QuantizeOptions>} */ more, source = models.tiny) => {
            measured = 0;
            const { onProgress = () => {} } = more;
            return made({ ...options, ...more, onProgress }, source);
        };
    const resume = sideFile(),
        counted = (/** @type {import('../../web/index.js').Progress} */ { measuring }) => {
            measured += measuring ? 1 : 0;
        },
        { hash: fresh } = await run({ resume, onProgress: counted });
    assert.ok(measured > 5, `${measured} reports`);
    assert.equal((await run({})).hash, fresh, 'a side file changes nothing');
    const all = readFileSync(resume),
        begins = recordsOf(all); // the measurement, the run, each layer, and the end
    assert.equal(begins.length, 3 + LAYERS);
    for (const [name, bytes, again] of /** @type {[string, Buffer, boolean][]} */ ([
        ['three layers', all.subarray(0, begins[5]), false],
        ['no layer', all.subarray(0, begins[2]), false],
        ['the measurement alone', all.subarray(0, begins[1]), false],
        ['all layers', all, false],
        ['cut off in the measurement', all.subarray(0, begins[1] - 1), true],
        ['a damaged measurement', Buffer.concat([all.subarray(0, 100), Buffer.from('x'), all.subarray(101)]), true],
    ])) {
        const path = sideFile(bytes);
        assert.equal((await run({ resume: path, onProgress: counted })).hash, fresh, name);
        assert.equal(measured > 0, again, `${name}: ${measured} reports of measuring`);
        assert.equal(hash(readFileSync(path)), hash(all), name);
    }
    writeFileSync(resume, all.subarray(0, begins[5]));
    assert.deepEqual(await made({ ...options, resume }), { hash: fresh, observed: [3, 4, 5] });
    // another run is refused before it measures anything
    const other = new Uint8Array(readFileSync(models.tiny));
    other[other.length - 1000] ^= 1;
    for (const [more, said, source] of /** @type {[Partial<QuantizeOptions>, RegExp, any?][]} */ ([
        [{ bits: 7 }, /of a run with other options \(bits\)/],
        [{ tensors: { attn_v: 'q8_0' } }, /of a run with other options \(tensors\)/],
        [{ calibration: `A${options.calibration}` }, /another calibration text/],
        [{}, /of a run with another model/, [new File([other], 'other.gguf')]],
    ])) {
        await assert.rejects(run({ resume, ...more, onProgress: counted }, source), said);
        assert.equal(measured, 0, String(said));
    }
    await assert.rejects(run({ resume: sideFile(full) }), /of a run with other options/, 'one without a budget');
    // rounding to nearest has no layers to keep
    const nearest = { method: /** @type {const} */ ('rtn'), resume: sideFile(all.subarray(0, begins[1])) };
    await run({ ...nearest, onProgress: counted });
    assert.equal(measured, 0);
});

test('a long importance matrix does not make a run start again', async () => {
    const path = sideFile(),
        tensor = { name: 'blk.0.attn_q.weight', type: 'q4_0' },
        plan = /** @type {any} */ ([tensor]),
        imatrix = new Uint8Array(20 << 20).fill(7),
        run = {
            settings: { method: 'gptq' },
            choices: { bits: 4, imatrix },
            plan: 'a',
            text: new Uint8Array(9),
            ends: '',
        };
    const first = await openSideFile(path, plan);
    first.begin(run);
    first.put({ ...tensor, bytes: new Uint8Array(18) });
    first.endLayer('of these weights');
    first.close();
    assert.ok(statSync(path).size < 2000, 'it keeps sums of long options');
    /** @param {object} changes */
    const layersOf = async (changes) => {
        const again = await openSideFile(path, plan);
        try {
            again.begin({ ...run, ...changes });
            return again.layers;
        } finally {
            again.close();
        }
    };
    const other = { choices: { bits: 4, imatrix: imatrix.slice().fill(8, 1000) } };
    assert.equal(await layersOf({}), 1);
    assert.equal(await layersOf(other), 1, 'the layers have the same types');
    await assert.rejects(layersOf({ ...other, plan: 'b' }), /is of a run with other options \(imatrix\): repeat/);
    await assert.rejects(
        layersOf({ plan: 'b' }),
        /is of a run with other types of tensors, which another version of nibble/,
    );
    await assert.rejects(layersOf({ settings: { method: 'awq' } }), /other options \(method\)/);
});

test('the command resumes after a kill, an interrupt or a full disk; at the end the side file is gone', async () => {
    const out = join(temporary, 'small.gguf'),
        part = `${out}.part`;
    const command = [`${root}web/cli.js`, 'quantize', models.tiny, out, '--type', 'q4_0', '--requantize', '--resume'];
    const calibrated = ['--method', 'gptq', '--calibration', words, '--context', '64', '--samples', '6'];
    let least = 0;
    for (const signal of /** @type {const} */ (['SIGKILL', 'SIGINT'])) {
        const run = spawn(process.execPath, [...command, ...calibrated], { stdio: 'ignore' }),
            ended = once(run, 'exit');
        const size = () => (existsSync(part) ? statSync(part).size : 0);
        while (run.exitCode === null && size() <= least) await wait(2);
        run.kill(signal);
        const [code] = await ended;
        assert.equal(code, signal === 'SIGINT' ? 130 : null);
        assert.ok(!existsSync(out));
        assert.ok(statSync(part).size > least);
        least = statSync(part).size;
    }
    if (process.platform !== 'win32') {
        const limit = `trap '' XFSZ; ulimit -f ${Math.ceil((full.length * 0.8) / 512)}; exec "$@"`,
            run = ['-c', limit, 'sh', process.execPath, ...command, ...calibrated];
        const { status, stderr } = spawnSync('sh', run, { encoding: 'utf8' });
        assert.equal(status, 1);
        assert.match(stderr, /cannot write .*small\.gguf\.part: the file would be larger than is allowed/);
        assert.ok(!existsSync(out));
        assert.ok(statSync(part).size > least);
    }
    const { status, stderr } = spawnSync(process.execPath, [...command, ...calibrated], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.equal(hash(readFileSync(out)), whole);
    assert.deepEqual(
        readdirSync(temporary).filter((name) => name.startsWith('small')),
        ['small.gguf'],
    );
    const useless = spawnSync(process.execPath, [...command, '--force'], { encoding: 'utf8' });
    assert.equal(useless.status, 2);
    assert.match(useless.stderr, /resume \(--resume\) is for methods that calibrate/);
});
