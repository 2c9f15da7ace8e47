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
import { UsageError } from './usage.js';
import { readText } from './walk.js';

/** @type {import('./usage.js').Command['run']} */
export async function commandCompare({ model, others = [], values }, signal) {
    const { file, html, force, json, noWeights, noSpeed } = values,
        models = [model, ...others];
    await checkTwice(models);
    if (html !== undefined) await checkOut('compare', html, ['.html', '.htm'], force, [...models, file]);
    const text = await readText('--file', file);
    const { stderr } = process;
    let result;
    try {
        result = await compare(models, {
            ...pick(COMPARE_OPTIONS, values),
            weights: !noWeights,
            speed: !noSpeed,
            text,
            signal,
            onProgress: stderr.isTTY ? showProgress : undefined,
        });
    } finally {
        if (stderr.isTTY) writeStatus('');
    }
    if (html !== undefined) {
        const page = await comparisonPage(result, await readReportScript());
        await writeWhole(
            (async function* () {
                yield new TextEncoder().encode(page);
            })(),
            html,
            force,
        );
    }
    if (json) writeJson(result);
    else write(told(result));
}

/** By the files that paths lead to. @param {string[]} models */
async function checkTwice(models) {
    const paths = await Promise.all(models.map((path) => realpath(path).catch(() => path)));
    const twice = paths.findIndex((path, i) => paths.indexOf(path) < i);
    if (twice >= 0) throw new UsageError(`${models[twice]} is given twice`, 'compare');
}

const DOING = { loading: 'loading', speed: 'measuring its speed', text: 'comparing', weights: 'comparing its weights' };

/** @param {import('../index.d.ts').CompareProgress} progress */
function showProgress({ model, doing, done, total, secondsLeft }) {
    const share = total > 0 ? `${Math.floor((done / total) * 100)} %, ` : '';
    const left = secondsLeft === null ? '' : `, ${inTime(secondsLeft)} left`;
    writeStatus(`${share}${model}: ${DOING[doing]}${left}`);
}

/** @param {import('../index.d.ts').Comparison} result */
function told(result) {
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
