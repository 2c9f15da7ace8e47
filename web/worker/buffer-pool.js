/**
 * Buffers that are used again: engines notice late that large buffers are garbage, and layers have tensors of the same
 * sizes. A buffer that is not taken between two calls of empty() is dropped.
 */
export class BufferPool {
    /** @type {Uint8Array[]} */
    #taken = [];
    /** @type {Uint8Array[]} */
    #free = [];

    /** From now on the buffers that were taken may be given out again. */
    empty() {
        this.#free = this.#taken;
        this.#taken = [];
    }

    /** @param {number} bytes @returns {Uint8Array} with arbitrary content */
    take(bytes) {
        const i = this.#free.findIndex(({ length }) => length === bytes),
            found = i < 0 ? new Uint8Array(bytes) : this.#free.splice(i, 1)[0];
        this.#taken.push(found);
        return found;
    }
}
