// The load screen: shows progress, and after a failure what happened and what to do.
import { announce, byId, make } from './dom.js';
import { formatBytes, formatDuration, formatPart } from './format.js';

const CELLS = 32;

/** @typedef {{ label: string, run: () => void, quiet?: boolean }} Action */

export function createLoadView() {
    const section = byId('load');
    const bar = byId('load-cells');
    const cells = Array.from({ length: CELLS }, () => bar.appendChild(document.createElement('span')));
    const [eyebrow, title, text, actions] = ['load-eyebrow', 'load-title', 'load-text', 'load-actions'].map((id) =>
        byId(id),
    );
    const [bytes, rate, left] = ['load-bytes', 'load-rate', 'load-left'].map((id) => byId(id));

    /** @param {Action[]} list */
    const setActions = (list) => {
        const hadFocus = actions.contains(document.activeElement);
        actions.replaceChildren(
            ...list.map(({ label, run, quiet }) => {
                const button = make('button', { type: 'button', class: quiet ? 'button quiet' : 'button' }, label);
                button.addEventListener('click', run);
                return button;
            }),
        );
        if (hadFocus) (actions.querySelector('button') ?? title).focus();
    };

    return {
        /**
         * @param {string} name
         * @param {(() => void)} [onCancel]
         */
        start(name, onCancel) {
            section.hidden = false;
            section.dataset.state = 'loading';
            eyebrow.textContent = 'Loading';
            title.textContent = name;
            text.textContent = 'The weights go straight into this page’s memory. Nothing you type will leave it.';
            for (const cell of cells) cell.style.setProperty('--fill', '0');
            bytes.textContent = 'Waiting for the first bytes';
            rate.textContent = '';
            left.textContent = '';
            bar.removeAttribute('aria-valuenow');
            bar.setAttribute('aria-valuetext', 'waiting for the first bytes');
            setActions(onCancel ? [{ label: 'Cancel', run: onCancel, quiet: true }] : []);
            announce(`Loading ${name}`);
        },

        /** @param {import('../web/index.js').Progress} progress */
        progress({ loaded, total, rate: perSecond, secondsLeft }) {
            const share = total > 0 ? Math.min(1, loaded / total) : 0;
            cells.forEach((cell, i) => {
                cell.style.setProperty('--fill', String(Math.max(0, Math.min(1, share * CELLS - i))));
            });
            bytes.textContent = total > 0 ? formatPart(loaded, total) : formatBytes(loaded);
            rate.textContent = perSecond > 0 ? `${formatBytes(Math.round(perSecond))}/s` : '';
            left.textContent =
                share === 1
                    ? 'preparing'
                    : secondsLeft === null
                      ? ''
                      : `${formatDuration(Math.max(1, Math.ceil(secondsLeft)))} left`;
            if (total > 0) bar.setAttribute('aria-valuenow', String(Math.round(share * 100)));
            bar.setAttribute(
                'aria-valuetext',
                `${bytes.textContent}${left.textContent ? `, ${left.textContent}` : ''}`,
            );
        },

        /**
         * @param {import('./explain.js').Explanation} problem
         * @param {Action[]} list
         */
        fail({ title: what, remedy, detail, calm }, list) {
            section.hidden = false;
            section.dataset.state = calm ? 'stopped' : 'failed';
            eyebrow.textContent = calm ? 'Stopped' : 'The model could not be loaded';
            title.textContent = what;
            text.replaceChildren(remedy);
            if (detail) {
                text.append(make('details', {}, make('summary', {}, 'What the engine said'), make('code', {}, detail)));
            }
            setActions(list);
            title.focus();
        },

        hide() {
            section.hidden = true;
        },
    };
}
