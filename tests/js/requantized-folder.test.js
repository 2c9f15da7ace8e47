// quantize() of folders that other libraries quantized. Codes that already are of the wanted type stay. Another type is
// refused, or with `requantize` made from the dequantized weights. There are two references. One is transformers'
// logits with the weights as each library dequantizes them. The other is what quantize() makes of a GGUF with the same
// codes; quantized-files.test.js compares that with llama.cpp.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { TYPES } from '../../web/abi.js';
import { load, quantize, quantizeFolder } from '../../web/index.js';
import { root } from '../support/builds.js';
import { parse } from '../support/gguf.js';
import { nibbleError } from '../support/nibble-error.js';
import { logitsOf, logitsVectors, relativeDistance } from '../support/vectors.js';

/** @typedef {import('../../web/index.js').QuantizeOptions} QuantizeOptions */

/**
 * The GGUF type that each folder's codes become; null: several types.
 * @type {Record<string, QuantizeOptions['type'] | null>}
 */
const FOLDERS = {
    ...{ awq: 'q4_1', gptq: 'q4_0', 'gptq-3-bits': 'q4_0', 'gptq-8-bits': 'q8_0', 'gptq-desc-act': 'q4_0' },
    ...{ 'gptq-desc-act-zeros': 'q4_1', 'gptq-mixtral': 'q4_0', 'gptq-phi3': 'q4_0', 'gptq-gpt2': 'q4_0' },
    ...{ 'gptq-dynamic': null, 'bnb-nf4': 'nf4', 'bnb-fp4-double': 'fp4', 'bnb-int8': 'q8_0' },
    ...{ 'ct-packed-4-bits-zeros': 'q4_1', 'ct-packed-4-and-8-bits': null, 'ct-int8': 'q8_0', 'ct-int8-zeros': 'f16' },
};
const NAMES = new Map(Object.entries(TYPES).map(([name, number]) => [number, name]));

const at = (/** @type {string} */ name) => `${root}tests/fixtures/safetensors/${name}`;

/** @param {import('../../web/index.js').Source} from @param {QuantizeOptions} options */
const made = async (from, options) =>
    new Uint8Array(await new Response(quantize(from, { threads: 1, ...options })).arrayBuffer());

/** The matrices of layers. @param {Uint8Array} file */
const matricesOf = (file) =>
    new Map(
        parse(file)
            .tensors.filter(({ name, shape }) => /^blk\..*\.weight$/.test(name) && shape.length > 1)
            .map(({ name, type, data }) => [name, { type: NAMES.get(type), data }]),
    );

/** Bits of a weight, on average over all tensors. @param {Uint8Array} file */
function averageBits(file) {
    let bytes = 0,
        weights = 0;
    for (const { shape, bytes: size } of parse(file).tensors) {
        bytes += size;
        weights += shape.reduce((product, side) => product * side, 1);
    }
    return (8 * bytes) / weights;
}

/** The relative distance of logits from transformers'. @param {Uint8Array} file @param {string} name */
async function distance(file, name) {
    const expected = logitsVectors(`safetensors/${name}.json`),
        model = await load(file, { threads: 1, kvType: 'f32' });
    const rows = await logitsOf(model, expected.tokens);
    await model.dispose();
    return Math.max(
        ...rows.map((row, i) =>
            relativeDistance(
                Float32Array.from(expected.entries, (entry) => row[entry]),
                expected.rows[i],
            ),
        ),
    );
}

for (const [name, own] of Object.entries(FOLDERS))
    test(`${name}: its codes stay, are requantized, or are refused`, async () => {
        const other = own === 'q8_0' ? 'q5_1' : 'q8_0';
        await assert.rejects(
            made(at(name), { type: other }),
            nibbleError('NB_ERR_ARGUMENT', /tensor blk\.\S+ is of type \w+, quantized already.*\(--requantize\)/),
        );
        const direct = matricesOf(await made(at(name), { type: other, requantize: true }));
        // routers are never quantized
        for (const [matrix, { type }] of direct) if (!/ffn_gate_inp\./.test(matrix)) assert.equal(type, other, matrix);
        const floats = await made(at(name), { type: 'f32', requantize: true });
        for (const [matrix, { type }] of matricesOf(floats)) assert.equal(type, 'f32', matrix);
        const far = await distance(floats, name); // not 0, as scales and minima are in half precision
        assert.ok(far < 5e-3, `${far}`);
        if (!own) return;
        /** The names of the quantized tensors of the folder. @type {string[]} */
        let coded = [];
        const gguf = await made(at(name), {
            type: own,
            onPlan: (plan) => {
                coded = plan.flatMap(({ name: one, from }) => (from === own && one.startsWith('blk.') ? one : []));
            },
        });
        const kept = matricesOf(gguf),
            fromGguf = matricesOf(await made(gguf, { type: other, requantize: true })),
            compared = coded.filter((one) => kept.has(one));
        assert.ok(compared.length > 0, `${coded}`);
        for (const matrix of compared) {
            assert.equal(kept.get(matrix)?.type, own, matrix);
            assert.deepEqual(direct.get(matrix), fromGguf.get(matrix), matrix);
        }
    });

test('mixes and calibrated methods requantize such folders, too', async () => {
    const calibration = 'abcdefghij klmno pqrst uvwxyz 0123456789 ABCDEF. '.repeat(20),
        options = { calibration, context: 16, samples: 4 };
    const MIX = { bits: 8 },
        GPTQ = /** @type {const} */ ({ type: 'q8_0', method: 'gptq' }),
        AWQ = /** @type {const} */ ({ type: 'q8_0', method: 'awq' });
    for (const more of /** @type {QuantizeOptions[]} */ ([MIX, GPTQ, AWQ])) {
        await assert.rejects(made(at('awq'), { ...options, ...more }), /quantized already/);
        const file = await made(at('awq'), { ...options, ...more, requantize: true }),
            types = new Set([...matricesOf(file).values()].map(({ type }) => type)),
            far = await distance(file, 'awq');
        if (more === MIX) assert.ok(averageBits(file) <= MIX.bits, `${averageBits(file)} bits`);
        else assert.deepEqual([...types], ['q8_0']);
        assert.ok(far < 0.1, `${JSON.stringify(more)}: ${far}`);
    }
    const gptq = { ...options, ...GPTQ, requantize: true };
    await assert.rejects(
        made(at('gptq-desc-act'), gptq),
        nibbleError('NB_ERR_UNSUPPORTED', /another order \(desc_act\).*make a GGUF of the folder first.*--type q4_0/),
    );
    const folder = mkdtempSync(join(tmpdir(), 'nibble-'));
    try {
        const kept = join(folder, 'kept.gguf');
        writeFileSync(kept, await made(at('gptq-desc-act'), { type: 'q4_0' }));
        const far = await distance(await made(kept, gptq), 'gptq-desc-act');
        assert.ok(far < 0.1, `${far}`);
    } finally {
        rmSync(folder, { recursive: true });
    }
});

test('quantizeFolder() refuses folders that are quantized already', async () => {
    for (const name of ['awq', 'gptq', 'bnb-nf4', 'bnb-int8', 'ct-int8', 'ct-int8-zeros'])
        await assert.rejects(async () => {
            for await (const _ of quantizeFolder(at(name), { bits: 4, group: 32 }));
        }, /quantized already/);
});
