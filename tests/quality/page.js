// docs/quality.md, out of what tests/quality/run.js found.
import { withError } from '../../web/report/with-error.js';

/** @typedef {{ mean: number, standardError: number }} Mean */
/**
 * A model that was made. Of one that embeds texts there are cosines only.
 * @typedef {{ method: string, type: string, bitsPerWeight: number, seconds: number, perplexity?: number, standardError?: number,
 *     logRatio?: Mean, divergence?: Mean & { p99: number, byWindow: number[] }, sameTop?: number, weightError?: number,
 *     cosine?: number, leastCosine?: number }} Row
 */
/** left: why it was left out. @typedef {{ name: string, title: string, left?: string, rows?: Row[], perplexity?: number,
 *     standardError?: number, tokens?: number }} Result */

const percent = (/** @type {number} */ share) => (share * 100).toFixed(2);
/** @param {Mean} mean of shares, in percent */
const percents = ({ mean, standardError }) => `${percent(mean)} ± ${percent(standardError)}`;
/** @param {Mean} mean of differences of logarithms, as percent of the perplexity */
const ratio = ({ mean, standardError }) =>
    percents({ mean: Math.expm1(mean), standardError: Math.exp(mean) * standardError });
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

/** @param {Row[]} rows */
const embeddingTable = (rows) =>
    table([
        ['type', 'method', 'bits per weight', 'mean cosine', 'least cosine'],
        ...rows.map(({ type, method, bitsPerWeight, cosine, leastCosine }) => [
            type,
            method,
            bitsPerWeight.toFixed(2),
            cosine?.toFixed(6) ?? '',
            leastCosine?.toFixed(6) ?? '',
        ]),
    ]);

/**
 * What the best search changes: of each type and matrix, paired over the windows of the text.
 * @param {Row[]} rows
 */
function searchTable(rows) {
    const pairs = rows.flatMap((row) => {
        if (!row.method.endsWith(', best search') || !row.divergence) return [];
        const other = rows.find(({ type, method }) => type === row.type && `${method}, best search` === row.method);
        return other?.divergence ? [{ row, best: row.divergence, plain: other.divergence, other }] : [];
    });
    if (pairs.length === 0) return '';
    return `\nWhat \`--search best\` changes, with the standard error of the difference, paired over the windows of the text:\n\n${table(
        [
            [
                'type',
                'importance matrix',
                'mean KL, reference',
                'mean KL, best',
                'difference, %',
                'error of weights, reference, %',
                'best, %',
            ],
            ...pairs.map(({ row, best, plain, other }) => [
                row.type,
                row.method.includes('matrix') ? 'yes' : 'no',
                divergence(plain),
                divergence(best),
                percents(pairedDifference(best.byWindow, plain.byWindow)),
                percent(other.weightError ?? 0),
                percent(row.weightError ?? 0),
            ]),
        ],
    )}`;
}

/**
 * The mean difference, as a share of the mean of b.
 * @param {number[]} a
 * @param {number[]} b
 * @returns {Mean}
 */
export function pairedDifference(a, b) {
    const n = a.length,
        mean = (/** @type {number[]} */ x) => x.reduce((s, value) => s + value, 0) / n,
        whole = mean(b);
    const differences = a.map((value, i) => value - b[i]),
        middle = mean(differences);
    const error = Math.sqrt(mean(differences.map((d) => (d - middle) ** 2)) / (n - 1));
    return { mean: middle / whole, standardError: error / whole };
}

/** @param {Result} result */
function section({ name, title, left, rows = [], perplexity, standardError, tokens }) {
    const head = `## ${name}\n\n${title}.\n\n`;
    if (left) return `${head}Left out in this run: ${left}.\n`;
    if (perplexity === undefined) return head + embeddingTable(rows);
    return `${head}The base's perplexity is ${perplexity.toFixed(3)} ± ${standardError?.toFixed(3)}, over ${tokens} tokens.\n\n${comparisonTable(
        rows,
    )}${searchTable(rows)}`;
}

/**
 * @param {string} command
 * @param {{ calibration: number, evaluation: number }} characters of the texts
 * @param {Result[]} results
 */
export const page = (command, { calibration, evaluation }, results) => `# What quantizing costs

Written by tests/quality/run.js; do not edit it. The command was

    ${command}

Importance matrices are of a calibration text of ${calibration.toLocaleString('en')} characters, and figures of another text, of ${evaluation.toLocaleString('en')}.
KL is the divergence of each model from the one that it was made of, in nats, as \`nibble compare\` tells it; ± is one
standard error.

${results.map(section).join('\n')}`;
