/**
 * Any source of bytes -> linear memory. Each reader asks the sink for room and writes there; JavaScript itself
 * holds one piece at a time. (A page's ReadableStream and Uint8Array come through the port: see feeder.js.)
 */
import { NibbleError, reason } from '../errors.js';
import { nodeModule, yieldToEvents } from '../platform.js';
import { openToRead } from './descriptor.js';
import { AbsentError, openUrl } from './download.js';

/**
 * Where the bytes go. room(): memory for the next bytes, empty when no more are needed; it is valid until commit().
 * ready(): if it is there, a source awaits it before room().
 * @typedef {{ room: () => Uint8Array, commit: (n: number) => void, ready?: () => Promise<void> }} Sink
 */

/**
 * A file that a worker can open by itself, as often as it likes.
 * @typedef {{ kind: 'url', url: string } | { kind: 'path', path: string } | { kind: 'blob', blob: Blob }} Single
 */

/**
 * Such a file, or several by their names, or a stream that is pumped through the port.
 * @typedef {Single | { kind: 'files', files: { name: string, source: Single, loose?: boolean }[] } | { kind: 'port',
 *     total: number }} Source
 */

/**
 * An open source. total: the whole file's bytes, 0 if unknown. A download has more: next() gives one piece, which
 * is good until the next is asked for, isVacant() tells whether the answer is no file (see download.js), and
 * `answered` is what the server said.
 * @typedef {{ total: number, answered?: string, into: (sink: Sink) => Promise<void>, next?: () => Promise<Uint8Array |
 *     null>, cancel?: () => void,
 *     isVacant?: () => Promise<boolean> }} Opened
 */

/** What the first opening says of a file. @typedef {import('./download.js').Identity & { file?: string }} Identity */

const PIECE = 1 << 20; // bytes that are read at once from a file

/**
 * A file that is opened several times, for its header and then for its weights. Every time it must be the same
 * file: what the first opening says of it is compared with what the others say.
 * @param {Single} source
 * @returns {(from?: number) => Promise<Opened>} from: the first byte that is wanted
 */
export function opener(source) {
    /** @type {Identity} */
    const known = {};
    return (from = 0) => {
        switch (source.kind) {
            case 'url':
                return fromUrl(source.url, from, known);
            case 'path':
                return openPath(source.path, from, known);
            case 'blob':
                return Promise.resolve(openBlob(source.blob, from));
        }
    };
}

/** Opens a file that is read once. @param {Single} source */
export const openOne = (source) => opener(source)();

/**
 * @param {number} total
 * @param {() => Promise<Uint8Array | null>} nextFromPort
 * @returns {Opened}
 */
export const openPort = (total, nextFromPort) => ({ total, into: (sink) => pour(nextFromPort, sink) });

/**
 * A stream that is opened twice. What is read the first time is kept for the second.
 * @param {number} total
 * @param {() => Promise<Uint8Array | null>} next
 * @returns {(from?: number) => Promise<Opened>}
 */
export function twice(total, next) {
    /** @type {Uint8Array[]} */
    const kept = [];
    let first = true;
    return async (from = 0) => {
        const keep = first;
        let skip = from;
        first = false;
        /** @returns {Promise<Uint8Array | null>} */
        const read = async () => {
            const piece = (keep ? undefined : kept.shift()) ?? (await next());
            if (piece && keep) kept.push(piece);
            if (!piece || skip < piece.length) {
                const rest = piece?.subarray(skip) ?? null;
                skip = 0;
                return rest;
            }
            skip -= piece.length;
            return read();
        };
        return openPort(total, read);
    };
}

/** @param {unknown} error */
export const isAbsent = (error) => error instanceof AbsentError;

/**
 * An opened file; null if a server answered with nothing, or with a web page instead.
 * @param {Opened} opened
 * @returns {Promise<Opened | null>}
 */
export async function unlessVacant(opened) {
    if (!(await opened.isVacant?.())) return opened;
    opened.cancel?.();
    return null;
}

/**
 * A small file as text; null if there is none.
 * @param {Single} source
 */
export async function readWhole(source) {
    const bytes = await readAll(source);
    return bytes && new TextDecoder().decode(bytes);
}

/** All bytes of what was opened. @param {Opened} opened @returns {Promise<Uint8Array>} */
export async function bytesOf(opened) {
    /** @type {Uint8Array[]} */
    const pieces = [];
    const room = new Uint8Array(PIECE);
    await opened.into({ room: () => room, commit: (n) => void pieces.push(room.slice(0, n)) });
    return new Uint8Array(await new Blob(/** @type {BlobPart[]} */ (pieces)).arrayBuffer());
}

/**
 * A small file; null if there is none.
 * @param {Single} source
 */
export async function readAll(source) {
    try {
        const opened = await unlessVacant(await openOne(source));
        return opened && (await bytesOf(opened));
    } catch (error) {
        if (isAbsent(error)) return null;
        throw error;
    }
}

/**
 * @param {string} url
 * @param {number} from
 * @param {Identity} known
 * @returns {Promise<Opened>}
 */
async function fromUrl(url, from, known) {
    const { cancel, ...opened } = await openUrl(url, from, known);
    const into = async (/** @type {Sink} */ sink) => {
        try {
            await pour(opened.next, sink);
        } finally {
            cancel(); // done, or not wanted any more: either way the download ends
        }
    };
    return { ...opened, cancel, into };
}

/**
 * @param {string} path
 * @param {number} from
 * @param {Identity} known
 * @returns {Promise<Opened & { next: () => Promise<Uint8Array | null>, cancel: () => void }>}
 */
async function openPath(path, from, known) {
    const { stat } = await nodeModule('fs/promises');
    const failure = (/** @type {unknown} */ error) => {
        const code = /** @type {NodeJS.ErrnoException} */ (error)?.code;
        const why =
            code === 'ENOENT'
                ? 'there is no such file'
                : code === 'EACCES' || code === 'EPERM'
                  ? 'permission denied'
                  : code === 'EISDIR'
                    ? 'it is a folder, not a model file'
                    : reason(error);
        return new (code === 'ENOENT' ? AbsentError : NibbleError)('NB_ERR_FILE', `cannot read ${path}: ${why}`, {
            cause: error,
        });
    };
    /** @template T @param {() => Promise<T>} act */
    const attempt = async (act) => {
        try {
            return await act();
        } catch (error) {
            throw failure(error);
        }
    };
    if (from > 0 && !(await attempt(() => stat(path))).isFile())
        // opening a pipe again would wait for a second writer
        throw failure(
            new Error(
                'it is a pipe or a device, which can be read only once, and this model must be read twice: save it to ' +
                    'a file',
            ),
        );
    const file = await attempt(() => openToRead(path));
    const close = () => void file.close().catch(() => {});
    /** Size and date must stay what they were when it was opened first. @returns {Promise<number>} its bytes, 0 for
     * a pipe */
    const check = async () => {
        const found = await attempt(() => file.stat({ bigint: true }));
        if (!found.isFile()) return 0;
        const now = `${found.size} ${found.mtimeNs}`;
        known.file ??= now;
        if (known.file !== now)
            throw new NibbleError(
                'NB_ERR_FILE',
                `${path} was changed while it was being loaded. Load it again when nothing writes to it`,
            );
        return Number(found.size);
    };
    let at = from > 0 ? from : null; // null: a pipe can only be read on
    const read = async (/** @type {Uint8Array} */ room) => {
        const { bytesRead } = await attempt(() => file.read(room, 0, Math.min(room.length, PIECE), at));
        at = at === null ? at : at + bytesRead;
        return bytesRead;
    };
    const into = async (/** @type {Sink} */ sink) => {
        try {
            for (;;) {
                await sink.ready?.();
                const room = sink.room();
                if (room.length === 0) break;
                const n = await read(room);
                if (n === 0) break;
                sink.commit(n);
            }
            await check();
        } finally {
            await file.close();
        }
    };
    const next = async () => {
        const room = new Uint8Array(PIECE),
            n = await read(room);
        return n > 0 ? room.subarray(0, n) : null;
    };
    try {
        return { total: await check(), into, next, cancel: close };
    } catch (error) {
        close();
        throw error;
    }
}

/**
 * How to open a file twice, the second time from where its weights begin. Of a pipe, which is read once, what came
 * before is kept.
 * @param {Single} source
 * @returns {Promise<(from?: number) => Promise<Opened>>}
 */
export async function reopening(source) {
    if (source.kind === 'path') {
        const { stat } = await nodeModule('fs/promises');
        const once = await stat(source.path).then(
            (found) => !found.isFile() && !found.isDirectory(),
            () => false,
        );
        if (once) {
            const { next, cancel } = await openPath(source.path, 0, {}),
                open = twice(0, next);
            return async (from = 0) => {
                const opened = await open(from);
                return from === 0 ? opened : { ...opened, into: (sink) => opened.into(sink).finally(cancel) };
            };
        }
    }
    return opener(source);
}

/**
 * @param {Blob} blob
 * @param {number} from
 * @returns {Opened}
 */
function openBlob(blob, from) {
    let at = from;
    const next = async () => {
        if (at >= blob.size) return null;
        const part = blob.slice(at, at + PIECE);
        try {
            const bytes = new Uint8Array(await part.arrayBuffer());
            if (bytes.length !== part.size) throw new Error(`it gave ${bytes.length} bytes of ${part.size}`);
            at += PIECE;
            return bytes;
        } catch (error) {
            throw new NibbleError(
                'NB_ERR_FILE',
                `the file could not be read at byte ${at}: ${reason(error)}. ` +
                    'Was it moved or changed? Choose it again',
                { cause: error },
            );
        }
    };
    return { total: blob.size, into: (/** @type {Sink} */ sink) => pour(next, sink) };
}

/**
 * Bytes in memory -> sink.
 * @param {Uint8Array} bytes
 * @param {Sink} sink
 * @returns {Promise<boolean>} whether it took all: false if it wants no more
 */
export async function give(bytes, sink) {
    for (let at = 0; at < bytes.length; ) {
        await sink.ready?.();
        const room = sink.room();
        if (room.length === 0) return false;
        const n = Math.min(room.length, bytes.length - at);
        room.set(bytes.subarray(at, at + n));
        sink.commit(n);
        at += n;
    }
    return true;
}

/**
 * Pieces -> sink, until either has enough.
 * @param {() => Promise<Uint8Array | null>} next
 * @param {Sink} sink
 */
export async function pour(next, sink) {
    let yielded = performance.now();
    for (let piece = await next(); piece; piece = await next()) {
        if (!(await give(piece, sink))) return;
        if (performance.now() - yielded > 20) {
            await yieldToEvents();
            yielded = performance.now();
        }
    }
}
