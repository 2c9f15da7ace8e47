/** Work that ends with any of several signals. */

/** @typedef {import('../index.d.ts').SignalLike} SignalLike */

/**
 * Runs work, and rejects with a signal's reason as soon as it is aborted.
 * @template Result
 * @param {(SignalLike | undefined)[]} signals
 * @param {(signal: AbortSignal) => Promise<Result>} work called at once, unless a signal is aborted already
 * @returns {Promise<Result>}
 */
export async function withSignals(signals, work) {
    const given = signals.filter((signal) => signal !== undefined),
        controller = new AbortController();
    throwIfAborted(given);
    const forward = () => controller.abort(given.find(({ aborted }) => aborted)?.reason);
    for (const signal of given) signal.addEventListener('abort', forward);
    try {
        return await Promise.race([work(controller.signal), whenAborted(controller.signal)]);
    } finally {
        for (const signal of given) signal.removeEventListener('abort', forward);
    }
}

/** Rejects with the signal's reason. @param {AbortSignal} signal @returns {Promise<never>} */
export const whenAborted = (signal) =>
    new Promise((_, reject) => {
        if (signal.aborted)
            reject(signal.reason); // by what was called before, such as a monitor
        else signal.addEventListener('abort', () => reject(signal.reason));
    });

/** @param {(SignalLike | undefined)[]} signals */
export function throwIfAborted(signals) {
    for (const signal of signals) if (signal?.aborted) throw signal.reason;
}

/** Lets events in between, as the specification's tasks do. @returns {Promise<void>} */
export const task = () => new Promise((resolve) => setTimeout(resolve));

/** @param {any} options @returns {SignalLike | undefined} */
export function signalOf(options) {
    const signal = options?.signal;
    if (signal !== undefined && typeof signal?.addEventListener !== 'function')
        throw new TypeError('signal must be an AbortSignal');
    return signal;
}
