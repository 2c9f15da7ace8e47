// How fast a model is trained with one thread and with more: node tests/bench/train.js [MODEL] [THREADS] [BATCH] [LENGTH]
// The runs take turns, and the fastest step of each counts: other work on the machine only slows steps down.
import { fileURLToPath } from 'node:url';
import { train } from '../../web/index.js';

const tiny = fileURLToPath(new URL('../../demo/tiny.gguf', import.meta.url)),
    [model = tiny, threads = '2', batch = '8', length = '256'] = process.argv.slice(2),
    ROUNDS = 3,
    STEPS = 8;

/** @param {number} threads @returns {Promise<number>} tokens per second of the fastest step */
async function fastest(threads) {
    const tokens = Array.from({ length: Number(batch) * Number(length) * 2 + 1 }, (_, i) => (i * i) % 251),
        training = await train(model, {
            ...{ data: tokens, steps: STEPS, batch: Number(batch), length: Number(length), rate: 1e-5, threads },
        });
    if (training.info.threads !== threads) throw new Error(`there are only ${training.info.threads} threads here`);
    let least = Infinity,
        began = performance.now();
    for await (const { step } of training) {
        const now = performance.now();
        if (step > 2) least = Math.min(least, now - began); // the first ones warm up
        began = now;
    }
    await training.dispose();
    return (Number(batch) * Number(length) * 1000) / least;
}

const rates = { one: 0, more: 0 };
for (let round = 0; round < ROUNDS; round++) {
    rates.one = Math.max(rates.one, await fastest(1));
    rates.more = Math.max(rates.more, await fastest(Number(threads)));
}
const told = (/** @type {number} */ rate) => Math.round(rate).toLocaleString('en');
console.log(`${model}: batches of ${batch} sequences of ${length} tokens`);
console.log(`1 thread ${told(rates.one)} tokens/s, ${threads} threads ${told(rates.more)} tokens/s`);
console.log(`ratio ${(rates.more / rates.one).toFixed(2)}`);
