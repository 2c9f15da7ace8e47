// A tokenizer may have more tokens than the embedding has rows: Gemma 3 1B has one for images, fine-tunes one for
// padding. Such a model is valid; only evaluating such a token is an error.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { root } from '../support/builds.js';
import { parse, whole } from '../support/gguf.js';
import { logitsOf } from '../support/vectors.js';

/** @param {import('../../web/index.d.ts').Model} model @param {number} beyond a token without a row */
async function check(model, beyond) {
    assert.equal(model.info.vocabulary, beyond);
    assert.ok((model.info.tokenizer?.size ?? 0) > beyond);
    await assert.rejects(logitsOf(model, [1, beyond]), { code: 'NB_ERR_ARGUMENT', message: new RegExp(`${beyond}`) });
    await assert.rejects(model.complete([1, beyond]), { code: 'NB_ERR_ARGUMENT', message: new RegExp(`${beyond}`) });
    await assert.rejects(model.embed([1, beyond]), { code: 'NB_ERR_ARGUMENT', message: new RegExp(`${beyond}`) });
    const { tokens } = await model.complete([1, 2], { temperature: 50, maxTokens: 60, ignoreEnd: true, seed: 1 });
    assert.ok(tokens.length === 60 && tokens.every((token) => token < beyond));
}

test('a GGUF with more tokens than rows', async () => {
    const file = readFileSync(`${root}tests/fixtures/models/qwen2.gguf`),
        { values, tensors } = parse(file),
        some = [1, 5, 80];
    const all = await load(file, { kvType: 'f32' }),
        expected = await logitsOf(all, some);
    await all.dispose();
    const rows = 86,
        size = 32;
    const fewer = tensors.map((tensor) =>
        tensor.shape[1] !== 88
            ? tensor
            : {
                  ...tensor,
                  shape: [size, rows],
                  bytes: 2 * size * rows,
                  data: /** @type {Uint8Array} */ (tensor.data).subarray(0, 2 * size * rows),
              },
    );
    assert.ok(fewer.some((tensor, i) => tensor !== tensors[i]));
    const model = await load(whole(values, fewer), { kvType: 'f32' });
    try {
        assert.deepEqual(
            await logitsOf(model, some),
            expected.map((row) => row.slice(0, rows)),
        );
        await check(model, rows);
        assert.equal(typeof (await model.detokenize([rows])), 'string');
    } finally {
        await model.dispose();
    }
});

test('a folder whose added token has the first missing row', async () => {
    const folder = join(mkdtempSync(join(tmpdir(), 'nibble-')), 'model');
    cpSync(`${root}tests/fixtures/safetensors/llama-sharded`, folder, { recursive: true });
    const path = join(folder, 'tokenizer.json'),
        tokenizer = JSON.parse(readFileSync(path, 'utf8'));
    const { vocab_size: rows } = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
    tokenizer.added_tokens.push({
        id: rows,
        content: '<image_soft_token>',
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
    });
    tokenizer.added_tokens.push({
        id: rows + 1,
        content: '<turn>',
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: false,
    });
    writeFileSync(path, JSON.stringify(tokenizer));
    writeFileSync(join(folder, 'chat_template.jinja'), '<turn>{{ messages[0].content }}');
    const model = await load(folder, { kvType: 'f32' });
    try {
        await check(model, rows);
        assert.ok((await model.tokenize('<image_soft_token>', { special: true })).includes(rows));
        // the template's token is a special token, the same name in a message is text: tokens beyond the rows have
        // names, too
        const { tokens } = await model.applyTemplate([{ role: 'user', content: 'a<turn>b<image_soft_token>' }]);
        assert.deepEqual(
            tokens.filter((token) => token >= rows),
            [rows + 1],
        );
    } finally {
        await model.dispose();
        rmSync(join(folder, '..'), { recursive: true });
    }
});
