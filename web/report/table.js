/** The figures of a comparison as a table: for the command line, the page and documents alike. */
import { withError } from './with-error.js';

/** @typedef {import('../index.d.ts').Comparison} Comparison */
/** @typedef {import('../index.d.ts').ComparedFacts} ComparedFacts */
/** @typedef {import('../index.d.ts').ComparedModel} ComparedModel */

/** The last part of a path or a URL. @param {string} path */
export const lastPart = (path) => path.replace(/[/\\]+$/, '').replace(/^.*[/\\]/, '') || path;

/** @param {number} value rounded to three digits */
const short = (value) => (value === 0 ? '0' : Number(value.toPrecision(3)).toString());
const mb = (/** @type {number} */ bytes) => (bytes / 1e6).toFixed(1);
const rate = (/** @type {number | undefined} */ value) => (value === undefined ? '' : value.toFixed(1));
const percent = (/** @type {number} */ share) => `${(share * 100).toFixed(2)} %`;

/** Marked if the weights are simulated: then the bits are those that the codes of the grid would take.
 * @param {ComparedFacts} model */
const bitsOf = ({ bitsPerWeight, simulated }) => `${bitsPerWeight.toFixed(2)}${simulated ? ' (simulated)' : ''}`;

/**
 * name: short, for a terminal; title: for the page. of: the cell of a model. more: instead of `of`, except for the
 * base.
 * @type {{ name: string, title: string, of: (model: ComparedFacts) => string,
 *     more?: (model: ComparedModel) => string }[]}
 */
const COLUMNS = [
    { name: 'model', title: 'Model', of: ({ name }) => name },
    { name: 'MB', title: 'File, MB', of: ({ bytes }) => mb(bytes) },
    { name: 'bits', title: 'Bits per weight', of: bitsOf },
    {
        name: 'perplexity',
        title: 'Perplexity',
        of: ({ perplexity, standardError }) => withError(perplexity, standardError),
    },
    {
        name: 'KL mean',
        title: 'Mean KL divergence',
        of: () => '',
        more: ({ divergence: { mean, standardError } }) => withError(mean, standardError),
    },
    { name: 'KL 99 %', title: '99 % quantile', of: () => '', more: ({ divergence: { p99 } }) => short(p99) },
    { name: 'KL max', title: 'Largest', of: () => '', more: ({ divergence: { largest } }) => short(largest) },
    { name: 'same top', title: 'Same likeliest token', of: () => '', more: ({ sameTop }) => percent(sameTop.mean) },
    {
        name: 'weights',
        title: 'Error of weights',
        of: () => '',
        more: ({ weights }) => (weights ? percent(weights.error) : ''),
    },
    { name: 'memory', title: 'Memory, MB', of: ({ memoryBytes }) => mb(memoryBytes) },
    { name: 'prompt/s', title: 'Prompt, tokens/s', of: (model) => rate(model.promptTokensPerSecond) },
    { name: 'gen./s', title: 'Generated, tokens/s', of: (model) => rate(model.generateTokensPerSecond) },
];

/**
 * A row for the base, and one for each model. Columns without any entry are left out.
 * @param {Comparison} comparison
 * @returns {{ names: string[], titles: string[], rows: string[][] }} the columns' names, short and long
 */
export function tableOf({ base, models }) {
    const all = [
        COLUMNS.map(({ of }) => of(base)),
        ...models.map((model) => COLUMNS.map(({ of, more }) => (more ?? of)(model))),
    ];
    const kept = COLUMNS.map((_, i) => i).filter((i) => all.some((row) => row[i] !== ''));
    const of = (/** @type {string[]} */ row) => kept.map((i) => row[i]);
    return {
        names: of(COLUMNS.map(({ name }) => name)),
        titles: of(COLUMNS.map(({ title }) => title)),
        rows: all.map(of),
    };
}
