// The demo's Markdown: what it makes of marks, and that its time is in proportion to the text, whatever the text is
// (the page redraws an answer at each frame).
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBlocks, parseInline } from '../../demo/markdown.js';

/** Spans as a short text: b(...), i(...), c(...).
 * @param {import('../../demo/markdown.js').Span[]} spans @returns {string} */
const shown = (spans) =>
    spans
        .map((span) =>
            typeof span === 'string' ? span : `${{ strong: 'b', em: 'i', code: 'c' }[span.tag]}(${shown(span.inner)})`,
        )
        .join('');

test('marks', () => {
    for (const [text, wanted] of [
        ['plain', 'plain'],
        ['', ''],
        ['**bold** and *slanted* and `code`', 'b(bold) and i(slanted) and c(code)'],
        ['**a** and **b**', 'b(a) and b(b)'],
        ['**bold with *slanted* and `code`**', 'b(bold with i(slanted) and c(code))'],
        ['2 * 3 * 4', '2 * 3 * 4'],
        ['a ** b ** c', 'a ** b ** c'],
        ['**not closed', '**not closed'],
        ['*not\nclosed*', '*not\nclosed*'],
        ['`a\nb`', '`a\nb`'],
        ['``', '``'],
        ['`*a*`', 'c(*a*)'],
        ['**a\nb**', 'b(a\nb)'],
        ['***', '***'],
        ['****', '****'],
        ['**a **b**', 'b(a **b)'],
        ['*a *b*', '*a i(b)'],
        ['`a` `', 'c(a) `'],
    ])
        assert.equal(shown(parseInline(text)), wanted, JSON.stringify(text));
});

test('an indented line is the next line of a paragraph or quote, and goes on an item of a list', () => {
    for (const [text, kind, lines] of /** @type {[string, string, string[]][]} */ ([
        ['a\n  b\nc', 'p', ['a', 'b', 'c']],
        ['> a\n  b\n> c', 'quote', ['a', 'b', 'c']],
        ['- a\n  b\n- c', 'ul', ['a\nb', 'c']],
        ['1. a\n   b\n2. c', 'ol', ['a\nb', 'c']],
    ]))
        assert.deepEqual(
            parseBlocks(text).map((block) => [block.kind, block.lines]),
            [[kind, lines]],
        );
});

/** The time of the fastest of some runs, in ms. @param {number} runs @param {() => void} work */
function least(runs, work) {
    const times = Array.from({ length: runs }, () => {
        const began = performance.now();
        work();
        return performance.now() - began;
    });
    return Math.min(...times);
}

const parts = [
    '**a ',
    '*a ',
    '`a\n',
    '`',
    '``a',
    '*',
    '**',
    '***',
    '****a',
    '_a ',
    '__a ',
    '[a',
    '[a](',
    '![',
    '(',
    '<a',
    '&',
    '> ',
    '- ',
    '1. ',
    '  - ',
    '# ',
    '~~~\n',
    '```\n',
    '**a`*',
    '*`',
    '**a*',
    '** a*',
    ' ',
    '\t',
    '\\*',
    '\n',
    '\n\n',
    '-  \u2028',
    '\r',
];
test('eight times as much text takes about eight times as long, whatever it is', () => {
    const SMALL = 20_000,
        LARGE = 8 * SMALL;
    for (const part of parts)
        for (const [what, around] of /** @type {[string, (text: string) => string][]} */ ([
            ['a line', (text) => text],
            ['lines', (text) => text.replaceAll(' ', ' \n')],
            ['an item', (text) => `- ${text}\u2028x`],
            ['a heading', (text) => `# ${text}\u2028x`],
        ])) {
            const time = (/** @type {number} */ size, runs = 3) => {
                const text = around(part.repeat(size / part.length));
                return least(runs, () => {
                    for (const { lines } of parseBlocks(text)) for (const line of lines) parseInline(line);
                });
            };
            const large = time(LARGE, 1);
            // quadratic work on so much takes seconds, and sixty-four times as long as on the small one
            assert.ok(large < 500 || time(LARGE) < 30 * time(SMALL), `${JSON.stringify(part)} in ${what}: ${large} ms`);
        }
});
