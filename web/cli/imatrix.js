/** `nibble imatrix`: an importance matrix of a model over a text, for quantizers. */
import { basename } from 'node:path';
import { checkOut, writeWhole } from './files.js';
import { oneLine, write, writeJson } from './terminal.js';
import { withText } from './text-file.js';

/** @type {import('./usage.js').Command['run']} */
export async function commandImatrix(args, signal) {
    const { file, output, context: wanted, force, json } = args.values;
    await checkOut(output, ['.gguf', '.dat'], force, [args.model, file, args.values.imatrix]);
    const format = /\.dat$/i.test(output) ? 'dat' : 'gguf';
    const collect = () =>
        withText(args, signal, 'Collecting', (model, text, course) =>
            model.importanceMatrix(text, { context: wanted, format, textName: basename(file), ...course }),
        );
    /** @type {Awaited<ReturnType<typeof collect>> | undefined} */
    let result;
    const pieces = async function* () {
        result = await collect();
        yield result.bytes;
    };
    await writeWhole(pieces(), output, force);
    const { bytes, ...facts } = /** @type {NonNullable<typeof result>} */ (result),
        { tokens, windows, context } = facts;
    if (json) writeJson({ output, format, bytes: bytes.length, ...facts });
    else
        write(
            `${oneLine(output)}: ${bytes.length.toLocaleString('en')} bytes, from ${tokens} tokens in ${windows} ${
                windows === 1 ? 'window' : 'windows'
            } of ${context}\n`,
        );
}
