// Measures loading in Chromium, from the loopback: the time beside a bare fetch and beside wllama, the time of a second
// load from the demo's cache, linear memory, and the peak of the JavaScript heap.
import { CONTEXT, median } from '../../demo/bench-work.js';
import { call, openPage } from './engines.js';

/** @typedef {import('./engines.js').Site} Site */

/** @param {Site} site @param {import('./models.js').BenchModel} model
 * @param {number} cores @param {number} repetitions */
export async function measureLoading(site, model, cores, repetitions) {
    const url = `/${model.file}`;
    /** @type {any} */
    let info;
    /** @type {(name: string, threads: number) => (page: import('playwright-core').Page) => Promise<number>} */
    const open = (name, threads) => async (page) => {
        const opened = await call(page, 'open', name, url, { threads, contextLength: CONTEXT });
        if (name === 'nibble' && threads === 1) info = opened.info;
        return opened.ms;
    };
    const ways = [
        { id: 'fetch', load: (/** @type {import('playwright-core').Page} */ page) => call(page, 'fetchOnly', url) },
        {
            id: 'keptFetch',
            load: (/** @type {import('playwright-core').Page} */ page) => call(page, 'fetchOnly', url, true),
        },
        { id: 'nibble', load: open('nibble', 1) },
        { id: 'threads', load: open('nibble', cores) },
        { id: 'wllama', load: open('wllama', 1) },
    ].map((way) => ({ ...way, times: /** @type {number[]} */ ([]) }));
    for (let i = 0; i < repetitions; i++)
        for (const { load, times } of ways) {
            const page = await openPage(site);
            times.push(await load(page));
            await page.context().close();
        }

    const cached = [
        { id: 'cachedFetch', load: ways[0].load, times: /** @type {number[]} */ ([]) },
        { id: 'keptCachedFetch', load: ways[1].load, times: /** @type {number[]} */ ([]) },
        { id: 'cached', load: ways[2].load, times: /** @type {number[]} */ ([]) },
    ];
    const first = await openPage(site);
    await call(first, 'cacheModel', url);
    for (let i = 0; i < repetitions; i++)
        for (const { load, times } of cached) {
            const page = await first.context().newPage();
            await page.goto(first.url());
            await page.waitForFunction('window.bench');
            times.push(await load(page));
            await page.close();
        }
    await first.context().close();

    return {
        ms: Object.fromEntries([...ways, ...cached].map(({ id, times }) => [id, median(times)])),
        times: Object.fromEntries([...ways, ...cached].map(({ id, times }) => [id, times])),
        memoryBytes: info.memoryBytes,
        weightBytes: info.weightBytes,
        sessionBytes: info.sessionBytes,
        heapBytes: await peakHeap(site, (page) => open('nibble', 1)(page)),
    };
}

/** The peak of the JavaScript heaps of the page and its workers together, while act() runs.
 * @param {Site} site @param {(page: import('playwright-core').Page) => Promise<unknown>} act */
async function peakHeap(site, act) {
    const page = await openPage(site),
        session = await page.context().newCDPSession(page);
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
    /** undefined: it did not answer in time.
     * @param {string} sessionId @returns {Promise<{ usedSize: number } | undefined>} */
    const heapOf = (sessionId) =>
        new Promise((resolve) => {
            const mine = ++id;
            answers.set(mine, resolve);
            setTimeout(resolve, 1000);
            const message = JSON.stringify({ id: mine, method: 'Runtime.getHeapUsage' });
            session.send('Target.sendMessageToTarget', { sessionId, message }).catch(() => resolve(undefined));
        });
    let peak = 0,
        samples = 0,
        acting = true;
    const watch = (async () => {
        while (acting) {
            const heaps = await Promise.all([session.send('Runtime.getHeapUsage'), ...[...workers].map(heapOf)]);
            if (heaps.length > 1 && heaps.every((heap) => heap)) {
                peak = Math.max(
                    peak,
                    heaps.reduce((sum, heap) => sum + (heap?.usedSize ?? 0), 0),
                );
                samples++;
            }
            await new Promise((resolve) => setTimeout(resolve, 5));
        }
    })();
    await act(page);
    acting = false;
    await watch;
    await page.context().close();
    if (samples < 5) throw new Error(`the heap was sampled only ${samples} times while the model loaded`);
    return peak;
}
