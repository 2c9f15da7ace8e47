// The message box: Enter sends, Shift+Enter makes a new line, and the button sends or stops.
import { byId, icon } from './dom.js';

/** @param {{ onSend: (text: string) => void, onStop: () => void }} actions */
export function createComposer({ onSend, onStop }) {
    /** @type {HTMLTextAreaElement} */
    const box = byId('prompt');
    /** @type {HTMLButtonElement} */
    const button = byId('send');
    let answering = false;

    const focus = () => {
        // On a touch screen, focusing the box would open the keyboard.
        if (matchMedia('(pointer: coarse)').matches) byId('scroller').focus({ preventScroll: true });
        else box.focus();
    };
    const draw = () => {
        // As high as its text, up to max-height in style.css. (While the chat is hidden, scrollHeight is 0.)
        box.style.height = 'auto';
        if (box.scrollHeight > 0) box.style.height = `${box.scrollHeight}px`;
        const disabled = !answering && box.value.trim() === '';
        if (disabled && document.activeElement === button) focus(); // a disabled button would lose the focus
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
        // In an input method Enter chooses a word, and must not send. (Safari has ended the composition by then, and
        // reports the key code 229.)
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
