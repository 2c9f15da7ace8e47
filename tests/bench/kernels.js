// Times every matrix kernel of a build: node tests/bench/kernels.js [BUILD ...]   (default: those that this Node runs)
// Prints giga-weights per second for one token (as in generation: weights stream from the second-level cache) and for
// 128 (as in a prompt), the best of several repetitions: a kernel's speed is what it reaches undisturbed.
import fs from 'node:fs';

const SHAPE = { rows: 1536, columns: 512 }; // about SmolLM2's feed-forward matrices, and whole blocks of every type
const REPETITIONS = 15;
const TYPES = { any: [0, 1, 30] }; // kernels that take any type are shown with F32, F16 and BF16

const builds = process.argv.length > 2 ? process.argv.slice(2) : ['simd128', 'relaxed'];
console.log('build     kernel                          type   generate      prompt   (G weights/s)');
for (const build of builds) {
    const bytes = fs.readFileSync(new URL(`../../build/bench/kernels-${build}.wasm`, import.meta.url));
    const module = await WebAssembly.compile(bytes).catch((error) => {
        console.log(`${build}: not run by this engine (${error.message})`);
    });
    if (!module) continue;
    const core = /** @type {any} */ ((await WebAssembly.instantiate(module, {})).exports);
    const text = (/** @type {number} */ p) => {
        const memory = new Uint8Array(core.memory.buffer);
        return Buffer.from(memory.subarray(p, memory.indexOf(0, p))).toString();
    };
    for (let i = 0; core.bench_name(i); i++) {
        const name = text(core.bench_name(i));
        if (name.endsWith('scalar')) continue;
        for (const any of name.includes('_any_') ? TYPES.any : [0]) {
            const speeds = [1, 128].map((tokens) => time(core, i, any, tokens));
            console.log(`${build.padEnd(9)} ${name.padEnd(31)} ${speeds[0].type.padEnd(6)}` +
                speeds.map((s) => s.speed.toFixed(1).padStart(9)).join('   '));
        }
    }
}

/** @param {any} core @param {number} kernel @param {number} any @param {number} tokens */
function time(core, kernel, any, tokens) {
    const pointer = core.bench_prepare(kernel, any, SHAPE.rows, SHAPE.columns, tokens);
    const memory = new Uint8Array(core.memory.buffer);
    const type = Buffer.from(memory.subarray(pointer, memory.indexOf(0, pointer))).toString();
    const all = core.bench_groups(), groups = tokens === 1 ? all : 16;
    const once = () => {
        for (let first = 0; first < all; first += groups) core.bench_run(first, groups);
    };
    const warm = performance.now();
    while (performance.now() - warm < 60) once();
    let best = Infinity;
    for (let i = 0; i < REPETITIONS; i++) {
        const start = performance.now();
        let times = 0;
        do once(), times++;
        while (performance.now() - start < 8);
        best = Math.min(best, (performance.now() - start) / times);
    }
    core.bench_release();
    return { type, speed: (SHAPE.rows * SHAPE.columns * tokens) / best / 1e6 };
}
