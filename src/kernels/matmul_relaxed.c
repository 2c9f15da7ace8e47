/* Relaxed SIMD: 8-bit activations, or the two bytes of 16-bit ones, times weights of up to 7 bits by i16x8.relaxed_dot_i8x16_i7x16_s. The weights are the
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

/* G groups of four rows times the panel of T tokens that starts at token t. A block's weights are unpacked once, then
 * each token's 32 activations are read in two vectors and splatted four columns at a time. */
INLINE void tile(const nb_matmul_task *task, uint32_t row, uint32_t t, const uint32_t G, const uint32_t T, const uint32_t type,
                 const nb_form form) {
    const uint32_t halves = type == NB_TYPE_Q4_1 ? 16 : 8, bytes = form == NB_FORM_Q8 ? 1 : 2;
    const v128_t low = nb_held_constant(0x0f0f0f0f), mask = nb_held_constant(NB_F16_MASK), unit = nb_held_constant(NB_F16_UNIT);
    const size_t group_bytes = task->w->group_bytes;
    const uint8_t *w = task->w->data + row / 4 * group_bytes;
    const uint8_t *x = nb_activations_panel(task->x, form, t);
    v128_t out[2][NB_PANEL];
    for (uint32_t g = 0; g < G; g++)
        for (uint32_t i = 0; i < T; i++)
            out[g][i] = wasm_f32x4_splat(0);
    for (uint32_t b = task->x->columns / NB_BLOCK; b; b--, w += halves + 64, x += T * (8 + bytes * NB_BLOCK))
        for (uint32_t g = 0; g < G; g++) {
            const uint8_t *wg = w + g * group_bytes;
            v128_t q[8], d = nb_load_f16x4_with(wg, mask, unit);
            for (uint32_t j = 0; j < 4; j++) {
                v128_t both = wasm_v128_load(wg + halves + 16 * j);
                q[j] = wasm_v128_and(both, low);
                q[j + 4] = wasm_v128_and(wasm_u16x8_shr(both, 4), low);
            }
            for (uint32_t i = 0; i < T; i++) {
                const uint8_t *a = x + 8 * T + bytes * NB_BLOCK * i;
                v128_t sum = dot32(q, a);
                if (form == NB_FORM_Q8X2)
                    sum = wasm_i32x4_add(wasm_i32x4_shl(sum, 8), dot32(q, a + NB_BLOCK));
                sum = wasm_f32x4_convert_i32x4(sum);
                v128_t dx = wasm_v128_load32_splat(x + 4 * i), sx = wasm_v128_load32_splat(x + 4 * (T + i));
                if (type == NB_TYPE_Q4_0) { /* d (q - 8) x = d (q x - 8 x) */
                    sum = wasm_f32x4_sub(wasm_f32x4_mul(sum, dx), wasm_f32x4_mul(sx, wasm_f32x4_splat(8)));
                    out[g][i] = MADD(sum, d, out[g][i]);
                } else { /* (d q + m) x */
                    out[g][i] = MADD(sum, wasm_f32x4_mul(d, dx), out[g][i]);
                    out[g][i] = MADD(nb_load_f16x4_with(wg + 8, mask, unit), sx, out[g][i]);
                }
            }
        }
    for (uint32_t g = 0; g < G; g++)
        for (uint32_t i = 0; i < T; i++)
            NB_STORE_ROWS(task, t + i, row + 4 * g, out[g][i]);
}

/* Tokens outside, rows inside: a panel and the chunk's rows both stay in the first-level cache. A lone token is
 * multiplied with two groups at once, which share the splatting. */
INLINE void run(const nb_matmul_task *task, const uint32_t type, const nb_form form) {
    uint32_t end = task->first_row + task->rows, n = task->x->n, t = 0;
    for (; t + NB_PANEL <= n; t += NB_PANEL)
        for (uint32_t row = task->first_row; row < end; row += 4)
            tile(task, row, t, 1, NB_PANEL, type, form);
    for (; t < n; t++) {
        uint32_t row = task->first_row;
        for (; row + 8 <= end; row += 8)
            tile(task, row, t, 2, 1, type, form);
        for (; row < end; row += 4)
            tile(task, row, t, 1, 1, type, form);
    }
}

void nb_matmul_q4_0_q8__relaxed(const nb_matmul_task *task) {
    run(task, NB_TYPE_Q4_0, NB_FORM_Q8);
}

void nb_matmul_q4_1_q8__relaxed(const nb_matmul_task *task) {
    run(task, NB_TYPE_Q4_1, NB_FORM_Q8);
}

void nb_matmul_q4_0_q8x2__relaxed(const nb_matmul_task *task) {
    run(task, NB_TYPE_Q4_0, NB_FORM_Q8X2);
}

void nb_matmul_q4_1_q8x2__relaxed(const nb_matmul_task *task) {
    run(task, NB_TYPE_Q4_1, NB_FORM_Q8X2);
}

#endif
