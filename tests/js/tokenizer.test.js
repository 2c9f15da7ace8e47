// Files with a vocabulary and no weights tokenize in every build, with llama.cpp's tokens. (tests/core/test_tokenizer.c
// tests all cases; here texts with special tokens go through the API and the command.)
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { builds, models, root } from '../support/builds.js';

const folder = `${root}tests/fixtures/text/`;
const names = [
    'smollm',
    'gpt-2',
    'llama-bpe',
    'qwen2',
    'default',
    'spm',
    'spm-spans',
    'unigram',
    'unigram-spaces',
    'wordpiece',
];
const ADD_SPECIAL = 1,
    PARSE_SPECIAL = 2; // flags of nb_tokenize

/** The texts of text_fixtures.py. */
function readTexts() {
    const file = readFileSync(`${folder}texts.bin`),
        texts = [];
    for (let at = 4; at < file.length; ) {
        const end = at + 4 + file.readUInt32LE(at);
        texts.push(file.toString('utf8', at + 4, end));
        at = end;
    }
    return texts;
}

/** llama.cpp's tokens for them.
 * @param {string} name */
function readCases(name) {
    const file = readFileSync(`${folder}${name}.expected`),
        cases = [];
    let at = 4;
    for (let token = file.readUInt32LE(0); token > 0; token--) {
        at += 2 + file[at + 1]; // skip whether it is an end, its text,
        at += 1 + file[at]; // and its text with special tokens
    }
    let left = file.readUInt32LE(at);
    for (at += 4; left > 0; left--) {
        const [text, flags, size] = [0, 2, 4].map((i) => file.readUInt16LE(at + i));
        at += 6;
        cases.push({ text, flags, tokens: Array.from({ length: size }, (_, i) => file.readUInt16LE(at + 2 * i)) });
        at += 2 * size;
    }
    return cases;
}

const texts = readTexts();
for (const { name: build, supported } of builds)
    test(`${build}: tokens are llama.cpp's`, { skip: !supported && 'not in this run' }, async () => {
        for (const name of names) {
            const model = await load(`${folder}${name}.gguf`, { build, threads: 1, headerOnly: true });
            try {
                let compared = 0;
                for (const { text, flags, tokens } of readCases(name)) {
                    if (!(flags & ADD_SPECIAL)) continue; // the API always adds special tokens
                    // ... and normalizes texts to NFC for Qwen, like its own tokenizer, and unlike llama.cpp
                    if (model.info.tokenizer?.nfc && texts[text] !== texts[text].normalize('NFC')) continue;
                    const special = (flags & PARSE_SPECIAL) !== 0;
                    assert.deepEqual(await model.tokenize(texts[text], { special }), tokens, `${name}: ${texts[text]}`);
                    compared++;
                }
                assert.ok(compared > 70, `${compared} texts`);
            } finally {
                await model.dispose();
            }
        }
    });

test("Gemma's tokens are llama.cpp's, and so is the text of each", { skip: models.gemmaMissing }, async () => {
    const expected = JSON.parse(readFileSync(`${folder}gemma3.json`, 'utf8'));
    const model = await load(models.gemma, { threads: 1, headerOnly: true });
    try {
        for (const [i, text] of texts.entries())
            assert.deepEqual(await model.tokenize(text, { special: true }), expected.tokens[i], text);
        const pieces = [];
        for (let token = 0; token < /** @type {number} */ (model.info.vocabulary); token++)
            pieces.push(await model.detokenize([token], { special: true }));
        assert.equal(createHash('sha256').update(pieces.join('\n')).digest('hex'), expected.pieces);
    } finally {
        await model.dispose();
    }
});

test('a byte order mark is ordinary text', async () => {
    const model = await load(`${folder}smollm.gguf`, { threads: 1, headerOnly: true });
    try {
        for (const text of ['\ufeff', '\ufeff\ufeffa'])
            assert.equal(await model.detokenize(await model.tokenize(text)), text);
    } finally {
        await model.dispose();
    }
});

test('the command prints the tokens', () => {
    for (const special of [false, true]) {
        const wanted = readCases('llama-bpe').find(
            ({ text, flags }) =>
                flags === (ADD_SPECIAL | (special ? PARSE_SPECIAL : 0)) && /<\|im_end\|>/.test(texts[text]),
        );
        assert.ok(wanted);
        const printed = execFileSync(
            process.execPath,
            [
                `${root}web/cli.js`,
                'tokenize',
                `${folder}llama-bpe.gguf`,
                '--text',
                texts[wanted.text],
                ...(special ? ['--special'] : []),
            ],
            { encoding: 'utf8' },
        );
        assert.deepEqual(JSON.parse(printed), wanted.tokens);
    }
});
