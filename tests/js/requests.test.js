// Concurrent requests: they do not disturb each other, a slow reader holds back only its own request, and each can be
// aborted.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { load } from '../../web/index.js';
import { embed } from '../../web/worker/embedding.js';
import { advance } from '../../web/worker/generation.js';
import { Pace, Slice } from '../../web/worker/pace.js';
import { models } from '../support/builds.js';
import { openEngine } from '../support/chat-engine.js';

/** @type {import('../../web/index.d.ts').Model} */
let model;
before(async () => {
    model = await load(models.tiny, { contextLength: 512, threads: 1 });
});
after(() => model.dispose());

test('idle() waits for what was aborted, and not only for what is asked for', async () => {
    const lines = /** @type {string[]} */ ([]),
        own = await load(models.tiny, { threads: 1, debug: (line) => void lines.push(line) });
    assert.ok('idle' in own && typeof own.idle === 'function');
    const controller = new AbortController(),
        answer = own.complete('a', { maxTokens: 500, ignoreEnd: true, signal: controller.signal }),
        waiting = own.complete('b', { maxTokens: 500, ignoreEnd: true, signal: controller.signal });
    for await (const _ of answer) break;
    controller.abort(new Error('left'));
    await assert.rejects(answer, /left/);
    await assert.rejects(waiting, /left/);
    const ended = () => lines.filter((line) => /\] prompt: .* answer: /.test(line)).length;
    assert.equal(ended(), 0);
    await own.idle();
    assert.equal(ended(), 2);
    await own.dispose();
    await assert.rejects(own.idle(), { code: 'NB_ERR_STATE' });
});

describe('detokenizing while an answer is generated', () => {
    test('does not use bytes that the answer holds back', async () => {
        const engine = await openEngine({ kind: 'path', path: models.tiny });
        const emoji = engine.tokenize('👩', 0);
        assert.ok(emoji.length > 1);
        const answer = engine.decoder(false);
        const first = answer.push(emoji[0]);
        assert.equal(engine.detokenize(engine.tokenize('x', 0), false), 'x');
        assert.equal(
            first +
                emoji
                    .slice(1)
                    .map((token) => answer.push(token))
                    .join('') +
                answer.flush(),
            '👩',
        );
        answer.free();
    });

    test('and a whole answer is the same', async () => {
        const logitBias = Object.fromEntries(
            (await model.tokenize('👩🎉é你', { bare: true })).map((token) => [token, 50]),
        );
        const options = { maxTokens: 100, temperature: 1, seed: 3, logitBias, ignoreEnd: true };
        const alone = await model.complete('a', options);
        const answer = model.complete('a', options);
        let over = false;
        const done = answer.then(() => {
            over = true;
        });
        while (!over) await model.detokenize([300, 5, 77]);
        await done;
        assert.equal((await answer).text, alone.text);
        assert.ok(alone.text.length > 10);
    });
});

describe('the pace', () => {
    /** Simulates a clock with a resolution of `grain` ms, and tokens that take `each` ms. */
    function run(/** @type {number} */ grain, /** @type {number} */ each, /** @type {number} */ most) {
        const { now } = performance;
        let time = 1000,
            longest = 0,
            sinceBreath = 0;
        performance.now = () => (Number.isFinite(grain) ? Math.floor(time / grain) * grain : 1000);
        try {
            const pace = new Pace(new Slice());
            pace.slice.yieldToEvents = async () => {
                pace.slice.began = performance.now();
            };
            for (let made = 0; made < most; ) {
                const count = pace.next();
                assert.ok(Number.isInteger(count) && count >= 1, String(count));
                time += each * count;
                sinceBreath += each * count;
                longest = Math.max(longest, sinceBreath);
                pace.took(count);
                made += count;
                if (pace.over()) {
                    pace.yieldToEvents();
                    sinceBreath = 0;
                }
            }
        } finally {
            performance.now = now;
        }
        return longest;
    }
    for (const [grain, each] of [
        [0.005, 10],
        [0.005, 0.05],
        [1, 0.05],
        [16.7, 5],
        [100, 10],
        [100, 1],
        [100, 50],
        [Infinity, 2],
    ])
        test(`a clock of ${grain} ms, tokens of ${each} ms: messages are handled in time`, () => {
            const longest = run(grain, each, 3000);
            assert.ok(
                longest <= 60 + 17 * each + (Number.isFinite(grain) ? 2 * grain : 0),
                `${longest} ms without a look`,
            );
        });
});

describe('logits()', () => {
    const tokens = Array.from({ length: 400 }, (_, i) => 3 + (i % 200));
    test('are computed as they are read, and other requests come in between', async () => {
        const reader = model.logits(tokens)[Symbol.asyncIterator]();
        const first = await reader.next();
        assert.ok(!first.done && first.value.length > 0);
        // while the reader waits, everything else goes on
        const between = await model.complete('Once', { maxTokens: 3 });
        assert.equal(between.tokens.length, 3);
        let floats = first.value.length;
        for (let next = await reader.next(); !next.done; next = await reader.next()) floats += next.value.length;
        assert.equal(floats, tokens.length * /** @type {number} */ (model.info.vocabulary));
    });

    test('at most two pieces are computed ahead of the reader', async () => {
        const engine = await openEngine({ kind: 'path', path: models.tiny });
        let sent = 0,
            read = 0,
            ahead = 0,
            most = 0;
        engine.core.exports = /** @type {any} */ ({ ...engine.core.exports, nb_session_free() {} });
        engine.needSession = () => {};
        // a session that gives one row per call
        engine.core.object = () => 1;
        engine.core.count = () => ++sent;
        engine.logits = () => ({ logits: 8, rows: 0 });
        const job = {
            stopped: false,
            ready: async () => {
                while (ahead >= 2)
                    await new Promise((resolve) =>
                        setTimeout(() => {
                            ahead--;
                            read++;
                            resolve(undefined);
                        }, 1),
                    );
            },
        };
        await engine.evaluate(
            tokens.slice(0, 20),
            () => {
                most = Math.max(most, ++ahead);
            },
            job,
            async (f) => f(),
        );
        assert.ok(sent === 20 && read >= 18 && most <= 2, `${sent} sent, ${read} read, ${most} ahead`);
    });

    test('a reader that leaves, or aborts, ends them', async () => {
        for await (const rows of model.logits(tokens)) {
            assert.ok(rows.length > 0);
            break;
        }
        const controller = new AbortController();
        await assert.rejects(async () => {
            for await (const _ of model.logits(tokens, { signal: controller.signal }))
                controller.abort(new Error('enough'));
        }, /enough/);
        assert.ok((await model.tokenize('a')).length > 0);
    });
});

describe('how fast a prompt was', () => {
    const prompt = Array.from({ length: 300 }, (_, i) => 3 + ((i * 7) % 500));
    /** Whether a rate is within a factor of 4 of the rate of a whole prompt. */
    const near = (/** @type {number | null} */ rate, /** @type {number} */ whole) =>
        rate !== null && rate > whole / 4 && rate < whole * 4;
    test('counts only what was evaluated, and not cached tokens', async () => {
        const rate = async () => (await model.complete(prompt, { maxTokens: 1 })).timings.promptTokensPerSecond;
        await rate();
        await model.complete([9], { maxTokens: 1 });
        const whole = /** @type {number} */ (await rate());
        await model.embed([5, 6, 7]); // replaces the tokens in the cache
        assert.ok(near(await rate(), whole), 'after embed()');
        await model.complete([9], { maxTokens: 1 });
        const stopped = model.complete(prompt, { maxTokens: 200, ignoreEnd: true });
        for await (const _ of stopped) stopped.stop();
        await model.complete([9], { maxTokens: 1 });
        const controller = new AbortController();
        const aborted = model.complete(prompt, { maxTokens: 200, signal: controller.signal });
        controller.abort();
        await assert.rejects(async () => aborted);
        await model.complete([9], { maxTokens: 1 });
        assert.ok(near(await rate(), whole), 'after an abort');
    });
    test('a stopped one counts what it has evaluated', async () => {
        const engine = await openEngine({ kind: 'path', path: models.tiny });
        let held = 0,
            calls = 0;
        engine.core.exports = /** @type {any} */ ({ ...engine.core.exports, nb_session_holds: () => 2 });
        const job = { stopped: false };
        engine.core.count = () => {
            job.stopped = ++calls === 2;
            return (held = 2 + 10 * calls);
        };
        const [seat] = engine.seats.all,
            done = await advance(engine, seat, 0, 100, new Slice(), /** @type {any} */ (job));
        assert.deepEqual(done, { known: 2, evaluated: 20, isReady: false });
        assert.equal(held, 22);
    });
});

describe('signals', () => {
    test('end tokenize(), embed() and applyTemplate() at once; requests that have not begun are dropped', async () => {
        const text = 'a b '.repeat(50000);
        for (const request of /** @type {((signal: AbortSignal) => Promise<unknown>)[]} */ ([
            (signal) => model.tokenize(text, { signal }),
            (signal) => model.embed('a', { signal }),
            (signal) => model.applyTemplate('a', { signal }),
        ])) {
            await assert.rejects(request(AbortSignal.abort(new Error('before'))), /before/);
            const controller = new AbortController();
            const all = Array.from({ length: 20 }, () => request(controller.signal));
            controller.abort(new Error('later'));
            for (const { status, reason } of /** @type {PromiseRejectedResult[]} */ (await Promise.allSettled(all)))
                assert.deepEqual([status, reason.message], ['rejected', 'later']);
        }
        assert.ok((await model.embed('a')).length > 0);
    });

    test('end an embedding between two batches', async () => {
        const engine = await openEngine({ kind: 'path', path: models.tiny }),
            job = { stopped: false };
        let done = 0;
        engine.needSession = () => {};
        engine.core.count = (name, ...args) => {
            assert.deepEqual([name, args[3]], ['nb_session_embed', done]);
            job.stopped = done === 20;
            return (done += 10);
        };
        const tokens = Array.from({ length: 100 }, () => 5);
        assert.equal(await embed(engine, tokens, { pooling: 'mean' }, job), undefined);
        assert.equal(done, 30);
        done = 0;
        job.stopped = false;
        engine.core.count = () => (done += 10);
        const { vector, tokens: n } = (await embed(engine, tokens, { pooling: 'mean' }, job)) ?? {};
        assert.deepEqual([vector instanceof Float32Array, n], [true, 100]);
        assert.equal(done, 100);
    });

    test('must be signals, not controllers', async () => {
        await assert.rejects(
            async () => model.tokenize('a', { signal: /** @type {any} */ (new AbortController()) }),
            /controller's signal/,
        );
    });
});
