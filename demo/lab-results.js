// The results: a table of figures, with buttons that download or remove each file.
import { cosine, rank } from '../web/report/table.js';
import { withError } from '../web/report/with-error.js';
import { byId, make } from './dom.js';
import { formatBytes, formatRate } from './format.js';

/** @typedef {import('./lab-work.js').Made} Made */
/** @typedef {import('./lab-plots.js').Figures} Figures */

/** A column: its title, and the text for a file. Only the original has no figures of what was lost.
 * @typedef {[string, (figures: Figures) => string]} Column */

/** @type {Column[]} */
const SIZES = [
    ['Size', ({ bytes }) => formatBytes(bytes)],
    ['Bits per weight', ({ bitsPerWeight }) => bitsPerWeight.toFixed(2)],
];

/** @type {Column[]} */
const COLUMNS = [
    ...SIZES,
    ['Perplexity', ({ perplexity = NaN, standardError = NaN }) => withError(perplexity, standardError)],
    ['KL divergence', ({ divergence }) => (divergence ? withError(divergence.mean, divergence.standardError) : '0')],
    ['Same token', ({ sameTop }) => (sameTop ? `${(100 * sameTop.mean).toFixed(1)} %` : '100 %')],
    ['Tokens/s', ({ generateTokensPerSecond }) => formatRate(generateTokensPerSecond ?? null)],
];

/** For models that embed texts. @type {Column[]} */
const EMBEDDING_COLUMNS = [
    ...SIZES,
    ['Mean cosine', ({ distance }) => (distance ? cosine(distance.mean) : '1')],
    ['Least cosine', ({ distance }) => (distance ? cosine(distance.largest) : '1')],
    ['Rank correlation', ({ rankCorrelation }) => (rankCorrelation === undefined ? '1' : rank(rankCorrelation))],
    ['Tokens/s', ({ tokensPerSecond }) => formatRate(tokensPerSecond ?? null)],
];

/** @param {{ onRemove: (made: Made) => void }} actions */
export function createResultsView({ onRemove }) {
    const section = byId('results');
    let columns = COLUMNS;

    /** @param {string} name @param {Figures | null} figures @param {number | null} bytes @param {...Node} more */
    const row = (name, figures, bytes, ...more) =>
        make(
            'tr',
            {},
            make('th', { scope: 'row' }, name, ...more),
            ...columns.map(([, say], i) =>
                make('td', {}, figures ? say(figures) : i === 0 && bytes !== null ? formatBytes(bytes) : '–'),
            ),
        );

    const textButton = (/** @type {string} */ text, /** @type {string} */ name, /** @type {() => void} */ run) => {
        const button = make('button', { type: 'button', class: 'text-button', 'aria-label': `${text} ${name}` }, text);
        button.addEventListener('click', run);
        return button;
    };

    return {
        /**
         * @param {import('./lab-work.js').Original | null} original
         * @param {Figures | null} base
         * @param {Made[]} made
         */
        show(original, base, made) {
            section.hidden = made.length === 0;
            const embeds = original?.embeds === true;
            columns = embeds ? EMBEDDING_COLUMNS : COLUMNS;
            byId('figures-head').replaceChildren(
                ...['File', ...columns.map(([head]) => head)].map((head) => make('th', { scope: 'col' }, head)),
            );
            byId('note-tokens').hidden = embeds;
            byId('note-embeddings').hidden = !embeds;
            const rows = made.map((one) =>
                row(
                    one.name,
                    one.figures,
                    one.kept.file.size,
                    make(
                        'span',
                        { class: 'row-actions' },
                        textButton('Download', one.name, () => download(one)),
                        textButton('Remove', one.name, () => {
                            onRemove(one);
                            (section.hidden ? byId('start') : byId('results-title')).focus();
                        }),
                    ),
                ),
            );
            byId('figures').replaceChildren(row(`Original: ${original?.name ?? ''}`, base, null), ...rows);
        },
    };
}

/** Lets the browser save a file. @param {Pick<Made, 'fileName' | 'kept'>} made */
export function download({ fileName, kept }) {
    const url = URL.createObjectURL(kept.file);
    const link = make('a', { href: url, download: fileName });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
