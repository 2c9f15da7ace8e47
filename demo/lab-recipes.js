// Chooses which files to make of the model. The choices are those of quantize(), from its table of options.
import { QUANTIZE_OPTIONS, WITHOUT_SEARCH } from '../web/quantize-options.js';
import { byId, iconButton, make, setDisabled } from './dom.js';

/** @typedef {import('../web/index.js').QuantizeOptions} QuantizeOptions */
/** A file to make, by options of quantize(). imatrix: with an importance matrix; tuned: its scales are tuned
 * afterwards.
 * @typedef {Required<Pick<QuantizeOptions, 'type' | 'method' | 'search'>> & { imatrix: boolean, tuned: boolean }}
 *     Recipe */

/** Types that need an importance matrix (index.d.ts, Preset). */
const NEEDS_IMATRIX = /^(q2_k_s|iq3_xs|iq3_xxs|iq2_.*|iq1_.*)$/;

/** Types whose scales can be tuned (index.d.ts, tune()). */
const TUNABLE = /^(q[2-8]_|iq4_|tq2_0)/;

/** @type {Recipe[]} */
const FIRST = [
    { type: 'q8_0', method: 'rtn', search: 'reference', imatrix: false, tuned: false },
    { type: 'q4_k_m', method: 'rtn', search: 'reference', imatrix: false, tuned: false },
    { type: 'q4_k_m', method: 'rtn', search: 'reference', imatrix: true, tuned: false },
];
const METHOD_NAMES = /** @type {Record<string, string>} */ ({ rtn: 'to nearest' });

/** Whether the method needs the calibration text itself. @param {Recipe} recipe */
export const calibrates = ({ method }) => method !== 'rtn';

/** @param {Recipe} recipe */
export const recipeName = ({ type, method, search, imatrix, tuned }) =>
    [
        type.toUpperCase(),
        method !== 'rtn' && method.toUpperCase(),
        imatrix && 'importance matrix',
        search === 'best' && 'best search',
        tuned && 'tuned',
    ]
        .filter(Boolean)
        .join(', ');

/** A file's name. @param {string} model @param {Recipe} recipe */
export const fileName = (model, { type, method, search, imatrix, tuned }) =>
    `${[
        model.replace(/[^\w.-]+/g, '-'),
        type.toUpperCase(),
        method !== 'rtn' && method,
        imatrix && 'imatrix',
        search === 'best' && 'best',
        tuned && 'tuned',
    ]
        .filter(Boolean)
        .join('.')}.gguf`;

/** @param {(recipes: Recipe[]) => void} onChange */
export function createRecipeView(onChange) {
    const list = byId('recipes');
    /** @type {HTMLSelectElement} */
    const type = byId('recipe-type');
    /** @type {HTMLSelectElement} */
    const method = byId('recipe-method');
    /** @type {HTMLInputElement} */
    const imatrix = byId('recipe-imatrix');
    /** @type {HTMLInputElement} */
    const best = byId('recipe-best');
    /** @type {HTMLInputElement} */
    const tune = byId('recipe-tune');
    let recipes = FIRST;
    let busy = false;
    let embeds = false;

    type.append(
        ...(QUANTIZE_OPTIONS.type.choices ?? []).map((name) => make('option', { value: name }, name.toUpperCase())),
    );
    type.value = 'q4_0';
    method.append(
        ...(QUANTIZE_OPTIONS.method.choices ?? []).map((name) =>
            make('option', { value: name }, METHOD_NAMES[name] ?? name.toUpperCase()),
        ),
    );

    /** Sets the other fields to what fits the chosen type and method. */
    const fit = () => {
        for (const option of method.options) option.disabled = embeds && option.value === 'autoround';
        if (method.selectedOptions[0]?.disabled) method.value = 'rtn';
        const observes = method.value !== 'rtn',
            needs = !observes && NEEDS_IMATRIX.test(type.value);
        if (observes || needs) imatrix.checked = needs;
        imatrix.disabled = busy || observes || needs;
        const searches = !WITHOUT_SEARCH.test(type.value) && (method.value !== 'autoround' || /_k/.test(type.value));
        best.disabled = busy || !searches;
        if (!searches) best.checked = false;
        const tunable = TUNABLE.test(type.value) && !embeds;
        tune.disabled = busy || !tunable;
        if (!tunable) tune.checked = false;
        byId('imatrix-note').textContent = needs
            ? `${type.value.toUpperCase()} needs an importance matrix.`
            : observes
              ? `${method.value.toUpperCase()} looks at the first half of the text, and takes no importance matrix.`
              : '';
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

    for (const select of [type, method]) select.addEventListener('change', fit);
    byId('recipe-form').addEventListener('submit', (event) => {
        event.preventDefault();
        if (busy) return;
        /** @type {Recipe} */
        const recipe = {
            type: /** @type {Recipe['type']} */ (type.value),
            method: /** @type {Recipe['method']} */ (method.value),
            search: best.checked ? 'best' : 'reference',
            imatrix: imatrix.checked,
            tuned: tune.checked,
        };
        if (!recipes.some((other) => recipeName(other) === recipeName(recipe))) recipes = [...recipes, recipe];
        draw();
    });
    fit();
    draw();

    return {
        recipes: () => recipes,
        /** Drops what is only for models that continue texts. @param {boolean} value */
        setEmbeds(value) {
            embeds = value;
            if (embeds) recipes = recipes.filter(({ method, tuned }) => method !== 'autoround' && !tuned);
            fit();
            draw();
        },
        /** @param {boolean} value */
        setBusy(value) {
            busy = value;
            setDisabled(['recipe-type', 'recipe-method', 'recipe-add'], busy);
            fit();
            draw();
        },
    };
}
