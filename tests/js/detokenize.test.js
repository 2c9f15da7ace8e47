// Detokenizing: tokens without a text, and whole texts.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { root } from '../support/builds.js';

const folder = `${root}tests/fixtures/safetensors/qwen2/`;

/** A folder whose tokenizer has only the first `size` tokens, while the embedding has more rows. @param {number} size
 * */
function paddedFolder(size) {
    const tokenizer = JSON.parse(readFileSync(`${folder}tokenizer.json`, 'utf8'));
    const { vocab } = tokenizer.model;
    tokenizer.model.vocab = Object.fromEntries(Object.entries(vocab).filter(([, id]) => id < size));
    tokenizer.added_tokens = tokenizer.added_tokens?.filter((/** @type {{ id: number }} */ { id }) => id < size);
    tokenizer.model.merges = [];
    return [
        new File(['{{ messages[0].content }}'], 'chat_template.jinja'),
        ...readdirSync(folder).map(
            (name) =>
                new File([name === 'tokenizer.json' ? JSON.stringify(tokenizer) : readFileSync(folder + name)], name),
        ),
    ];
}

test('a token that the tokenizer does not know has no text', async () => {
    const model = await load(paddedFolder(80), { threads: 1 });
    try {
        assert.equal(model.info.vocabulary, 88);
        assert.equal(model.info.tokenizer?.size, 88); // padded, as in llama.cpp
        const [a] = await model.tokenize('a', { bare: true });
        const text = await model.detokenize([a]);
        assert.equal(await model.detokenize([87, a, 80, 87, a]), text + text);
        await assert.rejects(model.detokenize([88]), { code: 'NB_ERR_ARGUMENT', message: /88.*0 to 87/ });
        const options = { maxTokens: 3, temperature: 0, logitBias: { 87: 1000 } };
        for (const answer of [model.complete([a], options), model.chat([{ role: 'user', content: 'a' }], options)]) {
            const { text, tokens } = await answer;
            assert.equal(text, '');
            assert.deepEqual(tokens, [87, 87, 87]);
        }
    } finally {
        await model.dispose();
    }
});

test('for a GGUF file with WordPiece, spaces before punctuation are removed, as in llama.cpp', async () => {
    const model = await load(`${root}tests/fixtures/text/wordpiece.gguf`, { threads: 1, headerOnly: true });
    try {
        assert.equal(model.info.tokenizer?.cleansUp, true);
        for (const text of ["it's, was! a (the) it's.", 'a.b?'])
            assert.equal(
                await model.detokenize(await model.tokenize(text)),
                text.replace('(the)', '( the )').replace('.b', '. b'),
            );
    } finally {
        await model.dispose();
    }
});

test('a whole text gets no space before it, for GGUF files, too', async () => {
    for (const name of ['spm', 'spm-spans', 'unigram', 'wordpiece']) {
        const model = await load(`${root}tests/fixtures/text/${name}.gguf`, { threads: 1, headerOnly: true });
        try {
            for (const text of ['the it was', 'was'])
                assert.equal(await model.detokenize(await model.tokenize(text)), text, name);
        } finally {
            await model.dispose();
        }
    }
});
