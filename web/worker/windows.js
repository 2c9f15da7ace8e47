/** What is computed over a text, window by window, in a session of its own: a perplexity, an importance matrix. */
import { NB_IMATRIX_DAT, NB_IMATRIX_GGUF, NB_TOKENIZE_BARE } from '../abi.js';
import { NibbleError } from '../errors.js';
import { breathe } from '../platform.js';
import { ReportClock } from '../report-clock.js';

/** @typedef {import('./engine.js').Engine} Engine */
/** @typedef {import('../index.d.ts').TextProgress} TextProgress */

/** Tokens of a window where nobody says: llama.cpp's number. */
const CONTEXT = 512;

/**
 * How a request goes on. turn: runs a function when nothing else is computed.
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
 * The perplexity of a text, as llama.cpp's tools/perplexity computes it. Of a window the second half is scored,
 * without its first token; with a stride, its last `stride` tokens.
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
    const session = openSession(engine, context);
    try {
        for (let window = 0; window < windows; window++) {
            const scores = await evaluate(engine, session, all, window, from, course);
            if (!scores) return undefined;
            for (const score of scores) {
                sum += score;
                squares += score * score;
            }
        }
    } finally {
        engine.core.exports.nb_session_free(session);
    }
    const tokens = windows * (context - from),
        mean = sum / tokens,
        perplexity = Math.exp(mean);
    // of the mean: the standard deviation of a token's, over the square root of their number
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
export async function collectImportance(engine, input, { context: wanted, format, textName }, course) {
    const { core } = engine,
        all = cut(engine, input, { context: wanted }, 'importanceMatrix()'),
        { context, windows } = all;
    const session = openSession(engine, context);
    let collector = 0;
    try {
        collector = core.object('nb_collector_new', session);
        for (let window = 0; window < windows; window++)
            if (!(await evaluate(engine, session, all, window, context, course))) return undefined;
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
        core.exports.nb_session_free(session);
        core.exports.nb_collector_free(collector);
    }
}

/**
 * @param {Engine} engine
 * @param {string | number[]} input text or tokens
 * @param {{ context?: number, stride?: number }} options
 * @param {string} caller for messages
 * @returns {Cut}
 */
export function cut(engine, input, { context: wanted, stride: given }, caller) {
    const refuse = (/** @type {string} */ what) => new NibbleError('NB_ERR_ARGUMENT', `${caller}: ${what}`);
    const { encoder, causal, architecture, context: own } = engine.description;
    if (encoder || causal === false)
        throw new NibbleError(
            'NB_ERR_UNSUPPORTED',
            `${caller}: this ${architecture} model is not causal: its tokens see those ` +
                'that follow, so nothing can be told of one by those before it',
        );
    const context = wanted ?? Math.min(own || CONTEXT, CONTEXT),
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
    const tokens = text && begin !== undefined ? withBegin(begin, bare) : bare;
    if (tokens.length < context)
        throw refuse(
            `the text has ${tokens.length} tokens, which is less than one window of ${context}: take a longer text, or ` +
                'a smaller context (--context)',
        );
    return { tokens, context, stride, windows: Math.floor((tokens.length - context) / stride) + 1, begin };
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
 * So many windows of a text at most, spread over it, with the token before each that the model wants.
 * @param {Cut} all
 * @param {number} most
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
 * Of one window, whose tokens fill it, and whose cache nobody else needs.
 * @param {Engine} engine
 * @param {number} context
 */
export const openSession = ({ core, model, pool, kvType, precision }, context) =>
    core.object('nb_session_new', model, pool, context, 0, kvType, precision);

/**
 * Evaluates one window.
 * @param {Engine} engine
 * @param {number} session
 * @param {Cut} all
 * @param {number} window its number
 * @param {number} from its first token that is scored
 * @param {Course} course
 * @returns {Promise<Float32Array | undefined>} the scores of the tokens from there on; undefined: the job was stopped
 */
async function evaluate({ core }, session, all, window, from, { job, turn, report }) {
    const { context, windows } = all;
    const at = core.take(8 * context, 'a window of the text'),
        scores = at + 4 * context;
    try {
        core.ints(at, context).set(windowTokens(all, window));
        for (let done = 0; done < context; ) {
            const before = done;
            done = await turn(() =>
                job.stopped ? context : core.count('nb_session_score', session, at, context, before, from, scores),
            );
            if (job.stopped) return undefined;
            report({ done: window * context + done, total: windows * context, secondsLeft: null });
            await breathe();
        }
        return core.floats(scores, context).slice(from);
    } finally {
        core.exports.nb_free(at);
    }
}

/**
 * Reports that tell how long it takes, some twenty a second and one at the end.
 * @param {(progress: TextProgress) => void} report
 * @returns {(progress: TextProgress) => void}
 */
export function timed(report) {
    const clock = new ReportClock();
    return ({ done, total }) => {
        if (clock.isDue(done >= total)) report({ done, total, secondsLeft: clock.left(done / total) });
    };
}
