/** @typedef {import('./link.js').Link} Link */

/**
 * A request that answers in pieces.
 * @template Answer
 * @template Piece
 */
export class Stream {
    /**
     * @param {Link} link
     * @param {(add: (piece: Piece) => void) => Promise<Answer>} request sends it, and adds its pieces as they come
     */
    constructor(link, request) {
        this.link = link;
        /** @type {Piece[]} */
        this.pieces = [];
        /** @type {(() => void)[]} */
        this.waiting = [];
        this.over = false;
        const wake = () => {
            for (const resume of this.waiting.splice(0)) resume();
        };
        this.id = link.nextId;
        this.done = request((piece) => {
            this.pieces.push(piece);
            wake();
        }).finally(() => {
            this.over = true;
            wake();
        });
        this.done.catch(() => {}); // who reads or awaits gets the error; otherwise it must not count as unhandled
    }

    /**
     * The pieces, which are kept: this may be read at any time and more than once.
     * @param {() => void} leave what to do when the reader leaves before the end
     */
    read(leave) {
        let at = 0;
        return this.#each(
            leave,
            () => at < this.pieces.length,
            () => this.pieces[at++],
        );
    }

    /**
     * The pieces, which are not kept: the worker waits until they are read.
     * @param {() => void} leave
     * @param {boolean} [recycles] whether the buffer of a piece goes back to the worker when the next one is asked for
     */
    readOnce(leave, recycles = false) {
        /** @type {Piece | undefined} */
        let last;
        return this.#each(
            leave,
            () => this.pieces.length > 0,
            () => {
                const spare =
                    recycles && last instanceof Uint8Array ? /** @type {ArrayBuffer} */ (last.buffer) : undefined;
                this.link.post({ type: 'more', job: this.id, spare }, spare && [spare]);
                last = this.pieces.shift();
                return /** @type {Piece} */ (last);
            },
        );
    }

    /**
     * @param {() => void} leave
     * @param {() => boolean} some
     * @param {() => Piece} next
     * @returns {AsyncGenerator<Piece, void, undefined>}
     */
    async *#each(leave, some, next) {
        try {
            for (;;) {
                while (some()) yield next();
                if (this.over) break;
                await new Promise((resolve) => this.waiting.push(() => resolve(undefined)));
            }
            await this.done;
        } finally {
            if (!this.over) leave();
        }
    }

    /** Gives the worker the logits that it lent. @param {Float32Array} logits */
    giveBack(logits) {
        if (!this.over)
            this.link.post({ type: 'logits', job: this.id, logits }, [/** @type {ArrayBuffer} */ (logits.buffer)]);
    }

    stop() {
        if (!this.over) this.link.post({ type: 'stop', job: this.id });
    }
}
