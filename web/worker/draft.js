/**
 * A draft model: a smaller one with the same vocabulary, which guesses what the model will say (Leviathan et al. 2023).
 * It is loaded beside the model, in the same memory, and its session holds the text of the last answer that it guessed
 * for. speculation.js decides when it guesses.
 */
import { NB_LOGITS_LAST } from '../abi.js';
import { about, NibbleError } from '../errors.js';
import { DraftRecord } from './draft-record.js';
import { loadModel } from './load-model.js';
import { makeSampler } from './sampler.js';

/** @typedef {import('./engine.js').Engine} Engine */

/** An error that says that it is about the draft. @param {unknown} error */
export const aboutDraft = (error) => about('the draft model', error);

export class Draft {
    /** Whether it has failed. Then it rests for good. */
    failed = false;

    /**
     * @param {Engine} engine of the draft: it shares its core and its threads with that of the model
     * @param {DraftRecord} record
     */
    constructor(engine, record) {
        this.engine = engine;
        this.record = record;
    }

    /**
     * Loads a draft into an engine that has no model yet.
     * @param {Engine} engine
     * @param {import('../sources/open.js').Opened} opened
     * @param {import('../protocol.js').EngineOptions} options of the model
     * @param {(progress: import('../index.d.ts').Progress) => void} report
     * @param {import('./journal.js').Journal} [journal]
     */
    static async load(engine, opened, { contextLength, kvType, precision }, report, journal) {
        const expected = { contextLength, isMost: true, kvType };
        engine.journal = journal;
        engine.model = await loadModel(engine, opened, expected, report, journal);
        engine.description = engine.describe();
        const own = engine.core.exports.nb_model_context(engine.model) || Infinity,
            context = contextLength === undefined ? undefined : Math.min(contextLength, own);
        engine.openSession({ contextLength: context, kvType, precision, parallel: 1 });
    }

    /**
     * The draft of a model that it fits (draft-check.js).
     * @param {Engine} main
     * @param {Engine} draft
     */
    static of(main, draft) {
        return new Draft(draft, new DraftRecord(draft.description.bytes / main.description.bytes));
    }

    /**
     * Takes note of what went wrong in the draft: answers go on without it, as it only makes them faster. What is no
     * NibbleError, such as a trap, is thrown: it leaves the memory, which the model uses, too, in an unknown state.
     * @param {unknown} error
     */
    fail(error) {
        if (!(error instanceof NibbleError)) throw error;
        if (!this.failed) this.engine.journal?.(`it failed, and does not guess any more: ${error.message}`);
        this.failed = true;
    }

    /**
     * Its part in an answer; undefined: it takes none, because it has failed.
     * @param {ConstructorParameters<typeof Drafter>} of
     */
    static drafter(...of) {
        const [, draft] = of;
        if (draft.failed) return undefined;
        try {
            return new Drafter(...of);
        } catch (error) {
            draft.fail(error);
            return undefined;
        }
    }

    /** A model's `info.draft`. @returns {import('../index.d.ts').DraftInfo} */
    info() {
        const { description, context } = this.engine,
            { name, architecture, parameters, types } = description,
            weights = types.reduce((sum, { bytes }) => sum + bytes, 0);
        return { name, architecture, parameters, contextLength: context, bytes: weights + this.engine.sessionBytes() };
    }
}

/** The draft's part in one answer. */
export class Drafter {
    #main;
    #draft;
    prefix;
    /** Whether the answer goes on past the model's end tokens. */
    #past;
    #sampler;
    /** How many tokens the text has so far. They are at the address `prefix`. */
    n = 0;
    /** How many tokens the draft knows. */
    vocabulary;

    /**
     * @param {Engine} main
     * @param {Draft} draft
     * @param {number} prefix address of the text
     * @param {import('../options.js').CheckedGenerate} options
     * @param {import('./sampler.js').Bias[]} biases
     */
    constructor(main, draft, prefix, options, biases) {
        const { core, model } = draft.engine;
        this.vocabulary = core.exports.nb_model_vocabulary(model);
        const known = biases.filter(({ token }) => token < this.vocabulary);
        this.#main = main;
        this.#draft = draft;
        this.prefix = prefix;
        this.#past = options.ignoreEnd;
        // it takes the likeliest token, after biases and penalties
        this.#sampler = makeSampler(core, model, { ...options, temperature: 0, mirostat: 0 }, known, 0);
    }

    free() {
        this.#draft.engine.core.exports.nb_sampler_free(this.#sampler);
    }

    get engine() {
        return this.#draft.engine;
    }

    get failed() {
        return this.#draft.failed;
    }

    get record() {
        return this.#draft.record;
    }

    /** For how many guesses its context has room. */
    get room() {
        return this.#draft.engine.context - this.n;
    }

    /** How many tokens of the text it does not hold. */
    get unread() {
        const { core, session } = this.#draft.engine;
        return this.n - core.exports.nb_session_holds(session, this.prefix, this.n);
    }

    /** @param {unknown} error */
    fail(error) {
        this.#draft.fail(error);
    }

    /**
     * Guesses, and writes the guesses behind the text. If the draft fails there are none.
     * @param {number} most
     * @param {(margin: number) => boolean} goesOn whether to guess once more after a guess with this margin (marginOf)
     */
    propose(most, goesOn) {
        try {
            return this.#guesses(most, goesOn);
        } catch (error) {
            this.fail(error);
            return [];
        }
    }

    /** @param {number} most @param {(margin: number) => boolean} goesOn */
    #guesses(most, goesOn) {
        const { engine } = this.#draft,
            { core, session } = engine,
            size = core.exports.nb_model_vocabulary(this.#main.model),
            prefix = this.prefix;
        /** @type {number[]} */
        const guesses = [];
        while (guesses.length < most) {
            const n = this.n + guesses.length;
            for (let held = -1; held < n; ) held = core.count('nb_session_advance', session, prefix, n, NB_LOGITS_LAST);
            const { logits } = engine.logits(session),
                token = core.exports.nb_sampler_next(this.#sampler, logits, prefix, n);
            if (token >= size) break; // the model has no such token
            core.ints(prefix + 4 * n, 1)[0] = token;
            guesses.push(token);
            if (!goesOn(marginOf(core.floats(logits, this.vocabulary), token)) || this.#ends(token)) break;
        }
        return guesses;
    }

    /** @param {number} token */
    #ends(token) {
        const { core, model } = this.#main;
        return !this.#past && core.exports.nb_model_is_end(model, token) === 1;
    }
}

/**
 * How much higher the highest logit is than the second.
 * @param {Float32Array} logits
 * @param {number} best the token with the highest one
 */
function marginOf(logits, best) {
    let second = -Infinity;
    for (let i = 0; i < logits.length; i++) if (logits[i] > second && i !== best) second = logits[i];
    return logits[best] - second;
}
