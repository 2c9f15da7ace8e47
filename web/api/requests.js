/** What every request of the API has: options that are checked, and a signal that may end it. */

import { checkOptions } from '../checks.js';
import { NibbleError } from '../errors.js';

/**
 * The options of one request, checked.
 * @template Checked
 * @param {string} caller for messages
 * @param {import('../checks.js').Table<Checked>} table
 * @param {import('../index.d.ts').Abortable | undefined} options
 * @param {string[]} [others] names that the caller checks itself
 */
export function checkRequest(caller, table, options, others = []) {
    return {
        checked: checkOptions(table, options, caller, ['signal', ...others]),
        signal: checkSignal(caller, options?.signal),
    };
}

/**
 * @param {string} caller
 * @param {unknown} signal
 */
export function checkSignal(caller, signal) {
    if (signal === undefined || signal === null) return undefined;
    const { aborted, addEventListener } = /** @type {Record<string, unknown>} */ (signal);
    if (typeof aborted !== 'boolean' || typeof addEventListener !== 'function')
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            `${caller}: signal must be an AbortSignal${
                /** @type {Record<string, unknown>} */ (signal).signal
                    ? ": pass the controller's signal, not the controller"
                    : ''
            }`,
        );
    return /** @type {AbortSignal} */ (signal);
}

/** @param {AbortSignal | undefined} signal */
export const abortReason = (signal) => signal?.reason ?? new NibbleError('NB_ERR_STATE', 'the request was aborted');

/** @param {string} caller for messages @param {unknown} imatrix the option */
export function checkImportance(caller, imatrix) {
    if (imatrix !== undefined && Object.prototype.toString.call(imatrix) !== '[object Uint8Array]')
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            `${caller}: imatrix must be the bytes of an importance matrix, a Uint8Array`,
        );
}
