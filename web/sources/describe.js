/**
 * Turns a source, as load() is given it, into a description for the worker. What the worker cannot open by itself is
 * sent to it in chunks. This runs where load() was called.
 */
import { absolute, hasScheme, isUrl } from '../assets.js';
import { messageOf, NibbleError } from '../errors.js';
import { isNode, nodeModule } from '../platform.js';
import { hubUrl } from './hub.js';
import { decoded } from './names.js';

/** Chunks for the worker. @typedef {{ pieces: AsyncGenerator<Uint8Array>, cancel: () => void }} Chunks */

/**
 * @param {import('../index.d.ts').Source} source
 * @returns {Promise<{ plain: import('./open.js').Source, chunks?: Chunks }>} what the worker opens by
 *     itself, or the chunks that it is to be sent
 */
export async function describeSource(source) {
    if (Array.isArray(source)) return { plain: { kind: 'files', files: await Promise.all(source.map(describeFile)) } };
    if (typeof source === 'string' || isUrl(source)) {
        const text = String(source);
        if (text === '')
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                `load(): the source is an empty text; it must be a URL${isNode ? ' or a path' : ''}`,
            );
        if (text.startsWith('hf:')) return { plain: { kind: 'url', url: hubUrl(text) } };
        if (isNode && text.startsWith('file:')) return { plain: { kind: 'path', path: await pathOf(text) } };
        if (isNode && !hasScheme(text)) return { plain: { kind: 'path', path: text } };
        return { plain: { kind: 'url', url: await absolute(text, 'the source') } };
    }
    // by its methods, not by instanceof: it may be of another realm, such as an iframe's
    if (isBlob(source))
        return isNode
            ? { plain: { kind: 'port', total: source.size }, chunks: ofBlob(source) }
            : { plain: { kind: 'blob', blob: source } };
    if (typeof (/** @type {any} */ (source)?.getReader) === 'function')
        return {
            plain: { kind: 'port', total: 0 },
            chunks: ofStream(/** @type {ReadableStream<Uint8Array>} */ (source)),
        };
    if (isBytes(source))
        return { plain: { kind: 'port', total: source.length }, chunks: { pieces: slices(source), cancel: () => {} } };
    throw new NibbleError(
        'NB_ERR_ARGUMENT',
        'load(): the source must be a URL, a File or Blob, an array of those, a ReadableStream of ' +
            `bytes, a Uint8Array${isNode ? ', or a path' : ''}`,
    );
}

/** @param {any} value @returns {value is Blob} */
const isBlob = (value) =>
    typeof value?.size === 'number' && typeof value.slice === 'function' && typeof value.type === 'string';

/** @param {unknown} value @returns {value is Uint8Array} */
export const isBytes = (value) =>
    ArrayBuffer.isView(value) && Object.prototype.toString.call(value) === '[object Uint8Array]';

/** @param {string} url of a file of this machine */
async function pathOf(url) {
    try {
        return (await nodeModule('url')).fileURLToPath(url);
    } catch (error) {
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            `load(): ${url} is not the URL of a file on this machine: ${messageOf(error)}`,
            {
                cause: error,
            },
        );
    }
}

/**
 * One of several files, which the worker opens twice: for its header, and for its weights.
 * @param {unknown} source
 * @returns {Promise<{ name: string, source: import('./open.js').Single, loose?: boolean }>}
 */
async function describeFile(source) {
    if (isBlob(source)) {
        const { name, webkitRelativePath } = /** @type {Partial<File>} */ (source);
        if (typeof name !== 'string')
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                'load(): each of several files must be a File, because its name says what it is; a Blob has no name',
            );
        return {
            name: webkitRelativePath || name,
            source: { kind: 'blob', blob: isNode ? await nodeBlob(source) : source },
        };
    }
    const { plain } = await describeSource(/** @type {import('../index.d.ts').Source} */ (source));
    if (plain.kind !== 'url' && plain.kind !== 'path')
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            'load(): an array of sources may hold Files, URLs and, in Node, paths',
        );
    const path = plain.kind === 'url' ? decoded(new URL(plain.url).pathname) : plain.path;
    return { name: path, source: plain, loose: true };
}

/**
 * A Blob that Node can send to a worker: a File becomes a plain Blob, and another library's Blob is copied.
 * @param {Blob} blob
 */
async function nodeBlob(blob) {
    const { Blob: NodeBlob } = await nodeModule('buffer');
    return /** @type {Blob} */ (
        /** @type {unknown} */ (blob instanceof NodeBlob ? blob.slice() : new NodeBlob([await bytesOf(blob)]))
    );
}

/**
 * @param {Blob} blob
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
async function bytesOf(blob) {
    if (typeof blob.arrayBuffer === 'function') return new Uint8Array(await blob.arrayBuffer());
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
 * Copies, a little at a time: they go to the worker, and the caller keeps the bytes.
 * @param {Uint8Array} bytes
 */
async function* slices(bytes) {
    // not slice(): a Buffer's does not copy
    for (let at = 0; at < bytes.length; at += CHUNK) yield new Uint8Array(bytes.subarray(at, at + CHUNK));
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
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            `load(): the stream is locked: something else reads it (${messageOf(error)})`,
            { cause: error },
        );
    }
    async function* pieces() {
        for (;;) {
            const { done, value } = await reader.read();
            if (done) return;
            if (!isBytes(value))
                throw new NibbleError(
                    'NB_ERR_ARGUMENT',
                    `load(): the stream must give Uint8Arrays, not ${typeof value}`,
                );
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
        for (let at = 0; at < blob.size; at += CHUNK) yield bytesOf(blob.slice(at, at + CHUNK));
    }
    return { pieces: pieces(), cancel: () => {} };
}
