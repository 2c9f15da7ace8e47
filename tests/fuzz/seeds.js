// What the writers of seeds share: the fixtures, the bytes of fuzz.h's choices, and the files of a corpus.
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { root } from '../support/builds.js';

export const fixtures = `${root}tests/fixtures/`;

/** @param {string} path within the fixtures */
export const readJson = (path) => JSON.parse(readFileSync(fixtures + path, 'utf8'));

/** The GGUF files of the fixtures with at most so many bytes, under unique names. @param {number} bytes */
export const smallModels = (bytes) =>
    readdirSync(fixtures, { recursive: true, encoding: 'utf8' })
        .filter((path) => path.endsWith('.gguf') && statSync(fixtures + path).size <= bytes)
        .sort()
        .map((path) => ({
            name: path.replace(/\.gguf$/, '').replaceAll(sep, '-'),
            file: readFileSync(fixtures + path),
        }));

/** The corpus in the folder that the command names: put() adds a seed. */
export function corpus() {
    const folder = process.argv[2];
    mkdirSync(folder, { recursive: true });
    /** @type {Set<string>} */
    const names = new Set();
    return {
        /** @param {string} name @param {...Uint8Array} parts */
        put(name, ...parts) {
            if (names.has(name)) throw new Error(`two seeds have the name ${name}`);
            writeFileSync(join(folder, name), Buffer.concat(parts));
            names.add(name);
        },
        close: () => console.log(`${folder}: ${names.size} files`),
    };
}

/** @template T @param {T[]} list @param {number} i */
const of = (list, i) => list[i % list.length];
const TEXTS = ['ab \xff<s>  The the', 'Ça va, 東京 🙂!', '<s>\n\n def f(x):', "it's 1234 a\tb", ''];

/** Choices and a text for fuzz_answer (fuzz.h), which depend on i. @param {number} i */
export function answer(i) {
    const bytes = Buffer.alloc(36 + 4 + 16);
    for (let k = 0; k < 22; k++) bytes[k] = (i * (14 * k + 21) + 29 * k) % 240; // numbers of the sampler, in bounds
    if (i % 3 === 0) bytes[0] = 0; // greedy
    bytes.set([0x61, 0x72, 0x43, 0x05, i, 3 + 4 * (i % 2)], 22); // steps, whether they count, a breaker's length
    bytes.write('. ', 28);
    const switches = (i % 4) | (i % 3 === 1 ? 4 : 0) | ((i % 2) << 3) | (((i >> 1) % 4) << 4) | (i % 5 === 2 ? 64 : 0);
    const sizes = 1 + (i % 7) + 8 * (i % 5); // of the batch; and how many sequences there are
    bytes.set([40 + (i % 8), sizes, i % 4, switches], 36);
    bytes.set(Buffer.from(of(TEXTS, i), i % 2 ? 'utf8' : 'latin1').subarray(0, 16), 40);
    return bytes;
}

/** The number of the allocation that fails; 0: none. @param {number} nth */
export const refusal = (nth) => Buffer.from([nth & 255, nth >> 8]);
