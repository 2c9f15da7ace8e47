/**
 * What a request that reads a source has: reports of progress, and the chunks of a source that the worker cannot open
 * itself.
 */
import { messageOf, NibbleError } from '../errors.js';

/**
 * Calls what the caller gave to be told of something.
 * @param {string} caller for messages
 * @param {string} name of the option
 * @param {() => unknown} call
 */
export async function told(caller, name, call) {
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
export const report = (caller, onProgress, progress) => told(caller, 'onProgress', () => onProgress?.(progress));

/**
 * Answers one pull of the worker's. The generator itself keeps the order.
 * @param {string} caller
 * @param {import('./link.js').Link | undefined} link
 * @param {AsyncGenerator<Uint8Array>} chunks
 */
export async function feedOne(caller, link, chunks) {
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
    link?.post({ type: 'chunk', bytes }, bytes ? [/** @type {ArrayBuffer} */ (bytes.buffer)] : []);
}
