/**
 * Arrays that are used again: engines notice late that large arrays are garbage, and layers have tensors of the same
 * sizes. What is not taken between two calls of empty() is let go.
 */
export class Room {
    /** @type {Uint8Array[]} */
    #taken = [];
    /** @type {Uint8Array[]} */
    #free = [];

    /** From now on what was taken may be given again. */
    empty() {
        this.#free = this.#taken;
        this.#taken = [];
    }

    /** @param {number} bytes @returns {Uint8Array} of so many, with anything in it */
    take(bytes) {
        const i = this.#free.findIndex(({ length }) => length === bytes),
            found = i < 0 ? new Uint8Array(bytes) : this.#free.splice(i, 1)[0];
        this.#taken.push(found);
        return found;
    }
}
