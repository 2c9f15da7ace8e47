/**
 * `nibble compare`: what quantized models lose against the model that they were made of. Models that embed texts are
 * compared by their vectors of passages, others by the next token.
 */
import { realpath } from 'node:fs/promises';
import { compare, compareEmbeddings, load } from '../index.js';
import { COMPARE_OPTIONS, EMBEDDING_COMPARE_OPTIONS } from '../options.js';
import { comparisonPage } from '../report/page.js';
import { isOfEmbeddings, tableOf } from '../report/table.js';
import { checkOut, writeWhole } from './files.js';
import { inTime, pick } from './open-model.js';
import { readReportScript } from './report-script.js';
import { oneLine, write, writeJson, writeStatus } from './terminal.js';
import { readText } from './text-file.js';
import { UsageError } from './usage.js';

/** @typedef {import('../index.d.ts').Comparison | import('../index.d.ts').EmbeddingComparison} Result */

/** @type {import('./usage.js').Command['run']} */
export async function commandCompare({ model, others = [], values }, signal) {
    const { file, html, force, json } = values,
        models = [model, ...others];
    await checkTwice(models);
    if (html !== undefined) await checkOut(html, ['.html', '.htm'], force, [...models, file]);
    const text = await readText('--file', file);
    const { stderr } = process;
    /** @type {Result | undefined} */
    let result;
    const measure = async () => {
        const isOfTexts = values.embeddings || (await onlyEmbeds(model, signal)),
            others = isOfTexts ? COMPARE_OPTIONS : EMBEDDING_COMPARE_OPTIONS,
            own = isOfTexts ? EMBEDDING_COMPARE_OPTIONS : COMPARE_OPTIONS;
        const wrong = Object.entries(others).find(
            ([name, option]) => !(name in own) && values[name] !== option.default,
        );
        if (wrong)
            throw new UsageError(
                `--${wrong[1].flag} is not for ${isOfTexts ? 'embeddings' : 'models that predict the next token'}`,
            );
        const options = { text, signal, onProgress: stderr.isTTY ? showProgress : undefined };
        try {
            result = isOfTexts
                ? await compareEmbeddings(models, { ...pick(EMBEDDING_COMPARE_OPTIONS, values), ...options })
                : await compare(models, { ...pick(COMPARE_OPTIONS, values), ...options });
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
 * Whether a model embeds texts, and predicts no tokens. If it cannot be read, compare() will say why.
 * @param {string} path
 * @param {AbortSignal} [signal]
 */
async function onlyEmbeds(path, signal) {
    const model = await load(path, { headerOnly: true, signal }).catch(() => undefined);
    await model?.dispose();
    return model?.info.encoder === true || model?.info.causal === false;
}

/**
 * @param {() => Promise<Result>} measure
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

/** @param {Result} result */
function summaryOf(result) {
    const table = tableOf(result),
        rows = [table.names, ...table.rows].map((row) => row.map((cell) => oneLine(cell)));
    const widths = table.names.map((_, i) => Math.max(...rows.map((row) => row[i].length)));
    const lines = rows.map((row) =>
        row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  '),
    );
    if (isOfEmbeddings(result))
        return `${lines.join('\n')}\n${result.passages} passages compared, with ${result.tokens} tokens\n`;
    const { tokens, windows, context } = result;
    return `${lines.join('\n')}\n${tokens} tokens compared, in ${windows} ${
        windows === 1 ? 'window' : 'windows'
    } of ${context}; KL divergence in nats\n`;
}
