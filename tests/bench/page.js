// In the browser: the two engines behind one small interface, which run.js calls through window.bench.
// measure() gives times of a clock on this side: to the first piece of text, and from there to the last.

const MODEL = '/build/models/SmolLM2-135M-Instruct.Q4_1.gguf';

const engines = {
    async nibble(/** @type {number} */ threads) {
        const { load } = await import('../../web/index.js');
        const model = await load(MODEL, { threads, contextLength: 512 });
        return {
            about: () => model.info.build,
            memoryBytes: () => model.info.memoryBytes,
            complete: async (/** @type {string} */ prompt, /** @type {number} */ count, /** @type {() => void} */ onPiece) => {
                const generation = model.complete(prompt, { maxTokens: count, temperature: 0, ignoreEnd: true });
                for await (const _ of generation) onPiece();
                const { text, tokens, promptTokens } = await generation;
                return { text, tokens: tokens.length, promptTokens };
            },
            close: () => model.dispose(),
        };
    },

    async wllama(/** @type {number} */ threads) {
        const base = new URL('node_modules/@wllama/wllama/esm/', import.meta.url);
        const { Wllama } = await import(new URL('index.js', base).href);
        const wllama = new Wllama({ default: new URL('wasm/wllama.wasm', base).href }, { suppressNativeLog: true });
        await wllama.loadModel([await (await fetch(MODEL)).blob()], { n_threads: threads, n_gpu_layers: 0, n_ctx: 512 });
        return {
            about: () => `${wllama.isMultithread() ? 'threads' : 'no threads'}`,
            memoryBytes: () => 0,
            complete: async (/** @type {string} */ prompt, /** @type {number} */ count, /** @type {() => void} */ onPiece) => {
                let text = '', timings = { prompt_n: 0, predicted_n: 0 };
                await wllama.createCompletion({
                    prompt, max_tokens: count, temperature: 0, ignore_eos: true, cache_prompt: false, stream: true,
                    onData: (/** @type {any} */ data) => {
                        const piece = data.choices[0]?.text ?? '';
                        if (piece) onPiece();
                        text += piece;
                        timings = data.timings ?? timings;
                    },
                });
                return { text, tokens: timings.predicted_n, promptTokens: timings.prompt_n };
            },
            close: () => wllama.exit(),
        };
    },
};

/** @type {Awaited<ReturnType<typeof engines.nibble>> | undefined} */
let engine;

Object.assign(window, {
    bench: {
        /** @param {'nibble' | 'wllama'} name @param {number} threads */
        async open(name, threads) {
            const began = performance.now();
            engine = await engines[name](threads);
            return { ms: performance.now() - began, about: engine.about(), memoryBytes: engine.memoryBytes() };
        },

        /** @param {string} prompt @param {number} count */
        async measure(prompt, count) {
            let first = 0, last = 0;
            const began = performance.now();
            const result = await /** @type {NonNullable<typeof engine>} */ (engine).complete(prompt, count, () => {
                last = performance.now();
                first ||= last;
            });
            return { ...result, firstMs: first - began, restMs: last - first };
        },

        async close() {
            await engine?.close();
            engine = undefined;
        },
    },
});
