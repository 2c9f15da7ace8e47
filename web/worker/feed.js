/** Bytes -> an object of a core that is fed in pieces: the engine's loader, the converter, the maker of integers. */

/**
 * A sink (sources/open.js) before such an object, whose functions are `${kind}_space` and `${kind}_commit`.
 * loaded: how many bytes went in; filled: it wants no more.
 * @param {import('./core.js').Core} core
 * @param {'nb_loader' | 'nb_converter' | 'nb_integer_maker'} kind
 * @param {number} handle
 * @param {() => void} [tick] called after each piece
 * @param {() => Promise<void>} [ready] what to wait for before each piece
 */
export function feedSink(core, kind, handle, tick, ready) {
    let address = 0;
    const capacity = core.take(4, 'a counter');
    return {
        loaded: 0,
        filled: false,
        ready,
        room() {
            address = core.exports[`${kind}_space`](handle, capacity) >>> 0;
            const n = core.ints(capacity, 1)[0] >>> 0;
            this.filled = n === 0;
            return core.bytes(address, n);
        },
        /** @param {number} n */
        commit(n) {
            this.loaded += n;
            core.count(`${kind}_commit`, handle, n);
            tick?.();
        },
        free: () => core.exports.nb_free(capacity),
    };
}
