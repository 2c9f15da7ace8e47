// 5,000 lines in many scripts (those of texts.bin), with emoji, control characters and decoded broken UTF-8. They are
// always the same. `node tests/support/corpus.js` prints them as JSON, for tests/oracles/corpus_vectors.py.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { root } from './builds.js';

const LINES = 5000;
const EXTRAS = [
    '😀',
    '👍🏽',
    '👨‍👩‍👧‍👦',
    '🇩🇪',
    '❤️',
    '\u200d',
    '\u0301',
    '\x00',
    '\x07',
    '\x1b[1m',
    '\x7f',
    '\t',
    '\u00a0',
    '\u3000',
    '\u2028',
    '\ufeff',
    '1',
    '42',
    '1234567',
    '٣٤٥',
    '१२३',
    '３',
    '½',
    '...',
    '!?',
    '"',
    "'s",
    "'LL",
    '—',
    '$9.99',
    '://',
    '_',
    '(',
    ')\n',
    '\n\n',
    '  ',
    '    ',
    '\r\n',
];

/** The texts of text_fixtures.py without names of special tokens. */
function readTexts() {
    const file = readFileSync(`${root}tests/fixtures/text/texts.bin`),
        texts = [];
    for (let at = 4; at < file.length; ) {
        const end = at + 4 + file.readUInt32LE(at);
        texts.push(file.toString('utf8', at + 4, end));
        at = end;
    }
    // without characters of Unicode 16, too, which not every library knows
    return texts.filter(
        (text) =>
            !/[<[\u2581\u{13460}-\u{143ff}\u{1cc00}-\u{1cebf}\u{1fae9}]/u.test(text) &&
            text.length < 2000 &&
            text.trim() !== '',
    );
}

/** @param {number} [count] of lines: the first of them are always the same */
export function corpus(count = LINES) {
    const texts = readTexts(),
        words = texts.flatMap((text) => text.split(' ')).filter((word) => word !== '');
    let state = 20240517; // Numerical Recipes' generator
    const below = (/** @type {number} */ n) => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return Math.floor((state / 2 ** 32) * n);
    };
    const of = (/** @type {string[]} */ list) => list[below(list.length)];
    const line = (/** @type {number} */ i) => {
        if (i % 5 === 0) return of(texts); // as it is
        const parts = [];
        for (let n = 2 + below(12); n > 0; n--) {
            const text = of(texts),
                from = below(text.length);
            parts.push(
                ...([
                    () => of(words),
                    () => of(words) + of(words),
                    () => text.slice(from, from + 1 + below(20)),
                    () => of(EXTRAS),
                ]
                    [below(4)]()
                    .match(/[\s\S]+/g) ?? []),
            );
        }
        const whole = Buffer.from(parts.join(below(3) ? ' ' : ''));
        for (let n = i % 7 === 0 ? 3 : 0; n > 0; n--) whole[below(whole.length)] = 0x80 + below(0x80); // broken
        return whole.toString('utf8');
    };
    return Array.from({ length: count }, (_, i) => line(i));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(JSON.stringify(corpus()));
