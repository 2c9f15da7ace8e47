/** A session: a list of messages. The engine keeps what it has computed of the conversation that it saw last. */

import { runCall } from '../api/run-tools.js';
import { oldest } from '../oldest.js';
import { promptOf } from './context.js';
import { named, notSupported, quotaExceeded } from './errors.js';
import { checkAppended, checkInputs, toConstraint, toInputs, withNote } from './inputs.js';
import { signalOf, task, throwIfAborted, whenAborted, withSignals } from './signals.js';

/** @typedef {import('../index.d.ts').Model} Model */
/** @typedef {import('../index.d.ts').SignalLike} SignalLike */
/** @typedef {import('../index.d.ts').TemplateOptions} TemplateOptions */
/** @typedef {import('./inputs.js').Input} Input */
/** @typedef {import('../index.d.ts').Message} Message */
/** @typedef {import('../index.d.ts').RunnableTool} RunnableTool */

/**
 * @typedef {object} State
 * @property {import('./shared-model.js').SharedModel} shared
 * @property {Model} model
 * @property {import('./inputs.js').Sampling} sampling
 * @property {TemplateOptions} template with descriptions of the functions
 * @property {import('../index.d.ts').GenerateOptions} generate
 * @property {ReadonlyMap<string, RunnableTool>} functions that the model may call
 * @property {Message[]} initial messages that stay
 * @property {Message[]} messages those that follow
 * @property {number} usage tokens of all
 */

/** Only create() and clone() know it: `new LanguageModel()` is refused, as in a browser. */
export const KEY = Symbol('LanguageModel');

const MOST_TOKENS = 2 ** 31 - 1;
/** Answers to one prompt, all but the last of which call functions. */
const MOST_ROUNDS = 10;

export class Session extends EventTarget {
    /** @type {((event: Event) => void) | null} */
    oncontextoverflow = null;
    /** @type {((event: Event) => void) | null} */
    onquotaoverflow = null;
    #state;
    #signal;
    #onAbort = () => this.#destroy(this.#signal?.reason);
    #destruction = new AbortController();
    /** Settles when nothing is under way. @type {Promise<unknown>} */
    #idle = Promise.resolve();

    /**
     * @param {symbol} key
     * @param {State} state the session is one of the users of its shared model
     * @param {SignalLike} [signal] destroys it
     */
    constructor(key, state, signal) {
        if (key !== KEY) throw new TypeError('Illegal constructor: use LanguageModel.create()');
        super();
        this.#state = state;
        this.#signal = signal;
        signal?.addEventListener('abort', this.#onAbort);
        this.addEventListener('contextoverflow', (event) => this.oncontextoverflow?.(event));
        this.addEventListener('quotaoverflow', (event) => this.onquotaoverflow?.(event));
    }

    get contextUsage() {
        return this.#state.usage;
    }

    get contextWindow() {
        return this.#state.model.info.contextLength;
    }

    get samplingMode() {
        return this.#state.sampling.mode;
    }

    get topK() {
        return this.#state.sampling.topK;
    }

    get temperature() {
        return this.#state.sampling.temperature;
    }

    get inputUsage() {
        return this.contextUsage;
    }

    get inputQuota() {
        return this.contextWindow;
    }

    /** @param {unknown} input @param {import('./index.d.ts').PromptOptions} [options] */
    async prompt(input, options = {}) {
        const inputs = toInputs(input),
            pieces = /** @type {string[]} */ ([]);
        await this.#inTurn([signalOf(options)], (signal) =>
            this.#answer(inputs, options, signal, (piece) => pieces.push(piece)),
        );
        return pieces.join('');
    }

    /** @param {unknown} input @param {import('./index.d.ts').PromptOptions} [options] */
    promptStreaming(input, options = {}) {
        const inputs = toInputs(input),
            signal = signalOf(options),
            cancelling = new AbortController();
        throwIfAborted([this.#destruction.signal, signal]);
        return new ReadableStream({
            start: (controller) => {
                this.#inTurn([signal, cancelling.signal], (own) =>
                    this.#answer(inputs, options, own, (piece) => controller.enqueue(piece)),
                ).then(
                    () => controller.close(),
                    (error) => controller.error(error),
                );
            },
            cancel: (reason) => cancelling.abort(reason),
        });
    }

    /** @param {unknown} input @param {import('./index.d.ts').SignalOptions} [options] @returns {Promise<undefined>} */
    async append(input, options = {}) {
        const inputs = toInputs(input);
        await this.#inTurn([signalOf(options)], async (signal) => {
            const { model, template } = this.#state;
            const added = checkAppended(inputs, this.#isBegun());
            const { tokens } = await this.#makeRoom(added, 0, (messages) =>
                promptOf(model, messages, { ...template, addGenerationPrompt: false, signal }),
            );
            // the engine reads the tokens; the one that it chooses goes nowhere
            if (tokens.length < this.contextWindow) await model.complete(tokens, { maxTokens: 1, signal });
            await this.#add(added, signal);
        });
    }

    /** @param {unknown} input @param {import('./index.d.ts').PromptOptions} [options] */
    async measureContextUsage(input, options = {}) {
        const inputs = toInputs(input);
        return this.#whileAlive([signalOf(options)], async (signal) => {
            const { note } = toConstraint(options),
                { messages: bare, prefix } = checkInputs(inputs, false),
                messages = withNote(bare, note);
            const added = prefix === undefined ? messages : [...messages, { role: 'assistant', content: prefix }];
            // a system message begins a conversation; other messages go on with this one
            const before = added[0].role === 'system' ? [] : this.#all();
            return Math.max(
                0,
                (await this.#count([...before, ...added], signal)) - (await this.#count(before, signal)),
            );
        });
    }

    /** @param {unknown} input @param {import('./index.d.ts').PromptOptions} [options] */
    measureInputUsage(input, options) {
        return this.measureContextUsage(input, options);
    }

    /** @param {import('./index.d.ts').SignalOptions} [options] @returns {Promise<this>} */
    async clone(options = {}) {
        return this.#whileAlive([signalOf(options)], async (signal) => {
            await task();
            throwIfAborted([signal]);
            this.#state.shared.share();
            return new /** @type {any} */ (this.constructor)(KEY, { ...this.#state });
        });
    }

    destroy() {
        this.#destroy(new DOMException('the session was destroyed', 'AbortError'));
    }

    #all(state = this.#state) {
        return [...state.initial, ...state.messages];
    }

    #isBegun() {
        return this.#all().length > 0;
    }

    /** @param {Message[]} messages @param {AbortSignal} signal */
    async #count(messages, signal) {
        const { model, template } = this.#state;
        const { tokens } = await promptOf(model, messages, { ...template, addGenerationPrompt: false, signal });
        return tokens.length;
    }

    /**
     * @template Result
     * @param {(SignalLike | undefined)[]} signals
     * @param {(signal: AbortSignal) => Promise<Result>} work
     * @returns {Promise<Result>}
     */
    async #whileAlive(signals, work) {
        try {
            return await withSignals([this.#destruction.signal, ...signals], work);
        } catch (error) {
            throw named(error, 'UnknownError');
        }
    }

    /**
     * Runs work when all that came before is done.
     * @param {(SignalLike | undefined)[]} signals
     * @param {(signal: AbortSignal) => Promise<void>} work
     * @returns {Promise<void>}
     */
    #inTurn(signals, work) {
        return this.#whileAlive(signals, (signal) => {
            const turn = this.#idle.then(() => {
                throwIfAborted([signal]);
                return work(signal);
            });
            this.#idle = turn.catch(() => {});
            return turn;
        });
    }

    /**
     * Answers a prompt. Functions that the model calls are run, and it goes on with their results.
     * @param {Input[]} inputs
     * @param {import('./index.d.ts').PromptOptions} options
     * @param {AbortSignal} signal
     * @param {(piece: string) => void} emit
     */
    async #answer(inputs, options, signal, emit) {
        const { model, template, generate, sampling, functions } = this.#state;
        const constraint = toConstraint(options),
            { messages: bare, prefix = '' } = checkInputs(inputs, this.#isBegun());
        /** @type {Message[]} */
        const added = withNote(bare, constraint.note);
        if (added.length === 0 && !this.#isBegun()) throw notSupported('a prefix was given, and no message before it');
        const isHeld = Object.keys(constraint.options).length > 0,
            stopped = whenAborted(signal); // functions may not listen to it
        stopped.catch(() => {});
        let beginning = prefix, // of the next answer
            gap = '';
        for (let round = 1; ; round++) {
            const begun = beginning === '' ? [] : [{ role: 'assistant', content: beginning }],
                mayCall = !isHeld && round < MOST_ROUNDS,
                told = {
                    ...template,
                    continueFinalMessage: begun.length > 0,
                    ...(functions.size > 0 && !mayCall && { toolChoice: /** @type {const} */ ('none') }),
                    signal,
                };
            const { messages } = await this.#makeRoom(added, 1, (messages) =>
                promptOf(model, [...messages, ...begun], told),
            );
            const { topK, temperature } = sampling;
            const generation = model.chat(messages, {
                ...{ maxTokens: MOST_TOKENS, ...generate, topK, temperature },
                ...constraint.options,
                ...told,
            });
            for await (const piece of generation) {
                throwIfAborted([signal]);
                emit(gap + piece);
                gap = '';
            }
            const { text, reasoning, toolCalls = [], finishReason } = await generation,
                answer = { role: 'assistant', content: beginning + text };
            if (toolCalls.length === 0 || finishReason !== 'stop') {
                added.push(answer);
                break;
            }
            const results = Promise.all(toolCalls.map((call) => runCall(functions, call, signal)));
            added.push(
                { ...answer, ...(reasoning && { reasoning_content: reasoning }), tool_calls: toolCalls },
                ...(await Promise.race([results, stopped])),
            );
            if (text !== '') gap = '\n\n';
            beginning = '';
        }
        await this.#add(added, signal);
    }

    /**
     * Leaves out the oldest messages until the others fit into the context with those that are added, and tells so; or
     * fails, and leaves out none.
     * @param {Message[]} added
     * @param {number} room for so many tokens more
     * @template {{ tokens: number[] }} Prompt
     * @param {(messages: Message[]) => Promise<Prompt>} render
     * @returns {Promise<Prompt>} of all messages
     */
    async #makeRoom(added, room, render) {
        const { initial, messages: all } = this.#state,
            most = this.contextWindow - room;
        const whole = await render([...initial, ...all, ...added]);
        if (whole.tokens.length <= most) return whole;
        let kept = all,
            prompt = whole;
        while (prompt.tokens.length > most) {
            if (kept.length === 0) throw quotaExceeded(whole.tokens.length + room, this.contextWindow);
            kept = kept.slice(oldest(kept));
            prompt = await render([...initial, ...kept, ...added]);
        }
        const usage = await this.#count([...initial, ...kept], this.#destruction.signal);
        this.#state = { ...this.#state, messages: kept, usage };
        for (const type of ['contextoverflow', 'quotaoverflow']) this.dispatchEvent(new Event(type));
        return prompt;
    }

    /**
     * Makes messages a part of the conversation. A system message stays at its beginning.
     * @param {Message[]} added
     * @param {AbortSignal} signal
     */
    async #add(added, signal) {
        const pinned = added[0]?.role === 'system' ? 1 : 0,
            state = {
                ...this.#state,
                initial: [...this.#state.initial, ...added.slice(0, pinned)],
                messages: [...this.#state.messages, ...added.slice(pinned)],
            };
        const usage = await this.#count(this.#all(state), signal);
        throwIfAborted([signal]);
        this.#state = { ...state, usage };
    }

    /** @param {unknown} reason */
    #destroy(reason) {
        if (this.#destruction.signal.aborted) return;
        this.#signal?.removeEventListener('abort', this.#onAbort);
        this.#destruction.abort(reason);
        this.#state.shared.release();
    }
}
