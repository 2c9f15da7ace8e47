// llama.cpp's own test of its tokenizers: hard texts and their tokens for 15 real vocabularies (`make vocabularies`
// fetches them). (test_tokenizer.c and test_splits.c do the same with small vocabularies that are in the repository.)
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { vocabularies } from '../support/builds.js';

const skip = !existsSync(`${vocabularies}complete`) && 'build/vocabularies is missing: run make vocabularies';
const names = skip
    ? []
    : readdirSync(vocabularies)
          .filter((name) => name.endsWith('.inp'))
          .map((name) => name.slice(0, -4))
          .sort();

test("llama.cpp's vocabularies are there", { skip }, () => assert.equal(names.length, 15));

let cases = 0,
    decomposed = 0;
for (const name of names)
    test(name, async () => {
        const texts = readFileSync(`${vocabularies}${name}.inp`, 'utf8').split('\n__ggml_vocab_test__\n');
        if (texts.at(-1) === '') texts.pop(); // most of the files end with a separator
        const lines = readFileSync(`${vocabularies}${name}.out`, 'utf8').split('\n');
        const model = await load(vocabularies + name, { threads: 1, headerOnly: true });
        try {
            for (const [i, text] of texts.entries()) {
                const expected = lines[i]
                    .trim()
                    .split(/\s+/)
                    .filter((word) => word !== '')
                    .map(Number);
                // Qwen's tokenizers normalize texts to NFC, as in transformers (Qwen3_5Tokenizer), and llama.cpp does
                // not. So for such texts the expected tokens are those of the normalized text.
                const composed = model.info.tokenizer?.nfc ? text.normalize('NFC') : text;
                assert.deepEqual(
                    await model.tokenize(text, { bare: true }),
                    composed === text ? expected : await model.tokenize(composed, { bare: true }),
                    JSON.stringify(text),
                );
                decomposed += Number(composed !== text);
                cases++;
            }
        } finally {
            await model.dispose();
        }
    });

test('694 cases in all, 3 of them with a normalized text', { skip }, () =>
    assert.deepEqual([cases, decomposed], [694, 3]),
);
