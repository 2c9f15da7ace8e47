// GGUF files with changed keys or optional tensors: nibble's logits are llama.cpp's (tests/oracles/gguf_keys.py and
// gguf_tensors.py).
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { root } from '../support/builds.js';
import { edited, parse, whole } from '../support/gguf.js';
import { logitsOf } from '../support/vectors.js';

const fixtures = `${root}tests/fixtures/`;
/**
 * @type {{ tokens: number[], entries: number[], cases: { file: string, edits: Record<string, any>,
 *     logits: number[] | null }[] }}
 */
const { tokens, entries, cases } = JSON.parse(readFileSync(`${fixtures}formats/gguf-key-cases.json`, 'utf8'));

/** @type {{ file: string, edits: Record<string, any>, tensors: Record<string, number[]>, without: string[], logits?:
 *     number[],
 *  embedding?: number[] }[]} */
const tensorCases = JSON.parse(readFileSync(`${fixtures}formats/gguf-tensor-cases.json`, 'utf8'));

/**
 * The tolerance. Both compute in F32, so only the order of sums differs; but llama.cpp's GELU is a table in half
 * precision.
 */
const within = (/** @type {string} */ file) => (/gemma|gpt|phi2|falcon/.test(file) ? 3e-3 : 2e-4);

test('keys of GGUF files change what they change in llama.cpp', { timeout: 120_000 }, async (t) => {
    for (const { file, edits, logits } of cases)
        await t.test(`${file} ${JSON.stringify(edits)}`, async () => {
            const loading = load(edited(readFileSync(fixtures + file), edits), { kvType: 'f32', threads: 1 });
            if (!logits) {
                await assert.rejects(loading, { name: 'NibbleError' });
                return;
            }
            const model = await loading;
            try {
                const row = /** @type {Float32Array} */ ((await logitsOf(model, tokens)).at(-1));
                const farthest = Math.max(...entries.map((entry, i) => Math.abs(row[entry] - logits[i])));
                assert.ok(farthest <= within(file), `${farthest} from llama.cpp's`);
            } finally {
                await model.dispose();
            }
        });
});

test('a list of the layers with a window says what a number says', async () => {
    const pattern = (/** @type {any} */ value) =>
        computed('models/olmo3.gguf', { 'attention.sliding_window_pattern': value });
    const alternating = await pattern(['u32', 2]);
    assert.deepEqual(await pattern(['bool', [true, false, true, false]]), alternating);
    assert.notDeepEqual(await pattern(['bool', [true, true, true, false]]), alternating);
});

/** The same numbers as in the oracle. @param {number} length @param {number} seed @param {number} base */
const vector = (length, seed, base) =>
    Array.from({ length }, (_, i) => base + (((37 * i + 11 * seed) % 101) - 50) / 100);

test('optional tensors of GGUF files change what they change in llama.cpp', { timeout: 120_000 }, async (t) => {
    for (const { file, edits, tensors, without, logits, embedding } of tensorCases)
        await t.test(`${file} with ${Object.keys(tensors)}, without ${without}`, async () => {
            const vectors = Object.entries(tensors).map(([name, [length, seed, base]]) => [
                name,
                vector(length, seed, base),
            ]);
            const changes = Object.fromEntries([...vectors, ...without.map((name) => [name, null])]);
            const model = await load(edited(readFileSync(fixtures + file), edits, changes), {
                kvType: 'f32',
                threads: 1,
            });
            try {
                const right = /** @type {number[]} */ (logits ?? embedding);
                const got = logits
                    ? /** @type {Float32Array} */ ((await logitsOf(model, tokens)).at(-1))
                    : await model.embed(tokens, { pooling: 'mean' });
                const farthest = Math.max(...right.map((x, i) => Math.abs(x - got[entries[i]])));
                assert.ok(farthest <= within(file), `${farthest} from llama.cpp's`);
            } finally {
                await model.dispose();
            }
        });
});

test('unsupported tensors that change the computation are refused by name', async () => {
    const refused = [
        ['models/qwen3.gguf', 'cls.output.weight'],
        ['models/biases.gguf', 'output.bias'],
        ['models/qwen2.gguf', 'rope_freqs.weight'],
        ['models/gemma3.gguf', 'blk.0.attn_sinks.weight'],
        ['models/phi3.gguf', 'blk.1.ffn_down.bias'],
        ['encoders/bert.gguf', 'cls.bias'],
        ['encoders/nomic-bert.gguf', 'blk.0.ffn_up.bias'],
        ['models/gemma3.gguf', 'dense_2.weight'],
    ];
    for (const [file, tensor] of refused)
        await assert.rejects(
            load(edited(readFileSync(fixtures + file), {}, { [tensor]: vector(32, 1, 0) })),
            (/** @type {Error} */ error) => error.name === 'NibbleError' && error.message.includes(tensor),
            `${file}: ${tensor}`,
        );
});

/** The logits of the last token, or a text's embedding, by a fixture with other values.
 * @param {string} file @param {Record<string, any>} edits @param {boolean} [embeds] */
async function computed(file, edits, embeds = false) {
    const model = await load(edited(readFileSync(fixtures + file), edits), { kvType: 'f32', threads: 1 });
    try {
        return [
            ...(embeds
                ? await model.embed(tokens)
                : /** @type {Float32Array} */ ((await logitsOf(model, tokens)).at(-1))),
        ];
    } finally {
        await model.dispose();
    }
}

// Ollama's loader renames and adds values before llama.cpp sees them (ollama/ollama,
// llama/compat/llama-ollama-compat.cpp).
test("keys that Ollama's files name otherwise, or leave out, are what its loader makes of them", async () => {
    const gemma = 'models/gemma3.gguf',
        none = { 'rope.freq_base': null, 'rope.freq_base_swa': null };
    /** @type {(base: number, local: number, more?: object) => Record<string, any>} */
    const plain = (base, local, more) => ({
        'rope.freq_base': ['f32', base],
        'rope.freq_base_swa': ['f32', local],
        ...more,
    });
    const f32 = (/** @type {number} */ x) => ['f32', x],
        large = { context_length: ['u32', 131072] };
    const right = await computed(gemma, plain(500, 20));
    assert.deepEqual(
        await computed(gemma, { ...none, 'rope.global.freq_base': f32(500), 'rope.local.freq_base': f32(20) }),
        right,
    );
    assert.deepEqual(
        await computed(gemma, { ...none, 'rope.freq_base': f32(500), 'rope.local.freq_base': f32(20) }),
        right,
    );
    assert.notDeepEqual(await computed(gemma, plain(500, 30)), right);
    assert.deepEqual(
        await computed(gemma, { ...none, 'rope.local.freq_base': f32(20) }),
        await computed(gemma, plain(1e6, 20)),
    );
    assert.deepEqual(
        await computed(gemma, { ...none, 'rope.global.freq_base': f32(500) }),
        await computed(gemma, plain(500, 10000)),
    );
    const scaled = await computed(
        gemma,
        plain(500, 20, { ...large, 'rope.scaling.type': ['string', 'linear'], 'rope.scaling.factor': f32(8) }),
    );
    assert.deepEqual(
        await computed(gemma, { ...none, 'rope.freq_base': f32(500), 'rope.local.freq_base': f32(20), ...large }),
        scaled,
    );
    assert.notDeepEqual(scaled, right);
    assert.deepEqual(await computed(gemma, plain(500, 20, large)), right);
    for (const file of ['encoders/bert.gguf', 'encoders/nomic-bert.gguf']) {
        const raw = await computed(file, { normalize_embeddings: ['bool', false] }, true),
            length = Math.hypot(...raw);
        const unit = await computed(file, {}, true);
        assert.ok(Math.abs(length - 1) > 0.1 && raw.every((x, i) => Math.abs(x / length - unit[i]) < 1e-5), file);
        assert.deepEqual(await computed(file, { normalize_embeddings: ['bool', true] }, true), unit);
    }
});

test('foreign and old keys are refused by name only if they need another computation', async () => {
    const keys = /** @type {const} */ ([
        ['gemma3', 'rope.scaling.beta_fast', 64, 32],
        ['gemma3', 'rope.scaling.beta_slow', 2, 1],
        ['gemma3', 'rope.scaling.extrapolation_factor', 0.5, 1],
        ['olmo2', 'rope.scaling.extrapolation_factor', 0, 1],
        ['qwen3moe', 'norm_top_k_prob', 0, 1],
        ['granite', 'rope.interleaved', 0, 1], // a key that nibble once wrote
    ]);
    for (const [name, key, other, same] of keys) {
        const file = `models/${name}.gguf`;
        await assert.rejects(computed(file, { [key]: ['f32', other] }), {
            name: 'NibbleError',
            message: new RegExp(`${name}\\.${key} is ${other};`),
        });
        assert.deepEqual(await computed(file, { [key]: ['f32', same] }), await computed(file, {}));
    }
});

test("every token of Ollama's list of end tokens ends an answer", async () => {
    const { values, tensors } = parse(readFileSync(`${fixtures}models/qwen2.gguf`));
    for (const list of [null, ['i32', [7, 9]], ['string', ['7']]]) {
        if (list) values.set('tokenizer.ggml.eos_token_ids', /** @type {any} */ (list));
        const model = await load(whole(values, tensors), { threads: 1 });
        for (const token of [0, 7, 9]) {
            const { tokens: made } = await model.complete([3, 4, 5], {
                temperature: 0,
                maxTokens: 3,
                logitBias: { [token]: 1e9 },
            });
            assert.equal(
                made.length < 3,
                list?.[0] === 'i32' && token > 0,
                `${JSON.stringify(list)}, token ${token}: ${made}`,
            );
        }
        await model.dispose();
    }
});
