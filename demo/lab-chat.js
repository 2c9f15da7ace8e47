// Asks the original and the quantized files the same question, and shows their answers side by side.
import { load } from '../web/index.js';
import { announce, byId, make } from './dom.js';
import { formatRate } from './format.js';
import { problemOf } from './lab-steps.js';
import { renderMarkdown } from './markdown.js';

const CONTEXT = 1024; // tokens
const ANSWER = 200; // tokens
/** Bytes of models that may stay loaded beside the one that answers, so that they need not be loaded again. */
const MOST_LOADED = 1e9;

/** @typedef {import('../web/index.js').Model} Model */
/** @typedef {{ role: 'user' | 'assistant', content: string }} Turn */
/** A model that can be asked. @typedef {{ name: string, source: string | File | File[] }} Speaker */
/** A speaker with its elements on the page, and its conversation. @typedef {Speaker & { box: HTMLInputElement,
 *     label: HTMLElement, column: HTMLElement, said: HTMLElement, turns: Turn[] }} Participant */

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
            model = await load(one.source, { contextLength: CONTEXT, signal });
        }
        loaded.set(one, model);
        return model;
    };

    /** @param {Participant} one @param {string} question @param {AbortSignal} signal */
    const answer = async (one, question, signal) => {
        const body = make('div', { class: 'body', dir: 'auto' }, make('p', { class: 'soft' }, 'Loading'));
        const meta = make('p', { class: 'meta' });
        one.said.append(make('p', { class: 'asked', dir: 'auto' }, question), body, meta);
        one.turns.push({ role: 'user', content: question });
        let text = '';
        try {
            const model = await modelOf(one, signal);
            const options = { maxTokens: Math.min(ANSWER, model.info.contextLength >> 1), signal };
            body.replaceChildren(make('p', { class: 'soft' }, 'Reading the prompt'));
            // a model without a chat template continues the text
            const generation = model.info.chatTemplate
                ? model.chat(one.turns, options)
                : model.complete(one.turns.map(({ content }) => content).join(''), options);
            for await (const piece of generation) {
                text += piece;
                renderMarkdown(body, text);
            }
            const { tokens, timings } = await generation;
            if (!text) body.replaceChildren(make('p', { class: 'soft' }, 'It ended its answer at once.'));
            meta.textContent = `${tokens.length} tokens · ${formatRate(timings.generateTokensPerSecond)} tokens/s`;
        } catch (error) {
            if (!text) body.replaceChildren();
            meta.textContent = problemOf(signal.aborted ? new DOMException('stopped', 'AbortError') : error);
        } finally {
            // drop a question without an answer, as the next question would follow it
            if (text) one.turns.push({ role: 'assistant', content: text });
            else one.turns.pop();
        }
    };

    const ask = async () => {
        const question = prompt.value.trim();
        const asked = participants.filter(({ box }) => box.checked);
        if (!question || asked.length === 0 || locked || asking) return;
        asking = new AbortController();
        const { signal } = asking;
        prompt.value = '';
        onBusy(true);
        draw();
        stop.focus();
        for (const one of asked) {
            if (signal.aborted) break;
            announce(`${one.name} is answering`);
            await answer(one, question, signal);
        }
        asking = null;
        onBusy(false);
        draw();
        announce(signal.aborted ? 'Stopped.' : 'All have answered.');
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
        /** Sets who can be asked. Those who were there before keep their conversation. @param {Speaker[]} speakers */
        setSpeakers(speakers) {
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
