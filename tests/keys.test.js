// GGUF files whose keys were changed: what llama.cpp makes of them (tests/oracles/gguf_keys.py), nibble makes of them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../web/index.js';
import { root } from './builds.js';
import { edited } from './gguf.js';
import { logitsOf } from './vectors.js';

const fixtures = `${root}tests/fixtures/`;
/** @type {{ tokens: number[], entries: number[], cases: { file: string, edits: Record<string, any>, logits: number[] | null }[] }} */
const { tokens, entries, cases } = JSON.parse(readFileSync(`${fixtures}formats/gguf-key-cases.json`, 'utf8'));

/** llama.cpp is in F32 here, as nibble is: the rest is the order of sums. Only GELU it looks up in a table of half precision. */
const within = (/** @type {string} */ file) => (/gemma|gpt|phi2|falcon/.test(file) ? 3e-3 : 2e-4);

test('keys of GGUF files change what they change in llama.cpp', { timeout: 120_000 }, async (t) => {
    for (const { file, edits, logits } of cases)
        await t.test(`${file} ${JSON.stringify(edits)}`, async () => {
            const loading = load(edited(readFileSync(fixtures + file), edits), { kvType: 'f32', threads: 1 });
            if (!logits) {
                await assert.rejects(loading, { name: 'NibbleError' });
                return;
            }
            const model = await loading;
            try {
                const row = /** @type {Float32Array} */ ((await logitsOf(model, tokens)).at(-1));
                const farthest = Math.max(...entries.map((entry, i) => Math.abs(row[entry] - logits[i])));
                assert.ok(farthest <= within(file), `${farthest} from llama.cpp's`);
            } finally {
                await model.dispose();
            }
        });
});
