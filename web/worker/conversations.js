/**
 * Several conversations over one model. The session remembers one text. When a request is about to overwrite what it
 * remembers, that is saved here (saving.js), and it is restored when a later request goes on from it: so none of them
 * evaluates its history again. What was not used for the longest time is forgotten first.
 */
import { NibbleError } from '../errors.js';
import { heldTokens, restore, save, savedBytes } from './saving.js';

/** @typedef {import('./engine.js').Engine} Engine */
/** adapters: with which they were computed (adapters.js). @typedef {{ tokens: Int32Array, bytes: Uint8Array,
 * adapters: string }} Kept */

/** Evaluating fewer tokens than this is about as quick as saving and restoring them. */
export const WORTH = 32;

/**
 * How many tokens two texts have in common at their beginnings.
 * @param {ArrayLike<number>} a
 * @param {ArrayLike<number>} b
 */
export function common(a, b) {
    const most = Math.min(a.length, b.length);
    let n = 0;
    while (n < most && a[n] === b[n]) n++;
    return n;
}

/** Whether there was memory for it. Without, the request only takes longer. @param {() => void} act */
function withoutMemoryErrors(act) {
    try {
        act();
        return true;
    } catch (error) {
        if (!(error instanceof NibbleError) || error.code !== 'NB_ERR_MEMORY') throw error;
        return false;
    }
}

export class Conversations {
    /** Those that were used last come last. @type {Kept[]} */
    #kept = [];
    #budget;

    /** @param {number} budget bytes that they may take together */
    constructor(budget) {
        this.#budget = budget;
    }

    /** Bytes that they take now. */
    get bytes() {
        return this.#kept.reduce((sum, { bytes }) => sum + bytes.length, 0);
    }

    /**
     * Makes the session remember as much as possible of a prompt, which is about to be evaluated.
     * @param {Engine} engine
     * @param {Int32Array} prompt
     * @param {import('./adapters.js').AdapterSet} adapters that it is evaluated with
     * @param {number} [elsewhere] how much of it another sequence holds
     * @returns {boolean} whether something was restored
     */
    prepare(engine, prompt, adapters, elsewhere = 0) {
        const held = heldTokens(engine),
            { applied } = engine.adapters,
            shared = applied.key === adapters.key ? common(held, prompt) : 0,
            best = this.#best(prompt, Math.max(shared, elsewhere), adapters.key);
        this.#kept = this.#kept.filter((kept) => kept !== best); // it is going to be the session's
        if (held.length - shared >= WORTH) this.#keep(engine, held, applied.key);
        engine.adapters.apply(adapters);
        return best !== undefined && withoutMemoryErrors(() => restore(engine, best.bytes));
    }

    /**
     * The kept conversation that has most of the prompt, if it has much more of it than the session.
     * @param {Int32Array} prompt
     * @param {number} shared
     * @param {string} adapters
     */
    #best(prompt, shared, adapters) {
        /** @type {Kept | undefined} */
        let best;
        let most = shared + WORTH - 1;
        for (const kept of this.#kept) {
            const n = kept.adapters === adapters ? common(kept.tokens, prompt) : 0;
            if (n > most) [best, most] = [kept, n];
        }
        return best;
    }

    /**
     * Saves what the session remembers, in place of what it went on from.
     * @param {Engine} engine
     * @param {Int32Array} tokens
     * @param {string} adapters
     */
    #keep(engine, tokens, adapters) {
        const size = savedBytes(engine);
        if (size > this.#budget) return;
        this.#kept = this.#kept.filter(
            (kept) => kept.adapters !== adapters || common(kept.tokens, tokens) < kept.tokens.length,
        );
        while (this.bytes + size > this.#budget) this.#kept.shift();
        const isKept = withoutMemoryErrors(() => this.#kept.push({ tokens, bytes: save(engine), adapters }));
        if (!isKept) this.#kept = []; // the device gives less than the budget
    }
}
