/** An answer on its way, as complete() and chat() give it. */
import { NibbleError } from '../errors.js';
import { Stream } from './stream.js';

/** @typedef {import('../index.d.ts').Chunk} Chunk */
/** @typedef {import('../index.d.ts').Result} Result */
/** @typedef {import('./link.js').Link} Link */

/** @param {Chunk} chunk */
const isSome = ({ text, reasoning, toolCalls, raw }) =>
    text !== '' || reasoning !== '' || toolCalls.length > 0 || raw !== '';

/** @implements {PromiseLike<Result>} */
export class Generation {
    [Symbol.toStringTag] = 'Generation';
    /** @type {number[]} */
    tokens = [];
    /** @type {import('../index.d.ts').TokenLogprob[] | undefined} */
    logprobs;
    #stream;
    /** @type {Promise<Result>} */
    #result;

    /**
     * @param {Link} link
     * @param {import('../protocol.js').GenerateAsk} ask
     * @param {AbortSignal | undefined} signal
     * @param {import('../index.d.ts').GenerateOptions['onLogits']} onLogits
     */
    constructor(link, ask, signal, onLogits) {
        this.logprobs = ask.options.logprobs ? [] : undefined;
        this.#stream = new Stream(link, (/** @type {(chunk: Chunk) => void} */ add) =>
            link.request(
                'generate',
                ask,
                {
                    text: ({ chunk, tokens, logprobs }) => {
                        this.tokens.push(...tokens);
                        this.logprobs?.push(...(logprobs ?? []));
                        add(chunk);
                    },
                    logits: async ({ logits, position }) => {
                        try {
                            await onLogits?.(logits, { position, tokens: this.tokens });
                            if (logits.length === 0)
                                throw new NibbleError(
                                    'NB_ERR_ARGUMENT',
                                    'onLogits() transferred its array, such as to a worker; transfer a copy instead',
                                );
                            this.#stream.giveBack(logits);
                        } catch (error) {
                            this.stop(); // the worker waits for the logits
                            throw error;
                        }
                    },
                },
                signal,
            ),
        );
        this.#result = this.#stream.done;
    }

    async *[Symbol.asyncIterator]() {
        for await (const { text } of this.chunks()) if (text !== '') yield text;
    }

    async *chunks() {
        for await (const chunk of this.#stream.read(() => this.stop())) if (isSome(chunk)) yield chunk;
        await this.#result;
    }

    stop() {
        this.#stream.stop();
    }

    /** @type {Promise<Result>['then']} */
    // biome-ignore lint/suspicious/noThenProperty: whoever awaits an answer gets its result
    then(onResult, onError) {
        return this.#result.then(onResult, onError);
    }

    /** @type {Promise<Result>['catch']} */
    catch(onError) {
        return this.#result.catch(onError);
    }

    /** @type {Promise<Result>['finally']} */
    finally(onEnd) {
        return this.#result.finally(onEnd);
    }
}
