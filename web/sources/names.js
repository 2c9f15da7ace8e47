/**
 * What file names say: parts of a model, weights, and files that only lie beside a model.
 */
import { NibbleError } from '../errors.js';

/** One of several files of weights: what stands before its number, its number, how many there are. */
const PART = /^(.*)-(\d{5})-of-(\d{5})\.(gguf|safetensors)$/is;

/**
 * Files of weights that may lie beside a model and are no model: projectors of images, adapters, vocabularies,
 * importance matrices. Some models have these words in their names, too.
 */
const COMPANIONS = ['mmproj', 'lora|adapters?', 'vocab', 'imatrix'].map(
    (words) => new RegExp(`(^|[^a-z])(${words})([^a-z]|$)`, 'i'),
);

/**
 * Hidden files, and what macOS adds for each file that it copies or packs ("._model.gguf"), do not belong to a model.
 * @param {string} path
 */
export const isHidden = (path) => /(^|[/\\])(\.|__MACOSX[/\\])/.test(path);

/** A browser writes "name (1).gguf" where it has downloaded a "name.gguf" before. @param {string} name */
const withoutCount = (name) => name.replace(/ ?\(\d+\)(?=\.[^./]*$)/, '');

/** Percent-decoded; unchanged if a stray % makes that impossible. @param {string} part of a URL */
export function decoded(part) {
    try {
        return decodeURIComponent(part);
    } catch {
        return part;
    }
}

/**
 * The names of all parts, from the name of any; null if the name is not that of a part.
 * @param {string} name
 * @param {string} kind its ending
 */
export function partNames(name, kind = 'gguf') {
    const [, stem, , count, ending] = PART.exec(withoutCount(name)) ?? [];
    if (!stem || Number(count) < 2 || ending.toLowerCase() !== kind) return null;
    return Array.from(
        { length: Number(count) },
        (_, i) => `${stem}-${String(i + 1).padStart(5, '0')}-of-${count}.${ending}`,
    );
}

/**
 * Finds a file among others: by its name, or else by what a browser or another system made of it.
 * @param {string[]} names
 * @param {string} where for messages
 * @returns {(wanted: string) => string | undefined}
 */
export function finder(names, where) {
    const plain = (/** @type {string} */ name) => withoutCount(name).toLowerCase();
    return (wanted) => {
        if (names.includes(wanted)) return wanted;
        const [found, other] = names.filter((name) => plain(name) === plain(wanted));
        if (other)
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                `both ${found} and ${other} in ${where} could be ${wanted}; keep one of them`,
            );
        return found;
    };
}

/** A path's last part; of a module's folder, as sentence-transformers names them, the last two. @param {string} path */
export const lastOf = (path) => /(\d+_[A-Za-z]+\/)?[^/]*$/.exec(path)?.[0] ?? path;

/**
 * Whether this is a file of weights, of which the core reads only the header at first.
 * @param {{ name: string }} file
 */
export const isWeights = ({ name }) => !/\.(json|jinja|model)$/.test(name);

/**
 * The files of weights, without those that only lie beside a model.
 * @param {string[]} names
 * @param {'gguf' | 'safetensors'} kind
 */
export function weightsAmong(names, kind) {
    const all = names.filter((name) => name.toLowerCase().endsWith(`.${kind}`)).sort();
    return COMPANIONS.reduce((left, companion) => {
        const models = left.filter((name) => !companion.test(name.slice(name.lastIndexOf('/') + 1)));
        return models.length > 0 ? models : left;
    }, all);
}

/** The files of weights of either kind that are not hidden. @param {string[]} names */
export function allWeights(names) {
    const visible = names.filter((name) => !isHidden(name));
    return [...weightsAmong(visible, 'gguf'), ...weightsAmong(visible, 'safetensors')];
}
