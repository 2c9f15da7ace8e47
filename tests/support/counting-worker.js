// nibble's worker, for load()'s workerUrl in Node, which tells over a BroadcastChannel how much WebAssembly memory it
// holds, and how many objects of the core there are that JavaScript made and has not freed (memory-of.js).
import { threadId } from 'node:worker_threads';

/** @type {{ memory: WebAssembly.Memory, live: Map<string, number> }[]} */
const instances = [];
const { instantiate } = WebAssembly;

/** @param {WebAssembly.Module} module @param {any} imports */
async function counting(module, imports) {
    const instance = /** @type {any} */ (await instantiate(module, imports)),
        /** @type {Map<string, number>} */
        live = new Map();
    const count = (/** @type {string} */ what, /** @type {number} */ by) => live.set(what, (live.get(what) ?? 0) + by);
    /** @param {string} name @param {any} value */
    const counted = (name, value) => {
        const [, what = 'bytes', verb] = /^nb_(?:(\w+)_)?(new|alloc|free)$/.exec(name) ?? [];
        if (verb === undefined) return value;
        return (/** @type {number[]} */ ...args) => {
            const result = value(...args);
            if (verb !== 'free' && result !== 0) count(what, 1);
            if (verb === 'free' && args[0] !== 0) count(what, -1);
            return result;
        };
    };
    const exports = Object.fromEntries(
        Object.entries(instance.exports).map(([name, value]) => [name, counted(name, value)]),
    );
    instances.push({ memory: imports.env?.memory ?? exports.memory, live });
    return { exports };
}
Object.assign(WebAssembly, { instantiate: counting });

const channel = /** @type {any} */ (new BroadcastChannel('nibble memory'));
channel.onmessage = (/** @type {any} */ { data }) => {
    if (data.ask === undefined) return;
    const modules = instances.map(({ memory, live }) => ({
        bytes: memory.buffer.byteLength,
        live: Object.fromEntries([...live].filter(([, n]) => n !== 0)),
    }));
    globalThis.gc?.(); // with --expose-gc
    channel.postMessage({ answer: data.ask, thread: threadId, modules, heap: process.memoryUsage().heapUsed });
};
channel.unref();

await import(new URL('../../build/engine-worker.js', import.meta.url).href);
