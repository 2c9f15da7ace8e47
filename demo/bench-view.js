// Shows the results of the bench page as bars, as a table, and as text to copy.
import { GENERATE, REPETITIONS } from './bench-work.js';
import { byId, make } from './dom.js';
import { formatBytes, formatDuration, formatRate } from './format.js';

/** @typedef {import('./bench-work.js').Outcome} Outcome */

/** @param {string} name of the model @param {Outcome[]} outcomes */
export function showResults(name, outcomes) {
    byId('results').hidden = outcomes.length === 0;
    byId('results-title').textContent = name;
    for (const figure of /** @type {const} */ (['prompt', 'generate'])) {
        const most = Math.max(...outcomes.map((outcome) => outcome[figure]));
        byId(figure).replaceChildren(
            ...outcomes.map((outcome) => {
                const bar = make('i', { 'aria-hidden': 'true' });
                // 3.5rem are for the number after the bar
                bar.style.width = `calc((100% - 3.5rem) * ${outcome[figure] / most})`;
                return make(
                    'li',
                    {},
                    make('span', {}, outcome.label),
                    make('span', { class: 'track' }, bar, make('b', {}, formatRate(outcome[figure]))),
                );
            }),
        );
    }
    byId('figures').replaceChildren(
        ...outcomes.map(({ label, info, firstMs }) =>
            make(
                'tr',
                {},
                make('th', { scope: 'row' }, label, make('small', {}, info.build)),
                ...[
                    formatDuration(firstMs / 1000),
                    formatDuration(info.loadMs / 1000),
                    formatBytes(info.memoryBytes),
                ].map((text) => make('td', {}, text)),
            ),
        ),
    );
    byId('report').textContent = report(name, outcomes);
}

/** @param {string} name @param {Outcome[]} outcomes */
function report(name, outcomes) {
    if (outcomes.length === 0) return '';
    const [{ info, promptTokens }] = outcomes;
    return [
        `nibble in a browser: ${name} (${formatBytes(info.bytes)}), ${new Date().toISOString().slice(0, 10)}`,
        `${navigator.userAgent}, ${navigator.hardwareConcurrency} logical cores`,
        `${promptTokens} prompt tokens, ${GENERATE} generated, medians of ${REPETITIONS}; tokens per second:`,
        ...outcomes.map(
            ({ label, prompt, generate, firstMs, info: { build, loadMs } }) =>
                `${label} (${build}): prompt ${formatRate(prompt)}, generation ${formatRate(generate)}; ` +
                `first token ${formatDuration(firstMs / 1000)}, loaded in ${formatDuration(loadMs / 1000)}`,
        ),
    ].join('\n');
}
