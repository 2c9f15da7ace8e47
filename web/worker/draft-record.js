/**
 * Whether the guesses of a draft model pay, over all answers of a model: how often they were right, and what they cost.
 * Costs are in single rows (costs.js).
 *
 * A draft that pays is used. One that does not rests, and is tried again now and then, because another text may suit
 * it. A credit bounds what trials lose: it grows a little with each token, and with each gain, and what the draft costs
 * in vain is taken from it.
 */
import { ASSUMED, Costs, LEAST_GAIN, ROW_COST } from './costs.js';
import { Mean } from './mean.js';

/** The margin of a guess is the draft's highest logit less its second. Class i has margins from MARGINS[i] on. */
const MARGINS = [0, 0.5, 1, 2, 4];
/** How often guesses of each class are right, and how often any guess is, until that is measured. Each number counts as
 * BELIEVED measured guesses. */
const RIGHT = [0.3, 0.45, 0.6, 0.8, 0.95],
    ANY_RIGHT = 0.7,
    BELIEVED = 4;
/** One text says little of the next. When a text begins, what was measured before counts as KEPT guesses at most, and
 * the numbers above count as RENEWED guesses more. */
const KEPT = 8,
    RENEWED = 2;

/** What one more row of a batch is assumed to cost, until it is measured: little, so that a draft is tried at all. That
 * counts as HOPE measured batches. */
const HOPED_ROW = 0.1,
    HOPE = 0.5;

/** The draft reads up to FEW tokens just before it guesses, without a pause. A batch of guesses makes no more. */
export const FEW = 8;

/** An answer is expected to go on for as many tokens as it has, and for at least EXPECTED tokens. */
const EXPECTED = 32;

/** Between two trials of a draft that does not pay there are at least REST tokens. */
const REST = 64;

/** A draft does not pay if it has lost more than LOSS + SHARE * tokens single rows in an answer of so many tokens. */
const LOSS = 2;

/** The credit grows by SHARE with each token. The other two bound it: the lower bound lets no draft rest for ever. */
const SHARE = 0.01,
    MOST_CREDIT = 24,
    LEAST_CREDIT = -48;

/**
 * What the draft is to do next. gain: the speed-up that its guesses promise, as a factor. reads: it lacks much of the
 * text, and is to read that first. tries: this is a trial; so far its guesses do not promise enough.
 * @typedef {{ gain: number, reads: boolean, tries: boolean }} Plan
 */

export class DraftRecord {
    costs = new Costs(HOPED_ROW, HOPE);
    #right = new Mean(ANY_RIGHT, BELIEVED);
    #rightAt = RIGHT.map((right) => new Mean(right, BELIEVED));
    /** What a guess costs, and a token that is read. */
    #guess;
    #read;
    #credit = 0;
    #rested = 0;
    /** The single rows that guesses have saved in this answer; less than 0: lost. */
    #won = 0;
    /** The classes of the last guesses' margins. @type {number[]} */
    #classes = [];

    /** @param {number} share the draft's bytes divided by the model's, which a guess is assumed to cost */
    constructor(share) {
        this.#guess = new Mean(share, ASSUMED);
        this.#read = new Mean(share * ROW_COST, ASSUMED);
    }

    /** Another text begins. */
    begin() {
        this.#won = 0;
        for (const [mean, right] of /** @type {[Mean, number][]} */ ([
            [this.#right, ANY_RIGHT],
            ...this.#rightAt.map((mean, i) => [mean, RIGHT[i]]),
        ])) {
            mean.fade(KEPT);
            mean.add(right, RENEWED);
        }
    }

    /**
     * The speed-up that guesses promise, as a factor.
     * @param {number} most guesses at once
     */
    gain(most) {
        const right = this.#right.value;
        let gain = 1,
            expected = 1;
        for (let n = 1; n <= most; n++) {
            expected += right ** n;
            gain = Math.max(gain, expected / (this.costs.of(n) + n * this.#guess.value));
        }
        return gain;
    }

    /**
     * @param {number} unread tokens that the draft lacks
     * @param {number} most guesses at once
     * @param {number} left tokens that the answer may still have
     * @param {number} made tokens that it has
     * @returns {Plan | undefined} undefined: the draft rests
     */
    plan(unread, most, left, made) {
        const gain = this.gain(most),
            reads = unread > FEW,
            cost = reads ? unread * this.#read.value : 0,
            saved = Math.min(left, Math.max(EXPECTED, made)) * (1 - 1 / gain);
        const mayLose = this.#won >= -LOSS - SHARE * made,
            mayRead = !reads || (this.#credit >= 0 && saved > cost);
        if (gain > LEAST_GAIN && mayLose && mayRead) return { gain, reads, tries: false };
        const tries = this.#rested >= REST && this.#credit >= cost + this.costs.of(1) - 1 + this.#guess.value;
        return tries ? { gain, reads, tries } : undefined;
    }

    /**
     * Decides by the margins of guesses how many of them are made, and how many of these are checked.
     * @param {Plan} plan
     */
    judge({ tries }) {
        const { row } = this.costs;
        /** How likely all guesses so far are right, and how many of them are worth their rows. */
        let likely = 1,
            worth = 0;
        this.#classes = [];
        return {
            /** Whether one more guess is worth its time. @param {number} margin of the last one */
            goesOn: (margin) => {
                const index = classOf(margin);
                this.#classes.push(index);
                likely *= this.#rightAt[index].value;
                if (likely >= row) worth = this.#classes.length;
                return likely * this.#right.value >= row + this.#guess.value;
            },
            checked: () => Math.max(worth, tries ? 1 : 0),
        };
    }

    /**
     * Learns what came of the guesses that judge() let through.
     * @param {number[]} guesses that were checked
     * @param {number[]} tokens what the model made
     * @param {number} draftMs that guessing took
     * @param {number} ms that checking took
     */
    took(guesses, tokens, draftMs, ms) {
        const made = Math.max(this.#classes.length, 1);
        this.#guess.add(this.costs.in(draftMs) / made, made);
        for (const [i, index] of this.#classes.entries()) {
            if (i >= guesses.length) {
                this.#right.add(this.#rightAt[index].value); // it was not checked: its class counts
                continue;
            }
            const isRight = guesses[i] === tokens[i];
            this.#rightAt[index].add(isRight ? 1 : 0);
            this.#right.add(isRight ? 1 : 0);
            if (!isRight) break;
        }
        this.#rested = 0;
        const batch = guesses.length > 0 ? this.costs.in(ms) : tokens.length;
        const won = tokens.length - batch - this.costs.in(draftMs);
        this.#won += won;
        this.#grow(won + SHARE * tokens.length);
    }

    /** @param {number} tokens that were made without the draft */
    rested(tokens) {
        this.#rested += tokens;
        this.#grow(SHARE * tokens);
    }

    /** @param {number} tokens that the draft has read @param {number} ms */
    read(tokens, ms) {
        if (tokens === 0) return;
        const cost = this.costs.in(ms);
        this.#read.add(cost / tokens, tokens);
        this.#grow(-cost);
    }

    /** @param {number} by */
    #grow(by) {
        this.#credit = Math.min(Math.max(this.#credit + by, LEAST_CREDIT), MOST_CREDIT);
    }
}

/** @param {number} margin */
function classOf(margin) {
    let i = MARGINS.length - 1;
    while (i > 0 && !(margin >= MARGINS[i])) i--;
    return i;
}
