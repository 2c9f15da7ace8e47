// OpenAI's API: its own client, unmodified, over the fetch of nibble-llm/openai, and calls of create(). The expected
// texts and token counts come from llama.cpp, the vectors from transformers, the fields' names from OpenAI's package.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { load, NibbleError } from '../../web/index.js';
import { chatCompletions, completions } from '../../web/openai/create.js';
import { openaiFetch } from '../../web/openai/index.js';
import { models, root } from '../support/builds.js';
import { compiles } from '../support/compiles.js';
import { forced, saying, withTemplate } from '../support/forced.js';
import { embeddingVectors, greedyVectors, maxDistance } from '../support/vectors.js';

/** @typedef {import('../../web/index.d.ts').Model} Model */

const PACKAGE = 'openai'; // not a literal in import(), so that tsc can check this file without the package
const { default: OpenAI } = await import(PACKAGE);

const cases = Object.fromEntries(greedyVectors('llamacpp/tiny-greedy.json').map((each) => [each.name, each]));
const { greedy: prompts } = JSON.parse(readFileSync(`${root}tests/fixtures/llamacpp/prompts.json`, 'utf8'));
const TOKENS = 24;

/** A chat whose prompt and greedy answer llama.cpp gave. */
const turns = cases['chat-turns'],
    { chat: messages } = prompts.find((/** @type {any} */ { name }) => name === 'chat-turns'),
    greedy = { model: 'any', messages, temperature: 0, max_completion_tokens: TOKENS };
/** An answer of thousands of tokens, so that a test has time to end it. */
const long = { ...greedy, model: 'tiny', temperature: 2, repeat_penalty: 1.5, seed: 1, max_completion_tokens: 3000 };
const usage = {
    prompt_tokens: turns.prompt.length,
    completion_tokens: TOKENS,
    total_tokens: turns.prompt.length + TOKENS,
};
/** The usage without the count of cached tokens, which depends on earlier requests. @param {any} counted */
function withoutDetails({ prompt_tokens_details, ...counted }) {
    assert.ok(prompt_tokens_details.cached_tokens < counted.prompt_tokens);
    return counted;
}

const TOOL = {
    type: /** @type {'function'} */ ('function'),
    function: { name: 'add', description: 'Adds.', parameters: { type: 'object' } },
};

/** @type {Model} */
let model;
/** @type {any} OpenAI's client */
let client;
/** What llama.cpp answers. */
let wanted = '';

/** @param {Parameters<typeof openaiFetch>[0]} served */
const clientOf = (served) => new OpenAI({ apiKey: 'none', baseURL: 'http://localhost/v1', fetch: openaiFetch(served) });

before(async () => {
    model = await load(models.tiny, { threads: 1, contextLength: 4096 });
    client = clientOf(model);
    wanted = await model.detokenize(turns.tokens.slice(0, TOKENS));
});
after(() => model.dispose());

/** @template T @param {AsyncIterable<T>} chunks */
async function all(chunks) {
    const list = [];
    for await (const chunk of chunks) list.push(chunk);
    return list;
}

describe("OpenAI's client: chat", () => {
    test('an answer', async () => {
        const { id, created, ...rest } = await client.chat.completions.create(greedy);
        assert.match(id, /^chatcmpl-\w{20,}$/);
        assert.ok(Math.abs(created - Date.now() / 1000) < 60);
        const { _request_id, ...answer } = rest;
        assert.deepEqual(
            { ...answer, usage: withoutDetails(answer.usage) },
            {
                object: 'chat.completion',
                model: model.info.name,
                choices: [
                    {
                        index: 0,
                        message: { role: 'assistant', content: wanted, refusal: null },
                        finish_reason: 'length',
                        logprobs: null,
                    },
                ],
                usage,
            },
        );
    });

    test('the usage tells how many tokens of the prompt were cached', async () => {
        await client.chat.completions.create(greedy);
        const { usage: counted } = await client.chat.completions.create(greedy);
        // the last one is evaluated again, for its logits
        assert.deepEqual(counted.prompt_tokens_details, { cached_tokens: turns.prompt.length - 1 });
    });

    test('a stream: the role, the text in pieces, the reason; with include_usage the usage', async () => {
        const chunks = await all(
            await client.chat.completions.create({ ...greedy, stream: true, stream_options: { include_usage: true } }),
        );
        const { id, created } = chunks[0];
        for (const { choices, usage: counted, ...head } of chunks)
            assert.deepEqual(head, { id, created, object: 'chat.completion.chunk', model: model.info.name });
        const last = chunks.pop();
        assert.deepEqual([last.choices, withoutDetails(last.usage)], [[], usage]);
        assert.ok(chunks.every((each) => each.usage === null));
        const choices = chunks.map((each) => each.choices[0]);
        assert.ok(choices.length > 3, 'the text came in one piece');
        assert.deepEqual(choices[0].delta, { role: 'assistant', content: '' });
        assert.deepEqual(choices.at(-1), { index: 0, delta: {}, finish_reason: 'length', logprobs: null });
        assert.ok(choices.slice(0, -1).every((each) => each.finish_reason === null && each.logprobs === null));
        assert.equal(choices.map((each) => each.delta.content ?? '').join(''), wanted);
        // without include_usage no chunk has a usage
        for (const chunk of await all(await client.chat.completions.create({ ...greedy, stream: true })))
            assert.ok(!('usage' in chunk) && chunk.choices.length === 1);
    });

    test("the client's stream helper", async () => {
        const pieces = /** @type {string[]} */ ([]);
        const stream = client.chat.completions
            .stream({ ...greedy, stream_options: { include_usage: true } })
            .on('content', (/** @type {string} */ piece) => pieces.push(piece));
        assert.equal(await stream.finalContent(), wanted);
        assert.equal(pieces.join(''), wanted);
        assert.deepEqual(withoutDetails(await stream.totalUsage()), usage);
        const { choices } = await stream.finalChatCompletion();
        assert.equal(choices[0].finish_reason, 'length');
        assert.equal((await stream.finalMessage()).role, 'assistant');
        // a server may pass it on to a page
        const { ChatCompletionStream } = await import(`${PACKAGE}/lib/ChatCompletionStream`);
        const passed = client.chat.completions.stream(greedy).toReadableStream();
        assert.equal(await ChatCompletionStream.fromReadableStream(passed).finalContent(), wanted);
    });

    test('withResponse() and asResponse()', async () => {
        const { data, response, request_id } = await client.chat.completions.create(greedy).withResponse();
        assert.equal(data.choices[0].message.content, wanted);
        assert.equal(response.status, 200);
        assert.match(request_id, /^req-\w+$/);
        const raw = await client.chat.completions.create({ ...greedy, stream: true }).asResponse();
        assert.match(raw.headers.get('content-type'), /^text\/event-stream/);
        assert.match(raw.headers.get('x-request-id'), /^req-\w+$/);
        assert.notEqual(raw.headers.get('x-request-id'), request_id);
        await assert.rejects(client.models.retrieve('none'), ({ requestID }) => /^req-\w+$/.test(requestID));
        const text = await raw.text();
        assert.ok(text.endsWith('\n\ndata: [DONE]\n\n'), text.slice(-80));
        assert.ok(
            text.split('\n\n').every((/** @type {string} */ event) => event === '' || event.startsWith('data: ')),
        );
    });

    test('several answers, one after the other: each has a seed of its own', async () => {
        const request = { ...greedy, temperature: 2, seed: 7, n: 2, max_completion_tokens: 12 };
        const { choices, usage: counted } = await client.chat.completions.create(request);
        const [first, second] = choices.map((/** @type {any} */ choice) => choice.message.content);
        assert.notEqual(first, second);
        const alone = await client.chat.completions.create({ ...request, seed: 8, n: 1 });
        assert.equal(alone.choices[0].message.content, second);
        assert.deepEqual([counted.prompt_tokens, counted.completion_tokens], [turns.prompt.length, 24]);
        const chunks = await all(await client.chat.completions.create({ ...request, stream: true }));
        const texts = ['', ''];
        for (const { choices } of chunks) texts[choices[0].index] += choices[0].delta.content ?? '';
        assert.deepEqual(texts, [first, second]);
    });

    test("an answer's message goes on in the conversation", async () => {
        const { choices } = await client.chat.completions.create({ ...greedy, max_completion_tokens: 4 });
        const next = [...messages, choices[0].message, { role: 'user', content: 'And?' }];
        const { usage: counted } = await client.chat.completions.create({ ...greedy, messages: next });
        const { tokens } = await model.applyTemplate(next.map(({ role, content }) => ({ role, content })));
        assert.equal(counted.prompt_tokens, tokens.length);
    });

    test('a generation ends when its reader leaves the stream, and when its request is aborted', async () => {
        /** @type {any} the generation that was begun last */
        let last;
        const chat = (/** @type {any[]} */ ...call) => (last = model.chat(.../** @type {[any]} */ (call)));
        const recorded = chatCompletions(/** @type {any} */ ({ info: model.info, chat })),
            watching = /** @type {any} */ ({ info: {}, chat: Object.assign(chat, { completions: recorded }) }),
            watched = clientOf(watching);
        for await (const _ of await recorded.create({ ...long, stream: true })) break;
        assert.equal((await last).finishReason, 'abort');
        for await (const _ of await watched.chat.completions.create({ ...long, stream: true })) break;
        await assert.rejects(last, { name: 'AbortError' });
        const controller = new AbortController(),
            before = last;
        const waiting = watched.chat.completions.create(long, { signal: controller.signal });
        setTimeout(() => controller.abort(), 50);
        await assert.rejects(waiting, OpenAI.APIUserAbortError);
        assert.notEqual(last, before, 'no generation had begun');
        await assert.rejects(last, { name: 'AbortError' });
        // without the client: cancelling the stream ends its generation, too
        const { body } = await openaiFetch(watching)('http://localhost/v1/chat/completions', {
            method: 'POST',
            body: JSON.stringify({ ...long, stream: true }),
        });
        await body?.cancel();
        assert.equal((await last).finishReason, 'abort');
        assert.equal((await client.chat.completions.create(greedy)).choices[0].message.content, wanted);
    });

    test('a generation ends when its reader leaves while a chunk is awaited, or before the first read', async () => {
        let stops = 0;
        /** A generation whose second piece never comes. */
        const chat = () => {
            /** @type {(result: object) => void} */
            let end = () => {};
            const result = new Promise((resolve) => {
                end = resolve;
            });
            return Object.assign(result, {
                stop() {
                    stops++;
                    end({ text: 'a', tokens: [1], promptTokens: 1, cachedTokens: 0, finishReason: 'abort' });
                },
                async *chunks() {
                    yield { text: 'a', reasoning: '', toolCalls: [], raw: 'a' };
                    await result;
                },
            });
        };
        const completions = chatCompletions(/** @type {any} */ ({ info: {}, chat })),
            hanging = /** @type {any} */ ({ info: {}, chat: Object.assign(chat, { completions }) });
        const { body } = await openaiFetch(hanging)('http://localhost/v1/chat/completions', {
            method: 'POST',
            body: JSON.stringify({ ...long, stream: true }),
        });
        const reader = /** @type {ReadableStream} */ (body).getReader();
        for (let i = 0; i < 2; i++) assert.equal((await reader.read()).done, false); // the role, and the piece
        await reader.cancel();
        assert.equal(stops, 1);
        await /** @type {any} */ (await completions.create({ ...long, stream: true })).return();
        assert.equal(stops, 2);
    });
});

describe("OpenAI's client: completions", () => {
    const { html } = cases;

    test('a text that the model ends: the end token is no part of it', async () => {
        const text = await model.detokenize([...html.prompt, ...html.tokens.slice(0, -1)]);
        const request = { model: 'any', prompt: html.prompt, temperature: 0, max_tokens: 40, echo: true };
        const { id, object, choices, usage } = await client.completions.create(request);
        assert.match(id, /^cmpl-\w+$/);
        assert.equal(object, 'text_completion');
        assert.deepEqual(choices, [{ index: 0, text, finish_reason: 'stop', logprobs: null }]);
        assert.deepEqual([usage.prompt_tokens, usage.completion_tokens], [html.prompt.length, html.tokens.length - 1]);
        const chunks = await all(await client.completions.create({ ...request, stream: true }));
        assert.equal(chunks.map((each) => each.choices[0].text).join(''), text);
        assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
        assert.ok(chunks.slice(0, -1).every((each) => each.choices[0].finish_reason === null));
    });

    test('a suffix goes to complete() with the prompt; models that cannot fill in the middle refuse it', async () => {
        /** @type {unknown[]} */
        const given = [];
        const complete = (/** @type {unknown} */ prompt) => {
            given.push(prompt);
            return Promise.resolve({ text: 'b', tokens: [1], promptTokens: 1, cachedTokens: 0, finishReason: 'stop' });
        };
        const own = completions(/** @type {any} */ ({ info: {}, complete }));
        assert.equal((await own.create({ prompt: 'a', suffix: 'c' })).choices[0].text, 'b');
        assert.deepEqual(given, [{ prefix: 'a', suffix: 'c' }]);
        await assert.rejects(own.create({ prompt: [1], suffix: 'c' }), { code: 'NB_ERR_ARGUMENT', param: 'suffix' });
        await assert.rejects(client.completions.create({ model: 'any', prompt: 'a', suffix: 'c' }), {
            ...{ status: 400, code: 'NB_ERR_UNSUPPORTED', message: /cannot fill in the middle/ },
        });
    });

    test('several prompts, 16 tokens by default, and a stop', async () => {
        const { prose, science } = cases;
        const request = { model: 'any', prompt: [prose.text, science.text], temperature: 0 };
        const { choices, usage } = await client.completions.create(request);
        const texts = choices.map((/** @type {any} */ { text }) => text);
        for (const [i, { tokens, prompt }] of [prose, science].entries()) {
            const [before, whole] = await Promise.all([
                model.detokenize(prompt),
                model.detokenize([...prompt, ...tokens.slice(0, 16)]),
            ]);
            assert.equal(texts[i], whole.slice(before.length));
        }
        assert.equal(usage.prompt_tokens, prose.prompt.length + science.prompt.length);
        assert.equal(usage.completion_tokens, 32);
        const stop = texts[0].slice(8, 12);
        const stopped = await client.completions.create({ ...request, prompt: prose.text, stop });
        assert.equal(stopped.choices[0].text, texts[0].slice(0, texts[0].indexOf(stop)));
        assert.equal(stopped.choices[0].finish_reason, 'stop');
    });
});

test("OpenAI's client: embeddings are transformers', as floats and as base64", async () => {
    const bert = await load(`${root}tests/fixtures/encoders/bert.gguf`, { threads: 1, kvType: 'f32' });
    try {
        const embedder = clientOf({ own: bert }),
            vectors = embeddingVectors('encoders/bert.json'),
            input = vectors.map(({ tokens }) => tokens),
            size = vectors[0].cls.length;
        const raw = /** @type {any} */ ({});
        for (const encoding_format of [undefined, 'float', 'base64']) {
            const answer = await embedder.embeddings.create({ model: 'own', input, encoding_format });
            const { data, usage } = answer;
            const tokens = input.flat().length;
            assert.deepEqual(usage, { prompt_tokens: tokens, total_tokens: tokens });
            for (const [i, { object, index, embedding }] of data.entries()) {
                assert.deepEqual([object, index], ['embedding', i]);
                const vector =
                    encoding_format === 'base64'
                        ? new Float32Array(Uint8Array.from(Buffer.from(embedding, 'base64')).buffer)
                        : embedding;
                assert.equal(vector.length, size);
                assert.ok(maxDistance(vector, vectors[i].cls) < 1e-5);
            }
            raw[String(encoding_format)] = answer;
        }
        assert.equal(raw.float.model, 'own');
        // for a text, the special tokens that the tokenizer adds are counted, too
        const text = await embedder.embeddings.create({ model: 'own', input: 'hello', dimensions: size });
        assert.equal(text.usage.prompt_tokens, (await bert.tokenize('hello')).length);
        await assert.rejects(embedder.embeddings.create({ model: 'own', input: 'a', dimensions: size - 1 }), {
            status: 400,
            param: 'dimensions',
        });
        await assert.rejects(embedder.embeddings.create({ model: 'own', input: [] }), { status: 400, param: 'input' });
    } finally {
        await bert.dispose();
    }
});

describe("OpenAI's client: what is refused", () => {
    /** The fields of a request in OpenAI's package. @param {string} file @param {string} name */
    function fieldsOf(file, name) {
        const text = readFileSync(`${root}node_modules/openai/resources/${file}.d.ts`, 'utf8');
        const [, body = ''] = new RegExp(`^export interface ${name} \\{\\n([\\s\\S]*?)^\\}`, 'm').exec(text) ?? [];
        return [...body.matchAll(/^ {4}(\w+)\??: /gm)].map(([, field]) => field);
    }

    /** What nibble takes: a value of each field. @type {Record<string, any>} */
    const TAKEN = {
        ...{ model: 'any', messages, prompt: 'a', temperature: 1.5, top_p: 0.5, seed: 7, logit_bias: { 5: 1 }, n: 2 },
        ...{ presence_penalty: 1, frequency_penalty: 1, stop: ['x'], max_completion_tokens: 1, max_tokens: 1 },
        ...{ stream: true, stream_options: { include_usage: true }, echo: true, logprobs: true, top_logprobs: 1 },
        ...{ user: 'a', safety_identifier: 'a', prompt_cache_key: 'a', reasoning_effort: 'low', suffix: '' },
        ...{ tools: [TOOL], tool_choice: 'none', parallel_tool_calls: false, response_format: { type: 'text' } },
    };
    /** What a field needs beside it. @type {Record<string, object>} */
    const NEEDED = {
        stream_options: { stream: true },
        top_logprobs: { logprobs: true },
        tool_choice: { tools: [TOOL] },
    };

    test('each of its fields is taken, or refused by its name', async () => {
        for (const [file, name, least, base, create] of /** @type {[string, string, number, object, Function][]} */ ([
            [
                'chat/completions/completions',
                'ChatCompletionCreateParamsBase',
                30,
                { ...greedy, max_completion_tokens: 1 },
                (/** @type {any} */ request) => client.chat.completions.create(request),
            ],
            [
                'completions',
                'CompletionCreateParamsBase',
                15,
                { model: 'any', prompt: 'a', max_tokens: 1 },
                (/** @type {any} */ request) => client.completions.create(request),
            ],
        ])) {
            const fields = fieldsOf(file, name),
                taken = file === 'completions' ? { ...TAKEN, logprobs: 1 } : TAKEN;
            assert.ok(fields.length > least, `${fields.length} fields were found in ${file}`);
            for (const field of fields) {
                if (field in taken) {
                    const answer = await create({ ...base, ...NEEDED[field], [field]: taken[field] });
                    if (answer[Symbol.asyncIterator]) await all(answer);
                    continue;
                }
                await assert.rejects(
                    create({ ...base, [field]: [{ type: 'something' }] }),
                    (/** @type {any} */ error) => {
                        assert.ok(error instanceof OpenAI.BadRequestError, `${field}: ${error}`);
                        assert.deepEqual([error.code, error.param], ['NB_ERR_UNSUPPORTED', field]);
                        assert.match(error.message, new RegExp(`does not support ${field} yet: \\w+`));
                        return true;
                    },
                );
            }
        }
    });

    test('response_format holds the answer to JSON and a schema', async () => {
        const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] },
            create = (/** @type {any} */ response_format) =>
                client.chat.completions.create({ ...greedy, max_completion_tokens: 60, response_format });
        for (const json_schema of [
            { name: 'a', strict: true, schema },
            { name: 'a', description: 'b', strict: null, schema },
        ]) {
            const { choices } = await create({ type: 'json_schema', json_schema });
            assert.equal(typeof JSON.parse(String(choices[0].message.content)).ok, 'boolean');
            assert.equal(choices[0].finish_reason, 'stop');
        }
        const { choices } = await create({ type: 'json_object' });
        assert.match(String(choices[0].message.content), /^\{/);
        for (const [format, message] of /** @type {[any, RegExp][]} */ ([
            [{ type: 'json_schema', json_schema: { name: 'a', schema: { not: {} } } }, /schema: "not" at # is not/],
            [{ type: 'json_schema' }, /needs json_schema/],
            [{ type: 'xml' }, /must be one of text, json_object, json_schema/],
            [{ type: 'json_schema', json_schema: { name: 'a', schemas: {} } }, /did you mean "schema"/],
        ]))
            await assert.rejects(create(format), (/** @type {any} */ error) => {
                assert.deepEqual([error.status, error.param], [400, 'response_format']);
                assert.match(error.message, message);
                return true;
            });
    });

    test('values that ask for nothing are no reason to refuse', async () => {
        const { choices } = await client.chat.completions.create({
            ...greedy,
            ...{
                tools: [],
                tool_choice: 'none',
                response_format: { type: 'text' },
                modalities: ['text'],
                store: false,
                metadata: {},
            },
            ...{ logprobs: false, top_logprobs: null, service_tier: 'auto', stop: null, seed: null, user: 'me', n: 1 },
        });
        assert.equal(choices[0].message.content, wanted);
        const request = { model: 'any', prompt: 'a', max_tokens: 1 };
        await client.completions.create({ ...request, best_of: 1, suffix: '' });
        assert.equal((await client.completions.create({ ...request, n: 2, best_of: 2 })).choices.length, 2);
        await assert.rejects(client.completions.create({ ...request, n: 2, best_of: 3 }), { param: 'best_of' });
    });

    test('token ids that the model does not have: the error names the field', async () => {
        const count = /** @type {number} */ (model.info.vocabulary),
            said = new RegExp(`has the token ${count}; this model's tokens are the numbers 0 to ${count - 1}$`);
        const biased = { logit_bias: { [count]: 1 } },
            wrong = [[1], [1, count]];
        for (const [create, request, param] of /** @type {[(request: any) => Promise<unknown>, object, string][]} */ ([
            [(request) => client.chat.completions.create(request), { ...greedy, ...biased }, 'logit_bias'],
            [(request) => client.completions.create(request), { prompt: 'a', ...biased }, 'logit_bias'],
            [(request) => client.completions.create(request), { prompt: wrong }, 'prompt'],
            [(request) => client.embeddings.create(request), { input: wrong }, 'input'],
        ]))
            await assert.rejects(create({ model: 'any', ...request }), {
                status: 400,
                code: 'NB_ERR_ARGUMENT',
                param,
                message: said,
            });
        // the last token that it has
        await client.chat.completions.create({ ...greedy, logit_bias: { [count - 1]: 1 }, max_completion_tokens: 1 });
    });

    test('wrong requests: the error names the field, and says what to do', async () => {
        const image = { type: 'image_url', image_url: { url: 'data:,' } };
        for (const [part, code, param, said] of /** @type {[object, string, string | null, RegExp][]} */ ([
            [{ temprature: 1 }, 'NB_ERR_ARGUMENT', 'temprature', /did you mean "temperature"/],
            [{ maxTokens: 1 }, 'NB_ERR_ARGUMENT', 'maxTokens', /did you mean "max_tokens"/],
            [{ temperature: 2.5 }, 'NB_ERR_ARGUMENT', 'temperature', /from 0 to 2, not 2.5/],
            [{ n: 0 }, 'NB_ERR_ARGUMENT', 'n', /from 1 to 128/],
            [
                { logit_bias: { word: 1 } },
                'NB_ERR_ARGUMENT',
                'logit_bias',
                /: logit_bias has the text "word", .* 3: 89 "w"/,
            ],
            [{ logit_bias: { '': 1 } }, 'NB_ERR_ARGUMENT', 'logit_bias', /where a token id or a text is expected/],
            [{ logprobs: 5 }, 'NB_ERR_ARGUMENT', 'logprobs', /must be true or false, not 5/],
            [{ logprobs: true, top_logprobs: 21 }, 'NB_ERR_ARGUMENT', 'top_logprobs', /from 0 to 20, not 21/],
            [{ top_logprobs: 5 }, 'NB_ERR_ARGUMENT', 'top_logprobs', /goes with logprobs: true/],
            [{ max_tokens: 5 }, 'NB_ERR_ARGUMENT', 'max_tokens', /give one of them/],
            [{ stream_options: {} }, 'NB_ERR_ARGUMENT', 'stream_options', /goes with stream: true/],
            [{ messages: [] }, 'NB_ERR_ARGUMENT', 'messages', /messages must be an array .*at least one/],
            [{ messages: 'Hello' }, 'NB_ERR_ARGUMENT', 'messages', /must be an array/],
            [{ messages: [{ content: 'a' }] }, 'NB_ERR_ARGUMENT', 'messages', /no role/],
            [{ messages: [{ role: 'assistant' }] }, 'NB_ERR_ARGUMENT', 'messages', /message 0 has no content$/],
            [{ messages: [{ role: 'developer', name: 'me' }] }, 'NB_ERR_ARGUMENT', 'messages', /has no content$/],
            [{ messages: [null] }, 'NB_ERR_ARGUMENT', 'messages', /no role/],
            [{ messages: [{ role: 'user', content: [null] }] }, 'NB_ERR_ARGUMENT', 'messages', /must be a text/],
            [
                { messages: [{ role: 'function', content: 'a' }] },
                'NB_ERR_UNSUPPORTED',
                'messages[0]',
                /role "function"/,
            ],
            [{ tools: [{ type: 'custom' }] }, 'NB_ERR_UNSUPPORTED', 'tools', /type "function" only, and tools\[0\]/],
            [{ tools: [{ type: 'function' }] }, 'NB_ERR_ARGUMENT', 'tools', /tools\[0\].function.name must be a text/],
            [{ tools: {} }, 'NB_ERR_ARGUMENT', 'tools', /must be an array of objects/],
            [{ tool_choice: 'maybe' }, 'NB_ERR_ARGUMENT', 'tool_choice', /must be "auto", "none", "required" or/],
            [{ tool_choice: 'required' }, 'NB_ERR_ARGUMENT', 'tool_choice', /not among tools/],
            [
                { tools: [TOOL], tool_choice: { type: 'function', function: { name: 'b' } } },
                'NB_ERR_ARGUMENT',
                'tool_choice',
                /not among tools/,
            ],
            [
                { tools: [TOOL], tool_choice: 'required', response_format: { type: 'json_object' } },
                'NB_ERR_ARGUMENT',
                'tool_choice',
                /two ways to hold an answer/,
            ],
            [{ thinking_budget_tokens: -2 }, 'NB_ERR_ARGUMENT', 'thinking_budget_tokens', /at least -1/],
            [{ messages: [{ role: 'user', content: [image] }] }, 'NB_ERR_UNSUPPORTED', 'messages[0]', /image_url/],
            [
                { messages: [{ role: 'assistant', tool_calls: [{}] }] },
                'NB_ERR_ARGUMENT',
                'messages',
                /tool_calls of message 0 must be an array of \{ id, type, function: \{ name, arguments \} \}/,
            ],
            [
                { messages: [{ role: 'user', content: 'word '.repeat(5000) }], stream: true },
                'context_length_exceeded',
                null,
                /maximum context length: .*the context holds 4096/,
            ],
            [
                { stream: true, stream_options: { include_obfuscation: true } },
                'NB_ERR_UNSUPPORTED',
                'include_obfuscation',
                /leave it out/,
            ],
        ]))
            await assert.rejects(client.chat.completions.create({ ...greedy, ...part }), (/** @type {any} */ error) => {
                assert.deepEqual([error.status, error.type], [400, 'invalid_request_error']);
                assert.deepEqual([error.code, error.param], [code, param]);
                assert.match(error.message, said);
                return true;
            });
    });
});

describe('the fetch', () => {
    const url = 'http://localhost/v1/',
        own = () => openaiFetch({ tiny: model });
    const post = (/** @type {unknown} */ body) => ({ method: 'POST', body: JSON.stringify(body) });

    test('models by name', async () => {
        const several = clientOf({ tiny: model, 'owner/other:q4': model });
        const { data } = await several.models.list();
        assert.deepEqual(
            data.map((/** @type {any} */ { id, object }) => [id, object]),
            [
                ['tiny', 'model'],
                ['owner/other:q4', 'model'],
            ],
        );
        assert.equal((await several.models.retrieve('owner/other:q4')).id, 'owner/other:q4');
        await assert.rejects(several.models.retrieve('none'), OpenAI.NotFoundError);
        const short = { ...greedy, model: 'tiny', max_completion_tokens: 1 };
        assert.equal((await several.chat.completions.create(short)).model, 'tiny');
        for (const chunk of await all(await several.chat.completions.create({ ...short, stream: true })))
            assert.equal(chunk.model, 'tiny');
        await assert.rejects(several.chat.completions.create(greedy), {
            status: 404,
            code: 'model_not_found',
            param: 'model',
            message: /there is no model "any"; there is "tiny", "owner\/other:q4"/,
        });
        // "chat" is a name like any other, though a model has a member of this name
        const { data: one } = await clientOf({ chat: model }).models.list();
        assert.deepEqual(
            one.map((/** @type {any} */ { id }) => id),
            ['chat'],
        );
        for (const wrong of [undefined, {}, { tiny: 5 }])
            assert.throws(() => openaiFetch(/** @type {any} */ (wrong)), { code: 'NB_ERR_ARGUMENT' });
    });

    test('paths, methods, bodies; a Request, a URL', async () => {
        for (const [input, init, status, said] of /** @type {[any, any, number, RegExp][]} */ ([
            [`${url}responses`, post({}), 404, /not \/v1\/responses/],
            [`${url}chat/completions/chatcmpl-1`, undefined, 404, /not \/v1\/chat\/completions\/chatcmpl-1/],
            [`${url}chat/completions`, undefined, 405, /takes POST, not GET/],
            [`${url}models`, post({}), 405, /takes GET, not POST/],
            [`${url}models/%zz`, undefined, 404, /there is no model "%zz"/],
            [`${url}completions`, { method: 'POST', body: '{' }, 400, /the body is no JSON/],
            [new URL(`${url}completions`), post([]), 400, /must name a model: "tiny"/],
            [new Request(`${url}completions`, post({ model: 'tiny', prompt: {} })), undefined, 400, /prompt must be/],
        ])) {
            const response = await own()(input, init);
            assert.equal(response.status, status);
            assert.equal(response.headers.get('content-type'), 'application/json');
            assert.match((await response.json()).error.message, said);
        }
        assert.equal((await own()('https://example.org/any/v1/models')).status, 200);
    });

    test('an aborted signal: the call rejects with its reason, before and while an answer is made', async () => {
        const reason = new Error('enough');
        await assert.rejects(own()(`${url}models`, { signal: AbortSignal.abort(reason) }), reason);
        const controller = new AbortController(),
            request = new Request(`${url}chat/completions`, { ...post(long), signal: controller.signal });
        const answer = own()(request);
        setTimeout(() => controller.abort(reason));
        await assert.rejects(answer, reason);
        const leaving = new AbortController();
        const response = await own()(`${url}chat/completions`, {
            ...post({ ...long, stream: true }),
            signal: leaving.signal,
        });
        const reader = /** @type {ReadableStream} */ (response.body).getReader();
        await reader.read();
        leaving.abort(reason);
        await assert.rejects(async () => {
            while (!(await reader.read()).done);
        }, reason);
        // while a body that never ends is awaited
        /** @type {unknown} */
        let cancelled;
        const endless = new AbortController();
        const body = new ReadableStream({
            start: (controller) => controller.enqueue(new TextEncoder().encode('{')),
            cancel: (why) => {
                cancelled = why;
            },
        });
        const init = { method: 'POST', body, signal: endless.signal, duplex: 'half' };
        const sent = own()(`${url}completions`, init);
        setTimeout(() => endless.abort(reason));
        await assert.rejects(sent, reason);
        assert.equal(cancelled, reason);
        // also when the answer is complete, and its reader is slow
        const late = new AbortController();
        const made = await own()(`${url}chat/completions`, {
            ...post({ ...greedy, model: 'tiny', stream: true }),
            signal: late.signal,
        });
        await client.chat.completions.create(greedy); // requests take turns: the answer above is complete
        late.abort(reason);
        await assert.rejects(made.text(), reason);
    });

    test('a failure within a stream is an event; a disposed model gives 404, without a retry', async () => {
        const gone = await load(models.tiny, { threads: 1, contextLength: 4096 });
        let asked = 0;
        const inner = openaiFetch(gone);
        const failing = new OpenAI({
            apiKey: 'none',
            baseURL: 'http://localhost/v1',
            fetch: (/** @type {any[]} */ ...call) => {
                asked++;
                return inner(.../** @type {[any]} */ (call));
            },
        });
        const stream = await failing.chat.completions.create({ ...long, stream: true });
        await assert.rejects(
            async () => {
                for await (const _ of stream) await gone.dispose();
            },
            { code: 'NB_ERR_STATE', message: /disposed/ },
        );
        asked = 0;
        await assert.rejects(failing.chat.completions.create(greedy), { status: 404, code: 'NB_ERR_STATE' });
        assert.equal(asked, 1);
    });
});

describe('create()', () => {
    test('rejects with a NibbleError, and takes a signal', async () => {
        const { create } = model.chat.completions;
        await assert.rejects(create(/** @type {any} */ ({ messages, tools: [{}] })), (error) => {
            assert.ok(error instanceof NibbleError);
            assert.equal(error.code, 'NB_ERR_UNSUPPORTED');
            return true;
        });
        for (const wrong of [undefined, null, [], 'Hello'])
            await assert.rejects(create(/** @type {any} */ (wrong)), { code: 'NB_ERR_ARGUMENT', message: /an object/ });
        await assert.rejects(create({ messages }, /** @type {any} */ ({ signl: 1 })), /did you mean "signal"/);
        const signal = AbortSignal.abort(new Error('enough'));
        for (const stream of [true, false]) await assert.rejects(create({ messages, stream }, { signal }), /enough/);
        await assert.rejects(model.completions.create({ prompt: 'a' }, { signal }), /enough/);
        await assert.rejects(model.embeddings.create({ input: 'a' }, { signal }), /enough/);
    });

    test('fields become options, with the defaults that OpenAI documents, and messages those of chat()', async () => {
        const calls = /** @type {any[]} */ ([]),
            inputs = /** @type {unknown[]} */ ([]);
        const fake = (/** @type {unknown} */ input, /** @type {object} */ options) => {
            inputs.push(input);
            calls.push(options);
            const result = { text: '', tokens: [], promptTokens: 1, cachedTokens: 0, finishReason: 'stop' };
            return Promise.resolve(result);
        };
        const adapters = [{ name: 'a' }, { name: 'b' }];
        const recorder = /** @type {any} */ ({ info: {}, adapters, chat: fake, complete: fake });
        await chatCompletions(recorder).create({ messages });
        const { temperature, topP, topK, minP, presencePenalty, frequencyPenalty, repeatPenalty, seed } = calls[0];
        assert.deepEqual([temperature, topP, presencePenalty, frequencyPenalty, seed], [1, 1, 0, 0, undefined]);
        assert.deepEqual([topK, minP, repeatPenalty], [0, 0, 1], 'what OpenAI does not have is off');
        await chatCompletions(recorder).create({
            messages,
            ...{ temperature: 0.5, top_p: 0.25, top_k: 9, min_p: 0.125, seed: 5, n: 2, max_tokens: 3, stop: 'x' },
            ...{ presence_penalty: 1, frequency_penalty: -1, repeat_penalty: 2, logit_bias: { 7: -100 } },
            ...{ typical_p: 0.75, top_n_sigma: 2, xtc_probability: 0.5, xtc_threshold: 0.25, dynatemp_range: 0.125 },
            ...{ dynatemp_exponent: 3, mirostat: 2, mirostat_tau: 4, mirostat_eta: 0.5, samplers: ['top_k', 'typ_p'] },
            ...{ dry_multiplier: 1, dry_base: 2, dry_allowed_length: 3, dry_penalty_last_n: 7 },
            ...{
                dry_sequence_breakers: ['.'],
                logprobs: true,
                top_logprobs: 3,
                context_overflow: 'shift',
                grammar: 'root ::= "x"',
                lora: [{ id: 1, scale: 0.5 }],
            },
            chat_template_kwargs: { enable_thinking: false },
        });
        const options = {
            ...{ temperature: 0.5, topP: 0.25, topK: 9, minP: 0.125, maxTokens: 3, stop: ['x'] },
            ...{ presencePenalty: 1, frequencyPenalty: -1, repeatPenalty: 2, penaltyLast: -1, logitBias: [[7, -100]] },
            ...{ typicalP: 0.75, topNSigma: 2, xtcProbability: 0.5, xtcThreshold: 0.25, dynatempRange: 0.125 },
            ...{ dynatempExponent: 3, mirostat: 2, mirostatTau: 4, mirostatEta: 0.5, samplers: ['top_k', 'typ_p'] },
            ...{ dryMultiplier: 1, dryBase: 2, dryAllowedLength: 3, dryPenaltyLast: 7, drySequenceBreakers: ['.'] },
            ...{ logprobs: true, topLogprobs: 3, contextOverflow: 'shift', grammar: 'root ::= "x"' },
            ...{ adapters: [{ name: 'b', scale: 0.5 }] },
            ...{ templateVariables: { enable_thinking: false }, signal: undefined },
        };
        assert.deepEqual(calls.slice(1), [
            { ...options, seed: 5 },
            { ...options, seed: 6 },
        ]);
        await completions(recorder).create({ prompt: 'a' });
        assert.deepEqual([calls[3].maxTokens, calls[3].logprobs], [16, false]);
        // the role "developer" becomes "system"; undefined and empty members count as absent
        const text = [{ type: /** @type {'text'} */ ('text'), text: 'a' }];
        await chatCompletions(recorder).create({
            messages: [
                { role: 'developer', content: text, name: 'me' },
                { role: 'assistant', content: 'b', refusal: null, tool_calls: [], annotations: [] },
            ],
            ...{ temperature: undefined, max_tokens: undefined },
        });
        assert.equal(calls[4].temperature, 1);
        assert.deepEqual(inputs[4], [
            { role: 'system', content: text, name: 'me' },
            { role: 'assistant', content: 'b' },
        ]);
        // 2^60 and 2^60 + 1, modulo 2^32; in double precision both are 2^60
        await chatCompletions(recorder).create({ messages, seed: 2 ** 60, n: 2 });
        assert.deepEqual([calls[5].seed, calls[6].seed], [0, 1]);
        // tools and thinking
        await chatCompletions(recorder).create({
            messages,
            ...{ tools: [TOOL], parallel_tool_calls: false, reasoning_effort: 'low', thinking_budget_tokens: 9 },
        });
        const { templateVariables, tools, toolChoice, parallelToolCalls, thinking } = calls[7];
        assert.deepEqual([templateVariables, tools, toolChoice], [{ reasoning_effort: 'low' }, [TOOL], 'auto']);
        assert.deepEqual([parallelToolCalls, thinking], [false, { maxTokens: 9 }]);
        await chatCompletions(recorder).create({ messages, reasoning_effort: 'none', thinking_budget_tokens: -1 });
        assert.deepEqual([calls[8].thinking, 'tools' in calls[8]], [false, false]);
        const empty = { role: 'assistant', content: null, refusal: null };
        await assert.rejects(chatCompletions(recorder).create({ messages: [empty] }), /message 0 has no content/);
    });
});

describe("OpenAI's client: tools and thoughts", () => {
    const call = (/** @type {string} */ values) => `<tool_call>\n{"name": "add", "arguments": ${values}}\n</tool_call>`;
    /** @type {any[]} what chat() was given */
    const given = [];
    /** A client of a model that gives these answers, one after the other. @param {...string} answers */
    function scripted(...answers) {
        given.length = 0;
        const chat = async (/** @type {any} */ list, /** @type {any} */ options) => {
            given.push(list);
            return { ...options, ...(await forced(model, answers.shift() ?? '')) };
        };
        /** A generation that begins when the tokens of its answer are known. */
        const later = (/** @type {any} */ list, /** @type {any} */ options) => {
            const begun = chat(list, options).then((all) => ({ generation: model.chat(list, all) }));
            const result = begun.then(({ generation }) => generation);
            return Object.assign(result, {
                ...{ tokens: [], stop() {} },
                async *chunks() {
                    yield* (await begun).generation.chunks();
                },
            });
        };
        const completions = chatCompletions(/** @type {any} */ ({ info: model.info, chat: later }));
        return clientOf(/** @type {any} */ ({ info: model.info, chat: Object.assign(later, { completions }) }));
    }
    const request = { model: 'any', messages: [{ role: 'user', content: 'What is 1 + 2?' }], tools: [TOOL] };

    test('tool calls: the finish reason, and the message, which goes on in the conversation', async () => {
        const answers = scripted(`${call('{"a": 1}')}\n${call('{"a": [2]}')}`, 'Three.');
        const { choices } = await answers.chat.completions.create(request),
            [{ message, finish_reason }] = choices;
        assert.deepEqual([finish_reason, message.content], ['tool_calls', null]);
        assert.deepEqual(
            message.tool_calls.map((/** @type {any} */ { type, function: called }) => [type, called]),
            ['{"a":1}', '{"a":[2]}'].map((values) => ['function', { name: 'add', arguments: values }]),
        );
        const results = message.tool_calls.map((/** @type {any} */ { id }) => ({
            role: 'tool',
            tool_call_id: id,
            content: '3',
        }));
        const next = await answers.chat.completions.create({
            ...request,
            messages: [...request.messages, message, ...results],
        });
        assert.deepEqual([next.choices[0].message.content, next.choices[0].finish_reason], ['Three.', 'stop']);
        assert.deepEqual(given[1].slice(2), results);
        assert.deepEqual(given[1][1].tool_calls, message.tool_calls);
    });

    test('a required call: the finish reason is "stop" if the request names the function', async () => {
        const named = { type: 'function', function: { name: 'add' } };
        for (const [tool_choice, reason] of [
            ['required', 'tool_calls'],
            [named, 'stop'],
        ]) {
            const { choices } = await scripted(call('{}')).chat.completions.create({ ...request, tool_choice });
            assert.deepEqual([choices[0].finish_reason, choices[0].message.content], [reason, null]);
            assert.equal(choices[0].message.tool_calls[0].function.name, 'add');
            const stream = scripted(call('{}')).chat.completions.stream({ ...request, tool_choice });
            assert.equal((await stream.finalChatCompletion()).choices[0].finish_reason, reason);
        }
        // no other answer is possible
        const other = scripted('Three.').chat.completions.create({ ...request, tool_choice: named });
        await assert.rejects(other, /no token is left/);
    });

    test("a stream, put together by the client's own helper", async () => {
        const text = `Let me see.\n${call('{"a": 1}')}${call('{"b": "x"}')}`;
        const stream = scripted(text).chat.completions.stream(request);
        const { choices } = await stream.finalChatCompletion(),
            [{ message, finish_reason }] = choices;
        assert.deepEqual([message.content, finish_reason], ['Let me see.', 'tool_calls']);
        assert.deepEqual(
            message.tool_calls.map((/** @type {any} */ each) => each.function.arguments),
            ['{"a":1}', '{"b":"x"}'],
        );
        const chunks = await all(await scripted(text).chat.completions.create({ ...request, stream: true }));
        const deltas = chunks.flatMap((/** @type {any} */ each) => each.choices[0].delta.tool_calls ?? []);
        assert.deepEqual(
            deltas.map(({ index, type }) => [index, type]),
            [
                [0, 'function'],
                [1, 'function'],
            ],
        );
    });

    test("the client's own loop runs the functions", async () => {
        /** @type {unknown[]} */
        const sums = [];
        const runner = scripted(call('{"a": 1, "b": 2}'), 'Three.').chat.completions.runTools({
            ...request,
            tools: [
                {
                    type: 'function',
                    function: {
                        ...TOOL.function,
                        parse: JSON.parse,
                        function: (/** @type {any} */ { a, b }) => {
                            sums.push(a + b);
                            return String(a + b);
                        },
                    },
                },
            ],
        });
        assert.equal(await runner.finalContent(), 'Three.');
        assert.deepEqual(sums, [3]);
        assert.equal(given[1][2].content, '3');
    });

    test('what the model thinks, and how many tokens that took', async () => {
        // a template that has "<think>" makes thoughts of what stands between the marks, though it writes none here
        const data = '<think>\nHm.\n</think>\n\nThree.',
            template = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}{{ '<think>' if 0 }}",
            thinking = await load(withTemplate(template), { threads: 1, contextLength: 512 });
        try {
            const tokens = await thinking.tokenize(data, { bare: true });
            const chat = (/** @type {any} */ list, /** @type {any} */ own) =>
                thinking.chat(list, { ...own, ...saying(thinking, tokens) });
            const { create } = chatCompletions(/** @type {any} */ ({ info: thinking.info, chat }));
            const { choices, usage: counted } = await create({ messages, logprobs: true });
            assert.deepEqual(
                [choices[0].message.content, choices[0].message.reasoning_content, choices[0].finish_reason],
                ['Three.', 'Hm.', 'stop'],
            );
            const { reasoning_tokens = 0 } = counted.completion_tokens_details ?? {};
            assert.ok(reasoning_tokens > 2 && reasoning_tokens < counted.completion_tokens);
            // logprobs has all tokens, also those of the thought
            assert.equal(choices[0].logprobs?.content.map(({ token }) => token).join(''), data);
            const parts = { content: '', reasoning_content: '' };
            for await (const { choices } of await create({ messages, stream: true })) {
                parts.content += choices[0].delta.content ?? '';
                parts.reasoning_content += choices[0].delta.reasoning_content ?? '';
            }
            assert.deepEqual(parts, { content: 'Three.', reasoning_content: 'Hm.' });
        } finally {
            await thinking.dispose();
        }
    });
});

test('docs/openai.md: its examples run', () => {
    const page = readFileSync(`${root}docs/openai.md`, 'utf8'),
        programs = [...page.matchAll(/^```js\n([\s\S]*?)^```/gm)].map(([, lines]) => lines);
    assert.equal(programs.length, 2);
    for (const [i, lines] of programs.entries()) {
        const program = lines.replace(/load\('[^']*'/, `load(${JSON.stringify(models.tiny)}`);
        assert.notEqual(program, lines);
        const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
            cwd: root,
            encoding: 'utf8',
        });
        assert.equal(status, 0, stderr);
        const [, number] = / ?(\d+)\n$/.exec(stdout) ?? [];
        assert.ok(Number(number) > 0, stdout);
        if (i === 0) {
            assert.match(stdout, / (stop|length) \d+\n/);
            assert.equal(Number(number), model.info.embedding?.size);
        }
    }
});

test("the types of OpenAI's package accept requests, results and the fetch", () => {
    compiles('tests/support/openai-types.ts');
});
