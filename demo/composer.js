// The message box: Enter sends, Shift+Enter breaks the line, and the one button sends or stops.
import { byId, icon } from './dom.js';

/** @param {{ onSend: (text: string) => void, onStop: () => void }} actions */
export function createComposer({ onSend, onStop }) {
    /** @type {HTMLTextAreaElement} */
    const box = byId('prompt');
    /** @type {HTMLButtonElement} */
    const button = byId('send');
    let answering = false;

    const focus = () => {
        // On a touch screen the box would raise the keyboard over the page, unasked.
        if (matchMedia('(pointer: coarse)').matches) byId('scroller').focus({ preventScroll: true });
        else box.focus();
    };
    const draw = () => {
        // As high as its text, up to style.css's max-height. (While the chat is hidden there is nothing to measure.)
        box.style.height = 'auto';
        if (box.scrollHeight > 0) box.style.height = `${box.scrollHeight}px`;
        const disabled = !answering && box.value.trim() === '';
        if (disabled && document.activeElement === button) focus(); // a disabled button would lose it
        button.disabled = disabled;
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
    box.addEventListener('keydown', (event) => {
        // Enter chooses a word in an input method, and must not send. (In Safari the composition is over by then: 229
        // tells.)
        if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
        event.preventDefault();
        if (!answering) submit();
    });
    byId('composer').addEventListener('submit', (event) => {
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
        focus,
    };
}
