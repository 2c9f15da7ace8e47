// Measures tokens per second. All engines get the same prompts, and take turns.
import { CONTEXT, GENERATE, median, prompt, summarize, WARM_UP } from '../../demo/bench-work.js';
import { call, ENGINES, openPage } from './engines.js';

/** @typedef {import('./engines.js').Site} Site */
/** @typedef {import('./models.js').BenchModel} BenchModel */
/** @typedef {import('./nibble.js').Measure} Measure */

/**
 * A row of the table. Figures are medians: tokens per second, and milliseconds to the first piece of text.
 * @typedef {{ id: string, engine: string, about: string, threads: number, promptTokens: number, prompt: number,
 *     generate: number, firstMs: number, measures: Measure[] }} Row
 */

/** Measures every engine with every number of threads. They take turns, so that no two are measured minutes apart.
 * @param {Site} site @param {BenchModel} model @param {number[]} threads @param {number} repetitions
 * @param {(id: string) => boolean} chosen which engines @returns {Promise<Row[]>} */
export async function measureSpeed(site, model, threads, repetitions, chosen) {
    const running = [];
    for (const { id, name, open } of ENGINES.filter((engine) => chosen(engine.id)))
        for (const n of threads)
            running.push({
                id,
                name,
                threads: n,
                engine: await open(site, model, n),
                measures: /** @type {Measure[]} */ ([]),
            });
    for (let i = 0; i <= repetitions; i++)
        for (const { name, engine, measures } of running) {
            const count = i === 0 ? WARM_UP : GENERATE;
            const measure = await engine.measure(prompt(i), count);
            if (!measure.text.startsWith(model.continues))
                throw new Error(`${name} continued "${measure.text.slice(0, 60)}", not "${model.continues}"`);
            if (measure.tokens !== count) throw new Error(`${name} made ${measure.tokens} tokens, not ${count}`);
            if (i > 0) measures.push(measure);
        }
    for (const { engine } of running) await engine.close();
    return running.map(({ id, name, threads: n, engine, measures }) => ({
        id,
        engine: name,
        about: engine.about,
        threads: n,
        ...summarize(measures),
        measures,
    }));
}

const LENGTHS = [64, 128, 512, 1024];
const GENERATED = 32; // tokens, after the shortest and after the longest prompt
const generates = (/** @type {number} */ length) => length === LENGTHS[0] || length === LENGTHS.at(-1);

/** Prompts of random tokens, as `nibble bench` makes them. They begin differently, so none is in the cache.
 * @param {number} vocabulary */
function prompts(vocabulary) {
    let random = 1;
    return (/** @type {number} */ length) =>
        Array.from({ length }, () => {
            random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
            return random % vocabulary;
        });
}

/** nibble with one thread, by its own clock: the speed of prompts of several lengths, and of generation after the
 * shortest and the longest of them. @param {Site} site @param {BenchModel} model @param {number} repetitions */
export async function measureLengths(site, model, repetitions) {
    const page = await openPage(site);
    const settings = { threads: 1, contextLength: Math.max(...LENGTHS) + GENERATED };
    const { info } = await call(page, 'open', 'nibble', `/${model.file}`, settings);
    const tokens = prompts(info.vocabulary);
    const rates = LENGTHS.map(() => /** @type {import('./nibble.js').Rates[]} */ ([]));
    for (let i = 0; i <= repetitions; i++)
        for (const [j, length] of LENGTHS.entries()) {
            if (i === 0 && length > 128) continue; // the shorter ones are warm-up enough
            const count = generates(length) ? GENERATED : 1;
            const rate = await call(page, 'rates', tokens(length), count);
            if (i > 0) rates[j].push(rate);
        }
    await page.context().close();
    return LENGTHS.map((length, j) => ({
        length,
        prompt: median(rates[j].map((rate) => rate.promptTokensPerSecond ?? 0)),
        generate: generates(length) ? median(rates[j].map((rate) => rate.generateTokensPerSecond ?? 0)) : null,
    }));
}

/** @typedef {{ name: string, prompt: number, generate: number }} CoresRow */

/** nibble in several situations, which take turns: with one thread; two engines with one thread each, added up, which
 * shows what two cores give if threads need not wait for each other; with two threads; with more threads than cores,
 * once as an option (nibble then starts fewer) and once forced; and with one and two threads while another page keeps a
 * core busy. Figures are medians.
 * @param {Site} site
 * @param {BenchModel} model
 * @param {number} cores
 * @param {number} repetitions
 * @returns {Promise<CoresRow[]>} */
export async function measureCores(site, model, cores, repetitions) {
    const open = async (/** @type {number} */ threads, /** @type {string | undefined} */ build = undefined) => {
        const page = await openPage(site),
            { about } = await call(page, 'open', 'nibble', `/${model.file}`, {
                threads,
                build,
                contextLength: CONTEXT,
            });
        return { page, about };
    };
    const { page: one } = await open(1),
        { page: other } = await open(1),
        { page: two, about: best } = await open(2),
        { page: many } = await open(2 * cores);
    const { page: forced } = await open(2 * cores, best), // a build that is asked for gets as many threads as are asked for
        { page: beside } = await open(2),
        busy = await openPage(site);
    const ways = [
        { name: '1 thread', pages: [one] },
        { name: '2 engines at once, together', pages: [one, other] },
        { name: '2 threads', pages: [two] },
        { name: `${2 * cores} threads asked for`, pages: [many] },
        { name: `${2 * cores} threads by force, ${best}`, pages: [forced] },
        // not the page `two`: for some tokens its threads still behave as if a core were busy
        { name: '1 thread, a core is busy', pages: [one], busy },
        { name: '2 threads, a core is busy', pages: [beside], busy },
    ].map((way) => ({ ...way, measures: way.pages.map(() => /** @type {Measure[]} */ ([])) }));
    for (let i = 0; i <= repetitions; i++)
        for (const [way, { pages, measures, busy }] of ways.entries()) {
            const text = prompt(i * ways.length + way); // always a new one, as a page caches its last prompt
            await busy?.evaluate(() => {
                // a flag ends the loop, as terminate() would take two seconds
                const stopped = new Int32Array(new SharedArrayBuffer(4));
                const loop =
                    'onmessage = ({ data }) => { postMessage("busy"); while (!Atomics.load(data, 0)); close(); };';
                const worker = new Worker(URL.createObjectURL(new Blob([loop])));
                Object.assign(window, { stop: () => Atomics.store(stopped, 0, 1) });
                worker.postMessage(stopped);
                return new Promise((resolve) => {
                    worker.onmessage = () => resolve(undefined);
                });
            });
            await pages[0].bringToFront();
            await Promise.all(
                pages.map(async (page, j) => {
                    const measure = await call(page, 'measure', text, i === 0 ? WARM_UP : GENERATE);
                    if (i > 0) measures[j].push(measure);
                }),
            );
            await busy?.evaluate('window.stop()');
        }
    for (const page of [one, other, two, many, forced, beside, busy]) await page.context().close();
    return ways.map(({ name, measures }) => {
        const each = measures.map(summarize);
        const sum = (/** @type {'prompt' | 'generate'} */ figure) => each.reduce((all, row) => all + row[figure], 0);
        return { name, prompt: sum('prompt'), generate: sum('generate') };
    });
}

/** A third of the measurements of two threads beside one. from, to: the range of the round-trip time between the cores
 * in nanoseconds (pingCores); ratio: the median of two threads' speed of generation over one thread's.
 * @typedef {{ precision: string, from: number, to: number, ratio: number }} Meeting */

/** The gain of two threads depends on the round-trip time between the two cores, and a virtual machine's cores change.
 * So one thread and two threads are measured many times in turn, each time with the round-trip time. The results are
 * sorted by that time and summed up in three parts.
 * @param {Site} site @param {BenchModel} model @param {number} repetitions @returns {Promise<Meeting[]>} */
export async function measureMeeting(site, model, repetitions) {
    const THIRDS = 3,
        PROMPT = 64;
    const meetings = [];
    for (const precision of ['exact', 'fast']) {
        const [one, two] = [await openPage(site), await openPage(site)];
        const open = (/** @type {typeof one} */ page, /** @type {number} */ threads) =>
            call(page, 'open', 'nibble', `/${model.file}`, { threads, precision, contextLength: CONTEXT });
        const { info } = await open(one, 1);
        await open(two, 2);
        const tokens = prompts(info.vocabulary);
        const generate = async (/** @type {typeof one} */ page) => {
            await page.bringToFront();
            return (await call(page, 'rates', tokens(PROMPT), GENERATE)).generateTokensPerSecond;
        };
        const times = [];
        for (let i = 0; i <= THIRDS * repetitions; i++) {
            const before = await call(two, 'pingCores'),
                rates = [await generate(two), await generate(one)];
            const ns = (before + (await call(two, 'pingCores'))) / 2;
            if (i > 0) times.push({ ns, ratio: rates[0] / rates[1] });
        }
        times.sort((a, b) => a.ns - b.ns);
        for (let i = 0; i < THIRDS; i++) {
            const some = times.slice(i * repetitions, (i + 1) * repetitions);
            meetings.push({
                precision,
                from: some[0].ns,
                to: some[some.length - 1].ns,
                ratio: median(some.map((time) => time.ratio)),
            });
        }
        for (const page of [one, two]) await page.context().close();
    }
    return meetings;
}
