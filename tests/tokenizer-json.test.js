// tokenizer.json: tokens, texts and beginnings are those of the library tokenizers (tests/oracles/tokenizer_json.py).
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../web/index.js';
import { root } from './builds.js';

const folder = `${root}tests/fixtures/tokenizers/`;
const names = readdirSync(folder);

/** A folder without weights. @param {object} tokenizer @param {object} config @param {object} [generation] */
const filesOf = (tokenizer, config, generation) => [
    new File(['{"model_type":"llama"}'], 'config.json'), new File([JSON.stringify(tokenizer)], 'tokenizer.json'),
    new File([JSON.stringify(config)], 'tokenizer_config.json'), new File(['\x02\0\0\0\0\0\0\0{}'], 'model.safetensors'),
    ...(generation ? [new File([JSON.stringify(generation)], 'generation_config.json')] : []),
];

test('there is one of every form', () => assert.ok(names.length >= 27));

for (const name of names)
    test(`${name}: tokens and texts`, async () => {
        const { tokenizer, config, cases, added } = JSON.parse(readFileSync(folder + name, 'utf8'));
        const model = await load(filesOf(tokenizer, config), { threads: 1, headerOnly: true });
        try {
            assert.deepEqual(await model.tokenize(cases[0][0], { special: true }), added);
            const end = config.eos_token ?? '';
            assert.equal(model.info.tokenizer?.endText, end.content ?? end);
            for (const [text, ids, decoded = text] of cases) {
                assert.deepEqual(await model.tokenize(text, { special: true, bare: true }), ids, JSON.stringify(text));
                const got = await model.detokenize(ids);
                assert.ok(got === decoded || got === ` ${decoded}`, `${JSON.stringify(got)}, not ${JSON.stringify(decoded)}`);
            }
        } finally {
            await model.dispose();
        }
    });
