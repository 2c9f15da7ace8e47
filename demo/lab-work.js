// The computations of the lab, step by step. Nothing here touches the page.
import { passagesOf } from '../web/api/passages.js';
import { compare, compareEmbeddings, load, quantize } from '../web/index.js';
import { fetchModel } from './lab-fetch.js';
import { calibrates, fileName, recipeName } from './lab-recipes.js';
import { halves } from './lab-text.js';
import { tuneFile } from './lab-tune.js';

/** @typedef {import('./lab-recipes.js').Recipe} Recipe */
/** @typedef {import('./lab-plots.js').Figures} Figures */
/** The model to quantize. embeds: it embeds texts, and does not continue them. release: removes the local copy, if the
 * model was fetched from a URL.
 * @typedef {{ name: string, source: string | File | File[], quantized: boolean, embeds: boolean,
 *     release?: () => void }} Original */
/** A quantized file. figures: null until it is measured, or if that failed.
 * @typedef {{ name: string, fileName: string, kept: import('./lab-store.js').Kept, figures: Figures | null }} Made */
/** A step in the list of the page. share: from 0 to 1, or null if it is not known yet.
 * @typedef {{ begin: () => void, progress: (share: number | null, secondsLeft?: number | null) => void,
 *     end: (note: string) => void, fail: (error: unknown) => void }} Step */

/**
 * Lengths of windows, in tokens. A run takes the longest that fits into the model's context and gives at least
 * FEWEST_WINDOWS windows in each half of the text, after the limits have cut it.
 */
const WINDOWS = [512, 256, 128, 64, 32];
const FEWEST_WINDOWS = 4;
/** How many passages are embedded: compareEmbeddings() takes no more, and no fewer. */
const MOST_PASSAGES = 1000,
    FEWEST_PASSAGES = 3;

/**
 * A step cannot be done: the model or the text does not fit, or a step before it gave nothing. The message is shown on
 * the page.
 */
export class Unfit extends Error {}

/**
 * Both halves of the text as tokens, and the length of their windows. Of the second half a model that embeds texts gets
 * passages.
 * @param {Original} original
 * @param {string} text
 * @param {{ calibrationTokens: number, evaluationTokens: number }} limits
 * @param {AbortSignal} signal
 */
async function tokensOf({ source, embeds }, text, limits, signal) {
    const model = await load(source, { headerOnly: true, signal });
    try {
        const parts = halves(text),
            { context: own, embedding } = model.info;
        const tokens = async (/** @type {string} */ part, /** @type {number} */ most) =>
            (await model.tokenize(part, { bare: true, signal })).slice(0, most);
        const calibration = await tokens(parts.calibration, limits.calibrationTokens);
        const evaluation = embeds ? [] : await tokens(parts.evaluation, limits.evaluationTokens);
        const passages = embeds ? await passagesFor(model, parts.evaluation, limits.evaluationTokens, signal) : null;
        const least = embeds ? calibration.length : Math.min(calibration.length, evaluation.length),
            context = Math.min(own || Infinity, (embeds && embedding?.maxTokens) || Infinity),
            shortest = Math.min(...WINDOWS);
        if (context < shortest)
            throw new Unfit(`The model's context of ${context} tokens is too short: at least ${shortest} are needed.`);
        const window = WINDOWS.find((size) => size <= context && size * FEWEST_WINDOWS <= least);
        if (!window)
            throw new Unfit(
                `The text is too short: a half has only ${least} tokens for this model, and at least ` +
                    `${FEWEST_WINDOWS * shortest} are needed.`,
            );
        return { calibration, evaluation, passages, window, calibrationText: parts.calibration };
    } finally {
        await model.dispose();
    }
}

/**
 * Passages from the beginning of a text.
 * @param {import('../web/index.js').Model} model
 * @param {string} text
 * @param {number} most tokens of all passages together
 * @param {AbortSignal} signal
 */
async function passagesFor(model, text, most, signal) {
    const found = [];
    let tokens = 0;
    for (const passage of passagesOf(text).slice(0, MOST_PASSAGES)) {
        tokens += (await model.tokenize(passage, { signal })).length;
        if (tokens > most && found.length >= FEWEST_PASSAGES) break;
        found.push(passage);
    }
    if (found.length < FEWEST_PASSAGES)
        throw new Unfit(
            `The text is too short: its second half has ${found.length} passages (paragraphs, lines or sentences of ` +
                `more than 40 characters), and at least ${FEWEST_PASSAGES} are needed.`,
        );
    return found;
}

/**
 * @param {Original} original
 * @param {number[]} tokens
 * @param {number} window
 * @param {Step} step
 * @param {AbortSignal} signal
 */
async function importanceOf({ source }, tokens, window, step, signal) {
    const model = await load(source, { contextLength: window, signal });
    try {
        const { bytes } = await model.importanceMatrix(tokens, {
            context: window,
            signal,
            onProgress: ({ done, total, secondsLeft }) => step.progress(done / total, secondsLeft),
        });
        return bytes;
    } finally {
        await model.dispose();
    }
}

/**
 * Reads the model from a local copy from now on.
 * @param {Original} original
 * @param {Awaited<ReturnType<typeof fetchModel>>} copy
 */
export const keepCopy = (original, copy) => void Object.assign(original, { source: copy.source, release: copy.remove });

/**
 * Makes and measures one file after the other. If one fails, the others are still made; an abort ends everything.
 * @param {{ original: Original, text: string, recipes: Recipe[], limits: Parameters<typeof tokensOf>[2] & { tuneSteps:
 *     number }, store: import('./lab-store.js').Store, signal: AbortSignal }} asked
 * @param {(label: string) => Step} addStep
 * @param {(made: Made, base?: Figures) => void} onMade called when a file is made, and again when it is measured
 * @param {(passages: string[] | null) => void} onRead called with the passages, if the model embeds texts
 */
export async function runLab({ original, text, recipes, limits, store, signal }, addStep, onMade, onRead) {
    const { source } = original;
    const fetching = typeof source === 'string' ? addStep('Download the model') : null;
    const reading = addStep('Read the text'),
        learns = recipes.some((recipe) => recipe.imatrix || recipe.tuned || calibrates(recipe)),
        wantsMatrix = recipes.some(({ imatrix }) => imatrix);
    const collecting = wantsMatrix ? addStep('Compute the importance matrix') : null;
    const tasks = recipes.map((recipe) => ({
        recipe,
        name: recipeName(recipe),
        making: addStep(`Quantize: ${recipeName(recipe)}`),
        tuning: recipe.tuned ? addStep(`Tune: ${recipeName(recipe)}`) : null,
        measuring: addStep(`Measure: ${recipeName(recipe)}`),
    }));

    /** Runs a step; undefined if it failed. @template T @param {Step} step @param {() => Promise<[T, string]>} run */
    const doing = async (step, run) => {
        signal.throwIfAborted();
        step.begin();
        try {
            const [result, note] = await run();
            step.end(note);
            return result;
        } catch (error) {
            step.fail(signal.aborted ? signal.reason : error);
            if (signal.aborted) throw signal.reason;
            return undefined;
        }
    };

    if (fetching) {
        const copy = await doing(fetching, async () => [
            await fetchModel(String(source), store, fetching.progress, signal),
            '',
        ]);
        if (!copy) return;
        keepCopy(original, copy);
    }
    const tokens = await doing(reading, async () => {
        const found = await tokensOf(original, text, limits, signal);
        const { calibration, evaluation, passages, window } = found,
            learned = learns ? `${calibration.length} tokens to calibrate` : '',
            windows = `in windows of ${window}`;
        const notes = passages
            ? [learned && `${learned} ${windows}`, `${passages.length} passages to measure`]
            : [learned, `${evaluation.length}${learned ? '' : ' tokens'} to measure, ${windows}`];
        return [found, notes.filter(Boolean).join(', ')];
    });
    if (!tokens) return;
    const { calibration, window, calibrationText } = tokens;
    onRead(tokens.passages);
    const matrix =
        collecting &&
        (await doing(collecting, async () => [
            await importanceOf(original, calibration, window, collecting, signal),
            '',
        ]));

    for (const { recipe, name, making, tuning, measuring } of tasks) {
        if (recipe.imatrix && !matrix) {
            making.fail(new Unfit('There is no importance matrix.'));
            tuning?.fail(new Unfit('There is nothing to tune.'));
            measuring.fail(new Unfit('There is nothing to measure.'));
            continue;
        }
        const file = fileName(original.name, recipe);
        let kept = await doing(making, async () => {
            const stream = quantize(original.source, {
                type: recipe.type,
                search: recipe.search,
                ...(recipe.imatrix && matrix ? { imatrix: matrix } : {}),
                ...(calibrates(recipe)
                    ? {
                          method: recipe.method,
                          calibration: calibrationText,
                          context: window,
                          samples: Math.ceil(calibration.length / window),
                      }
                    : {}),
                requantize: original.quantized,
                signal,
                onProgress: ({ loaded, total, secondsLeft, calibration: before }) => {
                    if (before) making.progress(before.share, secondsLeft);
                    // after calibration, writing takes no noticeable time
                    else if (!calibrates(recipe)) making.progress(total ? loaded / total : null, secondsLeft);
                },
            });
            return [await store.keep(file, /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (stream)), ''];
        });
        if (kept && tuning) {
            const { file: untuned, remove } = kept,
                { tuneSteps: steps } = limits,
                asked = {
                    original,
                    file: untuned,
                    name: file,
                    text: calibrationText,
                    tokens: calibration.length,
                    window,
                    steps,
                };
            try {
                kept = await doing(tuning, () => tuneFile({ ...asked, store, signal }, tuning));
            } finally {
                void remove();
            }
        } else tuning?.fail(new Unfit('There is nothing to tune.'));
        if (!kept) {
            measuring.fail(new Unfit('There is nothing to measure.'));
            continue;
        }
        /** @type {Made} */
        const made = { name, fileName: file, kept, figures: null };
        onMade(made);
        const figures = await doing(measuring, async () => [
            await measure(original, made, tokens, measuring, signal),
            '',
        ]);
        if (figures) onMade(Object.assign(made, { figures: figures.models[0] }), figures.base);
    }
}

/**
 * @param {Original} original
 * @param {Made} made
 * @param {Awaited<ReturnType<typeof tokensOf>>} text
 * @param {Step} step
 * @param {AbortSignal} signal
 * @returns {Promise<{ base: Figures, models: Figures[] }>}
 */
function measure({ name, source }, made, { passages, evaluation, window }, step, signal) {
    const models = [
        { source, name },
        { source: made.kept.file, name: made.name },
    ];
    /** @type {Omit<import('../web/index.js').EmbeddingCompareOptions, 'text'>} */
    const options = {
        weights: false,
        signal,
        onProgress: ({ done, total, secondsLeft }) => step.progress(total ? done / total : null, secondsLeft),
    };
    return passages
        ? compareEmbeddings(models, { ...options, text: passages, passages: passages.length })
        : compare(models, { ...options, text: evaluation, context: window });
}
