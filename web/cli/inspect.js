/** `nibble inspect`: what is in a model's files. */
import { bitsPerWeight, describeSimulated, simulatedOf } from '../simulated.js';
import { open } from './open-model.js';
import { oneLine, write, writeJson } from './terminal.js';

/** @typedef {import('./usage.js').Command} Command */

/** @type {Command['run']} */
export async function commandInspect(args, signal) {
    const model = await open(args, signal, { headerOnly: true });
    // leaves out how the header was read: the question is about the file
    const { build, threads, contextLength, parallel, memoryBytes, sessionBytes, loadMs, ...file } = model.info;
    await model.dispose();
    if (args.values.json) writeJson(file);
    else write(table(file, args.values.contextLength ?? Math.min(file.context || 4096, 4096)));
}

/**
 * @param {Omit<import('../index.d.ts').ModelInfo,
 *     'build' | 'threads' | 'contextLength' | 'parallel' | 'memoryBytes' | 'sessionBytes' | 'loadMs' | 'draft'>} file
 * @param {number} context tokens
 */
function table(file, context) {
    const number = (/** @type {number | undefined} */ value) => value?.toLocaleString('en');
    const { tokenizer: t, types } = file;
    const simulated = simulatedOf(file);
    const weights = types.reduce((sum, { bytes }) => sum + bytes, 0),
        cache = context * (file.kvBytesPerToken ?? 0);
    const megabytes = (/** @type {number} */ bytes) => `${number(Math.ceil(bytes / 1e6))} MB`;
    /** @type {[string, string | undefined][]} */
    const rows = [
        ['name', file.name],
        ['format', file.version ? `${file.format} ${file.version}` : file.format],
        ['architecture', file.architecture],
        ['file size', `${number(file.bytes)} bytes`],
        ['parameters', number(file.parameters)],
        [
            'simulated',
            simulated &&
                `${describeSimulated(simulated)}: the weights are ${simulated.type} numbers of a grid, with whose codes ` +
                    `the file would have ${bitsPerWeight(file).toFixed(2)} bits per weight`,
        ],
        ['cannot run', file.unsupported],
        ['layers', number(file.layers)],
        [
            'width',
            file.width === undefined ? undefined : `${number(file.width)}, feed-forward ${number(file.feedForward)}`,
        ],
        [
            'heads',
            file.heads === undefined
                ? undefined
                : `${file.heads}, for keys and values ${file.kvHeads}, size ${file.headSize}`,
        ],
        [
            'context',
            file.context === undefined
                ? undefined
                : `${number(file.context)} tokens, window ${number(file.window) ?? 'all'}, ` +
                  `${number(file.kvBytesPerToken)} bytes of cache each`,
        ],
        [
            'memory',
            file.kvBytesPerToken === undefined
                ? undefined
                : `${megabytes(weights + cache)} at ${number(context)} tokens: weights ${megabytes(weights)}, ` +
                  `cache ${megabytes(cache)}; and some for buffers`,
        ],
        ['tokenizer', t && `${t.kind}${t.pre ? ` (${t.pre})` : ''}, ${number(t.size)} tokens`],
        [
            'begin, end',
            t &&
                [
                    [t.begin, t.beginText],
                    [t.end, t.endText],
                ]
                    .map(([id, text]) => (id === -1 ? 'none' : `${id} ${text}`))
                    .join(', '),
        ],
        [
            'chat',
            file.chatTemplate
                ? 'has a template'
                : file.encoder
                  ? 'none: it embeds texts'
                  : 'no template: continues text',
        ],
        [
            'inputs',
            file.metadata['nibble.rounded_inputs'] === true
                ? "rounded by other programs (quantization_config's input_activations); nibble's are finer"
                : undefined,
        ],
        ...types.map(
            ({ type, tensors, bytes, share }, i) =>
                /** @type {[string, string]} */ ([
                    i ? '' : 'tensors',
                    `${type.padEnd(6)} ${String(tensors).padStart(4)} tensors ${String(number(bytes)).padStart(15)} bytes ` +
                        `${(share * 100).toFixed(1).padStart(5)} %`,
                ]),
        ),
    ];
    return rows.map(([key, value]) => (value === undefined ? '' : `${key.padEnd(14)}${oneLine(value)}\n`)).join('');
}
