/** The loaded models that an entry is given: one, or several under names. */
import { NibbleError } from '../errors.js';
import { nameOf } from './create.js';

/** @typedef {import('../index.d.ts').Model} Model */

/**
 * A model's `chat` is a function. In an object of models "chat" may be the name of a model, which is no function.
 * @param {any} value
 * @returns {value is Model}
 */
const isModel = (value) => typeof value?.chat === 'function' && typeof value.chat.completions?.create === 'function';

/**
 * single: there is only one model, which answers to any name.
 * @param {string} caller
 * @param {Model | { readonly [name: string]: Model }} models
 * @returns {{ all: { readonly [name: string]: Model }, single: boolean }}
 */
export function namedModels(caller, models) {
    const single = isModel(models),
        all = single ? { [nameOf(models)]: models } : { ...models };
    if (Object.keys(all).length === 0 || !Object.values(all).every(isModel))
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            `${caller}: give it a loaded model, or an object of names and loaded models`,
        );
    return { all, single };
}
