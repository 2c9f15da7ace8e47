/**
 * The worker that a loaded model lives in: a page's, or a thread of Node's. What runs is one file, build/engine-worker.js, which
 * `make build` makes of this and all that it imports; it is told the addresses of nibble's other files. It takes requests, each with
 * an id, and answers `{ id, type: 'done' | 'error' }` once, with 'progress', 'piece' or 'pull' before that. An error is always
 * a NibbleError. Generations run one after another; the short requests are answered between two tokens.
 */
import { Engine } from './engine.js';
import { NibbleError, asNibbleError, toPlain } from './errors.js';
import { listen } from './platform.js';
import { feeder } from './stream.js';

/** @type {Engine | undefined} */
let engine;
/** @type {Map<number, { stopped: boolean }>} */
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
            return queue(id, (job) => loaded().evaluate(message.tokens, (rows) => post({ id, type: 'piece', rows },
                [/** @type {ArrayBuffer} */ (rows.buffer)]), job));
        case 'embed':
            return queue(id, () => loaded().embed(message.input, message.options));
        case 'tokenize':
            return loaded().encode(message.text, message.flags);
        case 'detokenize':
            return loaded().detokenize(message.tokens, message.special);
        case 'stop': {
            const job = jobs.get(message.job);
            if (job)
                job.stopped = true;
            return undefined;
        }
        case 'close':
            for (const job of jobs.values())
                job.stopped = true;
            await last.catch(() => {});
            return engine?.close();
    }
}

function loaded() {
    if (!engine)
        throw new NibbleError('NB_ERR_STATE', 'the model is not loaded');
    return engine;
}

/**
 * @template T
 * @param {number} id
 * @param {(job: any) => Promise<T>} run
 * @returns {Promise<T>}
 */
function queue(id, run) {
    const job = { stopped: false };
    jobs.set(id, job);
    const turn = last.catch(() => {}).then(() => run(job)).finally(() => jobs.delete(id));
    last = turn;
    return turn;
}

/**
 * After a trap the core's memory is in an unknown state: such an error is the end of this worker.
 * @param {unknown} error
 */
function failure(error) {
    const trap = typeof WebAssembly === 'object' && error instanceof WebAssembly.RuntimeError;
    return { error: toPlain(trap ? new NibbleError('NB_ERR_WORKER', `the engine stopped: ${error.message}`) : asNibbleError(error)), fatal: trap };
}
