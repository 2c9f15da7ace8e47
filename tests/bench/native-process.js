// Native llama.cpp in a process of its own. NIBBLE_PEERS: the folder whose node_modules has it, if not this one.
import { answerWith } from './process.js';

const folder = process.env.NIBBLE_PEERS ?? import.meta.dirname;

/** @type {(prompt: string, count: number) => Promise<import('./nibble.js').Measure>} */
let measure;

answerWith({
    /** @param {string} modelPath @param {{ threads: number, contextLength: number }} settings */
    open: async (modelPath, { threads, contextLength }) => {
        const { getLlama } = await import(`${folder}/node_modules/node-llama-cpp/dist/index.js`);
        const llama = await getLlama({ gpu: false, build: 'never', progressLogs: false, logLevel: 'error' });
        const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
        const context = await model.createContext({
            contextSize: contextLength,
            batchSize: contextLength,
            threads: { ideal: threads, min: threads },
            sequences: 1,
        });
        const sequence = context.getSequence(),
            begin = model.tokens.shouldPrependBosToken ? [model.tokens.bos] : [];
        measure = async (prompt, count) => {
            await sequence.clearHistory();
            const ids = [...begin, ...model.tokenize(prompt)],
                out = [];
            const began = performance.now();
            let first = 0,
                last = 0;
            for await (const token of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
                out.push(token);
                last = performance.now();
                first ||= last;
                if (out.length === count) break;
            }
            return {
                text: model.detokenize(out),
                tokens: out.length,
                promptTokens: ids.length,
                firstMs: first - began,
                restMs: last - first,
            };
        };
        return 'node-llama-cpp 3.22.1';
    },
    /** @param {string} prompt @param {number} count */
    measure: (prompt, count) => measure(prompt, count),
});
