// The same question to the original and to what was made of it, and their answers beside each other.
import { load } from '../web/index.js';
import { announce, byId, make } from './dom.js';
import { formatRate } from './format.js';
import { problemOf } from './lab-steps.js';
import { renderMarkdown } from './markdown.js';

const CONTEXT = 1024; // tokens
const ANSWER = 200; // tokens
/** Bytes of loaded models that are held beside the one that answers: they need not be loaded for the next question. */
const HELD = 1e9;

/** @typedef {import('../web/index.js').Model} Model */
/** @typedef {{ role: 'user' | 'assistant', content: string }} Turn */
/** Who can be asked. @typedef {{ name: string, source: string | File | File[] }} Speaker */
/** A speaker on the page. @typedef {Speaker & { box: HTMLInputElement, label: HTMLElement, column: HTMLElement,
 *     said: HTMLElement, turns: Turn[] }} Seat */

/** @param {{ onBusy: (busy: boolean) => void }} actions */
export function createLabChat({ onBusy }) {
    /** @type {HTMLTextAreaElement} */
    const prompt = byId('ask');
    /** @type {HTMLButtonElement} */
    const send = byId('ask-send');
    const stop = byId('ask-stop');
    /** @type {Seat[]} */
    let seats = [];
    /** Loaded models, the one that was used last at the end. @type {Map<Seat, Model>} */
    const held = new Map();
    /** @type {AbortController | null} */
    let asking = null;
    let locked = false;

    const draw = () => {
        send.disabled = locked || asking !== null;
        send.hidden = asking !== null;
        stop.hidden = asking === null;
        for (const { box, column } of seats) {
            box.disabled = asking !== null;
            column.hidden = !box.checked;
        }
    };

    /** @param {Speaker} speaker @returns {Seat} */
    const seat = (speaker) => {
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

    const letGo = async (/** @type {Seat} */ one) => {
        const model = held.get(one);
        held.delete(one);
        await model?.dispose();
    };

    /** The seat's model, for whose memory the others may have to go. @param {Seat} one @param {AbortSignal} signal */
    const modelOf = async (one, signal) => {
        let model = held.get(one);
        held.delete(one);
        if (!model) {
            const bytes = () => [...held.values()].reduce((sum, { info }) => sum + info.memoryBytes, 0);
            for (const other of [...held.keys()]) if (bytes() > HELD) await letGo(other);
            model = await load(one.source, { contextLength: CONTEXT, signal });
        }
        held.set(one, model);
        return model;
    };

    /** @param {Seat} one @param {string} question @param {AbortSignal} signal */
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
            // a question without an answer would stand before the next one
            if (text) one.turns.push({ role: 'assistant', content: text });
            else one.turns.pop();
        }
    };

    const ask = async () => {
        const question = prompt.value.trim();
        const asked = seats.filter(({ box }) => box.checked);
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
        // Enter chooses a word in an input method, and must not send
        if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
        event.preventDefault();
        ask();
    });
    stop.addEventListener('click', () => asking?.abort());
    byId('ask-clear').addEventListener('click', () => {
        if (asking) return;
        for (const one of seats) {
            one.said.replaceChildren();
            one.turns = [];
        }
        prompt.focus();
    });

    return {
        stop: () => asking?.abort(),
        /** Who can be asked; those who were there before keep their conversation. @param {Speaker[]} speakers */
        seat(speakers) {
            const kept = speakers.map(
                (speaker) =>
                    seats.find(({ source, name }) => source === speaker.source && name === speaker.name) ??
                    seat(speaker),
            );
            for (const one of seats) if (!kept.includes(one)) letGo(one);
            seats = kept;
            byId('speakers').replaceChildren(...seats.map(({ label }) => label));
            byId('columns').replaceChildren(...seats.map(({ column }) => column));
            draw();
        },
        /** Measuring needs the memory: nothing is held meanwhile. @param {boolean} value */
        async lock(value) {
            locked = value;
            draw();
            if (value) await Promise.all([...held.keys()].map(letGo));
        },
    };
}
