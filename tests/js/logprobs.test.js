// Log-probabilities, biases by text, and onLogits(). The log-probabilities are the log softmax of logits, which
// tests/js/logits.test.js compares with other engines; differences of the best ones are llama.cpp's own.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { load } from '../../web/index.js';
import { openaiFetch } from '../../web/openai/index.js';
import { models, root } from '../support/builds.js';
import { configurations, greedyVectors, logitsOf } from '../support/vectors.js';

/** @typedef {import('../../web/index.d.ts').Model} Model */
/** @typedef {import('../../web/index.d.ts').TokenLogprob} TokenLogprob */

const PACKAGE = 'openai'; // no literal in import(): tsc then checks this file where the package is missing, too
const { default: OpenAI } = await import(PACKAGE);

const [{ prompt, best }] = greedyVectors('llamacpp/tiny-greedy.json');
const { greedy: prompts } = JSON.parse(readFileSync(`${root}tests/fixtures/llamacpp/prompts.json`, 'utf8')),
    { chat: messages } = prompts.find((/** @type {any} */ { name }) => name === 'chat-turns');
/** The bytes of a character, as byte tokens of the tiny model. */
const EURO = [0xe2, 0x82, 0xac];

/** @param {Float32Array} logits */
function logSoftmax(logits) {
    const most = Math.max(...logits),
        sum = logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0);
    return Array.from(logits, (logit) => logit - most - Math.log(sum));
}

/** An onLogits() that leaves one token each time, in turn. @param {number[]} tokens */
const forcing =
    (tokens) => (/** @type {Float32Array} */ logits, /** @type {import('../../web/index.d.ts').LogitsPlace} */ at) => {
        logits.fill(-Infinity);
        logits[tokens[at.tokens.length]] = 0;
    };

for (const { build, threads } of configurations())
    it(`${build}, ${threads} threads: the log softmax of the model's logits, whatever samplers do`, async () => {
        const model = await load(models.tiny, { build, threads, contextLength: 256 });
        try {
            const top = 20,
                options = { maxTokens: 12, ignoreEnd: true, temperature: 1.5, topK: 3, seed: 3, repeatPenalty: 1.3 },
                plain = await model.complete(prompt, { ...options, logitBias: { ' the': 3 } }),
                asked = { ...options, logitBias: { ' the': 3 }, logprobs: true, topLogprobs: top },
                { tokens, logprobs = [] } = await model.complete(prompt, asked);
            assert.deepEqual(tokens, plain.tokens);
            assert.equal(plain.logprobs, undefined);
            assert.deepEqual(
                logprobs.map(({ token }) => token),
                tokens,
            );
            const rows = await logitsOf(model, [...prompt, ...tokens], prompt.length - 1);
            for (const [i, { token, logprob, top: likeliest }] of logprobs.entries()) {
                const wanted = logSoftmax(rows[i]);
                const order = wanted.map((_, each) => each).sort((a, b) => wanted[b] - wanted[a]);
                assert.ok(Math.abs(logprob - wanted[token]) < 1e-4, `${logprob} instead of ${wanted[token]}`);
                assert.equal(likeliest.length, top);
                for (const [rank, each] of likeliest.entries()) {
                    assert.ok(Math.abs(each.logprob - wanted[each.token]) < 1e-4);
                    assert.ok(Math.abs(each.logprob - wanted[order[rank]]) < 1e-4, 'another one is likelier');
                }
            }
            // llama.cpp's two best logits of a greedy text
            const greedy = await model.complete(prompt, { maxTokens: 12, logprobs: true, topLogprobs: 2 });
            assert.ok(greedy.logprobs && greedy.logprobs.length > 0);
            for (const [i, { top: two }] of greedy.logprobs.entries()) {
                const [token, first, second, next] = best[i];
                if (first - next < 0.01) break; // a tie
                assert.deepEqual([two[0].token, two[1].token], [token, second]);
                assert.ok(Math.abs(two[0].logprob - two[1].logprob - (first - next)) < 0.05);
            }
        } finally {
            await model.dispose();
        }
    });

describe('with one model', () => {
    /** @type {Model} */
    let model;
    /** @type {any} */
    let client;
    /** The byte tokens of EURO. @type {number[]} */
    let euro;
    before(async () => {
        model = await load(models.tiny, { threads: 1, contextLength: 512 });
        client = new OpenAI({ apiKey: 'none', baseURL: 'http://localhost/v1', fetch: openaiFetch(model) });
        euro = await model.tokenize('€', { bare: true });
        assert.equal(euro.length, 3);
    });
    after(() => model.dispose());

    it('bytes: of parts of a character, of a special token none; they come as the text does', async () => {
        const [dog] = await model.tokenize(' dog', { bare: true }),
            [special] = await model.tokenize('<|im_start|>', { bare: true, special: true }),
            forced = [dog, ...euro, special, dog];
        const answer = model.complete('A', { maxTokens: 6, logprobs: true, onLogits: forcing(forced) });
        let streamed = '';
        for await (const piece of answer) streamed += piece;
        const { text, tokens, logprobs = [] } = await answer;
        assert.deepEqual([streamed, text, tokens], [' dog€ dog', ' dog€ dog', forced]);
        assert.deepEqual(answer.logprobs, logprobs);
        assert.deepEqual(
            logprobs.map(({ text, bytes }) => [text, bytes]),
            [
                [' dog', [...Buffer.from(' dog')]],
                ...EURO.map((byte) => ['\ufffd', [byte]]),
                ['<|im_start|>', null],
                [' dog', [...Buffer.from(' dog')]],
            ],
        );
        // the end token is none of the answer
        const ended = await model.complete('A', {
            logprobs: true,
            onLogits: forcing([dog, /** @type {any} */ (model.info.tokenizer).end]),
        });
        assert.deepEqual([ended.tokens, ended.logprobs?.length], [[dog], 1]);
    });

    it('onLogits: the place, changes, a wait, and what it throws', async () => {
        /** @type {[number, number, number[]][]} */
        const calls = [];
        const changed = await model.complete(prompt, {
            maxTokens: 3,
            ignoreEnd: true,
            async onLogits(logits, { position, tokens }) {
                calls.push([logits.length, position, [...tokens]]);
                await new Promise((resolve) => setImmediate(resolve));
                if (tokens.length === 1) logits[500] += 1000;
            },
        });
        const { tokens } = changed;
        assert.equal(tokens[1], 500);
        assert.deepEqual(
            calls,
            [0, 1, 2].map((i) => [1024, prompt.length + i, tokens.slice(0, i)]),
        );
        const untouched = { maxTokens: 8, temperature: 1, seed: 5 };
        assert.deepEqual(
            (await model.complete(prompt, { ...untouched, onLogits() {} })).tokens,
            (await model.complete(prompt, untouched)).tokens,
        );
        const own = new RangeError('mine');
        for (const [onLogits, wanted] of /** @type {[(logits: Float32Array) => any, any][]} */ ([
            [
                () => {
                    throw own;
                },
                own,
            ],
            [() => Promise.reject(own), own],
            [(logits) => logits.fill(NaN, 7), { code: 'NB_ERR_ARGUMENT', message: /left NaN as the logit of token 7/ }],
            [(logits) => logits.fill(-Infinity), { code: 'NB_ERR_ARGUMENT', message: /left no token/ }],
            [
                (logits) => structuredClone(logits, { transfer: [/** @type {ArrayBuffer} */ (logits.buffer)] }),
                { code: 'NB_ERR_ARGUMENT', message: /transferred its array/ },
            ],
        ])) {
            await assert.rejects(model.complete(prompt, { onLogits }), wanted);
            await assert.rejects(async () => {
                for await (const _ of model.chat('Hello', { onLogits })); // the same while it is read
            }, wanted);
        }
        // stop() does not wait for a call that does not end
        const hanging = model.complete(prompt, { onLogits: () => new Promise(() => {}) });
        setTimeout(() => hanging.stop(), 5);
        assert.equal((await hanging).finishReason, 'abort');
        assert.equal((await model.complete(prompt, { maxTokens: 2, ignoreEnd: true })).tokens.length, 2);
    });

    it('a bias by text: of any token that is just this text', async () => {
        const few = { maxTokens: 2, ignoreEnd: true },
            [the] = await model.tokenize(' the', { bare: true }),
            [seven] = await model.tokenize('7', { bare: true });
        for (const [logitBias, token] of /** @type {[any, number][]} */ ([
            [{ ' the': 1000 }, the],
            [new Map([[' the', 1000]]), the],
            [[['7', 1000]], seven],
            [{ 7: 1000 }, 7],
            [{ '<|im_start|>': 1000 }, 1],
            [{ ' the': -1000, [seven]: 2000 }, seven],
        ]))
            assert.deepEqual((await model.complete(prompt, { ...few, logitBias })).tokens, [token, token]);
        await assert.rejects(model.complete(prompt, { logitBias: { '€': 1 } }), {
            code: 'NB_ERR_ARGUMENT',
            message: /"€", which is not one token of this model, but 3: \d+ "\ufffd", /,
        });
        const request = { model: 'any', prompt, max_tokens: 2, logit_bias: { ' the': 100 }, temperature: 0 };
        assert.equal((await client.completions.create(request)).choices[0].text, ' the the');
        // a tokenizer that puts a space before each text: no token is " a" after one more space
        const spaced = await load(`${root}tests/fixtures/models/gemma.gguf`, { threads: 1 });
        const [a] = (await spaced.complete([5, 6], { ...few, logitBias: { a: 1000 } })).tokens;
        assert.equal((await spaced.detokenize([a, a])).trim(), 'aa');
        await spaced.dispose();
    });

    it("OpenAI's shapes: whole and streamed, the same numbers", async () => {
        const request = { model: 'any', messages, temperature: 0, max_completion_tokens: 8 },
            asked = { ...request, logprobs: true, top_logprobs: 2 };
        const { choices } = await client.chat.completions.create(asked),
            [{ message, logprobs }] = /** @type {any[]} */ (choices),
            { content } = logprobs;
        const own = await model.chat(messages, { maxTokens: 8, logprobs: true, topLogprobs: 2 });
        const shape = (/** @type {any} */ { text, bytes, logprob }) => ({ token: text, logprob, bytes });
        assert.deepEqual(logprobs, {
            content: own.logprobs?.map((each) => ({ ...shape(each), top_logprobs: each.top.map(shape) })),
            refusal: null,
        });
        assert.equal(content.length, 8);
        assert.equal(content.map((/** @type {any} */ { token }) => token).join(''), message.content);
        const stream = client.chat.completions.stream({ ...asked, stream: true });
        /** @type {any[]} */
        const pairs = [];
        for await (const {
            choices: [choice],
        } of stream)
            if (choice.delta.content) pairs.push([choice.delta.content, choice.logprobs.content]);
        // each token comes with its text
        for (const [content, told] of pairs)
            assert.equal(told.map((/** @type {any} */ { token }) => token).join(''), content);
        assert.deepEqual((await stream.finalChatCompletion()).choices[0].logprobs.content, content);

        const old = { model: 'any', prompt: 'A', temperature: 0, max_tokens: 6 };
        for (const n of [0, 2]) {
            const [{ text, logprobs: told }] = (await client.completions.create({ ...old, logprobs: n })).choices;
            const mine = (await model.complete('A', { maxTokens: 6, logprobs: true, topLogprobs: n })).logprobs ?? [];
            assert.deepEqual(told, {
                tokens: mine.map((each) => each.text),
                token_logprobs: mine.map(({ logprob }) => logprob),
                top_logprobs: mine.map((each) =>
                    Object.fromEntries([each, ...each.top].map(({ text, logprob }) => [text, logprob])),
                ),
                text_offset: mine.map((_, i) => mine.slice(0, i).reduce((sum, each) => sum + each.text.length, 0)),
            });
            assert.equal(told.tokens.join(''), text);
            const parts = { tokens: /** @type {string[]} */ ([]), text_offset: /** @type {number[]} */ ([]) };
            for await (const {
                choices: [choice],
            } of await client.completions.create({ ...old, logprobs: n, stream: true })) {
                parts.tokens.push(...(choice.logprobs?.tokens ?? []));
                parts.text_offset.push(...(choice.logprobs?.text_offset ?? []));
            }
            assert.deepEqual(parts, { tokens: told.tokens, text_offset: told.text_offset });
        }
        await assert.rejects(client.completions.create({ ...old, logprobs: 1, echo: true }), {
            status: 400,
            param: 'logprobs',
            code: 'NB_ERR_UNSUPPORTED',
        });
        assert.equal((await client.completions.create(old)).choices[0].logprobs, null);
    });

    it("OpenAI's shapes: parts of characters, and texts that stop the answer", async () => {
        const [dog] = await model.tokenize(' dog', { bare: true }),
            forced = [dog, ...euro, dog, dog];
        // as a model that answers so
        const stubborn = new Proxy(model, {
            get: (target, name) =>
                name === 'complete' || name === 'chat'
                    ? (/** @type {any} */ input, /** @type {any} */ options) =>
                          target[name](input, { ...options, onLogits: forcing(forced) })
                    : Reflect.get(target, name, target),
        });
        const { chatCompletions, completions } = await import('../../web/openai/create.js');
        const old = { prompt: 'A', max_tokens: 6, logprobs: 0, temperature: 0 };
        const [{ text, logprobs }] = (await completions(stubborn).create(old)).choices;
        assert.equal(text, ' dog€ dog dog');
        assert.deepEqual(logprobs?.tokens, [' dog', 'bytes:\\xe2', 'bytes:\\x82', 'bytes:\\xac', ' dog', ' dog']);
        assert.deepEqual(logprobs?.text_offset, [0, 4, 4, 4, 5, 9]);
        const chat = { messages, max_tokens: 6, logprobs: true, stop: 'g€', temperature: 0 };
        const [choice] = (await chatCompletions(stubborn).create(chat)).choices;
        assert.equal(choice.message.content, ' do');
        assert.deepEqual(
            choice.logprobs?.content.map(({ token }) => token),
            [' dog'],
        );
        /** @type {any[]} */
        const streamed = [];
        for await (const chunk of await chatCompletions(stubborn).create({ ...chat, stop: null, stream: true }))
            streamed.push(...(chunk.choices[0].logprobs?.content ?? []));
        assert.deepEqual(
            streamed.map(({ token }) => token),
            [' dog', '\\xe2', '\\x82', '\\xac', ' dog', ' dog'],
        );
        assert.deepEqual(
            streamed.flatMap(({ bytes }) => bytes),
            [...Buffer.from(' dog€ dog dog')],
        );
    });
});
