// What logprobs and onLogits() cost: ms of a token with and without, in turn, so that a busy machine slows all alike.
//     node tests/bench/logits.js MODEL [ROUNDS]
import { load } from '../../web/index.js';

const [file, rounds = '9'] = process.argv.slice(2),
    TOKENS = 32;
/** @type {Record<string, import('../../web/index.js').GenerateOptions>} */
const ways = {
    plain: {},
    logprobs: { logprobs: true },
    'top 20': { logprobs: true, topLogprobs: 20 },
    onLogits: { onLogits() {} },
};
const model = await load(file),
    /** @type {Record<string, number[]>} */
    times = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
for (let round = 0; round <= Number(rounds); round++)
    for (const [name, options] of Object.entries(ways)) {
        const { timings } = await model.complete('Once upon a time', {
            maxTokens: TOKENS,
            ignoreEnd: true,
            ...options,
        });
        if (round > 0) times[name].push(1000 / Number(timings.generateTokensPerSecond)); // the first warms up
    }
const least = (/** @type {number[]} */ list) => Math.min(...list),
    middle = (/** @type {number[]} */ list) => [...list].sort((a, b) => a - b)[list.length >> 1];
console.log(`${model.info.vocabulary} tokens in the vocabulary, ${model.info.threads} threads`);
for (const [name, list] of Object.entries(times))
    console.log(
        `${name.padEnd(9)} ${least(list).toFixed(2)} ms at best, ${middle(list).toFixed(2)} ms as a rule; ` +
            `${(least(list) - least(times.plain)).toFixed(2)} ms more than plain`,
    );
await model.dispose();
