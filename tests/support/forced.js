// Answers that a test writes: the logits of a model are replaced, so that it can only say what the test wants. And the
// tiny model with another chat template.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { models } from './builds.js';

/** @typedef {import('../../web/index.d.ts').Model} Model */

/**
 * Options of a generation that gives these tokens, and then ends.
 * @param {Model} model
 * @param {number[]} tokens
 */
export function saying(model, tokens) {
    const end = /** @type {number} */ (model.info.tokenizer?.end);
    let at = 0;
    return {
        maxTokens: 2000,
        onLogits: (/** @type {Float32Array} */ logits) => {
            logits.fill(-Infinity);
            logits[tokens[at++] ?? end] = 0;
        },
    };
}

/**
 * The same for a text.
 * @param {Model} model
 * @param {string} text
 */
export const forced = async (model, text) => saying(model, await model.tokenize(text, { bare: true }));

/** The tiny model with another chat template, which is shorter than its own. @param {string} template */
export function withTemplate(template) {
    const bytes = readFileSync(models.tiny),
        written = new TextEncoder().encode(template),
        at = bytes.indexOf('{%'),
        size = Number(bytes.readBigUInt64LE(at - 8));
    assert.ok(written.length + 4 <= size, `${written.length} bytes, and there is room for ${size - 4}`);
    bytes.fill(' ', at, at + size).set(written, at);
    bytes.set(new TextEncoder().encode('{#'), at + written.length);
    bytes.set(new TextEncoder().encode('#}'), at + size - 2);
    return new Uint8Array(bytes);
}
