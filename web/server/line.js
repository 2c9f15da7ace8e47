/** A line: one at a time has its turn, in the order in which they came. */
export class Line {
    #taken = false;
    /** What begins a turn, of those that wait. @type {(() => void)[]} */
    #waiting = [];
    /** Of those that come before them. @type {(() => void)[]} */
    #ahead = [];

    get taken() {
        return this.#taken;
    }

    /** How many wait, without those that come first. */
    get waiting() {
        return this.#waiting.length;
    }

    /**
     * Waits for a turn.
     * @param {AbortSignal} [signal] leaves the line, and rejects with its reason
     * @param {boolean} [first] comes before all that wait, and is not of their number
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
                    (this.#ahead.shift() ?? this.#waiting.shift())?.();
                });
            };
            const leave = () => {
                this.#waiting = this.#waiting.filter((each) => each !== begin);
                this.#ahead = this.#ahead.filter((each) => each !== begin);
                reject(signal?.reason);
            };
            if (!this.#taken) return begin();
            signal?.addEventListener('abort', leave, { once: true });
            (first ? this.#ahead : this.#waiting).push(begin);
        });
    }
}

/**
 * Waits, before all others, for a turn of the line that is free first, and leaves the other lines then.
 * @param {Line[]} lines
 * @param {AbortSignal} signal leaves all of them, and rejects with its reason
 * @returns {Promise<{ at: number, end: () => void }>} at: which line it is. end: ends the turn
 */
export async function enterFirst(lines, signal) {
    const leaving = new AbortController(),
        leave = () => leaving.abort(signal.reason);
    signal.addEventListener('abort', leave);
    if (signal.aborted) leave();
    const turns = lines.map(async (line, at) => ({ at, end: await line.enter(leaving.signal, true) }));
    let mine = -1;
    try {
        const turn = await Promise.race(turns);
        mine = turn.at;
        return turn;
    } finally {
        signal.removeEventListener('abort', leave);
        leaving.abort();
        // several lines may have become free at once
        for (const turn of turns)
            turn.then(
                ({ at, end }) => at !== mine && end(),
                () => {},
            );
    }
}
