/** A line: as many have their turn at a time as there are places, in the order in which they came. */
export class Line {
    #running = 0;
    /** Those that wait: each function begins a turn. @type {(() => void)[]} */
    #waiting = [];
    /** Those that come before them, likewise. @type {(() => void)[]} */
    #ahead = [];

    /** @param {number} [places] */
    constructor(places = 1) {
        this.places = places;
    }

    /** How many places are taken. */
    get running() {
        return this.#running;
    }

    get taken() {
        return this.#running > 0;
    }

    /** Whether who comes now must wait. */
    get isFull() {
        return this.#running >= this.places || this.#ahead.length > 0;
    }

    /** How many wait, without those that come first. */
    get waiting() {
        return this.#waiting.length;
    }

    /**
     * Waits for a turn.
     * @param {AbortSignal} [signal] leaves the line, and rejects with its reason
     * @param {boolean} [first] comes before all that wait, is not of their number, and takes all places
     * @returns {Promise<() => void>} ends the turn; it may be called more than once
     */
    enter(signal, first = false) {
        return new Promise((resolve, reject) => {
            if (signal?.aborted) return reject(signal.reason);
            const size = first ? this.places : 1;
            const begin = () => {
                signal?.removeEventListener('abort', leave);
                this.#running += size;
                let isOver = false;
                resolve(() => {
                    if (isOver) return;
                    isOver = true;
                    this.#running -= size;
                    this.#next();
                });
            };
            const leave = () => {
                this.#waiting = this.#waiting.filter((each) => each !== begin);
                this.#ahead = this.#ahead.filter((each) => each !== begin);
                reject(signal?.reason);
                this.#next(); // it may have kept others out
            };
            if (first ? !this.taken : !this.isFull) return begin();
            signal?.addEventListener('abort', leave, { once: true });
            (first ? this.#ahead : this.#waiting).push(begin);
        });
    }

    #next() {
        if (!this.taken) this.#ahead.shift()?.();
        while (!this.isFull && this.#waiting.length > 0) this.#waiting.shift()?.();
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
