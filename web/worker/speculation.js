/**
 * Speculation: the next tokens are guessed. The core evaluates the guesses as one batch, which takes less time than one
 * by one, and keeps those that it would have chosen anyway (nb_session_speculate), so the text is the same.
 *
 * Guesses have two sources. The look-up guesses, where a text repeats itself, that what followed the last time follows
 * again (prompt look-up decoding, Saxena 2023). The other source is a draft model, if there is one (draft.js). Which of
 * them guesses, and how many tokens, depends on what was measured: how often guesses were right, and what they cost.
 */
import { Costs, LEAST_GAIN } from './costs.js';
import { Mean } from './mean.js';

/** @typedef {import('./draft.js').Drafter} Drafter */

/** A match: the newest tokens of a text, if they also stand at an earlier place. It has at least this many tokens. */
const SHORTEST_MATCH = 2;

/** Longer matches have surer guesses. Class i of matches has lengths from CLASSES[i] on. */
const CLASSES = [2, 3, 5, 8, 16];
const LONGEST_MATCH = CLASSES[CLASSES.length - 1];

/** Finds what followed the same tokens the last time. */
export class LookUp {
    /** @type {number[]} */
    #tokens = [];
    /** The last place after each pair of tokens. @type {Map<number, number>} */
    #after = new Map();
    /** The place right after the match's earlier tokens: the token there is the next guess. 0: there is no match. */
    #place = 0;
    /** How many tokens the match has, up to LONGEST_MATCH. 0: there is none. */
    length = 0;

    /** @param {number} token */
    push(token) {
        const tokens = this.#tokens,
            n = tokens.push(token);
        const goesOn = this.length > 0 && tokens[this.#place] === token;
        if (goesOn) {
            this.#place++;
            this.length = Math.min(this.length + 1, LONGEST_MATCH);
        }
        if (n < SHORTEST_MATCH) return;
        const pair = tokens[n - 2] * 2 ** 26 + token; // vocabularies are smaller than 2^26
        if (!goesOn) {
            this.#place = this.#after.get(pair) ?? 0;
            this.length = this.#place > 0 ? this.#matched(this.#place) : 0;
        }
        this.#after.set(pair, n);
    }

    /** @param {number} place */
    #matched(place) {
        const tokens = this.#tokens,
            n = tokens.length;
        let length = SHORTEST_MATCH;
        while (length < LONGEST_MATCH && length < place && tokens[place - 1 - length] === tokens[n - 1 - length])
            length++;
        return length;
    }

    /** The token that would be the guess; undefined: none. */
    next() {
        return this.length > 0 ? this.#tokens[this.#place] : undefined;
    }

    /** n guesses; none without a match. At the end of the text they begin again at #place. @param {number} n */
    guesses(n) {
        if (this.length === 0) return [];
        const period = this.#tokens.length - this.#place;
        return Array.from({ length: n }, (_, i) => this.#tokens[this.#place + (i % period)]);
    }
}

/**
 * What makes the next guesses. n: how many the look-up makes, 0 if it is not the look-up.
 * @typedef {{ n: number, draft?: import('./draft-record.js').Plan }} Choice
 */

export class Speculator {
    #lookUp = new LookUp();
    /** How often a guess is right, by the length of the match. */
    #right = CLASSES.map((least) => new Mean(least < 5 ? 0.3 : 0.7, 4));
    #costs;
    /** Undefined: there is none, or the text has tokens that it does not know. @type {Drafter | undefined} */
    #drafter;
    /** Tokens that were made so far. */
    #made = 0;
    /** Whether the core has the logits after the last token. */
    #hasLogits = true;
    /** Whether the core holds all tokens but the last. */
    #hasPrefix = true;
    /** How many tokens were guessed, and how many of the guesses were right. */
    guessed = 0;
    right = 0;
    /** The same for the draft's guesses alone. */
    drafted = 0;
    draftedRight = 0;

    /**
     * @param {Iterable<number>} prompt
     * @param {number} mostGuesses that the core takes at once
     * @param {Drafter} [drafter] the draft's part in this answer
     */
    constructor(prompt, mostGuesses, drafter) {
        this.mostGuesses = mostGuesses;
        this.#drafter = drafter;
        this.#costs = drafter?.record.costs ?? new Costs();
        drafter?.record.begin();
        for (const token of prompt) this.#push(token);
    }

    /**
     * Makes the next tokens.
     * @param {(guesses: number[]) => number[]} run makes tokens, with these guesses or one by one without any
     * @param {number} most
     */
    make(run, most) {
        const { n, draft: plan } = this.#choose(most - 1),
            draft = plan?.reads ? undefined : plan,
            began = performance.now(),
            guesses = draft ? this.#draft(draft, most - 1) : this.#lookUp.guesses(n),
            guessed = performance.now(),
            tokens = run(guesses),
            ms = performance.now() - guessed;
        // run() makes one token more than the right guesses, unless the last of these ends the answer
        const wrong = guesses.findIndex((guess, i) => guess !== tokens[i]),
            right = wrong < 0 ? guesses.length : wrong;
        if (guesses.length > 0) {
            this.guessed += guesses.length;
            this.right += right;
            this.#costs.batch(guesses.length, ms);
        } else if (this.#hasPrefix) this.#costs.single(tokens.length - (this.#hasLogits ? 1 : 0), ms);
        if (draft) {
            this.drafted += guesses.length;
            this.draftedRight += right;
            this.#drafter?.record.took(guesses, tokens, guessed - began, ms);
        } else this.#drafter?.record.rested(tokens.length);
        this.#made += tokens.length;
        this.#hasPrefix = true;
        this.#hasLogits = false;
        for (const token of tokens) this.#push(token);
        return tokens;
    }

    /** Takes note of tokens of the answer that make() did not make. @param {number[]} tokens */
    told(tokens) {
        this.#hasPrefix = false;
        for (const token of tokens) this.#note(token);
    }

    /** Takes note of a changed text, of which a part was dropped. @param {Iterable<number>} text */
    moved(text) {
        this.#hasPrefix = false; // the core evaluates some of it anew
        for (const token of text) this.#check(token);
    }

    /** Whether the draft should read what it lacks before the next tokens are made. @param {number} most */
    wantsReading(most) {
        return this.#choose(most - 1).draft?.reads === true;
    }

    /**
     * Chooses what promises most.
     * @param {number} most guesses
     * @returns {Choice}
     */
    #choose(most) {
        // the first token needs no evaluation, so guessing it saves nothing
        if (this.#hasLogits || !this.#hasPrefix || !this.#costs.known) return { n: 0 };
        const found = this.#found(Math.min(most, this.mostGuesses)),
            drafter = this.#drafter?.failed ? undefined : this.#drafter,
            room = Math.min(most, this.mostGuesses, drafter?.room ?? 0);
        if (!drafter || room < 1) return found;
        const draft = drafter.record.plan(drafter.unread, room, most, this.#made);
        return draft && (found.n === 0 || draft.gain > found.gain) ? { n: 0, draft } : found;
    }

    /**
     * How many guesses of the look-up pay, 0 for none, and the speed-up that they promise, as a factor.
     * @param {number} most
     */
    #found(most) {
        let n = 0,
            gain = LEAST_GAIN,
            expected = 1,
            likely = 1;
        for (let i = 1; i <= most && this.#lookUp.length > 0; i++) {
            likely *= this.#right[classOf(this.#lookUp.length + i - 1)].value;
            expected += likely;
            if (expected / this.#costs.of(i) > gain) {
                gain = expected / this.#costs.of(i);
                n = i;
            }
        }
        return { n, gain };
    }

    /** @param {import('./draft-record.js').Plan} plan @param {number} most */
    #draft(plan, most) {
        const drafter = /** @type {Drafter} */ (this.#drafter);
        const { goesOn, checked } = drafter.record.judge(plan),
            guesses = drafter.propose(Math.min(most, this.mostGuesses, drafter.room), goesOn);
        return guesses.slice(0, checked());
    }

    /** Learns whether the look-up's guess is this token, even if the guess was not used. @param {number} token */
    #push(token) {
        const guess = this.#lookUp.next();
        if (guess !== undefined) this.#right[classOf(this.#lookUp.length)].add(guess === token ? 1 : 0);
        this.#note(token);
    }

    /** @param {number} token */
    #note(token) {
        this.#lookUp.push(token);
        this.#check(token);
    }

    /** The draft cannot read a token that it does not know. @param {number} token */
    #check(token) {
        if (this.#drafter && token >= this.#drafter.vocabulary) this.#drafter = undefined;
    }
}

/** @param {number} length of a match */
function classOf(length) {
    let i = CLASSES.length - 1;
    while (i > 0 && length < CLASSES[i]) i--;
    return i;
}
