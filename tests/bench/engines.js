// The engines that are compared. Each has the same interface, whether it runs in Chromium, in Node or natively.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
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
    { id: 'native', name: 'llama.cpp, native', open: native },
    { id: 'node', name: `nibble, Node ${process.versions.node.split('.')[0]}`, open: inNode(process.execPath) },
    ...[`${root}node_modules/node24/bin/node`]
        .filter(existsSync)
        .map((node24) => ({ id: 'node24', name: 'nibble, Node 24', open: inNode(node24) })),
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

/** @param {string} node the binary */
function inNode(node) {
    return async (/** @type {Site} */ _, /** @type {BenchModel} */ model, /** @type {number} */ threads) => {
        const child = fork(fileURLToPath(new URL('node-process.js', import.meta.url)), { execPath: node });
        const gone = once(child, 'exit').then(([code]) => [{ result: null, error: `${node} ended with code ${code}` }]);
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

/** @type {any} */
let llama;

/** @param {Site} _ @param {BenchModel} model @param {number} threads @returns {Promise<Engine>} */
async function native(_, model, threads) {
    const peer = 'node-llama-cpp'; // a variable, so that tsc does not look for the types: only `make bench` installs it
    const { getLlama } = await import(peer);
    llama ??= await getLlama({ gpu: false, build: 'never', progressLogs: false, logLevel: 'error' });
    const loaded = await llama.loadModel({ modelPath: root + model.file, gpuLayers: 0 });
    const context = await loaded.createContext({
        contextSize: CONTEXT,
        batchSize: CONTEXT,
        threads: { ideal: threads, min: threads },
        sequences: 1,
    });
    const sequence = context.getSequence();
    const begin = loaded.tokens.shouldPrependBosToken ? [loaded.tokens.bos] : [];
    return {
        about: 'node-llama-cpp 3.22.1',
        measure: async (prompt, count) => {
            await sequence.clearHistory();
            const ids = [...begin, ...loaded.tokenize(prompt)],
                out = [];
            const began = performance.now();
            let first = 0,
                last = 0;
            for await (const token of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
                out.push(token);
                last = performance.now();
                first ||= last;
                if (out.length === count) break;
            }
            return {
                text: loaded.detokenize(out),
                tokens: out.length,
                promptTokens: ids.length,
                firstMs: first - began,
                restMs: last - first,
            };
        },
        close: async () => {
            await context.dispose();
            await loaded.dispose();
        },
    };
}
