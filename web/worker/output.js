/** The text of an answer while it is generated, and how fast it came. */

/** @typedef {import('../index.d.ts').TokenLogprob} TokenLogprob */

/** Sends a piece of an answer. @typedef {(text: string, tokens: number[], logprobs?: TokenLogprob[]) => void} Emit */

/** What a generation has produced, and how much of it was sent. */
export class Output {
    /**
     * @param {import('./detokenizer.js').Detokenizer} decoder
     * @param {import('./stops.js').StopFinder} stops
     * @param {Emit} emit
     * @param {boolean} logprobs whether each token has one
     */
    constructor(decoder, stops, emit, logprobs) {
        this.decoder = decoder;
        this.stops = stops;
        this.emit = emit;
        /** @type {number[]} */
        this.tokens = [];
        /** One for each of the tokens. @type {TokenLogprob[] | undefined} */
        this.logprobs = logprobs ? [] : undefined;
        this.text = '';
        this.sentTokens = 0;
        this.sentText = 0;
        this.stopped = false; // a stop string ended the text
    }

    /**
     * @param {number} token
     * @returns {boolean} whether a stop string ends the text here
     */
    push(token) {
        this.tokens.push(token);
        this.add(this.decoder.push(token));
        return this.stopped;
    }

    /** Of the token that came last, unless that was an end token, which is none of the output. @param {TokenLogprob}
     * logprob */
    addLogprob(logprob) {
        if (this.logprobs && this.logprobs.length < this.tokens.length) this.logprobs.push(logprob);
    }

    /** @param {string} piece */
    add(piece) {
        const { text, found } = this.stops.push(piece);
        this.text += text;
        this.stopped = found;
    }

    /** Everything that was held back belongs to the text, unless a stop string cut it off. */
    end() {
        if (!this.stopped) this.add(this.decoder.flush());
        if (!this.stopped) this.text += this.stops.flush();
        this.send();
    }

    send() {
        if (this.sentTokens === this.tokens.length && this.sentText === this.text.length) return;
        this.emit(
            this.text.slice(this.sentText),
            this.tokens.slice(this.sentTokens),
            this.logprobs?.slice(this.sentTokens),
        );
        this.sentTokens = this.tokens.length;
        this.sentText = this.text.length;
    }
}

/** @param {number} x */
export const round = (x) => Math.round(x * 100) / 100;

/**
 * @param {number} count
 * @param {number} ms
 * @returns {number | null} a second; null where nothing was counted
 */
export const rate = (count, ms) => (count > 0 && ms > 0 ? round((count / ms) * 1000) : null);
