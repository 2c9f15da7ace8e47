// Whether memory stays flat: 1,000 requests of every kind, after some to warm up. It prints the WebAssembly memory of the
// workers, the objects of the core that are alive, JavaScript's objects, and what the process holds (RSS).
//     node --expose-gc --max-semi-space-size=1 tests/bench/memory.js [REQUESTS] [WARM_UP] [MODEL] [THREADS]
// The flags keep out what the garbage collector has not collected yet.
import { load } from '../../web/index.js';
import { models } from '../support/builds.js';
import { counting, memoryOf } from '../support/memory-of.js';
import { embedderFile, mixedRequests } from '../support/mixed-requests.js';

const [count = '1000', warmUp = '100', path = models.tiny, threads = '1'] = process.argv.slice(2);
const options = { ...counting, threads: Number(threads), contextLength: 320, parallel: 2, cacheSize: '1MB' },
    model = await load(path, options),
    embedder = await load(embedderFile, { ...counting, threads: 1 });
const kinds = Object.values(mixedRequests(model, embedder));
const mb = (/** @type {number} */ bytes) => (bytes / 1e6).toFixed(2);

/** @param {number} from @param {number} to */
async function run(from, to) {
    for (let i = from; i < to; i++) await kinds[i % kinds.length](Math.floor(i / kinds.length));
}

async function look() {
    await new Promise((resolve) => setTimeout(resolve, 100));
    globalThis.gc?.();
    const held = await memoryOf(2),
        { rss, heapUsed } = process.memoryUsage();
    return {
        wasm: held.flatMap(({ modules }) => modules).reduce((sum, { bytes }) => sum + bytes, 0),
        heap: held.reduce((sum, { heap }) => sum + heap, heapUsed),
        rss,
        live: JSON.stringify(held.map(({ modules }) => modules.map(({ live }) => live))),
    };
}

const WARM_UP = Number(warmUp),
    STEPS = 4,
    each = Math.ceil(Number(count) / STEPS);
await run(0, WARM_UP);
const first = await look();
console.log(`${model.info.build}, ${model.info.threads} threads, ${kinds.length} kinds of requests`);
for (let step = 0; step <= STEPS; step++) {
    if (step > 0) await run(WARM_UP + (step - 1) * each, WARM_UP + step * each);
    const now = step > 0 ? await look() : first,
        part = (/** @type {'wasm' | 'heap' | 'rss'} */ what) =>
            `${mb(now[what])} MB (${((now[what] / first[what] - 1) * 100).toFixed(2)} %)`;
    console.log(
        `after ${WARM_UP + step * each}: WebAssembly ${part('wasm')}, JavaScript ${part('heap')}, RSS ${part('rss')}` +
            (step > 0 && now.live === first.live ? '' : `\n    alive: ${now.live}`),
    );
}
await model.dispose();
await embedder.dispose();
