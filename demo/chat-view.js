// The conversation: messages with their buttons, and scrolling that follows the text unless the user has scrolled up.
import { byId, icon, iconButton, make } from './dom.js';
import { renderMarkdown } from './markdown.js';

/**
 * An answer on the screen while it is generated.
 * @typedef {object} AnswerView
 * @property {(piece: string) => void} append
 * @property {(meta: string) => void} finish with a text to show beside the buttons, such as the speed
 * @property {(title: string, remedy: string) => void} fail
 * @property {() => void} remove
 */

const NEAR_END = 80; // pixels: nearer to the end than this, the view follows the text

/** @param {{ onRetry: () => void }} actions */
export function createChatView({ onRetry }) {
    const list = byId('messages');
    const scroller = byId('scroller');
    const welcome = byId('welcome');
    const jump = byId('jump');
    let following = true;

    const toEnd = () => {
        scroller.scrollTop = scroller.scrollHeight;
    };
    const follow = () => {
        if (following && list.hasChildNodes()) toEnd();
        jump.hidden = following;
    };
    scroller.addEventListener(
        'scroll',
        () => {
            following = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_END;
            jump.hidden = following;
        },
        { passive: true },
    );
    jump.addEventListener('click', () => {
        following = true;
        follow();
        scroller.focus({ preventScroll: true }); // the button is hidden now
    });
    // If the window becomes smaller (a phone's keyboard opens), the end must stay visible.
    new ResizeObserver(follow).observe(scroller);

    /** @param {() => string} text */
    const copyButton = (text) => {
        const button = iconButton('Copy', 'copy', async () => {
            const done =
                (await navigator.clipboard?.writeText(text()).then(
                    () => true,
                    () => false,
                )) ?? false;
            const label = done ? 'Copied' : 'The browser does not allow copying here';
            button.replaceChildren(icon(done ? 'check' : 'close'));
            button.setAttribute('aria-label', label);
            button.title = label;
            setTimeout(() => {
                button.replaceChildren(icon('copy'));
                button.setAttribute('aria-label', 'Copy');
                button.title = 'Copy';
            }, 1600);
        });
        return button;
    };

    /** Removes the buttons of earlier answers: only the last one can be tried again. */
    const dropRetry = () => {
        for (const button of list.querySelectorAll('.retry')) button.remove();
    };

    const show = (/** @type {HTMLElement} */ message) => {
        welcome.hidden = true;
        list.append(message);
        following = true;
        follow();
    };

    return {
        /** @param {string} text */
        addUser(text) {
            dropRetry();
            show(
                make(
                    'article',
                    { class: 'message user', 'aria-label': 'You' },
                    make('div', { class: 'body', dir: 'auto' }, text),
                ),
            );
        },

        /** @returns {AnswerView} */
        addAnswer() {
            const dots = make('span', { class: 'dots' }, make('i'), make('i'), make('i'), make('i'));
            const waiting = make('div', { class: 'waiting' }, dots, 'Reading the prompt');
            const body = make('div', { class: 'body', dir: 'auto' });
            const message = make(
                'article',
                { class: 'message assistant streaming', 'aria-label': 'nibble', 'aria-busy': 'true' },
                icon('mark', 'mark'),
                waiting,
                body,
            );
            dropRetry();
            show(message);

            let text = '';
            let frame = 0;
            const draw = () => {
                frame = 0;
                renderMarkdown(body, text);
                follow();
            };
            /** @param {string} meta */
            const close = (meta) => {
                cancelAnimationFrame(frame);
                draw();
                waiting.remove();
                message.classList.remove('streaming');
                message.removeAttribute('aria-busy');
                const retry = iconButton('Try again', 'retry', onRetry);
                retry.classList.add('retry');
                const foot = make('div', { class: 'foot' });
                if (text) foot.append(copyButton(() => text));
                foot.append(retry, make('span', { class: 'meta' }, meta));
                message.append(foot);
                follow();
            };
            return {
                append(piece) {
                    if (piece === '') return;
                    if (text === '') waiting.remove();
                    text += piece;
                    // pieces may come faster than frames: draw once per frame
                    frame ||= requestAnimationFrame(draw);
                },
                finish: close,
                fail(title, remedy) {
                    message.append(make('div', { class: 'problem' }, make('strong', {}, title), ' ', remedy));
                    close('');
                },
                remove: () => message.remove(),
            };
        },

        clear() {
            list.replaceChildren();
            welcome.hidden = false;
            jump.hidden = true;
        },
    };
}
