// The results: a table of figures, with buttons that download or remove each file.
import { withError } from '../web/report/with-error.js';
import { byId, make } from './dom.js';
import { formatBytes, formatRate } from './format.js';

/** @typedef {import('./lab-work.js').Made} Made */
/** @typedef {import('./lab-plots.js').Figures} Figures */

/** The columns: the title, and the text for a file. Only the original has no divergence.
 * @type {[string, (figures: Figures) => string][]} */
const COLUMNS = [
    ['Size', ({ bytes }) => formatBytes(bytes)],
    ['Bits per weight', ({ bitsPerWeight }) => bitsPerWeight.toFixed(2)],
    ['Perplexity', ({ perplexity, standardError }) => withError(perplexity, standardError)],
    ['KL divergence', ({ divergence }) => (divergence ? withError(divergence.mean, divergence.standardError) : '0')],
    ['Same token', ({ sameTop }) => (sameTop ? `${(100 * sameTop.mean).toFixed(1)} %` : '100 %')],
    ['Tokens/s', ({ generateTokensPerSecond }) => formatRate(generateTokensPerSecond ?? null)],
];

/** @param {{ onRemove: (made: Made) => void }} actions */
export function createResultsView({ onRemove }) {
    const section = byId('results');
    byId('figures-head').append(
        ...['File', ...COLUMNS.map(([head]) => head)].map((head) => make('th', { scope: 'col' }, head)),
    );

    /** @param {string} name @param {Figures | null} figures @param {number | null} bytes @param {...Node} more */
    const row = (name, figures, bytes, ...more) =>
        make(
            'tr',
            {},
            make('th', { scope: 'row' }, name, ...more),
            ...COLUMNS.map(([, say], i) =>
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
         * @param {string} original its name
         * @param {Figures | null} base
         * @param {Made[]} made
         */
        show(original, base, made) {
            section.hidden = made.length === 0;
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
            byId('figures').replaceChildren(row(`Original: ${original}`, base, null), ...rows);
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
