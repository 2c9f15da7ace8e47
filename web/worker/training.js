/**
 * Training: a model, a text, and the trainer that learns. It is driven from outside, step by step, so that between two
 * steps there is time for everything else: a checkpoint, the model as it is, the end.
 */
import {
    NB_TOKENIZE_ADD_SPECIAL,
    NB_TOKENIZE_PARSE_SPECIAL,
    NB_TRAIN_LEARNS,
    NB_TRAIN_LEARNS_IN_8_BITS,
} from '../abi.js';
import { NibbleError } from '../errors.js';
import { TRAINED_TYPES } from '../qat-options.js';
import { checksum, wordsOf } from '../random.js';
import { possibleThreads } from './choose-build.js';
import { DataOrder, dataTokens } from './data-order.js';
import { nameOf, stopwatch } from './journal.js';
import { newModel } from './new-model.js';
import { spellingsOf, Teacher } from './teacher.js';
import { checkSame, readCheckpoint, writeCheckpoint } from './train-checkpoint.js';
import { TrainedModel } from './train-model.js';
import { isOutOfMemory, Trainer } from './trainer.js';

/** @typedef {import('../protocol.js').TrainAsk} TrainAsk */
/** @typedef {import('./trainer.js').Optimizer} Optimizer */
/** @typedef {import('../index.d.ts').TrainStep} TrainStep */

/** Tokens of a sequence by default. */
const LENGTH = 256;

/** Tokens of a part by default: more would be no faster, and would only take memory. */
const PART_TOKENS = 4096;

/** Logits of a teacher that are in memory at once, by default: 64 MB. */
const PART_LOGITS = 1 << 24;

/** What keeps AdamW from dividing by zero: PyTorch's number. */
const EPSILON = 1e-8;

/** The weight of the newest step in the average time per step. */
const NEWEST = 0.1;

/** The options, without what was only needed to begin, which may be large.
 * @typedef {Omit<TrainAsk['options'], 'data' | 'checkpoint' | 'config'> & { part: number, length: number }} Settings */

export class Training {
    steps = 0;
    /** Losses of the steps that are done; and of the held-out text, each with the step before it. @type {number[]} */
    #losses = [];
    /** @type {[number, number][]} */
    #heldOut = [];
    /** Seconds that a step takes; 0: unknown. */
    #each = 0;
    /** Seconds that one measurement of the held-out text takes; 0: unknown. */
    #validation = 0;

    /**
     * @param {TrainedModel} model
     * @param {Trainer} trainer
     * @param {DataOrder} order
     * @param {Settings} options
     * @param {import('./trainer.js').Shape} shape
     * @param {Teacher} [teacher] whose logits the model learns
     */
    constructor(model, trainer, order, options, shape, teacher) {
        this.model = model;
        this.trainer = trainer;
        this.order = order;
        this.options = options;
        this.shape = shape;
        this.teacher = teacher;
        this.source = checksum(wordsOf(trainer.bytes('weights')));
        /** @type {Optimizer} */
        this.optimizer = {
            rate: options.rate,
            last_rate: options.lastRate,
            warmup: options.warmup,
            steps: options.steps,
            beta1: options.beta1,
            beta2: options.beta2,
            epsilon: EPSILON,
            decay: options.decay,
            clip: options.clip,
        };
        trainer.setOptimizer(this.optimizer);
    }

    /**
     * @param {TrainAsk} ask
     * @param {(port: MessagePort) => void} watch passes on the port by which a thread reports its failure
     * @param {import('./journal.js').Journal} [journal]
     */
    static async open({ source, options }, watch, journal) {
        journal?.(`source: ${nameOf(source)}`);
        const time = stopwatch(),
            saved = options.checkpoint && readCheckpoint(options.checkpoint),
            { assets } = options,
            begins = options.config ? await newModel(source, { ...options.config }, options.seed) : source,
            { qat, tunes: keepsTypes } = options,
            preset = qat && qat.type !== 'f32' ? TRAINED_TYPES[qat.type].preset : 'f32',
            model = await TrainedModel.open(begins, assets, journal, { keepsTypes, preset });
        /** @type {Teacher | undefined} */
        let teacher;
        try {
            const length = lengthOf(model, options.length),
                shape = model.shape(length);
            const flags = NB_TOKENIZE_ADD_SPECIAL | (options.special ? NB_TOKENIZE_PARSE_SPECIAL : 0),
                tokens = dataTokens(model.engine, options.data, flags),
                order = new DataOrder(tokens, length, options.batch, options.validation, options.seed);
            if (options.teacher) {
                const pupil = { shape, length, isOrigin: keepsTypes, spellings: spellingsOf(model.engine, tokens) };
                teacher = await Teacher.open(options.teacher, assets, pupil, journal);
            }
            model.parts.freeModel();
            const trainer = await Trainer.start(assets, await possibleThreads(options.threads), watch),
                types = keepsTypes ? tunable(model.plan, trainer) : undefined,
                part = openTrainer(trainer, shape, { ...options, length, types }, saved?.facts.options.part, teacher);
            await model.load(trainer);
            if (keepsTypes) trainer.beginTuning();
            if (qat) trainer.fitSteps();
            if (teacher) {
                trainer.distil();
                await teacher.load();
            }
            const { data, checkpoint, config, ...rest } = options,
                training = new Training(model, trainer, order, { ...rest, length, part }, shape, teacher);
            if (saved) training.#resume(saved);
            journal?.(
                `training: ${tokens.length} tokens, ${trainer.threads} threads, parts of ${part}, after ${time()}`,
            );
            return training;
        } catch (error) {
            model.free();
            teacher?.free();
            throw error;
        }
    }

    /** @returns {import('../index.d.ts').TrainingInfo} */
    info() {
        const { order, trainer, options } = this;
        return {
            parameters: trainer.tensors.reduce((sum, { rows, columns }) => sum + rows * columns, 0),
            tokens: order.tokens.length,
            sequences: order.windows,
            heldOut: order.heldOut,
            steps: options.steps,
            step: this.steps,
            batch: options.batch,
            length: options.length,
            part: options.part,
            threads: trainer.threads,
            memoryBytes: trainer.core.size,
            history: this.#history(),
        };
    }

    /** The losses of the steps that are done. */
    #history() {
        const heldOut = new Map(this.#heldOut);
        return this.#losses.map((loss, i) => {
            const validationLoss = heldOut.get(i + 1);
            return { step: i + 1, loss, ...(validationLoss !== undefined && { validationLoss }) };
        });
    }

    /**
     * A batch in parts.
     * @param {number} n of all parts together
     * @returns {[number, number][]} first, n
     */
    #parts(n) {
        const { part } = this.options;
        return Array.from({ length: Math.ceil(n / part) }, (_, i) => [i * part, Math.min(part, n - i * part)]);
    }

    /** One step. @returns {TrainStep} */
    step() {
        const { trainer, order, options, optimizer } = this,
            began = performance.now(),
            first = this.steps * options.batch;
        let sum = 0,
            counted = 0;
        for (const [at, n] of this.#parts(options.batch)) {
            const part = trainer.loss('accumulate', order.sequences(first + at, n), this.teacher?.trainer);
            sum += part.sum;
            counted += part.counted;
        }
        const rate = trainer.rate(optimizer, this.steps),
            norm = trainer.step();
        this.steps++;
        const seconds = (performance.now() - began) / 1000;
        this.#each = this.#each ? this.#each + NEWEST * (seconds - this.#each) : seconds;
        const isDue = order.heldOut > 0 && (this.steps % options.validateEvery === 0 || this.steps === options.steps),
            loss = sum / counted;
        this.#losses.push(loss);
        return {
            step: this.steps,
            loss,
            rate,
            norm,
            tokensPerSecond: this.#each > 0 ? counted / this.#each : 0,
            ...(isDue && { validationLoss: this.validate() }),
            secondsLeft: this.#secondsLeft(),
        };
    }

    #secondsLeft() {
        const { order, options, steps } = this,
            { validateEvery: every, batch } = options,
            all = Math.ceil(options.steps / every), // one of them after the last step
            left = steps === options.steps ? 0 : all - Math.floor(steps / every),
            // forward is about a third of forward and backward
            validation = this.#validation || (this.#each / 3) * (order.heldOut / batch);
        return (options.steps - steps) * this.#each + (order.heldOut > 0 ? left * validation : 0);
    }

    /** The mean loss of what is held out. */
    validate() {
        const { trainer, order } = this,
            began = performance.now();
        let sum = 0,
            counted = 0;
        for (const [first, n] of this.#parts(order.heldOut)) {
            const part = trainer.loss('evaluate', order.heldOutSequences(first, n), this.teacher?.trainer);
            sum += part.sum;
            counted += part.counted;
        }
        this.#validation = (performance.now() - began) / 1000;
        this.#heldOut.push([this.steps, sum / counted]);
        return sum / counted;
    }

    /** @returns {import('./train-checkpoint.js').Facts} */
    #facts() {
        const { trainer, order, options, shape, source } = this,
            { steps, batch, length, part, rate, lastRate, warmup } = options,
            { decay, clip, beta1, beta2, seed, validation, optimizerBits } = options;
        return {
            steps: this.steps,
            floats: trainer.floats,
            moments: trainer.bytes('moments').length,
            options: {
                ...{ steps, batch, length, part, rate, lastRate, warmup },
                ...{ decay, clip, beta1, beta2, seed, validation, optimizerBits },
                ...(this.teacher && { teacher: this.teacher.weights }),
                ...(options.qat && namedQat(options.qat)),
            },
            shape: { ...shape },
            source,
            text: checksum(wordsOf(order.tokens)),
            tokens: order.tokens.length,
            losses: this.#losses,
            heldOut: this.#heldOut,
        };
    }

    /** A checkpoint. Weights whose loss is not finite are refused: no training could continue from there. */
    save() {
        const { trainer, order, options } = this,
            [[, n]] = this.#parts(options.batch);
        trainer.loss('evaluate', order.sequences(this.steps * options.batch, n), this.teacher?.trainer);
        return writeCheckpoint(this.#facts(), trainer.bytes('weights'), trainer.bytes('moments'));
    }

    /** @param {ReturnType<typeof readCheckpoint>} saved */
    #resume({ facts, weights, moments }) {
        const { trainer } = this;
        checkSame(facts, this.#facts());
        trainer.bytes('weights').set(weights);
        trainer.bytes('moments').set(moments);
        trainer.resume(facts.steps);
        this.steps = facts.steps;
        this.#losses = facts.losses;
        this.#heldOut = facts.heldOut;
    }

    /** @param {import('./pieces.js').PiecesPort} port */
    write(port) {
        if (this.options.tunes) this.trainer.roundBlocks();
        return this.model.write(this.trainer, port);
    }
}

/**
 * Tokens of a sequence.
 * @param {TrainedModel} model
 * @param {number} [wanted]
 */
function lengthOf({ engine }, wanted) {
    const own = Number(engine.description.metadata['llama.context_length'] ?? 0),
        length = wanted ?? (own ? Math.min(own, LENGTH) : LENGTH);
    if (own && length > own)
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            `a length (--length) of ${length} is larger than the model's own context, which is ${own}`,
        );
    return length;
}

/**
 * What is rounded, as options of a checkpoint.
 * @param {import('../qat-options.js').FullQat} qat
 */
const namedQat = ({ tensors, ...others }) => ({
    ...Object.fromEntries(Object.entries(others).map(([name, value]) => [`qat.${name}`, value])),
    'qat.tensors': tensors.map((rule) => rule.join('=')).join(' '),
});

/**
 * The type of each tensor of a quantized model. It is an error if none of them can be tuned.
 * @param {import('./planned.js').Planned[]} plan
 * @param {Trainer} trainer
 */
function tunable(plan, trainer) {
    if (plan.some(({ type }) => trainer.tunes(type))) return plan;
    const types = [...new Set(plan.map(({ type }) => type))].join(', ');
    throw new NibbleError(
        'NB_ERR_UNSUPPORTED',
        `no tensor of the model has scales that can learn (its types are ${types}): quantize it first (nibble ` +
            'quantize), or take another type',
    );
}

/**
 * Opens the trainer for parts of a batch that memory has room for.
 * @param {Trainer} trainer
 * @param {import('./trainer.js').Shape} shape
 * @param {{ batch: number, length: number, part?: number, types?: import('./trainer.js').Types, seed: number,
 *     optimizerBits: number, qat?: import('../qat-options.js').FullQat }} options
 * @param {number | boolean | string | undefined} saved the part in a checkpoint: another would change the last bits
 * @param {Teacher} [teacher]
 * @returns {number} sequences of a part
 */
function openTrainer(trainer, shape, { batch, length, part: given, types, qat, seed, optimizerBits }, saved, teacher) {
    const learns = optimizerBits === 8 ? NB_TRAIN_LEARNS_IN_8_BITS : NB_TRAIN_LEARNS,
        rounded = qat && { qat, seed };
    const fixed = given ?? (typeof saved === 'number' ? saved : undefined),
        tokens = teacher ? Math.min(PART_TOKENS, PART_LOGITS / shape.vocabulary) : PART_TOKENS;
    for (let part = fixed ?? Math.max(1, Math.floor(tokens / length)); ; part = Math.ceil(part / 2)) {
        part = Math.min(part, batch);
        try {
            trainer.open(shape, part, length, { learns, types, rounded });
            teacher?.start(trainer, part, length);
            return part;
        } catch (error) {
            trainer.close();
            if (fixed !== undefined || part === 1 || !isOutOfMemory(error)) throw error;
        }
    }
}
