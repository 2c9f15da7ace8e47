/** From so many values on, older values count less and less. */
const MEMORY = 32;

/** A moving average: the plain mean of the first MEMORY values, and then an exponential one. */
export class Mean {
    #sum;
    #weight;

    /** @param {number} first value @param {number} weight as how many values it counts */
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

    /** Lets what was added so far count as `weight` values at most. @param {number} weight */
    fade(weight) {
        const keep = Math.min(1, weight / this.#weight);
        this.#sum *= keep;
        this.#weight *= keep;
    }

    get value() {
        return this.#sum / this.#weight;
    }
}
