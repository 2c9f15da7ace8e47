/**
 * Speculation by look-up: where a text repeats itself, what followed the last time is guessed to follow again (prompt
 * look-up decoding, Saxena 2023). The core evaluates the guesses as one batch, which takes less time than one by one,
 * and keeps those that it would have chosen anyway (nb_session_speculate), so the text is the same. How many guesses
 * pay is decided by what was measured: how often guesses were right, and what batches cost.
 */
/** Tokens before a place that must be the same as those before another. */
const SHORTEST_MATCH = 2;

/** Lengths of a match from which on guesses count as surer. */
const CLASSES = [2, 3, 5, 8, 16];
const LONGEST_MATCH = CLASSES[CLASSES.length - 1];

/** About how many of the last values a mean is made of. */
const MEMORY = 32;

/** What one more row of a batch costs, as a share of a single row, until it is known: a measured one of SmolLM2. */
const ROW_COST = 0.62;
/** How many measured batches an assumed cost counts as. */
const ASSUMED = 2;

/** So many batches after the last single row, its time is measured anew. */
const BATCHES = 64;

/** A batch of guesses must promise that much more than tokens one by one. */
const LEAST_GAIN = 1.05;

/** A mean that forgets. */
class Mean {
    #sum;
    #weight;

    /** @param {number} first @param {number} weight */
    constructor(first, weight) {
        this.#sum = first * weight;
        this.#weight = weight;
    }

    /** @param {number} value @param {number} [times] */
    add(value, times = 1) {
        const keep = this.#weight > MEMORY ? Math.max(1 - times / MEMORY, 0) : 1;
        this.#sum = this.#sum * keep + value * times;
        this.#weight = this.#weight * keep + times;
    }

    get value() {
        return this.#sum / this.#weight;
    }
}

/** Finds what followed the same tokens the last time. */
export class LookUp {
    /** @type {number[]} */
    #tokens = [];
    /** The last place after each pair of tokens. @type {Map<number, number>} */
    #after = new Map();
    /** Where the newest tokens were before: the place after them. 0: nowhere. */
    #place = 0;
    /** How many tokens before that place are the same as the newest ones. */
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

    /** Up to n tokens. A text that repeats its end goes on repeating. @param {number} n */
    guesses(n) {
        if (this.length === 0) return [];
        const period = this.#tokens.length - this.#place;
        return Array.from({ length: n }, (_, i) => this.#tokens[this.#place + (i % period)]);
    }
}

/** What batches cost, in single rows. */
class Costs {
    #single = new Mean(0, 0);
    /** What one more row costs, in any batch, and in batches of so many guesses. */
    #row = new Mean(ROW_COST, ASSUMED);
    /** @type {Mean[]} */
    #rows = [];
    #batches = 0;

    /** Whether a single row has been measured lately. */
    get known() {
        return this.#single.value > 0 && this.#batches < BATCHES;
    }

    /** @param {number} rows that were evaluated one by one @param {number} ms */
    single(rows, ms) {
        if (rows > 0) this.#single.add(ms / rows, rows);
        this.#batches = 0;
    }

    /** @param {number} guesses @param {number} ms */
    batch(guesses, ms) {
        const cost = (ms / this.#single.value - 1) / guesses;
        this.#rows[guesses] ??= new Mean(this.#row.value, ASSUMED);
        this.#rows[guesses].add(cost);
        this.#row.add(cost);
        this.#batches++;
    }

    /** @param {number} guesses */
    of(guesses) {
        return 1 + guesses * Math.max((this.#rows[guesses] ?? this.#row).value, 0);
    }
}

export class Speculator {
    #lookUp = new LookUp();
    /** How often a guess is right, by the length of the match. */
    #right = CLASSES.map((least) => new Mean(least < 5 ? 0.3 : 0.7, 4));
    #costs = new Costs();
    /** Whether the core has the logits after the last token, or after the one before it. */
    #hasLogits = true;
    #hasPrefix = true;
    guessed = 0;
    right = 0;

    /** @param {Iterable<number>} prompt @param {number} mostGuesses that the core takes at once */
    constructor(prompt, mostGuesses) {
        this.mostGuesses = mostGuesses;
        for (const token of prompt) this.#push(token);
    }

    /**
     * Makes the next tokens.
     * @param {(guesses: number[]) => number[]} run makes tokens, with these guesses or one by one without any
     * @param {number} most
     */
    make(run, most) {
        const guesses = this.#hasPrefix ? this.guesses(most - 1) : [],
            began = performance.now(),
            tokens = run(guesses),
            ms = performance.now() - began;
        if (guesses.length > 0) {
            this.guessed += guesses.length;
            this.right += tokens.length - 1;
            this.#costs.batch(guesses.length, ms);
        } else if (this.#hasPrefix) this.#costs.single(tokens.length - (this.#hasLogits ? 1 : 0), ms);
        this.#hasPrefix = true;
        this.#hasLogits = false;
        for (const token of tokens) this.#push(token);
        return tokens;
    }

    /** Tokens that were not made, but are a part of the answer. @param {number[]} tokens */
    told(tokens) {
        this.#hasPrefix = false;
        for (const token of tokens) this.#lookUp.push(token);
    }

    /**
     * The guesses that pay.
     * @param {number} most
     * @returns {number[]} none: tokens one by one are faster
     */
    guesses(most) {
        if (!this.#costs.known || this.#lookUp.length === 0) return [];
        let best = 0,
            gain = LEAST_GAIN,
            expected = 1,
            likely = 1;
        for (let n = 1; n <= Math.min(most, this.mostGuesses); n++) {
            likely *= this.#right[classOf(this.#lookUp.length + n - 1)].value;
            expected += likely;
            if (expected / this.#costs.of(n) > gain) {
                gain = expected / this.#costs.of(n);
                best = n;
            }
        }
        return this.#lookUp.guesses(best);
    }

    /** Learns whether the guess of this token, whether it was made or not, was right. @param {number} token */
    #push(token) {
        const guess = this.#lookUp.next();
        if (guess !== undefined) this.#right[classOf(this.#lookUp.length)].add(guess === token ? 1 : 0);
        this.#lookUp.push(token);
    }
}

/** @param {number} length of a match */
function classOf(length) {
    let i = CLASSES.length - 1;
    while (i > 0 && length < CLASSES[i]) i--;
    return i;
}
