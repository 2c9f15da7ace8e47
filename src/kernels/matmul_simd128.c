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

/* G groups of four rows times the panel of T tokens that starts at token t. */
INLINE void tile(const nb_matmul_task *task, uint32_t row, uint32_t t, const uint32_t G, const uint32_t T, const uint32_t type) {
    const uint32_t halves = type == NB_TYPE_Q4_1 ? 16 : 8, quants = type == NB_TYPE_Q8_0 ? 128 : 64;
    const v128_t low = nb_held_constant(0x000f000f), mask = nb_held_constant(NB_F16_MASK), unit = nb_held_constant(NB_F16_UNIT);
    const size_t group_bytes = task->w->group_bytes;
    const uint8_t *w = task->w->data + row / 4 * group_bytes;
    const uint8_t *x = nb_activations_panel(task->x, NB_FORM_Q16, t);
    v128_t out[2][NB_PANEL];
    for (uint32_t g = 0; g < G; g++)
        for (uint32_t i = 0; i < T; i++)
            out[g][i] = wasm_f32x4_splat(0);
    for (uint32_t b = task->x->columns / NB_BLOCK; b; b--, w += halves + quants, x += T * (8 + 2 * NB_BLOCK))
        for (uint32_t g = 0; g < G; g++) {
            const uint8_t *wg = w + g * group_bytes;
            v128_t sums[NB_PANEL], q[8], d = nb_load_f16x4_with(wg, mask, unit);
            for (uint32_t h = 0; h < 2; h++) {
                if (type == NB_TYPE_Q8_0)
                    unpack_q8(wg + halves, h, q);
                else
                    unpack_q4(wg + halves, h, low, q);
                for (uint32_t i = 0; i < T; i++) {
                    const uint8_t *a = x + 8 * T + 2 * NB_BLOCK * i + (type == NB_TYPE_Q8_0 ? 32 : 16) * h;
                    sums[i] = dot8(h ? sums[i] : wasm_i32x4_splat(0), q, wasm_v128_load(a),
                                   wasm_v128_load(a + (type == NB_TYPE_Q8_0 ? 16 : 32)));
                }
            }
            for (uint32_t i = 0; i < T; i++) {
                v128_t dx = wasm_v128_load32_splat(x + 4 * i), sx = wasm_v128_load32_splat(x + 4 * (T + i));
                v128_t sum = wasm_f32x4_convert_i32x4(sums[i]);
                if (type == NB_TYPE_Q4_0) /* d (q - 8) x = d (q x - 8 x) */
                    sum = wasm_f32x4_sub(wasm_f32x4_mul(sum, dx), wasm_f32x4_mul(sx, wasm_f32x4_splat(8)));
                out[g][i] = MADD(sum, type == NB_TYPE_Q4_0 ? d : wasm_f32x4_mul(d, dx), out[g][i]);
                if (type == NB_TYPE_Q4_1)
                    out[g][i] = MADD(nb_load_f16x4_with(wg + 8, mask, unit), sx, out[g][i]);
            }
        }
    for (uint32_t g = 0; g < G; g++)
        for (uint32_t i = 0; i < T; i++)
            NB_STORE_ROWS(task, t + i, row + 4 * g, out[g][i]);
}

/* Tokens outside, rows inside: a panel and the chunk's rows both stay in the first-level cache. A lone token is
 * multiplied with two groups at once, which share the splatting. */
INLINE void run(const nb_matmul_task *task, const uint32_t type) {
    uint32_t end = task->first_row + task->rows, n = task->x->n, t = 0;
    for (; t + NB_PANEL <= n; t += NB_PANEL)
        for (uint32_t row = task->first_row; row < end; row += 4)
            tile(task, row, t, 1, NB_PANEL, type);
    for (; t < n; t++) {
        uint32_t row = task->first_row;
        for (; row + 8 <= end; row += 8)
            tile(task, row, t, 2, 1, type);
        for (; row < end; row += 4)
            tile(task, row, t, 1, 1, type);
    }
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
