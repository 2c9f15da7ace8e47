// Measures what simulated grids cost. `make quality-grids` rounds a model to uniform grids, logarithmic levels and
// codebooks (`nibble quantize --simulate`), compares the results with the floating-point model, and writes
// docs/grids.md.
//     NIBBLE_EVALUATION=FILE NIBBLE_BASE=MODEL node tests/quality/grids.js
// NIBBLE_THREADS=N sets the number of threads.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withError } from '../../web/report/with-error.js';
import { nibble, root, textOf } from './command.js';

const COMMAND = 'make quality-grids NIBBLE_EVALUATION=FILE NIBBLE_BASE=MODEL';

/** The sections of the page: a title, and the flags of --simulate for each row. @type {[string, string[]][]} */
const SECTIONS = [
    [
        'Groups of 32 and whole rows',
        [4, 3, 2].flatMap((bits) =>
            [32, 0].flatMap((group) =>
                ['uniform', 'uniform --asymmetric', 'log', 'codebook'].map(
                    (grid) => `${grid} --bits ${bits} --group ${group}`,
                ),
            ),
        ),
    ],
    [
        'Ranges, of whole rows',
        [4, 3].flatMap((bits) =>
            ['minmax', 'percentile', 'mse', 'entropy'].map(
                (ranges) => `uniform --bits ${bits} --group 0 --ranges ${ranges}`,
            ),
        ),
    ],
    [
        'Nearest and stochastic rounding',
        [4, 3].flatMap((bits) => [
            `uniform --bits ${bits} --group 32`,
            ...[1, 2].map((seed) => `uniform --bits ${bits} --group 32 --rounding stochastic --seed ${seed}`),
        ]),
    ],
];

/**
 * The rows of the tables, by their flags.
 * @param {string} base
 * @param {string} text
 * @param {string[]} all flags
 * @param {string} folder for what is made
 */
function measure(base, text, all, folder) {
    const paths = all.map((_, i) => join(folder, `${i}.gguf`)),
        grids = all.map((flags, i) => {
            const { simulated } = nibble('quantize', base, paths[i], '--simulate', ...flags.split(' '));
            console.log(`${flags}: ${simulated.bitsPerWeight.toFixed(2)} bits`);
            return simulated;
        });
    const compared = nibble('compare', base, ...paths, '--file', text, '--no-speed');
    const lines = all.map((flags, i) => {
        const { perplexity, divergence, sameTop, weights } = compared.models[i],
            cells = [flags, grids[i].bitsPerWeight.toFixed(2), (100 * grids[i].clipped).toFixed(2)];
        cells.push(
            perplexity.toFixed(3),
            withError(divergence.mean, divergence.standardError),
            (100 * sameTop.mean).toFixed(2),
        );
        return `| ${[...cells, (100 * weights.error).toFixed(2)].join(' | ')} |`;
    });
    return { lines: new Map(all.map((flags, i) => [flags, lines[i]])), compared };
}

const HEAD = [
    '| --simulate | bits per weight | clipped, % | perplexity | mean KL | same top, % | error of weights, % |',
    '|---|---:|---:|---:|---:|---:|---:|',
];

const { path: text } = textOf('NIBBLE_EVALUATION', COMMAND),
    base = process.env.NIBBLE_BASE;
if (!base) throw new Error(`NIBBLE_BASE is not set: it must name a model. The command is: ${COMMAND}`);
mkdirSync(`${root}build`, { recursive: true });
const folder = mkdtempSync(join(root, 'build', 'grids-'));
try {
    const all = [...new Set(SECTIONS.flatMap(([, flags]) => flags))],
        { lines, compared } = measure(base, text, all, folder),
        { base: original, tokens } = compared,
        { perplexity, standardError } = original;
    const sections = SECTIONS.map(([title, flags]) =>
        [`## ${title}`, '', ...HEAD, ...flags.map((one) => lines.get(one)), ''].join('\n'),
    );
    writeFileSync(
        `${root}docs/grids.md`,
        `# What grids cost

Written by tests/quality/grids.js; do not edit it. The command was

    ${COMMAND}

Each row is one \`nibble quantize MODEL grid.gguf --simulate ...\`, and
\`nibble compare MODEL grid.gguf --file FILE\`. All matrices are rounded, the token embedding and the output, too. Bits
per weight include scales, zero points and codebooks. The base has ${original.parameters.toLocaleString('en')} weights
in F32; its perplexity is ${perplexity.toFixed(3)} ± ${standardError.toFixed(3)}, over ${tokens} tokens. KL is the
divergence from the base, in nats; ± is one standard error.

Two of the ranges are made for larger groups than this model's rows of 256 weights: \`percentile\` clips nothing, as
99.9 % of 256 weights are all of them, and \`entropy\` clips far too many, as so few weights do not show their
distribution. A codebook costs 16 bits for each of its numbers, so it pays only for long rows.

${sections.join('\n')}`,
    );
    console.log('docs/grids.md is written');
} finally {
    rmSync(folder, { recursive: true });
}
