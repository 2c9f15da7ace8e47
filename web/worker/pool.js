/** The threads of a core's pool: workers that join it (pool-worker.js). */
import { startWorker } from '../spawn.js';
import { startBuild } from './core.js';

/**
 * A core of its own, with a pool of its own.
 * @param {'quantize' | 'train'} module
 * @param {import('../assets.js').Assets} assets
 * @param {number} threads
 * @param {(port: MessagePort) => void} watch
 * @returns {Promise<{ core: import('./core.js').Core, pool: number, end: () => void }>} end: ends the threads
 */
export async function startPooledCore(module, { wasm, poolWorkerUrl }, threads, watch) {
    const core = await startBuild(threads > 1 ? `${module}-threads` : module, wasm),
        pool = core.object('nb_pool_new', threads);
    return { core, pool, end: await startThreads(core, pool, threads, poolWorkerUrl, watch) };
}

/**
 * Starts the pool's other threads, and waits until all run.
 * @param {import('./core.js').Core} core
 * @param {number} pool
 * @param {number} threads
 * @param {string} url of their script
 * @param {(port: MessagePort) => void} watch passes on the port by which a thread reports its failure
 * @returns {Promise<() => void>} ends them: a thread holds the core's memory
 */
export async function startThreads(core, pool, threads, url, watch) {
    const workers = await Promise.all(
        Array.from({ length: threads - 1 }, (_, i) => startThread(core, pool, threads, i + 1, url, watch)),
    );
    return () => {
        core.exports.nb_pool_stop(pool);
        for (const { terminate } of workers) terminate();
    };
}

/**
 * @param {import('./core.js').Core} core
 * @param {number} pool
 * @param {number} threads
 * @param {number} index of this one
 * @param {string} url
 * @param {(port: MessagePort) => void} watch
 * @returns {Promise<import('../spawn.js').WorkerHandle<import('../protocol.js').Join>>}
 */
function startThread(core, pool, threads, index, url, watch) {
    const stack = core.exports.nb_pool_stack(pool, index) >>> 0;
    const { port1, port2 } = new MessageChannel();
    watch(port1);
    return new Promise((resolve, reject) => {
        /** @type {Promise<import('../spawn.js').WorkerHandle<import('../protocol.js').Join>>} */
        const worker = startWorker(
            { url, script: 'pool-worker', name: `thread ${index} of ${threads}` },
            (/** @type {import('../protocol.js').Ready} */ _ready) => resolve(worker),
            reject,
        );
        worker
            .then(({ post }) =>
                post({ module: core.module, memory: core.memory, pool, index, stack, alarm: port2 }, [port2]),
            )
            .catch(reject);
    });
}
