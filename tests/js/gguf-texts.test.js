// Random texts have the tokens that llama.cpp gives with the vocabularies of GGUF files, and these are decoded to the
// same texts. `faults` lists where llama.cpp is wrong (tests/oracles/gguf_texts.py).
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { vocabularies as realFolder, root } from '../support/builds.js';
import { appended, parse, whole } from '../support/gguf.js';
import { checkHashes } from '../support/random-strings.js';

/** A file, and its changes. @typedef {{ of: string, changes: Record<string, import('../support/gguf.js').Value | null>,
 *     appends: [string, number, number][] }} Source */
/** @typedef {Source & { real: boolean, wordpiece: boolean, without: string[], hashes: number[] }} Vocabulary */
/** A fault of llama.cpp. @typedef {Source & { why: string, text: string, flags: number, wrong: number[],
 *     right: number[] }} Fault */
/** @type {{ atoms: string[], own: Record<string, string[]>, aHash: number, vocabularies: Record<string, Vocabulary>,
 *     faults: Fault[] }} */
const { atoms, own, aHash, vocabularies, faults } = JSON.parse(
    readFileSync(`${root}tests/fixtures/text/random-gguf.json`, 'utf8'),
);
const ADD_SPECIAL = 1,
    PARSE_SPECIAL = 2; // flags of nb_tokenize

const noReal = !existsSync(`${realFolder}complete`) && 'build/vocabularies is missing: run make vocabularies';

/** The changed fixture, as a file. @param {Source} source */
function fileOf({ of, changes, appends }) {
    const { values, tensors } = parse(readFileSync(`${root}tests/fixtures/text/${of}.gguf`));
    for (const [key, value] of Object.entries(changes))
        if (value) values.set(key, value);
        else values.delete(key);
    /** @type {[string, import('../support/gguf.js').Type][]} */
    const arrays = [
        ['tokens', 'string'],
        ['token_type', 'i32'],
        ['scores', 'f32'],
    ];
    for (const [i, [key, type]] of arrays.entries()) {
        const array = values.get(`tokenizer.ggml.${key}`);
        if (array)
            values.set(
                `tokenizer.ggml.${key}`,
                appended(
                    array,
                    type,
                    appends.map((token) => token[i]),
                ),
            );
    }
    return whole(values, tensors);
}

/** @param {string | Uint8Array} source @param {(model: import('../../web/index.d.ts').Model) => Promise<void>} use */
async function withModel(source, use) {
    const model = await load(source, { threads: 1, headerOnly: true });
    try {
        await use(model);
    } finally {
        await model.dispose();
    }
}

for (const [name, vocabulary] of Object.entries(vocabularies)) {
    const { of, real, wordpiece, without, hashes } = vocabulary;
    test(`${name}: ${hashes.length * aHash} random texts`, { skip: real && noReal }, () =>
        withModel(real ? realFolder + of : fileOf(vocabulary), async (model) => {
            const names = vocabulary.appends.map(([appendedName]) => appendedName);
            const all = [...atoms, ...own[of], ...names, ...names, ...names].filter((atom) => !without.includes(atom));
            await checkHashes(
                { atoms: all, seed: all.length, aHash, hashes },
                async (text, i) => {
                    const flags = wordpiece ? i & ADD_SPECIAL : i & (ADD_SPECIAL | PARSE_SPECIAL);
                    const tokens = await model.tokenize(text, {
                        special: (flags & PARSE_SPECIAL) !== 0,
                        bare: !(flags & ADD_SPECIAL),
                    });
                    return { tokens, text: await model.detokenize(tokens, { special: (i & 4) !== 0 }) };
                },
                (first) => `gguf_texts.py --show '${name}' ${first}`,
            );
        }),
    );
}

for (const fault of faults)
    test(`not as llama.cpp: ${fault.why}`, () =>
        withModel(fileOf(fault), async (model) => {
            const { text, flags } = fault;
            const tokens = await model.tokenize(text, {
                special: (flags & PARSE_SPECIAL) !== 0,
                bare: !(flags & ADD_SPECIAL),
            });
            assert.deepEqual(tokens, fault.right);
            assert.notDeepEqual(tokens, fault.wrong);
        }));
