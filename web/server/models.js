/**
 * The models of a server. Each is loaded when it is asked for, and unloaded when another one needs its memory. A model
 * answers one request at a time, or several together; the others wait in a line.
 */
import { messageOf, NibbleError } from '../errors.js';
import { HttpError } from '../openai/respond.js';
import { CALLS, checkCall } from './calls.js';
import { enterFirst, Line } from './line.js';

/** @typedef {import('../index.d.ts').Model} Model */
/** @typedef {import('../openai/respond.js').CallPath} CallPath */

/** @typedef {Partial<import('../index.d.ts').ModelInfo>} Info */
/** @typedef {import('../index.d.ts').AdapterInfo} AdapterInfo */

/**
 * A model that may be loaded. bytes: of memory, expected until it is loaded. cache: bytes that it may take in addition,
 * for conversations. parallel: how many requests it answers together. info: what its header says. adapters: those that
 * open() adds, each with the bytes that are expected for it in addition.
 * @typedef {{ name: string, bytes: number, cache?: number, parallel?: number, info?: Info, adapters?: AdapterInfo[],
 *     open: (signal: AbortSignal) => Promise<Model> }} Offer
 */

/**
 * memory: bytes that loaded models may take together; a single one may take more. queue: requests that may wait for one
 * model. timeout: ms that one answer may take. patience: ms that a model may take to stop after that. contextShift:
 * what requests ask for that do not name a context_overflow.
 * @typedef {{ memory: number, queue: number, timeout: number, patience?: number, contextShift?: boolean }} Limits
 */

/** A batch of the prompt is computed to its end; a large one, on a slow machine, takes seconds. */
const PATIENCE = 60_000;

/**
 * What is known of a request, for the log. count: its tokens. model: its name. waited: ms until its turn. code: of the
 * error, if it failed.
 * @typedef {{ count: import('../openai/answers.js').Count, model?: string, waited?: number, code?: string }} Account
 */

class Entry {
    line;
    /** @type {Model | undefined} */
    model;
    /** The load that is under way, from its wait for other loads on. It gives nothing if who began it has left before
     * the model's file was opened. @type {Promise<void> | undefined} */
    loading;
    /** Its end, while it is being unloaded. @type {Promise<void> | undefined} */
    unloading;
    /** How often it was loaded. */
    loads = 0;
    /** When its last turn began. */
    usedAt = 0;
    /** How long a turn takes, a moving average. */
    seconds = 1;

    /** @param {Offer} offer */
    constructor({ name, bytes, cache = 0, parallel = 1, info = {}, adapters = [], open }) {
        this.name = name;
        this.line = new Line(parallel);
        this.bytes = adapters.reduce((sum, adapter) => sum + adapter.bytes, bytes + cache);
        this.cache = cache;
        this.info = info;
        this.adapters = adapters;
        this.open = open;
    }
}

/** Errors that are the request's own fault. After any other the model may be dead, so it is loaded again. */
const HARMLESS = ['NB_ERR_ARGUMENT', 'NB_ERR_UNSUPPORTED', 'NB_ERR_CONTEXT', 'NB_ERR_FORMAT'];

/** A request whose text may outgrow the context, unless it says otherwise. @param {any} body */
const withShift = (body) =>
    typeof body === 'object' && body !== null && !Array.isArray(body)
        ? { ...body, context_overflow: body.context_overflow ?? 'shift' }
        : body;

export class Models {
    /** @type {Map<string, Entry>} */
    #entries;
    #limits;
    #tell;
    /** Loading and unloading, one at a time. */
    #loading = new Line();
    #closing = new AbortController();

    /**
     * @param {Offer[]} offers
     * @param {Limits} limits
     * @param {(event: string, about: Record<string, unknown>) => void} tell is told what is loaded and unloaded
     */
    constructor(offers, limits, tell) {
        this.#entries = new Map(offers.map((offer) => [offer.name, new Entry(offer)]));
        this.#limits = limits;
        this.#tell = tell;
    }

    get names() {
        return [...this.#entries.keys()];
    }

    /** The adapters, which are the same for all models, as llama.cpp's server lists them. */
    get adapters() {
        const [{ adapters }] = this.#entries.values();
        return adapters.map(({ name, scale }, id) => ({ id, path: name, scale }));
    }

    /** What the models do now, for the metrics. */
    get states() {
        return [...this.#entries.values()].map(({ name, model, unloading, bytes, loads, line }) => ({
            name,
            loads,
            bytes: (model ?? unloading) ? bytes : 0,
            running: line.running,
            places: line.places,
            waiting: line.waiting,
        }));
    }

    /** @param {string} name */
    #entry(name) {
        const entry = this.#entries.get(name);
        if (!entry) throw new HttpError(404, `there is no model ${JSON.stringify(name)}`, { code: 'model_not_found' });
        return entry;
    }

    /**
     * Loads a model before any request.
     * @param {string} name
     * @param {AbortSignal} signal ends all
     */
    async load(name, signal) {
        const abort = () => this.#closing.abort(signal.reason);
        signal.addEventListener('abort', abort);
        try {
            (await this.#turn(this.#entry(name), signal)).end();
        } catch (error) {
            throw /** @type {{ cause?: unknown }} */ (error).cause ?? error;
        } finally {
            signal.removeEventListener('abort', abort);
        }
    }

    /**
     * Answers a request of OpenAI's API when its turn has come.
     * @param {string} name
     * @param {CallPath} path
     * @param {any} body
     * @param {AbortSignal} signal ends it, and its turn
     * @param {Account} account
     * @returns {Promise<any>} an answer, or an async iterable of its chunks
     */
    async create(name, path, body, signal, account) {
        const entry = this.#entry(name),
            { line, seconds } = entry,
            asked = performance.now();
        account.model = name;
        if (this.#limits.contextShift && path.endsWith('completions')) body = withShift(body);
        await checkCall(path, body, entry.info, entry.adapters);
        if (line.isFull && line.waiting >= this.#limits.queue) throw tooMany(name, seconds);
        const { model, end } = await this.#turn(entry, signal),
            began = performance.now(),
            limit = new AbortController();
        account.waited = began - asked;
        let isOver = false;
        /** @param {'broken' | 'cut'} [how] 'cut': the model may still compute what was asked */
        const leave = (how) => {
            if (isOver) return;
            isOver = true;
            clearTimeout(timer);
            signal.removeEventListener('abort', cut);
            if (how === 'broken' && line.places > 1) {
                void this.#retire(entry, model); // before those that wait
                end();
            } else if (how) this.#rest(entry, model, how === 'broken').finally(end);
            else end();
        };
        const cut = () => {
            limit.abort(signal.aborted ? signal.reason : tooLong(this.#limits.timeout));
            leave('cut');
        };
        const finish = (isWhole = true) => {
            if (!isOver) entry.seconds += (Math.min((performance.now() - began) / 1000, 60) - entry.seconds) / 4;
            leave(isWhole ? undefined : 'cut');
        };
        const failed = (/** @type {unknown} */ error) => {
            const { code } = /** @type {{ code?: string | null }} */ (error ?? {});
            account.code = code ?? undefined;
            leave(HARMLESS.includes(String(code)) ? 'cut' : 'broken');
        };
        const timer = setTimeout(cut, this.#limits.timeout);
        signal.addEventListener('abort', cut);
        try {
            const answer = await CALLS[path](model, account.count).create(body, { signal: limit.signal });
            if (Symbol.asyncIterator in answer) return watched(answer, finish, failed);
            finish();
            return answer;
        } catch (error) {
            failed(error);
            throw error;
        }
    }

    /**
     * Waits until a model does nothing more for the turn that ends: an answer that was given up may still be computed.
     * A model that failed, or does not stop, is unloaded, and so loaded again in the next turn.
     * @param {Entry} entry
     * @param {Model} model
     * @param {boolean} isBroken
     */
    async #rest(entry, model, isBroken) {
        const why = isBroken
            ? 'failed'
            : await whyUseless(model, this.#limits.patience ?? PATIENCE, entry.line.places === 1);
        if (why && entry.model === model) await this.#unload(entry, why);
    }

    /**
     * Unloads a model that failed, when the other requests that it answers have ended. If it is dead, all of them fail.
     * @param {Entry} entry
     * @param {Model} model
     */
    async #retire(entry, model) {
        const end = await entry.line.enter(undefined, true);
        if (entry.model === model) await this.#unload(entry, 'failed');
        end();
    }

    /**
     * Waits for a turn of a model, and loads it.
     * @param {Entry} entry
     * @param {AbortSignal} signal
     * @returns {Promise<{ model: Model, end: () => void }>} end: ends the turn
     */
    async #turn(entry, signal) {
        const end = await entry.line.enter(signal);
        try {
            entry.usedAt = performance.now();
            return { model: await this.#loaded(entry, signal), end };
        } catch (error) {
            end();
            throw error;
        }
    }

    /**
     * The model, whose turn the caller has. All who need a load wait for the same one. If each waited for a load of its
     * own, the load of another model could come in between, which waits until this model's turns have ended.
     * @param {Entry} entry
     * @param {AbortSignal} signal
     * @returns {Promise<Model>}
     */
    async #loaded(entry, signal) {
        while (!entry.model) {
            entry.loading ??= this.#load(entry, signal)
                .catch((error) => {
                    if (!signal.aborted) throw error; // only who began the load has left; the others load again
                })
                .finally(() => {
                    entry.loading = undefined;
                });
            await orAborted(entry.loading, signal);
        }
        signal.throwIfAborted();
        return entry.model;
    }

    /**
     * Loads a model when other loads have ended. What was begun is finished even if nobody waits any more: most who
     * leave come back. Then who comes next waits for the same load.
     * @param {Entry} entry
     * @param {AbortSignal} signal
     */
    async #load(entry, signal) {
        const done = await this.#loading.enter(signal);
        try {
            await this.#makeRoom(entry, signal);
            signal.throwIfAborted();
        } catch (error) {
            done();
            throw error;
        }
        const loading = this.#open(entry);
        loading
            .then(() => this.#makeRoom(entry, this.#closing.signal)) // it may be larger than expected
            .catch(() => {}) // whoever waits for it is told
            .finally(done);
        await loading;
    }

    /** @param {Entry} entry */
    async #open(entry) {
        const { signal } = this.#closing,
            began = performance.now();
        try {
            signal.throwIfAborted();
            const model = await entry.open(signal);
            if (signal.aborted) await model.dispose();
            signal.throwIfAborted();
            entry.model = model;
            entry.bytes = model.info.memoryBytes + entry.cache;
            entry.info = model.info;
            entry.loads++;
            this.#tell('load', { model: entry.name, bytes: entry.bytes, ms: Math.round(performance.now() - began) });
        } catch (error) {
            if (signal.aborted) throw signal.reason;
            this.#tell('load failed', { model: entry.name, message: messageOf(error) });
            // the message may have a path of this machine, which is not for clients
            throw notLoaded(entry.name, error);
        }
    }

    /**
     * Unloads other models until one fits: the idle one that was used longest ago, or else the busy one whose turn ends
     * first. Unloading comes before the requests that wait for that model, so that busy ones cannot keep others out for
     * ever.
     * @param {Entry} entry
     * @param {AbortSignal} signal
     */
    async #makeRoom(entry, signal) {
        for (;;) {
            const loaded = [...this.#entries.values()].filter(
                    (each) => (each.model ?? each.unloading) && each !== entry,
                ),
                held = loaded.reduce((sum, { bytes }) => sum + bytes, 0);
            if (loaded.length === 0 || held + entry.bytes <= this.#limits.memory) return;
            const [idle] = loaded.filter(({ line }) => !line.taken).sort((a, b) => a.usedAt - b.usedAt),
                others = idle ? [idle] : loaded;
            const { at, end } = await enterFirst(
                others.map(({ line }) => line),
                signal,
            );
            await this.#unload(others[at], 'room').finally(end);
        }
    }

    /** @param {Entry} entry @param {'room' | 'failed' | 'hung' | 'end'} why */
    async #unload(entry, why) {
        const { model } = entry;
        if (model) {
            entry.model = undefined;
            entry.unloading = model.dispose().finally(() => {
                entry.unloading = undefined;
                this.#tell('unload', { model: entry.name, why });
            });
        }
        await entry.unloading;
    }

    /** Ends whatever runs. */
    async close() {
        this.#closing.abort(new HttpError(503, 'the server is stopping'));
        await Promise.all([...this.#entries.values()].map((entry) => this.#unload(entry, 'end')));
    }
}

/**
 * @param {string} name
 * @param {number} seconds until there may be a place again
 */
const tooMany = (name, seconds) =>
    new HttpError(429, `too many requests wait for the model ${JSON.stringify(name)}: ask again later`, {
        code: 'rate_limit_exceeded',
        headers: { 'retry-after': String(Math.max(1, Math.ceil(seconds))) },
    });

/** @param {string} name @param {unknown} error */
const notLoaded = (name, error) =>
    Object.assign(
        new HttpError(500, `the model ${JSON.stringify(name)} could not be loaded; the log of the server says why`, {
            code: error instanceof NibbleError ? error.code : null,
        }),
        { cause: error },
    );

/** @param {number} ms */
const tooLong = (ms) =>
    new HttpError(503, `the answer took more than ${ms / 1000} s: ask for fewer tokens, or for fewer answers`, {
        code: 'timeout',
    });

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal} signal ends the wait for it, with its reason
 * @returns {Promise<T>}
 */
function orAborted(promise, signal) {
    return new Promise((resolve, reject) => {
        const abort = () => reject(signal.reason);
        signal.addEventListener('abort', abort);
        if (signal.aborted) abort();
        promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
    });
}

/**
 * @param {Model} model
 * @param {number} patience ms until it must have ended what it does
 * @param {boolean} waits for all that it does. false: other requests run, so it need only show that it is not stuck
 * @returns {Promise<'failed' | 'hung' | undefined>} why it is of no use any more
 */
async function whyUseless(model, patience, waits) {
    const own = /** @type {import('../api/model.js').Model} */ (model);
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    /** @type {Promise<'hung'>} */
    const late = new Promise((resolve) => {
        timer = setTimeout(resolve, patience, 'hung');
    });
    const idle = own.idle(waits).then(
        () => undefined,
        () => /** @type {const} */ ('failed'),
    );
    return Promise.race([idle, late]).finally(() => clearTimeout(timer));
}

/**
 * A stream that tells how it ends.
 * @template Item
 * @param {AsyncIterableIterator<Item>} stream
 * @param {(isWhole: boolean) => void} finish
 * @param {(error: unknown) => void} failed
 * @returns {AsyncIterableIterator<Item>}
 */
function watched(stream, finish, failed) {
    /** @type {AsyncIterableIterator<Item>} */
    const own = {
        [Symbol.asyncIterator]: () => own,
        async next() {
            try {
                const result = await stream.next();
                if (result.done) finish(true);
                return result;
            } catch (error) {
                failed(error);
                throw error;
            }
        },
        async return() {
            const ended = stream.return?.(); // which waits for the model, and that may hang
            finish(false);
            return (await ended) ?? { done: true, value: undefined };
        },
    };
    return own;
}
