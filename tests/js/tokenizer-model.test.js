// Folders with sentencepiece's tokenizer.model and no tokenizer.json: tokens and texts are those of transformers, or of
// sentencepiece itself (tests/oracles/tokenizer_model.py).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { root } from '../support/builds.js';
import { listen } from '../support/loopback.js';

/**
 * @typedef {{ model: string, model_type: string, config: object, added?: object, by: string, ids: number[][],
 *     decoded?: string[], around: number[] }} Case
 */
/** @type {{ texts: string[], cases: Case[] }} */
const { texts, cases } = JSON.parse(readFileSync(`${root}tests/fixtures/text/tokenizer-model.json`, 'utf8'));

/** The folder's files by their names. @param {Omit<Case, 'model' | 'by' | 'ids' | 'around'>} of @param {Uint8Array}
 * model */
const filesOf = ({ model_type, config, added }, model) => ({
    'config.json': JSON.stringify({ model_type }),
    'tokenizer.model': model,
    'tokenizer_config.json': JSON.stringify(config),
    ...(added ? { 'added_tokens.json': JSON.stringify(added) } : {}),
    'model.safetensors': '\x02\0\0\0\0\0\0\0{}',
});

/** @param {Record<string, string | Uint8Array>} files */
const open = (files) =>
    load(
        Object.entries(files).map(([name, bytes]) => new File([/** @type {BlobPart} */ (bytes)], name)),
        { threads: 1, headerOnly: true },
    );

for (const [i, wanted] of cases.entries())
    test(`tokenizer.model ${i}, as ${wanted.by} reads it: ${JSON.stringify(wanted.config)}`, async () => {
        const model = await open(filesOf(wanted, Buffer.from(wanted.model, 'base64')));
        try {
            for (const [k, ids] of wanted.ids.entries()) {
                assert.deepEqual(await model.tokenize(texts[k], { special: true, bare: true }), ids, texts[k]);
                if (wanted.decoded) assert.equal(await model.detokenize(ids), wanted.decoded[k]);
            }
            assert.deepEqual(await model.tokenize(texts[0], { special: true }), wanted.around);
        } finally {
            await model.dispose();
        }
    });

test('a damaged file, or one of another kind, is refused with advice', async () => {
    const whole = Buffer.from(cases[0].model, 'base64');
    for (const bytes of [whole.subarray(0, 1000), Buffer.alloc(40, 255), Buffer.alloc(1)])
        await assert.rejects(open(filesOf(cases[0], bytes)), {
            code: 'NB_ERR_FORMAT',
            message: /tokenizer\.model.*tokenizer\.json/,
        });
    await assert.rejects(open(filesOf(cases[0], Buffer.from('version https://git-lfs'))), {
        code: 'NB_ERR_FORMAT',
        message: /tokenizer\.model: this is a Git LFS pointer.*git lfs pull/,
    });
});

test('over HTTP it is fetched only if there is no tokenizer.json', async () => {
    const tokenizer = JSON.stringify(
        JSON.parse(readFileSync(`${root}tests/fixtures/tokenizers/llama2.json`, 'utf8')).tokenizer,
    );
    for (const more of /** @type {Record<string, string>[]} */ ([{}, { 'tokenizer.json': tokenizer }])) {
        /** @type {Record<string, string | Uint8Array>} */
        const files = { ...filesOf(cases[0], Buffer.from(cases[0].model, 'base64')), ...more };
        /** @type {string[]} */
        const asked = [];
        const server = await listen((request, response) => {
            const name = (request.url ?? '').slice(1);
            asked.push(name);
            response.writeHead(name in files ? 200 : 404).end(files[name] ?? '');
        });
        try {
            const model = await load(`${server.url}/`, { threads: 1, headerOnly: true });
            if (!('tokenizer.json' in files))
                assert.deepEqual(await model.tokenize(texts[6], { bare: true }), cases[0].ids[6]);
            assert.equal(asked.includes('tokenizer.model'), !('tokenizer.json' in files));
            await model.dispose();
        } finally {
            server.close();
        }
    }
});
