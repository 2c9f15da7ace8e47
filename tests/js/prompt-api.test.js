// nibble-llm/prompt-api, held to the names and behaviours that the web platform's tests of the Prompt API check
// (web-platform-tests/wpt, ai/language-model), and to its specification. Answers and counts of tokens are llama.cpp's.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { load, NibbleError } from '../../web/index.js';
import { languageModel } from '../../web/prompt-api/index.js';
import { models, root } from '../support/builds.js';
import { forced, withTemplate } from '../support/forced.js';
import { greedyVectors } from '../support/vectors.js';

/** @typedef {import('../../web/index.d.ts').Model} Model */
/** @typedef {import('../../web/prompt-api/index.d.ts').LanguageModelClass} LanguageModelClass */

const turns = greedyVectors('llamacpp/tiny-greedy.json').find(({ name }) => name === 'chat-turns');
if (!turns) throw new Error('a case is missing');
/** The messages of that case. */
const { chat } = JSON.parse(readFileSync(`${root}tests/fixtures/llamacpp/prompts.json`, 'utf8')).greedy.find(
    (/** @type {any} */ { name }) => name === 'chat-turns',
);
const question = chat[chat.length - 1].content,
    initialPrompts = chat.slice(0, -1);
const TOKENS = 24,
    SENTENCE = 'Please write a sentence in English.';
/** Tokens of "<|im_start|>assistant\n", with which the template begins an answer. */
const BEGINNING = 5;

/** @type {Model} */
let model;
/** @type {LanguageModelClass} */
let LanguageModel;
/** What llama.cpp answers. */
let wanted = '';
/** The tokens of each request to the model. @type {(number[] | Promise<number[]>)[]} */
let asked = [];

before(async () => {
    model = await load(models.tiny, { threads: 1 });
    wanted = await model.detokenize(turns.tokens.slice(0, TOKENS));
    LanguageModel = languageModel(like({}), { chat: { maxTokens: TOKENS } });
});
after(() => model.dispose());

/** The model, whose requests are noted, with other members. @param {object} others @returns {Model} */
function like(others) {
    return /** @type {any} */ ({
        info: model.info,
        applyTemplate: model.applyTemplate.bind(model),
        tokenize: model.tokenize.bind(model),
        complete(/** @type {any} */ tokens, /** @type {any} */ options) {
            asked.push(tokens);
            return model.complete(tokens, options);
        },
        chat(/** @type {any} */ messages, /** @type {any} */ options) {
            const { continueFinalMessage, tools } = options;
            asked.push(model.applyTemplate(messages, { continueFinalMessage, tools }).then(({ tokens }) => tokens));
            return model.chat(messages, options);
        },
        ...others,
    });
}

/** @param {any} [options] */
const create = (options) => LanguageModel.create({ samplingMode: 'most-predictable', ...options });

/** @param {any} input anything */
const any = (input) => input;

/** The tokens of messages, by the model's template. @param {any[]} messages */
const tokensOf = async (messages, addGenerationPrompt = true) =>
    (await model.applyTemplate(messages, { addGenerationPrompt })).tokens;

/** @param {AsyncIterable<string>} stream */
async function textOf(stream) {
    let text = '';
    for await (const piece of stream) text += piece;
    return text;
}

const rejects = (/** @type {Promise<unknown>} */ promise, /** @type {string} */ name) =>
    assert.rejects(promise, (error) => error instanceof DOMException && error.name === name);

/** Aborts right after the call, and before another; with a reason and without one.
 * @param {(signal: AbortSignal) => Promise<unknown>} call */
async function abortable(call) {
    for (const reason of [undefined, new Error('enough')]) {
        const controller = new AbortController(),
            promise = call(controller.signal);
        controller.abort(reason);
        for (const each of [promise, call(controller.signal)])
            await (reason ? assert.rejects(each, (error) => error === reason) : rejects(each, 'AbortError'));
    }
}

describe('create()', () => {
    test('gives a session with all names of the specification', async () => {
        const session = await LanguageModel.create();
        assert.ok(session instanceof LanguageModel && session instanceof EventTarget);
        for (const name of ['prompt', 'promptStreaming', 'append', 'measureContextUsage', 'clone', 'destroy'])
            assert.equal(typeof any(session)[name], 'function', name);
        assert.equal(session.contextUsage, 0);
        assert.equal(session.contextWindow, 512); // what the file says
        assert.equal(session.oncontextoverflow, null);
        assert.deepEqual([session.inputUsage, session.inputQuota, session.onquotaoverflow], [0, 512, null]);
        assert.throws(() => new (any(LanguageModel))(), TypeError);
        session.destroy();
    });

    test('takes a sampling mode, or a temperature and topK', async () => {
        for (const samplingMode of any([
            ...['most-predictable', 'predictable', 'slightly-predictable', 'balanced'],
            ...['slightly-creative', 'creative', 'most-creative'],
        ])) {
            const session = await LanguageModel.create({ samplingMode });
            assert.equal(session.samplingMode, samplingMode);
            assert.equal((await session.clone()).samplingMode, samplingMode);
        }
        assert.equal((await LanguageModel.create()).samplingMode, 'balanced');
        const { maxTopK, maxTemperature } = await LanguageModel.params();
        for (const [options, topK, temperature] of any([
            [{ topK: 3, temperature: 0.5 }, 3, 0.5],
            [{ topK: 1.5, temperature: 0 }, 1, 0],
            [{ topK: Infinity, temperature: Infinity }, maxTopK, maxTemperature],
        ])) {
            const session = await (await LanguageModel.create(options)).clone();
            assert.deepEqual([session.samplingMode, session.topK, session.temperature], [null, topK, temperature]);
        }
        for (const options of [{ temperature: -0.5 }, { topK: 0 }, { topK: -2 }, { temperature: NaN }])
            await assert.rejects(LanguageModel.create(options), RangeError);
        for (const options of [{ temperature: 0.8 }, { topK: 10 }])
            await assert.rejects(LanguageModel.create({ samplingMode: 'balanced', ...options }), TypeError);
        await assert.rejects(LanguageModel.create(any({ samplingMode: 'wild' })), TypeError);
    });

    test('takes a system message at the beginning only', async () => {
        const [system, user] = chat;
        await create({ initialPrompts: [] });
        assert.equal((await create({ initialPrompts })).contextUsage, (await tokensOf(initialPrompts, false)).length);
        for (const prompts of [
            [user, system],
            [system, system, user],
        ])
            await assert.rejects(create({ initialPrompts: prompts }), TypeError);
        for (const prompts of ['text', [1], [{}], [{ role: 'user' }], [{ role: 'judge', content: '' }]])
            await assert.rejects(create({ initialPrompts: prompts }), TypeError);
    });

    test('refuses what nibble does not support, as availability() tells', async () => {
        for (const options of any([
            { expectedInputs: [{ type: 'image' }] },
            { expectedInputs: [{ type: 'text' }, { type: 'audio', languages: ['es'] }] },
            { expectedOutputs: [{ type: 'tool-call' }] },
            { expectedInputs: [{ type: 'tool-response' }], tools: [] },
            { expectedInputs: [{ type: 'tool-call' }], tools: [WEATHER] },
        ])) {
            assert.equal(await LanguageModel.availability(options), 'unavailable');
            await rejects(create(options), 'NotSupportedError');
        }
        for (const options of any([
            {},
            { expectedInputs: [], expectedOutputs: [{ type: 'text' }], tools: [] },
            { expectedInputs: [{ type: 'text', languages: ['EN', 'ja'] }] },
        ])) {
            assert.equal(await LanguageModel.availability(options), 'available');
            (await create(options)).destroy();
        }
        for (const call of [LanguageModel.availability, create]) {
            await assert.rejects(call(any({ expectedInputs: [{ type: 'soup' }] })), TypeError);
            const languages = ['en-abc-invalid'];
            await assert.rejects(call(any({ expectedInputs: [{ type: 'text', languages }] })), RangeError);
        }
    });

    test('refuses models that cannot answer', async () => {
        for (const info of [{ chatTemplate: undefined }, { encoder: true }, { unsupported: 'an unknown type' }]) {
            const Other = languageModel(like({ info: { ...model.info, ...info } }));
            assert.equal(await Other.availability(), 'unavailable');
            await rejects(Other.create(), 'NotSupportedError');
        }
        // of a file it is known when it was loaded, and stays known
        const Encoder = languageModel(`${root}tests/fixtures/safetensors/bert`, { threads: 1 });
        assert.equal(await Encoder.availability(), 'downloadable');
        await rejects(Encoder.create(), 'NotSupportedError');
        assert.equal(await Encoder.availability(), 'unavailable');
    });

    test('ends with its signal', () => abortable((signal) => create({ signal })));
});

describe('loading', () => {
    test('create() loads the model, the last destroy() frees it, and a monitor sees it', async () => {
        const Own = languageModel(models.tiny, { threads: 1, contextLength: 64 });
        assert.equal(await Own.availability(), 'downloadable');
        /** @type {any[]} */
        const events = [],
            handled = /** @type {any[]} */ ([]);
        let created = false;
        const creating = Own.create({
            monitor(monitor) {
                monitor.ondownloadprogress = (event) => handled.push(event);
                monitor.addEventListener('downloadprogress', (event) => {
                    assert.equal(created, false);
                    events.push(event);
                });
            },
        });
        assert.equal(await Own.availability(), 'downloading');
        const [session, other] = await Promise.all([creating, Own.create()]);
        created = true;
        assert.equal(await Own.availability(), 'available');
        assert.deepEqual(handled, events);
        assert.ok(events.length >= 2);
        assert.deepEqual([events[0].loaded, events[events.length - 1].loaded], [0, 1]);
        for (const [i, { type, loaded, total, lengthComputable }] of events.entries()) {
            assert.deepEqual([type, total, lengthComputable], ['downloadprogress', 1, true]);
            assert.equal((loaded * 65536) % 1, 0);
            if (i > 0) assert.ok(loaded > events[i - 1].loaded);
        }
        assert.equal(session.contextWindow, 64);
        const copy = await session.clone();
        session.destroy();
        session.destroy();
        other.destroy();
        assert.equal(await Own.availability(), 'available');
        copy.destroy();
        assert.equal(await Own.availability(), 'downloadable');
        const again = await Own.create();
        again.destroy();
    });

    test('a monitor sees nothing after an abort, and its error is that of create()', async () => {
        for (const [at, later] of /** @type {[number, (act: () => void) => void][]} */ ([
            [0, (act) => act()],
            [0, queueMicrotask],
            [1, setTimeout],
        ])) {
            const controller = new AbortController(),
                reason = new Error('enough'),
                seen = /** @type {number[]} */ ([]);
            const creating = LanguageModel.create({
                signal: controller.signal,
                monitor(monitor) {
                    monitor.addEventListener('downloadprogress', ({ loaded }) => {
                        seen.push(loaded);
                        if (loaded === at) later(() => controller.abort(reason));
                    });
                },
            });
            await assert.rejects(creating, (error) => error === reason);
            await new Promise((resolve) => setTimeout(resolve, 5));
            assert.equal(seen[seen.length - 1], at);
        }
        const error = new Error('in the monitor');
        const monitor = () => {
            throw error;
        };
        await assert.rejects(create({ monitor }), (thrown) => thrown === error);
        await assert.rejects(create({ monitor: 1 }), TypeError);
    });

    test('an aborted create() ends the load, unless another waits for it', async () => {
        const Own = languageModel(models.tiny, { threads: 1 });
        const controller = new AbortController(),
            { signal } = controller;
        const one = Own.create({ signal }),
            other = Own.create();
        controller.abort();
        await rejects(one, 'AbortError');
        (await other).destroy();
        assert.equal(await Own.availability(), 'downloadable');
        await abortable((signal) => Own.create({ signal }));
        assert.equal(await Own.availability(), 'downloadable');
    });

    test("a load that fails gives the specification's error, with nibble's as its cause", async () => {
        const Own = languageModel(`${root}no-such-file.gguf`);
        for (let i = 0; i < 2; i++)
            await assert.rejects(Own.create(), (error) => {
                const { name, cause } = any(error);
                return name === 'NetworkError' && cause instanceof NibbleError && cause.code === 'NB_ERR_FILE';
            });
        assert.equal(await Own.availability(), 'downloadable');
        await rejects(languageModel(new Uint8Array(64)).create(), 'OperationError');
    });
});

describe('prompt()', () => {
    test('answers as llama.cpp does, with a count of tokens that is its', async () => {
        const session = await create({ initialPrompts });
        const usage = session.contextUsage;
        assert.equal(usage + (await session.measureContextUsage(question)), turns.prompt.length - BEGINNING);
        assert.equal(await session.prompt(question), wanted);
        // the answer is added, as an assistant's message: its beginning, and <|im_end|> with a line end
        assert.equal(session.contextUsage, turns.prompt.length + TOKENS + 2);
        const other = await create();
        assert.equal(await textOf(other.promptStreaming(chat)), wanted);
        assert.equal(other.contextUsage, session.contextUsage);
        assert.ok(other.promptStreaming('Hello') instanceof ReadableStream);
        other.destroy();
    });

    test('goes on with the conversation', async () => {
        const session = await create({ initialPrompts });
        const answer = await session.prompt(question);
        asked = [];
        await session.prompt([
            {
                role: 'user',
                content: [
                    { type: 'text', value: 'And ' },
                    { type: 'text', value: 'now?' },
                ],
            },
        ]);
        const all = [...chat, { role: 'assistant', content: answer }, { role: 'user', content: 'And now?' }];
        assert.deepEqual(await Promise.all(asked), [await tokensOf(all)]);
    });

    test('goes on from a prefix', async () => {
        const GIVEN = 8;
        const prefix = await model.detokenize(turns.tokens.slice(0, GIVEN));
        const session = await languageModel(like({}), { chat: { maxTokens: TOKENS - GIVEN } }).create({
            samplingMode: 'most-predictable',
        });
        const message = { role: /** @type {const} */ ('assistant'), content: prefix, prefix: true };
        asked = [];
        assert.equal(await session.prompt([...chat, message]), wanted.slice(prefix.length));
        assert.deepEqual(await Promise.all(asked), [[...turns.prompt, ...turns.tokens.slice(0, GIVEN)]]);
        assert.equal(session.contextUsage, turns.prompt.length + TOKENS + 2); // prefix and answer are one message
        for (const messages of any([
            [{ role: 'user', content: 'Hello', prefix: true }],
            [message, { role: 'user', content: 'Hello' }],
        ]))
            await rejects(session.prompt(messages), 'SyntaxError');
        await rejects(session.append([message]), 'NotSupportedError');
        await rejects((await create()).prompt([message]), 'NotSupportedError'); // the prefix of what?
    });

    test('takes empty inputs, and makes texts of others', async () => {
        const session = await create();
        for (const [input, content] of any([
            ['', ''],
            [null, 'null'],
            [undefined, 'undefined'],
            [{}, '[object Object]'],
            [[], ''],
            [[{ role: 'user', content: [] }], ''],
            [[{ role: 'user', content: [{ type: 'text', value: 1 }] }], '1'],
        ])) {
            asked = [];
            const own = await session.clone();
            assert.equal(typeof (await own.prompt(input)), 'string');
            assert.deepEqual(await Promise.all(asked), [await tokensOf([{ role: 'user', content }])]);
            await own.append(input);
            own.destroy();
        }
    });

    test('refuses a system message after others, and what is no message', async () => {
        const session = await create();
        const [system] = chat;
        for (const method of any(['prompt', 'append'])) {
            const ask = any(session)[method].bind(session);
            await assert.rejects(ask([{ role: 'user', content: 'foo' }, system]), TypeError);
            await assert.rejects(ask([system, system]), TypeError);
            for (const input of [[1], [{}], [{ role: 'user' }], [{ role: 'judge', content: '' }]])
                await assert.rejects(ask(input), TypeError);
            await assert.rejects(ask([{ role: 'user', content: [{ type: 'soup', value: '' }] }]), TypeError);
            await assert.rejects(ask([{ role: 'user', content: [{ type: 'text', value: {} }] }]), TypeError);
        }
        assert.throws(() => session.promptStreaming(any([{ role: 'judge', content: '' }])), TypeError);
        const first = session.prompt(any(system)); // a text: "[object Object]"
        await assert.rejects(session.prompt([system]), TypeError); // the one before has begun the session
        await first;
    });

    test('a responseConstraint holds the answer, and the model is told of it', async () => {
        const session = await create(),
            omitted = { omitResponseConstraintInput: true },
            schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] };
        const plain = await session.measureContextUsage('Hello');
        assert.ok((await session.measureContextUsage('Hello', { responseConstraint: schema })) > plain + 20);
        assert.equal(await session.measureContextUsage('Hello', { responseConstraint: schema, ...omitted }), plain);
        for (const more of [{}, omitted]) {
            const answer = await session.prompt('Hello', { responseConstraint: schema, ...more });
            assert.equal(typeof JSON.parse(answer).ok, 'boolean');
            const date = /\d{4}-[01]\d|never|no{2}ne/;
            const [found] =
                date.exec(await textOf(session.promptStreaming('When?', { responseConstraint: date, ...more }))) ?? [];
            assert.match(String(found), /^(\d{4}-[01]\d|never|noone)$/);
        }
        session.destroy();
    });

    test('refuses what nibble does not support', async () => {
        const session = await create();
        for (const type of any(['image', 'audio', 'tool-call', 'tool-response']))
            for (const role of any(['user', 'assistant'])) {
                const input = [{ role, content: [{ type, value: new Uint8Array(1) }] }];
                await rejects(session.prompt(input), 'NotSupportedError');
                await rejects(session.append(input), 'NotSupportedError');
                await rejects(session.measureContextUsage(input), 'NotSupportedError');
            }
        for (const responseConstraint of [{ not: {} }, /a(?=b)/]) {
            await rejects(session.prompt('Hello', { responseConstraint }), 'NotSupportedError');
            await rejects(textOf(session.promptStreaming('Hello', { responseConstraint })), 'NotSupportedError');
        }
        await rejects(session.measureContextUsage('Hello', { responseConstraint: /a(?=b)/ }), 'NotSupportedError');
        for (const responseConstraint of ['a', () => {}])
            await assert.rejects(session.prompt('Hello', any({ responseConstraint })), TypeError);
        await assert.rejects(session.prompt('Hello', { omitResponseConstraintInput: true }), TypeError);
        await assert.rejects(session.measureContextUsage('Hello', { omitResponseConstraintInput: true }), TypeError);
        await assert.rejects(session.prompt('Hello', any({ signal: new AbortController() })), TypeError);
        assert.equal(session.contextUsage, 0);
    });

    test('answers one prompt after another, in their order', async () => {
        const session = await create();
        asked = [];
        const [one, two] = await Promise.all([
            session.prompt(SENTENCE),
            textOf(session.promptStreaming('Another one.')),
        ]);
        const said = [
            { role: 'user', content: SENTENCE },
            { role: 'assistant', content: one },
            { role: 'user', content: 'Another one.' },
        ];
        assert.deepEqual(await Promise.all(asked), [await tokensOf(said.slice(0, 1)), await tokensOf(said)]);
        assert.equal(
            session.contextUsage,
            (await tokensOf([...said, { role: 'assistant', content: two }], false)).length,
        );
    });

    test('a template that refuses messages of one role in a row gets them as one', async () => {
        const strict = like({
            applyTemplate: async (/** @type {any[]} */ messages, /** @type {any} */ options) => {
                if (messages.some(({ role }, i) => role === messages[i + 1]?.role))
                    throw new NibbleError('NB_ERR_ARGUMENT', 'roles must alternate');
                return model.applyTemplate(messages, options);
            },
        });
        const session = await languageModel(strict, { chat: { maxTokens: 1 } }).create();
        await session.append('One.');
        asked = [];
        await session.prompt('Two.');
        assert.deepEqual(await Promise.all(asked), [await tokensOf([{ role: 'user', content: 'One.\n\nTwo.' }])]);
        const refusing = like({
            applyTemplate: async () => {
                throw new NibbleError('NB_ERR_ARGUMENT', 'no');
            },
        });
        await rejects((await languageModel(refusing).create()).prompt('Hello'), 'NotSupportedError');
        const broken = like({
            chat() {
                throw new NibbleError('NB_ERR_WORKER', 'gone');
            },
        });
        await rejects((await languageModel(broken).create()).prompt('Hello'), 'UnknownError');
    });
});

/** What the explainer of the Prompt API has as its example. */
const WEATHER = {
    name: 'getWeather',
    description: 'Get the weather in a location.',
    inputSchema: { type: 'object', properties: { location: { type: 'string' } }, required: ['location'] },
    execute: async (/** @type {any} */ { location }) => `${location}: 21`,
};

describe('tools', () => {
    /** @type {Model} */
    let thinker;
    /** What the model says to the next requests. */
    let said = {};
    /** @type {{ messages: any[], options: any }[]} */
    let requests = [];
    before(async () => {
        const template =
            "{{ tools }}{% for m in messages %}<{{ m.role }}{{ '<think>' if 0 }}>{{ m.content }}{{ m.tool_calls }}{% endfor %}";
        thinker = await load(withTemplate(template), { threads: 1, contextLength: 4096 });
    });
    after(() => thinker.dispose());

    const called = (/** @type {string} */ name, /** @type {object} */ values) =>
        `<tool_call>\n${JSON.stringify({ name, arguments: values })}\n</tool_call>`;
    const at = (/** @type {string} */ location) => called('getWeather', { location });
    const ASKED = { role: 'user', content: 'Where is it warm?' };

    /** A session whose model says these texts. @param {any} options @param {...string} texts */
    async function withTools(options, ...texts) {
        said = await forced(thinker, ...texts);
        requests = [];
        const Own = languageModel(
            /** @type {any} */ ({
                info: thinker.info,
                applyTemplate: thinker.applyTemplate.bind(thinker),
                complete: thinker.complete.bind(thinker),
                chat(/** @type {any} */ messages, /** @type {any} */ options) {
                    requests.push({ messages: [...messages], options });
                    return thinker.chat(messages, { ...options, ...said });
                },
            }),
        );
        return Own.create({ tools: [WEATHER], ...options });
    }
    /** Calls without their ids, and results. @param {any[]} messages */
    const plain = (messages) =>
        messages.map(({ tool_calls, tool_call_id: _, ...message }) => ({
            ...message,
            ...(tool_calls && { calls: tool_calls.map((/** @type {any} */ call) => call.function.arguments) }),
        }));

    test('are functions with all that the specification demands', async () => {
        const expected = {
            expectedInputs: [{ type: 'text', languages: ['en'] }, { type: 'tool-response' }],
            expectedOutputs: [{ type: 'text' }, { type: 'tool-call' }],
        };
        assert.equal(await LanguageModel.availability(any({ tools: [WEATHER], ...expected })), 'available');
        (await create({ tools: [WEATHER], ...expected })).destroy();
        for (const tools of any([
            ...Object.keys(WEATHER).map((key) => [{ ...WEATHER, [key]: undefined }]),
            [{ ...WEATHER, inputSchema: 'object' }],
            [{ ...WEATHER, execute: 'getWeather' }],
            [WEATHER, WEATHER],
            ['getWeather'],
            1,
        ]))
            for (const call of [LanguageModel.availability, create])
                await assert.rejects(call({ tools }), TypeError, JSON.stringify(tools));
    });

    test('the model is told of them, calls them at once, and answers by their results', async () => {
        let running = 0,
            most = 0;
        const execute = async (/** @type {any} */ { location }) => {
            most = Math.max(most, ++running);
            await new Promise((resolve) => setTimeout(resolve));
            running--;
            return `${location}: 21`;
        };
        const tools = [{ ...WEATHER, execute }],
            texts = [
                `<think>Hm.</think>Let me see.\n${at('Oslo')}\n${at('Rome')}`,
                at('Bern'),
                '<think>So.</think>Rome.',
            ];
        const { name, description, inputSchema } = WEATHER,
            described = [{ type: 'function', function: { name, description, parameters: inputSchema } }];
        /** @param {any[]} messages */
        const count = async (messages) =>
            (await thinker.applyTemplate(messages, { tools: described, addGenerationPrompt: false })).tokens.length;
        const before = [{ role: 'system', content: 'Be brief.' }];
        for (const isStreamed of [false, true]) {
            const session = await withTools({ tools, initialPrompts: before }, ...texts);
            assert.equal(session.contextUsage, await count(before));
            const text = isStreamed
                ? await textOf(session.promptStreaming(ASKED.content))
                : await session.prompt(ASKED.content);
            assert.equal(text, 'Let me see.\n\nRome.');
            assert.equal(most, 2);
            const wanted = [
                ...before,
                ASKED,
                {
                    role: 'assistant',
                    content: 'Let me see.',
                    reasoning_content: 'Hm.',
                    calls: ['{"location":"Oslo"}', '{"location":"Rome"}'],
                },
                { role: 'tool', name, content: 'Oslo: 21' },
                { role: 'tool', name, content: 'Rome: 21' },
                { role: 'assistant', content: '', calls: ['{"location":"Bern"}'] },
                { role: 'tool', name, content: 'Bern: 21' },
            ];
            assert.deepEqual(plain(requests[2].messages), wanted);
            const [call] = requests[2].messages[2].tool_calls;
            assert.equal(requests[2].messages[3].tool_call_id, call.id);
            assert.deepEqual(requests[0].options.tools, described);
            // what was thought is no part of the answer, and the conversation goes on with all
            const all = [...requests[2].messages, { role: 'assistant', content: 'Rome.' }];
            assert.equal(session.contextUsage, await count(all));
            const copy = await session.clone();
            said = await forced(thinker, 'Yes.');
            await copy.prompt('Sure?');
            assert.deepEqual(requests[3].messages, [...all, { role: 'user', content: 'Sure?' }]);
            assert.deepEqual(requests[3].options.tools, described);
        }
    });

    test('the model is told of errors, and of results that are no texts', async () => {
        const results = [new Error('no network'), { celsius: 21 }, 21, undefined],
            execute = async () => {
                const result = results.shift();
                if (result instanceof Error) throw result;
                return result;
            };
        const calls = [at('Oslo'), at('Rome'), at('Bern'), at('Kyiv'), called('getTime', {})].join('\n');
        const session = await withTools({ tools: [{ ...WEATHER, execute }] }, calls, 'Well.');
        assert.equal(await session.prompt('Hello'), 'Well.');
        assert.deepEqual(
            requests[1].messages.filter(({ role }) => role === 'tool').map(({ content }) => content),
            [
                '{"error":"no network"}',
                '{"celsius":21}',
                '21',
                'null',
                '{"error":"there is no function getTime; there is getWeather"}',
            ],
        );
    });

    test('an abort ends a prompt whose functions run, and the session goes on', async () => {
        /** @type {() => void} */
        let begun = () => {};
        const execute = () => {
            begun();
            return new Promise(() => {});
        };
        const session = await withTools({ tools: [{ ...WEATHER, execute }] }, at('Oslo'), 'Hello.');
        const controller = new AbortController(),
            started = new Promise((resolve) => {
                begun = () => resolve(undefined);
            });
        const prompt = session.prompt('How is it?', { signal: controller.signal });
        await started;
        controller.abort();
        await rejects(prompt, 'AbortError');
        assert.equal(session.contextUsage, 0);
        assert.equal(await session.prompt('Hello'), 'Hello.');
        assert.deepEqual(requests[1].messages, [{ role: 'user', content: 'Hello' }]);
    });

    test('a model that calls again and again has to answer the tenth time', async () => {
        const call = called('f', {}),
            session = await withTools({ tools: [{ ...WEATHER, name: 'f' }] }, ...Array(10).fill(call));
        assert.equal(await session.prompt('Hello'), call);
        assert.deepEqual(
            requests.map(({ options }) => options.toolChoice),
            [...Array(9).fill(undefined), 'none'],
        );
    });

    test('goes on from a prefix; a constraint holds the answer, which calls nothing', async () => {
        const session = await withTools({}, at('Oslo'), 'So it is 21.'),
            prefix = { role: 'assistant', content: 'I look. ', prefix: true };
        assert.equal(await session.prompt(any([ASKED, prefix])), 'So it is 21.');
        assert.deepEqual(plain(requests[1].messages.slice(0, 2)), [
            ASKED,
            { role: 'assistant', content: 'I look. ', calls: ['{"location":"Oslo"}'] },
        ]);
        requests = [];
        said = {};
        assert.match(await session.prompt('Is it?', { responseConstraint: /yes|no/ }), /^(yes|no)$/);
        assert.equal(requests[0].options.toolChoice, 'none');
    });
});

describe('append() and measureContextUsage()', () => {
    test('append() adds messages, which the model reads', async () => {
        const session = await create();
        const usage = await session.measureContextUsage(chat);
        assert.equal(usage, turns.prompt.length - BEGINNING);
        asked = [];
        assert.equal(await session.append(chat), undefined);
        assert.deepEqual(await Promise.all(asked), [turns.prompt.slice(0, -BEGINNING)]);
        assert.equal(session.contextUsage, usage);
        assert.equal(await session.measureContextUsage(initialPrompts), (await tokensOf(initialPrompts, false)).length);
        const before = await session.measureInputUsage(SENTENCE);
        await session.append(SENTENCE);
        assert.equal(session.contextUsage, usage + before);
    });
});

describe('overflow', () => {
    test('the oldest prompts go with their answers, initial ones stay, and the event tells', async () => {
        const session = await create({ initialPrompts });
        /** @type {string[]} */
        const events = [];
        for (const type of any(['contextoverflow', 'quotaoverflow']))
            session.addEventListener(type, ({ type }) => events.push(type));
        session.oncontextoverflow = ({ type }) => events.push(`on ${type}`);
        const first = await session.prompt(SENTENCE);
        assert.ok(first.length > 0);
        const second = await session.prompt('Another one.');
        assert.deepEqual(events, []);
        let long = SENTENCE;
        while (session.contextUsage + (await session.measureContextUsage(long)) + BEGINNING < session.contextWindow)
            long += SENTENCE.repeat(3); // it overflows by a little
        asked = [];
        await session.prompt(long);
        assert.deepEqual(events.sort(), ['contextoverflow', 'on contextoverflow', 'quotaoverflow']);
        const kept = [
            ...initialPrompts,
            { role: 'user', content: 'Another one.' },
            { role: 'assistant', content: second },
            { role: 'user', content: long },
        ];
        assert.deepEqual(await Promise.all(asked), [await tokensOf(kept)]);
    });

    test('appended messages go one by one, and a system message stays', async () => {
        const session = await create();
        const [system] = chat;
        await session.append([system, { role: 'user', content: SENTENCE.repeat(5) }]);
        await session.append('A second one.');
        let long = SENTENCE;
        while (session.contextUsage + (await session.measureContextUsage(long)) <= session.contextWindow)
            long += SENTENCE.repeat(3); // it overflows by a little
        let overflowed = false;
        session.onquotaoverflow = () => {
            overflowed = true;
        };
        await session.append(long);
        assert.ok(overflowed);
        const kept = [system, { role: 'user', content: 'A second one.' }, { role: 'user', content: long }];
        assert.equal(session.contextUsage, (await tokensOf(kept, false)).length);
    });

    test('what does not fit at all is a QuotaExceededError, and nothing is removed', async () => {
        const session = await create();
        await session.append(SENTENCE);
        session.oncontextoverflow = () => assert.fail('something was removed');
        const usage = session.contextUsage,
            long = SENTENCE.repeat(session.contextWindow);
        const requested = usage + (await session.measureContextUsage(long));
        /** @param {number} wanted */
        const exceeded = (wanted) => (/** @type {any} */ error) =>
            error instanceof DOMException &&
            error.name === 'QuotaExceededError' &&
            any(error).requested === wanted &&
            any(error).quota === session.contextWindow;
        await assert.rejects(session.append(long), exceeded(requested));
        const answered = requested + BEGINNING + 1; // and one token of an answer
        await assert.rejects(session.prompt(long), exceeded(answered));
        await assert.rejects(textOf(session.promptStreaming(long)), exceeded(answered));
        assert.equal(session.contextUsage, usage);
        // newer browsers have a class for it
        const { QuotaExceededError } = any(globalThis);
        any(globalThis).QuotaExceededError = class extends DOMException {
            constructor(/** @type {string} */ message, /** @type {object} */ numbers) {
                super(message, 'QuotaExceededError');
                Object.assign(this, numbers, { own: true });
            }
        };
        await assert.rejects(session.append(long), (error) => any(error).own && exceeded(requested)(error));
        any(globalThis).QuotaExceededError = QuotaExceededError;
        const system = [{ role: 'system', content: long }];
        await assert.rejects(
            create({ initialPrompts: system }),
            exceeded(await session.measureContextUsage(any(system))),
        );
    });

    test('an answer that fills the context ends there', async () => {
        /** @type {any} */
        let generation;
        const noting = like({
            chat(/** @type {any} */ messages, /** @type {any} */ options) {
                assert.ok(options.maxTokens > 512);
                generation = model.chat(messages, options);
                return generation;
            },
        });
        const session = await languageModel(noting, { chat: { ignoreEnd: true } }).create();
        const text = await session.prompt(SENTENCE.repeat(25));
        const result = await generation;
        assert.equal(text, result.text);
        assert.equal(result.promptTokens + result.tokens.length, session.contextWindow);
    });
});

describe('abort, clone and destroy', () => {
    /** An answer of hundreds of tokens. @returns {LanguageModelClass} */
    const talkative = () => languageModel(like({}), { chat: { ignoreEnd: true } });

    test('a signal ends a prompt, which is then no part of the conversation', async () => {
        const session = await talkative().create();
        await abortable((signal) => session.prompt(SENTENCE, { signal }));
        await abortable((signal) => session.append(SENTENCE, { signal }));
        await abortable((signal) => session.measureContextUsage(SENTENCE, { signal }));
        await abortable((signal) => session.clone({ signal }));
        await abortable(async (signal) => textOf(session.promptStreaming(SENTENCE, { signal })));
        const aborted = AbortSignal.abort();
        assert.throws(() => session.promptStreaming(SENTENCE, { signal: aborted }), { name: 'AbortError' });
        // amid an answer
        const controller = new AbortController();
        const amid = async () => {
            for await (const piece of session.promptStreaming(SENTENCE, { signal: controller.signal }))
                if (piece) controller.abort();
        };
        await rejects(amid(), 'AbortError');
        // a reader that leaves
        for await (const piece of session.promptStreaming(SENTENCE)) if (piece) break;
        assert.equal(session.contextUsage, 0);
        const after = await create();
        assert.equal(await after.prompt(chat), wanted); // the model is free again
    });

    test('a prompt that waits is taken out of the queue', async () => {
        const session = await create();
        const controller = new AbortController(),
            { signal } = controller;
        asked = [];
        const first = session.prompt(SENTENCE),
            second = session.prompt('Another one.', { signal });
        controller.abort();
        await rejects(second, 'AbortError');
        await first;
        await session.prompt('A third one.');
        assert.equal(asked.length, 2);
    });

    test('clone() has all so far, and goes its own way', async () => {
        const session = await create({ initialPrompts });
        const copy = await session.clone();
        assert.deepEqual(
            [copy.contextUsage, copy.contextWindow, copy.topK, copy.temperature],
            [session.contextUsage, session.contextWindow, session.topK, session.temperature],
        );
        assert.ok(copy instanceof LanguageModel);
        const usage = session.contextUsage;
        assert.equal(await copy.prompt(question), wanted);
        assert.ok(copy.contextUsage > usage);
        assert.equal(session.contextUsage, usage);
        copy.destroy();
        assert.equal(await session.prompt(question), wanted);
    });

    /** All that a session can be asked. @param {any} session */
    const calls = (session) => [
        session.prompt(SENTENCE),
        session.append(SENTENCE),
        session.measureContextUsage(SENTENCE),
        session.clone(),
        (async () => textOf(session.promptStreaming(SENTENCE)))(),
    ];

    test('destroy() ends what is under way, and all that comes later', async () => {
        const session = await talkative().create();
        const promises = calls(session);
        session.destroy();
        for (const promise of [...promises, ...calls(session)]) await rejects(promise, 'AbortError');
        assert.deepEqual([session.contextUsage, session.contextWindow], [0, 512]);
    });

    test('the signal of create() destroys the session, with its reason', async () => {
        const controller = new AbortController(),
            { signal } = controller;
        const session = await talkative().create({ signal });
        const promises = calls(session),
            reason = new Error('enough');
        controller.abort(reason);
        for (const promise of [...promises, ...calls(session)])
            await assert.rejects(promise, (error) => error === reason);
    });
});

test('docs/prompt-api.md: its examples run', () => {
    const page = readFileSync(`${root}docs/prompt-api.md`, 'utf8'),
        programs = [...page.matchAll(/^```js\n([\s\S]*?)^```/gm)].map(([, lines]) => lines);
    assert.equal(programs.length, 2);
    for (const [i, lines] of programs.entries()) {
        const program = lines.replace(/(load|languageModel)\('[^']*'/g, `$1(${JSON.stringify(models.tiny)}`);
        assert.notEqual(program, lines);
        const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
            cwd: root,
            encoding: 'utf8',
        });
        assert.equal(status, 0, stderr);
        assert.match(stdout, [/^100 %\n[\s\S]+\n\d+ of 512 tokens\n$/, /^[\s\S]+\n$/][i]);
    }
});
