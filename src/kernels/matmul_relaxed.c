/* Relaxed SIMD: 8-bit activations times codes of up to 6 bits by i16x8.relaxed_dot_i8x16_i7x16_s. The codes are the
 * 7-bit operand, so every engine gives the same sums. */
#include "../base/simd.h"

#ifdef NB_RELAXED

#include "matmul_float.h"
#include "matmul_tiles.h"

void nb_matmul_any_f32__relaxed(const nb_matmul_task *task) {
    float_run(task);
}

#if defined(NB_NATIVE) || !defined(NB_DOT)

/* How many dot products a 16-bit lane can sum up. Each is two products of at most (2^bits - 1) * 127, and the sum must
 * stay below 32768. A tile has eight for each lane: four of columns 0 ... 15, four of columns 16 ... 31. */
INLINE uint32_t dots_that_fit(const uint32_t bits) {
    return bits <= 4 ? 8 : bits == 5 ? 4 : 2;
}

/* A running sum: 16-bit lanes are widened before they might overflow, and where the columns of their scale end. */
typedef struct running {
    v128_t narrow[2], wide[2]; /* [0]: columns 0 ... 15, [1]: 16 ... 31; or [0]: all (add_dots) */
} running;

/* Adds the dot products of columns 4j ... 4j+3 and 4j+16 ... 4j+19 of a tile, j = 0 ... 3. q: their codes (codes_of).
 * a, b: their activations, splatted. The two halves of a tile have 32-bit sums of their own if they have scales of
 * their own (apart). They have 16-bit sums of their own then, and if one lane cannot hold all eight dot products
 * (split). */
INLINE void add_dots(const uint32_t type, running *r, const uint32_t j, const v128_t *q, v128_t a, v128_t b) {
    const uint32_t fit = dots_that_fit(nb_layout_of(type).bits);
    const bool apart = nb_layout_of(type).columns == 16, split = apart || fit < 8,
               first = fit >= 4 ? j == 0 : j % fit == 0;
    v128_t s = wasm_i16x8_relaxed_dot_i8x16_i7x16(a, q[0]), z = wasm_i16x8_relaxed_dot_i8x16_i7x16(b, q[1]);
    r->narrow[0] = first ? s : wasm_i16x8_add(r->narrow[0], s);
    if (split)
        r->narrow[1] = first ? z : wasm_i16x8_add(r->narrow[1], z);
    else
        r->narrow[0] = wasm_i16x8_add(r->narrow[0], z);
    if (fit >= 4 ? j < 3 : j % fit < fit - 1)
        return;
    for (uint32_t n = 0; n < (split ? 2 : 1); n++) {
        v128_t wide = wasm_i32x4_extadd_pairwise_i16x8(r->narrow[n]);
        v128_t *to = &r->wide[apart ? n : 0];
        *to = (fit >= 4 || j < fit) && (apart || !n) ? wide : wasm_i32x4_add(*to, wide);
    }
}

INLINE void add_dot(v128_t *sum, v128_t *narrow, const uint32_t fit, const uint32_t k, const uint8_t *q, v128_t a,
                    v128_t b) {
    (void)b;
    v128_t dot = wasm_i16x8_relaxed_dot_i8x16_i7x16(a, wasm_v128_load(q));
    *narrow = k % fit ? wasm_i16x8_add(*narrow, dot) : dot;
    nb_pin(*narrow);
    if (k % fit < fit - 1)
        return;
    v128_t wide = wasm_i32x4_extadd_pairwise_i16x8(*narrow);
    *sum = k < fit ? wide : wasm_i32x4_add(*sum, wide);
}

/* The loops are compiled for each way to divide 32 columns and to sum up, not for each type. */
#define TOKENS(parts, fit)                                                                                 \
    static __attribute__((noinline)) void tokens_##parts##_##fit(const nb_matmul_task *task, uint32_t i) { \
        multiply_tokens(task, i, NB_FORM_Q8, 8, parts, fit, false, true, add_dot);                         \
    }
TOKENS(1, 8)
TOKENS(1, 4)
TOKENS(2, 4)
TOKENS(2, 2)

INLINE void tokens(const nb_matmul_task *task, uint32_t i, const uint32_t type) {
    const bool apart = nb_layout_of(type).columns == 16;
    const uint32_t fit = dots_that_fit(nb_layout_of(type).bits);
    if (apart)
        fit >= 4 ? tokens_2_4(task, i) : tokens_2_2(task, i);
    else
        fit == 8 ? tokens_1_8(task, i) : tokens_1_4(task, i);
}

/* For each of the four tiles: adds columns 4j ... 4j+3 times a, and columns 4j+16 ... 4j+19 times b. a, b: splatted
 * activations. */
INLINE void multiply_columns(const uint32_t type, running *r, const uint8_t *const *w, const uint32_t j, v128_t a,
                             v128_t b, constants c) {
    for (uint32_t s = 0; s < NB_SECTIONS; s++) {
        v128_t q[2];
        codes_of(type, w[s] + nb_layout_of(type).scales, j, c, q);
        add_dots(type, &r[s], j, q, a, b);
        nb_pin(r[s].narrow[0]);
    }
}

INLINE void multiply_tiles(const uint32_t type, v128_t sums[][2], const uint8_t *const *w, const uint8_t *x,
                           constants c) {
    v128_t a = wasm_v128_load(x + 16), z = wasm_v128_load(x + 32);
    running r[NB_SECTIONS];
    multiply_columns(type, r, w, 0, nb_lane_splat(a, 0), nb_lane_splat(z, 0), c);
    multiply_columns(type, r, w, 1, nb_lane_splat(a, 1), nb_lane_splat(z, 1), c);
    multiply_columns(type, r, w, 2, nb_lane_splat(a, 2), nb_lane_splat(z, 2), c);
    multiply_columns(type, r, w, 3, nb_lane_splat(a, 3), nb_lane_splat(z, 3), c);
    for (uint32_t s = 0; s < NB_SECTIONS; s++) {
        sums[s][0] = r[s].wide[0];
        sums[s][1] = r[s].wide[1];
    }
}

INLINE void one_token(const nb_matmul_task *task, uint32_t i, uint32_t t, const uint32_t type) {
    multiply_token(task, i, t, type, NB_FORM_Q8, multiply_tiles);
}

#define BYTES(weight, TYPE, form, FORM, isa) \
    UNPACK(weight, TYPE, 8, store_bytes)     \
    KERNEL(weight, TYPE, form, isa, 8, tokens, one_token)
NB_RELAXED_TYPES(BYTES, q8, Q8, relaxed)

#endif /* of the kernels with 8-bit activations */
#endif
