/**
 * One WebAssembly build of the core, instantiated: the exports of src/nibble.h, their errors, and linear memory.
 *
 * Rules: an address that comes out of WebAssembly is signed here, hence `>>> 0`; a view of the memory is valid only
 * until the core allocates, hence views are made where they are used, and never kept.
 */
import { nb_error } from '../abi.js';
import { coreError, messageOf, NibbleError } from '../errors.js';
import { fetchOwn } from '../platform.js';

/** @typedef {import('../assets.js').Module} Module */
/** @typedef {import('../assets.js').WasmUrls} WasmUrls */
/** @typedef {Record<string, (...args: number[]) => number> & { __stack_pointer: WebAssembly.Global }} Exports */

const PAGE = 65536;

/** Pages that a build with threads starts with: enough for its data and its first stack. */
const FIRST_PAGES = 64;
/** Address space to reserve for a shared memory, which cannot be moved later: the most that the engine grants. */
const MOST_PAGES = [65536, 32768, 16384, 8192];

/** One decoder for all texts: making one takes longer than decoding a token. */
const UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });

export class Core {
    /**
     * @param {Module} build
     * @param {WebAssembly.Module} module
     * @param {WebAssembly.Memory} memory
     * @param {Exports} exports
     */
    constructor(build, module, memory, exports) {
        this.build = build;
        this.module = module;
        this.memory = memory;
        this.exports = exports;
        this.error = this.exports.nb_alloc(nb_error.size) >>> 0;
        if (!this.error)
            throw new NibbleError(
                'NB_ERR_MEMORY',
                'there is no memory to start with: this JavaScript engine gives nibble almost none',
            );
    }

    /**
     * @param {number} address
     * @param {number} length
     */
    bytes(address, length) {
        return new Uint8Array(this.memory.buffer, address, length);
    }

    /**
     * @param {number} address
     * @param {number} length
     */
    ints(address, length) {
        return new Int32Array(this.memory.buffer, address, length);
    }

    /**
     * @param {number} address
     * @param {number} length
     */
    floats(address, length) {
        return new Float32Array(this.memory.buffer, address, length);
    }

    /**
     * Whole UTF-8 in linear memory -> string. (A TextDecoder refuses shared memory, hence the copy.)
     * @param {number} address
     * @param {number} length
     */
    string(address, length) {
        return UTF8.decode(this.bytes(address, length).slice());
    }

    /** The memory held now. It never shrinks. */
    get size() {
        return this.memory.buffer.byteLength;
    }

    /**
     * Calls a function that returns a count or a negative code and takes an nb_error last.
     * @param {string} name
     * @param {number[]} args without the nb_error
     */
    count(name, ...args) {
        const result = this.exports[name](...args, this.error);
        if (result < 0) throw this.failure(name, result);
        return result;
    }

    /**
     * Calls a function that returns an object or NULL and takes an nb_error last.
     * @param {string} name
     * @param {number[]} args without the nb_error
     */
    object(name, ...args) {
        const result = this.exports[name](...args, this.error) >>> 0;
        if (!result) throw this.failure(name, this.ints(this.error, 1)[0]);
        return result;
    }

    /**
     * @param {string} name
     * @param {number} code
     */
    failure(name, code) {
        const { at } = nb_error.fields.message,
            bytes = this.bytes(this.error + at, nb_error.size - at);
        const message = this.string(this.error + at, Math.max(0, bytes.indexOf(0)));
        return coreError(code, message || `${name} failed with code ${code}`);
    }

    /**
     * @param {number} size in bytes
     * @param {string} what it is for
     * @param {string} [advice]
     * @returns {number} the address; the caller gives it back with nb_free
     */
    allocate(size, what, advice = 'dispose of other models, or load a smaller one, or with a smaller contextLength') {
        // WebAssembly would take the size modulo 2^32
        const address = size < 2 ** 32 ? this.exports.nb_alloc(size) >>> 0 : 0;
        if (!address) throw new NibbleError('NB_ERR_MEMORY', `no memory for ${what} (${size} bytes): ${advice}`);
        return address;
    }

    /**
     * Memory for as long as f runs.
     * @template T
     * @param {number} size in bytes
     * @param {(address: number) => T} f
     * @returns {T}
     */
    borrow(size, f) {
        const address = this.allocate(size, 'a message to the core');
        try {
            return f(address);
        } finally {
            this.exports.nb_free(address);
        }
    }

    /**
     * A text's UTF-8 in memory for as long as f runs.
     * @template T
     * @param {string} text
     * @param {(address: number, length: number) => T} f
     * @returns {T}
     */
    borrowText(text, f) {
        return this.borrowBytes(new TextEncoder().encode(text), f);
    }

    /**
     * A copy of the bytes in memory for as long as f runs.
     * @template T
     * @param {Uint8Array} bytes
     * @param {(address: number, length: number) => T} f
     * @returns {T}
     */
    borrowBytes(bytes, f) {
        return this.borrow(bytes.length + 1, (address) => {
            this.bytes(address, bytes.length).set(bytes);
            return f(address, bytes.length);
        });
    }
}

/** @param {string} url */
async function compile(url) {
    try {
        const source = await fetchOwn(url);
        if (source instanceof Uint8Array) return await WebAssembly.compile(/** @type {BufferSource} */ (source));
        // compiles while the bytes arrive, and uses the engine's code cache; a server that names the type wrongly only
        // costs that
        if (source.headers.get('content-type')?.startsWith('application/wasm'))
            try {
                return await WebAssembly.compileStreaming(source);
            } catch (error) {
                if (!(error instanceof TypeError)) throw error;
                // it is not about the bytes, but about a type with parameters, for example
                const again = await fetchOwn(url);
                return await WebAssembly.compile(await /** @type {Response} */ (again).arrayBuffer());
            }
        return await WebAssembly.compile(await source.arrayBuffer());
    } catch (error) {
        const why = messageOf(error);
        throw new NibbleError(
            'NB_ERR_ENGINE',
            `cannot load nibble's WebAssembly from ${url}: ${why}. ${
                /unsafe-eval/.test(why)
                    ? "Allow 'wasm-unsafe-eval' in the script-src of the Content-Security-Policy"
                    : 'In a checkout run ./build.sh, or tell load() where the files are with wasmUrl'
            }`,
            { cause: error },
        );
    }
}

/**
 * @param {WebAssembly.Module} module
 * @param {boolean} shared
 */
async function instantiate(module, shared) {
    if (!shared) {
        const { exports } = await WebAssembly.instantiate(module, {});
        return { exports, memory: /** @type {WebAssembly.Memory} */ (exports.memory) };
    }
    /** @type {unknown} */
    let last;
    for (const maximum of MOST_PAGES) {
        let memory;
        try {
            memory = new WebAssembly.Memory({ initial: FIRST_PAGES, maximum, shared: true });
        } catch (error) {
            last = error; // a phone may not have 4 GB of addresses left
            continue;
        }
        const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
        return { exports, memory };
    }
    throw new NibbleError(
        'NB_ERR_MEMORY',
        `the engine gives no shared memory, not even ${MOST_PAGES.at(-1)} pages of ` +
            `${PAGE} bytes; close other pages, or load with threads: 1`,
        { cause: last },
    );
}

/**
 * @param {Module} build
 * @param {WasmUrls} wasm
 */
export async function startBuild(build, wasm) {
    const module = await compile(/** @type {string} */ (wasm[build]));
    const { exports, memory } = await instantiate(module, build.endsWith('-threads'));
    return new Core(build, module, memory, /** @type {Exports} */ (/** @type {unknown} */ (exports)));
}

/**
 * The converter (src/nibble_convert.h).
 * @param {WasmUrls} wasm
 */
export const startConverter = (wasm) => startBuild('convert', wasm);
