/* Relaxed SIMD on CPUs that multiply bytes and add four products to a 32-bit sum by one instruction (VNNI of x86, dot
 * products of ARM): i32x4.relaxed_dot_i8x16_i7x16_add_s. Elsewhere it takes three or more, and the other kernels are
 * faster. Codes are the 7-bit operand, so every engine gives the same sums. All of them are exact: that of 32 columns
 * is within 32 * 127 * 32639, which is below 2^27.
 *
 * Activations of 16 bits are two halves of 8 bits: x = 256 high + low. For a single token these kernels take 0.6 to 0.7
 * of the time of i32x4.dot_i16x8_s, which needs codes of 16 bits. */
#include "../base/simd.h"

#ifdef NB_DOT

#include "matmul_tiles.h"

INLINE v128_t dot(v128_t sum, const uint32_t k, v128_t q, v128_t a) {
    sum = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(a, q, k ? sum : wasm_i32x4_splat(0));
    nb_pin(sum);
    return sum;
}

INLINE v128_t joined(v128_t high, v128_t low) {
    return wasm_i32x4_add(wasm_i32x4_shl(high, 8), low);
}

/* ---- several tokens ------------------------------------------------------------------------------------------- */

INLINE void add_bytes(v128_t *sum, v128_t *other, const uint32_t fit, const uint32_t k, const uint8_t *q, v128_t a,
                      v128_t b) {
    (void)other, (void)fit, (void)b;
    *sum = dot(*sum, k, wasm_v128_load(q), a);
}

INLINE void add_halves(v128_t *sum, v128_t *low, const uint32_t fit, const uint32_t k, const uint8_t *q, v128_t a,
                       v128_t b) {
    v128_t codes = wasm_v128_load(q);
    *sum = dot(*sum, k, codes, a);
    *low = dot(*low, k, codes, b);
    if (k == fit - 1)
        *sum = joined(*sum, *low);
}

/* The loops are compiled for each way to divide 32 columns, not for each type. */
#define TOKENS(name, FORM, parts, two)                                                                      \
    static __attribute__((noinline)) void tokens_##name##_##parts(const nb_matmul_task *task, uint32_t i) { \
        multiply_tokens(task, i, NB_FORM_##FORM, 8, parts, 8 / parts, two, true, add_##name);               \
    }
TOKENS(bytes, Q8, 1, false)
TOKENS(bytes, Q8, 2, false)
TOKENS(halves, HALVES, 1, true)
TOKENS(halves, HALVES, 2, true)

INLINE void tokens_bytes(const nb_matmul_task *task, uint32_t i, const uint32_t type) {
    nb_layout_of(type).columns == 16 ? tokens_bytes_2(task, i) : tokens_bytes_1(task, i);
}

INLINE void tokens_halves(const nb_matmul_task *task, uint32_t i, const uint32_t type) {
    nb_layout_of(type).columns == 16 ? tokens_halves_2(task, i) : tokens_halves_1(task, i);
}

/* ---- one token ------------------------------------------------------------------------------------------------ */

/* A step of a kernel: adds columns 4j ... 4j+3 of a tile, whose codes are q[0], to sum[0], and columns
 * 4j+16 ... 4j+19, whose codes are q[1], to sum[second]. second is 1 if the latter have scales of their own, and else
 * 0: then sum[0] has begun when they are added. low: the sums of the lower halves. */
typedef void (*step_function)(v128_t *sum, v128_t *low, const uint32_t j, const uint32_t second, const v128_t *q,
                              const uint8_t *x);

INLINE void step_bytes(v128_t *sum, v128_t *low, const uint32_t j, const uint32_t second, const v128_t *q,
                       const uint8_t *x) {
    (void)low;
    sum[0] = dot(sum[0], j, q[0], wasm_v128_load32_splat(x));
    sum[second] = dot(sum[second], second ? j : 1, q[1], wasm_v128_load32_splat(x + 16));
}

INLINE void step_halves(v128_t *sum, v128_t *low, const uint32_t j, const uint32_t second, const v128_t *q,
                        const uint8_t *x) {
    step_bytes(sum, NULL, j, second, q, x);
    step_bytes(low, NULL, j, second, q, x + 32);
}

/* The sums of `count` tiles. two: of high and of low halves, which become one. */
INLINE void multiply_some(const uint32_t type, v128_t sums[][2], const uint8_t *const *w, const uint8_t *x, constants c,
                          const uint32_t count, const bool two, const step_function step) {
    const uint32_t second = nb_layout_of(type).columns == 16;
    v128_t low[NB_SECTIONS][2];
    NB_UNROLL
    for (uint32_t j = 0; j < 4; j++)
        for (uint32_t s = 0; s < count; s++) {
            v128_t q[2];
            codes_of(type, w[s] + nb_layout_of(type).scales, j, c, q);
            step(sums[s], low[s], j, second, q, x + 16 + 4 * j);
        }
    for (uint32_t s = 0; s < count && two; s++)
        for (uint32_t n = 0; n <= second; n++) {
            sums[s][n] = joined(sums[s][n], low[s][n]);
            nb_pin(sums[s][n]);
        }
}

/* As many tiles at once as have sums that fit the registers: eight. */
INLINE void multiply_tiles(const uint32_t type, v128_t sums[][2], const uint8_t *const *w, const uint8_t *x,
                           constants c, const bool two, const step_function step) {
    if (!two || nb_layout_of(type).columns == 32) {
        multiply_some(type, sums, w, x, c, NB_SECTIONS, two, step);
    } else {
        multiply_some(type, sums, w, x, c, NB_SECTIONS / 2, two, step);
        multiply_some(type, sums + NB_SECTIONS / 2, w + NB_SECTIONS / 2, x, c, NB_SECTIONS / 2, two, step);
    }
}

INLINE void tiles_bytes(const uint32_t type, v128_t sums[][2], const uint8_t *const *w, const uint8_t *x, constants c) {
    multiply_tiles(type, sums, w, x, c, false, step_bytes);
}

INLINE void tiles_halves(const uint32_t type, v128_t sums[][2], const uint8_t *const *w, const uint8_t *x,
                         constants c) {
    multiply_tiles(type, sums, w, x, c, true, step_halves);
}

INLINE void token_bytes(const nb_matmul_task *task, uint32_t i, uint32_t t, const uint32_t type) {
    multiply_token(task, i, t, type, NB_FORM_Q8, tiles_bytes);
}

INLINE void token_halves(const nb_matmul_task *task, uint32_t i, uint32_t t, const uint32_t type) {
    multiply_token(task, i, t, type, NB_FORM_HALVES, tiles_halves);
}

/* Unpacking is the same for 8-bit activations and for halves. */
#define UNPACKED(weight, TYPE, form, FORM, isa) UNPACK(weight, TYPE, 8, store_bytes)
NB_MATMUL_HALVES_TYPES(UNPACKED, q8, Q8, dot)

#define BYTES(weight, TYPE, form, FORM, isa) KERNEL(weight, TYPE, form, isa, 8, tokens_bytes, token_bytes)
#define HALVES(weight, TYPE, form, FORM, isa) KERNEL(weight, TYPE, form, isa, 8, tokens_halves, token_halves)
NB_MATMUL_Q8_TYPES(BYTES, q8, Q8, dot)
NB_MATMUL_HALVES_TYPES(HALVES, halves, HALVES, dot)

#endif
