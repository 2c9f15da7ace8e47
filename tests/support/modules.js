/** WebAssembly modules other than the engine, for tests: the module, an instance, and what its header declares. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { root } from './builds.js';

/** nibble-NAME.wasm, with shared memory if the name ends in -threads. @param {string} name */
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

/**
 * Asserts that nibble-NAME.wasm and nibble-NAME-threads.wasm export the functions that a header declares, those of the
 * thread pool, nb_alloc and nb_free, and no others.
 * @param {string} name
 * @param {string} header
 */
export async function checkExports(name, header) {
    const own = declaredIn(header),
        pool = declaredIn('nibble.h').filter((name) => name.startsWith('nb_pool_'));
    assert.ok(own.length > 10 && pool.length === 5, `${own.length} functions, ${pool.length} of the pool`);
    for (const each of [name, `${name}-threads`]) {
        const { module } = await moduleOf(each);
        const functions = WebAssembly.Module.exports(module).filter(({ kind }) => kind === 'function');
        assert.deepEqual(
            functions.map(({ name }) => name).sort(),
            [...own, ...pool, 'nb_alloc', 'nb_free'].sort(),
            `nibble-${each}.wasm`,
        );
    }
}
