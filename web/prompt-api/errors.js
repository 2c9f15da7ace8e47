/** The errors of the specification. Those that come of a NibbleError have it as their cause. */

/** @typedef {import('../index.d.ts').ErrorCode} ErrorCode */

/** @param {string} name @param {string} message @param {unknown} [cause] */
export function exception(name, message, cause) {
    const error = new DOMException(message, name);
    if (cause !== undefined)
        Object.defineProperty(error, 'cause', { value: cause, configurable: true, writable: true });
    return error;
}

/** @param {string} what */
export const notSupported = (what) => exception('NotSupportedError', `${what}, which nibble does not support here`);

/**
 * @param {number} requested tokens
 * @param {number} quota tokens
 */
export function quotaExceeded(requested, quota) {
    const message =
        `the messages have ${requested} tokens, and the context holds ${quota}, the answer included: ` +
        'shorten them, or give languageModel() a larger contextLength';
    const { QuotaExceededError } = /** @type {any} */ (globalThis); // a class of its own in newer browsers
    return typeof QuotaExceededError === 'function'
        ? new QuotaExceededError(message, { requested, quota })
        : Object.assign(exception('QuotaExceededError', message), { requested, quota });
}

/** @type {Partial<Record<ErrorCode, string>>} */
const NAMES = {
    NB_ERR_NETWORK: 'NetworkError',
    NB_ERR_FILE: 'NetworkError',
    NB_ERR_UNSUPPORTED: 'NotSupportedError',
    NB_ERR_ARGUMENT: 'NotSupportedError', // a template that refuses these messages, an option that is none
    NB_ERR_ENGINE: 'NotSupportedError',
};

/**
 * What the specification calls nibble's errors. Other errors stay what they are.
 * @param {any} error
 * @param {'OperationError' | 'UnknownError'} otherwise
 */
export const named = (error, otherwise) =>
    error?.name === 'NibbleError'
        ? exception(NAMES[/** @type {ErrorCode} */ (error.code)] ?? otherwise, error.message, error)
        : error;
