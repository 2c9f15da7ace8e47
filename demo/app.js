// The chat page: loads a model, keeps the conversation, and connects the views. The engine is ../web/index.js.
import { load } from '../web/index.js';
import { createAbilities } from './abilities.js';
import { createChatView } from './chat-view.js';
import { createComposer } from './composer.js';
import { announce, byId, fillFacts, iconButton, make } from './dom.js';
import { explain } from './explain.js';
import { modelFacts } from './facts.js';
import { formatBytes, formatCount, formatDuration, formatRate } from './format.js';
import { isAbsent, SMOLLM, STORYTELLER } from './known-models.js';
import { createLoadView } from './load-view.js';
import { keepWhatWasLoaded, startOffline } from './offline.js';
import { candidateAt, createOpenView } from './open-view.js';
import { setUpPanel } from './panel.js';
import { createSettings } from './settings.js';
import { createSpeed } from './speed.js';
import { talk } from './talk.js';
import { setUpTheme } from './theme.js';

/** @typedef {import('../web/index.js').Model} Model */
/** @typedef {import('./open-view.js').Candidate} Candidate */
/** @typedef {import('../web/index.js').Message} Message */

const SUGGESTIONS = [
    'Why is the sky blue? Explain it to a child.',
    'Write a short poem about the first snow.',
    'Give me three names for a ginger cat.',
    'What is the capital of Norway?',
];
const STORIES = [
    'Tell me a story.',
    'Tell me a story about a bird.',
    'Tell me a story about a lost ball.',
    'Tell me a story about two friends.',
];

// ?model=URL&build=NAME&threads=N&context=N: for tests, and to try the settings of another device.
const parameters = new URLSearchParams(location.search);

/** @type {Model | null} */
let model = null;
/** @type {AbortController | null} of the load that is going on */
let loading = null;
/** @type {ReturnType<typeof talk> | null} the answer that is being written */
let answering = null;
/** @type {Message[]} */
let turns = [];

const loadView = createLoadView();
const speed = createSpeed();
const settings = createSettings(byId('settings'), byId('settings-reset'));
const abilities = createAbilities();
const chat = createChatView({ onRetry: retry });
const composer = createComposer({ onSend: send, onStop: () => answering?.stop() });
const openView = createOpenView([SMOLLM, STORYTELLER], open);

/** @param {string} name @param {'loading' | 'ready' | 'failed'} state */
function showModel(name, state) {
    byId('model-name').textContent = name;
    byId('model-dot').dataset.state = state;
}

/**
 * Shows a line under the bar until it is closed.
 * @param {string} id of its kind; it replaces an earlier notice of the same kind
 * @param {...(string | Node)} text
 */
function notify(id, ...text) {
    retract(id);
    const notice = make('div', { class: 'notice', id: `notice-${id}`, role: 'status' }, make('p', {}, ...text));
    notice.append(
        iconButton('Close this notice', 'close', () => {
            notice.remove();
            composer.focus();
        }),
    );
    byId('notices').append(notice);
}

/** Takes back a notice. @param {string} id */
function retract(id) {
    document.getElementById(`notice-${id}`)?.remove();
}

// ---- loading ----

/** The options of load() that the page's URL gives. @returns {import('../web/index.js').LoadOptions} */
function loadOptions() {
    const whole = (/** @type {string} */ name) => (parameters.has(name) ? Number(parameters.get(name)) : undefined);
    return {
        threads: whole('threads'),
        contextLength: whole('context'),
        build: /** @type {import('../web/index.js').Build | undefined} */ (parameters.get('build') ?? undefined),
    };
}

/** @param {Candidate} candidate */
async function open(candidate) {
    loading?.abort();
    answering?.stop();
    const mine = (loading = new AbortController());
    // Dispose of the old model first, as two may not fit into memory.
    const old = model;
    model = null;
    byId('chat').hidden = true;
    showModel(candidate.name, 'loading');
    showNoFigures();
    loadView.start(candidate.name, () => mine.abort());
    if (candidate !== STORYTELLER) retract('stories');
    await old?.dispose();

    try {
        const opened = await load(candidate.source, {
            ...loadOptions(),
            signal: mine.signal,
            onProgress: loadView.progress,
        });
        if (mine !== loading) return void opened.dispose(); // another model was chosen meanwhile
        model = opened;
        ready(candidate);
    } catch (error) {
        if (mine !== loading) return;
        showModel('no model', 'failed');
        const others = [SMOLLM, STORYTELLER].filter((other) => other.source !== candidate.source);
        loadView.fail(explain(error), [
            { label: 'Try again', run: () => open(candidate) },
            { label: 'Open another model', run: () => openView.show(), quiet: true },
            ...others
                .slice(0, 1)
                .map((other) => ({ label: `Load ${other.name}`, run: () => void open(other), quiet: true })),
        ]);
    } finally {
        if (mine === loading) loading = null;
    }
}

/** @param {Candidate} candidate */
function ready(candidate) {
    const { info } = /** @type {Model} */ (model);
    showModel(candidate.name, 'ready');
    loadView.hide();
    byId('chat').hidden = false;
    byId('stat-build').textContent = info.build;
    byId('stat-threads').textContent = String(info.threads);
    const { source } = candidate; // only a URL can be passed to another page, not files
    const query = typeof source === 'string' ? `?${new URLSearchParams({ model: source })}` : '';
    byId('bench-link').setAttribute('href', `./bench.html${query}`);
    byId('lab-link').setAttribute('href', `./lab.html${query}`);
    showUse(0);
    fillFacts(byId('facts'), modelFacts(info));
    abilities.show(info);
    showSuggestions(candidate === STORYTELLER ? STORIES : SUGGESTIONS);
    byId('welcome-text').textContent =
        candidate === STORYTELLER
            ? 'This small model only tells simple stories. It runs in this page, and so would a larger one.'
            : 'The whole model runs in this page. Nothing you type leaves it.';
    if (!globalThis.crossOriginIsolated) {
        notify(
            'threads',
            'One thread only: this server does not send the cross-origin isolation headers (COOP and COEP) ' +
                'that threads need. Everything works, more slowly.',
        );
    }
    if (info.chatTemplate) retract('template');
    else
        notify(
            'template',
            'This model has no chat template: it was not taught to answer, and continues what you write.',
        );
    announce(`${candidate.name} is ready, loaded in ${formatDuration(info.loadMs / 1000)}.`);
    composer.focus();
    keepWhatWasLoaded();
}

/** @param {string[]} texts */
function showSuggestions(texts) {
    byId('suggestions').replaceChildren(
        ...texts.map((text) => {
            const button = make('button', { type: 'button' }, text);
            button.addEventListener('click', () => {
                send(text);
                composer.focus(); // the button is hidden now
            });
            return make('li', {}, button);
        }),
    );
}

/** Clears the figures of the last model. */
function showNoFigures() {
    for (const id of ['stat-build', 'stat-threads', 'stat-memory', 'stat-context']) byId(id).textContent = '–';
    fillFacts(byId('facts'), [['Model', 'not loaded yet']]);
}

/** Shows the memory, and how much of the context is used. @param {number} tokens */
function showUse(tokens) {
    if (!model) return;
    byId('stat-memory').textContent = formatBytes(model.info.memoryBytes);
    byId('stat-context').textContent = `${formatCount(tokens)} of ${formatCount(model.info.contextLength)}`;
}

// ---- talking ----

/** @param {string} text */
function send(text) {
    if (!model || answering) return;
    turns.push({ role: 'user', content: text });
    chat.addUser(text);
    answer();
}

/** Answers the last question again. */
function retry() {
    if (!model || answering) return;
    while (turns.length > 0 && turns[turns.length - 1].role !== 'user') turns.pop();
    lastAnswer?.remove();
    answer();
    composer.focus(); // the button is gone
}

/** The conversation without unanswered questions, except for the last: in many templates roles must alternate.
 * @param {Message[]} all */
const answered = (all) =>
    all.filter(({ role }, i) => role !== 'user' || i === all.length - 1 || all[i + 1].role !== 'user');

/** @type {import('./chat-view.js').AnswerView | null} */
let lastAnswer = null;

async function answer() {
    const speaker = model;
    if (!speaker) return;
    const view = (lastAnswer = chat.addAnswer());
    const asked = turns;
    const conversation = answered(asked);
    const isOver = () => asked !== turns; // a new chat has begun, so nothing of this one is shown any more
    composer.setAnswering(true);
    announce('nibble is answering');
    speed.begin();

    let text = '';
    let hasBegun = false;
    /** @type {ReturnType<typeof talk> | null} */
    let mine = null;
    /** @type {Message[] | null} what the conversation goes on with */
    let added = null;
    /** @type {import('./talk.js').Hearer} */
    const hearer = {
        chunk(chunk) {
            if (isOver()) return;
            hasBegun = true;
            text += chunk.text;
            speed.tick(mine?.tokens() ?? 0);
            view.append(chunk);
        },
        result(call, result) {
            if (!isOver()) view.result(call, result);
        },
    };
    try {
        // If the context is too short, leave out the oldest exchanges, one more at each try.
        for (let from = 0; ; ) {
            mine = answering = talk(speaker, conversation.slice(from), manner(), hearer);
            try {
                const { result, added: messages } = await mine.done;
                added = messages;
                if (isOver()) return;
                speed.end(result.timings);
                showUse(result.promptTokens + result.tokens.length);
                view.finish(summary(result, mine.tokens()));
                announce(result.finishReason === 'abort' ? 'Stopped.' : text);
                if (from > 0)
                    notify(
                        'context',
                        'The conversation is longer than the model can hold: its oldest messages were left out.',
                    );
                return;
            } catch (error) {
                const full = /** @type {{ code?: string }} */ (error)?.code === 'NB_ERR_CONTEXT';
                from = conversation.findIndex(({ role }, i) => i > from && role === 'user');
                if (!full || hasBegun || from < 0) throw error;
            }
        }
    } catch (error) {
        if (isOver()) return;
        if (speaker !== model) return view.finish('stopped: another model was opened');
        const { title, remedy } = explain(error);
        view.fail(title, remedy);
        announce(`${title} ${remedy}`);
    } finally {
        // keep the text, even if the answer was stopped
        if (added) asked.push(...added);
        else if (text) asked.push({ role: 'assistant', content: text });
        if (mine === answering) {
            answering = null;
            composer.setAnswering(false);
        }
    }
}

/** How the model is to answer, by the settings. */
function manner() {
    const options = settings.options(),
        thinking = abilities.thinking(options.maxTokens);
    return {
        system: settings.system(),
        tools: abilities.tools(),
        options: { ...options, ...(thinking !== undefined && { thinking }) },
    };
}

/**
 * The line under an answer.
 * @param {import('../web/index.js').Result} result
 * @param {number} total tokens, with those of answers that called functions
 */
function summary({ promptTokens, tokens, timings, finishReason }, total) {
    const parts = [`${total} tokens`];
    if (timings.generateTokensPerSecond) parts.push(`${formatRate(timings.generateTokensPerSecond)} tokens/s`);
    if (speed.firstToken() > 0) parts.push(`first after ${formatDuration(speed.firstToken())}`);
    if (finishReason === 'abort') parts.push('stopped');
    if (finishReason === 'length') {
        const full = promptTokens + tokens.length >= (model?.info.contextLength ?? Infinity);
        parts.push(full ? 'cut off: the context is full' : 'cut off at the limit of the settings');
    }
    return parts.join(' · ');
}

function clear() {
    answering?.stop();
    answering = null;
    composer.setAnswering(false);
    turns = [];
    chat.clear();
    retract('context');
    showUse(0);
    if (model) composer.focus();
}

// ---- starting ----

byId('open-model').addEventListener('click', () => openView.show());
byId('clear').addEventListener('click', clear);
addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !answering || document.querySelector('dialog[open]')) return;
    answering.stop();
    composer.focus();
});
setUpTheme(byId('theme'), speed.restyle);
setUpPanel();

async function start() {
    showModel('starting', 'loading');
    loadView.start('Starting');
    await startOffline();
    const address = parameters.get('model');
    if (address) return open(candidateAt(address, [SMOLLM, STORYTELLER]));
    if (!(await isAbsent(String(SMOLLM.source)))) return open(SMOLLM);
    notify(
        'stories',
        'SmolLM2 was not found on this server, so this is a small model that tells simple stories. ',
        'With a network, ',
        make('code', {}, 'make demo'),
        ' fetches the real one (98 MB).',
    );
    return open(STORYTELLER);
}

start();
