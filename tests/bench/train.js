// Measures the speed of training: node tests/bench/train.js [MODEL] [THREADS] [BATCH] [LENGTH]
//
// It prints tokens per second with one thread and with more. The runs take turns, and the fastest step of each counts,
// because other work on the machine only slows steps down. It also prints the multiply-adds per second of a whole step
// with one thread, beside those of the engine's F32 kernel with 128 tokens (`make bench-kernels` builds it). The kernel
// is that of the build simd128: training uses no relaxed SIMD, as its results must be the same everywhere.
import { fileURLToPath } from 'node:url';
import { load, train } from '../../web/index.js';
import { f32Rate } from './kernel-time.js';

const tiny = fileURLToPath(new URL('../fixtures/tiny.gguf', import.meta.url)),
    [model = tiny, threads = '2', batch = '8', length = '256'] = process.argv.slice(2),
    tokens = Number(batch) * Number(length),
    ROUNDS = 3,
    STEPS = 8;

/** @param {number} threads @returns {Promise<number>} tokens per second of the fastest step */
async function fastest(threads) {
    const data = Array.from({ length: tokens * 2 + 1 }, (_, i) => (i * i) % 251),
        training = await train(model, {
            ...{ data, steps: STEPS, batch: Number(batch), length: Number(length), rate: 1e-5, threads },
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
    return (tokens * 1000) / least;
}

/**
 * Multiply-adds of a token, forward and backward. Each matrix has three products: forward, the gradient of its inputs,
 * and its own gradient. Attention has two products forward and five backward (src/train/causal.h), over half of the
 * positions on average.
 */
async function multiplications() {
    const loaded = await load(model, { headerOnly: true }),
        { tensors, metadata } = loaded.info,
        isTied = !tensors.some(({ name }) => name === 'output.weight');
    await loaded.dispose();
    const matrices = tensors
        .filter(({ name, shape }) => shape.length === 2 && (isTied || name !== 'token_embd.weight'))
        .reduce((sum, { shape }) => sum + shape[0] * shape[1], 0);
    const of = (/** @type {string} */ name) => tensors.find((tensor) => tensor.name === name)?.shape ?? [0, 0],
        [, queries = 0] = of('blk.0.attn_q.weight');
    return 3 * matrices + 7 * Number(metadata['llama.block_count']) * queries * (Number(length) / 2);
}

const rates = { one: 0, more: 0 };
for (let round = 0; round < ROUNDS; round++) {
    rates.one = Math.max(rates.one, await fastest(1));
    rates.more = Math.max(rates.more, await fastest(Number(threads)));
}
const figure = (/** @type {number} */ rate) => Math.round(rate).toLocaleString('en'),
    kernel = await f32Rate('simd128').catch(() => null),
    rate = rates.one * (await multiplications());
console.log(`${model}: batches of ${batch} sequences of ${length} tokens`);
console.log(`1 thread ${figure(rates.one)} tokens/s, ${threads} threads ${figure(rates.more)} tokens/s`);
console.log(`ratio ${(rates.more / rates.one).toFixed(2)}`);
console.log(
    `1 thread ${(rate / 1e9).toFixed(1)} G multiply-adds/s${
        kernel
            ? `, ${((100 * rate) / kernel).toFixed(0)} % of the F32 kernel's ${(kernel / 1e9).toFixed(1)}`
            : ' (the F32 kernel is not built: ./build.sh bench)'
    }`,
);
