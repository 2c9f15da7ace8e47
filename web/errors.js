/** The one kind of error that nibble throws on purpose: `code` is for programs, `message` for people. */

/** The core's error numbers (src/nibble.h), which never change. */
const CORE_CODES = /** @type {const} */ ({
    '-1': 'NB_ERR_TRUNCATED',
    '-2': 'NB_ERR_FORMAT',
    '-3': 'NB_ERR_UNSUPPORTED',
    '-4': 'NB_ERR_MEMORY',
    '-5': 'NB_ERR_ARGUMENT',
    '-6': 'NB_ERR_CONTEXT',
    '-7': 'NB_ERR_STATE',
});

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
    const code = /** @type {Record<string, ErrorCode>} */ (CORE_CODES)[String(number)] ?? 'NB_ERR_STATE';
    return new NibbleError(code, message);
}

/** @typedef {{ name: string, code?: string, message: string }} PlainError */

/**
 * What of an error survives postMessage in every engine.
 * @param {unknown} error
 * @returns {PlainError}
 */
export function toPlain(error) {
    if (!(error instanceof Error))
        return { name: 'Error', message: String(error) };
    const { name, message } = error;
    return { name, message, code: error instanceof NibbleError ? error.code : undefined };
}

/**
 * @param {PlainError} plain
 * @returns {Error}
 */
export function fromPlain(plain) {
    if (plain.code)
        return new NibbleError(/** @type {ErrorCode} */ (plain.code), plain.message);
    return Object.assign(new Error(plain.message), { name: plain.name });
}
