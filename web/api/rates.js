/** How fast a loaded model is: medians of a few short runs. */

/** @typedef {import('../index.d.ts').Model} Model */
/** @typedef {import('../index.d.ts').Result['timings']} Timings */

/**
 * A function that returns the next prompt of random tokens. Each maker gives the same sequence of prompts: the numbers
 * come from a linear congruential generator (Numerical Recipes). A prompt never begins with the same token as the one
 * before it, or the KV cache would already hold its beginning.
 * @param {number} vocabulary
 * @param {number} length
 */
export function promptMaker(vocabulary, length) {
    let random = 1,
        first = -1;
    const token = () => {
        random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
        return random % vocabulary;
    };
    return () => {
        const prompt = Array.from({ length }, token);
        if (prompt[0] === first) prompt[0] = (prompt[0] + 1) % vocabulary;
        first = prompt[0];
        return prompt;
    };
}

/**
 * Medians over `repetitions` runs, after one to warm up.
 * @param {Pick<Model, 'complete'>} model
 * @param {() => number[]} newPrompt
 * @param {{ generateTokens: number, repetitions: number, signal?: AbortSignal }} options
 */
export async function measureRates(model, newPrompt, { generateTokens, repetitions, signal }) {
    /** @type {Timings[]} */
    const rates = [];
    for (let i = 0; i <= repetitions; i++) {
        const options = { maxTokens: generateTokens, ignoreEnd: true, speculate: false, signal };
        const { timings } = await model.complete(newPrompt(), options);
        if (i > 0) rates.push(timings);
    }
    const median = (/** @type {'promptTokensPerSecond' | 'generateTokensPerSecond'} */ name) => {
        const sorted = rates.map((rate) => rate[name] ?? 0).sort((a, b) => a - b);
        return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
    };
    return {
        promptTokensPerSecond: median('promptTokensPerSecond'),
        generateTokensPerSecond: median('generateTokensPerSecond'),
    };
}
