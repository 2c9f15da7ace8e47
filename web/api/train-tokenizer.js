/** trainTokenizer(): a worker of its own learns a vocabulary from texts. */
import { ASSET_OPTIONS, findAssets } from '../assets.js';
import { checkOptions } from '../checks.js';
import { printerOf, traceOf } from '../debug.js';
import { asNibbleError, blamedOn, NibbleError } from '../errors.js';
import { describeSource } from '../sources/describe.js';
import { TOKENIZER_OPTIONS } from '../tokenizer-options.js';
import { Link } from './link.js';
import { feedOne, told } from './pull.js';
import { abortReason, checkSignal } from './requests.js';

const CALLER = 'trainTokenizer()';

/** @param {string} what */
const refusal = (what) => new NibbleError('NB_ERR_ARGUMENT', `${CALLER}: ${what}`);

/** @type {typeof import('../index.d.ts').trainTokenizer} */
export async function trainTokenizer(source, options) {
    const { checked, onProgress, signal, print } = check(options);
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
        const assets = await findAssets(options),
            described = await describeSource(/** @type {import('../index.d.ts').Source} */ (source));
        chunks = described.chunks;
        link = await Link.open(assets.workerUrl, print);
        signal?.addEventListener('abort', abort);
        checkAborted();
        const { pieces } = chunks ?? {};
        return await link.request(
            'trainTokenizer',
            { source: described.plain, options: { ...checked, debug: print !== undefined, assets } },
            {
                tokenizer: ({ progress }) => told(CALLER, 'onProgress', () => onProgress?.(progress)),
                pull: () => pieces && feedOne(CALLER, link, pieces),
            },
        );
    } catch (error) {
        const reason =
            signal?.aborted && error === abortReason(signal) ? error : blamedOn(CALLER, asNibbleError(error));
        if (print) traceOf(`${CALLER} failed`, reason).forEach(print);
        throw reason;
    } finally {
        signal?.removeEventListener('abort', abort);
        link?.close(new NibbleError('NB_ERR_STATE', `${CALLER}: the tokenizer is trained`));
        chunks?.cancel();
    }
}

/** @param {import('../index.d.ts').TokenizerOptions} options */
function check(options) {
    const others = ['onProgress', 'signal', 'debug', ...ASSET_OPTIONS],
        checked = checkOptions(TOKENIZER_OPTIONS, options, CALLER, others),
        { onProgress, debug, signal } = options ?? {};
    if (checked.vocabulary === undefined)
        throw refusal('vocabulary (--vocabulary) is missing: how many tokens shall there be?');
    if (onProgress !== undefined && typeof onProgress !== 'function') throw refusal('onProgress must be a function');
    if (debug !== undefined && typeof debug !== 'boolean' && typeof debug !== 'function')
        throw refusal('debug must be true, false, or a function that gets lines');
    return { checked, onProgress, signal: checkSignal(CALLER, signal), print: printerOf(debug) };
}
