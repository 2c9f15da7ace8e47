// What a LoRA adapter costs: with an adapter of all matrices of the layers, and without, in turn.
//     node tests/bench/adapters.js MODEL [RANK] [THREADS]
// The adapter is made here, of F32 with random numbers, on which its cost does not depend. Medians of the milliseconds of
// a token, of a prompt and of an answer of 32 tokens each; and of what the adapter adds in percent, over pairs of runs,
// with the quartiles.
import { cpus } from 'node:os';
import { median } from '../../demo/bench-work.js';
import { promptMaker } from '../../web/api/rates.js';
import { load } from '../../web/index.js';
import { whole } from '../support/gguf.js';

const [path, rankText = '16', threads = '1'] = process.argv.slice(2);
if (!path) throw new Error('the command is: node tests/bench/adapters.js MODEL [RANK] [THREADS]');
const rank = Number(rankText);
const RUNS = 21,
    TOKENS = 32;

/** Numbers from -0.01 to 0.01, by a linear congruential generator. @param {number} n */
function numbers(n) {
    let random = n;
    const all = Float32Array.from({ length: n }, () => {
        random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
        return 0.02 * (random / 2 ** 32 - 0.5);
    });
    return new Uint8Array(all.buffer);
}

/** @param {import('../../web/index.d.ts').ModelInfo} info */
function adapterOf({ architecture, tensors }) {
    /** @type {Parameters<typeof whole>[0]} */
    const values = new Map();
    values.set('general.type', ['string', 'adapter']);
    values.set('adapter.type', ['string', 'lora']);
    values.set('general.architecture', ['string', architecture]);
    values.set('adapter.lora.alpha', ['f32', rank]);
    return whole(
        values,
        tensors
            .filter(({ name }) => /^blk\.\d+\.(attn_(q|k|v|qkv|output)|ffn_(gate|up|down))\.weight$/.test(name))
            .flatMap(({ name, shape: [columns, rows] }) =>
                [
                    { name: `${name}.lora_a`, shape: [columns, rank] },
                    { name: `${name}.lora_b`, shape: [rank, rows] },
                ].map((tensor) => {
                    const data = numbers(tensor.shape[0] * tensor.shape[1]);
                    return { ...tensor, type: 0, bytes: data.length, data };
                }),
            ),
    );
}

const model = await load(path, { threads: Number(threads), contextLength: 256 }),
    adapter = await model.addAdapter(adapterOf(model.info), { name: 'made' }),
    newPrompt = promptMaker(model.info.vocabulary ?? 1, TOKENS);
console.log(
    `${cpus()[0].model.trim()}, ${model.info.build}, ${threads} threads; ` +
        `rank ${rank}, ${(adapter.bytes / 1e6).toFixed(1)} MB`,
);

/** Milliseconds of a token: of the prompt, and of the answer. @param {string[]} adapters */
async function measure(adapters) {
    const options = { maxTokens: TOKENS, ignoreEnd: true, speculate: false, adapters },
        { timings, cachedTokens } = await model.complete(newPrompt(), options);
    if (cachedTokens) throw new Error('the prompt must be evaluated');
    return [timings.promptTokensPerSecond, timings.generateTokensPerSecond].map((rate) => 1000 / (rate ?? 0));
}

/** @type {number[][][]} [run][without, with][prompt, answer] */
const runs = [];
for (let i = 0; i <= RUNS; i++) {
    const pair =
        i % 2 ? [await measure([]), await measure(['made'])] : [await measure(['made']), await measure([])].reverse();
    if (i > 0) runs.push(pair); // the first warms up
}
for (const [i, what] of ['prompt', 'answer'].entries()) {
    const of = (/** @type {number} */ k) => median(runs.map((run) => run[k][i])).toFixed(2);
    const added = runs.map(([without, own]) => 100 * (own[i] / without[i] - 1)).sort((a, b) => a - b);
    console.log(
        `${what}: ${of(0)} ms without, ${of(1)} ms with it: ${median(added).toFixed(1)} % more, ` +
            `from ${added[RUNS >> 2].toFixed(1)} to ${added[(3 * RUNS) >> 2].toFixed(1)}`,
    );
}
await model.dispose();
