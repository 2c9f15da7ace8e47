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

/* One group of four rows times the panel of T tokens that starts at token t. */
INLINE void tile(const nb_matmul_task *task, uint32_t row, uint32_t t, const uint32_t T, const uint32_t type) {
    const uint32_t halves = type == NB_TYPE_Q4_1 ? 16 : 8;
    const v128_t low = wasm_i8x16_splat(0x0f);
    const uint8_t *w = task->w->data + row / 4 * task->w->group_bytes;
    const uint8_t *x = nb_activations_panel(task->x, NB_FORM_Q8, t);
    v128_t sums[NB_PANEL], out[NB_PANEL];
    for (uint32_t i = 0; i < T; i++)
        out[i] = wasm_f32x4_splat(0);
    for (uint32_t b = task->x->columns / NB_BLOCK; b; b--, w += halves + 64, x += T * (8 + NB_BLOCK)) {
        const uint8_t *a = x + 8 * T;
        for (uint32_t j = 0; j < 4; j++) {
            v128_t q = wasm_v128_load(w + halves + 16 * j);
            v128_t first = wasm_v128_and(q, low), second = wasm_v128_and(wasm_u16x8_shr(q, 4), low);
            for (uint32_t i = 0; i < T; i++) {
                v128_t x0 = wasm_v128_load32_splat(a + (j * T + i) * 4), x1 = wasm_v128_load32_splat(a + ((j + 4) * T + i) * 4);
                v128_t s = wasm_i16x8_relaxed_dot_i8x16_i7x16(x0, first);
                sums[i] = j ? wasm_i16x8_add(sums[i], s) : s;
                sums[i] = wasm_i16x8_add(sums[i], wasm_i16x8_relaxed_dot_i8x16_i7x16(x1, second));
            }
        }
        v128_t d = nb_load_f16x4(w);
        for (uint32_t i = 0; i < T; i++) {
            v128_t dx = wasm_v128_load32_splat(x + 4 * i), sx = wasm_v128_load32_splat(x + 4 * (T + i));
            v128_t sum = wasm_f32x4_convert_i32x4(wasm_i32x4_extadd_pairwise_i16x8(sums[i]));
            if (type == NB_TYPE_Q4_0) { /* d (q - 8) x = d (q x - 8 x) */
                sum = wasm_f32x4_sub(wasm_f32x4_mul(sum, dx), wasm_f32x4_mul(sx, wasm_f32x4_splat(8)));
                out[i] = MADD(sum, d, out[i]);
            } else { /* (d q + m) x */
                out[i] = MADD(sum, wasm_f32x4_mul(d, dx), out[i]);
                out[i] = MADD(nb_load_f16x4(w + 8), sx, out[i]);
            }
        }
    }
    for (uint32_t i = 0; i < T; i++)
        NB_STORE_ROWS(task, t + i, row, out[i]);
}

/* Tokens outside, rows inside: a panel and the chunk's rows both stay in the first-level cache. */
INLINE void run(const nb_matmul_task *task, const uint32_t type) {
    uint32_t end = task->first_row + task->rows, n = task->x->n, t = 0;
    for (; t + NB_PANEL <= n; t += NB_PANEL)
        for (uint32_t row = task->first_row; row < end; row += 4)
            tile(task, row, t, NB_PANEL, type);
    for (; t < n; t++)
        for (uint32_t row = task->first_row; row < end; row += 4)
            tile(task, row, t, 1, type);
}

void nb_matmul_q4_0_q8__relaxed(const nb_matmul_task *task) {
    run(task, NB_TYPE_Q4_0);
}

void nb_matmul_q4_1_q8__relaxed(const nb_matmul_task *task) {
    run(task, NB_TYPE_Q4_1);
}

#endif
