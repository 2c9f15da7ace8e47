// Tokens per second: every engine has the same prompts, and they take turns.
import { CONTEXT, GENERATE, median, prompt, summarize, WARM_UP } from '../../demo/bench-work.js';
import { call, ENGINES, openPage } from './engines.js';

/** @typedef {import('./engines.js').Site} Site */
/** @typedef {import('./models.js').BenchModel} BenchModel */
/** @typedef {import('./nibble.js').Measure} Measure */

/**
 * A line of the table: medians; tokens a second, and milliseconds to the first piece of text.
 * @typedef {{ id: string, engine: string, about: string, threads: number, promptTokens: number, prompt: number,
 *     generate: number, firstMs: number, measures: Measure[] }} Row
 */

/** Every engine with every number of threads in turn, so that no two of them are compared across minutes.
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
const STRETCH = 32; // tokens generated after the shortest and after the longest prompt
const generates = (/** @type {number} */ length) => length === LENGTHS[0] || length === LENGTHS.at(-1);

/** Prompts of random tokens, as `nibble bench` makes them: no two begin alike. @param {number} vocabulary */
function prompts(vocabulary) {
    let random = 1;
    return (/** @type {number} */ length) =>
        Array.from({ length }, () => {
            random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
            return random % vocabulary;
        });
}

/** nibble alone, one thread, by its own clock: what prompts of several lengths reach, and what is left of generation
 * after a long one. @param {Site} site @param {BenchModel} model @param {number} repetitions */
export async function measureLengths(site, model, repetitions) {
    const page = await openPage(site);
    const settings = { threads: 1, contextLength: Math.max(...LENGTHS) + STRETCH };
    const { info } = await call(page, 'open', 'nibble', `/${model.file}`, settings);
    const tokens = prompts(info.vocabulary);
    const rates = LENGTHS.map(() => /** @type {import('./nibble.js').Rates[]} */ ([]));
    for (let i = 0; i <= repetitions; i++)
        for (const [j, length] of LENGTHS.entries()) {
            if (i === 0 && length > 128) continue; // warm by then
            const count = generates(length) ? STRETCH : 1;
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

/** nibble with one thread; two engines of one thread each at the same time, together, which is what two cores give
 * when nobody waits for anybody; with two threads; with more than there are cores, asked for (there are not more,
 * then) and by force; and with one and two threads while another page keeps a core busy: medians, in turns.
 * @param {Site} site
 * @param {BenchModel} model
 * @param {number} cores
 * @param {number} repetitions
 * @returns {Promise<CoresRow[]>} */
export async function measureCores(site, model, cores, repetitions) {
    const open = async (/** @type {number} */ threads, /** @type {string | undefined} */ build = undefined) => {
        const page = await openPage(site);
        await call(page, 'open', 'nibble', `/${model.file}`, { threads, build, contextLength: CONTEXT });
        return page;
    };
    const one = await open(1),
        other = await open(1),
        two = await open(2),
        many = await open(2 * cores);
    const forced = await open(2 * cores, 'relaxed-threads'),
        beside = await open(2),
        busy = await openPage(site);
    const ways = [
        { name: '1 thread', pages: [one] },
        { name: '2 engines at once, together', pages: [one, other] },
        { name: '2 threads', pages: [two] },
        { name: `${2 * cores} threads asked for`, pages: [many] },
        { name: `${2 * cores} threads by force`, pages: [forced] },
        // not `two`: threads remember for some tokens that there was a neighbour
        { name: '1 thread, a core is busy', pages: [one], busy },
        { name: '2 threads, a core is busy', pages: [beside], busy },
    ].map((way) => ({ ...way, measures: way.pages.map(() => /** @type {Measure[]} */ ([])) }));
    for (let i = 0; i <= repetitions; i++)
        for (const [way, { pages, measures, busy }] of ways.entries()) {
            const text = prompt(i * ways.length + way); // a page that finds its last prompt again has nothing to do
            await busy?.evaluate(() => {
                // not one that ends by terminate(): in the midst of a loop that takes two seconds
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

/** Of some of the times that two threads were measured beside one: how long a word took from one core to the other
 * and back, in nanoseconds, and the median ratio of their rates of generation.
 * @typedef {{ precision: string, from: number, to: number, ratio: number }} Meeting */

/** What two threads gain depends on how quickly the cores of the moment meet, and a virtual machine's move. So one
 * thread and two take turns many times, each time beside that figure, and the times are summed up by thirds of it.
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
