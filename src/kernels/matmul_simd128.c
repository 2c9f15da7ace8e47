/* Plain SIMD128: activations widened to 16 bits, products summed in pairs by i32x4.dot_i16x8_s. Sums are exact. */
#define MADD(a, b, c) wasm_f32x4_add(wasm_f32x4_mul(a, b), c)
#include "matmul_float.h"

void nb_matmul_any_f32__simd128(const nb_matmul_task *task) {
    float_run(task);
}

#define INLINE static inline __attribute__((always_inline))

/* sum += eight weight vectors times eight pairs of activations: a and b hold four pairs each. */
INLINE v128_t dot8(v128_t sum, const v128_t *q, v128_t a, v128_t b) {
    v128_t s = wasm_i32x4_dot_i16x8(q[0], nb_lane_splat(a, 0)), r = wasm_i32x4_dot_i16x8(q[4], nb_lane_splat(b, 0));
    s = wasm_i32x4_add(s, wasm_i32x4_dot_i16x8(q[1], nb_lane_splat(a, 1)));
    r = wasm_i32x4_add(r, wasm_i32x4_dot_i16x8(q[5], nb_lane_splat(b, 1)));
    s = wasm_i32x4_add(s, wasm_i32x4_dot_i16x8(q[2], nb_lane_splat(a, 2)));
    r = wasm_i32x4_add(r, wasm_i32x4_dot_i16x8(q[6], nb_lane_splat(b, 2)));
    s = wasm_i32x4_add(s, wasm_i32x4_dot_i16x8(q[3], nb_lane_splat(a, 3)));
    r = wasm_i32x4_add(r, wasm_i32x4_dot_i16x8(q[7], nb_lane_splat(b, 3)));
    return wasm_i32x4_add(sum, wasm_i32x4_add(s, r));
}

/* Half h of a 4-bit block of four rows: columns 8h ... 8h+7 in q[0 ... 3], 16+8h ... 23+8h in q[4 ... 7]. A 16-bit lane
 * holds four weights: columns c, c+2 (or c+1, c+3) of a row in its bytes' low halves, 16 columns further in the high. */
INLINE void unpack_q4(const uint8_t *w, uint32_t h, v128_t low, v128_t *q) {
    for (uint32_t j = 0; j < 2; j++) {
        v128_t four = wasm_v128_load(w + 16 * (2 * h + j));
        q[2 * j] = wasm_v128_and(four, low);
        q[2 * j + 1] = wasm_v128_and(wasm_u16x8_shr(four, 8), low);
        q[4 + 2 * j] = wasm_v128_and(wasm_u16x8_shr(four, 4), low);
        q[5 + 2 * j] = wasm_u16x8_shr(four, 12);
    }
}

/* Half h of an 8-bit block: columns 16h ... 16h+15, four to two vectors. */
INLINE void unpack_q8(const uint8_t *w, uint32_t h, v128_t *q) {
    for (uint32_t j = 0; j < 4; j++) {
        v128_t both = wasm_v128_load(w + 16 * (4 * h + j));
        q[2 * j] = wasm_i16x8_extend_low_i8x16(both);
        q[2 * j + 1] = wasm_i16x8_extend_high_i8x16(both);
    }
}

/* What stays in registers throughout. */
typedef struct constants {
    v128_t low, mask, unit;
} constants;

INLINE constants held_constants(void) {
    return (constants){nb_held_constant(0x000f000f), nb_held_constant(NB_F16_MASK), nb_held_constant(NB_F16_UNIT)};
}

/* sum (lanes = rows) of a block's integer products -> out += w x; w: the block's scales, x: its d and s. */
INLINE v128_t scaled(v128_t out, v128_t sum, const uint8_t *w, v128_t dx, v128_t sx, const uint32_t type, constants c) {
    v128_t d = nb_load_f16x4_with(w, c.mask, c.unit);
    sum = wasm_f32x4_convert_i32x4(sum);
    if (type == NB_TYPE_Q4_0) { /* d (q - 8) x = d (q x - 8 x) */
        sum = wasm_f32x4_sub(wasm_f32x4_mul(sum, dx), wasm_f32x4_mul(sx, wasm_f32x4_splat(8)));
        return MADD(sum, d, out);
    }
    out = MADD(sum, wasm_f32x4_mul(d, dx), out);
    return type == NB_TYPE_Q4_1 ? MADD(nb_load_f16x4_with(w + 8, c.mask, c.unit), sx, out) : out; /* (d q + m) x */
}

/* One tile's four rows times the panel of four tokens that starts at token t. Half a block's weights are unpacked,
 * then each token's activations of those columns are read and splatted. */
INLINE void tile(const nb_matmul_task *task, uint32_t row, uint32_t t, const uint32_t type) {
    enum { T = NB_PANEL };
    const uint32_t halves = type == NB_TYPE_Q4_1 ? 16 : 8, quants = type == NB_TYPE_Q8_0 ? 128 : 64;
    const uint32_t tile_bytes = halves + quants;
    const constants c = held_constants();
    const uint8_t *w = task->w->data + row / NB_GROUP * task->w->group_bytes + row % NB_GROUP / NB_TILE * tile_bytes;
    const uint8_t *x = nb_activations_panel(task->x, NB_FORM_Q16, t);
    v128_t out[T];
    for (uint32_t i = 0; i < T; i++)
        out[i] = wasm_f32x4_splat(0);
    for (uint32_t b = task->x->columns / NB_BLOCK; b; b--, w += 2 * tile_bytes, x += T * (8 + 2 * NB_BLOCK)) {
        v128_t sums[T], q[8];
        for (uint32_t h = 0; h < 2; h++) {
            if (type == NB_TYPE_Q8_0)
                unpack_q8(w + halves, h, q);
            else
                unpack_q4(w + halves, h, c.low, q);
            for (uint32_t i = 0; i < T; i++) {
                const uint8_t *a = x + 8 * T + 2 * NB_BLOCK * i + (type == NB_TYPE_Q8_0 ? 32 : 16) * h;
                sums[i] = dot8(h ? sums[i] : wasm_i32x4_splat(0), q, wasm_v128_load(a),
                               wasm_v128_load(a + (type == NB_TYPE_Q8_0 ? 16 : 32)));
                nb_pin(sums[i]);
            }
        }
        for (uint32_t i = 0; i < T; i++)
            out[i] = scaled(out[i], sums[i], w, wasm_v128_load32_splat(x + 4 * i), wasm_v128_load32_splat(x + 4 * (T + i)), type, c);
    }
    for (uint32_t i = 0; i < T; i++)
        NB_STORE_ROWS(task, t + i, row, out[i]);
}

/* sums[g] += products of each of two tiles' vector j with the activations of its columns (packing.h): lanes
 * `lane` and `lane` + 1 of a hold columns 4j, 4j+2 and 4j+1, 4j+3; those of b 16 columns further (4-bit weights). */
INLINE void step(v128_t *sums, const uint8_t *quants, const uint32_t tile_bytes, v128_t a0, v128_t a1, v128_t b0,
                 v128_t b1, const uint32_t type, v128_t low) {
    for (uint32_t g = 0; g < 2; g++) {
        v128_t q = wasm_v128_load(quants + g * tile_bytes);
        if (type == NB_TYPE_Q8_0) {
            sums[g] = wasm_i32x4_add(sums[g], wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(q), a0));
            sums[g] = wasm_i32x4_add(sums[g], wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(q), a1));
        } else {
            sums[g] = wasm_i32x4_add(sums[g], wasm_i32x4_dot_i16x8(wasm_v128_and(q, low), a0));
            sums[g] = wasm_i32x4_add(sums[g], wasm_i32x4_dot_i16x8(wasm_v128_and(wasm_u16x8_shr(q, 8), low), a1));
            sums[g] = wasm_i32x4_add(sums[g], wasm_i32x4_dot_i16x8(wasm_v128_and(wasm_u16x8_shr(q, 4), low), b0));
            sums[g] = wasm_i32x4_add(sums[g], wasm_i32x4_dot_i16x8(wasm_u16x8_shr(q, 12), b1));
        }
        nb_pin(sums[g]);
    }
}

/* A group of eight rows times one token: its two tiles share the splatting. */
INLINE void lone(const nb_matmul_task *task, uint32_t row, uint32_t t, const uint32_t type) {
    const uint32_t halves = type == NB_TYPE_Q4_1 ? 16 : 8, quants = type == NB_TYPE_Q8_0 ? 128 : 64;
    const constants c = held_constants();
    const uint32_t tile_bytes = halves + quants;
    const uint8_t *w = task->w->data + row / NB_GROUP * task->w->group_bytes;
    const uint8_t *x = nb_activations_panel(task->x, NB_FORM_Q16, t);
    v128_t out[2] = {wasm_f32x4_splat(0), wasm_f32x4_splat(0)};
    for (uint32_t b = task->x->columns / NB_BLOCK; b; b--, w += 2 * tile_bytes, x += 8 + 2 * NB_BLOCK) {
        v128_t sums[2] = {wasm_i32x4_splat(0), wasm_i32x4_splat(0)};
        for (uint32_t j = 0; j < quants / 16; j += 2) { /* two vectors: eight columns, or twice eight */
            v128_t a = wasm_v128_load(x + 8 + 8 * j), b = wasm_v128_load(x + 8 + (type == NB_TYPE_Q8_0 ? 0 : 32) + 8 * j);
            const uint8_t *at = w + halves + 16 * j;
            step(sums, at, tile_bytes, nb_lane_splat(a, 0), nb_lane_splat(a, 1), nb_lane_splat(b, 0), nb_lane_splat(b, 1), type, c.low);
            step(sums, at + 16, tile_bytes, nb_lane_splat(a, 2), nb_lane_splat(a, 3), nb_lane_splat(b, 2), nb_lane_splat(b, 3), type, c.low);
        }
        v128_t dx = wasm_v128_load32_splat(x), sx = wasm_v128_load32_splat(x + 4);
        for (uint32_t g = 0; g < 2; g++)
            out[g] = scaled(out[g], sums[g], w + g * tile_bytes, dx, sx, type, c);
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

void nb_matmul_q4_0_q16__simd128(const nb_matmul_task *task) {
    run(task, NB_TYPE_Q4_0);
}

void nb_matmul_q4_1_q16__simd128(const nb_matmul_task *task) {
    run(task, NB_TYPE_Q4_1);
}

void nb_matmul_q8_0_q16__simd128(const nb_matmul_task *task) {
    run(task, NB_TYPE_Q8_0);
}
