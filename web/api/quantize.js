/** quantize() and quantizeFolder(): workers of their own make the GGUF, or the folder, while it is read. */
import { ASSET_OPTIONS, findAssets } from '../assets.js';
import { checkOptions } from '../checks.js';
import { printerOf, traceOf } from '../debug.js';
import { asNibbleError, NibbleError, namingCaller } from '../errors.js';
import { isNode, nodeModule, usefulThreads } from '../platform.js';
import {
    checkBudget,
    checkFolder,
    checkInteger,
    checkMethod,
    checkQuantize,
    FOLDER_FORMATS,
    FOLDER_OPTIONS,
    QUANTIZE_OPTIONS,
    withCalibrationDefaults,
    withFolderDefaults,
} from '../quantize-options.js';
import { checkSimulation, checkWithSimulation } from '../simulated.js';
import { describeSource } from '../sources/describe.js';
import { Link } from './link.js';
import { callListener, feedOne, report } from './pull.js';
import { abortReason, checkImportance, checkSignal } from './requests.js';
import { Stream } from './stream.js';

/** @typedef {import('../index.d.ts').QuantizeOptions} QuantizeOptions */
/** @typedef {import('../protocol.js').ChosenMix} ChosenMix */

/** @typedef {import('../index.d.ts').QuantizeFolderOptions} QuantizeFolderOptions */
/** @typedef {'quantize()' | 'quantizeFolder()'} Caller */

/** Bytes, or the beginning of a file. @typedef {Uint8Array | { name: string, size: number }} Piece */

/** @param {Caller} caller @param {string} what */
const refusal = (caller, what) => new NibbleError('NB_ERR_ARGUMENT', `${caller}: ${what}`);

const ONCE =
    'to calibrate, or to choose types under a budget, the source is read several times, and this one can be read ' +
    'only once: pass a URL, a path or an array of Files';

/** @type {typeof import('../index.d.ts').quantize} */
export function quantize(source, options) {
    const asked = check(options),
        cancelled = new AbortController();
    /** @type {AsyncGenerator<Uint8Array, void, undefined> | undefined} */
    let pieces;
    return new ReadableStream(
        {
            async pull(controller) {
                pieces ??= /** @type {AsyncGenerator<Uint8Array, void, undefined>} */ (
                    read('quantize()', source, options, asked, { cancelled: cancelled.signal })
                );
                const { done, value } = await pieces.next();
                if (done) controller.close();
                else controller.enqueue(/** @type {Uint8Array<ArrayBuffer>} */ (value));
            },
            async cancel() {
                // the generator may wait long for the first bytes, as while layers are calibrated
                cancelled.abort(new NibbleError('NB_ERR_STATE', 'quantize(): its stream was cancelled'));
                await pieces?.return();
            },
        },
        { highWaterMark: 0 },
    );
}

/**
 * As quantize(), for a reader that is done with a piece before it asks for the next: then the piece's buffer goes back
 * to the worker. A stream's pieces belong to its reader, and a whole file of them may be in memory before they are
 * collected.
 * @param {import('../index.d.ts').Source} source
 * @param {QuantizeOptions} options
 */
export function quantizedPieces(source, options) {
    const pieces = read('quantize()', source, options, check(options), { recycles: true });
    return /** @type {AsyncGenerator<Uint8Array, void, undefined>} */ (pieces);
}

/** @type {typeof import('../index.d.ts').quantizeFolder} */
export function quantizeFolder(source, options = {}) {
    return files(source, options, checkedFolder(options));
}

/**
 * @param {import('../index.d.ts').Source} source
 * @param {QuantizeFolderOptions} options
 * @param {ReturnType<typeof checkedFolder>} asked
 * @returns {AsyncGenerator<import('../index.d.ts').FolderFile, void, undefined>}
 */
async function* files(source, options, asked) {
    const pieces = read('quantizeFolder()', source, options, asked);
    try {
        for (let next = await pieces.next(); !next.done; ) {
            const { name, size } = /** @type {{ name: string, size: number }} */ (next.value),
                more = inTurn(async () => {
                    next = await pieces.next();
                    return !next.done && next.value instanceof Uint8Array ? next.value : null;
                });
            const stream = new ReadableStream(
                {
                    async pull(controller) {
                        const bytes = await more();
                        if (bytes) controller.enqueue(/** @type {Uint8Array<ArrayBuffer>} */ (bytes));
                        else controller.close();
                    },
                },
                { highWaterMark: 0 },
            );
            yield { name, size, stream };
            while (await more()); // skips what was not read
        }
    } finally {
        await pieces.return();
    }
}

/**
 * Asks for the pieces of one file one after the other. The file's reader may still wait for a piece when the next
 * file is asked for: without a turn, the two calls could read past the end of the file, and the next one would be lost.
 * @template Piece
 * @param {() => Promise<Piece | null>} next null: the file is over, and next() must not be called again
 * @returns {() => Promise<Piece | null>}
 */
function inTurn(next) {
    /** @type {Promise<Piece | null>} */
    let last,
        isOver = false;
    const call = async () => {
        const piece = isOver ? null : await next();
        isOver ||= piece === null;
        return piece;
    };
    return () => {
        last = last ? last.then(call) : call();
        return last;
    };
}

const OTHERS = ['onProgress', 'signal', 'debug', ...ASSET_OPTIONS];

/** @param {QuantizeFolderOptions} options */
function checkedFolder(options) {
    const caller = 'quantizeFolder()',
        given = checkOptions(FOLDER_OPTIONS, withFolderDefaults(options), caller, ['onRanges', ...OTHERS]);
    checkFolder(given, options);
    const { format, type, bits, group, block, doubleQuant, search, shardBytes, ...rest } =
            withCalibrationDefaults(given),
        { activations, ranges = 'minmax', percentile = 99.99, smooth, ...calibration } = rest,
        { order = 'group-aware', symmetric = FOLDER_FORMATS[format].symmetric } = calibration;
    return {
        // any quantized type will do here: it only marks the matrices that are quantized
        checked: {
            ...checkOptions(QUANTIZE_OPTIONS, { type: 'q4_0' }, caller),
            ...calibration,
            folder: {
                ...{ format, type, bits, group, block, doubleQuant, symmetric, search, shardBytes, order },
                ...{ activations, ranges, percentile, smooth },
            },
        },
        ...checkRest(caller, options),
    };
}

/** @param {Caller} caller @param {QuantizeOptions | QuantizeFolderOptions} options */
function checkRest(caller, options) {
    const { onProgress, debug, signal } = options ?? {},
        { onPlan } = /** @type {QuantizeOptions} */ (options ?? {}),
        { onRanges } = /** @type {QuantizeFolderOptions} */ (options ?? {});
    for (const [name, listener] of Object.entries({ onProgress, onPlan, onRanges }))
        if (listener !== undefined && typeof listener !== 'function')
            throw refusal(caller, `${name} must be a function`);
    if (debug !== undefined && typeof debug !== 'boolean' && typeof debug !== 'function')
        throw refusal(caller, 'debug must be true, false, or a function that gets lines');
    return { signal: checkSignal(caller, signal), print: printerOf(debug) };
}

/** @param {QuantizeOptions} options */
function check(options) {
    const others = ['imatrix', 'simulate', 'onPlan', ...OTHERS];
    const checked = checkOptions(QUANTIZE_OPTIONS, options, 'quantize()', others);
    const { imatrix } = options ?? {},
        simulate = options?.simulate === undefined ? undefined : checkSimulation(options.simulate);
    if (simulate) {
        checked.type ??= 'f32';
        checkWithSimulation({ ...checked, imatrix });
    }
    if (checked.method === 'integer') {
        checkInteger(options);
        checked.type = 'f32'; // of the weights that the integers are made of
    }
    checkQuantize(checked);
    checkBudget(checked);
    if (checked.method !== 'integer') checkMethod({ ...checked, imatrix });
    checkImportance('quantize()', imatrix);
    if (checked.resume !== undefined && !isNode)
        throw refusal('quantize()', 'resume is the path of a file, which only Node writes');
    return { checked: { ...withCalibrationDefaults(checked), simulate }, ...checkRest('quantize()', options) };
}

/**
 * The bytes of the GGUF, or of the folder's files. The workers live as long as these are read.
 * @param {Caller} caller
 * @param {import('../index.d.ts').Source} source
 * @param {QuantizeOptions | QuantizeFolderOptions} options
 * @param {ReturnType<typeof check> | ReturnType<typeof checkedFolder>} asked
 * @param {{ cancelled?: AbortSignal, recycles?: boolean }} [reading] cancelled: ends it, too. recycles: whether the
 *     buffer of a piece goes back to the worker when the next one is asked for
 * @returns {AsyncGenerator<Piece, void, undefined>}
 */
async function* read(caller, source, options, { checked, signal, print }, { cancelled, recycles = false } = {}) {
    /** @type {Link[]} */
    const links = [];
    /** @type {import('../sources/describe.js').Chunks | undefined} */
    let chunks;
    const close = (/** @type {unknown} */ reason) => links.forEach((link) => void link.close(reason));
    const signals = [signal, cancelled],
        aborted = () => signals.find((one) => one?.aborted),
        abort = () => close(abortReason(aborted()));
    const checkAborted = () => {
        const by = aborted();
        if (by) throw abortReason(by);
    };
    const { imatrix, onPlan } = /** @type {QuantizeOptions} */ (options),
        { onRanges } = /** @type {QuantizeFolderOptions} */ (options);
    try {
        checkAborted();
        const assets = await findAssets(options);
        const { plain, chunks: fed } = await describeSource(source);
        chunks = fed;
        const keepsOutliers = 'outliers' in checked && checked.outliers !== undefined,
            calibrates = checked.method !== 'rtn' || 'folder' in checked || keepsOutliers,
            mixes = checked.type === undefined;
        if ((calibrates || mixes) && (await isReadOnce(plain))) throw refusal(caller, ONCE);
        // a worker that calibrates, or rounds to a grid, shares the work with threads of its own
        const simulates = 'simulate' in checked && checked.simulate !== undefined,
            threads = await usefulThreads(checked.threads),
            parts = !calibrates && !simulates && (await canBeReadTwice(plain)) ? threads : 1;
        for (const one of signals) one?.addEventListener('abort', abort);
        /** @type {ChosenMix | undefined} */
        let chosen;
        if (mixes) {
            const link = await Link.open(assets.workerUrl, print);
            links.push(link);
            checkAborted();
            chosen = await link.request(
                'mix',
                {
                    source: plain,
                    options: { ...checked, threads, imatrix, debug: print !== undefined, assets },
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
            ...(chosen && choiceOf(chosen)),
            ...(simulates && { threads }),
            parts,
            imatrix: chosen?.imatrix ?? imatrix,
            debug: print !== undefined,
            assets,
        };
        const listeners = { onProgress: options.onProgress, onPlan: onPlan && planOf(onPlan, chosen), onRanges };
        const shares = links.map((link, part) =>
            share(caller, link, { source: plain, options: { ...ask, part } }, part === 0 ? listeners : {}, {
                chunks: fed,
                recycles: recycles || part > 0, // the others' pieces are only merged into the first one's
            }),
        );
        yield* joined(shares);
    } catch (error) {
        const by = aborted(),
            reason = by && error === abortReason(by) ? error : namingCaller(caller, asNibbleError(error));
        if (print) traceOf(`${caller} failed`, reason).forEach(print);
        throw reason;
    } finally {
        for (const one of signals) one?.removeEventListener('abort', abort);
        close(new NibbleError('NB_ERR_STATE', `${caller}: its stream is over`));
        chunks?.cancel();
    }
}

/** A mix as options for the workers that make the GGUF. @param {ChosenMix} chosen */
const choiceOf = ({ type, tensors }) => ({
    type: /** @type {QuantizeOptions['type']} */ (type),
    tensors: tensors.map(
        ([name, type]) => /** @type {[string, string]} */ ([`^${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`, type]),
    ),
    outputType: undefined,
    tokenEmbeddingType: undefined,
});

/**
 * Adds the predicted loss of each tensor to the plan.
 * @param {NonNullable<QuantizeOptions['onPlan']>} onPlan
 * @param {ChosenMix | undefined} chosen
 * @returns {NonNullable<QuantizeOptions['onPlan']>}
 */
const planOf = (onPlan, chosen) => (tensors) =>
    chosen
        ? onPlan(
              tensors.map((tensor) => ({ ...tensor, loss: chosen.losses[tensor.name] ?? null })),
              chosen.choice,
          )
        : onPlan(tensors);

/**
 * The pieces of one worker: the folder, or the GGUF with zeros for the rows that other workers make.
 * @param {Caller} caller
 * @param {Link} link
 * @param {import('../protocol.js').Ask<'quantize'>} ask
 * @param {Pick<QuantizeOptions, 'onProgress' | 'onPlan'> & Pick<QuantizeFolderOptions, 'onRanges'>} listeners
 * @param {{ chunks?: import('../sources/describe.js').Chunks, recycles: boolean }} reading
 */
function share(caller, link, ask, { onProgress, onPlan, onRanges }, { chunks, recycles }) {
    const stream = new Stream(link, (/** @type {(piece: Piece) => void} */ add) =>
        link.request('quantize', ask, {
            progress: ({ progress }) => report(caller, onProgress, progress),
            planned: ({ tensors }) => callListener(caller, 'onPlan', () => onPlan?.(tensors)),
            ranges: ({ ranges }) => callListener(caller, 'onRanges', () => onRanges?.(ranges)),
            pull: () => chunks && feedOne(caller, link, chunks.pieces),
            piece: ({ bytes }) => add(bytes),
            file: ({ name, size }) => add({ name, size }),
        }),
    );
    return stream.readOnce(() => {}, recycles);
}

/**
 * The bitwise or of streams whose pieces have the same lengths. A single stream stays as it is.
 * @param {AsyncGenerator<Piece, void, undefined>[]} shares
 */
async function* joined(shares) {
    for (;;) {
        const pieces = await Promise.all(shares.map((one) => one.next()));
        const [first, ...others] = pieces.map(({ value }) => value);
        if (!first) return;
        for (const piece of others) join(/** @type {Uint8Array} */ (first), /** @type {Uint8Array} */ (piece));
        yield first;
    }
}

/**
 * @param {Uint8Array} into
 * @param {Uint8Array} from of the same length; both buffers can be read in words of four bytes
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
