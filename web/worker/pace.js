/** When the engine lets messages in, and how many tokens it makes until then. */
import { yieldToEvents } from '../platform.js';

/** How long, in ms, the engine works before it sends its text and looks for messages: about two frames. Sending and
 * looking take 0.2 ms. */
const SLICE = 30;

/** Tokens of one call, while the time of a token is unknown. */
const UNTIMED = 16;

/** A slice of time, after which the event loop gets its turn. */
export class Slice {
    began = performance.now();

    /** ms, negative when it is over. */
    left() {
        return this.began + SLICE - performance.now();
    }

    over() {
        return this.left() <= 0;
    }

    async yieldToEvents() {
        await yieldToEvents();
        this.began = performance.now();
    }
}

/**
 * How many tokens to ask the core for. A call makes as many as the slice has time for, because a call leaves the
 * processor's caches cold for JavaScript. Some browsers round their clock to as much as 100 ms, so a token's time
 * is only known once the clock has moved; until then the calls grow slowly, and messages are let in after each.
 */
export class Pace {
    /** ms that one token takes; 0: unknown */
    each = 0;
    #made = 0;
    /** The last time at which the clock had moved, and the tokens since then. */
    #since = { time: 0, tokens: 0 };

    /** @param {Slice} slice */
    constructor(slice) {
        this.slice = slice;
    }

    /** Tokens of the next call. */
    next() {
        return this.each > 0
            ? Math.max(1, Math.round(this.slice.left() / this.each))
            : Math.max(1, Math.min(UNTIMED, 2 * this.#made));
    }

    /**
     * Notes a call. The first one does not count: its token needed no evaluation.
     * @param {number} made
     */
    took(made) {
        const time = performance.now();
        if (this.#made === 0) {
            this.#since = { time, tokens: 0 };
        } else {
            this.#since.tokens += made;
            if (time > this.#since.time) {
                this.each = (time - this.#since.time) / this.#since.tokens;
                this.#since = { time, tokens: 0 };
            }
        }
        this.#made = made;
    }

    /** Whether to let messages in now. */
    over() {
        return this.each === 0 || this.slice.left() < this.each / 2;
    }

    async yieldToEvents() {
        await this.slice.yieldToEvents();
        // the time that others took does not count
        if (this.each > 0) this.#since = { time: performance.now(), tokens: 0 };
    }
}
