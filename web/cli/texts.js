/** The commands that write what a model makes of a text or of tokens: tokenize, template, embed, eval. */

import { open as openFile } from 'node:fs/promises';
import { why } from '../errors.js';
import { NibbleError } from '../index.js';
import { open } from './open-model.js';
import { write, writeJson } from './terminal.js';
import { UsageError } from './usage.js';

/** @typedef {import('./usage.js').Command} Command */

/** @type {Command['run']} */
export async function commandEval(args, signal) {
    const { tokens, logits } = args.values;
    const model = await open(args, signal, { contextLength: 1 }); // logits() has a session of its own
    /** @type {import('node:fs/promises').FileHandle | undefined} */
    let file;
    try {
        for await (const rows of model.logits(tokens, { signal })) {
            file ??= await openFile(logits, 'w'); // not before there is something to write
            await file.appendFile(new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength));
        }
    } catch (error) {
        if (error instanceof NibbleError || signal.aborted) throw error;
        throw new NibbleError('NB_ERR_FILE', `cannot write ${logits}: ${why(error)}`, { cause: error });
    } finally {
        await file?.close();
    }
    await model.dispose();
}

/** @type {Command['run']} */
export async function commandTokenize(args, signal) {
    const model = await open(args, signal, { headerOnly: true });
    const { text, special, bare } = args.values;
    writeJson(await model.tokenize(text, { special, bare, signal }));
    await model.dispose();
}

/** @type {Command['run']} */
export async function commandTemplate(args, signal) {
    const { messages, noAnswer, json, tools, documents, templateVariables } = args.values;
    const model = await open(args, signal, { headerOnly: true });
    const prompt = await model.applyTemplate(messages, {
        addGenerationPrompt: !noAnswer,
        tools,
        documents,
        templateVariables,
        signal,
    });
    if (json) writeJson(prompt);
    else write(`${prompt.text}\n`);
    await model.dispose();
}

/** @type {Command['run']} */
export async function commandEmbed(args, signal) {
    const { text, tokens, pooling, prompt, promptName } = args.values;
    if ((text === undefined) === (tokens === undefined))
        throw new UsageError('either --text or --tokens is needed', 'embed');
    if (tokens !== undefined && (prompt ?? promptName) !== undefined)
        throw new UsageError('--prompt and --prompt-name go with --text', 'embed');
    if (prompt !== undefined && promptName !== undefined)
        throw new UsageError('--prompt and --prompt-name exclude each other', 'embed');
    const model = await open(args, signal);
    writeJson(Array.from(await model.embed(text ?? tokens, { pooling, prompt, promptName, signal })));
    await model.dispose();
}
