// The message box: Enter sends, Shift+Enter breaks the line, and the one button sends or stops.
import { byId, icon } from './dom.js';

/** @param {{ onSend: (text: string) => void, onStop: () => void }} actions */
export function createComposer({ onSend, onStop }) {
    /** @type {HTMLTextAreaElement} */
    const box = byId('prompt');
    /** @type {HTMLButtonElement} */
    const button = byId('send');
    let answering = false;

    const draw = () => {
        // As high as its text, up to style.css's max-height. (While the chat is hidden there is nothing to measure.)
        box.style.height = 'auto';
        if (box.scrollHeight > 0) box.style.height = `${box.scrollHeight}px`;
        button.disabled = !answering && box.value.trim() === '';
    };
    const submit = () => {
        if (answering) return onStop();
        const text = box.value.trim();
        if (!text) return;
        box.value = '';
        draw();
        onSend(text);
    };

    box.addEventListener('input', draw);
    box.addEventListener('keydown', event => {
        // isComposing: Enter chooses a word in an input method, and must not send.
        if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
        event.preventDefault();
        if (!answering) submit();
    });
    byId('composer').addEventListener('submit', event => {
        event.preventDefault();
        submit();
    });
    draw();

    return {
        /** @param {boolean} value */
        setAnswering(value) {
            answering = value;
            button.replaceChildren(icon(value ? 'stop' : 'send'));
            button.setAttribute('aria-label', value ? 'Stop' : 'Send');
            button.title = value ? 'Stop (Escape)' : '';
            draw();
        },
        focus() {
            // On a touch screen this would raise the keyboard over the page, unasked.
            if (!matchMedia('(pointer: coarse)').matches) box.focus();
        },
    };
}
