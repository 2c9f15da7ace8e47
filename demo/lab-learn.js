// Training in the lab: trains the model a little further on the text, and shows the loss and what the model writes.
import { load } from '../web/index.js';
import { QAT_OPTIONS } from '../web/qat-options.js';
import { announce, byId, make, setDisabled } from './dom.js';
import { fetchModel } from './lab-fetch.js';
import { download } from './lab-results.js';
import { problemOf } from './lab-steps.js';
import { halves } from './lab-text.js';
import { keepCopy } from './lab-work.js';
import { beginTraining, learn, sampleEvery, shareHeldOut, stepLine, whenOf } from './learning.js';
import { createLossPlot } from './train-plot.js';

/** @typedef {import('./lab-work.js').Original} Original */
/** @typedef {import('./lab-store.js').Kept} Kept */
/** @typedef {Partial<import('../web/index.js').TrainOptions>} Options */
/** A way to train. colour: of style.css.
 * @typedef {{ name: string, fileName: string, colour: string, options: Options }} Way */

/** How many characters of the second half are held out to measure the loss. */
const MOST_HELD_OUT = 8000;

const numberOf = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id)).valueAsNumber;
const FIELDS = ['learn-type', 'learn-steps', 'learn-batch', 'learn-length', 'learn-rate'];

/**
 * The training data: the tokens of the first half to learn from, followed by the beginning of the second half, which is
 * held out. It is short, so that measuring it takes little time.
 * @param {Original['source']} source
 * @param {string} text
 * @param {number} length of a sequence
 * @param {AbortSignal} signal
 */
async function dataOf(source, text, length, signal) {
    const model = await load(source, { headerOnly: true, signal });
    try {
        const { calibration, evaluation } = halves(text),
            learned = await model.tokenize(calibration, { signal }),
            heldOut = await model.tokenize(evaluation.slice(0, MOST_HELD_OUT), { signal }),
            data = [...learned, ...heldOut];
        return { data, validation: shareHeldOut(learned.length, data.length, length) };
    } finally {
        await model.dispose();
    }
}

/**
 * Ways to train: in F32, and with weights that are rounded to a type in each pass.
 * @param {string} type 'f32': only in F32
 * @returns {Way[]}
 */
function waysOf(type) {
    const qat = { type: /** @type {import('../web/index.js').QatType} */ (type) };
    /** @type {Way[]} */
    const ways = [{ name: 'In F32', fileName: 'trained.gguf', colour: '--mark', options: {} }];
    if (type !== 'f32')
        ways.push({
            name: `Rounded to ${type.toUpperCase()}`,
            fileName: `trained.${type.toUpperCase()}.gguf`,
            colour: '--danger',
            options: { qat },
        });
    return ways;
}

/**
 * @param {{ given: () => { original: Original | null, text: string | null },
 *     store: Promise<import('./lab-store.js').Store>, onBusy: (busy: boolean) => void | Promise<void> }} lab
 */
export function createLearnView({ given, store, onBusy }) {
    const plot = createLossPlot(byId('learn-plot'));
    /** @type {HTMLSelectElement} */
    const select = byId('learn-type');
    /** @type {HTMLProgressElement} */
    const bar = byId('learn-bar');
    /** @type {AbortController | null} */
    let running = null;
    /** Whether the lab is busy with something else. */
    let locked = false;
    /** Models that were trained. @type {Kept[]} */
    let files = [];

    function ready() {
        const { original, text } = given();
        setDisabled(['learn-start'], running !== null || locked || !original || !text);
        setDisabled(FIELDS, running !== null);
        byId('learn-start').hidden = running !== null;
        byId('learn-stop').hidden = byId('learn-progress').hidden = running === null;
    }

    /** Removes the results of the last run. */
    function forget() {
        for (const file of files) void file.remove();
        files = [];
        byId('learned').hidden = true;
        byId('learn-columns').replaceChildren();
        plot.show([]);
    }

    /** Adds a column that shows what the model writes. @param {Way} way */
    function columnOf({ name, colour }) {
        const note = make('p', { class: 'meta' }),
            sample = make('p', { class: 'body', dir: 'auto' }),
            head = make('h3', { class: colour.slice(2) }, name),
            column = make('div', { class: 'column learning' }, head, note, sample);
        byId('learn-columns').append(column);
        return {
            /** @param {string} text @param {string} when */
            say(text, when) {
                sample.textContent = text;
                note.textContent = when;
            },
            /** @param {Kept} kept @param {string} fileName */
            offer(kept, fileName) {
                const button = make('button', { type: 'button', class: 'text-button' }, 'Save the model');
                button.addEventListener('click', () => download({ kept, fileName }));
                column.append(button);
            },
        };
    }

    /** @param {AbortSignal} signal */
    async function run(signal) {
        const { original, text } = given(),
            place = await store;
        if (!original || !text) return;
        if (typeof original.source === 'string') {
            byId('learn-step').textContent = 'Downloading the model';
            keepCopy(original, await fetchModel(original.source, place, (share) => setBar(share), signal));
        }
        byId('learn-step').textContent = 'Reading the text';
        setBar(null);
        const length = numberOf('learn-length'),
            steps = numberOf('learn-steps'),
            ways = waysOf(select.value),
            /** @type {import('./train-plot.js').Curve[]} */
            curves = ways.map(({ colour }) => ({ history: [], stroke: colour, heldOut: colour }));
        const options = {
            ...{ steps, length, batch: numberOf('learn-batch'), rate: numberOf('learn-rate') },
            ...(await dataOf(original.source, text, length, signal)),
            validateEvery: sampleEvery(steps),
        };
        for (const [i, way] of ways.entries()) {
            if (signal.aborted) break;
            byId('learn-step').textContent = 'Loading the model';
            setBar(null);
            const training = await beginTraining(original.source, { ...options, ...way.options }, signal);
            try {
                await watch(training, way, signal, (step) => {
                    curves[i].history.push(step);
                    plot.show(curves);
                });
            } finally {
                await training.dispose();
            }
        }
    }

    /**
     * Runs a training to its end, and keeps the model.
     * @param {import('./learning.js').Training} training
     * @param {Way} way
     * @param {AbortSignal} signal
     * @param {(step: import('./learning.js').TrainStep) => void} onStep
     */
    async function watch(training, way, signal, onStep) {
        byId('learned').hidden = false;
        const column = columnOf(way),
            { steps } = training.info;
        await learn(
            training,
            signal,
            (step) => {
                onStep(step);
                setBar(step.step / steps);
                byId('learn-step').textContent = `${way.name}: ${stepLine(step, steps)}`;
            },
            (written) => column.say(written, whenOf(training)),
        );
        const stream = /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (training.model()),
            kept = await (await store).keep(way.fileName, stream);
        files.push(kept);
        column.offer(kept, way.fileName);
    }

    /** @param {number | null} share */
    function setBar(share) {
        if (share === null) bar.removeAttribute('value');
        else bar.value = share;
    }

    async function start() {
        if (running || locked || FIELDS.some((id) => !(/** @type {HTMLInputElement} */ (byId(id)).reportValidity())))
            return;
        const { signal } = (running = new AbortController()),
            problem = byId('learn-problem');
        problem.hidden = true;
        forget();
        ready();
        byId('learn-stop').focus();
        try {
            await onBusy(true);
            await run(signal);
            announce(signal.aborted ? 'Stopped.' : 'Done.');
        } catch (error) {
            if (signal.aborted) announce('Stopped.');
            else {
                problem.textContent = problemOf(error);
                problem.hidden = false;
            }
        } finally {
            running = null;
            ready();
            await onBusy(false);
            byId('learn-start').focus();
        }
    }

    byId('learn-start').addEventListener('click', start);
    byId('learn-stop').addEventListener('click', () => running?.abort());
    select.append(
        ...(QAT_OPTIONS.type.choices ?? []).map((type) =>
            make('option', { value: type }, type === 'f32' ? 'nothing' : type.toUpperCase()),
        ),
    );
    select.value = 'q4_0';
    ready();

    return {
        forget,
        stop: () => running?.abort(),
        restyle: plot.restyle,
        /** @param {boolean} value whether the lab is busy with something else */
        lock(value) {
            locked = value;
            ready();
        },
    };
}
