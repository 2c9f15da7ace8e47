/** trainTokenizer(): a worker of its own trains a tokenizer on texts. */
import { ASSET_OPTIONS } from '../assets.js';
import { checkOptions } from '../checks.js';
import { printerOf } from '../debug.js';
import { asNibbleError, NibbleError, namingCaller } from '../errors.js';
import { describeSource } from '../sources/describe.js';
import { TOKENIZER_OPTIONS } from '../tokenizer-options.js';
import { openWorker } from './opening.js';
import { callListener, feedOne } from './pull.js';
import { checkSignal } from './requests.js';

const CALLER = 'trainTokenizer()';

/** @param {string} what */
const refusal = (what) => new NibbleError('NB_ERR_ARGUMENT', `${CALLER}: ${what}`);

/** @type {typeof import('../index.d.ts').trainTokenizer} */
export async function trainTokenizer(source, options) {
    const { checked, onProgress, signal, print } = check(options);
    const { link, answer, release } = await openWorker(
        { caller: CALLER, options, signal, print, asError: (error) => namingCaller(CALLER, asNibbleError(error)) },
        () => describeSource(/** @type {import('../index.d.ts').Source} */ (source)),
        (link, { plain, chunks }, assets) =>
            link.request(
                'trainTokenizer',
                { source: plain, options: { ...checked, debug: print !== undefined, assets } },
                {
                    tokenizer: ({ progress }) => callListener(CALLER, 'onProgress', () => onProgress?.(progress)),
                    pull: () => chunks && feedOne(CALLER, link, chunks.pieces),
                },
            ),
    );
    release();
    link.close(new NibbleError('NB_ERR_STATE', `${CALLER}: the tokenizer is trained`));
    return answer;
}

/** @param {import('../index.d.ts').TokenizerOptions} options */
function check(options) {
    const others = ['onProgress', 'signal', 'debug', ...ASSET_OPTIONS],
        checked = checkOptions(TOKENIZER_OPTIONS, options, CALLER, others),
        { onProgress, debug, signal } = options ?? {};
    if (checked.vocabulary === undefined)
        throw refusal('vocabulary (--vocabulary) is missing: say how many tokens the vocabulary gets');
    if (onProgress !== undefined && typeof onProgress !== 'function') throw refusal('onProgress must be a function');
    if (debug !== undefined && typeof debug !== 'boolean' && typeof debug !== 'function')
        throw refusal('debug must be true, false, or a function that gets lines');
    return { checked, onProgress, signal: checkSignal(CALLER, signal), print: printerOf(debug) };
}
