// make bench: nibble, wllama and native llama.cpp on one model, one prompt and one machine, taking turns in one run.
//
//     node tests/bench/run.js [--repetitions 5] [--threads 1,2] [--load-only]
//
// All times are of a clock outside the engines: prompt tokens a second = prompt tokens / time to the first piece of text
// (which includes choosing that token), generation = the tokens after the first / the time that they took. Each
// repetition has a prompt that begins differently, so that no engine finds it in its cache. Prints the table and writes
// build/bench.json. Loading is measured besides: time, JavaScript heap and linear memory, in Chromium, from the loopback.
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { getLlama } from 'node-llama-cpp';
import { serve } from '../../tools/serve.js';
import { load } from '../../web/index.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const MODEL = `${root}build/models/SmolLM2-135M-Instruct.Q4_1.gguf`;
const GENERATE = 64, CONTEXT = 512, WARM_UP = 1;
const CHROMIUM_FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-renderer-backgrounding', '--disable-background-timer-throttling',
    '--disable-backgrounding-occluded-windows'];

const { values: options } = parseArgs({ options: {
    repetitions: { type: 'string', default: '5' }, threads: { type: 'string', default: '1,2' },
    'load-only': { type: 'boolean', default: false },
} });
const repetitions = Number(options.repetitions);

/** About 134 tokens that end in something every engine continues alike: that shows that each one computed.
 * @param {number} repetition */
const prompt = repetition => `${['First', 'Second', 'Third', 'Fourth', 'Fifth', 'Sixth', 'Seventh', 'Eighth'][repetition % 8]} note. ` +
    'A calendar is a way of giving names to days, and people have made many of them. Farmers watched the moon and the seasons, ' +
    'priests counted the days between feasts, and sailors wrote down the tides. Some years began in spring and some in autumn, ' +
    'some months had thirty days and some had fewer, and now and then a day had to be added so that summer would not slip into ' +
    'winter. The week is younger than the month and simpler than the year: seven days, always in the same order, without any ' +
    'exception since antiquity, and nobody remembers who began. In English the names of the days are Monday, Tuesday, Wednesday,';
const EXPECTED = ' Thursday, Friday, Saturday,';

/** @typedef {{ text: string, tokens: number, promptTokens: number, firstMs: number, restMs: number }} Measure */
/** @typedef {{ name: string, about: string, measure: (prompt: string, count: number) => Promise<Measure>, close: () => Promise<void> }} Engine */

/** @param {number[]} values */
function median(values) {
    const sorted = values.toSorted((a, b) => a - b), half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** @param {import('playwright-core').Browser} browser @param {string} url @param {'nibble' | 'wllama'} name
 * @param {number} threads @returns {Promise<Engine>} */
async function inChromium(browser, url, name, threads) {
    const page = await (await browser.newContext()).newPage();
    await page.goto(`${url}tests/bench/page.html`);
    await page.waitForFunction('window.bench');
    const { about } = await page.evaluate(([n, t]) => /** @type {any} */ (window).bench.open(n, t), /** @type {[string, number]} */ ([name, threads]));
    return {
        name: `${name}, Chromium`, about,
        measure: async (text, count) => {
            await page.bringToFront();
            return page.evaluate(([p, c]) => /** @type {any} */ (window).bench.measure(p, c), /** @type {[string, number]} */ ([text, count]));
        },
        close: () => page.context().close(),
    };
}

/** @param {number} threads @returns {Promise<Engine>} */
async function inNode(threads) {
    const model = await load(MODEL, { threads, contextLength: CONTEXT });
    return {
        name: 'nibble, Node', about: `${model.info.build}, Node ${process.versions.node}`,
        measure: async (text, count) => {
            const began = performance.now();
            let first = 0, last = 0;
            const generation = model.complete(text, { maxTokens: count, temperature: 0, ignoreEnd: true });
            for await (const _ of generation) {
                last = performance.now();
                first ||= last;
            }
            const result = await generation;
            return { text: result.text, tokens: result.tokens.length, promptTokens: result.promptTokens, firstMs: first - began, restMs: last - first };
        },
        close: () => model.dispose(),
    };
}

/** @param {import('node-llama-cpp').LlamaModel} model @param {number} threads @returns {Promise<Engine>} */
async function native(model, threads) {
    const context = await model.createContext({ contextSize: CONTEXT, batchSize: CONTEXT, threads: { ideal: threads, min: threads }, sequences: 1 });
    const sequence = context.getSequence();
    return {
        name: 'llama.cpp, native', about: 'node-llama-cpp 3.22.1',
        measure: async (text, count) => {
            await sequence.clearHistory();
            const ids = model.tokenize(text), out = [];
            const began = performance.now();
            let first = 0, last = 0;
            for await (const token of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
                out.push(token);
                last = performance.now();
                first ||= last;
                if (out.length === count) break;
            }
            return { text: model.detokenize(out), tokens: out.length, promptTokens: ids.length, firstMs: first - began, restMs: last - first };
        },
        close: () => context.dispose(),
    };
}

/** Loads the model in a fresh page and watches the heaps of the page and its workers meanwhile.
 * @param {import('playwright-core').Browser} browser @param {string} url @param {number} threads */
async function measureLoading(browser, url, threads) {
    const context = await browser.newContext(), page = await context.newPage();
    await page.goto(`${url}tests/bench/page.html`);
    await page.waitForFunction('window.bench');
    const session = await context.newCDPSession(page);
    /** @type {Map<number, (result: any) => void>} */
    const answers = new Map();
    /** @type {Set<string>} */
    const workers = new Set();
    let id = 0;
    session.on('Target.attachedToTarget', ({ sessionId }) => workers.add(sessionId));
    session.on('Target.detachedFromTarget', ({ sessionId }) => workers.delete(sessionId));
    session.on('Target.receivedMessageFromTarget', ({ message }) => {
        const { id: which, result } = JSON.parse(message);
        answers.get(which)?.(result);
        answers.delete(which);
    });
    await session.send('Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
    /** @param {string} sessionId @returns {Promise<{ usedSize: number } | undefined>} nothing if the worker does not answer in time */
    const heapOf = sessionId => new Promise(resolve => {
        const mine = ++id;
        answers.set(mine, resolve);
        setTimeout(resolve, 1000);
        session.send('Target.sendMessageToTarget', { sessionId, message: JSON.stringify({ id: mine, method: 'Runtime.getHeapUsage' }) })
            .catch(() => resolve(undefined));
    });
    let peak = 0, samples = 0, loading = true;
    const watch = (async () => {
        while (loading) {
            const heaps = await Promise.all([session.send('Runtime.getHeapUsage'), ...[...workers].map(heapOf)]);
            if (heaps.length > 1 && heaps.every(heap => heap)) {
                peak = Math.max(peak, heaps.reduce((sum, heap) => sum + (heap?.usedSize ?? 0), 0));
                samples++;
            }
            await new Promise(resolve => setTimeout(resolve, 5));
        }
    })();
    const { ms, memoryBytes } = await page.evaluate(t => /** @type {any} */ (window).bench.open('nibble', t), threads);
    loading = false;
    await watch;
    await context.close();
    return { ms, memoryBytes, peakHeapBytes: peak, heapSamples: samples };
}

async function main() {
    if (!existsSync(MODEL)) throw new Error(`${MODEL} is missing: run make setup`);
    const cpu = cpus()[0].model.trim(), load1 = loadavg()[0];
    console.log(`${cpu}, ${cpus().length} threads; ${new Date().toISOString().slice(0, 10)}; SmolLM2-135M-Instruct.Q4_1`);
    if (load1 > 0.5) console.log(`The load average is ${load1.toFixed(2)}: something else is running, and these figures will be low.`);
    const { url, close } = await serve({ root });
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: CHROMIUM_FLAGS });
    const report = { cpu, date: new Date().toISOString(), loadAverage: load1, chromium: browser.version(), repetitions,
        loading: /** @type {object[]} */ ([]), speed: /** @type {any[]} */ ([]) };
    try {
        const fileBytes = statSync(MODEL).size;
        for (const threads of [1, 2]) {
            const runs = [];
            for (let i = 0; i < 3; i++) runs.push(await measureLoading(browser, url, threads));
            const ms = median(runs.map(r => r.ms)), heap = Math.max(...runs.map(r => r.peakHeapBytes)), { memoryBytes } = runs[0];
            const kvBytes = CONTEXT * kvBytesPerToken();
            console.log(`loading in Chromium, ${threads} thread${threads > 1 ? 's' : ''}: ${ms.toFixed(0)} ms (median of ${runs.length}); peak JavaScript heap ` +
                `${(heap / 1e6).toFixed(1)} MB (${runs.map(r => r.heapSamples).join(', ')} samples); linear memory ${(memoryBytes / 1e6).toFixed(1)} MB = ` +
                `${((memoryBytes - kvBytes) / fileBytes).toFixed(3)} x the file + the KV cache (${(kvBytes / 1e6).toFixed(1)} MB)`);
            report.loading.push({ threads, medianMs: ms, peakHeapBytes: heap, memoryBytes, fileBytes, kvBytes, runs });
        }
        if (!options['load-only']) await measureSpeed(browser, url, report);
    } finally {
        await browser.close();
        await close();
    }
    mkdirSync(`${root}build`, { recursive: true });
    writeFileSync(`${root}build/bench.json`, `${JSON.stringify(report, null, 2)}\n`);
}

/** 30 layers, keys and values of 3 heads of 64, two bytes each (tests/oracles: the model's hyper-parameters). */
const kvBytesPerToken = () => 30 * 2 * 3 * 64 * 2;

/** @param {import('playwright-core').Browser} browser @param {string} url @param {{ speed: any[] }} report */
async function measureSpeed(browser, url, report) {
    const llama = await getLlama({ gpu: false, build: 'never', progressLogs: false, logLevel: /** @type {any} */ ('error') });
    const nativeModel = await llama.loadModel({ modelPath: MODEL, gpuLayers: 0 });
    for (const threads of options.threads.split(',').map(Number)) {
        const engines = [await inChromium(browser, url, 'nibble', threads), await inChromium(browser, url, 'wllama', threads),
            await native(nativeModel, threads), await inNode(threads)];
        /** @type {Map<Engine, Measure[]>} */
        const measures = new Map(engines.map(engine => [engine, []]));
        for (let i = -WARM_UP; i < repetitions; i++)
            for (const engine of engines) {
                const m = await engine.measure(prompt(i + WARM_UP), GENERATE);
                if (!m.text.startsWith(EXPECTED)) throw new Error(`${engine.name} answered ${JSON.stringify(m.text.slice(0, 60))}, not ${JSON.stringify(EXPECTED)}`);
                if (m.tokens !== GENERATE) throw new Error(`${engine.name} made ${m.tokens} tokens, not ${GENERATE}`);
                if (i >= 0) measures.get(engine)?.push(m);
            }
        const rows = engines.map(engine => {
            const all = measures.get(engine) ?? [];
            return { engine: engine.name, about: engine.about, threads, promptTokens: all[0].promptTokens,
                prompt: median(all.map(m => m.promptTokens / m.firstMs * 1000)),
                generate: median(all.map(m => (m.tokens - 1) / m.restMs * 1000)), measures: all };
        });
        print(rows, threads);
        report.speed.push(...rows);
        for (const engine of engines) await engine.close();
    }
    await nativeModel.dispose();
}

/** @param {any[]} rows @param {number} threads */
function print(rows, threads) {
    const peer = rows.find(row => row.engine.startsWith('wllama'));
    console.log(`\n${threads} thread${threads > 1 ? 's' : ''}, ${rows[0].promptTokens} prompt tokens, ${GENERATE} generated, medians of ${repetitions}:\n` +
        '| engine | prompt tokens/s | x wllama | generated tokens/s | x wllama | |\n|---|---|---|---|---|---|');
    for (const row of rows)
        console.log(`| ${row.engine} | ${row.prompt.toFixed(1)} | ${(row.prompt / peer.prompt).toFixed(2)} | ${row.generate.toFixed(1)} | ` +
            `${(row.generate / peer.generate).toFixed(2)} | ${row.about} |`);
    if (rows.some(row => row.promptTokens !== rows[0].promptTokens)) console.log(`Prompt tokens differ: ${rows.map(row => row.promptTokens).join(', ')}`);
}

await main();
process.exit(0); // node-llama-cpp keeps the process
