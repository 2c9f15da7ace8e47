// Makes docs/quality.md from the results of tests/quality/run.js.
import { withError } from '../../web/report/with-error.js';
import { ratio } from './ratio.js';

/** @typedef {{ mean: number, standardError: number }} Mean */
/**
 * A quantized model. An embedding model has no figures of tokens, but `distances`: for each passage, 1 - the cosine
 * between its vectors before and after.
 * @typedef {{ method: string, type: string, bitsPerWeight: number, seconds: number, perplexity?: number,
 *     standardError?: number, logRatio?: Mean, divergence?: Mean & { p99: number, byWindow: number[] },
 *     sameTop?: number, weightError?: number, distances?: number[], rankCorrelation?: number }} Row
 */
/**
 * sizes: of the texts, in characters.
 * @typedef {{ name: string, title: string, command: string, sizes: { calibration: number, evaluation: number },
 *     rows: Row[], perplexity?: number, standardError?: number, tokens?: number }} Result
 */

const percent = (/** @type {number} */ share) => (share * 100).toFixed(2);
/** @param {Mean} mean of shares, in percent */
const percents = ({ mean, standardError }) => `${percent(mean)} ± ${percent(standardError)}`;
/** @param {Mean} mean */
const divergence = ({ mean, standardError }) => withError(mean, standardError);

/** @param {string[][]} rows the first is the head */
const table = ([head, ...rows]) =>
    `| ${head.join(' | ')} |\n|${head.map((_, i) => (i < 2 ? '---|' : '---:|')).join('')}\n${rows
        .map((row) => `| ${row.join(' | ')} |\n`)
        .join('')}`;

/** @param {Row[]} rows */
const comparisonTable = (rows) =>
    table([
        [
            'type',
            'method',
            'bits per weight',
            'perplexity',
            'above the base, %',
            'mean KL',
            'KL, 99 %',
            'same top, %',
            'error of weights, %',
        ],
        ...rows.map((row) => [
            row.type,
            row.method,
            row.bitsPerWeight.toFixed(2),
            `${row.perplexity?.toFixed(3)} ± ${row.standardError?.toFixed(3)}`,
            row.logRatio ? ratio(row.logRatio) : '',
            row.divergence ? divergence(row.divergence) : '',
            row.divergence ? Number(row.divergence.p99.toPrecision(3)).toString() : '',
            percent(row.sameTop ?? 0),
            percent(row.weightError ?? 0),
        ]),
    ]);

/** @param {number[]} numbers */
const mean = (numbers) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;

/** @param {Row[]} rows */
const embeddingTable = (rows) =>
    table([
        ['type', 'method', 'bits per weight', 'mean cosine', 'least cosine', 'rank correlation'],
        ...rows.map(({ type, method, bitsPerWeight, distances = [], rankCorrelation }) => [
            type,
            method,
            bitsPerWeight.toFixed(2),
            (1 - mean(distances)).toFixed(6),
            (1 - Math.max(...distances)).toFixed(6),
            rankCorrelation?.toFixed(5) ?? '',
        ]),
    ]);

/**
 * What the best search changes, for each type, with and without an importance matrix.
 * @param {Row[]} rows
 */
function searchTable(rows) {
    const pairs = rows.flatMap((row) => {
        if (!/^recipe.*, best search$/.test(row.method) || !row.divergence) return [];
        const other = rows.find(({ type, method }) => type === row.type && `${method}, best search` === row.method);
        return other?.divergence ? [{ row, best: row.divergence, plain: other.divergence, other }] : [];
    });
    if (pairs.length === 0) return '';
    const head = [
        'type',
        'importance matrix',
        'mean KL, reference',
        'mean KL, best',
        'difference, %',
        'error of weights, reference, %',
        'best, %',
    ];
    const lines = pairs.map(({ row, best, plain, other }) => [
        row.type,
        row.method.includes('matrix') ? 'yes' : 'no',
        divergence(plain),
        divergence(best),
        percents(pairedDifference(best.byWindow, plain.byWindow)),
        percent(other.weightError ?? 0),
        percent(row.weightError ?? 0),
    ]);
    return `
What \`--search best\` changes, with the standard error of the difference, paired over the windows of the text:

${table([head, ...lines])}`;
}

/**
 * The mean of a - b, relative to the mean of b.
 * @param {number[]} a
 * @param {number[]} b
 * @returns {Mean}
 */
export function pairedDifference(a, b) {
    const n = a.length,
        whole = mean(b);
    const differences = a.map((value, i) => value - b[i]),
        middle = mean(differences);
    const error = Math.sqrt(mean(differences.map((d) => (d - middle) ** 2)) / (n - 1));
    return { mean: middle / whole, standardError: error / whole };
}

/** The losses of a model by windows of the text, or by passages. @param {Row} row */
const losses = ({ divergence: found, distances }) => found?.byWindow ?? distances;

/**
 * What calibration changes at the same type: GPTQ and AWQ against rounding to nearest, and against rounding with an
 * importance matrix as llama.cpp does it, paired over the windows of the text.
 * @param {Row[]} rows
 * @param {string} loss the name of the figure that is compared
 */
function calibrationTable(rows, loss) {
    const of = (/** @type {string} */ type, /** @type {string[]} */ ...methods) =>
        rows.find((row) => row.type === type && methods.includes(row.method));
    const types = [...new Set(rows.filter(({ method }) => method === 'gptq').map(({ type }) => type))],
        methods = ['awq', 'gptq', 'awq+gptq', 'gptq, best search'].filter((method) =>
            rows.some((row) => row.method === method),
        );
    if (types.length === 0) return '';
    const against = (/** @type {Row | undefined} */ row, /** @type {Row | undefined} */ other) => {
        const [own, others] = [row, other].map((one) => one && losses(one));
        return own && others ? percents(pairedDifference(own, others)) : '';
    };
    const lines = types.flatMap((type) =>
        methods.map((method) => [
            type,
            method,
            against(of(type, method), of(type, 'round to nearest', 'recipe')),
            against(of(type, method), of(type, 'importance matrix', 'recipe, importance matrix')),
            against(of(type, method), of(type, 'recipe, importance matrix, best search')),
        ]),
    );
    const head = ['type', 'method', 'against rounding', 'importance matrix', 'importance matrix, best search'];
    return `
What calibration changes of ${loss}, in percent of that of three other ways to the same type. Negative is
better. Rounding, and rounding with an importance matrix, give llama.cpp's bytes.

${table([head, ...lines])}`;
}

const count = (/** @type {number} */ n) => n.toLocaleString('en');

/** @param {Result} result */
function section({ title, command, sizes, rows, perplexity, standardError, tokens }) {
    const head = `${title}. The command was

    ${command}

The calibration text has ${count(sizes.calibration)} characters, and the evaluation text, another one, has
${count(sizes.evaluation)}.

`;
    if (perplexity === undefined)
        return `${head}The passages are the first hundred of the text. A cosine is that between a passage's vectors
before and after. The rank correlation is Spearman's, of the similarities of all pairs of passages.

${embeddingTable(rows)}${calibrationTable(rows, 'the mean distance (1 - cosine)')}`;
    const measured = `${perplexity.toFixed(3)} ± ${standardError?.toFixed(3)}`;
    return `${head}The base's perplexity is ${measured}, over ${tokens} tokens.

${comparisonTable(rows)}${searchTable(rows)}${calibrationTable(rows, 'the mean KL')}`;
}

/**
 * The sections of an earlier page by the names of their models.
 * @param {string} page
 * @returns {Map<string, string>}
 */
export const sectionsOf = (page) =>
    new Map(
        page
            .split(/^## /m)
            .slice(1)
            .map((text) => [text.slice(0, text.indexOf('\n')), `${text.slice(text.indexOf('\n')).trim()}\n`]),
    );

/**
 * @param {{ name: string }[]} models in their order
 * @param {Result[]} results
 * @param {Map<string, string>} earlier sections that stay, where there is no result
 */
export const page = (models, results, earlier) => `# What quantizing costs

Written by tests/quality/run.js; do not edit it. KL is the divergence of each model from the one that it was made from,
in nats, as \`nibble compare\` prints it; ± is one standard error.

${models
    .flatMap(({ name }) => {
        const result = results.find((found) => found.name === name),
            text = result ? section(result) : earlier.get(name);
        return text ? [`## ${name}\n\n${text}`] : [];
    })
    .join('\n')}`;
