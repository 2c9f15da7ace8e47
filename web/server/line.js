/** A line: one at a time has its turn, in the order in which they came. */
export class Line {
    #taken = false;
    /** What begins a turn, of those that wait. @type {(() => void)[]} */
    #waiting = [];

    get taken() {
        return this.#taken;
    }

    get waiting() {
        return this.#waiting.length;
    }

    /**
     * Waits for a turn.
     * @param {AbortSignal} [signal] leaves the line, and rejects with its reason
     * @param {boolean} [first] comes before all that wait
     * @returns {Promise<() => void>} ends the turn; it may be called more than once
     */
    enter(signal, first = false) {
        return new Promise((resolve, reject) => {
            if (signal?.aborted) return reject(signal.reason);
            const begin = () => {
                signal?.removeEventListener('abort', leave);
                this.#taken = true;
                let isOver = false;
                resolve(() => {
                    if (isOver) return;
                    isOver = true;
                    this.#taken = false;
                    this.#waiting.shift()?.();
                });
            };
            const leave = () => {
                this.#waiting = this.#waiting.filter((each) => each !== begin);
                reject(signal?.reason);
            };
            if (!this.#taken) return begin();
            signal?.addEventListener('abort', leave, { once: true });
            if (first) this.#waiting.unshift(begin);
            else this.#waiting.push(begin);
        });
    }
}
