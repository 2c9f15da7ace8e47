/** Log-probabilities in OpenAI's two shapes. */

/** @typedef {import('../index.d.ts').TokenLogprob} TokenLogprob */
/** @typedef {import('../index.d.ts').TopLogprob} TopLogprob */

/** A token and where its text begins in the answer, in code points. @typedef {{ entry: TokenLogprob, at: number }}
 * Placed */

/** How many code points a text has. @param {string} text */
const lengthOf = (text) => Array.from(text).length;

/** Finds where the text of each token begins. A token within a character begins where the character does. */
export class Places {
    #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    #taken = 0;
    /** Code points of the tokens that were taken. */
    #at = 0;
    /** Code points of the text so far. */
    #length = 0;

    /**
     * The next tokens, up to those whose text is still to come. A token that begins at the end of the whole text
     * belongs to a stop text, and is left out.
     * @param {readonly TokenLogprob[]} all of the answer so far
     * @param {string} text that came since the last call
     * @param {boolean} end whether this is all
     */
    take(all, text, end) {
        this.#length += lengthOf(text);
        /** @type {Placed[]} */
        const placed = [];
        for (; this.#taken < all.length; this.#taken++) {
            const entry = all[this.#taken];
            if (this.#at >= this.#length && !(end && entry.bytes === null)) break;
            placed.push({ entry, at: this.#at });
            this.#at += lengthOf(this.#decoder.decode(Uint8Array.from(entry.bytes ?? []), { stream: true }));
        }
        return placed;
    }
}

/** OpenAI's number for tokens that are very unlikely; JSON has no infinity. @param {TopLogprob} entry */
const numberOf = ({ logprob }) => Math.max(logprob, -9999);

/** Whether the bytes are a text of their own. @param {number[]} bytes */
function isText(bytes) {
    try {
        new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
        return true;
    } catch {
        return false;
    }
}

/**
 * A token as text. The bytes of a part of a character are written like \xe2, as OpenAI does: U+FFFD would stand for
 * many tokens.
 * @param {TopLogprob} entry
 * @param {string} [mark] goes before such bytes
 */
const nameOf = ({ text, bytes }, mark = '') =>
    bytes === null || isText(bytes)
        ? text
        : mark +
          bytes
              .map((byte) => (byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`))
              .join('');

/** @param {Placed[] | undefined} placed @returns {import('./types.js').ChatLogprobs | null} */
export function chatLogprobs(placed) {
    const shape = (/** @type {TopLogprob} */ entry) => ({
        token: nameOf(entry),
        logprob: numberOf(entry),
        bytes: entry.bytes,
    });
    return placed
        ? {
              content: placed.map(({ entry }) => ({ ...shape(entry), top_logprobs: entry.top.map(shape) })),
              refusal: null,
          }
        : null;
}

/** @param {Placed[] | undefined} placed @returns {import('./types.js').CompletionLogprobs | null} */
export function completionLogprobs(placed) {
    const name = (/** @type {TopLogprob} */ entry) => nameOf(entry, 'bytes:');
    return placed
        ? {
              tokens: placed.map(({ entry }) => name(entry)),
              token_logprobs: placed.map(({ entry }) => numberOf(entry)),
              // the token itself is always among them
              top_logprobs: placed.map(({ entry }) =>
                  Object.fromEntries([entry, ...entry.top].map((each) => [name(each), numberOf(each)])),
              ),
              text_offset: placed.map(({ at }) => at),
          }
        : null;
}
