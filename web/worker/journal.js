/**
 * What happens in the engine's worker, and when: the lines of load()'s option `debug`. Without that option there is
 * no journal, so nobody makes a line: it is written `journal?.(...)`.
 */

/** Logs a line. @typedef {(line: string) => void} Journal */

/** ms between two lines of a load's progress. */
const PERIOD = 100;

/**
 * A journal whose lines begin with the time since it was opened.
 * @param {(line: string) => void} send
 * @returns {Journal}
 */
export function openJournal(send) {
    const time = stopwatch();
    return (line) => send(`[${time()}] ${line}`);
}

/** The time since now, as text. @returns {() => string} */
export function stopwatch() {
    const began = performance.now();
    return () => inMs(performance.now() - began);
}

/** @param {number} ms */
export const inMs = (ms) => `${ms.toFixed(1)} ms`;

/** @param {number} bytes 0: unknown */
export const inBytes = (bytes) => (bytes ? `${bytes.toLocaleString('en')} bytes` : 'an unknown number of bytes');

/** @param {number | null} rate tokens per second */
export const inTokens = (rate) => (rate === null ? '' : `, ${rate} tokens/s`);

/**
 * A source in words.
 * @param {import('../sources/open.js').Source} source
 * @returns {string}
 */
export function nameOf(source) {
    switch (source.kind) {
        case 'url':
            return source.url.slice(0, 200);
        case 'path':
            return source.path;
        case 'blob':
            return `a file of ${inBytes(source.blob.size)}`;
        case 'port':
            return `a stream of ${inBytes(source.total)}`;
        case 'files':
            return `${source.files.length} files: ${source.files
                .slice(0, 5)
                .map(({ name }) => name)
                .join(', ')}`;
    }
}

/**
 * Logs the header's end, and from time to time the current tensor.
 * @param {Journal} journal
 * @param {() => string} tensor the name of the current tensor; '' for none
 */
export function weightsWatch(journal, tensor) {
    let header = true,
        last = -Infinity;
    const began = performance.now(),
        time = stopwatch();
    return {
        /** @param {number} loaded @param {number} total */
        tick(loaded, total) {
            const now = performance.now(),
                name = tensor();
            if (header && name) journal(`header: all of it is in the first ${inBytes(loaded)}, after ${time()}`);
            header &&= !name;
            if (header || !name || now - last < PERIOD) return;
            last = now;
            journal(`weights: ${inBytes(loaded)} of ${inBytes(total)}, tensor ${name}`);
        },
        /** @param {number} loaded @param {boolean} all whether the load succeeded */
        end(loaded, all) {
            const name = tensor();
            const rate = loaded / 1000 / (performance.now() - began); // bytes per ms are KB per second
            journal(
                all
                    ? `file: ${inBytes(loaded)} in ${time()}, ${rate.toFixed(1)} MB/s`
                    : `file: it failed after ${inBytes(loaded)}, ${name ? `at tensor ${name}` : 'before its weights'}`,
            );
        },
    };
}

/**
 * What the engine's worker says of a request that was answered.
 * @type {{ [Type in import('../protocol.js').RequestType]: (ask: import('../protocol.js').Ask<Type>,
 *     answer: import('../protocol.js').AnswerOf<Type>) => string }}
 */
export const SUMMARIES = {
    load: (_, { architecture, tensors, types, memoryBytes }) =>
        `load: ${architecture}, ${tensors.length} tensors (${types
            .map(({ type, tensors }) => `${type} ${tensors}`)
            .join(', ')}), ${inBytes(memoryBytes)} of memory`,
    generate: ({ what }, { promptTokens, tokens, finishReason }) =>
        `${what}: ${promptTokens} tokens of prompt, ${tokens.length} generated, ${finishReason}`,
    quantize: () => 'quantize: all was read',
    mix: (_, { tensors, type }) => `mix: ${tensors.length} matrices have their types, most of them as in ${type}`,
    evaluate: ({ tokens }) => `logits: ${tokens.length} tokens`,
    embed: (_, { vector }) => `embed: a vector of ${vector.length}`,
    rerank: ({ documents }, { tokens }) => `rerank: ${documents.length} documents, ${tokens} tokens`,
    perplexity: (_, { perplexity, tokens, windows }) =>
        `perplexity: ${perplexity} of ${tokens} tokens in ${windows} windows`,
    importance: (_, { bytes, windows }) => `importance matrix: ${windows} windows, ${inBytes(bytes.length)}`,
    compareBegin: (_, { tokens, windows }) => `compare: ${tokens.length} tokens in ${windows} windows`,
    compareNext: (_, rows) => `compare: ${rows ? `${rows.rows} rows of logits` : 'the text is over'}`,
    compareRows: ({ rows }) => `compare: ${rows.rows} rows of logits were compared`,
    compareMatrices: (_, { matrices }) => `compare: ${matrices.length} matrices`,
    compareTake: (_, weights) => `compare: ${weights.length} weights`,
    compareWeights: ({ base }) => `compare: ${base.weights.length} weights were compared`,
    template: ({ messages }, { text, tokens }) =>
        `template: ${messages.length} messages, ${text.length} characters, ${tokens.length} tokens`,
    tokenize: ({ text }, tokens) => `tokenize: ${text.length} characters, ${tokens.length} tokens`,
    detokenize: ({ tokens }, text) => `detokenize: ${tokens.length} tokens, ${text.length} characters`,
    save: (_, bytes) => `save: ${inBytes(bytes.length)}`,
    restore: ({ bytes }, tokens) => `restore: ${tokens.length} tokens of ${inBytes(bytes.length)}`,
    addAdapter: ({ name }, { adapters }) =>
        `adapter: ${JSON.stringify(name)}, ${inBytes(adapters.find((each) => each.name === name)?.bytes ?? 0)} of memory`,
    setAdapters: ({ adapters }) => `adapters: ${adapters.length} are chosen`,
    removeAdapter: ({ name }) => `adapter: ${JSON.stringify(name)} is removed`,
    tokensOfTexts: ({ texts }) => `tokens of ${texts.length} texts`,
    trainOpen: (_, { parameters, sequences }) => `train: ${parameters} parameters, ${sequences} sequences`,
    trainStep: (_, { step, loss }) => `train: step ${step}, loss ${loss}`,
    trainSave: (_, bytes) => `train: a checkpoint of ${inBytes(bytes.length)}`,
    trainWrite: () => 'train: the model was read',
    trainTokenizer: (_, { tokens, merges }) => `tokenizer: ${tokens} tokens, ${merges} merges`,
    idle: () => 'idle',
    close: () => 'dispose',
};
