// tokenizer_config.json and special_tokens_map.json beside tokenizer.json: tokens, texts and ends are those of
// transformers' AutoTokenizer on the folder (tests/oracles/tokenizer_config.py, which lists all keys that it reads).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { root } from '../support/builds.js';

/**
 * @typedef {{ of: string, model_type: string, config: object, map?: object, ids: number[][], decoded: string[],
 *     around: number[], end: string }} Case
 */
/** @type {{ texts: string[], cases: Case[] }} */
const { texts, cases } = JSON.parse(readFileSync(`${root}tests/fixtures/text/tokenizer-config.json`, 'utf8'));

/** @param {Pick<Case, 'of' | 'model_type' | 'config' | 'map'>} of */
const open = ({ of, model_type, config, map }) =>
    load(
        [
            new File([JSON.stringify({ model_type })], 'config.json'),
            new File(
                [
                    JSON.stringify(
                        JSON.parse(readFileSync(`${root}tests/fixtures/tokenizers/${of}.json`, 'utf8')).tokenizer,
                    ),
                ],
                'tokenizer.json',
            ),
            new File([JSON.stringify(config)], 'tokenizer_config.json'),
            ...(map ? [new File([JSON.stringify(map)], 'special_tokens_map.json')] : []),
            new File(['\x02\0\0\0\0\0\0\0{}'], 'model.safetensors'),
        ],
        { threads: 1, headerOnly: true },
    );

for (const wanted of cases)
    test(`${wanted.of}, ${wanted.model_type}: ${JSON.stringify(wanted.config)}${wanted.map ? `, ${JSON.stringify(wanted.map)}` : ''}`, async () => {
        const model = await open(wanted);
        try {
            for (const [i, text] of texts.entries()) {
                assert.deepEqual(await model.tokenize(text, { special: true, bare: true }), wanted.ids[i], text);
                assert.equal(await model.detokenize(wanted.ids[i]), wanted.decoded[i]);
            }
            assert.deepEqual(await model.tokenize(texts[0], { special: true }), wanted.around);
            assert.equal(model.info.tokenizer?.endText, wanted.end);
        } finally {
            await model.dispose();
        }
    });

test('unsupported keys are refused by name', () =>
    assert.rejects(open({ of: 'gpt2', model_type: 'llama', config: { split_special_tokens: true } }), {
        code: 'NB_ERR_UNSUPPORTED',
        message: /split_special_tokens/,
    }));
