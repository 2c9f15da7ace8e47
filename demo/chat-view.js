// The conversation: messages with their buttons, and scrolling that follows the text unless the user has scrolled up.
import { byId, icon, iconButton, make } from './dom.js';
import { renderMarkdown } from './markdown.js';
import { thoughtOf } from './thought.js';

/**
 * An answer on the screen while it is generated.
 * @typedef {object} AnswerView
 * @property {(chunk: import('../web/index.js').Chunk) => void} append
 * @property {(call: import('../web/index.js').ToolCall, result: string) => void} result of a function that was called
 * @property {(meta: string) => void} finish with a text to show beside the buttons, such as the speed
 * @property {(title: string, remedy: string) => void} fail
 * @property {() => void} remove
 */

const NEAR_END = 80; // pixels: nearer to the end than this, the view follows the text

/** A call of a function, to which its result is added. @param {import('../web/index.js').ToolCall} call */
const callOf = ({ function: { name, arguments: values } }) =>
    make(
        'div',
        { class: 'call', role: 'group', 'aria-label': `Call of ${name}` },
        make('p', {}, make('strong', {}, name), ' ', make('code', { dir: 'auto' }, values)),
    );

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
            const waiting = make('div', { class: 'waiting' }, dots, make('span', {}, 'Reading the prompt'));
            const message = make(
                'article',
                { class: 'message assistant streaming', 'aria-label': 'nibble', 'aria-busy': 'true' },
                icon('mark', 'mark'),
                waiting,
            );
            dropRetry();
            show(message);

            const texts = /** @type {string[]} */ ([]); // between them are thoughts and calls
            /** @type {HTMLElement | undefined} the body of the last text, if it still grows */
            let body;
            /** @type {ReturnType<typeof thoughtOf> | undefined} */
            let thought;
            /** @type {Map<string, HTMLElement>} by their ids */
            const calls = new Map();
            let frame = 0;
            const draw = () => {
                frame = 0;
                if (body) renderMarkdown(body, texts[texts.length - 1]);
                follow();
            };
            /** @param {HTMLElement} part */
            const add = (part) => {
                if (frame) {
                    cancelAnimationFrame(frame);
                    draw();
                }
                body?.classList.add('past');
                body = undefined;
                thought?.end();
                thought = undefined;
                message.append(part);
            };
            /** @param {string} piece */
            const write = (piece) => {
                if (!body) {
                    const made = make('div', { class: 'body', dir: 'auto' });
                    add(made);
                    body = made;
                    texts.push('');
                }
                texts[texts.length - 1] += piece;
                // pieces may come faster than frames: draw once per frame
                frame ||= requestAnimationFrame(draw);
            };
            /** @param {string} meta */
            const close = (meta) => {
                if (texts.length === 0) write('');
                cancelAnimationFrame(frame);
                draw();
                thought?.end();
                waiting.remove();
                message.classList.remove('streaming');
                message.removeAttribute('aria-busy');
                const retry = iconButton('Try again', 'retry', onRetry);
                retry.classList.add('retry');
                const foot = make('div', { class: 'foot' });
                const text = texts.filter(Boolean).join('\n\n');
                if (text) foot.append(copyButton(() => text));
                foot.append(retry, make('span', { class: 'meta' }, meta));
                message.append(foot);
                follow();
            };
            return {
                append({ text, reasoning, toolCalls }) {
                    if (reasoning === '' && text === '' && toolCalls.length === 0) return;
                    waiting.remove();
                    if (reasoning !== '') {
                        if (!thought) {
                            const begun = thoughtOf();
                            add(begun.box);
                            thought = begun;
                        }
                        thought.append(reasoning);
                        follow();
                    }
                    if (text !== '') write(text);
                    for (const call of toolCalls) {
                        const box = callOf(call);
                        calls.set(call.id, box);
                        add(box);
                    }
                },
                result(call, result) {
                    calls.get(call.id)?.append(make('p', { class: 'call-result', dir: 'auto' }, result));
                    waiting.lastElementChild?.replaceChildren('Reading the result');
                    message.append(waiting);
                    follow();
                },
                finish: close,
                fail(title, remedy) {
                    if (texts.length === 0) write('');
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
