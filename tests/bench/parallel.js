// Tokens per second of 1, 2, 4 and 8 requests together, beside a prompt that is evaluated in batches of 8 rows, with
// their logits: the same work without scheduling and sampling. "synthetic": a model of 1.1 billion random weights in
// Q4_0, whose file is made in build/; its vocabulary is that of SmolLM2 (make demo fetches it).
//     node tests/bench/parallel.js MODEL|synthetic [THREADS] [ROUNDS] [TOKENS]
import { closeSync, existsSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { NB_LOGITS_ALL, TYPES } from '../../web/abi.js';
import { findAssets } from '../../web/assets.js';
import { checkOptions } from '../../web/checks.js';
import { load } from '../../web/index.js';
import { LOAD_OPTIONS } from '../../web/options.js';
import { Engine } from '../../web/worker/engine.js';
import { models, root } from '../support/builds.js';
import { header, parse } from '../support/gguf.js';

const [given, threads = '2', rounds = '3', tokens = '64'] = process.argv.slice(2),
    TOKENS = Number(tokens),
    ROWS = 8,
    SIZES = [1, 2, 4, 8];

/** @param {number[]} list */
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

/** Writes the synthetic model, and returns its path. */
function synthetic() {
    const path = `${root}build/synthetic-1b.gguf`,
        width = 2048,
        inner = 5632,
        layers = 22,
        heads = 32,
        groups = 4;
    if (existsSync(path)) return path;
    const { values } = parse(readFileSync(models.real)),
        vocabulary = 49152,
        /** @type {import('../support/gguf.js').Tensor[]} */
        tensors = [];
    const matrix = (/** @type {string} */ name, /** @type {number} */ columns, /** @type {number} */ rows) =>
        tensors.push({ name, shape: [columns, rows], type: TYPES.q4_0, bytes: (columns / 32) * rows * 18 });
    const vector = (/** @type {string} */ name) =>
        tensors.push({ name, shape: [width], type: TYPES.f32, bytes: 4 * width });
    matrix('token_embd.weight', width, vocabulary);
    vector('output_norm.weight');
    for (let i = 0; i < layers; i++) {
        vector(`blk.${i}.attn_norm.weight`);
        vector(`blk.${i}.ffn_norm.weight`);
        matrix(`blk.${i}.attn_q.weight`, width, width);
        matrix(`blk.${i}.attn_k.weight`, width, (width / heads) * groups);
        matrix(`blk.${i}.attn_v.weight`, width, (width / heads) * groups);
        matrix(`blk.${i}.attn_output.weight`, width, width);
        matrix(`blk.${i}.ffn_gate.weight`, width, inner);
        matrix(`blk.${i}.ffn_up.weight`, width, inner);
        matrix(`blk.${i}.ffn_down.weight`, inner, width);
    }
    for (const [key, value] of Object.entries({
        embedding_length: width,
        feed_forward_length: inner,
        block_count: layers,
        'attention.head_count': heads,
        'attention.head_count_kv': groups,
        'rope.dimension_count': width / heads,
        vocab_size: vocabulary,
    }))
        values.set(`llama.${key}`, ['u32', value]);
    const file = openSync(`${path}.part`, 'w'),
        ones = new Uint8Array(new Float32Array(width).fill(1).buffer),
        blocks = crypto.getRandomValues(new Uint8Array(18 * 3000));
    for (let at = 0; at < blocks.length; at += 18) blocks.set([0, 0x1c], at); // the scale: 2^-8
    const all = new Uint8Array(Buffer.concat(Array.from({ length: 200 }, () => blocks)));
    writeSync(file, header(values, tensors));
    for (const { type, bytes } of tensors)
        for (let left = bytes; left > 0; left -= all.length)
            writeSync(file, type === TYPES.f32 ? ones : all.subarray(0, Math.min(left, all.length)));
    closeSync(file);
    renameSync(`${path}.part`, path);
    return path;
}

/** Tokens per second of a prompt in batches of 8 rows. @param {string} path */
async function ratesOfRows(path) {
    const options = {
        ...checkOptions(LOAD_OPTIONS, { threads: Number(threads), contextLength: 512 }, 'parallel.js'),
        assets: await findAssets({}),
    };
    const engine = await Engine.load({ kind: 'path', path }, /** @type {any} */ (options), {
        progress() {},
        nextFromPort: async () => null,
        watch() {},
    });
    const { core, model, pool, kvType, precision } = engine,
        session = core.object('nb_session_new', model, pool, 512, ROWS, kvType, precision, 1),
        n = ROWS * 16,
        at = core.allocate(4 * n, 'tokens');
    const evaluate = (/** @type {number} */ flags, /** @type {number} */ seed) => {
        core.ints(at, n).set(Array.from({ length: n }, (_, i) => 100 + ((i * 37 + seed * 101) % 20000)));
        const began = performance.now();
        for (let held = 0; held < n; ) held = core.count('nb_session_advance', session, at, n, flags);
        return (1000 * n) / (performance.now() - began);
    };
    const rates = Array.from({ length: Number(rounds) + 1 }, (_, i) => evaluate(NB_LOGITS_ALL, i)).slice(1);
    const plain = Array.from({ length: Number(rounds) }, (_, i) => evaluate(0, 50 + i));
    engine.close();
    return { rates, plain };
}

const path = given === 'synthetic' ? synthetic() : given;
const model = await load(path, { threads: Number(threads), parallel: 8, contextLength: 512 });
console.log(`${model.info.name}, ${model.info.build}, ${model.info.threads} threads, ${TOKENS} tokens an answer`);
/** @type {number[][]} */
const all = SIZES.map(() => []);
for (let round = 0; round <= Number(rounds); round++)
    for (const [i, size] of SIZES.entries()) {
        const began = performance.now();
        await Promise.all(
            Array.from({ length: size }, (_, i) =>
                model.complete([1000 + i * 100 + round, 300], {
                    maxTokens: TOKENS,
                    ignoreEnd: true,
                    speculate: false,
                    temperature: 0.8,
                    seed: i,
                }),
            ),
        );
        if (round > 0) all[i].push((1000 * size * TOKENS) / (performance.now() - began));
    }
await model.dispose();
const { rates, plain } = await ratesOfRows(path);
const [one] = all.map(median),
    rows = median(rates);
for (const [i, size] of SIZES.entries()) {
    const rate = median(all[i]);
    console.log(
        `${size} together: ${rate.toFixed(1)} tokens/s, ${(rate / one).toFixed(2)} times one, ${(rate / rows).toFixed(2)} ` +
            `of rows (${all[i].map((each) => each.toFixed(1)).join(' ')})`,
    );
}
console.log(
    `prompts of ${ROWS} rows: ${rows.toFixed(1)} tokens/s with logits, ${median(plain).toFixed(1)} without ` +
        `(${rates.map((each) => each.toFixed(1)).join(' ')})`,
);
process.exit();
