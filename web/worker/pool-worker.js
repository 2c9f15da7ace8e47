/**
 * A thread of the core's pool: its own instance of the same module over the same memory. It is told once what to join,
 * says that it did, and is then inside WebAssembly until the pool stops. What runs is one file, build/pool-worker.js.
 */
import { toPlain } from '../errors.js';
import { listen } from '../platform.js';

/** @typedef {import('../protocol.js').Fatal} Fatal */
/** @typedef {import('../protocol.js').Ready} Ready */

/** @type {(message: Ready | Fatal) => void} */
const post = listen(
    'pool-worker',
    async (/** @type {import('../protocol.js').Join} */ { module, memory, pool, index, stack, alarm }) => {
        if (!alarm) return; // the script was loaded in another's place: that it started under its own name says so
        try {
            const instance = await WebAssembly.instantiate(module, { env: { memory } });
            const core = /** @type {import('./core.js').Exports} */ (/** @type {unknown} */ (instance.exports));
            core.__stack_pointer.value = stack;
            post({ type: 'ready' });
            core.nb_pool_work(pool, index);
        } catch (error) {
            /** @type {import('../protocol.js').Alarm} */
            const told = { index, error: toPlain(error) };
            alarm.postMessage(told);
        }
    },
    (error) => post({ type: 'fatal', error: toPlain(error) }),
);
