// A folder with a NaN or an infinity is refused, in whatever tensor it is, and whether weights stay as they are, are
// reordered, or are quantized, which would hide it. (tests/core/test_finite.c tests GGUF files.)
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { root } from '../support/builds.js';

const folders = `${root}tests/fixtures/safetensors/`;

/** NaN, infinity and minus infinity as the bytes of each type, lowest first. E4M3 has only NaN.
 * @type {Record<string, number[][]>} */
const BITS = {
    F32: [
        [0, 0, 0xc0, 0x7f],
        [0, 0, 0x80, 0x7f],
        [0, 0, 0x80, 0xff],
    ],
    F16: [
        [0, 0x7e],
        [0, 0x7c],
        [0, 0xfc],
    ],
    BF16: [
        [0xc0, 0x7f],
        [0x80, 0x7f],
        [0x80, 0xff],
    ],
    F8_E4M3: [[0x7f]],
    F8_E5M2: [[0x7e], [0x7c], [0xfc]],
};

/** @typedef {{ name: string, dtype: string, end: number }} Tensor end: the offset in the file where its data ends */

/** One tensor of each kind. A kind is the last part of the name, the type, and the number of dimensions.
 * @param {Buffer} bytes */
function kinds(bytes) {
    const data = 8 + Number(bytes.readBigUInt64LE(0));
    /** @type {Map<string, Tensor>} */
    const found = new Map();
    for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(
        JSON.parse(bytes.toString('utf8', 8, data)),
    ))
        if (dtype in BITS && offsets[1] > offsets[0])
            found.set(`${name.split('.').at(-1)} ${dtype} ${shape.length}`, { name, dtype, end: data + offsets[1] });
    return [...found.values()];
}

/** The folder's files, but `file` with these bytes.
 * @param {string} folder @param {string} file @param {Buffer} bytes */
const files = (folder, file, bytes) =>
    readdirSync(folders + folder)
        .filter((name) => /\.(json|safetensors|model|jinja)$/.test(name))
        .map(
            (name) =>
                new File([new Uint8Array(name === file ? bytes : readFileSync(`${folders}${folder}/${name}`))], name),
        );

/** Tensors that are not used, or have an error of their own: bitsandbytes' quant_map must be the usual one. */
const WITHOUT_EFFECT = /pooler\.|\.(inv_freq|masked_bias|input_scale|output_scale|k_scale|v_scale|quant_map)$/;

/** @typedef {import('../../web/index.js').LoadOptions['quantize']} Quantize */

/** @param {string} folder @param {string} file @param {Buffer} bytes @param {Quantize} quantize @param {string} what */
const refuse = (folder, file, bytes, quantize, what) =>
    assert.rejects(
        load(files(folder, file, bytes), { threads: 1, quantize }).then((model) => model.dispose()),
        {
            name: 'NibbleError',
            message: /numbers are not finite: tensor [\w.]+ has infinities or NaN/,
        },
        `${what}, quantized: ${quantize}`,
    );

let turn = 0;
/**
 * For one tensor of each kind: puts a number that is not finite at its end, and sees the folder refused. Without `ways`
 * it tries one of BITS, the next one at each call; with `ways` it tries all of BITS with each of the ways.
 * @param {string} folder @param {Quantize[]} ways
 */
async function refuseAll(folder, ...ways) {
    for (const file of readdirSync(folders + folder).filter((name) => name.endsWith('.safetensors'))) {
        const whole = readFileSync(`${folders}${folder}/${file}`);
        for (const { name, dtype, end } of kinds(whole).filter((tensor) => !WITHOUT_EFFECT.test(tensor.name)))
            for (const bits of ways.length ? BITS[dtype] : [BITS[dtype][turn++ % BITS[dtype].length]]) {
                const bytes = Buffer.from(whole);
                bytes.set(bits, end - bits.length);
                for (const quantize of ways.length ? ways : [undefined])
                    await refuse(folder, file, bytes, quantize, `${folder}, ${name}, ${dtype}, ends with ${bits}`);
            }
    }
}

const PLAIN = [
    'llama-f32',
    'llama-e4m3',
    'llama-e5m2',
    'llama-sharded',
    'mixtral',
    'gemma3',
    'gpt2',
    'gpt-neox',
    'stablelm-12b',
    'falcon-40b',
    'opt-350m',
    'phi3-long',
    'bert',
    'nomic-bert',
];
const QUANTIZED = [
    'gptq',
    'gptq-zeros',
    'gptq-desc-act',
    'gptq-mixtral',
    'awq',
    'bnb-nf4',
    'bnb-nf4-double',
    'bnb-int8',
    'ct-int8-zeros',
    'ct-packed-4-bits',
];

for (const folder of [...PLAIN, ...QUANTIZED]) test(`${folder}: NaN and infinity are refused`, () => refuseAll(folder));

// weights that stay as they are, are transposed or reordered first, get 1 added, or are stacked
for (const folder of ['llama-f32', 'llama-e4m3', 'qwen2', 'gpt2', 'gpt-neox', 'gemma', 'mixtral'])
    test(`${folder}, quantized while it is loaded: NaN and infinity are refused`, () =>
        refuseAll(folder, 'q4_0', 'q4_k_m', 'nf4'));
