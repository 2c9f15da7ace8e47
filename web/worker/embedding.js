/** Texts -> vectors, by a model that was loaded for it or by any other. */
import { NB_TOKENIZE_ADD_SPECIAL, NB_TOKENIZE_BARE, POOLINGS } from '../abi.js';
import { NibbleError } from '../errors.js';
import { notOfIntegers } from './integer-core.js';
import { Slice } from './pace.js';

/** @typedef {import('./engine.js').Engine} Engine */

/** What the description of every model that can run has. @param {Engine} engine */
const embeddingOf = (engine) =>
    /** @type {NonNullable<import('./engine.js').Description['embedding']>} */ (engine.description.embedding);

/**
 * A text's embedding, and of how many tokens it is made.
 * @param {Engine} engine
 * @param {string | number[]} input text or tokens
 * @param {import('../options.js').CheckedEmbed} options
 * @param {import('./engine.js').Job} job
 * @returns {Promise<import('../protocol.js').Embedded | undefined>}
 */
export async function embed(engine, input, { pooling, prompt, promptName }, job) {
    engine.needSession();
    if (!engine.description.embedding) throw notOfIntegers();
    if (pooling === 'file' && embeddingOf(engine).scores)
        throw new NibbleError(
            'NB_ERR_UNSUPPORTED',
            'embed(): this model is a reranker, whose head gives scores and no embedding; use rerank() (on the command ' +
                'line: nibble rerank), or say with pooling how to pool the vectors of its tokens',
        );
    const { core, model } = engine;
    const text = typeof input === 'string',
        before = text ? (prompt ?? promptOf(engine, promptName)) : '';
    const tokens = text ? textTokens(engine, before + input) : input;
    engine.checkTokens(tokens);
    const unpooled = before !== '' && !embeddingOf(engine).includePrompt ? promptLength(engine, before) : 0;
    const size = pooling === 'file' ? core.exports.nb_model_embedding_size(model) : core.exports.nb_model_width(model);
    const out = core.allocate(4 * (size + tokens.length), 'the embedding'),
        slice = new Slice();
    try {
        core.ints(out + 4 * size, tokens.length).set(tokens);
        engine.prepare(tokens, engine.adapters.chosen); // the session is that of conversations
        for (let done = 0; ; ) {
            done = core.count(
                'nb_session_embed',
                engine.session,
                out + 4 * size,
                tokens.length,
                done,
                unpooled,
                0,
                POOLINGS[pooling],
                out,
            );
            if (done === tokens.length) return { vector: core.floats(out, size).slice(), tokens: tokens.length };
            if (slice.over()) await slice.yieldToEvents();
            if (job.stopped) return undefined;
        }
    } finally {
        core.exports.nb_free(out);
    }
}

/**
 * The prompt of this name, which stands before a text. By default the file's default prompt.
 * @param {Engine} engine
 * @param {string | undefined} name
 * @returns {string}
 */
function promptOf(engine, name) {
    const { prompts = {}, defaultPrompt } = embeddingOf(engine);
    const chosen = name ?? defaultPrompt;
    if (chosen === undefined) return '';
    if (!Object.hasOwn(prompts, chosen))
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            `embed(): the model has no prompt ${JSON.stringify(chosen)}; it has ${
                Object.keys(prompts)
                    .map((known) => JSON.stringify(known))
                    .join(', ') || 'none'
            }`,
        );
    return prompts[chosen];
}

/**
 * Tokens of a text, cut as sentence-transformers cuts it: a long text loses tokens, but not the special tokens
 * around it.
 * @param {Engine} engine
 * @param {string} text
 */
function textTokens(engine, text) {
    const { maxTokens = Infinity, cutsLeft = false } = embeddingOf(engine);
    const tokens = engine.tokenize(text, NB_TOKENIZE_ADD_SPECIAL);
    if (tokens.length <= maxTokens) return tokens;
    const { before, bare, after } = partsOf(engine, text, tokens),
        most = Math.max(0, maxTokens - before.length - after.length);
    const kept = cutsLeft ? bare.slice(bare.length - most) : bare.slice(0, most);
    return [...before, ...kept, ...after];
}

/**
 * The tokens of a text, and the special ones that stand before and after them, such as [CLS] and [SEP].
 * @param {Engine} engine
 * @param {string} text
 * @param {number[]} [whole] all of them
 */
export function partsOf(engine, text, whole = engine.tokenize(text, NB_TOKENIZE_ADD_SPECIAL)) {
    const bare = engine.tokenize(text, NB_TOKENIZE_BARE),
        around = whole.length - bare.length;
    let before = 0;
    while (before < around && bare.some((token, i) => token !== whole[before + i])) before++;
    return { before: whole.slice(0, before), bare, after: whole.slice(before + bare.length) };
}

/** How many of a text's first tokens are its prompt's. @param {Engine} engine @param {string} prompt */
function promptLength(engine, prompt) {
    const tokens = textTokens(engine, prompt),
        ends = engine.detokenize(tokens.slice(-1), false) === '';
    return tokens.length - (ends ? 1 : 0);
}
