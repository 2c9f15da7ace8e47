// Writes a seed corpus for fuzz_session: session_seeds.js FOLDER
// The seeds are the small models of tests/fixtures, each with other choices; the same with weights that are partly NaN,
// infinite or huge; the same with an allocation that fails; and models with the changed keys of keys.test.js.
import { readFileSync, statSync } from 'node:fs';
import { edited } from '../support/gguf.js';
import { answer, corpus, fixtures, readJson, refusal, smallModels } from './seeds.js';

const MOST_BYTES = 200_000;
// each is an F32, or two infinities in F16
const CORRUPT_WORDS = [0x7fc00000, 0x7f800000, 0xff800000, 0x7f7fffff, 0x7c007c00, 0xfc00fc00, 1];

/** The file with every 97th word of its second half, where the weights are, replaced.
 * @param {Uint8Array} file @param {number} word */
function corrupted(file, word) {
    const out = Buffer.from(file);
    for (let at = (out.length >> 3) * 4; at < out.length - 4; at += 97 * 4) out.writeUInt32LE(word, at);
    return out;
}

const seeds = corpus();
for (const [i, { name, file }] of smallModels(MOST_BYTES).entries()) {
    seeds.put(name, answer(i), refusal(0), file);
    seeds.put(`${name}-corrupted`, answer(i + 1), refusal(0), corrupted(file, CORRUPT_WORDS[i % CORRUPT_WORDS.length]));
    for (const nth of [i + 1, i + 40]) seeds.put(`${name}-${nth}`, answer(i), refusal(nth), file);
}
for (const [i, { file, edits }] of readJson('formats/gguf-key-cases.json').cases.entries())
    if (statSync(fixtures + file).size <= MOST_BYTES)
        seeds.put(`edited-${i}`, answer(i), refusal(0), edited(readFileSync(fixtures + file), edits));
seeds.close();
