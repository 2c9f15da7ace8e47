// tokenizer.json: tokens, texts and beginnings are those of the library tokenizers (tests/oracles/tokenizer_json.py).
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { root } from '../support/builds.js';

const folder = `${root}tests/fixtures/tokenizers/`;
const names = readdirSync(folder);

/** A folder without weights. @param {object} tokenizer @param {object} config @param {object} [generation] */
const filesOf = (tokenizer, config, generation) => [
    new File(['{"model_type":"llama"}'], 'config.json'),
    new File([JSON.stringify(tokenizer)], 'tokenizer.json'),
    new File([JSON.stringify(config)], 'tokenizer_config.json'),
    new File(['\x02\0\0\0\0\0\0\0{}'], 'model.safetensors'),
    ...(generation ? [new File([JSON.stringify(generation)], 'generation_config.json')] : []),
];

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
                assert.equal(await model.detokenize(ids), decoded);
            }
        } finally {
            await model.dispose();
        }
    });

const read = (/** @type {string} */ name) => JSON.parse(readFileSync(`${folder}${name}.json`, 'utf8')).tokenizer;
const split = (/** @type {string} */ Regex) => ({
    type: 'Split',
    pattern: { Regex },
    behavior: 'Isolated',
    invert: false,
});
const special = (/** @type {string} */ id) => ({ SpecialToken: { id, type_id: 0 } });

/** The change, the tokenizer that is changed, the new members, and what the error must name. @type {[string, string, object, RegExp][]} */
const refused = [
    [
        'an unknown expression',
        'llama3',
        { pre_tokenizer: { type: 'Sequence', pretokenizers: [split('\\w+'), read('gpt2').pre_tokenizer] } },
        /pre_tokenizer .*supported: .*Llama 3.*; it is: Split "\\\\w\+", ByteLevel$/,
    ],
    [
        'steps in another order',
        'smollm',
        {
            pre_tokenizer: {
                ...read('smollm').pre_tokenizer,
                pretokenizers: read('smollm').pre_tokenizer.pretokenizers.toReversed(),
            },
        },
        /it is: ByteLevel, Digits$/,
    ],
    [
        'matches left out',
        'deepseek-coder',
        {
            pre_tokenizer: {
                type: 'Sequence',
                pretokenizers: read('deepseek-coder').pre_tokenizer.pretokenizers.map(
                    (/** @type {object} */ step, /** @type {number} */ i) =>
                        i === 1 ? { ...step, behavior: 'Removed', invert: true } : step,
                ),
            },
        },
        /pre_tokenizer/,
    ],
    [
        'a space before each digit',
        'smollm',
        {
            pre_tokenizer: {
                type: 'Sequence',
                pretokenizers: [
                    { type: 'Digits', individual_digits: true },
                    { type: 'ByteLevel', add_prefix_space: true },
                ],
            },
        },
        /pre_tokenizer/,
    ],
    ['no pre-tokenizer', 'gpt2', { pre_tokenizer: null }, /pre_tokenizer .*it is: none$/],
    [
        'NFKC',
        'gpt2',
        { normalizer: { type: 'NFKC' } },
        /normalizer of byte-level BPE .*supported: none, NFC; it is: NFKC$/,
    ],
    [
        'Lowercase',
        't5',
        { normalizer: { type: 'Sequence', normalizers: [{ type: 'Lowercase' }] } },
        /normalizer of Unigram/,
    ],
    [
        'accents by themselves',
        'bert',
        { normalizer: { type: 'StripAccents' } },
        /normalizer of WordPiece .*BertNormalizer/,
    ],
    [
        'a prefix of its own',
        'llama2',
        { normalizer: { type: 'Prepend', prepend: '_' } },
        /normalizer of BPE with byte_fallback/,
    ],
    ['spaces that stay', 'gemma', { normalizer: null }, /pre_tokenizer of BPE with byte_fallback/],
    [
        'words by white space only',
        'bert',
        { pre_tokenizer: { type: 'WhitespaceSplit' } },
        /BertPreTokenizer; it is: WhitespaceSplit$/,
    ],
    ['Unigram without U+2581', 't5', { pre_tokenizer: { type: 'WhitespaceSplit' } }, /pre_tokenizer of Unigram/],
    [
        'a decoder of something else',
        'gpt2',
        { decoder: { type: 'CTC' } },
        /decoder .*supported: ByteLevel; it is: CTC$/,
    ],
    [
        'two tokens before a text',
        'bert',
        {
            post_processor: {
                ...read('bert').post_processor,
                single: [special('[CLS]'), special('[SEP]'), { Sequence: { id: 'A', type_id: 0 } }],
            },
        },
        /post_processor/,
    ],
    [
        'WordLevel',
        'bert',
        { model: { ...read('bert').model, type: 'WordLevel' } },
        /type "WordLevel".*supported are BPE/,
    ],
    [
        'suffixes of words',
        'gpt2',
        { model: { ...read('gpt2').model, end_of_word_suffix: '</w>' } },
        /type "BPE" is not supported/,
    ],
    [
        'Unigram of bytes',
        't5',
        { model: { ...read('t5').model, byte_fallback: true } },
        /Unigram without byte_fallback/,
    ],
    [
        'other prefixes within words',
        'bert',
        { model: { ...read('bert').model, continuing_subword_prefix: '@@' } },
        /not "##"/,
    ],
    [
        'an id without proportion',
        'gpt2',
        { added_tokens: [{ id: 16777215, content: 'x' }] },
        /tokens, and one of them has the id 16777215/,
    ],
    [
        'invalid base64',
        't5',
        { normalizer: { type: 'Precompiled', precompiled_charsmap: 'AA*A' } },
        /base64 at its character 2/,
    ],
    ['a vocabulary that is a number', 't5', { model: { ...read('t5').model, vocab: 1 } }, /no vocabulary/],
    [
        'a score that no float holds',
        't5',
        {
            model: {
                ...read('t5').model,
                vocab: [
                    ['<unk>', 0],
                    ['a', -1e60],
                ],
            },
        },
        /score of token a is not finite/,
    ],
    ['a piece without a name', 't5', { model: { ...read('t5').model, vocab: [[1, 2]] } }, /impossible id/],
];

for (const [what, name, change, message] of refused)
    test(`refused: ${what}`, async () => {
        const { config } = JSON.parse(readFileSync(`${folder}${name}.json`, 'utf8'));
        await assert.rejects(load(filesOf({ ...read(name), ...change }, config), { threads: 1, headerOnly: true }), {
            message,
        });
    });

test('a name with JSON escapes is the same name', async () => {
    const { tokenizer, config, cases } = JSON.parse(readFileSync(`${folder}gpt2.json`, 'utf8'));
    const files = filesOf(tokenizer, {});
    files[2] = new File([JSON.stringify(config).replace('<|end|>', '\\u003c|end|\\u003e')], 'tokenizer_config.json');
    const model = await load(files, { threads: 1, headerOnly: true });
    assert.equal(model.info.tokenizer?.endText, '<|end|>');
    assert.deepEqual(await model.tokenize(cases[0][0]), cases[0][1]);
    await model.dispose();
});
