/**
 * The sequences of the engine's session (nb_sequence in src/models/session.h). Each generation has one for itself while
 * it runs: its seat. The sequence keeps its text afterwards. Later requests go on from it, or from a copy of its
 * beginning, which shares its memory.
 */
import { common, WORTH } from './conversations.js';
import { heldCount } from './saving.js';

/** @typedef {import('./adapters.js').AdapterSet} AdapterSet */
/** @typedef {import('./engine.js').Engine} Engine */
/** @typedef {import('./engine.js').Job} Job */

/**
 * isBusy: whether a generation has it. isUsed: whether its text is that of the generation that has it, or had it last:
 * one that was stopped before its turn leaves the text as it is. usedAt: when it was used last, as a number of uses.
 * adapters: those that its text was computed with. reading: while a prompt is evaluated: its tokens, a promise that
 * settles at the end, and what settles it.
 * @typedef {{ index: number, isBusy: boolean, isUsed: boolean, usedAt: number, adapters: AdapterSet,
 *     reading?: { tokens: Int32Array, over: Promise<void>, end: () => void } }} Seat
 */

export class Seats {
    #engine;
    /** How many requests may still enter without waiting. */
    #free;
    /** Those that wait. @type {(() => void)[]} */
    #line = [];
    #uses = 0;
    /** The one that the session's functions work on. @type {Seat} */
    current;

    /** @param {Engine} engine @param {number} n */
    constructor(engine, n) {
        this.#engine = engine;
        this.#free = n;
        /** @type {Seat[]} */
        this.all = Array.from({ length: n }, (_, index) => ({
            index,
            isBusy: false,
            isUsed: false,
            usedAt: 0,
            adapters: { key: '', use: [] },
        }));
        [this.current] = this.all;
    }

    /** Waits until there is a seat for the caller. leave() lets the next one in. */
    async enter() {
        if (this.#free > 0) this.#free--;
        else await new Promise((resolve) => this.#line.push(() => resolve(undefined)));
    }

    leave() {
        const next = this.#line.shift();
        if (next) next();
        else this.#free++;
    }

    /** Lets the session's functions work on this one. @param {Seat} seat */
    select(seat) {
        const { core, session } = this.#engine;
        this.current = seat;
        if (this.all.length > 1) core.count('nb_session_select', session, seat.index);
    }

    /** Selects the seat that was used last. */
    selectLast() {
        this.select(this.all.reduce((last, seat) => (seat.usedAt > last.usedAt ? seat : last)));
    }

    /** Selects the idle seat that was not used for the longest time, for another text. */
    selectOldest() {
        this.select(this.#oldest(this.#idle));
        this.current.usedAt = ++this.#uses;
    }

    get #idle() {
        return this.all.filter(({ isBusy }) => !isBusy);
    }

    /** @param {Seat[]} seats */
    #oldest = (seats) => seats.reduce((oldest, seat) => (seat.usedAt < oldest.usedAt ? seat : oldest));

    /**
     * A seat for a prompt that is about to be evaluated: it gets the adapters, and as much of the prompt as is
     * remembered. free() gives it back. If another request is evaluating the same beginning, take() waits for that.
     * @param {Int32Array} tokens
     * @param {AdapterSet} adapters
     * @param {Job} job
     */
    async take(tokens, adapters, job) {
        for (;;) {
            const shared = this.#shared(tokens, adapters),
                most = Math.max(...shared);
            const ahead = this.all.find(
                ({ reading, adapters: { key } }) =>
                    reading && key === adapters.key && common(reading.tokens, tokens) >= most + WORTH,
            );
            if (!ahead || job.stopped) break;
            await ahead.reading?.over;
        }
        const seat = job.stopped ? this.#oldest(this.#idle) : this.prepare(tokens, adapters);
        let end = () => {};
        /** @type {Promise<void>} */
        const over = new Promise((resolve) => {
            end = resolve;
        });
        seat.isBusy = true;
        seat.isUsed = !job.stopped;
        seat.reading = { tokens, over, end };
        return seat;
    }

    /** To be called when the seat's prompt is evaluated, or given up. @param {Seat} seat */
    read(seat) {
        seat.reading?.end();
        seat.reading = undefined;
    }

    /** @param {Seat} seat */
    free(seat) {
        this.read(seat);
        seat.isBusy = false;
        if (seat.isUsed) seat.usedAt = ++this.#uses;
    }

    /**
     * How many tokens of a prompt each seat holds; all 0 if there is only one seat.
     * @param {Int32Array} tokens
     * @param {AdapterSet} adapters
     */
    #shared(tokens, { key }) {
        const { core, session } = this.#engine;
        if (this.all.length === 1) return [0]; // there is no choice
        return core.borrow(4 * tokens.length, (at) => {
            core.ints(at, tokens.length).set(tokens);
            return this.all.map((seat) => {
                if (seat.adapters.key !== key) return 0;
                this.select(seat);
                return core.exports.nb_session_holds(session, at, tokens.length);
            });
        });
    }

    /**
     * Selects an idle seat, and makes it ready for a prompt. It takes the one that holds most of the prompt, among
     * those that would forget fewer than WORTH tokens. If there is none, it takes the one that was not used for the
     * longest time. If another seat holds more of the prompt, that beginning is copied; a conversation that was saved
     * and holds still more is restored.
     * @param {Int32Array} tokens
     * @param {AdapterSet} adapters
     */
    prepare(tokens, adapters) {
        const engine = this.#engine,
            { core, session } = engine;
        const shared = this.#shared(tokens, adapters),
            best = this.all.reduce((best, seat) => (shared[seat.index] > shared[best.index] ? seat : best)),
            idle = this.#idle;
        const fitting = idle.filter((seat) => this.all.length > 1 && this.#held(seat) - shared[seat.index] < WORTH),
            most = Math.max(...fitting.map(({ index }) => shared[index])),
            seat = this.#oldest(fitting.length > 0 ? fitting.filter(({ index }) => shared[index] === most) : idle);
        this.select(seat);
        const isRestored = engine.conversations?.prepare(engine, tokens, adapters, shared[best.index]);
        if (!isRestored && shared[best.index] > shared[seat.index]) {
            core.count('nb_session_fork', session, best.index, shared[best.index]);
            seat.adapters = best.adapters;
        }
        engine.adapters.apply(adapters);
        seat.usedAt = ++this.#uses;
        return seat;
    }

    /** @param {Seat} seat */
    #held(seat) {
        this.select(seat);
        return heldCount(this.#engine);
    }
}
