// The models that `make bench` measures, and the goals for each: nibble's speed relative to the peers, in Chromium,
// with the relaxed build and one thread.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * @typedef {object} BenchModel
 * @property {string} name
 * @property {string} file its path under the repository's root
 * @property {string} continues the text with which every engine must continue the prompt
 * @property {Record<'generate' | 'prompt', { native: number, wllama: number }>} goals
 * @property {boolean} plainBeatsNative whether the simd128 build, too, should generate faster than native llama.cpp
 */

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** @type {BenchModel[]} */
export const MODELS = [
    {
        name: 'SmolLM2-135M Q4_1',
        file: 'build/models/SmolLM2-135M-Instruct.Q4_1.gguf',
        continues: ' Thursday, Friday, Saturday,',
        plainBeatsNative: true,
        goals: { generate: { native: 1.8, wllama: 14 }, prompt: { native: 1.5, wllama: 20 } },
    },
    {
        name: 'Gemma 3 270M Q4_K_M',
        file: 'build/models/gemma-3-270m.Q4_K_M.gguf',
        continues: ' Thursday, Friday, Saturday',
        plainBeatsNative: false,
        goals: { generate: { native: 1.2, wllama: 9 }, prompt: { native: 0.7, wllama: 14 } },
    },
];

/** @param {BenchModel} model */
export const isThere = (model) => existsSync(root + model.file);
