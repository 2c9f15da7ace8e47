/** @typedef {import('./link.js').Link} Link */

/**
 * A request that answers in pieces.
 * @template T
 */
export class Stream {
    /**
     * @param {Link} link
     * @param {object} message
     * @param {(piece: any) => T} take
     * @param {AbortSignal | undefined} signal
     */
    constructor(link, message, take, signal) {
        this.link = link;
        /** @type {T[]} */
        this.pieces = [];
        /** @type {(() => void)[]} */
        this.waiting = [];
        this.over = false;
        const wake = () => this.waiting.splice(0).forEach((f) => f());
        this.id = link.nextId;
        this.done = link.request(message, (piece) => {
            this.pieces.push(take(piece));
            wake();
        }, signal).finally(() => {
            this.over = true;
            wake();
        });
        this.done.catch(() => {}); // whoever reads or awaits is told; who does neither has no use for the error
    }

    /**
     * The pieces, which are kept: this may be read at any time and more than once.
     * @param {() => void} leave what to do when the reader leaves before the end
     */
    read(leave) {
        let at = 0;
        return this.#each(leave, () => at < this.pieces.length, () => this.pieces[at++]);
    }

    /**
     * The pieces, which are not kept: the worker waits until they are read.
     * @param {() => void} leave
     */
    readOnce(leave) {
        return this.#each(leave, () => this.pieces.length > 0, () => {
            this.link.post({ type: 'more', job: this.id });
            return /** @type {T} */ (this.pieces.shift());
        });
    }

    /**
     * @param {() => void} leave
     * @param {() => boolean} some
     * @param {() => T} next
     * @returns {AsyncGenerator<T, void, undefined>}
     */
    async *#each(leave, some, next) {
        try {
            for (;;) {
                while (some())
                    yield next();
                if (this.over)
                    break;
                await new Promise((resolve) => this.waiting.push(() => resolve(undefined)));
            }
            await this.done;
        } finally {
            if (!this.over)
                leave();
        }
    }

    stop() {
        if (!this.over)
            this.link.post({ type: 'stop', job: this.id });
    }
}
