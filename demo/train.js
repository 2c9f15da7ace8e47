// The training page: trains a model on a text, shows the loss and what the model writes, and saves the model.
import { announce, byId, make, setDisabled } from './dom.js';
import { acceptChoice, acceptDrops } from './drop.js';
import { explain } from './explain.js';
import { STORYTELLER } from './known-models.js';
import { fetchModel } from './lab-fetch.js';
import { openStore } from './lab-store.js';
import { createTextView, isText } from './lab-text.js';
import { beginTraining, learn, sampleEvery, stepLine, whenOf } from './learning.js';
import { keepWhatWasLoaded, startOffline } from './offline.js';
import { candidateAt, candidateOf } from './open-view.js';
import { setUpTheme } from './theme.js';
import { createLossPlot } from './train-plot.js';

/** @typedef {import('./open-view.js').Candidate} Candidate */
/** @typedef {import('../web/index.js').Training} Training */
/** @typedef {import('../web/index.js').TrainStep} TrainStep */

/** Files that a run needs and the page does not load itself. They are cached for use without a network. */
const NEEDED = [
    './sample.txt',
    ...['engine-worker', 'pool-worker'].map((name) => `../build/${name}.js`),
    ...['convert', 'train', 'train-threads'].map((name) => `../build/wasm/nibble-${name}.wasm`),
].map((path) => new URL(path, import.meta.url).href);

/** The share of the text that is held out. */
const HELD_OUT = 0.1;

/** @type {HTMLSelectElement} */
const select = byId('model');
/** @type {HTMLProgressElement} */
const bar = byId('bar');
/** @type {Candidate[]} */
const candidates = [];
/** @type {AbortController | null} of the run */
let running = null;
/** The last run, whose model can be saved until the next one. @type {Training | null} */
let training = null;
/** Removes the local copy of the model's files. */
let removeCopy = () => {};
const store = openStore();

const text = createTextView(ready, 'Its last tenth is held out.');
const plot = createLossPlot(byId('plot'));

/** Enables the start button if a run has all that it needs, and says what is missing otherwise. */
function ready() {
    queueMicrotask(() => {
        setDisabled(['start'], running !== null || !text.given());
        byId('start-note').textContent = running || text.given() ? '' : 'Still needed: a text.';
    });
}

/** Adds a model to the list, and selects it. @param {Candidate} candidate */
function offer(candidate) {
    if (running) return;
    const index = candidates.push(candidate) - 1;
    select.append(
        make('option', { value: String(index) }, [candidate.name, candidate.size].filter(Boolean).join(', ')),
    );
    select.value = String(index);
}

/** @param {import('./drop.js').Given} given */
function openGiven(given) {
    if (running) return;
    const [file] = given.files;
    if (given.folder === undefined && given.files.length === 1 && isText(file)) void text.openFile(file);
    else offer(candidateOf(given));
}

/** @param {AbortController | null} run */
function setBusy(run) {
    const busy = run !== null;
    running = run;
    setDisabled(['model', 'pick', 'steps', 'batch', 'length', 'rate'], busy);
    setDisabled(['save'], busy || training === null);
    text.setBusy(busy);
    byId('stop').hidden = !busy;
    byId('start').hidden = busy;
    byId('progress').hidden = !busy;
    ready();
}

const numberOf = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id)).valueAsNumber;

/** Disposes of the last run's worker and files. */
async function forget() {
    const last = training;
    training = null;
    await last?.dispose();
    removeCopy();
    removeCopy = () => {};
}

/**
 * The files to train: those that were given, or local copies of those at a URL, as they are read
 * more than once.
 * @param {Candidate['source']} source
 * @param {AbortSignal} signal
 */
async function filesOf(source, signal) {
    if (typeof source !== 'string') return source;
    const copy = await fetchModel(source, await store, (share) => share !== null && setBar(share, 1), signal);
    removeCopy = copy.remove;
    return copy.source;
}

/** @param {number} value @param {number} max */
function setBar(value, max) {
    bar.max = max;
    bar.value = value;
}

/** @param {unknown} error */
function showProblem(error) {
    const { title, remedy } = explain(error);
    byId('problem').replaceChildren(make('strong', {}, title.replace(/\.?$/, '.')), ` ${remedy}`);
    byId('problem').hidden = false;
}

/** @param {Candidate} candidate @param {string} data */
async function run({ source }, data) {
    const controller = new AbortController(),
        { signal } = controller;
    setBusy(controller);
    byId('problem').hidden = true;
    // clear the results of the last run
    byId('results').hidden = true;
    byId('sample').textContent = byId('sample-note').textContent = '';
    plot.show([]);
    byId('step').textContent = 'Loading the model';
    bar.removeAttribute('value');
    byId('stop').focus();
    try {
        await forget();
        const steps = numberOf('steps');
        const options = {
            ...{ data, steps, batch: numberOf('batch'), length: numberOf('length'), rate: numberOf('rate') },
            ...{ validation: HELD_OUT, validateEvery: sampleEvery(steps) },
        };
        training = await beginTraining(await filesOf(source, signal), options, signal);
        byId('results').hidden = false;
        await watch(training, signal);
        announce(`${signal.aborted ? 'Stopped' : 'Done'} after ${training.step} steps.`);
        keepWhatWasLoaded(NEEDED);
    } catch (error) {
        if (signal.aborted) return announce('Stopped.');
        showProblem(error);
    } finally {
        setBusy(null);
        byId('start').focus();
    }
}

/** @param {Training} current @param {AbortSignal} signal */
async function watch(current, signal) {
    const { steps } = current.info;
    /** @type {TrainStep[]} */
    const history = [];
    setBar(0, steps);
    await learn(
        current,
        signal,
        (step) => {
            history.push(step);
            setBar(step.step, steps);
            byId('step').textContent = stepLine(step, steps);
            plot.show([{ history, stroke: '--mark', heldOut: '--danger' }]);
        },
        (text) => {
            byId('sample').textContent = text;
            byId('sample-note').textContent = whenOf(current);
        },
    );
}

async function save() {
    const current = training;
    if (!current) return;
    try {
        const blob = await new Response(/** @type {any} */ (current.model())).blob(),
            url = URL.createObjectURL(blob);
        make('a', { href: url, download: 'trained.gguf' }).click();
        setTimeout(() => URL.revokeObjectURL(url), 60_000); // time for the browser to read it
    } catch (error) {
        if (current === training) showProblem(error); // unless the next run has begun
    }
}

byId('start').addEventListener('click', () => {
    const candidate = candidates[Number(select.value)],
        data = text.given();
    if (candidate && data && !running) run(candidate, data);
});
byId('stop').addEventListener('click', () => running?.abort());
addEventListener('keydown', (event) => event.key === 'Escape' && running?.abort());
byId('save').addEventListener('click', save);
acceptChoice(byId('files'), byId('pick'), openGiven);
acceptDrops(byId('drop-cover'), openGiven);
setUpTheme(byId('theme'), plot.restyle);
await startOffline();

const address = new URLSearchParams(location.search).get('model');
if (address) offer(candidateAt(address, [STORYTELLER]));
offer(STORYTELLER);
select.value = '0';
setBusy(null);
