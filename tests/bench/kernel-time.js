// Times single kernels of build/bench/kernels-BUILD.wasm (tests/bench/kernels.c; ./build.sh bench builds it).
import fs from 'node:fs';

/** About the size of SmolLM2's feed-forward matrices; rows are whole blocks of every type. */
export const SHAPE = { rows: 1536, columns: 512 };
const REPETITIONS = 6;

/** @typedef {{ type: string, speed: number, bytes: number }} Timing speed: weights/s; bytes: of the matrix, read/s */

/** @param {string} build @returns {Promise<any>} what the module exports */
export async function openKernels(build) {
    const file = fs.readFileSync(new URL(`../../build/bench/kernels-${build}.wasm`, import.meta.url));
    return (await WebAssembly.instantiate(await WebAssembly.compile(file), {})).exports;
}

/**
 * Multiply-adds per second of the engine's fastest F32 kernel, with one thread and 128 tokens.
 * @param {string} build
 */
export async function f32Rate(build) {
    const core = await openKernels(build);
    let best = 0;
    for (let i = 0; core.bench_name(i); i++)
        if (!text(core, core.bench_name(i)).endsWith('scalar')) {
            const { type, speed } = time(core, i, 0, 1, 128);
            if (type === 'F32') best = Math.max(best, speed);
        }
    return best;
}

/** @param {any} core @param {number} kernel its index @param {number} any the type for kernels that take any
 * @param {number} times how many times SHAPE's rows @param {number} tokens @returns {Timing} */
export function time(core, kernel, any, times, tokens) {
    const rows = SHAPE.rows * times,
        type = text(core, core.bench_prepare(kernel, any, rows, SHAPE.columns, tokens));
    const all = core.bench_groups(),
        groups = tokens === 1 ? all : 16;
    const seconds = quickest(() => {
        for (let first = 0; first < all; first += groups) core.bench_run(first, groups);
    });
    const bytes = core.bench_bytes() / seconds;
    core.bench_release();
    return { type, speed: (rows * SHAPE.columns * tokens) / seconds, bytes };
}

/** The least time of a call in seconds, after a warm-up in which the engine optimizes the code.
 * @param {() => void} once */
export function quickest(once) {
    const warm = performance.now();
    while (performance.now() - warm < 60) once();
    let best = Infinity;
    for (let i = 0; i < REPETITIONS; i++) {
        const start = performance.now();
        let times = 0;
        do {
            once();
            times++;
        } while (performance.now() - start < 8);
        best = Math.min(best, (performance.now() - start) / times);
    }
    return best / 1000;
}

/** @param {any} core @param {number} at */
export function text(core, at) {
    const memory = new Uint8Array(core.memory.buffer);
    return Buffer.from(memory.subarray(at, memory.indexOf(0, at))).toString();
}
