// LoRA adapters: logits are PEFT's (tests/oracles/adapters.py), from folders and from GGUF files. (With speculation they
// are tested by tests/core/test_adapter.c, as the clock decides whether guesses are made.)
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { load } from '../../web/index.js';
import { root } from '../support/builds.js';
import { changedCopy, editJson } from '../support/edits.js';
import { configurations, logitsOf, logitsVectors } from '../support/vectors.js';

const folder = `${root}tests/fixtures/adapters/`,
    base = `${root}tests/fixtures/safetensors/llama-sharded`;
const OPTIONS = { threads: 1, kvType: /** @type {const} */ ('f32') };

/** @typedef {import('../../web/index.js').Model} Model */

/** @param {string} name @param {Float32Array[]} rows */
function checkRows(name, rows) {
    const expected = logitsVectors(`adapters/${name}.json`);
    assert.equal(rows.length, expected.tokens.length);
    for (const [i, row] of rows.entries())
        for (const [j, entry] of expected.entries.entries())
            assert.ok(
                Math.abs(row[entry] - expected.rows[i][j]) < 1e-3,
                `${name}, position ${i}, token ${entry}: ${row[entry]}, not ${expected.rows[i][j]}`,
            );
}

/** @param {Model} model @param {string} name */
const check = async (model, name) =>
    checkRows(name, await logitsOf(model, logitsVectors(`adapters/${name}.json`).tokens));

for (const { build, threads } of configurations())
    test(`${build}, ${threads} threads: PEFT's logits: one adapter, two with scales, changed and removed`, async () => {
        const model = await load(base, { ...OPTIONS, build, threads });
        try {
            const { tokens } = logitsVectors('adapters/one.json'),
                plain = await logitsOf(model, tokens);
            await model.addAdapter(`${folder}one`);
            await check(model, 'one');
            await model.addAdapter(`${folder}two`, { scale: 0 });
            await check(model, 'one');
            await model.setAdapters(['two']);
            await check(model, 'two');
            await model.setAdapters([
                { name: 'two', scale: 3 },
                { name: 'one', scale: 0.5 },
            ]);
            await check(model, 'both');
            await model.setAdapters([]);
            assert.deepEqual(await logitsOf(model, tokens), plain);
            await model.setAdapters(['one', 'two']);
            await model.removeAdapter('two');
            await check(model, 'one');
            await model.removeAdapter('one');
            assert.deepEqual(await logitsOf(model, tokens), plain);
            await model.addAdapter(`${folder}one.gguf`);
            await model.addAdapter(`${folder}two.gguf`, { scale: 0 });
            await check(model, 'one');
            await model.setAdapters([
                { name: 'two', scale: 3 },
                { name: 'one', scale: 0.5 },
            ]);
            await check(model, 'both');
        } finally {
            await model.dispose();
        }
    });

/** @type {Model} */
let model;
/** @type {string} */
let temporary;
before(async () => {
    temporary = await mkdtemp(join(tmpdir(), 'nibble-adapters-'));
    model = await load(base, {
        ...OPTIONS,
        cacheSize: '1MB',
        adapters: [`${folder}one`, { source: `${folder}two.gguf`, name: 'second', scale: 0 }],
    });
});
after(async () => {
    await model.dispose();
    await rm(temporary, { recursive: true });
});

const PROMPT = Array.from({ length: 48 }, (_, i) => 3 + ((i * 29) % 250));

/** @param {import('../../web/index.js').GenerateOptions['adapters']} [adapters] @param {number[]} [prompt] */
const complete = (adapters, prompt = PROMPT) => model.complete(prompt, { maxTokens: 8, ignoreEnd: true, adapters });

test('load() adds adapters; a request may have its own, and nothing of other adapters is reused', async () => {
    assert.deepEqual(
        model.adapters.map(({ name, scale }) => [name, scale]),
        [
            ['one', 1],
            ['second', 0],
        ],
    );
    assert.ok(model.adapters.every(({ bytes }) => bytes > 4000 && bytes < 30000));
    const one = await complete();
    assert.equal(one.cachedTokens, 0);
    const plain = await complete([]);
    assert.equal(plain.cachedTokens, 0);
    assert.notDeepEqual(plain.tokens, one.tokens);
    const second = await complete([{ name: 'second', scale: 2 }]);
    assert.equal(second.cachedTokens, 0);
    assert.notDeepEqual(second.tokens, one.tokens);
    // the conversations of each are kept, and go on
    for (const [adapters, { tokens }] of /** @type {const} */ ([
        [undefined, one],
        [['one'], one],
        [[], plain],
        [[{ name: 'second', scale: 2 }], second],
    ])) {
        const again = await complete(adapters && [...adapters]);
        assert.deepEqual(again.tokens, tokens);
        assert.equal(again.cachedTokens, PROMPT.length - 1);
    }
    await model.setAdapters([{ name: 'second', scale: 2 }]);
    assert.deepEqual((await complete()).tokens, second.tokens);
    assert.deepEqual(
        model.adapters.map(({ scale }) => scale),
        [0, 2],
    );
    // without a cache of conversations the same holds
    const bare = await load(base, { ...OPTIONS, adapters: [`${folder}one`] });
    try {
        const options = { maxTokens: 8, ignoreEnd: true };
        assert.deepEqual((await bare.complete(PROMPT, { ...options, adapters: [] })).tokens, plain.tokens);
        const other = await bare.complete(PROMPT, options);
        assert.deepEqual([other.tokens, other.cachedTokens], [one.tokens, 0]);
    } finally {
        await bare.dispose();
    }
    await model.setAdapters(['one']);
});

test('save() and restore() go with the adapters', async () => {
    const expected = await complete(),
        saved = await model.save();
    await model.setAdapters([]);
    await assert.rejects(model.restore(saved), /NB_ERR_ARGUMENT|of other adapters/);
    await model.setAdapters(['one']);
    assert.equal((await model.restore(saved)).length, PROMPT.length + 7);
    const again = await complete();
    assert.deepEqual([again.tokens, again.cachedTokens], [expected.tokens, PROMPT.length - 1]);
});

test('an adapter comes from bytes, a stream or files, and is named after its source', async () => {
    const bytes = await readFile(`${folder}one.gguf`);
    const files = ['adapter_config.json', 'adapter_model.safetensors'].map(
        async (name) => new File([await readFile(`${folder}two/${name}`)], name),
    );
    const stream = new ReadableStream({
        start(controller) {
            controller.enqueue(new Uint8Array(bytes));
            controller.close();
        },
    });
    const added = [
        await model.addAdapter(new Uint8Array(bytes)),
        await model.addAdapter(stream, { name: 'stream', scale: 2 }),
        await model.addAdapter(await Promise.all(files), { name: 'files', scale: 0 }),
        await model.addAdapter(new File([bytes], 'own.gguf')),
    ];
    assert.deepEqual(
        added.map(({ name, scale }) => [name, scale]),
        [
            ['adapter', 1],
            ['stream', 2],
            ['files', 0],
            ['own', 1],
        ],
    );
    const plain = await complete([]),
        three = await complete([{ name: 'one', scale: 3 }]);
    assert.deepEqual((await complete(['adapter', 'own', 'one'])).tokens, three.tokens);
    for (const { name } of added) await model.removeAdapter(name);
    assert.deepEqual((await complete([])).tokens, plain.tokens);
    assert.deepEqual(
        model.adapters.map(({ name }) => name),
        ['one', 'second'],
    );
});

test('a source that fails, and a request that is aborted, add nothing, and later requests go on', async () => {
    const before = model.adapters;
    const failing = new ReadableStream({
        pull(controller) {
            controller.error(new Error('gone'));
        },
    });
    await assert.rejects(
        model.addAdapter(failing, { name: 'late' }),
        /addAdapter\(\): the source cannot be read: gone/,
    );
    const controller = new AbortController(),
        { signal } = controller,
        bytes = await readFile(`${folder}one.gguf`);
    const aborting = {
        pull(/** @type {any} */ stream) {
            controller.abort(new Error('enough'));
            stream.enqueue(new Uint8Array(bytes));
            stream.close();
        },
    };
    const late = model.addAdapter(new ReadableStream(aborting, { highWaterMark: 0 }), { name: 'late', signal });
    await assert.rejects(late, /enough/);
    await assert.rejects(complete(['late']), /there is no adapter "late"/);
    assert.deepEqual(model.adapters, before);
});

test('what is refused, and how', async () => {
    const bad = /** @type {any} */ (model);
    for (const [act, message] of /** @type {[() => Promise<unknown>, RegExp][]} */ ([
        [() => bad.setAdapters('one'), /setAdapters\(\): adapters must be an array/],
        [
            () => bad.setAdapters([{ name: 'one', scale: NaN }]),
            /the scale of "one" must be a number from -1000 to 1000/,
        ],
        [() => bad.setAdapters([{ name: 'one', weight: 1 }]), /names of adapters, or objects of a name and a scale/],
        [() => bad.setAdapters(['one', { name: 'one', scale: 2 }]), /names the adapter "one" twice/],
        [() => bad.setAdapters(['three']), /there is no adapter "three": there are "one", "second"/],
        [() => bad.removeAdapter(), /removeAdapter\(\): it takes an adapter's name/],
        [() => bad.removeAdapter('three'), /there is no adapter "three"/],
        [() => model.addAdapter(`${folder}one`), /there is an adapter "one" already: remove it first/],
        [async () => complete(['three']), /there is no adapter "three"/],
        [() => model.addAdapter(`${root}tests/fixtures/tiny.gguf`), /adapter "tiny": it is no LoRA adapter/],
        [() => model.addAdapter(base), /adapter_config.json is missing in the folder .*llama-sharded/],
        [
            () => model.addAdapter(`${folder}none.gguf`),
            /adapter "none": cannot read .*none.gguf: there is no such file/,
        ],
        [() => load(base, { ...OPTIONS, adapters: [`${folder}none`] }), /adapter "none": cannot read/],
        [() => load(base, /** @type {any} */ ({ ...OPTIONS, adapters: 'one' })), /load\(\): adapters must be an array/],
        [() => load(`${folder}one.gguf`, OPTIONS), /the file is an adapter \(LoRA\), not a model/],
        [
            () => load(`${root}tests/fixtures/models/qwen2.gguf`, { ...OPTIONS, adapters: [`${folder}one.gguf`] }),
            /adapter "one": it is for models of the architecture llama/,
        ],
        [
            () =>
                load(`${root}tests/fixtures/models/one-kv-head.gguf`, { ...OPTIONS, adapters: [`${folder}one.gguf`] }),
            /adapter "one": it changes output.weight, which this model does not have/,
        ],
    ]))
        await assert.rejects(act, (/** @type {any} */ error) => {
            assert.match(error.message, message);
            return error.name === 'NibbleError';
        });
    assert.deepEqual(
        model.adapters.map(({ name }) => name),
        ['one', 'second'],
    );
});

test('keys of adapter_config.json that mean another kind of adapter are refused by name', async () => {
    for (const [key, value] of /** @type {[string, unknown][]} */ ([
        ['peft_type', 'IA3'],
        ['use_dora', true],
        ['bias', 'all'],
        ['modules_to_save', ['lm_head']],
        ['alpha_pattern', { q_proj: 3 }],
        ['layer_replication', [[0, 2]]],
        ['target_parameters', ['mlp.experts']],
        ['trainable_token_indices', { embed_tokens: [1] }],
        ['init_lora_weights', 'pissa'],
        ['lora_bias', true],
        ['loftq_config', { loftq_bits: 4 }],
        ['alora_invocation_tokens', [1, 2]],
        ['r', 0],
        ['lora_alpha', 0],
        ['use_rslora', true], // with a rank_pattern
    ])) {
        const copy = await changedCopy(temporary, [`${folder}one`], (path) =>
            editJson(join(path, 'adapter_config.json'), (config) => {
                config[key] = value;
            }),
        );
        const shown = key === 'use_rslora' ? /rank_pattern \(with use_rslora\)/ : new RegExp(`config.json: ${key} `);
        await assert.rejects(model.addAdapter(copy, { name: key }), shown);
    }
});

test('--adapter FILE=SCALE', async () => {
    const { tokens } = logitsVectors('adapters/both.json'),
        path = join(temporary, 'logits');
    const run = (/** @type {string[]} */ ...flags) =>
        execFileSync(
            process.execPath,
            [`${root}web/cli.js`, 'eval', base, '--tokens', tokens.join(), '--logits', path, ...flags],
            { stdio: ['ignore', 'ignore', 'pipe'] },
        );
    const own = ['--threads', '1', '--kv-type', 'f32'];
    run('--adapter', `${folder}one=0.5`, `--adapter=${folder}two.gguf=3`, ...own);
    const bytes = await readFile(path),
        all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4),
        vocabulary = all.length / tokens.length;
    checkRows(
        'both',
        tokens.map((_, i) => all.subarray(i * vocabulary, (i + 1) * vocabulary)),
    );
    assert.throws(() => run('--adapter', 'none.gguf', ...own), /adapter "none": cannot read none.gguf/);
});

describe('together with other options', () => {
    /** @type {Model} */
    let own;
    before(async () => {
        own = await load(base, { ...OPTIONS, contextLength: 64, adapters: [`${folder}one`] });
    });
    after(() => own.dispose());
    const ONE = [{ name: 'one', scale: 3 }],
        GREEDY = { temperature: 0, ignoreEnd: true };

    test('contextOverflow slide: the answer goes on as in a new session with the same adapters', async () => {
        const prompt = PROMPT.slice(0, 40),
            keep = 4,
            half = (64 - keep) / 2;
        const ask = { ...GREEDY, adapters: ONE },
            seen = await own.complete(prompt, { ...ask, maxTokens: 50, contextOverflow: 'slide', keep });
        assert.equal(seen.droppedTokens, half);
        const all = [...prompt, ...seen.tokens],
            left = [...all.slice(0, keep), ...all.slice(keep + half, 64)];
        await own.complete([3], { ...GREEDY, maxTokens: 1, adapters: [] }); // forgets it
        const again = await own.complete(left, { ...ask, maxTokens: all.length - 64 });
        assert.deepEqual([again.tokens, again.cachedTokens], [all.slice(64), 0]);
        const plain = await own.complete(left, { ...ask, maxTokens: all.length - 64, adapters: [] });
        assert.notDeepEqual(plain.tokens, again.tokens);
    });

    test('contextOverflow shift: a shifted cache is of its adapters alone', async () => {
        const ask = /** @type {const} */ ({ ...GREEDY, maxTokens: 50, contextOverflow: 'shift' });
        const plain = await own.complete(PROMPT, { ...ask, adapters: [] }),
            one = await own.complete(PROMPT, { ...ask, adapters: ONE });
        assert.ok(one.droppedTokens && plain.droppedTokens);
        assert.notDeepEqual(one.tokens, plain.tokens);
        // the session holds the end of the last answer, at the beginning of the context
        const held = [...PROMPT, ...one.tokens].slice(one.droppedTokens, -1);
        const next = { ...GREEDY, maxTokens: 2 };
        assert.equal((await own.complete(held, { ...next, adapters: ONE })).cachedTokens, held.length - 1);
        await own.complete(PROMPT, { ...ask, adapters: ONE });
        assert.equal((await own.complete(held, { ...next, adapters: [] })).cachedTokens, 0);
        assert.deepEqual((await own.complete(PROMPT, { ...ask, adapters: ONE })).tokens, one.tokens);
        assert.deepEqual((await own.complete(PROMPT, { ...ask, adapters: [] })).tokens, plain.tokens);
        // the same with a cache of conversations
        const cached = await load(base, {
            ...OPTIONS,
            contextLength: 64,
            cacheSize: '1MB',
            adapters: [`${folder}one`],
        });
        try {
            for (let round = 0; round < 2; round++)
                for (const [adapters, { tokens }] of /** @type {const} */ ([
                    [ONE, one],
                    [[], plain],
                ]))
                    assert.deepEqual(
                        (await cached.complete(PROMPT, { ...ask, adapters: [...adapters] })).tokens,
                        tokens,
                    );
        } finally {
            await cached.dispose();
        }
    });

    test('a grammar: the best token of those that it allows, by the logits with the adapters', async () => {
        const texts = await Promise.all(
                Array.from({ length: own.info.vocabulary ?? 0 }, (_, i) => own.detokenize([i])),
            ),
            allowed = [...texts.keys()].filter((token) => /^[A-Z]$/.test(texts[token]));
        /** @type {number[]} */
        const best = [];
        for (const adapters of [ONE, []]) {
            await own.setAdapters(adapters);
            const row = /** @type {Float32Array} */ ((await logitsOf(own, PROMPT)).at(-1));
            best.push(allowed.reduce((a, b) => (row[b] > row[a] ? b : a)));
            const { tokens } = await own.complete(PROMPT, { ...GREEDY, maxTokens: 1, grammar: 'root ::= [A-Z]' });
            assert.deepEqual(tokens, best.slice(-1));
        }
        assert.notEqual(best[0], best[1]);
    });

    test('info.memoryBytes counts adapters, and memory that one has freed is used again', async () => {
        const begin = own.info.memoryBytes,
            gguf = await readFile(`${folder}one.gguf`),
            names = Array.from({ length: 100 }, (_, i) => `copy ${i}`);
        const addAll = async () => {
            for (const name of names) await own.addAdapter(new Uint8Array(gguf), { name, scale: 0 });
            return own.info.memoryBytes;
        };
        const most = await addAll(),
            bytes = own.adapters.reduce((sum, adapter) => sum + adapter.bytes, 0);
        assert.ok(most > begin && most >= bytes && bytes > 1e6, `${begin}, then ${most} bytes of memory`);
        for (const name of names) await own.removeAdapter(name);
        assert.equal(await addAll(), most);
    });
});

test('an adapter may be removed while others compute with it', async () => {
    const expected = await logitsOf(model, PROMPT),
        /** @type {Float32Array[]} */ rows = [];
    for await (const piece of model.logits(PROMPT)) {
        if (rows.length === 0) {
            await model.removeAdapter('one');
            await model.addAdapter(`${folder}two.gguf`); // takes the memory that is free now
        }
        for (let at = 0; at < piece.length; at += expected[0].length)
            rows.push(piece.slice(at, at + expected[0].length));
    }
    assert.deepEqual(rows, expected);
});
