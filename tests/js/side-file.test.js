// Damaged or forged side files of quantize --resume: cut off anywhere, with any bytes changed, or with records of any
// JSON and right checksums. A file is refused, or its layers are complete and equal those that were written.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { NibbleError } from '../../web/index.js';
import { openSideFile } from '../../web/worker/side-file.js';
import { randomFrom } from '../support/random-strings.js';

const folder = mkdtempSync(join(tmpdir(), 'nibble-')),
    path = join(folder, 'a.gguf.part');
after(() => rmSync(folder, { recursive: true }));

const LAYERS = 3,
    TENSORS = 2,
    RUN = { settings: { method: 'gptq' }, choices: {}, plan: 'plan', text: new Uint8Array([1, 2]), ends: 'ends' };
const nameOf = (/** @type {number} */ layer, /** @type {number} */ i) => `blk.${layer}.${i}.weight`;
const bytesOf = (/** @type {number} */ layer, /** @type {number} */ i) =>
    Uint8Array.from({ length: 18 * (1 + i) }, (_, k) => 7 * k + layer);
const plan = /** @type {any[]} */ (
    Array.from({ length: LAYERS * TENSORS }, (_, i) => ({
        name: nameOf(Math.floor(i / TENSORS), i % TENSORS),
        type: 'q4_0',
    }))
);

/** The file with all layers of a run. */
async function written() {
    rmSync(path, { force: true });
    const file = await openSideFile(path, plan);
    file.begin(RUN);
    for (let layer = 0; layer < LAYERS; layer++) {
        for (let i = 0; i < TENSORS; i++) {
            const bytes = file.space(18 * (1 + i));
            bytes.set(bytesOf(layer, i));
            file.put({ name: nameOf(layer, i), type: 'q4_0', bytes });
        }
        file.endLayer(`source ${layer}`);
    }
    file.close();
    return readFileSync(path);
}

/**
 * The number of complete layers in a file, after reading all their tensors; -1: it is refused.
 * @param {Uint8Array} bytes
 * @param {boolean} [isOurs] whether the layers must equal those that were written
 */
async function layersOf(bytes, isOurs = true) {
    writeFileSync(path, bytes);
    const file = await openSideFile(path, plan);
    try {
        file.begin(RUN);
        for (let layer = 0; layer < file.layers; layer++) {
            let i = 0;
            for (const made of file.made(layer)) {
                assert.equal(made.type, 'q4_0');
                if (isOurs) assert.deepEqual(made.bytes, bytesOf(layer, i), `${made.name}, layer ${layer}`);
                file.read(made.name, 0, new Uint8Array(Math.min(made.bytes.length, 18)));
                i++;
            }
        }
        return file.layers;
    } catch (error) {
        assert.ok(error instanceof NibbleError && error.code === 'NB_ERR_FILE', String(error));
        return -1;
    } finally {
        file.close();
    }
}

/** A record with this JSON and these blocks, and with the right checksum. @param {string} json @param {Uint8Array}
 * blocks */
function record(json, blocks) {
    const front = Buffer.alloc(12);
    front.writeUInt32LE(Buffer.byteLength(json));
    front.writeBigUInt64LE(BigInt(blocks.length), 4);
    const all = Buffer.concat([front, Buffer.from(json), blocks]);
    return Buffer.concat([all, createHash('sha256').update(all).digest()]);
}

/** The offsets at which records end: the run's, and those of layers. @param {Buffer} file */
function endsOf(file) {
    const ends = [];
    for (let at = 8; at < file.length; ends.push(at))
        at += 12 + file.readUInt32LE(at) + Number(file.readBigUInt64LE(at + 4)) + 32;
    return ends;
}

test('cut off anywhere, it has the layers that are complete', async () => {
    const file = await written(),
        ends = endsOf(file);
    assert.equal(ends.length, 1 + LAYERS);
    for (let size = 0; size <= file.length; size++) {
        if (size % 7 && !ends.some((end) => Math.abs(end - size) < 2)) continue; // trying all sizes takes long
        const whole = ends.filter((end) => end <= size).length;
        assert.equal(await layersOf(file.subarray(0, size)), Math.max(0, whole - 1), `${size} bytes`);
    }
});

test('with any bytes changed, it is refused, or has the layers before them', async () => {
    const file = await written(),
        ends = endsOf(file),
        below = randomFrom(1);
    for (let i = 0; i < 250; i++) {
        const bad = Buffer.from(file),
            at = below(file.length),
            n = 1 + below(8);
        for (let k = at; k < Math.min(at + n, bad.length); k++)
            bad[k] = [0, 255, 127, bad[k] ^ (1 << below(8))][below(4)];
        const same = bad.findIndex((byte, k) => byte !== file[k]),
            whole = same < 0 ? LAYERS : ends.filter((end) => end <= same).length - 1,
            layers = await layersOf(bad);
        assert.ok(
            same >= 0 && same < 8 ? layers === -1 : layers === Math.max(0, whole),
            `byte ${at}: ${layers} layers`,
        );
    }
});

test('with records of any JSON and right checksums, it is refused, or all its tensors can be read', async () => {
    const file = await written(),
        run = file.subarray(0, endsOf(file)[0]),
        below = randomFrom(2);
    const ODD = [
        null,
        -1,
        0,
        1.5,
        18,
        36,
        54,
        1e300,
        2 ** 53,
        true,
        '',
        'q4_0',
        'q8_0',
        '__proto__',
        nameOf(0, 0),
        [],
        {},
    ];
    const odd = () => ODD[below(ODD.length)];
    const tensor = () => ({
        name: below(8) ? nameOf(below(LAYERS), below(TENSORS)) : odd(),
        type: below(8) ? 'q4_0' : odd(),
        bytes: below(3) ? 18 * (1 + below(2)) : odd(),
    });
    let taken = 0;
    for (let i = 0; i < 250; i++) {
        const head = {
            layer: below(8) ? 0 : odd(),
            source: below(8) ? 'source' : odd(),
            tensors: below(8) ? Array.from({ length: below(4) }, () => (below(8) ? tensor() : odd())) : odd(),
        };
        const sizes = [head.tensors].flat().map((one) => Number(Object(one).bytes)),
            sum = sizes.reduce((total, size) => total + size, 0),
            blocks = new Uint8Array(below(8) && sum >= 0 && sum < 1000 ? sum : 54),
            json = below(8) ? JSON.stringify(below(8) ? head : odd()) : '{"layer":';
        const layers = await layersOf(Buffer.concat([run, record(json, blocks)]), false);
        taken += layers > 0 ? 1 : 0;
    }
    assert.ok(taken > 10 && taken < 240, `${taken} of 250 records were taken`);
});
