/**
 * Answers that follow a grammar: the grammars' module (src/nibble_grammar.h), loaded when a request has a grammar, the
 * vocabulary's bytes in it, and the grammars that it knows.
 */
import { NB_MATCHER_ENDS } from '../abi.js';
import { NibbleError } from '../errors.js';
import { startBuild } from './core.js';
import { stopwatch } from './journal.js';
import { Slice } from './pace.js';
import { ThoughtEnd } from './thought-end.js';

/** Compiled grammars that are kept, with their masks, for requests that have the same one. */
const MOST_KEPT = 8;
/** Tokens that are looked at before the clock is. */
const AT_ONCE = 4096;

/** @typedef {import('./core.js').Core} Core */
/** @typedef {import('./engine.js').Engine} Engine */

/**
 * What tokens add to a text. first: what they do at its beginning, if that is something else for some of them, as where
 * a tokenizer drops the space that begins a text.
 * texts: of `rest`. ends: the tokens that end an answer.
 * @typedef {{ rest: number, first: number | undefined, texts: Texts, ends: Uint32Array }} Lexicons
 */

/**
 * A grammar that was compiled for each lexicon. users: matchers that there are of it.
 * @typedef {{ rest: number, first: number | undefined, users: number }} Compiled
 */

/** The grammars of one model. */
export class Grammars {
    /** By their texts, the one used last at the end. @type {Map<string, Compiled>} */
    #compiled = new Map();
    /** By the marks that end thoughts. @type {Map<string, ThoughtEnd>} */
    #thoughtEnds = new Map();

    /**
     * @param {Core} core
     * @param {Lexicons} lexicons
     */
    constructor(core, lexicons) {
        this.core = core;
        this.lexicons = lexicons;
    }

    /** @param {Engine} engine */
    static async open(engine) {
        const time = stopwatch();
        const core = await startBuild('grammar', engine.assets?.wasm ?? {}),
            vocabulary = await vocabularyOf(engine);
        engine.journal?.(`grammars: a vocabulary of ${vocabulary.rest.lengths.length} tokens, ${time()}`);
        return Grammars.of(core, vocabulary);
    }

    /**
     * @param {Core} core
     * @param {{ first: Texts, rest: Texts, ends: Uint32Array }} vocabulary
     */
    static of(core, { first, rest, ends }) {
        const differs = first.bytes.length !== rest.bytes.length || first.lengths.some((n, i) => n !== rest.lengths[i]);
        const lexicons = {
            rest: newLexicon(core, rest, ends),
            first: differs ? newLexicon(core, first, ends) : undefined,
            texts: rest,
            ends,
        };
        return new Grammars(core, lexicons);
    }

    /** @param {string} mark */
    thoughtEnd(mark) {
        const known = this.#thoughtEnds.get(mark) ?? new ThoughtEnd(mark, this.lexicons.texts);
        this.#thoughtEnds.set(mark, known);
        return known;
    }

    /**
     * A matcher at the beginning of an answer. The caller frees it.
     * @param {string} text
     * @param {import('./output.js').Taking} [taking] how the answer is taken apart
     */
    matcher(text, taking) {
        const known = this.#compiled.get(text);
        if (!known) this.#makeRoom(); // before, so that memory is used again
        const compiled = known ?? this.#compile(text);
        this.#compiled.delete(text);
        this.#compiled.set(text, compiled);
        return new Matcher(this, compiled, taking);
    }

    /** Frees the oldest grammars that no answer follows now. */
    #makeRoom() {
        const { exports } = this.core;
        for (const [text, { rest, first, users }] of this.#compiled) {
            if (this.#compiled.size < MOST_KEPT) return;
            if (users > 0) continue;
            this.#compiled.delete(text);
            exports.nb_grammar_free(rest);
            exports.nb_grammar_free(first ?? 0);
        }
    }

    /** @param {string} text @returns {Compiled} */
    #compile(text) {
        const { core, lexicons } = this;
        const compile = (/** @type {number} */ lexicon) =>
            core.borrowText(text, (at, size) => core.object('nb_grammar_new', at, size, lexicon));
        const rest = compile(lexicons.rest);
        try {
            return { rest, first: lexicons.first && compile(lexicons.first), users: 0 };
        } catch (error) {
            core.exports.nb_grammar_free(rest);
            throw error;
        }
    }
}

/**
 * What holds an answer to this grammar, if there is one. A failed start is tried again by the next request.
 * @param {Engine} engine
 * @param {string | undefined} grammar
 * @param {import('./output.js').Taking} [taking]
 */
export async function matcherOf(engine, grammar, taking) {
    if (grammar === undefined) return undefined;
    engine.grammars ??= Grammars.open(engine);
    try {
        return (await engine.grammars).matcher(grammar, taking);
    } catch (error) {
        await engine.grammars.catch(() => {
            engine.grammars = undefined;
        });
        throw error;
    }
}

/**
 * How far an answer follows its grammar. Thoughts before it are free, and special tokens that belong to the answer's
 * form count as their names. Where a thought ends is found out here, of the tokens' bytes: the reader knows it later,
 * as a text that may be a part of a character or of a stop text is held back from it.
 */
export class Matcher {
    /** Matchers of both grammars, of which `first` serves for the first token. */
    #rest = 0;
    #first = 0;
    #begun = false;
    /** Whether a thought has given text: then no token begins a text any more. */
    #spoke = false;
    /** The end of the thought so far, while the answer is within one. @type {Uint8Array | undefined} */
    #thought;
    #thoughtEnd;
    /** Whether a thought may still begin. */
    #mayBegin;

    /**
     * @param {Grammars} grammars
     * @param {Compiled} compiled
     * @param {import('./output.js').Taking} [taking]
     */
    constructor(grammars, compiled, taking) {
        const { core, lexicons } = grammars,
            { rest, first } = compiled,
            closer = taking?.reader.closer;
        this.#thoughtEnd = closer === undefined ? undefined : grammars.thoughtEnd(closer);
        if (taking?.reader.isThinking) this.#thought = new Uint8Array();
        this.#mayBegin = this.#thought === undefined;
        this.compiled = compiled;
        this.core = core;
        this.lexicons = lexicons;
        this.reader = taking?.reader;
        /** Those that have no text of their own. */
        this.marks = [...(taking?.marks ?? [])].filter(([token]) => lexicons.texts.lengths[token] === 0);
        /** The token that may begin a thought. */
        this.opener = [...(taking?.marks ?? [])].find(([, name]) => name === taking?.reader.opener)?.[0];
        this.words = Math.ceil(lexicons.texts.lengths.length / 32);
        this.mask = core.allocate(4 * this.words, 'the mask of a grammar');
        compiled.users++;
        try {
            this.#rest = core.object('nb_matcher_new', rest);
            if (first) this.#first = core.object('nb_matcher_new', first);
        } catch (error) {
            this.free();
            throw error;
        }
    }

    /** The matcher that knows what the next token adds. */
    get #current() {
        return this.#begun || this.#spoke ? this.#rest : this.#first || this.#rest;
    }

    /** Whether a thought may begin with the next token. */
    get #mayThink() {
        return !this.#begun && this.#mayBegin && this.opener !== undefined && this.reader?.opener !== undefined;
    }

    /** Whether nothing can follow. */
    ended() {
        return !this.#thought && this.core.exports.nb_matcher_end(this.#current) === NB_MATCHER_ENDS;
    }

    /**
     * Sets the logits of all tokens that the grammar does not allow here to -Infinity.
     * @param {Float32Array} logits
     * @param {boolean} withEnds whether tokens that end an answer are allowed where the text may end
     */
    restrict(logits, withEnds) {
        const { core, mask, words, lexicons } = this;
        if (this.#thought) {
            for (const end of lexicons.ends) logits[end] = -Infinity;
            // tokens that end the thought, and go on with what the grammar does not allow
            for (const { token, rest } of this.#thoughtEnd?.after(this.#thought) ?? [])
                if (!this.#allows(rest)) logits[token] = -Infinity;
            return;
        }
        const allowed = core.count('nb_matcher_mask', this.#current, mask, withEnds ? 1 : 0),
            others = this.marks.filter(([, name]) => this.#allows(name)).map(([token]) => token),
            bits = core.ints(mask, words);
        if (this.opener !== undefined && this.#mayThink) others.push(this.opener);
        for (const token of others) bits[token >>> 5] |= 1 << (token & 31);
        if (allowed === 0 && others.length === 0)
            throw new NibbleError(
                'NB_ERR_UNSUPPORTED',
                "the grammar demands a text here that none of this model's tokens can go on with: its vocabulary " +
                    'lacks these characters, so let the grammar do without them',
            );
        if (!forbid(logits, bits))
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                'no token is left: the logits of all tokens that the grammar allows here are -Infinity',
            );
    }

    /**
     * Goes on by a token, which restrict() has allowed, or which closes a thought.
     * @param {number} token
     * @param {(token: number) => Uint8Array} bytesOf what the token adds here
     * @param {boolean} closes
     */
    accept(token, bytesOf, closes) {
        const { core } = this,
            mark = this.marks.find(([each]) => each === token);
        if (closes || this.#thought || (this.#mayThink && token === this.opener)) {
            const bytes = bytesOf(token);
            this.#spoke ||= bytes.length > 0;
            if (this.#thought) this.#think(mark ? new TextEncoder().encode(mark[1]) : bytes);
            else if (!closes) this.#thought = new Uint8Array();
            this.#mayBegin = false;
            return;
        }
        const odd = this.#current === this.#first,
            took = mark
                ? core.borrowText(mark[1], (at, n) => core.count('nb_matcher_take', this.#current, at, n))
                : core.count('nb_matcher_accept', this.#current, token);
        if (took === 0)
            throw new NibbleError('NB_ERR_STATE', `token ${token} was chosen, which the grammar does not allow here`);
        if (odd) {
            const bytes = mark ? new TextEncoder().encode(mark[1]) : bytesOf(token);
            core.borrowBytes(bytes, (at, n) => core.count('nb_matcher_take', this.#rest, at, n));
        }
        this.#begun = true;
    }

    /** The thought goes on, or ends; then the answer begins with what follows. @param {Uint8Array} bytes */
    #think(bytes) {
        const { core } = this,
            thought = this.#thoughtEnd?.push(/** @type {Uint8Array} */ (this.#thought), bytes);
        this.#thought = thought?.goesOn;
        if (!thought?.rest?.length) return;
        const took = core.borrowBytes(thought.rest, (at, n) => core.count('nb_matcher_take', this.#current, at, n));
        if (took === 0)
            throw new NibbleError('NB_ERR_STATE', 'a thought has ended with what the grammar does not allow');
        this.#begun = true;
    }

    /** Whether the text may go on like this. @param {Uint8Array | string} text */
    #allows(text) {
        const { core } = this,
            bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text,
            clone = core.object('nb_matcher_clone', this.#current);
        try {
            return core.borrowBytes(bytes, (at, n) => core.count('nb_matcher_take', clone, at, n)) === 1;
        } finally {
            core.exports.nb_matcher_free(clone);
        }
    }

    free() {
        const { nb_free, nb_matcher_free } = this.core.exports;
        nb_matcher_free(this.#rest);
        nb_matcher_free(this.#first);
        nb_free(this.mask);
        this.compiled.users--;
    }
}

/**
 * Sets the logits whose bits are 0 to -Infinity. This is done here, and not by the engine, because the mask lies in
 * another memory, and most of it is empty words.
 * @param {Float32Array} logits
 * @param {Int32Array} bits
 * @returns {boolean} whether any other is left
 */
function forbid(logits, bits) {
    let some = false;
    for (let i = 0; i < bits.length; i++) {
        const from = 32 * i,
            end = Math.min(from + 32, logits.length);
        let word = bits[i];
        if (word === 0) logits.fill(-Infinity, from, end);
        else
            for (let token = from; token < end; token++, word >>>= 1)
                if ((word & 1) === 0) logits[token] = -Infinity;
                else some ||= logits[token] > -Infinity;
    }
    return some;
}

/** Texts of tokens, one after another. @typedef {{ bytes: Uint8Array, lengths: Uint32Array }} Texts */

/** @param {Core} core @param {Texts} texts @param {Uint32Array} ends */
const newLexicon = (core, { bytes, lengths }, ends) =>
    core.borrowBytes(bytes, (at) =>
        core.borrowBytes(new Uint8Array(lengths.buffer), (lengthsAt) =>
            core.borrowBytes(new Uint8Array(ends.buffer), (endsAt) =>
                core.object('nb_lexicon_new', at, bytes.length, lengthsAt, lengths.length, endsAt, ends.length),
            ),
        ),
    );

/**
 * What each token adds to an answer's text, at its beginning and later, and which ones end it.
 * @param {Engine} engine
 */
async function vocabularyOf(engine) {
    const { core, model } = engine,
        size = core.exports.nb_model_vocabulary(model),
        decoder = engine.decoder(false),
        ends = Array.from({ length: size }, (_, token) => token).filter(
            (token) => core.exports.nb_model_is_end(model, token) === 1,
        );
    try {
        const first = await textsOf(decoder, size);
        // any token that gives text makes the decoder go on from a beginning
        for (let token = 0; token < size && decoder.push(token) === ''; token++);
        return { first, rest: await textsOf(decoder, size), ends: Uint32Array.from(ends) };
    } finally {
        decoder.free();
    }
}

/**
 * @param {import('./detokenizer.js').Detokenizer} decoder
 * @param {number} size
 * @returns {Promise<Texts>}
 */
async function textsOf(decoder, size) {
    const slice = new Slice(),
        lengths = new Uint32Array(size),
        /** @type {Uint8Array[]} */ all = [];
    for (let token = 0; token < size; token++) {
        if (token % AT_ONCE === 0 && slice.over()) await slice.yieldToEvents();
        lengths[token] = decoder.size(token);
        if (lengths[token] > 0) all.push(decoder.bytes(token));
    }
    const bytes = new Uint8Array(all.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const each of all) {
        bytes.set(each, at);
        at += each.length;
    }
    return { bytes, lengths };
}
