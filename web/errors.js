/** The one kind of error that nibble throws on purpose: `code` is for programs, `message` for people. */

import { ERRORS } from './abi.js';

/** @typedef {import('./index.d.ts').ErrorCode} ErrorCode */

export class NibbleError extends Error {
    /**
     * @param {ErrorCode} code
     * @param {string} message
     * @param {ErrorOptions} [options]
     */
    constructor(code, message, options) {
        super(message, options);
        this.name = 'NibbleError';
        /** @type {ErrorCode} */
        this.code = code;
    }
}

/**
 * @param {number} number a negative code of the core
 * @param {string} message
 */
export function coreError(number, message) {
    const code = /** @type {Record<string, ErrorCode>} */ (ERRORS)[String(number)] ?? 'NB_ERR_STATE';
    return new NibbleError(code, message);
}

/**
 * Makes a NibbleError of whatever was thrown, and keeps that as its cause. The API throws nothing else, except the
 * reason of an abort.
 * @param {unknown} error
 * @returns {NibbleError}
 */
export function asNibbleError(error) {
    if (error instanceof NibbleError) return error;
    const message = messageOf(error);
    // JavaScript engines say so when there is no room for an array buffer, a memory or compiled code
    if (/** @type {any} */ (error)?.name === 'RangeError' && /memory|alloc/i.test(message))
        return new NibbleError(
            'NB_ERR_MEMORY',
            `there is not enough memory (${message}): close other pages or programs, or load a smaller model`,
            { cause: error },
        );
    return new NibbleError(
        'NB_ERR_WORKER',
        `nibble failed unexpectedly: ${message}. Please report it with this message`,
        { cause: error },
    );
}

/**
 * Puts the name of the function that was called before a worker's complaint about an argument.
 * @param {string} caller such as "quantize()"
 * @param {NibbleError} error
 */
export const namingCaller = (caller, error) =>
    error.code !== 'NB_ERR_ARGUMENT' || /^\w+\(\): /.test(error.message)
        ? error
        : new NibbleError(error.code, `${caller}: ${error.message}`, { cause: error });

/**
 * An error of nibble with words before its message, which say what it is about; any other error as it is.
 * @param {string} words
 * @param {unknown} error
 */
export const about = (words, error) =>
    error instanceof NibbleError ? new NibbleError(error.code, `${words}: ${error.message}`, { cause: error }) : error;

/** A text of a file or a caller within a message: in quotes, and cut where it is long. @param {string} text */
export const quoted = (text) => JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);

/** @param {unknown} error of any realm */
export const messageOf = (error) => String(/** @type {any} */ (error)?.message || error);

/**
 * An error on its way from a worker. stack: where in the worker it was thrown.
 * @typedef {{ name: string, code?: string, message: string, stack?: string, cause?: PlainError }} PlainError
 */

/** How many causes of causes are kept. */
const DEEPEST = 4;

/**
 * The fields of an error that postMessage carries in every engine.
 * @param {unknown} error
 * @param {number} [depth]
 * @returns {PlainError}
 */
export function toPlain(error, depth = 0) {
    const { name, code, stack, cause } = /** @type {any} */ (error) ?? {};
    return {
        name: typeof name === 'string' ? name : 'Error',
        message: messageOf(error),
        code: typeof code === 'string' ? code : undefined,
        stack: typeof stack === 'string' ? stack : undefined,
        cause: cause === undefined || depth === DEEPEST ? undefined : toPlain(cause, depth + 1),
    };
}

/**
 * Rebuilds an error and its causes, each with the stack that it had there.
 * @param {PlainError} plain
 * @returns {Error}
 */
export function fromPlain({ name, code, message, stack, cause }) {
    const options = cause && { cause: fromPlain(cause) };
    const error =
        name === 'NibbleError'
            ? new NibbleError(/** @type {ErrorCode} */ (code), message, options)
            : Object.assign(new Error(message, options), code === undefined ? { name } : { name, code });
    if (stack !== undefined)
        Object.defineProperty(error, 'stack', { value: stack, configurable: true, writable: true });
    return error;
}

/**
 * An error's message and its cause's, where fetch() keeps the reason.
 * @param {unknown} error
 */
export function reason(error) {
    if (!(error instanceof Error)) return String(error);
    return error.cause instanceof Error && error.cause.message
        ? `${error.message} (${error.cause.message})`
        : error.message;
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

/** What went wrong, for use within a sentence. @param {unknown} error of a file */
export const why = (error) => CAUSES[/** @type {NodeJS.ErrnoException} */ (error)?.code ?? ''] ?? messageOf(error);
