/** nibble-llm/react: a hook that loads a model, and streams its answers into the state (index.d.ts). */
import { useEffect, useRef, useState } from 'react';
import { NibbleError } from '../errors.js';
import { load } from '../index.js';

/** @typedef {import('../index.d.ts').Generation} Generation */
/** @typedef {import('../index.d.ts').Model} Model */
/** @typedef {import('../index.d.ts').Source} Source */
/** @typedef {import('./index.d.ts').Nibble} Nibble */
/** @typedef {Omit<Nibble, 'complete' | 'chat' | 'stop'>} State */
/** @typedef {(change: (state: State) => State) => void} SetState */

/** What is there between renders. @typedef {{ model?: Model, generation?: Generation }} Live */

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

/** @param {unknown} source @returns {State} */
const initial = (source) => ({
    status: isNone(source) ? 'idle' : 'loading',
    progress: undefined,
    model: undefined,
    text: '',
    result: undefined,
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
 * @returns {Pick<Nibble, 'complete' | 'chat' | 'stop'>}
 */
function methodsOf(live, setState) {
    /**
     * @param {(model: Model) => Generation} start
     * @param {import('../index.d.ts').Abortable | undefined} options
     */
    async function answer(start, options) {
        const { model } = live;
        live.generation?.stop();
        live.generation = undefined;
        /** @type {Generation | undefined} */
        let own;
        const set = (/** @type {Partial<State>} */ change) => {
            if (live.generation === own) setState((state) => ({ ...state, ...change })); // otherwise another one came
        };
        try {
            if (!model)
                throw new NibbleError(
                    'NB_ERR_STATE',
                    'useNibble(): there is no model yet: wait for the status "ready"',
                );
            own = start(model);
            live.generation = own;
            set({ status: 'answering', text: '', result: undefined, error: undefined });
            let text = '';
            for await (const piece of own) {
                text += piece;
                set({ text });
            }
            const result = await own;
            set({ status: 'ready', text: result.text, result });
            return result;
        } catch (error) {
            const told = options?.signal?.aborted ? {} : { error: /** @type {NibbleError} */ (error) };
            if (model) set({ status: 'ready', ...told });
            else setState((state) => (state.status === 'failed' ? state : { ...state, ...told })); // the load says why
        }
    }
    return {
        complete: (prompt, options) => answer((model) => model.complete(prompt, options), options),
        chat: (messages, options) => answer((model) => model.chat(messages, options), options),
        stop: () => live.generation?.stop(),
    };
}

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
            live.generation = undefined;
            leaving.abort();
        };
    }, [kept, live]);
    return { ...current, ...methods };
}
