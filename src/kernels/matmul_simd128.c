/* Plain SIMD128: codes are widened to 16 bits, and i32x4.dot_i16x8_s adds their products in pairs. Sums within a scale
 * are exact; a relaxed build adds these up by its own multiply-add. */
#include "matmul_tiles.h"

#ifndef __wasm_relaxed_simd__
#include "matmul_float.h"

void nb_matmul_any_f32__simd128(const nb_matmul_task *task) {
    float_run(task);
}
#endif

/* Codes as 16-bit lanes: out[0] has columns 4j and 4j+2 of the four rows, out[1] 4j+1 and 4j+3; out[2] and out[3] those
 * of 16 columns further. */
INLINE void words_of(const uint32_t type, const uint8_t *codes, const uint32_t j, constants c, v128_t *out) {
    const nb_layout l = nb_layout_of(type);
    if (l.float_codebook) { /* of two bytes each */
        v128_t both = wasm_v128_load(codes + 16 * j);
        for (uint32_t n = 0; n < 2; n++) {
            v128_t code = n ? moved(both, 4, 0, c.half) : wasm_v128_and(both, c.half);
            v128_t low = nb_lookup(c.codebook, code), high = nb_lookup(c.high, code);
            out[2 * n] = wasm_v128_or(wasm_v128_and(low, c.word), wasm_i16x8_shl(high, 8));
            out[2 * n + 1] = wasm_v128_or(wasm_u16x8_shr(low, 8), wasm_v128_andnot(high, c.word));
        }
        return;
    }
    if (l.bits == 4 && !l.codebook) { /* straight from the halves */
        v128_t four = wasm_v128_load(codes + 16 * j);
        out[0] = wasm_v128_and(four, c.word);
        out[1] = wasm_v128_and(wasm_u16x8_shr(four, 8), c.word);
        out[2] = wasm_v128_and(wasm_u16x8_shr(four, 4), c.word);
        out[3] = wasm_u16x8_shr(four, 12);
        return;
    }
    v128_t bytes[2];
    codes_of(type, codes, j, c, bytes);
    for (uint32_t n = 0; n < 2; n++) {
        out[2 * n] = wasm_v128_and(bytes[n], c.word);
        out[2 * n + 1] = wasm_u16x8_shr(bytes[n], 8);
    }
}

INLINE void store_words(const uint32_t type, const uint8_t *codes, const uint32_t j, constants c, uint8_t *to) {
    v128_t q[4];
    words_of(type, codes, j, c, q);
    for (uint32_t n = 0; n < 4; n++)
        wasm_v128_store(to + 16 * (n / 2 * 8 + 2 * j + n % 2), q[n]);
}

INLINE void add_dot(v128_t *sum, v128_t *narrow, const uint32_t fit, const uint32_t k, const uint8_t *q, v128_t a,
                    v128_t b) {
    (void)b;
    (void)narrow, (void)fit;
    v128_t dot = wasm_i32x4_dot_i16x8(wasm_v128_load(q), a);
    *sum = k ? wasm_i32x4_add(*sum, dot) : dot;
    nb_pin(*sum);
}

/* The loops are compiled for each way to divide 32 columns, and for NF4 and FP4, which have no offset; not for each
 * type. */
#define TOKENS(name, parts, offset)                                                               \
    static __attribute__((noinline)) void tokens_##name(const nb_matmul_task *task, uint32_t i) { \
        multiply_tokens(task, i, NB_FORM_Q16, 16, parts, 0, false, offset, add_dot);              \
    }
TOKENS(1, 1, true)
TOKENS(2, 2, true)
TOKENS(numbers, 2, false)

INLINE void tokens(const nb_matmul_task *task, uint32_t i, const uint32_t type) {
    const nb_layout l = nb_layout_of(type);
    if (l.float_codebook)
        tokens_numbers(task, i);
    else
        l.columns == 32 ? tokens_1(task, i) : tokens_2(task, i);
}

/* Adds the products of columns 4j ... 4j+3 of the four tiles, and of those 16 further, with splatted activations: a0 of
 * columns 4j and 4j+2, a1 of 4j+1 and 4j+3; b0 and b1 likewise, 16 further. */
INLINE void multiply_columns(const uint32_t type, v128_t sums[][2], const uint8_t *const *w, const uint32_t j,
                             v128_t a0, v128_t a1, v128_t b0, v128_t b1, constants c) {
    const nb_layout l = nb_layout_of(type);
    const uint32_t second = l.columns == 16;
    for (uint32_t s = 0; s < NB_SECTIONS; s++) {
        v128_t q[4];
        words_of(type, w[s] + l.scales, j, c, q);
        sums[s][0] = wasm_i32x4_add(sums[s][0], wasm_i32x4_dot_i16x8(q[0], a0));
        sums[s][0] = wasm_i32x4_add(sums[s][0], wasm_i32x4_dot_i16x8(q[1], a1));
        sums[s][second] = wasm_i32x4_add(sums[s][second], wasm_i32x4_dot_i16x8(q[2], b0));
        sums[s][second] = wasm_i32x4_add(sums[s][second], wasm_i32x4_dot_i16x8(q[3], b1));
        nb_pin(sums[s][0]);
        if (second)
            nb_pin(sums[s][1]);
    }
}

INLINE void multiply_tiles(const uint32_t type, v128_t sums[][2], const uint8_t *const *w, const uint8_t *x,
                           constants c) {
    for (uint32_t s = 0; s < NB_SECTIONS; s++)
        sums[s][0] = sums[s][1] = wasm_i32x4_splat(0);
    for (uint32_t h = 0; h < 2; h++) {
        v128_t a = wasm_v128_load(x + 16 + 16 * h), z = wasm_v128_load(x + 48 + 16 * h);
        multiply_columns(type, sums, w, 2 * h, nb_lane_splat(a, 0), nb_lane_splat(a, 1), nb_lane_splat(z, 0),
                         nb_lane_splat(z, 1), c);
        multiply_columns(type, sums, w, 2 * h + 1, nb_lane_splat(a, 2), nb_lane_splat(a, 3), nb_lane_splat(z, 2),
                         nb_lane_splat(z, 3), c);
    }
}

INLINE void one_token(const nb_matmul_task *task, uint32_t i, uint32_t t, const uint32_t type) {
    multiply_token(task, i, t, type, NB_FORM_Q16, multiply_tiles);
}

#define WORDS(weight, TYPE, form, FORM, isa) \
    UNPACK(weight, TYPE, 16, store_words)    \
    KERNEL(weight, TYPE, form, isa, 16, tokens, one_token)
NB_SIMD128_TYPES(WORDS, q16, Q16, simd128)
