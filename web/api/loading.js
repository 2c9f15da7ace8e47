/** load(): a worker of its own, and the model in it. */
import { ASSET_OPTIONS, findAssets } from '../assets.js';
import { checkOptions } from '../checks.js';
import { printerOf, traceOf } from '../debug.js';
import { asNibbleError, NibbleError } from '../errors.js';
import { LOAD_OPTIONS } from '../options.js';
import { checkQuantize } from '../quantize-options.js';
import { describeSource } from '../sources/describe.js';
import { Link } from './link.js';
import { feedOne, report } from './pull.js';
import { abortReason, checkImportance, checkSignal } from './requests.js';

/** @typedef {import('../sources/describe.js').Chunks} Chunks */

/**
 * @param {import('../index.d.ts').Source} source
 * @param {import('../index.d.ts').LoadOptions} [options]
 * @returns {Promise<{ link: Link, info: import('../index.d.ts').ModelInfo }>} the way to the worker, and what it says
 */
export async function openModel(source, options = {}) {
    const { checked, onProgress, signal, print } = checkLoad(options);
    /** @type {Link | undefined} */
    let link;
    /** @type {Chunks | undefined} */
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
        print?.(`worker: ${assets.workerUrl.slice(0, 200)}`);
        link = await Link.open(assets.workerUrl, print);
        signal?.addEventListener('abort', abort);
        checkAborted();
        const { pieces } = chunks ?? {};
        const info = await link.request(
            'load',
            { source: described.plain, options: { ...checked, assets } },
            {
                progress: ({ progress }) => report('load()', onProgress, progress),
                pull: () => pieces && feedOne('load()', link, pieces),
            },
        );
        return { link, info };
    } catch (error) {
        const reason = signal?.aborted && error === abortReason(signal) ? error : asNibbleError(error);
        if (print) traceOf('load() failed', reason).forEach(print);
        link?.close(reason);
        throw reason;
    } finally {
        signal?.removeEventListener('abort', abort);
        chunks?.cancel();
    }
}

/**
 * What load() is given beside the source, checked: what goes to the engine, and what stays here.
 * @param {import('../index.d.ts').LoadOptions} options
 */
function checkLoad(options) {
    const others = ['imatrix', 'onProgress', 'signal', 'headerOnly', 'debug', ...ASSET_OPTIONS];
    const checked = checkOptions(LOAD_OPTIONS, options, 'load()', others);
    const { imatrix, onProgress, headerOnly = false, debug } = options,
        signal = checkSignal('load()', options.signal);
    const refuse = (/** @type {string} */ what) => new NibbleError('NB_ERR_ARGUMENT', `load(): ${what}`);
    if (typeof headerOnly !== 'boolean') throw refuse('headerOnly must be true or false');
    if (onProgress !== undefined && typeof onProgress !== 'function') throw refuse('onProgress must be a function');
    if (debug !== undefined && typeof debug !== 'boolean' && typeof debug !== 'function')
        throw refuse('debug must be true, false, or a function that gets lines');
    checkQuantize(checked);
    checkImportance('load()', imatrix);
    if (imatrix && !checked.quantize)
        throw refuse('imatrix (--imatrix) is for weights that are quantized: pass quantize (--quantize) beside it');
    const print = printerOf(debug);
    return { checked: { ...checked, headerOnly, imatrix, debug: print !== undefined }, onProgress, signal, print };
}
