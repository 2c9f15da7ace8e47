/**
 * Answers that must call functions: the grammar of such an answer, and what reads its calls. Both are made of the same
 * form (tool-formats.js), so what the grammar allows can be read without guessing, whatever texts the arguments have.
 */
import { literal } from '../../grammar/expressions.js';
import { endOfJson, json } from './literals.js';

/** @typedef {import('./tool-formats.js').Call} Call */

/**
 * How calls are written around the JSON of their arguments:
 *     open head(name) JSON tail ( between head(name) JSON tail )* close
 * @typedef {{ open: string, head: (name: string) => string, tail: string, between: string, close: string }} CallForm
 */

/**
 * A function with the grammar of its arguments. rules: in GBNF, of which `root` is the name of the first. Their names
 * are those of no other function's rules.
 * @typedef {{ name: string, root: string, rules: string }} CallGrammar
 */

/**
 * @param {CallForm} form
 * @param {readonly CallGrammar[]} functions that may be called
 * @param {boolean} several whether there may be more than one call
 * @returns {string} a grammar in GBNF. Many models write line ends between a thought and what follows
 */
export function grammarOfCalls({ open, head, tail, between, close }, functions, several) {
    const calls = functions.map(({ name, root }) => `${literal(head(name))} ${root} ${literal(tail)}`);
    return [
        `root ::= "\\n"{0,2} ${literal(open)} call${several ? ' more*' : ''} ${literal(close)}`,
        `call ::= ${calls.join(' | ')}`,
        ...(several ? [`more ::= ${literal(between)} call`] : []),
        ...functions.map(({ rules }) => rules),
    ].join('\n');
}

/** Reads the calls of an answer that follows the grammar, while it comes. */
export class HeldCalls {
    #form;
    /** What each call may begin with, and the function. @type {[string, string][]} */
    #heads;
    #held = '';
    /** How many calls were read. */
    #count = 0;

    /** @param {CallForm} form @param {readonly string[]} names */
    constructor(form, names) {
        this.#form = form;
        this.#heads = names.map((name) => [form.head(name), name]);
    }

    /**
     * @param {string} text that came
     * @returns {Call[]} that are whole now
     */
    push(text) {
        this.#held += text;
        if (this.#count === 0) this.#held = this.#held.trimStart();
        const calls = [];
        for (let call = this.#next(true); call; call = this.#next(true)) calls.push(call);
        return calls;
    }

    /**
     * No more text comes. What ends a call may be missing, but not its arguments.
     * @returns {{ calls: Call[], rest: string }} rest: the beginning of another call
     */
    end() {
        const call = this.#next(false),
            before = this.#count > 0 ? this.#form.between : this.#form.open,
            { close } = this.#form;
        const isEnd = this.#count > 0 && (close.startsWith(this.#held) || before.startsWith(this.#held));
        return { calls: call ? [call] : [], rest: isEnd ? '' : this.#held };
    }

    /** @param {boolean} whole whether the tail must be there @returns {Call | undefined} */
    #next(whole) {
        const { open, between, tail } = this.#form,
            before = this.#count > 0 ? between : open,
            head = this.#heads.find(([head]) => this.#held.startsWith(before + head));
        if (!head) return undefined;
        const from = before.length + head[0].length,
            end = endOfJson(this.#held, from),
            after = this.#held.slice(end, end + tail.length);
        if (end < 0 || (whole ? after !== tail : !tail.startsWith(after))) return undefined;
        const values = json(this.#held.slice(from, end));
        this.#held = this.#held.slice(end + after.length);
        this.#count++;
        return { name: head[1], arguments: values };
    }
}
