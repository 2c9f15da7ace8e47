/**
 * A thread of the core's pool: its own instance of the same module over the same memory. It is told once what to join,
 * says that it did, and is then inside WebAssembly until the pool stops. What runs is one file, build/pool-worker.js.
 */
import { messageOf, toPlain } from '../errors.js';
import { listen } from '../platform.js';

/**
 * @typedef {object} Join
 * @property {WebAssembly.Module} module
 * @property {WebAssembly.Memory} memory
 * @property {number} pool
 * @property {number} index of this worker: 1 ... threads-1
 * @property {number} stack nb_pool_stack(pool, index), asked of the engine's instance: until __stack_pointer is set,
 *     a call in this one would write over the engine's stack
 * @property {MessagePort} alarm where to tell of this worker's death: the thread that called load(). The engine cannot be told:
 *     it may be inside WebAssembly, waiting for what this worker was doing
 */

const post = listen('pool-worker', async (/** @type {Join} */ { module, memory, pool, index, stack, alarm }) => {
    if (!alarm)
        return; // the script was loaded in another's place: that it started under its own name says so
    try {
        const instance = await WebAssembly.instantiate(module, { env: { memory } });
        const core = /** @type {import('./core.js').Exports} */ (/** @type {unknown} */ (instance.exports));
        core.__stack_pointer.value = stack;
        post({ ready: true });
        core.nb_pool_work(pool, index);
    } catch (error) {
        alarm.postMessage(`its thread ${index} stopped: ${messageOf(error)}`);
    }
}, (error) => post({ fatal: true, error: toPlain(error) }));
