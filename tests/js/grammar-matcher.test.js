// How answers are held to a grammar (web/worker/grammar.js), with a vocabulary of few tokens and a reader of our own.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { startBuild } from '../../web/worker/core.js';
import { Grammars } from '../../web/worker/grammar.js';
import { root } from '../support/builds.js';

const END = 0,
    THINK = 1,
    CALL = 2,
    SPACED = 3;
/** What tokens add at a text's beginning, and later: there the third one has a space. */
const FIRST = ['</s>', '', '', '{', '{', '}', 'hm'],
    REST = ['</s>', '', '', ' {', '{', '}', 'hm'];

const core = await startBuild('grammar', {
    grammar: /** @type {any} */ (pathToFileURL(`${root}build/wasm/nibble-grammar.wasm`).href),
});

/** @param {string[]} texts */
function lexiconOf(texts) {
    const lengths = Uint32Array.from(texts, ({ length }) => length),
        numbers = new Uint8Array(Uint32Array.of(...lengths, END).buffer);
    return core.borrowText(texts.join(''), (at, n) =>
        core.borrowBytes(numbers, (numbersAt) =>
            core.object('nb_lexicon_new', at, n, numbersAt, texts.length, numbersAt + 4 * texts.length, 1),
        ),
    );
}

const lexicons = {
    rest: lexiconOf(REST),
    first: lexiconOf(FIRST),
    lengths: Uint32Array.from(REST, ({ length }) => length),
    ends: Uint32Array.of(END),
};

/** @param {string} grammar @param {any} reader */
function matcherOf(grammar, reader) {
    const marks = new Map([
        [THINK, '<think>'],
        [CALL, '<call>'],
    ]);
    const matcher = new Grammars(core, lexicons).matcher(grammar, { reader, marks, closing: [], most: Infinity });
    const accept = (/** @type {number} */ token, /** @type {string[]} */ texts, closes = false) =>
        matcher.accept(token, () => new TextEncoder().encode(texts[token]), closes);
    const allowed = () => {
        const logits = new Float32Array(REST.length);
        matcher.restrict(logits, true);
        return [...logits.keys()].filter((token) => logits[token] === 0);
    };
    return { accept, allowed, free: () => matcher.free() };
}

test('after a thought that has text, no token begins a text', () => {
    for (const [said, after] of /** @type {[number[], number[]][]} */ ([
        [[], [SPACED, 4]],
        [[6], [4]],
    ])) {
        /** @type {any} */
        const reader = { opener: '<think>', isThinking: false };
        const { accept, allowed, free } = matcherOf('root ::= "{}"', reader);
        assert.deepEqual(allowed(), [THINK, SPACED, 4]);
        accept(THINK, FIRST);
        Object.assign(reader, { opener: undefined, isThinking: true });
        for (const token of said) accept(token, FIRST);
        reader.isThinking = false;
        assert.deepEqual(allowed(), after);
        accept(4, REST);
        assert.deepEqual(allowed(), [5]);
        free();
    }
});

test('tokens that close a thought which was too long count as a part of it', () => {
    /** @type {any} */
    const reader = { opener: undefined, isThinking: true };
    const { accept, allowed, free } = matcherOf('root ::= "{}"', reader);
    accept(6, FIRST, true);
    reader.isThinking = false; // and one more, which is not of the answer
    accept(6, REST, true);
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
