// The engines that are compared. Each has the same interface, whether it runs in Chromium, in Node or natively.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CONTEXT } from '../../demo/bench-work.js';
import { root } from './models.js';

/** @typedef {import('playwright-core').Browser} Browser */
/** @typedef {import('./models.js').BenchModel} BenchModel */
/** @typedef {import('./nibble.js').Measure} Measure */
/** @typedef {import('./nibble.js').Rates} Rates */
/** @typedef {{ browser: Browser, url: string }} Site a browser, and the server of the pages */

/**
 * @typedef {object} Engine
 * @property {string} about
 * @property {(prompt: string, count: number) => Promise<Measure>} measure
 * @property {() => Promise<void>} close
 */

/**
 * The rows of the table. The command line and goals.js name them by `id`.
 * @type {{ id: string, name: string, open: (site: Site, model: BenchModel, threads: number) => Promise<Engine> }[]}
 */
export const ENGINES = [
    { id: 'exact', name: 'nibble, Chromium', open: inChromium('nibble', {}) },
    { id: 'fast', name: 'nibble, Chromium, fast', open: inChromium('nibble', { precision: 'fast' }) },
    { id: 'simd128', name: 'nibble, Chromium, simd128', open: inChromium('nibble', { build: 'simd128' }) },
    { id: 'wllama', name: 'wllama, Chromium', open: inChromium('wllama', {}) },
    { id: 'native', name: 'llama.cpp, native', open: inProcess('native-process.js', process.execPath) },
    ...(hasAmx() ? [{ id: 'no-amx', name: 'llama.cpp, without AMX', open: withoutAmx() }] : []),
    {
        id: 'node',
        name: `nibble, Node ${process.versions.node.split('.')[0]}`,
        open: inProcess('node-process.js', process.execPath),
    },
    ...[`${root}node_modules/node24/bin/node`]
        .filter(existsSync)
        .map((node24) => ({ id: 'node24', name: 'nibble, Node 24', open: inProcess('node-process.js', node24) })),
];

/** A page without an engine yet, in a profile of its own. @param {Site} site */
export async function openPage({ browser, url }) {
    const page = await (await browser.newContext()).newPage();
    await page.goto(`${url}tests/bench/page.html`);
    await page.waitForFunction('window.bench');
    return page;
}

/** Calls window.bench in the page.
 * @param {import('playwright-core').Page} page @param {string} name @param {any[]} args */
export const call = (page, name, ...args) =>
    page.evaluate(([f, a]) => /** @type {any} */ (window).bench[String(f)](...a), [name, args]);

/** @param {'nibble' | 'wllama'} name @param {{ precision?: string, build?: string }} options of load() */
function inChromium(name, options) {
    return async (/** @type {Site} */ site, /** @type {BenchModel} */ model, /** @type {number} */ threads) => {
        const build = options.build && threads > 1 ? `${options.build}-threads` : options.build;
        const page = await openPage(site);
        const settings = { threads, contextLength: CONTEXT, ...options, build };
        const { about } = await call(page, 'open', name, `/${model.file}`, settings);
        return {
            about: options.precision ? `${about}, ${options.precision}` : about,
            measure: async (/** @type {string} */ prompt, /** @type {number} */ count) => {
                await page.bringToFront();
                return call(page, 'measure', prompt, count);
            },
            close: () => page.context().close(),
        };
    };
}

/** An engine in a Node process of its own. @param {string} file a script beside this one
 * @param {string} node the binary @param {Record<string, string>} [environment] */
function inProcess(file, node, environment) {
    return async (/** @type {Site} */ _, /** @type {BenchModel} */ model, /** @type {number} */ threads) => {
        const env = { ...process.env, ...environment },
            child = fork(fileURLToPath(new URL(file, import.meta.url)), { execPath: node, env });
        const gone = once(child, 'exit').then(([code]) => [{ result: null, error: `${file} ended with code ${code}` }]);
        const ask = async (/** @type {string} */ name, /** @type {any[]} */ ...args) => {
            child.send({ call: name, args });
            const [{ result, error }] = await Promise.race([once(child, 'message'), gone]);
            if (error) throw new Error(error);
            return result;
        };
        return {
            about: await ask('open', root + model.file, { threads, contextLength: CONTEXT }),
            measure: (/** @type {string} */ prompt, /** @type {number} */ count) => ask('measure', prompt, count),
            close: async () => void child.kill(),
        };
    };
}

/** Whether the CPU multiplies whole tiles of bytes by one instruction (AMX), which WebAssembly has no way to do. */
function hasAmx() {
    return existsSync('/proc/cpuinfo') && readFileSync('/proc/cpuinfo', 'utf8').includes(' amx_int8');
}

/** Native llama.cpp from a copy of its package that lacks the library for CPUs with AMX, so that it takes the next best
 * one. */
function withoutAmx() {
    const copy = `${root}build/bench-without-amx/`,
        from = new URL('node_modules/', import.meta.url);
    const open = inProcess('native-process.js', process.execPath, { NIBBLE_PEERS: copy });
    return async (/** @type {Site} */ site, /** @type {BenchModel} */ model, /** @type {number} */ threads) => {
        if (!existsSync(copy)) {
            cpSync(from, `${copy}node_modules`, { recursive: true, dereference: true });
            for (const name of readdirSync(copy, { recursive: true }))
                if (String(name).endsWith('libggml-cpu-sapphirerapids.so')) rmSync(copy + name);
        }
        return open(site, model, threads);
    };
}
