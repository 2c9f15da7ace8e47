/* Relaxed SIMD on CPUs that multiply bytes and add four products to a 32-bit sum by one instruction (VNNI of x86, dot
 * products of ARM): i32x4.relaxed_dot_i8x16_i7x16_add_s. Elsewhere it takes three or more, and the other kernels are
 * faster. Codes are the 7-bit operand, so every engine gives the same sums. All of them are exact: that of 32 columns
 * is within 32 * 127 * 32639, which is below 2^27.
 *
 * Activations of 16 bits are two halves of 8 bits: x = 256 high + low. For a single token these kernels take 0.6 to 0.7
 * of the time of i32x4.dot_i16x8_s, which needs codes of 16 bits. Codes of 8 bits are two nibbles:
 * q = 16 high + low. */
#include "../base/simd.h"

#ifdef NB_DOT

#include "matmul_tiles.h"

INLINE v128_t dot(v128_t sum, const uint32_t k, v128_t q, v128_t a) {
    sum = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(a, q, k ? sum : wasm_i32x4_splat(0));
    nb_pin(sum);
    return sum;
}

INLINE v128_t joined(v128_t high, v128_t low, const uint32_t bits) {
    return wasm_i32x4_add(wasm_i32x4_shl(high, bits), low);
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
        *sum = joined(*sum, *low, 8);
}

INLINE void add_nibbles(v128_t *sum, v128_t *low, const uint32_t fit, const uint32_t k, const uint8_t *q, v128_t a,
                        v128_t b) {
    (void)b;
    *sum = dot(*sum, k, wasm_v128_load(q + 16), a);
    *low = dot(*low, k, wasm_v128_load(q), a);
    if (k == fit - 1)
        *sum = joined(*sum, *low, 4);
}

/* q: codes of 8 bits, unsigned. */
INLINE v128_t high_nibbles(v128_t q, constants c) {
    return wasm_v128_and(wasm_u16x8_shr(q, 4), c.half);
}

INLINE void store_nibbles(const uint32_t type, const uint8_t *codes, const uint32_t j, constants c, uint8_t *to) {
    v128_t q[2];
    codes_of(type, codes, j, c, q);
    for (uint32_t n = 0; n < 2; n++) {
        wasm_v128_store(to + 32 * (4 * n + j), wasm_v128_and(q[n], c.half));
        wasm_v128_store(to + 32 * (4 * n + j) + 16, high_nibbles(q[n], c));
    }
}

/* The loops are compiled for each way to divide 32 columns, not for each type. */
#define TOKENS(name, FORM, V, parts)                                                                        \
    static __attribute__((noinline)) void tokens_##name##_##parts(const nb_matmul_task *task, uint32_t i) { \
        multiply_tokens(task, i, NB_FORM_##FORM, V, parts, 8 / parts, add_##name);                          \
    }
TOKENS(bytes, Q8, 8, 1)
TOKENS(bytes, Q8, 8, 2)
TOKENS(halves, HALVES, 8, 1)
TOKENS(halves, HALVES, 8, 2)
TOKENS(nibbles, Q8, 16, 1)

INLINE void tokens_bytes(const nb_matmul_task *task, uint32_t i, const uint32_t type) {
    nb_layout_of(type).columns == 16 ? tokens_bytes_2(task, i) : tokens_bytes_1(task, i);
}

INLINE void tokens_halves(const nb_matmul_task *task, uint32_t i, const uint32_t type) {
    nb_layout_of(type).columns == 16 ? tokens_halves_2(task, i) : tokens_halves_1(task, i);
}

INLINE void tokens_nibbles(const nb_matmul_task *task, uint32_t i, const uint32_t type) {
    (void)type;
    tokens_nibbles_1(task, i);
}

/* ---- one token ------------------------------------------------------------------------------------------------ */

/* A step of a kernel: adds columns 4j ... 4j+3 of a tile, whose codes are q[0], to sum[0], and columns
 * 4j+16 ... 4j+19, whose codes are q[1], to sum[second]. second is 1 if the latter have scales of their own, and else
 * 0: then sum[0] has begun when they are added. low: the sums of the lower halves or nibbles. */
typedef void (*step_function)(v128_t *sum, v128_t *low, const uint32_t j, const uint32_t second, const v128_t *q,
                              const uint8_t *x, constants c);

INLINE void step_bytes(v128_t *sum, v128_t *low, const uint32_t j, const uint32_t second, const v128_t *q,
                       const uint8_t *x, constants c) {
    (void)low, (void)c;
    sum[0] = dot(sum[0], j, q[0], wasm_v128_load32_splat(x));
    sum[second] = dot(sum[second], second ? j : 1, q[1], wasm_v128_load32_splat(x + 16));
}

INLINE void step_halves(v128_t *sum, v128_t *low, const uint32_t j, const uint32_t second, const v128_t *q,
                        const uint8_t *x, constants c) {
    step_bytes(sum, NULL, j, second, q, x, c);
    step_bytes(low, NULL, j, second, q, x + 32, c);
}

INLINE void step_nibbles(v128_t *sum, v128_t *low, const uint32_t j, const uint32_t second, const v128_t *q,
                         const uint8_t *x, constants c) {
    step_bytes(sum, NULL, j, second, (v128_t[]){high_nibbles(q[0], c), high_nibbles(q[1], c)}, x, c);
    step_bytes(low, NULL, j, second, (v128_t[]){wasm_v128_and(q[0], c.half), wasm_v128_and(q[1], c.half)}, x, c);
}

/* The sums of `count` tiles. bits: of the lower of two sums; 0: there is one only. */
INLINE void multiply_some(const uint32_t type, v128_t sums[][2], const uint8_t *const *w, const uint8_t *x, constants c,
                          const uint32_t count, const uint32_t bits, const step_function step) {
    const uint32_t second = nb_layout_of(type).columns == 16;
    v128_t low[NB_SECTIONS][2];
    NB_UNROLL
    for (uint32_t j = 0; j < 4; j++)
        for (uint32_t s = 0; s < count; s++) {
            v128_t q[2];
            codes_of(type, w[s] + nb_layout_of(type).scales, j, c, q);
            step(sums[s], low[s], j, second, q, x + 16 + 4 * j, c);
        }
    for (uint32_t s = 0; s < count && bits; s++)
        for (uint32_t n = 0; n <= second; n++) {
            sums[s][n] = joined(sums[s][n], low[s][n], bits);
            nb_pin(sums[s][n]);
        }
}

/* As many tiles at once as have sums that fit the registers: eight. */
INLINE void multiply_tiles(const uint32_t type, v128_t sums[][2], const uint8_t *const *w, const uint8_t *x,
                           constants c, const uint32_t bits, const step_function step) {
    if (!bits || nb_layout_of(type).columns == 32) {
        multiply_some(type, sums, w, x, c, NB_SECTIONS, bits, step);
    } else {
        multiply_some(type, sums, w, x, c, NB_SECTIONS / 2, bits, step);
        multiply_some(type, sums + NB_SECTIONS / 2, w + NB_SECTIONS / 2, x, c, NB_SECTIONS / 2, bits, step);
    }
}

INLINE void tiles_bytes(const uint32_t type, v128_t sums[][2], const uint8_t *const *w, const uint8_t *x, constants c) {
    multiply_tiles(type, sums, w, x, c, 0, step_bytes);
}

INLINE void tiles_halves(const uint32_t type, v128_t sums[][2], const uint8_t *const *w, const uint8_t *x,
                         constants c) {
    multiply_tiles(type, sums, w, x, c, 8, step_halves);
}

INLINE void tiles_nibbles(const uint32_t type, v128_t sums[][2], const uint8_t *const *w, const uint8_t *x,
                          constants c) {
    multiply_tiles(type, sums, w, x, c, 4, step_nibbles);
}

INLINE void token_bytes(const nb_matmul_task *task, uint32_t i, uint32_t t, const uint32_t type) {
    multiply_token(task, i, t, type, NB_FORM_Q8, tiles_bytes);
}

INLINE void token_halves(const nb_matmul_task *task, uint32_t i, uint32_t t, const uint32_t type) {
    multiply_token(task, i, t, type, NB_FORM_HALVES, tiles_halves);
}

INLINE void token_nibbles(const nb_matmul_task *task, uint32_t i, uint32_t t, const uint32_t type) {
    multiply_token(task, i, t, type, NB_FORM_Q8, tiles_nibbles);
}

/* Unpacking is the same for 8-bit activations and for halves, so it is compiled once. */
#define UNPACK(weight, TYPE, V, store)                                                                             \
    static __attribute__((noinline)) void unpack_##weight(const nb_matmul_task *task, uint32_t row, uint8_t *to) { \
        unpack_group(task, row, to, NB_TYPE_##TYPE, V, store);                                                     \
    }
#define UNPACK_BYTES(weight, TYPE, form, FORM, isa) UNPACK(weight, TYPE, 8, store_bytes)
#define UNPACK_NIBBLES(weight, TYPE, form, FORM, isa) UNPACK(weight, TYPE, 16, store_nibbles)
NB_MATMUL_HALVES_TYPES(UNPACK_BYTES, q8, Q8, dot)
NB_MATMUL_NIBBLES_TYPES(UNPACK_NIBBLES, q8, Q8, dot)

#define KERNEL(way, V, weight, TYPE, form)                                              \
    void nb_matmul_##weight##_##form##__dot(const nb_matmul_task *task) {               \
        run_tiles(task, NB_TYPE_##TYPE, V, unpack_##weight, tokens_##way, token_##way); \
    }
#define BYTES(weight, TYPE, form, FORM, isa) KERNEL(bytes, 8, weight, TYPE, form)
#define HALVES(weight, TYPE, form, FORM, isa) KERNEL(halves, 8, weight, TYPE, form)
#define NIBBLES(weight, TYPE, form, FORM, isa) KERNEL(nibbles, 16, weight, TYPE, form)
NB_MATMUL_Q8_TYPES(BYTES, q8, Q8, dot)
NB_MATMUL_HALVES_TYPES(HALVES, halves, HALVES, dot)
NB_MATMUL_NIBBLES_TYPES(NIBBLES, q8, Q8, dot)

#endif
