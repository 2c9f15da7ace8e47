/**
 * The worker that a loaded model lives in, in a page or in Node. What runs is one file, build/engine-worker.js, which
 * `make build` makes of this and all that it imports; the page sends it the URLs of nibble's other files. It takes
 * requests, and answers each once (protocol.js). An error is always a NibbleError. Generations run one after another,
 * or several together if the model was loaded for that (together.js). Short requests are answered between two tokens.
 */
import { traceOf } from '../debug.js';
import { asNibbleError, NibbleError, toPlain } from '../errors.js';
import { listen, yieldToEvents } from '../platform.js';
import { feeder } from '../sources/feeder.js';
import { compareWeights, matricesOf, TextRows, unitsOf, weightsOf } from './comparison.js';
import { embed } from './embedding.js';
import { Engine } from './engine.js';
import { generate } from './generation.js';
import { openJournal, SUMMARIES, stopwatch } from './journal.js';
import { mix } from './mix.js';
import { quantize } from './quantize.js';
import { rerank } from './rerank.js';
import { restore, save } from './saving.js';
import { trainTokenizer } from './train-tokenizer.js';
import { Training } from './training.js';
import { collectImportance, measurePerplexity, timed } from './windows.js';

/** @typedef {import('../protocol.js').NoticeType} NoticeType */
/** @typedef {import('../protocol.js').RequestType} RequestType */

/** @type {Engine | undefined} */
let engine;
/** The text of a compare(), in rows of logits. @type {TextRows | undefined} */
let textRows;
/** The training of a train(). @type {Training | undefined} */
let training;
/** Requests whose answer may be undefined though nobody stopped them. @type {RequestType[]} */
const MAY_BE_NOTHING = ['evaluate', 'quantize', 'idle', 'close', 'compareNext', 'trainWrite'];
/** Requests whose answer is a large array, which is sent without a copy. @type {RequestType[]} */
const LARGE = ['save', 'trainSave'];
/** Characters of a text that takes a while to tokenize. */
const LONG = 1 << 16;
/** Pieces that are computed before the first of them is read. */
const MOST_AHEAD = 2;

/** @type {import('./journal.js').Journal | undefined} */
let journal;

/** @type {Map<number, Job>} */
const jobs = new Map();
/** @type {ReturnType<typeof feeder> | undefined} */
let feed;
/** The same for a draft model. @type {ReturnType<typeof feeder> | undefined} */
let feedDraft;
/** Settles when the last work that runs alone has ended. @type {Promise<unknown>} */
let last = Promise.resolve();
/** The work that came after it and is not done: it may run at the same time. @type {Set<Promise<unknown>>} */
const beside = new Set();

/** @type {(message: import('../protocol.js').FromEngine | import('../protocol.js').Fatal, transfer?: Transferable[])
 *     => void} */
const post = listen('engine-worker', receive, (error) => post({ type: 'fatal', error: toPlain(asNibbleError(error)) }));

/**
 * Each request's work, and its answer; undefined where the request was stopped.
 * @type {{ [Type in RequestType]: (message: import('../protocol.js').Request<Type>)
 *     => Promise<import('../protocol.js').AnswerOf<Type> | undefined> }}
 */
const requests = {
    async load({ id, source, draft, options }) {
        journal = options.debug ? openJournal((line) => post({ type: 'journal', line })) : undefined;
        const feeding = (feed = feeder(() => post({ id, type: 'pull' }))),
            feedingDraft = (feedDraft = feeder(() => post({ id, type: 'pull', draft: true })));
        const port = {
            progress: (/** @type {import('../index.d.ts').Progress} */ progress) =>
                post({ id, type: 'progress', progress }),
            nextFromPort: () => feeding.next(),
            nextOfDraft: () => feedingDraft.next(),
            watch: (/** @type {MessagePort} */ port) => post({ type: 'thread', port }, [port]),
            journal,
        };
        engine = await Engine.load(source, options, port, draft);
        return engine.info();
    },
    quantize({ id, source, options }) {
        journal = options.debug ? openJournal((line) => post({ type: 'journal', line })) : undefined;
        const feeding = (feed = feeder(() => post({ id, type: 'pull' })));
        return start(id, (job) =>
            quantize(
                source,
                options,
                {
                    nextFromPort: () => feeding.next(),
                    progress: (progress) => post({ id, type: 'progress', progress }),
                    planned: (tensors) => post({ id, type: 'planned', tensors }),
                    ranges: (ranges) => post({ id, type: 'ranges', ranges }),
                    file: (name, size) => post({ id, type: 'file', name, size }),
                    ...piecesOf(id, job),
                    watch: (port) => post({ type: 'thread', port }, [port]),
                },
                journal,
            ),
        );
    },
    mix({ id, source, options }) {
        journal = options.debug ? openJournal((line) => post({ type: 'journal', line })) : undefined;
        const feeding = (feed = feeder(() => post({ id, type: 'pull' })));
        return mix(
            source,
            options,
            {
                nextFromPort: () => feeding.next(),
                progress: (progress) => post({ id, type: 'progress', progress }),
                watch: (port) => post({ type: 'thread', port }, [port]),
            },
            journal,
        );
    },
    generate: (message) =>
        start(message.id, (job) =>
            share(() =>
                generate(
                    loaded(),
                    message,
                    job,
                    (chunk, tokens, logprobs) => post({ id: message.id, type: 'text', chunk, tokens, logprobs }),
                    (logits, position) => {
                        post({ id: message.id, type: 'logits', logits, position }, [
                            /** @type {ArrayBuffer} */ (logits.buffer),
                        ]);
                        return job.returned();
                    },
                ),
            ),
        ),
    evaluate: ({ id, tokens }) =>
        start(id, (job) =>
            loaded().evaluate(
                tokens,
                (rows) => {
                    job.ahead++;
                    post({ id, type: 'rows', rows }, [/** @type {ArrayBuffer} */ (rows.buffer)]);
                },
                job,
                turn,
            ),
        ),
    embed: ({ id, input, options }) =>
        queue(id, (job) => (job.stopped ? undefined : embed(loaded(), input, options, job))),
    rerank: ({ id, query, documents }) =>
        queue(id, (job) => {
            const report = (/** @type {number} */ done) => post({ id, type: 'scored', done });
            return job.stopped ? undefined : rerank(loaded(), query, documents, report, job);
        }),
    perplexity: ({ id, input, options }) =>
        start(id, (job) => measurePerplexity(loaded(), input, options, course(id, job))),
    importance: ({ id, input, options }) =>
        start(id, async (job) => {
            loaded().needSession();
            return collectImportance(loaded(), input, options, course(id, job));
        }),
    async compareBegin({ input, options, base }) {
        textRows?.free();
        textRows = undefined;
        textRows = new TextRows(loaded(), input, options);
        if (base) textRows.check(base);
        return textRows.facts();
    },
    compareNext: async () => openRows().next() ?? undefined,
    compareRows: async ({ rows }) => openRows().compare(rows),
    compareMatrices: async ({ units }) => {
        const matrices = matricesOf(loaded());
        return { matrices, units: units ? unitsOf(loaded(), matrices.length) : [] };
    },
    compareTake: async ({ ask }) => weightsOf(loaded(), ask),
    compareWeights: async ({ base }) => compareWeights(loaded(), base),
    template: ({ id, messages, options }) =>
        start(id, async (job) => {
            const turn = await loaded().chatTurn(messages, options, job);
            return turn ? { text: turn.text, tokens: turn.tokens } : undefined;
        }),
    tokenize: ({ id, text, flags }) =>
        start(id, async (job) => {
            if (text.length > LONG) await yieldToEvents(); // the caller may have left already
            return job.stopped ? undefined : loaded().encode(text, flags);
        }),
    detokenize: async ({ tokens, special }) => loaded().detokenize(tokens, special),
    save: ({ id }) =>
        queue(id, (job) => {
            if (job.stopped) return undefined;
            loaded().seats.selectLast();
            return save(loaded());
        }),
    restore: ({ id, bytes }) =>
        queue(id, (job) => {
            if (job.stopped) return undefined;
            loaded().seats.selectOldest();
            loaded().adapters.apply(loaded().adapters.chosen); // those that the next requests use
            return restore(loaded(), bytes);
        }),
    addAdapter: ({ id, source, name, scale }) =>
        queue(id, async (job) => {
            if (job.stopped) return undefined;
            const feeding = (feed = feeder(() => post({ id, type: 'pull' })));
            job.onStop = () => feeding.push(null); // nobody sends the rest
            await loaded().adapters.add(source, name, scale, () => feeding.next(), job);
            return job.stopped ? undefined : loaded().adapters.state();
        }),
    setAdapters: ({ id, adapters }) =>
        queue(id, (job) => {
            if (job.stopped) return undefined;
            loaded().adapters.choose(adapters);
            return loaded().adapters.state();
        }),
    removeAdapter: ({ id, name }) =>
        queue(id, (job) => {
            if (job.stopped) return undefined;
            loaded().adapters.remove(name);
            return loaded().adapters.state();
        }),
    tokensOfTexts: async ({ what, texts }) => loaded().tokensOfTexts(what, texts),
    async trainOpen(ask) {
        journal = ask.options.debug ? openJournal((line) => post({ type: 'journal', line })) : undefined;
        training = await Training.open(ask, (port) => post({ type: 'thread', port }, [port]), journal);
        return training.info();
    },
    trainStep: () => turn(() => begun().step()),
    trainSave: () => turn(() => begun().save()),
    trainWrite: ({ id }) => queue(id, (job) => begun().write(piecesOf(id, job))),
    trainTokenizer(ask) {
        const { id } = ask;
        journal = ask.options.debug ? openJournal((line) => post({ type: 'journal', line })) : undefined;
        const feeding = (feed = feeder(() => post({ id, type: 'pull' })));
        return trainTokenizer(ask, {
            nextFromPort: () => feeding.next(),
            progress: (progress) => post({ id, type: 'tokenizer', progress }),
        });
    },
    idle: async ({ waits }) => {
        if (waits) await turn(() => {});
    },
    async close() {
        for (const job of jobs.values()) job.stop();
        await turn(() => {}).catch(() => {});
        engine?.close();
    },
};

/** @type {{ [Type in NoticeType]: (message: import('../protocol.js').Notice<Type>) => void }} */
const notices = {
    chunk: ({ bytes, draft }) => (draft ? feedDraft : feed)?.push(bytes),
    more: ({ job, spare }) => jobs.get(job)?.read(spare),
    logits: ({ job, logits }) => jobs.get(job)?.giveBack(logits),
    stop: ({ job }) => jobs.get(job)?.stop(),
};

/** @param {import('../protocol.js').ToEngine} message */
async function receive(message) {
    if (!('id' in message))
        return /** @type {((message: object) => void) | undefined} */ (notices[message.type])?.(message);
    const { id, type } = message,
        time = stopwatch();
    try {
        const result = await /** @type {(message: object) => Promise<any>} */ (requests[type])(message);
        journal?.(
            `${
                result === undefined && !MAY_BE_NOTHING.includes(type)
                    ? `${type}: stopped`
                    : /** @type {(ask: object, answer: object) => string} */ (SUMMARIES[type])(message, result)
            }, ${time()}`,
        );
        post({ id, type: 'done', result }, LARGE.includes(type) && result ? [result.buffer] : []);
    } catch (error) {
        // also of an answer that cannot be cloned
        if (journal && type !== 'load')
            // load() reports this itself
            traceOf(`${type} failed after ${time()}`, error).forEach(journal);
        post(
            isTrap(error)
                ? { type: 'fatal', error: toPlain(stopped(error)) }
                : { id, type: 'error', error: toPlain(asNibbleError(error)) },
        );
    }
}

function loaded() {
    if (!engine) throw new NibbleError('NB_ERR_STATE', 'the model is not loaded');
    return engine;
}

function openRows() {
    if (!textRows) throw new NibbleError('NB_ERR_STATE', 'compare(): the text was not given');
    return textRows;
}

function begun() {
    if (!training) throw new NibbleError('NB_ERR_STATE', 'the training has not begun');
    return training;
}

/**
 * Where a request's pieces go.
 * @param {number} id
 * @param {Job} job
 * @returns {import('./pieces.js').PiecesPort}
 */
const piecesOf = (id, job) => ({
    piece(bytes) {
        if (job.stopped) return; // nobody reads it
        job.ahead++;
        post({ id, type: 'piece', bytes }, [/** @type {ArrayBuffer} */ (bytes.buffer)]);
    },
    ready: () => job.ready(),
    spare: () => job.spares.pop(),
});

/** A request that can be stopped, and whose pieces wait for their reader. */
class Job {
    stopped = false;
    /** Pieces that were sent and not read. */
    ahead = 0;
    /** Buffers of pieces that were read. @type {ArrayBuffer[]} */
    spares = [];
    /** What else ends with it. */
    onStop = () => {};
    /** Logits that the caller gave back. @type {Float32Array | undefined} */
    #logits;
    #wake = () => {};

    stop() {
        this.stopped = true;
        this.#wake();
        this.onStop();
    }

    /** @param {ArrayBuffer} [spare] */
    read(spare) {
        if (spare) this.spares.push(spare);
        this.ahead--;
        this.#wake();
    }

    /** @param {Float32Array} logits */
    giveBack(logits) {
        this.#logits = logits;
        this.#wake();
    }

    /** The logits that were lent, when they are back; undefined: the job was stopped. */
    async returned() {
        while (!this.#logits && !this.stopped) await this.#woken();
        const logits = this.stopped ? undefined : this.#logits;
        this.#logits = undefined;
        return logits;
    }

    /** Waits until the reader has nearly all pieces. */
    async ready() {
        while (this.ahead >= MOST_AHEAD && !this.stopped) await this.#woken();
    }

    #woken() {
        return new Promise((resolve) => {
            this.#wake = () => resolve(undefined);
        });
    }
}

/**
 * @template T
 * @param {number} id
 * @param {(job: Job) => Promise<T>} run
 * @returns {Promise<T>}
 */
function start(id, run) {
    const job = new Job();
    jobs.set(id, job);
    return run(job).finally(() => jobs.delete(id));
}

/**
 * Runs when everything before it has ended, and alone.
 * @template T
 * @param {() => T | Promise<T>} run
 * @returns {Promise<T>}
 */
function turn(run) {
    const mine = Promise.allSettled([last, ...beside]).then(run);
    beside.clear();
    last = mine;
    return mine;
}

/**
 * Runs when all that runs alone and came before it has ended, together with others of its kind. A model runs as many of
 * them as it was loaded for; the others wait in the order in which they came (Seats.enter()).
 * @template T
 * @param {() => Promise<T>} run
 * @returns {Promise<T>}
 */
function share(run) {
    const mine = last.catch(() => {}).then(run);
    beside.add(mine);
    mine.catch(() => {}).finally(() => beside.delete(mine));
    return mine;
}

/**
 * @template T
 * @param {number} id
 * @param {(job: Job) => T | Promise<T>} run
 * @returns {Promise<T>}
 */
const queue = (id, run) => start(id, (job) => turn(() => run(job)));

/**
 * What a request over a text gets: its job, its turns, its reports.
 * @param {number} id
 * @param {Job} job
 * @returns {import('./windows.js').Course}
 */
const course = (id, job) => ({ job, turn, report: timed((progress) => post({ id, type: 'window', progress })) });

/**
 * After a trap the core's memory is in an unknown state: such an error is the end of this worker.
 * @param {unknown} error
 * @returns {error is WebAssembly.RuntimeError}
 */
const isTrap = (error) => typeof WebAssembly === 'object' && error instanceof WebAssembly.RuntimeError;

/** @param {WebAssembly.RuntimeError} error */
const stopped = (error) => new NibbleError('NB_ERR_WORKER', `the engine stopped: ${error.message}`, { cause: error });
