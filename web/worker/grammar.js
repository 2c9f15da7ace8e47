/**
 * Answers that follow a grammar: the grammars' module (src/nibble_grammar.h), loaded when a request has a grammar, the
 * vocabulary's bytes in it, and the grammars that it knows.
 */
import { NB_MATCHER_ENDS } from '../abi.js';
import { NibbleError } from '../errors.js';
import { startBuild } from './core.js';
import { stopwatch } from './journal.js';
import { Slice } from './pace.js';

/** Compiled grammars that are kept, with their masks, for requests that have the same one. */
const MOST_KEPT = 8;
/** Tokens that are looked at before the clock is. */
const AT_ONCE = 4096;

/** @typedef {import('./core.js').Core} Core */
/** @typedef {import('./engine.js').Engine} Engine */

/** The grammars of one model. */
export class Grammars {
    /** By their texts, the one used last at the end. @type {Map<string, number>} */
    #compiled = new Map();

    /**
     * @param {Core} core
     * @param {number} lexicon
     * @param {number} vocabulary
     */
    constructor(core, lexicon, vocabulary) {
        this.core = core;
        this.lexicon = lexicon;
        this.vocabulary = vocabulary;
    }

    /** @param {Engine} engine */
    static async open(engine) {
        const time = stopwatch();
        const core = await startBuild('grammar', engine.wasm),
            { bytes, lengths, ends } = await vocabularyOf(engine);
        const lexicon = core.borrowBytes(bytes, (at) =>
            core.borrowBytes(new Uint8Array(lengths.buffer), (lengthsAt) =>
                core.borrowBytes(new Uint8Array(ends.buffer), (endsAt) =>
                    core.object(
                        'nb_lexicon_new',
                        ...[at, bytes.length, lengthsAt, lengths.length, endsAt, ends.length],
                    ),
                ),
            ),
        );
        engine.journal?.(`grammars: ${lengths.length} tokens, ${time()}`);
        return new Grammars(core, lexicon, lengths.length);
    }

    /**
     * A matcher at the beginning of an answer. The caller frees it.
     * @param {string} text
     */
    matcher(text) {
        const { core } = this;
        let grammar = this.#compiled.get(text);
        this.#compiled.delete(text);
        grammar ??= core.borrowText(text, (at, size) => core.object('nb_grammar_new', at, size, this.lexicon));
        this.#compiled.set(text, grammar);
        const [[oldest, other]] = this.#compiled;
        if (this.#compiled.size > MOST_KEPT) {
            this.#compiled.delete(oldest);
            core.exports.nb_grammar_free(other);
        }
        return new Matcher(core, grammar, this.vocabulary);
    }
}

/** How far an answer follows its grammar. */
export class Matcher {
    /**
     * @param {Core} core
     * @param {number} grammar
     * @param {number} vocabulary
     */
    constructor(core, grammar, vocabulary) {
        this.core = core;
        this.words = Math.ceil(vocabulary / 32);
        this.mask = core.allocate(4 * this.words, 'the mask of a grammar');
        try {
            this.handle = core.object('nb_matcher_new', grammar);
        } catch (error) {
            core.exports.nb_free(this.mask);
            throw error;
        }
    }

    /** Whether nothing can follow. */
    ended() {
        return this.core.exports.nb_matcher_end(this.handle) === NB_MATCHER_ENDS;
    }

    /**
     * Sets the logits of all tokens that the grammar does not allow here to -Infinity.
     * @param {Float32Array} logits
     * @param {boolean} withEnds whether tokens that end an answer are allowed where the text may end
     */
    restrict(logits, withEnds) {
        const { core, mask, words } = this;
        const allowed = core.count('nb_matcher_mask', this.handle, mask, withEnds ? 1 : 0);
        if (allowed === 0)
            throw new NibbleError(
                'NB_ERR_UNSUPPORTED',
                "the grammar demands a text here that none of this model's tokens can go on with: its vocabulary " +
                    'lacks these characters, so let the grammar do without them',
            );
        const bits = core.ints(mask, words);
        let some = false;
        for (let i = 0; i < words; i++) {
            const word = bits[i],
                from = 32 * i,
                end = Math.min(from + 32, logits.length);
            if (word === 0) logits.fill(-Infinity, from, end);
            else
                for (let token = from; token < end; token++)
                    if (!((word >>> (token - from)) & 1)) logits[token] = -Infinity;
                    else some ||= logits[token] > -Infinity;
        }
        if (!some)
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                'no token is left: onLogits() has forbidden all tokens that the grammar allows here',
            );
    }

    /** Goes on by a token, which restrict() has allowed. @param {number} token */
    accept(token) {
        if (this.core.count('nb_matcher_accept', this.handle, token) === 0)
            throw new NibbleError('NB_ERR_STATE', `token ${token} was chosen, which the grammar does not allow here`);
    }

    free() {
        this.core.exports.nb_matcher_free(this.handle);
        this.core.exports.nb_free(this.mask);
    }
}

/**
 * What each token adds to an answer's text, and which ones end it.
 * @param {Engine} engine
 * @returns {Promise<{ bytes: Uint8Array, lengths: Uint32Array, ends: Uint32Array }>}
 */
async function vocabularyOf(engine) {
    const { core, model } = engine,
        size = core.exports.nb_model_vocabulary(model),
        lengths = new Uint32Array(size),
        slice = new Slice(),
        decoder = engine.decoder(false);
    /** @type {Uint8Array[]} */
    const all = [],
        /** @type {number[]} */ ends = [];
    let total = 0;
    try {
        // some write a text's first token otherwise
        for (let token = 0; token < size && decoder.push(token) === ''; token++);
        for (let token = 0; token < size; token++) {
            if (token % AT_ONCE === 0 && slice.over()) await slice.yieldToEvents();
            if (core.exports.nb_model_is_end(model, token) === 1) ends.push(token);
            lengths[token] = decoder.size(token);
            if (lengths[token] > 0) all.push(decoder.bytes(token));
            total += lengths[token];
        }
    } finally {
        decoder.free();
    }
    const bytes = new Uint8Array(total);
    let at = 0;
    for (const each of all) {
        bytes.set(each, at);
        at += each.length;
    }
    return { bytes, lengths, ends: Uint32Array.from(ends) };
}
