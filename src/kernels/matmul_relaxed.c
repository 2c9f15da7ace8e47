/* Relaxed SIMD: 8-bit activations times weights of up to 7 bits by i16x8.relaxed_dot_i8x16_i7x16_s. The weights are the
 * 7-bit operand, so every engine gives the same sums. Over a block of 32 columns a 16-bit lane collects 16 products of
 * at most 15 * 127, which fit (30480 < 32768): one widening a block is enough. */
#include "simd.h"

#ifdef NB_RELAXED

#define MADD(a, b, c) nb_madd_relaxed(a, b, c)
#include "matmul_float.h"

void nb_matmul_any_f32__relaxed(const nb_matmul_task *task) {
    float_run(task);
}

#define INLINE static inline __attribute__((always_inline))

/* What stays in registers throughout. */
typedef struct constants {
    v128_t low, mask, unit;
} constants;

INLINE constants held_constants(void) {
    return (constants){nb_held_constant(0x0f0f0f0f), nb_held_constant(NB_F16_MASK), nb_held_constant(NB_F16_UNIT)};
}

/* sum (in 32 bits, lanes = rows) of a block's integer products -> out += w x; w: the block's scales, x: its d and s. */
INLINE v128_t scaled(v128_t out, v128_t sum, const uint8_t *w, v128_t dx, v128_t sx, const uint32_t type, constants c) {
    v128_t d = nb_load_f16x4_with(w, c.mask, c.unit);
    sum = wasm_f32x4_convert_i32x4(sum);
    if (type == NB_TYPE_Q4_0) { /* d (q - 8) x = d (q x - 8 x) */
        sum = wasm_f32x4_sub(wasm_f32x4_mul(sum, dx), wasm_f32x4_mul(sx, wasm_f32x4_splat(8)));
        return MADD(sum, d, out);
    }
    out = MADD(sum, wasm_f32x4_mul(d, dx), out); /* (d q + m) x */
    return MADD(nb_load_f16x4_with(w + 8, c.mask, c.unit), sx, out);
}

/* sum over a block of 32 columns: eight weight vectors times the 32 bytes at x, splatted four at a time. */
INLINE v128_t dot32(const v128_t *q, const uint8_t *x) {
    v128_t sum;
    for (uint32_t j = 0; j < 2; j++) {
        v128_t a = wasm_v128_load(x + 16 * j);
        v128_t s = wasm_i16x8_relaxed_dot_i8x16_i7x16(nb_lane_splat(a, 0), q[4 * j]);
        s = wasm_i16x8_add(s, wasm_i16x8_relaxed_dot_i8x16_i7x16(nb_lane_splat(a, 1), q[4 * j + 1]));
        s = wasm_i16x8_add(s, wasm_i16x8_relaxed_dot_i8x16_i7x16(nb_lane_splat(a, 2), q[4 * j + 2]));
        s = wasm_i16x8_add(s, wasm_i16x8_relaxed_dot_i8x16_i7x16(nb_lane_splat(a, 3), q[4 * j + 3]));
        sum = j ? wasm_i16x8_add(sum, s) : s;
    }
    return wasm_i32x4_extadd_pairwise_i16x8(sum);
}

/* One tile's four rows times the panel of four tokens that starts at token t. A block's weights are unpacked once,
 * then each token's activations are read and splatted. */
INLINE void tile(const nb_matmul_task *task, uint32_t row, uint32_t t, const uint32_t type) {
    enum { T = NB_PANEL };
    const uint32_t halves = type == NB_TYPE_Q4_1 ? 16 : 8;
    const uint32_t tile_bytes = halves + 64;
    const constants c = held_constants();
    const uint8_t *w = task->w->data + row / NB_GROUP * task->w->group_bytes + row % NB_GROUP / NB_TILE * tile_bytes;
    const uint8_t *x = nb_activations_panel(task->x, NB_FORM_Q8, t);
    v128_t out[T];
    for (uint32_t i = 0; i < T; i++)
        out[i] = wasm_f32x4_splat(0);
    for (uint32_t b = task->x->columns / NB_BLOCK; b; b--, w += 2 * tile_bytes, x += T * (8 + NB_BLOCK)) {
        v128_t q[8];
        for (uint32_t j = 0; j < 4; j++) {
            v128_t both = wasm_v128_load(w + halves + 16 * j);
            q[j] = wasm_v128_and(both, c.low);
            q[j + 4] = wasm_v128_and(wasm_u16x8_shr(both, 4), c.low);
        }
        for (uint32_t i = 0; i < T; i++)
            out[i] = scaled(out[i], dot32(q, x + 8 * T + NB_BLOCK * i), w, wasm_v128_load32_splat(x + 4 * i),
                            wasm_v128_load32_splat(x + 4 * (T + i)), type, c);
    }
    for (uint32_t i = 0; i < T; i++)
        NB_STORE_ROWS(task, t + i, row, out[i]);
}

/* sums[g] += products of each of two tiles' vector j with the activations of its columns: first[4] for columns 4j ...
 * 4j+3, second[4] for columns 16 further. */
INLINE void step(v128_t *sums, const uint8_t *quants, const uint32_t tile_bytes, v128_t first, v128_t second, v128_t low) {
    for (uint32_t g = 0; g < 2; g++) {
        v128_t both = wasm_v128_load(quants + g * tile_bytes);
        sums[g] = wasm_i16x8_add(sums[g], wasm_i16x8_relaxed_dot_i8x16_i7x16(first, wasm_v128_and(both, low)));
        sums[g] = wasm_i16x8_add(sums[g], wasm_i16x8_relaxed_dot_i8x16_i7x16(second, wasm_v128_and(wasm_u16x8_shr(both, 4), low)));
        nb_pin(sums[g]);
    }
}

/* A group of eight rows times one token: its two tiles share the splatting. */
INLINE void lone(const nb_matmul_task *task, uint32_t row, uint32_t t, const uint32_t type) {
    const uint32_t halves = type == NB_TYPE_Q4_1 ? 16 : 8;
    const constants c = held_constants();
    const uint32_t tile_bytes = halves + 64;
    const uint8_t *w = task->w->data + row / NB_GROUP * task->w->group_bytes;
    const uint8_t *x = nb_activations_panel(task->x, NB_FORM_Q8, t);
    v128_t out[2] = {wasm_f32x4_splat(0), wasm_f32x4_splat(0)};
    for (uint32_t b = task->x->columns / NB_BLOCK; b; b--, w += 2 * tile_bytes, x += 8 + NB_BLOCK) {
        v128_t a = wasm_v128_load(x + 8), a16 = wasm_v128_load(x + 24), sums[2] = {wasm_i16x8_splat(0), wasm_i16x8_splat(0)};
        step(sums, w + halves, tile_bytes, nb_lane_splat(a, 0), nb_lane_splat(a16, 0), c.low);
        step(sums, w + halves + 16, tile_bytes, nb_lane_splat(a, 1), nb_lane_splat(a16, 1), c.low);
        step(sums, w + halves + 32, tile_bytes, nb_lane_splat(a, 2), nb_lane_splat(a16, 2), c.low);
        step(sums, w + halves + 48, tile_bytes, nb_lane_splat(a, 3), nb_lane_splat(a16, 3), c.low);
        v128_t dx = wasm_v128_load32_splat(x), sx = wasm_v128_load32_splat(x + 4);
        for (uint32_t g = 0; g < 2; g++)
            out[g] = scaled(out[g], wasm_i32x4_extadd_pairwise_i16x8(sums[g]), w + g * tile_bytes, dx, sx, type, c);
    }
    for (uint32_t g = 0; g < 2; g++)
        if (row + NB_TILE * g < task->w->rows)
            NB_STORE_ROWS(task, t, row + NB_TILE * g, out[g]);
}

/* Tokens outside, rows inside: a panel and the chunk's rows both stay in the first-level cache. */
INLINE void run(const nb_matmul_task *task, const uint32_t type) {
    uint32_t end = task->first_row + task->rows, n = task->x->n, t = 0;
    for (; t + NB_PANEL <= n; t += NB_PANEL)
        for (uint32_t row = task->first_row; row < end; row += NB_TILE)
            tile(task, row, t, type);
    for (; t < n; t++)
        for (uint32_t row = task->first_row; row < end; row += NB_GROUP)
            lone(task, row, t, type);
}

void nb_matmul_q4_0_q8__relaxed(const nb_matmul_task *task) {
    run(task, NB_TYPE_Q4_0);
}

void nb_matmul_q4_1_q8__relaxed(const nb_matmul_task *task) {
    run(task, NB_TYPE_Q4_1);
}

#endif
