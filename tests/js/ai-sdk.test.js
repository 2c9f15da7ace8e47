// Vercel's AI SDK over the provider of nibble-llm/ai-sdk: its own functions, unmodified. Texts and counts of tokens are
// llama.cpp's, vectors are sentence-transformers', and settings, parts and errors are those of the SDK's package.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createNibble } from '../../web/ai-sdk/index.js';
import { load, NibbleError } from '../../web/index.js';
import { missing, models, root } from '../support/builds.js';
import { compiles } from '../support/compiles.js';
import { changedCopy } from '../support/edits.js';
import { saying, withTemplate } from '../support/forced.js';
import { greedyVectors, maxDistance } from '../support/vectors.js';

/** @typedef {import('../../web/index.d.ts').Model} Model */

const PACKAGE = 'ai'; // no literal in import(): tsc then checks this file where the package is missing, too
const skip = missing(!existsSync(`${root}node_modules/${PACKAGE}`) && 'the AI SDK is missing: run make setup');
const sdk = skip ? undefined : await import(PACKAGE);
/** Warnings go to the results; the SDK would print them, too. */
/** @type {any} */ (globalThis).AI_SDK_LOG_WARNINGS = false;

const turns = greedyVectors('llamacpp/tiny-greedy.json').find(({ name }) => name === 'chat-turns'),
    html = greedyVectors('llamacpp/tiny-greedy.json').find(({ name }) => name === 'html'),
    { greedy: prompts } = JSON.parse(readFileSync(`${root}tests/fixtures/llamacpp/prompts.json`, 'utf8')),
    { chat: messages } = prompts.find((/** @type {any} */ { name }) => name === 'chat-turns');
const TOKENS = 24;
if (!turns || !html) throw new Error('a case is missing');

/** @type {Model} */
let model;
/** What llama.cpp answers. */
let wanted = '';
/** The SDK wants system messages apart from the others. */
const system = messages.filter((/** @type {any} */ { role }) => role === 'system');
/** @type {any} a request whose answer is known */
const greedy = {
    instructions: system[0]?.content,
    messages: messages.filter((/** @type {any} */ { role }) => role !== 'system'),
    temperature: 0,
    maxOutputTokens: TOKENS,
};
/** An answer of thousands of tokens, so that a test has time to end it. */
const long = { ...greedy, temperature: 2, seed: 1, maxOutputTokens: 3000 };

before(async () => {
    model = await load(models.tiny, { threads: 1, contextLength: 4096 });
    wanted = await model.detokenize(turns.tokens.slice(0, TOKENS));
});
after(() => model.dispose());

/** A model whose chat() is another. @param {(...call: any[]) => any} chat @returns {Model} */
const chatting = (chat) =>
    /** @type {any} */ ({ info: {}, chat: Object.assign(chat, { completions: { create: () => undefined } }) });

/** A generation that gives a piece, and then ends as told.
 * @param {() => Promise<unknown>} end @param {() => void} [stop] */
function generation(end, stop = () => {}) {
    const result = end();
    result.catch(() => {});
    return Object.assign(result, {
        ...{ tokens: [1], stop },
        async *chunks() {
            yield { text: 'a', reasoning: '', toolCalls: [], raw: 'a' };
            await result;
        },
    });
}

/** @param {ReadableStream<any>} stream */
async function all(stream) {
    const parts = [];
    for await (const part of stream) parts.push(part);
    return parts;
}

/** @param {string} text @returns {any} */
const asked = (text) => ({ prompt: [{ role: 'user', content: [{ type: 'text', text }] }] });

describe('the AI SDK: texts', { skip }, () => {
    test('generateText(): the text, its reason, the usage', async () => {
        const nibble = createNibble(model);
        const { text, finishReason, usage, warnings, response } = await sdk.generateText({
            model: nibble(),
            ...greedy,
        });
        assert.equal(text, wanted);
        assert.equal(finishReason, 'length');
        assert.deepEqual(
            [usage.inputTokens, usage.outputTokens, usage.totalTokens],
            [turns.prompt.length, TOKENS, turns.prompt.length + TOKENS],
        );
        assert.deepEqual(warnings, []);
        assert.match(response.id, /^nibble-\w{20,}$/);
        assert.equal(response.modelId, model.info.name);
        assert.ok(Math.abs(response.timestamp - Date.now()) < 60_000);
    });

    test('the usage tells how many tokens of the prompt were remembered', async () => {
        const again = { model: createNibble(model)(), ...greedy };
        await sdk.generateText(again);
        const { inputTokenDetails } = (await sdk.generateText(again)).usage;
        // the last one is evaluated again, for its logits
        assert.equal(inputTokenDetails.cacheReadTokens, turns.prompt.length - 1);
        assert.equal(inputTokenDetails.noCacheTokens, 1);
    });

    test('streamText(): the same in pieces', async () => {
        const result = sdk.streamText({ model: createNibble({ own: model })('own'), ...greedy });
        const pieces = await all(result.textStream);
        assert.ok(pieces.length > 1, 'the text came in one piece');
        assert.equal(pieces.join(''), wanted);
        assert.equal(await result.finishReason, 'length');
        const { inputTokens, outputTokens } = await result.usage;
        assert.deepEqual([inputTokens, outputTokens], [turns.prompt.length, TOKENS]);
        assert.equal((await result.response).modelId, 'own');
    });

    test('the parts of a stream, in the order of the specification', async () => {
        const { stream } = await createNibble(model)().doStream({
            ...{ ...asked('Hello'), temperature: 0, maxOutputTokens: 5 },
        });
        const [start, metadata, begin, ...rest] = await all(stream),
            [end, finish] = rest.splice(-2);
        assert.deepEqual(start, { type: 'stream-start', warnings: [] });
        const { id, timestamp, ...head } = metadata;
        assert.deepEqual(head, { type: 'response-metadata', modelId: model.info.name });
        assert.ok(typeof id === 'string' && timestamp instanceof Date);
        assert.deepEqual([begin, end.type, end.id], [{ type: 'text-start', id: begin.id }, 'text-end', begin.id]);
        assert.ok(rest.length > 0);
        for (const { delta, ...part } of rest) {
            assert.deepEqual(part, { type: 'text-delta', id: begin.id });
            assert.ok(delta !== '');
        }
        assert.equal(finish.type, 'finish');
        assert.deepEqual(finish.finishReason, { unified: 'length', raw: 'length' });
        assert.equal(finish.usage.outputTokens.total, 5);
    });

    test('a text that the model ends, and one that a stop sequence ends', async () => {
        const nibble = createNibble(model);
        const whole = await sdk.generateText({ model: nibble(), ...greedy, maxOutputTokens: undefined });
        assert.equal(whole.finishReason, 'stop');
        assert.ok(whole.text.startsWith(wanted));
        const stop = wanted.slice(8, 12);
        const stopped = await sdk.generateText({ model: nibble(), ...greedy, stopSequences: [stop] });
        assert.deepEqual([stopped.text, stopped.finishReason], [wanted.slice(0, wanted.indexOf(stop)), 'stop']);
    });

    test('settings become options of chat(), which providerOptions.nibble may change', async () => {
        /** @type {any[]} */
        const calls = [];
        const recorder = chatting((...call) => {
            calls.push(call);
            return generation(async () => ({
                text: 'a',
                tokens: [1],
                promptTokens: 1,
                cachedTokens: 0,
                finishReason: 'stop',
            }));
        });
        const settings = { temperature: 0.5, topP: 0.9, topK: 7, presencePenalty: 0.1, frequencyPenalty: 0.2, seed: 3 },
            abortSignal = new AbortController().signal;
        await createNibble(recorder)().doGenerate({
            prompt: [
                { role: 'system', content: 'Be short.' },
                {
                    role: 'user',
                    content: [
                        { type: 'text', text: 'a' },
                        { type: 'text', text: 'b' },
                    ],
                },
                {
                    role: 'assistant',
                    content: [
                        { type: 'reasoning', text: 'Hm.' },
                        { type: 'text', text: 'c' },
                        { type: 'text', text: 'd' },
                    ],
                },
                { role: 'user', content: [{ type: 'text', text: 'e' }] },
            ],
            ...{ ...settings, maxOutputTokens: 9, stopSequences: ['x'], abortSignal },
            providerOptions: { nibble: { minP: 0.3, topK: 8 }, other: { a: 1 } },
        });
        const [[given, options]] = calls;
        assert.deepEqual(given, [
            { role: 'system', content: 'Be short.' },
            {
                role: 'user',
                content: [
                    { type: 'text', text: 'a' },
                    { type: 'text', text: 'b' },
                ],
            },
            { role: 'assistant', content: 'cd' },
            { role: 'user', content: 'e' },
        ]);
        const rest = { maxTokens: 9, penaltyLast: -1, stop: ['x'], minP: 0.3, topK: 8, signal: abortSignal };
        assert.deepEqual(options, { ...settings, ...rest });
    });

    /** What the provider passes on; warns of or refuses; and what has no meaning without HTTP or raw chunks. */
    const KNOWN = [
        ...['prompt', 'maxOutputTokens', 'temperature', 'stopSequences', 'topP', 'topK', 'presencePenalty'],
        ...['frequencyPenalty', 'seed', 'abortSignal', 'providerOptions'],
        ...['responseFormat', 'tools', 'toolChoice', 'reasoning'],
        ...['includeRawChunks', 'headers'],
    ];
    test('no setting of the specification is unknown', () => {
        const text = readFileSync(`${root}node_modules/@ai-sdk/provider/dist/index.d.ts`, 'utf8');
        const [, body = ''] = /^export type LanguageModelV4CallOptions = \{\n([\s\S]*?)^\};/m.exec(text) ?? [];
        const names = [...body.matchAll(/^ {2}(\w+)\??: /gm)].map(([, name]) => name);
        assert.deepEqual(names.sort(), KNOWN.sort());
    });
});

describe('the AI SDK: tools and reasoning', { skip }, () => {
    const call = (/** @type {string} */ values) => `<tool_call>\n{"name": "add", "arguments": ${values}}\n</tool_call>`;
    /** A model that gives these answers, one after the other; what chat() was given. @param {...string} answers */
    async function scripted(...answers) {
        const tokens = await Promise.all(answers.map((text) => model.tokenize(text, { bare: true }))),
            given = /** @type {any[]} */ ([]);
        const chat = (/** @type {any} */ list, /** @type {any} */ options) => {
            given.push({ list, options });
            return model.chat(list, { ...options, ...saying(model, tokens.shift() ?? []) });
        };
        return { nibble: createNibble(chatting(chat))(), given };
    }
    /** @type {any[]} */
    const sums = [];
    const tools = () => ({
        add: sdk.tool({
            description: 'Adds.',
            inputSchema: sdk.jsonSchema({ type: 'object', properties: { a: { type: 'number' } } }),
            execute: async (/** @type {any} */ { a, b }) => {
                sums.push(a + b);
                return { sum: a + b };
            },
        }),
    });

    test('generateText() calls functions, and goes on with their results', async () => {
        const { nibble, given } = await scripted(`Hm.\n${call('{"a": 1, "b": 2}')}`, 'Three.');
        const { text, steps, finishReason } = await sdk.generateText({
            ...{ model: nibble, prompt: 'What is 1 + 2?', tools: tools(), stopWhen: sdk.stepCountIs(3) },
        });
        assert.deepEqual([text, finishReason, steps.length], ['Three.', 'stop', 2]);
        assert.deepEqual([steps[0].text, steps[0].finishReason], ['Hm.', 'tool-calls']);
        assert.deepEqual(sums, [3]);
        const [first, second] = given;
        assert.equal(first.options.toolChoice, 'auto');
        assert.deepEqual(first.options.tools[0].function.name, 'add');
        assert.deepEqual(first.options.tools[0].function.parameters.properties, { a: { type: 'number' } });
        const [, said, result] = second.list;
        assert.deepEqual([said.role, said.content, said.tool_calls.length], ['assistant', 'Hm.', 1]);
        assert.deepEqual(said.tool_calls[0].function, { name: 'add', arguments: '{"a":1,"b":2}' });
        assert.deepEqual(result, {
            ...{ role: 'tool', name: 'add', tool_call_id: said.tool_calls[0].id, content: '{"sum":3}' },
        });
    });

    test('a tool that must be called, any or this one', async () => {
        const look = sdk.tool({ inputSchema: sdk.jsonSchema({ type: 'object', properties: {} }) }),
            all = { ...tools(), look },
            names = (/** @type {any[]} */ calls) => calls.map(({ toolName }) => toolName);
        for (const toolChoice of /** @type {any[]} */ (['required', { type: 'tool', toolName: 'look' }])) {
            const nibble = createNibble(model)(),
                settings = { model: nibble, prompt: 'a', tools: all, temperature: 1, seed: 1 },
                { toolCalls, finishReason, text } = await sdk.generateText({ ...settings, toolChoice });
            assert.deepEqual([finishReason, text], ['tool-calls', '']);
            for (const { toolName, input } of toolCalls)
                if (toolName === 'look') assert.deepEqual(input, {});
                else assert.ok(toolName === 'add' && typeof (input.a ?? 1) === 'number', JSON.stringify(input));
            if (toolChoice !== 'required') assert.deepEqual(names(toolCalls), ['look']);
        }
        const refused = { look: sdk.tool({ inputSchema: sdk.jsonSchema({ type: 'object', not: {} }) }) };
        await assert.rejects(
            sdk.generateText({ model: createNibble(model)(), prompt: 'a', tools: refused, toolChoice: 'required' }),
            /the function "look": schema: "not" at # is not supported/,
        );
    });

    test('streamText(): the parts of calls, in order', async () => {
        const { nibble } = await scripted(`Hm.\n${call('{"a": 1, "b": 2}')}`);
        const { stream } = await nibble.doStream({
            ...asked('a'),
            tools: [{ type: 'function', name: 'add', inputSchema: { type: 'object' } }],
        });
        const parts = (await all(stream)).slice(2);
        assert.deepEqual(
            parts.map(({ type }) => type).filter((type, i, types) => type !== types[i - 1]),
            [
                ...['text-start', 'text-delta', 'text-end'],
                ...['tool-input-start', 'tool-input-delta', 'tool-input-end', 'tool-call', 'finish'],
            ],
        );
        const called = parts.find(({ type }) => type === 'tool-call');
        assert.deepEqual([called.toolName, called.input], ['add', '{"a":1,"b":2}']);
        assert.deepEqual(parts.at(-1).finishReason, { unified: 'tool-calls', raw: 'tool_calls' });
    });

    test('reasoning: apart from the text, on and off', async () => {
        const template = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}{{ '<think>' if 0 }}",
            thinking = await load(withTemplate(template), { threads: 1, contextLength: 512 });
        try {
            const tokens = await thinking.tokenize('<think>\nHm.\n</think>\n\nThree.', { bare: true });
            const chat = (/** @type {any} */ list, /** @type {any} */ options) =>
                thinking.chat(list, { ...options, ...saying(thinking, tokens) });
            const nibble = createNibble(chatting(chat))();
            const { text, reasoningText, usage } = await sdk.generateText({ model: nibble, prompt: 'a' });
            assert.deepEqual([text, reasoningText], ['Three.', 'Hm.']);
            const { reasoningTokens, textTokens } = usage.outputTokenDetails;
            assert.ok(reasoningTokens > 2 && reasoningTokens + textTokens === usage.outputTokens);
            const streamed = sdk.streamText({ model: nibble, prompt: 'a' });
            const types = (await all(streamed.fullStream)).map(({ type }) => type);
            assert.ok(
                types.indexOf('reasoning-end') < types.indexOf('text-start') && types.includes('reasoning-start'),
            );
            assert.deepEqual([await streamed.text, await streamed.reasoningText], ['Three.', 'Hm.']);
        } finally {
            await thinking.dispose();
        }
        const { nibble, given } = await scripted('a', 'b');
        await sdk.generateText({ model: nibble, prompt: 'a', reasoning: 'none' });
        await sdk.generateText({ model: nibble, prompt: 'a', reasoning: 'low' });
        assert.deepEqual(
            given.map(({ options }) => [options.thinking, options.templateVariables.reasoning_effort]),
            [
                [false, 'none'],
                [true, 'low'],
            ],
        );
    });
});

describe('the AI SDK: what nibble lacks, and errors', { skip }, () => {
    const tool = () => ({ look: sdk.tool({ inputSchema: sdk.jsonSchema({ type: 'object' }) }) });
    const features = (/** @type {any[]} */ warnings) =>
        warnings.map(({ type, feature, details }) => {
            assert.ok(type === 'unsupported' && details.length > 20);
            return feature;
        });

    test('JSON and tools of providers give warnings', async () => {
        const nibble = createNibble(model),
            short = { ...greedy, maxOutputTokens: 2 };
        const { warnings } = await nibble().doGenerate({
            ...asked('a'),
            maxOutputTokens: 1,
            tools: [{ type: 'provider', id: 'own.search', name: 'search', args: {} }],
        });
        assert.deepEqual(features(warnings), ['provider-defined tool own.search']);
        const none = await sdk.generateText({ model: nibble(), ...short, tools: tool(), toolChoice: 'none' });
        assert.deepEqual(none.warnings, []);
        assert.ok(wanted.startsWith(none.text));
    });

    test('outputs are held to JSON and a schema', async () => {
        const model_ = createNibble(model)(),
            settings = { model: model_, prompt: 'Hello', maxOutputTokens: 60 },
            schema = sdk.jsonSchema({
                $schema: 'http://json-schema.org/draft-07/schema#',
                type: 'object',
                properties: { kind: { enum: ['a', 'b'] }, n: { type: 'integer', minimum: 1, maximum: 9 } },
                required: ['kind', 'n'],
                additionalProperties: false,
            });
        const { output, warnings } = await sdk.generateText({ ...settings, output: sdk.Output.object({ schema }) });
        assert.ok(['a', 'b'].includes(output.kind) && output.n >= 1 && output.n <= 9, JSON.stringify(output));
        assert.deepEqual(warnings ?? [], []);
        const { object } = await sdk.generateObject({ ...settings, schema });
        assert.deepEqual(object, output);
        const choice = await sdk.generateText({ ...settings, output: sdk.Output.choice({ options: ['yes', 'no'] }) });
        assert.ok(['yes', 'no'].includes(choice.output));
        const refused = sdk.jsonSchema({ type: 'object', not: {} });
        await assert.rejects(
            sdk.generateText({ ...settings, output: sdk.Output.object({ schema: refused }) }),
            /chat\(\): schema: "not" at # is not supported/,
        );
    });

    test('messages that are no text are refused', async () => {
        const nibble = createNibble(model);
        const user = (/** @type {any[]} */ ...content) => [{ role: 'user', content }];
        const file = { type: 'content', value: [{ type: 'file', mediaType: 'image/png', data: new Uint8Array([1]) }] },
            call = { type: 'tool-call', toolCallId: '1', toolName: 'look', input: {} };
        for (const [request, functionality] of /** @type {[any, RegExp][]} */ ([
            [
                { messages: user({ type: 'file', mediaType: 'image/png', data: new Uint8Array([137, 80]) }) },
                /^files \(image\/png\) in messages$/,
            ],
            [
                {
                    messages: [
                        ...user({ type: 'text', text: 'a' }),
                        { role: 'assistant', content: [call] },
                        { role: 'tool', content: [{ ...call, type: 'tool-result', output: file }] },
                    ],
                },
                /^parts of the type "file[\w-]*" in results of tools$/,
            ],
        ])) {
            const check = (/** @type {any} */ error) => {
                assert.ok(sdk.UnsupportedFunctionalityError.isInstance(error), String(error));
                assert.match(error.functionality, functionality);
                assert.match(error.message, /: [\w ,]+$/);
                return true;
            };
            await assert.rejects(sdk.generateText({ model: nibble(), ...request }), check);
            /** @type {any[]} */
            const told = [];
            const onError = (/** @type {any} */ { error }) => told.push(error);
            await sdk.streamText({ model: nibble(), ...request, onError }).consumeStream();
            assert.equal(told.length, 1);
            check(told[0]);
        }
    });

    test('models that are not there', () => {
        const nibble = createNibble({ own: model });
        for (const [get, type] of /** @type {[(name: any) => unknown, string][]} */ ([
            [nibble, 'languageModel'],
            [nibble.languageModel, 'languageModel'],
            [nibble.embeddingModel, 'embeddingModel'],
            [nibble.imageModel, 'imageModel'],
        ]))
            for (const name of ['other', 'toString'])
                assert.throws(
                    () => get(name),
                    (/** @type {any} */ error) =>
                        sdk.NoSuchModelError.isInstance(error) && error.modelId === name && error.modelType === type,
                );
        assert.throws(() => nibble(), sdk.NoSuchModelError.isInstance);
        assert.throws(() => createNibble(/** @type {any} */ ({})), { code: 'NB_ERR_ARGUMENT' });
        const registry = sdk.createProviderRegistry({ nibble });
        assert.equal(registry.languageModel('nibble:own').modelId, 'own');
        assert.equal(createNibble(model)('any').modelId, model.info.name);
    });

    test("nibble's errors come as they are, and are not tried again", async () => {
        const tooLong = { prompt: 'word '.repeat(5000), maxOutputTokens: 3 },
            isTooLong = (/** @type {any} */ error) => error instanceof NibbleError && error.code === 'NB_ERR_CONTEXT';
        const nibble = createNibble(model);
        await assert.rejects(sdk.generateText({ model: nibble(), ...tooLong }), isTooLong);
        /** @type {any[]} */
        const told = [];
        const onError = (/** @type {any} */ { error }) => told.push(error);
        const parts = await all(sdk.streamText({ model: nibble(), ...tooLong, onError }).fullStream);
        assert.ok(told.length === 1 && isTooLong(told[0]));
        assert.ok(isTooLong(parts.find(({ type }) => type === 'error').error));
        await assert.rejects(
            sdk.generateText({ model: nibble(), ...greedy, providerOptions: { nibble: { minp: 1 } } }),
            /no option "minp"; did you mean "minP"/,
        );
    });

    test('an error amid an answer is a part of the stream, which ends', async () => {
        const error = new NibbleError('NB_ERR_WORKER', 'the worker died'),
            failing = chatting(() => generation(() => Promise.reject(error)));
        const { stream } = await createNibble(failing)().doStream(asked('a'));
        const parts = (await all(stream)).slice(2);
        assert.deepEqual(
            parts.map(({ type }) => type),
            ['text-start', 'text-delta', 'error', 'text-end', 'finish'],
        );
        assert.equal(parts[2].error, error);
        assert.deepEqual(parts[4].finishReason, { unified: 'error', raw: undefined });
    });

    test('an abort ends the generation', async () => {
        /** @type {any} the generation that was begun last */
        let last;
        const nibble = createNibble(chatting((...call) => (last = model.chat(.../** @type {[any]} */ (call)))));
        let controller = new AbortController();
        const whole = sdk.generateText({ model: nibble(), ...long, abortSignal: controller.signal });
        setTimeout(() => controller.abort(), 20);
        await assert.rejects(whole, { name: 'AbortError' });
        await assert.rejects(last, { name: 'AbortError' });
        const before = last;
        controller = new AbortController();
        const { signal } = controller,
            types = [];
        for await (const { type } of sdk.streamText({ model: nibble(), ...long, abortSignal: signal }).fullStream) {
            types.push(type);
            if (type === 'text-delta') controller.abort();
        }
        assert.equal(types.at(-1), 'abort');
        assert.ok(!types.includes('error'));
        assert.notEqual(last, before);
        await assert.rejects(last, { name: 'AbortError' });
        // without the SDK's functions the stream rejects
        controller = new AbortController();
        const { prompt } = asked('Hello');
        const { stream } = await nibble().doStream({
            ...{ prompt, temperature: 2, maxOutputTokens: 3000, abortSignal: controller.signal },
        });
        controller.abort();
        await assert.rejects(all(stream), { name: 'AbortError' });
    });

    test('a stream that is left ends its generation, also while a piece is awaited', async () => {
        let stops = 0;
        const hanging = chatting(() => {
            /** @type {(result: object) => void} */
            let end = () => {};
            const result = new Promise((resolve) => {
                end = resolve;
            });
            return generation(
                () => result,
                () => {
                    stops++;
                    end({ text: 'a', tokens: [1], promptTokens: 1, cachedTokens: 0, finishReason: 'abort' });
                },
            );
        });
        const { stream } = await createNibble(hanging)().doStream(asked('a')),
            reader = stream.getReader();
        for (let i = 0; i < 4; i++) assert.equal((await reader.read()).done, false);
        await reader.cancel();
        assert.equal(stops, 1);
    });
});

describe('the AI SDK: embeddings', { skip }, () => {
    const fixtures = `${root}tests/fixtures/sentence/`;
    /** @type {{ base: string, texts: { text: string, prompt?: string, prompt_name?: string, vector: number[] }[] }} */
    const { base, texts } = JSON.parse(readFileSync(`${fixtures}cases.json`, 'utf8')).prompts;

    test("embed() and embedMany() give sentence-transformers' vectors, with the prompt that is named", async () => {
        const temporary = await mkdtemp(join(tmpdir(), 'nibble-'));
        const folder = await changedCopy(temporary, [fixtures + base, `${fixtures}prompts`]);
        const own = await load(folder, { threads: 1, kvType: 'f32' });
        try {
            const embedder = createNibble({ own }).embeddingModel('own'),
                size = texts[0].vector.length;
            const plain = texts.filter(({ prompt, prompt_name }) => (prompt ?? prompt_name) === undefined),
                named = texts.find(({ prompt_name }) => prompt_name === 'document'); // not the default prompt's name
            assert.ok(plain.length > 0 && named);
            const values = [plain[0].text, ...plain.map(({ text }) => text)];
            const { embeddings, usage } = await sdk.embedMany({ model: embedder, values, dimensions: size });
            for (const [i, vector] of [plain[0], ...plain].entries())
                assert.ok(maxDistance(embeddings[i], vector.vector) < 1e-5);
            const default_ = own.info.embedding?.prompts?.[own.info.embedding.defaultPrompt ?? ''] ?? '';
            const counts = await Promise.all(values.map(async (text) => (await own.tokenize(default_ + text)).length));
            assert.equal(
                usage.tokens,
                counts.reduce((sum, count) => sum + count, 0),
            );
            const { embedding } = await sdk.embed({
                ...{ model: embedder, value: named.text },
                providerOptions: { nibble: { promptName: named.prompt_name } },
            });
            assert.ok(maxDistance(embedding, named.vector) < 1e-5);
            await assert.rejects(
                sdk.embed({ model: embedder, value: 'a', dimensions: size - 1 }),
                sdk.UnsupportedFunctionalityError.isInstance,
            );
            await assert.rejects(sdk.embed({ model: embedder, value: 'a', abortSignal: AbortSignal.abort() }), {
                name: 'AbortError',
            });
        } finally {
            await own.dispose();
            await rm(temporary, { recursive: true });
        }
    });
});

test('docs/ai-sdk.md: its examples run', { skip }, () => {
    const page = readFileSync(`${root}docs/ai-sdk.md`, 'utf8'),
        programs = [...page.matchAll(/^```js\n([\s\S]*?)^```/gm)].map(([, lines]) => lines);
    assert.equal(programs.length, 2);
    for (const [i, lines] of programs.entries()) {
        const program = lines.replace(/load\('[^']*'/g, `load(${JSON.stringify(models.tiny)}`);
        assert.notEqual(program, lines);
        const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
            cwd: root,
            encoding: 'utf8',
        });
        assert.equal(status, 0, stderr);
        assert.match(stdout, [/ (stop|length) \d+\n[\s\S]+\n$/, /^\d\.\d+\n$/][i]);
    }
});

test("the types of the AI SDK's package accept the provider", { skip }, () => {
    compiles('tests/support/ai-sdk-types.ts');
});
