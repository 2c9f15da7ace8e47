// save() and restore(): another model goes on from what the first one remembered, with the same text. What the core
// refuses is in tests/core/test_saving.c.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { models, root } from '../support/builds.js';
import { configurations } from '../support/vectors.js';

const STORY = 'Once upon a time there was a little dog. He lived in a red house with a girl. ';
const PROMPT = STORY.repeat(4);
const OPTIONS = { maxTokens: 24, temperature: 0 };

for (const { build, threads } of configurations(true))
    test(`${build}, ${threads} threads: another model goes on as the first one would have`, async () => {
        const first = await load(models.stories, { build, threads, contextLength: 256 }),
            second = await load(models.stories, { build, threads, contextLength: 512 });
        try {
            const { text, tokens, promptTokens } = await first.complete(PROMPT, OPTIONS);
            const saved = await first.save();
            const prompt = `${PROMPT}${text} One day`,
                expected = await first.complete(prompt, OPTIONS);
            await second.complete('A cat', OPTIONS);
            const restored = await second.restore(saved);
            // the last token that was generated has not been evaluated
            const all = [...(await first.tokenize(PROMPT)), ...tokens];
            assert.deepEqual(restored, all.slice(0, promptTokens + tokens.length - 1));
            assert.deepEqual((await second.complete(prompt, OPTIONS)).tokens, expected.tokens);
            // the caller's bytes are still the caller's, and an ArrayBuffer does, too
            assert.deepEqual(await second.restore(saved.slice().buffer), restored);
            assert.deepEqual(await second.save(), saved);
        } finally {
            await first.dispose();
            await second.dispose();
        }
    });

test('what save() and restore() refuse', async () => {
    const model = await load(models.stories, { threads: 1, contextLength: 128 }),
        small = await load(models.stories, { threads: 1, contextLength: 16 }),
        folder = `${root}tests/fixtures/safetensors/llama-f32/`,
        plain = await load(folder, { threads: 1, contextLength: 16 }),
        other = await load(folder, { threads: 1, contextLength: 16, quantize: 'q8_0' }),
        header = await load(models.stories, { threads: 1, headerOnly: true }),
        encoder = await load(`${root}tests/fixtures/encoders/bert.gguf`, { threads: 1 });
    try {
        await model.complete(STORY, OPTIONS);
        const saved = await model.save();
        await plain.complete([1, 2, 3], OPTIONS);
        const savedPlain = await plain.save();
        /** @type {[() => Promise<unknown>, string, RegExp][]} */
        const cases = [
            [() => model.restore(saved.subarray(1)), 'NB_ERR_FORMAT', /not what nibble saves/],
            [
                () => model.restore(saved.subarray(0, -1)),
                'NB_ERR_FORMAT',
                /damaged or incomplete; evaluate the text again/,
            ],
            [() => model.restore(new Uint8Array()), 'NB_ERR_FORMAT', /not what nibble saves/],
            [() => small.restore(saved), 'NB_ERR_CONTEXT', /do not fit the context of 16/],
            [() => other.restore(savedPlain), 'NB_ERR_ARGUMENT', /another model, of this one loaded in another way/],
            [() => header.save(), 'NB_ERR_STATE', /only this file's header was loaded/],
            [() => header.restore(saved), 'NB_ERR_STATE', /only this file's header was loaded/],
            [() => encoder.save(), 'NB_ERR_UNSUPPORTED', /bert model is not causal/],
            [() => encoder.restore(saved), 'NB_ERR_UNSUPPORTED', /bert model is not causal/],
            [() => model.restore(/** @type {any} */ ('text')), 'NB_ERR_ARGUMENT', /the bytes that save\(\) gave/],
            [
                () => model.restore(/** @type {any} */ (new Float32Array(4))),
                'NB_ERR_ARGUMENT',
                /the bytes that save\(\)/,
            ],
            [() => model.save(/** @type {any} */ ({ to: 'a' })), 'NB_ERR_ARGUMENT', /save\(\).*to/],
        ];
        for (const [refused, code, message] of cases) await assert.rejects(refused(), { code, message });
        // bytes behind the end, such as those of a file that was longer before
        const longer = new Uint8Array(saved.length + 8);
        longer.set(saved);
        await assert.rejects(model.restore(longer), { code: 'NB_ERR_FORMAT', message: /8 bytes behind the end/ });
        await assert.rejects(model.restore(saved, { signal: AbortSignal.abort() }), { name: 'AbortError' });
        const tokens = await model.restore(saved);
        assert.ok(tokens.length > 20, `${tokens.length}`);
    } finally {
        for (const each of [model, small, plain, other, header, encoder]) await each.dispose();
    }
});

const OTHER = 'Tom and Ann went to the park with a big ball. They saw a bird and wanted to play. '.repeat(4);

/** Asks two conversations in turn; each goes on twice.
 * @param {import('../../web/index.d.ts').LoadOptions} options */
async function inTurn(options) {
    const model = await load(models.stories, { threads: 1, contextLength: 256, ...options });
    try {
        const texts = [PROMPT, OTHER],
            answers = [];
        for (let turn = 0; turn < 6; turn++) {
            const i = turn % 2,
                answer = await model.complete(texts[i], OPTIONS);
            texts[i] += `${answer.text} One day`;
            answers.push(answer);
        }
        return answers;
    } finally {
        await model.dispose();
    }
}

test('cacheSize: conversations take turns, and none of them is evaluated again', async () => {
    const expected = await inTurn({}),
        found = await inTurn({ cacheSize: '2MB' });
    for (const [i, { tokens, promptTokens, cachedTokens }] of found.entries()) {
        assert.deepEqual(tokens, expected[i].tokens, `turn ${i}`);
        // all but the last token that was generated, and what the text joins to it
        const before = found[i - 2];
        if (before) assert.ok(cachedTokens >= before.promptTokens + before.tokens.length - 2, `${i}: ${cachedTokens}`);
        assert.ok(expected[i].cachedTokens <= 1, 'without cacheSize, only the last text is remembered');
        assert.ok(promptTokens > cachedTokens);
    }
});

test('cacheSize: what was not used for the longest time is forgotten first', async () => {
    const texts = ['Once there was a cat', 'A boy had a red ball', 'The sun was very hot', 'Mom made a big cake'].map(
        (text) => `${text}. `.repeat(12),
    );
    const one = await load(models.stories, { threads: 1, contextLength: 128 });
    let size = 0;
    try {
        for (const text of texts) {
            await one.complete(text, { maxTokens: 1 });
            size = Math.max(size, (await one.save()).length);
        }
    } finally {
        await one.dispose();
    }
    /**
     * Which of the texts, asked for in this order, were remembered.
     * @param {number} cacheSize
     * @param {number[]} order
     */
    const remembered = async (cacheSize, order) => {
        const model = await load(models.stories, { threads: 1, contextLength: 128, cacheSize });
        const found = [];
        try {
            for (const i of order) {
                const { promptTokens, cachedTokens } = await model.complete(texts[i], { maxTokens: 1 });
                found.push(cachedTokens === promptTokens - 1); // the last one is evaluated for its logits
            }
        } finally {
            await model.dispose();
        }
        return found;
    };
    // the session has one, the cache two
    const two = 2 * size;
    assert.deepEqual(await remembered(two, [0, 1, 2, 0, 1, 2]), [false, false, false, true, true, true]);
    assert.deepEqual(await remembered(two, [0, 1, 2, 3, 1, 0]), [false, false, false, false, true, false]);
    assert.deepEqual(await remembered(two, [0, 1, 2, 0, 3, 2, 0, 1]), [
        ...Array(3).fill(false),
        true,
        false,
        true,
        true,
        false,
    ]);
    // too little for any of them
    assert.deepEqual(await remembered(1000, [0, 1, 0]), [false, false, false]);
});

test('cacheSize where nothing can be saved: it is ignored', async () => {
    const encoder = await load(`${root}tests/fixtures/encoders/bert.gguf`, { threads: 1, cacheSize: 1e6 });
    try {
        assert.ok((await encoder.embed([1, 2])).length > 0);
    } finally {
        await encoder.dispose();
    }
    await assert.rejects(load(models.stories, { cacheSize: 'much' }), {
        code: 'NB_ERR_ARGUMENT',
        message: /cacheSize/,
    });
});
