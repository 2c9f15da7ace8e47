// Measures what calibration gains at the same bits and group size. `make quality-groups` quantizes a folder to the same
// format by rounding to nearest, AWQ, GPTQ, both, and AutoRound. It compares each result with the floating-point model
// and with rounding to nearest, and writes build/groups.json and docs/groups.md. The page keeps the sections of other
// models.
//     NIBBLE_CALIBRATION=FILE NIBBLE_EVALUATION=FILE NIBBLE_BASE=FOLDER node tests/quality/groups.js [METHOD ...]
// METHOD: some of awq, gptq, awq+gptq and autoround; all of them, if none is named. The two texts must differ. What is
// made stays in build/groups until all is done, so the same command continues an interrupted run. NIBBLE_NAME=NAME names
// the section, NIBBLE_BITS=4,3 and NIBBLE_GROUPS=32 limit the rows, NIBBLE_SAMPLES=N sets the number of calibration
// windows, NIBBLE_STEPS=N AutoRound's steps for each layer, and NIBBLE_THREADS=N the number of threads.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { withError } from '../../web/report/with-error.js';
import { nibble, once, remembered, root, twoTexts } from './command.js';
import { sectionsOf } from './page.js';
import { ratio } from './ratio.js';

/** @typedef {{ mean: number, standardError: number }} Mean */
/** @typedef {{ bits: number, group: number, method: string, seconds: number, perplexity: number, logRatio: Mean,
 *     divergence: Mean, sameTop: number, againstNearest?: Mean }} Row */

const COMMAND = 'make quality-groups NIBBLE_CALIBRATION=FILE NIBBLE_EVALUATION=FILE NIBBLE_BASE=FOLDER';
const SAMPLES = process.env.NIBBLE_SAMPLES,
    STEPS = process.env.NIBBLE_STEPS;
const BITS = process.env.NIBBLE_BITS?.split(',').map(Number) ?? [4, 3, 2];
const GROUPS = process.env.NIBBLE_GROUPS?.split(',').map(Number) ?? [128, 32];
const ALL = ['awq', 'gptq', 'awq+gptq', 'autoround'],
    NAMED = process.argv.slice(2);
const METHODS = ['rtn', ...(NAMED.length > 0 ? ALL.filter((method) => NAMED.includes(method)) : ALL)];
const GIVEN = [
    ...(NAMED.length > 0 ? [` METHODS="${NAMED.join(' ')}"`] : []),
    ...['NIBBLE_BITS', 'NIBBLE_GROUPS', 'NIBBLE_SAMPLES', 'NIBBLE_STEPS', 'NIBBLE_NAME'].flatMap((key) =>
        process.env[key] ? [` ${key}=${process.env[key]}`] : [],
    ),
].join('');

/** Drops all but the mean and its standard error. @param {Mean} from @returns {Mean} */
const meanOf = ({ mean, standardError }) => ({ mean, standardError });

/**
 * @param {string} base
 * @param {number} bits
 * @param {number} group
 * @param {ReturnType<typeof twoTexts>} texts
 * @param {string} folder for what is made
 * @returns {{ rows: Row[], tokens: number, base: { perplexity: number, standardError: number } }}
 */
function measure(base, bits, group, { calibration, evaluation }, folder) {
    const text = ['--calibration', calibration.path, ...(SAMPLES ? ['--samples', SAMPLES] : [])],
        paths = METHODS.map((method) => join(folder, `${bits}-${group}-${method}`)),
        flags = ['--file', evaluation.path, '--no-speed', '--no-weights'];
    const seconds = METHODS.map((method, i) => {
        const made = once(paths[i], [
            ...['quantize', base, paths[i], '--format', 'gptq', '--asymmetric'],
            ...['--bits', String(bits), '--group', String(group)],
            ...(method === 'rtn' ? [] : [...text, '--method', method]),
            ...(method === 'autoround' && STEPS ? ['--steps', STEPS] : []),
        ]);
        console.log(`${bits} bits, groups of ${group}, ${method}: ${made.seconds.toFixed(1)} s`);
        return made.seconds;
    });
    const compared = (/** @type {string[]} */ ...models) =>
        remembered(join(folder, `${bits}-${group}-${models.length}.json`), { models, flags, seconds }, () =>
            nibble('compare', ...models, ...flags),
        );
    const found = compared(base, ...paths),
        pairs = compared(...paths);
    const rows = METHODS.map((method, i) => {
        const { perplexity, logRatio, divergence, sameTop } = found.models[i];
        return {
            ...{ bits, group, method, seconds: seconds[i], perplexity },
            logRatio: meanOf(logRatio),
            divergence: meanOf(divergence),
            sameTop: sameTop.mean,
            againstNearest: i > 0 ? meanOf(pairs.models[i - 1].logRatio) : undefined,
        };
    });
    return { rows, tokens: found.tokens, base: found.base };
}

/** @param {Row} row */
const line = ({ bits, group, method, perplexity, logRatio, againstNearest, divergence, sameTop }) =>
    `| ${[
        bits,
        group,
        method === 'rtn' ? 'round to nearest' : method,
        perplexity.toFixed(3),
        ratio(logRatio),
        againstNearest ? ratio(againstNearest) : '',
        withError(divergence.mean, divergence.standardError),
        (100 * sameTop).toFixed(2),
    ].join(' | ')} |`;

const count = (/** @type {number} */ n) => n.toLocaleString('en');

const HEAD = `# What calibration gains at the same bits and group

Written by tests/quality/groups.js; do not edit it. Each row is one

    nibble quantize FOLDER OUT --format gptq --asymmetric --bits B --group G --calibration FILE --method NAME

(round to nearest: without the last two flags). The format stores codes, scales and zero points for any method, so the
size is the same. The token embedding stays as it is. KL is the divergence from the base, in nats. ± is one standard
error; those of ratios are paired over the windows of the text, so they are much smaller than those of the perplexities
themselves.
`;

/**
 * A model's part of docs/groups.md, without its head.
 * @param {ReturnType<typeof measure>[]} found
 * @param {{ calibration: number, evaluation: number }} characters
 */
const section = (found, characters) => `The command was

    ${COMMAND}${GIVEN}

The calibration text has ${count(characters.calibration)} characters. The evaluation text, another one, has
${count(characters.evaluation)}, which are ${count(found[0].tokens)} tokens. The perplexity of the base is
${found[0].base.perplexity.toFixed(3)} ± ${found[0].base.standardError.toFixed(3)}.

| bits | group | method | perplexity | above the base, % | against rounding, % | mean KL | same top, % |
|---:|---:|---|---:|---:|---:|---:|---:|
${found
    .flatMap(({ rows }) => rows)
    .map(line)
    .join('\n')}
`;

const texts = twoTexts(COMMAND),
    base = process.env.NIBBLE_BASE;
if (!base) throw new Error(`NIBBLE_BASE is not set: it must name a folder. The command is: ${COMMAND}`);
const unknown = NAMED.find((method) => !ALL.includes(method));
if (unknown) throw new Error(`there is no method ${unknown}; the methods are ${ALL.join(', ')}`);
const name = process.env.NIBBLE_NAME ?? basename(base),
    folder = join(root, 'build', 'groups', name),
    target = `${root}docs/groups.md`;
mkdirSync(folder, { recursive: true });
const found = BITS.flatMap((bits) => GROUPS.map((group) => measure(base, bits, group, texts, folder)));
writeFileSync(`${root}build/groups.json`, `${JSON.stringify(found, null, 1)}\n`);
const sections = sectionsOf(existsSync(target) ? readFileSync(target, 'utf8') : ''),
    lengths = { calibration: texts.calibration.text.length, evaluation: texts.evaluation.text.length };
sections.set(name, section(found, lengths));
writeFileSync(target, `${HEAD}${[...sections].map(([name, text]) => `\n## ${name}\n\n${text}`).join('')}`);
rmSync(folder, { recursive: true });
console.log('docs/groups.md is written');
