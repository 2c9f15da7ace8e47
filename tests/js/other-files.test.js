// Files that are no models are recognized, and the error says what they are, from all kinds of sources. The bytes are
// written by other libraries (tests/oracles/other_files.py).
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { load, quantize } from '../../web/index.js';
import { models, root } from '../support/builds.js';
import { listen } from '../support/loopback.js';
import { nibbleError } from '../support/nibble-error.js';

/** @typedef {import('../../web/index.js').Source} Source */

const hex = JSON.parse(readFileSync(`${root}tests/fixtures/other-files.json`, 'utf8'));
const folder = `${root}tests/fixtures/safetensors/llama-f32`;
const PAGE = "\r\n<!DOCTYPE html><html><head><title>A model's page</title></head><body>Download it here</body></html>";

/** Files, and what their errors must say. @type {Record<string, [bytes: Uint8Array, says: RegExp]>} */
const FILES = {
    'what --resume keeps': [Buffer.from('NBRESUM2\0\0\0'), /nibble quantize --resume.*run that command again/],
    'a tokenizer.json': [
        Buffer.from('{\n  "version": "1.0",\n  "truncation": null,\n  "padding": null'),
        /JSON, not a model file \(a tokenizer\.json: load the whole folder/,
    ],
    'a config.json': [
        Buffer.from('{"architectures": ["LlamaForCausalLM"]}'),
        /\(a config\.json: load the whole folder/,
    ],
    'an index': [Buffer.from('{"metadata": {"total_size": 5}, "weight_map": {}}'), /\(a list of the files of weights/],
    'a web page': [Buffer.from(PAGE), /this is a web page, not a model file: .*\/resolve\/.*\/blob\//],
    'a pointer of Git LFS': [Buffer.from(hex.lfs, 'hex'), /this is a Git LFS pointer.*git lfs pull/],
    JSON: [
        Buffer.from('{"error": "Access to this model is restricted"}'),
        /this is JSON.*it begins {"error": "Access to/,
    ],
    ...Object.fromEntries(
        Object.entries({
            zip: /a zip archive.*unpack it/,
            pytorch: /a zip archive \(a PyTorch checkpoint/,
            'old pytorch': /a PyTorch checkpoint/,
            gzip: /a gzip file: unpack it/,
            bzip2: /a bzip2 file: unpack it/,
            xz: /an xz file: unpack it/,
            zstd: /a Zstandard file: unpack it/,
            ggml: /a GGML file, older than GGUF/,
            ggmf: /a GGMF file, older than GGUF/,
            ggjt: /a GGJT file, older than GGUF/,
            ggla: /a GGLA file, an adapter/,
            'big-endian gguf': /a big-endian GGUF file/,
            png: /a PNG picture, not a model/,
            jpeg: /a JPEG picture, not a model/,
            pdf: /a PDF document, not a model/,
            hdf5: /an HDF5 file.*safetensors/,
            numpy: /a NumPy file.*safetensors/,
            program: /a program, not a model/,
            imatrix: /an importance matrix in the older format \(\.dat\).*--imatrix/,
        }).map(([name, says]) => [name, [Buffer.from(hex[name], 'hex'), says]]),
    ),
};

/** A stream with a few bytes in each chunk. @param {Uint8Array} bytes */
const dripping = (bytes) =>
    new ReadableStream({
        start(controller) {
            for (let at = 0; at < bytes.length; at += 7) controller.enqueue(new Uint8Array(bytes.subarray(at, at + 7)));
            controller.close();
        },
    });

describe('a file that is no model', () => {
    const temporary = mkdtempSync(join(tmpdir(), 'nibble-other-'));
    /** @type {Awaited<ReturnType<typeof listen>>} */
    let server;
    /** What the server sends. @type {Uint8Array} */
    let served;
    before(async () => {
        server = await listen((request, response) => {
            const name = request.url?.split('/').at(-1) ?? '';
            if (!/^model\.\w+$/.test(name))
                return void response.writeHead(name === 'config.json' ? 200 : 404).end('{"model_type": "llama"}');
            response.writeHead(200, {
                'Content-Type': /^model\.html/.test(name) ? 'text/html' : 'application/octet-stream',
            });
            response.end(served);
        });
    });
    after(() => {
        server.close();
        rmSync(temporary, { recursive: true });
    });

    const file = (/** @type {string} */ name, /** @type {Uint8Array} */ bytes) => {
        const path = join(temporary, name);
        writeFileSync(path, bytes);
        return path;
    };
    /** A folder whose weights are these bytes. @param {Uint8Array} bytes @param {string} [name] */
    const folderWith = (bytes, name = 'model.safetensors') => {
        const copy = mkdtempSync(join(temporary, 'folder-'));
        cpSync(folder, copy, { recursive: true });
        writeFileSync(join(copy, name), bytes);
        return copy;
    };
    const GGUF = new File([readFileSync(models.tiny)], 'm-00001-of-00002.gguf');

    /** The sources of a file. @type {Record<string, (bytes: Uint8Array) => Source>} */
    const WAYS = {
        bytes: (bytes) => bytes,
        'a path': (bytes) => file('model.gguf', bytes),
        'a Blob': (bytes) => new Blob([new Uint8Array(bytes)]),
        'a File in a list': (bytes) => [new File([new Uint8Array(bytes)], 'model.gguf')],
        'the second part of two': (bytes) => [GGUF, new File([new Uint8Array(bytes)], 'm-00002-of-00002.gguf')],
        'a stream': dripping,
        'a URL': (bytes) => {
            served = bytes;
            return `${server.url}/model.gguf`;
        },
        'a folder': (bytes) => folderWith(bytes),
        'Files of a folder': (bytes) => [
            new File(['{"model_type": "llama"}'], 'config.json'),
            new File([new Uint8Array(bytes)], 'model.safetensors'),
        ],
        "a folder's URL": (bytes) => {
            served = bytes;
            return `${server.url}/`;
        },
    };

    /** The name of the wrong file, for sources of several files. @type {Record<string, string>} */
    const NAMES = {
        'the second part of two': 'm-00002-of-00002.gguf',
        'a folder': 'model.safetensors',
        'Files of a folder': 'model.safetensors',
        "a folder's URL": 'model.safetensors',
    };

    for (const [way, source] of Object.entries(WAYS))
        test(way, async () => {
            for (const [kind, [bytes, says]] of Object.entries(FILES)) {
                // if a server answers with a page in place of a folder's file, this counts as a missing file
                const absent = way === "a folder's URL" && kind === 'a web page';
                await assert.rejects(
                    load(source(bytes), { headerOnly: true }),
                    (error) => {
                        if (absent)
                            return nibbleError(
                                'NB_ERR_NETWORK',
                                /model\.safetensors in .* is empty or a web page/,
                            )(error);
                        if (NAMES[way])
                            assert.equal(/** @type {Error} */ (error).message.split(': this is')[0], NAMES[way]);
                        return nibbleError('NB_ERR_FORMAT', says)(error);
                    },
                    `${kind} as ${way}`,
                );
            }
        });

    test('a safetensors file alone', async () => {
        const bytes = readFileSync(`${folder}/model.safetensors`);
        for (const way of ['bytes', 'a path', 'a Blob', 'a File in a list', 'a stream', 'a URL'])
            await assert.rejects(
                load(WAYS[way](bytes)),
                nibbleError('NB_ERR_FORMAT', /a safetensors file.*load the whole folder/),
                way,
            );
    });

    test('a page, whether the server says that it is one or not', async () => {
        for (const name of ['model.html', 'model.bin']) {
            served = Buffer.from(PAGE);
            await assert.rejects(
                load(`${server.url}/${name}`),
                nibbleError('NB_ERR_FORMAT', /a web page, not a model/),
            );
        }
    });

    test('a GGUF that lies beside a model', async () => {
        for (const [name, says] of /** @type {[string, RegExp][]} */ ([
            ['imatrix gguf', /an importance matrix, not a model.*--imatrix/],
            ['adapter gguf', /an adapter \(LoRA\), not a model/],
            ['mmproj gguf', /a projector of images or sounds \(mmproj\), not a model/],
            ['old mmproj gguf', /a projector of images or sounds \(mmproj\), not a model/],
        ])) {
            const bytes = Buffer.from(hex[name], 'hex');
            await assert.rejects(load(bytes), nibbleError('NB_ERR_UNSUPPORTED', says), name);
            const stream = quantize(bytes, { type: 'q8_0' });
            await assert.rejects(new Response(stream).arrayBuffer(), nibbleError('NB_ERR_UNSUPPORTED', says), name);
            const model = await load(bytes, { headerOnly: true });
            assert.match(String(model.info.unsupported), says);
            await model.dispose();
        }
    });

    test('a document of a folder', async () => {
        for (const [name, kind] of [
            ['tokenizer.json', 'a pointer of Git LFS'],
            ['config.json', 'a pointer of Git LFS'],
            ['tokenizer.json', 'a web page'],
            ['tokenizer.json', 'gzip'],
            ['chat_template.jinja', 'a pointer of Git LFS'],
        ])
            await assert.rejects(
                load(folderWith(FILES[kind][0], name), { headerOnly: true }),
                (error) =>
                    nibbleError('NB_ERR_FORMAT', FILES[kind][1])(error) && String(error).includes(`${name}: this is`),
                `${name}: ${kind}`,
            );
    });
});
