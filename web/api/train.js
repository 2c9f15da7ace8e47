/** train() and tune(): a worker of its own, the model and the text in it, and the steps as they are asked for. */
import { ASSET_OPTIONS } from '../assets.js';
import { checkOptions } from '../checks.js';
import { printerOf } from '../debug.js';
import { asNibbleError, NibbleError, namingCaller } from '../errors.js';
import { checkQat } from '../qat-options.js';
import { describeSource, isBytes } from '../sources/describe.js';
import { TRAIN_OPTIONS, TUNE_OPTIONS, withTrainDefaults, withTuneDefaults } from '../train-options.js';
import { openWorker } from './opening.js';
import { checkSignal } from './requests.js';
import { Stream } from './stream.js';

/** @typedef {import('../index.d.ts').TrainOptions} TrainOptions */
/** @typedef {import('../index.d.ts').TrainStep} TrainStep */

/** @type {typeof import('../index.d.ts').train} */
export const train = (source, options) =>
    begin(
        'train()',
        options,
        (given) => ({
            ...withTrainDefaults(checkOptions(TRAIN_OPTIONS, given, 'train()', [...OTHERS, 'qat'])),
            ...(given?.qat !== undefined && { qat: checkQat(given.qat) }),
            tunes: false,
        }),
        async () => ({ ...(await described(source)), teacher: await teacherOf(options.teacher) }),
    );

/** @type {typeof import('../index.d.ts').tune} */
export const tune = (source, options) =>
    begin(
        'tune()',
        options,
        (given) => ({ ...withTuneDefaults(checkOptions(TUNE_OPTIONS, given, 'tune()', OTHERS)), tunes: true }),
        async () => {
            if (!options.teacher) throw refusal('tune()', 'teacher must be the model that the source was made of');
            return { ...(await describeSource(asFile(source))), teacher: await teacherOf(options.teacher) };
        },
    );

/** Options that are not in the tables: they are checked here. */
const OTHERS = ['data', 'checkpoint', 'teacher', 'signal', 'debug', ...ASSET_OPTIONS];

/** The checked options, without those in OTHERS.
 * @typedef {import('../train-options.js').FullTrain & { tunes: boolean, qat?: import('../qat-options.js').FullQat }}
 *     Checked */

/** @param {import('../index.d.ts').Source | undefined} teacher */
const teacherOf = async (teacher) =>
    teacher === undefined ? undefined : (await describeSource(asFile(teacher))).plain;

/**
 * @param {string} caller
 * @param {TrainOptions} options
 * @param {(options: TrainOptions) => Checked} checkAll
 * @param {() => Promise<{ plain: import('../sources/open.js').Source, config?: object, chunks?:
 *     import('../sources/describe.js').Chunks, teacher?: import('../sources/open.js').Source }>} describe
 */
async function begin(caller, options, checkAll, describe) {
    const { checked, signal, print } = check(caller, options, checkAll);
    const { link, answer, release } = await openWorker(
        { caller, options, signal, print, asError: (error) => namingCaller(caller, asNibbleError(error)) },
        async () => {
            const described = await describe();
            if (described.plain.kind === 'port' || described.teacher?.kind === 'port')
                throw refusal(
                    caller,
                    'the source is read twice, and this one can be read only once: pass a URL, a path or a File',
                );
            return described;
        },
        (link, { plain, config, teacher }, assets) =>
            link.request(
                'trainOpen',
                { source: plain, options: { ...checked, config, teacher, debug: print !== undefined, assets } },
                {},
            ),
    );
    return new Training(link, answer, release);
}

/** @param {string} caller @param {string} what */
const refusal = (caller, what) => new NibbleError('NB_ERR_ARGUMENT', `${caller}: ${what}`);

/**
 * @param {import('../index.d.ts').Source | import('../index.d.ts').NewModel} source
 * @returns {Promise<{ plain: import('../sources/open.js').Source, config?: object }>}
 */
async function described(source) {
    const { config, tokenizer } = /** @type {Partial<import('../index.d.ts').NewModel>} */ (source ?? {});
    if (config === undefined) return describeSource(asFile(/** @type {import('../index.d.ts').Source} */ (source)));
    if (typeof config !== 'object' || config === null || Array.isArray(config))
        throw refusal('train()', 'config must be an object, as a config.json has it');
    if (!Array.isArray(tokenizer) || tokenizer.length === 0)
        throw refusal(
            'train()',
            'with config there must be a tokenizer, too: an array of its files, such as tokenizer.json',
        );
    return { ...(await describeSource(tokenizer)), config };
}

/**
 * Makes a File of bytes or a Blob: unlike these, it is read at any place and more than once.
 * @param {import('../index.d.ts').Source} source
 * @returns {import('../index.d.ts').Source}
 */
function asFile(source) {
    const kind = Object.prototype.toString.call(source).slice(8, -1);
    return kind === 'Uint8Array' || kind === 'Blob' || kind === 'File'
        ? [new File([/** @type {BlobPart} */ (source)], 'model.gguf')]
        : source;
}

/**
 * @param {string} caller
 * @param {TrainOptions} options
 * @param {(options: TrainOptions) => Checked} checkAll
 */
function check(caller, options, checkAll) {
    const checked = checkAll(options),
        { data, checkpoint, debug } = options ?? {};
    if (checkpoint !== undefined && !isBytes(checkpoint))
        throw refusal(caller, 'checkpoint must be the bytes of a checkpoint, a Uint8Array');
    if (debug !== undefined && typeof debug !== 'boolean' && typeof debug !== 'function')
        throw refusal(caller, 'debug must be true, false, or a function that gets lines');
    return {
        checked: { ...checked, data: checkData(caller, data), checkpoint },
        signal: checkSignal(caller, options.signal),
        print: printerOf(debug),
    };
}

/**
 * @param {string} caller
 * @param {unknown} data
 * @returns {string[] | Int32Array} texts, or tokens
 */
function checkData(caller, data) {
    if (typeof data === 'string') return [data];
    const { length } = /** @type {ArrayLike<unknown>} */ (data ?? {}),
        isList = typeof data === 'object' && Number.isInteger(length),
        all = isList ? Array.from(/** @type {ArrayLike<unknown>} */ (data)) : [];
    if (all.length > 0 && all.every((one) => typeof one === 'string')) return /** @type {string[]} */ (all);
    const wrong = all.find((one) => !(Number.isInteger(one) && Number(one) >= 0 && Number(one) < 2 ** 31));
    if (all.length === 0 || wrong !== undefined)
        throw refusal(
            caller,
            'data must be a text, an array of texts, or an array of tokens, which are whole numbers' +
                `${isList && all.length > 0 ? `, not ${String(wrong).slice(0, 40)}` : ''}`,
        );
    return Int32Array.from(/** @type {number[]} */ (all));
}

/** A training: the way to its worker. */
class Training {
    #link;
    #release;

    /**
     * @param {import('./link.js').Link} link
     * @param {import('../index.d.ts').TrainingInfo} info
     * @param {() => void} release after it, the signal no longer ends the worker
     */
    constructor(link, info, release) {
        this.#link = link;
        this.#release = release;
        this.info = info;
        /** Steps that are done. */
        this.step = info.step;
    }

    async *[Symbol.asyncIterator]() {
        while (this.step < this.info.steps) {
            const step = await this.#link.request('trainStep', {}, {});
            this.step = step.step;
            yield step;
        }
    }

    checkpoint() {
        return this.#link.request('trainSave', {}, {});
    }

    model() {
        const link = this.#link;
        /** @type {AsyncGenerator<Uint8Array, void, undefined> | undefined} */
        let pieces;
        return new ReadableStream(
            {
                async pull(controller) {
                    pieces ??= read(link);
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

    async dispose() {
        this.#release();
        await this.#link.dispose();
    }
}

/** @param {import('./link.js').Link} link */
function read(link) {
    const stream = new Stream(link, (/** @type {(piece: Uint8Array) => void} */ add) =>
        link.request('trainWrite', {}, { piece: ({ bytes }) => add(bytes) }),
    );
    return stream.readOnce(() => stream.stop());
}
