/**
 * What gives way when a text outgrows the context (the option contextOverflow). Of a prompt of complete() it is the
 * oldest tokens, and of a chat whole messages, then the beginning of the answer. What is left is evaluated anew, or
 * with 'shift' the session moves what it holds.
 *
 * Much is dropped at once, so that it happens seldom: half of what may be dropped. How much depends on the length of
 * the whole text alone. So the next request of a conversation drops the same, and the session holds the rest of it.
 */
import { NibbleError } from '../errors.js';
import { oldest } from '../oldest.js';
import { heldTokens } from './saving.js';

/** @typedef {import('./engine.js').Engine} Engine */

/** Moving fewer tokens than this is no quicker than evaluating them. */
const WORTH = 8;

/**
 * How many of n tokens must go, so that the context has room for one more: a multiple of half of what may go.
 * @param {number} n
 * @param {number} context
 * @param {number} keep how many may not go
 */
function toDrop(n, context, keep) {
    const step = Math.max(1, Math.floor((context - keep) / 2));
    return n < context ? 0 : Math.ceil((n - context + 1) / step) * step;
}

/**
 * The least number for which a test holds that holds for all larger ones, too; `most` if it holds for none.
 * @param {number} least
 * @param {number} most
 * @param {(n: number) => Promise<boolean>} test
 */
async function leastOf(least, most, test) {
    while (least < most) {
        const middle = (least + most) >> 1;
        if (await test(middle)) most = middle;
        else least = middle + 1;
    }
    return most;
}

/** @param {number} n @param {number} context @param {string} advice */
const tooLong = (n, context, advice) =>
    new NibbleError(
        'NB_ERR_CONTEXT',
        `the prompt has ${n} tokens, and the context holds ${context}, the answer included: ${advice}, or load the model ` +
            'with a larger contextLength (--context)',
    );

export class Overflow {
    #engine;
    #job;
    #mode;
    #keep;
    /** What to do about a text that is kept and too long. */
    #advice;
    /** The whole prompt. */
    #prompt;
    /** The prompt of a chat without its n oldest groups of messages. @type {(n: number) => Promise<number[]>} */
    #without;
    /** How many groups may go. */
    #groups;
    /** How many tokens are dropped now, of the prompt and of the answer. */
    dropped = 0;

    /**
     * @param {Engine} engine
     * @param {import('../protocol.js').GenerateAsk} ask
     * @param {number[]} prompt
     * @param {import('./engine.js').Job} job
     * @param {(messages: import('../index.d.ts').Message[]) => Promise<number[]>} render a chat's prompt; nothing if
     *     the job was stopped
     */
    constructor(engine, ask, prompt, job, render) {
        const { contextOverflow, keep } = ask.options;
        this.#engine = engine;
        this.#job = job;
        this.#mode = contextOverflow;
        this.#prompt = prompt;
        const begins = prompt[0] === engine.description.tokenizer?.begin ? 1 : 0,
            isGap = ask.what === 'complete' && Object.hasOwn(Object(ask.input), 'suffix'); // its marks must all stay
        this.#keep = isGap || (keep ?? 0) < 0 ? prompt.length : (keep ?? begins);
        this.#advice = isGap ? 'shorten it' : `keep less of it than ${this.#keep} tokens (keep, --keep)`;
        const ends = ask.what === 'chat' ? endsOf(ask.input) : [];
        this.#groups = ends.length - 1;
        this.#without = async (n) => {
            if (n === 0 || ask.what !== 'chat') return prompt;
            const { input } = ask;
            return render([...input.slice(0, ends[0]), ...input.slice(ends[n])]);
        };
        if (contextOverflow === 'shift') engine.core.count('nb_session_shift', engine.session, 0, 0); // it can be
    }

    /** Whether something may be dropped. */
    get isOn() {
        return this.#mode !== 'error';
    }

    /**
     * The prompt and the answer so far, without what must go.
     * @param {number[]} answer
     * @returns {Promise<number[] | undefined>} undefined: nothing may go any more, or the job was stopped
     */
    async fit(answer) {
        const { context } = this.#engine,
            n = this.#prompt.length + answer.length;
        if (n < context) return [...this.#prompt, ...answer];
        if (!this.isOn)
            throw tooLong(
                n,
                context,
                'shorten it (in a chat, leave out the oldest messages), choose a contextOverflow (--context-overflow)',
            );
        const left = this.#groups < 0 ? this.#fitText(n, answer) : await this.#fitChat(n, answer);
        if (this.#job.stopped) return undefined;
        if (left) this.dropped = n - left.length;
        return left;
    }

    /** @param {number} n @param {number[]} answer */
    #fitText(n, answer) {
        const { context } = this.#engine,
            keep = this.#keep;
        if (keep >= context - 1) {
            if (answer.length > 0) return undefined;
            throw tooLong(n, context, this.#advice);
        }
        const all = [...this.#prompt, ...answer];
        return [...all.slice(0, keep), ...all.slice(keep + toDrop(n, context, keep))];
    }

    /** @param {number} n @param {number[]} answer */
    async #fitChat(n, answer) {
        const { context } = this.#engine,
            wanted = n - toDrop(n, context, 0);
        const groups = await leastOf(
            1,
            Math.max(1, this.#groups),
            async (groups) => (await this.#without(groups)).length + answer.length <= wanted,
        );
        const prompt = this.#groups > 0 ? await this.#without(groups) : this.#prompt,
            length = prompt.length + answer.length;
        if (length < context || this.#job.stopped) return [...prompt, ...answer];
        if (answer.length === 0)
            throw tooLong(length, context, 'shorten the system message and the last message, which are not left out');
        if (prompt.length >= context - 1) return undefined;
        return [...prompt, ...answer.slice(toDrop(length, context, prompt.length))];
    }

    /**
     * With 'shift', moves what the session holds of these tokens to where they are now.
     * @param {number[]} tokens
     */
    move(tokens) {
        if (this.#mode !== 'shift' || this.dropped === 0) return;
        const { core, session } = this.#engine,
            held = heldTokens(this.#engine);
        let keep = 0;
        while (keep < held.length && held[keep] === tokens[keep]) keep++;
        for (let drop = 1; keep + drop + WORTH <= held.length; drop++) {
            let same = 0;
            while (keep + drop + same < held.length && held[keep + drop + same] === tokens[keep + same]) same++;
            if (same < WORTH || (keep + drop + same < held.length && keep + same < tokens.length)) continue;
            core.count('nb_session_shift', session, keep, drop);
            return;
        }
    }
}

/**
 * Where the groups of messages end that go together. The first number is where the system's messages end; the last
 * group ends before the last message of the user, which stays.
 * @param {import('../index.d.ts').Message[]} messages
 */
function endsOf(messages) {
    const isSystem = (/** @type {string} */ role) => role === 'system' || role === 'developer';
    const first = messages.findIndex(({ role }) => !isSystem(role)),
        ends = [first < 0 ? messages.length : first],
        last = Math.max(
            messages.findLastIndex(({ role }) => role === 'user'),
            ends[0],
        );
    for (let at = ends[0]; at < last; ends.push(at)) at = Math.min(at + oldest(messages.slice(at, last)), last);
    return ends;
}
