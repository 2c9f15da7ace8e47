// Runs in the browser: nibble and wllama with the same small interface, window.bench, which run.js calls.
import { clock } from '../../demo/bench-work.js';
import { openNibble } from './nibble.js';
import { timeTokenize } from './tokenize-work.js';

/** @typedef {import('./nibble.js').Opened} Opened */
/** @typedef {{ threads: number, contextLength: number }} Settings */

/** wllama with a Blob that was fetched before, which is its simplest and quickest way to load.
 * @param {string} url @param {Settings} settings @returns {Promise<Opened>} */
async function openWllama(url, { threads, contextLength }) {
    const base = new URL('node_modules/@wllama/wllama/esm/', import.meta.url);
    const { Wllama } = await import(new URL('index.js', base).href);
    const wllama = new Wllama({ default: new URL('wasm/wllama.wasm', base).href }, { suppressNativeLog: true });
    const file = await (await fetch(url)).blob();
    await wllama.loadModel([file], { n_threads: threads, n_gpu_layers: 0, n_ctx: contextLength });
    return {
        about: `3.13.0, ${wllama.isMultithread() ? 'threads' : 'no threads'}`,
        measure: (prompt, count) =>
            clock(async (onPiece) => {
                let text = '',
                    timings = { prompt_n: 0, predicted_n: 0 };
                await wllama.createCompletion({
                    prompt,
                    max_tokens: count,
                    temperature: 0,
                    ignore_eos: true,
                    cache_prompt: false,
                    stream: true,
                    onData: (/** @type {any} */ data) => {
                        const piece = data.choices[0]?.text ?? '';
                        if (piece) onPiece();
                        text += piece;
                        timings = data.timings ?? timings;
                    },
                });
                return { text, tokens: timings.predicted_n, promptTokens: timings.prompt_n };
            }),
        close: () => wllama.exit(),
    };
}

/** Downloads a file in a worker, and does nothing with it (fetch-worker.js). The start of the worker counts, as it does
 * when a model is loaded. @param {string} url @returns {Promise<number>} milliseconds */
function fetchOnly(url, keep = false) {
    const began = performance.now();
    const worker = new Worker(new URL('fetch-worker.js', import.meta.url), { type: 'module' });
    return new Promise((resolve, reject) => {
        worker.onerror = (event) => reject(new Error(event.message));
        worker.onmessage = () => {
            resolve(performance.now() - began);
            worker.terminate();
        };
        worker.postMessage({ url, keep });
    });
}

/** The round-trip time of a word between two cores, in nanoseconds: what a barrier between threads costs. */
async function pingCores() {
    const ROUNDS = 50_000;
    const words = new Int32Array(new SharedArrayBuffer(256)); // words 0 and 32 are on different cache lines
    const echo = `onmessage = ({ data }) => {
        postMessage("ready");
        for (let i = 1; i <= ${ROUNDS}; i++) {
            while (Atomics.load(data, 0) !== i);
            Atomics.store(data, 32, i);
        }
        close();
    };`;
    const worker = new Worker(URL.createObjectURL(new Blob([echo])));
    worker.postMessage(words);
    await new Promise((resolve) => {
        worker.onmessage = resolve;
    });
    const began = performance.now();
    for (let i = 1; i <= ROUNDS; i++) {
        Atomics.store(words, 0, i);
        while (Atomics.load(words, 32) !== i);
    }
    return ((performance.now() - began) / ROUNDS) * 1e6;
}

/** Lets the demo's service worker control this page, so that it answers requests for models from its cache.
 * @param {string} url of a model, which is fetched once, so that the cache has it */
async function cacheModel(url) {
    const controlled = new Promise((resolve) => navigator.serviceWorker.addEventListener('controllerchange', resolve));
    await navigator.serviceWorker.register('/demo/sw.js', { scope: '/' });
    await controlled;
    await (await fetch(url)).blob();
    while (!(await caches.match(new URL(url, location.href).href)))
        await new Promise((resolve) => setTimeout(resolve, 50));
}

/** @type {Opened | undefined} */
let engine;

Object.assign(window, {
    bench: {
        fetchOnly,
        cacheModel,
        pingCores,

        /** @param {'nibble' | 'wllama'} name @param {string} url @param {any} settings */
        async open(name, url, settings) {
            const began = performance.now();
            engine = await (name === 'nibble' ? openNibble(url, settings) : openWllama(url, settings));
            return { ms: performance.now() - began, about: engine.about, info: engine.info };
        },

        /** @param {string} prompt @param {number} count */
        measure: (prompt, count) => engine?.measure(prompt, count),

        /** @param {string} source @param {string} url of the text @param {number} repetitions */
        tokenize: async (source, url, repetitions) =>
            timeTokenize(source, await (await fetch(url)).text(), repetitions),

        /** @param {number[]} prompt @param {number} count */
        rates: (prompt, count) => engine?.rates?.(prompt, count),
    },
});
