// The quantization lab: makes files of several types from a model, and measures on a text what each of them costs.
import { load } from '../web/index.js';
import { announce, byId, make, setDisabled } from './dom.js';
import { formatBytes, formatCount } from './format.js';
import { SMOLLM, STORYTELLER } from './known-models.js';
import { createLabChat } from './lab-chat.js';
import { createLearnView } from './lab-learn.js';
import { createPlots } from './lab-plots.js';
import { createRecipeView } from './lab-recipes.js';
import { createResultsView } from './lab-results.js';
import { createStepsView, problemOf } from './lab-steps.js';
import { openStore } from './lab-store.js';
import { createTextView, isText } from './lab-text.js';
import { runLab, Unfit } from './lab-work.js';
import { keepWhatWasLoaded, startOffline } from './offline.js';
import { candidateAt, candidateOf, createOpenView } from './open-view.js';
import { setUpTheme } from './theme.js';

/** @typedef {import('./open-view.js').Candidate} Candidate */
/** @typedef {import('./lab-work.js').Made} Made */

/** Bytes of weights that a page can hold. Its memory ends at 4 GiB, and computing needs some of it. */
const MOST = 3.8e9;
/** Files that a run needs and the page does not load itself. They are cached for use without a network. */
const NEEDED = [
    './sample.txt',
    ...['engine-worker', 'pool-worker', 'jinja'].map((name) => `../build/${name}.js`),
    ...['convert', 'quantize', 'quantize-threads', 'train', 'train-threads'].map(
        (name) => `../build/wasm/nibble-${name}.wasm`,
    ),
].map((path) => new URL(path, import.meta.url).href);

/** @type {import('./lab-work.js').Original | null} */
let original = null;
/** @type {AbortController | null} of the run */
let running = null;
/** @type {AbortController | null} of the model whose header is being read */
let inspecting = null;
/** @type {import('./lab-plots.js').Figures | null} the original's figures */
let base = null;
/** @type {Made[]} */
let made = [];
/** @type {string[] | null} passages of the text, if the model embeds texts */
let passages = null;

let chatting = false;
let isLearning = false;
const store = openStore();
store.then(({ inMemory }) => {
    byId('memory-note').hidden = !inMemory;
    byId('kept-note').hidden = inMemory;
});
const steps = createStepsView();
const plots = createPlots();
const results = createResultsView({ onRemove: remove });
const text = createTextView(ready);
const recipes = createRecipeView(ready);
const chat = createLabChat({ onBusy: (busy) => setBusy(busy) });
const learning = createLearnView({
    given: () => ({ original, text: text.given() }),
    store,
    async onBusy(busy) {
        isLearning = busy;
        setDisabled(['open-model'], busy);
        ready();
        await chat.lock(busy || running !== null);
    },
});
const openView = createOpenView([SMOLLM, STORYTELLER], inspect, openDrop);

/** Enables the start button if a run has all that it needs, and says what is missing otherwise. */
function ready() {
    // a microtask, because views call this while they are created, before the other views exist
    queueMicrotask(() => {
        const lacking = [
            !original && 'a model',
            !text.given() && 'a text',
            recipes.recipes().length === 0 && 'a file to make',
        ].filter((what) => typeof what === 'string');
        const busy = running !== null || chatting || isLearning;
        learning.lock(running !== null || chatting);
        setDisabled(['start'], lacking.length > 0 || busy);
        byId('start-note').textContent = lacking.length > 0 && !busy ? `Still needed: ${lacking.join(', ')}.` : '';
    });
}

/** @param {boolean} busy whether a chat is going on */
function setBusy(busy) {
    chatting = busy;
    ready();
}

/** @param {import('./drop.js').Given} given */
function openDrop(given) {
    const [file] = given.files;
    if (running || isLearning) return;
    if (given.folder === undefined && given.files.length === 1 && isText(file)) text.openFile(file);
    else inspect(candidateOf(given));
}

/** Reads the header of the chosen model. @param {Candidate} candidate */
async function inspect(candidate) {
    if (running || chatting || isLearning) return;
    inspecting?.abort();
    const mine = (inspecting = new AbortController());
    original?.release?.();
    original = null;
    forget();
    learning.forget();
    ready();
    say(`Reading the header of ${candidate.name}`);
    try {
        const model = await load(candidate.source, { headerOnly: true, signal: mine.signal });
        const { info } = model;
        await model.dispose();
        if (mine !== inspecting) return;
        refuseUnfit(info);
        const quantized = info.types.some(({ type, share }) => share > 0.1 && !/^(F32|F16|BF16|F64)$/.test(type));
        const embeds = info.encoder === true || info.causal === false;
        original = { name: candidate.name, source: candidate.source, quantized, embeds };
        recipes.setEmbeds(embeds);
        byId('learn').hidden = embeds;
        const facts = [
            info.architecture,
            `${formatCount(info.parameters)} weights`,
            formatBytes(info.bytes),
            info.types
                .map(({ type }) => type)
                .slice(0, 3)
                .join(', '),
        ].filter(Boolean);
        say(
            candidate.name,
            facts.join(' · ') +
                (quantized
                    ? '. Its weights are quantized already, so quantizing them again loses more than the original ' +
                      'would.'
                    : ''),
        );
        keepWhatWasLoaded(NEEDED);
    } catch (error) {
        if (mine === inspecting) say(problemOf(error), '', true);
    } finally {
        if (mine === inspecting) inspecting = null;
        ready();
    }
}

/** @param {import('../web/index.js').ModelInfo} info */
function refuseUnfit({ unsupported, bytes }) {
    if (unsupported) throw new Unfit(`nibble cannot run this model: ${unsupported}`);
    if (bytes > MOST)
        throw new Unfit(
            `This model has ${formatBytes(bytes)} of weights, and a page can hold 4 GB. Take a smaller model. On the ` +
                'command line, nibble quantize takes one of any size.',
        );
}

/** @param {string} what @param {string} [more] @param {boolean} [problem] */
function say(what, more = '', problem = false) {
    const state = byId('model-state');
    state.replaceChildren(what, ...(more ? [make('small', {}, more)] : []));
    state.classList.toggle('wrong', problem);
}

/** Removes the files that were made of the last model. */
function forget() {
    for (const { kept } of made) kept.remove();
    made = [];
    base = null;
    passages = null;
    steps.clear();
    show();
}

/** @param {Made} one */
function remove(one) {
    made = made.filter((other) => other !== one);
    show();
    one.kept.remove();
}

function show() {
    results.show(original, base, made);
    const measured = made.flatMap(({ name, figures }) => (figures ? [{ name, figures, base: false }] : []));
    plots.show(
        [...(base ? [{ name: 'Original', figures: base, base: true }] : []), ...measured],
        original?.embeds === true,
    );
    byId('try').hidden = made.length === 0;
    chat.setSpeakers(
        original && made.length > 0
            ? [
                  { name: 'Original', source: original.source },
                  ...made.map(({ name, kept }) => ({ name, source: kept.file })),
              ]
            : [],
        passages,
    );
}

const whole = (/** @type {string} */ id) => {
    /** @type {HTMLInputElement} */
    const input = byId(id);
    return input.reportValidity() ? input.valueAsNumber : NaN;
};

async function start() {
    const given = text.given();
    const limits = {
        calibrationTokens: whole('calibration-tokens'),
        evaluationTokens: whole('evaluation-tokens'),
        tuneSteps: whole('tune-steps'),
    };
    if (!original || !given || running || chatting || isLearning || Object.values(limits).some(Number.isNaN)) return;
    const { signal } = (running = new AbortController());
    forget();
    setRunning(true);
    byId('stop').focus();
    try {
        await chat.lock(true);
        const asked = { original, text: given, recipes: recipes.recipes(), limits, store: await store, signal };
        /** @type {Parameters<typeof runLab>[2]} */
        const onMade = (one, facts) => {
            if (!one.figures) made.push(one);
            // the original is measured again for each file; keep the first figures
            base ??= facts ?? null;
            show();
        };
        await runLab(asked, steps.add, onMade, (read) => {
            passages = read;
        });
        announce('Done.');
        keepWhatWasLoaded(NEEDED);
    } catch (error) {
        if (!signal.aborted) showProblem(error);
        else announce('Stopped.');
    } finally {
        running = null;
        steps.endRun();
        setRunning(false);
        await chat.lock(false);
        byId('start').focus();
    }
}

/** @param {unknown} error */
function showProblem(error) {
    byId('problem').textContent = problemOf(error);
    byId('problem').hidden = false;
}

/** @param {boolean} busy */
function setRunning(busy) {
    byId('start').hidden = busy;
    byId('stop').hidden = !busy;
    if (busy) byId('problem').hidden = true;
    setDisabled(['open-model', 'calibration-tokens', 'evaluation-tokens', 'tune-steps'], busy);
    text.setBusy(busy);
    recipes.setBusy(busy);
    ready();
}

byId('open-model').addEventListener('click', () => openView.show());
byId('start').addEventListener('click', start);
byId('stop').addEventListener('click', () => running?.abort());
addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || document.querySelector('dialog[open]')) return;
    running?.abort();
    learning.stop();
    chat.stop();
});
setUpTheme(byId('theme'), () => {
    plots.restyle();
    learning.restyle();
});
await startOffline();
keepWhatWasLoaded();

const address = new URLSearchParams(location.search).get('model');
if (address) inspect(candidateAt(address, [SMOLLM, STORYTELLER]));
