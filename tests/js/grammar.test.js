// Grammars in GBNF: which texts follow them, and what is refused. The meanings are those of llama.cpp's own tests
// (tests/test-grammar-integration.cpp, test-grammar-parser.cpp), where not said otherwise.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { root } from '../support/builds.js';
import { grammarOf } from '../support/grammar.js';
import { declaredIn, moduleOf } from '../support/modules.js';
import { countInstructions } from '../support/opcodes.js';

test('the module exports the functions of the header, and has no floating-point instruction', async () => {
    const { module } = await moduleOf('grammar'),
        functions = WebAssembly.Module.exports(module).filter(({ kind }) => kind === 'function'),
        declared = declaredIn('nibble_grammar.h');
    assert.ok(declared.length > 10, `${declared.length} functions`);
    assert.deepEqual(functions.map(({ name }) => name).sort(), [...declared, 'nb_alloc', 'nb_free'].sort());
    const found = countInstructions(readFileSync(`${root}build/wasm/nibble-grammar.wasm`));
    assert.ok(found.all > 3000, `${found.all} instructions`);
    assert.deepEqual([found.floats, found.types], [0, 0]);
});

const ARITHMETIC = String.raw`
root ::= sum                       # begins with a line of its own
sum ::= product ws (("+" | "-") ws product)*
product ::= atom ws (("*" | "/") ws atom)*
atom ::= number | name | "(" sum ")" | call
number ::= [0-9]+
name ::= [a-zA-Z_] [a-zA-Z0-9_]*
call ::= name ws "(" (sum ("," ws sum)*)? ")"
ws ::= [ \t\n\r]?`;

/** Grammars with texts that follow them, and texts that do not. @type {[string, string[], string[]][]} */
const cases = [
    [
        ARITHMETIC,
        ['7', 'a1*b_2', 'f()', 'f(g(1), h(2,3))', '(a + b) * (c - d)', '1+2*3-4/5'],
        ['', '*', '1 +', 'f(a b)'],
    ],
    [
        ARITHMETIC,
        [`${'('.repeat(500)}1${')'.repeat(500)}`],
        [`${'('.repeat(500)}1${')'.repeat(499)}`, 'f(,)', 'a + + b'],
    ],
    ['root ::= .. "x" .', ['aaxa', '🔵éx✅'], ['axa', 'aaaxa', '🔵xé']],
    ['root ::= "a"*', ['', 'a', 'aaaa'], ['b', 'ab', 'ba']],
    ['root ::= "a"+', ['a', 'aaaa'], ['', 'ab']],
    ['root ::= "a"?', ['', 'a'], ['aa', 'b']],
    ['root ::= "ab"{2}', ['abab'], ['ab', 'abb', 'ababab']],
    ['root ::= "ab"{2,}', ['abab', 'ababab'], ['ab', '']],
    ['root ::= "a"{2,4}', ['aa', 'aaa', 'aaaa'], ['a', 'aaaaa']],
    ['root ::= "a"{0,2} "b"', ['b', 'ab', 'aab'], ['aaab', 'a']],
    ['root ::= ("a" | "bc"){0} "d"', ['d'], ['ad']],
    ['root ::= ("a"? "b"?)* "c"', ['c', 'abbac'], ['abca']],
    ['root ::= [a-c] [^a-c] [-x] [\\]\\[\\^] [x-]', ['ad-]x', 'bAx[-'], ['aa-]x', 'addd]x']],
    ['root ::= [\\x41-\\x43] "\\u00e9\\n\\t\\\\\\"" "\\U0001F600"', ['Bé\n\t\\"😀'], ['Dé\n\t\\"😀', 'Bé\n\t\\"😁']],
    ['root ::= [а-я]+ [^а-я]{2}', ['при😀!', 'яéz'], ['яб', 'z!?']],
    ['root ::= ("yes" | "no" |)', ['yes', 'no', ''], ['yesno', 'n']],
    ['root ::= a-b | a_b\na-b ::= "1"\na_b ::=\n  "2" |\n  "3"\n\n', ['1', '2', '3'], ['4', '12']],
    ['root ::= "(" root ")" | "x"', ['x', '((x))'], ['((x)', '(x))']],
    ['items ::= "x" rest\nrest ::= items |\n  ""\nroot ::= items', ['x', 'x'.repeat(5000)], ['', 'xy']],
    // a text may be read in very many ways (not in llama.cpp's tests)
    ['root ::= "a" root "b" | "a" root "c" | "d"', [`${'a'.repeat(1000)}d${'bc'.repeat(500)}`], ['aadb', 'adbb']],
    ['root ::= empty empty "z"\nempty ::= "" | ("e" empty)*', ['z', 'eeeez'], ['ez ']],
];

test('texts follow a grammar, or do not', () => {
    for (const [text, good, bad] of cases) {
        const grammar = grammarOf(text);
        for (const each of good) assert.ok(grammar.matches(each), `${text}\nmust match ${each.slice(0, 80)}`);
        for (const each of bad) assert.ok(!grammar.matches(each), `${text}\nmust not match ${each.slice(0, 80)}`);
        grammar.free();
    }
});

test('any character is any valid UTF-8, and nothing else', () => {
    const any = grammarOf('root ::= .'),
        but = grammarOf('root ::= [^\\u0100-\\U0010FFF0]');
    for (const code of [0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10fff0, 0x10ffff]) {
        assert.ok(any.matches(String.fromCodePoint(code)), code.toString(16));
        assert.equal(but.matches(String.fromCodePoint(code)), code < 0x100 || code > 0x10fff0, code.toString(16));
    }
    const wrong = [
        [0x80],
        [0xc0, 0x80],
        [0xc1, 0xbf],
        [0xe0, 0x9f, 0xbf],
        [0xed, 0xa0, 0x80],
        [0xf0, 0x8f, 0xbf, 0xbf],
    ];
    for (const bytes of [...wrong, [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xff]])
        assert.ok(!any.begins(Uint8Array.from(bytes)), String(bytes));
    assert.ok(any.begins(Uint8Array.from([0xf0, 0x9f])) && !any.matches(Uint8Array.from([0xf0, 0x9f])));
});

/** Grammars that are refused, and what the message says. @type {[string, RegExp][]} */
const refused = [
    ['', /no rule root.*add one/],
    ['a ::= "x"', /no rule root/],
    ['root ::= a b\na ::= "x"', /line 1, column 12: there is no rule b/],
    ['root ::= a\na ::= b\nb ::= "c"? a "x"', /the rule [ab] is left-recursive/],
    ['root ::= root "a" | "b"', /the rule root is left-recursive/],
    ['root ::= "a"\n# comment\nroot ::= "b"', /line 3, column 1: the rule root is there twice/],
    ['root ::= "a', /line 1, column 10: this quote is not closed/],
    ['root ::= [a', /this class is not closed/],
    ['root ::= ("a" | "b"', /this parenthesis is not closed/],
    ['root ::= "a")', /column 13: the rule root cannot go on/],
    ['root ::= []', /this class is empty/],
    ['root ::= [^\\x00-\\U0010FFFF]', /this class has no character/],
    ['root ::= [z-a]', /range goes backwards/],
    ['root ::= *', /nothing before this to repeat/],
    ['root ::= "a"{', /number is missing/],
    ['root ::= "a"{2', /repetition is not closed/],
    ['root ::= "a"{3,1}', /write \{1,3\}/],
    ['root ::= "a"{100001}', /at most 100000/],
    ['root ::= "\\q"', /no such escape/],
    ['root ::= "\\x4"', /needs 2 hexadecimal digits/],
    ['root ::= "\\ud83d"', /half of a character/],
    ['root ::= "\\U00110000"', /no character 110000/],
    ['root ::= "é" <think>', /column 14: .*tokens/],
    ['root "a"', /needs ::=/],
    ['::= "a"', /begins here with its name/],
    ['root ::= (("a"{1000}){1000}){1000}', /more than 524288 steps/],
    ['root ::= [acegikmoqsuwy]{99999}', /more than 1048576 ranges of bytes/],
    [`root ::= ${'('.repeat(20)}""${'){90}'.repeat(20)}`, /repetitions.*too large together/],
    [`root ::= ${'('.repeat(101)}"a"${')'.repeat(101)}`, /more than 100 /],
    [`root ::= "a"${'+'.repeat(101)}`, /more than 100 repetitions/],
];

test('what is wrong with a grammar is said with its place', () => {
    for (const [text, message] of refused) assert.throws(() => grammarOf(text), message, text.slice(0, 60));
    assert.throws(() => grammarOf(/** @type {any} */ (Uint8Array.from([0x22, 0xff]))), /begins here/);
    const bytes = new TextEncoder().encode('root ::= "?"').map((byte) => (byte === 0x3f ? 0xff : byte));
    assert.throws(() => grammarOf(/** @type {any} */ (bytes)), /column 11: these bytes are no UTF-8/);
});

test('no grammar takes long: it is read at once, or its step is refused', () => {
    const began = performance.now(),
        seconds = () => (performance.now() - began) / 1000;
    // all in one line, where each character has a column
    assert.throws(() => grammarOf(`root ::= "${'é'.repeat(520_000)}"`), /more than 524288 steps/);
    assert.throws(() => grammarOf(`root ::= "é" ${'"" '.repeat(340_000)})`), /column 1020014: the rule root/);
    // the order in which Shell's method with gaps of powers of 2 takes n^2 / 8 steps
    const sorted = grammarOf(`root ::= [${'ba'.repeat(2 ** 18)}]`);
    assert.ok(sorted.matches('a') && !sorted.matches('c'));
    sorted.free();
    // each letter leads through 8,000 nodes that read nothing, and to another state
    const slow = grammarOf('root ::= ([ab] empty){20000}\nempty ::= (""?){8000}');
    assert.ok(slow.begins('a'.repeat(20)));
    assert.throws(() => slow.begins('a'.repeat(8_000)), /in too many ways/);
    assert.ok(slow.begins('a'.repeat(20)));
    slow.free();
    assert.ok(seconds() < 30, `${seconds()} s`);
});

test('10,000 alternatives may begin alike', () => {
    const words = Array.from({ length: 10_000 }, (_, i) => `"${i}"`),
        grammar = grammarOf(`root ::= "x" (${words.join(' | ')}) "y"`);
    assert.ok(grammar.matches('x9999y') && grammar.matches('x0y') && !grammar.matches('x10000y'));
    grammar.free();
});

test('the grammars of docs/structured.md', () => {
    const page = readFileSync(`${root}docs/structured.md`, 'utf8'),
        [first] = /^ {4}root[\s\S]*?\n\n/m.exec(page) ?? [''],
        [, inner] = /grammar = '(.*)';$/m.exec(page) ?? [];
    assert.ok(
        grammarOf(first).matches('{ "name": "Ada", "age":36\n}') && !grammarOf(first).matches('{"name":"","age":1}'),
    );
    const yes = grammarOf(inner.replaceAll('\\\\', '\\'));
    assert.ok(yes.matches('no, because it rains today.') && !yes.matches('no, because.'));
});
