// A model for tests of the server, whose answers end when the test says so.
import { NibbleError } from '../../web/index.js';

/** An answer of a fake model. */
class FakeGeneration {
    /** @type {number[]} */
    tokens = [];
    /** @type {string[]} */
    #pieces = [];
    #wake = () => {};
    #isOver = false;
    /** @type {(error?: unknown) => void} */
    #end = () => {};

    /** @param {unknown} input @param {AbortSignal | undefined} signal */
    constructor(input, signal) {
        this.input = input;
        this.signal = signal;
        this.result = new Promise((resolve, reject) => {
            this.#end = (/** @type {unknown} */ error) => {
                if (this.#isOver) return;
                this.#isOver = true;
                if (error) reject(error);
                else
                    resolve({
                        text: this.#pieces.join(''),
                        tokens: this.tokens,
                        promptTokens: 3,
                        cachedTokens: 0,
                        finishReason: 'stop',
                    });
                this.#wake();
            };
        });
        this.result.catch(() => {});
        signal?.addEventListener('abort', () => this.#end(signal.reason));
        if (signal?.aborted) this.#end(signal.reason);
    }

    get isOver() {
        return this.#isOver;
    }

    /** @param {string} piece */
    write(piece) {
        this.#pieces.push(piece);
        this.tokens.push(1);
        this.#wake();
    }

    /** @param {unknown} [error] */
    end(error) {
        this.#end(error);
    }

    stop() {
        this.#end(undefined);
    }

    /** @type {Promise<any>['then']} */
    // biome-ignore lint/suspicious/noThenProperty: whoever awaits an answer gets its result
    then(onResult, onError) {
        return this.result.then(onResult, onError);
    }

    async *chunks() {
        let at = 0;
        for (;;) {
            while (at < this.#pieces.length) {
                const text = this.#pieces[at++];
                yield { text, reasoning: '', toolCalls: [], raw: text };
            }
            if (this.#isOver) break;
            await new Promise((resolve) => {
                this.#wake = () => resolve(undefined);
            });
        }
        await this.result;
    }
}

/**
 * What the server opens: each open() makes a model. `answers` are those that were begun, `log` says what was done.
 * @param {string} name
 * @param {{ bytes?: number, actual?: number, log?: string[], opening?: () => Promise<void>,
 *     closing?: () => Promise<void>, idle?: () => Promise<void> }} [more] actual: bytes that it takes, where other
 *     ones were expected. idle: settles when a model has stopped
 */
export function fakeOffer(
    name,
    {
        bytes = 100,
        actual = bytes,
        log = [],
        opening = async () => {},
        closing = async () => {},
        idle = async () => {},
    } = {},
) {
    /** @type {FakeGeneration[]} */
    const answers = [];
    const offer = {
        name,
        bytes,
        answers,
        async open() {
            await opening();
            log.push(`open ${name}`);
            let isOpen = true;
            const begin = (/** @type {unknown} */ input, /** @type {{ signal?: AbortSignal }} */ { signal }) => {
                const answer = new FakeGeneration(input, signal);
                if (!isOpen) answer.end(new NibbleError('NB_ERR_STATE', 'disposed of'));
                log.push(`ask ${name}`);
                answers.push(answer);
                return answer;
            };
            return /** @type {any} */ ({
                info: { name, memoryBytes: actual },
                chat: begin,
                complete: begin,
                idle,
                async dispose() {
                    isOpen = false;
                    log.push(`close ${name}`);
                    await closing();
                    for (const answer of answers) answer.end(new NibbleError('NB_ERR_STATE', 'disposed of'));
                },
            });
        },
    };
    return offer;
}
