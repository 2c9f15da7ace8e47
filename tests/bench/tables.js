// The results as Markdown tables with aligned columns.
import { GENERATE } from '../../demo/bench-work.js';

/** The first column is text and aligned left, the others are figures, unless `left` has their titles.
 * @param {string[]} head @param {string[][]} rows @param {string[]} [left] */
export function table(head, rows, left = []) {
    const widths = head.map((title, i) => Math.max(3, title.length, ...rows.map((row) => row[i].length)));
    const isText = head.map((title, i) => i === 0 || left.includes(title));
    const line = (/** @type {string[]} */ cells) =>
        `| ${cells.map((cell, i) => (isText[i] ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(' | ')} |`;
    const rule = `|${widths.map((width, i) => `${'-'.repeat(width + 1)}${isText[i] ? '-' : ':'}`).join('|')}|`;
    return [line(head), rule, ...rows.map(line)].join('\n');
}

const threadsOf = (/** @type {number} */ n) => `${n} thread${n === 1 ? '' : 's'}`;
const ms = (/** @type {number} */ n) => (n < 1000 ? `${n.toFixed(0)} ms` : `${(n / 1000).toFixed(2)} s`);
const mb = (/** @type {number} */ bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

/** @param {string} model @param {import('./rates.js').Row[]} rows @param {number} repetitions */
export function speedTable(model, rows, repetitions) {
    const rate = (/** @type {import('./rates.js').Row} */ row, /** @type {'prompt' | 'generate'} */ figure) => {
        const times = ['wllama', 'native']
            .map((id) => rows.find((peer) => peer.id === id))
            .map((peer) => (peer ? (row[figure] / peer[figure]).toFixed(2) : ''));
        return [row[figure].toFixed(1), ...times];
    };
    const tokens = [...new Set(rows.map((row) => row.promptTokens))].join(' or ');
    return (
        `${model}, ${threadsOf(rows[0].threads)}, ${tokens} prompt tokens, ${GENERATE} generated, ` +
        `medians of ${repetitions}; tokens per second:\n${table(
            ['engine', 'prompt', 'x wllama', 'x native', 'generate', 'x wllama', 'x native', 'first token', 'build'],
            rows.map((row) => [
                row.engine,
                ...rate(row, 'prompt'),
                ...rate(row, 'generate'),
                ms(row.firstMs),
                row.about,
            ]),
            ['build'],
        )}`
    );
}

/** @param {string} model @param {{ length: number, prompt: number, generate: number | null }[]} lengths */
export const lengthsTable = (model, lengths) =>
    `${model}, nibble in Chromium, 1 thread; tokens per second:\n${table(
        ['prompt of', 'prompt', 'generate after it'],
        lengths.map(({ length, prompt, generate }) => [
            `${length} tokens`,
            prompt.toFixed(1),
            generate?.toFixed(1) ?? '',
        ]),
    )}`;

/** @param {string} model @param {import('./rates.js').CoresRow[]} rows the first is that of one thread */
export const coresTable = (model, rows) =>
    `${model}, nibble in Chromium, what the cores give; tokens/s:\n${table(
        ['', 'prompt', 'x 1 thread', 'generate', 'x 1 thread'],
        rows.map(({ name, prompt, generate }) => [
            name,
            prompt.toFixed(1),
            (prompt / rows[0].prompt).toFixed(2),
            generate.toFixed(1),
            (generate / rows[0].generate).toFixed(2),
        ]),
    )}`;

/** @param {string} model @param {import('./rates.js').Meeting[]} meetings */
export const meetingTable = (model, meetings) =>
    `${model}, nibble in Chromium, generating with 2 threads / 1, by the round-trip time between cores:\n${table(
        ['precision', 'round trip', '2 threads / 1'],
        meetings.map(({ precision, from, to, ratio }) => [
            precision,
            `${from.toFixed(0)} to ${to.toFixed(0)} ns`,
            ratio.toFixed(2),
        ]),
    )}`;

/** @param {string} model @param {NonNullable<import('./goals.js').Results['loading']>} loading @param {number} cores */
export function loadingTable(model, { ms: of, memoryBytes, weightBytes, sessionBytes, heapBytes }, cores) {
    const rows = [
        ['bare fetch, in a worker', of.fetch, of.fetch],
        ['the same, kept in memory', of.keptFetch, of.fetch],
        ['nibble, 1 thread', of.nibble, of.fetch],
        [`nibble, ${threadsOf(cores)}`, of.threads, of.fetch],
        ['wllama', of.wllama, of.fetch],
        ["the demo's cache, only read", of.cachedFetch, of.cachedFetch],
        ['read and kept in memory', of.keptCachedFetch, of.cachedFetch],
        ['nibble, from the cache', of.cached, of.cachedFetch],
    ].map(([way, time, base]) => [String(way), ms(Number(time)), (Number(time) / Number(base)).toFixed(2)]);
    return (
        `${model}, loading in Chromium:\n${table(['way', 'time', 'x fetch'], rows)}\n` +
        `Linear memory ${mb(memoryBytes)} = weights ${mb(weightBytes)} + KV cache and scratch ${mb(sessionBytes)} + ` +
        `${mb(memoryBytes - weightBytes - sessionBytes)} for the rest; ` +
        `JavaScript heap at its peak ${mb(heapBytes)}.`
    );
}

/** @param {string} model @param {import('./goals.js').Goal[]} goals */
export const goalsTable = (model, goals) =>
    `${model}, the goals:\n${table(
        ['ratio', 'goal', 'measured', ''],
        goals.map(({ goal, wanted, atMost, measured, met }) => [
            goal,
            `${atMost ? '<=' : '>='} ${wanted}`,
            measured.toFixed(2),
            met ? 'met' : 'missed',
        ]),
        [''],
    )}`;
