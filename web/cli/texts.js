/** The commands tokenize, template, embed and eval. */

import { TEMPLATE_OPTIONS } from '../options.js';
import { checkPlace, writeWhole } from './files.js';
import { open, pick } from './open-model.js';
import { write, writeJson } from './terminal.js';
import { UsageError } from './usage.js';

/** @typedef {import('./usage.js').Command} Command */

/** @type {Command['run']} */
export async function commandEval(args, signal) {
    const { tokens, logits, imatrix } = args.values;
    await checkPlace(logits, [args.model, imatrix]);
    const pieces = async function* () {
        const model = await open(args, signal, { contextLength: 1 }); // logits() has a session of its own
        for await (const rows of model.logits(tokens, { signal }))
            yield new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
        await model.dispose();
    };
    await writeWhole(pieces(), logits, true);
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
    const { messages, json } = args.values;
    const model = await open(args, signal, { headerOnly: true });
    const prompt = await model.applyTemplate(messages, { ...pick(TEMPLATE_OPTIONS, args.values), signal });
    if (json) writeJson(prompt);
    else write(`${prompt.text}\n`);
    await model.dispose();
}

/** @type {Command['run']} */
export async function commandEmbed(args, signal) {
    const { text, tokens, pooling, prompt, promptName } = args.values;
    if ((text === undefined) === (tokens === undefined)) throw new UsageError('either --text or --tokens is needed');
    if (tokens !== undefined && (prompt ?? promptName) !== undefined)
        throw new UsageError('--prompt and --prompt-name go with --text');
    if (prompt !== undefined && promptName !== undefined)
        throw new UsageError('--prompt and --prompt-name exclude each other');
    const model = await open(args, signal);
    writeJson(Array.from(await model.embed(text ?? tokens, { pooling, prompt, promptName, signal })));
    await model.dispose();
}
