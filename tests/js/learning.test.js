// demo/learning.js: if the model cannot be loaded to show what it writes, the training goes on; and held-out text is
// not learned.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { learn, shareHeldOut } from '../../demo/learning.js';
import { DataOrder } from '../../web/worker/data-order.js';

/** @typedef {import('../../web/index.js').Training} Training */

/** A training of two steps. @param {() => ReadableStream<Uint8Array>} model */
const twoSteps = (model) =>
    /** @type {Training} */ (
        /** @type {unknown} */ ({
            info: { steps: 2, parameters: 1000 },
            model,
            async *[Symbol.asyncIterator]() {
                yield { step: 1 };
                yield { step: 2 };
            },
        })
    );

for (const [name, model, message] of /** @type {[string, () => ReadableStream<Uint8Array>, RegExp][]} */ ([
    [
        'is no GGUF',
        () => new Blob(['not a model, but long enough to be read']).stream(),
        /^There is no sample\. .*GGUF/s,
    ],
    [
        'does not fit into memory',
        () => {
            throw new RangeError('Array buffer allocation failed');
        },
        /^There is no sample\. The model does not fit into memory/,
    ],
]))
    test(`a model that ${name} has no sample, and the training goes on to its end`, async () => {
        /** @type {number[]} */
        const steps = [];
        /** @type {string[]} */
        const texts = [];
        await learn(
            twoSteps(model),
            new AbortController().signal,
            ({ step }) => void steps.push(step),
            (text) => void texts.push(text),
        );
        assert.deepEqual(steps, [1, 2]);
        assert.equal(texts.length, 3, 'before, between, and at the end');
        for (const text of texts) assert.match(text, message);
    });

test('no sequence that is learned from has a token of the held-out part', () => {
    for (const length of [1, 2, 7, 32])
        for (const [learned, heldOut] of [
            [length + 1, length],
            [100, 3],
            [101, 99],
            [385, 385],
            [1000, 77],
            [3 * length, 16 * length],
        ]) {
            const tokens = Int32Array.from({ length: learned + heldOut }, (_, i) => i),
                share = shareHeldOut(learned, tokens.length, length),
                order = new DataOrder(tokens, length, 1, share, 0),
                { targets } = order.sequences(0, order.windows),
                sequences = Math.floor((learned - 1) / length);
            assert.equal(order.windows, sequences, `${learned} + ${heldOut} tokens, sequences of ${length}`);
            assert.ok(Math.max(...targets) < learned);
        }
});
