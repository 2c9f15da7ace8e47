/** Computes a perplexity or an importance matrix over a text, window by window, in a session of its own. */
import { NB_IMATRIX_DAT, NB_IMATRIX_GGUF, NB_TOKENIZE_ADD_SPECIAL, NB_TOKENIZE_BARE, POOLINGS } from '../abi.js';
import { NibbleError } from '../errors.js';
import { yieldToEvents } from '../platform.js';
import { ReportClock } from '../report-clock.js';

/** @typedef {import('./engine.js').Engine} Engine */
/** @typedef {import('../index.d.ts').TextProgress} TextProgress */

/** Tokens of a window by default: llama.cpp's number. */
const CONTEXT = 512;

/**
 * What a request is run with. turn: runs a function when nothing else is computed.
 * @typedef {{ job: import('./engine.js').Job, turn: <T>(run: () => T) => Promise<T>,
 *     report: (progress: TextProgress) => void }} Course
 */

/**
 * A text in windows of `context` tokens, each of which begins `stride` tokens after the one before. begin: takes
 * the place of each window's first token, where the vocabulary wants it.
 * @typedef {{ tokens: Int32Array, context: number, stride: number, windows: number, begin: number | undefined }}
 *     Cut
 */

/**
 * The perplexity of a text, as llama.cpp's tools/perplexity computes it. The second half of each window is
 * scored, without its first token; with a stride, its last `stride` tokens.
 * @param {Engine} engine
 * @param {string | number[]} input text or tokens
 * @param {import('../options.js').CheckedPerplexity} options
 * @param {Course} course
 * @returns {Promise<import('../index.d.ts').Perplexity | undefined>} undefined: the job was stopped
 */
export async function measurePerplexity(engine, input, options, course) {
    engine.needSession();
    const all = cut(engine, input, options, 'perplexity()'),
        { context, stride, windows } = all;
    const from = firstScored(all);
    let sum = 0,
        squares = 0;
    const session = engine.adapters.open(context); // its cache is as long as a window, and is not kept
    try {
        const advance = (/** @type {number} */ tokens, /** @type {number} */ done, /** @type {number} */ out) =>
            engine.core.count('nb_session_score', session, tokens, context, done, from, out);
        for (let window = 0; window < windows; window++) {
            const scores = await evaluate(engine, all, window, context, advance, course);
            if (!scores) return undefined;
            for (const score of scores.subarray(from)) {
                sum += score;
                squares += score * score;
            }
        }
    } finally {
        engine.adapters.close(session);
    }
    const tokens = windows * (context - from),
        mean = sum / tokens,
        perplexity = Math.exp(mean);
    // the standard error of the mean: the tokens' standard deviation over the square root of their number
    const error = Math.sqrt(Math.max(0, squares / tokens - mean * mean) / (tokens - 1));
    return {
        perplexity,
        standardError: error * perplexity,
        negativeLogLikelihood: mean,
        tokens,
        windows,
        context,
        stride,
    };
}

/**
 * The importance matrix of a model over a text, as a file.
 * @param {Engine} engine
 * @param {string | number[]} input text or tokens
 * @param {import('../options.js').CheckedImportance} options
 * @param {Course} course
 * @returns {Promise<import('../index.d.ts').ImportanceMatrix | undefined>} undefined: the job was stopped
 */
export async function collectImportance(engine, input, options, course) {
    const all = cutForInputs(engine, input, { context: options.context }, 'importanceMatrix()');
    return collectOver(engine, all, options, course);
}

/**
 * The importance matrix over windows that are cut already.
 * @param {Engine} engine
 * @param {Cut} all
 * @param {Pick<import('../options.js').CheckedImportance, 'format' | 'textName'>} options
 * @param {Course} course
 */
export async function collectOver(engine, all, { format, textName }, course) {
    const { core } = engine,
        { context, windows } = all,
        unused = core.exports.nb_model_width(engine.model);
    const session = engine.adapters.open(context); // its cache is as long as a window, and is not kept
    let collector = 0;
    try {
        collector = core.object('nb_collector_new', session);
        // Every model gives a hidden state, encoders no logits.
        const embed = (/** @type {number} */ tokens, /** @type {number} */ done, /** @type {number} */ out) =>
            core.count('nb_session_embed', session, tokens, context, done, 0, 0, POOLINGS.mean, out);
        for (let window = 0; window < windows; window++)
            if (!(await evaluate(engine, all, window, unused, embed, course))) return undefined;
        const kind = format === 'dat' ? NB_IMATRIX_DAT : NB_IMATRIX_GGUF;
        const bytes = core.borrowText(textName, (name, length) => {
            const size = core.count('nb_collector_write', collector, kind, context, name, length, 0, 0);
            return core.borrow(size + 1, (out) => {
                core.count('nb_collector_write', collector, kind, context, name, length, out, size + 1);
                return core.bytes(out, size).slice();
            });
        });
        return { bytes, tokens: windows * context, windows, context };
    } finally {
        engine.adapters.close(session);
        core.exports.nb_collector_free(collector);
    }
}

/**
 * A text in windows, for what predicts each token from those before it.
 * @param {Engine} engine
 * @param {string | number[]} input text or tokens
 * @param {{ context?: number, stride?: number }} options
 * @param {string} caller for messages
 * @returns {Cut}
 */
export function cut(engine, input, options, caller) {
    const { causal, architecture } = engine.description;
    if (causal === false)
        throw new NibbleError(
            'NB_ERR_UNSUPPORTED',
            `${caller}: this ${architecture} model is not causal: its tokens see those ` +
                'that follow, so none can be predicted from those before it',
        );
    return cutForInputs(engine, input, options, caller);
}

/**
 * A text in windows, for what only looks at the inputs of matrices. Any model will do: if its tokens see those that
 * follow, each window is a text of its own, with the special tokens that the tokenizer puts around a text.
 * @param {Engine} engine
 * @param {string | number[]} input text or tokens
 * @param {{ context?: number, stride?: number }} options
 * @param {string} caller for messages
 * @returns {Cut}
 */
export function cutForInputs(engine, input, { context: wanted, stride: given }, caller) {
    const refuse = (/** @type {string} */ what) => new NibbleError('NB_ERR_ARGUMENT', `${caller}: ${what}`);
    const { causal, context: own, embedding } = engine.description,
        isWhole = causal === false,
        longest = (isWhole && Math.trunc(embedding?.maxTokens ?? 0)) || CONTEXT;
    const context = wanted ?? Math.min(own || CONTEXT, CONTEXT, longest),
        stride = given ?? context;
    if (own && context > own)
        throw refuse(`a context (--context) of ${context} is larger than the model's own, which is ${own}`);
    if (stride > context)
        throw refuse(
            `a stride (--stride) of ${stride} would leave out tokens between windows of ${context}: take ${
                context
            } or less`,
        );
    const text = typeof input === 'string',
        [begin] = engine.beginTokens();
    if (!text) engine.checkTokens(input);
    const bare = text ? engine.encode(input, NB_TOKENIZE_BARE) : Int32Array.from(input);
    if (bare.length === 0) throw refuse('the text is empty');
    const around = isWhole ? specialTokens(engine) : { before: [], after: [] },
        specials = around.before.length + around.after.length;
    if (context <= specials)
        throw refuse(`a context (--context) of ${context} has no room for a text and ${specials} special tokens`);
    const tokens = !isWhole && text && begin !== undefined ? withBegin(begin, bare) : bare;
    if (tokens.length + specials < context)
        throw refuse(
            `the text has ${tokens.length + specials} tokens, which is less than one window of ${
                context
            }: take a longer text, or a smaller context (--context)`,
        );
    if (isWhole) return inWholeTexts(bare, context, around);
    return { tokens, context, stride, windows: Math.floor((tokens.length - context) / stride) + 1, begin };
}

/** What the tokenizer puts before a text and after it. @param {Engine} engine */
function specialTokens(engine) {
    const before = engine.beginTokens();
    return { before, after: engine.tokenize('', NB_TOKENIZE_ADD_SPECIAL).slice(before.length) };
}

/**
 * Windows that have the special tokens already.
 * @param {Int32Array} bare
 * @param {number} context
 * @param {{ before: number[], after: number[] }} around
 * @returns {Cut}
 */
function inWholeTexts(bare, context, { before, after }) {
    const own = context - before.length - after.length,
        windows = Math.floor(bare.length / own),
        tokens = new Int32Array(windows * context);
    for (let window = 0; window < windows; window++) {
        const part = bare.subarray(window * own, (window + 1) * own);
        tokens.set([...before, ...part, ...after], window * context);
    }
    return { tokens, context, stride: context, windows, begin: undefined };
}

/** The first token of a window that is scored. @param {Cut} all */
export const firstScored = ({ context, stride }) => (stride < context ? context - stride : Math.floor(context / 2) + 1);

/**
 * A window's tokens.
 * @param {Cut} all
 * @param {number} window its number
 */
export function windowTokens({ tokens, context, stride, begin }, window) {
    const own = tokens.slice(window * stride, window * stride + context);
    if (begin !== undefined) own[0] = begin;
    return own;
}

/**
 * Up to `most` windows, spread over the text, each with the first token that the model wants.
 * @param {Cut} all
 * @param {number} most
 * @returns {Int32Array}
 */
export function spread({ tokens, context, windows, begin }, most) {
    const n = Math.min(windows, most),
        chosen = new Int32Array(n * context);
    for (let i = 0; i < n; i++) {
        const from = Math.floor((i * windows) / n) * context;
        chosen.set(tokens.subarray(from, from + context), i * context);
        if (begin !== undefined) chosen[i * context] = begin;
    }
    return chosen;
}

/** The tokens with one before them. @param {number} begin @param {Int32Array} tokens */
function withBegin(begin, tokens) {
    const all = new Int32Array(tokens.length + 1);
    all[0] = begin;
    all.set(tokens, 1);
    return all;
}

/**
 * Evaluates one window.
 * @param {Engine} engine
 * @param {Cut} all
 * @param {number} window its number
 * @param {number} floats that advance() writes
 * @param {(tokens: number, done: number, out: number) => number} advance evaluates tokens from `done` on; returns how
 *     many are done then
 * @param {Course} course
 * @returns {Promise<Float32Array | undefined>} what was written; undefined: the job was stopped
 */
async function evaluate({ core }, all, window, floats, advance, { job, turn, report }) {
    const { context, windows } = all;
    const at = core.allocate(4 * (context + floats), 'a window of the text'),
        out = at + 4 * context;
    try {
        core.ints(at, context).set(windowTokens(all, window));
        for (let done = 0; done < context; ) {
            const before = done;
            done = await turn(() => (job.stopped ? context : advance(at, before, out)));
            if (job.stopped) return undefined;
            report({ done: window * context + done, total: windows * context, secondsLeft: null });
            await yieldToEvents();
        }
        return core.floats(out, floats).slice();
    } finally {
        core.exports.nb_free(at);
    }
}

/**
 * Adds the time left to reports, and thins them out to some twenty a second and one at the end.
 * @param {(progress: TextProgress) => void} report
 * @returns {(progress: TextProgress) => void}
 */
export function timed(report) {
    const clock = new ReportClock();
    return ({ done, total }) => {
        if (clock.isDue(done >= total)) report({ done, total, secondsLeft: clock.left(done / total) });
    };
}
