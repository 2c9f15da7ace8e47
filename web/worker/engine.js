/**
 * The engine behind a loaded model: owns a core, its pool, the model and one session, and does what requests ask
 * for. It knows nothing of how the messages come and go (engine-worker.js does).
 */
import {
    NB_LOGITS_ALL,
    NB_MAX_GUESSES,
    NB_TOKEN_USER_DEFINED,
    NB_TOKENIZE_ADD_SPECIAL,
    NB_TOKENIZE_PARSE_SPECIAL,
    nb_plain,
    nb_quote,
    PRECISIONS,
    TYPES,
} from '../abi.js';
import { NibbleError, quoted } from '../errors.js';
import { yieldToEvents } from '../platform.js';
import { peek } from '../sources/peek.js';
import { Adapters } from './adapters.js';
import { startCore } from './choose-build.js';
import { Conversations } from './conversations.js';
import { cleanedUp, Detokenizer, findTexts } from './detokenizer.js';
import { aboutDraft, Draft } from './draft.js';
import { cannotBeDrafted, fitting } from './draft-check.js';
import { INTEGER_HEAD, isOfIntegers, loadIntegers } from './integers.js';
import { inBytes, stopwatch } from './journal.js';
import { cacheTypeOf, DEFAULT_CONTEXT, loadModel, openModel, partOf, stillOpen } from './load-model.js';
import { Slice } from './pace.js';
import { startThreads } from './pool.js';
import { encodeQuotes } from './quotes.js';
import { Seats } from './seats.js';
import { writeStructs } from './structs.js';
import { Together } from './together.js';
import { chatTurn } from './turn.js';

/** @typedef {import('../index.d.ts').Build} Build */
/** @typedef {import('../index.d.ts').Progress} Progress */
/** @typedef {import('../index.d.ts').Message} Message */
/** @typedef {import('../index.d.ts').ModelInfo} ModelInfo */
/** @typedef {import('../protocol.js').EngineOptions} EngineOptions */

/**
 * What nb_model_describe says.
 * @typedef {Omit<ModelInfo, 'build' | 'threads' | 'contextLength' | 'parallel' | 'memoryBytes' | 'sessionBytes' | 'loadMs' |
 *     'draft'>}
 *     Description
 */

/** Tokens that any text may have in the first try. */
const ROOM = 1 << 20;

/** Tokens that a message names. */
const MOST_SHOWN = 8;

/**
 * watch: passes on the port by which a thread of the pool reports its failure (see pool-worker.js).
 * nextOfDraft: as nextFromPort, of the draft model.
 * @typedef {{ progress: (progress: Progress) => void, nextFromPort: () => Promise<Uint8Array | null>,
 *     nextOfDraft?: () => Promise<Uint8Array | null>, watch: (port: MessagePort) => void, journal?: Journal }} LoadPort
 */

/** @typedef {import('./journal.js').Journal} Journal */

/** A request as it runs: it may be stopped at any time. @typedef {{ stopped: boolean }} Job */

export class Engine {
    /**
     * @param {import('./core.js').Core} core
     * @param {number} threads
     */
    constructor(core, threads) {
        this.core = core;
        this.threads = threads;
        this.pool = 0;
        this.model = 0;
        this.session = 0;
        /** What a session would take, if only the header was loaded. */
        this.expectedBytes = 0;
        this.context = 0;
        this.kvType = TYPES.i16;
        this.precision = PRECISIONS.exact;
        this.description = /** @type {Description} */ (/** @type {unknown} */ (undefined)); // load() sets it
        this.loadMs = 0;
        /** @type {import('../assets.js').Assets | undefined} */
        this.assets = undefined;
        /** Once a request had a grammar. @type {Promise<import('./grammar.js').Grammars> | undefined} */
        this.grammars = undefined;
        /** @type {{ token: number, name: string }[] | undefined} */
        this.userDefined = undefined;
        /** @type {Journal | undefined} */
        this.journal = undefined;
        /** Tokens that the core can try at once. */
        this.mostGuesses = NB_MAX_GUESSES;
        this.adapters = new Adapters(this);
        /** The session's sequences. openSession() knows how many there are. */
        this.seats = new Seats(this, 1);
        this.together = new Together(this);
        /** Besides the session's. @type {Conversations | undefined} */
        this.conversations = undefined;
        /** @type {Draft | undefined} */
        this.draft = undefined;
    }

    /**
     * @param {import('../sources/open.js').Source} source
     * @param {EngineOptions} options
     * @param {LoadPort} port
     * @param {import('../sources/open.js').Source} [draft] a model that guesses for this one
     */
    static async load(source, options, port, draft) {
        const began = performance.now(),
            { journal } = port;
        // the download is under way while the core compiles
        const opening = openModel(source, options, port.nextFromPort, journal);
        opening.catch(() => {});
        const openingDraft =
            draft && openDraft(draft, options, port).then((opened) => ({ draft, opened, at: performance.now() }));
        openingDraft?.catch(() => {});
        const { core, threads } = await startCore(options.headerOnly ? { ...options, threads: 1 } : options, journal);
        const engine = new Engine(core, threads);
        engine.journal = journal;
        engine.assets = options.assets;
        engine.pool = core.object('nb_pool_new', threads);
        /** @type {Engine | undefined} */
        let draftEngine;
        // the first to fail ends the load: a thread that does not start is reported before a long download ends
        [engine.model] = await Promise.all([
            opening.then(async (openedEarly) => {
                const time = performance.now(),
                    { head, rest } = await peek(openedEarly, INTEGER_HEAD),
                    isInteger = isOfIntegers(head);
                let opened = rest,
                    { progress } = port;
                if (openingDraft) {
                    if (isInteger) throw cannotBeDrafted();
                    const openedDraft = async () => {
                        const { draft, opened, at } = await openingDraft,
                            open = () => openDraft(draft, options, port);
                        return stillOpen(draft, opened, open, performance.now() - at);
                    };
                    const both = await fitting(engine, rest, openedDraft, journal),
                        report = partOf(progress, 0, openedEarly.total || NaN);
                    // the smaller file comes first: what memory the model may take is known then
                    draftEngine = await loadDraft(engine, both.draft, options, report, journal);
                    const open = () => openModel(source, options, port.nextFromPort, journal);
                    opened = await stillOpen(source, both.model, open, performance.now() - time);
                    progress = partOf(progress, both.draft.total || draftEngine.description.bytes, 0);
                }
                return isInteger && !options.headerOnly
                    ? loadIntegers(engine, opened, options, port)
                    : loadModel(engine, opened, options, progress, journal);
            }),
            engine.startWorkers(options.assets.poolWorkerUrl, port.watch),
        ]);
        engine.description = engine.describe();
        if (options.headerOnly) engine.expectSession(options);
        else engine.openSession(options);
        if (draftEngine) engine.draft = Draft.of(engine, draftEngine);
        if (options.cacheSize && engine.session && engine.goesOn())
            engine.conversations = new Conversations(options.cacheSize);
        engine.loadMs = performance.now() - began;
        return engine;
    }

    /** An engine for another model in the same memory, with the same threads. */
    beside() {
        const other = new Engine(this.core, this.threads);
        other.pool = this.pool;
        return other;
    }

    /**
     * @param {string} url of the script of the pool's threads
     * @param {(port: MessagePort) => void} watch
     * @returns {Promise<() => void>} ends them
     */
    async startWorkers(url, watch) {
        const time = stopwatch();
        const end = await startThreads(this.core, this.pool, this.threads, url, watch);
        if (this.threads > 1) this.journal?.(`threads: ${this.threads} run after ${time()}`);
        return end;
    }

    /** @returns {Description} */
    describe() {
        const { core, model } = this;
        const size = core.exports.nb_model_describe(model, 0, 0);
        return JSON.parse(
            core.borrow(size + 1, (at) => {
                core.exports.nb_model_describe(model, at, size + 1);
                return core.string(at, size);
            }),
        );
    }

    /** @param {Pick<EngineOptions, 'contextLength' | 'kvType' | 'precision' | 'parallel'>} options */
    openSession({ contextLength: wanted, kvType, precision, parallel }) {
        const { core, model, pool } = this;
        this.context = contextOf(wanted, core.exports.nb_model_context(model));
        this.kvType = cacheTypeOf(kvType);
        this.precision = PRECISIONS[precision];
        if (this.goesOn()) this.seats = new Seats(this, parallel);
        const time = stopwatch(),
            { length } = this.seats.all;
        this.session = core.object('nb_session_new', model, pool, this.context, 0, this.kvType, this.precision, length);
        this.journal?.(
            `session: context ${this.context}${length > 1 ? ` for each of ${length} requests` : ''}, cache ${kvType}, ` +
                `precision ${precision}, ${inBytes(this.sessionBytes())}, ${time()}`,
        );
    }

    /**
     * Finds out what memory a session would take, of a model of which only the header was loaded.
     * @param {Pick<EngineOptions, 'contextLength' | 'kvType' | 'parallel'>} options
     */
    expectSession({ contextLength, kvType, parallel }) {
        const { core, model, description } = this,
            context = contextOf(contextLength, description.context ?? 0),
            sequences = this.goesOn() ? parallel : 1;
        this.expectedBytes = core.exports.nb_session_bytes(model, context, 0, cacheTypeOf(kvType), sequences);
    }

    /** The KV cache and the buffers that a batch passes through. */
    sessionBytes() {
        const { length } = this.seats.all;
        return this.session
            ? this.core.exports.nb_session_bytes(this.model, this.context, 0, this.kvType, length)
            : this.expectedBytes;
    }

    /** Whether sessions of this model go on from a text, can be saved, and can have several sequences. */
    goesOn() {
        const { embedding, encoder, causal } = this.description;
        return Boolean(embedding && causal !== false && !encoder);
    }

    /** A model's `info`. @returns {ModelInfo} */
    info() {
        return {
            ...this.description,
            build: /** @type {ModelInfo['build']} */ (this.core.build),
            threads: this.threads,
            contextLength: this.context,
            parallel: this.seats.all.length,
            memoryBytes: this.core.size,
            sessionBytes: this.sessionBytes(),
            loadMs: this.loadMs,
            ...(this.draft ? { draft: this.draft.info() } : {}),
        };
    }

    /**
     * @param {string} text
     * @param {number} flags
     * @returns {number[]}
     */
    tokenize(text, flags) {
        return Array.from(this.encode(text, flags));
    }

    /**
     * The same as a typed array, which is quicker to send than an array of numbers.
     * @param {string} text
     * @param {number} flags
     */
    encode(text, flags) {
        return this.encodeQuoted(text, [], [], flags);
    }

    /**
     * The tokens of a text that has quotes in it (nb_tokenize_quoted).
     * @param {string} text
     * @param {import('./quotes.js').Marks} marks
     * @param {import('./chat.js').Plain[]} plain
     * @param {number} flags
     */
    encodeQuoted(text, marks, plain, flags) {
        const { core, model } = this;
        const { utf8, quotes } = encodeQuotes(text, marks);
        const bytes = quotes.length * nb_quote.size + plain.length * nb_plain.size;
        return core.borrow(bytes, (rules) =>
            core.borrowBytes(utf8, (at, length) => {
                const behind = writeStructs(core.memory, rules, nb_quote, quotes);
                writeStructs(core.memory, behind, nb_plain, plain);
                // a token a byte is always enough, and one for two bytes mostly is; a second try costs a long text more
                // than memory for the tokens of its half
                for (let capacity = Math.max(length >> 1, Math.min(length, ROOM)) + 16; ; ) {
                    const { tokens, n } = core.borrow(4 * capacity, (out) => {
                        const n = core.count(
                            'nb_tokenize_quoted',
                            model,
                            at,
                            length,
                            flags,
                            rules,
                            quotes.length,
                            behind,
                            plain.length,
                            out,
                            capacity,
                        );
                        return { n, tokens: core.ints(out, Math.min(n, capacity)).slice() };
                    });
                    if (n <= capacity) return tokens;
                    capacity = n;
                }
            }),
        );
    }

    /**
     * @param {number[]} tokens
     * @param {number} [size] how many tokens there are
     */
    checkTokens(tokens, size = this.core.exports.nb_model_vocabulary(this.model)) {
        for (const [i, token] of tokens.entries())
            if (!Number.isInteger(token) || token < 0 || token >= size)
                throw new NibbleError(
                    'NB_ERR_ARGUMENT',
                    `token ${i} is ${
                        typeof token === 'number' ? token : `the ${typeof token} ${String(token)}`
                    }; this model's tokens are the numbers 0 to ${size - 1}`,
                );
    }

    /**
     * @param {number[]} tokens
     * @param {boolean} special
     */
    detokenize(tokens, special) {
        // an embedding may have more rows than the tokenizer has tokens, or fewer
        this.checkTokens(
            tokens,
            Math.max(this.core.exports.nb_model_vocabulary(this.model), this.description.tokenizer?.size ?? 0),
        );
        const decoder = this.decoder(special, true);
        try {
            const text = tokens.map((token) => decoder.push(token)).join('') + decoder.flush();
            return this.description.tokenizer?.cleansUp ? cleanedUp(text) : text;
        } finally {
            decoder.free();
        }
    }

    /**
     * A decoder for one request, which frees it.
     * @param {boolean} special
     * @param {boolean} [whole] the tokens are a whole text, and no part of one
     */
    decoder(special, whole = false) {
        return new Detokenizer(this.core, this.model, special, whole);
    }

    /**
     * The tokens that write each of these texts, and are nothing but it. Mostly there is one.
     * @param {string} what whose texts they are, for a message
     * @param {string[]} texts
     * @returns {number[][]}
     */
    tokensOfTexts(what, texts) {
        if (texts.length === 0) return [];
        const decoder = this.decoder(true);
        try {
            const found = findTexts(decoder, this.core.exports.nb_model_vocabulary(this.model), texts);
            const missing = found.findIndex((tokens) => tokens.length === 0);
            if (missing >= 0) throw this.severalTokens(what, texts[missing], decoder);
            return found;
        } finally {
            decoder.free();
        }
    }

    /** @param {string} what @param {string} text @param {Detokenizer} decoder */
    severalTokens(what, text, decoder) {
        const tokens = this.tokenize(text, NB_TOKENIZE_PARSE_SPECIAL),
            shown = tokens.slice(0, MOST_SHOWN).map((token) => {
                const name = new TextDecoder().decode(decoder.bytes(token));
                return `${token} ${quoted(name)}`;
            });
        if (tokens.length > MOST_SHOWN) shown.push('...');
        return new NibbleError(
            'NB_ERR_ARGUMENT',
            `${what} has the text ${quoted(text)}, which is not one token of this model, but ` +
                `${tokens.length}: ${shown.join(', ')}. Give these a bias, by their ids or texts`,
        );
    }

    /** What the model wants before any text, without the end token that some models want, too: one token, or none. */
    beginTokens() {
        return this.tokenize('', NB_TOKENIZE_ADD_SPECIAL)
            .filter((token) => token === this.description.tokenizer?.begin)
            .slice(0, 1);
    }

    /** The tokens that are found in any text, with their names. */
    userDefinedTokens() {
        const { core, model } = this;
        if (this.userDefined) return this.userDefined;
        const size = this.description.tokenizer?.size ?? 0;
        const tokens = Array.from({ length: size }, (_, token) => token).filter(
            (token) => core.exports.nb_model_token_type(model, token) === NB_TOKEN_USER_DEFINED,
        );
        return (this.userDefined = tokens.map((token) => ({ token, name: this.detokenize([token], true) })));
    }

    /** What a chat needs to know of the model. @returns {import('./chat.js').ChatModel} */
    chatModel() {
        const { chatTemplate = null, tokenizer } = this.description;
        return {
            template: chatTemplate,
            encoder: this.description.encoder,
            templateUrl: this.assets?.templateUrl,
            beginText: tokenizer?.beginText ?? '',
            endText: tokenizer?.endText ?? '',
            beginTokens: this.beginTokens(),
            userDefined: () => this.userDefinedTokens(),
            isToken: (name) => this.tokenOf(name) !== undefined,
            tokenize: (text, marks, plain) =>
                Array.from(this.encodeQuoted(text, marks, plain, NB_TOKENIZE_PARSE_SPECIAL)),
        };
    }

    /** The token that has this name, if there is one. @param {string} name @returns {number | undefined} */
    tokenOf(name) {
        const tokens = this.tokenize(name, NB_TOKENIZE_PARSE_SPECIAL);
        return tokens.length === 1 ? tokens[0] : undefined;
    }

    /** Pauses for events, and tells whether the job was stopped. @param {Job} job */
    pauseOf(job) {
        const slice = new Slice();
        return async () => {
            if (slice.over()) await slice.yieldToEvents();
            return job.stopped;
        };
    }

    /**
     * The prompt of a turn of a chat, and what is known of the answer.
     * @param {Message[]} messages
     * @param {import('../options.js').CheckedTurn} options
     * @param {Job} job
     * @returns {Promise<import('./turn.js').Turn | null>} null: the job was stopped
     */
    chatTurn(messages, options, job) {
        return chatTurn(this.chatModel(), messages, options, this.pauseOf(job));
    }

    /**
     * Makes the session ready for these tokens: it gets these adapters, and with a budget for conversations what is
     * kept of them.
     * @param {number[]} tokens
     * @param {import('./adapters.js').AdapterSet} adapters
     */
    prepare(tokens, adapters) {
        this.seats.prepare(Int32Array.from(tokens), adapters);
    }

    /** Where the last logits are: [rows, vocabulary] F32. @param {number} session */
    logits(session) {
        return this.core.borrow(4, (at) => {
            const logits = this.core.exports.nb_session_logits(session, at) >>> 0;
            return { logits, rows: this.core.ints(at, 1)[0] };
        });
    }

    /**
     * The logits that follow each of the tokens, in a session of their own: nothing is cached.
     * @param {number[]} tokens
     * @param {(rows: Float32Array) => void} emit [rows, vocabulary], in order
     * @param {Job & { ready: () => Promise<void> }} job ready: waits until the reader wants more
     * @param {<T>(run: () => T) => Promise<T>} turn runs it when nothing else is computed
     */
    async evaluate(tokens, emit, job, turn) {
        this.needSession();
        const { core, model } = this;
        this.checkTokens(tokens);
        if (tokens.length === 0) throw new NibbleError('NB_ERR_ARGUMENT', 'there are no tokens to evaluate');
        const vocabulary = core.exports.nb_model_vocabulary(model);
        const session = this.adapters.open(tokens.length);
        let prefix = 0;
        try {
            prefix = core.allocate(4 * tokens.length, 'the tokens');
            core.ints(prefix, tokens.length).set(tokens);
            const batch = () => {
                const held = core.count('nb_session_advance', session, prefix, tokens.length, NB_LOGITS_ALL);
                const { logits, rows } = this.logits(session);
                emit(core.floats(logits, rows * vocabulary).slice());
                return held;
            };
            for (let held = 0; held < tokens.length && !job.stopped; ) {
                held = await turn(batch);
                await yieldToEvents();
                await job.ready();
            }
        } finally {
            core.exports.nb_free(prefix);
            this.adapters.close(session);
        }
    }

    needSession() {
        if (!this.session)
            throw new NibbleError(
                'NB_ERR_STATE',
                "only this file's header was loaded (headerOnly), so nothing can be computed: " +
                    'load it without headerOnly',
            );
    }

    /** Ends the pool's threads. The memory goes with the worker itself. */
    close() {
        this.core.exports.nb_pool_stop(this.pool);
    }
}

/**
 * Tokens that a session holds.
 * @param {number | undefined} wanted
 * @param {number} own that the model was made for; 0: unknown
 */
const contextOf = (wanted, own) => wanted ?? Math.min(own || DEFAULT_CONTEXT, DEFAULT_CONTEXT);

/** Lines about the draft. @param {Journal | undefined} journal @returns {Journal | undefined} */
const ofDraft = (journal) => journal && ((line) => journal(`draft: ${line}`));

/**
 * Opens the file of a draft. It is read as it is: what is said of quantizing is for the model.
 * @param {import('../sources/open.js').Source} source
 * @param {EngineOptions} options
 * @param {LoadPort} port
 */
async function openDraft(source, options, { nextOfDraft = async () => null, journal }) {
    try {
        return await openModel(
            source,
            { ...options, quantize: undefined, imatrix: undefined },
            nextOfDraft,
            ofDraft(journal),
        );
    } catch (error) {
        throw aboutDraft(error);
    }
}

/**
 * @param {Engine} main
 * @param {import('../sources/open.js').Opened} opened
 * @param {EngineOptions} options
 * @param {LoadPort['progress']} report
 * @param {Journal} [journal]
 * @returns {Promise<Engine>} of the draft: it shares its core and its threads with the model's
 */
async function loadDraft(main, opened, options, report, journal) {
    const engine = main.beside();
    try {
        await Draft.load(engine, opened, options, report, ofDraft(journal));
        return engine;
    } catch (error) {
        throw aboutDraft(error);
    }
}
