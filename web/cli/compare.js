/** `nibble compare`: what quantized models lose against the model that they were made of. */
import { realpath } from 'node:fs/promises';
import { compare } from '../index.js';
import { COMPARE_OPTIONS } from '../options.js';
import { comparisonPage } from '../report/page.js';
import { tableOf } from '../report/table.js';
import { checkOut, writeWhole } from './files.js';
import { inTime, pick } from './open-model.js';
import { readReportScript } from './report-script.js';
import { oneLine, write, writeJson, writeStatus } from './terminal.js';
import { readText } from './text-file.js';
import { UsageError } from './usage.js';

/** @type {import('./usage.js').Command['run']} */
export async function commandCompare({ model, others = [], values }, signal) {
    const { file, html, force, json } = values,
        models = [model, ...others];
    await checkTwice(models);
    if (html !== undefined) await checkOut(html, ['.html', '.htm'], force, [...models, file]);
    const text = await readText('--file', file);
    const { stderr } = process;
    /** @type {import('../index.d.ts').Comparison | undefined} */
    let result;
    const measure = async () => {
        try {
            result = await compare(models, {
                ...pick(COMPARE_OPTIONS, values),
                text,
                signal,
                onProgress: stderr.isTTY ? showProgress : undefined,
            });
            return result;
        } finally {
            if (stderr.isTTY) writeStatus('');
        }
    };
    try {
        if (html === undefined) await measure();
        else await writeWhole(pageOf(measure, await readReportScript()), html, force);
    } finally {
        // measuring took long: print the figures even if the page cannot be written
        if (result && json) writeJson(result);
        else if (result) write(summaryOf(result));
    }
}

/**
 * @param {() => Promise<import('../index.d.ts').Comparison>} measure
 * @param {Awaited<ReturnType<typeof readReportScript>>} script
 */
async function* pageOf(measure, script) {
    yield new TextEncoder().encode(await comparisonPage(await measure(), script));
}

/** Refuses a model that is given twice, even by another path. @param {string[]} models */
async function checkTwice(models) {
    const paths = await Promise.all(models.map((path) => realpath(path).catch(() => path)));
    const twice = paths.findIndex((path, i) => paths.indexOf(path) < i);
    if (twice >= 0) throw new UsageError(`${models[twice]} is given twice`);
}

const DOING = { loading: 'loading', speed: 'measuring its speed', text: 'comparing', weights: 'comparing its weights' };

/** @param {import('../index.d.ts').CompareProgress} progress */
function showProgress({ model, doing, done, total, secondsLeft }) {
    const share = total > 0 ? `${Math.floor((done / total) * 100)} %, ` : '';
    const left = secondsLeft === null ? '' : `, ${inTime(secondsLeft)} left`;
    writeStatus(`${share}${model}: ${DOING[doing]}${left}`);
}

/** @param {import('../index.d.ts').Comparison} result */
function summaryOf(result) {
    const table = tableOf(result),
        rows = [table.names, ...table.rows].map((row) => row.map((cell) => oneLine(cell)));
    const widths = table.names.map((_, i) => Math.max(...rows.map((row) => row[i].length)));
    const lines = rows.map((row) =>
        row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  '),
    );
    const { tokens, windows, context } = result;
    return `${lines.join('\n')}\n${tokens} tokens compared, in ${windows} ${
        windows === 1 ? 'window' : 'windows'
    } of ${context}; KL divergence in nats\n`;
}
