/**
 * The teacher, whose logits another model learns: in F32, such as the model that a quantized one was made of. It is
 * computed by the trainer's module, too, and only forward. Its logits are in memory for one part of a batch at a time.
 */
import { NB_TRAIN_EVALUATES } from '../abi.js';
import { NibbleError } from '../errors.js';
import { checksum, wordsOf } from '../random.js';
import { TrainedModel } from './train-model.js';
import { Trainer } from './trainer.js';

/** What a quantized model has like the one that it was made of. Any teacher has the first like its pupil. @type {[keyof import('./trainer.js').Shape, string][]} */
const SAME = [
    ['vocabulary', 'tokens in its vocabulary'],
    ['width', 'numbers in its residual stream'],
    ['layers', 'layers'],
    ['heads', 'heads'],
    ['kv_heads', 'heads of keys'],
    ['head_size', 'numbers in a head'],
    ['hidden', 'numbers inside its feed-forward blocks'],
];

/** An error that says which of the two models it is of. @param {unknown} error */
const ofTeacher = (error) =>
    error instanceof NibbleError
        ? new NibbleError(error.code, `the teacher (--teacher): ${error.message}`, { cause: error })
        : error;

export class Teacher {
    /** @type {Trainer | undefined} */
    trainer;
    /** Their checksum. */
    weights = 0;

    /**
     * @param {TrainedModel} model
     * @param {import('./trainer.js').Shape} shape
     */
    constructor(model, shape) {
        /** @type {TrainedModel | undefined} */
        this.model = model;
        this.shape = shape;
    }

    /**
     * @param {import('../sources/open.js').Source} source
     * @param {import('../assets.js').Assets} assets
     * @param {import('./trainer.js').Shape} pupil
     * @param {number} length of the sequences
     * @param {boolean} isOrigin whether the pupil must have been made of it
     * @param {import('./journal.js').Journal} [journal]
     */
    static async open(source, assets, pupil, length, isOrigin, journal) {
        /** @type {TrainedModel | undefined} */
        let model;
        try {
            model = await TrainedModel.open(source, assets, journal);
            const shape = model.shape(length),
                same = isOrigin ? SAME : SAME.slice(0, 1),
                other = same.find(([size]) => shape[size] !== pupil[size]);
            if (other)
                throw new NibbleError(
                    'NB_ERR_ARGUMENT',
                    `it has ${shape[other[0]]} ${other[1]}, and the ${isOrigin ? 'quantized ' : ''}model ` +
                        `${pupil[other[0]]}: take ${isOrigin ? 'the model that it was made of' : 'one with the same vocabulary'}`,
                );
            model.parts.freeModel();
            return new Teacher(model, shape);
        } catch (error) {
            model?.free();
            throw ofTeacher(error);
        }
    }

    /**
     * @param {Trainer} beside whose core and threads it shares
     * @param {number} sequences of a part
     * @param {number} length
     */
    start(beside, sequences, length) {
        const trainer = new Trainer(beside.core, beside.pool, beside.threads);
        try {
            trainer.open(this.shape, sequences, length, { learns: NB_TRAIN_EVALUATES });
            trainer.openLogits(this.shape.vocabulary);
        } catch (error) {
            trainer.close();
            throw error;
        }
        this.trainer = trainer;
    }

    /** Its weights; the files are not needed after that. */
    async load() {
        const { trainer, model } = this;
        if (!trainer || !model) return;
        await model.load(trainer);
        this.weights = checksum(wordsOf(trainer.bytes('weights')));
        this.free();
    }

    /** What the files took. */
    free() {
        this.model?.free();
        this.model = undefined;
    }
}
