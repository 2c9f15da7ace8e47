/**
 * Models of several files: the parts of a split GGUF, or a Hugging Face folder, wherever they lie. What is decided here is
 * which files there are and in which order the core gets them; what is in them the core knows.
 */
import { NibbleError } from './errors.js';
import { nodeModule } from './platform.js';
import { moduleFiles, modulesOf } from './sentence.js';
import { readWhole } from './stream.js';

/** @typedef {import('./stream.js').Single} Single */

/** A file by its name, in the model's folder. optional: it may turn out not to exist. @typedef {{ name: string, source: Single, optional?: boolean }} NamedSource */

/** A place that files are taken from by name; null: it has none of that name. @typedef {(name: string) => Promise<Single | null>} Place */

/** What the core wants of a folder beside the weights; all but the first may be absent. */
const DOCUMENTS = ['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'];
const INDEX = 'model.safetensors.index.json', WHOLE = 'model.safetensors';

/** One of several files of weights: what stands before its number, its number, how many there are. */
const PART = /^([^]*)-(\d{5})-of-(\d{5})\.(gguf|safetensors)$/;

/** In a folder without modules.json: how to pool. */
const POOLING = '1_Pooling/config.json';

/** Whether the core takes this file's header only, at first. @param {{ name: string }} file */
export const isWeights = ({ name }) => !/\.(json|jinja)$/.test(name);

/**
 * hf:OWNER/REPO[@REVISION][/FILE] -> where the hub has it: a folder's address, or a file's.
 * @param {string} text
 */
export function hubUrl(text) {
    const [, owner, repo, revision = 'main', file = ''] = /^hf:([\w.-]+)\/([\w.-]+)(?:@([^/]+))?(?:\/(.+?))?\/?$/.exec(text) ?? [];
    if (!owner)
        throw new NibbleError('NB_ERR_ARGUMENT', `${text} is no address of the hub: it should look like hf:owner/repo, or hf:owner/repo/file.gguf`);
    return `https://huggingface.co/${owner}/${repo}/resolve/${encodeURIComponent(revision)}/${file}`;
}

/**
 * The files of a model that has several; null if the source is one file.
 * @param {import('./stream.js').Source} source
 * @returns {Promise<NamedSource[] | null>}
 */
export async function severalFiles(source) {
    switch (source.kind) {
        case 'files':
            return ofList(source.files);
        case 'path':
            return ofPath(source.path);
        case 'url': {
            const { pathname } = new URL(source.url);
            const sibling = (/** @type {string} */ name) => {
                const url = new URL(source.url);
                url.pathname = pathname.slice(0, pathname.lastIndexOf('/') + 1) + name.split('/').map(encodeURIComponent).join('/');
                return /** @type {Single} */ ({ kind: 'url', url: url.href });
            };
            if (pathname.endsWith('/'))
                return ofFolder(async (name) => sibling(name), source.url, true);
            const parts = partNames(decodeURIComponent(pathname.slice(pathname.lastIndexOf('/') + 1)));
            return parts && parts.map((name) => ({ name, source: sibling(name) }));
        }
        default:
            return null;
    }
}

/**
 * All parts' names, from any one's; null if that is no part of several.
 * @param {string} name
 * @param {string} kind its ending
 */
function partNames(name, kind = 'gguf') {
    const [, stem, , count, ending] = PART.exec(name) ?? [];
    if (!stem || Number(count) < 2 || ending !== kind)
        return null;
    return Array.from({ length: Number(count) }, (_, i) => `${stem}-${String(i + 1).padStart(5, '0')}-of-${count}.${ending}`);
}

/** @param {string} path */
async function ofPath(path) {
    const { readdir, stat } = await nodeModule('fs/promises');
    const { basename, dirname, join } = await nodeModule('path');
    const at = (/** @type {string} */ folder) => (/** @type {string} */ name) => /** @type {Single} */ ({ kind: 'path', path: join(folder, name) });
    const isFolder = await stat(path).then((found) => found.isDirectory(), () => false); // what is wrong with it, opening it says
    if (!isFolder) {
        const parts = partNames(basename(path));
        return parts && parts.map((name) => ({ name, source: at(dirname(path))(name) }));
    }
    const names = await readdir(path).catch((error) => {
        throw new NibbleError('NB_ERR_FILE', `cannot read the folder ${path}: ${error instanceof Error ? error.message : error}`, { cause: error });
    });
    const where = `the folder ${path}`;
    const modules = await modulesOf(async (name) => (names.includes(name) ? at(path)(name) : null), where);
    for (const folder of new Set([POOLING.split('/')[0], ...modules.map((module) => module.path).filter((folder) => folder)]))
        names.push(...(await readdir(join(path, folder)).catch(() => [])).map((name) => `${folder}/${name}`));
    return ofNames(names, at(path), where);
}

/** A path's last part; of a module's folder, as sentence-transformers names them, the last two. @param {string} path */
const lastOf = (path) => /(\d+_[A-Za-z]+\/)?[^/]*$/.exec(path)?.[0] ?? path;

/**
 * Names are paths. What does not lie in the folder of the weights, or of modules.json, is none of the model's in a folder that was
 * chosen as a whole; a file that was given by its own address (loose) counts by its name alone.
 * @param {{ name: string, source: Single, loose?: boolean }[]} files
 * @returns {Promise<NamedSource[]>}
 */
async function ofList(files) {
    const depth = (/** @type {string} */ path) => path.split('/').length;
    const paths = files.map((file) => ({ ...file, name: file.name.replace(/\\/g, '/') }));
    const folders = (/** @type {RegExp} */ wanted) => paths.filter(({ name }) => wanted.test(name)).map(({ name }) => name.slice(0, name.lastIndexOf('/') + 1))
        .sort((a, b) => depth(a) - depth(b));
    const folder = folders(/(^|\/)modules\.json$/)[0] ?? folders(/\.(gguf|safetensors)$/)[0];
    const isWithin = (/** @type {string} */ name) => folder !== undefined && name.startsWith(folder);
    const own = paths.filter(({ name, loose }) => loose || isWithin(name))
        .map(({ name, source }) => ({ name: isWithin(name) ? name.slice(folder.length) : lastOf(name), source }));
    const sources = new Map(own.map(({ name, source }) => [name, source]));
    if (sources.size < own.length)
        throw new NibbleError('NB_ERR_ARGUMENT', 'load(): two of the files have one name; give those of one model');
    return ofNames([...sources.keys()], (name) => /** @type {Single} */ (sources.get(name)), 'the list of files');
}

/**
 * Out of a place whose files are known.
 * @param {string[]} names
 * @param {(name: string) => Single} at
 * @param {string} where for messages
 * @returns {Promise<NamedSource[]>}
 */
async function ofNames(names, at, where) {
    /** @type {Place} */
    const place = async (name) => (names.includes(name) ? at(name) : null);
    const modules = await modulesOf(place, where), root = rootOf(modules);
    const own = names.filter((name) => name.startsWith(root)).map((name) => name.slice(root.length)).filter((name) => !name.includes('/'));
    const gguf = own.filter((name) => name.endsWith('.gguf')).sort();
    const tensors = own.filter((name) => name.endsWith('.safetensors')).sort();
    const complete = (/** @type {string[]} */ wanted) => {
        const lacking = wanted.find((name) => !own.includes(name));
        if (lacking)
            throw new NibbleError('NB_ERR_FILE', `${lacking} is missing in ${where}: all parts of a model are needed`);
        return wanted;
    };
    if (gguf.length > 0 && tensors.length === 0) {
        const wanted = complete(partNames(gguf[0]) ?? gguf);
        if (gguf.length > wanted.length || (wanted.length > 1 && !PART.test(gguf[0])))
            throw new NibbleError('NB_ERR_ARGUMENT', `there are several models in ${where} (${gguf.slice(0, 3).join(', ')}${
                gguf.length > 3 ? ', ...' : ''}); name one of the files`);
        return wanted.map((name) => ({ name, source: at(root + name) }));
    }
    if (tensors.length === 0)
        throw new NibbleError('NB_ERR_FILE', `there is no model in ${where}: neither *.gguf nor *.safetensors${
            names.some((name) => /\.(bin|pth?)$/.test(name)) ? '. (PyTorch\'s .bin and .pt files are not read: take the safetensors version.)' : ''}`);
    const named = own.includes(WHOLE) || own.includes(INDEX);
    return ofFolder(place, where, false, named ? undefined : complete(partNames(tensors[0], 'safetensors') ?? tensors));
}

/** Where the transformer's own files lie: in the folder itself, but for models of long ago. @param {import('./sentence.js').Module[]} modules */
const rootOf = (modules) => (modules[0]?.path ? `${modules[0].path}/` : '');

/**
 * A Hugging Face folder's files.
 * @param {Place} place
 * @param {string} where for messages
 * @param {boolean} blind whether the place has an answer for every name, and only opening tells
 * @param {string[]} [weights] the files of weights, where they are known
 * @returns {Promise<NamedSource[]>}
 */
async function ofFolder(place, where, blind, weights) {
    /** @type {NamedSource[]} */
    const files = [];
    const modules = await modulesOf(place, where), root = rootOf(modules);
    /** @type {Place} */
    const within = (name) => place(root + name);
    for (const name of DOCUMENTS) {
        const source = await within(name);
        if (source)
            files.push({ name, source, optional: blind && name !== DOCUMENTS[0] });
        else if (name === DOCUMENTS[0])
            throw new NibbleError('NB_ERR_FILE', `${name} is missing in ${where}: a model of safetensors files needs it`);
    }
    if (modules.length > 0) {
        files.push(...await moduleFiles(place, modules, where, blind));
    } else {
        const source = await place(POOLING);
        if (source)
            files.push({ name: POOLING, source, optional: blind });
    }
    for (const name of weights ?? await shardNames(within, where)) {
        const source = await within(name);
        if (!source)
            throw new NibbleError('NB_ERR_FILE', `${name} is missing in ${where}: ${INDEX} names it`);
        files.push({ name, source });
    }
    return files;
}

/**
 * What the index of a sharded model names, or the one file of others.
 * @param {Place} place
 * @param {string} where
 */
async function shardNames(place, where) {
    const source = await place(INDEX);
    const text = source && await readWhole(source);
    if (text === null)
        return [WHOLE];
    try {
        const names = [...new Set(Object.values(JSON.parse(text).weight_map))].sort();
        if (names.length > 0 && names.every((name) => typeof name === 'string' && /^[^/\\]+\.safetensors$/.test(name)))
            return /** @type {string[]} */ (names);
    } catch {
        // said below
    }
    throw new NibbleError('NB_ERR_FORMAT', `${INDEX} in ${where} is damaged: it should have a weight_map of tensors to files; download it again`);
}
