/**
 * One token at a time, where the caller wants more than the token: its log-probability, to see the logits before a
 * token is chosen of them, or an answer that follows a grammar. All other generations let the core make many tokens in
 * one call.
 */
import { NibbleError } from '../errors.js';
import { logSumExp } from './log-sum.js';

/** @typedef {import('../index.d.ts').TokenLogprob} TokenLogprob */

/**
 * Lends the logits to the caller, and resolves to them as he left them; undefined: the request was stopped. position:
 * how many tokens come before.
 * @typedef {(logits: Float32Array, position: number) => Promise<Float32Array | undefined>} Lend
 */

const UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });

export class Stepper {
    /** Of the token that was made last. @type {TokenLogprob | undefined} */
    logprob = undefined;
    /** The logits as the model gave them: choosing a token changes those of the session. */
    #own;
    /** The logits that the caller gets, and gives back. @type {Float32Array} */
    #lent;

    /**
     * @param {import('./engine.js').Engine} engine
     * @param {import('../options.js').CheckedGenerate} options
     * @param {{ sampler: number, prefix: number, decoder: import('./detokenizer.js').Detokenizer,
     *     names: import('./detokenizer.js').Detokenizer, matcher: import('./grammar.js').Matcher | undefined }} means
     *     prefix: where all tokens so far are. decoder: of the answer. names: it writes special tokens, too.
     * @param {Lend | undefined} lend
     */
    constructor(engine, { logprobs, topLogprobs, ignoreEnd }, means, lend) {
        this.engine = engine;
        this.means = means;
        this.lend = lend;
        this.size = engine.core.exports.nb_model_vocabulary(engine.model);
        this.top = topLogprobs;
        this.withEnds = !ignoreEnd;
        this.#own = logprobs ? new Float32Array(this.size) : undefined;
        this.#lent = new Float32Array(lend ? this.size : 0);
    }

    /**
     * Chooses the token after n others, of logits that the session has computed.
     * @param {number} n
     * @param {number} logits where they are. While the caller has them, others may use the place
     * @param {number} [fed] the token that it is, whatever the logits
     * @returns {Promise<number | undefined>} undefined: the request was stopped
     */
    async next(n, logits, fed) {
        const { core } = this.engine,
            { sampler, prefix, decoder, matcher } = this.means;
        this.#own?.set(core.floats(logits, this.size));
        if (this.lend && fed === undefined) {
            this.#lent.set(core.floats(logits, this.size));
            const back = await this.lend(this.#lent, n);
            if (!back) return undefined;
            checkLogits(back);
            core.floats(logits, this.size).set(back);
            this.#lent = back;
        }
        if (fed === undefined) matcher?.restrict(core.floats(logits, this.size), this.withEnds);
        const token = fed ?? core.exports.nb_sampler_next(sampler, logits, prefix, n);
        core.ints(prefix + 4 * n, 1)[0] = token;
        matcher?.accept(token, (token) => decoder.bytes(token), fed !== undefined);
        if (this.#own) this.logprob = this.#logprobOf(token, this.#own);
        return token;
    }

    /** Whether the grammar's text is complete, so that nothing can follow. */
    ended() {
        return this.means.matcher?.ended() ?? false;
    }

    /** @param {number} token @param {Float32Array} logits */
    #logprobOf(token, logits) {
        const total = logSumExp(logits);
        /** @param {number} token */
        const entry = (token) => ({ token, ...this.#textOf(token), logprob: logits[token] - total });
        return { ...entry(token), top: highest(logits, this.top).map(entry) };
    }

    /** @param {number} token @returns {{ text: string, bytes: number[] | null }} */
    #textOf(token) {
        const { decoder, names } = this.means,
            bytes = decoder.bytes(token);
        return bytes.length > 0
            ? { text: UTF8.decode(bytes), bytes: [...bytes] }
            : { text: UTF8.decode(names.bytes(token)), bytes: null };
    }
}

/** The n tokens with the highest logits, in order; of equal ones the lower token comes first. @param {Float32Array}
 * logits @param {number} n */
export function highest(logits, n) {
    /** @type {number[]} */
    const best = [];
    if (n === 0) return best;
    let least = -Infinity; // the lowest of the best
    for (let i = 0; i < logits.length; i++) {
        if (best.length === n && !(logits[i] > least)) continue;
        let at = best.length === n ? n - 1 : best.length;
        for (; at > 0 && logits[best[at - 1]] < logits[i]; at--) best[at] = best[at - 1];
        best[at] = i;
        least = logits[best[best.length - 1]];
    }
    return best;
}

/** Refuses what onLogits() must not leave. @param {Float32Array} logits */
function checkLogits(logits) {
    let some = false;
    for (let i = 0; i < logits.length; i++) {
        if (Number.isNaN(logits[i]))
            throw new NibbleError('NB_ERR_ARGUMENT', `onLogits() left NaN as the logit of token ${i}`);
        some ||= logits[i] > -Infinity;
    }
    if (!some) throw new NibbleError('NB_ERR_ARGUMENT', 'onLogits() left no token: all logits are -Infinity');
}
