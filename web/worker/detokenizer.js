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
        const n = this.fit(() => this.core.count('nb_detokenizer_bytes', this.handle, token, this.out, this.capacity));
        return this.core.bytes(this.out, n).slice();
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
