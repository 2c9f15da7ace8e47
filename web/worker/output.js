/** The text of an answer while it is generated, and how fast it came. */

/** @typedef {import('../index.d.ts').TokenLogprob} TokenLogprob */

/** @typedef {import('../index.d.ts').Chunk} Chunk */

/** Sends a piece of an answer. @typedef {(chunk: Chunk, tokens: number[], logprobs?: TokenLogprob[]) => void} Emit */

/**
 * How an answer is taken apart. marks: special tokens that belong to its form, with their names. closing: the tokens
 * that end a thought. most: tokens that the model may think for.
 * @typedef {{ reader: import('./answers/reader.js').AnswerReader, marks: Map<number, string>, closing: number[],
 *     most: number }} Taking
 */

/** What a generation has produced, and how much of it was sent. */
export class Output {
    /**
     * @param {import('./detokenizer.js').Detokenizer} decoder
     * @param {import('./stops.js').StopFinder} stops
     * @param {Emit} emit
     * @param {boolean} logprobs whether each token has one
     * @param {Taking} [taking]
     */
    constructor(decoder, stops, emit, logprobs, taking) {
        this.decoder = decoder;
        this.stops = stops;
        this.emit = emit;
        /** @type {number[]} */
        this.tokens = [];
        /** One for each of the tokens. @type {TokenLogprob[] | undefined} */
        this.logprobs = logprobs ? [] : undefined;
        this.taking = taking;
        /** All of it, as the model wrote it. */
        this.raw = '';
        this.text = '';
        this.reasoning = '';
        /** @type {import('../index.d.ts').ToolCall[]} */
        this.toolCalls = [];
        /** Of the thought so far. */
        this.thoughtTokens = 0;
        this.sentTokens = 0;
        this.sentRaw = 0;
        this.stopped = false; // a stop string ended the text
    }

    /**
     * @param {number} token
     * @returns {boolean} whether a stop string ends the text here
     */
    push(token) {
        this.tokens.push(token);
        const piece = this.decoder.push(token);
        this.add(piece === '' ? (this.taking?.marks.get(token) ?? '') : piece);
        if (this.taking?.reader.isThinking) this.thoughtTokens++;
        return this.stopped || this.taking?.reader.isOver === true;
    }

    /**
     * How many tokens may be made before the thought is looked at again; 0: it must end now. A thought may begin with
     * any token of an answer that has not begun.
     */
    get thoughtLeft() {
        const reader = this.taking?.reader;
        if (reader?.isThinking) return Math.max(0, this.mostThought - this.thoughtTokens);
        return reader?.mayThink ? Math.max(1, this.mostThought) : Infinity;
    }

    get mostThought() {
        return this.taking?.most ?? Infinity;
    }

    /** Of the token that came last, unless that was an end token, which is none of the output. @param {TokenLogprob}
     * logprob */
    addLogprob(logprob) {
        if (this.logprobs && this.logprobs.length < this.tokens.length) this.logprobs.push(logprob);
    }

    /** @param {string} piece */
    add(piece) {
        const { text, found } = this.stops.push(piece);
        this.raw += text;
        this.taking?.reader.push(text);
        this.stopped = found;
    }

    /**
     * Everything that was held back belongs to the text, unless a stop string cut it off.
     * @param {boolean} whole whether a part of a character at the end is left out, instead of becoming U+FFFD
     */
    end(whole) {
        if (!this.stopped) {
            const rest = this.decoder.flush();
            this.add(whole ? rest.replace(/\ufffd+$/, '') : rest);
        }
        if (!this.stopped) {
            const held = this.stops.flush();
            this.raw += held;
            this.taking?.reader.push(held);
        }
        this.taking?.reader.end();
        this.send();
    }

    /** Sends what came since the last time. */
    send() {
        const chunk = this.#next();
        const isEmpty = chunk.raw === '' && chunk.text === '' && chunk.reasoning === '' && chunk.toolCalls.length === 0;
        if (isEmpty && this.sentTokens === this.tokens.length) return;
        this.emit(chunk, this.tokens.slice(this.sentTokens), this.logprobs?.slice(this.sentTokens));
        this.sentTokens = this.tokens.length;
    }

    /** @returns {Chunk} */
    #next() {
        const raw = this.raw.slice(this.sentRaw),
            parts = this.taking?.reader.take() ?? { text: raw, reasoning: '', toolCalls: [] };
        this.sentRaw = this.raw.length;
        this.text += parts.text;
        this.reasoning += parts.reasoning;
        this.toolCalls.push(...parts.toolCalls);
        return { ...parts, raw };
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
