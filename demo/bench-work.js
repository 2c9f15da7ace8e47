// The work with which speed is measured, by the bench page and by `make bench`.
import { load } from '../web/index.js';

/** @typedef {{ text: string, tokens: number, promptTokens: number, firstMs: number, restMs: number }} Measure */

export const GENERATE = 64; // tokens
export const WARM_UP = 16; // tokens of the first answer, which is not measured: the code is optimized meanwhile
export const REPETITIONS = 5;
export const CONTEXT = 512; // tokens: room for the prompt and the answer

const NUMBERS = ['First', 'Second', 'Third', 'Fourth', 'Fifth', 'Sixth', 'Seventh', 'Eighth'];
const TEXT =
    'note. A calendar is a way of giving names to days, and people have made many of them. Farmers ' +
    'watched the moon and the seasons, priests counted the days between feasts, and sailors wrote down ' +
    'the tides. Some years began in spring and some in autumn, some months had thirty days and some had ' +
    'fewer, and now and then a day had to be added so that summer would not slip into winter. The week is ' +
    'younger than the month and simpler than the year: seven days, always in the same order, without any ' +
    'exception since antiquity, and nobody remembers who began. In English the names of the days are ' +
    'Monday, Tuesday, Wednesday,';

/** A prompt of about 134 tokens. Its end has one obvious continuation, so an engine that continues it differently does
 * not compute correctly. Its first word differs in each repetition, so that no engine finds the prompt in its cache.
 * @param {number} repetition */
export const prompt = (repetition) => `${NUMBERS[repetition % NUMBERS.length]} ${TEXT}`;

/** @param {number[]} values */
export function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

/** Measures, outside of the engine, the time to the first piece of text, and from there to the last.
 * @param {(onPiece: () => void) => Promise<{ text: string, tokens: number, promptTokens: number }>} complete
 * @returns {Promise<Measure>} */
export async function clock(complete) {
    const began = performance.now();
    let first = 0,
        last = 0;
    const result = await complete(() => {
        last = performance.now();
        first ||= last;
    });
    return { ...result, firstMs: first - began, restMs: last - first };
}

/** @param {import('../web/index.js').Model} model
 * @param {string} text @param {number} count @param {AbortSignal} [signal] */
export const measure = (model, text, count, signal) =>
    clock(async (onPiece) => {
        const generation = model.complete(text, { maxTokens: count, temperature: 0, ignoreEnd: true, signal });
        for await (const _ of generation) onPiece();
        const { text: answer, tokens, promptTokens } = await generation;
        return { text: answer, tokens: tokens.length, promptTokens };
    });

/** Medians of tokens per second, and of milliseconds to the first piece of text. @param {Measure[]} measures */
export const summarize = (measures) => ({
    promptTokens: measures[0].promptTokens,
    prompt: median(measures.map((m) => (m.promptTokens / m.firstMs) * 1000)),
    generate: median(measures.map((m) => ((m.tokens - 1) / m.restMs) * 1000)),
    firstMs: median(measures.map((m) => m.firstMs)),
});

/** How a model can be run. @typedef {{ threads?: number, precision?: 'fast', build?: 'simd128' }} Configuration */
/**
 * @typedef {object} Outcome of one configuration
 * @property {string} label
 * @property {import('../web/index.js').ModelInfo} info
 * @property {number} promptTokens
 * @property {number} prompt tokens per second
 * @property {number} generate tokens per second
 * @property {number} firstMs to the first piece of text
 */

/** The configurations to measure: one thread first, then load()'s default number of threads.
 * @returns {Configuration[]} */
export function configurations() {
    const hasThreads = globalThis.crossOriginIsolated && navigator.hardwareConcurrency > 1;
    return [
        { threads: 1 },
        { threads: 1, precision: 'fast' },
        { threads: 1, build: 'simd128' },
        ...(hasThreads ? /** @type {Configuration[]} */ ([{}, { precision: 'fast' }]) : []),
    ];
}

/** Loads the model in one configuration, warms up, measures.
 * @param {import('../web/index.js').Source} source @param {Configuration} configuration @param {AbortSignal} signal
 * @param {(step: string) => void} onStep @returns {Promise<Outcome>} */
export async function runConfiguration(source, configuration, signal, onStep) {
    onStep('loading');
    const model = await load(source, { ...configuration, contextLength: CONTEXT, signal });
    try {
        const { info } = model;
        const threadsLabel = `${info.threads} thread${info.threads === 1 ? '' : 's'}`;
        const label = [threadsLabel, configuration.precision, configuration.build].filter(Boolean).join(', ');
        const measures = [];
        for (let i = 0; i <= REPETITIONS; i++) {
            onStep(i === 0 ? 'warming up' : `${i} of ${REPETITIONS}`);
            const result = await measure(model, prompt(i), i === 0 ? WARM_UP : GENERATE, signal);
            if (i > 0) measures.push(result);
        }
        return { label, info, ...summarize(measures) };
    } finally {
        await model.dispose();
    }
}
