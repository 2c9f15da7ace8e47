// `nibble serve` as a process: its lines, its keys, its ends. tests/js/server.test.js has what it answers.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { createInterface } from 'node:readline';
import { after, describe, test } from 'node:test';
import { adapterMemory } from '../../web/cli/open-model.js';
import { load } from '../../web/index.js';
import { models, root } from '../support/builds.js';
import { listen } from '../support/loopback.js';

const PACKAGE = 'openai'; // no literal in import(): tsc then checks this file where the package is missing, too
const { default: OpenAI } = await import(PACKAGE);

/** @type {import('node:child_process').ChildProcess[]} */
const children = [];
after(() => {
    for (const child of children) child.kill('SIGKILL');
});

/**
 * Starts the command.
 * @param {string[]} args
 * @param {Record<string, string>} [env]
 */
function serve(args, env = {}) {
    const child = spawn(process.execPath, [`${root}web/cli.js`, 'serve', ...args], {
        env: { ...process.env, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(child);
    const lines = /** @type {string[]} */ ([]);
    const exit = new Promise((resolve) => child.once('close', (code, signal) => resolve([code, signal])));
    createInterface({ input: child.stderr }).on('line', (line) => lines.push(line));
    /** The address, once it is ready. @type {Promise<string>} */
    const url = new Promise((resolve, reject) => {
        createInterface({ input: child.stdout }).on('line', (line) => {
            const [, found] = /^nibble answers at (http:\/\/\S+)$/.exec(line) ?? [];
            if (found) resolve(found);
            else reject(new Error(`it printed ${line}`));
        });
        exit.then(() => reject(new Error(lines.join('\n'))));
    });
    url.catch(() => {});
    return { child, url, exit, lines };
}

/**
 * What it says and its exit code, of a command that cannot start.
 * @param {string[]} args
 * @param {Record<string, string>} [env]
 */
async function refused(args, env) {
    const { exit, lines } = serve(args, env);
    return { code: (await exit)[0], said: lines.join('\n') };
}

const long = {
    model: 'any',
    prompt: 'Once upon a time',
    temperature: 2,
    repeat_penalty: 1.5,
    seed: 1,
    max_tokens: 400,
    stream: true,
};

test('from its start to Ctrl-C: an answer that is on its way is ended first', async () => {
    const key = 'the-key-of-this-test';
    const { child, url, exit, lines } = serve(
        [
            ...[models.tiny, '--port', '0', '--threads', '1', '--max-body', '2kB', '--alias', 'a name'],
            ...['--cors', 'HTTPS://Example.org/', '--allow-host', 'My.Server.'],
        ],
        { NIBBLE_API_KEY: key },
    );
    const baseURL = await url,
        client = new OpenAI({ apiKey: key, baseURL, maxRetries: 0 });
    assert.match(baseURL, /^http:\/\/127\.0\.0\.1:\d+\/v1$/);
    // names are compared as browsers write them, however they were given
    const headers = { Host: 'my.server:80', Origin: 'https://example.org' };
    const [page] = await once(request(baseURL, { method: 'OPTIONS', headers }).end(), 'response');
    assert.deepEqual([page.statusCode, page.headers['access-control-allow-origin']], [204, headers.Origin]);
    const stranger = new OpenAI({ apiKey: 'another', baseURL, maxRetries: 0 });
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
    assert.equal((await client.models.list()).data[0].id, 'a name');
    await assert.rejects(client.completions.create({ ...long, prompt: 'x'.repeat(2000) }), { status: 413 });
    const stream = await client.completions.create({ ...long, stream_options: { include_usage: true } });
    let chunks = 0,
        last;
    for await (const chunk of stream) {
        if (++chunks === 3) child.kill('SIGINT');
        last = chunk;
    }
    const tokens = last.usage.completion_tokens;
    assert.ok(tokens > 50, 'it was cut short');
    assert.deepEqual(await exit, [0, null]);
    const log = lines.map((line) => JSON.parse(line));
    assert.deepEqual(
        log.map(({ event, status, completion_tokens }) =>
            [event, status, completion_tokens].filter((x) => x !== undefined),
        ),
        [
            ['load'],
            ['request', 204],
            ['request', 401],
            ['request', 200],
            ['request', 413],
            ['stopping'],
            ['request', 200, tokens],
            ['unload'],
        ],
    );
    assert.ok(log.every(({ time }) => Math.abs(Date.parse(time) - Date.now()) < 600_000));
    assert.ok(!lines.join().includes(key) && !lines.join().includes('Once'));
});

test('SIGTERM: what is not over after --grace is cut; a second Ctrl-C ends at once', async () => {
    for (const [args, signals, wanted] of /** @type {[string[], NodeJS.Signals[], any[]][]} */ ([
        [['--grace', '0'], ['SIGTERM'], [0, null]],
        [
            ['--grace', '600'],
            ['SIGINT', 'SIGINT'],
            [null, 'SIGINT'],
        ],
    ])) {
        const { child, url, exit, lines } = serve([
            models.tiny,
            '--port',
            '0',
            '--threads',
            '1',
            '--context',
            '4096',
            ...args,
        ]);
        const client = new OpenAI({ apiKey: 'none', baseURL: await url, maxRetries: 0 });
        const stream = await client.completions.create({ ...long, max_tokens: 4000, n: 100 });
        const cut = assert.rejects(async () => {
            for await (const _ of stream);
        });
        child.kill(signals[0]);
        const stopping = () => lines.some((line) => line.includes('"stopping"'));
        for (let i = 0; i < 1000 && !stopping(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
        assert.ok(stopping());
        if (signals[1]) child.kill(signals[1]);
        assert.deepEqual(await exit, wanted);
        await cut;
    }
});

test('two models, and memory for one', async () => {
    const { child, url, exit, lines } = serve([
        models.tiny,
        models.stories,
        '--port',
        '0',
        '--threads',
        '1',
        '--memory',
        '1kB',
    ]);
    const client = new OpenAI({ apiKey: 'none', baseURL: await url, maxRetries: 0 });
    for (const model of ['stories', 'tiny', 'tiny']) {
        const { choices } = await client.completions.create({ model, prompt: 'Once', max_tokens: 2, temperature: 0 });
        assert.equal(choices[0].finish_reason, 'length');
    }
    // the header says how many tokens there are, so that nothing is loaded for this
    const wrong = { model: 'stories', prompt: 'Once', logit_bias: { 999999: 1 } };
    await assert.rejects(client.completions.create(wrong), { status: 400, param: 'logit_bias' });
    child.kill('SIGTERM');
    assert.deepEqual(await exit, [0, null]);
    const moves = lines.map((line) => JSON.parse(line)).filter(({ event }) => event.endsWith('load'));
    assert.deepEqual(
        moves.map(({ event, model }) => `${event} ${model}`),
        ['load tiny', 'unload tiny', 'load stories', 'unload stories', 'load tiny', 'unload tiny'],
    );
    assert.ok(moves.every(({ event, bytes }) => event === 'unload' || bytes > 1e5));
});

test('--draft: each model may have its own', async () => {
    const args = [models.stories, models.tiny, '--port', '0', '--threads', '1', '--context', '64'];
    const many = await refused([...args, ...Array(3).fill(['--draft', models.tiny]).flat()]);
    assert.equal(many.code, 2);
    assert.match(many.said, /--draft was given 3 times, and there are 2 models/);
    const other = await refused([...args, '--draft', models.tiny]);
    assert.equal(other.code, 1);
    assert.match(other.said, /tiny\.gguf \(--draft\): its .* must have the same vocabulary/);
    const { child, url, exit, lines } = serve([...args, '--draft', models.stories]),
        client = new OpenAI({ apiKey: 'none', baseURL: await url, maxRetries: 0 });
    for (const model of ['stories', 'tiny']) {
        const { choices } = await client.completions.create({ model, prompt: 'Once', max_tokens: 3, temperature: 0 });
        assert.equal(choices[0].finish_reason, 'length');
    }
    child.kill('SIGTERM');
    assert.deepEqual(await exit, [0, null]);
    const loads = lines.map((line) => JSON.parse(line)).filter(({ event }) => event === 'load');
    assert.deepEqual(
        loads.map(({ model }) => model),
        ['stories', 'tiny'],
    );
});

test('--adapter, and which adapters a request has', async () => {
    const base = `${root}tests/fixtures/safetensors/llama-sharded`,
        folder = `${root}tests/fixtures/adapters/`,
        prompt = Array.from({ length: 20 }, (_, i) => 3 + ((i * 29) % 250));
    // whose logits are PEFT's: tests/js/adapters.test.js
    const model = await load(base, {
        threads: 1,
        adapters: [`${folder}one`, { source: `${folder}two.gguf`, scale: 0 }],
    });
    // what is expected of an adapter before it is loaded, for the budget of memory
    for (const [i, name] of ['one', 'two.gguf'].entries()) {
        const expected = await adapterMemory(folder + name),
            { bytes } = model.adapters[i];
        assert.ok(expected >= bytes && expected <= 3 * bytes, `${name}: ${expected}, and it takes ${bytes}`);
    }
    for (const source of ['no-such-adapter.gguf', base, 'hf:owner/adapter', 'https://example.org/adapter.gguf'])
        assert.equal(await adapterMemory(source), 0);
    const { child, url, exit, lines } = serve([
        ...[base, '--port', '0', '--threads', '1'],
        ...['--adapter', `${folder}one`, '--adapter', `${folder}two.gguf=0`],
    ]);
    const baseURL = await url,
        client = new OpenAI({ apiKey: 'none', baseURL, maxRetries: 0 }),
        list = `${baseURL.slice(0, -'/v1'.length)}/lora-adapters`;
    assert.deepEqual(await (await fetch(list)).json(), [
        { id: 0, path: 'one', scale: 1 },
        { id: 1, path: 'two', scale: 0 },
    ]);
    assert.equal((await fetch(list, { method: 'POST', body: '[]' })).status, 405);
    const ask = { model: 'any', prompt, max_tokens: 8, temperature: 0 },
        texts = new Set();
    for (const [lora, adapters] of /** @type {[any, any][]} */ ([
        [undefined, undefined],
        [[], []],
        [[{ id: 1, scale: 3 }], [{ name: 'two', scale: 3 }]],
        [
            [
                { id: 1, scale: 3 },
                { id: 0, scale: 0.5 },
            ],
            [
                { name: 'one', scale: 0.5 },
                { name: 'two', scale: 3 },
            ],
        ],
    ])) {
        const { text } = await model.complete(prompt, { maxTokens: 8, temperature: 0, adapters });
        const seen = await client.completions.create(/** @type {any} */ ({ ...ask, lora }));
        assert.equal(seen.choices[0].text, text);
        texts.add(text);
    }
    assert.equal(texts.size, 4);
    await model.dispose();
    for (const [lora, message] of /** @type {[any, RegExp][]} */ ([
        ['one', /lora must be an array of objects/],
        [[{ id: 2, scale: 1 }], /lora names the adapter 2, and there are 2, from 0 on/],
        [[{ id: 0 }], /lora must be an array like \[\{ id: 0, scale: 1 \}\]/],
        [[{ id: 0, scale: 1, name: 'one' }], /lora has no field "name"/],
        [[{ id: 0, scale: 2000 }], /lora: scale must be/],
        [
            [
                { id: 0, scale: 1 },
                { id: 0, scale: 2 },
            ],
            /lora names the adapter 0 twice/,
        ],
    ]))
        await assert.rejects(
            client.completions.create(/** @type {any} */ ({ ...ask, lora })),
            (/** @type {any} */ error) => {
                assert.match(error.message, message);
                return error.status === 400 && error.param === 'lora';
            },
        );
    child.kill('SIGTERM');
    assert.deepEqual(await exit, [0, null]);
    assert.equal(lines.filter((line) => JSON.parse(line).event === 'load').length, 1);
});

describe('what is wrong is said before a model is loaded', () => {
    const { tiny, stories } = models;
    for (const [
        name,
        args,
        env,
        code,
        said,
    ] of /** @type {[string, string[], Record<string, string>, number, RegExp][]} */ ([
        ['no model', [], {}, 2, /which model\?/],
        ['standard input', ['-'], {}, 2, /standard input, which can be read only once/],
        ['a file that is not there', ['none.gguf', '--port', '0'], {}, 1, /none\.gguf/],
        ['the second is no model', [tiny, `${root}README.md`, '--port', '0'], {}, 1, /README\.md/],
        ['an empty key', [tiny], { NIBBLE_API_KEY: '' }, 2, /NIBBLE_API_KEY must be visible/],
        ['a key with a space', [tiny, '--api-key', 'a b'], {}, 2, /--api-key must be visible/],
        ['one name for two', [tiny, tiny], {}, 2, /two models have the name "tiny": give each one an --alias/],
        ['too few names', [tiny, stories, '--alias', 'a'], {}, 2, /once for each of the 2 models/],
        ['an origin with a path', [tiny, '--cors', 'https://example.org/app'], {}, 2, /--cors must be the origin/],
        ['a name with a port', [tiny, '--allow-host', 'my.server:80'], {}, 2, /--allow-host must be a name alone/],
        ['a port', [tiny, '--port', '65536'], {}, 2, /--port must be/],
        ['an address of no machine', [tiny, '--host', '192.0.2.1'], {}, 1, /does not have that address; see --host/],
    ]))
        test(name, async () => {
            const result = await refused(args, env);
            assert.equal(result.code, code, result.said);
            assert.match(result.said, said);
        });

    test('a port that is taken', async () => {
        const other = await listen((_, response) => void response.end());
        const { code, said } = await refused([tiny, '--port', String(other.port)]);
        other.close();
        assert.deepEqual(
            [code, said],
            [
                1,
                `nibble: cannot listen at 127.0.0.1, port ${other.port}: another program listens there; end it, or give another --port`,
            ],
        );
    });
});
