/** wllama's errors, and what nibble's become of them. */
import { asNibbleError } from '../errors.js';

/** @typedef {import('./index.d.ts').WllamaErrorType} WllamaErrorType */

export class WllamaError extends Error {
    /**
     * @param {string} message
     * @param {WllamaErrorType} [type]
     * @param {ErrorOptions} [options]
     */
    constructor(message, type = 'unknown_error', options) {
        super(message, options);
        this.type = type;
    }
}

export class WllamaAbortError extends Error {
    constructor() {
        super('the request was aborted');
        this.name = 'AbortError';
    }
}

export class WllamaRuntimeError extends Error {
    /**
     * @param {string} message
     * @param {string} stack
     * @param {ErrorOptions} [options]
     */
    constructor(message, stack, options) {
        super(message, options);
        this.name = 'RuntimeError';
        this.stack = stack;
    }
}

/** The types for nibble's codes. Any other code has that of the call. @type {Record<string, WllamaErrorType>} */
const TYPES = {
    NB_ERR_NETWORK: 'download_error',
    NB_ERR_CONTEXT: 'kv_cache_full',
    NB_ERR_STATE: 'model_not_loaded',
};

/** What the engine itself failed with. */
const RUNTIME = ['NB_ERR_MEMORY', 'NB_ERR_WORKER', 'NB_ERR_ENGINE'];

/**
 * @param {unknown} error
 * @param {'load_error' | 'inference_error'} type
 * @param {AbortSignal} [signal]
 */
export function toWllama(error, type, signal) {
    if (signal?.aborted) return new WllamaAbortError();
    if (error instanceof WllamaError || error instanceof WllamaAbortError) return error;
    const { code, message, stack = '' } = asNibbleError(error);
    return RUNTIME.includes(code)
        ? new WllamaRuntimeError(message, stack, { cause: error })
        : new WllamaError(message, TYPES[code] ?? type, { cause: error });
}

/** The error of what nibble does not have. @param {string} what @param {string} advice @param {WllamaErrorType} [type] */
export const lacking = (what, advice, type) =>
    new WllamaError(`nibble-llm/wllama does not support ${what}: ${advice}`, type);
