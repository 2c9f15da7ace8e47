// quantizeFolder() in bitsandbytes' format. quantization_config and every tensor's type, shape and bytes must equal
// what transformers and bitsandbytes save for the same model (tests/oracles/bitsandbytes_folders.py: plain-saved.json).
// nibble's logits must agree with those of transformers with bitsandbytes' weights. No calibration text is needed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { load, quantizeFolder } from '../../web/index.js';
import { root } from '../support/builds.js';
import { numbersOf, tensorsOf } from '../support/folders.js';
import { cosine, logitsOf, logitsVectors, maxDistance } from '../support/vectors.js';

/** @typedef {import('../../web/index.js').QuantizeFolderOptions} QuantizeFolderOptions */

const temporary = mkdtempSync(join(tmpdir(), 'nibble-')),
    at = (/** @type {string} */ name) => join(temporary, name),
    fixtures = `${root}tests/fixtures/`,
    plain = `${fixtures}quantize/plain`;
after(() => rmSync(temporary, { recursive: true }));

/** @type {Record<string, { quantization_config: object, tensors: Record<string, [string, number[], any]> }>} */
const saved = JSON.parse(readFileSync(`${plain}-saved.json`, 'utf8'));

/** @type {Record<string, QuantizeFolderOptions>} */
const WAYS = {
    nf4: { type: 'nf4' },
    fp4: { type: 'fp4' },
    'nf4-double': { type: 'nf4', doubleQuant: true },
    int8: { type: 'int8' },
};

/** @param {string} source @param {string} out @param {QuantizeFolderOptions} options */
async function make(source, out, options) {
    mkdirSync(at(out));
    for await (const { name, size, stream } of quantizeFolder(source, { format: 'bitsandbytes', ...options })) {
        const bytes = new Uint8Array(await new Response(/** @type {any} */ (stream)).arrayBuffer());
        assert.equal(bytes.length, size, name);
        writeFileSync(join(at(out), name), bytes);
    }
    return at(out);
}

const hashOf = (/** @type {Uint8Array} */ bytes) => createHash('sha256').update(bytes).digest('hex');

for (const [way, options] of Object.entries(WAYS))
    test(`${way}: the bytes that transformers and bitsandbytes save`, async () => {
        const out = await make(plain, way, options),
            tensors = tensorsOf(out),
            expected = saved[way];
        assert.deepEqual([...tensors.keys()].sort(), Object.keys(expected.tensors).sort());
        for (const [name, { dtype, shape, bytes }] of tensors) {
            const [kind, sides, said] = expected.tensors[name];
            if (typeof said === 'string')
                assert.deepEqual([dtype, shape, hashOf(bytes)], [kind, sides, said], `${way}: ${name}`);
            // this tensor is JSON, which nibble pads with spaces
            else assert.deepEqual([dtype, JSON.parse(bytes.toString())], [kind, said], `${way}: ${name}`);
        }
        const text = readFileSync(join(out, 'config.json'), 'utf8'),
            { quantization_config: config } = JSON.parse(text);
        assert.match(text, /"llm_int8_threshold": 6\.0,/, 'transformers refuses a whole number');
        assert.deepEqual(
            { ...config, llm_int8_skip_modules: null },
            { ...expected.quantization_config, llm_int8_skip_modules: null },
        );
        assert.deepEqual(config.llm_int8_skip_modules, ['lm_head']);
        const vectors = logitsVectors(`quantize/plain-${way}.json`),
            model = await load(out, { threads: 1 });
        try {
            const rows = await logitsOf(model, vectors.tokens);
            for (const [i, row] of rows.entries()) {
                const c = cosine(
                    vectors.entries.map((entry) => row[entry]),
                    vectors.rows[i],
                );
                assert.ok(c > 0.9999, `${way}, position ${i}: cosine ${c}`);
            }
        } finally {
            await model.dispose();
        }
    });

/**
 * Dequantizes codes of 4 bits.
 * @param {Map<string, import('../support/folders.js').Tensor>} tensors
 * @param {string} name
 * @param {number} block
 */
function fromBlocks(tensors, name, block) {
    const part = (/** @type {string} */ leaf) =>
            /** @type {import('../support/folders.js').Tensor} */ (tensors.get(`${name}${leaf}`)),
        codes = part('').bytes,
        absmax = numbersOf(part('.absmax')),
        map = numbersOf(part('.quant_map'));
    return Float32Array.from(
        { length: 2 * codes.length },
        (_, i) => map[i % 2 === 0 ? codes[i >> 1] >> 4 : codes[i >> 1] & 15] * absmax[Math.floor(i / block)],
    );
}

test('other blocks, several files, and matrices that lie transposed', async () => {
    const name = 'model.layers.0.mlp.up_proj.weight',
        original = numbersOf(/** @type {import('../support/folders.js').Tensor} */ (tensorsOf(plain).get(name)));
    for (const block of [32, 64, 256]) {
        const out = await make(plain, `block-${block}`, { type: 'nf4', block, shardBytes: 9000 }),
            weights = fromBlocks(tensorsOf(out), name, block);
        const files = readdirSync(out).filter((file) => file.endsWith('.safetensors'));
        assert.ok(files.length > 1, `${files}`);
        const model = await load(out, { threads: 1 });
        await model.dispose();
        // at most half of the widest gap between NF4's levels (0.304), times the largest weight (below 0.7)
        assert.ok(maxDistance(original, weights) < 0.152 * 0.7, `${block}: ${maxDistance(original, weights)}`);
    }
    // transformers transposes the weights of a Conv1D to a Linear4bit's before it quantizes them
    const gpt2 = `${fixtures}safetensors/gpt2`,
        tensors = tensorsOf(await make(gpt2, 'gpt2', { type: 'nf4' })),
        module = [...tensors.keys()].find((key) => key.endsWith('h.0.mlp.c_fc.weight')) ?? '',
        { shape, ...rest } = /** @type {import('../support/folders.js').Tensor} */ (tensorsOf(gpt2).get(module)),
        numbers = numbersOf({ shape, ...rest }),
        [columns, rows] = shape,
        found = fromBlocks(tensors, module, 64);
    const state = JSON.parse(
        /** @type {import('../support/folders.js').Tensor} */ (
            tensors.get(`${module}.quant_state.bitsandbytes__nf4`)
        ).bytes.toString(),
    );
    assert.deepEqual(state.shape, [rows, columns]);
    const turned = Float32Array.from(numbers, (_, i) => numbers[(i % columns) * rows + Math.floor(i / columns)]);
    assert.ok(cosine(turned, found) > 0.99, `${cosine(turned, found)}`);
});

test('what cannot be made is refused', async () => {
    for (const [options, said] of /** @type {[object, RegExp][]} */ ([
        [{}, /format \(--format\) bitsandbytes needs type \(--type\), one of nf4, fp4, int8/],
        [{ type: 'nf4', block: 48 }, /block \(--block\) is 48, which is no power of two/],
        [{ type: 'int8', doubleQuant: true }, /doubleQuant \(--double-quant\) is for nf4 and fp4/],
        [{ type: 'nf4', bits: 8 }, /format \(--format\) bitsandbytes has no bits \(--bits\)/],
        [{ type: 'nf4', calibration: 'a' }, /bitsandbytes has no calibration \(--calibration\)/],
        [{ type: 'nf4', method: 'gptq' }, /method .* is gptq, but format .* bitsandbytes takes rtn/],
        [{ format: 'gptq', type: 'nf4' }, /format \(--format\) gptq has no type \(--type\)/],
    ]))
        assert.throws(() => quantizeFolder(plain, { format: 'bitsandbytes', ...options }), said);
    await assert.rejects(
        make(`${fixtures}safetensors/mixtral`, 'mixtral', { type: 'nf4' }),
        /it is an expert, and transformers leaves experts as they are/,
    );
});

test('the command', async () => {
    const run = (/** @type {string[]} */ ...more) =>
        spawnSync(process.execPath, [`${root}web/cli.js`, 'quantize', plain, at('made'), ...more], {
            encoding: 'utf8',
        });
    const { status, stdout, stderr } = run('--format', 'bitsandbytes', '--type', 'nf4', '--double-quant');
    assert.equal(status, 0, stderr);
    assert.match(stdout, /made: bitsandbytes, [\d,]+ bytes of weights, /);
    assert.deepEqual(tensorsOf(at('made')), tensorsOf(await make(plain, 'again', WAYS['nf4-double'])));
    for (const [more, said] of /** @type {[string[], RegExp][]} */ ([
        [['--format', 'bitsandbytes', '--type', 'q4_0'], /--type must be one of nf4, fp4, int8/],
        [['--type', 'nf4', '--block', '128'], /--block is for folders/],
    ])) {
        const refused = run(...more, '--force');
        assert.equal(refused.status, 2, refused.stderr);
        assert.match(refused.stderr, said);
    }
});
