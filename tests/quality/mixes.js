// Measures what the automatic mix of types gains at the size of a preset. `make quality-mix` quantizes a model by
// llama.cpp's presets, and with the same number of bytes by nibble's mix, with and without measured curvatures. It
// compares all of them with the floating-point model, and writes build/mix.json and docs/mix.md.
//     NIBBLE_CALIBRATION=FILE NIBBLE_EVALUATION=FILE NIBBLE_BASE=MODEL node tests/quality/mixes.js [PRESET ...]
// The two texts must differ. NIBBLE_THREADS=N sets the number of threads.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from '../../web/index.js';
import { withError } from '../../web/report/with-error.js';
import { nibble, root, twoTexts } from './command.js';

/** @typedef {{ mean: number, standardError: number }} Mean */
/** @typedef {{ preset: string, bits: number, bytes: number, divergences: Mean[], predicted: number }} Row */

const COMMAND = 'make quality-mix NIBBLE_CALIBRATION=FILE NIBBLE_EVALUATION=FILE NIBBLE_BASE=MODEL';

/** Presets whose layers have about 2.5, 3.5, 4.5 and 5.5 bits a weight in a model like Llama. */
const PRESETS = ['iq2_s', 'iq2_m', 'iq3_s', 'q3_k_s', 'q4_k_s', 'q5_k_s'];

/** The type of the token embedding, for presets and mixes alike, so that all the difference is in the layers. In a
 * small model a large part of the weights is in the embedding. */
const EMBEDDING = 'q8_0';

/** Mean bits per weight in the matrices of layers. @param {string} path of a GGUF */
async function bitsOfLayers(path) {
    const model = await load(path, { headerOnly: true }),
        matrices = model.info.tensors.filter(({ name, shape }) => name.startsWith('blk.') && shape.length > 1);
    await model.dispose();
    const weights = matrices.reduce((sum, { shape }) => sum + shape.reduce((product, side) => product * side, 1), 0);
    return (8 * matrices.reduce((sum, { bytes }) => sum + bytes, 0)) / weights;
}

/**
 * @param {string} base
 * @param {string[]} presets
 * @param {ReturnType<typeof twoTexts>} texts
 * @param {string} folder for what is made
 * @returns {Promise<{ rows: Row[], tokens: number, perplexity: number }>}
 */
async function measure(base, presets, { calibration, evaluation }, folder) {
    const imatrix = join(folder, 'imatrix.gguf'),
        common = ['--imatrix', imatrix, '--token-embedding-type', EMBEDDING];
    nibble('imatrix', base, '--file', calibration.path, '-o', imatrix);
    const rows = [],
        paths = [];
    for (const preset of presets) {
        const [fixed, plain, mixed] = ['preset', 'plain', 'mix'].map((kind) => join(folder, `${preset}-${kind}.gguf`)),
            { bytes } = nibble('quantize', base, fixed, '--type', preset, ...common),
            size = ['--size', String(bytes)];
        nibble('quantize', base, plain, ...size, ...common);
        const { divergence } = nibble('quantize', base, mixed, ...size, ...common, '--calibration', calibration.path);
        const bits = await bitsOfLayers(fixed);
        console.log(`${preset}: ${bits.toFixed(2)} bits a weight of the layers, ${bytes} bytes`);
        rows.push({ preset, bits, bytes, predicted: divergence });
        paths.push(fixed, plain, mixed);
    }
    const compared = nibble('compare', base, ...paths, '--file', evaluation.path, '--no-speed', '--no-weights');
    return {
        rows: rows.map((row, i) => ({
            ...row,
            divergences: compared.models
                .slice(3 * i, 3 * i + 3)
                .map((/** @type {{ divergence: Mean }} */ { divergence: { mean, standardError } }) => ({
                    mean,
                    standardError,
                })),
        })),
        tokens: compared.tokens,
        perplexity: compared.base.perplexity,
    };
}

const count = (/** @type {number} */ n) => n.toLocaleString('en');

/**
 * The text of docs/mix.md.
 * @param {string} command
 * @param {{ calibration: number, evaluation: number }} characters
 * @param {Awaited<ReturnType<typeof measure>>} found
 */
const page = (command, characters, { rows, tokens, perplexity }) =>
    `# What the automatic mix gains

Written by tests/quality/mixes.js; do not edit it. The command was

    ${command}

Each row compares three files. The size of the first is the budget of the two mixes, so they take at most as many
bytes:

- llama.cpp's preset;
- nibble's mix by the error of the rounded weights alone (\`--size\` with \`--imatrix\`);
- nibble's mix with measured curvatures (\`--size\` with \`--calibration\`).

All three use the same importance matrix, which was computed from a calibration text of
${count(characters.calibration)} characters, and keep the token embedding as ${EMBEDDING}.

- "Bits" are bits per weight in the matrices of layers.
- KL is the divergence from the floating-point model, in nats, on another text of
  ${count(characters.evaluation)} characters. There ${count(tokens)} tokens are scored,
  and the model's perplexity is ${perplexity.toFixed(2)}. ± is one standard error.
- "Mix / preset" is the KL of the mix with curvatures, divided by that of the preset.
- "Predicted" is the divergence that \`nibble quantize\` predicts from 1,024 tokens of the calibration text, by
  rounding one matrix at a time.

| preset | bits | KL, preset | KL, mix by error alone | KL, mix | mix / preset | predicted |
|---|---:|---:|---:|---:|---:|---:|
${rows
    .map(
        ({ preset, bits, divergences, predicted }) =>
            `| ${[
                preset,
                bits.toFixed(2),
                ...divergences.map(({ mean, standardError }) => withError(mean, standardError)),
                (divergences[2].mean / divergences[0].mean).toFixed(2),
                predicted.toPrecision(2),
            ].join(' | ')} |\n`,
    )
    .join('')}
The mix by error alone stands in for llama-quantize's proposed \`--target-bpw\`, which no released llama.cpp has. Like
this mix, \`--target-bpw\` weights the errors of sampled rows of each tensor by an importance matrix, and chooses types
under a budget, without measuring how the error of a tensor changes the model's output. Unlike this mix, it divides the
error of each row by the size of the row's output.
`;

/** @param {string[]} wanted */
async function main(wanted) {
    const texts = twoTexts(COMMAND),
        base = process.env.NIBBLE_BASE;
    if (!base)
        throw new Error(`NIBBLE_BASE is not set: it must name a floating-point model. The command is: ${COMMAND}`);
    mkdirSync(`${root}build`, { recursive: true });
    const folder = mkdtempSync(`${root}build/quality-`);
    try {
        const found = await measure(base, wanted.length > 0 ? wanted : PRESETS, texts, folder),
            command = wanted.length > 0 ? `${COMMAND} PRESETS="${wanted.join(' ')}"` : COMMAND;
        const characters = { calibration: texts.calibration.text.length, evaluation: texts.evaluation.text.length };
        writeFileSync(`${root}build/mix.json`, `${JSON.stringify({ command, characters, ...found }, null, 1)}\n`);
        writeFileSync(`${root}docs/mix.md`, page(command, characters, found));
    } finally {
        rmSync(folder, { recursive: true });
    }
}

await main(process.argv.slice(2));
