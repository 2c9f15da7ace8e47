// What the pages that train share: a training that can be stopped, and samples of what the model writes meanwhile.
import { load, train } from '../web/index.js';
import { explain } from './explain.js';
import { formatDuration } from './format.js';

/** @typedef {import('../web/index.js').Training} Training */
/** @typedef {import('../web/index.js').TrainStep} TrainStep */

/**
 * A run is divided into about so many parts (sampleEvery). After each the model writes, and callers measure the
 * held-out text.
 */
const SAMPLES = 10;
/**
 * Models with more parameters than this write only at the end: loading them for each sample would take longer than the
 * training.
 */
const MAX_SAMPLED_PARAMETERS = 20e6;
export const PROMPT = 'Once upon a time';

/** The number of steps between two samples, for a run of so many steps. @param {number} steps */
export const sampleEvery = (steps) => Math.max(1, Math.floor(steps / SAMPLES));

/**
 * The share of a text's sequences, at its end, to hold out (`validation` of train()), so that no token of the text's
 * second half is learned from. It is at most 0.9, as train() demands: if the first half has less than a tenth of the
 * sequences, some of the second half is learned from.
 * @param {number} firstHalf tokens of the first half
 * @param {number} whole tokens of the whole text
 * @param {number} length of a sequence; the token after it is a target, too
 */
export function shareHeldOut(firstHalf, whole, length) {
    const sequences = (/** @type {number} */ tokens) => Math.max(0, Math.floor((tokens - 1) / length));
    return Math.min(0.9, 1 - sequences(firstHalf) / Math.max(1, sequences(whole)));
}

/**
 * train(), with a signal that has no effect any more once the training exists, so that what was learned can be saved.
 * @param {Parameters<typeof train>[0]} source
 * @param {import('../web/index.js').TrainOptions} options
 * @param {AbortSignal} signal
 */
export async function beginTraining(source, options, signal) {
    const opening = new AbortController(),
        abort = () => opening.abort(signal.reason);
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
    try {
        return await train(source, { ...options, signal: opening.signal });
    } finally {
        signal.removeEventListener('abort', abort);
    }
}

/**
 * Runs steps until all are done or the signal is aborted, which is looked at after each step. Then the model writes
 * once more.
 * @param {Training} training
 * @param {AbortSignal} signal
 * @param {(step: TrainStep) => void} onStep
 * @param {(text: string) => void} onText gets what the model writes: before the first step, after every
 *     sampleEvery(steps) steps, and at the end; from a model with more than MAX_SAMPLED_PARAMETERS, only at the end
 */
export async function learn(training, signal, onStep, onText) {
    const { steps, parameters } = training.info,
        every = sampleEvery(steps),
        isSampled = parameters <= MAX_SAMPLED_PARAMETERS;
    if (isSampled) onText(await sampleOf(training));
    for await (const step of training) {
        onStep(step);
        if (step.step % every === 0 && step.step < steps && isSampled) onText(await sampleOf(training));
        if (signal.aborted) break;
    }
    onText(await sampleOf(training));
}

/** @param {TrainStep} step @param {number} steps */
export const stepLine = ({ step, loss, tokensPerSecond, secondsLeft }, steps) =>
    `Step ${step} of ${steps}, loss ${loss.toFixed(3)}, ${Math.round(tokensPerSecond)} tokens/s${
        step < steps ? `, ${formatDuration(Math.max(1, Math.ceil(secondsLeft)))} left` : ''
    }`;

/** Says after which step a sample was made. @param {Training} training */
export const whenOf = ({ step, info }) =>
    step === 0 ? 'Before the first step' : `After step ${step} of ${info.steps}`;

/**
 * What the model writes now; or why it cannot write, such as a lack of memory. An error must not end the training, or
 * what was learned would be lost.
 * @param {Training} training
 */
async function sampleOf(training) {
    try {
        return await writeSample(training);
    } catch (error) {
        const { title, remedy } = explain(error);
        return `There is no sample. ${title.replace(/\.?$/, '.')} ${remedy}`;
    }
}

/** Loads the model as it is now, and lets it go on from PROMPT. @param {Training} training */
async function writeSample(training) {
    const bytes = new Uint8Array(await new Response(/** @type {any} */ (training.model())).arrayBuffer()),
        model = await load(bytes, { contextLength: 128 });
    try {
        const { text } = await model.complete(PROMPT, { maxTokens: 60, temperature: 0.7, seed: 1 });
        return `${PROMPT}${text}`;
    } finally {
        await model.dispose();
    }
}
