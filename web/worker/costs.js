/**
 * Measures what batches of guesses cost. The unit is a single row: the time that the model takes for one token by
 * itself.
 */
import { Mean } from './mean.js';

/** What one more row of a batch costs, as a share of a single row, until it is measured. With SmolLM2 it was this. */
export const ROW_COST = 0.62;
/** How many measured batches an assumed cost counts as. */
export const ASSUMED = 2;

/** After so many batches of guesses the time of a single row is measured anew. */
const BATCHES = 64;

/** Guesses are made if they promise more than this speed-up, as a factor. */
export const LEAST_GAIN = 1.05;

export class Costs {
    #single = new Mean(0, 0);
    /** What one more row costs: in any batch, and by the number of guesses in the batch. */
    #row;
    /** @type {Mean[]} */
    #rows = [];
    #batches = 0;

    /** @param {number} [row] what one more row is assumed to cost @param {number} [weight] of that, in batches */
    constructor(row = ROW_COST, weight = ASSUMED) {
        this.#row = new Mean(row, weight);
    }

    /** Whether a single row has been measured lately. */
    get known() {
        return this.#single.value > 0 && this.#batches < BATCHES;
    }

    /** @param {number} rows that were evaluated one by one @param {number} ms */
    single(rows, ms) {
        if (rows <= 0) return; // such as the first token of an answer, which needs no evaluation
        this.#single.add(ms / rows, rows);
        this.#batches = 0;
    }

    /** @param {number} guesses @param {number} ms */
    batch(guesses, ms) {
        const cost = (this.in(ms) - 1) / guesses;
        this.#rows[guesses] ??= new Mean(this.#row.value, ASSUMED);
        this.#rows[guesses].add(cost);
        this.#row.add(cost);
        this.#batches++;
    }

    /** A time in single rows. @param {number} ms */
    in(ms) {
        return ms / this.#single.value;
    }

    /** What one more row costs. */
    get row() {
        return Math.max(this.#row.value, 0);
    }

    /** What a batch costs. @param {number} guesses in it */
    of(guesses) {
        return 1 + guesses * Math.max((this.#rows[guesses] ?? this.#row).value, 0);
    }
}
