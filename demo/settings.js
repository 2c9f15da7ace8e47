// The sampling settings. One table defines the form, the defaults, and what is stored in this browser.
import { make } from './dom.js';
import { recall, remember } from './store.js';

/**
 * @typedef {object} Field
 * @property {string} name as model.chat() calls it
 * @property {string} label
 * @property {string} help
 * @property {'range' | 'number' | 'text'} type
 * @property {number} [min]
 * @property {number} [max]
 * @property {number} [step]
 * @property {number | string} initial
 */

/** @type {Field[]} */
const FIELDS = [
    {
        name: 'system',
        label: 'System prompt',
        type: 'text',
        initial: '',
        help: 'Who the model should be. Empty leaves it to the model.',
    },
    {
        name: 'temperature',
        label: 'Temperature',
        type: 'range',
        min: 0,
        max: 2,
        step: 0.05,
        initial: 0.6,
        help: '0 always takes the likeliest token.',
    },
    {
        name: 'topK',
        label: 'Top-k',
        type: 'range',
        min: 0,
        max: 200,
        step: 1,
        initial: 40,
        help: 'Draw from this many tokens; 0 is off.',
    },
    {
        name: 'topP',
        label: 'Top-p',
        type: 'range',
        min: 0.05,
        max: 1,
        step: 0.01,
        initial: 0.92,
        help: 'Draw from the likeliest tokens up to this probability.',
    },
    {
        name: 'minP',
        label: 'Min-p',
        type: 'range',
        min: 0,
        max: 0.5,
        step: 0.01,
        initial: 0.05,
        help: 'Leave out tokens below this share of the likeliest.',
    },
    {
        name: 'repeatPenalty',
        label: 'Repeat penalty',
        type: 'range',
        min: 1,
        max: 1.5,
        step: 0.01,
        initial: 1.1,
        help: '1 is off. Small models need a little.',
    },
    {
        name: 'maxTokens',
        label: 'Most tokens',
        type: 'range',
        min: 16,
        max: 2048,
        step: 16,
        initial: 512,
        help: 'An answer is cut off here.',
    },
    {
        name: 'seed',
        label: 'Seed',
        type: 'number',
        min: 0,
        max: 2 ** 32 - 1,
        step: 1,
        initial: '',
        help: 'The same seed gives the same answer. Empty: a new one each time.',
    },
];

/** @typedef {Record<string, number | string>} Values */

/** @param {Field} field @param {unknown} value @returns {number | string} the value if it fits, else the initial one */
function fitting(field, value) {
    if (field.type === 'text') return typeof value === 'string' ? value : field.initial;
    if (value === '' && field.initial === '') return '';
    const number = Number(value);
    const fits =
        value !== '' &&
        Number.isFinite(number) &&
        number >= (field.min ?? -Infinity) &&
        number <= (field.max ?? Infinity);
    return fits && (field.type !== 'number' || Number.isInteger(number)) ? number : field.initial;
}

/** The stored settings. Each value is checked, as an older page or a user may have written it. */
function restore() {
    /** @type {Record<string, unknown>} */
    let kept = {};
    try {
        kept = JSON.parse(recall('settings', '{}')) ?? {};
    } catch {
        // not JSON: use the defaults
    }
    return Object.fromEntries(FIELDS.map((field) => [field.name, fitting(field, kept[field.name] ?? field.initial)]));
}

/**
 * @param {HTMLFormElement} form
 * @param {HTMLButtonElement} reset
 */
export function createSettings(form, reset) {
    /** @type {Values} */
    const values = restore();
    /** @type {(() => void)[]} */
    const redraw = [];

    for (const field of FIELDS) {
        const id = `set-${field.name}`;
        const attributes = /** @type {Record<string, string>} */ ({
            id,
            name: field.name,
            'aria-describedby': `${id}-help`,
        });
        const control =
            field.type === 'text'
                ? make('textarea', { ...attributes, rows: '3', dir: 'auto' })
                : make('input', {
                      ...attributes,
                      type: field.type,
                      min: String(field.min),
                      max: String(field.max),
                      step: String(field.step),
                  });
        if (field.type === 'number') control.setAttribute('placeholder', 'random');
        const output = make('output', { for: id });
        const draw = () => {
            control.value = String(values[field.name]);
            output.textContent = field.type === 'range' ? control.value : '';
        };
        control.addEventListener('input', () => {
            values[field.name] = fitting(field, control.value);
            if (field.type === 'range') output.textContent = control.value;
            remember('settings', JSON.stringify(values));
        });
        control.addEventListener('change', draw);
        redraw.push(draw);
        draw();
        form.append(
            make(
                'div',
                { class: 'field' },
                make('label', { for: id }, field.label),
                output,
                control,
                make('p', { class: 'help', id: `${id}-help` }, field.help),
            ),
        );
    }
    form.addEventListener('submit', (event) => event.preventDefault());
    reset.addEventListener('click', () => {
        for (const field of FIELDS) values[field.name] = field.initial;
        remember('settings', '');
        for (const draw of redraw) draw();
    });

    return {
        /** @returns {string} */
        system: () => String(values.system).trim(),
        /** The options of model.chat(). @returns {Record<string, number>} */
        options() {
            const { system, seed, ...numbers } = values;
            const options = /** @type {Record<string, number>} */ (numbers);
            return seed === '' ? options : { ...options, seed: Number(seed) };
        },
    };
}
