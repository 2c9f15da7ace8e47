// Which files are to be made of the model. The choices are those of quantize(), from its own table.
import { QUANTIZE_OPTIONS } from '../web/options.js';
import { byId, iconButton, make, setDisabled } from './dom.js';

/** What quantize() is asked for. imatrix: whether with an importance matrix.
 * @typedef {{ type: import('../web/index.js').Preset, search: 'reference' | 'best', imatrix: boolean }} Recipe */

/** Types that are nothing without an importance matrix (index.d.ts, Preset). */
const NEEDS_IMATRIX = /^(q2_k_s|iq3_xs|iq3_xxs|iq2_.*|iq1_.*)$/;

/** @type {Recipe[]} */
const FIRST = [
    { type: 'q8_0', search: 'reference', imatrix: false },
    { type: 'q4_k_m', search: 'reference', imatrix: false },
    { type: 'q4_k_m', search: 'reference', imatrix: true },
];

/** @param {Recipe} recipe */
export const recipeName = ({ type, search, imatrix }) =>
    [type.toUpperCase(), imatrix && 'importance matrix', search === 'best' && 'best search'].filter(Boolean).join(', ');

/** A file's name. @param {string} model @param {Recipe} recipe */
export const fileName = (model, { type, search, imatrix }) =>
    `${[model.replace(/[^\w.-]+/g, '-'), type.toUpperCase(), imatrix && 'imatrix', search === 'best' && 'best']
        .filter(Boolean)
        .join('.')}.gguf`;

/** @param {(recipes: Recipe[]) => void} onChange */
export function createRecipeView(onChange) {
    const list = byId('recipes');
    /** @type {HTMLSelectElement} */
    const type = byId('recipe-type');
    /** @type {HTMLInputElement} */
    const imatrix = byId('recipe-imatrix');
    /** @type {HTMLInputElement} */
    const best = byId('recipe-best');
    let recipes = FIRST;
    let busy = false;

    type.append(
        ...(QUANTIZE_OPTIONS.type.choices ?? []).map((name) => make('option', { value: name }, name.toUpperCase())),
    );
    type.value = 'q4_0';

    /** What fits the type that is chosen. */
    const fit = () => {
        const needs = NEEDS_IMATRIX.test(type.value);
        if (needs) imatrix.checked = true;
        imatrix.disabled = busy || needs;
        byId('imatrix-note').textContent = needs ? `${type.value.toUpperCase()} needs an importance matrix.` : '';
    };

    const draw = () => {
        list.replaceChildren(
            ...recipes.map((recipe, i) => {
                const remove = iconButton(`Do not make ${recipeName(recipe)}`, 'close', () => {
                    recipes = recipes.filter((other) => other !== recipe);
                    draw();
                    const buttons = list.querySelectorAll('button');
                    (buttons[Math.min(i, buttons.length - 1)] ?? type).focus();
                });
                remove.disabled = busy;
                return make('li', { class: 'recipe' }, make('span', {}, recipeName(recipe)), remove);
            }),
        );
        onChange(recipes);
    };

    type.addEventListener('change', fit);
    byId('recipe-form').addEventListener('submit', (event) => {
        event.preventDefault();
        if (busy) return;
        /** @type {Recipe} */
        const recipe = {
            type: /** @type {Recipe['type']} */ (type.value),
            search: best.checked ? 'best' : 'reference',
            imatrix: imatrix.checked,
        };
        if (!recipes.some((other) => recipeName(other) === recipeName(recipe))) recipes = [...recipes, recipe];
        draw();
    });
    fit();
    draw();

    return {
        recipes: () => recipes,
        /** @param {boolean} value */
        setBusy(value) {
            busy = value;
            setDisabled(['recipe-type', 'recipe-best', 'recipe-add'], busy);
            fit();
            draw();
        },
    };
}
