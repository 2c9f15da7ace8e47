// Requests of every kind leave nothing in memory. (tests/bench/memory.js measures 1,000 of them.)
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { models } from '../support/builds.js';
import { counting, memoryOf } from '../support/memory-of.js';
import { embedderFile, mixedRequests } from '../support/mixed-requests.js';

test('memory and objects of the core are the same after requests of every kind', async () => {
    const options = { ...counting, threads: 1, contextLength: 320, parallel: 2 },
        [model, embedder] = await Promise.all([
            load(models.tiny, options),
            load(embedderFile, { ...options, contextLength: 64 }),
        ]);
    const kinds = Object.entries(mixedRequests(model, embedder));
    const round = async (/** @type {number} */ i) => {
        for (const [name, request] of kinds)
            await request(i).catch((error) => {
                throw new Error(name, { cause: error });
            });
    };
    try {
        await round(0);
        const before = await memoryOf(2);
        assert.deepEqual(
            before.map(({ modules }) => modules.map(({ live }) => live.session)),
            [[1, undefined], [1]],
        );
        // numbers with the grammars of the first round: those are kept
        for (const i of [4, 8]) await round(i);
        const after = await memoryOf(2);
        const part = (/** @type {typeof after} */ held, /** @type {'bytes' | 'live'} */ what) =>
            held.map(({ modules }) => modules.map((each) => each[what]));
        assert.deepEqual(part(after, 'live'), part(before, 'live'));
        const [[[engine, grammars], [other]], now] = [part(before, 'bytes'), part(after, 'bytes')];
        assert.deepEqual([now[0][0], now[1][0]], [engine, other]);
        // other texts lead to other states of a grammar, which it keeps: one page of memory may be added
        assert.ok(Number(now[0][1]) <= Number(grammars) + 65536, `${grammars} bytes became ${now[0][1]}`);
    } finally {
        await model.dispose();
        await embedder.dispose();
    }
});
