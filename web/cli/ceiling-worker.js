/** A thread that reads and multiplies at the same time as others (ceiling.js). */
import { parentPort, workerData } from 'node:worker_threads';
import { instantiate, productsOf, STEP, STREAMS } from './ceiling-module.js';

/**
 * bytes: to read, over and over. meetings: counts how often threads have come to where all wait for each other.
 * @typedef {{ threads: number, bytes: number, ways: string[], rounds: number, meetings: Int32Array }} Task
 */

/** Short: where other programs run, too, the best round should be one that they do not interrupt. */
const ROUND_MS = 3;
/** Bytes of a stream for one call, and steps of one: short calls, because only the next call runs optimized code. */
const PIECE = 64 << 10,
    STEPS = 5000;

const { threads, bytes, ways, rounds, meetings } = /** @type {Task} */ (workerData);
const stride = Math.max(1, Math.ceil(bytes / STREAMS / STEP)) * STEP,
    pages = Math.max(1, Math.ceil((STREAMS * stride) / 65536));
const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
fill(new Uint8Array(memory.buffer));

/** Memory that was never written may be one page of zeros, which is in the cache. No float of these bytes is subnormal,
 * which would be slow. @param {Uint8Array} room */
function fill(room) {
    for (let i = 0; i < 65536; i++) room[i] = 0x3e + (Math.imul(i, 2654435761) >>> 30);
    for (let done = 65536; done < room.length; done *= 2) room.copyWithin(done, 0, done);
}

let met = 0;
/** Waits for the other threads. */
function meet() {
    met += threads;
    let seen = Atomics.add(meetings, 0, 1) + 1;
    if (seen === met) Atomics.notify(meetings, 0);
    for (; seen < met; seen = Atomics.load(meetings, 0)) Atomics.wait(meetings, 0, seen);
}

/** What each round does in a second. @param {() => number} work returns how much it did */
function rates(work) {
    return Array.from({ length: rounds }, () => {
        meet();
        const began = performance.now();
        let done = 0,
            ms = 0;
        for (; ms < ROUND_MS; ms = performance.now() - began) done += work();
        return (done / ms) * 1000;
    });
}

const { read } = instantiate(ways[0], memory);
let at = 0;
const reading = rates(() => {
    const end = Math.min(at + PIECE, stride),
        done = STREAMS * (end - at);
    read(at, stride, end);
    at = end === stride ? 0 : end;
    return done;
});
const multiplying = ways.map((way) => {
    const { multiply } = instantiate(way, memory);
    return rates(() => {
        multiply(STEPS);
        return productsOf(way, STEPS);
    });
});
parentPort?.postMessage({ reading, multiplying });
