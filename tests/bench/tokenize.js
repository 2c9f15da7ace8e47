// Measures the speed of model.tokenize(): texts in pieces of 2^20 UTF-16 units, with the messages to the worker and
// back.
//
//     node tests/bench/tokenize.js [--engines node,chromium,core] [--megabytes 50] [--repetitions 3] [--text FILE]
//                                  [VOCABULARY.gguf ...]
//
// It prints a table of MB/s, medians. The text `mixed` is tests/support/corpus.js, in many scripts; --text may be given
// several times. The engine `core` is the tokenizer alone, without messages, in pieces of 2^20 bytes; its time is CPU
// time. If no vocabulary is given, it takes those that are there: of `make vocabularies`, of SmolLM2 and of Gemma.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { serve } from '../../tools/serve.js';
import { findAssets } from '../../web/assets.js';
import { checkOptions } from '../../web/checks.js';
import { LOAD_OPTIONS } from '../../web/options.js';
import { Engine } from '../../web/worker/engine.js';
import { models, root, vocabularies } from '../support/builds.js';
import { corpus } from '../support/corpus.js';
import { call, openPage } from './engines.js';
import { timeTokenize } from './tokenize-work.js';

const PIECE = 1 << 20, // bytes
    LINE = 60; // bytes: the lines of the corpus have more than this on average
const folder = `${root}build/bench/`; // where a page finds the texts
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'];

/** @typedef {{ name: string, file: string, bytes: number }} Text */
/** @typedef {(path: string, text: Text, repetitions: number) => Promise<number[]>} Clock seconds */

/** Writes at most `bytes` of a text, without cutting a character, to a file.
 * @param {string} name @param {Buffer} all @param {number} bytes @returns {Text} */
function textOf(name, all, bytes) {
    while (bytes < all.length && (all[bytes] & 0xc0) === 0x80) bytes--;
    const file = `${folder}${name}.txt`,
        text = Buffer.from(all.toString('utf8', 0, bytes));
    writeFileSync(file, text);
    return { name, file, bytes: text.length };
}

/** @type {Clock} */
async function inCore(path, { file }, repetitions) {
    const { core, model } = await Engine.load(
        { kind: 'path', path },
        {
            ...checkOptions(LOAD_OPTIONS, { build: 'simd128' }, 'load()'),
            headerOnly: true,
            assets: await findAssets({}),
        },
        /** @type {any} */ ({ progress: () => {}, nextFromPort: () => {} }),
    );
    const text = readFileSync(file),
        seconds = [];
    const at = core.allocate(PIECE, 'text'),
        out = core.allocate(4 * PIECE, 'tokens');
    const encode = (/** @type {number} */ from) => {
        const piece = text.subarray(from, from + PIECE);
        core.bytes(at, piece.length).set(piece);
        return core.count('nb_tokenize', model, at, piece.length, 0, out, PIECE);
    };
    encode(0);
    for (let i = 0; i < repetitions; i++) {
        const start = process.cpuUsage();
        for (let from = 0; from < text.length; from += PIECE) encode(from);
        const { user, system } = process.cpuUsage(start);
        seconds.push((user + system) / 1e6);
    }
    return seconds;
}

/** @type {Clock} */
const inNode = (path, { file }, repetitions) => timeTokenize(path, readFileSync(file, 'utf8'), repetitions);

/** @returns {Promise<{ about: string, clock: Clock, close: () => Promise<void> }>} */
async function openChromium() {
    const { chromium } = await import('playwright-core');
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
    const site = await serve({ root, caching: 'no-store' });
    return {
        about: `Chromium ${browser.version()}`,
        clock: async (path, { file }, repetitions) => {
            const page = await openPage({ browser, url: site.url });
            const [source, url] = [path, file].map((name) => name.replace(root, '/'));
            const seconds = await call(page, 'tokenize', source, url, repetitions);
            await page.context().close();
            return seconds;
        },
        close: async () => {
            await browser.close();
            await site.close();
        },
    };
}

const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: {
        engines: { type: 'string', default: 'node,chromium' },
        megabytes: { type: 'string', default: '50' },
        repetitions: { type: 'string', default: '3' },
        text: { type: 'string', multiple: true, default: [] },
    },
});
const bytes = Number(options.megabytes) * 1e6,
    repetitions = Number(options.repetitions);
const wanted = options.engines.split(',');
mkdirSync(folder, { recursive: true });
const texts = options.text.map((file) => textOf(basename(file, '.txt'), readFileSync(file), bytes));
texts.push(textOf('mixed', Buffer.from(corpus(Math.ceil(bytes / LINE)).join('\n')), bytes));
const found = existsSync(vocabularies)
    ? readdirSync(vocabularies)
          .filter((name) => name.endsWith('.gguf'))
          .sort()
    : [];
const all = [...found.map((name) => vocabularies + name), models.real, models.gemma].filter(existsSync);
const files = positionals.length > 0 ? positionals.map((file) => resolve(file)) : all;

const chromium = wanted.includes('chromium') ? await openChromium() : undefined;
/** @type {[string, Clock][]} */
const engines = [];
if (wanted.includes('node')) engines.push([`Node ${process.versions.node}`, inNode]);
if (chromium) engines.push([chromium.about, chromium.clock]);
if (wanted.includes('core')) engines.push(['core alone', inCore]);
const columns = engines.flatMap(([engine]) =>
    texts.map((text) => `${engine}, ${text.name} (${Math.round(text.bytes / 1e6)} MB)`),
);
console.log(`| MB/s | ${columns.join(' | ')} |\n|---|${columns.map(() => '---:|').join('')}`);
for (const path of files) {
    const cells = [];
    for (const [, clock] of engines)
        for (const text of texts) {
            const seconds = await clock(path, text, repetitions);
            const median = seconds.sort((a, b) => a - b)[seconds.length >> 1];
            cells.push((text.bytes / 1e6 / median).toFixed(1));
        }
    console.log(`| ${basename(path, '.gguf').replace('ggml-vocab-', '')} | ${cells.join(' | ')} |`);
}
await chromium?.close();
