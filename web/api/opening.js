/** Opens a worker for a source, and ends it if the caller's signal aborts. */
import { findAssets } from '../assets.js';
import { traceOf } from '../debug.js';
import { asNibbleError } from '../errors.js';
import { Link } from './link.js';
import { abortReason } from './requests.js';

/** What is ended when the worker has what it needs. @typedef {{ cancel: () => void }} Chunks */

/**
 * options: of the caller. asError: what the caller throws for a failure.
 * @typedef {{ caller: string, options: Parameters<typeof findAssets>[0], signal?: AbortSignal,
 *     print?: import('../debug.js').Print, asError?: (error: unknown) => Error }} Opening
 */

/**
 * The worker is ended if its first request fails.
 * @template {{ chunks?: Chunks }} Described
 * @template Answer
 * @param {Opening} opening
 * @param {() => Promise<Described>} describe finds out what the worker is to open
 * @param {(link: Link, described: Described, assets: import('../assets.js').Assets) => Promise<Answer>} begin makes the
 *     first request
 * @returns {Promise<{ link: Link, answer: Answer, release: () => void }>} release: from then on the signal no longer
 *     ends the worker
 */
export async function openWorker({ caller, options, signal, print, asError = asNibbleError }, describe, begin) {
    /** @type {Link | undefined} */
    let link;
    /** @type {Chunks | undefined} */
    let chunks;
    const abort = () => link?.close(abortReason(signal)),
        release = () => signal?.removeEventListener('abort', abort);
    const checkAborted = () => {
        if (signal?.aborted) throw abortReason(signal);
    };
    try {
        checkAborted();
        const assets = await findAssets(options),
            described = await describe();
        chunks = described.chunks;
        print?.(`worker: ${assets.workerUrl.slice(0, 200)}`);
        link = await Link.open(assets.workerUrl, print);
        signal?.addEventListener('abort', abort);
        checkAborted();
        return { link, answer: await begin(link, described, assets), release };
    } catch (error) {
        const reason = signal?.aborted && error === abortReason(signal) ? error : asError(error);
        if (print) traceOf(`${caller} failed`, reason).forEach(print);
        link?.close(reason);
        release();
        throw reason;
    } finally {
        chunks?.cancel();
    }
}
