// Draws the figures of docs/bench.json: the chart docs/speed.svg, and the tables of docs/speed.md. docs/bench-amx.json
// has those of a CPU with AMX, which has tables only.
//
//     node tests/bench/chart.js                     writes all anew
//     node tests/bench/chart.js build/bench.json    first updates the file of such a CPU from a run of make bench
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { insert } from '../support/tables.js';
import { root } from './models.js';
import { table } from './tables.js';

/** @typedef {{ prompt: number, generate: number }} Rates tokens per second, or ratios to another engine's */
/**
 * The part of build/bench.json that docs/bench.json keeps. times: ratios to the peers, by their ids; computed before
 * rounding, and only for one thread.
 * @typedef {Rates & { id: string, engine: string, threads: number, times?: Record<string, Rates> }} Row
 * @typedef {{ cpu: string, cores: number, date: string, repetitions: number,
 *     models: Record<string, { speed: Row[] }> }} Report
 */

const FIGURES = `${root}docs/bench.json`,
    WITH_AMX = `${root}docs/bench-amx.json`,
    CHART = `${root}docs/speed.svg`,
    PAGE = `${root}docs/speed.md`;

/** Engines that the others are compared with. */
const PEERS = ['wllama', 'native', 'no-amx'];
/** How a table says so. @type {Record<string, string>} */
const TIMES = { wllama: 'x wllama', native: 'x native', 'no-amx': 'x native without AMX' };

/** The engines of the chart, from top to bottom. @type {{ id: string, name: string }[]} */
const BARS = [
    { id: 'fast', name: 'nibble, fast' },
    { id: 'exact', name: 'nibble' },
    { id: 'native', name: 'llama.cpp, native' },
    { id: 'wllama', name: 'wllama' },
];

/** @param {Row[]} speed @param {string} id @param {number} threads */
const rowOf = (speed, id, threads) => speed.find((row) => row.id === id && row.threads === threads);

/** @param {Rates} rates @param {number} unit to round to multiples of @param {Rates} [over] to divide by */
const rounded = ({ prompt, generate }, unit, over = { prompt: 1, generate: 1 }) => ({
    prompt: Number((Math.round(prompt / over.prompt / unit) * unit).toFixed(2)),
    generate: Number((Math.round(generate / over.generate / unit) * unit).toFixed(2)),
});

/** @param {Row} row @param {Row[]} speed @returns {Row} */
function figures(row, speed) {
    const { id, engine, threads } = row;
    const peers = PEERS.map((peer) => ({ peer, rates: rowOf(speed, peer, 1) }));
    const times = Object.fromEntries(
        peers.flatMap(({ peer, rates }) => (rates ? [[peer, rounded(row, 0.01, rates)]] : [])),
    );
    return { id, engine, threads, ...rounded(row, 0.1), ...(threads === 1 ? { times } : {}) };
}

/** The figures that docs/bench.json keeps of a run. @param {Report} report @returns {Report} */
export const figuresOf = ({ cpu, cores, date, repetitions, models }) => ({
    cpu,
    cores,
    date: date.slice(0, 10),
    repetitions,
    models: Object.fromEntries(
        Object.entries(models).map(([name, { speed }]) => [name, { speed: speed.map((row) => figures(row, speed)) }]),
    ),
});

/** A table for each model, by its name in lower case. @param {Report} report @param {string} [where] after the name */
export const tablesOf = ({ models }, where = '') =>
    Object.fromEntries(
        Object.entries(models).map(([name, { speed }]) => [name.toLowerCase() + where, speedTable(name, speed)]),
    );

/** The tables of docs/speed.md. @param {Report} report @param {Report} withAmx */
export const allTables = (report, withAmx) => ({ ...tablesOf(report), ...tablesOf(withAmx, ', AMX') });

/** @param {string} model @param {Row[]} speed */
function speedTable(model, speed) {
    const peers = PEERS.filter((peer) => rowOf(speed, peer, 1)),
        hasTwo = speed.some(({ threads }) => threads === 2);
    const cells = (/** @type {Row} */ row, /** @type {'prompt' | 'generate'} */ figure) => [
        row[figure].toFixed(1),
        ...peers.map((peer) => row.times?.[peer]?.[figure].toFixed(2) ?? ''),
    ];
    const other = (/** @type {Row} */ row, /** @type {'prompt' | 'generate'} */ figure) =>
        rowOf(speed, row.id, 2)?.[figure].toFixed(1) ?? '';
    const times = peers.map((peer) => TIMES[peer]);
    return table(
        [
            model,
            ...['prompt', ...times, 'generated', ...times],
            ...(hasTwo ? ['prompt, 2 threads', 'generated, 2 threads'] : []),
        ],
        speed
            .filter(({ threads }) => threads === 1)
            .map((row) => [
                row.engine,
                ...cells(row, 'prompt'),
                ...cells(row, 'generate'),
                ...(hasTwo ? [other(row, 'prompt'), other(row, 'generate')] : []),
            ]),
    );
}

// ---- the chart ------------------------------------------------------------------------------------------------------

const WIDTH = 440, // for phones, too
    LEFT = 132, // where the bars begin
    RIGHT = 52, // room for the figure after the longest bar
    BAR = 16,
    GAP = 5;
const STYLE = `
    .paper { fill: #f5f7f2 } text { fill: #182019; font: 13px system-ui, sans-serif }
    .title { font-weight: 600; font-size: 14px } .soft { fill: #55615a } .end { text-anchor: end }
    .own { fill: #2f6f22 } .peer { fill: #a9b4ad }
    @media (prefers-color-scheme: dark) {
        .paper { fill: #101411 } text { fill: #e6ece6 } .soft { fill: #9aa79d }
        .own { fill: #b0e560 } .peer { fill: #5c6b62 }
    }`;

/** @param {string} text */
const escaped = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');

/** The chart as SVG: for each model, bars of tokens per second with one thread, generating and reading a prompt.
 * @param {Report} report */
export function chartOf({ cpu, date, models }) {
    /** @type {string[]} */
    const parts = [];
    let y = 8;
    const text = (/** @type {string} */ words, x = 8, kind = '') => {
        parts.push(`<text x="${x}" y="${y + 13}"${kind && ` class="${kind}"`}>${escaped(words)}</text>`);
    };
    const line = (/** @type {string} */ words, kind = '') => {
        text(words, 8, kind);
        y += 22;
    };
    for (const [name, { speed }] of Object.entries(models)) {
        line(name, 'title');
        for (const [figure, words] of /** @type {const} */ ([
            ['generate', 'tokens of an answer in a second'],
            ['prompt', 'tokens of a prompt in a second'],
        ])) {
            line(words, 'soft');
            const bars = BARS.flatMap((bar) => {
                const row = rowOf(speed, bar.id, 1); // a run may leave out engines
                return row ? [{ ...bar, rate: row[figure] }] : [];
            });
            const most = Math.max(...bars.map(({ rate }) => rate));
            for (const { id, name: engine, rate } of bars) {
                const width = ((WIDTH - LEFT - RIGHT) * rate) / most,
                    kind = engine.startsWith('nibble') ? 'own' : 'peer';
                text(engine, LEFT - 8, 'end');
                parts.push(
                    `<rect class="${kind}" data-id="${id}" x="${LEFT}" y="${y}" width="${width.toFixed(1)}" ` +
                        `height="${BAR}" rx="2"/>`,
                );
                text(rate.toFixed(rate < 20 ? 1 : 0), LEFT + width + 6);
                y += BAR + GAP;
            }
            y += 8;
        }
        y += 8;
    }
    line('One thread; nibble and wllama in Chromium', 'soft');
    line(`${cpu}, ${date}`, 'soft');
    return (
        `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y + 4}" ` +
        `viewBox="0 0 ${WIDTH} ${y + 4}" role="img" ` +
        `aria-label="Speed of nibble, llama.cpp and wllama">\n<style>${STYLE}\n</style>\n` +
        `<rect class="paper" width="${WIDTH}" height="${y + 4}" rx="8"/>\n${parts.join('\n')}\n</svg>\n`
    );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    const read = (/** @type {string} */ file) => JSON.parse(readFileSync(file, 'utf8'));
    if (process.argv[2]) {
        const report = figuresOf(read(process.argv[2]));
        const hasAmx = Object.values(report.models).some(({ speed }) => rowOf(speed, 'no-amx', 1));
        writeFileSync(hasAmx ? WITH_AMX : FIGURES, `${JSON.stringify(report, null, 2)}\n`);
    }
    writeFileSync(CHART, chartOf(read(FIGURES)));
    writeFileSync(PAGE, insert(readFileSync(PAGE, 'utf8'), allTables(read(FIGURES), read(WITH_AMX)), 'chart.js'));
}
