// Asks the original and the quantized files the same question, and shows their answers side by side. Models that embed
// texts are given a sentence, and find the passages of the text that are nearest to it.
import { load } from '../web/index.js';
import { announce, byId, make } from './dom.js';
import { formatRate } from './format.js';
import { listOf, search, vectorsOf } from './lab-search.js';
import { problemOf } from './lab-steps.js';
import { renderMarkdown } from './markdown.js';
import { canThink, thoughtOf } from './thought.js';

const CONTEXT = 1024; // tokens
const ANSWER = 200; // tokens
/** Bytes of models that may stay loaded beside the one that answers, so that they need not be loaded again. */
const MOST_LOADED = 1e9;

/** @typedef {import('../web/index.js').Model} Model */
/** @typedef {{ role: 'user' | 'assistant', content: string }} Turn */
/** A model that can be asked. @typedef {{ name: string, source: string | File | File[] }} Speaker */
/** A speaker with its elements on the page, and its conversation. @typedef {Speaker & { box: HTMLInputElement,
 *     label: HTMLElement, column: HTMLElement, said: HTMLElement, turns: Turn[], vectors: Float64Array[] | null }}
 *     Participant vectors: of the passages */

/** What the page says: to models that continue texts, and to those that embed them. */
const SAYINGS = {
    chat: {
        note: 'One question to all of them. Each always takes the likeliest token, so differences are the files’ own.',
        field: 'Message to all',
        send: 'Ask',
        clear: 'New chat',
        doing: 'is answering',
        done: 'All have answered.',
    },
    search: {
        note:
            'Each finds the passages of the text’s second half that are nearest to a sentence. If a file finds ' +
            'others than the original, or in another order, quantizing has changed what a search finds.',
        field: 'A sentence to look for',
        send: 'Find',
        clear: 'Clear',
        doing: 'is searching',
        done: 'All have searched.',
    },
};

/** @param {{ onBusy: (busy: boolean) => void }} actions */
export function createLabChat({ onBusy }) {
    /** @type {HTMLTextAreaElement} */
    const prompt = byId('ask');
    /** @type {HTMLButtonElement} */
    const send = byId('ask-send');
    const stop = byId('ask-stop');
    /** @type {Participant[]} */
    let participants = [];
    /** Loaded models, the most recently used at the end. @type {Map<Participant, Model>} */
    const loaded = new Map();
    /** @type {AbortController | null} */
    let asking = null;
    let locked = false;
    /** The passages that are searched; null: the models continue texts. @type {string[] | null} */
    let passages = null;
    /** What the original found for the sentence. @type {import('./lab-search.js').Found[] | null} */
    let foundByOriginal = null;
    let sayings = SAYINGS.chat;

    const draw = () => {
        send.disabled = locked || asking !== null;
        send.hidden = asking !== null;
        stop.hidden = asking === null;
        for (const { box, column } of participants) {
            box.disabled = asking !== null;
            column.hidden = !box.checked;
        }
    };

    /** @param {Speaker} speaker @returns {Participant} */
    const participantOf = (speaker) => {
        const box = make('input', { type: 'checkbox' });
        box.checked = true;
        box.addEventListener('change', draw);
        const said = make('div', { class: 'said' });
        return {
            ...speaker,
            box,
            label: make('label', { class: 'check' }, box, speaker.name),
            column: make(
                'section',
                { class: 'column', 'aria-label': speaker.name },
                make('h3', {}, speaker.name),
                said,
            ),
            said,
            turns: [],
            vectors: null,
        };
    };

    const unload = async (/** @type {Participant} */ one) => {
        const model = loaded.get(one);
        loaded.delete(one);
        await model?.dispose();
    };

    /** The participant's model. Others may have to be unloaded for it.
     * @param {Participant} one @param {AbortSignal} signal */
    const modelOf = async (one, signal) => {
        let model = loaded.get(one);
        loaded.delete(one);
        if (!model) {
            const bytes = () => [...loaded.values()].reduce((sum, { info }) => sum + info.memoryBytes, 0);
            for (const other of [...loaded.keys()]) if (bytes() > MOST_LOADED) await unload(other);
            // an encoder has a context of its own, and cannot take a longer one
            model = await load(one.source, { ...(passages ? {} : { contextLength: CONTEXT }), signal });
        }
        loaded.set(one, model);
        return model;
    };

    /**
     * Lets a model answer, and shows the answer as it grows.
     * @param {Participant} one @param {Model} model @param {string} question @param {HTMLElement} body
     * @param {AbortSignal} signal
     * @returns {Promise<string>} what is said of it
     */
    const say = async (one, model, question, body, signal) => {
        let text = '';
        one.turns.push({ role: 'user', content: question });
        const maxTokens = Math.min(ANSWER, model.info.contextLength >> 1),
            // a thought leaves room for an answer
            thinks = canThink(model.info.chatTemplate ?? '') && { thinking: { maxTokens: maxTokens >> 1 } },
            options = { maxTokens, signal, ...thinks };
        /** @type {ReturnType<typeof thoughtOf> | undefined} */
        let thought;
        body.replaceChildren(make('p', { class: 'soft' }, 'Reading the prompt'));
        try {
            // a model without a chat template continues the text
            const generation = model.info.chatTemplate
                ? model.chat(one.turns, options)
                : model.complete(one.turns.map(({ content }) => content).join(''), options);
            for await (const chunk of generation.chunks()) {
                if (chunk.reasoning !== '') {
                    if (!thought) {
                        thought = thoughtOf();
                        body.before(thought.box);
                        body.replaceChildren();
                    }
                    thought.append(chunk.reasoning);
                }
                if (chunk.text === '') continue;
                if (text === '') thought?.end();
                text += chunk.text;
                renderMarkdown(body, text);
            }
            const { tokens, timings } = await generation;
            if (!text) body.replaceChildren(make('p', { class: 'soft' }, 'It ended its answer at once.'));
            return `${tokens.length} tokens · ${formatRate(timings.generateTokensPerSecond)} tokens/s`;
        } finally {
            if (!text) thought?.end();
            // drop a question without an answer, as the next question would follow it
            if (text) one.turns.push({ role: 'assistant', content: text });
            else one.turns.pop();
        }
    };

    /**
     * Lets a model find the nearest passages.
     * @param {Participant} one @param {Model} model @param {string} sentence @param {HTMLElement} body
     * @param {string[]} passages @param {AbortSignal} signal
     */
    const find = async (one, model, sentence, body, passages, signal) => {
        const note = make('p', { class: 'soft' });
        body.replaceChildren(note);
        one.vectors ??= await vectorsOf(model, passages, signal, (done) => {
            note.textContent = `Reading passage ${done} of ${passages.length}`;
        });
        const found = await search(model, sentence, one.vectors, signal);
        body.replaceChildren(listOf(passages, found, foundByOriginal));
        if (one === participants[0]) foundByOriginal = found;
        return `the nearest of ${passages.length} passages`;
    };

    /** @param {Participant} one @param {string} question @param {AbortSignal} signal */
    const answer = async (one, question, signal) => {
        const loading = make('p', { class: 'soft' }, 'Loading'),
            body = make('div', { class: 'body', dir: 'auto' }, loading);
        const meta = make('p', { class: 'meta' });
        one.said.append(make('p', { class: 'asked', dir: 'auto' }, question), body, meta);
        try {
            const model = await modelOf(one, signal);
            meta.textContent = passages
                ? await find(one, model, question, body, passages, signal)
                : await say(one, model, question, body, signal);
        } catch (error) {
            if (body.querySelector(':scope > .soft')) body.replaceChildren();
            meta.textContent = problemOf(signal.aborted ? new DOMException('stopped', 'AbortError') : error);
        }
    };

    const ask = async () => {
        const question = prompt.value.trim();
        const asked = participants.filter(({ box }) => box.checked);
        if (!question || asked.length === 0 || locked || asking) return;
        asking = new AbortController();
        const { signal } = asking;
        prompt.value = '';
        foundByOriginal = null;
        onBusy(true);
        draw();
        stop.focus();
        for (const one of asked) {
            if (signal.aborted) break;
            announce(`${one.name} ${sayings.doing}`);
            await answer(one, question, signal);
        }
        asking = null;
        onBusy(false);
        draw();
        announce(signal.aborted ? 'Stopped.' : sayings.done);
        prompt.focus();
    };

    byId('ask-form').addEventListener('submit', (event) => {
        event.preventDefault();
        ask();
    });
    prompt.addEventListener('keydown', (event) => {
        // in an input method Enter chooses a word, and must not send
        if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
        event.preventDefault();
        ask();
    });
    stop.addEventListener('click', () => asking?.abort());
    byId('ask-clear').addEventListener('click', () => {
        if (asking) return;
        for (const one of participants) {
            one.said.replaceChildren();
            one.turns = [];
        }
        prompt.focus();
    });

    return {
        stop: () => asking?.abort(),
        /**
         * Sets who can be asked: the original first. Those who were there before keep their conversation.
         * @param {Speaker[]} speakers
         * @param {string[] | null} searched the passages, if the models embed texts
         */
        setSpeakers(speakers, searched) {
            if (passages !== searched) for (const one of participants) one.vectors = null;
            passages = searched;
            sayings = searched ? SAYINGS.search : SAYINGS.chat;
            byId('try-note').textContent = sayings.note;
            byId('ask-label').textContent = prompt.placeholder = sayings.field;
            send.textContent = sayings.send;
            prompt.enterKeyHint = searched ? 'search' : 'send';
            byId('ask-clear').textContent = sayings.clear;
            const now = speakers.map(
                (speaker) =>
                    participants.find(({ source, name }) => source === speaker.source && name === speaker.name) ??
                    participantOf(speaker),
            );
            for (const one of participants) if (!now.includes(one)) unload(one);
            participants = now;
            byId('speakers').replaceChildren(...participants.map(({ label }) => label));
            byId('columns').replaceChildren(...participants.map(({ column }) => column));
            draw();
        },
        /** While locked, nobody can be asked, and no model is loaded: a run needs the memory. @param {boolean} value */
        async lock(value) {
            locked = value;
            draw();
            if (value) await Promise.all([...loaded.keys()].map(unload));
        },
    };
}
