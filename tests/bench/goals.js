// The goals of `make bench`, and whether a run met them. Each goal is a ratio of two medians of the same run.

/** @typedef {import('./rates.js').Row} Row */
/**
 * @typedef {object} Results of one model; parts that were not chosen are missing
 * @property {Row[]} speed
 * @property {{ length: number, prompt: number, generate: number | null }[]} [lengths]
 * @property {import('./rates.js').CoresRow[]} [cores]
 * @property {import('./rates.js').Meeting[]} [meetings]
 * @property {Awaited<ReturnType<typeof import('./loading.js').measureLoading>>} [loading]
 */
/** @typedef {number | null | undefined} Figure */
/** @typedef {{ goal: string, wanted: number, atMost: boolean, measured: number, met: boolean }} Goal */

/** @param {import('./models.js').BenchModel} model @param {Results} results @returns {Goal[]} */
export function judge(model, { speed, lengths, cores, meetings, loading }) {
    /** @type {Goal[]} */
    const goals = [];
    /** Checks the ratio a / b, if both were measured.
     * @param {string} goal @param {Figure} a @param {Figure} b @param {number} wanted */
    const check = (goal, a, b, wanted, atMost = false) => {
        if (a == null || b == null) return;
        const measured = a / b;
        goals.push({ goal, wanted, atMost, measured, met: atMost ? measured <= wanted : measured >= wanted });
    };
    const row = (/** @type {string} */ id, threads = 1) => speed.find((r) => r.id === id && r.threads === threads);
    const figures = /** @type {const} */ (['generate', 'prompt']);

    for (const id of ['exact', 'fast'])
        for (const peer of ['native', 'no-amx', 'wllama'])
            for (const f of figures) {
                const goal = model.goals[f][peer === 'wllama' ? 'wllama' : 'native'];
                check(`${f} / ${peer}, 1 thread, ${id}`, row(id)?.[f], row(peer)?.[f], goal);
            }
    const ran = row('exact')?.about; // relaxed, or relaxed-dot where the CPU has dot products of bytes
    check(`generate, simd128 / ${ran}, exact`, row('simd128')?.generate, row('exact')?.generate, 0.65);
    check(`prompt, simd128 / ${ran}, exact`, row('simd128')?.prompt, row('exact')?.prompt, 0.5);
    if (model.plainBeatsNative)
        check('generate, simd128 / native', row('simd128')?.generate, row('native')?.generate, 1);
    for (const id of ['exact', 'fast']) {
        check(`generate, 2 threads / 1, ${id}`, row(id, 2)?.generate, row(id)?.generate, 1.7);
        check(
            `generate, 2 threads / 1, ${id}, where the cores meet quickest`,
            meetings?.find((m) => m.precision === id)?.ratio,
            1,
            1.7,
        );
        check(`prompt, 2 threads / 1, ${id}`, row(id, 2)?.prompt, row(id)?.prompt, 1.8);
    }
    if (cores) {
        // the goal is to lose nothing; 5 % are for noise
        const [, , two, many, , oneBusy, twoBusy] = cores;
        for (const f of figures) {
            check(`${f}, ${many.name} / ${two.name}`, many[f], two[f], 0.95);
            check(`${f}, ${twoBusy.name} / ${oneBusy.name}`, twoBusy[f], oneBusy[f], 0.95);
        }
    }
    if (lengths) {
        const at = (/** @type {number} */ length) => lengths.find((l) => l.length === length);
        check('generate at 1,024 tokens / at 64', at(1024)?.generate, at(64)?.generate, 0.75);
        check('prompt of 512 tokens / best length', at(512)?.prompt, Math.max(...lengths.map((l) => l.prompt)), 0.9);
    }
    if (loading) {
        const { ms, memoryBytes, weightBytes, sessionBytes } = loading;
        check('load, 1 thread / bare fetch', ms.nibble, ms.fetch, 1.3, true);
        check('load, a thread a core / bare fetch', ms.threads, ms.fetch, 1.3, true);
        check('load, 1 thread / wllama', ms.nibble, ms.wllama, 0.2, true);
        check('load from cache / reading the cache', ms.cached, ms.cachedFetch, 1, true);
        check('(linear memory - KV and scratch) / weights', memoryBytes - sessionBytes, weightBytes, 1.15, true);
    }
    return goals;
}
