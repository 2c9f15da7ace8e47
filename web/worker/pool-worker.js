/**
 * A thread of the core's pool: its own instance of the same module over the same memory. It gets one message that says
 * what to join, answers that it did, and is then inside WebAssembly until the pool stops. What runs is one file,
 * build/pool-worker.js.
 */
import { toPlain } from '../errors.js';
import { listen } from '../platform.js';

/** @typedef {import('../protocol.js').Fatal} Fatal */
/** @typedef {import('../protocol.js').Ready} Ready */

/** @type {(message: Ready | Fatal) => void} */
const post = listen(
    'pool-worker',
    async (/** @type {import('../protocol.js').Join} */ { module, memory, pool, index, stack, alarm }) => {
        if (!alarm) return; // the script was loaded in the place of another one, and its first message has shown that
        try {
            const instance = await WebAssembly.instantiate(module, { env: { memory } });
            const core = /** @type {import('./core.js').Exports} */ (/** @type {unknown} */ (instance.exports));
            core.__stack_pointer.value = stack;
            post({ type: 'ready' });
            core.nb_pool_work(pool, index);
        } catch (error) {
            /** @type {import('../protocol.js').Alarm} */
            const message = { index, error: toPlain(error) };
            alarm.postMessage(message);
        }
    },
    (error) => post({ type: 'fatal', error: toPlain(error) }),
);
