// A model of any size, generated while it is streamed. Only its first and last layers have weights other than 0; those
// between change nothing, so the logits are those of a model with these two layers alone.
import { header } from './gguf.js';

const WIDTH = 1024,
    INNER = 4096,
    VOCABULARY = 300,
    HEADS = 16;
const F32 = 0;

/** Reproducible random numbers in [-1/16, 1/16), by xorshift32. @param {number} seed @param {number} n */
function numbers(seed, n) {
    const out = new Float32Array(n);
    let x = (seed * 2654435761 + 1) >>> 0;
    for (let i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >>> 17;
        x ^= x << 5;
        out[i] = (x >> 8) / 2 ** 23 / 16;
    }
    return out;
}

/** @typedef {import('./gguf.js').Tensor & { seed: number }} Seeded seed 0: all zeros */

/** @param {number} layers */
function tensorsOf(layers) {
    /** @type {Seeded[]} */
    const tensors = [];
    let active = 1;
    const add = (/** @type {string} */ name, /** @type {number[]} */ shape, /** @type {boolean} */ changes) =>
        tensors.push({
            name,
            shape,
            type: F32,
            bytes: 4 * shape.reduce((a, b) => a * b),
            seed: changes ? active++ : 0,
        });
    add('token_embd.weight', [WIDTH, VOCABULARY], true);
    for (let i = 0; i < layers; i++) {
        const changes = i === 0 || i === layers - 1;
        for (const name of ['attn_norm', 'ffn_norm']) add(`blk.${i}.${name}.weight`, [WIDTH], changes);
        for (const name of ['attn_q', 'attn_k', 'attn_v', 'attn_output'])
            add(`blk.${i}.${name}.weight`, [WIDTH, WIDTH], changes);
        for (const name of ['ffn_gate', 'ffn_up']) add(`blk.${i}.${name}.weight`, [WIDTH, INNER], changes);
        add(`blk.${i}.ffn_down.weight`, [INNER, WIDTH], changes);
    }
    add('output_norm.weight', [WIDTH], true);
    return tensors;
}

/** The number of layers of a model of at most so many bytes. @param {number} bytes */
export const layersFor = (bytes) => Math.floor(bytes / (4 * (2 * WIDTH + 4 * WIDTH * WIDTH + 3 * WIDTH * INNER)));

/**
 * @param {number} layers
 * @returns {ReadableStream<Uint8Array>} the GGUF
 */
export function modelOf(layers) {
    const tensors = tensorsOf(layers),
        zeros = new Uint8Array(1 << 24);
    /** @type {Map<string, import('./gguf.js').Value>} */
    const values = new Map([
        ['general.architecture', ['string', 'llama']],
        ['llama.attention.layer_norm_rms_epsilon', ['f32', 1e-5]],
        ...Object.entries({
            context_length: 64,
            embedding_length: WIDTH,
            block_count: layers,
            feed_forward_length: INNER,
            'attention.head_count': HEADS,
        }).map(([key, value]) => /** @type {[string, import('./gguf.js').Value]} */ ([`llama.${key}`, ['u32', value]])),
    ]);
    const names = Array.from({ length: VOCABULARY }, (_, i) => `t${i}`);
    values
        .set('tokenizer.ggml.model', ['string', 'llama'])
        .set('tokenizer.ggml.tokens', ['string', names])
        .set('tokenizer.ggml.scores', ['f32', names.map(() => 0)])
        .set('tokenizer.ggml.token_type', ['i32', names.map(() => 1)]);
    let next = -1,
        left = 0;
    return new ReadableStream(
        {
            pull(controller) {
                if (next < 0) {
                    controller.enqueue(header(values, tensors));
                } else if (left > 0 || tensors[next].seed === 0) {
                    left ||= tensors[next].bytes;
                    const n = Math.min(left, zeros.length);
                    controller.enqueue(zeros.subarray(0, n));
                    left -= n;
                } else {
                    controller.enqueue(new Uint8Array(numbers(tensors[next].seed, tensors[next].bytes / 4).buffer));
                }
                if (left === 0 && ++next === tensors.length) controller.close();
            },
        },
        { highWaterMark: 0 },
    );
}

export const TOKENS = [1, 17, 33, 250, 2, 99];
