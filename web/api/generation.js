/** An answer on its way, as complete() and chat() give it. */
import { Stream } from './stream.js';

/** @typedef {import('../index.d.ts').Result} Result */
/** @typedef {import('./link.js').Link} Link */

/** @implements {PromiseLike<Result>} */
export class Generation {
    [Symbol.toStringTag] = 'Generation';
    /** @type {number[]} */
    tokens = [];
    #stream;
    /** @type {Promise<Result>} */
    #result;

    /**
     * @param {Link} link
     * @param {import('../protocol.js').GenerateAsk} ask
     * @param {AbortSignal | undefined} signal
     */
    constructor(link, ask, signal) {
        this.#stream = new Stream(link, (/** @type {(text: string) => void} */ add) =>
            link.request(
                'generate',
                ask,
                {
                    text: ({ text, tokens }) => {
                        this.tokens.push(...tokens);
                        add(text);
                    },
                },
                signal,
            ),
        );
        this.#result = this.#stream.done;
    }

    async *[Symbol.asyncIterator]() {
        for await (const text of this.#stream.read(() => this.stop())) if (text !== '') yield text;
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
