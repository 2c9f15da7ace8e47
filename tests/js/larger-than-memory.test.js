// A model that is larger than the available memory can be quantized, by rounding to nearest and with a calibration
// text, because the source is never held in memory as a whole.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
    closeSync,
    ftruncateSync,
    mkdtempSync,
    openSync,
    readFileSync,
    rmSync,
    writeFileSync,
    writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { quantizedPieces } from '../../web/api/quantize.js';
import { load, quantize } from '../../web/index.js';
import { BufferPool } from '../../web/worker/buffer-pool.js';
import { models, root } from '../support/builds.js';
import { parse, whole } from '../support/gguf.js';
import { layersFor, modelOf } from '../support/large.js';
import { littleMemory } from '../support/little-memory.js';

const temporary = mkdtempSync(join(tmpdir(), 'nibble-'));
after(() => rmSync(temporary, { recursive: true }));

/** A module that prints the peak memory of its process when the process exits, in KB. */
const TELL = `data:text/javascript,${encodeURIComponent(
    `import { isMainThread } from 'node:worker_threads';
     if (isMainThread) process.on('exit', () => process.stderr.write('peak ' + process.resourceUsage().maxRSS + ' KB'));`,
)}`;

/** The peak memory of the command. @param {string[]} args @returns {number} bytes */
function peakOf(...args) {
    const { status, stderr } = spawnSync(process.execPath, ['--import', TELL, `${root}web/cli.js`, ...args], {
        encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    return 1024 * Number(/peak (\d+) KB/.exec(stderr)?.[1]);
}

/**
 * Writes a sparse file: pieces that are all zeros take no disk space.
 * @param {string} path
 * @param {ReadableStream<Uint8Array>} stream
 */
async function writeSparse(path, stream) {
    const file = openSync(path, 'w');
    let at = 0;
    for await (const piece of /** @type {AsyncIterable<Uint8Array>} */ (/** @type {unknown} */ (stream))) {
        const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.length);
        if (!bytes.equals(Buffer.alloc(bytes.length))) writeSync(file, bytes, 0, bytes.length, at);
        at += piece.length;
    }
    ftruncateSync(file, at);
    closeSync(file);
    return at;
}

test('rounding to nearest: the peak memory is a fraction of the size of the source', async () => {
    const path = join(temporary, 'large.gguf'),
        size = await writeSparse(path, modelOf(layersFor(210e6))),
        idle = peakOf('--help'),
        peak = peakOf('quantize', path, join(temporary, 'small.gguf'), '--type', 'q4_0', '--threads', '1');
    assert.ok(size > 200e6, `${size} bytes`);
    assert.ok(peak - idle < size / 3, `${peak - idle} bytes beyond the ${idle} of an idle command, of ${size}`);

    // when the next piece is asked for, the buffer of the one before goes to the worker, and its length becomes 0 here
    /** @type {Uint8Array[]} */
    const pieces = [];
    for await (const piece of quantizedPieces(path, { type: 'q8_0', threads: 1 })) if (pieces.push(piece) === 6) break;
    assert.deepEqual(
        pieces.map(({ length }) => length > 0),
        [false, false, false, false, false, true],
        'the buffers went back to the worker',
    );
});

test('buffers are reused; one that is not taken between two calls of empty() is dropped', () => {
    const pool = new BufferPool(),
        [small, large] = [pool.take(8), pool.take(16)];
    assert.notEqual(pool.take(8), small, 'each is given once');
    pool.empty();
    assert.equal(pool.take(8), small);
    pool.empty();
    assert.notEqual(pool.take(16), large);
});

test('with a calibration text: a model that cannot be loaded can be quantized', async () => {
    const { values, tensors } = parse(readFileSync(models.tiny)),
        layers = 48;
    const ends = tensors.filter(({ name }) => !name.startsWith('blk.')),
        layer = tensors.filter(({ name }) => name.startsWith('blk.0.')),
        all = Array.from({ length: layers }, (_, i) =>
            layer.map((tensor) => ({ ...tensor, name: tensor.name.replace('blk.0.', `blk.${i}.`) })),
        );
    const path = join(temporary, 'deep.gguf'),
        file = whole(new Map(values).set('llama.block_count', ['u32', layers]), [...ends, ...all.flat()]),
        most = 3.5 * 2 ** 20;
    writeFileSync(path, file);
    assert.ok(file.length > most);
    const limits = { engine: most, convert: most, quantize: most },
        wasmUrl = littleMemory(join(temporary, 'wasm'), limits);
    await assert.rejects(load(path, { threads: 1, contextLength: 64, wasmUrl }), { code: 'NB_ERR_MEMORY' });
    const calibration = 'Once upon a time there was a little girl. She liked to play with her dog. '.repeat(10);
    const stream = quantize(path, {
            ...{ type: 'q4_0', requantize: true, method: 'gptq', calibration, context: 64, samples: 2, threads: 1 },
            wasmUrl,
        }),
        made = parse(new Uint8Array(await new Response(stream).arrayBuffer()));
    assert.equal(made.tensors.length, ends.length + layers * layer.length);
});
