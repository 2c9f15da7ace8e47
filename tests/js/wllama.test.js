// nibble-llm/wllama: programs for wllama 3, with nothing but the import changed. What the programs of its own examples do
// (basic, embeddings, tools) is done here by the same calls. Texts and counts of tokens are llama.cpp's, vectors and
// scores transformers', and the names of methods and parameters are those of wllama's package.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, openAsBlob, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { NibbleError } from '../../web/index.js';
import * as entry from '../../web/wllama/index.js';
import { loadOptionsOf, requestOf } from '../../web/wllama/params.js';
import { missing, models, root } from '../support/builds.js';
import { compiles } from '../support/compiles.js';
import { listen } from '../support/loopback.js';
import { embeddingVectors, greedyVectors, maxDistance } from '../support/vectors.js';

const { getHFModelSource, ModelManager, Wllama, WllamaAbortError, WllamaError, WllamaRuntimeError } = entry;
const skip = missing(!existsSync(`${root}node_modules/@wllama/wllama`) && '@wllama/wllama is missing: run make setup');
const cases = Object.fromEntries(greedyVectors('llamacpp/tiny-greedy.json').map((each) => [each.name, each]));
const { chat: messages } = JSON.parse(readFileSync(`${root}tests/fixtures/llamacpp/prompts.json`, 'utf8')).greedy.find(
    (/** @type {any} */ { name }) => name === 'chat-turns',
);
/** The paths of wllama's own files, which are not there. */
const CONFIG_PATHS = { default: '../../esm/wasm/wllama.wasm' },
    TOKENS = 24,
    FOLDER = `${root}tests/fixtures/`;

/** @type {any} a model that answers */
let wllama;
const progress = /** @type {{ loaded: number, total: number }[]} */ ([]);
/** What llama.cpp answers. */
let wantedText = '',
    wantedChat = '';

before(async () => {
    wllama = new Wllama(CONFIG_PATHS);
    assert.equal(wllama.isModelLoaded(), false);
    await wllama.loadModelFromUrl(models.tiny, {
        ...{ n_threads: 1, n_ctx: 4096, n_gpu_layers: 0, flash_attn: true },
        progressCallback: (/** @type {any} */ each) => progress.push(each),
    });
    wantedText = await wllama.detokenize(cases.prose.tokens.slice(0, TOKENS), true);
    wantedChat = await wllama.detokenize(cases['chat-turns'].tokens.slice(0, TOKENS), true);
});
after(() => wllama.exit());

/** For assert.rejects(). @param {string} type @param {RegExp} message */
const failing = (type, message) => (/** @type {any} */ error) => {
    assert.ok(error instanceof WllamaError, `${error}`);
    assert.deepEqual([error.type, message.test(error.message)], [type, true], error.message);
    return true;
};

describe('the examples of wllama', () => {
    test('basic: a text, piece by piece', async () => {
        wllama.setCompat({ wasm: '../../compat/wasm/wllama.wasm', worker: '../../compat/wasm/wllama.js' });
        let shown = '';
        const chunks = /** @type {any[]} */ ([]);
        const nothing = await wllama.createCompletion({
            ...{ prompt: cases.prose.text, max_tokens: TOKENS, temperature: 0, top_k: 40, top_p: 0.9, stream: true },
            onData(/** @type {any} */ chunk) {
                shown += chunk.choices[0].text;
                chunks.push(chunk);
            },
        });
        assert.equal(nothing, undefined);
        assert.equal(shown, wantedText);
        assert.ok(chunks.length > 2, 'it came in one piece');
        const { choices, usage, timings } = chunks.at(-1);
        assert.equal(choices[0].finish_reason, 'length');
        assert.deepEqual([usage.prompt_tokens, usage.completion_tokens], [cases.prose.prompt.length, TOKENS]);
        assert.deepEqual([timings.cache_n + timings.prompt_n, timings.predicted_n], [usage.prompt_tokens, TOKENS]);
        assert.ok(timings.predicted_per_second > 0 && timings.predicted_ms > 0);
        assert.deepEqual(progress.at(-1), { loaded: 698240, total: 698240 });
    });

    test('basic and embeddings: vectors of a model with fewer positions than n_ctx', async () => {
        const embedder = /** @type {any} */ (new Wllama(CONFIG_PATHS));
        await embedder.loadModelFromUrl(`${FOLDER}encoders/bert.gguf`, {
            ...{ embeddings: true, n_ctx: 1024, n_batch: 1024, n_ubatch: 1024, cache_type_k: 'f32' },
            pooling_type: 'LLAMA_POOLING_TYPE_MEAN',
        });
        assert.deepEqual([embedder.getBOS(), embedder.getEOS(), embedder.getLoadedContextInfo().n_ctx], [0, 1, 128]);
        const vectors = embeddingVectors('encoders/bert.json').slice(0, 3);
        const { data, usage, object } = await embedder.createEmbedding({ input: vectors.map(({ tokens }) => tokens) });
        assert.equal(object, 'list');
        assert.equal(usage.prompt_tokens, vectors.flatMap(({ tokens }) => tokens).length);
        for (const [i, { embedding, index }] of data.entries()) {
            assert.equal(index, i);
            assert.ok(maxDistance(embedding, vectors[i].mean) < 1e-5);
        }
        const input = vectors[0].tokens,
            [one] = data.map((/** @type {any} */ { embedding }) => embedding);
        const as = async (/** @type {number} */ embd_normalize) =>
            (await embedder.createEmbedding({ input, embd_normalize })).data[0].embedding;
        const sum = one.reduce((/** @type {number} */ all, /** @type {number} */ x) => all + Math.abs(x), 0),
            most = Math.max(...one.map(Math.abs));
        assert.ok(
            maxDistance(
                await as(1),
                one.map((/** @type {number} */ x) => x / sum),
            ) < 1e-6,
        );
        assert.ok(
            maxDistance(
                await as(0),
                one.map((/** @type {number} */ x) => (x / most) * 32760),
            ) < 0.1,
        );
        await assert.rejects(as(-1), failing('inference_error', /embd_normalize -1/));
        const [{ embedding: coded }] = (await embedder.createEmbedding({ input, encoding_format: 'base64' })).data;
        const bytes = Uint8Array.from(Buffer.from(coded, 'base64'));
        assert.deepEqual(Array.from(new Float32Array(bytes.buffer)), one);

        const [whole, parts] = (
            await embedder.createEmbedding({
                input: [[{ type: 'text', text: 'ab' }], ['a', 'b'].map((text) => ({ type: 'text', text }))],
            })
        ).data.map((/** @type {any} */ { embedding }) => embedding);
        assert.deepEqual(parts, whole);
        const image = [[{ type: 'image', data: new ArrayBuffer(1) }]];
        await assert.rejects(embedder.createEmbedding({ input: image }), failing('inference_error', /type "image"/));
        for (const wrong of [undefined, [], '', [[]], [1, 'a']])
            await assert.rejects(embedder.createEmbedding({ input: wrong }), WllamaError);
        await assert.rejects(embedder.createCompletion({ prompt: 'a' }), failing('inference_error', /encoder|embed/));
        await embedder.exit();
    });

    test('tools: the model calls a function, and goes on with its result', async () => {
        const tools = [
            {
                type: 'function',
                function: {
                    name: 'control_lamp',
                    parameters: {
                        type: 'object',
                        properties: { state: { type: 'string', enum: ['on', 'off'] } },
                        required: ['state'],
                    },
                },
            },
        ];
        const talk = /** @type {any[]} */ ([{ role: 'user', content: 'Please turn off the lamp.' }]);
        /** @param {object} request */
        const ask = async (request) => {
            const calls = /** @type {any[]} */ ([]);
            let content = '',
                reason = null;
            for await (const { choices } of await wllama.createChatCompletion({
                messages: talk,
                stream: true,
                ...request,
            })) {
                reason = choices[0].finish_reason ?? reason;
                content += choices[0].delta.content ?? '';
                for (const { index, id, function: called } of choices[0].delta.tool_calls ?? []) {
                    calls[index] ??= { id, type: 'function', function: { name: '', arguments: '' } };
                    calls[index].function.name += called?.name ?? '';
                    calls[index].function.arguments += called?.arguments ?? '';
                }
            }
            return { calls, content, reason };
        };
        // the small model calls functions only if it has to
        const first = await ask({ tools, tool_choice: 'required', max_tokens: 512, temperature: 0.1 });
        assert.equal(first.reason, 'tool_calls');
        assert.ok(first.calls.length > 0);
        talk.push({ role: 'assistant', content: first.content || null, tool_calls: first.calls });
        for (const { id, function: called } of first.calls) {
            assert.equal(called.name, 'control_lamp');
            assert.match(JSON.parse(called.arguments).state, /^(on|off)$/);
            talk.push({ role: 'tool', tool_call_id: id, content: '{"status":"ok"}' });
        }
        const second = await ask({ tools, tool_choice: 'auto', max_tokens: 8, temperature: 0.1 });
        assert.equal(second.calls.length, 0);
        assert.ok(second.content.length > 0);
    });
});

describe('requests', () => {
    test("a chat's answer is llama.cpp's", async () => {
        const answer = await wllama.createChatCompletion({ messages, max_tokens: TOKENS, temperature: 0 });
        const [{ message, finish_reason }] = answer.choices;
        assert.deepEqual([message.role, message.content, finish_reason], ['assistant', wantedChat, 'length']);
        assert.equal(answer.object, 'chat.completion');
        assert.equal(answer.usage.prompt_tokens, cases['chat-turns'].prompt.length);
        assert.equal(answer.usage.completion_tokens_details.audio_tokens, 0);
        assert.equal(answer.timings.predicted_n, TOKENS);
    });

    test("fields that are not given have the values of llama.cpp's server", () => {
        const settings = loadOptionsOf({}).settings;
        const { fields, options } = requestOf({ prompt: 'a' }, settings, 100);
        assert.deepEqual(fields, {
            ...{ prompt: 'a', temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, max_tokens: 2 ** 31 - 1 },
        });
        assert.deepEqual(options, { penaltyLast: 64 });
        const all = { temp: 0.5, penalty_repeat: 1.5, penalty_freq: 0.25, penalty_present: 0.125, typ_p: 0.75 };
        const other = requestOf(
            {
                messages,
                ...all,
                penalty_last_n: 7,
                ignore_eos: true,
                logit_bias: [{ token: 5, bias: -1 }],
                top_p: null,
            },
            loadOptionsOf({ ctx_shift: true, seed: 3, reasoning: false, default_template_kwargs: { a: 1 } }).settings,
            100,
        );
        assert.deepEqual(other.options, { penaltyLast: 7, ignoreEnd: true });
        assert.deepEqual(other.fields, {
            ...{ messages, top_k: 40, top_p: 0.95, min_p: 0.05, temperature: 0.5, repeat_penalty: 1.5, seed: 3 },
            ...{ frequency_penalty: 0.25, presence_penalty: 0.125, typical_p: 0.75, logit_bias: [[5, -1]] },
            ...{ max_tokens: 100, context_overflow: 'shift', reasoning_effort: 'none', chat_template_kwargs: { a: 1 } },
        });
        for (const seed of [-1, 2 ** 32 - 1]) // a new one each time
            assert.equal(requestOf({ prompt: 'a', seed }, settings, 1).fields.seed, undefined);
    });

    test('the seed of the load is that of requests without one', async () => {
        const settings = loadOptionsOf({ seed: 7 }).settings;
        assert.equal(requestOf({ prompt: 'a' }, settings, 1).fields.seed, 7);
        assert.equal(requestOf({ prompt: 'a', seed: 8 }, settings, 1).fields.seed, 8);
    });

    test('an answer ends at once when it is aborted', async () => {
        const long = { messages, temperature: 2, seed: 1, max_tokens: 3000, stream: true };
        const controller = new AbortController();
        let pieces = 0;
        const stream = await wllama.createChatCompletion({ ...long, abortSignal: controller.signal });
        await assert.rejects(
            async () => {
                for await (const _ of stream) if (++pieces === 3) controller.abort();
            },
            (/** @type {any} */ error) => error instanceof WllamaAbortError && error.name === 'AbortError',
        );
        assert.ok(pieces < 20);
        const { signal: abortSignal } = controller;
        await assert.rejects(wllama.createCompletion({ prompt: 'a', abortSignal }), WllamaAbortError);
        const stop = wllama.createChatCompletion({
            ...long,
            onData() {
                throw new Error('enough');
            },
        });
        await assert.rejects(stop, /^Error: enough$/);
        // and the model answers the next request
        const { choices } = await wllama.createCompletion({ prompt: 'The', max_tokens: 1 });
        assert.equal(choices[0].finish_reason, 'length');
    });

    test('a prompt may write special tokens, and tokens are read as in wllama 2', async () => {
        const { usage } = await wllama.createCompletion({ prompt: 'The<|im_end|>', max_tokens: 1 });
        assert.equal(usage.prompt_tokens, cases.single.prompt.length + 1);
        const tokens = await wllama.tokenize('The<|im_end|>');
        assert.deepEqual(tokens, [...cases.single.prompt, wllama.getEOS()]);
        assert.ok((await wllama.tokenize('The<|im_end|>', false)).length > tokens.length);
        assert.equal(await wllama.detokenize(tokens, true), 'The<|im_end|>');
        assert.deepEqual(await wllama.detokenize(tokens), new TextEncoder().encode('The<|im_end|>'));
    });

    test('what is wrong is told by its name', async () => {
        const chat = (/** @type {any} */ request) =>
            wllama.createChatCompletion({ messages, max_tokens: 1, ...request });
        const sound = [{ role: 'user', content: [{ type: 'audio', data: new ArrayBuffer(1) }] }];
        await assert.rejects(chat({ messages: sound }), failing('inference_error', /type "audio" in messages\[0\]/));
        await assert.rejects(chat({ n_probs: 2 }), failing('inference_error', /n_probs: give logprobs/));
        await assert.rejects(chat({ max_token: 2 }), failing('inference_error', /did you mean "max_tokens"/));
        await assert.rejects(wllama.createCompletion('a', {}), failing('inference_error', /must be an object/));
        await assert.rejects(
            wllama.createCompletion({ prompt: 'one '.repeat(5000) }),
            (/** @type {any} */ error) =>
                failing('kv_cache_full', /tokens/)(error) && error.cause instanceof NibbleError,
        );
        await assert.rejects(wllama.createEmbedding({ input: 'a' }), failing('inference_error', /embeddings: true/));
        await assert.rejects(
            wllama.createRerank({ query: 'a', documents: ['b'] }),
            failing('inference_error', /"rank"/),
        );
        for (const name of ['createSystemOne', 'createSpeech', 'createTranscription', 'createRealtimeSession'])
            await assert.rejects(wllama[name]({}), failing('unknown_error', new RegExp(`${name}\\(\\): `)));
        await assert.rejects(wllama.testBackendOps(), failing('unknown_error', /testBackendOps\(\)/));
        assert.throws(() => wllama.getWorkerResources(), failing('unknown_error', /getWorkerResources\(\).*wasmUrl/));
        assert.throws(() => wllama.supportInputModality('smell'), WllamaError);
        assert.deepEqual([wllama.supportInputModality('image'), wllama.isSupportWebGPU()], [false, false]);
        for (const f of /** @type {any[]} */ ([entry.encodeRealtimeAudio, entry.decodeRealtimeAudio]))
            assert.throws(() => f(''), WllamaError);
    });

    test('a reranker scores documents', async () => {
        const [{ query, documents, logits, tokens }] = JSON.parse(
            readFileSync(`${FOLDER}rerankers/bert-reranker.json`, 'utf8'),
        ).cases;
        const ranker = /** @type {any} */ (new Wllama(CONFIG_PATHS));
        await ranker.loadModelFromUrl(`${FOLDER}rerankers/bert-reranker.gguf`, {
            ...{ embeddings: true, pooling_type: 'rank', cache_type_k: 'f32', cache_type_v: 'f32' },
        });
        const { results, usage } = await ranker.createRerank({ query, documents, top_n: 2 });
        assert.equal(results.length, 2);
        for (const { index, relevance_score } of results) assert.ok(Math.abs(relevance_score - logits[index]) < 1e-4);
        assert.equal(results[0].relevance_score, Math.max(...results.map((/** @type {any} */ r) => r.relevance_score)));
        assert.equal(usage.prompt_tokens, tokens.flat().length);
        await assert.rejects(
            ranker.createEmbedding({ input: 'a' }),
            failing('inference_error', /without pooling_type/),
        );
        await ranker.exit();
    });
});

describe('loading', () => {
    test('the values of the file', () => {
        assert.equal(wllama.isModelLoaded(), true);
        const { hparams, meta } = wllama.getModelMetadata();
        assert.deepEqual(hparams, { nVocab: 1024, nCtxTrain: 512, nEmbd: 96, nLayer: 6 });
        assert.deepEqual(
            [meta['general.architecture'], meta['llama.block_count'], meta['tokenizer.ggml.add_bos_token']],
            ['llama', '6', 'false'],
        );
        assert.equal(meta['tokenizer.ggml.tokens'], undefined);
        assert.equal(wllama.getChatTemplate(), meta['tokenizer.chat_template']);
        assert.deepEqual([wllama.getBOS(), wllama.getEOS(), wllama.getEOT()], [1, 2, -1]);
        assert.deepEqual([wllama.isTokenEOG(2), wllama.isTokenEOG(1), wllama.isTokenEOG(-1)], [true, false, false]);
        assert.deepEqual([wllama.mustAddBosToken(), wllama.mustAddEosToken()], [false, false]);
        assert.deepEqual([wllama.isMultithread(), wllama.getNumThreads()], [false, 1]);
        assert.deepEqual([wllama.getDecoderStartToken(), wllama.isEncoderDecoderArchitecture()], [-1, false]);
        const { n_ctx, n_vocab, has_chat, has_image_input } = wllama.getLoadedContextInfo();
        assert.deepEqual([n_ctx, n_vocab, has_chat, has_image_input], [4096, 1024, true, false]);
    });

    test('Blobs, errors, and the way back', async () => {
        const lines = /** @type {string[]} */ ([]),
            logger = { ...console, debug: (/** @type {string} */ line) => lines.push(line) };
        const other = /** @type {any} */ (new Wllama(CONFIG_PATHS, { logger, nibble: { precision: 'fast' } }));
        const without = failing('model_not_loaded', /call loadModel\(\) first/);
        await assert.rejects(other.createCompletion({ prompt: 'a' }), without);
        assert.throws(() => other.getModelMetadata(), without);
        assert.deepEqual([other.getBOS(), other.isTokenEOG(2)], [-1, false]);
        await other.exit(); // does nothing

        await assert.rejects(other.loadModel([new Blob([])]), failing('load_error', /not empty/));
        await assert.rejects(other.loadModel([new Blob(['not a model'])]), failing('load_error', /./));
        await assert.rejects(
            other.loadModelFromUrl('http://127.0.0.1:9/a.gguf'),
            failing('download_error', /cannot reach/),
        );
        const blob = await openAsBlob(models.tiny),
            projector = new File(['a'], 'mmproj.gguf');
        await assert.rejects(other.loadModel([blob, projector]), failing('load_error', /mmproj\.gguf.*texts only/));
        await assert.rejects(
            other.loadModelFromUrl({ url: models.tiny, mmprojUrl: 'b' }),
            failing('load_error', /mmprojUrl/),
        );
        const controller = new AbortController(),
            aborted = other.loadModelFromUrl(models.tiny, { signal: controller.signal });
        controller.abort();
        await assert.rejects(aborted, WllamaAbortError);
        const left = assert.rejects(other.loadModel([blob]), WllamaAbortError);
        await other.exit();
        await left;

        await other.loadModel([blob], { n_threads: 1 });
        assert.ok(lines.some((line) => line.startsWith('load:') || line.includes('build')));
        await assert.rejects(other.loadModel([blob]), failing('load_error', /exit\(\) first/));
        const { choices } = await other.createCompletion({ prompt: 'The', max_tokens: 1, logprobs: 1 });
        assert.equal(choices[0].logprobs.tokens.length, 1);
        const running = assert.rejects(
            other.createChatCompletion({ messages, max_tokens: 3000, temperature: 2 }),
            failing('model_not_loaded', /./),
        );
        await other.exit();
        await running;
        assert.equal(other.isModelLoaded(), false);
    });

    test('a URL with headers, and the hub', async () => {
        const bytes = readFileSync(models.tiny),
            seen = /** @type {any[]} */ ([]);
        const { url, close } = await listen((request, response) => {
            seen.push([request.url, request.headers.authorization]);
            if (request.headers.authorization !== 'Bearer secret') return response.writeHead(401).end();
            response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
        });
        const other = /** @type {any} */ (new Wllama(CONFIG_PATHS));
        await assert.rejects(
            other.loadModelFromUrl(`${url}/a.gguf`, { headers: { Authorization: 'no' } }),
            failing('download_error', /answered 401/),
        );
        const headers = { Authorization: 'Bearer secret' },
            parts = { url: `${url}/a-00001-of-00002.gguf` };
        await assert.rejects(other.loadModelFromUrl(parts, { headers }), failing('load_error', /headers .*in parts/));

        // the hub is this server
        const { fetch } = globalThis;
        const files = ['config.json', 'x-Q8_0.gguf', 'mmproj-Q4_K_M.gguf', 'b/x-Q6_K-00001-of-00002.gguf'];
        files.push('b/x-Q6_K-00002-of-00002.gguf');
        globalThis.fetch = async (/** @type {any} */ from, /** @type {any} */ init) => {
            const { pathname, search } = new URL(from);
            if (!pathname.startsWith('/api/')) return fetch(`${url}${pathname}`, init);
            seen.push([`${pathname}${search}`, init.headers.Authorization]);
            return pathname.includes('/none/')
                ? new Response('', { status: 404 })
                : Response.json(files.map((path) => ({ type: 'file', path })));
        };
        const loaded = /** @type {any[]} */ ([]);
        try {
            seen.length = 0;
            const hub = { repo: 'a/b', hfToken: 'secret' };
            await other.loadModelFromHF(hub, { progressCallback: (/** @type {any} */ p) => loaded.push(p) });
            assert.deepEqual(seen, [
                ['/api/models/a/b/tree/main?recursive=true', 'Bearer secret'],
                ['/a/b/resolve/main/x-Q8_0.gguf', 'Bearer secret'],
            ]);
            assert.deepEqual(loaded.at(-1), { loaded: bytes.length, total: bytes.length });
            const at = 'https://huggingface.co/a/b/resolve/main/';
            assert.deepEqual(await getHFModelSource({ repo: 'a/b', quant: 'q6_k' }), {
                url: `${at}b/x-Q6_K-00001-of-00002.gguf`,
            });
            assert.deepEqual(await getHFModelSource({ repo: 'a/b', file: 'c.gguf' }), { url: `${at}c.gguf` });
            await assert.rejects(
                getHFModelSource({ repo: 'a/b', quant: 'Q2_K' }),
                failing('download_error', /Q2_K.*x-Q/),
            );
            await assert.rejects(getHFModelSource({ repo: 'none/b' }), failing('download_error', /answered 404/));
            await assert.rejects(getHFModelSource({ repo: '../b', file: 'a' }), failing('load_error', /hub/));
            await assert.rejects(
                other.loadModelFromHF({ repo: 'a/b', mmprojQuant: 'F16' }),
                failing('load_error', /mmprojQuant/),
            );
        } finally {
            globalThis.fetch = fetch;
            close();
            await other.exit();
        }
    });

    test('downloads are not kept', async () => {
        const { cacheManager: cache, modelManager: manager } = wllama;
        assert.deepEqual([await cache.list(), await manager.getModels(), await cache.open('a')], [[], [], null]);
        await cache.clear();
        await assert.rejects(
            cache.download('a'),
            failing('download_error', /cacheManager\.download\(\).*loadModelFromUrl/),
        );
        await assert.rejects(manager.downloadModel('a'), failing('download_error', /modelManager\.downloadModel\(\)/));
        assert.deepEqual(ModelManager.parseModelUrl('https://a/b-00001-of-00002.gguf?c'), [
            'https://a/b-00001-of-00002.gguf?c',
            'https://a/b-00002-of-00002.gguf?c',
        ]);
        assert.deepEqual(ModelManager.parseModelUrl('b.gguf'), ['b.gguf']);
    });
});

test('docs/wllama.md: its example runs', () => {
    const page = readFileSync(`${root}docs/wllama.md`, 'utf8'),
        programs = [...page.matchAll(/^```js\n([\s\S]*?)^```/gm)].map(([, lines]) => lines);
    assert.equal(programs.length, 1);
    const program = programs[0].replace(/'SmolLM2[^']*'/, JSON.stringify(models.tiny));
    assert.notEqual(program, programs[0]);
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
        cwd: root,
        encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^100 %\n\S[\s\S]+$/m);
});

describe("wllama's package", { skip }, () => {
    const types = `${root}node_modules/@wllama/wllama/esm/`;
    const read = (/** @type {string} */ name) => readFileSync(`${types}${name}.d.ts`, 'utf8');

    test('each of its methods and exports is here', () => {
        const [, members] = /export declare class Wllama \{(.*?)\n\}/s.exec(read('wllama')) ?? [];
        const methods = [...members.matchAll(/^ {4}(static )?(\w+)\(/gm)].filter(
            ([, , name]) => name !== 'constructor',
        );
        assert.ok(methods.length > 30);
        for (const [, fixed, name] of methods)
            assert.equal(typeof (fixed ? /** @type {any} */ (Wllama) : wllama)[name], 'function', name);
        const names = ['wllama', 'model-manager', 'cache-manager', 'types/types'].flatMap((file) =>
            [...read(file).matchAll(/^export declare (?:class|const|enum) (\w+)/gm)].map(([, name]) => name),
        );
        assert.ok(names.length > 10);
        const others = ['POLYFILL_ETAG']; // of an older form of its cache
        assert.deepEqual(
            names.filter((name) => !(name in entry)),
            others,
        );
        assert.deepEqual(entry.LogLevel, { DEBUG: 1, INFO: 2, WARN: 3, ERROR: 4 });
        const { message, stack } = new WllamaRuntimeError('a', 'b');
        assert.deepEqual([message, stack], ['a', 'b']);
    });

    test('each parameter of a load is taken, or refused by its name', () => {
        const [, body] = /export interface LoadModelParams \{(.*?)\n\}/s.exec(read('types/types')) ?? [];
        const fields = [...body.matchAll(/^ {4}(\w+)\?: ([^;{]*)/gm)];
        assert.ok(fields.length > 50);
        let taken = 0;
        for (const [, name, type] of fields)
            try {
                const value = /boolean/.test(type) ? true : /number/.test(type) ? 1 : /string/.test(type) ? 'x' : {};
                loadOptionsOf({ [name]: name === 'lora_adapters' ? [{ path: 'a' }] : value });
                taken++;
            } catch (error) {
                assert.match(/** @type {any} */ (error).message, new RegExp(`does not support .*\\b${name}\\b`));
            }
        assert.ok(taken > 25);
        assert.throws(() => loadOptionsOf(/** @type {any} */ ({ n_ctxs: 1 })), failing('load_error', /mean "n_ctx"/));
    });

    test('a parameter becomes an option of load()', () => {
        const params = {
            n_ctx: 7,
            n_threads: 0,
            n_parallel: 2,
            cache_type_k: 'q8_0',
            lora_adapters: [{ path: 'a', scale: 2 }],
        };
        assert.deepEqual(loadOptionsOf(/** @type {any} */ (params)).options, {
            ...{ contextLength: 7, threads: 1, parallel: 2, kvType: 'q8_0', adapters: [{ source: 'a', scale: 2 }] },
        });
        const mixed = /** @type {any} */ ({ cache_type_k: 'q8_0', cache_type_v: 'q4_0' });
        assert.equal(loadOptionsOf(mixed).options.kvType, 'q8_0/q4_0');
        for (const wrong of [
            { cache_type_k: 'f16', cache_type_v: 'f32' },
            { cache_type_k: 'q4_0', cache_type_v: 'q8_0' },
            { cache_type_v: 'q5_0' },
        ])
            assert.throws(() => loadOptionsOf(/** @type {any} */ (wrong)), failing('load_error', /cache_type_/));
    });

    test('programs with its types compile', () => {
        compiles('tests/support/wllama-types.ts');
    });
});
