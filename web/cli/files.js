/** The files that commands read whole or write. A written file gets its name only when it is complete. */
import fs, { existsSync, mkdirSync, openSync, renameSync, rmSync, unlinkSync } from 'node:fs';
import { link, open as openFile, readdir, readFile, realpath, rename, rm, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { promisify } from 'node:util';
import { why } from '../errors.js';
import { NibbleError } from '../index.js';
import { openToRead } from '../sources/descriptor.js';
import { oneLine, write } from './terminal.js';
import { UsageError } from './usage.js';

/** Signals that end a process, and their numbers: its exit code is then 128 + number. */
export const ENDINGS = /** @type {const} */ ({ SIGTERM: 15, SIGHUP: 1 });

const open = promisify(fs.open),
    writeAll = promisify(fs.writeFile),
    sync = promisify(fs.fsync),
    close = promisify(fs.close);

/** @param {string} path @returns {Promise<string | null>} null: it is not there */
const real = (path) => realpath(path).catch(() => null);

/**
 * Whether a path is one that is read, or lies within a folder that is read.
 * @param {string} out
 * @param {(string | undefined)[]} inputs
 */
async function isRead(out, inputs) {
    const place = await real(out);
    for (const input of place === null ? [] : inputs) {
        const there = input === undefined ? null : await real(input);
        if (there !== null && (there === place || place?.startsWith(there + sep))) return true;
    }
    return false;
}

/**
 * Before anything is read: checks that a file can have this name. (writeWhole() finds out whether it can be written,
 * also before the work.)
 * @param {string} out
 * @param {string[]} endings one of which it must have
 * @param {boolean} force
 * @param {(string | undefined)[]} inputs what is read: it is not written over, even with --force
 */
export async function checkOut(out, endings, force, inputs) {
    if (!endings.some((ending) => out.toLowerCase().endsWith(ending)))
        throw new UsageError(`${out} must end with ${endings.join(' or ')}, which is what is written`);
    const there = await stat(out).catch(() => null);
    if (there && !there.isFile()) throw new UsageError(`${out} is there and is no file`);
    await checkPlace(out, inputs);
    await lookForRemains(out);
    if (there && !force) throw new UsageError(`${out} is there already; --force writes over it`);
}

/**
 * The same for anything that may be written over, also a pipe or a device.
 * @param {string} out
 * @param {(string | undefined)[]} inputs
 */
export async function checkPlace(out, inputs) {
    if (await isRead(out, inputs))
        throw new UsageError(`${out} is what is read, or part of it; give another name to the file to write`);
    if ((await stat(out).catch(() => null))?.isDirectory()) throw new UsageError(`${out} is a folder, and no file`);
    if (!(await stat(dirname(out)).catch(() => null))?.isDirectory())
        throw new UsageError(`there is no folder ${dirname(out)} to write ${basename(out)} to`);
}

/**
 * Before work that writes only at its end: checks that a new file can be made beside `out`.
 * @param {string} out
 */
export async function checkWritable(out) {
    const there = await stat(out).catch(() => null);
    if (there && !there.isFile()) return; // a pipe or a device
    const temporary = temporaryOf(out);
    await attempted(out, async () => {
        await close(openSync(temporary, 'wx'));
        unlinkSync(temporary);
    });
}

/** @param {string} out */
const temporaryOf = (out) => join(dirname(out), `.${basename(out)}.${process.pid}.part`);

/** Files that a model's folder may have, whatever it was made of. */
const OF_A_MODEL = /\.(safetensors|json|jinja|model|txt|md|py)$|^(LICENSE|NOTICE)/i;

/**
 * The same for a folder. --force replaces a whole folder, so it must hold a model's files and nothing else, or nothing.
 * @param {string} out
 * @param {boolean} force
 * @param {(string | undefined)[]} inputs
 * @param {() => Promise<string[]>} copied names of files that the new folder gets from its source: they may be in the
 *     old one
 */
export async function checkOutFolder(out, force, inputs, copied) {
    const wrong = (/** @type {string} */ why) => new UsageError(`${out} ${why}`);
    if (/\.gguf$/i.test(out)) throw wrong('must be a folder, as --format writes one');
    await lookForRemains(out);
    const there = await stat(out).catch(() => null);
    if (there && !there.isDirectory()) throw wrong('is there and is no folder');
    if (there && (await isRead(out, inputs)))
        throw wrong('is what is read, or lies within; give another name to the folder to write');
    for (const input of there ? inputs : [])
        if (input !== undefined && (await isRead(input, [out])))
            throw wrong(`has ${input} in it, which is read; give another name to the folder to write`);
    if (there && !force) throw wrong('is there already; --force replaces it');
    const entries = there ? await readdir(out, { withFileTypes: true }) : [],
        strange = entries.filter((entry) => !entry.isFile() || !OF_A_MODEL.test(entry.name)),
        known = strange.length > 0 ? await copied() : [],
        other = strange.find((entry) => !entry.isFile() || !known.includes(entry.name));
    if (other) throw wrong(`has ${other.name} in it, which is no file of a model, so --force does not replace it`);
    if (entries.length > 0 && !entries.some(({ name }) => name === 'config.json'))
        throw wrong('has no config.json: it is no folder of a model, so --force does not replace it');
    const parent = dirname(resolve(out));
    if (!(await stat(parent).catch(() => null))?.isDirectory())
        throw wrong(`cannot be written: there is no folder ${parent}`);
}

/** A dash stands for standard input. @param {string} path */
export const placeToRead = (path) => (path === '-' ? '/dev/stdin' : path);

/** Bytes of one read: Node's readFile() reads less than 2^31. The checkpoint of a training may have more. */
const MOST_AT_ONCE = 2 ** 30;

/** Bytes of one read from a pipe or a device. */
const PIECE = 1 << 16;

/** @param {string} path @param {number} size */
export async function readLarge(path, size) {
    const bytes = new Uint8Array(size),
        file = await openFile(path);
    try {
        for (let at = 0; at < size; ) {
            const { bytesRead } = await file.read(bytes, at, Math.min(MOST_AT_ONCE, size - at), at);
            if (bytesRead === 0) return bytes.subarray(0, at); // it became shorter meanwhile
            at += bytesRead;
        }
    } finally {
        await file.close();
    }
    return bytes;
}

/** Reads a pipe, a socket or a device to its end. Each read may give only a few bytes. @param {string} path */
async function readToEnd(path) {
    const file = await openToRead(path),
        /** @type {Uint8Array<ArrayBuffer>[]} */ pieces = [];
    try {
        for (let room = new Uint8Array(PIECE), filled = 0; ; ) {
            const { bytesRead } = await file.read(room, filled, room.length - filled, null);
            filled += bytesRead;
            if (bytesRead === 0)
                return new Uint8Array(await new Blob([...pieces, room.subarray(0, filled)]).arrayBuffer());
            if (filled < room.length) continue;
            pieces.push(room);
            room = new Uint8Array(PIECE);
            filled = 0;
        }
    } finally {
        await file.close();
    }
}

/** @param {string} flag for messages @param {string} path */
export async function readInput(flag, path) {
    try {
        const place = placeToRead(path),
            found = await stat(place);
        if (!found.isFile() && !found.isDirectory()) return await readToEnd(place);
        return found.size > MOST_AT_ONCE ? await readLarge(place, found.size) : new Uint8Array(await readFile(place));
    } catch (error) {
        throw new NibbleError('NB_ERR_FILE', `${flag}: cannot read ${path}: ${why(error)}`, { cause: error });
    }
}

/** @param {string} out @template T @param {() => Promise<T>} act @returns {Promise<T>} */
async function attempted(out, act) {
    try {
        return await act();
    } catch (error) {
        throw new NibbleError('NB_ERR_FILE', `cannot write ${out}: ${why(error)}`, { cause: error });
    }
}

/**
 * Runs what writes under a temporary name. Whatever happens, a signal too, remove() runs.
 * @param {() => void} remove
 * @param {() => Promise<void>} act
 * @param {boolean} [outlasts] whether these signals do not end it, because the command handles them
 */
async function cleanly(remove, act, outlasts = false) {
    const endings = Object.entries(outlasts ? {} : ENDINGS).map(
        ([name, number]) => /** @type {const} */ ([name, () => process.exit(128 + number)]),
    );
    process.once('exit', remove);
    for (const [name, end] of endings) process.once(name, end);
    try {
        await act();
    } finally {
        remove();
        process.removeListener('exit', remove);
        for (const [name, end] of endings) process.removeListener(name, end);
    }
}

/** @typedef {ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>} Bytes */

/**
 * A new file, or what goes to a pipe or a device. It is opened before the stream is asked for anything.
 * @param {Bytes} stream
 * @param {string} path
 * @param {string} out for messages
 * @param {boolean} [isNew]
 */
async function writeNew(stream, path, out, isNew = true) {
    /** @type {number | undefined} */
    let file;
    try {
        // synchronously: a signal comes either before it, or when there is a file to remove
        const fd = (file = await attempted(out, async () => (isNew ? openSync(path, 'wx') : open(path, 'w'))));
        for await (const piece of /** @type {AsyncIterable<Uint8Array>} */ (/** @type {unknown} */ (stream)))
            await attempted(out, () => writeAll(fd, piece));
        if (isNew) await attempted(out, () => sync(fd));
        file = undefined;
        await attempted(out, () => close(fd));
    } finally {
        if (file !== undefined) await close(file).catch(() => {});
    }
}

/**
 * Writes the stream's bytes under a temporary name beside `out`, and then gives the file its own name. Whatever
 * happens, nothing stays under the temporary name. The stream is asked for nothing before it is sure that a file can be
 * written there.
 * @param {Bytes} stream
 * @param {string} out
 * @param {boolean} force
 * @param {boolean} [outlasts] whether these signals do not end it, because the command handles them
 */
export async function writeWhole(stream, out, force, outlasts) {
    const there = await stat(out).catch(() => null);
    if (there && !there.isFile()) return writeNew(stream, out, out, false);
    const temporary = temporaryOf(out);
    const remove = () => {
        try {
            unlinkSync(temporary);
        } catch {} // it has its own name by now
    };
    await cleanly(
        remove,
        async () => {
            await writeNew(stream, temporary, out);
            await attempted(out, async () => {
                if (force) return rename(temporary, out);
                await link(temporary, out); // fails where another process was quicker
                await unlink(temporary);
            });
        },
        outlasts,
    );
}

/**
 * The same for the files of a folder. Where a folder is replaced, the old one has a temporary name until the new one
 * has its own: there is no way to exchange two names at once. What happens in between is undone: here if writing fails
 * or a signal ends the process, and by the next run (lookForRemains) if the process is killed or the machine stops.
 * @param {AsyncIterable<{ name: string, stream: Bytes }>} files
 * @param {string} out
 * @param {boolean} force
 */
export async function writeFolder(files, out, force) {
    const { folder, name } = placeOf(out),
        beside = (/** @type {string} */ ending) => join(folder, `.${name}.${process.pid}.${ending}`),
        temporary = beside('part'),
        old = beside('old');
    let made = false,
        moved = false;
    const clean = () => {
        try {
            if (moved && !existsSync(out)) renameSync(old, out);
        } catch {} // the next run puts it back
        if (made) rmSync(temporary, { recursive: true, force: true });
    };
    await cleanly(clean, async () => {
        await attempted(out, async () => mkdirSync(temporary));
        made = true;
        for await (const { name, stream } of files) await writeNew(stream, join(temporary, basename(name)), out);
        await attempted(out, async () => {
            // synchronously, so that no signal comes in between
            moved = force && existsSync(out);
            if (moved) renameSync(out, old);
            renameSync(temporary, out); // fails where another process was quicker, unless its folder is empty
        });
        if (!moved) return;
        await rm(old, { recursive: true }).catch((error) => {
            throw new NibbleError(
                'NB_ERR_FILE',
                `${out} is written, but the folder that it replaces cannot be removed: ${old}: ${why(error)}`,
                { cause: error },
            );
        });
    });
}

/** The folder that something is in, and its name there. @param {string} path */
const placeOf = (path) => ({ folder: dirname(resolve(path)), name: basename(resolve(path)) });

/**
 * Looks for what an earlier run has left that was killed. A folder that it was about to replace gets its name back; if
 * the name is taken, a line says where that folder is: it may be the only copy, so it is never removed. Unfinished
 * files are named, too.
 * @param {string} out
 */
async function lookForRemains(out) {
    const { folder, name } = placeOf(out),
        tell = (/** @type {string} */ what) => write(`nibble: an earlier run ended ${oneLine(what)}\n`, process.stderr);
    for (const entry of await readdir(folder).catch(() => [])) {
        if (!entry.startsWith(`.${name}.`)) continue;
        const [, pid, kind] = /^(\d+)\.(old|part)$/.exec(entry.slice(name.length + 2)) ?? [],
            left = join(folder, entry);
        if (kind === 'old' && !existsSync(out)) {
            await attempted(out, () => rename(left, out));
            tell(`while it was replacing ${out}; the folder that was there before has its name again`);
        } else if (kind && !isRunning(Number(pid)))
            // a run that still goes on removes it itself
            tell(
                kind === 'part'
                    ? `before ${out} was whole, and left ${left}: remove it`
                    : `while it was replacing ${out}; the folder that was there before is ${left}: remove it if you do ` +
                          'not need it',
            );
    }
}

/** @param {number} pid of a process */
function isRunning(pid) {
    try {
        return process.kill(pid, 0);
    } catch (error) {
        return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM'; // it runs for another user
    }
}

/** Bytes of a folder's files of weights. @param {string} folder */
export async function weightBytes(folder) {
    const names = (await readdir(folder)).filter((name) => name.endsWith('.safetensors')),
        sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
    return sizes.reduce((sum, size) => sum + size, 0);
}
