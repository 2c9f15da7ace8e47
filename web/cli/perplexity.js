/** `nibble perplexity`: how well a model knows a text. */
import { PERPLEXITY_OPTIONS } from '../options.js';
import { pick } from './open-model.js';
import { write, writeJson } from './terminal.js';
import { withText } from './text-file.js';

/** @type {import('./usage.js').Command['run']} */
export async function commandPerplexity(args, signal) {
    const result = await withText(args, signal, 'Measuring', (model, text, course) =>
        model.perplexity(text, { ...pick(PERPLEXITY_OPTIONS, args.values), ...course }),
    );
    const { perplexity, standardError, tokens, windows, context } = result;
    if (args.values.json) writeJson(result);
    else
        write(
            `perplexity ${perplexity.toFixed(4)} +/- ${standardError.toFixed(4)} (${tokens} tokens scored, in ${windows} ${
                windows === 1 ? 'window' : 'windows'
            } of ${context})\n`,
        );
}
