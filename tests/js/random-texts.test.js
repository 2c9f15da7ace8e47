// Random texts have the tokens that the library tokenizers gives, and these are decoded to the same texts
// (tests/oracles/random_texts.py).
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { root } from '../support/builds.js';
import { checkHashes } from '../support/random-strings.js';

/** A tokenizer with changed members and added tokens.
 * @typedef {{ of: string, change: object, added: boolean }} Variant */
/**
 * @type {{ atoms: string[], added: [string, string][], aHash: number, hashes: Record<string, number[]>,
 *     variants: Record<string, Variant> }}
 */
const {
    atoms,
    added: addedTokens,
    aHash,
    hashes,
    variants,
} = JSON.parse(readFileSync(`${root}tests/fixtures/text/random.json`, 'utf8'));

/** The atoms from which a tokenizer's random texts are made. @param {any} tokenizer @returns {string[]} */
function atomsOf(tokenizer) {
    /** @type {string[]} */
    const added = tokenizer.added_tokens.map((/** @type {{ content: string }} */ { content }) => content);
    const { vocab } = tokenizer.model;
    /** @type {string[]} */
    const names = Array.isArray(vocab)
        ? vocab.map(([name]) => name)
        : Object.keys(vocab).sort((a, b) => vocab[a] - vocab[b]);
    const some = names.filter((name, i) => i % 17 === 3 && (name[0] < '\u0100' || name[0] === '\u2581'));
    return [
        ...atoms,
        ...added,
        ...added,
        ...added,
        ...added,
        ...added.map((name) => name.toUpperCase()),
        ...added.map((name) => name.toLowerCase()),
        ...added.map((name) => name.slice(0, -1)),
        ...some,
    ];
}

const FLAGS = ['single_word', 'lstrip', 'rstrip', 'normalized', 'special'];

/** The tokenizer.json of that name. @param {string} name */
function tokenizerOf(name) {
    const { of = name, change = {}, added = false } = variants[name] ?? {};
    const tokenizer = {
        ...JSON.parse(readFileSync(`${root}tests/fixtures/tokenizers/${of}.json`, 'utf8')).tokenizer,
        ...change,
    };
    /** @type {Map<string, number>} */
    const ids = new Map(
        Array.isArray(tokenizer.model.vocab)
            ? tokenizer.model.vocab.map((/** @type {[string, number]} */ [name], /** @type {number} */ id) => [
                  name,
                  id,
              ])
            : Object.entries(tokenizer.model.vocab),
    );
    /** @type {Set<string>} */
    const known = new Set(tokenizer.added_tokens.map((/** @type {{ content: string }} */ { content }) => content));
    let next =
        Math.max(...ids.values(), ...tokenizer.added_tokens.map((/** @type {{ id: number }} */ { id }) => id)) + 1;
    for (const [content, flags] of added ? addedTokens : [])
        if (!known.has(content))
            tokenizer.added_tokens.push({
                id: ids.get(content) ?? next++,
                content,
                ...Object.fromEntries(FLAGS.map((flag) => [flag, flags.split(' ').includes(flag)])),
            });
    return tokenizer;
}

for (const [name, { length }] of Object.entries(hashes))
    test(`${name}: ${length * aHash} random texts`, async () => {
        const tokenizer = tokenizerOf(name);
        const model = await load(
            [
                new File(['{"model_type":"llama"}'], 'config.json'),
                new File([JSON.stringify(tokenizer)], 'tokenizer.json'),
                new File(['\x02\0\0\0\0\0\0\0{}'], 'model.safetensors'),
            ],
            { threads: 1, headerOnly: true },
        );
        try {
            const wanted = {
                atoms: atomsOf(tokenizer),
                seed: tokenizer.added_tokens.length + 1,
                aHash,
                hashes: hashes[name],
            };
            await checkHashes(
                wanted,
                async (text) => {
                    const tokens = await model.tokenize(text, { special: true, bare: true });
                    return { tokens, text: await model.detokenize(tokens) };
                },
                (first) => `random_texts.py --show ${name} ${first}`,
            );
        } finally {
            await model.dispose();
        }
    });
