/** `nibble quantize`: a model's files -> one GGUF file. It stands under its name when it is whole, and not before. */
import fs, { openSync, unlinkSync } from 'node:fs';
import { link, readFile, realpath, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { isDebugAsked } from '../debug.js';
import { messageOf } from '../errors.js';
import { load, NibbleError, quantize } from '../index.js';
import { QUANTIZE_OPTIONS } from '../options.js';
import { pick, printLine, progressLine } from './open-model.js';
import { oneLine, write, writeJson, writeStatus } from './terminal.js';
import { UsageError } from './usage.js';

/** @typedef {import('./usage.js').Command} Command */
/** @typedef {import('../index.d.ts').PlannedTensor} PlannedTensor */

const ONLY_NIBBLE =
    'nibble: only nibble reads this file; for llama.cpp, quantize a GGUF, and to one of the types that llama.cpp has\n';

/** Signals that end a process, and the number that its exit code is above 128 by. */
const ENDINGS = /** @type {const} */ ({ SIGTERM: 15, SIGHUP: 1 });

const writeAll = promisify(fs.writeFile),
    sync = promisify(fs.fsync),
    close = promisify(fs.close);

/** @type {Command['run']} */
export async function commandQuantize({ model, out = '', values }, signal) {
    const began = performance.now();
    await checkOut('quantize', out, ['.gguf'], values.force, [model, values.imatrix]);
    const imatrix = values.imatrix === undefined ? undefined : await readInput('--imatrix', values.imatrix);
    /** @type {PlannedTensor[]} */
    let plan = [];
    const { stderr } = process;
    const stream = quantize(model, {
        ...pick(QUANTIZE_OPTIONS, values),
        type: values.type,
        imatrix,
        signal,
        debug: isDebugAsked() && printLine,
        onProgress: stderr.isTTY ? (progress) => writeStatus(progressLine('Quantizing', progress)) : undefined,
        onPlan: (tensors) => {
            plan = tensors;
        },
    });
    try {
        await writeWhole(stream, out, values.force);
    } catch (error) {
        if (error instanceof NibbleError && /_(FORMAT|TRUNCATED|UNSUPPORTED|MEMORY)$/.test(error.code))
            throw new NibbleError(error.code, `${model}: ${error.message}`, { cause: error });
        throw error;
    } finally {
        if (stderr.isTTY) writeStatus('');
    }
    const fallbacks = plan.filter(({ wanted, type }) => wanted !== type);
    if (!values.json) tellFallbacks(fallbacks);
    const made = await load(out, { headerOnly: true, signal }),
        { bytes, parameters, types, architecture, format } = made.info;
    await made.dispose();
    // the converter's own form of a folder, or types that llama.cpp lacks
    const onlyNibble = format !== 'GGUF' || types.some(({ type }) => /^(NF4|FP4|F8_)/.test(type));
    if (onlyNibble && !values.json) write(ONLY_NIBBLE, stderr);
    const facts = {
        out,
        type: values.type,
        architecture,
        bytes,
        parameters,
        bitsPerWeight: (bytes * 8) / parameters,
        seconds: (performance.now() - began) / 1000,
        types,
        fallbacks,
        onlyNibble,
    };
    if (values.json) writeJson(facts);
    else write(told(facts));
}

/** One line for each pair of types. @param {PlannedTensor[]} fallbacks */
function tellFallbacks(fallbacks) {
    /** @type {Map<string, string[]>} */
    const pairs = new Map();
    for (const { name, wanted, type } of fallbacks) {
        const line = `${type}, as rows are no whole blocks of ${wanted}`;
        pairs.set(line, [...(pairs.get(line) ?? []), name]);
    }
    for (const [line, [first, ...others]] of pairs)
        write(
            `nibble: ${oneLine(first)}${others.length > 0 ? ` and ${others.length} more become` : ' becomes'} ${line}\n`,
            process.stderr,
        );
}

/** @param {{ out: string, type: string, bytes: number, parameters: number, bitsPerWeight: number, seconds: number,
 *     types: import('../index.d.ts').ModelInfo['types'] }} facts */
const told = ({ out, type, bytes, parameters, bitsPerWeight, seconds, types }) =>
    `${oneLine(out)}: ${type}, ${bytes.toLocaleString('en')} bytes, ${parameters.toLocaleString('en')} parameters, ` +
    `${bitsPerWeight.toFixed(2)} bits per weight, ${seconds.toFixed(1)} s\n${types
        .map(
            (entry) =>
                `  ${entry.type.padEnd(8)}${String(entry.tensors).padStart(5)} tensors${entry.bytes
                    .toLocaleString('en')
                    .padStart(16)} bytes\n`,
        )
        .join('')}`;

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

/** What the codes of file errors mean. @type {Record<string, string>} */
const CAUSES = {
    ENOSPC: 'the disk is full',
    EDQUOT: 'the quota is used up',
    EFBIG: 'the file would be larger than is allowed',
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    EROFS: 'the disk is read only',
    ENOENT: 'there is no such file',
    EEXIST: 'it is there already',
    EISDIR: 'it is a folder, not a file',
};

/** @param {unknown} error of a file */
const why = (error) => CAUSES[/** @type {NodeJS.ErrnoException} */ (error)?.code ?? ''] ?? messageOf(error);

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
