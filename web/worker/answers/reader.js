/**
 * Takes an answer apart while it is generated: what the model thought, its calls of functions, and the text. What
 * might be the beginning of a mark is held back until it is known.
 */
import { HeldCalls } from './held-calls.js';

/** @typedef {import('../../index.d.ts').ToolCall} ToolCall */
/** @typedef {import('./held-calls.js').CallForm} CallForm */
/** @typedef {import('./thoughts.js').ThoughtMarks} ThoughtMarks */
/** @typedef {import('./tool-formats.js').ToolFormat} ToolFormat */
/** @typedef {import('./tool-formats.js').Call} Call */

/** Parts of an answer. @typedef {{ text: string, reasoning: string, toolCalls: ToolCall[] }} Parts */

/**
 * What is known of an answer before it begins. thoughts: the marks of thoughts, if the model has any. within: where the
 * answer begins: a thought may follow; the prompt has opened one; the answer's text has begun already.
 * format: how calls are written, if there are functions to call. names: of these functions. schemas: of their
 * arguments. parallel: whether there may be more than one call. held: the form of calls that the answer must have, and
 * the grammar that holds it to them.
 * @typedef {{ thoughts?: ThoughtMarks, within: 'start' | 'thought' | 'text', format?: ToolFormat, names: string[],
 *     schemas?: import('./tool-formats.js').Schemas, parallel: boolean,
 *     held?: { form: CallForm, grammar: string } }} AnswerPlan
 */

/** How many characters at the end of a text may be the beginning of one of these. @param {string} text @param {string[]}
 * marks */
function begun(text, marks) {
    let most = 0;
    for (const mark of marks)
        for (let n = Math.min(mark.length - 1, text.length); n > most; n--)
            if (text.endsWith(mark.slice(0, n))) most = n;
    return most;
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** Nine letters and digits, which is the only form that the templates of Mistral take. */
const newId = () => Array.from(crypto.getRandomValues(new Uint32Array(9)), (n) => LETTERS[n % LETTERS.length]).join('');

/** @param {Call} call @returns {ToolCall} */
const toolCall = ({ name, arguments: values }) => ({
    id: newId(),
    type: 'function',
    function: { name, arguments: JSON.stringify(values) },
});

export class AnswerReader {
    /** Where the answer is. call: within the marks of a call. bare: within what may be a call without marks. held:
     * within calls that it must have. @type {'start' | 'thought' | 'text' | 'call' | 'bare' | 'held'} */
    #state;
    #held = '';
    /** What stands before a call: it is dropped if that is read. */
    #gap = '';
    /** White space at the beginning of a part is dropped. */
    #trims;
    #plan;
    /** Of an answer that must have calls. @type {HeldCalls | undefined} */
    #heldCalls;
    /** Whether the text has begun. */
    #hasText = false;
    /** @type {Parts} */
    #parts = { text: '', reasoning: '', toolCalls: [] };
    /** How many calls there are. */
    calls = 0;

    /** @param {AnswerPlan} plan */
    constructor(plan) {
        this.#plan = plan;
        if (plan.held) this.#heldCalls = new HeldCalls(plan.held.form, plan.names);
        this.#state = plan.within === 'start' && !plan.thoughts ? 'text' : plan.within;
        this.#trims = plan.within === 'thought';
        this.#hasText = plan.within === 'text';
    }

    get isThinking() {
        return this.#state === 'thought';
    }

    /** Whether a thought may still begin. */
    get mayThink() {
        return this.#state === 'start';
    }

    /** The mark of a thought that may begin here, if one may. */
    get opener() {
        return this.#state === 'start' && this.#held === '' ? this.#plan.thoughts?.begin : undefined;
    }

    /** The mark that ends a thought, if the model has any. */
    get closer() {
        return this.#plan.thoughts?.end;
    }

    /** Whether the answer is over: there is one call, and may not be more. A grammar ends its answer itself. */
    get isOver() {
        return this.calls > 0 && !this.#plan.parallel && !this.#heldCalls;
    }

    /** @param {string} text that came */
    push(text) {
        this.#held += text;
        while (this.#step());
    }

    /** What came since the last time. @returns {Parts} */
    take() {
        const parts = this.#parts;
        this.#parts = { text: '', reasoning: '', toolCalls: [] };
        return parts;
    }

    /** No more text comes. */
    end() {
        const held = this.#held;
        this.#held = '';
        if (this.#state === 'thought') this.#parts.reasoning += held.trimEnd();
        else if (this.#state === 'held' && this.#heldCalls) {
            const { calls, rest } = this.#heldCalls.end();
            this.#addAll(calls);
            this.#addText(rest);
        } else if (this.#state === 'call' || this.#state === 'bare') this.#addCalls(held, undefined);
        else this.#addText(held);
    }

    /** @returns {boolean} whether the state has changed, so that there may be more to do */
    #step() {
        switch (this.#state) {
            case 'start':
                return this.#atStart();
            case 'thought':
                return this.#inThought();
            case 'text':
                return this.#inText();
            case 'call':
                return this.#inCall();
            case 'bare':
                return this.#inBare();
            case 'held':
                this.#addAll(this.#heldCalls?.push(this.#held) ?? []);
                this.#held = '';
                return false;
        }
    }

    #atStart() {
        const begin = this.#plan.thoughts?.begin ?? '',
            text = this.#held.trimStart();
        if (text.startsWith(begin)) {
            this.#held = text.slice(begin.length);
            this.#trims = true;
            this.#state = 'thought';
            return true;
        }
        if (begin.startsWith(text)) return false;
        this.#state = 'text';
        return true;
    }

    #inThought() {
        const end = this.#plan.thoughts?.end ?? '',
            at = this.#held.indexOf(end);
        if (this.#trims) {
            this.#held = this.#held.trimStart();
            this.#trims = this.#held === '';
        }
        if (at >= 0) {
            const [thought] = this.#held.split(end, 1);
            this.#parts.reasoning += thought.trimEnd();
            this.#held = this.#held.slice(thought.length + end.length);
            this.#trims = true;
            this.#state = 'text';
            return true;
        }
        const safe = this.#held.slice(0, this.#held.length - begun(this.#held, [end])).trimEnd();
        this.#parts.reasoning += safe;
        this.#held = this.#held.slice(safe.length);
        return false;
    }

    #inText() {
        if (this.#trims) {
            this.#held = this.#held.trimStart();
            if (this.#held === '') return false;
            this.#trims = false;
        }
        if (this.#heldCalls) {
            this.#state = 'held';
            return true;
        }
        const { format } = this.#plan;
        if (!format || this.isOver) {
            this.#addText(this.#held);
            this.#held = '';
            return false;
        }
        const [at] = firstOf(this.#held, format.begins);
        if (at >= 0) {
            const text = this.#held.slice(0, at).trimEnd();
            this.#addText(text);
            this.#gap = this.#held.slice(text.length, at);
            this.#held = this.#held.slice(at);
            this.#state = 'call';
            return true;
        }
        if (!this.#hasText && format.mayBegin?.(this.#held.trimStart())) {
            this.#state = 'bare';
            return true;
        }
        const safe = this.#held.slice(0, this.#held.length - begun(this.#held, format.begins)).trimEnd();
        this.#addText(safe);
        this.#held = this.#held.slice(safe.length);
        return false;
    }

    #inBare() {
        const format = /** @type {ToolFormat} */ (this.#plan.format);
        if (format.mayBegin?.(this.#held.trimStart()) && firstOf(this.#held, format.begins)[0] < 0) return false;
        this.#hasText = true; // it is no call, and is not looked at again
        this.#state = 'text';
        return true;
    }

    #inCall() {
        const format = /** @type {ToolFormat} */ (this.#plan.format),
            [, begin] = firstOf(this.#held, format.begins),
            end = format.endOf(this.#held, begin);
        if (end < 0) return false;
        this.#addCalls(this.#held.slice(0, end), begin);
        this.#held = this.#held.slice(end);
        this.#trims = this.calls > 0;
        this.#state = 'text';
        return true;
    }

    /**
     * Reads calls. What is malformed stays text.
     * @param {string} raw with its marks
     * @param {string | undefined} begin the mark that it begins with; undefined: what is there, if any
     */
    #addCalls(raw, begin) {
        const { format, names, schemas, parallel } = this.#plan;
        const mark = begin ?? firstOf(raw, format?.begins ?? [])[1],
            calls = format?.parse(raw, mark, names, schemas) ?? [];
        if (calls.length === 0) this.#addText(this.#gap + raw);
        this.#gap = '';
        this.#addAll(parallel ? calls : calls.slice(0, 1));
    }

    /** @param {Call[]} calls */
    #addAll(calls) {
        this.#parts.toolCalls.push(...calls.map(toolCall));
        this.calls += calls.length;
    }

    /** @param {string} text */
    #addText(text) {
        this.#parts.text += text;
        this.#hasText ||= text.trim() !== '';
    }
}

/**
 * The mark that comes first, of several at one place the longest.
 * @param {string} text
 * @param {string[]} marks
 * @returns {[number, string]} its place, -1 if there is none
 */
function firstOf(text, marks) {
    let best = -1,
        found = '';
    for (const mark of marks) {
        const at = text.indexOf(mark);
        if (at >= 0 && (best < 0 || at < best || (at === best && mark.length > found.length)))
            [best, found] = [at, mark];
    }
    return [best, found];
}
