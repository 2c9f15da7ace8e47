// Runs the C suite in a WebAssembly build: node tests/core/run.js BUILD [FILTER]

import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

// The pool's workers must start while this thread is inside WebAssembly, where Node cannot start any: so they are
// started first, and wait here. Words of the shared array `control`:
const GENERATION = 0,
    BUSY = 1,
    POOL = 2,
    THREADS = 3,
    STACKS = 4;
const MAX_THREADS = 8;
const root = new URL('../../', import.meta.url);

/** @param {WebAssembly.Memory} memory @param {number} at @param {number} size */
function textAt(memory, at, size) {
    return Buffer.from(new Uint8Array(memory.buffer, at >>> 0, size >>> 0)).toString();
}

/** What the tests call (tests/core/check.h says what each does).
 * @param {() => WebAssembly.Memory} memory @param {Int32Array} control @param {() => any} exports */
function hostFunctions(memory, control, exports) {
    return {
        /** @param {number} path @param {number} out @param {number} capacity */
        test_read(path, out, capacity) {
            const bytes = new Uint8Array(memory().buffer);
            const name = textAt(memory(), path, bytes.indexOf(0, path >>> 0) - (path >>> 0));
            let file;
            try {
                file = openSync(new URL(name, root), 'r');
            } catch {
                return 0;
            }
            const { size } = fstatSync(file);
            readSync(file, bytes, out >>> 0, Math.min(capacity >>> 0, size), 0);
            closeSync(file);
            return size;
        },
        /** @param {number} text @param {number} size */
        test_print(text, size) {
            writeSync(1, textAt(memory(), text, size));
        },
        /** @param {number} pool @param {number} n */
        test_start_workers(pool, n) {
            if (n > MAX_THREADS) throw new Error(`a test wants ${n} threads; run.js has ${MAX_THREADS}`);
            if (control[BUSY]) throw new Error('a test started a second pool before it joined the first');
            for (let i = 1; i < n; i++) control[STACKS + i] = exports().nb_pool_stack(pool, i);
            control[POOL] = pool;
            control[THREADS] = n;
            Atomics.store(control, BUSY, MAX_THREADS - 1);
            Atomics.add(control, GENERATION, 1);
            Atomics.notify(control, GENERATION);
        },
        test_join_workers() {
            for (let busy; (busy = Atomics.load(control, BUSY)) > 0; ) Atomics.wait(control, BUSY, busy);
        },
    };
}

async function main() {
    const [build, filter = ''] = process.argv.slice(2);
    if (!build)
        throw new Error(
            'which build? node tests/core/run.js simd128|relaxed|relaxed-dot, or one of these with -threads',
        );
    const module = await WebAssembly.compile(readFileSync(new URL(`build/tests/core-${build}.wasm`, root)));
    const threads = build.endsWith('-threads');
    const shared = threads ? new WebAssembly.Memory({ initial: 48, maximum: 65536, shared: true }) : undefined;
    const control = new Int32Array(new SharedArrayBuffer(4 * (STACKS + MAX_THREADS)));
    /** @type {any} */
    let exports;
    const memory = () => shared ?? exports.memory;
    const env = { ...(shared && { memory: shared }), ...hostFunctions(memory, control, () => exports) };
    exports = (await WebAssembly.instantiate(module, { env })).exports;
    const workers = [];
    for (let index = 1; threads && index < MAX_THREADS; index++) {
        const worker = new Worker(new URL(import.meta.url), { workerData: { module, memory: shared, control, index } });
        workers.push(once(worker, 'message'));
    }
    await Promise.all(workers);
    const at = exports.test_filter();
    Buffer.from(memory().buffer).write(`${filter.slice(0, 63)}\0`, at);
    process.exit(exports.test_run(at) ? 1 : 0);
}

async function work() {
    const { parentPort } = await import('node:worker_threads');
    /**
     * @type {{ module: WebAssembly.Module, memory: WebAssembly.Memory, control: Int32Array<SharedArrayBuffer>,
     *     index: number }}
     */
    const { module, memory, control, index } = workerData;
    // A worker never runs a test, so it gets the same imports but no exports of the first instance.
    const env = {
        memory,
        ...hostFunctions(
            () => memory,
            control,
            () => undefined,
        ),
    };
    const { exports } = /** @type {any} */ (await WebAssembly.instantiate(module, { env }));
    parentPort?.postMessage('ready');
    for (let seen = 0; ; ) {
        Atomics.wait(control, GENERATION, seen);
        seen = Atomics.load(control, GENERATION);
        if (index < control[THREADS]) {
            exports.__stack_pointer.value = control[STACKS + index];
            exports.nb_pool_work(control[POOL], index);
        }
        Atomics.sub(control, BUSY, 1);
        Atomics.notify(control, BUSY);
    }
}

if (isMainThread) {
    await main();
} else {
    await work().catch((error) => {
        // The main thread may be waiting for this worker inside WebAssembly: nothing less would end it.
        writeSync(2, `worker ${workerData.index}: ${error.stack}\n`);
        process.kill(process.pid, 'SIGTERM');
    });
}
