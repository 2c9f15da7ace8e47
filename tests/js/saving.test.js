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
            [
                () => other.restore(savedPlain),
                'NB_ERR_ARGUMENT',
                /another model, or with this one loaded in another way/,
            ],
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
        await assert.rejects(model.restore(longer), { code: 'NB_ERR_FORMAT', message: /8 bytes behind its end/ });
        await assert.rejects(model.restore(saved, { signal: AbortSignal.abort() }), { name: 'AbortError' });
        const tokens = await model.restore(saved);
        assert.ok(tokens.length > 20, `${tokens.length}`);
    } finally {
        for (const each of [model, small, plain, other, header, encoder]) await each.dispose();
    }
});
