/** load(): a worker of its own, and the model in it. */
import { ASSET_OPTIONS } from '../assets.js';
import { checkOptions } from '../checks.js';
import { printerOf } from '../debug.js';
import { about, NibbleError } from '../errors.js';
import { LOAD_OPTIONS } from '../options.js';
import { checkQuantize } from '../quantize-options.js';
import { describeSource } from '../sources/describe.js';
import { openWorker } from './opening.js';
import { feedOne, report } from './pull.js';
import { checkImportance, checkSignal } from './requests.js';

/**
 * @param {import('../index.d.ts').Source} source
 * @param {import('../index.d.ts').LoadOptions} [options]
 * @returns {Promise<{ link: import('./link.js').Link, info: import('../index.d.ts').ModelInfo }>} info: what
 *     the worker says of the model
 */
export async function openModel(source, options = {}) {
    const { checked, draft, onProgress, signal, print } = checkLoad(options);
    const { link, answer, release } = await openWorker(
        { caller: 'load()', options, signal, print },
        () => describeBoth(source, draft),
        (link, { main, second }, assets) =>
            link.request(
                'load',
                { source: main.plain, draft: second?.plain, options: { ...checked, assets } },
                {
                    progress: ({ progress }) => report('load()', onProgress, progress),
                    pull: async ({ draft }) => {
                        const chunks = (draft ? second : main)?.chunks;
                        try {
                            if (chunks) await feedOne('load()', link, chunks.pieces, draft);
                        } catch (error) {
                            throw draft ? about('the draft model', error) : error;
                        }
                    },
                },
            ),
    );
    release();
    return { link, info: answer };
}

/**
 * The model and its draft, if there is one.
 * @param {import('../index.d.ts').Source} source
 * @param {import('../index.d.ts').Source | undefined} draft
 */
async function describeBoth(source, draft) {
    const main = await describeSource(source);
    try {
        const second = draft === undefined ? undefined : await describeSource(draft),
            all = [main.chunks, second?.chunks];
        return { main, second, chunks: { cancel: () => all.forEach((chunks) => void chunks?.cancel()) } };
    } catch (error) {
        main.chunks?.cancel();
        throw about('the draft model', error);
    }
}

/**
 * Checks load()'s options, and tells those for the engine from those for this thread.
 * @param {import('../index.d.ts').LoadOptions} options
 */
function checkLoad(options) {
    const others = ['imatrix', 'draft', 'onProgress', 'signal', 'headerOnly', 'debug', ...ASSET_OPTIONS];
    const checked = checkOptions(LOAD_OPTIONS, options, 'load()', others);
    const { imatrix, draft, onProgress, headerOnly = false, debug } = options,
        signal = checkSignal('load()', options.signal);
    const refuse = (/** @type {string} */ what) => new NibbleError('NB_ERR_ARGUMENT', `load(): ${what}`);
    if (typeof headerOnly !== 'boolean') throw refuse('headerOnly must be true or false');
    if (onProgress !== undefined && typeof onProgress !== 'function') throw refuse('onProgress must be a function');
    if (debug !== undefined && typeof debug !== 'boolean' && typeof debug !== 'function')
        throw refuse('debug must be true, false, or a function that gets lines');
    if (draft !== undefined && headerOnly) throw refuse('draft goes with a model that is loaded as a whole');
    checkQuantize(checked);
    checkImportance('load()', imatrix);
    if (imatrix && !checked.quantize)
        throw refuse('imatrix (--imatrix) is for weights that are quantized: pass quantize (--quantize) as well');
    const print = printerOf(debug);
    const forEngine = { ...checked, headerOnly, imatrix, debug: print !== undefined };
    return { checked: forEngine, draft, onProgress, signal, print };
}
