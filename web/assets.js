/**
 * Where nibble's own files are. Each URL is one literal `new URL('...', import.meta.url)`: bundlers look for
 * such a line, copy the file, and write its new URL there. The worker is given every URL: a bundler may have
 * moved its script, so it cannot find the other files by itself.
 */

import { nearest } from './checks.js';
import { NibbleError } from './errors.js';
import { isNode, nodeModule } from './platform.js';

/** @typedef {import('./index.d.ts').Build} Build */
/** @typedef {'workerUrl' | 'poolWorkerUrl' | 'templateUrl'} ScriptOption */

/** A .wasm file: a build of the engine, or the module for converting, quantizing, training, models of integers or
 * grammars.
 * @typedef {Build | import('./index.d.ts').IntegerBuild | 'convert' | 'quantize' | 'quantize-threads' | 'train' |
 *     'train-threads' | 'grammar'} Module */

/** The .wasm files by their names. @typedef {Partial<Record<Module, string>>} WasmUrls */

/**
 * The URLs that the worker is given.
 * @typedef {{ wasm: WasmUrls, workerUrl: string, poolWorkerUrl: string, templateUrl: string }} Assets
 */

/** @type {Record<Module, () => URL>} */
const WASM = {
    simd128: () => new URL('../build/wasm/nibble-simd128.wasm', import.meta.url),
    'simd128-threads': () => new URL('../build/wasm/nibble-simd128-threads.wasm', import.meta.url),
    relaxed: () => new URL('../build/wasm/nibble-relaxed.wasm', import.meta.url),
    'relaxed-threads': () => new URL('../build/wasm/nibble-relaxed-threads.wasm', import.meta.url),
    'relaxed-dot': () => new URL('../build/wasm/nibble-relaxed-dot.wasm', import.meta.url),
    'relaxed-dot-threads': () => new URL('../build/wasm/nibble-relaxed-dot-threads.wasm', import.meta.url),
    convert: () => new URL('../build/wasm/nibble-convert.wasm', import.meta.url),
    quantize: () => new URL('../build/wasm/nibble-quantize.wasm', import.meta.url),
    'quantize-threads': () => new URL('../build/wasm/nibble-quantize-threads.wasm', import.meta.url),
    train: () => new URL('../build/wasm/nibble-train.wasm', import.meta.url),
    'train-threads': () => new URL('../build/wasm/nibble-train-threads.wasm', import.meta.url),
    integer: () => new URL('../build/wasm/nibble-integer.wasm', import.meta.url),
    'integer-threads': () => new URL('../build/wasm/nibble-integer-threads.wasm', import.meta.url),
    grammar: () => new URL('../build/wasm/nibble-grammar.wasm', import.meta.url),
};

/** The modules other than the engine. */
const OTHERS = /** @type {const} */ ([
    ...['convert', 'quantize', 'quantize-threads', 'train', 'train-threads'],
    ...['integer', 'integer-threads', 'grammar'],
]);

/** @type {Record<ScriptOption, () => URL>} */
const SCRIPTS = {
    workerUrl: () => new URL('../build/engine-worker.js', import.meta.url),
    poolWorkerUrl: () => new URL('../build/pool-worker.js', import.meta.url),
    templateUrl: () => new URL('../build/jinja.js', import.meta.url),
};

/** The load options that this file reads. */
export const ASSET_OPTIONS = ['wasmUrl', 'workerUrl', 'poolWorkerUrl', 'templateUrl'];

const NAMES = /** @type {Module[]} */ (Object.keys(WASM));
const refuse = (/** @type {string} */ message) => new NibbleError('NB_ERR_ARGUMENT', `load(): ${message}`);

/**
 * @param {Pick<import('./index.d.ts').LoadOptions, 'wasmUrl' | 'workerUrl' | 'poolWorkerUrl' | 'templateUrl'>} options
 * @returns {Promise<Assets>}
 */
export async function findAssets(options) {
    const script = async (/** @type {ScriptOption} */ option) =>
        options[option] === undefined ? own(SCRIPTS[option], option) : absolute(options[option], option);
    return {
        wasm: await wasmUrls(options),
        workerUrl: await script('workerUrl'),
        poolWorkerUrl: await script('poolWorkerUrl'),
        templateUrl: await script('templateUrl'),
    };
}

/**
 * Where the renderer of chat templates is, for callers without an answer of findAssets().
 */
export const ownTemplateUrl = () => own(SCRIPTS.templateUrl, 'templateUrl');

/**
 * @param {() => URL} find
 * @param {string} option
 */
function own(find, option) {
    try {
        // Next.js puts something of its own in place of URL, whose href may be a path
        return new URL(find().href, baseUrl()).href;
    } catch (error) {
        throw new NibbleError(
            'NB_ERR_ENGINE',
            'nibble does not know where its own files are, because this bundle does not say it ' +
                `(import.meta.url): pass ${option} to load() (and the others of ${ASSET_OPTIONS.join(', ')}), ` +
                'or leave nibble-llm out of the bundle ("external"; in Next.js serverExternalPackages: [\'nibble-llm\'])',
            { cause: error },
        );
    }
}

/**
 * What wasmUrl may be: a folder, the file of one build, or a map from builds to files. Where it is a map, only the
 * builds it names are used.
 * @param {import('./index.d.ts').LoadOptions} options
 * @returns {Promise<WasmUrls>}
 */
async function wasmUrls({ wasmUrl, build }) {
    /** @type {WasmUrls} */
    const found = {};
    if (wasmUrl === undefined || wasmUrl === '') {
        for (const name of NAMES) found[name] = own(WASM[name], 'wasmUrl');
        return found;
    }
    if (typeof wasmUrl === 'object' && wasmUrl !== null && !isUrl(wasmUrl)) {
        for (const [name, url] of Object.entries(wasmUrl)) {
            if (!Object.hasOwn(WASM, name))
                throw refuse(`wasmUrl names a build "${name}"; there are ${NAMES.join(', ')}${didYouMean(name)}`);
            if (url !== undefined) found[/** @type {Build} */ (name)] = await absolute(url, `wasmUrl's ${name}`);
        }
        for (const name of OTHERS) found[name] ??= own(WASM[name], 'wasmUrl');
        return found;
    }
    const url = new URL(await absolute(wasmUrl, 'wasmUrl'));
    const beside = (/** @type {string} */ name) => {
        const file = new URL(url.href);
        file.pathname = `${file.pathname.replace(/[^/]*\.wasm$/, '').replace(/\/?$/, '/')}nibble-${name}.wasm`;
        return file.href;
    };
    if (!/\.wasm$/.test(url.pathname) && !/^(blob|data):$/.test(url.protocol)) {
        for (const name of NAMES) found[name] = beside(name);
        return found;
    }
    // longest first: "simd128" begins "simd128-threads"
    const sorted = [...NAMES].sort((a, b) => b.length - a.length);
    const file = url.pathname.slice(url.pathname.lastIndexOf('/') + 1);
    const named =
        build ??
        sorted.find((name) => file === `nibble-${name}.wasm`) ??
        sorted.find((name) => file.startsWith(`nibble-${name}`));
    if (!named || OTHERS.some((name) => name === named))
        throw refuse(
            'wasmUrl must be a folder, a file named nibble-BUILD.wasm, or a map from build to file, ' +
                `not ${url.href.slice(0, 200)}`,
        );
    found[named] = url.href;
    // a bundler that renamed this file has not put the other modules beside it
    for (const name of OTHERS)
        found[name] = file === `nibble-${named}.wasm` ? beside(name) : own(WASM[name], 'wasmUrl');
    return found;
}

/** @param {string} name */
function didYouMean(name) {
    const near = nearest(name, NAMES);
    return near ? `; did you mean "${near}"?` : '';
}

/** The base of relative URLs, in a page or in a worker. */
const baseUrl = () => (isNode ? undefined : (globalThis.document?.baseURI ?? globalThis.location?.href));

/** Whether this is a URL, of this realm or of another. @param {unknown} value */
export const isUrl = (value) =>
    typeof value === 'object' && value !== null && typeof (/** @type {any} */ (value).href) === 'string';

/** Whether a URL names its scheme. C:\models and llama3:8b.gguf are paths. @param {string} text */
export const hasScheme = (text) => /^(https?|file|data|blob):|^[a-z][a-z0-9+.-]+:\/\//i.test(text);

/**
 * An absolute URL, because the worker has another base. In Node a text without a scheme is a path.
 * @param {unknown} url
 * @param {string} what it is, for the message
 * @returns {Promise<string>}
 */
export async function absolute(url, what) {
    if (typeof url !== 'string' && !isUrl(url)) throw refuse(`${what} must be a URL, not ${typeof url}`);
    const text = String(url);
    try {
        if (isNode && !hasScheme(text)) return (await nodeModule('url')).pathToFileURL(text).href;
        return new URL(text, baseUrl()).href;
    } catch (error) {
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            `load(): ${what} is not a valid URL: ${JSON.stringify(text.slice(0, 200))}`,
            { cause: error },
        );
    }
}
