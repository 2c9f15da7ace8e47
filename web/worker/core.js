/**
 * One WebAssembly build of the core, instantiated: the exports of src/nibble.h, their errors, and linear memory.
 *
 * Rules: an address that comes out of WebAssembly is signed here, hence `>>> 0`; a view on the memory is good only
 * until the core allocates, hence views are made anew where they are used and never kept.
 */
import { nb_error } from '../abi.js';
import { NibbleError, coreError, messageOf } from '../errors.js';
import { breathe, usefulThreads, fetchOwn, isNode } from '../platform.js';

/** @typedef {import('../index.d.ts').Build} Build */
/** @typedef {import('../assets.js').WasmUrls} WasmUrls */
/** @typedef {Record<string, (...args: number[]) => number> & { __stack_pointer: WebAssembly.Global }} Exports */

const PAGE = 65536;

/** What a threads build starts with; it must hold the data and the first stack, and grows from there. */
const FIRST_PAGES = 64;
/** Address space to reserve for a shared memory, which cannot be moved later: the most that the engine gives. */
const MOST_PAGES = [65536, 32768, 16384, 8192];

/** How often the probe runs before its answer counts: enough calls for V8 to replace its first, simple compilation. */
const PROBE_CALLS = 20000;

/**
 * Two modules that use one instruction each, to ask an engine whether it knows it.
 * @param {number[]} body a function's code
 */
const knows = (body) => WebAssembly.validate(new Uint8Array([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // "\0asm", version 1
    1, 5, 1, 0x60, 0, 1, 0x7b, // type 0: () -> v128
    3, 2, 1, 0, // function 0 has type 0
    10, body.length + 4, 1, body.length + 2, 0, ...body, 0x0b,
]));
const SPLAT = [0x41, 0, 0xfd, 0x0f]; // i32.const 0, i8x16.splat
const knowsSimd = () => knows(SPLAT);
const knowsRelaxed = () => knows([...SPLAT, ...SPLAT, ...SPLAT, 0xfd, 0x93, 0x02]); // i32x4.relaxed_dot_i8x16_i7x16_add_s

/** Whether threads can share memory: a page needs cross-origin isolation for that. */
const mayShare = () => typeof SharedArrayBuffer === 'function' && (isNode || globalThis.crossOriginIsolated === true);

/** One for all: making it takes longer than a token's text. */
const UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });

export class Core {
    /**
     * @param {Build | 'convert'} build
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
            throw new NibbleError('NB_ERR_MEMORY',
                'there is no memory to start with: this JavaScript engine gives nibble almost none');
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
        if (result < 0)
            throw this.failure(name, result);
        return result;
    }

    /**
     * Calls a function that returns an object or NULL and takes an nb_error last.
     * @param {string} name
     * @param {number[]} args without the nb_error
     */
    object(name, ...args) {
        const result = this.exports[name](...args, this.error) >>> 0;
        if (!result)
            throw this.failure(name, this.ints(this.error, 1)[0]);
        return result;
    }

    /**
     * @param {string} name
     * @param {number} code
     */
    failure(name, code) {
        const { at } = nb_error.fields.message, bytes = this.bytes(this.error + at, nb_error.size - at);
        const message = this.string(this.error + at, Math.max(0, bytes.indexOf(0)));
        return coreError(code, message || `${name} failed with code ${code}`);
    }

    /**
     * @param {number} size in bytes
     * @param {string} what it is for
     * @returns {number} the address; the caller gives it back with nb_free
     */
    take(size, what) {
        const address = this.exports.nb_alloc(size) >>> 0;
        if (!address)
            throw new NibbleError('NB_ERR_MEMORY',
                `no memory for ${what} (${size} bytes): dispose of other models, or load a ` +
                'smaller one, or with a smaller contextLength');
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
        const address = this.take(size, 'a message to the core');
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
        return this.borrowUtf8(new TextEncoder().encode(text), f);
    }

    /**
     * @template T
     * @param {Uint8Array} utf8
     * @param {(address: number, length: number) => T} f
     * @returns {T}
     */
    borrowUtf8(utf8, f) {
        return this.borrow(utf8.length + 1, (address) => {
            this.bytes(address, utf8.length).set(utf8);
            return f(address, utf8.length);
        });
    }
}

/** @param {string} url */
async function compile(url) {
    try {
        const source = await fetchOwn(url);
        if (source instanceof Uint8Array)
            return await WebAssembly.compile(/** @type {BufferSource} */ (source));
        // compiling while it arrives, and from the engine's code cache; a server that names the type wrongly only costs that
        if (source.headers.get('content-type')?.startsWith('application/wasm'))
            try {
                return await WebAssembly.compileStreaming(source);
            } catch (error) {
                if (!(error instanceof TypeError)) // such as a type with parameters: nothing that the bytes could tell
                    throw error;
                const again = await fetchOwn(url);
                return await WebAssembly.compile(await /** @type {Response} */ (again).arrayBuffer());
            }
        return await WebAssembly.compile(await source.arrayBuffer());
    } catch (error) {
        const why = messageOf(error);
        throw new NibbleError('NB_ERR_ENGINE', `cannot load nibble's WebAssembly from ${url}: ${why}. ${/unsafe-eval/.test(why)
            ? 'Allow \'wasm-unsafe-eval\' in the script-src of the Content-Security-Policy'
            : 'In a checkout run ./build.sh, or tell load() where the files are with wasmUrl'}`, { cause: error });
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
    throw new NibbleError('NB_ERR_MEMORY', `the engine gives no shared memory, not even ${MOST_PAGES.at(-1)} pages of ` +
        `${PAGE} bytes; close other pages, or load with threads: 1`, { cause: last });
}

/**
 * @param {Build | 'convert'} build
 * @param {WasmUrls} wasm
 */
async function start(build, wasm) {
    const module = await compile(/** @type {string} */ (wasm[build]));
    const { exports, memory } = await instantiate(module, build.endsWith('-threads'));
    return new Core(build, module, memory, /** @type {Exports} */ (/** @type {unknown} */ (exports)));
}

/**
 * Whether the relaxed dot product computes what the kernels rely on, in the first tier of compilation and in the last.
 * Only products with 8-bit activations want to know: of other relaxed instructions any answer that they may give will do.
 * @param {Core} core
 * @param {'exact' | 'fast' | undefined} precision
 */
async function relaxedIsRight(core, precision) {
    if (precision !== 'fast')
        return true;
    const { nb_probe_relaxed } = core.exports;
    for (let i = 0; i < PROBE_CALLS; i++)
        if (nb_probe_relaxed() !== 1)
            return false;
    await breathe(); // the optimizing compiler works in the background; its code serves the next call
    return nb_probe_relaxed() === 1;
}

/**
 * Instantiates the build that serves best here, or the one asked for.
 * @param {import('../protocol.js').EngineOptions} options
 * @returns {Promise<{ core: Core, threads: number }>} threads: how many to use; with a build that was asked for, as many as
 *     were asked for
 */
export async function startCore({ threads, build, assets: { wasm }, precision }) {
    if (typeof WebAssembly !== 'object' || !knowsSimd())
        throw new NibbleError('NB_ERR_ENGINE',
            `this engine has no WebAssembly${typeof WebAssembly === 'object' ? ' SIMD' : ''}, which nibble ` +
            'computes with; it came with Chrome 91, Firefox 89, Safari 16.4 and Node 16.4, and flags such as --jitless take ' +
                'it away');
    const given = BUILDS.filter((name) => wasm[name]);
    const forced = build ?? (given.length === 1 ? given[0] : undefined);
    if (forced)
        return startForced(forced, wasm, threads, precision);
    const wanted = mayShare() ? await usefulThreads(threads) : 1;
    const shared = given.filter((name) => name.endsWith('-threads')),
        alone = given.filter((name) => !name.endsWith('-threads'));
    const usable = wanted > 1 ? [...shared, ...alone] : mayShare() ? [...alone, ...shared] : alone;
    for (const name of usable.filter((name) => !name.startsWith('relaxed') || knowsRelaxed())) {
        const core = await start(name, wasm);
        if (!name.startsWith('relaxed') || await relaxedIsRight(core, precision))
            return { core, threads: name.endsWith('-threads') ? wanted : 1 };
    }
    throw new NibbleError('NB_ERR_ENGINE',
        `none of the builds that wasmUrl names (${given.join(', ')}) runs here; simd128 runs everywhere`);
}

/** From the fastest to the one that runs everywhere. @type {Build[]} */
const BUILDS = ['relaxed', 'relaxed-threads', 'simd128', 'simd128-threads'];

/**
 * @param {Build} build
 * @param {WasmUrls} wasm
 * @param {number | undefined} threads
 * @param {'exact' | 'fast' | undefined} precision
 */
async function startForced(build, wasm, threads, precision) {
    const shared = build.endsWith('-threads');
    if (!wasm[build])
        throw new NibbleError('NB_ERR_ARGUMENT', `the build ${build} was asked for, and wasmUrl does not say where it is`);
    if (shared && !mayShare())
        throw new NibbleError('NB_ERR_ENGINE', `the build ${build} needs shared memory: serve the page with the headers ` +
            '"Cross-Origin-Opener-Policy: same-origin" and "Cross-Origin-Embedder-Policy: require-corp", or leave build out');
    if (build.startsWith('relaxed') && !knowsRelaxed())
        throw new NibbleError('NB_ERR_ENGINE', `the build ${build} needs relaxed SIMD, which this engine lacks ` +
            '(it came with Chrome 114, Firefox 145 and Node 22): leave build out');
    const core = await start(build, wasm);
    if (build.startsWith('relaxed') && !await relaxedIsRight(core, precision))
        throw new NibbleError('NB_ERR_ENGINE', `the build ${build} would compute wrongly here: this engine's relaxed dot ` +
            'product gives other sums than the kernels rely on; leave build out');
    return { core, threads: shared ? threads ?? await usefulThreads() : 1 };
}

/**
 * The converter (src/nibble_convert.h).
 * @param {WasmUrls} wasm
 */
export const startConverter = (wasm) => start('convert', wasm);
