// What speculation gains: tokens per second with and without, in turn, so that a busy machine slows both alike. The
// first three texts repeat their prompts, the others do not. Each pair of answers must be the same. "in all" counts the
// time of the prompt, too, which a draft model reads as well.
//     node tests/bench/speculation.js MODEL [ROUNDS] [PRECISION] [DRAFT]
import assert from 'node:assert/strict';
import { load } from '../../web/index.js';

const [file, rounds = '5', precision = 'exact', draft] = process.argv.slice(2),
    TOKENS = 160;

const NAMES = ['Ada', 'Ben', 'Cleo', 'Dan', 'Eve', 'Finn', 'Gus', 'Hana'],
    LETTER = `The mill stands at the river's bend, where the water is quick and cold. Every morning the miller opens the
sluice, and the great wheel begins to turn. Farmers bring their grain in sacks of rough cloth, and while they wait they
talk about the weather, the price of oats, and the bridge that was never finished. In the evening the wheel stops.
Then the only sound is the water.`,
    TABLE = JSON.stringify(NAMES.map((name, i) => ({ name, age: 20 + 3 * i, city: 'Oslo', active: i % 2 === 0 }))),
    CODE = `function total(items) {\n    let sum = 0;\n    for (const item of items) {\n        sum += item.price * item.count;
    }\n    return sum;\n}\n`;

/** @type {Record<string, string>} */
const prompts = {
    quote: `Text:\n${LETTER}\n\nThe same text once more:\nThe mill stands at`,
    json: `Rows: ${TABLE}\nThe rows once more: [{"name":"Ada","age":20,`,
    edit: `Before:\n${CODE}\nAfter, with the name "amount" in place of "sum":\nfunction total(items) {\n    let amount = 0;\n`,
    story: 'Once upon a time, in a village by the sea,',
    answer: 'Question: Why is the sky blue?\nAnswer:',
};
const model = await load(file, { precision: /** @type {'exact'} */ (precision), draft });
const median = (/** @type {number[]} */ list) => [...list].sort((a, b) => a - b)[list.length >> 1];
console.log(`${model.info.name}, ${model.info.build}, ${model.info.threads} threads, ${precision}, ${TOKENS} tokens`);
for (const sampling of [{ temperature: 0 }, { temperature: 0.8, seed: 7 }]) {
    /** @type {Record<string, { gains: number[], all: number[], rates: number[], guessed: number, right: number }>} */
    const measured = {};
    // one text after another, so that each is read anew
    for (let round = 0; round <= Number(rounds); round++)
        for (const [name, prompt] of Object.entries(prompts)) {
            const ask = { ...sampling, maxTokens: TOKENS, ignoreEnd: true };
            measured[name] ??= { gains: [], all: [], rates: [], guessed: 0, right: 0 };
            const [without, guessing] = [await timed(prompt, { ...ask, speculate: false }), await timed(prompt, ask)];
            assert.deepEqual(guessing.tokens, without.tokens);
            if (round === 0) continue; // it warms up
            const sums = measured[name];
            sums.gains.push(guessing.rate / without.rate);
            sums.all.push(without.ms / guessing.ms);
            sums.rates.push(without.rate);
            sums.guessed += guessing.drafted?.guessed ?? 0;
            sums.right += guessing.drafted?.right ?? 0;
        }
    for (const [name, { gains, all, rates, guessed, right }] of Object.entries(measured))
        console.log(
            `temperature ${sampling.temperature}, ${name.padEnd(6)}: ${median(gains).toFixed(2)} times ` +
                `${median(rates).toFixed(0)} tokens/s (${gains.map((gain) => gain.toFixed(2)).join(' ')}), in all ` +
                `${median(all).toFixed(2)}${draft ? `; the draft: ${right} of ${guessed} right` : ''}`,
        );
}
await model.dispose();

/**
 * An answer to a text that was not the last one.
 * @param {string} prompt
 * @param {import('../../web/index.d.ts').GenerateOptions} options
 */
async function timed(prompt, options) {
    await model.complete('Another text.', { maxTokens: 1 });
    const began = performance.now(),
        { tokens, timings, drafted } = await model.complete(prompt, options);
    return { tokens, drafted, rate: Number(timings.generateTokensPerSecond), ms: performance.now() - began };
}
