/** The command rerank. */

import { RERANK_OPTIONS } from '../options.js';
import { open, pick } from './open-model.js';
import { write, writeJson, writeStatus } from './terminal.js';
import { readText } from './text-file.js';
import { UsageError } from './usage.js';

/** Characters of a document that a line shows. */
const SHOWN = 100;

/** @type {import('./usage.js').Command['run']} */
export async function commandRerank(args, signal) {
    const { query, lines, json } = args.values,
        files = args.others ?? [];
    if (files.length === 0) throw new UsageError('which documents? Give their files after the model');
    if (query.trim() === '') throw new UsageError('--query is empty');
    const texts = await Promise.all(files.map((file) => readText('FILE', file)));
    const documents = lines ? texts.flatMap((text) => text.split(/\r?\n/).filter((line) => line.trim() !== '')) : texts;
    const model = await open(args, signal);
    const { stderr } = process;
    try {
        const results = await model.rerank(query, documents, {
            ...pick(RERANK_OPTIONS, args.values),
            signal,
            onProgress: stderr.isTTY
                ? ({ done, total }) => writeStatus(`Reading ${done} of ${total} documents`)
                : undefined,
        });
        if (stderr.isTTY) writeStatus('');
        const named = results.map(({ document, ...rest }) => ({
            ...rest,
            ...(lines ? { document } : { file: files[rest.index] }),
        }));
        if (json) return writeJson(named);
        for (const { index, relevance, document } of results)
            write(`${relevance.toFixed(4)}  ${lines ? document.slice(0, SHOWN) : files[index]}\n`);
    } finally {
        await model.dispose();
    }
}
