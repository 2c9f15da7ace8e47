import { fromPlain, messageOf, NibbleError } from '../errors.js';
import { died, startWorker } from '../spawn.js';
import { abortReason } from './requests.js';

/** @typedef {import('../protocol.js').FromEngine} FromEngine */
/** @typedef {import('../protocol.js').RequestType} RequestType */
/** @typedef {import('../protocol.js').ToEngine} ToEngine */

/**
 * A request that waits. Its listeners fit the events that come for it.
 * @typedef {{ resolve: (answer: any) => void, reject: (error: unknown) => void,
 *     listeners: Record<string, (event: any) => unknown> }} Pending
 */

/** The way to one worker: requests that wait for their answers, and what happens to them when it dies. */
export class Link {
    /** How long dispose() waits for a batch of the prompt to end before it ends the worker regardless. */
    static PATIENCE_MS = 2000;

    nextId = 1;
    /** @type {Map<number, Pending>} */
    #pending = new Map();
    /** @type {import('../spawn.js').WorkerHandle<ToEngine> | undefined} */
    #worker;
    /** @type {unknown} why there is no worker any more */
    #ended;

    #print;

    /** Ports by which threads of the pool report that they died (see pool-worker.js). @type {MessagePort[]} */
    #alarms = [];

    /** @param {import('../debug.js').Print | undefined} print for the worker's debug lines */
    constructor(print) {
        this.#print = print;
    }

    /**
     * @param {string} url of the worker's script
     * @param {import('../debug.js').Print} [print]
     */
    static async open(url, print) {
        const link = new Link(print);
        /** @type {import('../spawn.js').WorkerHandle<ToEngine>} */
        const worker = await startWorker(
            { url, script: 'engine-worker', name: 'worker' },
            (/** @type {FromEngine} */ message) => link.#receive(message),
            (error) => link.close(error),
        );
        worker.keepAlive(false);
        link.#worker = worker;
        return link;
    }

    /**
     * Settles in any case: by the answer, by what a listener throws, by close(), by the signal, or at once if the
     * message cannot be sent.
     * @template {RequestType} Type
     * @param {Type} type
     * @param {import('../protocol.js').Ask<Type>} ask
     * @param {import('../protocol.js').Listeners<Type>} listeners if one throws or rejects, so does the request
     * @param {AbortSignal} [signal] ends the request here at once, and in the worker as soon as the worker looks for
     *     messages
     * @returns {Promise<import('../protocol.js').AnswerOf<Type>>}
     */
    request(type, ask, listeners, signal) {
        if (!this.#worker) return Promise.reject(this.#ended);
        if (signal?.aborted) return Promise.reject(abortReason(signal));
        const id = this.nextId++;
        const abort = () => {
            this.post({ type: 'stop', job: id });
            this.#settle(id)?.reject(abortReason(signal));
        };
        signal?.addEventListener('abort', abort);
        return new Promise((resolve, reject) => {
            this.#pending.set(id, { resolve, reject, listeners });
            this.#worker?.keepAlive(true); // a Node process lives while something is pending, and no longer
            try {
                this.#worker?.post(/** @type {import('../protocol.js').AnyRequest} */ ({ type, id, ...ask }));
            } catch (error) {
                this.#settle(id)?.reject(
                    new NibbleError(
                        'NB_ERR_ARGUMENT',
                        'what was passed holds something that cannot be sent to the worker, such as ' +
                            `a function or a proxy: ${messageOf(error)}`,
                        { cause: error },
                    ),
                );
            }
        }).finally(() => signal?.removeEventListener('abort', abort));
    }

    /**
     * Forgets a request that is over, and returns it.
     * @param {number} id
     */
    #settle(id) {
        const request = this.#pending.get(id);
        this.#pending.delete(id);
        if (this.#pending.size === 0) this.#worker?.keepAlive(false);
        return request;
    }

    /**
     * A message that wants no answer.
     * @param {import('../protocol.js').AnyNotice} message
     * @param {ArrayBuffer[]} [transfer]
     */
    post(message, transfer) {
        this.#worker?.post(message, transfer);
    }

    /** @param {FromEngine} message */
    async #receive(message) {
        if (message.type === 'thread') return this.#watch(message.port);
        if (message.type === 'journal') return this.#print?.(message.line);
        const { id, type } = message;
        if (type === 'done') return this.#settle(id)?.resolve(message.result);
        if (type === 'error') return this.#settle(id)?.reject(fromPlain(message.error));
        try {
            await this.#pending.get(id)?.listeners[type](message);
        } catch (thrown) {
            this.#settle(id)?.reject(thrown);
        }
    }

    /** @param {MessagePort} alarm */
    #watch(alarm) {
        this.#alarms.push(alarm);
        alarm.onmessage = (/** @type {MessageEvent<import('../protocol.js').Alarm>} */ { data }) =>
            this.close(
                died('worker', `its thread ${data.index} stopped: ${data.error.message}`, fromPlain(data.error)),
            );
        /** @type {any} */ (alarm).unref?.(); // in Node
    }

    /**
     * Ends the worker at once, and everything that waits for it with the reason.
     * @param {unknown} reason
     */
    close(reason) {
        if (!this.#worker) return;
        this.#worker.terminate();
        this.#worker = undefined;
        for (const alarm of this.#alarms) alarm.close();
        this.#ended = reason;
        for (const { reject } of this.#pending.values()) reject(reason);
        this.#pending.clear();
    }

    async dispose() {
        const disposed = new NibbleError('NB_ERR_STATE', 'the model was disposed of; load it again');
        if (!this.#worker) return;
        const waiting = [...this.#pending.values()];
        this.#pending.clear();
        for (const { reject } of waiting) reject(disposed);
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        let timer;
        const late = new Promise((resolve) => {
            timer = setTimeout(resolve, Link.PATIENCE_MS);
        });
        // the pool's threads end by themselves first, so that none runs in memory that is freed
        await Promise.race([this.request('close', {}, {}).catch(() => {}), late]);
        clearTimeout(timer);
        this.close(disposed);
    }
}
