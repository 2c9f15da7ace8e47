/**
 * A file from a URL. Servers answer in many ways: what an answer says is compared with what was asked for, and
 * with what earlier answers said, before a byte of it is believed.
 */
import { NibbleError, reason } from '../errors.js';

/** The error of a file that is not there. A model can do without some files. */
export class AbsentError extends NibbleError {}

/**
 * What the first answer said of a file: its size if that is certain, its Content-Length, its ETag, and its date.
 * @typedef {{ total?: number, length?: number, etag?: string, modified?: string }} Identity
 */

/** Error codes that say nothing about the file: the same request may succeed later. */
const TRANSIENT = [408, 425, 429];

/** How a web page begins. */
const PAGE = /^\s*<(!doctype|html|head|title|body|h1|center|\?xml|!--)/i;

/** Bytes that are enough to tell a page from a document. */
const HEAD = 256;

/**
 * @param {string} url
 * @param {number} from the first byte that is wanted
 * @param {Identity} known is filled in by the first answer
 * @param {boolean} [ranged] whether to ask for a range
 */
export async function openUrl(url, from, known, ranged = from > 0) {
    const response = await request(url, ranged ? rangeHeaders(url, from, known) : {});
    let start;
    const answer = describe(response);
    try {
        start = startOf(url, response, answer, ranged ? from : 0, known);
        compare(url, answer, known);
    } catch (error) {
        await response.body?.cancel();
        throw error;
    }
    if (start === null) {
        // nothing says which part it is, so the whole file is asked for
        await response.body?.cancel();
        return openUrl(url, from, known, false);
    }
    return opened(url, response, answer.total, from - start);
}

/**
 * @param {string} url
 * @param {Record<string, string>} headers
 */
async function request(url, headers) {
    let response;
    try {
        response = await fetch(url, { headers });
    } catch (error) {
        // browsers hide answers without CORS headers, and a 404 often has none: the file may just not be there
        const inPage = typeof document === 'undefined' && 'importScripts' in globalThis;
        throw new AbsentError(
            'NB_ERR_NETWORK',
            `cannot reach ${url}: ${reason(error)}. Check the URL and the connection` +
                (inPage ? ', and that the server allows this page (CORS)' : ''),
            { cause: error },
        );
    }
    const { ok, status, body } = response;
    if (ok && body) return response;
    await body?.cancel();
    const absent = ok || (status >= 400 && status < 500 && !TRANSIENT.includes(status));
    throw new (absent ? AbsentError : NibbleError)(
        'NB_ERR_NETWORK',
        `${url} answered ${status} ${response.statusText}`.trim() +
            (status === 404 || status === 410
                ? ': there is no such file; check the URL'
                : status === 401 || status === 403
                  ? ': it wants a login or does not allow this'
                  : status === 416
                    ? ': the file ends before the bytes that are wanted, so it was changed or cut off. Load it again'
                    : ''),
    );
}

/**
 * If-Range makes a server send the whole file if it is another one by now. For another site a browser would first
 * have to ask whether the header is allowed, which many servers refuse: there the answers are only compared.
 * @param {string} url
 * @param {number} from
 * @param {Identity} known
 * @returns {Record<string, string>}
 */
function rangeHeaders(url, from, { etag, modified }) {
    const { origin } = /** @type {{ origin?: string }} */ (globalThis); // Node has none
    const mine = origin === undefined || origin === new URL(url).origin;
    const validator = etag?.startsWith('"') ? etag : modified;
    return { Range: `bytes=${from}-`, ...(mine && validator ? { 'If-Range': validator } : {}) };
}

/** @typedef {ReturnType<typeof describe>} Answer */

/**
 * What an answer says of the file. The length of a compressed answer is not the file's, and a page cannot see whether
 * another site's answer is compressed.
 * @param {Response} response
 */
function describe({ headers, status, type }) {
    const encoding = headers.get('content-encoding');
    const encoded = encoding !== null && encoding.toLowerCase() !== 'identity';
    const length = encoded ? 0 : Number(headers.get('content-length')) || 0;
    const range = headers.get('content-range');
    const [, first, last, all] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/i.exec(range?.trim() ?? '') ?? [];
    const partial = status === 206;
    return {
        partial,
        encoded,
        length,
        range,
        multipart: /^multipart\//i.test(headers.get('content-type') ?? ''),
        first: first === undefined ? NaN : Number(first),
        last: Number(last),
        total: partial ? Number(all) || 0 : type === 'cors' ? 0 : length,
        etag: headers.get('etag') ?? undefined,
        modified: headers.get('last-modified') ?? undefined,
    };
}

/**
 * Where in the file the answer begins. null: it does not say so.
 * @param {string} url
 * @param {Response} response
 * @param {Answer} answer
 * @param {number} from where it should begin
 * @param {Identity} known
 */
function startOf(url, response, answer, from, known) {
    if (!answer.partial) return 0; // some servers send the whole file, whatever they are asked for
    const refuse = (/** @type {string} */ what) =>
        new NibbleError(
            'NB_ERR_NETWORK',
            `${url} was asked for ${from > 0 ? `its bytes from ${from} on` : 'the whole file'}, and answered with ${what}. ` +
                'The server, or a proxy before it, does not serve parts of files correctly: take the file from elsewhere, or ' +
                'download it first',
        );
    if (answer.multipart) throw refuse('several parts in one (multipart/byteranges)');
    if (answer.encoded) throw refuse(`a part of a compressed file (${response.headers.get('content-encoding')})`);
    if (answer.range !== null) {
        if (answer.first !== from || (answer.total > 0 && answer.last !== answer.total - 1))
            throw refuse(`another part: ${answer.range}`);
        return from;
    }
    if (from === 0) throw refuse('a part of it');
    return answer.length > 0 && known.length === from + answer.length ? from : null;
}

/**
 * Checks that the answer is about the same file as earlier ones.
 * @param {string} url
 * @param {Answer} answer
 * @param {Identity} known
 */
function compare(url, answer, known) {
    const changed = (/** @type {string} */ what, /** @type {unknown} */ before, /** @type {unknown} */ now) =>
        new NibbleError(
            'NB_ERR_NETWORK',
            `${url} changed while it was being loaded: ` +
                `its ${what} was ${before}, and is ${now}. Load the model again`,
        );
    const { etag, modified, total, length, partial } = answer;
    if (known.total && total && known.total !== total) throw changed('size', `${known.total} bytes`, `${total} bytes`);
    if (known.etag && etag) {
        if (plainTag(known.etag) !== plainTag(etag)) throw changed('ETag', known.etag, etag);
    } else if (known.modified && modified && known.modified !== modified) {
        throw changed('date', known.modified, modified);
    }
    known.total ??= total || undefined;
    known.length ??= (!partial && length) || undefined;
    known.etag ??= etag;
    known.modified ??= modified;
}

/** An ETag without the marks that servers put on weak ones, and on those of compressed answers. @param {string} etag */
const plainTag = (etag) => etag.replace(/^W\//i, '').replace(/(--?|;|:)(gzip|br|zstd|deflate)"$/i, '"');

/**
 * @param {string} url
 * @param {Response} response
 * @param {number} total
 * @param {number} skip bytes to leave out first
 */
function opened(url, response, total, skip) {
    const { read, cancel } = readerOf(/** @type {ReadableStream<Uint8Array>} */ (response.body));
    const type = response.headers.get('content-type') ?? '';
    /** Pieces that were looked at already. @type {Uint8Array[]} */
    const held = [];
    let ended = false;
    /** @returns {Promise<Uint8Array | null>} */
    const receive = async () => {
        try {
            while (!ended) {
                const value = await read();
                ended = !value;
                const rest = value?.subarray(Math.min(skip, value.length));
                skip -= value ? Math.min(skip, value.length) : 0;
                if (rest?.length) return rest;
            }
            return null;
        } catch (error) {
            throw new NibbleError('NB_ERR_NETWORK', `the connection to ${url} broke: ${reason(error)}. Try again`, {
                cause: error,
            });
        }
    };
    const next = async () => held.shift() ?? receive();
    /** Whether the answer is empty or a web page: some servers answer every URL so. */
    const isVacant = async () => {
        let text = '';
        for (let piece; text.length < HEAD && (piece = await receive()); ) {
            held.push(piece.slice());
            text += String.fromCharCode(...piece.subarray(0, HEAD)); // what matters is ASCII
        }
        const plain = text.replace(/^\xef\xbb\xbf/, ''); // a byte order mark
        return (
            plain.trim() === '' ||
            PAGE.test(plain) ||
            (/^text\/html\b/i.test(type) && new URL(url).pathname.endsWith('.json') && !/^\s*[{[]/.test(plain))
        );
    };
    const answered = `status ${response.status}, ${type || 'no type'}`;
    return { total, answered, next, isVacant, cancel: () => void cancel().catch(() => {}) };
}

/**
 * Pieces of a body, each good until the next one is asked for. Where the engine reads into a given buffer (Safari does
 * not), one serves for all: it stays in the CPU's cache, as a new one for each piece would not.
 * @param {ReadableStream<Uint8Array>} body
 */
function readerOf(body) {
    const BUFFER = 1 << 18;
    let buffer = new ArrayBuffer(BUFFER);
    try {
        const reader = body.getReader({ mode: 'byob' });
        return {
            read: async () => {
                const { value, done } = await reader.read(new Uint8Array(buffer));
                if (done || !value) return null;
                buffer = value.buffer;
                return value;
            },
            cancel: () => reader.cancel(),
        };
    } catch {
        const reader = body.getReader();
        return { read: async () => (await reader.read()).value ?? null, cancel: () => reader.cancel() };
    }
}
