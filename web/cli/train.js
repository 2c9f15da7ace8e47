/**
 * `nibble train`: a model of Llama's family learns from texts. What it has learned is a GGUF in F32, or in the types
 * that its weights were rounded to. And `nibble tune`: the scales of a quantized model learn from the model that it was
 * made of.
 */
import { readdir, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { checkOptions } from '../checks.js';
import { isDebugAsked } from '../debug.js';
import { messageOf } from '../errors.js';
import { NibbleError, train, tune } from '../index.js';
import { qatOf } from '../qat-options.js';
import { shownLoss as shown, trainingPage } from '../report/train-page.js';
import { TRAIN_OPTIONS, TUNE_OPTIONS, withTrainDefaults } from '../train-options.js';
import { checkOut, checkPlace, checkWritable, readInput, writeWhole } from './files.js';
import { inTime, ofModel, pick, printLine } from './open-model.js';
import { readReportScript } from './report-script.js';
import { oneLine, write, writeJson, writeStatus } from './terminal.js';
import { readText } from './text-file.js';
import { checkEnd, trainedTokenizer } from './trained-tokenizer.js';
import { UsageError } from './usage.js';

/** @typedef {import('../index.d.ts').Training} Training */
/** @typedef {import('../index.d.ts').TrainStep} TrainStep */

/** Files of a tokenizer, and those that say how it is used. */
const OF_TOKENIZER =
    /^(tokenizer\.model|(tokenizer|tokenizer_config|special_tokens_map|added_tokens|generation_config)\.json|.*\.jinja)$/;

/** Lines of progress, if standard error is not a terminal. */
const LINES = 20;

/** Bytes of one write: a system call writes less than 2^31. */
const PIECE = 1 << 26;

/** @type {import('./usage.js').Command['run']} */
export async function commandTrain({ values }, signal) {
    checkTogether(values);
    // wrong values are refused before a tokenizer is trained, which may take minutes
    withTrainDefaults(checkOptions(TRAIN_OPTIONS, pick(TRAIN_OPTIONS, values), 'train()'));
    const { init, config, tokenizer, vocabulary, end, teacher } = values,
        qat = qatOf(values);
    await learn(values, [init, tokenizer, teacher], signal, async (options) => {
        const source = init ?? {
            config,
            tokenizer:
                tokenizer === undefined
                    ? await trainedTokenizer(vocabulary, end, options)
                    : await tokenizerFiles(tokenizer),
        };
        try {
            const special = values.special || end !== undefined;
            return await train(source, { ...pick(TRAIN_OPTIONS, values), special, ...options, qat, teacher });
        } catch (error) {
            throw init === undefined ? error : aboutModel(init, error);
        }
    });
}

/** @type {import('./usage.js').Command['run']} */
export async function commandTune({ model, values }, signal) {
    const { teacher } = values;
    checkResume(values);
    await learn(values, [model, teacher], signal, async (options) => {
        try {
            return await tune(model, { ...pick(TUNE_OPTIONS, values), ...options, teacher });
        } catch (error) {
            throw aboutModel(model, error);
        }
    });
}

/** Puts the model's name into errors about the model. @param {string} model @param {unknown} error */
const aboutModel = (model, error) =>
    error instanceof NibbleError && /^the (checkpoint|teacher)/.test(error.message) ? error : ofModel(model, error);

/** What begin() needs in addition to the options of the command. @typedef {{ data: string[] } &
 * Pick<import('../index.d.ts').TrainOptions, 'checkpoint' | 'signal' | 'debug'>} Given */

/**
 * @param {Record<string, any>} values
 * @param {(string | undefined)[]} models files that are read in addition to the texts
 * @param {AbortSignal} signal
 * @param {(options: Given) => Promise<Training>} begin
 */
async function learn(values, models, signal, begin) {
    const { output, html, force, json, checkpoint } = values,
        began = performance.now();
    await checkPlaces(values, models);
    const texts = await Promise.all(values.data.map((/** @type {string} */ path) => readText('--data', path)));
    const training = await opened(begin, texts, await lastCheckpoint(values), signal);
    const run = new Run(training, checkpoint, values.every);
    let isWritten = false;
    /** The error of writing the page, which must not stop the rest. @type {unknown} */
    let pageError;
    try {
        if (await run.all(signal)) {
            await run.write(output, force);
            isWritten = true;
        }
    } finally {
        if (process.stderr.isTTY) writeStatus('');
        if (html !== undefined && training.step > 0)
            await writePage(run, values).catch((error) => {
                pageError = error;
            });
        if (pageError && !isWritten) run.say(messageOf(pageError));
        await training.dispose();
    }
    if (!isWritten) return; // it was interrupted
    const facts = { ...run.facts(), out: output, seconds: (performance.now() - began) / 1000 };
    if (json) writeJson(facts);
    else write(summaryOf(facts));
    if (pageError) throw pageError;
}

/** @param {Record<string, any>} values */
function checkTogether({ config, init, tokenizer, vocabulary, end, ...values }) {
    if ((config === undefined) === (init === undefined))
        throw new UsageError('either --config, for a new model, or --init, to go on from one, is needed');
    const tokenizers = [tokenizer, vocabulary].filter((given) => given !== undefined).length;
    if (config !== undefined && tokenizers !== 1)
        throw new UsageError('--config also needs a --tokenizer, or a --vocabulary to train one, and not both');
    if (config === undefined && tokenizers > 0)
        throw new UsageError(
            `${tokenizer === undefined ? '--vocabulary' : '--tokenizer'} is for a new model, with --config`,
        );
    if (end !== undefined && vocabulary === undefined)
        throw new UsageError('--end is for a tokenizer that is trained, with --vocabulary');
    checkEnd(end);
    checkResume(values);
}

/** @param {Record<string, any>} values */
function checkResume({ checkpoint, resume }) {
    if (resume && checkpoint === undefined)
        throw new UsageError('--resume needs --checkpoint, the file that it goes on from');
}

/** @param {Record<string, any>} values @param {(string | undefined)[]} models */
async function checkPlaces({ output, html, checkpoint, resume, force, data }, models) {
    const inputs = [...models, ...data],
        isThere = checkpoint !== undefined && (await stat(checkpoint).catch(() => null)) !== null;
    for (const [flag, file] of Object.entries({ output, html }))
        if (checkpoint !== undefined && file !== undefined && resolve(file) === resolve(checkpoint))
            throw new UsageError(`--${flag} and --checkpoint are the same file: give one of them another name`);
    await checkOut(output, ['.gguf'], force, inputs);
    // the run that is resumed has written a page when it was interrupted
    if (html !== undefined) await checkOut(html, ['.html', '.htm'], force || (resume && isThere), inputs);
    if (checkpoint !== undefined) await checkPlace(checkpoint, inputs);
    if (isThere && !resume && !force)
        throw new UsageError(`${checkpoint} is there already; --resume goes on from it, and --force writes over it`);
    for (const file of [output, html, checkpoint]) if (file !== undefined) await checkWritable(file);
}

/**
 * The checkpoint to go on from, if there is one.
 * @param {Record<string, any>} values
 * @returns {Promise<Uint8Array | undefined>}
 */
async function lastCheckpoint({ checkpoint, resume }) {
    const isThere = resume && (await stat(checkpoint).catch(() => null)) !== null;
    return isThere ? readInput('--checkpoint', checkpoint === '-' ? './-' : checkpoint) : undefined;
}

/**
 * @param {(options: Given) => Promise<Training>} begin
 * @param {string[]} data
 * @param {Uint8Array | undefined} checkpoint
 * @param {AbortSignal} signal aborts the opening; afterwards the run checks it
 */
async function opened(begin, data, checkpoint, signal) {
    const opening = new AbortController(),
        abort = () => opening.abort(signal.reason);
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
    try {
        return await begin({ data, checkpoint, signal: opening.signal, debug: isDebugAsked() && printLine });
    } finally {
        signal.removeEventListener('abort', abort);
    }
}

/** @param {string} place a folder or a file */
async function tokenizerFiles(place) {
    const found = await stat(place).catch(() => null);
    if (found?.isDirectory()) {
        const names = (await readdir(place)).filter((name) => OF_TOKENIZER.test(name));
        if (!names.some((name) => /^tokenizer\.(json|model)$/.test(name)))
            throw new UsageError(`--tokenizer: ${place} has neither tokenizer.json nor tokenizer.model`);
        return names.map((name) => join(place, name));
    }
    const [, ending] = /\.(json|model)$/i.exec(basename(place)) ?? [];
    if (!ending)
        throw new UsageError(`--tokenizer must be a folder, a tokenizer.json or a tokenizer.model, not ${place}`);
    const bytes = await readInput('--tokenizer', place);
    return [new File([/** @type {Uint8Array<ArrayBuffer>} */ (bytes)], `tokenizer.${ending.toLowerCase()}`)];
}

/** A training: its steps, its checkpoints, and its lines of progress. */
class Run {
    /** The steps of this run. @type {TrainStep[]} */
    history = [];
    /** The step of the last checkpoint that was written; -1: there is none. */
    saved = -1;

    /**
     * @param {Training} training
     * @param {string | undefined} checkpoint
     * @param {number} every
     */
    constructor(training, checkpoint, every) {
        this.training = training;
        this.checkpoint = checkpoint;
        this.every = every;
        this.lineEvery = Math.ceil(training.info.steps / LINES);
        if (training.step > 0) this.saved = training.step;
    }

    /**
     * Trains until the end, or until the signal aborts.
     * @param {AbortSignal} signal
     * @returns {Promise<boolean>} whether all steps are done
     */
    async all(signal) {
        const { training } = this,
            { steps } = training.info;
        try {
            if (!signal.aborted && training.step < steps)
                for await (const step of training) {
                    this.history.push(step);
                    this.#report(step);
                    if (signal.aborted) break;
                    if (step.step % this.every === 0 || step.step === steps) await this.#save(step.step === steps);
                }
            if (signal.aborted && this.saved < training.step) await this.#save(true);
        } catch (error) {
            throw this.#withCheckpoint(error);
        }
        if (!signal.aborted) return true;
        this.say(`interrupted after step ${training.step} of ${steps}${this.#howToGoOn()}`);
        return false;
    }

    #howToGoOn() {
        if (this.checkpoint === undefined) return '; without --checkpoint nothing is kept';
        return this.saved < 0 ? '' : `; --resume goes on from step ${this.saved}`;
    }

    /**
     * A checkpoint that cannot be written does not end the run: what it has learned would be lost.
     * @param {boolean} isLast whether nothing goes on after it
     */
    async #save(isLast) {
        if (this.checkpoint === undefined) return;
        const bytes = await this.training.checkpoint();
        try {
            await writeWhole(piecesOf(bytes), this.checkpoint, true, true);
            this.saved = this.training.step;
        } catch (error) {
            this.say(`${messageOf(error)}${isLast ? '' : '; the training goes on'}`);
        }
    }

    /**
     * The model, when all steps are done.
     * @param {string} output
     * @param {boolean} force
     */
    async write(output, force) {
        try {
            await writeWhole(/** @type {any} */ (this.training.model()), output, force, true);
        } catch (error) {
            throw this.#withCheckpoint(error);
        }
    }

    /** @param {unknown} error */
    #withCheckpoint(error) {
        if (!(error instanceof NibbleError) || this.saved < 0 || this.checkpoint === undefined) return error;
        return new NibbleError(
            error.code,
            `${error.message} (the last good checkpoint is ${this.checkpoint}, of step ${this.saved})`,
            { cause: error },
        );
    }

    /** @param {string} line */
    say(line) {
        if (process.stderr.isTTY) writeStatus('');
        write(`nibble: ${oneLine(line)}\n`, process.stderr);
    }

    /** @param {TrainStep} step */
    #report(step) {
        const { steps } = this.training.info,
            line = stepLine(step, steps);
        if (process.stderr.isTTY) writeStatus(line);
        else if (step.step % this.lineEvery === 0 || step.validationLoss !== undefined || step.step === steps)
            this.say(line);
    }

    facts() {
        const { history, training } = this,
            { steps, parameters, tokens, sequences, batch, length, part, threads } = training.info,
            all = [...training.info.history, ...history],
            validated = all.findLast(({ validationLoss }) => validationLoss !== undefined);
        return {
            ...{ parameters, tokens, sequences, steps, batch, length, part, threads },
            firstStep: training.info.step,
            loss: all.at(-1)?.loss ?? null,
            validationLoss: validated?.validationLoss ?? null,
            tokensPerSecond: history.at(-1)?.tokensPerSecond ?? null,
        };
    }
}

/** @param {Uint8Array} bytes */
async function* piecesOf(bytes) {
    for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
}

/**
 * @param {TrainStep} step
 * @param {number} steps
 */
const stepLine = ({ step, loss, validationLoss, tokensPerSecond, secondsLeft }, steps) =>
    `step ${step} of ${steps}, loss ${shown(loss)}${
        validationLoss === undefined ? '' : `, of the held-out text ${shown(validationLoss)}`
    }, ${Math.round(tokensPerSecond).toLocaleString('en')} tokens/s${
        step === steps ? '' : `, ${inTime(secondsLeft)} left`
    }`;

/** @param {Run} run @param {Record<string, any>} values */
async function writePage({ history, training }, { output, html, force, resume, teacher }) {
    const page = async function* () {
        const { style } = await readReportScript();
        const loss = teacher === undefined ? undefined : 'divergence from the teacher';
        const all = [...training.info.history, ...history];
        yield new TextEncoder().encode(await trainingPage(basename(output), training.info, all, style, loss));
    };
    await writeWhole(page(), html, force || resume, true);
}

/** @param {ReturnType<Run['facts']> & { out: string, seconds: number }} facts */
const summaryOf = ({ out, parameters, steps, loss, validationLoss: held, seconds }) =>
    `${oneLine(out)}: ${parameters.toLocaleString('en')} parameters, ${steps} steps${
        loss === null ? '' : `, loss ${shown(loss)}`
    }${held === null ? '' : `, of the held-out text ${shown(held)}`}, ${seconds.toFixed(1)} s\n`;
