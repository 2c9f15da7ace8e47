// A draft model: when it guesses, that no answer changes, and what is refused. tests/bench/speculation.js measures what
// it gains.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { checkOptions } from '../../web/checks.js';
import { draftBytes } from '../../web/cli/serve.js';
import { NibbleError } from '../../web/errors.js';
import { load } from '../../web/index.js';
import { GENERATE_OPTIONS } from '../../web/options.js';
import { checkVocabulary } from '../../web/worker/draft-check.js';
import { DraftRecord, FEW } from '../../web/worker/draft-record.js';
import { generate } from '../../web/worker/generation.js';
import { partOf, stillOpen } from '../../web/worker/load-model.js';
import { Speculator } from '../../web/worker/speculation.js';
import { models, root } from '../support/builds.js';
import { engineOf, openModel } from '../support/chat-engine.js';
import { parse, readValue, whole } from '../support/gguf.js';

describe('when the draft guesses', () => {
    /** Numbers from 0 to 1 without any pattern. */
    function noise(seed = 1) {
        let state = seed;
        return () => {
            state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
            return state / 2 ** 32;
        };
    }

    /** @param {number} n @param {number} seed */
    function textOf(n, seed) {
        const next = noise(seed);
        return Array.from({ length: n }, () => Math.floor(next() * 1000));
    }

    /**
     * A draft whose guesses cost `guess` single rows each, and tokens that it reads `read`. right: how often it is
     * right. knows: whether its margins tell which of its guesses are right. moved: what is left of the text when the
     * answer begins.
     * @typedef {{ guess: number, read?: number, right: number, knows?: boolean, record?: DraftRecord,
     *     moved?: number[] }} Simulated
     */

    /**
     * Makes the answer with a core that takes 10 ms a token, and `row` times that for each further row of a batch.
     * Returns the time as a share of that without guesses, and how many tokens the draft guessed.
     * @param {number[]} prompt @param {number[]} answer @param {number} row @param {Simulated} draft
     */
    function run(prompt, answer, row, draft) {
        const { now } = performance,
            { guess, read = guess / 3, right, knows = false, record = new DraftRecord(guess) } = draft,
            next = noise(7);
        let time = 0,
            at = 0,
            held = 0;
        const drafter = /** @type {any} */ ({
            record,
            vocabulary: 1000,
            room: 1000,
            get unread() {
                return prompt.length + at - held;
            },
            propose(/** @type {number} */ most, /** @type {(margin: number) => boolean} */ goesOn) {
                const guesses = [];
                assert.ok(this.unread <= FEW, `${this.unread} tokens were not read`);
                for (let goes = true; goes && guesses.length < most; ) {
                    const isRight = next() < right;
                    time += 10 * guess;
                    guesses.push(isRight ? answer[at + guesses.length] : -1);
                    goes = goesOn(knows ? (isRight ? 5 : 0.1) : 1.5);
                }
                held = prompt.length + at;
                return guesses;
            },
        });
        performance.now = () => time;
        try {
            const speculator = new Speculator(prompt, 7, drafter);
            if (draft.moved) speculator.moved(draft.moved);
            while (at < answer.length) {
                const left = answer.length - at;
                if (speculator.wantsReading(left)) {
                    const { unread } = drafter,
                        ms = 10 * read * unread;
                    time += ms;
                    held = prompt.length + at;
                    record.read(unread, ms);
                    continue;
                }
                const tokens = speculator.make((guesses) => {
                    assert.ok(guesses.length <= 7 && guesses.length < left, `${guesses.length} guesses`);
                    const wrong = guesses.findIndex((guess, i) => guess !== answer[at + i]),
                        made = guesses.length > 0 ? (wrong < 0 ? guesses.length : wrong) + 1 : 3;
                    // the first token needs no evaluation
                    time += guesses.length > 0 ? 10 * (1 + row * guesses.length) : 10 * (at > 0 ? made : made - 1);
                    return answer.slice(at, at + made);
                }, left);
                at += tokens.length;
            }
            return { share: time / (10 * answer.length), guessed: speculator.drafted };
        } finally {
            performance.now = now;
        }
    }
    const prompt = textOf(50, 2),
        answer = textOf(300, 3);

    for (const [name, row, draft, most] of /** @type {[string, number, Simulated, number][]} */ ([
        ['a quick draft that is always right', 0.1, { guess: 0.1, right: 1 }, 0.45],
        ['one that is mostly right', 0.1, { guess: 0.1, right: 0.8 }, 0.65],
        ['one that knows when it is right', 0.3, { guess: 0.1, right: 0.6, knows: true }, 0.8],
        ['one that is right, where rows cost much', 0.6, { guess: 0.1, right: 1, knows: true }, 0.9],
    ]))
        it(`${name} makes answers faster`, () => {
            const { share } = run(prompt, answer, row, draft);
            assert.ok(share < most, String(share));
        });

    for (const [name, row, draft] of /** @type {[string, number, Simulated][]} */ ([
        ['is always wrong', 0.1, { guess: 0.1, right: 0 }],
        ['is always wrong, where rows cost much', 0.6, { guess: 0.1, right: 0 }],
        ['is mostly wrong', 0.3, { guess: 0.2, right: 0.3 }],
        ['is right and as slow as the model', 0.1, { guess: 1, right: 1 }],
        ['is slower than its size says', 0.1, { guess: 0.6, right: 0.5, record: new DraftRecord(0.1) }],
    ]))
        it(`a draft that ${name} costs next to no time`, () => {
            for (const length of [20, 2000]) {
                const { record = new DraftRecord(draft.guess) } = draft,
                    shares = [4, 5, 6, 7, 8].map(
                        (seed) => run(textOf(length, seed), answer, row, { ...draft, record }).share,
                    ),
                    mean = shares.reduce((sum, share) => sum + share) / shares.length;
                assert.ok(mean < 1.03, `${length} tokens of prompt: ${shares}`);
                assert.ok(Math.max(...shares) < 1.05, `${length} tokens of prompt: ${shares}`);
            }
        });

    it('a draft that rests is tried again, and used when it is right', () => {
        const record = new DraftRecord(0.1);
        for (const seed of [4, 5, 6]) run(textOf(20, seed), answer, 0.1, { guess: 0.1, right: 0, record });
        assert.ok(run(textOf(20, 9), answer, 0.1, { guess: 0.1, right: 0, record }).guessed < 40);
        const shares = [10, 11, 12, 13, 14, 15].map(
            (seed) => run(textOf(20, seed), answer, 0.1, { guess: 0.1, right: 1, record }).share,
        );
        assert.ok(Math.min(...shares) < 0.5, shares.join());
    });

    it('a text that repeats itself is guessed by look-up, which costs nothing', () => {
        const record = new DraftRecord(0.15),
            alone = run(prompt, answer, 0.1, { guess: 0.15, right: 1, record }),
            repeated = run(answer, answer, 0.1, { guess: 0.15, right: 1, record });
        assert.ok(alone.guessed > 100, String(alone.guessed));
        assert.ok(repeated.guessed < 30, String(repeated.guessed));
        assert.ok(repeated.share < 0.35, String(repeated.share));
    });

    it('a token that the draft does not know ends its guesses', () => {
        const draft = { guess: 0.1, right: 1 };
        assert.equal(run([5000, ...prompt], answer, 0.1, draft).guessed, 0);
        // a chat's template may write other tokens where messages were dropped
        assert.equal(run(prompt, answer, 0.1, { ...draft, moved: [5000, ...prompt] }).guessed, 0);
        assert.ok(run(prompt, answer, 0.1, { ...draft, moved: prompt }).guessed > 100);
    });
});

const stories = new Uint8Array(readFileSync(models.stories));

/**
 * The stories model with other values, or with a layer whose second half gives nothing, so that it is another model of
 * the same vocabulary.
 * @param {(file: ReturnType<typeof parse>) => void} change
 */
function changed(change) {
    const file = parse(stories);
    change(file);
    return whole(file.values, file.tensors);
}
const weaker = changed(({ tensors }) => {
    for (const tensor of tensors) if (/^blk\.1\.ffn_down/.test(tensor.name)) tensor.data = new Uint8Array(tensor.bytes);
});

/** @param {Uint8Array} bytes @returns {import('../../web/sources/open.js').Source} */
const blobOf = (bytes) => ({ kind: 'blob', blob: new Blob([/** @type {BlobPart} */ (bytes)]) });

/** A record by which the draft always guesses as much as it may. */
class Eager extends DraftRecord {
    /** @param {number} unread */
    plan(unread) {
        return { gain: 100, reads: unread > FEW, tries: true };
    }

    judge() {
        return { goesOn: () => true, checked: () => 7 };
    }
}

/** What an answer is, whatever made it. @param {import('../../web/index.d.ts').Result} result */
const told = ({ tokens, text, finishReason, droppedTokens }) => ({ tokens, text, finishReason, droppedTokens });

describe('answers with a draft', () => {
    for (const [name, draft, options] of /** @type {[string, Uint8Array, object][]} */ ([
        ['itself', stories, {}],
        ['a weaker model', weaker, { precision: 'fast', kvType: 'q8_0' }],
    ]))
        it(`are the same: ${name}`, async () => {
            const { model, engine } = await openModel(
                { kind: 'path', path: models.stories },
                { contextLength: 80, ...options },
                blobOf(draft),
            );
            assert.ok(engine.draft);
            engine.draft.record = new Eager(1);
            const [one, other] = (await model.tokenize('The cat saw a ball', { bare: true })).slice(-2);
            const asks = /** @type {import('../../web/index.d.ts').GenerateOptions[]} */ ([
                { ignoreEnd: true },
                {},
                { temperature: 0.7, seed: 5, stop: ['ball.'] },
                { temperature: 1, seed: 6, repeatPenalty: 1.3, logitBias: { [one]: 3, [other]: -3 }, ignoreEnd: true },
                { maxTokens: 110, ignoreEnd: true, contextOverflow: 'slide' },
                { maxTokens: 110, ignoreEnd: true, contextOverflow: 'shift' },
                { maxTokens: 500, ignoreEnd: true },
            ]);
            for (const more of draft === stories ? asks.slice(0, 2) : asks) {
                const ask = { maxTokens: 60, ...more };
                const plain = await model.complete('One day a girl', { ...ask, speculate: false }),
                    guessed = await model.complete('One day a girl', ask);
                assert.deepEqual(told(guessed), told(plain));
                assert.equal(plain.drafted, undefined);
                const { drafted } = guessed;
                assert.ok(drafted && drafted.guessed >= (more.ignoreEnd ? 25 : 1), JSON.stringify(drafted));
                if (draft === stories && !more.temperature && !more.contextOverflow)
                    assert.equal(drafted.right, drafted.guessed);
                if (draft === weaker) assert.ok(drafted.right < drafted.guessed);
            }
            // a grammar and log-probabilities need each token's logits
            for (const more of [{ logprobs: true }, { grammar: 'root ::= [a-z ]+' }])
                assert.equal((await model.complete('One day', { maxTokens: 5, ...more })).drafted, undefined);
            engine.close();
        });

    it('can be stopped at any moment', async () => {
        const { model, engine } = await openModel({ kind: 'path', path: models.stories }, {}, blobOf(weaker));
        assert.ok(engine.draft);
        engine.draft.record = new Eager(1);
        const prompt = 'One day a girl saw a ball. '.repeat(4),
            options = { maxTokens: 20, ignoreEnd: true },
            plain = await model.complete(prompt, { ...options, speculate: false }),
            reasons = new Set();
        for (let moment = 0; moment < 12; moment++) {
            let asked = 0;
            const job = {
                get stopped() {
                    return asked++ >= moment;
                },
            };
            const checked = checkOptions(GENERATE_OPTIONS, options, 'complete()'),
                text = `${moment} ${prompt}`; // which neither of the two has read
            const ask = /** @type {const} */ ({ what: 'complete', input: text, options: checked, lends: false });
            const { finishReason } = await generate(
                engine,
                ask,
                job,
                () => {},
                async () => undefined,
            );
            reasons.add(finishReason);
            const guessed = await model.complete(prompt, options);
            assert.deepEqual(told(guessed), told(plain), `stopped at moment ${moment}`);
        }
        assert.ok(reasons.has('abort'));
        engine.close();
    });

    it('stops reading when another answer begins, and goes on when it has ended', async () => {
        const { model, engine } = await openModel(
            { kind: 'path', path: models.stories },
            { contextLength: 256, parallel: 2 },
            blobOf(weaker),
        );
        const prompts = ['One day a girl saw a ball. '.repeat(20), 'The cat'],
            begin = (/** @type {number} */ i, speculate = true) =>
                model.complete(prompts[i], { maxTokens: [20, 3][i], ignoreEnd: true, speculate }),
            plain = [await begin(0, false), await begin(1, false)];
        /** @type {PromiseLike<import('../../web/index.d.ts').Result> | undefined} */
        let other;
        /** How many tokens the draft lacked, and how many it then read. @type {number[]} */
        const lacked = [],
            read = /** @type {number[]} */ ([]);
        const record = new (class extends Eager {
            /** @param {number} unread */
            plan(unread) {
                const plan = super.plan(unread);
                if (plan.reads) other ??= begin(1);
                if (plan.reads && lacked.length === read.length) lacked.push(unread);
                return plan;
            }

            /** @param {number} tokens @param {number} ms */
            read(tokens, ms) {
                read.push(tokens);
                super.read(tokens, ms);
            }
        })(1);
        assert.ok(engine.draft);
        engine.draft.record = record;
        const { now } = performance;
        let time = now.call(performance);
        performance.now = () => (time += 40); // each slice of time is over when it is looked at
        try {
            const guessed = await begin(0);
            assert.deepEqual(told(guessed), told(plain[0]));
            assert.ok(other);
            assert.deepEqual(told(await other), told(plain[1]));
        } finally {
            performance.now = now;
        }
        assert.ok(read[0] < lacked[0], `it read ${read} of ${lacked}`);
        assert.ok(read.length > 1 && read.at(-1) === lacked.at(-1), `it read ${read} of ${lacked}`);
        engine.close();
    });

    /** A draft that fails by itself: finite weights of a norm, with which no logits are finite. */
    const broken = changed(({ tensors }) => {
        for (const tensor of tensors)
            if (tensor.name === 'output_norm.weight')
                tensor.data = new Uint8Array(new Float32Array(tensor.bytes / 4).fill(3e38).buffer);
    });

    it('go on without a draft that fails, which is told once', async () => {
        const { model, engine } = await openModel({ kind: 'path', path: models.stories }, {}, blobOf(broken));
        const { draft } = engine;
        assert.ok(draft);
        draft.record = new Eager(1);
        const ask = { maxTokens: 20, ignoreEnd: true };
        // a short prompt is not read before the first guesses, and a long one is
        for (const prompt of ['One', 'One day a girl saw a ball. '.repeat(4)]) {
            /** @type {string[]} */
            const lines = [];
            draft.engine.journal = (line) => void lines.push(line);
            draft.failed = false;
            const plain = await model.complete(prompt, { ...ask, speculate: false });
            for (const drafted of [{ guessed: 0, right: 0 }, undefined]) {
                const answer = await model.complete(prompt, ask);
                assert.deepEqual([told(answer), answer.drafted], [told(plain), drafted]);
            }
            assert.equal(lines.length, 1);
            assert.match(lines[0], /^it failed, and does not guess any more: the model's numbers are not finite/);
        }
        engine.close();
    });

    it('go on without a draft that fails at any moment, unless the memory is in an unknown state', async () => {
        const { model, engine } = await openModel({ kind: 'path', path: models.stories }, {}, blobOf(weaker));
        const { draft } = engine;
        assert.ok(draft);
        const { core } = draft.engine;
        draft.record = new Eager(1);
        const ask = { maxTokens: 20, ignoreEnd: true },
            plain = await model.complete('One day a girl', { ...ask, speculate: false });
        /** Each call of the draft's core from this one on fails. @param {number} from @param {() => Error} error */
        const failing = (from, error) => {
            let calls = 0;
            const failingCall = (/** @type {'count' | 'object'} */ name) => ({
                value(/** @type {[any]} */ ...args) {
                    if (calls++ >= from) throw error();
                    return core[name](...args);
                },
            });
            draft.engine.core = Object.create(core, { count: failingCall('count'), object: failingCall('object') });
            draft.failed = false;
            return () => calls;
        };
        const guessed = new Set();
        for (let from = 0, fails = true; fails; from++) {
            const calls = failing(from, () => new NibbleError('NB_ERR_MEMORY', 'there is no memory'));
            const answer = await model.complete('One day a girl', ask);
            assert.deepEqual(told(answer), told(plain), `call ${from}`);
            fails = calls() > from;
            assert.equal(draft.failed, fails);
            if (fails) assert.equal(calls(), from + 1, 'it rests from then on');
            guessed.add(answer.drafted?.guessed);
        }
        assert.ok(guessed.size > 3, 'it failed in the middle of answers');
        failing(5, () => new WebAssembly.RuntimeError('unreachable'));
        await assert.rejects(async () => model.complete('One day a girl', ask), { name: 'RuntimeError' });
        engine.close();
    });

    it('a draft with a shorter context guesses as long as it has room', async () => {
        const short = changed(({ values }) => values.set('llama.context_length', ['u32', 40]));
        const { model, engine } = await openModel({ kind: 'path', path: models.stories }, {}, blobOf(short));
        assert.ok(engine.draft);
        engine.draft.record = new Eager(1);
        assert.equal(engine.info().draft?.contextLength, 40);
        const ask = { maxTokens: 100, ignoreEnd: true };
        const guessed = await model.complete('One day a girl', ask),
            plain = await model.complete('One day a girl', { ...ask, speculate: false });
        assert.deepEqual(told(guessed), told(plain));
        assert.ok(guessed.drafted && guessed.drafted.guessed > 5 && guessed.drafted.guessed < 40);
        engine.close();
    });
});

describe('load() with a draft', () => {
    it('loads both, and tells of both', async () => {
        /** @type {import('../../web/index.d.ts').Progress[]} */
        const seen = [];
        const model = await load(models.stories, {
            draft: weaker,
            threads: 1,
            contextLength: 128,
            parallel: 2,
            onProgress: (progress) => seen.push(progress),
        });
        try {
            const { draft, bytes, parameters } = model.info;
            assert.ok(draft);
            assert.equal(draft.parameters, parameters);
            assert.equal(draft.contextLength, 128);
            assert.ok(draft.bytes > 0.9 * bytes && draft.bytes < 3 * bytes, `${draft.bytes} bytes`);
            const total = stories.length + weaker.length;
            assert.ok(seen.every((each) => each.total === total && each.loaded <= total));
            assert.equal(seen.at(-1)?.loaded, total);
            // several together, where the draft rests, and what was said is remembered as ever
            const ask = { maxTokens: 30, temperature: 0.8, seed: 3 },
                prompts = ['One day', 'The girl'];
            const together = await Promise.all(prompts.map((prompt) => model.complete(prompt, ask)));
            for (const [i, prompt] of prompts.entries()) {
                const plain = await model.complete(prompt, { ...ask, speculate: false });
                assert.deepEqual(told(together[i]), told(plain));
            }
            const saved = await model.save();
            assert.ok((await model.restore(saved)).length > 0);
            // an answer that is left, and the next one
            for await (const _ of model.complete('One day', { maxTokens: 100, ignoreEnd: true })) break;
            assert.equal((await model.complete('One day', { maxTokens: 3 })).tokens.length, 3);
        } finally {
            await model.dispose();
        }
    });

    it('a header tells what memory a draft will take, and a model', async () => {
        const { signal } = new AbortController(),
            shorter = changed(({ values }) => values.set('llama.context_length', ['u32', 40])),
            folder = mkdtempSync(join(tmpdir(), 'nibble-draft-')),
            short = join(folder, 'short.gguf');
        try {
            writeFileSync(short, shorter);
            for (const [place, options] of /** @type {[string, import('../../web/index.d.ts').LoadOptions][]} */ ([
                [models.stories, {}],
                [models.stories, { contextLength: 128, kvType: 'q8_0', parallel: 3 }],
                [short, { contextLength: 300, kvType: 'f32' }], // the draft's own context is shorter
                [short, {}],
            ])) {
                const ask = { threads: 1, ...options },
                    model = await load(models.stories, { ...ask, draft: place }),
                    header = await load(models.stories, { ...ask, headerOnly: true }),
                    { draft, sessionBytes } = model.info;
                await model.dispose();
                await header.dispose();
                assert.equal(header.info.sessionBytes, sessionBytes);
                const given = { kvType: 'i16', ...ask }; // as the command line gives them
                assert.equal(await draftBytes(place, given, signal), draft?.bytes);
            }
        } finally {
            rmSync(folder, { recursive: true });
        }
    });

    it('tokens are compared, also while the memory grows', () => {
        const memory = new WebAssembly.Memory({ initial: 1 });
        const engine = (/** @type {number} */ at, /** @type {number[]} */ text) => {
            const view = () => {
                memory.grow(1); // as where a decoder allocates
                return new Uint8Array(memory.buffer, at, text.length);
            };
            new Uint8Array(memory.buffer).set(text, at);
            return /** @type {any} */ ({
                description: { tokenizer: { size: 6 } },
                decoder: () => ({ view, bytes: () => view().slice(), push: () => 'text', free() {} }),
            });
        };
        const long = Array(3000).fill(65),
            [one, same, other] = [[1, 2, 3], [1, 2, 3], long].map((text, i) => engine(8 * i, text));
        checkVocabulary(one, same);
        // a message is not as long as a token may be
        assert.throws(() => checkVocabulary(one, other), {
            message: /its token 5 is "A{57}\.\.\.", and that of the model is/,
        });
    });

    it('tokens are compared as they are within a text', async () => {
        const { tokenizer, config } = JSON.parse(
            readFileSync(`${root}tests/fixtures/tokenizers/metaspace-first.json`, 'utf8'),
        );
        // of two ways to write one decoder, only this one leaves the space out of a text's first token
        const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false },
            decoder = { type: 'Sequence', decoders: [{ type: 'ByteFallback' }, metaspace] },
            engines = [await engineOf(tokenizer, config), await engineOf({ ...tokenizer, decoder }, config)];
        checkVocabulary(engines[0], engines[1]);
        checkVocabulary(engines[1], engines[0]);
    });

    it('the progress of one file of two', () => {
        /** @type {import('../../web/index.d.ts').Progress[]} */
        const seen = [];
        const add = (/** @type {import('../../web/index.d.ts').Progress} */ progress) => void seen.push(progress);
        const half = { loaded: 50, total: 100, rate: 10, secondsLeft: 5 };
        partOf(add, 0, 300)(half);
        partOf(add, 300, 0)(half);
        partOf(add, 0, NaN)(half); // nobody knows how much follows
        partOf(add, 300, 0)({ ...half, total: 0 });
        assert.deepEqual(seen, [
            { loaded: 50, total: 400, rate: 10, secondsLeft: 35 },
            { loaded: 350, total: 400, rate: 10, secondsLeft: 5 },
            { loaded: 50, total: 0, rate: 10, secondsLeft: null },
            { loaded: 350, total: 0, rate: 10, secondsLeft: null },
        ]);
    });

    it('a download that waited for the draft for long is begun anew', async () => {
        const opened = () => ({ total: 1, into: async () => {}, cancel: () => void canceled++ }),
            first = opened(),
            url = /** @type {const} */ ({ kind: 'url', url: 'https://example.org/m.gguf' });
        let canceled = 0;
        assert.equal(await stillOpen(url, first, async () => opened(), 9_000), first);
        assert.equal(await stillOpen({ kind: 'path', path: 'm.gguf' }, first, async () => opened(), 90_000), first);
        assert.equal(canceled, 0);
        assert.notEqual(await stillOpen(url, first, async () => opened(), 11_000), first);
        assert.equal(canceled, 1);
    });

    const swapped = changed(({ values }) => {
            const [, [, tokens]] = readValue(/** @type {Uint8Array} */ (values.get('tokenizer.ggml.tokens')));
            [tokens[400], tokens[401]] = [tokens[401], tokens[400]];
            values.set('tokenizer.ggml.tokens', ['string', tokens]);
        }),
        encoder = new Uint8Array(readFileSync(`${root}tests/fixtures/encoders/bert.gguf`));

    it('refuses what cannot guess', async () => {
        for (const [draft, code, message] of /** @type {[any, string, RegExp][]} */ ([
            ['no-such-file.gguf', 'NB_ERR_FILE', /^the draft model: cannot read no-such-file\.gguf: there is no such/],
            [stories.slice(0, 9000), 'NB_ERR_TRUNCATED', /^the draft model: /],
            [new Uint8Array(64), 'NB_ERR_FORMAT', /^the draft model: /],
            [null, 'NB_ERR_ARGUMENT', /^the draft model: load\(\): the source must be a URL/],
            [
                new Blob(['text']).stream().pipeThrough(new TextDecoderStream()),
                'NB_ERR_ARGUMENT',
                /^the draft model: load\(\): the stream must give Uint8Arrays/,
            ],
            [models.tiny, 'NB_ERR_UNSUPPORTED', /^the draft model: its .* must have the same vocabulary/],
            [swapped, 'NB_ERR_UNSUPPORTED', /^the draft model: its token 400 is ".*", and that of the model is "/],
            [encoder, 'NB_ERR_UNSUPPORTED', /^the draft model: it cannot continue a text/],
        ]))
            await assert.rejects(load(models.stories, { draft, threads: 1, contextLength: 64 }), { code, message });
        await assert.rejects(load(models.stories, { draft: models.stories, headerOnly: true }), {
            code: 'NB_ERR_ARGUMENT',
            message: /draft goes with a model that is loaded as a whole/,
        });
        await assert.rejects(load(encoder, { draft: models.stories, threads: 1 }), {
            code: 'NB_ERR_UNSUPPORTED',
            message: /a draft model \(draft, --draft\) is for a model that generates/,
        });
    });

    it('refuses it before the weights of either are read', async () => {
        const noLayers = changed(({ values }) => values.delete('llama.block_count')),
            unknown = changed(({ values }) => values.set('general.architecture', ['string', 'abacus'])),
            integers = changed(({ values }) => {
                // the architecture is the first value of such a file
                const others = [...values].filter(([key]) => key !== 'general.architecture');
                values.clear();
                values.set('general.architecture', ['string', 'llama-integer']);
                for (const [key, value] of others) values.set(key, value);
            });
        const PIECE = 4096;
        /** A file that counts how much of it was read, and where its weights begin. @param {Uint8Array} bytes */
        const counted = (bytes) => {
            const file = {
                at: 0,
                header: bytes.length - parse(bytes).tensors.reduce((sum, { bytes }) => sum + bytes, 0),
                stream: new ReadableStream(
                    {
                        pull(controller) {
                            controller.enqueue(bytes.slice(file.at, file.at + PIECE));
                            file.at += PIECE;
                            if (file.at >= bytes.length) controller.close();
                        },
                    },
                    { highWaterMark: 0 },
                ),
            };
            return file;
        };
        for (const [name, main, draft, message] of /** @type {[string, Uint8Array, Uint8Array, RegExp][]} */ ([
            ['other tokens', stories, swapped, /^the draft model: its token 400 is .* Give another draft, or none$/],
            ['a draft that cannot generate', stories, encoder, /^the draft model: it cannot continue a text/],
            ['a draft that cannot run', stories, unknown, /^the draft model: .*abacus/],
            ['a draft that lacks a key', stories, noLayers, /^the draft model: .*block_count/],
            ['a model that cannot generate', encoder, stories, /is for a model that generates/],
            ['a model that cannot run', unknown, stories, /^(?!the draft).*abacus/],
            ['a model that lacks a key', noLayers, stories, /^(?!the draft).*block_count/],
            ['a model of integers', integers, stories, /is for a model that generates/],
        ])) {
            const files = [counted(main), counted(draft)];
            await assert.rejects(load(files[0].stream, { draft: files[1].stream, threads: 1 }), { message }, name);
            // some pieces are asked for ahead
            for (const { at, header } of files)
                assert.ok(at <= header + 6 * PIECE, `${name}: ${at} bytes were read, and the header has ${header}`);
        }
    });
});
