/**
 * nibble's API: `load` a model, then `complete` or `chat`. This file runs where it is imported, on a page's main thread or
 * in Node, and only talks to the worker (worker/engine-worker.js), where everything is computed. index.d.ts has the types and
 * says what each thing does.
 */
import { checkMessages } from './worker/chat.js';
import { ASSET_OPTIONS, absolute, findAssets, hasScheme, isUrl } from './assets.js';
import { NibbleError, asNibbleError, fromPlain, messageOf } from './errors.js';
import { decoded, hubUrl } from './sources/folder.js';
import {
    DETOKENIZE_OPTIONS, EMBED_OPTIONS, GENERATE_OPTIONS, LOAD_OPTIONS, TEMPLATE_OPTIONS, TOKENIZE_OPTIONS, checkOptions,
    checkQuantize,
} from './options.js';
import { isNode, nodeModule } from './platform.js';
import { died, startWorker } from './spawn.js';

export { NibbleError };

/** @typedef {import('./index.d.ts').Result} Result */
/** @typedef {import('./spawn.js').WorkerHandle} WorkerHandle */

const TOKENIZE_ADD_SPECIAL = 1, TOKENIZE_PARSE_SPECIAL = 2; // src/nibble.h

/** @type {typeof import('./index.d.ts').load} */
export async function load(source, options = {}) {
    const others = ['onProgress', 'signal', 'headerOnly', ...ASSET_OPTIONS];
    const checked = checkOptions(LOAD_OPTIONS, options, 'load()', others);
    const { onProgress, headerOnly = false } = options, signal = checkSignal('load()', options.signal);
    if (typeof headerOnly !== 'boolean')
        throw new NibbleError('NB_ERR_ARGUMENT', 'load(): headerOnly must be true or false');
    if (onProgress !== undefined && typeof onProgress !== 'function')
        throw new NibbleError('NB_ERR_ARGUMENT', 'load(): onProgress must be a function');
    checkQuantize(checked);
    /** @type {Link | undefined} */
    let link;
    /** @type {Chunks | undefined} */
    let chunks;
    const abort = () => link?.close(abortReason(signal));
    const checkAborted = () => {
        if (signal?.aborted)
            throw abortReason(signal);
    };
    try {
        checkAborted();
        const assets = await findAssets(options);
        const described = await describeSource(source);
        chunks = described.chunks;
        link = await Link.open(assets.workerUrl);
        signal?.addEventListener('abort', abort);
        checkAborted();
        const { pieces } = chunks ?? {};
        const info = await link.request({
            type: 'load', source: described.plain, options: { ...checked, headerOnly, assets },
        }, ({ type, progress }) => (type === 'progress' ? report(onProgress, progress) : pieces && feedOne(link, pieces)));
        return new Model(link, info);
    } catch (error) {
        const reason = signal?.aborted && error === abortReason(signal) ? error : asNibbleError(error);
        link?.close(reason);
        throw reason;
    } finally {
        signal?.removeEventListener('abort', abort);
        chunks?.cancel();
    }
}

/**
 * The options of one request, checked.
 * @param {string} caller for messages
 * @param {Record<string, import('./options.js').Option>} table
 * @param {import('./index.d.ts').Abortable | undefined} options
 */
function checkRequest(caller, table, options) {
    return { checked: checkOptions(table, options, caller, ['signal']), signal: checkSignal(caller, options?.signal) };
}

/**
 * @param {string} caller
 * @param {unknown} signal
 */
function checkSignal(caller, signal) {
    if (signal === undefined || signal === null)
        return undefined;
    const { aborted, addEventListener } = /** @type {any} */ (signal);
    if (typeof aborted !== 'boolean' || typeof addEventListener !== 'function')
        throw new NibbleError('NB_ERR_ARGUMENT', `${caller}: signal must be an AbortSignal${
            /** @type {any} */ (signal).signal ? ': pass the controller\'s signal, not the controller' : ''}`);
    return /** @type {AbortSignal} */ (signal);
}

/** @param {AbortSignal | undefined} signal */
const abortReason = (signal) => signal?.reason ?? new NibbleError('NB_ERR_STATE', 'the request was aborted');

/**
 * @param {import('./index.d.ts').LoadOptions['onProgress']} onProgress
 * @param {import('./index.d.ts').Progress} progress
 */
async function report(onProgress, progress) {
    try {
        await onProgress?.(progress);
    } catch (error) {
        throw new NibbleError('NB_ERR_ARGUMENT', `load(): onProgress threw: ${messageOf(error)}`, { cause: error });
    }
}

class Model {
    #link;

    /**
     * @param {Link} link
     * @param {import('./index.d.ts').ModelInfo} info
     */
    constructor(link, info) {
        this.#link = link;
        this.info = info;
    }

    /** @type {import('./index.d.ts').Model['complete']} */
    complete(prompt, options) {
        if (typeof prompt !== 'string' && !isTokens(prompt))
            throw new NibbleError('NB_ERR_ARGUMENT', 'complete(): the prompt must be a text or an array of token ids');
        return this.#generate('complete', typeof prompt === 'string' ? prompt : Array.from(prompt), GENERATE_OPTIONS, options);
    }

    /** @type {import('./index.d.ts').Model['chat']} */
    chat(messages, options) {
        return this.#generate('chat', checkMessages(messages), { ...GENERATE_OPTIONS, ...TEMPLATE_OPTIONS }, options);
    }

    /** @type {import('./index.d.ts').Model['applyTemplate']} */
    async applyTemplate(messages, options) {
        const { checked, signal } = checkRequest('applyTemplate()', TEMPLATE_OPTIONS, options);
        return this.#link.request({ type: 'template', messages: checkMessages(messages, 'applyTemplate()'), options: checked },
            undefined, signal);
    }

    /**
     * @param {'complete' | 'chat'} what
     * @param {string | number[] | import('./index.d.ts').Message[]} input
     * @param {Record<string, import('./options.js').Option>} table
     * @param {import('./index.d.ts').ChatOptions | undefined} options
     */
    #generate(what, input, table, options) {
        const { checked, signal } = checkRequest(`${what}()`, table, options);
        if (what === 'chat' && checked.special)
            throw new NibbleError('NB_ERR_ARGUMENT',
                'chat(): special is an option of complete(); in a chat only the template writes special tokens');
        return new Generation(this.#link, { type: 'generate', what, input, options: checked }, signal);
    }

    /** @type {import('./index.d.ts').Model['tokenize']} */
    async tokenize(text, options) {
        if (typeof text !== 'string')
            throw new NibbleError('NB_ERR_ARGUMENT', 'tokenize(): the text must be a string');
        const { checked: { bare, special }, signal } = checkRequest('tokenize()', TOKENIZE_OPTIONS, options);
        const flags = (bare ? 0 : TOKENIZE_ADD_SPECIAL) | (special ? TOKENIZE_PARSE_SPECIAL : 0);
        /** @type {number[]} */
        const list = [];
        for (const token of await this.#link.request({ type: 'tokenize', text, flags }, undefined, signal))
            list.push(token); // quicker than Array.from, by half
        return list;
    }

    /** @type {import('./index.d.ts').Model['detokenize']} */
    async detokenize(tokens, options) {
        if (!isTokens(tokens))
            throw new NibbleError('NB_ERR_ARGUMENT', 'detokenize(): the tokens must be an array of token ids');
        const { checked: { special }, signal } = checkRequest('detokenize()', DETOKENIZE_OPTIONS, options);
        return this.#link.request({ type: 'detokenize', tokens: Array.from(tokens), special }, undefined, signal);
    }

    /** @type {import('./index.d.ts').Model['logits']} */
    async *logits(tokens, options) {
        if (!isTokens(tokens))
            throw new NibbleError('NB_ERR_ARGUMENT', 'logits(): the tokens must be an array of token ids');
        const { signal } = checkRequest('logits()', {}, options);
        const stream = new Stream(this.#link, { type: 'evaluate', tokens: Array.from(tokens) }, (piece) => piece.rows, signal);
        yield* stream.readOnce(() => stream.stop());
    }

    /** @type {import('./index.d.ts').Model['embed']} */
    async embed(input, options) {
        const text = typeof input === 'string';
        if (!text && !isTokens(input))
            throw new NibbleError('NB_ERR_ARGUMENT', 'embed(): the input must be a text or an array of token ids');
        const { checked, signal } = checkRequest('embed()', EMBED_OPTIONS, options);
        const { prompt, promptName } = checked;
        if (!text && (prompt !== undefined || promptName !== undefined))
            throw new NibbleError('NB_ERR_ARGUMENT',
                `embed(): ${prompt === undefined ? 'promptName' : 'prompt'} goes with an input that is a text, ` +
                'and the input is token ids');
        if (prompt !== undefined && promptName !== undefined)
            throw new NibbleError('NB_ERR_ARGUMENT',
                'embed(): prompt and promptName are two ways to say one thing; give one of them');
        return this.#link.request({ type: 'embed', input: text ? input : Array.from(input), options: checked }, undefined,
            signal);
    }

    /** @type {import('./index.d.ts').Model['dispose']} */
    async dispose() {
        await this.#link.dispose();
    }
}

/**
 * A request that answers in pieces.
 * @template T
 */
class Stream {
    /**
     * @param {Link} link
     * @param {object} message
     * @param {(piece: any) => T} take
     * @param {AbortSignal | undefined} signal
     */
    constructor(link, message, take, signal) {
        this.link = link;
        /** @type {T[]} */
        this.pieces = [];
        /** @type {(() => void)[]} */
        this.waiting = [];
        this.over = false;
        const wake = () => this.waiting.splice(0).forEach((f) => f());
        this.id = link.nextId;
        this.done = link.request(message, (piece) => {
            this.pieces.push(take(piece));
            wake();
        }, signal).finally(() => {
            this.over = true;
            wake();
        });
        this.done.catch(() => {}); // whoever reads or awaits is told; who does neither has no use for the error
    }

    /**
     * The pieces, which are kept: this may be read at any time and more than once.
     * @param {() => void} leave what to do when the reader leaves before the end
     */
    read(leave) {
        let at = 0;
        return this.#each(leave, () => at < this.pieces.length, () => this.pieces[at++]);
    }

    /**
     * The pieces, which are not kept: the worker waits until they are read.
     * @param {() => void} leave
     */
    readOnce(leave) {
        return this.#each(leave, () => this.pieces.length > 0, () => {
            this.link.post({ type: 'more', job: this.id });
            return /** @type {T} */ (this.pieces.shift());
        });
    }

    /**
     * @param {() => void} leave
     * @param {() => boolean} some
     * @param {() => T} next
     * @returns {AsyncGenerator<T, void, undefined>}
     */
    async *#each(leave, some, next) {
        try {
            for (;;) {
                while (some())
                    yield next();
                if (this.over)
                    break;
                await new Promise((resolve) => this.waiting.push(() => resolve(undefined)));
            }
            await this.done;
        } finally {
            if (!this.over)
                leave();
        }
    }

    stop() {
        if (!this.over)
            this.link.post({ type: 'stop', job: this.id });
    }
}

/** @implements {PromiseLike<Result>} */
class Generation {
    [Symbol.toStringTag] = 'Generation';
    /** @type {number[]} */
    tokens = [];
    #stream;
    /** @type {Promise<Result>} */
    #result;

    /**
     * @param {Link} link
     * @param {object} message
     * @param {AbortSignal | undefined} signal
     */
    constructor(link, message, signal) {
        this.#stream = new Stream(link, message, ({ text, tokens }) => {
            this.tokens.push(...tokens);
            return /** @type {string} */ (text);
        }, signal);
        this.#result = this.#stream.done;
    }

    async *[Symbol.asyncIterator]() {
        for await (const text of this.#stream.read(() => this.stop()))
            if (text !== '')
                yield text;
        await this.#result;
    }

    stop() {
        this.#stream.stop();
    }

    /** @type {Promise<Result>['then']} */
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

/** The way to one worker: requests that wait for their answers, and what happens to them when it dies. */
class Link {
    /** How long dispose() waits for a batch of the prompt to end before it ends the worker regardless. */
    static PATIENCE_MS = 2000;

    nextId = 1;
    /**
     * @type {Map<number, { resolve: (value: any) => void, reject: (error: unknown) => void,
     *     listener?: (message: any) => void }>}
     */
    #pending = new Map();
    /** @type {WorkerHandle | undefined} */
    #worker;
    /** @type {unknown} why there is no worker any more */
    #ended;

    /** By these a thread of the pool tells of its death (see pool-worker.js). @type {MessagePort[]} */
    #alarms = [];

    /** @param {string} url of the worker's script */
    static async open(url) {
        const link = new Link();
        link.#worker = await startWorker({ url, script: 'engine-worker', name: 'worker' }, (message) => link.#receive(message),
            (error) => link.close(error));
        link.#worker.keepAlive(false);
        return link;
    }

    /**
     * Settles in any case: by the answer, by what the listener throws, by close(), by the signal, or at once if the message
     * cannot be sent.
     * @param {object} message
     * @param {(message: any) => unknown} [listener] gets what comes before the answer; if it throws or rejects, so does the
     *     request
     * @param {AbortSignal} [signal] ends it here and now, whatever the worker is doing, and in the worker as soon as that looks
     * @returns {Promise<any>}
     */
    request(message, listener, signal) {
        if (!this.#worker)
            return Promise.reject(this.#ended);
        if (signal?.aborted)
            return Promise.reject(abortReason(signal));
        const id = this.nextId++;
        const abort = () => {
            this.post({ type: 'stop', job: id });
            this.#settle(id)?.reject(abortReason(signal));
        };
        signal?.addEventListener('abort', abort);
        return new Promise((resolve, reject) => {
            this.#pending.set(id, { resolve, reject, listener });
            this.#worker?.keepAlive(true); // a Node process lives while something is pending, and no longer
            try {
                this.#worker?.post({ ...message, id });
            } catch (error) {
                this.#settle(id)?.reject(new NibbleError('NB_ERR_ARGUMENT',
                    'what was passed holds something that cannot be sent to the worker, such as ' +
                    `a function or a proxy: ${messageOf(error)}`, { cause: error }));
            }
        }).finally(() => signal?.removeEventListener('abort', abort));
    }

    /**
     * A request that is over.
     * @param {number} id
     */
    #settle(id) {
        const request = this.#pending.get(id);
        this.#pending.delete(id);
        if (this.#pending.size === 0)
            this.#worker?.keepAlive(false);
        return request;
    }

    /**
     * A message that wants no answer.
     * @param {object} message
     * @param {ArrayBuffer[]} [transfer]
     */
    post(message, transfer) {
        this.#worker?.post(message, transfer);
    }

    /** @param {any} message */
    async #receive(message) {
        const { id, type, error } = message;
        if (type === 'thread')
            return this.#watch(message.port);
        if (type === 'done')
            return this.#settle(id)?.resolve(message.result);
        if (type === 'error')
            return this.#settle(id)?.reject(fromPlain(error));
        try {
            await this.#pending.get(id)?.listener?.(message);
        } catch (thrown) {
            this.#settle(id)?.reject(thrown);
        }
    }

    /** @param {MessagePort} alarm */
    #watch(alarm) {
        this.#alarms.push(alarm);
        alarm.onmessage = ({ data }) => this.close(died('worker', data));
        /** @type {any} */ (alarm).unref?.(); // in Node
    }

    /**
     * Ends the worker at once, and everything that waits for it with the reason.
     * @param {unknown} reason
     */
    close(reason) {
        if (!this.#worker)
            return;
        this.#worker.terminate();
        this.#worker = undefined;
        for (const alarm of this.#alarms)
            alarm.close();
        this.#ended = reason;
        for (const { reject } of this.#pending.values())
            reject(reason);
        this.#pending.clear();
    }

    async dispose() {
        const disposed = new NibbleError('NB_ERR_STATE', 'the model was disposed of; load it again');
        if (!this.#worker)
            return;
        const waiting = [...this.#pending.values()];
        this.#pending.clear();
        for (const { reject } of waiting)
            reject(disposed);
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        let timer;
        const late = new Promise((resolve) => { timer = setTimeout(resolve, Link.PATIENCE_MS); });
        // the pool's threads leave by themselves: then nothing runs in the memory that is dropped
        await Promise.race([this.request({ type: 'close' }).catch(() => {}), late]);
        clearTimeout(timer);
        this.close(disposed);
    }
}

/** @param {unknown} value */
const isTokens = (value) => Array.isArray(value) || ArrayBuffer.isView(value) && !(value instanceof DataView);

/** Chunks for the worker. @typedef {{ pieces: AsyncGenerator<Uint8Array>, cancel: () => void }} Chunks */

/**
 * @param {import('./index.d.ts').Source} source
 * @returns {Promise<{ plain: import('./sources/open.js').Source, chunks?: Chunks }>} what the worker opens by
 *     itself, or the chunks that it is to be sent
 */
async function describeSource(source) {
    if (Array.isArray(source))
        return { plain: { kind: 'files', files: await Promise.all(source.map(describeFile)) } };
    if (typeof source === 'string' || isUrl(source)) {
        const text = String(source);
        if (text === '')
            throw new NibbleError('NB_ERR_ARGUMENT', 'load(): the source is an empty text; it must be a URL' +
                (isNode ? ' or a path' : ''));
        if (text.startsWith('hf:'))
            return { plain: { kind: 'url', url: hubUrl(text) } };
        if (isNode && text.startsWith('file:'))
            return { plain: { kind: 'path', path: await pathOf(text) } };
        if (isNode && !hasScheme(text))
            return { plain: { kind: 'path', path: text } };
        return { plain: { kind: 'url', url: await absolute(text, 'the source') } };
    }
    // by what they can do: in a test of pages, or beside an iframe, they are of another realm
    if (isBlob(source))
        return isNode ? { plain: { kind: 'port', total: source.size }, chunks: ofBlob(source) }
            : { plain: { kind: 'blob', blob: source } };
    if (typeof (/** @type {any} */ (source)?.getReader) === 'function')
        return { plain: { kind: 'port', total: 0 }, chunks: ofStream(/** @type {ReadableStream<Uint8Array>} */ (source)) };
    if (isBytes(source))
        return { plain: { kind: 'port', total: source.length }, chunks: { pieces: slices(source), cancel: () => {} } };
    throw new NibbleError('NB_ERR_ARGUMENT',
        'load(): the source must be a URL, a File or Blob, an array of those, a ReadableStream of ' +
        `bytes, a Uint8Array${isNode ? ', or a path' : ''}`);
}

/** @param {any} value @returns {value is Blob} */
const isBlob = (value) => typeof value?.size === 'number' && typeof value.slice === 'function' &&
    typeof value.type === 'string';

/** @param {unknown} value @returns {value is Uint8Array} */
const isBytes = (value) => ArrayBuffer.isView(value) && Object.prototype.toString.call(value) === '[object Uint8Array]';

/** @param {string} url of a file of this machine */
async function pathOf(url) {
    try {
        return (await nodeModule('url')).fileURLToPath(url);
    } catch (error) {
        throw new NibbleError('NB_ERR_ARGUMENT', `load(): ${url} is no address of a file here: ${messageOf(error)}`,
            { cause: error });
    }
}

/**
 * One of several files, which the worker opens twice: for its header, and for its weights.
 * @param {unknown} source
 * @returns {Promise<{ name: string, source: import('./sources/open.js').Single, loose?: boolean }>}
 */
async function describeFile(source) {
    if (isBlob(source)) {
        const { name, webkitRelativePath } = /** @type {Partial<File>} */ (source);
        if (typeof name !== 'string')
            throw new NibbleError('NB_ERR_ARGUMENT',
                'load(): each of several files must be a File, because its name says what it is; a Blob has no name');
        return { name: webkitRelativePath || name, source: { kind: 'blob', blob: isNode ? await nodeBlob(source) : source } };
    }
    const { plain } = await describeSource(/** @type {import('./index.d.ts').Source} */ (source));
    if (plain.kind !== 'url' && plain.kind !== 'path')
        throw new NibbleError('NB_ERR_ARGUMENT', 'load(): an array of sources may hold Files, URLs and, in Node, paths');
    const path = plain.kind === 'url' ? decoded(new URL(plain.url).pathname) : plain.path;
    return { name: path, source: plain, loose: true };
}

/**
 * A Blob that Node copies to a worker: of a File only this part of it, and of another library's Blob its bytes.
 * @param {Blob} blob
 */
async function nodeBlob(blob) {
    const { Blob: NodeBlob } = await nodeModule('buffer');
    return /** @type {Blob} */ (/** @type {unknown} */ (blob instanceof NodeBlob
        ? blob.slice() : new NodeBlob([await bytesOf(blob)])));
}

/**
 * @param {Blob} blob
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
async function bytesOf(blob) {
    if (typeof blob.arrayBuffer === 'function')
        return new Uint8Array(await blob.arrayBuffer());
    // jsdom's Blob has no arrayBuffer(), and only its FileReader reads it
    const reader = new FileReader();
    await new Promise((resolve, reject) => {
        reader.onload = resolve;
        reader.onerror = () => reject(reader.error);
        reader.readAsArrayBuffer(blob);
    });
    return new Uint8Array(/** @type {ArrayBuffer} */ (reader.result));
}

const CHUNK = 1 << 20;

/**
 * Copies, a little at a time: a copy can be given to the worker, and the caller's own bytes stay theirs.
 * @param {Uint8Array} bytes
 */
async function* slices(bytes) {
    for (let at = 0; at < bytes.length; at += CHUNK)
        yield new Uint8Array(bytes.subarray(at, at + CHUNK)); // not slice(): a Buffer's does not copy
}

/**
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {Chunks}
 */
function ofStream(stream) {
    /** @type {ReadableStreamDefaultReader<Uint8Array>} */
    let reader;
    try {
        reader = stream.getReader();
    } catch (error) {
        throw new NibbleError('NB_ERR_ARGUMENT',
            `load(): the stream is locked: something else reads it (${messageOf(error)})`, { cause: error });
    }
    async function* pieces() {
        for (;;) {
            const { done, value } = await reader.read();
            if (done)
                return;
            if (!isBytes(value))
                throw new NibbleError('NB_ERR_ARGUMENT', `load(): the stream must give Uint8Arrays, not ${typeof value}`);
            yield* slices(value);
        }
    }
    // not by the generator's return(), which would wait for a read that may never end
    return { pieces: pieces(), cancel: () => void reader.cancel().catch(() => {}) };
}

/**
 * @param {Blob} blob
 * @returns {Chunks}
 */
function ofBlob(blob) {
    async function* pieces() {
        for (let at = 0; at < blob.size; at += CHUNK)
            yield bytesOf(blob.slice(at, at + CHUNK));
    }
    return { pieces: pieces(), cancel: () => {} };
}

/**
 * Answers one pull of the worker's. The generator itself keeps the order.
 * @param {Link | undefined} link
 * @param {AsyncGenerator<Uint8Array>} chunks
 */
async function feedOne(link, chunks) {
    let bytes;
    try {
        bytes = (await chunks.next()).value ?? null;
    } catch (error) {
        throw error instanceof NibbleError ? error
            : new NibbleError('NB_ERR_FILE', `load(): the source cannot be read: ${messageOf(error)}`, { cause: error });
    }
    link?.post({ type: 'chunk', bytes }, bytes ? [/** @type {ArrayBuffer} */ (bytes.buffer)] : []);
}
