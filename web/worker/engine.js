/**
 * The engine behind a loaded model: owns a core, its pool, the model and one session, and does what requests ask
 * for. It knows nothing of how the messages come and go (engine-worker.js does).
 */
import {
    NB_LOGITS_ALL,
    NB_LOGITS_LAST,
    NB_MAX_GUESSES,
    NB_TOKEN_USER_DEFINED,
    NB_TOKENIZE_ADD_SPECIAL,
    NB_TOKENIZE_PARSE_SPECIAL,
    nb_plain,
    nb_quote,
    PRECISIONS,
    TYPES,
} from '../abi.js';
import { NibbleError } from '../errors.js';
import { yieldToEvents } from '../platform.js';
import { peek } from '../sources/peek.js';
import { Adapters } from './adapters.js';
import { AnswerReader } from './answers/reader.js';
import { closing } from './answers/thoughts.js';
import { chatPrompt } from './chat.js';
import { startCore } from './choose-build.js';
import { Conversations } from './conversations.js';
import { cleanedUp, Detokenizer, findTexts } from './detokenizer.js';
import { fillInPrompt } from './fill-in.js';
import { Grammars } from './grammar.js';
import { INTEGER_HEAD, isOfIntegers, loadIntegers } from './integers.js';
import { inBytes, inMs, inTokens, stopwatch } from './journal.js';
import { DEFAULT_CONTEXT, loadModel, openModel } from './load-model.js';
import { Output, rate, round } from './output.js';
import { Overflow } from './overflow.js';
import { Pace, Slice } from './pace.js';
import { startThreads } from './pool.js';
import { encodeQuotes } from './quotes.js';
import { newSampler } from './sampler.js';
import { Speculator } from './speculation.js';
import { Stepper } from './step.js';
import { StopFinder } from './stops.js';
import { writeStructs } from './structs.js';
import { chatTurn } from './turn.js';

/** @typedef {import('../index.d.ts').Build} Build */
/** @typedef {import('../index.d.ts').Progress} Progress */
/** @typedef {import('../index.d.ts').Result} Result */
/** @typedef {import('../index.d.ts').Message} Message */
/** @typedef {import('../index.d.ts').ModelInfo} ModelInfo */
/** @typedef {import('../options.js').CheckedGenerate} CheckedGenerate */
/** @typedef {import('../protocol.js').EngineOptions} EngineOptions */
/** @typedef {import('../protocol.js').GenerateAsk} GenerateAsk */

/**
 * What nb_model_describe says.
 * @typedef {Omit<ModelInfo, 'build' | 'threads' | 'contextLength' | 'memoryBytes' | 'sessionBytes' | 'loadMs'>}
 *     Description
 */

/** Tokens that any text may have in the first try. */
const ROOM = 1 << 20;

/** Tokens that a message names. */
const MOST_SHOWN = 8;

/**
 * watch: passes on the port by which a thread of the pool reports its failure (see pool-worker.js).
 * @typedef {{ progress: (progress: Progress) => void, nextFromPort: () => Promise<Uint8Array | null>,
 *     watch: (port: MessagePort) => void, journal?: Journal }} LoadPort
 */

/** @typedef {import('./journal.js').Journal} Journal */

/** @typedef {Pick<Result, 'promptTokens' | 'cachedTokens'>} Prompted */

/** @type {Prompted} */
const NO_PROMPT = { promptTokens: 0, cachedTokens: 0 };

/**
 * What an answer is made with. prefix: where the core reads and writes all tokens so far. stepper: makes the tokens
 * instead of the core, one at a time. speculator: guesses some of them. overflow: makes room in the context.
 * @typedef {{ sampler: number, prefix: number, output: Output, stepper: Stepper | undefined,
 *     speculator: Speculator | undefined, overflow: Overflow,
 *     adapters: import('./adapters.js').AdapterSet }} Means
 */

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
        this.context = 0;
        this.kvType = TYPES.i16;
        this.precision = PRECISIONS.exact;
        this.description = /** @type {Description} */ (/** @type {unknown} */ (undefined)); // load() sets it
        this.loadMs = 0;
        /** @type {import('../assets.js').Assets | undefined} */
        this.assets = undefined;
        /** Once a request had a grammar. @type {Promise<Grammars> | undefined} */
        this.grammars = undefined;
        /** @type {{ token: number, name: string }[] | undefined} */
        this.userDefined = undefined;
        /** @type {Journal | undefined} */
        this.journal = undefined;
        /** Tokens that the core can try at once. */
        this.mostGuesses = NB_MAX_GUESSES;
        this.adapters = new Adapters(this);
        /** Besides the session's. @type {Conversations | undefined} */
        this.conversations = undefined;
    }

    /**
     * @param {import('../sources/open.js').Source} source
     * @param {EngineOptions} options
     * @param {LoadPort} port
     */
    static async load(source, options, port) {
        const began = performance.now(),
            { journal } = port;
        // the download is under way while the core compiles
        const opening = openModel(source, options, port.nextFromPort, journal);
        opening.catch(() => {});
        const { core, threads } = await startCore(options.headerOnly ? { ...options, threads: 1 } : options, journal);
        const engine = new Engine(core, threads);
        engine.journal = journal;
        engine.assets = options.assets;
        engine.pool = core.object('nb_pool_new', threads);
        // the first to fail ends the load: a thread that does not start is reported before a long download ends
        [engine.model] = await Promise.all([
            opening.then(async (opened) => {
                const { head, rest } = await peek(opened, INTEGER_HEAD);
                return isOfIntegers(head) && !options.headerOnly
                    ? loadIntegers(engine, rest, options, port)
                    : loadModel(engine, rest, options, port.progress, journal);
            }),
            engine.startWorkers(options.assets.poolWorkerUrl, port.watch),
        ]);
        engine.description = engine.describe();
        if (!options.headerOnly) engine.openSession(options.contextLength, options.kvType, options.precision);
        if (options.cacheSize && engine.canSave()) engine.conversations = new Conversations(options.cacheSize);
        engine.loadMs = performance.now() - began;
        return engine;
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

    /**
     * @param {number | undefined} wanted
     * @param {'i16' | 'f16' | 'f32' | 'q8_0'} kvType
     * @param {'exact' | 'fast'} precision
     */
    openSession(wanted, kvType, precision) {
        const { core, model, pool } = this;
        const own = core.exports.nb_model_context(model);
        this.context = wanted ?? Math.min(own || DEFAULT_CONTEXT, DEFAULT_CONTEXT);
        this.kvType = TYPES[kvType];
        this.precision = PRECISIONS[precision];
        const time = stopwatch();
        this.session = core.object('nb_session_new', model, pool, this.context, 0, this.kvType, this.precision);
        this.journal?.(
            `session: context ${this.context}, cache ${kvType}, precision ${precision}, ${inBytes(
                this.sessionBytes(),
            )}, ${time()}`,
        );
    }

    /** The KV cache and the buffers that a batch passes through; 0 where only the header was loaded. */
    sessionBytes() {
        return this.session ? this.core.exports.nb_session_bytes(this.model, this.context, 0, this.kvType) : 0;
    }

    /** Whether the session goes on from a text, and can be saved. */
    canSave() {
        const { embedding, encoder, causal } = this.description;
        return Boolean(this.session && embedding && causal !== false && !encoder);
    }

    /** A model's `info`. @returns {ModelInfo} */
    info() {
        return {
            ...this.description,
            build: /** @type {ModelInfo['build']} */ (this.core.build),
            threads: this.threads,
            contextLength: this.context,
            memoryBytes: this.core.size,
            sessionBytes: this.sessionBytes(),
            loadMs: this.loadMs,
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
                return `${token} ${JSON.stringify(name)}`;
            });
        if (tokens.length > MOST_SHOWN) shown.push('...');
        const short = text.length > 60 ? `${text.slice(0, 57)}...` : text;
        return new NibbleError(
            'NB_ERR_ARGUMENT',
            `${what} has the text ${JSON.stringify(short)}, which is not one token of this model, but ` +
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
     * The prompt as the model's template alone makes it.
     * @param {Message[]} messages
     * @param {import('../index.d.ts').TemplateOptions} options
     * @param {Job} job
     * @returns {Promise<import('../protocol.js').Prompt | null>} null: the job was stopped
     */
    applyTemplate(messages, options, job) {
        return chatPrompt(this.chatModel(), messages, options, this.pauseOf(job));
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
     * How the answer of a turn is taken apart; undefined: it is all text.
     * @param {import('./answers/reader.js').AnswerPlan} plan
     * @param {import('../options.js').CheckedTurn} options
     * @returns {import('./output.js').Taking | undefined}
     */
    takingOf(plan, { thinking }) {
        const { thoughts, format } = plan;
        if (!thoughts && !format) return undefined;
        /** @type {Map<number, string>} */
        const marks = new Map();
        const names = [...(thoughts ? [thoughts.begin, thoughts.end] : [])];
        if (format) names.push(...format.begins, ...(format.marks ?? []));
        for (const name of names) {
            const token = this.tokenOf(name);
            if (token !== undefined) marks.set(token, name);
        }
        return {
            reader: new AnswerReader(plan),
            marks,
            closing: thoughts ? this.tokensWithin(closing(thoughts)) : [],
            most: typeof thinking === 'object' ? thinking.maxTokens : Infinity,
        };
    }

    /**
     * The tokens of a text that follows others; some tokenizers write a text's beginning otherwise.
     * @param {string} text
     */
    tokensWithin(text) {
        const before = this.tokenize('\n', NB_TOKENIZE_PARSE_SPECIAL),
            both = this.tokenize(`\n${text}`, NB_TOKENIZE_PARSE_SPECIAL);
        return before.every((token, i) => token === both[i])
            ? both.slice(before.length)
            : this.tokenize(text, NB_TOKENIZE_PARSE_SPECIAL);
    }

    /**
     * @param {GenerateAsk} ask
     * @param {Job} job
     * @returns {Promise<{ prompt: number[], taking?: import('./output.js').Taking, grammar?: string }>} no tokens: the
     *     job was stopped while a template was rendered. grammar: of the calls that the answer must have
     */
    async promptOf({ what, input, options }, job) {
        if (what === 'chat') {
            const turn = await this.chatTurn(input, options, job);
            if (!turn) return { prompt: [] };
            const { tokens, plan } = turn;
            return { prompt: tokens, taking: this.takingOf(plan, options), grammar: plan.held?.grammar };
        }
        if (typeof input === 'string') {
            const flags = NB_TOKENIZE_ADD_SPECIAL | (options.special ? NB_TOKENIZE_PARSE_SPECIAL : 0);
            return { prompt: this.tokenize(input, flags) };
        }
        if ('suffix' in input) return { prompt: fillInPrompt(this, input) };
        this.checkTokens(input);
        return { prompt: input };
    }

    /**
     * Answers one request: prompt, tokens, text.
     * @param {GenerateAsk} ask
     * @param {Job} job
     * @param {import('./output.js').Emit} emit
     * @param {import('./step.js').Lend} lend to onLogits(), if there is one
     * @returns {Promise<Result>}
     */
    async generate(ask, job, emit, lend) {
        this.needSession();
        const { core, context } = this,
            { options } = ask;
        if (!this.description.tokenizer)
            throw new NibbleError(
                'NB_ERR_UNSUPPORTED',
                "this model's file has no tokenizer, so its tokens have no text, and it cannot generate: logits() " +
                    '(nibble eval) takes token ids; or make the file anew from one that has a tokenizer',
            );
        const adapters = options.adapters ? this.adapters.set(options.adapters) : this.adapters.chosen;
        const { prompt, taking, grammar } = await this.promptOf(ask, job);
        const aborted = () => ({
            ...this.result('', [], NO_PROMPT, 'abort', options.seed ?? 0, { prompt: null, generate: null }),
            ...(options.logprobs ? { logprobs: [] } : {}),
        });
        if (job.stopped && prompt.length === 0) return aborted();
        if (prompt.length === 0)
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                'the prompt is empty, and this model has no beginning token to start from',
            );
        const overflow = new Overflow(this, ask, prompt, job, async (messages) => {
            const turn = await this.chatTurn(messages, /** @type {any} */ (options), job);
            return turn?.tokens ?? [];
        });
        const begun = await overflow.fit([]);
        if (!begun) return aborted();
        const seed = options.seed ?? crypto.getRandomValues(new Uint32Array(1))[0];
        let sampler = 0,
            prefix = 0;
        /** @type {Detokenizer[]} */
        const decoders = [];
        /** @type {import('./grammar.js').Matcher | undefined} */
        let matcher;
        try {
            matcher = await this.matcher(grammar ?? options.grammar, taking);
            sampler = newSampler(this, options, seed);
            const decoder = this.decoder(false);
            decoders.push(decoder);
            prefix = core.allocate(4 * (context + 1), 'the prompt');
            core.ints(prefix, begun.length).set(begun);
            const output = new Output(decoder, new StopFinder(options.stop), emit, options.logprobs, taking);
            /** @type {Stepper | undefined} */
            let stepper;
            if (options.logprobs || ask.lends || matcher) {
                const names = this.decoder(true);
                decoders.push(names);
                const lends = async (/** @type {Float32Array} */ logits, /** @type {number} */ position) => {
                    output.send(); // onLogits() sees all tokens so far
                    return lend(logits, position);
                };
                stepper = new Stepper(
                    this,
                    options,
                    { sampler, prefix, decoder, names, matcher },
                    ask.lends ? lends : undefined,
                );
            }
            const speculator = options.speculate && !stepper ? new Speculator(begun, this.mostGuesses) : undefined,
                means = { sampler, prefix, output, stepper, speculator, overflow, adapters };
            const { finishReason, prompted, rates } = await this.answer(options, job, begun.length, means);
            const result = this.result(output.text, output.tokens, prompted, finishReason, seed, rates),
                { reasoning, toolCalls, logprobs } = output,
                reasoningTokens = Math.min(output.thoughtTokens, output.mostThought);
            return {
                ...result,
                ...(reasoningTokens > 0 ? { reasoning, reasoningTokens } : {}),
                ...(toolCalls.length > 0 ? { toolCalls } : {}),
                ...(logprobs ? { logprobs } : {}),
                ...(overflow.isOn ? { droppedTokens: overflow.dropped } : {}),
            };
        } finally {
            for (const each of decoders) each.free();
            matcher?.free();
            core.exports.nb_free(prefix);
            core.exports.nb_sampler_free(sampler);
        }
    }

    /**
     * What holds an answer to this grammar, if there is one. A failed start is tried again by the next request.
     * @param {string | undefined} grammar
     * @param {import('./output.js').Taking} [taking]
     */
    async matcher(grammar, taking) {
        if (grammar === undefined) return undefined;
        this.grammars ??= Grammars.open(this);
        try {
            return (await this.grammars).matcher(grammar, taking);
        } catch (error) {
            await this.grammars.catch(() => {
                this.grammars = undefined;
            });
            throw error;
        }
    }

    /**
     * Evaluates the prompt, and generates until the answer ends.
     * @param {CheckedGenerate} options
     * @param {Job} job
     * @param {number} promptTokens
     * @param {Means} means
     * @returns {Promise<{ finishReason: Result['finishReason'], prompted: Prompted, rates: { prompt: number | null,
     *     generate: number | null } }>}
     */
    async answer({ maxTokens, ignoreEnd }, job, promptTokens, means) {
        const { core } = this,
            { prefix, output, stepper, speculator, overflow, adapters } = means;
        const slice = new Slice(),
            pace = new Pace(slice);
        const promptBegan = performance.now();
        if (!job.stopped) {
            const prompt = core.ints(prefix, promptTokens).slice();
            this.conversations?.prepare(this, prompt, adapters);
            this.adapters.apply(adapters);
            overflow.move([...prompt]);
        }
        const { known, evaluated } = await this.advance(prefix, promptTokens, slice, job);
        const generateBegan = performance.now();

        /** @type {Result['finishReason'] | undefined} */
        let finishReason = job.stopped ? 'abort' : stepper?.ended() ? 'stop' : undefined;
        const most = overflow.isOn ? maxTokens : Math.min(maxTokens, this.context - promptTokens);
        /** Tokens before the answer, less those of the answer that were dropped. */
        let before = promptTokens;
        let chosen = 0; // the first of them needs no evaluation
        /** Tokens that end a thought which has used up its own. @type {number[]} */
        let fed = [];
        while (!finishReason) {
            if (before + output.tokens.length >= this.context) {
                const all = await overflow.fit(output.tokens);
                if (all) {
                    core.ints(prefix, all.length).set(all);
                    before = all.length - output.tokens.length;
                    overflow.move(all);
                    await this.advance(prefix, all.length, slice, job);
                    speculator?.told([]); // the session has other tokens now
                }
                finishReason = job.stopped ? 'abort' : all ? undefined : 'length';
                if (finishReason) break;
            }
            const n = before + output.tokens.length,
                left = Math.min(most - output.tokens.length, this.context - n),
                count = Math.min(pace.next(), left, output.thoughtLeft);
            if (fed.length === 0 && output.thoughtLeft === 0) fed = [...(output.taking?.closing ?? [])];
            /** @type {number[]} */
            let tokens;
            if (stepper) {
                if (chosen > 0) core.count('nb_session_advance', this.session, prefix, n, NB_LOGITS_LAST);
                const token = await stepper.next(n, fed.shift());
                if (token === undefined) break;
                tokens = [token];
            } else if (fed.length > 0) {
                tokens = fed.splice(0, left);
                core.ints(prefix + 4 * n, tokens.length).set(tokens);
                speculator?.told(tokens);
            } else {
                const make = (/** @type {number[]} */ guesses) => this.make(n, count, guesses, ignoreEnd, means);
                tokens = speculator?.make(make, Math.min(left, output.thoughtLeft)) ?? make([]);
            }
            pace.took(tokens.length);
            chosen += tokens.length;
            const ends = this.addTokens(tokens, output, ignoreEnd);
            if (stepper?.logprob) output.addLogprob(stepper.logprob);
            if (ends || stepper?.ended()) finishReason = 'stop';
            else if (output.tokens.length === most) finishReason = 'length';
            if (!finishReason && pace.over()) {
                output.send();
                await pace.yieldToEvents();
                finishReason = job.stopped ? 'abort' : undefined;
            }
        }
        const promptMs = generateBegan - promptBegan,
            generateMs = performance.now() - generateBegan;
        finishReason ??= 'abort'; // while the caller had the logits
        output.end(stepper?.means.matcher !== undefined);
        const rates = { prompt: rate(evaluated, promptMs), generate: rate(chosen - 1, generateMs) };
        this.journal?.(
            `prompt: ${promptTokens} tokens, ${known} of them cached, ${inMs(promptMs)}${inTokens(
                rates.prompt,
            )}; answer: ${output.tokens.length} tokens, ${inMs(generateMs)}${inTokens(rates.generate)}${
                speculator?.guessed ? `; ${speculator.right} of ${speculator.guessed} guessed tokens were right` : ''
            }`,
        );
        return { finishReason, prompted: { promptTokens, cachedTokens: known }, rates };
    }

    /**
     * Tokens that follow n others: those that the core would choose, and as many of them as there is time for, or those
     * of the guesses that are right and one more.
     * @param {number} n
     * @param {number} count how many there is time for
     * @param {number[]} guesses
     * @param {boolean} ignoreEnd
     * @param {Means} means
     * @returns {number[]}
     */
    make(n, count, guesses, ignoreEnd, { sampler, prefix }) {
        const { core, session } = this,
            some = guesses.length || count;
        core.ints(prefix + 4 * n, guesses.length).set(guesses);
        const made = core.count(
            guesses.length > 0 ? 'nb_session_speculate' : 'nb_session_generate',
            ...[session, sampler, prefix, n, some, ignoreEnd ? 1 : 0],
        );
        return [...core.ints(prefix + 4 * n, made)];
    }

    /**
     * @param {string} text
     * @param {number[]} tokens
     * @param {Prompted} prompted
     * @param {Result['finishReason']} finishReason
     * @param {number} seed
     * @param {{ prompt: number | null, generate: number | null }} rates tokens per second
     * @returns {Result}
     */
    result(text, tokens, prompted, finishReason, seed, rates) {
        return {
            text,
            tokens,
            ...prompted,
            finishReason,
            seed,
            build: /** @type {ModelInfo['build']} */ (this.core.build),
            threads: this.threads,
            timings: {
                loadMs: round(this.loadMs),
                promptTokensPerSecond: rates.prompt,
                generateTokensPerSecond: rates.generate,
            },
        };
    }

    /**
     * @param {number[]} tokens what one call of the core made: only the last of them can be an end token
     * @param {Output} output
     * @param {boolean} ignoreEnd
     * @returns {boolean} whether the text ends with them
     */
    addTokens(tokens, output, ignoreEnd) {
        const ends = !ignoreEnd && this.core.exports.nb_model_is_end(this.model, tokens[tokens.length - 1]) === 1;
        return (ends ? tokens.slice(0, -1) : tokens).some((token) => output.push(token)) || ends;
    }

    /**
     * Evaluates until the session holds tokens[n], or the job is stopped.
     * @param {number} tokens address
     * @param {number} n
     * @param {Slice} slice
     * @param {Job} job
     * @returns {Promise<{ known: number, evaluated: number }>} how many tokens the session held already, and how many
     *     were evaluated
     */
    async advance(tokens, n, slice, job) {
        const known = Math.min(this.core.exports.nb_session_holds(this.session, tokens, n), n - 1);
        for (let held = known; ; ) {
            if (slice.over()) await slice.yieldToEvents();
            if (job.stopped || held === n) return { known, evaluated: held - known };
            held = this.core.count('nb_session_advance', this.session, tokens, n, NB_LOGITS_LAST);
        }
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
