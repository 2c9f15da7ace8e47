// The steps of a run, as a list: each with its progress and the time that is left.
import { announce, byId, make } from './dom.js';
import { explain } from './explain.js';
import { formatDuration } from './format.js';
import { Unfit } from './lab-work.js';

/** @param {unknown} error */
export function problemOf(error) {
    if (error instanceof Unfit) return error.message;
    if (error instanceof DOMException && error.name === 'AbortError') return 'Stopped.';
    if (error instanceof DOMException && error.name === 'QuotaExceededError')
        return 'The browser has no room for this file. Remove results, or free space on the disk.';
    const { title, remedy } = explain(error);
    return `${title.replace(/\.?$/, '.')} ${remedy}`;
}

export function createStepsView() {
    const list = byId('steps');

    return {
        clear: () => list.replaceChildren(),

        /** @param {string} label @returns {import('./lab-work.js').Step} */
        add(label) {
            const bar = make('progress', { max: '1', 'aria-label': label });
            const note = make('span', { class: 'step-note' }, 'waiting');
            const item = make('li', { 'data-state': 'waiting' }, make('span', { class: 'step-label' }, label), note);
            let began = 0;
            list.append(item);
            const close = (/** @type {string} */ state, /** @type {string} */ text) => {
                item.dataset.state = state;
                bar.remove();
                note.textContent = text;
            };
            return {
                begin() {
                    began = performance.now();
                    item.dataset.state = 'running';
                    note.textContent = '';
                    bar.removeAttribute('value');
                    item.append(bar);
                    announce(label);
                },
                progress(share, secondsLeft) {
                    if (share === null) return;
                    bar.value = share;
                    note.textContent =
                        secondsLeft === null || secondsLeft === undefined || share === 0
                            ? ''
                            : `${formatDuration(Math.max(1, Math.ceil(secondsLeft)))} left`;
                },
                end(text) {
                    const took = formatDuration((performance.now() - began) / 1000);
                    close('done', text ? `${text}; ${took}` : took);
                },
                fail(error) {
                    const text = problemOf(error);
                    close('failed', text);
                    announce(`${label}: ${text}`);
                },
            };
        },

        /** After a run: marks the steps that never began as not done. */
        endRun() {
            for (const item of list.querySelectorAll('[data-state=waiting]')) {
                item.setAttribute('data-state', 'skipped');
                const note = item.querySelector('.step-note');
                if (note) note.textContent = 'not done';
            }
        },
    };
}
