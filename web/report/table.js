/** The figures of a comparison as a table: for the command line, the page and documents alike. */
import { withError } from './with-error.js';

/** @typedef {import('../index.d.ts').Comparison} Comparison */
/** @typedef {import('../index.d.ts').ComparedFacts} ComparedFacts */
/** @typedef {import('../index.d.ts').ComparedModel} ComparedModel */
/** @typedef {import('../index.d.ts').EmbeddingComparison} EmbeddingComparison */
/** @typedef {import('../index.d.ts').EmbeddedFacts} EmbeddedFacts */
/** @typedef {import('../index.d.ts').EmbeddedModel} EmbeddedModel */

/** The last part of a path or a URL. @param {string} path */
export const lastPart = (path) => path.replace(/[/\\]+$/, '').replace(/^.*[/\\]/, '') || path;

/** @param {number} value rounded to three digits */
const short = (value) => (value === 0 ? '0' : Number(value.toPrecision(3)).toString());
const mb = (/** @type {number} */ bytes) => (bytes / 1e6).toFixed(1);
const rate = (/** @type {number | undefined} */ value) => (value === undefined ? '' : value.toFixed(1));
const percent = (/** @type {number} */ share) => `${(share * 100).toFixed(2)} %`;

/** Marked if the weights are simulated: then the bits are those that the codes of the grid would take.
 * @param {ComparedSize} model */
const bitsOf = ({ bitsPerWeight, simulated }) => `${bitsPerWeight.toFixed(2)}${simulated ? ' (simulated)' : ''}`;

/**
 * name: short, for a terminal; title: for the page. of: the cell of a model. more: instead of `of`, except for the
 * base.
 * @template Base, Model
 * @typedef {{ name: string, title: string, of: (model: Base) => string, more?: (model: Model) => string }} Column
 */

const NONE = () => '';

/** @typedef {import('../index.d.ts').ComparedSize} ComparedSize */
/** @typedef {import('../index.d.ts').ComparedWeights} ComparedWeights */
/** @typedef {Column<ComparedSize, { weights?: ComparedWeights }>} Shared a column of both tables */
const NAME = /** @type {Shared} */ ({ name: 'model', title: 'Model', of: ({ name }) => name });
const SIZE = /** @type {Shared} */ ({ name: 'MB', title: 'File, MB', of: ({ bytes }) => mb(bytes) });
const BITS = /** @type {Shared} */ ({ name: 'bits', title: 'Bits per weight', of: bitsOf });
const WEIGHTS = /** @type {Shared} */ ({
    name: 'weights',
    title: 'Error of weights',
    of: NONE,
    more: ({ weights }) => (weights ? percent(weights.error) : ''),
});
const MEMORY = /** @type {Shared} */ ({
    name: 'memory',
    title: 'Memory, MB',
    of: ({ memoryBytes }) => mb(memoryBytes),
});

/** @type {Column<ComparedFacts, ComparedModel>[]} */
const COLUMNS = [
    NAME,
    SIZE,
    BITS,
    {
        name: 'perplexity',
        title: 'Perplexity',
        of: ({ perplexity, standardError }) => withError(perplexity, standardError),
    },
    {
        name: 'KL mean',
        title: 'Mean KL divergence',
        of: NONE,
        more: ({ divergence: { mean, standardError } }) => withError(mean, standardError),
    },
    { name: 'KL 99 %', title: '99 % quantile', of: NONE, more: ({ divergence: { p99 } }) => short(p99) },
    { name: 'KL max', title: 'Largest', of: NONE, more: ({ divergence: { largest } }) => short(largest) },
    { name: 'same top', title: 'Same likeliest token', of: NONE, more: ({ sameTop }) => percent(sameTop.mean) },
    WEIGHTS,
    MEMORY,
    { name: 'prompt/s', title: 'Prompt, tokens/s', of: (model) => rate(model.promptTokensPerSecond) },
    { name: 'gen./s', title: 'Generated, tokens/s', of: (model) => rate(model.generateTokensPerSecond) },
];

/** @type {Column<EmbeddedFacts, EmbeddedModel>[]} */
const EMBEDDING_COLUMNS = [
    NAME,
    SIZE,
    BITS,
    { name: 'cosine', title: 'Mean cosine', of: NONE, more: ({ distance }) => cosine(distance.mean) },
    { name: 'least', title: 'Least cosine', of: NONE, more: ({ distance }) => cosine(distance.largest) },
    { name: 'rank corr.', title: 'Rank correlation', of: NONE, more: ({ rankCorrelation }) => rank(rankCorrelation) },
    WEIGHTS,
    MEMORY,
    { name: 'tokens/s', title: 'Tokens/s', of: (model) => rate(model.tokensPerSecond) },
];

/** The cosine of vectors at this distance from each other. @param {number} distance */
export const cosine = (distance) => (1 - distance).toFixed(6);
/** @param {number | null} correlation */
export const rank = (correlation) => correlation?.toFixed(5) ?? '–';

/** @param {Comparison | EmbeddingComparison} comparison @returns {comparison is EmbeddingComparison} */
export const isOfEmbeddings = (comparison) => 'passages' in comparison;

/**
 * A row for the base, and one for each model. Columns without any entry are left out.
 * @param {Comparison | EmbeddingComparison} comparison
 * @returns {{ names: string[], titles: string[], rows: string[][] }} the columns' names, short and long
 */
export const tableOf = (comparison) =>
    isOfEmbeddings(comparison)
        ? tableWith(EMBEDDING_COLUMNS, comparison.base, comparison.models)
        : tableWith(COLUMNS, comparison.base, comparison.models);

/**
 * @template Base
 * @template {Base} Model
 * @param {Column<Base, Model>[]} columns
 * @param {Base} base
 * @param {Model[]} models
 */
function tableWith(columns, base, models) {
    const all = [
        columns.map(({ of }) => of(base)),
        ...models.map((model) => columns.map(({ of, more }) => (more ?? of)(model))),
    ];
    const kept = columns.map((_, i) => i).filter((i) => all.some((row) => row[i] !== ''));
    const of = (/** @type {string[]} */ row) => kept.map((i) => row[i]);
    return {
        names: of(columns.map(({ name }) => name)),
        titles: of(columns.map(({ title }) => title)),
        rows: all.map(of),
    };
}
