// Copies of nibble's WebAssembly builds whose memory cannot grow beyond a limit, for tests of failing allocations.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { builds, root } from './builds.js';

const PAGE = 65536,
    MEMORY_SECTION = 5;
const ENGINES = builds.filter(({ threads }) => !threads).map(({ name }) => name);

/**
 * A copy of build/wasm.
 * @param {string} folder to write to
 * @param {Record<string, number>} most bytes of some modules' memories: 'convert', 'quantize', 'train', or 'engine' for
 *     each of its builds without threads
 * @returns {string} wasmUrl
 */
export function littleMemory(folder, most) {
    cpSync(`${root}build/wasm`, folder, { recursive: true });
    for (const [module, bytes] of Object.entries(most))
        for (const name of module === 'engine' ? ENGINES : [module]) {
            const path = join(folder, `nibble-${name}.wasm`);
            writeFileSync(path, limited(readFileSync(path), Math.floor(bytes / PAGE)));
        }
    return `${pathToFileURL(folder)}/`;
}

/** @param {Buffer} wasm which exports its memory @param {number} pages */
function limited(wasm, pages) {
    let at = 8; // after the magic number and the version
    const number = () => {
        let value = 0;
        for (let shift = 0; ; shift += 7) {
            const byte = wasm[at++];
            value |= (byte & 127) << shift;
            if (byte < 128) return value >>> 0;
        }
    };
    while (at < wasm.length) {
        const section = wasm[at++],
            size = number(),
            end = at + size;
        if (section === MEMORY_SECTION) {
            const memories = number(),
                flags = number();
            if (memories !== 1 || flags !== 1) throw new Error('one memory with a maximum was expected');
            number(); // the initial number of pages
            const begin = at;
            number();
            for (let i = begin, rest = pages; i < at; i++, rest >>= 7) wasm[i] = (rest & 127) | (i + 1 < at ? 128 : 0);
            return wasm;
        }
        at = end;
    }
    throw new Error('the build has no memory of its own');
}
