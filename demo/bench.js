// The bench page: chooses a model, runs the measurement, and shows the results.

import { showResults } from './bench-view.js';
import { configurations, REPETITIONS, runConfiguration } from './bench-work.js';
import { announce, byId, make, setDisabled } from './dom.js';
import { acceptChoice, acceptDrops } from './drop.js';
import { explain } from './explain.js';
import { isAbsent, SMOLLM, STORYTELLER } from './known-models.js';
import { keepWhatWasLoaded, startOffline } from './offline.js';
import { candidateAt, candidateOf } from './open-view.js';
import { setUpTheme } from './theme.js';

/** @typedef {import('./open-view.js').Candidate} Candidate */

/** @type {HTMLSelectElement} */
const select = byId('model');
/** @type {HTMLProgressElement} */
const bar = byId('bar');
/** @type {Candidate[]} */
const candidates = [];
/** @type {AbortController | null} */
let running = null;

/** Adds a model to the list, and selects it. @param {Candidate} candidate */
function offer(candidate) {
    if (running) return;
    let index = candidates.findIndex((known) => known.source === candidate.source);
    if (index < 0) {
        index = candidates.push(candidate) - 1;
        const text = [candidate.name, candidate.size].filter(Boolean).join(', ');
        select.append(make('option', { value: String(index) }, text));
    }
    select.value = String(index);
}

const offerFiles = (/** @type {import('./drop.js').Given} */ given) => offer(candidateOf(given));

/** @param {boolean} busy */
function setBusy(busy) {
    setDisabled(['model', 'pick', 'start'], busy);
    byId('cancel').hidden = !busy;
    byId('start').hidden = busy;
    byId('progress').hidden = !busy;
}

/** @param {Candidate} candidate */
async function run({ name, source }) {
    const { signal } = (running = new AbortController());
    const all = configurations(),
        steps = REPETITIONS + 2;
    /** @type {import('./bench-work.js').Outcome[]} */
    const outcomes = [];
    showResults(name, outcomes);
    byId('problem').hidden = true;
    bar.max = all.length * steps;
    setBusy(true);
    byId('cancel').focus();
    announce(`Measuring ${name}`);
    try {
        for (const [i, configuration] of all.entries()) {
            // without relaxed SIMD the other configurations would run the same simd128 build with exact activations
            const plain = outcomes.length > 0 && !outcomes[0].info.build.startsWith('relaxed');
            if (plain && (configuration.precision || configuration.build)) continue;
            let step = 0;
            outcomes.push(
                await runConfiguration(source, configuration, signal, (what) => {
                    bar.value = i * steps + step++;
                    byId('step').textContent = `Configuration ${i + 1} of ${all.length}: ${what}`;
                }),
            );
            showResults(name, outcomes);
        }
        announce(`Done. Configurations of nibble that were measured: ${outcomes.length}.`);
        keepWhatWasLoaded();
    } catch (error) {
        if (signal.aborted) return announce('Cancelled.');
        const { title, remedy } = explain(error);
        byId('problem').replaceChildren(make('strong', {}, title.replace(/\.?$/, '.')), ` ${remedy}`);
        byId('problem').hidden = false;
    } finally {
        running = null;
        setBusy(false);
        byId('start').focus();
    }
}

byId('form').addEventListener('submit', (event) => {
    event.preventDefault();
    const candidate = candidates[Number(select.value)];
    if (candidate && !running) run(candidate);
});
byId('cancel').addEventListener('click', () => running?.abort());
addEventListener('keydown', (event) => event.key === 'Escape' && running?.abort());
acceptChoice(byId('files'), byId('pick'), offerFiles);
byId('copy').addEventListener('click', async () => {
    try {
        await navigator.clipboard.writeText(byId('report').textContent ?? '');
        announce('Copied');
        byId('copy').textContent = 'Copied';
    } catch {
        getSelection()?.selectAllChildren(byId('report')); // the clipboard is forbidden: select the text for Ctrl+C
        announce('Selected');
    }
    setTimeout(() => {
        byId('copy').textContent = 'Copy';
    }, 2000);
});
acceptDrops(byId('drop-cover'), offerFiles);
setUpTheme(byId('theme'), () => {});
await startOffline();

const address = new URLSearchParams(location.search).get('model');
if (address) {
    offer(candidateAt(address, [SMOLLM, STORYTELLER]));
} else if (!(await isAbsent(String(SMOLLM.source)))) {
    offer(SMOLLM);
}
offer(STORYTELLER);
select.value = '0';
setBusy(false);
