// Several answers over one model: each is what it would be alone, whatever else is computed with it.
// Runs once: tests/core/test_batch.c compares the numbers in every build.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { nb_turn } from '../../web/abi.js';
import { NibbleError } from '../../web/errors.js';
import { load } from '../../web/index.js';
import { Together } from '../../web/worker/together.js';
import { models, root } from '../support/builds.js';
import { configurations } from '../support/vectors.js';

const STORY = 'Once upon a time there was a little dog. He lived in a red house with a girl. ';

const folder = `${root}tests/fixtures/adapters/`;

/** Requests of all kinds. @type {[string, import('../../web/index.d.ts').GenerateOptions][]} */
const MIXED = [
    ['Once upon a time', { maxTokens: 40, seed: 1 }],
    ['Once upon a time', { maxTokens: 30, temperature: 0.9, seed: 3 }],
    [STORY.repeat(6), { maxTokens: 20, temperature: 0.8, seed: 4 }],
    ['The girl', { maxTokens: 20, temperature: 1, seed: 5, logprobs: true, topLogprobs: 2 }],
    ['The girl said: ', { maxTokens: 20, temperature: 0.7, seed: 6, grammar: 'root ::= [a-z ]+ "."' }],
    ['One day', { maxTokens: 20, temperature: 0.7, seed: 7, onLogits: (logits) => void (logits[5] += 1) }],
    ['One day there was', { maxTokens: 170, ignoreEnd: true, seed: 8, contextOverflow: 'shift' }],
    [STORY.repeat(5), { maxTokens: 150, ignoreEnd: true, temperature: 0.5, seed: 9, contextOverflow: 'slide' }],
];

/** What does not depend on time, nor on what was remembered. @param {import('../../web/index.d.ts').Result} result */
const told = ({ timings, cachedTokens, build, threads, ...rest }) => rest;

for (const { build, threads } of configurations(true))
    test(`${build}, ${threads} threads: eight requests of all kinds, together and alone`, async () => {
        const options = { build, threads, contextLength: 160 },
            alone = await load(models.stories, options),
            several = await load(models.stories, { ...options, parallel: 3 }), // and some wait for a place
            all = await load(models.stories, { ...options, parallel: MIXED.length });
        try {
            assert.deepEqual([alone.info.parallel, several.info.parallel, all.info.parallel], [1, 3, MIXED.length]);
            const expected = [];
            for (const [prompt, options] of MIXED) expected.push(told(await alone.complete(prompt, options)));
            assert.ok(expected.at(-1)?.droppedTokens && expected.at(-2)?.droppedTokens);
            for (const model of [all, several]) {
                const got = await Promise.all(MIXED.map(([prompt, options]) => model.complete(prompt, options)));
                assert.deepEqual(got.map(told), expected);
            }
            // and a second time, over what the first ones have left
            const again = await Promise.all(MIXED.toReversed().map(([prompt, own]) => several.complete(prompt, own)));
            assert.deepEqual(again.map(told).reverse(), expected);
        } finally {
            for (const model of [alone, several, all]) await model.dispose();
        }
    });

/** @type {import('../../web/index.d.ts').Model} */
let model;
before(async () => {
    model = await load(models.stories, { threads: 1, contextLength: 256, parallel: 4 });
});
after(() => model.dispose());

test('answers come at the same time', async () => {
    /** @type {number[]} */
    const order = [];
    const read = async (/** @type {number} */ i) => {
        for await (const _ of model.complete(`${i}: a story`, { maxTokens: 60, ignoreEnd: true })) order.push(i);
    };
    await Promise.all([0, 1, 2].map(read));
    for (const i of [0, 1, 2])
        assert.ok(order.indexOf(i) < order.lastIndexOf((i + 1) % 3), `${i} began when another was over: ${order}`);
});

test('one that is stopped leaves the others as they are', async () => {
    const options = { maxTokens: 50, ignoreEnd: true, temperature: 0.8, seed: 2 },
        expected = await model.complete('A cat', options);
    const controller = new AbortController(),
        stopped = model.complete('A bird', { ...options, signal: controller.signal }),
        other = model.complete('A cat', options);
    for await (const _ of stopped) break;
    controller.abort(new Error('left'));
    await assert.rejects(stopped, /left/);
    assert.equal((await other).text, expected.text);
    await assert.rejects(Promise.all([model.complete([1 << 20], options), model.complete('A cat', options)]), {
        code: 'NB_ERR_ARGUMENT',
    });
});

test('a beginning that several share is evaluated once, and conversations go on where they were', async () => {
    const prompt = STORY.repeat(3),
        length = (await model.tokenize(prompt)).length,
        options = { maxTokens: 8, ignoreEnd: true, temperature: 1 };
    const answers = await Promise.all(
        [1, 2, 3, 4].map((seed) => model.complete(`${prompt} One`, { ...options, seed })),
    );
    const evaluated = answers.map(({ promptTokens, cachedTokens }) => promptTokens - cachedTokens);
    assert.equal(evaluated.filter((n) => n > 2).length, 1, `${evaluated}`);
    // four conversations, each of which remembers its own text
    for (const { text } of answers) {
        const next = await model.complete(`${prompt} One${text} And`, options);
        assert.ok(next.cachedTokens >= length, `${next.cachedTokens} of ${next.promptTokens}`);
    }
});

test("OpenAI's n answers are made together, whole or streamed", async () => {
    const alone = await load(models.stories, { threads: 1, contextLength: 256 }),
        request = { prompt: 'Once upon', n: 3, seed: 4, temperature: 1, max_tokens: 60 };
    const expected = await alone.completions.create(request),
        got = await model.completions.create(request);
    await alone.dispose();
    assert.deepEqual(
        [got.choices, got.usage?.completion_tokens],
        [expected.choices, expected.usage?.completion_tokens],
    );
    const texts = ['', '', ''],
        order = /** @type {number[]} */ ([]);
    for await (const { choices } of await model.completions.create({ ...request, stream: true }))
        for (const { index, text } of choices) {
            texts[index] += text;
            order.push(index);
        }
    assert.deepEqual(
        texts,
        expected.choices.map(({ text }) => text),
    );
    assert.ok(order.lastIndexOf(0) > order.indexOf(2), `one after the other: ${order}`);
    await assert.rejects(model.completions.create({ ...request, prompt: ['a', 'b'.repeat(2000)] }), {
        code: 'NB_ERR_CONTEXT',
    });
});

test('other requests wait for answers, and save() gives the last text', async () => {
    const answer = model.complete('The sun', { maxTokens: 20, ignoreEnd: true }),
        vector = await model.embed(STORY);
    const { text } = await answer;
    assert.ok(vector.length > 0);
    const last = await model.complete(`The sun${text}`, { maxTokens: 4, ignoreEnd: true }),
        saved = await model.save();
    const tokens = await model.restore(saved);
    assert.equal(tokens.length, last.promptTokens + 3);
});

test('requests with different adapters at the same time', async () => {
    const options = { threads: 1, contextLength: 64, adapters: ['one', 'two'].map((name) => `${folder}${name}`) },
        base = `${root}tests/fixtures/safetensors/llama-sharded`,
        alone = await load(base, options),
        together = await load(base, { ...options, parallel: 5 });
    const uses = [[], ['one'], ['two'], ['one', 'two'], [{ name: 'two', scale: 3 }]],
        ask = (/** @type {import('../../web/index.d.ts').Model} */ one, /** @type {any} */ adapters) =>
            one.complete([5, 6, 7, 8], { adapters, maxTokens: 12, ignoreEnd: true });
    const expected = [];
    for (const adapters of uses) expected.push((await ask(alone, adapters)).tokens);
    assert.equal(new Set(expected.map(String)).size, uses.length, 'the adapters make a difference');
    for (const _ of [1, 2]) {
        const got = await Promise.all(uses.map((adapters) => ask(together, adapters)));
        assert.deepEqual(
            got.map(({ tokens }) => tokens),
            expected,
        );
    }
    await together.removeAdapter('one');
    assert.deepEqual((await ask(together, ['two'])).tokens, expected[2]);
    await alone.dispose();
    await together.dispose();
});

test('a request that is stopped before its turn leaves the text that save() gives', async () => {
    const ahead = model.complete('Two', { maxTokens: 200, ignoreEnd: true }),
        saving = model.save(),
        stopped = model.complete('A fox', { maxTokens: 4 }); // its turn comes after that of save()
    stopped.stop();
    await ahead;
    assert.equal((await stopped).finishReason, 'abort');
    assert.deepEqual(await model.save(), await saving);
});

test('parallel is checked', async () => {
    for (const parallel of [0, 65, 1.5])
        await assert.rejects(load(models.stories, { parallel }), { code: 'NB_ERR_ARGUMENT', message: /parallel/ });
});

/**
 * A Together over a core that only notes what it should compute. The logits after a row are the number of its sequence.
 * A sequence holds nothing after a pass that failed.
 * @param {(sequence: number, held: number) => void} fails throws if that sequence may not hold so many
 */
function pretended(fails) {
    const memory = new WebAssembly.Memory({ initial: 1 }),
        LOGITS = 4096;
    /** @type {number[]} */
    const held = [];
    /** @type {number[]} */
    const passes = [];
    let selected = 0;
    const ints = (/** @type {number} */ at, /** @type {number} */ n) => new Int32Array(memory.buffer, at, n);
    const core = {
        memory,
        ints,
        borrow: (/** @type {number} */ _, /** @type {(at: number) => unknown} */ use) => use(0),
        exports: { nb_session_holds: () => held[selected] ?? 0, nb_model_vocabulary: () => 1 },
        count(/** @type {any[]} */ ...[, , at, , n]) {
            passes.push(n);
            let row = 0;
            const sequences = [];
            try {
                for (let i = 0; i < n; i++) {
                    const words = ints(at + i * nb_turn.size, nb_turn.size / 4),
                        place = (/** @type {keyof typeof nb_turn.fields} */ name) => nb_turn.fields[name].at / 4,
                        sequence = words[place('sequence')],
                        total = words[place('n')];
                    sequences.push(sequence);
                    const now = Math.min(total, Math.min(held[sequence] ?? 0, total - 1) + words[place('most')]);
                    fails(sequence, now);
                    held[sequence] = words[place('held')] = now;
                    words[place('row')] = now === total ? row : -1;
                    if (now === total) ints(LOGITS, 64)[row++] = sequence;
                }
            } catch (error) {
                for (const sequence of sequences) held[sequence] = 0;
                throw error;
            }
        },
    };
    const seats = { select: (/** @type {{ index: number }} */ { index }) => void (selected = index) },
        engine = { core, session: 1, model: 1, seats, logits: () => ({ logits: LOGITS, rows: 1 }) };
    const together = new Together(/** @type {any} */ (engine));
    /** All tokens of a text, and what the logits after it are. @param {number} sequence @param {number} n */
    async function read(sequence, n) {
        const seat = /** @type {any} */ ({ index: sequence, adapters: { key: '' } });
        for (;;) {
            const { logits } = await together.step(seat, 0, n);
            if (logits) return ints(logits, 1)[0];
        }
    }
    return { read, passes };
}

for (const first of [2, 300])
    test(`one whose numbers fail at token ${first} is found, and the others get the logits that are theirs`, async () => {
        const wrong = new NibbleError('NB_ERR_FORMAT', 'not finite'),
            { read, passes } = pretended((sequence, held) => {
                if (passes.length > 200) throw new Error('it goes on for ever');
                if (sequence === 1 && held >= first) throw wrong;
            });
        const ends = await Promise.allSettled([read(0, 5), read(1, 2 * first), read(2, 7), read(3, 1000)]);
        assert.deepEqual(
            ends.map((end) => (end.status === 'fulfilled' ? end.value : end.reason)),
            [0, wrong, 2, 3],
        );
    });

test('after a trap nothing is computed any more', async () => {
    const trap = new WebAssembly.RuntimeError('unreachable'),
        { read, passes } = pretended(() => {
            throw trap;
        });
    const ends = await Promise.allSettled([read(0, 5), read(1, 5)]);
    assert.deepEqual(ends, Array(2).fill({ status: 'rejected', reason: trap }));
    assert.deepEqual(passes, [2]);
});

test('a grammar that is in use stays, however many others are compiled', { timeout: 60_000 }, async () => {
    const prompt = 'The girl said: ',
        options = { maxTokens: 24, temperature: 0.8, seed: 11, grammar: 'root ::= ("ab" [c-h]+ " ")+ "."' },
        expected = await model.complete(prompt, options);
    let release = () => {};
    /** @type {Promise<void>} */
    const others = new Promise((resolve) => {
        release = resolve;
    });
    let seen = 0;
    const wait = async () => (++seen === 5 ? others : undefined);
    const answer = model.complete(prompt, { ...options, onLogits: wait });
    while (seen < 5) await new Promise(setImmediate);
    for (let i = 0; i < 12; i++)
        await model.complete('a', { maxTokens: 3, grammar: `root ::= "x${i}" [a-z]{2,9} ("y" | "z${i}")* "."` });
    release();
    assert.deepEqual((await answer).tokens, expected.tokens);
});
