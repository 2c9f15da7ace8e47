/** About how many of the last values a mean is made of. */
const MEMORY = 32;

/** A mean that forgets. */
export class Mean {
    #sum;
    #weight;

    /** @param {number} first @param {number} weight of it, as a number of values */
    constructor(first, weight) {
        this.#sum = first * weight;
        this.#weight = weight;
    }

    /** @param {number} value @param {number} [times] */
    add(value, times = 1) {
        const keep = this.#weight > MEMORY ? Math.max(1 - times / MEMORY, 0) : 1;
        this.#sum = this.#sum * keep + value * times;
        this.#weight = this.#weight * keep + times;
    }

    /** Lets what was added so far count as so many values, at most. @param {number} weight */
    fade(weight) {
        const keep = Math.min(1, weight / this.#weight);
        this.#sum *= keep;
        this.#weight *= keep;
    }

    get value() {
        return this.#sum / this.#weight;
    }
}
