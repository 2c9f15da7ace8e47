/**
 * The engine's core and the integer core (src/nibble_integer.h) as one: its sessions are those of the integer core,
 * with the functions of src/nibble.h, so that callers need not know the difference.
 */
import { NB_LOGITS_ALL, NB_LOGITS_LAST, nb_sampler_params } from '../abi.js';
import { NibbleError } from '../errors.js';
import { Core } from './core.js';
import { logSumExp } from './log-sum.js';

/** Units of a logit: 2^-16. */
const UNIT = 2 ** -16;

/** The error of a request that such a model cannot answer. */
export const notOfIntegers = () =>
    new NibbleError(
        'NB_ERR_UNSUPPORTED',
        'a model of integers generates, and gives logits and perplexities: for all else take the model that it was ' +
            'made of',
    );

/** Functions that need the engine's own sessions. */
const OF_SESSIONS = /^nb_(session|collector|walk|probe)_/;

/**
 * tokens: where its tokens lie in the integer core, with room for `context` of them. logits: where its logits lie in
 * the engine's memory, with room for so many rows. ready: the number of tokens whose last logits are computed, and not
 * used yet.
 * @typedef {{ tokens: number, context: number, logits: number, rows: number, ready: number }} Session
 */

/** The parameters of a sampler that takes the likeliest token. */
const GREEDY = /** @type {const} */ ([
    ['temperature', 0],
    ['repeat_penalty', 1],
    ['presence_penalty', 0],
    ['frequency_penalty', 0],
    ['dry_multiplier', 0],
]);

/**
 * The engine's core, whose sessions are those of the integer core.
 *
 * A session's logits become floats in the engine's memory, where samplers and the page read them. A sampler that takes
 * the likeliest token is not called: the integer core chooses.
 */
export class IntegerCore extends Core {
    /** @type {Map<number, Session>} */
    #sessions = new Map();
    /** Samplers that take the likeliest token. @type {Set<number>} */
    #greedy = new Set();

    /**
     * @param {Core} texts
     * @param {number} header what the engine read of the file
     * @param {Core} integers
     * @param {number} pool
     * @param {number} model
     */
    constructor(texts, header, integers, pool, model) {
        const { exports } = texts,
            { nb_integer_model_vocabulary, nb_integer_model_context, nb_integer_session_bytes } = integers.exports;
        const vocabulary = nb_integer_model_vocabulary(model);
        /** @type {Record<string, (...args: number[]) => number>} */
        const own = {
            nb_model_vocabulary: () => vocabulary,
            nb_model_context: () => nb_integer_model_context(model),
            nb_session_bytes: (_, context) => nb_integer_session_bytes(model, pool, context) >>> 0,
            nb_session_free: (session) => this.#free(session),
            nb_session_holds: (session, tokens, n) =>
                integers.exports.nb_integer_session_holds(session, this.#copyTokens(session, tokens, n), n),
            nb_session_logits: (session, rows) => this.#logits(session, rows),
            nb_sampler_free: (sampler) => {
                this.#greedy.delete(sampler);
                return exports.nb_sampler_free(sampler);
            },
            nb_pool_stop: (other) => {
                integers.exports.nb_pool_stop(pool);
                return exports.nb_pool_stop(other);
            },
        };
        super(
            integers.build,
            texts.module,
            texts.memory,
            /** @type {import('./core.js').Exports} */ ({ ...exports, ...own }),
        );
        this.integers = integers;
        this.header = header;
        this.pool = pool;
        this.model = model;
        this.vocabulary = vocabulary;
        /** A tokenizer may know tokens that have no logit, and a sampler reads one of each. */
        this.known = Math.max(vocabulary, exports.nb_model_vocabulary(header));
        /** @type {Record<string, (...args: number[]) => number>} */
        this.own = {
            nb_session_new: (_model, _pool, context) => this.#open(context),
            nb_session_advance: (session, tokens, n, flags) => this.#advance(session, tokens, n, flags),
            nb_session_generate: (...args) => this.#generate(args),
            nb_session_score: (...args) => this.#score(args),
            nb_sampler_new: (...args) => this.#newSampler(args),
        };
    }

    get size() {
        return super.size + this.integers.size;
    }

    /** @param {string} name @param {number[]} args */
    count(name, ...args) {
        return this.#find(name)?.(...args) ?? super.count(name, ...args);
    }

    /** @param {string} name @param {number[]} args */
    object(name, ...args) {
        return this.#find(name)?.(...args) ?? super.object(name, ...args);
    }

    /** @param {string} name */
    #find(name) {
        const own = this.own[name];
        if (!own && OF_SESSIONS.test(name)) throw notOfIntegers();
        return own;
    }

    /** @param {number} context */
    #open(context) {
        const { integers } = this,
            session = integers.object('nb_integer_session_new', this.model, this.pool, context);
        try {
            const tokens = integers.allocate(4 * context, 'the tokens');
            this.#sessions.set(session, { tokens, context, logits: 0, rows: 0, ready: 0 });
        } catch (error) {
            integers.exports.nb_integer_session_free(session);
            throw error;
        }
        return session;
    }

    /** @param {number} session 0 is fine */
    #free(session) {
        const { exports } = this.integers,
            { tokens, logits } = this.#sessions.get(session) ?? { tokens: 0, logits: 0 };
        this.#sessions.delete(session);
        this.exports.nb_free(logits);
        exports.nb_free(tokens);
        return exports.nb_integer_session_free(session);
    }

    /** What belongs to a session. @param {number} session */
    #of(session) {
        return /** @type {Session} */ (this.#sessions.get(session));
    }

    /**
     * Copies tokens from the engine's memory to the integer core's, which reads none beyond the context.
     * @param {number} session
     * @param {number} from
     * @param {number} n
     */
    #copyTokens(session, from, n) {
        const { tokens, context } = this.#of(session),
            fitting = Math.min(n, context);
        this.integers.ints(tokens, fitting).set(this.ints(from, fitting));
        return tokens;
    }

    /**
     * @param {number} session
     * @param {number} tokens
     * @param {number} n
     * @param {number} flags
     */
    #advance(session, tokens, n, flags) {
        const mine = this.#of(session);
        mine.ready = 0;
        const at = this.#copyTokens(session, tokens, n),
            held = this.integers.count('nb_integer_session_advance', session, at, n, flags);
        if (held === n) mine.ready = n;
        return held;
    }

    /** The logits of the last call, as integers. @param {number} session */
    #integerLogits(session) {
        const { integers, vocabulary } = this;
        return integers.borrow(4, (at) => {
            const logits = integers.exports.nb_integer_session_logits(session, at) >>> 0,
                [rows] = integers.ints(at, 1);
            return { rows, logits: integers.ints(logits, rows * vocabulary) };
        });
    }

    /**
     * The logits of the last call as floats: [rows, vocabulary], and -Infinity for the tokens without a logit after
     * the last row.
     * @param {number} session
     * @param {number} count where the number of rows is written
     */
    #logits(session, count) {
        const { vocabulary, known } = this,
            mine = this.#of(session),
            { rows } = this.#integerLogits(session);
        if (mine.rows < rows) {
            this.exports.nb_free(mine.logits);
            mine.logits = mine.rows = 0;
            mine.logits = this.allocate(4 * (rows * vocabulary + known - vocabulary), 'the logits');
            mine.rows = rows;
        }
        const floats = this.floats(mine.logits, rows * vocabulary + known - vocabulary).fill(-Infinity);
        const { logits } = this.#integerLogits(session);
        for (let i = 0; i < logits.length; i++) floats[i] = logits[i] * UNIT;
        this.ints(count, 1)[0] = rows;
        return mine.logits;
    }

    /** @param {number[]} args of nb_sampler_new */
    #newSampler(args) {
        const [, params, , biases] = args,
            { fields } = nb_sampler_params,
            sampler = super.object('nb_sampler_new', ...args),
            view = new DataView(this.memory.buffer, params, nb_sampler_params.size);
        const isSo = GREEDY.every(([name, value]) => view.getFloat32(fields[name].at, true) === value);
        if (biases === 0 && isSo) this.#greedy.add(sampler);
        return sampler;
    }

    /** @param {number[]} args of nb_session_generate */
    #generate([session, sampler, tokens, n, count, pastEnd]) {
        const mine = this.#of(session);
        for (let made = 0; ; ) {
            const length = n + made;
            if (made === count) return made;
            const isReady = mine.ready === length && this.exports.nb_session_holds(session, tokens, length) === length;
            if (!isReady) while (this.#advance(session, tokens, length, NB_LOGITS_LAST) < length);
            const token = this.#next(session, sampler, tokens, length);
            mine.ready = 0; // the sampler has changed the logits
            this.ints(tokens + 4 * length, 1)[0] = token;
            made++;
            if (!pastEnd && this.exports.nb_model_is_end(this.header, token)) return made;
        }
    }

    /**
     * @param {number} session
     * @param {number} sampler
     * @param {number} tokens
     * @param {number} n
     */
    #next(session, sampler, tokens, n) {
        if (this.#greedy.has(sampler)) return this.integers.count('nb_integer_session_choose', session);
        const logits = this.borrow(4, (rows) => this.#logits(session, rows));
        return this.exports.nb_sampler_next(sampler, logits, tokens, n);
    }

    /** @param {number[]} args of nb_session_score */
    #score([session, tokens, n, done, from, scores]) {
        const { integers, vocabulary } = this;
        if (done === 0) integers.exports.nb_integer_session_forget(session); // each token is evaluated
        // a token's logits score the next token
        if (done + 1 < from) return this.#advance(session, tokens, from - 1, NB_LOGITS_LAST);
        const held = this.#advance(session, tokens, n, NB_LOGITS_ALL),
            { logits } = this.#integerLogits(session);
        for (let i = done; i < Math.min(held, n - 1); i++) {
            const row = logits.subarray((i - done) * vocabulary, (i - done + 1) * vocabulary),
                [next] = this.ints(tokens + 4 * (i + 1), 1);
            this.floats(scores + 4 * (i + 1), 1)[0] = logSumExp(row, UNIT) - row[next] * UNIT;
        }
        return held;
    }
}
