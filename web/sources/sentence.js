/**
 * The files that sentence-transformers puts beside a model: modules.json names folders, and each of them holds a
 * module. The core knows what the modules do.
 */
import { NibbleError } from '../errors.js';
import { readWhole } from './open.js';

/** @typedef {import('./folder.js').NamedSource} NamedSource */
/** @typedef {{ path: string, type: string }} Module */

const LIST = 'modules.json',
    MODEL = 'config_sentence_transformers.json';

/** The transformer module's own file, and how earlier versions called it. The core knows the first name. */
const TRANSFORMER = ['bert', 'roberta', 'distilbert', 'camembert', 'albert', 'xlm-roberta', 'xlnet'].map(
    (name) => `sentence_${name}_config.json`,
);

/** Modules that have weights. */
const WEIGHTY = /\.(Dense|LayerNorm)$/;

/** The property of a NamedSource that need not exist. @param {boolean} optional */
export const mayLack = (optional) => (optional ? { absent: async () => null } : {});

/**
 * The modules of a model, the transformer first; none if it has no modules.json.
 * @param {import('./folder.js').Place} place
 * @param {string} where for messages
 * @returns {Promise<Module[]>}
 */
export async function modulesOf(place, where) {
    const source = await place(LIST),
        text = source && (await readWhole(source));
    if (text === null) return [];
    try {
        const modules = JSON.parse(text);
        if (
            modules.every(
                (/** @type {any} */ { path, type }) =>
                    typeof type === 'string' &&
                    /^([^/\\]+(\/[^/\\]+)*)?$/.test(path) &&
                    !path.split('/').includes('..'),
            )
        )
            return modules;
    } catch {
        // reported below
    }
    throw new NibbleError(
        'NB_ERR_FORMAT',
        `${LIST} in ${where} is damaged: it should list modules, each with a type, and a path within the folder; ` +
            'download it again',
    );
}

/**
 * The files beside the transformer's own.
 * @param {import('./folder.js').Place} place
 * @param {Module[]} modules
 * @param {string} where for messages
 * @param {boolean} blind whether the place returns a source for any name
 * @returns {Promise<NamedSource[]>}
 */
export async function moduleFiles(place, modules, where, blind) {
    /** @type {NamedSource[]} */
    const files = [];
    const add = async (/** @type {string} */ name, optional = true) => {
        const source = await place(name);
        if (source) files.push({ name, source, ...mayLack(blind && optional) });
        else if (!optional)
            throw new NibbleError(
                'NB_ERR_FILE',
                `${name} is missing in ${where}: ${LIST} names its folder. (PyTorch's .bin files are not read.)`,
            );
    };
    await add(LIST);
    await add(MODEL);
    const [{ path: root }, ...others] = modules;
    for (const name of TRANSFORMER) {
        const source = await place(root ? `${root}/${name}` : name);
        if (source && (!blind || (await readWhole(source)) !== null)) {
            files.push({ name: TRANSFORMER[0], source, ...mayLack(blind) });
            break;
        }
    }
    for (const { path, type } of others)
        if (path) {
            await add(`${path}/config.json`);
            if (WEIGHTY.test(type)) await add(`${path}/model.safetensors`, false);
        }
    return files;
}
