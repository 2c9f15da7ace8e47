// The JavaScript API in Node: sources and their failures, options, generations and how they end, crashes.
import assert from 'node:assert/strict';
import {
    closeSync,
    copyFileSync,
    mkdtempSync,
    openSync,
    readFileSync,
    readSync,
    rmSync,
    statSync,
    writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { findAssets } from '../../web/assets.js';
import { load } from '../../web/index.js';
import { startCore } from '../../web/worker/choose-build.js';
import { StopFinder } from '../../web/worker/stops.js';
import { missing, models, root } from '../support/builds.js';
import { listen } from '../support/loopback.js';
import { nibbleError } from '../support/nibble-error.js';
import { withTrapIn } from '../support/trapping.js';
import { configurations } from '../support/vectors.js';

/** @typedef {import('../../web/index.d.ts').Build} Build */
/** @typedef {import('../../web/index.d.ts').Model} Model */

const tiny = readFileSync(models.tiny);
const PROMPT = 'Once upon a time';

/** @param {Uint8Array[]} pieces */
const streamOf = (pieces) =>
    new ReadableStream({
        start(controller) {
            for (const piece of pieces) controller.enqueue(piece);
            controller.close();
        },
    });

/** @param {Uint8Array} bytes @param {number} size */
const cutInto = (bytes, size) =>
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));

describe('sources', () => {
    /** @type {Awaited<ReturnType<typeof listen>>} */
    let server;
    let address = '';
    /** @type {string[]} */
    const closed = [];
    before(async () => {
        server = await listen((request, response) => {
            const path = request.url ?? '';
            response.on('close', () => closed.push(path));
            if (path === '/tiny.gguf') {
                response.writeHead(200, { 'content-length': tiny.length }).end(tiny);
            } else if (path === '/no-length.gguf') {
                response.write(tiny.subarray(0, 100000));
                response.end(tiny.subarray(100000));
            } else if (path === '/cut.gguf') {
                response
                    .writeHead(200, { 'content-length': tiny.length })
                    .write(tiny.subarray(0, 300000), () => response.destroy());
            } else if (path === '/slow.gguf') {
                response.writeHead(200, { 'content-length': tiny.length }).write(tiny.subarray(0, 300000));
            } else if (path === '/page.gguf') {
                response.writeHead(200, { 'content-type': 'text/html' }).end('<!DOCTYPE html><title>Sign in</title>');
            } else {
                response.writeHead(404).end('none');
            }
        });
        address = server.url;
    });
    after(() => server.close());

    test("every kind gives the same model, and leaves the caller's bytes alone", async () => {
        const pooled = Buffer.concat([Buffer.from('x'), tiny]).subarray(1);
        /** @type {Record<string, any>} */
        const sources = {
            path: models.tiny,
            'file URL': pathToFileURL(models.tiny),
            'http URL': `${address}/tiny.gguf`,
            'http URL without a length': `${address}/no-length.gguf`,
            bytes: new Uint8Array(tiny),
            'a Buffer with an offset': pooled,
            Blob: new Blob([tiny]),
            'a stream of one chunk': streamOf([tiny]),
            'a stream of odd chunks': streamOf(cutInto(tiny, 7777)),
        };
        const answers = [];
        for (const [kind, source] of Object.entries(sources)) {
            const model = await load(source, { contextLength: 64 });
            const { tokens } = await model.complete(PROMPT, { maxTokens: 16 });
            assert.equal(model.info.bytes, tiny.length, kind);
            answers.push(tokens.join());
            await model.dispose();
        }
        assert.equal(new Set(answers).size, 1);
        assert.deepEqual(sources.bytes, new Uint8Array(tiny));
        assert.ok(pooled.equals(tiny));
    });

    test('progress ends with the whole file', async () => {
        /** @type {import('../../web/index.d.ts').Progress[]} */
        const seen = [];
        await (await load(`${address}/tiny.gguf`, { onProgress: (progress) => seen.push(progress) })).dispose();
        const last = seen[seen.length - 1];
        assert.deepEqual([last.loaded, last.total, last.secondsLeft], [tiny.length, tiny.length, 0]);
        assert.ok(last.rate > 0);
        assert.ok(seen.every(({ loaded }, i) => i === 0 || loaded >= seen[i - 1].loaded));
    });

    /** @type {[what: string, source: () => any, code: string, message: RegExp][]} */
    const broken = [
        ['a path to nothing', () => `${root}nothing.gguf`, 'NB_ERR_FILE', /nothing\.gguf: there is no such file/],
        ['a folder', () => root, 'NB_ERR_FILE', /folder/],
        ['404', () => `${address}/other.gguf`, 'NB_ERR_NETWORK', /404 Not Found.*no such file/],
        ['nobody there', () => 'http://127.0.0.1:9/x.gguf', 'NB_ERR_NETWORK', /cannot reach/],
        ['a connection that breaks', () => `${address}/cut.gguf`, 'NB_ERR_NETWORK', /broke.*Try again/],
        ['a web page', () => `${address}/page.gguf`, 'NB_ERR_FORMAT', /web page, not a model/],
        [
            'a Git LFS pointer',
            () => Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:0\n'),
            'NB_ERR_FORMAT',
            /git lfs pull/,
        ],
        ['JSON', () => Buffer.from('{"error": "gated"}'), 'NB_ERR_FORMAT', /JSON.*gated/],
        ['a zip', () => Buffer.from('PK\x03\x04 and so on, and so on'), 'NB_ERR_FORMAT', /zip/],
        ['noise', () => Buffer.alloc(5000, 7), 'NB_ERR_FORMAT', /GGUF/],
        ['nothing at all', () => new Uint8Array(0), 'NB_ERR_TRUNCATED', /./],
        ['a header cut off', () => tiny.subarray(0, 1000), 'NB_ERR_TRUNCATED', /./],
        [
            'a stream cut off',
            () => streamOf(cutInto(tiny.subarray(0, 500000), 65536)),
            'NB_ERR_TRUNCATED',
            /500000 bytes of 698240/,
        ],
        ['a stream of texts', () => streamOf(/** @type {any} */ (['GGUF'])), 'NB_ERR_ARGUMENT', /Uint8Arrays/],
        ['a number', () => 5, 'NB_ERR_ARGUMENT', /source must be/],
    ];
    for (const [what, source, code, message] of broken)
        test(`a clear error: ${what}`, () => assert.rejects(() => load(source()), nibbleError(code, message)));

    test("a stream's own error is reported", () =>
        assert.rejects(
            () => load(new ReadableStream({ pull: (controller) => controller.error(new Error('disk on fire')) })),
            /disk on fire/,
        ));

    test('an aborted load rejects with the reason and ends the download', async () => {
        const reason = new Error('changed my mind');
        const control = new AbortController();
        const loading = load(`${address}/slow.gguf`, {
            signal: control.signal,
            onProgress: () => control.abort(reason),
        });
        await assert.rejects(loading, reason);
        while (!closed.includes('/slow.gguf')) await new Promise((resolve) => setTimeout(resolve, 20));
        await assert.rejects(load(models.tiny, { signal: AbortSignal.abort(reason) }), reason);
    });

    test('an aborted load cancels its stream', async () => {
        const control = new AbortController();
        let cancelled = () => {};
        const cancel = new Promise((resolve) => {
            cancelled = () => resolve(undefined);
        });
        let sent = false;
        const stream = new ReadableStream({
            pull(controller) {
                if (sent) return new Promise(() => {});
                sent = true;
                controller.enqueue(new Uint8Array(tiny.subarray(0, 100000)));
            },
            cancel: () => cancelled(),
        });
        const loading = load(stream, { signal: control.signal, onProgress: () => control.abort() });
        await assert.rejects(loading, { name: 'AbortError' });
        await cancel;
    });

    test('headerOnly reads the header, tokenizes, and computes nothing', async () => {
        let sent = 0;
        const bytes = readFileSync(models.tiny);
        const stream = new ReadableStream(
            {
                pull(controller) {
                    controller.enqueue(bytes.subarray(sent, (sent += 4096)));
                },
            },
            { highWaterMark: 0 },
        );
        const model = await load(stream, { headerOnly: true });
        assert.ok(sent < 100000, `${sent} bytes were read`);
        assert.equal(model.info.tokenizer?.size, 1024);
        assert.ok((await model.tokenize('one two')).length > 0);
        await assert.rejects(() => model.complete('one'), nibbleError('NB_ERR_STATE', /headerOnly/));
        await model.dispose();
    });

    test('JavaScript holds no more than a few chunks', { skip: missing(models.realMissing) }, async () => {
        const bytes = statSync(models.real).size;
        const chunk = 1 << 20;
        let produced = 0,
            worst = 0,
            heap = 0;
        const file = openSync(models.real, 'r');
        const stream = new ReadableStream(
            {
                pull(controller) {
                    const piece = new Uint8Array(chunk);
                    const n = readSync(file, piece);
                    produced += n;
                    if (n === 0) controller.close();
                    else controller.enqueue(piece.subarray(0, n));
                },
            },
            { highWaterMark: 0 },
        );
        const model = await load(stream, {
            contextLength: 256,
            onProgress({ loaded }) {
                worst = Math.max(worst, produced - loaded);
                heap = Math.max(heap, process.memoryUsage().heapUsed);
            },
        });
        assert.ok(worst <= 6 * chunk, `${worst} bytes were on their way`);
        assert.ok(heap < 64e6, `${heap} bytes of heap`);
        const { kvBytesPerToken = 0, sessionBytes, memoryBytes } = model.info;
        assert.ok(
            sessionBytes >= 256 * kvBytesPerToken && sessionBytes < memoryBytes,
            `${sessionBytes} bytes of session`,
        );
        assert.ok(memoryBytes <= 1.35 * bytes + 256 * kvBytesPerToken, `${memoryBytes} bytes of memory`);
        await model.dispose();
        closeSync(file);
    });
});

test('options: errors name what is wrong', async () => {
    const model = await load(models.tiny, { contextLength: 64 });
    /** @type {[call: () => any, message: RegExp][]} */
    const wrong = [
        [
            () => load(models.tiny, /** @type {any} */ ({ thread: 2 })),
            /load\(\) has no option "thread"; did you mean "threads"\?/,
        ],
        [() => load(models.tiny, { threads: 0 }), /threads must be a whole number from 1 to 64, not 0/],
        [() => load(models.tiny, { contextLength: 1.5 }), /contextLength must be a whole number/],
        [() => load(models.tiny, /** @type {any} */ ({ build: 'fast' })), /build must be one of simd128, /],
        [() => load(models.tiny, /** @type {any} */ ({ onProgress: 1 })), /onProgress must be a function/],
        [
            () => model.complete('a', /** @type {any} */ ({ max_tokens: 5 })),
            /no option "max_tokens"; did you mean "maxTokens"\?/,
        ],
        [() => model.complete('a', { temperature: NaN }), /temperature must be a number from 0 to 100, not NaN/],
        [() => model.complete('a', { topP: 1.1 }), /topP must be a number from 0 to 1, not 1.1/],
        [() => model.complete('a', { seed: 1.5 }), /seed must be a whole number, not 1.5/],
        [() => model.complete('a', { seed: Infinity }), /seed must be a whole number/],
        [() => model.complete('a', /** @type {any} */ ({ seed: 5n })), /seed must be a whole number/],
        [
            () => model.complete('a', /** @type {any} */ ({ logitBias: new Set([5]) })),
            /logitBias must be an object like/,
        ],
        [() => model.complete('a', /** @type {any} */ ({ logitBias: [5, 1] })), /logitBias must have pairs .* not 5/],
        [
            () => model.complete('a', { logitBias: [['', 1]] }),
            /logitBias has "" where a token id or a text is expected/,
        ],
        [() => model.complete('a', { logitBias: [[-1, 1]] }), /logitBias has -1 where a token id or a text/],
        [() => model.complete('a', { topLogprobs: 2 }), /complete\(\): topLogprobs goes with logprobs: true/],
        [() => model.complete('a', { logprobs: true, topLogprobs: 101 }), /topLogprobs must be .* from 0 to 100/],
        [() => model.chat('a', /** @type {any} */ ({ onLogits: 1 })), /chat\(\): onLogits must be a function/],
        [() => model.complete('a', { logitBias: new Map([[5000, 1]]) }), /logitBias names token 5000/],
        [
            () => model.complete('a', /** @type {any} */ ({ logitBias: new Map([[5, 'x']]) })),
            /gives token 5 the bias "x"/,
        ],
        [() => model.complete('a', { stop: [''] }), /stop must be a text that is not empty, not ""/],
        [
            () => model.complete('a', /** @type {any} */ ({ stop: 5 })),
            /stop must be a text or an array of texts, not 5/,
        ],
        [() => load(''), /the source is an empty text/],
        [
            () => model.complete('a', { logitBias: { 5000: 1 } }),
            /logitBias names token 5000; this model's tokens are the numbers 0 to 1023/,
        ],
        [
            () => model.complete('a', { logitBias: { 'a dog': 1 } }),
            /logitBias has the text "a dog", which is not one token of this model, but 2: \d+ "a", 453 " dog"/,
        ],
        [
            () => model.complete(/** @type {any} */ (5)),
            /prompt must be a text, an array of token ids, or \{ prefix, suffix \}/,
        ],
        [() => model.complete([1, 1024]), /token 1 is 1024/],
        [() => model.complete([]), /prompt is empty/],
        [() => model.chat([]), /at least one/],
        [() => model.chat(/** @type {any} */ ([{ content: 'x' }])), /message 0 has no role/],
        [() => model.chat(/** @type {any} */ ([{ role: 'user', content: 5 }])), /content of message 0/],
        [() => model.detokenize([-1]), /token 0 is -1/],
        [() => model.complete(/** @type {any} */ (['5'])), /token 0 is the string 5/],
        [() => model.complete(/** @type {any} */ (new BigInt64Array([5n]))), /token 0 is the bigint 5/],
        // every request checks its options for unknown names and wrong types
        ...['complete', 'chat', 'applyTemplate', 'tokenize', 'detokenize', 'embed'].flatMap((name) => {
            const call = (/** @type {any} */ options) => () =>
                /** @type {any} */ (model)[name](name === 'detokenize' ? [5] : 'a', options);
            return /** @type {[call: () => any, message: RegExp][]} */ ([
                [call({ specials: true }), new RegExp(`${name}\\(\\) has no option "specials"`)],
                [call(null), new RegExp(`${name}\\(\\): the options must be an object, not null`)],
                [call('x'), /the options must be an object/],
                [call({ signal: 5 }), /signal must be an AbortSignal/],
            ]);
        }),
        [() => model.logits([5], /** @type {any} */ ({ special: true })).next(), /logits\(\) has no option "special"/],
        [() => model.logits([5], /** @type {any} */ (null)).next(), /logits\(\): the options must be an object/],
        ...[
            Object.create(null),
            [5],
            new Date(),
            {
                toString() {
                    throw new Error('none');
                },
            },
        ].map(
            (value) =>
                /** @type {[call: () => any, message: RegExp]} */ ([
                    () => model.complete('a', { maxTokens: value }),
                    /maxTokens must be a whole number, at least 1, not an (array|object \((Object|Date)\))$/,
                ]),
        ),
        [() => model.tokenize('a', /** @type {any} */ ({ bare: 1 })), /bare must be true or false, not 1/],
        [() => model.embed('a', /** @type {any} */ ({ prompt: 5 })), /prompt must be a text, not 5/],
        [() => model.chat('a', /** @type {any} */ ({ special: true })), /special is an option of complete\(\)/],
        [() => load(models.tiny, /** @type {any} */ ({ headerOnly: 'no' })), /headerOnly must be true or false/],
    ];
    for (const [call, message] of wrong)
        await assert.rejects(async () => await call(), nibbleError('NB_ERR_ARGUMENT', message));
    await model.dispose();
});

test('there are no more threads than cores', async () => {
    const model = await load(models.tiny, { threads: 64, contextLength: 64 });
    assert.equal(model.info.threads, Math.min(64, availableParallelism()));
    await model.dispose();
});

for (const { build, threads } of configurations())
    describe(`${build}, ${threads} threads`, () => {
        /** @type {Model} */
        let model;
        before(async () => {
            model = await load(models.tiny, { build, threads, contextLength: 512 });
        });
        after(() => model.dispose());

        test('info has the build', () => {
            assert.equal(model.info.build, build);
            assert.equal(model.info.threads, threads);
            assert.equal(model.info.contextLength, 512);
        });

        test('iterated and awaited, one call gives the same text', async () => {
            const answer = model.complete(PROMPT, { maxTokens: 40 });
            let text = '';
            for await (const piece of answer) text += piece;
            const result = await answer;
            assert.equal(result.text, text);
            assert.equal(result.text, await model.detokenize(result.tokens));
            assert.deepEqual(answer.tokens, result.tokens);
            assert.equal(result.promptTokens, (await model.tokenize(PROMPT)).length);
            assert.deepEqual([result.finishReason, result.tokens.length, result.build], ['length', 40, build]);
            assert.ok(/** @type {number} */ (result.timings.generateTokensPerSecond) > 0);
            let again = '';
            for await (const piece of answer) // a finished answer keeps its pieces
                again += piece;
            assert.equal(again, text);
        });

        test('a text and its tokens give the same answer', async () => {
            const a = await model.complete(PROMPT, { maxTokens: 20 });
            const b = await model.complete(Int32Array.from(await model.tokenize(PROMPT)), { maxTokens: 20 });
            assert.deepEqual(a.tokens, b.tokens);
        });

        test('the cache changes nothing: what comes before does not matter', async () => {
            const first = await model.complete(PROMPT, { maxTokens: 24 });
            await model.complete('A dog', { maxTokens: 5 });
            await model.complete(`${PROMPT} there`, { maxTokens: 5 });
            assert.deepEqual((await model.complete(PROMPT, { maxTokens: 24 })).tokens, first.tokens);
        });

        test('requests run one after another, each with its own answer', async () => {
            /** @type {[prompt: string, maxTokens: number][]} the first would be overtaken, if it could be */
            const requests = [
                ['A cat', 200],
                ['The sun', 12],
                ['One day', 4],
            ];
            const alone = [];
            for (const [prompt, maxTokens] of requests)
                alone.push((await model.complete(prompt, { maxTokens, ignoreEnd: true })).text);
            /** @type {number[]} */
            const order = [];
            const together = await Promise.all(
                requests.map(async ([prompt, maxTokens], i) => {
                    const { text } = await model.complete(prompt, { maxTokens, ignoreEnd: true });
                    order.push(i);
                    return text;
                }),
            );
            assert.deepEqual(together, alone);
            assert.deepEqual(order, [0, 1, 2]);
        });

        test('a seed is reproducible, and the result has the seed that was drawn', async () => {
            const options = { maxTokens: 24, temperature: 1.5, topK: 0, topP: 1, minP: 0 };
            const drawn = await model.complete(PROMPT, options);
            assert.deepEqual((await model.complete(PROMPT, { ...options, seed: drawn.seed })).tokens, drawn.tokens);
            for (const more of [2 ** 32, -(2 ** 32), 2 ** 40]) {
                // larger than the sampler's 32 bits, like Date.now()
                const again = await model.complete(PROMPT, { ...options, seed: drawn.seed + more });
                assert.deepEqual([again.seed, again.tokens], [drawn.seed, drawn.tokens]);
            }
            const other = await model.complete(PROMPT, { ...options, seed: (drawn.seed + 1) >>> 0 });
            assert.notDeepEqual(other.tokens, drawn.tokens);
        });

        test('a logit bias decides', async () => {
            const mapped = await model.complete(PROMPT, { maxTokens: 3, logitBias: new Map([[500, 1000]]) });
            assert.deepEqual(mapped.tokens, [500, 500, 500]);
            const { tokens } = await model.complete(PROMPT, { maxTokens: 3, logitBias: { 500: 1000 } });
            assert.deepEqual(tokens, [500, 500, 500]);
        });

        test('a stop string ends the text before it, wherever the tokens end', async () => {
            const { text } = await model.complete(PROMPT, { maxTokens: 40 });
            for (const [from, to] of [
                [9, 14],
                [11, 24],
                [1, 2],
            ]) {
                const stop = text.slice(from, to);
                const answer = model.complete(PROMPT, { maxTokens: 40, stop: ['never', stop] });
                let streamed = '';
                for await (const piece of answer) streamed += piece;
                const result = await answer;
                assert.equal(result.text, text.slice(0, text.indexOf(stop)));
                assert.equal(streamed, result.text);
                assert.equal(result.finishReason, 'stop');
            }
        });

        test('leaving the loop stops the generation', async () => {
            const answer = model.complete(PROMPT, { maxTokens: 500, ignoreEnd: true });
            for await (const piece of answer) {
                assert.notEqual(piece, '');
                break;
            }
            const result = await answer;
            assert.equal(result.finishReason, 'abort');
            assert.ok(result.tokens.length < 500);
        });

        test('stop() keeps what there is', async () => {
            const answer = model.complete(PROMPT, { maxTokens: 500, ignoreEnd: true });
            let text = '';
            for await (const piece of answer) {
                text += piece;
                answer.stop();
            }
            const result = await answer;
            assert.equal(result.finishReason, 'abort');
            assert.equal(result.text, text);
        });

        test('a signal ends both ways of reading with its reason, running or queued', async () => {
            const reason = new Error('enough');
            const control = new AbortController();
            const running = model.complete(PROMPT, { maxTokens: 500, ignoreEnd: true, signal: control.signal });
            const queued = model.complete(PROMPT, { signal: control.signal });
            await assert.rejects(async () => {
                for await (const _ of running) control.abort(reason);
            }, reason);
            await assert.rejects(running, reason);
            await assert.rejects(queued, reason);
            await assert.rejects(model.complete(PROMPT, { signal: AbortSignal.abort(reason) }), reason);
            assert.equal((await model.complete(PROMPT, { maxTokens: 3 })).tokens.length, 3);
        });

        test('a full context ends with "length"; a longer prompt is an error', async () => {
            const small = await load(models.tiny, { build, threads, contextLength: 16 });
            const prompt = Array.from({ length: 10 }, (_, i) => 300 + i);
            const result = await small.complete(prompt, { ignoreEnd: true });
            assert.equal(result.finishReason, 'length');
            assert.equal(result.tokens.length, 6); // with the prompt these are the context's 16
            assert.equal(
                (
                    await small.complete(
                        Array.from({ length: 15 }, () => 300),
                        { ignoreEnd: true },
                    )
                ).tokens.length,
                1,
            );
            await assert.rejects(
                () => small.complete(Array.from({ length: 16 }, () => 300)),
                nibbleError('NB_ERR_CONTEXT', /16 tokens, and the context holds 16/),
            );
            const long = Array.from({ length: 17 }, (_, i) => 300 + i);
            await assert.rejects(
                () => small.complete(long),
                nibbleError('NB_ERR_CONTEXT', /17 tokens, and the context holds 16/),
            );
            await small.dispose();
        });

        test('logits come for every token, whatever was cached', async () => {
            const tokens = [3, 40, 500, 6, 7, 8, 9, 10, 11, 12, 13];
            await model.complete(tokens, { maxTokens: 1 });
            let n = 0;
            for await (const rows of model.logits(tokens)) {
                assert.ok(rows.every(Number.isFinite));
                n += rows.length;
            }
            assert.equal(n, tokens.length * 1024);
        });

        test('dispose() ends what is pending, and the model', async () => {
            const other = await load(models.tiny, { build, threads });
            const answer = other.complete(PROMPT, { maxTokens: 500, ignoreEnd: true });
            for await (const _ of answer) {
                other.dispose();
                break;
            }
            await assert.rejects(answer, nibbleError('NB_ERR_STATE', /disposed/));
            await other.dispose();
            await assert.rejects(() => other.complete('a'), nibbleError('NB_ERR_STATE', /disposed/));
            await assert.rejects(other.tokenize('a'), nibbleError('NB_ERR_STATE', /disposed/));
        });
    });

describe('crashes', () => {
    const folder = mkdtempSync(join(tmpdir(), 'nibble-'));
    after(() => rmSync(folder, { recursive: true }));

    for (const { build, threads } of configurations(true))
        test(`${build}: a trap rejects everything pending, and says what to do`, async () => {
            const wasm = readFileSync(`${root}build/wasm/nibble-${build}.wasm`);
            writeFileSync(join(folder, `nibble-${build}.wasm`), withTrapIn(wasm, 'nb_sampler_next'));
            const model = await load(models.tiny, { build, threads, wasmUrl: pathToFileURL(folder) });
            const answers = [model.complete('a'), model.complete('b')];
            for (const answer of answers)
                await assert.rejects(answer, nibbleError('NB_ERR_WORKER', /died.*unreachable.*Load the model again/));
            await assert.rejects(model.tokenize('a'), nibbleError('NB_ERR_WORKER', /died/));
            await model.dispose();
        });

    test('a trap in a thread is reported', async () => {
        const wasm = readFileSync(`${root}build/wasm/nibble-simd128-threads.wasm`);
        writeFileSync(join(folder, 'nibble-simd128-threads.wasm'), withTrapIn(wasm, 'nb_pool_work'));
        const died = nibbleError('NB_ERR_WORKER', /thread 1 stopped: unreachable/);
        await assert.rejects(async () => {
            const model = await load(models.tiny, {
                build: 'simd128-threads',
                threads: 2,
                wasmUrl: pathToFileURL(folder),
            });
            await model.complete(PROMPT, { maxTokens: 500, ignoreEnd: true });
        }, died);
    });

    test('wasmUrl: a folder, a file, and neither', async () => {
        copyFileSync(`${root}build/wasm/nibble-simd128.wasm`, join(folder, 'nibble-simd128.wasm'));
        const model = await load(models.tiny, { wasmUrl: pathToFileURL(join(folder, 'nibble-simd128.wasm')) });
        assert.equal(model.info.build, 'simd128');
        await model.dispose();
        const nowhere = pathToFileURL(join(folder, 'nowhere'));
        await assert.rejects(
            () => load(models.tiny, { wasmUrl: nowhere }),
            nibbleError('NB_ERR_ENGINE', /nowhere.*wasmUrl/),
        );
    });

    test('a build whose file is not there, or is no WebAssembly, is left out', async () => {
        const { wasm, ...others } = await findAssets({}),
            nowhere = pathToFileURL(join(folder, 'nowhere.wasm')).href,
            page = pathToFileURL(`${root}demo/index.html`).href,
            given = { ...wasm };
        /** The builds that ran, from the best one on. @type {Build[]} */
        const ran = [];
        /** @type {string[]} */
        let lines = [];
        const start = () => {
            lines = [];
            const options = /** @type {const} */ ({ threads: 2, precision: 'exact' });
            return startCore({ ...options, assets: { ...others, wasm: given } }, (line) => void lines.push(line));
        };
        const all = Number(process.versions.node.split('.')[0]) < 22 ? 2 : 6;
        while (ran.length < all) {
            const { core, threads } = await start(),
                build = /** @type {Build} */ (core.build);
            assert.equal(threads, build.endsWith('-threads') ? 2 : 1);
            const said = ran.map((build) => `build: not ${build}: cannot load nibble's WebAssembly from`);
            assert.deepEqual(
                said.filter((begin) => !lines.some((line) => line.startsWith(begin))),
                [],
                lines.join('\n'),
            );
            given[build] = ran.length % 2 === 0 ? nowhere : page;
            ran.push(build);
        }
        assert.equal(new Set(ran).size, ran.length);
        await assert.rejects(start(), nibbleError('NB_ERR_ENGINE', /nowhere\.wasm: .*no such file/));
        const server = await listen((_, response) => void response.writeHead(503).end());
        try {
            given[ran[0]] = `${server.url}/engine.wasm`; // the others are not there either, but this one may be
            given[ran[1]] = wasm[ran[1]];
            await assert.rejects(start(), nibbleError('NB_ERR_ENGINE', /engine\.wasm: the server answered 503/));
        } finally {
            server.close();
        }
        given[ran[0]] = nowhere;
        const asked = { threads: 1, build: ran[0], assets: { ...others, wasm: given } };
        await assert.rejects(
            startCore({ ...asked, precision: 'exact' }),
            nibbleError('NB_ERR_ENGINE', /nowhere\.wasm/),
        );
    });
});

test('stop strings: the pieces that a text comes in make no difference', () => {
    const text = 'abababcabcabcab';
    for (const stops of [['abc'], ['abab', 'bc'], ['cabcab'], ['zz'], ['b'], ['caba', 'abcabcabcabx'], []]) {
        const at = Math.min(...stops.map((stop) => text.indexOf(stop)).filter((i) => i >= 0), text.length);
        for (let a = 0; a <= text.length; a++)
            for (let b = a; b <= text.length; b++) {
                const finder = new StopFinder(stops);
                let shown = '',
                    found = false;
                for (const piece of [text.slice(0, a), text.slice(a, b), text.slice(b)])
                    if (!found) {
                        const next = finder.push(piece);
                        shown += next.text;
                        found = next.found;
                    }
                shown += found ? '' : finder.flush();
                assert.equal(shown, text.slice(0, at));
                assert.equal(found, at < text.length);
            }
    }
});
