/**
 * For requests that read a source: reports of progress, and the chunks of a source that the worker cannot open itself.
 */
import { messageOf, NibbleError } from '../errors.js';

/**
 * Calls a function that the caller gave, such as onProgress; if it throws, the error names it.
 * @param {string} caller for messages
 * @param {string} name of the option
 * @param {() => unknown} call
 */
export async function callListener(caller, name, call) {
    try {
        await call();
    } catch (error) {
        throw new NibbleError('NB_ERR_ARGUMENT', `${caller}: ${name} threw: ${messageOf(error)}`, { cause: error });
    }
}

/**
 * @param {string} caller
 * @param {import('../index.d.ts').LoadOptions['onProgress']} onProgress
 * @param {import('../index.d.ts').Progress} progress
 */
export const report = (caller, onProgress, progress) =>
    callListener(caller, 'onProgress', () => onProgress?.(progress));

/**
 * Sends the worker the chunk that it has asked for. The generator keeps the order.
 * @param {string} caller
 * @param {import('./link.js').Link | undefined} link
 * @param {AsyncGenerator<Uint8Array>} chunks
 * @param {boolean} [draft] whether they are of the draft model
 */
export async function feedOne(caller, link, chunks, draft) {
    let bytes;
    try {
        bytes = (await chunks.next()).value ?? null;
    } catch (error) {
        throw error instanceof NibbleError
            ? error
            : new NibbleError('NB_ERR_FILE', `${caller}: the source cannot be read: ${messageOf(error)}`, {
                  cause: error,
              });
    }
    link?.post({ type: 'chunk', bytes, draft }, bytes ? [/** @type {ArrayBuffer} */ (bytes.buffer)] : []);
}
