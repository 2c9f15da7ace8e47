// make bench: nibble, wllama and native llama.cpp on the same models, prompts and machine, taking turns in one run.
//
//     node tests/bench/run.js [--models smollm2,gemma] [--engines exact,native] [--threads 1,2] [--repetitions 5]
//                             [--parts speed,lengths,cores,meeting,loading]
//
// Times are measured outside of the engines: the prompt's speed is its tokens / the time to the first piece of text
// (which includes sampling the first token), and the speed of generation is the tokens after the first / the time that
// they took. It prints tables, and writes build/bench.json.
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { serve } from '../../tools/serve.js';
import { load } from '../../web/index.js';
import { ENGINES } from './engines.js';
import { judge } from './goals.js';
import { measureLoading } from './loading.js';
import { isThere, MODELS, root } from './models.js';
import { measureCores, measureLengths, measureMeeting, measureSpeed } from './rates.js';
import { coresTable, goalsTable, lengthsTable, loadingTable, meetingTable, speedTable } from './tables.js';

const CHROMIUM_FLAGS = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-sync',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-renderer-backgrounding',
    '--disable-background-timer-throttling',
    '--disable-backgrounding-occluded-windows',
];
const PARTS = ['speed', 'lengths', 'cores', 'meeting', 'loading'];

const list = (/** @type {string} */ text) => text.toLowerCase().split(',').filter(Boolean);
const { values: options } = parseArgs({
    options: {
        models: { type: 'string', default: '' },
        engines: { type: 'string', default: ENGINES.map(({ id }) => id).join() },
        threads: { type: 'string', default: '1,2' },
        repetitions: { type: 'string', default: '5' },
        parts: { type: 'string', default: PARTS.join() },
    },
});
const repetitions = Number(options.repetitions),
    threads = list(options.threads).map(Number);
const engines = list(options.engines),
    parts = list(options.parts),
    words = list(options.models);
const models = MODELS.filter(({ name }) => !words.length || words.some((word) => name.toLowerCase().includes(word)));
const unknown = [...engines, ...parts].find((name) => !PARTS.includes(name) && !ENGINES.some(({ id }) => id === name));
if (unknown) throw new Error(`"${unknown}" is not one of ${[...ENGINES.map(({ id }) => id), ...PARTS].join(', ')}`);

/** Why a model cannot be measured; undefined if it can. @param {import('./models.js').BenchModel} model */
async function whyNot(model) {
    if (!isThere(model)) return `${model.file} is missing: make bench fetches it`;
    const { unsupported } = await load(root + model.file, { headerOnly: true }).then(async (loaded) => {
        await loaded.dispose();
        return loaded.info;
    });
    return unsupported;
}

const cores = cpus().length,
    cpu = cpus()[0].model.trim(),
    loadAverage = loadavg()[0];
const say = (/** @type {string} */ text) => console.log(`${text}\n`);
const { url, close } = await serve({ root, caching: 'no-store' });
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const browser = await chromium.launch({ executablePath, args: CHROMIUM_FLAGS });
const site = { browser, url };
const report = {
    cpu,
    cores,
    loadAverage,
    date: new Date().toISOString(),
    repetitions,
    node: process.versions.node,
    chromium: browser.version(),
    models: /** @type {Record<string, import('./goals.js').Results & { goals: object[] }>} */ ({}),
};
say(`${cpu}, ${cores} logical cores; Chromium ${report.chromium}; ${report.date.slice(0, 10)}`);
if (loadAverage > 0.5)
    say(`The load average is ${loadAverage.toFixed(2)}: something else is running, and these figures will be low.`);
try {
    for (const model of models) {
        const reason = await whyNot(model);
        if (reason) {
            say(`${model.name} is left out: ${reason}`);
            continue;
        }
        /** @type {import('./goals.js').Results} */
        const results = { speed: [] };
        if (parts.includes('speed')) {
            results.speed = await measureSpeed(site, model, threads, repetitions, (id) => engines.includes(id));
            for (const n of threads)
                say(
                    speedTable(
                        model.name,
                        results.speed.filter((row) => row.threads === n),
                        repetitions,
                    ),
                );
        }
        if (parts.includes('lengths')) {
            results.lengths = await measureLengths(site, model, repetitions);
            say(lengthsTable(model.name, results.lengths));
        }
        if (parts.includes('cores')) {
            results.cores = await measureCores(site, model, cores, repetitions);
            say(coresTable(model.name, results.cores));
        }
        if (parts.includes('meeting')) {
            results.meetings = await measureMeeting(site, model, repetitions);
            say(meetingTable(model.name, results.meetings));
        }
        if (parts.includes('loading')) {
            results.loading = await measureLoading(site, model, cores, repetitions);
            say(loadingTable(model.name, results.loading, cores));
        }
        const goals = judge(model, results);
        if (goals.length) say(goalsTable(model.name, goals));
        report.models[model.name] = { ...results, goals };
    }
} finally {
    await browser.close();
    await close();
}
mkdirSync(`${root}build`, { recursive: true });
writeFileSync(`${root}build/bench.json`, `${JSON.stringify(report, null, 2)}\n`);
process.exit(0); // node-llama-cpp would keep the process alive
