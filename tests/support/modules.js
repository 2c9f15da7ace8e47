/** Modules beside the engine, for tests: the compiled file, an instance of it, and what its header declares. */
import { readFileSync } from 'node:fs';
import { root } from './builds.js';

/** nibble-NAME.wasm; of a name that ends in -threads with shared memory. @param {string} name */
export async function moduleOf(name) {
    const module = await WebAssembly.compile(readFileSync(`${root}build/wasm/nibble-${name}.wasm`));
    const shared = new WebAssembly.Memory({ initial: 32, maximum: 65536, shared: true }),
        isShared = name.endsWith('-threads');
    const { exports } = await WebAssembly.instantiate(module, isShared ? { env: { memory: shared } } : {});
    const core = /** @type {any} */ (exports);
    return { module, core, memory: /** @type {WebAssembly.Memory} */ (isShared ? shared : core.memory) };
}

/** The functions that a header of src/ declares. @param {string} file */
export const declaredIn = (file) =>
    [
        ...readFileSync(`${root}src/${file}`, 'utf8')
            .replace(/\/\*[\s\S]*?\*\//g, '')
            .matchAll(/^[a-z][\w ]*[ *](nb_\w+)\(/gm),
    ].map((match) => match[1]);
