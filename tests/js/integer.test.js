// Models of integers: their modules have no floating-point instruction, quantize() writes such models, load() runs
// them, and their logits are those of the specification in NumPy (tests/oracles/integer_vectors.py), bit for bit.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { load, quantize, quantizeFolder } from '../../web/index.js';
import { models, root } from '../support/builds.js';
import { parse, whole } from '../support/gguf.js';
import { checkExports } from '../support/modules.js';
import { countInstructions } from '../support/opcodes.js';

/** @typedef {import('../../web/index.d.ts').Source} Source */

const UNIT = 2 ** -16;
const folder = mkdtempSync(join(tmpdir(), 'nibble-'));
after(() => rmSync(folder, { recursive: true }));
const { text } = JSON.parse(readFileSync(`${root}tests/fixtures/llamacpp/prompts.json`, 'utf8')).logits;

/** The model converted to integers, as a GGUF. @param {Source} source */
const integersOf = async (source) =>
    new Uint8Array(await new Response(quantize(source, { method: 'integer' })).arrayBuffer());

/** FNV-1a, 32 bits. @param {Uint8Array} bytes */
function fnv(bytes) {
    let hash = 0x811c9dc5;
    for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
    return hash >>> 0;
}

/** Reads a fixture of tests/oracles/integer_vectors.py. @param {string} name */
function vectorsOf(name) {
    const bytes = readFileSync(`${root}tests/fixtures/integer/${name}.bin`),
        words = new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)),
        [n, vocabulary, tensors] = words;
    return {
        tokens: [...words.subarray(3, 3 + n)],
        vocabulary,
        hashes: words.subarray(3 + n + tensors, 3 + n + tensors + n),
    };
}

test('the modules export the functions of the header, and the pool where there are threads', () =>
    checkExports('integer', 'nibble_integer.h'));

test('the modules have no floating-point instruction, parameter, local or global', () => {
    for (const name of ['integer', 'integer-threads']) {
        const found = countInstructions(readFileSync(`${root}build/wasm/nibble-${name}.wasm`));
        assert.ok(found.all > 5000, `${name}: ${found.all} instructions`);
        assert.deepEqual([found.floats, found.types], [0, 0], name);
    }
    const engine = countInstructions(readFileSync(`${root}build/wasm/nibble-simd128.wasm`));
    assert.ok(engine.floats > 1000 && engine.types > 100, 'the engine has them, and the test sees them');
});

for (const name of ['separate-output', 'type-q8_0'])
    for (const threads of [1, 2])
        test(`${name}, ${threads} threads: logits are the reference's`, async () => {
            const { tokens, vocabulary, hashes } = vectorsOf(name);
            const model = await load(await integersOf(`${root}tests/fixtures/models/${name}.gguf`), { threads });
            try {
                assert.equal(model.info.build, threads > 1 ? 'integer-threads' : 'integer');
                let row = 0;
                for await (const rows of model.logits(tokens))
                    for (let at = 0; at < rows.length; at += vocabulary, row++) {
                        const integers = Int32Array.from(rows.subarray(at, at + vocabulary), (logit) => logit / UNIT);
                        assert.equal(fnv(new Uint8Array(integers.buffer)), hashes[row], `token ${row}`);
                    }
                assert.equal(row, tokens.length);
            } finally {
                await model.dispose();
            }
        });

test('the built-in model: perplexity within 2 % of its own, and the likeliest token', async (t) => {
    const file = join(folder, 'tiny.gguf');
    writeFileSync(file, await integersOf(models.tiny));
    const model = await load(file),
        original = await load(models.tiny);
    try {
        const { info } = model,
            vocabulary = /** @type {number} */ (info.vocabulary);
        assert.deepEqual(
            [info.architecture, info.layers, info.vocabulary, info.unsupported],
            ['llama-integer', original.info.layers, original.info.vocabulary, undefined],
        );
        // 6 layers with keys and values of 2 heads, each with 16 codes of a byte and a scale of 8 bytes
        assert.equal(info.kvBytesPerToken, 6 * 2 * 2 * (16 + 8));
        const found = await model.perplexity(text, { context: 128 }),
            before = await original.perplexity(text, { context: 128 }),
            stride = await model.perplexity(text, { context: 64, stride: 24 });
        t.diagnostic(`${found.perplexity}, ${((found.perplexity / before.perplexity - 1) * 100).toFixed(2)} % more`);
        assert.ok(Math.abs(found.perplexity / before.perplexity - 1) < 0.02);
        assert.ok(
            Math.abs(
                stride.perplexity / (await original.perplexity(text, { context: 64, stride: 24 })).perplexity - 1,
            ) < 0.02,
        );
        assert.equal((await model.perplexity(text, { context: 128 })).perplexity, found.perplexity, 'a second time');

        const prompt = await model.tokenize('Once upon a time'),
            { tokens, text: story } = await model.complete(prompt, { temperature: 0, maxTokens: 12, ignoreEnd: true });
        assert.equal(tokens.length, 12);
        assert.equal(story, await model.detokenize(tokens));
        const all = [...prompt, ...tokens];
        let row = 0;
        for await (const rows of model.logits(all.slice(0, -1)))
            for (let at = 0; at < rows.length; at += vocabulary, row++) {
                const logits = rows.subarray(at, at + vocabulary);
                if (row >= prompt.length - 1)
                    assert.equal(all[row + 1], logits.indexOf(Math.max(...logits)), `token ${row + 1}`);
            }
        const drawn = () => model.complete(prompt, { temperature: 1, seed: 7, maxTokens: 12 });
        assert.deepEqual((await drawn()).tokens, (await drawn()).tokens);
        const biased = await model.complete(prompt, {
            temperature: 0,
            maxTokens: 2,
            ignoreEnd: true,
            logitBias: { 70: 1000 },
        });
        assert.deepEqual(biased.tokens, [70, 70], 'a sampler with biases is asked');
        await assert.rejects(model.embed('x'), {
            code: 'NB_ERR_UNSUPPORTED',
            message: /a model of integers generates/,
        });
        await assert.rejects(model.importanceMatrix(text, { context: 64 }), { code: 'NB_ERR_UNSUPPORTED' });
    } finally {
        await model.dispose();
        await original.dispose();
    }
});

test('without a tokenizer: logits, and an error that says why there is no text', async () => {
    const { values, tensors } = parse(readFileSync(`${root}tests/fixtures/models/separate-output.gguf`));
    for (const key of [...values.keys()]) if (key.startsWith('tokenizer.')) values.delete(key);
    const plain = Uint8Array.from(whole(values, tensors));
    for (const file of [plain, await integersOf([new File([plain], 'plain.gguf')])]) {
        const model = await load(file, { threads: 1 });
        try {
            assert.equal(model.info.tokenizer, undefined);
            for await (const rows of model.logits([1, 2])) assert.ok(rows.length > 0);
            for (const input of [[1, 2], 'Once'])
                await assert.rejects(model.complete(input), {
                    code: 'NB_ERR_UNSUPPORTED',
                    message:
                        /file has no tokenizer.*cannot generate: logits\(\) .*takes token ids; or make the file anew/,
                });
            await assert.rejects(model.chat('Once'), /has no tokenizer/);
        } finally {
            await model.dispose();
        }
    }
});

test('a stream of unknown size, a file that is cut off, and one whose numbers are wrong', async () => {
    const file = await integersOf(`${root}tests/fixtures/models/separate-output.gguf`);
    const model = await load(/** @type {ReadableStream<Uint8Array>} */ (new Response(file).body));
    assert.equal(model.info.architecture, 'llama-integer');
    await model.dispose();
    await assert.rejects(load(file.subarray(0, file.length - 100)), { code: 'NB_ERR_TRUNCATED' });
    const wrong = Uint8Array.from(file),
        at = Buffer.from(wrong.buffer).indexOf('integer.kv_heads') + 'integer.kv_heads'.length + 4;
    wrong[at] = 200;
    await assert.rejects(load(wrong), { code: 'NB_ERR_FORMAT', message: /integer\.kv_heads is 200/ });
    const header = await load(file, { headerOnly: true });
    assert.equal(header.info.layers, 2);
    await header.dispose();
});

test('a file that fits into no memory', async () => {
    const path = join(folder, 'large.gguf'),
        head = (await integersOf(`${root}tests/fixtures/models/one-kv-head.gguf`)).subarray(0, 4096);
    writeFileSync(path, head);
    truncateSync(path, 2 ** 32 + 4096); // a sparse file
    await assert.rejects(load(path), {
        code: 'NB_ERR_MEMORY',
        message: /^no memory for the model \(4294971392 bytes\)/,
    });
});

test('models that cannot be converted, and options without effect, are refused', async () => {
    await assert.rejects(integersOf(`${root}tests/fixtures/models/qwen2.gguf`), {
        code: 'NB_ERR_UNSUPPORTED',
        message: /only models of the architecture llama/,
    });
    await assert.rejects(integersOf(`${root}tests/fixtures/models/biases.gguf`), {
        message: /attn_q\.bias|attn_k\.bias|attn_v\.bias|bias/,
    });
    // and a model of integers cannot be quantized
    const again = quantize(await integersOf(models.tiny), { type: 'q4_0', requantize: true });
    await assert.rejects(new Response(again).arrayBuffer(), {
        code: 'NB_ERR_UNSUPPORTED',
        message: /this is a model of integers: quantize the model that it was made of/,
    });
    for (const more of [{ type: 'q4_0' }, { calibration: 'x' }, { bits: 4 }, { search: 'best' }])
        assert.throws(() => quantize(models.tiny, /** @type {any} */ ({ method: 'integer', ...more })), {
            code: 'NB_ERR_ARGUMENT',
            message: new RegExp(`leave out ${Object.keys(more)[0]}`),
        });
});

test('the command writes such a file, and others run it', () => {
    const out = join(folder, 'out.gguf'),
        cli = (/** @type {string[]} */ ...args) => [`${root}web/cli.js`, ...args];
    const said = JSON.parse(
        execFileSync(process.execPath, cli('quantize', models.tiny, out, '--method', 'integer', '--json'), {
            encoding: 'utf8',
        }),
    );
    assert.equal(said.type, 'integer');
    const ran = JSON.parse(
        execFileSync(
            process.execPath,
            cli('run', out, '--prompt', 'Once', '--temperature', '0', '--max-tokens', '5', '--json'),
            {
                encoding: 'utf8',
            },
        ),
    );
    assert.match(ran.build, /^integer/);
    const { status, stderr } = spawnSync(
        process.execPath,
        cli('quantize', models.tiny, out, '--method', 'integer', '--type', 'q4_0'),
        {
            encoding: 'utf8',
        },
    );
    assert.equal(status, 2);
    assert.match(stderr, /integer has one form/);
    assert.throws(() => quantizeFolder(models.tiny, /** @type {any} */ ({ method: 'integer' })), {
        code: 'NB_ERR_ARGUMENT',
        message: /method must be one of rtn/,
    });
});
