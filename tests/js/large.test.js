// Weights beyond 2 GB, where addresses have their highest bit set, load and compute the same as in a small model. If a
// model does not fit, the error says how much memory is needed and how much there is, before the weights are read.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { freemem } from 'node:os';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { models } from '../support/builds.js';
import { layersFor, modelOf, TOKENS } from '../support/large.js';
import { logitsOf } from '../support/vectors.js';

/** The size of the weights; NIBBLE_LARGE=3600 sets another one. */
const MEGABYTES = Number(process.env.NIBBLE_LARGE ?? 2600);

/** @param {number} layers @param {object} options */
async function logitsOfLayers(layers, options) {
    const model = await load(modelOf(layers), { contextLength: 64, ...options });
    try {
        const { tokens } = await model.complete(TOKENS, { temperature: 0, maxTokens: 2, ignoreEnd: true });
        return { bytes: model.info.bytes, tokens, logits: await logitsOf(model, TOKENS) };
    } finally {
        await model.dispose();
    }
}

test(`weights of ${MEGABYTES} MB compute the right logits`, { timeout: 300_000 }, async (t) => {
    if (freemem() < (MEGABYTES + 1500) * 2 ** 20)
        return t.skip(
            `${MEGABYTES} MB of weights need more than the ${Math.floor(freemem() / 2 ** 20)} MB of memory that are free`,
        );
    const layers = layersFor(MEGABYTES * 2 ** 20);
    const few = await logitsOfLayers(2, {}),
        many = await logitsOfLayers(layers, {});
    assert.ok(many.bytes > 2 ** 31 && many.bytes > (MEGABYTES - 100) * 2 ** 20, `${many.bytes} bytes`);
    assert.deepEqual(many.tokens, few.tokens);
    for (const [i, row] of few.logits.entries()) assert.deepEqual(many.logits[i], row, `position ${i}`);
    assert.ok(new Set(few.logits[0]).size > 100, 'the logits tell something');
});

test('weights that do not fit are refused before they are read; the error says how much is needed', async () => {
    let read = 0;
    const counted = modelOf(layersFor(5e9)).pipeThrough(
        new TransformStream({
            transform(chunk, controller) {
                read += chunk.length;
                controller.enqueue(chunk);
            },
        }),
    );
    await assert.rejects(load(counted), (error) => {
        assert.ok(error instanceof Error);
        assert.match(error.message, /the model's weights: 47\d\d MB are needed, and 40\d\d MB are left of the 4095 MB/);
        return true;
    });
    assert.ok(read < 1 << 27, `${read} bytes were read`);
});

for (const build of /** @type {const} */ (['simd128', 'simd128-threads']))
    test(`a context that does not fit is refused before the weights are read, ${build}`, async () => {
        const file = readFileSync(models.tiny),
            part = file.length - 1000; // the rest never comes
        /** @type {ReadableStream<Uint8Array>} */
        const stalled = new ReadableStream({
            start: (controller) => controller.enqueue(new Uint8Array(file.subarray(0, part))),
        });
        let fits = 0;
        await assert.rejects(load(stalled, { build, contextLength: 10_000_000 }), (error) => {
            assert.ok(error instanceof Error);
            const words =
                /a context of 10000000 tokens does not fit: it needs (\d+) MB, and beside the model there is room for (\d+) MB; .*contextLength \(--context\) of (\d+) or less/.exec(
                    error.message,
                );
            assert.ok(words && Number(words[1]) > Number(words[2]) && Number(words[2]) > 3900, error.message);
            fits = Number(words[3]);
            return true;
        });
        assert.ok(fits > 100_000 && fits < 10_000_000, `${fits}`);
    });
