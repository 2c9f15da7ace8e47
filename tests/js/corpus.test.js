// 5,000 lines in many scripts have the tokens of the models' own tokenizer.json (tests/oracles/corpus_vectors.py), both
// with the vocabularies that `make vocabularies` and `make gemma` fetch, and with the tokenizer.json files, which
// `make oracles` fetches.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { models, root, vocabularies } from '../support/builds.js';
import { corpus } from '../support/corpus.js';

/** @type {Record<string, string>} */
const files = {
    gemma3: models.gemma,
    qwen3: `${vocabularies}ggml-vocab-qwen2.gguf`, // Qwen 3 has further special tokens
    llama3_1: `${vocabularies}ggml-vocab-llama-bpe.gguf`,
    llama2: `${root}build/lenml/llama2.gguf`, // (it is Mistral's vocabulary)
};
const GROUP = 100;

const expected = JSON.parse(readFileSync(`${root}tests/fixtures/text/corpus.json`, 'utf8'));
const lines = corpus();
const sha256 = (/** @type {string} */ text) => createHash('sha256').update(text).digest('hex');

test('the lines are the same as for the oracle', () => {
    assert.equal(lines.length, 5000);
    assert.equal(sha256(JSON.stringify(lines)), expected.corpus);
});

/** @param {string} name @param {import('../../web/index.js').Source} source */
async function compare(name, source) {
    const model = await load(source, { threads: 1, headerOnly: true });
    try {
        for (let at = 0; at < lines.length; at += GROUP) {
            const rows = [];
            for (const line of lines.slice(at, at + GROUP))
                rows.push(JSON.stringify(await model.tokenize(line, { bare: true })));
            assert.equal(
                sha256(rows.join('\n')).slice(0, 8),
                expected[name][at / GROUP],
                `lines ${at} to ${at + GROUP - 1}`,
            );
        }
    } finally {
        await model.dispose();
    }
}

for (const [name, file] of Object.entries(files))
    test(
        name,
        {
            skip:
                !existsSync(file) &&
                `${file.replace(root, '')} is missing: run make vocabularies, make gemma, make oracles`,
        },
        () => compare(name, file),
    );

for (const name of Object.keys(expected).filter((key) => key !== 'corpus')) {
    const file = `${root}build/lenml/${name}.json`;
    test(
        `${name}'s tokenizer.json`,
        { skip: !existsSync(file) && `${file.replace(root, '')} is missing: run make oracles` },
        () =>
            compare(name, [
                new File([readFileSync(file)], 'tokenizer.json'),
                new File(['{"model_type":"llama"}'], 'config.json'),
                new File(['\x02\0\0\0\0\0\0\0{}'], 'model.safetensors'),
            ]),
    );
}
