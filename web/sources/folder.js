/**
 * Models of several files: the parts of a split GGUF, or a Hugging Face folder, wherever they lie. This file
 * decides which files there are, and in which order the core gets them. The core knows what is in them.
 */
import { NibbleError } from '../errors.js';
import { nodeModule } from '../platform.js';
import { ggufsListed } from './hub.js';
import { allWeights, decoded, finder, isHidden, lastOf, partNames, weightsAmong } from './names.js';
import { readWhole } from './open.js';
import { mayLack, moduleFiles, modulesOf } from './sentence.js';

/** @typedef {import('./open.js').Single} Single */
/** @typedef {import('./open.js').Source} Source */

/**
 * A file by its name, in the model's folder. absent: what to do if it turns out not to exist; it may throw.
 * unless: another file that makes this one needless.
 * @typedef {{ name: string, source: Single, absent?: (error?: unknown) => Promise<null>, unless?: string }} NamedSource
 */

/**
 * A place that files are taken from by name; null: it has none of that name.
 * @typedef {(name: string) => Promise<Single | null>} Place
 */

/** What the core wants of a folder in addition to the weights; all but config.json may be absent. */
const DOCUMENTS = [
    'config.json',
    'generation_config.json',
    'tokenizer.json',
    'tokenizer_config.json',
    'special_tokens_map.json',
    'chat_template.jinja',
    'tokenizer.model',
    'added_tokens.json',
    'quantize_config.json',
    'quant_config.json',
];

/** Documents that only count if another one is absent. @type {Record<string, string>} */
const UNLESS = { 'tokenizer.model': 'tokenizer.json', 'added_tokens.json': 'tokenizer.json' };
const INDEX = 'model.safetensors.index.json',
    WHOLE = 'model.safetensors';

/** In a folder without modules.json: how to pool. */
const POOLING = '1_Pooling/config.json';

/**
 * The files of a model that has several; null if the source is one file.
 * @param {import('./open.js').Source} source
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
                url.pathname =
                    pathname.slice(0, pathname.lastIndexOf('/') + 1) +
                    name.split('/').map(encodeURIComponent).join('/');
                return /** @type {Single} */ ({ kind: 'url', url: url.href });
            };
            if (pathname.endsWith('/')) return ofFolder(async (name) => sibling(name), source.url, true);
            const parts = partNames(decoded(pathname.slice(pathname.lastIndexOf('/') + 1)));
            return parts?.map((name) => ({ name, source: sibling(name) })) ?? null;
        }
        default:
            return null;
    }
}

/** Weights of any library, the lists of them, and what says how they were quantized. */
const OF_WEIGHTS =
    /\.(safetensors|gguf|bin|pth?|ckpt|h5|msgpack|onnx|ot|tflite)$|\.index\.json$|^quant(ize)?_config\.json$/i;

/**
 * The files of a Hugging Face folder beside its weights, whether nibble needs them or not. Of a URL only those
 * that it needs are known.
 * @param {Source} source
 * @returns {Promise<NamedSource[]>}
 */
export async function otherFiles(source) {
    /** @type {NamedSource[]} */
    let all;
    if (source.kind === 'path') {
        const { readdir } = await nodeModule('fs/promises');
        const { join } = await nodeModule('path');
        const entries = await readdir(source.path, { withFileTypes: true });
        all = entries
            .filter((entry) => !entry.isDirectory())
            .map(({ name }) => ({ name, source: { kind: 'path', path: join(source.path, name) } }));
    } else if (source.kind === 'files') {
        const files = source.files.map((file) => ({ ...file, name: file.name.replace(/\\/g, '/') })),
            configs = files.map(({ name }) => name).filter((name) => /(^|\/)config\.json$/.test(name)),
            nearest = configs.sort((a, b) => a.length - b.length)[0] ?? '',
            folder = nearest.slice(0, nearest.lastIndexOf('/') + 1);
        all = files
            .filter(({ name, loose }) => loose || name.startsWith(folder))
            .map((file) => ({ ...file, name: file.loose ? lastOf(file.name) : file.name.slice(folder.length) }));
    } else {
        all = (await severalFiles(source)) ?? [];
    }
    return all
        .filter(({ name }) => !name.includes('/') && !isHidden(name) && !OF_WEIGHTS.test(name))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** @param {string} path */
async function ofPath(path) {
    const { readdir, realpath, stat } = await nodeModule('fs/promises');
    const { basename, dirname, join } = await nodeModule('path');
    const at = (/** @type {string} */ folder) => (/** @type {string} */ name) =>
        /** @type {Single} */ ({ kind: 'path', path: join(folder, name) });
    // if something is wrong with the path, opening it will say so
    const isFolder = await stat(path).then(
        (found) => found.isDirectory(),
        () => false,
    );
    if (!isFolder) {
        // a link may have any name; the parts lie beside what it leads to
        const real = partNames(basename(path)) ? path : await realpath(path).catch(() => path);
        const parts = partNames(basename(real));
        const find = finder(parts ? await readdir(dirname(real)).catch(() => []) : [], dirname(real));
        return parts?.map((name) => ({ name, source: at(dirname(real))(find(name) ?? name) })) ?? null;
    }
    const entries = await readdir(path, { withFileTypes: true }).catch((error) => {
        throw new NibbleError(
            'NB_ERR_FILE',
            `cannot read the folder ${path}: ${error instanceof Error ? error.message : error}`,
            { cause: error },
        );
    });
    const names = entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name);
    const where = `the folder ${path}`;
    const modules = await modulesOf(async (name) => (names.includes(name) ? at(path)(name) : null), where);
    for (const folder of new Set([
        POOLING.split('/')[0],
        ...modules.map((module) => module.path).filter((folder) => folder),
    ]))
        names.push(...(await readdir(join(path, folder)).catch(() => [])).map((name) => `${folder}/${name}`));
    return ofNames(names, at(path), where);
}

/**
 * Names are paths. Of a folder that was chosen as a whole, only files in the folder of the weights, or of
 * modules.json, belong to the model. A file that was given by its own URL (loose) counts by its name alone.
 * @param {{ name: string, source: Single, loose?: boolean }[]} all
 * @returns {Promise<NamedSource[]>}
 */
async function ofList(all) {
    const files = all
        .map((file) => ({ ...file, name: file.name.replace(/\\/g, '/') }))
        .filter(({ name, loose }) => !isHidden(loose ? lastOf(name) : name));
    const folderOf = (/** @type {string} */ name) => name.slice(0, name.lastIndexOf('/') + 1);
    const depth = (/** @type {string} */ name) => name.split('/').length;
    const nearest = (/** @type {string[]} */ names) => {
        const least = Math.min(...names.map(depth));
        return [...new Set(names.filter((name) => depth(name) === least).map(folderOf))];
    };
    const weights = (/** @type {typeof files} */ some) => allWeights(some.map(({ name }) => name));
    const listed = nearest(files.map(({ name }) => name).filter((name) => /(^|\/)modules\.json$/.test(name)))[0];
    const chosen = nearest(weights(files.filter(({ loose }) => !loose)));
    if (listed === undefined && chosen.length > 1)
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            `there are models in several folders (${chosen.slice(0, 3).join(', ')}${
                chosen.length > 3 ? ', ...' : ''
            }); give the files of one`,
        );
    const folder = listed ?? nearest(weights(files))[0];
    const isWithin = (/** @type {string} */ name) => folder !== undefined && name.startsWith(folder);
    const own = files
        .filter(({ name, loose }) => loose || isWithin(name))
        .map(({ name, source }) => ({ name: isWithin(name) ? name.slice(folder.length) : lastOf(name), source }));
    const sources = new Map(own.map(({ name, source }) => [name, source]));
    if (sources.size < own.length)
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            'load(): two of the files have the same name; give the files of one model',
        );
    return ofNames([...sources.keys()], (name) => /** @type {Single} */ (sources.get(name)), 'the list of files');
}

/**
 * The model's files, from a place whose files are known.
 * @param {string[]} all
 * @param {(name: string) => Single} at
 * @param {string} where for messages
 * @returns {Promise<NamedSource[]>}
 */
async function ofNames(all, at, where) {
    const names = all.filter((name) => !isHidden(name));
    const find = finder(names, where);
    /** @type {Place} */
    const place = async (name) => {
        const found = find(name);
        return found === undefined ? null : at(found);
    };
    const modules = await modulesOf(place, where),
        root = rootOf(modules);
    const own = names
        .filter((name) => name.startsWith(root))
        .map((name) => name.slice(root.length))
        .filter((name) => !name.includes('/'));
    const has = (/** @type {string} */ name) => find(root + name) !== undefined;
    const complete = (/** @type {string[]} */ wanted) => {
        const lacking = wanted.find((name) => !has(name));
        if (lacking)
            throw new NibbleError('NB_ERR_FILE', `${lacking} is missing in ${where}: all parts of a model are needed`);
        return wanted;
    };
    const gguf = weightsAmong(own, 'gguf'),
        tensors = weightsAmong(own, 'safetensors');
    if (gguf.length > 0 && (tensors.length === 0 || !has(DOCUMENTS[0]))) {
        const parts = partNames(gguf[0]),
            wanted = complete(parts ?? gguf);
        if (gguf.length > wanted.length || (wanted.length > 1 && !parts))
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                `there are several models in ${where} (${gguf.slice(0, 3).join(', ')}${
                    gguf.length > 3 ? ', ...' : ''
                }); name one of the files`,
            );
        return Promise.all(
            wanted.map(async (name) => ({ name, source: /** @type {Single} */ (await place(root + name)) })),
        );
    }
    if (tensors.length === 0)
        throw new NibbleError(
            'NB_ERR_FILE',
            `there is no model in ${where}: neither *.gguf nor *.safetensors` +
                (names.some((name) => /\.(bin|pth?)$/i.test(name))
                    ? ". (PyTorch's .bin and .pt files are not read: take the safetensors version.)"
                    : ''),
        );
    const sharded = tensors.find((name) => partNames(name, 'safetensors'));
    const weights = has(WHOLE)
        ? [WHOLE] // as transformers does, whatever else there is
        : has(INDEX)
          ? undefined
          : sharded
            ? complete(/** @type {string[]} */ (partNames(sharded, 'safetensors')))
            : tensors;
    return ofFolder(place, where, false, weights);
}

/**
 * Where the transformer's own files lie: in the folder itself, or, in old models, in a folder within it.
 * @param {import('./sentence.js').Module[]} modules
 */
const rootOf = (modules) => (modules[0]?.path ? `${modules[0].path}/` : '');

/**
 * A Hugging Face folder's files.
 * @param {Place} place
 * @param {string} where for messages
 * @param {boolean} blind whether the place returns a source for any name, so that only opening it shows whether it exists
 * @param {string[]} [weights] the files of weights, where they are known
 * @returns {Promise<NamedSource[]>}
 */
async function ofFolder(place, where, blind, weights) {
    /** @type {NamedSource[]} */
    const files = [];
    const modules = await modulesOf(place, where),
        root = rootOf(modules);
    /** @type {Place} */
    const within = (name) => place(root + name);
    for (const name of DOCUMENTS) {
        const source = await within(name);
        if (source)
            files.push({
                name,
                source,
                ...(UNLESS[name] ? { unless: UNLESS[name] } : {}),
                ...(blind && name === DOCUMENTS[0]
                    ? { absent: (error) => noModel(where, name, error) }
                    : mayLack(blind)),
            });
        else if (name === DOCUMENTS[0])
            throw new NibbleError(
                'NB_ERR_FILE',
                `${name} is missing in ${where}: a model of safetensors files needs it`,
            );
    }
    if (modules.length > 0) {
        files.push(...(await moduleFiles(place, modules, where, blind)));
    } else {
        const source = await place(POOLING);
        if (source) files.push({ name: POOLING, source, ...mayLack(blind) });
    }
    for (const name of weights ?? (await shardNames(within, where))) {
        const source = await within(name);
        if (!source) throw new NibbleError('NB_ERR_FILE', `${name} is missing in ${where}: ${INDEX} names it`);
        files.push({ name, source, ...(blind ? { absent: (error) => noModel(where, name, error) } : {}) });
    }
    return files;
}

/**
 * The error of a folder's URL without config.json or without the weights. It names GGUF files there, if the
 * server lists them.
 * @param {string} url
 * @param {string} name of the file that is not there
 * @param {unknown} error why, if there was no answer
 * @returns {Promise<null>}
 */
async function noModel(url, name, error) {
    const found = await ggufsListed(url);
    const what = error instanceof Error ? error.message : `${name} in ${url} is empty or a web page`;
    const instead = found.length > 0 ? `This one has GGUF files (${found.join(', ')})` : 'If this one has GGUF files';
    throw new NibbleError(
        'NB_ERR_NETWORK',
        `${what}. A folder of safetensors files has a ${name}. ${instead}: name one of them, ` +
            `as ${url}${found[0] ?? 'NAME.gguf'}`,
        { cause: error },
    );
}

/**
 * The files that the index of a sharded model names; without an index, the one file of weights.
 * @param {Place} place
 * @param {string} where
 */
async function shardNames(place, where) {
    const source = await place(INDEX);
    const text = source && (await readWhole(source));
    if (text === null) return [WHOLE];
    try {
        const names = [...new Set(Object.values(JSON.parse(text).weight_map))].sort();
        if (names.length > 0 && names.every((name) => typeof name === 'string' && /^[^/\\]+\.safetensors$/i.test(name)))
            return /** @type {string[]} */ (names);
    } catch {
        // reported below
    }
    throw new NibbleError(
        'NB_ERR_FORMAT',
        `${INDEX} in ${where} is damaged: it should have a weight_map of tensors to files; download it again`,
    );
}
