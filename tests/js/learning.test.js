// demo/learning.js: what is learned in a page is not lost where the model cannot be loaded to show what it writes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { learn } from '../../demo/learning.js';

/** @typedef {import('../../web/index.js').Training} Training */

/** Two steps. @param {() => ReadableStream<Uint8Array>} model */
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
    ['is none', () => new Blob(['not a model, but long enough to be read']).stream(), /^There is no sample\. .*GGUF/s],
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
