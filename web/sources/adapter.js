/** Which files a LoRA adapter has: one GGUF, or two of a folder that PEFT has written. */
import { NibbleError } from '../errors.js';
import { nodeModule } from '../platform.js';
import { lastOf } from './names.js';
import { opener } from './open.js';

/** @typedef {import('./open.js').Single} Single */

/** What save_pretrained() of PEFT writes. */
const FILES = ['adapter_config.json', 'adapter_model.safetensors'];

/** @param {(name: string) => Single | undefined} find @param {string} where for messages */
const ofFolder = (find, where) =>
    FILES.map((name) => {
        const source = find(name);
        if (source) return { name, source };
        throw new NibbleError(
            'NB_ERR_FILE',
            `${name} is missing in ${where}: an adapter's folder has ${FILES.join(' and ')}`,
        );
    });

/**
 * @param {import('./open.js').Source} source
 * @returns {Promise<Single | { name: string, source: Single }[]>} one file, or those of a folder
 */
async function filesOf(source) {
    if (source.kind === 'files') {
        const [first, ...others] = source.files;
        if (first && others.length === 0) return first.source;
        return ofFolder((name) => source.files.find((file) => lastOf(file.name) === name)?.source, 'the list of files');
    }
    if (source.kind === 'url' && new URL(source.url).pathname.endsWith('/'))
        return ofFolder((name) => {
            const url = new URL(source.url);
            url.pathname += name;
            return { kind: 'url', url: url.href };
        }, source.url);
    if (source.kind === 'path') {
        const { readdir, stat } = await nodeModule('fs/promises');
        const { join } = await nodeModule('path');
        // if something is wrong with the path, opening it will say so
        const isFolder = await stat(source.path).then(
            (found) => found.isDirectory(),
            () => false,
        );
        const names = isFolder ? await readdir(source.path) : [];
        if (isFolder)
            return ofFolder(
                (name) => (names.includes(name) ? { kind: 'path', path: join(source.path, name) } : undefined),
                `the folder ${source.path}`,
            );
    }
    return /** @type {Single} */ (source);
}

/**
 * @param {import('./open.js').Source} source
 * @returns {Promise<Single | import('../worker/convert.js').InputFile[]>} one file, or those for the converter
 */
export async function adapterFiles(source) {
    const found = await filesOf(source);
    if (!Array.isArray(found)) return found;
    return found.map(({ name, source }) => ({ name, remote: source.kind === 'url', open: opener(source) }));
}
