// Writes a seed corpus for fuzz_adapter: adapter_seeds.js FOLDER
// The seeds are adapters of the target's models: of all matrices in several types; of some; with numbers that are not
// finite or huge; with an allocation that fails; and those of tests/fixtures.
import { readFileSync } from 'node:fs';
import { parse, whole } from '../support/gguf.js';
import { corpus, fixtures, refusal } from './seeds.js';

/** The models of fuzz_adapter.c. */
const MODELS = ['biases', 'outliers-merged', 'mixtral'].map((name) =>
    parse(readFileSync(`${fixtures}models/${name}.gguf`)),
);

/** GGUF's number, the weights and bytes of a block, and a word that is repeated. */
const TYPES = {
    f32: { type: 0, weights: 1, bytes: 4, word: 0x3dcccccd },
    f16: { type: 1, weights: 1, bytes: 2, word: 0x2e66ae66 },
    bf16: { type: 30, weights: 1, bytes: 2, word: 0x3dcdbdcd },
    q8_0: { type: 8, weights: 32, bytes: 34, word: 0x11221122 },
    q4_0: { type: 2, weights: 32, bytes: 18, word: 0x11221122 },
};
const WORDS = [0x7fc00000, 0x7f800000, 0x7f7fffff, 0x7c007c00, 1];

/**
 * An adapter of the model's matrices whose names match.
 * @param {typeof MODELS[number]} model
 * @param {{ type?: keyof typeof TYPES, rank?: number, pattern?: RegExp, word?: number, type2?: keyof typeof TYPES }} how
 */
function adapter(
    model,
    { type = 'f32', rank = 2, pattern = /attn_|ffn_(gate|up|down)\.|^output\./, word, type2 = type },
) {
    const tensors = model.tensors
        .filter(({ name, shape }) => name.endsWith('.weight') && shape.length === 2 && pattern.test(name))
        .flatMap(({ name, shape: [columns, rows] }) => [
            tensor(`${name}.lora_a`, [columns, rank], type, word),
            tensor(`${name}.lora_b`, [rank, rows], type2, word),
        ]);
    /** @type {Parameters<typeof whole>[0]} */
    const values = new Map();
    values.set('general.type', ['string', 'adapter']);
    values.set('adapter.type', ['string', 'lora']);
    values.set('general.architecture', /** @type {Uint8Array} */ (model.values.get('general.architecture')));
    values.set('adapter.lora.alpha', ['f32', 2 * rank]);
    return whole(values, tensors);
}

/** @param {string} name @param {number[]} shape @param {keyof typeof TYPES} of @param {number} [word] */
function tensor(name, shape, of, word = TYPES[of].word) {
    const { type, weights, bytes } = TYPES[of],
        size = ((shape[0] * shape[1]) / weights) * bytes,
        data = Buffer.alloc(Math.ceil(size / 4) * 4);
    for (let at = 0; at < data.length; at += 4) data.writeUInt32LE(word, at);
    return { name, shape, type, bytes: size, data: data.subarray(0, size) };
}

const seeds = corpus();
for (const [i, model] of MODELS.entries()) {
    /** @param {string} name @param {Uint8Array} file @param {number} [nth] @param {number} [scale] */
    const put = (name, file, nth = 0, scale = 62) =>
        seeds.put(`${i}-${name}`, Buffer.from([i, scale]), refusal(nth), file);
    const all = adapter(model, {});
    for (const scale of [0, 1, 2, 254, 255]) put(`scale-${scale}`, all, 0, scale);
    for (const type of /** @type {const} */ (['f16', 'bf16'])) put(type, adapter(model, { type, rank: 1 }));
    for (const type of /** @type {const} */ (['q8_0', 'q4_0'])) {
        put(type, adapter(model, { type, rank: 32, pattern: /blk\.1\.attn_(q|output)\.|ffn_down\./ }));
        put(`${type}-a`, adapter(model, { type, type2: 'f32', rank: 1, pattern: /blk\.0/ }));
    }
    put('embedding', adapter(model, { pattern: /token_embd/ }));
    put('router', adapter(model, { pattern: /ffn_gate/ }));
    put('layer', adapter(model, { pattern: /blk\.1\.attn_/ }));
    for (const word of WORDS) put(`word-${word}`, adapter(model, { pattern: /blk\.0/, word }));
    for (let nth = 1; nth <= 40; nth++) put(`refused-${nth}`, adapter(model, { pattern: /blk\.0\.attn_/ }), nth);
    for (const name of ['one', 'two']) put(`fixture-${name}`, readFileSync(`${fixtures}adapters/${name}.gguf`));
}
seeds.close();
