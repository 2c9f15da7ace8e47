/** quantize(): workers of its own make the GGUF while it is read, piece by piece. */
import { ASSET_OPTIONS, findAssets } from '../assets.js';
import { printerOf, traceOf } from '../debug.js';
import { asNibbleError, NibbleError } from '../errors.js';
import {
    checkBudget,
    checkMethod,
    checkOptions,
    checkQuantize,
    QUANTIZE_OPTIONS,
    withCalibrationDefaults,
} from '../options.js';
import { isNode, nodeModule, usefulThreads } from '../platform.js';
import { describeSource } from '../sources/describe.js';
import { Link } from './link.js';
import { feedOne, report, told } from './pull.js';
import { abortReason, checkImportance, checkSignal } from './requests.js';
import { Stream } from './stream.js';

/** @typedef {import('../index.d.ts').QuantizeOptions} QuantizeOptions */
/** @typedef {import('../protocol.js').Mixture} Mixture */

const refuse = (/** @type {string} */ what) => new NibbleError('NB_ERR_ARGUMENT', `quantize(): ${what}`);

const ONCE =
    'a source that can be read only once does not do with a calibration text: pass a URL, a path or an array of Files';

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
    checkQuantize(checked);
    checkBudget(checked);
    checkMethod({ ...checked, imatrix });
    checkImportance('quantize()', imatrix);
    if (checked.resume !== undefined && !isNode) throw refuse('resume is the path of a file, which only Node writes');
    for (const [name, listener] of Object.entries({ onProgress, onPlan }))
        if (listener !== undefined && typeof listener !== 'function') throw refuse(`${name} must be a function`);
    if (debug !== undefined && typeof debug !== 'boolean' && typeof debug !== 'function')
        throw refuse('debug must be true, false, or a function that gets lines');
    return {
        checked: withCalibrationDefaults(checked),
        signal: checkSignal('quantize()', options.signal),
        print: printerOf(debug),
    };
}

/**
 * The GGUF's bytes. The workers live as long as they are read.
 * @param {import('../index.d.ts').Source} source
 * @param {QuantizeOptions} options
 * @param {ReturnType<typeof check>} asked
 * @returns {AsyncGenerator<Uint8Array, void, undefined>}
 */
async function* read(source, options, { checked, signal, print }) {
    /** @type {Link[]} */
    const links = [];
    /** @type {import('../sources/describe.js').Chunks | undefined} */
    let chunks;
    const close = (/** @type {unknown} */ reason) => links.forEach((link) => void link.close(reason));
    const abort = () => close(abortReason(signal));
    const checkAborted = () => {
        if (signal?.aborted) throw abortReason(signal);
    };
    try {
        checkAborted();
        const assets = await findAssets(options);
        const { plain, chunks: fed } = await describeSource(source);
        chunks = fed;
        const calibrates = checked.method !== 'rtn',
            mixes = checked.type === undefined;
        if ((calibrates || mixes) && (await isReadOnce(plain))) throw refuse(ONCE);
        // a worker that calibrates shares the work with threads of its own
        const parts = !calibrates && (await canBeReadTwice(plain)) ? await usefulThreads(checked.threads) : 1;
        signal?.addEventListener('abort', abort);
        /** @type {Mixture | undefined} */
        let mixture;
        if (mixes) {
            const threads = await usefulThreads(checked.threads),
                link = await Link.open(assets.workerUrl, print);
            links.push(link);
            mixture = await link.request(
                'mix',
                {
                    source: plain,
                    options: { ...checked, threads, imatrix: options.imatrix, debug: print !== undefined, assets },
                },
                { progress: ({ progress }) => report('quantize()', options.onProgress, progress), pull: () => {} },
            );
            links.pop();
            link.close(new NibbleError('NB_ERR_STATE', 'quantize(): the types are chosen'));
        }
        for (let part = 0; part < parts; part++) {
            checkAborted();
            links.push(await Link.open(assets.workerUrl, print));
        }
        checkAborted();
        const ask = {
            ...checked,
            ...(mixture && choiceOf(mixture)),
            parts,
            imatrix: mixture?.imatrix ?? options.imatrix,
            debug: print !== undefined,
            assets,
        };
        const listeners = { onProgress: options.onProgress, onPlan: options.onPlan && planOf(options.onPlan, mixture) };
        const shares = links.map((link, part) =>
            share(link, { source: plain, options: { ...ask, part } }, part === 0 ? listeners : {}, fed),
        );
        yield* joined(shares);
    } catch (error) {
        const reason = signal?.aborted && error === abortReason(signal) ? error : asNibbleError(error);
        if (print) traceOf('quantize() failed', reason).forEach(print);
        throw reason;
    } finally {
        signal?.removeEventListener('abort', abort);
        close(new NibbleError('NB_ERR_STATE', 'quantize(): its stream is over'));
        chunks?.cancel();
    }
}

/** As options for the workers that make the GGUF. @param {Mixture} mixture */
const choiceOf = ({ type, tensors }) => ({
    type: /** @type {QuantizeOptions['type']} */ (type),
    tensors: tensors.map(
        ([name, type]) => /** @type {[string, string]} */ ([`^${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`, type]),
    ),
    outputType: undefined,
    tokenEmbeddingType: undefined,
});

/**
 * The plan, with what each tensor is thought to lose.
 * @param {NonNullable<QuantizeOptions['onPlan']>} onPlan
 * @param {Mixture | undefined} mixture
 * @returns {NonNullable<QuantizeOptions['onPlan']>}
 */
const planOf = (onPlan, mixture) => (tensors) =>
    onPlan(mixture ? tensors.map((tensor) => ({ ...tensor, loss: mixture.losses[tensor.name] ?? null })) : tensors);

/**
 * What one worker makes: the GGUF, with zeros for the rows that others make.
 * @param {Link} link
 * @param {import('../protocol.js').Ask<'quantize'>} ask
 * @param {Pick<QuantizeOptions, 'onProgress' | 'onPlan'>} listeners
 * @param {import('../sources/describe.js').Chunks} [chunks]
 */
function share(link, ask, { onProgress, onPlan }, chunks) {
    const stream = new Stream(link, (/** @type {(bytes: Uint8Array) => void} */ add) =>
        link.request('quantize', ask, {
            progress: ({ progress }) => report('quantize()', onProgress, progress),
            planned: ({ tensors }) => told('quantize()', 'onPlan', () => onPlan?.(tensors)),
            pull: () => chunks && feedOne('quantize()', link, chunks.pieces),
            piece: ({ bytes }) => add(bytes),
        }),
    );
    return stream.readOnce(() => {});
}

/**
 * The bitwise or of streams whose pieces have the same lengths.
 * @param {AsyncGenerator<Uint8Array, void, undefined>[]} shares
 */
async function* joined(shares) {
    for (;;) {
        const pieces = await Promise.all(shares.map((one) => one.next()));
        const [first, ...others] = pieces.map(({ value }) => value);
        if (!first) return;
        for (const piece of others) join(first, /** @type {Uint8Array} */ (piece));
        yield first;
    }
}

/**
 * @param {Uint8Array} into
 * @param {Uint8Array} from of the same length; both begin where four bytes may be read at once
 */
function join(into, from) {
    const words = into.length >> 2,
        a = new Uint32Array(into.buffer, 0, words),
        b = new Uint32Array(from.buffer, 0, words);
    for (let i = 0; i < words; i++) a[i] |= b[i];
    for (let i = 4 * words; i < into.length; i++) into[i] |= from[i];
}

/**
 * Whether several workers can each open the source. A download would come several times, and a pipe can be read once.
 * @param {import('../sources/open.js').Source} source
 * @returns {Promise<boolean>}
 */
async function canBeReadTwice(source) {
    if (source.kind === 'files')
        return (await Promise.all(source.files.map((file) => canBeReadTwice(file.source)))).every(Boolean);
    return source.kind === 'path' ? (await kindOf(source.path)) === 'whole' : source.kind === 'blob';
}

/** Whether the source cannot be opened a second time. @param {import('../sources/open.js').Source} source */
const isReadOnce = async (source) =>
    source.kind === 'port' || (source.kind === 'path' && (await kindOf(source.path)) === 'pipe');

/**
 * @param {string} path
 * @returns {Promise<'whole' | 'pipe' | 'none'>} a file or a folder, what can be read once, or nothing
 */
async function kindOf(path) {
    const { stat } = await nodeModule('fs/promises');
    return stat(path).then(
        (found) => (found.isFile() || found.isDirectory() ? 'whole' : 'pipe'),
        () => 'none',
    );
}
