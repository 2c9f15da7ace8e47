/** Bytes -> an object of a core that is fed in pieces: the engine's loader, the converter. */
import { NibbleError } from '../errors.js';
import { recognize } from '../sources/recognize.js';

/**
 * A sink (sources/open.js) before such an object, whose functions are `${kind}_space` and `${kind}_commit`.
 * loaded: how many bytes went in; filled: it wants no more; head: the first bytes, to say what they are if they are no model.
 * @param {import('./core.js').Core} core
 * @param {'nb_loader' | 'nb_converter'} kind
 * @param {number} handle
 * @param {() => void} [tick] called after each piece
 */
export function feedSink(core, kind, handle, tick) {
    let address = 0;
    const capacity = core.take(4, 'a counter');
    return {
        loaded: 0, filled: false, head: new Uint8Array(64),
        room() {
            address = core.exports[`${kind}_space`](handle, capacity) >>> 0;
            const n = core.ints(capacity, 1)[0] >>> 0;
            this.filled = n === 0;
            return core.bytes(address, n);
        },
        /** @param {number} n */
        commit(n) {
            if (this.loaded < this.head.length)
                this.head.set(core.bytes(address, Math.min(n, this.head.length - this.loaded)), this.loaded);
            this.loaded += n;
            core.count(`${kind}_commit`, handle, n);
            tick?.();
        },
        free: () => core.exports.nb_free(capacity),
    };
}

/**
 * An error of the core's, or a better word for it: most wrong files are easily recognized.
 * @param {unknown} error
 * @param {{ head: Uint8Array, loaded: number }} sink
 * @param {string} [name]
 */
export function explained(error, sink, name) {
    const head = sink.head.subarray(0, sink.loaded);
    const what = error instanceof NibbleError && /_(FORMAT|TRUNCATED|UNSUPPORTED)$/.test(error.code) && head.length > 0 &&
        recognize(head, !name);
    return what ? new NibbleError('NB_ERR_FORMAT', name ? `${name}: ${what}` : what, { cause: error }) : error;
}
