/** nibble-llm/react: a hook that loads a model, and streams its answers into the state (index.d.ts). */
import { useEffect, useRef, useState } from 'react';
import { runTools } from '../api/run-tools.js';
import { NibbleError } from '../errors.js';
import { load } from '../index.js';

/** @typedef {import('../index.d.ts').Generation} Generation */
/** @typedef {import('../index.d.ts').Model} Model */
/** @typedef {import('../index.d.ts').Source} Source */
/** @typedef {import('../index.d.ts').ToolCall} ToolCall */
/** @typedef {import('./index.d.ts').Nibble} Nibble */
/** @typedef {Pick<Nibble, 'complete' | 'chat' | 'runTools' | 'stop'>} Methods */
/** @typedef {Omit<Nibble, keyof Methods>} State */
/** @typedef {(change: (state: State) => State) => void} SetState */

/** What is asked of the model, while it is under way. leave: nobody waits for it any more.
 * @typedef {{ stop: () => void, leave: () => void }} Request */
/** @typedef {(change: Partial<State>) => void} Show shows a change, unless another request has come */

/** What is there between renders. @typedef {{ model?: Model, request?: Request }} Live */

const isNone = (/** @type {unknown} */ source) => source === undefined || source === null;

/**
 * Whether it is the same model. Components often make URLs and arrays anew for each render.
 * @param {any} a
 * @param {any} b
 * @returns {boolean}
 */
const isSame = (a, b) =>
    Object.is(a, b) ||
    (a?.href !== undefined && a.href === b?.href) ||
    (Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((each, i) => isSame(each, b[i])));

/** @type {readonly never[]} the same for every render, so that nothing that depends on it is done again */
const NONE = Object.freeze([]);

/** Why a request ended whose functions were running when stop() was called. */
const STOPPED = new Error('stopped');

/** Of an answer that has not begun. */
const NOTHING = { text: '', reasoning: '', toolCalls: NONE, result: undefined };

/** @param {unknown} source @returns {State} */
const initial = (source) => ({
    status: isNone(source) ? 'idle' : 'loading',
    progress: undefined,
    model: undefined,
    ...NOTHING,
    error: undefined,
});

/**
 * Loads a model, and disposes of it when the signal is aborted.
 * @param {Source} source
 * @param {import('./index.d.ts').UseNibbleOptions | undefined} options
 * @param {AbortSignal} signal
 * @param {Live} live
 * @param {SetState} setState
 */
async function keepLoaded(source, options, signal, live, setState) {
    const set = (/** @type {Partial<State>} */ change) => {
        if (!signal.aborted) setState((state) => ({ ...state, ...change }));
    };
    try {
        const model = await load(source, {
            ...options,
            signal,
            onProgress(progress) {
                set({ progress });
                return options?.onProgress?.(progress);
            },
        });
        if (signal.aborted) return await model.dispose();
        signal.addEventListener('abort', () => model.dispose());
        live.model = model;
        set({ status: 'ready', model });
    } catch (error) {
        set({ status: 'failed', error: /** @type {NibbleError} */ (error) });
    }
}

/**
 * @param {Live} live
 * @param {SetState} setState
 * @returns {Methods}
 */
function methodsOf(live, setState) {
    /**
     * Asks the model, and keeps the state up to date until it has answered.
     * @template {import('../index.d.ts').Result} Given
     * @param {import('../index.d.ts').Abortable | undefined} options
     * @param {(model: Model, request: Request, show: Show) => PromiseLike<Given>} begin throws if it refuses its
     *     arguments
     * @returns {Promise<Given | undefined>}
     */
    async function ask(options, begin) {
        const { model } = live,
            request = { stop() {}, leave() {} };
        live.request?.stop();
        live.request = request;
        /** @type {Show} */
        const show = (change) => {
            if (live.request === request) setState((state) => ({ ...state, ...change }));
        };
        try {
            if (!model)
                throw new NibbleError(
                    'NB_ERR_STATE',
                    'useNibble(): there is no model yet: wait for the status "ready"',
                );
            const answering = begin(model, request, show);
            show({ status: 'answering', ...NOTHING, error: undefined });
            const result = await answering;
            show({ status: 'ready', text: result.text, reasoning: result.reasoning ?? '', result });
            return result;
        } catch (error) {
            const told = options?.signal?.aborted || error === STOPPED ? {} : { error: /** @type {any} */ (error) };
            if (model) show({ status: 'ready', ...told });
            else setState((state) => (state.status === 'failed' ? state : { ...state, ...told })); // the load says why
        }
    }

    /** @param {(model: Model) => Generation} start @param {import('../index.d.ts').GenerateOptions} [options] */
    const answer = (start, options) =>
        ask(options, (model, request, show) => {
            const generation = start(model),
                add = adding(show);
            request.stop = () => generation.stop();
            const read = async () => {
                for await (const chunk of generation.chunks()) add(chunk);
                return generation;
            };
            return read();
        });

    return {
        complete: (prompt, options) => answer((model) => model.complete(prompt, options), options),
        chat: (messages, options) => answer((model) => model.chat(messages, options), options),
        runTools: (messages, tools, options) =>
            ask(options, (model, request, show) => {
                const { watched, stop, leave } = watch(model, options, adding(show));
                Object.assign(request, { stop, leave });
                return watched(messages, tools);
            }),
        stop: () => live.request?.stop(),
    };
}

/**
 * What shows the pieces of answers. Calls of functions are those of all answers, texts those of the last one.
 * @param {Show} show
 */
function adding(show) {
    let text = '',
        reasoning = '',
        toolCalls = /** @type {readonly ToolCall[]} */ (NONE);
    /** @param {import('../index.d.ts').Chunk} chunk @param {boolean} [isFirst] of another answer */
    return (chunk, isFirst = false) => {
        text = (isFirst ? '' : text) + chunk.text;
        reasoning = (isFirst ? '' : reasoning) + chunk.reasoning;
        if (chunk.toolCalls.length > 0) toolCalls = [...toolCalls, ...chunk.toolCalls];
        show({ text, reasoning, toolCalls });
    };
}

/**
 * runTools() that can be stopped: an answer that is under way ends and is kept; functions that run are told by their
 * signal, and nobody waits for them.
 * @param {Model} model
 * @param {import('../index.d.ts').RunToolsOptions | undefined} options
 * @param {ReturnType<typeof adding>} add
 */
function watch(model, options, add) {
    const own = new AbortController(),
        { signal, onChunk } = options ?? {};
    /** The answer that is under way. @type {Generation | undefined} */
    let answering;
    let isStopped = false,
        isFirst = false;
    const leave = () => own.abort(STOPPED);
    /** @type {Model['runTools']} */
    async function watched(messages, tools) {
        const forward = () => own.abort(signal?.reason);
        if (signal?.aborted) forward();
        signal?.addEventListener('abort', forward);
        /** @type {Model['chat']} */
        const chat = /** @type {any} */ (
            (/** @type {any} */ list, /** @type {any} */ asked) => {
                if (isStopped) throw STOPPED;
                const generation = model.chat(list, asked),
                    ended = () => {
                        answering = undefined;
                    };
                answering = generation;
                isFirst = true;
                generation.then(ended, ended);
                return generation;
            }
        );
        try {
            const running = runTools({ chat }, messages, tools, {
                ...options,
                signal: own.signal,
                onChunk(chunk) {
                    add(chunk, isFirst);
                    isFirst = false;
                    return onChunk?.(chunk);
                },
            });
            return await Promise.race([running, aborted(own.signal)]);
        } finally {
            signal?.removeEventListener('abort', forward);
        }
    }
    const stop = () => {
        isStopped = true;
        if (answering) answering.stop();
        else leave();
    };
    return { watched, stop, leave };
}

/** Rejects with the signal's reason. @param {AbortSignal} signal @returns {Promise<never>} */
const aborted = (signal) =>
    new Promise((_, reject) => {
        if (signal.aborted) reject(signal.reason);
        else signal.addEventListener('abort', () => reject(signal.reason));
    });

/** @type {typeof import('./index.d.ts').useNibble} */
export function useNibble(source, options) {
    const [kept, keep] = useState(source),
        [state, setState] = useState(() => initial(source)),
        [live] = useState(() => /** @type {Live} */ ({})),
        [methods] = useState(() => methodsOf(live, setState)),
        latest = useRef(options);
    let current = state;
    if (!isSame(kept, source)) {
        current = initial(source); // the model that was there is about to go; React renders again at once
        keep(source);
        setState(current);
    }
    useEffect(() => {
        latest.current = options;
    });
    useEffect(() => {
        if (isNone(kept)) return;
        const leaving = new AbortController(),
            { signal } = leaving;
        // a component that was hidden keeps its state
        setState((before) => (before.status === 'loading' && before.text === '' ? before : initial(kept)));
        // StrictMode unmounts at once, and mounts again: only what is still mounted after that begins to load
        queueMicrotask(() => {
            if (!signal.aborted) keepLoaded(/** @type {Source} */ (kept), latest.current, signal, live, setState);
        });
        return () => {
            live.model = undefined;
            live.request?.leave();
            live.request = undefined;
            leaving.abort();
        };
    }, [kept, live]);
    return { ...current, ...methods };
}
