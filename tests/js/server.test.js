// The server's parts, in this process: the queue, the budget, time limits, connections, bodies, names, keys, origins,
// metrics and the log. Most answers come from fake models, which end them when the test says so.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { load, NibbleError } from '../../web/index.js';
import { Count } from '../../web/openai/answers.js';
import { guardOf, hostNameOf, originOf } from '../../web/server/guard.js';
import { enterFirst, Line } from '../../web/server/line.js';
import { Models } from '../../web/server/models.js';
import { Server } from '../../web/server/server.js';
import { models as files, root } from '../support/builds.js';
import { fakeOffer } from '../support/fake-model.js';
import { embeddingVectors, greedyVectors, maxDistance } from '../support/vectors.js';

const PACKAGE = 'openai'; // no literal in import(): tsc then checks this file where the package is missing, too
const { default: OpenAI } = await import(PACKAGE);

/** @type {(() => Promise<void>)[]} */
const closing = [];
after(async () => {
    for (const close of closing) await close();
});

/**
 * A server on the loopback.
 * @param {import('../../web/server/models.js').Offer[]} offers
 * @param {{ memory?: number, queue?: number, timeout?: number, patience?: number, hosts?: string[], key?: string,
 *     origins?: string[], maxBody?: number, stall?: number, connections?: number, node?: import('node:http').ServerOptions }} [more]
 */
async function serving(offers, { memory = 1e12, queue = 8, timeout = 60_000, patience, ...more } = {}) {
    /** @type {any[]} */
    const log = [];
    const tell = (/** @type {string} */ event, /** @type {object} */ about) => void log.push({ event, ...about });
    const { hosts, key, origins = [], maxBody = 1 << 20, ...rest } = more;
    const server = new Server({ guard: guardOf({ hosts, key, origins }), maxBody, tell, ...rest }),
        models = new Models(offers, { memory, queue, timeout, patience }, tell),
        { port } = await server.listen('127.0.0.1', 0);
    server.ready(models, offers.length === 1);
    const close = async (grace = 0) => {
        await server.close(grace);
        await models.close();
    };
    closing.push(close);
    const url = `http://127.0.0.1:${port}`;
    /** @param {string} path @param {object} body @param {RequestInit} [init] */
    const post = (path, body, init = {}) =>
        fetch(`${url}/v1/${path}`, {
            method: 'POST',
            body: JSON.stringify(body),
            ...init,
            headers: { 'content-type': 'application/json', ...init.headers },
        });
    const client = (/** @type {object} */ options = {}) =>
        new OpenAI({ apiKey: key ?? 'none', baseURL: `${url}/v1`, maxRetries: 0, ...options });
    return { url, port, server, models, log, close, post, client };
}

/** @param {() => unknown} holds */
async function until(holds, what = String(holds)) {
    for (let i = 0; i < 1000; i++) {
        if (await holds()) return;
        await sleep(10);
    }
    assert.fail(`it did not come: ${what}`);
}

/** What a connection answers to these bytes, until it is closed. @param {number} port @param {string[]} parts */
function raw(port, ...parts) {
    return /** @type {Promise<string>} */ (
        new Promise((resolve) => {
            const socket = connect(port, '127.0.0.1');
            let text = '';
            socket.setEncoding('utf8').on('data', (/** @type {string} */ piece) => (text += piece));
            socket.on('close', () => resolve(text)).on('error', () => {});
            for (const part of parts) socket.write(part);
        })
    );
}

const HEAD = 'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';

describe("OpenAI's client, over real models", () => {
    const { prompt, tokens, ...turns } = /** @type {any} */ (
        greedyVectors('llamacpp/tiny-greedy.json').find(({ name }) => name === 'chat-turns')
    );
    assert.equal(turns.name, 'chat-turns');
    const TOKENS = 24,
        usage = {
            prompt_tokens: prompt.length,
            completion_tokens: TOKENS,
            total_tokens: prompt.length + TOKENS,
        };
    /** @type {Awaited<ReturnType<typeof serving>>} */
    let own;
    /** @type {any} */
    let client;
    /** The tokens that each answer has so far. @type {import('../../web/index.d.ts').Generation[]} */
    const generations = [];
    let wanted = '',
        greedy = /** @type {any} */ ({});

    before(async () => {
        const { readFileSync } = await import('node:fs');
        const { greedy: prompts } = JSON.parse(readFileSync(`${root}tests/fixtures/llamacpp/prompts.json`, 'utf8')),
            { chat: messages } = prompts.find((/** @type {any} */ { name }) => name === 'chat-turns');
        greedy = { model: 'tiny', messages, temperature: 0, max_completion_tokens: TOKENS };
        own = await serving([
            {
                name: 'tiny',
                bytes: 1,
                async open() {
                    const model = await load(files.tiny, { threads: 1, contextLength: 4096 });
                    const { chat } = model;
                    wanted = await model.detokenize(tokens.slice(0, TOKENS));
                    return Object.assign(model, {
                        chat: Object.assign((/** @type {any[]} */ ...call) => {
                            const generation = chat(.../** @type {[any]} */ (call));
                            generations.push(generation);
                            return generation;
                        }, chat),
                    });
                },
            },
            {
                name: 'bert',
                bytes: 1,
                open: () => load(`${root}tests/fixtures/encoders/bert.gguf`, { threads: 1, kvType: 'f32' }),
            },
        ]);
        client = own.client();
    });

    test('a chat, as JSON and as a stream', async () => {
        const { data, request_id } = await client.chat.completions.create(greedy).withResponse();
        assert.equal(data.choices[0].message.content, wanted);
        assert.deepEqual(data.usage, { ...usage, prompt_tokens_details: { cached_tokens: 0 } });
        assert.equal(data.model, 'tiny');
        const stream = client.chat.completions.stream({ ...greedy, stream_options: { include_usage: true } });
        assert.equal(await stream.finalContent(), wanted);
        assert.deepEqual(await stream.totalUsage(), {
            ...usage,
            prompt_tokens_details: { cached_tokens: prompt.length - 1 },
        });
        await until(() => own.log.filter(({ event }) => event === 'request').length === 2);
        for (const line of own.log.filter(({ event }) => event === 'request')) {
            assert.deepEqual(
                [line.method, line.path, line.status, line.model, line.prompt_tokens, line.completion_tokens],
                ['POST', '/v1/chat/completions', 200, 'tiny', usage.prompt_tokens, TOKENS],
            );
            assert.ok(line.ms >= line.waited_ms && !('aborted' in JSON.parse(JSON.stringify(line))));
        }
        assert.equal(own.log.find(({ event }) => event === 'request').id, request_id);
    });

    test('completions, embeddings and the list of models', async () => {
        const { choices } = await client.completions.create({
            model: 'tiny',
            prompt,
            temperature: 0,
            max_tokens: TOKENS,
        });
        assert.equal(choices[0].text.trimStart(), wanted.trimStart());
        const vectors = embeddingVectors('encoders/bert.json');
        for (const encoding_format of [undefined, 'float']) {
            const input = vectors.map(({ tokens }) => tokens),
                { data, model } = await client.embeddings.create({ model: 'bert', input, encoding_format });
            assert.equal(model, 'bert');
            for (const [i, { embedding }] of data.entries()) assert.ok(maxDistance(embedding, vectors[i].cls) < 1e-5);
        }
        assert.deepEqual(
            (await client.models.list()).data.map((/** @type {any} */ { id }) => id),
            ['tiny', 'bert'],
        );
        assert.equal((await client.models.retrieve('bert')).id, 'bert');
        await assert.rejects(client.models.retrieve('none'), { status: 404, code: 'model_not_found' });
        await assert.rejects(client.chat.completions.create({ ...greedy, model: 'none' }), { status: 404 });
        await assert.rejects(client.chat.completions.create({ ...greedy, temperature: 9 }), {
            status: 400,
            code: 'NB_ERR_ARGUMENT',
            param: 'temperature',
        });
        for (const call of ['completions', 'embeddings']) {
            const many = Array(2049).fill('a'),
                request = { model: 'tiny', ...(call === 'embeddings' ? { input: many } : { prompt: many }) };
            await assert.rejects(client[call].create(request), { status: 400, message: /may have 2048 texts/ });
        }
        const long = { model: 'tiny', prompt: Array(5000).fill(prompt[0]) };
        await assert.rejects(client.completions.create(long), { status: 400, code: 'context_length_exceeded' });
    });

    test('requests that are made to exhaust something are refused, or answered', async () => {
        const { messages } = greedy,
            deep = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;
        for (const [body, wanted] of /** @type {[string, RegExp][]} */ ([
            [JSON.stringify({ ...greedy, chat_template_kwargs: { x: 'DEEP' } }).replace('"DEEP"', deep), /^(200|400)$/],
            [JSON.stringify({ ...greedy, messages: 'DEEP' }).replace('"DEEP"', deep), /^400$/],
            [JSON.stringify({ ...greedy, stop: Array(100_000).fill('zz') }), /^200$/],
            [JSON.stringify({ ...greedy, messages: Array(10_000).fill(messages[0]) }), /^400$/],
            [JSON.stringify({ ...greedy, n: 1e9 }), /^400$/],
            [JSON.stringify({ ...greedy, max_completion_tokens: 1e300 }), /^400$/],
            [JSON.stringify({ ...greedy, logit_bias: { 1e9: 1 } }), /^(200|400)$/],
            [JSON.stringify({ ...greedy, messages: [{ role: 'user', content: '\u0000\ud800<|im_end|>' }] }), /^200$/],
        ])) {
            const response = await own.post('chat/completions', {}, { body });
            assert.match(String(response.status), wanted, `${body.slice(0, 80)}: ${await response.text()}`);
        }
        assert.equal((await client.chat.completions.create(greedy)).choices[0].message.content, wanted);
        assert.equal(own.models.states[0].loads, 1, 'the model was loaded again');
    });

    test('a client that leaves a stream, or does not wait for the answer: the engine stops', async () => {
        const long = { ...greedy, temperature: 2, repeat_penalty: 1.5, seed: 1, max_completion_tokens: 3500 };
        for await (const _ of await client.chat.completions.create({ ...long, stream: true })) break;
        const controller = new AbortController(),
            begun = generations.length;
        const waiting = client.chat.completions.create(long, { signal: controller.signal });
        await until(() => generations.length === begun + 1 && generations[begun].tokens.length > 3);
        controller.abort();
        await assert.rejects(waiting, OpenAI.APIUserAbortError);
        for (const generation of generations.slice(-2)) {
            await assert.rejects(generation, { message: 'the client left' });
            assert.ok(generation.tokens.length < 3000, 'it had ended by itself');
        }
        const made = generations.slice(-2).map((each) => each.tokens.length);
        assert.equal((await client.chat.completions.create(greedy)).choices[0].message.content, wanted);
        assert.deepEqual(
            generations.slice(begun - 1, begun + 1).map((each) => each.tokens.length),
            made,
        );
        const abortedLines = () => own.log.filter((line) => line.aborted);
        await until(() => abortedLines().length === 2);
        const aborted = abortedLines();
        assert.deepEqual(
            aborted.map(({ status }) => status),
            [200, 499],
        );
        assert.ok(aborted.every((line) => line.completion_tokens > 0));
    });
});

describe('the queue', () => {
    test('one at a time, in their order; more than --max-queue are refused with a time to come back', async () => {
        const offer = fakeOffer('one'),
            own = await serving([offer], { queue: 1 });
        const first = own.post('completions', { prompt: 'a' });
        await until(() => offer.answers.length === 1);
        const second = own.post('completions', { prompt: 'b' });
        await until(() => own.models.states[0].waiting === 1);
        const third = await own.post('completions', { prompt: 'c' });
        assert.equal(third.status, 429);
        assert.match(third.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
        assert.equal(third.headers.get('x-should-retry'), null);
        const { error } = await third.json();
        assert.deepEqual([error.type, error.code, error.param], ['invalid_request_error', 'rate_limit_exceeded', null]);
        assert.equal(offer.answers.length, 1, 'two ran at a time');
        // OpenAI's client comes back by itself
        const back = own.client({ maxRetries: 5 }).completions.create({ model: 'any', prompt: 'd' });
        await until(() => own.log.filter(({ status }) => status === 429).length === 2);
        offer.answers[0].end();
        assert.equal((await first).status, 200);
        await until(() => offer.answers.length === 2);
        offer.answers[1].end();
        assert.equal((await second).status, 200);
        await until(() => offer.answers.length === 3);
        offer.answers[2].write('back');
        offer.answers[2].end();
        assert.equal((await back).choices[0].text, 'back');
    });

    test('a client that leaves while it waits gives up its place', async () => {
        const offer = fakeOffer('one'),
            own = await serving([offer]),
            controller = new AbortController();
        const first = own.post('completions', { prompt: 'a' });
        await until(() => offer.answers.length === 1);
        const second = own.post('completions', { prompt: 'b' }, { signal: controller.signal });
        await until(() => own.models.states[0].waiting === 1);
        controller.abort();
        await assert.rejects(second, { name: 'AbortError' });
        await until(() => own.models.states[0].waiting === 0);
        offer.answers[0].end();
        await first;
        await until(() => own.log.some(({ status, waited_ms }) => status === 499 && waited_ms === undefined));
        assert.equal(offer.answers.length, 1);
    });

    test('an answer that takes too long is ended, and the next one begins', async () => {
        const offer = fakeOffer('one'),
            own = await serving([offer], { timeout: 300 });
        const whole = own.post('completions', { prompt: 'a' });
        const stream = own.post('completions', { prompt: 'a', stream: true });
        const refused = await whole;
        assert.deepEqual([refused.status, (await refused.json()).error.code], [503, 'timeout']);
        assert.equal(refused.headers.get('x-should-retry'), 'false');
        await until(() => offer.answers.length === 2);
        offer.answers[1].write('x');
        const text = await (await stream).text();
        assert.match(text, /"text":"x".*\n\ndata: \{"error":\{"message":"[^"]+0\.3 s[^"]*".*"code":"timeout"\}\}\n\n$/);
        assert.ok(offer.answers.every((each) => each.isOver));
        await until(() => own.log.filter(({ code }) => code === 'timeout').length === 2);
    });

    test('a turn ends when the model has stopped: after a time limit, and after a client has left', async () => {
        let stop = () => {},
            isIdle = true;
        const idle = () =>
                isIdle ? Promise.resolve() : new Promise((/** @type {(_: void) => void} */ on) => (stop = on)),
            offer = fakeOffer('one', { idle }),
            own = await serving([offer], { timeout: 300 }),
            controller = new AbortController();
        for (const leave of [() => {}, () => controller.abort()]) {
            isIdle = false;
            const begun = offer.answers.length,
                first = own.post('completions', { prompt: 'a' }, { signal: controller.signal });
            first.catch(() => {});
            await until(() => offer.answers.length === begun + 1);
            const second = own.post('completions', { prompt: 'b' });
            await until(() => own.models.states[0].waiting === 1);
            leave();
            await until(() => offer.answers[begun].isOver);
            if (!controller.signal.aborted) assert.equal((await first).status, 503); // and is told so at once
            await sleep(5);
            const { running, waiting } = own.models.states[0];
            assert.deepEqual([running, waiting, offer.answers.length], [1, 1, begun + 1]);
            isIdle = true;
            stop();
            await until(() => offer.answers.length === begun + 2);
            offer.answers[begun + 1].end();
            assert.equal((await second).status, 200);
        }
        assert.equal(own.models.states[0].loads, 1);
    });

    test('a model that does not stop is loaded again, as is one that has died', async () => {
        for (const [idle, why] of /** @type {[() => Promise<void>, string][]} */ ([
            [() => new Promise(() => {}), 'hung'],
            [() => Promise.reject(new NibbleError('NB_ERR_WORKER', 'it died')), 'failed'],
        ])) {
            const log = /** @type {string[]} */ ([]),
                offer = fakeOffer('one', { log, idle }),
                own = await serving([offer], { timeout: 100, patience: 20 });
            const refused = await own.post('completions', { prompt: 'a' });
            assert.equal((await refused.json()).error.code, 'timeout');
            const next = own.post('completions', { prompt: 'b' });
            await until(() => offer.answers.length === 2);
            offer.answers[1].end();
            assert.equal((await next).status, 200);
            assert.deepEqual(log.slice(0, 5), ['open one', 'ask one', 'close one', 'open one', 'ask one']);
            assert.equal(own.log.find(({ event }) => event === 'unload').why, why);
        }
    });

    test('a reader that takes nothing of a stream is cut off', async () => {
        const offer = fakeOffer('one'),
            own = await serving([offer], { stall: 200 });
        const body = JSON.stringify({ prompt: 'a', stream: true });
        const socket = connect(own.port, '127.0.0.1');
        socket.on('error', () => {});
        socket.write(`${HEAD}Content-Length: ${body.length}\r\n\r\n${body}`);
        await until(() => offer.answers.length === 1);
        for (let i = 0; i < 400; i++) offer.answers[0].write('x'.repeat(1 << 16)); // no buffer holds that
        await until(() => offer.answers[0].isOver);
        assert.equal(own.models.states[0].running, 0);
        await until(() => own.log.some(({ aborted }) => aborted));
        socket.destroy();
    });

    test('a reader that takes a little at a time gets the whole of a long answer', async () => {
        const SIZE = 12 << 20, // more than the buffers of a connection hold
            offer = fakeOffer('one'),
            own = await serving([offer], { stall: 700 });
        const body = JSON.stringify({ prompt: 'a' });
        const socket = connect(own.port, '127.0.0.1');
        let taken = 0;
        socket.on('data', ({ length }) => {
            taken += length;
            socket.pause();
            setTimeout(() => socket.resume(), 20);
        });
        socket.write(`${HEAD}Connection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
        await until(() => offer.answers.length === 1);
        offer.answers[0].write('x'.repeat(SIZE));
        offer.answers[0].end();
        await new Promise((resolve) => socket.on('close', resolve));
        assert.ok(taken > SIZE, `${taken} bytes came`);
    });
});

test('Line: turns in their order, `first` before others, leaving, and ending twice', async () => {
    const line = new Line(),
        order = /** @type {string[]} */ ([]),
        controller = new AbortController();
    const end = await line.enter();
    const enter = (/** @type {string} */ name, /** @type {any[]} */ ...how) =>
        line.enter(...how).then((over) => {
            order.push(name);
            return over;
        });
    const a = enter('a'),
        gone = enter('gone', controller.signal),
        b = enter('b'),
        first = enter('first', undefined, true);
    controller.abort(new Error('left'));
    await assert.rejects(gone, /left/);
    assert.equal(line.waiting, 2, 'who comes first is not of the line');
    end();
    end();
    const endFirst = await first;
    await sleep(5);
    assert.deepEqual(order, ['first'], 'two had a turn');
    endFirst();
    (await a)();
    (await b)();
    assert.deepEqual(order, ['first', 'a', 'b']);
    assert.equal(line.taken, false);
    await assert.rejects(line.enter(controller.signal), /left/);
    assert.equal(line.taken, false);
});

test('a Line of two places: two at once, and who comes first has both', async () => {
    const line = new Line(2),
        order = /** @type {string[]} */ ([]);
    const enter = (/** @type {string} */ name, /** @type {any[]} */ ...how) =>
        line.enter(...how).then((over) => {
            order.push(name);
            return over;
        });
    const [a, b] = await Promise.all([enter('a'), enter('b')]),
        controller = new AbortController(),
        first = enter('first', undefined, true),
        gone = enter('gone', controller.signal, true),
        c = enter('c'),
        d = enter('d');
    a();
    await sleep(5);
    assert.deepEqual([order, line.running, line.isFull], [['a', 'b'], 1, true], 'nobody passes who comes first');
    b();
    const over = await first;
    assert.deepEqual([line.running, line.waiting], [2, 2]);
    controller.abort(new Error('left'));
    over();
    await assert.rejects(gone, /left/);
    (await c)();
    (await d)();
    assert.deepEqual([order, line.taken], [['a', 'b', 'first', 'c', 'd'], false]);
});

test('enterFirst(): the line that is free first; its turn alone is taken', async () => {
    const lines = [new Line(), new Line(), new Line()],
        never = new AbortController().signal,
        ends = await Promise.all(lines.map((line) => line.enter())),
        next = lines[1].enter();
    const turn = enterFirst(lines, never);
    ends[1]();
    const { at, end } = await turn;
    assert.equal(at, 1);
    ends[0]();
    assert.deepEqual(
        lines.map(({ taken, waiting }) => [taken, waiting]),
        [
            [false, 0],
            [true, 1],
            [true, 0],
        ],
    );
    end();
    (await next)();
    // two at once
    ends[2]();
    const again = await Promise.all(lines.map((line) => line.enter())),
        both = enterFirst(lines, never);
    again[2]();
    again[0]();
    (await both).end();
    again[1]();
    await sleep(1);
    assert.ok(lines.every(({ taken }) => !taken));
    // leaving
    const end0 = await lines[0].enter(),
        controller = new AbortController(),
        gone = enterFirst(lines.slice(0, 1), controller.signal);
    controller.abort(new Error('left'));
    await assert.rejects(gone, /left/);
    await assert.rejects(enterFirst(lines, controller.signal), /left/);
    end0();
    assert.ok(lines.every(({ taken }) => !taken));
});

describe('several models under a budget', () => {
    /** @param {Awaited<ReturnType<typeof serving>>} own @param {ReturnType<typeof fakeOffer>} offer */
    async function ask(own, offer, answers = offer.answers.length + 1) {
        const answer = own.post('completions', { model: offer.name, prompt: 'a' });
        await until(() => offer.answers.length === answers);
        return {
            async end() {
                offer.answers[answers - 1].end();
                const response = await answer;
                assert.equal(response.status, 200, await response.text());
            },
        };
    }

    test('a model is loaded when it is asked for; the one that was not used for the longest time goes', async () => {
        const log = /** @type {string[]} */ ([]),
            [a, b, c] = ['a', 'b', 'c'].map((name) => fakeOffer(name, { log })),
            own = await serving([a, b, c], { memory: 200 });
        assert.deepEqual(log, []);
        for (const each of [a, b, a, c]) await (await ask(own, each)).end();
        assert.deepEqual(log, ['open a', 'ask a', 'open b', 'ask b', 'ask a', 'close b', 'open c', 'ask c']);
        assert.deepEqual(
            own.models.states.map(({ bytes, loads }) => [bytes, loads]),
            [
                [100, 1],
                [0, 1],
                [100, 1],
            ],
        );
    });

    test('--parallel: two requests at once, a third waits, and one that breaks the model does not end others', async () => {
        const log = /** @type {string[]} */ ([]),
            a = { ...fakeOffer('a', { log, opening: () => sleep(5) }), parallel: 2 },
            own = await serving([a], { queue: 1 });
        const [first, second] = ['1', '2'].map((prompt) => own.post('completions', { prompt }));
        await until(() => a.answers.length === 2);
        const third = own.post('completions', { prompt: '3' }),
            answerTo = (/** @type {string} */ prompt) => a.answers.find(({ input }) => input === prompt);
        await until(() => own.models.states[0].waiting === 1);
        assert.equal((await own.post('completions', { prompt: 'a' })).status, 429);
        assert.equal(own.models.states[0].running, 2);
        const metrics = await (await fetch(`${own.url}/metrics`)).text();
        assert.match(metrics, /^nibble_requests_running\{model="a"\} 2$/m);
        assert.match(metrics, /^nibble_requests_parallel\{model="a"\} 2$/m);
        answerTo('1')?.end(new NibbleError('NB_ERR_MEMORY', 'no memory'));
        assert.equal((await first).status, 500);
        assert.deepEqual(log, ['open a', 'ask a', 'ask a'], 'loaded once, and not unloaded while it answers');
        answerTo('2')?.end();
        assert.equal((await second).status, 200);
        await until(() => answerTo('3') !== undefined); // an answer itself would be waited for
        answerTo('3')?.end();
        assert.equal((await third).status, 200);
        assert.deepEqual(log.slice(3), ['close a', 'open a', 'ask a']);
    });

    test('--parallel: requests that wait for the same load; one that leaves does not end the others', async () => {
        const log = /** @type {string[]} */ ([]),
            [a, b, c] = ['a', 'b', 'c'].map((name) => ({ ...fakeOffer(name, { log }), parallel: 3 })),
            own = await serving([a, b, c], { memory: 100 }),
            left = new AbortController();
        const asked = async (/** @type {number} */ model, /** @type {AbortSignal} */ signal) => {
            const { name, running } = own.models.states[model],
                answer = own.post('completions', { model: name, prompt: 'a' }, { signal });
            answer.catch(() => {});
            await until(() => own.models.states[model].running === running + 1);
            return { answer };
        };
        const never = new AbortController().signal,
            first = await ask(own, a),
            gone = await asked(1, left.signal), // it waits until a can be unloaded
            other = await asked(2, never), // waits for the load before
            second = await asked(1, never),
            third = await asked(1, never);
        left.abort();
        await assert.rejects(gone.answer);
        await until(() => own.models.states[1].running === 2);
        await first.end();
        for (const [offer, n] of /** @type {const} */ ([
            [c, 1],
            [b, 2],
        ])) {
            await until(() => offer.answers.length === n);
            for (const answer of offer.answers) answer.end();
        }
        for (const { answer } of [second, third, other]) assert.equal((await answer).status, 200);
        assert.deepEqual(log.slice(2), ['close a', 'open c', 'ask c', 'close c', 'open b', 'ask b', 'ask b']);
    });

    test('--parallel: a load waits for no request that waits for the same model as another', async () => {
        const log = /** @type {string[]} */ ([]),
            [a, b, c] = ['a', 'b', 'c'].map((name) => ({ ...fakeOffer(name, { log }), parallel: 2 })),
            own = await serving([a, b, c], { memory: 100 }),
            running = (/** @type {number} */ model, /** @type {number} */ n) =>
                until(() => own.models.states[model].running === n);
        const first = await ask(own, a),
            loads = own.post('completions', { model: 'b', prompt: 'a' });
        await running(1, 1);
        const other = ask(own, c);
        await running(2, 1);
        const shares = own.post('completions', { model: 'b', prompt: 'a' });
        await running(1, 2);
        await first.end();
        await until(() => b.answers.length === 2, 'the second waits for the load of c, which waits for the second');
        for (const answer of b.answers) answer.end();
        assert.deepEqual([(await loads).status, (await shares).status], [200, 200]);
        await (await other).end();
        assert.deepEqual(log.slice(2), ['close a', 'open b', 'ask b', 'ask b', 'close b', 'open c', 'ask c']);
    });

    test('a request that is wrong waits for nothing, and loads nothing', async () => {
        const log = /** @type {string[]} */ ([]),
            a = fakeOffer('a', { log }),
            b = { ...fakeOffer('b', { log }), info: { vocabulary: 10, embedding: /** @type {any} */ ({ size: 4 }) } },
            own = await serving([a, b], { queue: 0 });
        const message = { role: 'user', content: 'x' },
            wrong = /** @type {[string, object, RegExp][]} */ ([
                ['completions', {}, /prompt must be/],
                ['completions', { prompt: 'x', stream: true, top_p: 2 }, /top_p must be/],
                ['completions', { prompt: 'x', echo: true, best_of: 3 }, /best_of/],
                ['completions', { prompt: 'x', temperature: 0, mirostat: 2 }, /temperature above 0/],
                ['completions', { prompt: 'x', temperature: 0, mirostat: 2, logit_bias: { ' a': 1 } }, /above 0/],
                ['completions', { prompt: [1], echo: true, temperature: 0, mirostat: 2 }, /temperature above 0/],
                ['completions', { prompt: [1, 2, 10], n: 2 }, /the token 10/],
                ['completions', { prompt: 'x', logit_bias: { 11: 1 } }, /the token 11/],
                ['chat/completions', { messages: [] }, /messages must be/],
                ['chat/completions', { messages: [{ ...message, role: 1 }], stream: true }, /has no role/],
                ['chat/completions', { messages: [message], tools: [{}] }, /tools/],
                ['chat/completions', { messages: [message], stream_options: {} }, /stream_options/],
                ['embeddings', { input: 1 }, /input must be/],
                ['embeddings', { input: 'x', dimensions: 3 }, /dimensions must be 4/],
            ]);
        for (const [path, body, message] of wrong) {
            const response = await own.post(path, { model: 'b', ...body });
            assert.equal(response.status, 400, message.source);
            assert.match((await response.json()).error.message, message);
        }
        assert.deepEqual(log, []);
        // also if it would be one too many
        const first = await ask(own, a);
        assert.equal((await own.post('completions', { model: 'a' })).status, 400);
        assert.equal((await own.post('completions', { model: 'a', prompt: 'x' })).status, 429);
        await first.end();
    });

    test('one that is larger than the budget is loaded, alone', async () => {
        const log = /** @type {string[]} */ ([]),
            [a, b] = ['a', 'b'].map((name) => fakeOffer(name, { log })),
            own = await serving([a, b], { memory: 50 });
        for (const each of [a, b]) await (await ask(own, each)).end();
        assert.deepEqual(log, ['open a', 'ask a', 'close a', 'open b', 'ask b']);
    });

    test('adapters are expected to take memory, too', async () => {
        const log = /** @type {string[]} */ ([]),
            adapters = [20, 31].map((bytes, i) => ({ name: `adapter ${i}`, scale: 1, bytes })),
            [a, b] = ['a', 'b'].map((name) => ({ ...fakeOffer(name, { log }), adapters })),
            own = await serving([a, b], { memory: 250 });
        // as they turn out to be smaller, another model fits beside them: a with 100, b with 151
        for (const each of [a, b]) await (await ask(own, each)).end();
        assert.deepEqual(log, ['open a', 'ask a', 'close a', 'open b', 'ask b']);
        const less = await serving([a, b], { memory: 251 });
        log.length = 0;
        for (const each of [a, b]) await (await ask(less, each)).end();
        assert.deepEqual(log, ['open a', 'ask a', 'open b', 'ask b']);
    });

    test('a busy model ends its answer first, and those that wait for it come after', async () => {
        const log = /** @type {string[]} */ ([]),
            [a, b] = ['a', 'b'].map((name) => fakeOffer(name, { log })),
            own = await serving([a, b], { memory: 100 });
        const first = await ask(own, a);
        const later = own.post('completions', { model: 'a', prompt: 'a' });
        await until(() => own.models.states[0].waiting === 1);
        const other = ask(own, b);
        await until(() => own.models.states[1].running);
        assert.equal(own.models.states[0].waiting, 1, 'a request for b counts as one for a');
        assert.deepEqual(log, ['open a', 'ask a']);
        await first.end();
        await (await other).end();
        await until(() => a.answers.length === 2);
        a.answers[1].end();
        assert.equal((await later).status, 200);
        assert.deepEqual(log, ['open a', 'ask a', 'close a', 'open b', 'ask b', 'close b', 'open a', 'ask a']);
    });

    test('of several busy models the one that ends first goes', async () => {
        const log = /** @type {string[]} */ ([]),
            [a, b, c] = ['a', 'b', 'c'].map((name) => fakeOffer(name, { log })),
            own = await serving([a, b, c], { memory: 200, queue: 1 });
        const [first, second] = [await ask(own, a), await ask(own, b)];
        const other = ask(own, c);
        await until(() => own.models.states[2].running);
        const queued = own.post('completions', { model: 'a', prompt: 'a' });
        await until(() => own.models.states[0].waiting === 1 || a.answers.length > 1); // which 429 would not do
        await second.end();
        await (await other).end();
        assert.deepEqual(log, ['open a', 'ask a', 'open b', 'ask b', 'close b', 'open c', 'ask c']);
        await first.end();
        await until(() => a.answers.length === 2);
        a.answers[1].end();
        assert.equal((await queued).status, 200);
    });

    test('a client that leaves while it waits for room changes nothing', async () => {
        const log = /** @type {string[]} */ ([]),
            [a, b] = ['a', 'b'].map((name) => fakeOffer(name, { log })),
            own = await serving([a, b], { memory: 100 }),
            controller = new AbortController();
        const first = await ask(own, a);
        const gone = own.post('completions', { model: 'b', prompt: 'a' }, { signal: controller.signal });
        await until(() => own.models.states[1].running);
        controller.abort();
        await assert.rejects(gone);
        await until(() => !own.models.states[1].running);
        await first.end();
        await (await ask(own, a)).end();
        assert.deepEqual(log, ['open a', 'ask a', 'ask a']);
    });

    test('a client that leaves while a model is unloaded for it: who comes next loads once', async () => {
        /** @type {(() => void) | undefined} */
        let go;
        const log = /** @type {string[]} */ ([]),
            a = fakeOffer('a', { log, closing: () => new Promise((resolve) => (go = () => resolve())) }),
            b = fakeOffer('b', { log }),
            own = await serving([a, b], { memory: 100 }),
            controller = new AbortController();
        await (await ask(own, a)).end();
        const gone = own.models.create('b', 'completions', { prompt: 'a' }, controller.signal, { count: new Count() });
        gone.catch(() => {});
        await until(() => go);
        controller.abort(new Error('left'));
        await assert.rejects(gone, { message: 'left' });
        const next = ask(own, b);
        await until(() => own.models.states[1].running);
        go?.();
        await (await next).end();
        assert.deepEqual(log, ['open a', 'ask a', 'close a', 'open b', 'ask b']);
        assert.equal(own.models.states[1].loads, 1);
    });

    test('what was begun to load is loaded, though the client left', async () => {
        /** @type {(() => void) | undefined} */
        let go;
        const log = /** @type {string[]} */ ([]),
            a = fakeOffer('a', { log, opening: () => new Promise((resolve) => (go = () => resolve())) }),
            own = await serving([a], { queue: 0 }),
            controller = new AbortController();
        let reason = '';
        own.models
            .create('a', 'completions', { prompt: 'a' }, controller.signal, { count: new Count() })
            .catch(({ message }) => (reason = message));
        await until(() => go);
        controller.abort(new Error('left'));
        await until(() => reason === 'left', 'its end, before that of the load');
        // nobody waits, so that the next one is not one too many; it waits for what was begun
        const next = ask(own, a);
        await until(() => own.models.states[0].running);
        go?.();
        await (await next).end();
        assert.deepEqual(log, ['open a', 'ask a']);
    });

    test('a model that is larger than expected: others go after it was loaded, and busy ones when they are idle', async () => {
        for (const isBusy of [false, true]) {
            const log = /** @type {string[]} */ ([]),
                a = fakeOffer('a', { log }),
                b = fakeOffer('b', { log, actual: 150 }),
                own = await serving([a, b], { memory: 200 });
            const first = await ask(own, a);
            if (!isBusy) await first.end();
            const second = await ask(own, b);
            if (isBusy) assert.deepEqual(log.splice(0), ['open a', 'ask a', 'open b', 'ask b']);
            if (isBusy) await first.end();
            await until(() => log.includes('close a'));
            assert.deepEqual(
                own.models.states.map(({ bytes }) => bytes),
                [0, 150],
            );
            await second.end();
            await (await ask(own, a)).end(); // now its size is known
            assert.ok(log.indexOf('close b') < log.lastIndexOf('open a'));
        }
    });

    test('load() ends when its signal does, with its reason', async () => {
        let isOpening = false;
        const open = (/** @type {AbortSignal} */ signal) => {
            isOpening = true;
            return /** @type {Promise<never>} */ (
                new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
            );
        };
        const limits = { memory: 1, queue: 1, timeout: 1 },
            own = new Models([{ name: 'a', bytes: 1, open }], limits, () => {}),
            controller = new AbortController(),
            reason = new Error('Ctrl-C');
        const loading = own.load('a', controller.signal);
        await until(() => isOpening);
        controller.abort(reason);
        await assert.rejects(loading, (error) => error === reason);
    });

    test('a load that fails: clients learn no paths, and the next request tries again', async () => {
        let fails = true;
        const a = fakeOffer('a', {
                opening: async () => {
                    if (fails) throw new NibbleError('NB_ERR_FILE', 'cannot open /home/someone/a.gguf');
                },
            }),
            own = await serving([a]);
        const refused = await own.post('completions', { prompt: 'a' }),
            { error } = await refused.json();
        assert.deepEqual([refused.status, error.type, error.code], [500, 'server_error', 'NB_ERR_FILE']);
        assert.doesNotMatch(error.message, /someone/);
        assert.match(own.log.find(({ event }) => event === 'load failed').message, /someone/);
        fails = false;
        await (await ask(own, a)).end();
    });

    test('a failure that nobody expected: the client learns an id, and the log the rest', async () => {
        const a = fakeOffer('a'),
            own = await serving([a]);
        for (const stream of [false, true])
            for (const [thrown, code] of /** @type {[Error, string | null][]} */ ([
                [new NibbleError('NB_ERR_WORKER', 'it died in /home/someone'), 'NB_ERR_WORKER'],
                [new TypeError('/home/someone is not a function'), null],
            ])) {
                const answer = own.post('completions', { prompt: 'a', stream }),
                    count = a.answers.length + 1;
                await until(() => a.answers.length === count);
                if (stream) a.answers[count - 1].write('x');
                a.answers[count - 1].end(thrown);
                const response = await answer,
                    text = await response.text(),
                    { error } = JSON.parse(text.replace(/^.*data: (?=\{"error")/s, '')),
                    id = response.headers.get('x-request-id');
                assert.equal(response.status, stream ? 200 : 500);
                assert.doesNotMatch(text, /someone/);
                assert.deepEqual([error.type, error.code], ['server_error', code]);
                assert.match(error.message, /the log of the server says why, with the id req-\w+$/);
                assert.ok(error.message.endsWith(String(id)));
                await until(() => own.log.some((line) => line.event === 'request' && line.id === id));
                const lines = own.log.filter((line) => line.id === id && line.event === 'error');
                assert.deepEqual([lines.length, lines[0].message], [1, thrown.message]);
            }
    });

    test('a model that failed is loaded again; after an error of the request it stays', async () => {
        const log = /** @type {string[]} */ ([]),
            a = fakeOffer('a', { log }),
            own = await serving([a]);
        for (const stream of [false, true])
            for (const code of /** @type {const} */ (['NB_ERR_WORKER', 'NB_ERR_CONTEXT'])) {
                const answer = own.post('completions', { prompt: 'a', stream }),
                    count = a.answers.length + 1;
                await until(() => a.answers.length === count);
                if (stream) a.answers[count - 1].write('x');
                a.answers[count - 1].end(new NibbleError(code, 'it failed'));
                const response = await answer;
                assert.equal(response.status, stream ? 200 : code === 'NB_ERR_WORKER' ? 500 : 400);
                assert.match(await response.text(), code === 'NB_ERR_WORKER' ? /nibble failed/ : /it failed/);
            }
        await (await ask(own, a)).end();
        const reload = ['ask a', 'close a', 'open a', 'ask a'];
        assert.deepEqual(log, ['open a', ...reload, ...reload, 'ask a']);
    });
});

describe('connections', () => {
    /** @type {ReturnType<typeof fakeOffer>} */
    let offer;
    /** @type {Awaited<ReturnType<typeof serving>>} */
    let own;
    before(async () => {
        offer = fakeOffer('one');
        own = await serving([offer], { maxBody: 1000 });
    });

    /** Status and error of an answer. @param {string} text */
    const said = (text) => [Number(text.split(' ')[1]), JSON.parse(text.split('\r\n\r\n')[1]).error.message];

    test('bodies: too large, by their length or in chunks; compressed; of another type; no JSON; cut short', async () => {
        const json = { 'Content-Type': 'application/json' },
            form = { 'Content-Type': 'application/x-www-form-urlencoded' },
            large = `"${'x'.repeat(1000)}"`;
        for (const [headers, body, status, message] of /** @type {[Record<string, string>, any, number, RegExp][]} */ ([
            [json, large, 413, /larger than 1000 bytes/],
            [json, new Blob([large]).stream(), 413, /larger than 1000 bytes/],
            [{ ...json, 'Content-Encoding': 'gzip' }, '{}', 415, /compressed/],
            [form, '{}', 415, /Content-Type: application\/json/],
            [{ 'Content-Type': 'application/json-patch+json' }, '{}', 415, /Content-Type/],
            [{ 'Content-Type': 'text/plain;application/json' }, '{}', 415, /Content-Type/],
            [json, '{', 400, /no JSON/],
            [json, '', 400, /no JSON/],
            [json, new Uint8Array([0x22, 0xff, 0x22]), 400, /UTF-8/],
            [json, '[]', 400, /must be an object/],
            [json, 'null', 400, /must be an object/],
            [json, '{"__proto__": {"prompt": "a"}}', 400, /no field "__proto__"/],
            [json, `{"prompt": [${'"a",'.repeat(240)}1]}`, 400, /prompt must be/],
            [json, `{"prompt": ${'['.repeat(400)}${']'.repeat(400)}}`, 400, /prompt must be/],
            [{ 'Content-Type': 'Application/JSON ; charset=utf-8' }, '{}', 400, /prompt must be/],
        ])) {
            const init = /** @type {any} */ ({ method: 'POST', headers, body, duplex: 'half' }),
                response = await fetch(`${own.url}/v1/completions`, init),
                { error } = await response.json();
            assert.equal(response.status, status, error.message);
            assert.match(error.message, message);
            assert.deepEqual([error.type, 'param' in error, 'code' in error], ['invalid_request_error', true, true]);
        }
        await assert.rejects(own.client().completions.create({ model: 'a', prompt: large }), { status: 413 });
        assert.equal(offer.answers.length, 0);
    });

    test('a body of many small chunks, of all that is allowed', async () => {
        const begun = offer.answers.length,
            body = JSON.stringify({ prompt: 'x'.repeat(987) }),
            chunks = [...body].map((byte) => `1\r\n${byte}\r\n`).join('');
        assert.equal(body.length, 1000);
        const answer = raw(
            own.port,
            `${HEAD}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`,
        );
        await until(() => offer.answers.length === begun + 1);
        assert.equal(offer.answers[begun].input, 'x'.repeat(987));
        offer.answers[begun].end();
        assert.match(await answer, /^HTTP\/1\.1 200 /);
    });

    test('methods, paths and targets', async () => {
        const status = async (/** @type {string} */ line) =>
            Number(
                (await raw(own.port, `${line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)).split(' ')[1],
            );
        for (const [line, wanted] of /** @type {[string, number][]} */ ([
            ['GET /health', 200],
            ['HEAD /health', 200],
            ['GET /health?x=1', 200],
            ['POST /health', 405],
            ['GET /v1/models', 200],
            ['GET /v1/models/anything', 404],
            ['GET /v1/completions', 405],
            ['DELETE /v1/models', 405],
            ['TRACE /v1/models', 405],
            ['GET /', 404],
            ['GET /v1', 404],
            ['GET /v1/', 404],
            ['GET /v1/../metrics', 404],
            ['GET //v1/models', 404],
            ['GET /v1//models', 404],
            ['GET /V1/models', 404],
            ['GET /x/v1/models', 404],
            ['GET /v1/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd', 404],
            ['GET /v1/models/%ff%', 404],
            ['GET /v1/responses', 404],
            ['GET /..%2f..%2fetc/passwd', 404],
            ['GET http://localhost/v1/models', 400],
            ['OPTIONS *', 400],
            ['CONNECT localhost:80', 405],
        ]))
            assert.equal(await status(line), wanted, line);
        const wrong = await fetch(`${own.url}/v1/completions`);
        assert.equal(wrong.headers.get('allow'), 'POST');
    });

    test('slow headers, a slow body, large headers, and what is no HTTP: one answer, and a line of the log', async () => {
        const own = await serving([offer], {
            maxBody: 1000,
            node: { headersTimeout: 200, requestTimeout: 400, connectionsCheckingInterval: 50 },
        });
        const late = 'the request took too long to arrive',
            large = `${HEAD}Content-Length: 100000\r\n\r\n`,
            chunked = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`,
            PATH = '/v1/completions';
        // what comes after an answer that was early is dropped, and not for ever
        const cases = /** @type {[string[], number, string, string?][]} */ ([
            [['GET /health HTTP/1.1\r\nHost: loc'], 408, late],
            [[`${HEAD}Content-Length: 10\r\n\r\n{`], 408, late, PATH],
            [[`GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`], 431, 'the headers are too large'],
            [['\x16\x03\x01\x02\x00\x01\r\n\r\n'], 400, 'this is no HTTP/1.1'],
            [[`${HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}`], 400, 'this is no HTTP/1.1'],
            [[`${chunked}not hexadecimal\r\n`], 400, 'this is no HTTP/1.1', PATH],
            [
                ['GET /health HTTP/1.1\r\nConnection: close\r\n\r\n'],
                400,
                'the request must have the header Host',
                '/health',
            ],
            [['CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n'], 405, 'this server is no proxy'],
            [[`${HEAD}Expect: tea\r\n\r\n`], 417, 'the header Expect may only be 100-continue: leave it out', PATH],
            [[large, 'x'.repeat(1000)], 413, 'the body is larger than 1000 bytes', PATH],
            [[chunked, `500\r\n${'x'.repeat(0x500)}\r\n`], 413, 'the body is larger than 1000 bytes', PATH],
            [[chunked, `500\r\n${'x'.repeat(0x500)}\r\nxyz\r\n`], 413, 'the body is larger than 1000 bytes', PATH],
            [
                [large.replace('/json', '/x')],
                415,
                'the body must be JSON: send it with "Content-Type: application/json"',
                PATH,
            ],
        ]);
        const answers = await Promise.all(cases.map(([parts]) => raw(own.port, ...parts)));
        for (const [i, text] of answers.entries()) {
            const [, status, message, path] = cases[i];
            assert.deepEqual(said(text), [status, message]);
            assert.equal(text.match(/HTTP\/1\.1 \d/g)?.length, 1, text);
            const [, id] = /^x-request-id: (\S+)\r$/im.exec(text) ?? [];
            const lines = own.log.filter((line) => line.id === id);
            assert.deepEqual(
                lines.map(({ event, status, path, aborted }) => [event, status, path, aborted]),
                [['request', status, path, undefined]],
                text,
            );
        }
        assert.match(await raw(own.port), /^(HTTP\/1\.1 408 .*)?$/s); // not a byte
        assert.ok(!own.log.some(({ event }) => event === 'error'), 'what clients do was unexpected');
        assert.equal((await fetch(`${own.url}/health`)).status, 200);
        const metrics = await (await fetch(`${own.url}/metrics`)).text();
        assert.match(metrics, /\nnibble_requests_total\{path="other",status="431"\} 1\n/);
        assert.match(metrics, /\nnibble_requests_total\{path="\/v1\/completions",status="408"\} 1\n/);
    });

    test('connections beyond the limit: a line of the log for many', async () => {
        const own = await serving([offer], { connections: 1 }),
            one = connect(own.port, '127.0.0.1');
        one.on('error', () => {});
        await new Promise((resolve) => one.once('connect', resolve));
        assert.deepEqual([await raw(own.port), await raw(own.port)], ['', '']);
        assert.deepEqual(own.log, [{ event: 'dropped', connections: 1, limit: 1 }]);
        one.destroy();
        await until(async () => {
            const text = await fetch(`${own.url}/metrics`).then((response) => response.text(), String);
            return /\nnibble_connections_dropped_total [2-9]\n/.test(text);
        });
    });

    test('Expect: 100-continue: the body is asked for only if it will be read', async () => {
        const body = '{"prompt":[]}',
            expecting = (/** @type {number} */ length) =>
                `${HEAD}Expect: 100-continue\r\nContent-Length: ${length}\r\n`;
        const text = await raw(own.port, `${expecting(body.length)}Connection: close\r\n\r\n`, body);
        assert.match(text, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 400 /);
        // a client that keeps its body back would be misunderstood in what it sends next
        const large = await raw(own.port, `${expecting(5000)}\r\n`);
        assert.match(large, /^HTTP\/1\.1 413 .*\r\nconnection: close\r\n/is);
        // HTTP/1.0 has no Expect
        const old = await raw(own.port, `${expecting(2)}\r\n{}`.replace('HTTP/1.1', 'HTTP/1.0'));
        assert.match(old, /^HTTP\/1\.1 400 /);
    });

    test('a half-closed connection, and one that is reset, end their requests', async () => {
        for (const leave of /** @type {const} */ (['end', 'resetAndDestroy', 'destroy'])) {
            const begun = offer.answers.length,
                body = '{"prompt":"a","stream":true}',
                socket = connect(own.port, '127.0.0.1');
            socket.on('error', () => {});
            socket.write(`${HEAD}Content-Length: ${body.length}\r\n\r\n${body}`);
            await until(() => offer.answers.length === begun + 1);
            offer.answers[begun].write('x');
            await new Promise((resolve) => socket.once('data', resolve));
            socket[leave]();
            await until(() => offer.answers[begun].isOver, leave);
            await until(() => !own.models.states[0].running);
            socket.destroy();
        }
    });

    test('requests that are sent at once on one connection are answered in their order', async () => {
        const begun = offer.answers.length,
            body = '{"prompt":"a"}',
            one = `${HEAD}Content-Length: ${body.length}\r\n\r\n${body}`;
        const answers = raw(own.port, one, one, 'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
        for (const i of [0, 1]) {
            await until(() => offer.answers.length === begun + 1 + i);
            offer.answers[begun + i].write(`text ${i}`);
            offer.answers[begun + i].end();
        }
        assert.match(await answers, /200 OK.*"text":"text 0".*200 OK.*"text":"text 1".*200 OK.*\{"status":"ok"\}$/s);
        // and end together
        const socket = connect(own.port, '127.0.0.1');
        for (let i = 0; i < 4; i++) socket.write(one);
        await until(() => own.models.states[0].waiting === 3);
        socket.destroy();
        await until(() => !own.models.states[0].running && own.models.states[0].waiting === 0);
        assert.equal(offer.answers.length, begun + 3);
    });
});

describe('who may ask', () => {
    const key = 'a key with 26 characters!!'.replaceAll(' ', '-');

    /** @param {Awaited<ReturnType<typeof serving>>} own @param {Record<string, string>} headers */
    const asks = async (own, headers, path = '/v1/models', method = 'GET') => {
        const lines = Object.entries({ Host: 'localhost', Connection: 'close', ...headers }).map((line) =>
            line.join(': '),
        );
        const text = await raw(own.port, [`${method} ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n'));
        return { status: Number(text.split(' ')[1]), text };
    };

    test('the key: missing, of another length, nearly right, in other forms; /health needs none', async () => {
        const own = await serving([fakeOffer('one')], { key });
        for (const [value, status] of /** @type {[string | undefined, number][]} */ ([
            [undefined, 401],
            ['', 401],
            ['Bearer', 401],
            ['Bearer ', 401],
            [`Bearer ${key.slice(0, -1)}`, 401],
            [`Bearer ${key}x`, 401],
            [`Bearer ${key.slice(0, -1)}x`, 401],
            [`Bearer ${key.toUpperCase()}`, 401],
            [`Bearer ${'x'.repeat(10_000)}`, 401],
            [`Bearer ${key} ${key}`, 401],
            [`Basic ${key}`, 401],
            [key, 401],
            ['Bearer caf\xe9', 401],
            [`Bearer ${key}`, 200],
            [`bearer  ${key} `, 200],
        ])) {
            const { status: got, text } = await asks(own, value === undefined ? {} : { Authorization: value });
            assert.equal(got, status, String(value));
            if (status === 401) assert.match(text, /www-authenticate: Bearer\r\n.*"code":"invalid_api_key"/is);
        }
        assert.equal((await asks(own, { 'X-Api-Key': key })).status, 200);
        assert.equal((await asks(own, { 'X-Api-Key': `${key}x` })).status, 401);
        assert.equal((await asks(own, { 'X-Api-Key': key, Authorization: 'Bearer none' })).status, 200);
        for (const [path, status] of /** @type {[string, number][]} */ ([
            ['/health', 200],
            ['/health/', 401],
            ['//health', 401],
            ['/metrics', 401],
            ['/none', 401],
            ['/v1/models?key=x#/health', 401],
        ]))
            assert.equal((await asks(own, {}, path)).status, status, path);
        await assert.rejects(own.client({ apiKey: 'wrong' }).models.list(), OpenAI.AuthenticationError);
        assert.equal((await own.client().models.list()).data.length, 1);
        // the body of one who has no key is not read
        const text = await raw(
            own.port,
            `${HEAD}Connection: close\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n`,
        );
        assert.match(text, /^HTTP\/1\.1 401 /);
        assert.ok(!JSON.stringify(own.log).includes(key.slice(0, 8)), 'the log has the key');
    });

    test('the Host header: localhost, addresses and the names that were given', async () => {
        const own = await serving([fakeOffer('one')], { hosts: ['my.server', '127.0.0.1'] });
        for (const [host, status] of /** @type {[string, number][]} */ ([
            ['localhost', 200],
            ['LOCALHOST:8080', 200],
            ['localhost.', 200],
            ['a.localhost:1', 200],
            ['127.0.0.1', 200],
            ['192.168.1.2:8080', 200],
            ['[::1]:8080', 200],
            ['my.server', 200],
            ['my.server.:80', 200],
            ['evil.example', 403],
            ['evil.example:8080', 403],
            ['localhost.evil.example', 403],
            ['127.0.0.1.evil.example', 403],
            ['evil.example#localhost', 403],
            ['localhost@evil.example', 403],
            ['evil.example/localhost', 403],
            ['xlocalhost', 403],
            ['my.server.evil.example', 403],
            ['[localhost]', 403],
            ['', 403],
        ]))
            assert.equal((await asks(own, { Host: host })).status, status, host);
        for (const path of ['/health', '/metrics', '/none'])
            assert.equal((await asks(own, { Host: 'evil.example' }, path)).status, 403);
        const any = await serving([fakeOffer('one')]);
        assert.equal((await asks(any, { Host: 'anything.example' })).status, 200);
    });

    test('names and origins are written as browsers write them, or refused', () => {
        for (const [text, name] of /** @type {[string, string | undefined][]} */ ([
            ['My.Server', 'my.server'],
            ['my.server.', 'my.server'],
            ['my_service', 'my_service'],
            ['bücher.example', 'xn--bcher-kva.example'],
            ['192.168.1.2', '192.168.1.2'],
            ['[FE80::1]', '[fe80::1]'],
            ['::1', '::1'],
            ['my.server:8080', undefined],
            ['http://my.server', undefined],
            ['my.server/v1', undefined],
            ['*.example.org', undefined],
            ['*', undefined],
            ['a,b', undefined],
            ['a b', undefined],
            ['user@my.server', undefined],
            ['', undefined],
            ['.', undefined],
        ]))
            assert.equal(hostNameOf(text), name, text);
        for (const [text, origin] of /** @type {[string, string | undefined][]} */ ([
            ['HTTPS://Example.org', 'https://example.org'],
            ['https://example.org/', 'https://example.org'],
            ['https://example.org:443', 'https://example.org'],
            ['http://example.org:443/', 'http://example.org:443'],
            ['https://bücher.example', 'https://xn--bcher-kva.example'],
            ['http://[::1]:3000', 'http://[::1]:3000'],
            ['tauri://localhost', 'tauri://localhost'],
            ['chrome-extension://abcdef/', 'chrome-extension://abcdef'],
            ['https://example.org/app', undefined],
            ['https://example.org//', undefined],
            ['https://example.org?', undefined],
            ['https://example.org#', undefined],
            ['https://user@example.org', undefined],
            ['https://*.example.org', undefined],
            ['https://a.org,https://b.org', undefined],
            ['https://a\\b', undefined],
            ['https://example.org:99999', undefined],
            ['https://', undefined],
            ['example.org', undefined],
            ['wss://example.org', undefined],
            ['file:///', undefined],
            ['null', undefined],
            ['', undefined],
        ]))
            assert.equal(originOf(text), origin, text);
    });

    test('pages of other origins: none, some, all', async () => {
        const page = 'https://example.org',
            ask = {
                'Access-Control-Request-Method': 'POST',
                'Access-Control-Request-Headers': 'authorization, x-stainless-os',
            };
        const none = await serving([fakeOffer('one')]),
            some = await serving([fakeOffer('one')], { origins: [page, 'http://localhost:3000'], key }),
            every = await serving([fakeOffer('one')], { origins: ['*'] });
        for (const method of ['GET', 'OPTIONS'])
            assert.doesNotMatch(
                (await asks(none, { Origin: page, ...ask }, '/v1/models', method)).text,
                /access-control-allow-origin/i,
            );
        const before = await asks(some, { Origin: page, ...ask }, '/v1/completions', 'OPTIONS');
        assert.equal(before.status, 204); // without a key: browsers send none with this question
        assert.match(before.text, /access-control-allow-origin: https:\/\/example\.org\r\n/);
        assert.match(before.text, /access-control-allow-headers: authorization, x-stainless-os\r\n/);
        assert.match(before.text, /access-control-allow-methods: GET, POST\r\n/);
        // an error is for the page, too
        const refused = await asks(some, { Origin: page });
        assert.equal(refused.status, 401);
        assert.match(refused.text, /access-control-allow-origin: https:\/\/example\.org\r\n.*vary: origin\r\n/is);
        for (const Origin of ['https://example.org.evil.example', 'https://evil.example', 'http://example.org', 'null'])
            assert.doesNotMatch((await asks(some, { Origin })).text, /access-control-allow-origin/i, Origin);
        assert.match(
            (await asks(every, { Origin: 'https://other.example' })).text,
            /access-control-allow-origin: \*\r\n/,
        );
        assert.doesNotMatch((await asks(every, { Origin: page })).text, /allow-credentials/i);
    });
});

test('before it is ready, and while it stops, the answer is 503; what runs is answered within the grace', async () => {
    const tell = () => {},
        offer = fakeOffer('one'),
        limits = { memory: 1, queue: 8, timeout: 60_000 },
        node = { keepAliveTimeout: 60_000 }, // longer than the test waits
        server = new Server({ guard: guardOf({ origins: [] }), maxBody: 1000, tell, node }),
        models = new Models([offer], limits, tell),
        { port } = await server.listen('127.0.0.1', 0),
        url = `http://127.0.0.1:${port}`;
    for (const path of ['/health', '/v1/models']) {
        const response = await fetch(url + path);
        assert.equal(response.status, 503);
        assert.equal(response.headers.get('retry-after'), '1');
    }
    server.ready(models, true);
    const client = new OpenAI({ apiKey: 'none', baseURL: `${url}/v1`, maxRetries: 0 });
    const stream = await Promise.all([
        client.completions.create({ model: 'any', prompt: 'a', stream: true }),
        until(() => offer.answers.length === 1).then(() => offer.answers[0].write('begun, ')),
    ]).then(([chunks]) => chunks);
    const waiting = client.completions.create({ model: 'any', prompt: 'b' });
    await until(() => models.states[0].waiting === 1);
    const idle = connect(port, '127.0.0.1'),
        over = new Promise((resolve) => idle.on('close', resolve));
    await new Promise((resolve) => idle.once('connect', resolve));
    await fetch(`${url}/health`).then((response) => response.text()); // a connection that is kept
    const closed = server.close(20_000);
    await over;
    await assert.rejects(fetch(`${url}/health`));
    offer.answers[0].write('and ended');
    offer.answers[0].end();
    let text = '';
    for await (const { choices } of stream) text += choices[0].text;
    assert.equal(text, 'begun, and ended');
    await until(() => offer.answers.length === 2);
    offer.answers[1].write('waited');
    offer.answers[1].end();
    assert.equal((await waiting).choices[0].text, 'waited');
    const ended = performance.now();
    await closed;
    assert.ok(performance.now() - ended < 4000, 'a connection that was kept held it up');
    await models.close();
});

test('what is not over at the end of the grace is cut', async () => {
    const offer = fakeOffer('one'),
        own = await serving([offer]);
    const cut = own.post('completions', { prompt: 'a' });
    await until(() => offer.answers.length === 1);
    await Promise.all([assert.rejects(cut), own.close(100)]);
    await until(() => offer.answers[0].isOver);
});

/** The text format of Prometheus: its grammar, and what it says. @param {string} text */
function parseMetrics(text) {
    assert.ok(text.endsWith('\n'));
    const types = /** @type {Record<string, string>} */ ({}),
        values = /** @type {Record<string, number>} */ ({});
    for (const line of text.slice(0, -1).split('\n')) {
        const [, name, type] = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/.exec(line) ?? [];
        if (name) {
            assert.ok(!(name in types), `${name} twice`);
            types[name] = type;
        } else if (!/^# HELP [a-z_]+ \S.*\.$/.test(line)) {
            const [, name, labels = '', value] =
                /^([a-z_]+)(\{(?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*"(?:,(?!\})|(?=\})))+\})? ([0-9.e+-]+)$/.exec(line) ??
                [];
            assert.ok(name, `not of the format: ${line}`);
            assert.ok(types[name] ?? types[name.replace(/_(bucket|sum|count)$/, '')], `no TYPE before ${line}`);
            assert.ok(!(name + labels in values), `${line} twice`);
            values[name + labels] = Number(value);
        }
    }
    return { types, values };
}

test('the metrics: their format, and what was asked', async () => {
    const odd = 'a "model" \\ of\ntwo lines',
        offer = fakeOffer(odd, { bytes: 1234 }),
        other = fakeOffer('other'),
        own = await serving([offer, other]);
    for (const [i, pieces] of ['xyz', 'xy'].entries()) {
        const answer = own.post('completions', { model: odd, prompt: 'a' });
        await until(() => offer.answers.length === i + 1);
        for (const piece of pieces) offer.answers[i].write(piece);
        offer.answers[i].end();
        await answer;
    }
    await own.post('completions', { model: 'none', prompt: 'a' });
    await own.post('completions', { model: odd });
    for (const path of ['/x', '/y', '/v1/models/other', '/v1/models']) await fetch(own.url + path);
    await until(() => own.log.filter(({ event }) => event === 'request').length === 8);
    const response = await fetch(`${own.url}/metrics`);
    assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
    const { types, values } = parseMetrics(await response.text()),
        of = `{model="a \\"model\\" \\\\ of\\ntwo lines"}`;
    for (const [name, value] of /** @type {[string, number][]} */ ([
        ['nibble_requests_total{path="/v1/completions",status="200"}', 2],
        ['nibble_requests_total{path="/v1/completions",status="404"}', 1],
        ['nibble_requests_total{path="/v1/completions",status="400"}', 1],
        ['nibble_requests_total{path="/v1/models",status="200"}', 2],
        ['nibble_requests_total{path="other",status="404"}', 2],
        [`nibble_prompt_tokens_total${of}`, 6],
        [`nibble_completion_tokens_total${of}`, 5],
        [`nibble_requests_running${of}`, 0],
        [`nibble_requests_waiting${of}`, 0],
        [`nibble_model_bytes${of}`, 1234],
        [`nibble_model_loads_total${of}`, 1],
        ['nibble_model_bytes{model="other"}', 0],
        ['nibble_answer_seconds_count', 2],
        ['nibble_answer_seconds_bucket{le="+Inf"}', 2],
    ]))
        assert.equal(values[name], value, name);
    const classes = Object.entries(values)
        .filter(([name]) => name.includes('_bucket{'))
        .map(([, value]) => value);
    assert.ok(classes.length > 5 && classes.every((value, i) => i === 0 || value >= classes[i - 1]));
    assert.equal(types.nibble_answer_seconds, 'histogram');
});

test('the log: whole lines, without contents', async () => {
    const offer = fakeOffer('one'),
        own = await serving([offer]),
        secret = 'dolphin';
    const answer = own.post(`completions?api_key=${secret}`, { prompt: secret, user: secret });
    await until(() => offer.answers.length === 1);
    offer.answers[0].write(secret);
    offer.answers[0].end();
    assert.match(await (await answer).text(), /dolphin/);
    const stream = own.post('completions', { prompt: secret, stream: true });
    await until(() => offer.answers.length === 2);
    offer.answers[1].write(secret);
    offer.answers[1].end(new NibbleError('NB_ERR_ARGUMENT', `no ${secret}`));
    assert.match(await (await stream).text(), /no dolphin/);
    await own.post('completions', { [secret]: 1 });
    await fetch(`${own.url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: secret,
    });
    await fetch(`${own.url}/${'x'.repeat(5000)}`);
    await until(() => own.log.filter(({ event }) => event === 'request').length === 5);
    const text = JSON.stringify(own.log);
    assert.ok(!text.includes(secret), text);
    assert.ok(text.length < 3000);
    const codes = own.log.filter(({ event }) => event === 'request').map(({ status, code }) => [status, code]);
    assert.deepEqual(codes, [
        [200, undefined],
        [200, 'NB_ERR_ARGUMENT'],
        [400, 'NB_ERR_ARGUMENT'],
        [400, undefined],
        [404, undefined],
    ]);
});
