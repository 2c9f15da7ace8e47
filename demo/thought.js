// What a model thinks before it answers, on the page.
import { thoughtMarksOf } from '../web/worker/answers/thoughts.js';
import { icon, make } from './dom.js';
import { formatDuration } from './format.js';

/** Whether a model with this chat template may think, and stops if it is told so. @param {string} template */
export const canThink = (template) =>
    thoughtMarksOf(template, () => false) !== undefined || /\benable_thinking\b/.test(template);

/** What the model thinks, in a part of the page that is closed until somebody opens it. */
export function thoughtOf() {
    const title = make('span', {}, 'Thinking'),
        text = make('div', { class: 'thought-text', dir: 'auto' }),
        box = make('details', { class: 'thought' }, make('summary', {}, title, icon('down')), text),
        began = performance.now();
    return {
        box,
        append: (/** @type {string} */ piece) => text.append(piece),
        end: () => {
            title.textContent = `Thought for ${formatDuration((performance.now() - began) / 1000)}`;
        },
    };
}
