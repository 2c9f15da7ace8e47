/**
 * Chooses the part of a text that each step of a training learns from. The tokens are cut into windows; some at the end
 * may be held out for validation. The others come in a random order, each once before any comes again. The order
 * depends on the seed alone, so a run that goes on needs to know no more than how many sequences it has taken.
 */
import { NibbleError } from '../errors.js';
import { permutation, Random } from '../random.js';

/** The stream of random numbers for the first round (see Random). Lower ones have other uses. */
const FIRST_STREAM = 1 << 16;

export class DataOrder {
    /** The round that the order is for. */
    #round = -1;
    #order = new Uint32Array(0);

    /**
     * @param {Int32Array} tokens
     * @param {number} length of a window
     * @param {number} batch sequences of a step
     * @param {number} share of the windows that is held out, 0 ... 1
     * @param {number} seed
     */
    constructor(tokens, length, batch, share, seed) {
        this.tokens = tokens;
        this.length = length;
        this.seed = seed;
        // the last token of a window has a target, too
        const windows = Math.max(0, Math.floor((tokens.length - 1) / length));
        /** Windows that are held out, the last ones. */
        this.heldOut = share > 0 ? Math.max(1, Math.round(share * windows)) : 0;
        /** Windows to learn from. */
        this.windows = windows - this.heldOut;
        if (this.windows < batch)
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                `data (--data) has ${tokens.length} tokens, which is ${Math.max(0, this.windows)} sequences of ` +
                    `${length}${share > 0 ? ` without the ${this.heldOut} that are held out` : ''}, and a batch is ` +
                    `${batch}: take a longer text, or a smaller batch (--batch) or length (--length)`,
            );
    }

    /** The window of a sequence. @param {number} sequence its number, of all that are taken one after the other */
    window(sequence) {
        const round = Math.floor(sequence / this.windows);
        if (round !== this.#round) {
            this.#order = permutation(this.windows, new Random(this.seed, FIRST_STREAM + round));
            this.#round = round;
        }
        return this.#order[sequence - round * this.windows];
    }

    /** Windows to learn from. @param {number} first the first sequence's number @param {number} n */
    sequences(first, n) {
        return this.#read(Array.from({ length: n }, (_, i) => this.window(first + i)));
    }

    /** Windows that are held out. @param {number} first of them @param {number} n */
    heldOutSequences(first, n) {
        return this.#read(Array.from({ length: n }, (_, i) => this.windows + first + i));
    }

    /**
     * @param {number[]} windows
     * @returns {{ tokens: Int32Array, targets: Int32Array }} [windows, length]: a target is the token that follows
     */
    #read(windows) {
        const { length } = this,
            tokens = new Int32Array(windows.length * length),
            targets = new Int32Array(windows.length * length);
        for (const [i, window] of windows.entries()) {
            tokens.set(this.tokens.subarray(window * length, (window + 1) * length), i * length);
            targets.set(this.tokens.subarray(window * length + 1, (window + 1) * length + 1), i * length);
        }
        return { tokens, targets };
    }
}

/**
 * The tokens of texts, one after the other, each with the tokens that the vocabulary puts before and after a text.
 * @param {import('./engine.js').Engine} engine
 * @param {string[] | number[] | Int32Array} data texts, or tokens
 * @param {number} flags NB_TOKENIZE_...
 */
export function dataTokens(engine, data, flags) {
    if (typeof data[0] !== 'string') {
        const tokens = /** @type {number[]} */ (data);
        engine.checkTokens(tokens);
        return Int32Array.from(tokens);
    }
    const parts = /** @type {string[]} */ (data).map((text) => engine.encode(text, flags)),
        tokens = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
        tokens.set(part, at);
        at += part.length;
    }
    engine.checkTokens(/** @type {any} */ (tokens)); // a tokenizer may have more tokens than the embedding has rows
    return tokens;
}
