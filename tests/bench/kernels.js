// Times every matrix kernel of a build: node tests/bench/kernels.js [BUILD ...]   (default: those that this Node runs)
//
// Each figure is the best of several repetitions, in passes some seconds apart: a kernel's speed is what it reaches
// undisturbed. It prints
// - for each kernel, 10^9 weights per second: for one token with the weights in the second-level cache (generate), for
//   one token with the weights in memory, as in a real model (memory), and for 128 tokens (prompt); each also in
//   percent of the best kernel with the same number of bits and form of activations. Then GB/s of weights in memory,
//   also in percent of what merely reading them reaches;
// - attention over 1,024 positions for each type of cache, in 10^9 multiplications per second: for one token in one
//   layer, for one token in thirty layers, whose caches come from memory, and for 64 tokens;
// - sums of x x^T of 128 vectors (src/kernels/gram.h), in the same unit;
// - the products of training with 128 tokens (src/train/product.h): forward, the gradient of the inputs, and the
//   gradient of the weights; each also in percent of the engine's F32 kernel.
import { openKernels, quickest, SHAPE, text, time } from './kernel-time.js';

const MANY = 40; // with so many times more rows, a matrix fits into no cache
const PASSES = 3;
const TYPES = { any: [0, 1, 30] }; // kernels that take any type are shown with F32, F16 and BF16
const CACHES = { I16: 25, Q8_0: 8, 'Q8_0/Q4_0': 520, Q4_0: 2, F16: 1, F32: 0 };
const HEADS = { 'SmolLM2-135M': [9, 3, 64], 'Gemma 3 270M': [4, 1, 256] }; // heads, KV heads, size of a head
const POSITIONS = 1024;
// m, n, k of a product [m, k] x [k, n], and which factors are transposed (bench_prepare_product)
const TRAINING = {
    forward: [128, SHAPE.rows, SHAPE.columns, 0],
    'gradient of inputs': [128, SHAPE.columns, SHAPE.rows, 2],
    'gradient of weights': [SHAPE.rows, SHAPE.columns, 128, 3],
};

/** @typedef {{ name: string, group: string, rates: number[], bytes: number }} Row bytes: read a second, from memory */
/** @typedef {Row & { type: string }} Product */

const builds = process.argv.length > 2 ? process.argv.slice(2) : ['simd128', 'relaxed', 'relaxed-dot'];
for (const build of builds) {
    const core = await openKernels(build).catch((error) => {
        if (!(error instanceof WebAssembly.CompileError)) throw error;
        console.log(`${build}: not run by this engine (${error.message})`);
    });
    if (!core) continue;
    const pass = () => ({
        products: products(core),
        attention: attention(core),
        ceiling: reading(core),
        gram: gram(core),
        training: Object.values(TRAINING).map((shape) => training(core, shape)),
    });
    const best = pass();
    for (let i = 1; i < PASSES; i++) {
        const next = pass();
        keepBest(best.products, next.products);
        keepBest(best.attention, next.attention);
        best.ceiling = Math.max(best.ceiling, next.ceiling);
        best.gram = Math.max(best.gram, next.gram);
        best.training = best.training.map((rate, j) => Math.max(rate, next.training[j]));
    }
    print(build, best.products, best.ceiling);
    printAttention(build, best.attention);
    console.log(`${build}, sums of x x^T: ${(best.gram / 1e9).toFixed(1)}\n`);
    const f32 = Math.max(...best.products.filter(({ type }) => type === 'F32').map(({ rates }) => rates[2]));
    for (const [i, name] of Object.keys(TRAINING).entries()) {
        const rate = best.training[i];
        console.log(`${build}, training, ${name}: ${(rate / 1e9).toFixed(1)} ${percent(rate / f32)}`);
    }
    console.log();
}

/** @param {Row[]} rows @param {Row[]} others of another pass */
function keepBest(rows, others) {
    for (const [i, row] of rows.entries()) {
        row.rates = row.rates.map((rate, j) => Math.max(rate, others[i].rates[j]));
        row.bytes = Math.max(row.bytes, others[i].bytes);
    }
}

/** @param {any} core */
function products(core) {
    /** @type {Product[]} */
    const rows = [];
    for (let i = 0; core.bench_name(i); i++) {
        const name = text(core, core.bench_name(i));
        if (name.endsWith('scalar')) continue;
        for (const any of name.includes('_any_') ? TYPES.any : [0]) {
            const [generate, memory, prompt] = [
                [1, 1],
                [MANY, 1],
                [1, 128],
            ].map(([rows, tokens]) => time(core, i, any, rows, tokens));
            const form = name.match(/_([^_]+)__/)?.[1],
                bits = generate.type.match(/\d+/)?.[0];
            rows.push({
                name,
                type: generate.type,
                group: `${bits} ${form}`,
                bytes: memory.bytes,
                rates: [generate, memory, prompt].map(({ speed }) => speed),
            });
        }
    }
    return rows;
}

/** @param {string} build @param {Product[]} rows @param {number} ceiling bytes/s */
function print(build, rows, ceiling) {
    const titles = ['generate', 'memory', 'prompt'].map((title) => title.padEnd(12)).join('');
    console.log(`${build.padEnd(32)}   type   ${titles}read   (of the best)`);
    for (const { name, type, group, rates, bytes } of rows) {
        const best = (/** @type {number} */ i) =>
            Math.max(...rows.filter((row) => row.group === group).map((row) => row.rates[i]));
        console.log(
            `${name.padEnd(33)}  ${type.padEnd(7)}` +
                rates.map((rate, i) => `${(rate / 1e9).toFixed(1).padStart(5)} ${percent(rate / best(i))}  `).join('') +
                `${(bytes / 1e9).toFixed(1).padStart(5)} GB/s ${percent(bytes / ceiling)}`,
        );
    }
    console.log(`merely reading: ${(ceiling / 1e9).toFixed(1)} GB/s\n`);
}

/** @param {any} core */
function attention(core) {
    return Object.entries(HEADS).flatMap(([model, [heads, kvHeads, size]]) =>
        Object.entries(CACHES).map(([name, type]) => {
            const timings = [
                [1, 1],
                [1, 30],
                [64, 1],
            ].map(([tokens, layers]) => {
                core.bench_prepare_attention(type, heads, kvHeads, size, POSITIONS, tokens, layers);
                const seconds = quickest(() => core.bench_attend()),
                    bytes = core.bench_attention_bytes() / seconds;
                core.bench_release_attention();
                return { speed: (2 * POSITIONS * heads * size * tokens * layers) / seconds, bytes };
            });
            return { name, group: model, rates: timings.map(({ speed }) => speed), bytes: timings[1].bytes };
        }),
    );
}

/** Multiplications per second of nb_gram_add, which computes one triangle only. @param {any} core */
function gram(core) {
    const { rows: columns } = SHAPE,
        tokens = 128;
    core.bench_prepare_gram(columns, tokens);
    const seconds = quickest(() => core.bench_gram(columns, tokens));
    core.bench_release_gram();
    return ((columns * (columns + 1)) / 2) * (tokens / seconds);
}

/** Multiplications per second of nb_product_run. @param {any} core @param {number[]} shape */
function training(core, [m, n, k, transposed]) {
    core.bench_prepare_product(m, n, k, transposed);
    const seconds = quickest(() => core.bench_product());
    core.bench_release_product();
    return (m * n * k) / seconds;
}

/** @param {string} build @param {Row[]} rows */
function printAttention(build, rows) {
    const titles = ['generate', 'memory', 'prompt'].map((title) => title.padEnd(12)).join('');
    for (const [i, { name, group, rates, bytes }] of rows.entries()) {
        if (group !== rows[i - 1]?.group)
            console.log(`${`${build}, attention as in ${group}`.padEnd(43)}${titles}read`);
        console.log(
            name.padEnd(43) +
                rates.map((rate) => (rate / 1e9).toFixed(1).padStart(5).padEnd(12)).join('') +
                `${(bytes / 1e9).toFixed(1).padStart(5)} GB/s`,
        );
    }
    console.log();
}

/** @param {number} share */
function percent(share) {
    return `${(100 * share).toFixed(0).padStart(3)} %`;
}

/** Bytes per second of only reading a matrix. @param {any} core */
function reading(core) {
    core.bench_prepare(0, 1, SHAPE.rows * MANY, SHAPE.columns, 1); // F16
    const seconds = quickest(() => core.bench_read());
    const bytes = core.bench_bytes() / seconds;
    core.bench_release();
    return bytes;
}
