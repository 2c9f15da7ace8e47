/**
 * A comparison as one page, which needs no network and no other file: tables, and plots where scripts run. Names are
 * escaped, so they cannot add markup.
 */
import { isOfEmbeddings, lastPart, tableOf } from './table.js';

/** @typedef {import('../index.d.ts').Comparison} Comparison */
/** @typedef {import('../index.d.ts').EmbeddingComparison} EmbeddingComparison */

/** @type {Record<string, string>} */
const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** @param {string} text */
export const escaped = (text) => text.replace(/[&<>"']/g, (c) => ESCAPES[c]);

/** JSON for a script element: it can hold neither a tag nor a line end of JavaScript's. @param {unknown} value */
const asData = (value) =>
    JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** The source of a script or style as Content-Security-Policy names it. @param {string} text */
export async function hashOf(text) {
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));
    return `'sha256-${btoa(String.fromCharCode(...digest))}'`;
}

/**
 * The beginning of every page, up to its heading.
 * @param {string} title
 * @param {string} policy the Content-Security-Policy
 * @param {string} style
 */
export const beginning = (title, policy, style) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escaped(title)}</h1>`;

/** @param {string[]} head @param {string[][]} rows the first cell of each is its name */
export function table(head, rows) {
    const titles = head.map((cell) => `<th scope="col">${escaped(cell)}</th>`).join('');
    const lines = rows.map(([name, ...cells]) => {
        const others = cells.map((cell) => `<td>${escaped(cell)}</td>`).join('');
        return `<tr><th scope="row">${escaped(name)}</th>${others}</tr>`;
    });
    return (
        `<div class="scroll"><table><thead><tr>${titles}</tr></thead>` +
        `<tbody>${lines.join('\n')}</tbody></table></div>`
    );
}

/**
 * The errors of a model's matrices: a row for each layer, a column for each kind.
 * @param {Pick<Comparison['models'][0], 'name' | 'weights'>} model
 */
function errorTable({ name, weights }) {
    if (!weights) return '';
    const kinds = [...new Set(weights.matrices.map(({ kind }) => kind))];
    const layers = [...new Set(weights.matrices.map(({ layer }) => layer))];
    const cell = (/** @type {number | null} */ layer, /** @type {string} */ kind) => {
        const found = weights.matrices.find((matrix) => matrix.layer === layer && matrix.kind === kind);
        return found ? `${(found.error * 100).toFixed(2)} % ${found.type.toUpperCase()}` : '';
    };
    const rows = layers.map((layer) => [
        layer === null ? 'outside layers' : `layer ${layer}`,
        ...kinds.map((kind) => cell(layer, kind)),
    ]);
    const title = `Errors of ${escaped(lastPart(name))} as a table`;
    return `<details><summary>${title}</summary>${table(['', ...kinds], rows)}</details>`;
}

/** A plot, which the script shows. @param {string} id @param {string} title @param {string} text */
const figure = (id, title, text) =>
    `<section class="figure" id="${id}" hidden><h2>${title}</h2><p>${text}</p>` +
    '<div class="choices"></div><div class="plot"></div></section>';

/**
 * What was compared, and what the columns mean.
 * @param {Comparison | EmbeddingComparison} comparison
 */
function leadOf(comparison) {
    if (isOfEmbeddings(comparison))
        return (
            `over ${comparison.passages} passages with ${comparison.tokens} tokens. A cosine is that between the ` +
            "vectors that both models make of a passage; the rank correlation is Spearman's, of the similarities of " +
            'all pairs of passages.'
        );
    const { tokens, windows, context } = comparison;
    return (
        `over ${tokens} tokens in ${windows} ${windows === 1 ? 'window' : 'windows'} of ${context}. ` +
        'KL divergence is in nats; ± is one standard error.'
    );
}

/**
 * @param {Comparison | EmbeddingComparison} comparison
 * @param {{ script: string, style: string }} parts what tools/bundle.js makes: build/report.js and build/report.css
 * @returns {Promise<string>}
 */
export async function comparisonPage(comparison, { script, style }) {
    const { base, models } = comparison,
        { titles, rows } = tableOf(comparison);
    const others = models.length === 1 ? lastPart(models[0].name) : `${models.length} models`,
        title = `${lastPart(base.name)} and ${others}`;
    const weights = models.some((model) => model.weights);
    const policy = `default-src 'none'; script-src ${await hashOf(script)}; style-src ${await hashOf(style)}`;
    return `${beginning(title, policy, style)}
<p class="lead">What each model loses against <b>${escaped(base.name)}</b>, ${leadOf(comparison)}</p>
${table(
    titles,
    rows.map(([name, ...cells]) => [lastPart(name), ...cells]),
)}
${figure('size', 'Size against quality', 'Lower is closer to the base; further left is smaller.')}
${figure('position', 'KL divergence by position', 'Means over the windows, by the position of a token in its window.')}
${figure('errors', 'Error by layer and tensor', 'Relative root mean square error of each matrix.')}
${figure('histograms', 'Weights before and after', "In units of each matrix's root mean square; all layers together.")}
${weights ? `<section><h2>Errors of the weights</h2>${models.map(errorTable).join('\n')}</section>` : ''}
</main>
<script type="application/json" id="data">${asData(comparison)}</script>
<script>${script}</script>
</body>
</html>
`;
}
