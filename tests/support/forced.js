// Models whose answers a test writes (saying.js), and the tiny model with another chat template.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { models } from './builds.js';

export { forced, saying } from './saying.js';

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
