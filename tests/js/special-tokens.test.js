// With many or long special tokens, time is in proportion to the file and to the text, whatever the names are.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { whole } from '../support/gguf.js';

const NORMAL = 1,
    CONTROL = 3;
// with a space and a newline, of bytes
const characters = [...Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)), '\u0120', '\u010a'];

/** A vocabulary of characters and these special tokens. @param {string[]} names */
function fileOf(names) {
    const tokens = [...characters, ...names],
        types = tokens.map((_, i) => (i < characters.length ? NORMAL : CONTROL));
    const key = (/** @type {string} */ name) => `tokenizer.ggml.${name}`;
    return whole(
        new Map(
            /** @type {[string, import('../support/gguf.js').Value][]} */ ([
                ['general.architecture', ['string', 'llama']],
                [key('model'), ['string', 'gpt2']],
                [key('pre'), ['string', 'gpt-2']],
                [key('tokens'), ['string', tokens]],
                [key('token_type'), ['i32', types]],
                [key('merges'), ['string', ['a b']]],
                ['tokenizer.chat_template', ['string', '{{ messages[0].content }}']],
            ]),
        ),
        [],
    );
}

/** The time of the fastest of some runs, in ms. @param {number} runs @param {() => Promise<unknown>} run */
async function least(runs, run) {
    let best = Infinity;
    for (let i = 0; i < runs; i++) {
        const start = performance.now();
        await run();
        best = Math.min(best, performance.now() - start);
    }
    return best;
}

const times = (/** @type {number} */ n, /** @type {(i: number) => string} */ name) =>
    Array.from({ length: n }, (_, i) => name(i));
const BETWEEN = 24; // eight times the work should take 8 times as long, not 64 times: the limit is between

/** Asserts linear time. @param {string} what
 * @param {(scale: number) => Promise<number>} time in ms for `scale` times the work; it is called several times */
async function inProportion(what, time) {
    const large = await time(8);
    assert.ok(large < 500 || (await time(8)) < BETWEEN * (await time(1)), `${what}: ${large.toFixed()} ms`);
}

/** @param {string[]} names @param {string} text @param {boolean} quoted as a message, which has no special tokens */
async function timeOf(names, text, quoted) {
    const model = await load(fileOf(names), { threads: 1, headerOnly: true });
    try {
        return await least(2, () =>
            quoted
                ? model.applyTemplate([{ role: 'user', content: text }])
                : model.tokenize(text, { special: true, bare: true }),
        );
    } finally {
        await model.dispose();
    }
}

/** Kinds of names up to a length, and of texts. @type {[string, (longest: number) => string[], (size: number) =>
 * string][]} */
const cases = [
    [
        'none of many beginnings ends',
        (longest) => times(longest, (i) => `${'a'.repeat(i)}b`),
        (size) => 'a'.repeat(size),
    ],
    [
        'each is the beginning of the next',
        (longest) => times(longest - 1, (i) => 'a'.repeat(i + 2)),
        (size) => 'a'.repeat(size),
    ],
    [
        'all overlap',
        (longest) => ['aba', ...times(longest >> 1, (i) => `${'ab'.repeat(i + 1)}c`)],
        (size) => 'ab'.repeat(size / 2),
    ],
    [
        'all overlap, and are long',
        (longest) => times(longest >> 1, (i) => `${'ab'.repeat(i + 1)}a`),
        (size) => 'ab'.repeat(size / 2),
    ],
    [
        'one begins where another ends',
        (longest) => times(longest >> 1, (i) => `${'a'.repeat(i + 1)}b${'a'.repeat((longest >> 1) - i)}`),
        (size) => `${'a'.repeat(99)}b`.repeat(size / 100),
    ],
    [
        'they differ only at their ends',
        (longest) => times(longest, (i) => 'a'.repeat(longest - 6) + (1000 + i)),
        (size) => 'a'.repeat(size),
    ],
];
for (const [what, names, text] of cases)
    for (const quoted of [false, true])
        test(`${what}${quoted ? ', in a message' : ''}`, async () => {
            await inProportion('longer names', (scale) => timeOf(names(100 * scale), text(2000), quoted));
            await inProportion('a longer text', (scale) => timeOf(names(100), text(2000 * scale), quoted));
        });

test('200,000 special tokens', async () => {
    const all = times(200_000, (i) => `<|special_${i}|>`),
        text = all.filter((_, i) => i % 200 === 0).join('');
    const files = { 1: fileOf(all.slice(0, 25_000)), 8: fileOf(all) };
    const fileAt = (/** @type {number} */ scale) => files[/** @type {1 | 8} */ (scale)];
    await inProportion('loading', (scale) =>
        least(1, async () => (await load(fileAt(scale), { threads: 1, headerOnly: true })).dispose()),
    );
    const few = await load(files[1], { threads: 1, headerOnly: true }),
        many = await load(files[8], { threads: 1, headerOnly: true });
    try {
        await inProportion('a text with 1,000 of them', (scale) =>
            least(2, () => (scale === 1 ? few : many).tokenize(text, { special: true })),
        );
        await inProportion('a message with 1,000 of them', (scale) =>
            least(2, () => (scale === 1 ? few : many).applyTemplate([{ role: 'user', content: text }])),
        );
        await inProportion('a long text', (scale) =>
            least(2, () => many.tokenize(text.repeat(scale), { special: true })),
        );
    } finally {
        await few.dispose();
        await many.dispose();
    }
});
