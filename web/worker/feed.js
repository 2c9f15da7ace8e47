/**
 * Bytes -> an object of a core that is fed in pieces: the engine's loader, the converter, the maker of integers; and
 * the output of such an object -> a sink.
 */

/**
 * A sink (sources/open.js) that feeds such an object, whose functions are `${kind}_space` and `${kind}_commit`.
 * loaded: how many bytes went in; filled: it wants no more.
 * @param {import('./core.js').Core} core
 * @param {'nb_loader' | 'nb_converter' | 'nb_integer_maker'} kind
 * @param {number} handle
 * @param {() => void} [tick] called after each piece
 * @param {() => Promise<void>} [ready] what to wait for before each piece
 */
export function feedSink(core, kind, handle, tick, ready) {
    let address = 0;
    const capacity = core.allocate(4, 'a counter');
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

/**
 * Bytes of a core's memory -> sink. They are looked up anew for each piece: the memory may grow in between.
 * @param {import('./core.js').Core} core
 * @param {number} address
 * @param {number} size
 * @param {import('../sources/open.js').Sink} out
 * @returns {boolean} whether it took all: false if it wants no more
 */
export function passOn(core, address, size, out) {
    for (let done = 0; done < size; ) {
        const room = out.room(),
            n = Math.min(room.length, size - done);
        if (n === 0) return false;
        room.set(core.bytes(address + done, n));
        out.commit(n);
        done += n;
    }
    return true;
}
