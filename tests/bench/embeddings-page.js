// Runs in the browser: nibble and transformers.js embed the same texts (embeddings.js).
import { load } from '../../web/index.js';

/** Texts -> their vectors. @typedef {(texts: string[]) => Promise<Float32Array[]>} Embed */

/** Opened in turn. @type {Record<string, (folder: string, threads: number, options: any) => Promise<{ about: string,
 *     embed: Embed, close: () => Promise<unknown> }>>} */
const engines = {
    async nibble(folder, threads, options) {
        const model = await load(new URL(`/${folder}/`, location.href), { threads, ...options });
        return {
            about: `${model.info.build}, ${model.info.threads} threads`,
            async embed(texts) {
                const vectors = [];
                for (const text of texts) vectors.push(await model.embed(text, { pooling: 'mean' }));
                return vectors;
            },
            close: () => model.dispose(),
        };
    },
    async transformers(folder, threads, { script, wasm, dtype, batch }) {
        const { env, pipeline } = await import(script),
            at = folder.lastIndexOf('/');
        Object.assign(env, {
            allowRemoteModels: false,
            allowLocalModels: true,
            localModelPath: `/${folder.slice(0, at)}/`,
        });
        Object.assign(env.backends.onnx.wasm, { numThreads: threads, wasmPaths: wasm });
        const embed = await pipeline('feature-extraction', folder.slice(at + 1), { device: 'wasm', dtype });
        return {
            about: `${dtype}, ${threads} threads, ${batch} texts at a time`,
            async embed(texts) {
                const vectors = [];
                for (let i = 0; i < texts.length; i += batch) {
                    const { data, dims } = await embed(texts.slice(i, i + batch), { pooling: 'mean', normalize: true });
                    for (let row = 0; row < dims[0]; row++)
                        vectors.push(data.slice(row * dims[1], (row + 1) * dims[1]));
                }
                return vectors;
            },
            close: () => embed.dispose(),
        };
    },
};

/** @type {Awaited<ReturnType<typeof engines[string]>>[]} */
let opened = [];

Object.assign(window, {
    embeddings: {
        /** @param {{ name: string, folder: string, options: any }[]} wanted @param {number} threads */
        async open(wanted, threads) {
            opened = [];
            for (const { name, folder, options } of wanted) opened.push(await engines[name](folder, threads, options));
            return opened.map(({ about }) => about);
        },

        /** Milliseconds that one of them takes. @param {number} i @param {string[]} texts */
        async measure(i, texts) {
            const start = performance.now();
            await opened[i].embed(texts);
            return performance.now() - start;
        },

        /** The least cosine between each engine's vectors and the first one's. @param {string[]} texts */
        async cosines(texts) {
            /** @type {Float32Array[][]} */
            const all = [];
            for (const { embed } of opened) all.push(await embed(texts));
            return all.map((vectors) =>
                Math.min(...vectors.map((vector, i) => vector.reduce((sum, x, j) => sum + x * all[0][i][j], 0))),
            );
        },
    },
});
