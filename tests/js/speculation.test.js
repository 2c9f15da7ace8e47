// Speculation: the look-up, how many guesses are made, and that no answer changes. tests/core/test_model.c has the
// core's part; tests/bench/speculation.js measures what it gains.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { load } from '../../web/index.js';
import { Costs } from '../../web/worker/costs.js';
import { LookUp, Speculator } from '../../web/worker/speculation.js';
import { models } from '../support/builds.js';
import { configurations } from '../support/vectors.js';

/** @param {number[]} tokens */
function lookUpOf(tokens) {
    const lookUp = new LookUp();
    for (const token of tokens) lookUp.push(token);
    return lookUp;
}

describe('the look-up', () => {
    for (const [name, tokens, length, guesses] of /** @type {[string, number[], number, number[]][]} */ ([
        ['nothing repeats', [1, 2, 3, 4], 0, []],
        ['one token is too little', [1, 2, 3, 1], 0, []],
        ['two tokens', [1, 2, 3, 4, 1, 2], 2, [3, 4, 1]],
        ['as many tokens as are the same', [9, 1, 2, 3, 4, 9, 1, 2], 3, [3, 4, 9]],
        ['the place is followed', [1, 2, 3, 4, 5, 1, 2, 3, 4], 4, [5, 1, 2]],
        ['the last of several places', [1, 2, 3, 7, 1, 2, 4, 8, 1, 2], 2, [4, 8, 1]],
        ['a wrong guess', [1, 2, 3, 4, 1, 2, 9], 0, []],
        ['another place after a wrong guess', [5, 2, 9, 6, 1, 2, 3, 4, 1, 2, 9], 2, [6, 1, 2]],
        ['an end that repeats goes on', [1, 2, 1, 2], 2, [1, 2, 1]],
        ['one token that repeats', [3, 3, 3], 2, [3, 3, 3]],
    ]))
        it(name, () => {
            const lookUp = lookUpOf(tokens);
            assert.equal(lookUp.length, length);
            assert.deepEqual(lookUp.guesses(3), guesses);
            assert.equal(lookUp.next(), guesses[0]);
        });
});

describe('how many guesses are made', () => {
    /** A text without any pattern. @param {number} n @param {number} vocabulary */
    function noise(n, vocabulary) {
        let state = 1;
        return Array.from({ length: n }, () => {
            state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
            return Math.floor((state / 2 ** 32) * vocabulary);
        });
    }

    /**
     * Makes the answer with a core that takes 10 ms a token, and `row` times that for each further row of a batch.
     * Returns the time as a share of that without guesses.
     * @param {number[]} prompt @param {number[]} answer @param {number} row @param {number} [grain] of the clock, in ms
     */
    function share(prompt, answer, row, grain = 0.1) {
        const { now } = performance,
            speculator = new Speculator(prompt, 7);
        let time = -10; // the first token needs no evaluation
        performance.now = () => Math.floor(time / grain) * grain;
        try {
            for (let at = 0; at < answer.length; ) {
                const tokens = speculator.make((guesses) => {
                    assert.ok(guesses.length <= 7 && guesses.length < answer.length - at, `${guesses.length} guesses`);
                    const wrong = guesses.findIndex((guess, i) => guess !== answer[at + i]),
                        made = guesses.length > 0 ? (wrong < 0 ? guesses.length : wrong) + 1 : 3;
                    time += guesses.length > 0 ? 10 * (1 + row * guesses.length) : 10 * made;
                    return answer.slice(at, at + made);
                }, answer.length - at);
                at += tokens.length;
            }
        } finally {
            performance.now = now;
        }
        return time / (10 * answer.length);
    }
    const text = noise(400, 1000);

    // some browsers have coarse clocks, which say little of a batch's time
    for (const [grain, most] of [
        [0.1, 1.03],
        [16.7, 1.1],
        [100, 1.2],
    ]) {
        it(`a text that is repeated takes less time (a clock of ${grain} ms)`, () => {
            assert.ok(share(text, text, 0.6, grain) < 0.8, String(share(text, text, 0.6, grain)));
            assert.ok(share(text, text, 0.1, grain) < 0.35, String(share(text, text, 0.1, grain)));
        });
        // 2 answers: one where nothing repeats, and one of 5 tokens, where pairs repeat all the time by chance
        it(`where guesses are wrong, next to no time is lost (a clock of ${grain} ms)`, () => {
            for (const vocabulary of [1000, 5]) {
                const lost = share(noise(400, vocabulary), noise(1000, vocabulary).slice(500), 0.6, grain);
                assert.ok(lost < 1.03, String(lost));
            }
        });
        it(`where batches gain nothing, none is tried for long (a clock of ${grain} ms)`, () => {
            const lost = share(text, text, 1.2, grain);
            assert.ok(lost < most, String(lost));
        });
    }
});

it('a call that evaluates nothing is no measurement of a single row', () => {
    const costs = new Costs();
    costs.single(2, 20);
    assert.ok(costs.known);
    while (costs.known) costs.batch(1, 16);
    costs.single(0, 5);
    assert.ok(!costs.known && costs.in(10) === 1);
    costs.single(1, 10);
    assert.ok(costs.known);
});

it('a right guess that ends the answer is counted', () => {
    const { now } = performance,
        text = [1, 2, 3, 4, 5, 6, 7, 8],
        speculator = new Speculator(Array(9).fill(text).flat(), 7);
    let time = 0,
        guesses = /** @type {number[]} */ ([]);
    performance.now = () => time;
    const make = (/** @type {number[]} */ tokens) =>
        speculator.make((given) => {
            guesses = given;
            time += 10;
            return tokens;
        }, 20);
    try {
        make([1]);
        make([2]);
        make([3, 4]); // 4 ends it, so that nothing follows
    } finally {
        performance.now = now;
    }
    assert.deepEqual(guesses.slice(0, 3), [3, 4, 5]);
    assert.equal(speculator.right, 2);
});

/** Whether an answer was made with guesses, by the lines of option `debug`. @param {string[]} lines */
const guessedIn = (lines) => lines.some((line) => / of \d+ guessed tokens were right/.test(line));

for (const { build, threads } of configurations())
    it(`${build}, ${threads} threads: guesses change no answer`, async () => {
        /** @type {string[]} */
        const lines = [];
        for (const options of /** @type {import('../../web/index.d.ts').LoadOptions[]} */ ([
            { precision: 'exact', kvType: 'i16' },
            { precision: 'fast', kvType: 'q8_0' },
        ])) {
            const model = await load(models.stories, {
                ...options,
                ...{ build, threads, contextLength: 256, debug: (line) => lines.push(line) },
            });
            try {
                const [one, other] = (await model.tokenize('The cat saw a ball', { bare: true })).slice(-2);
                for (const more of [
                    { logitBias: { [one]: 100 } }, // one token only, so that all guesses are right
                    { logitBias: { [one]: 100, [other]: 100 }, temperature: 50, seed: 5 }, // by chance one of two
                    { temperature: 0.7, seed: 5, topK: 4, stop: ['ball.'] },
                ]) {
                    // longer than what a fast CPU makes in one slice of time: guesses are only made between slices
                    const ask = { ...more, maxTokens: 200 };
                    const plain = await model.complete('ball '.repeat(9), { ...ask, speculate: false });
                    assert.ok(!guessedIn(lines.splice(0)), 'guesses were made, though none were wanted');
                    const guessed = await model.complete('ball '.repeat(9), ask);
                    assert.deepEqual(
                        [guessed.tokens, guessed.text, guessed.finishReason],
                        [plain.tokens, plain.text, plain.finishReason],
                    );
                    assert.ok(guessedIn(lines.splice(0)) || more.temperature, 'no guesses were made');
                }
            } finally {
                await model.dispose();
            }
        }
    });

it('a full context ends an answer of guesses, too', async () => {
    const model = await load(models.stories, { contextLength: 64 });
    const ask = { ignoreEnd: true, maxTokens: 1000 },
        prompt = 'ball ball ball ball ball ball ball ball';
    const plain = await model.complete(prompt, { ...ask, speculate: false }),
        guessed = await model.complete(prompt, ask);
    await model.dispose();
    assert.deepEqual(guessed.tokens, plain.tokens);
    assert.equal(guessed.finishReason, 'length');
    assert.equal(guessed.promptTokens + guessed.tokens.length, 64);
});
