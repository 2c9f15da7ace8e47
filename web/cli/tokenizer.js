/**
 * `nibble tokenizer`: trains a tokenizer on texts, and writes it as a tokenizer.json. Beside a file of that name it
 * writes a tokenizer_config.json, so that transformers and nibble read the folder.
 */
import { basename, dirname, join } from 'node:path';
import { isDebugAsked } from '../debug.js';
import { trainTokenizer } from '../index.js';
import { TOKENIZER_OPTIONS } from '../tokenizer-options.js';
import { checkOut, checkWritable, placeToRead, writeWhole } from './files.js';
import { inTime, pick, printLine } from './open-model.js';
import { oneLine, write, writeJson, writeStatus } from './terminal.js';
import { checkEnd, tokenizerConfig, withEnd } from './trained-tokenizer.js';

/** @typedef {import('../index.d.ts').TokenizerProgress} TokenizerProgress */

/** @type {import('./usage.js').Command['run']} */
export async function commandTokenizer({ values }, signal) {
    const { data, output, end, special = [], force, json } = values,
        config = basename(output) === 'tokenizer.json' ? join(dirname(output), 'tokenizer_config.json') : undefined,
        began = performance.now();
    checkEnd(end);
    for (const file of [output, config])
        if (file !== undefined) {
            await checkOut(file, ['.json'], force, data);
            await checkWritable(file);
        }
    const trained = await trainTokenizer(data.map(placeToRead), {
        ...pick(TOKENIZER_OPTIONS, values),
        vocabulary: values.vocabulary,
        special: end === undefined ? special : [end, ...special],
        signal,
        onProgress: process.stderr.isTTY ? show : undefined,
        debug: isDebugAsked() && printLine,
    }).finally(() => process.stderr.isTTY && writeStatus(''));
    const { json: text, ...facts } = trained;
    await writeWhole(bytesOf(withEnd(text, end)), output, force);
    if (config !== undefined) await writeWhole(bytesOf(tokenizerConfig(end)), config, force);
    if (facts.brokenBytes > 0)
        write(
            `nibble: ${facts.brokenBytes.toLocaleString('en')} bytes of the text are not UTF-8; they were used ` +
                'as they are\n',
            process.stderr,
        );
    const seconds = (performance.now() - began) / 1000;
    if (json) writeJson({ output, ...facts, seconds });
    else write(summaryOf(output, facts, values.vocabulary, seconds));
}

/** @param {string} text */
async function* bytesOf(text) {
    yield new TextEncoder().encode(text);
}

/** @param {TokenizerProgress} progress */
function show({ doing, done, total, secondsLeft }) {
    const left = secondsLeft === null ? '' : `, ${inTime(secondsLeft)} left`;
    if (doing === 'merging') return writeStatus(`Merging: ${done} of ${total} tokens${left}`);
    const mb = (/** @type {number} */ bytes) => (bytes / 1e6).toFixed(1);
    return writeStatus(`Reading: ${mb(done)} MB${total ? ` of ${mb(total)} MB` : ''}${left}`);
}

/**
 * @param {string} output
 * @param {Omit<import('../index.d.ts').TrainedTokenizer, 'json'>} facts
 * @param {number} wanted
 * @param {number} seconds
 */
function summaryOf(output, { tokens, merges, words, differentWords }, wanted, seconds) {
    const number = (/** @type {number} */ n) => n.toLocaleString('en'),
        fewer = tokens < wanted ? ` (${number(wanted)} were asked for, and no pair is left to merge)` : '';
    return (
        `${oneLine(output)}: ${number(tokens)} tokens${fewer}, ${number(merges)} merges, of ${number(words)} words, ` +
        `${number(differentWords)} of them different, ${seconds.toFixed(1)} s\n`
    );
}
