/** quantize(): a worker of its own makes the GGUF while it is read, piece by piece. */
import { ASSET_OPTIONS, findAssets } from '../assets.js';
import { printerOf, traceOf } from '../debug.js';
import { asNibbleError, NibbleError } from '../errors.js';
import { checkOptions, checkQuantize, QUANTIZE_OPTIONS } from '../options.js';
import { describeSource } from '../sources/describe.js';
import { Link } from './link.js';
import { feedOne, report, told } from './pull.js';
import { abortReason, checkSignal } from './requests.js';
import { Stream } from './stream.js';

/** @typedef {import('../index.d.ts').QuantizeOptions} QuantizeOptions */

const refuse = (/** @type {string} */ what) => new NibbleError('NB_ERR_ARGUMENT', `quantize(): ${what}`);

/** @type {typeof import('../index.d.ts').quantize} */
export function quantize(source, options) {
    const asked = check(options);
    /** @type {AsyncGenerator<Uint8Array, void, undefined> | undefined} */
    let pieces;
    return new ReadableStream(
        {
            async pull(controller) {
                pieces ??= read(source, options, asked);
                const { done, value } = await pieces.next();
                if (done) controller.close();
                else controller.enqueue(/** @type {Uint8Array<ArrayBuffer>} */ (value));
            },
            async cancel() {
                await pieces?.return();
            },
        },
        { highWaterMark: 0 },
    );
}

/** @param {QuantizeOptions} options */
function check(options) {
    const others = ['imatrix', 'onProgress', 'onPlan', 'signal', 'debug', ...ASSET_OPTIONS];
    const checked = checkOptions(QUANTIZE_OPTIONS, options, 'quantize()', others);
    const { imatrix, onProgress, onPlan, debug } = options ?? {};
    if (checked.type === undefined)
        throw refuse(`which type? Pass { type }, one of ${QUANTIZE_OPTIONS.type.choices?.join(', ')}`);
    checkQuantize(checked);
    if (imatrix !== undefined && Object.prototype.toString.call(imatrix) !== '[object Uint8Array]')
        throw refuse('imatrix must be the bytes of an importance matrix, a Uint8Array');
    for (const [name, listener] of Object.entries({ onProgress, onPlan }))
        if (listener !== undefined && typeof listener !== 'function') throw refuse(`${name} must be a function`);
    if (debug !== undefined && typeof debug !== 'boolean' && typeof debug !== 'function')
        throw refuse('debug must be true, false, or a function that gets lines');
    return { checked, signal: checkSignal('quantize()', options.signal), print: printerOf(debug) };
}

/**
 * The GGUF's bytes. The worker lives as long as they are read.
 * @param {import('../index.d.ts').Source} source
 * @param {QuantizeOptions} options
 * @param {ReturnType<typeof check>} asked
 * @returns {AsyncGenerator<Uint8Array, void, undefined>}
 */
async function* read(source, options, { checked, signal, print }) {
    /** @type {Link | undefined} */
    let link;
    /** @type {import('../sources/describe.js').Chunks | undefined} */
    let chunks;
    const abort = () => link?.close(abortReason(signal));
    const checkAborted = () => {
        if (signal?.aborted) throw abortReason(signal);
    };
    try {
        checkAborted();
        const assets = await findAssets(options);
        const described = await describeSource(source);
        chunks = described.chunks;
        const { pieces } = chunks ?? {};
        const open = (link = await Link.open(assets.workerUrl, print));
        signal?.addEventListener('abort', abort);
        checkAborted();
        const ask = { ...checked, imatrix: options.imatrix, debug: print !== undefined, assets };
        const stream = new Stream(open, (/** @type {(bytes: Uint8Array) => void} */ add) =>
            open.request(
                'quantize',
                { source: described.plain, options: ask },
                {
                    progress: ({ progress }) => report('quantize()', options.onProgress, progress),
                    planned: ({ tensors }) => told('quantize()', 'onPlan', () => options.onPlan?.(tensors)),
                    pull: () => pieces && feedOne('quantize()', open, pieces),
                    piece: ({ bytes }) => add(bytes),
                },
            ),
        );
        yield* stream.readOnce(() => {});
    } catch (error) {
        const reason = signal?.aborted && error === abortReason(signal) ? error : asNibbleError(error);
        if (print) traceOf('quantize() failed', reason).forEach(print);
        throw reason;
    } finally {
        signal?.removeEventListener('abort', abort);
        link?.close(new NibbleError('NB_ERR_STATE', 'quantize(): its stream is over'));
        chunks?.cancel();
    }
}
