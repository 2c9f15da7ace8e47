/** Tokens -> text. */
import { NB_DETOKENIZE_SPECIAL, NB_DETOKENIZE_WHOLE } from '../abi.js';

/** What clean_up_tokenization_spaces does in transformers, in this order. @param {string} text */
export const cleanedUp = (text) =>
    [
        [' .', '.'],
        [' ?', '?'],
        [' !', '!'],
        [' ,', ','],
        [" ' ", "'"],
        [" n't", "n't"],
        [" 'm", "'m"],
        [" 's", "'s"],
        [" 've", "'ve"],
        [" 're", "'re"],
    ].reduce((cleaned, [from, to]) => cleaned.replaceAll(from, to), text);

/** Tokens -> whole UTF-8 (nb_detokenizer). */
export class Detokenizer {
    /**
     * @param {import('./core.js').Core} core
     * @param {number} model
     * @param {boolean} special whether special tokens are written, too
     * @param {boolean} whole whether the tokens are a whole text, and no part of one
     */
    constructor(core, model, special, whole) {
        this.core = core;
        this.handle = core.object(
            'nb_detokenizer_new',
            model,
            (special ? NB_DETOKENIZE_SPECIAL : 0) | (whole ? NB_DETOKENIZE_WHOLE : 0),
        );
        this.capacity = 0; // the first text allocates
        this.out = 0;
    }

    /** @param {number} token */
    push(token) {
        return this.collect(() => this.core.count('nb_detokenizer_push', this.handle, token, this.out, this.capacity));
    }

    /**
     * What push() would add to the text for this token, which may be a part of a character. It consumes nothing.
     * @param {number} token
     * @returns {Uint8Array}
     */
    bytes(token) {
        return this.view(token).slice();
    }

    /** The same where it is in memory, until the decoder is used again. @param {number} token */
    view(token) {
        const n = this.fit(() => this.core.count('nb_detokenizer_bytes', this.handle, token, this.out, this.capacity));
        return this.core.bytes(this.out, n);
    }

    /** How many bytes that is. @param {number} token */
    size(token) {
        return this.core.count('nb_detokenizer_bytes', this.handle, token, 0, 0);
    }

    flush() {
        return this.collect(() => this.core.exports.nb_detokenizer_flush(this.handle, this.out, this.capacity));
    }

    free() {
        this.core.exports.nb_free(this.out);
        this.core.exports.nb_detokenizer_free(this.handle);
    }

    /** @param {() => number} write as in fit() */
    collect(write) {
        const n = this.fit(write);
        return n === 0 ? '' : this.core.string(this.out, n);
    }

    /** @param {() => number} write returns the length of what it writes; what does not fit is asked for again */
    fit(write) {
        let n = write();
        if (n > this.capacity) {
            const capacity = Math.max(n, 256),
                larger = this.core.allocate(capacity, 'text');
            this.core.exports.nb_free(this.out);
            [this.out, this.capacity] = [larger, capacity];
            n = write();
        }
        return n;
    }
}

/**
 * Gets a decoder past a text's first token, which some write otherwise.
 * @param {Detokenizer} decoder
 * @param {number} vocabulary
 */
export function passFirst(decoder, vocabulary) {
    for (let token = 0; token < vocabulary && decoder.push(token) === ''; token++);
}

/**
 * The tokens that have each of these texts. All of the vocabulary is looked at: a tokenizer that puts a space before a
 * text would not tell which token continues a word.
 * @param {Detokenizer} decoder that writes special tokens, too
 * @param {number} vocabulary
 * @param {string[]} texts
 */
export function findTexts(decoder, vocabulary, texts) {
    const keyOf = (/** @type {Uint8Array} */ bytes) => bytes.join();
    const wanted = texts.map((text) => new TextEncoder().encode(text)),
        lengths = new Set(wanted.map(({ length }) => length));
    /** Tokens by their bytes. @type {Map<string, number[]>} */
    const found = new Map(wanted.map((bytes) => [keyOf(bytes), []]));
    passFirst(decoder, vocabulary);
    for (let token = 0; token < vocabulary; token++)
        if (lengths.has(decoder.size(token))) found.get(keyOf(decoder.bytes(token)))?.push(token);
    return wanted.map((bytes) => found.get(keyOf(bytes)) ?? []);
}
