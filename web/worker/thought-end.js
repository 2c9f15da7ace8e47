/**
 * Where a thought ends within a token, and what begins the answer in the same token: the mark that ends a thought may
 * lie in several tokens, and a token may have more than its end.
 */

/** A token, and what it adds to the answer after the thought's end. @typedef {{ token: number, rest: Uint8Array }} Ending */

const UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Without the white space at its beginning, which is no part of an answer. @param {Uint8Array} bytes */
function trimmed(bytes) {
    const text = UTF8.decode(bytes),
        space = text.slice(0, text.length - text.trimStart().length);
    return bytes.subarray(new TextEncoder().encode(space).length);
}

/** Where `part` is first in `bytes`; -1: nowhere. @param {Uint8Array} bytes @param {Uint8Array} part */
function indexOf(bytes, part) {
    for (let at = bytes.indexOf(part[0]); at >= 0; at = bytes.indexOf(part[0], at + 1))
        if (part.every((byte, i) => bytes[at + i] === byte)) return at;
    return -1;
}

export class ThoughtEnd {
    #mark;
    /** The tokens that end a thought and begin the answer, by how many bytes of the mark come before them.
     * @type {Ending[][]} */
    #endings;

    /**
     * @param {string} mark
     * @param {import('./grammar.js').Texts} texts of all tokens
     */
    constructor(mark, { bytes, lengths }) {
        this.#mark = new TextEncoder().encode(mark);
        this.#endings = Array.from(this.#mark, () => []);
        for (let token = 0, at = 0; token < lengths.length; at += lengths[token++]) {
            const text = bytes.subarray(at, at + lengths[token]);
            for (const [before, endings] of this.#endings.entries()) {
                // most tokens are left out quickly: they neither have the whole mark nor begin with what is left of it
                if (before === 0 ? indexOf(text, this.#mark) < 0 : text[0] !== this.#mark[before]) continue;
                const { rest } = this.push(this.#mark.subarray(0, before), text);
                if (rest && rest.length > 0) endings.push({ token, rest });
            }
        }
    }

    /**
     * Goes on in a thought.
     * @param {Uint8Array} thought its end so far
     * @param {Uint8Array} bytes that come
     * @returns {{ goesOn?: Uint8Array, rest?: Uint8Array }} goesOn: the thought's end now. rest: the thought has ended,
     *     and the answer begins with this
     */
    push(thought, bytes) {
        const all = new Uint8Array(thought.length + bytes.length);
        all.set(thought);
        all.set(bytes, thought.length);
        const at = indexOf(all, this.#mark);
        return at >= 0
            ? { rest: trimmed(all.subarray(at + this.#mark.length)) }
            : { goesOn: all.subarray(Math.max(0, all.length - this.#mark.length + 1)) };
    }

    /** The tokens that end a thought here, and begin the answer. @param {Uint8Array} thought its end so far */
    after(thought) {
        /** @type {Map<number, Ending>} */
        const found = new Map();
        for (const [before, endings] of this.#endings.entries()) {
            const from = thought.length - before;
            if (from < 0 || this.#mark.subarray(0, before).some((byte, i) => thought[from + i] !== byte)) continue;
            for (const ending of endings) found.set(ending.token, ending); // the mark that ends first counts
        }
        return found.values();
    }
}
