// How answers are held to a grammar (web/worker/grammar.js), with a vocabulary of few tokens and a reader of our own.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { startBuild } from '../../web/worker/core.js';
import { Grammars } from '../../web/worker/grammar.js';
import { root } from '../support/builds.js';
import { grammarOf } from '../support/grammar.js';

const END = 0,
    THINK = 1,
    CALL = 2,
    SPACED = 3,
    CLOSE = 7;
/** What tokens add at a text's beginning, and later: there the third one has a space. */
const FIRST = ['</s>', '', '', '{', '{', '}', 'hm', ''],
    REST = ['</s>', '', '', ' {', '{', '}', 'hm', ''];
/** What tokens without a text stand for. */
const NAMES = new Map([
    [THINK, '<think>'],
    [CALL, '<call>'],
    [CLOSE, '</think>'],
]);
const MARKS = { opener: '<think>', closer: '</think>' };

const core = await startBuild('grammar', {
    grammar: /** @type {any} */ (pathToFileURL(`${root}build/wasm/nibble-grammar.wasm`).href),
});

/** @param {(string | Uint8Array)[]} texts */
function textsOf(texts) {
    const each = texts.map((text) => (typeof text === 'string' ? new TextEncoder().encode(text) : text));
    return {
        bytes: Uint8Array.from(each.flatMap((bytes) => [...bytes])),
        lengths: Uint32Array.from(each, (b) => b.length),
    };
}

const vocabulary = { first: textsOf(FIRST), rest: textsOf(REST), ends: Uint32Array.of(END) };

/** @param {string} grammar @param {any} reader */
function matcherOf(grammar, reader, grammars = Grammars.of(core, vocabulary)) {
    const { length } = grammars.lexicons.texts.lengths,
        matcher = grammars.matcher(grammar, { reader, marks: NAMES, closing: [], most: Infinity });
    const accept = (/** @type {number} */ token, /** @type {(string | Uint8Array)[]} */ texts, closes = false) =>
        matcher.accept(token, () => textsOf([texts[token]]).bytes, closes);
    const allowed = () => {
        const logits = new Float32Array(length);
        matcher.restrict(logits, true);
        return [...logits.keys()].filter((token) => logits[token] === 0);
    };
    return { accept, allowed, ended: () => matcher.ended(), free: () => matcher.free() };
}

test('after a thought that has text, no token begins a text', () => {
    for (const [said, after] of /** @type {[number[], number[]][]} */ ([
        [[], [SPACED, 4]],
        [[6], [4]],
    ])) {
        const { accept, allowed, free } = matcherOf('root ::= "{}"', { ...MARKS, isThinking: false });
        assert.deepEqual(allowed(), [THINK, SPACED, 4]);
        accept(THINK, FIRST);
        assert.deepEqual(allowed(), [1, 2, 3, 4, 5, 6, 7]);
        for (const token of [...said, CLOSE]) accept(token, FIRST);
        assert.deepEqual(allowed(), after);
        accept(4, REST);
        assert.deepEqual(allowed(), [5]);
        free();
    }
});

test('tokens that close a thought which was too long count as a part of it', () => {
    const { accept, allowed, free } = matcherOf('root ::= "{}"', { ...MARKS, isThinking: true });
    accept(6, FIRST, true);
    accept(CLOSE, REST, true);
    accept(6, REST, true); // one more, which is not of the answer
    assert.deepEqual(allowed(), [4]);
    free();
});

test('memory may grow while marks are tried', () => {
    const { allowed, free } = matcherOf('root ::= "<call>" | "{"', { opener: undefined, isThinking: false }),
        { object } = core;
    core.object = (name, ...args) => {
        core.memory.grow(1);
        return object.call(core, name, ...args);
    };
    try {
        assert.deepEqual(allowed(), [CALL, SPACED, 4]);
    } finally {
        core.object = object;
    }
    free();
});

test('a token that ends a thought and begins the answer is matched from its first character', () => {
    const texts = [
        ...['</s>', '', '', ' {', '{', '}', 'hm', ''],
        ...[
            '</',
            'think',
            '>',
            '>{',
            '> {"',
            '>x',
            '>\n\n',
            '>\n\n{',
            '</think>',
            '</think>{',
            '</think>{"a',
            '</think>b',
        ],
        ...['a</thi', 'nk>{}', 'nk>}', '{"a"}', '"', 'a"}', '<', '/think>[', '}</think>', '{"</think>{', '>é'],
    ];
    const grammars = Grammars.of(core, { first: textsOf(texts), rest: textsOf(texts), ends: Uint32Array.of(END) }),
        text = String.raw`root ::= "{" ("\"" "a" "\"")? "}" | "é"`,
        answer = grammarOf(text);
    const written = (/** @type {number} */ token) => NAMES.get(token) ?? texts[token];
    /** What begins the answer after a thought; undefined: the thought goes on. @param {string} thought */
    const after = (thought) => {
        const at = thought.indexOf('</think>');
        return at < 0 ? undefined : thought.slice(at + 8).trimStart();
    };
    let state = 1;
    const random = (/** @type {number} */ n) => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return Math.floor((state / 2 ** 32) * n);
    };
    let ended = 0,
        together = 0;
    for (let run = 0; run < 300; run++) {
        // the reader knows nothing: a stop text may hold back all of the thought from it
        const { accept, allowed, free, ...matcher } = matcherOf(text, { ...MARKS, isThinking: true }, grammars);
        let said = '';
        for (let i = 0; i < 20; i++) {
            const before = after(said),
                may = allowed();
            const wanted = [...texts.keys()].filter((token) => {
                const text = written(token),
                    answered = before === undefined ? after(said + text) : before + text;
                if (token === END) return before !== undefined && answer.matches(before);
                return answered === undefined || answer.begins(answered);
            });
            assert.deepEqual(may, wanted, JSON.stringify(said));
            // mostly what brings the thought to its end
            const near = may.filter((token) => token >= CLOSE),
                of = near.length > 0 && random(4) > 0 ? near : may,
                token = of[random(of.length)];
            if (token === END) break;
            accept(token, texts);
            said += written(token);
            if (before === undefined && after(said)) together++;
            if (before === undefined && after(said) !== undefined) ended++;
            assert.equal(matcher.ended(), after(said) !== undefined && /^(\{("a")?\}|é)$/.test(String(after(said))));
            if (matcher.ended()) break;
        }
        free();
    }
    assert.ok(together > 50 && ended > together + 50, `${together} of ${ended} thoughts ended within a token`);
    answer.free();
});

test('a thought may end within a token that has a part of a character', () => {
    const [first, second] = [Uint8Array.of(...new TextEncoder().encode('>\n'), 0xc3), Uint8Array.of(0xa9)],
        texts = [...REST, '</think', first, second];
    const grammars = Grammars.of(core, { first: textsOf(texts), rest: textsOf(texts), ends: Uint32Array.of(END) });
    for (const [grammar, fits] of /** @type {[string, boolean][]} */ ([
        ['root ::= "é"', true],
        ['root ::= "e"', false],
    ])) {
        const { accept, allowed, ended, free } = matcherOf(grammar, { ...MARKS, isThinking: true }, grammars);
        accept(8, texts);
        assert.equal(allowed().includes(9), fits);
        if (fits) {
            accept(9, texts);
            assert.deepEqual(allowed(), [10]);
            accept(10, texts);
            assert.ok(ended());
        }
        free();
    }
});
