/**
 * The worker that a loaded model lives in: a page's, or a thread of Node's. What runs is one file, build/engine-worker.js,
 * which `make build` makes of this and all that it imports; it is told the addresses of nibble's other files. It takes
 * requests, each with an id, and answers `{ id, type: 'done' | 'error' }` once, with 'progress', 'piece' or 'pull' before that.
 * An error is always a NibbleError. Generations run one after another; the short requests are answered between two tokens.
 */
import { NibbleError, asNibbleError, toPlain } from '../errors.js';
import { breathe, listen } from '../platform.js';
import { feeder } from '../sources/feeder.js';
import { Engine } from './engine.js';

/** @type {Engine | undefined} */
let engine;
/** Characters of a text that takes a while to tokenize. */
const LONG = 1 << 16;
/** Pieces that are computed before the first of them is read. */
const MOST_AHEAD = 2;

/** @type {Map<number, Job>} */
const jobs = new Map();
/** @type {ReturnType<typeof feeder> | undefined} */
let feed;
/** The end of the queue. @type {Promise<unknown>} */
let last = Promise.resolve();

const post = listen('engine-worker', (message) => {
    const { id } = message;
    handle(message).then((result) => id !== undefined && post({ id, type: 'done', result }))
        .catch((error) => post({ id, type: 'error', ...failure(error) })); // also of an answer that cannot be cloned
}, (error) => post({ fatal: true, error: toPlain(asNibbleError(error)) }));

/**
 * @param {any} message
 * @returns {Promise<unknown>} the answer
 */
async function handle(message) {
    const { id, type } = message;
    switch (type) {
        case 'load': {
            const feeding = feed = feeder(() => post({ id, type: 'pull' }));
            engine = await Engine.load(message.source, message.options, {
                progress: (progress) => post({ id, type: 'progress', progress }),
                nextFromPort: () => feeding.next(),
                watch: (port) => post({ type: 'thread', port }, [port]),
            });
            return engine.info();
        }
        case 'chunk':
            return feed?.take(message.bytes);
        case 'generate':
            return queue(id, (job) => loaded().generate(Object.assign(job, message, {
                emit: (/** @type {string} */ text, /** @type {number[]} */ tokens) => post({ id, type: 'piece', text, tokens }),
            })));
        case 'evaluate':
            return start(id, (job) => loaded().evaluate(message.tokens, (rows) => {
                job.ahead++;
                post({ id, type: 'piece', rows }, [/** @type {ArrayBuffer} */ (rows.buffer)]);
            }, job, turn));
        case 'embed':
            return queue(id, (job) => (job.stopped ? undefined : loaded().embed(message.input, message.options, job)));
        case 'template':
            return start(id, (job) => loaded().applyTemplate(message.messages, message.options, job));
        case 'tokenize':
            return start(id, async (job) => {
                if (message.text.length > LONG)
                    await breathe(); // the caller may have left already
                return job.stopped ? undefined : loaded().encode(message.text, message.flags);
            });
        case 'detokenize':
            return loaded().detokenize(message.tokens, message.special);
        case 'more':
            jobs.get(message.job)?.read();
            return undefined;
        case 'stop':
            jobs.get(message.job)?.stop();
            return undefined;
        case 'close':
            for (const job of jobs.values())
                job.stop();
            await last.catch(() => {});
            return engine?.close();
    }
}

function loaded() {
    if (!engine)
        throw new NibbleError('NB_ERR_STATE', 'the model is not loaded');
    return engine;
}

/** A request that can be stopped, and whose pieces wait for their reader. */
class Job {
    stopped = false;
    /** Pieces that were sent and not read. */
    ahead = 0;
    #wake = () => {};

    stop() {
        this.stopped = true;
        this.#wake();
    }

    read() {
        this.ahead--;
        this.#wake();
    }

    /** Until the reader has nearly all that there is. */
    async room() {
        while (this.ahead >= MOST_AHEAD && !this.stopped)
            await new Promise((resolve) => { this.#wake = () => resolve(undefined); });
    }
}

/**
 * @template T
 * @param {number} id
 * @param {(job: any) => Promise<T>} run
 * @returns {Promise<T>}
 */
function start(id, run) {
    const job = new Job();
    jobs.set(id, job);
    return run(job).finally(() => jobs.delete(id));
}

/**
 * Runs when everything is over that came before.
 * @template T
 * @param {() => T | Promise<T>} run
 * @returns {Promise<T>}
 */
function turn(run) {
    const mine = last.catch(() => {}).then(run);
    last = mine;
    return mine;
}

/**
 * @template T
 * @param {number} id
 * @param {(job: any) => T | Promise<T>} run
 * @returns {Promise<T>}
 */
const queue = (id, run) => start(id, (job) => turn(() => run(job)));

/**
 * After a trap the core's memory is in an unknown state: such an error is the end of this worker.
 * @param {unknown} error
 */
function failure(error) {
    const trap = typeof WebAssembly === 'object' && error instanceof WebAssembly.RuntimeError;
    return { error: toPlain(trap ? new NibbleError('NB_ERR_WORKER', `the engine stopped: ${error.message}`)
        : asNibbleError(error)), fatal: trap };
}
