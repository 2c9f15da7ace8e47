/* Plain SIMD128: activations widened to 16 bits, products summed in pairs by i32x4.dot_i16x8_s. Sums are exact. */
#define MADD(a, b, c) wasm_f32x4_add(wasm_f32x4_mul(a, b), c)
#include "matmul_float.h"

void nb_matmul_any_f32__simd128(const nb_matmul_task *task) {
    float_run(task);
}

#define INLINE static inline __attribute__((always_inline))

/* sums[t] (lanes = rows): one 4-bit block of four rows times T tokens. A 16-bit lane of the weights holds four of
 * them: columns c, c+2 (or c+1, c+3) of a row in its bytes' low halves, 16 columns further in the high ones. */
INLINE void q4_block(const uint8_t *w, const uint8_t *x, const uint32_t T, v128_t *sums) {
    const v128_t low = wasm_i16x8_splat(0x000f);
    for (uint32_t t = 0; t < T; t++)
        sums[t] = wasm_i32x4_splat(0);
    for (uint32_t j = 0; j < 4; j++) {
        v128_t q = wasm_v128_load(w + 16 * j);
        v128_t even = wasm_v128_and(q, low), odd = wasm_v128_and(wasm_u16x8_shr(q, 8), low);
        v128_t even16 = wasm_v128_and(wasm_u16x8_shr(q, 4), low), odd16 = wasm_u16x8_shr(q, 12);
        for (uint32_t t = 0; t < T; t++) {
            const uint8_t *a = x + (j * T + t) * 8, *b = a + 4 * T * 8;
            v128_t s = wasm_i32x4_dot_i16x8(even, wasm_v128_load32_splat(a));
            s = wasm_i32x4_add(s, wasm_i32x4_dot_i16x8(odd, wasm_v128_load32_splat(a + 4)));
            s = wasm_i32x4_add(s, wasm_i32x4_dot_i16x8(even16, wasm_v128_load32_splat(b)));
            s = wasm_i32x4_add(s, wasm_i32x4_dot_i16x8(odd16, wasm_v128_load32_splat(b + 4)));
            sums[t] = wasm_i32x4_add(sums[t], s);
        }
    }
}

INLINE void q8_block(const uint8_t *w, const uint8_t *x, const uint32_t T, v128_t *sums) {
    for (uint32_t t = 0; t < T; t++)
        sums[t] = wasm_i32x4_splat(0);
    for (uint32_t j = 0; j < 8; j++) {
        v128_t q = wasm_v128_load(w + 16 * j);
        v128_t even = wasm_i16x8_extend_low_i8x16(q), odd = wasm_i16x8_extend_high_i8x16(q);
        for (uint32_t t = 0; t < T; t++) {
            const uint8_t *a = x + (j * T + t) * 8;
            v128_t s = wasm_i32x4_dot_i16x8(even, wasm_v128_load32_splat(a));
            sums[t] = wasm_i32x4_add(sums[t], wasm_i32x4_add(s, wasm_i32x4_dot_i16x8(odd, wasm_v128_load32_splat(a + 4))));
        }
    }
}

/* One group of four rows times the panel of T tokens that starts at token t. */
INLINE void tile(const nb_matmul_task *task, uint32_t row, uint32_t t, const uint32_t T, const uint32_t type) {
    const uint32_t halves = type == NB_TYPE_Q4_1 ? 16 : 8, quants = type == NB_TYPE_Q8_0 ? 128 : 64;
    const uint8_t *w = task->w->data + row / 4 * task->w->group_bytes;
    const uint8_t *x = nb_activations_panel(task->x, NB_FORM_Q16, t);
    v128_t sums[NB_PANEL], out[NB_PANEL];
    for (uint32_t i = 0; i < T; i++)
        out[i] = wasm_f32x4_splat(0);
    for (uint32_t b = task->x->columns / NB_BLOCK; b; b--, w += halves + quants, x += T * (8 + 2 * NB_BLOCK)) {
        if (type == NB_TYPE_Q8_0)
            q8_block(w + halves, x + 8 * T, T, sums);
        else
            q4_block(w + halves, x + 8 * T, T, sums);
        v128_t d = nb_load_f16x4(w);
        for (uint32_t i = 0; i < T; i++) {
            v128_t dx = wasm_v128_load32_splat(x + 4 * i), sum = wasm_f32x4_convert_i32x4(sums[i]);
            if (type == NB_TYPE_Q4_0) /* d (q - 8) x = d (q x - 8 x) */
                sum = wasm_f32x4_sub(wasm_f32x4_mul(sum, dx),
                                     wasm_f32x4_mul(wasm_v128_load32_splat(x + 4 * (T + i)), wasm_f32x4_splat(8)));
            out[i] = MADD(sum, type == NB_TYPE_Q4_0 ? d : wasm_f32x4_mul(d, dx), out[i]);
            if (type == NB_TYPE_Q4_1)
                out[i] = MADD(nb_load_f16x4(w + 8), wasm_v128_load32_splat(x + 4 * (T + i)), out[i]);
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

void nb_matmul_q4_0_q16__simd128(const nb_matmul_task *task) {
    run(task, NB_TYPE_Q4_0);
}

void nb_matmul_q4_1_q16__simd128(const nb_matmul_task *task) {
    run(task, NB_TYPE_Q4_1);
}

void nb_matmul_q8_0_q16__simd128(const nb_matmul_task *task) {
    run(task, NB_TYPE_Q8_0);
}
