/**
 * The teacher, whose logits another model learns: in F32, such as the model that a quantized one was made of. It is
 * computed by the trainer's module, too, and only forward. Its logits are in memory for one micro-batch at a time.
 */
import { NB_TRAIN_EVALUATES } from '../abi.js';
import { about, NibbleError } from '../errors.js';
import { checksum, wordsOf } from '../random.js';
import { TrainedModel } from './train-model.js';
import { Trainer } from './trainer.js';

/**
 * Sizes that a quantized model shares with the model that it was made of. Any other teacher and its pupil share only
 * the first.
 * @type {[keyof import('./trainer.js').Shape, string][]}
 */
const SAME = [
    ['vocabulary', 'tokens in its vocabulary'],
    ['width', 'numbers in its residual stream'],
    ['layers', 'layers'],
    ['heads', 'heads'],
    ['kv_heads', 'heads of keys'],
    ['head_size', 'numbers in a head'],
    ['hidden', 'numbers inside its feed-forward blocks'],
];

/** Says in an error that it is about the teacher. @param {unknown} error */
const ofTeacher = (error) => about('the teacher (--teacher)', error);

/** The pupil. isOrigin: whether it must have been made of the teacher. spellings: of the tokens of its text.
 * @typedef {{ shape: import('./trainer.js').Shape, length: number, isOrigin: boolean, spellings: Map<number, string> }}
 *     Pupil */

/**
 * How each token of a text is written, special ones too. It is '' for tokens that this cannot tell apart: white
 * space, which some tokenizers drop at the beginning of a text, and parts of a character. Empty if the model has no
 * tokenizer.
 * @param {import('./engine.js').Engine} engine
 * @param {Iterable<number>} tokens
 * @returns {Map<number, string>}
 */
export function spellingsOf(engine, tokens) {
    if (!engine.description.tokenizer) return new Map();
    return new Map(
        Array.from(new Set(tokens), (token) => {
            const decoder = engine.decoder(true);
            try {
                const text = decoder.push(token) + decoder.flush();
                return [token, text.includes('\uFFFD') ? '' : text.trim()];
            } finally {
                decoder.free();
            }
        }),
    );
}

export class Teacher {
    /** @type {Trainer | undefined} */
    trainer;
    /** The checksum of the weights. */
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
     * @param {Pupil} pupil
     * @param {import('./journal.js').Journal} [journal]
     */
    static async open(source, assets, pupil, journal) {
        /** @type {TrainedModel | undefined} */
        let model;
        try {
            model = await TrainedModel.open(source, assets, journal);
            const shape = model.shape(pupil.length);
            checkPupil(model.engine, shape, pupil);
            model.parts.freeModel();
            return new Teacher(model, shape);
        } catch (error) {
            model?.free();
            throw ofTeacher(error);
        }
    }

    /**
     * @param {Trainer} pupil whose core and threads it shares
     * @param {number} sequences of a part
     * @param {number} length
     */
    start(pupil, sequences, length) {
        const trainer = new Trainer(pupil.core, pupil.pool, pupil.threads);
        try {
            trainer.open(this.shape, sequences, length, { learns: NB_TRAIN_EVALUATES });
            trainer.openLogits(this.shape.vocabulary);
        } catch (error) {
            trainer.close();
            throw error;
        }
        this.trainer = trainer;
    }

    /** Loads the weights. The files are not needed after that. */
    async load() {
        const { trainer, model } = this;
        if (!trainer || !model) return;
        await model.load(trainer);
        this.weights = checksum(wordsOf(trainer.bytes('weights')));
        this.free();
    }

    /** Frees the memory of the files. */
    free() {
        this.model?.free();
        this.model = undefined;
    }
}

/**
 * Checks that the teacher's logits are of the pupil's tokens.
 * @param {import('./engine.js').Engine} engine the teacher's
 * @param {import('./trainer.js').Shape} shape
 * @param {Pupil} pupil
 */
function checkPupil(engine, shape, { shape: wanted, isOrigin, spellings }) {
    const model = isOrigin ? 'quantized model' : 'model',
        take = isOrigin ? 'the model that it was made of' : 'one with the same vocabulary',
        size = SAME.slice(0, isOrigin ? SAME.length : 1).find(([name]) => shape[name] !== wanted[name]);
    const refuse = (/** @type {string} */ what) => new NibbleError('NB_ERR_ARGUMENT', `${what}: take ${take}`);
    if (size) throw refuse(`it has ${shape[size[0]]} ${size[1]}, and the ${model} ${wanted[size[0]]}`);
    const own = spellingsOf(engine, spellings.keys()),
        isOther = (/** @type {[number, string]} */ [token, spelling]) =>
            spelling !== '' && !['', spelling].includes(spellings.get(token) ?? ''),
        other = Array.from(own).find(isOther);
    if (other)
        throw refuse(
            `its token ${other[0]} is ${JSON.stringify(other[1])}, and the ${model}'s is ` +
                `${JSON.stringify(spellings.get(other[0]))}`,
        );
}
