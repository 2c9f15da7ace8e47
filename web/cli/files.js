/** The files that commands read whole or write. A written one stands under its name when it is whole, and not before. */
import fs, { openSync, unlinkSync } from 'node:fs';
import { link, readFile, realpath, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { why } from '../errors.js';
import { NibbleError } from '../index.js';
import { UsageError } from './usage.js';

/** Signals that end a process, and the number that its exit code is above 128 by. */
const ENDINGS = /** @type {const} */ ({ SIGTERM: 15, SIGHUP: 1 });

const writeAll = promisify(fs.writeFile),
    sync = promisify(fs.fsync),
    close = promisify(fs.close);

/**
 * Before anything is read: whether the file can be written at all.
 * @param {string} command
 * @param {string} out
 * @param {string[]} endings one of which it must have
 * @param {boolean} force
 * @param {(string | undefined)[]} inputs what is read: it is not written over, even with --force
 */
export async function checkOut(command, out, endings, force, inputs) {
    if (!endings.some((ending) => out.toLowerCase().endsWith(ending)))
        throw new UsageError(`${out} must end with ${endings.join(' or ')}, which is what is written`, command);
    const there = await stat(out).catch(() => null);
    if (there && !there.isFile()) throw new UsageError(`${out} is there and is no file`, command);
    if (there)
        for (const input of inputs)
            if (input !== undefined && (await realpath(input).catch(() => null)) === (await realpath(out)))
                throw new UsageError(`${out} is what is read; give another name to the file to write`, command);
    if (there && !force) throw new UsageError(`${out} is there already; --force writes over it`, command);
    const folder = await stat(dirname(out)).catch(() => null);
    if (!folder?.isDirectory())
        throw new UsageError(`there is no folder ${dirname(out)} to write ${basename(out)} to`, command);
}

/** @param {string} flag for messages @param {string} path */
export async function readInput(flag, path) {
    try {
        return new Uint8Array(await readFile(path));
    } catch (error) {
        throw new NibbleError('NB_ERR_FILE', `${flag}: cannot read ${path}: ${why(error)}`, { cause: error });
    }
}

/**
 * The stream's bytes under a temporary name beside `out`, and then under its own. Whatever happens, nothing stays
 * under the temporary name.
 * @param {ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>} stream
 * @param {string} out
 * @param {boolean} force
 */
export async function writeWhole(stream, out, force) {
    const temporary = join(dirname(out), `.${basename(out)}.${process.pid}.part`);
    const attempt = async (/** @type {() => Promise<any>} */ act) => {
        try {
            return await act();
        } catch (error) {
            throw new NibbleError('NB_ERR_FILE', `cannot write ${out}: ${why(error)}`, { cause: error });
        }
    };
    const remove = () => {
        try {
            unlinkSync(temporary);
        } catch {} // it has its own name by now
    };
    const endings = Object.entries(ENDINGS).map(
        ([name, number]) => /** @type {const} */ ([name, () => process.exit(128 + number)]),
    );
    process.once('exit', remove);
    for (const [name, end] of endings) process.once(name, end);
    /** @type {number | undefined} */
    let file;
    try {
        // at once: a signal comes before it, or when it is there to be removed
        const fd = (file = await attempt(async () => openSync(temporary, 'wx')));
        for await (const piece of /** @type {AsyncIterable<Uint8Array>} */ (/** @type {unknown} */ (stream)))
            await attempt(() => writeAll(fd, piece));
        await attempt(() => sync(fd));
        file = undefined;
        await attempt(() => close(fd));
        await attempt(async () => {
            if (force) return rename(temporary, out);
            await link(temporary, out); // fails where another process was quicker
            await unlink(temporary);
        });
    } finally {
        if (file !== undefined) await close(file).catch(() => {});
        remove();
        process.removeListener('exit', remove);
        for (const [name, end] of endings) process.removeListener(name, end);
    }
}
