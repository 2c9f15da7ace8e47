#include "finite.h"

#include "../base/simd.h"
#include "traits.h"
#include "types.h"

/* Floats at any address. They are compared as integers, of which infinities and NaN are the largest: a comparison of
 * floats could lose a NaN. */
static bool floats_are_finite(const uint8_t *p, size_t n) {
    v128_t most = wasm_i32x4_splat(0), magnitude = wasm_i32x4_splat(0x7fffffff);
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        most = wasm_i32x4_max(most, wasm_v128_and(wasm_v128_load(p + 4 * i), magnitude));
    bool finite = !wasm_v128_any_true(wasm_i32x4_ge(most, wasm_i32x4_splat(0x7f800000)));
    for (uint32_t bits; i < n; i++) {
        memcpy(&bits, p + 4 * i, 4);
        finite &= (bits & 0x7fffffff) < 0x7f800000;
    }
    return finite;
}

bool nb_are_finite(const float *x, size_t n) {
    return floats_are_finite((const uint8_t *)x, n);
}

/* Numbers of 16 bits; `exponent` masks the bits of theirs. */
static bool words_are_finite(const uint8_t *p, size_t n, uint32_t exponent) {
    v128_t mask = wasm_i16x8_splat((int16_t)exponent), bad = wasm_i16x8_splat(0);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        bad = wasm_v128_or(bad, wasm_i16x8_eq(wasm_v128_and(wasm_v128_load(p + 2 * i), mask), mask));
    bool finite = !wasm_v128_any_true(bad);
    for (uint16_t word; i < n; i++) {
        memcpy(&word, p + 2 * i, 2);
        finite &= (word & exponent) != exponent;
    }
    return finite;
}

/* `count` binary16 numbers at offset `at` of each block. */
static bool halves_are_finite(const uint8_t *p, size_t bytes, size_t block, size_t at, uint32_t count) {
    bool finite = true;
    for (const uint8_t *end = p + bytes; p < end; p += block)
        for (uint32_t i = 0; i < count; i++) {
            uint16_t half;
            memcpy(&half, p + at + 2 * i, 2);
            finite &= (half & 0x7c00) != 0x7c00;
        }
    return finite;
}

/* A float at the start of each block. */
static bool scales_are_finite(const uint8_t *p, size_t bytes, size_t block) {
    bool finite = true;
    for (const uint8_t *end = p + bytes; p < end; p += block)
        finite &= floats_are_finite(p, 1);
    return finite;
}

/* IQ1_M, whose d is spread over the high four bits of its four words of scales (dequantize_codebooks.c). */
static bool iq1_m_is_finite(const uint8_t *p, size_t bytes, size_t block) {
    bool finite = true;
    for (const uint8_t *end = p + bytes; p < end; p += block) {
        /* the exponent is in the last two words */
        const uint8_t *high = p + offsetof(nb_block_iq1_m, scales) + 1;
        finite &= (high[6] & 0x70) != 0x70 || (high[4] & 0xc0) != 0xc0;
    }
    return finite;
}

static bool doubles_are_finite(const uint8_t *p, size_t bytes) {
    bool finite = true;
    for (const uint8_t *end = p + bytes; p < end; p += 8) { /* within the range of floats, which they become */
        double x;
        memcpy(&x, p, 8);
        finite &= x >= -0x1.fffffep127 && x <= 0x1.fffffep127;
    }
    return finite;
}

/* The first byte of each block, masked, must be below `least`, the smallest value that is not finite. */
static bool bytes_are_finite(const uint8_t *p, size_t bytes, size_t block, uint32_t mask, uint32_t least) {
    bool finite = true;
    for (const uint8_t *end = p + bytes; p < end; p += block)
        finite &= (*p & mask) < least;
    return finite;
}

bool nb_blocks_are_finite(uint32_t type, const uint8_t *p, size_t bytes) {
    size_t block = nb_traits_of(type)->block_bytes;
    switch (type) {
    case NB_TYPE_F32: return floats_are_finite(p, bytes / 4);
    case NB_TYPE_NF4:
    case NB_TYPE_FP4:
    case NB_TYPE_Q8_K: return scales_are_finite(p, bytes, block);
    case NB_TYPE_F64: return doubles_are_finite(p, bytes);
    case NB_TYPE_F16: return words_are_finite(p, bytes / 2, 0x7c00);
    case NB_TYPE_BF16: return words_are_finite(p, bytes / 2, 0x7f80);
    case NB_TYPE_F8_E4M3: return bytes_are_finite(p, bytes, 1, 0x7f, 0x7f);
    case NB_TYPE_F8_E5M2: return bytes_are_finite(p, bytes, 1, 0x7f, 0x7c);
    case NB_TYPE_MXFP4: return bytes_are_finite(p, bytes, block, 0xff, 0xff);
    case NB_TYPE_Q4_0:
    case NB_TYPE_Q5_0:
    case NB_TYPE_Q8_0:
    case NB_TYPE_IQ4_NL:
    case NB_TYPE_IQ4_XS:
    case NB_TYPE_Q1_0:
    case NB_TYPE_Q2_0:
    case NB_TYPE_IQ2_XXS:
    case NB_TYPE_IQ2_XS:
    case NB_TYPE_IQ2_S:
    case NB_TYPE_IQ3_XXS:
    case NB_TYPE_IQ3_S:
    case NB_TYPE_IQ1_S: return halves_are_finite(p, bytes, block, 0, 1);
    case NB_TYPE_Q4_1:
    case NB_TYPE_Q5_1:
    case NB_TYPE_Q8_1:
    case NB_TYPE_Q4_K:
    case NB_TYPE_Q5_K: return halves_are_finite(p, bytes, block, 0, 2);
    case NB_TYPE_Q2_K: return halves_are_finite(p, bytes, block, offsetof(nb_block_q2_k, d), 2);
    case NB_TYPE_Q3_K: return halves_are_finite(p, bytes, block, offsetof(nb_block_q3_k, d), 1);
    case NB_TYPE_Q6_K: return halves_are_finite(p, bytes, block, offsetof(nb_block_q6_k, d), 1);
    case NB_TYPE_TQ1_0: return halves_are_finite(p, bytes, block, offsetof(nb_block_tq1_0, d), 1);
    case NB_TYPE_TQ2_0: return halves_are_finite(p, bytes, block, offsetof(nb_block_tq2_0, d), 1);
    case NB_TYPE_IQ1_M: return iq1_m_is_finite(p, bytes, block);
    case NB_TYPE_I8:
    case NB_TYPE_I16:
    case NB_TYPE_I32:
    case NB_TYPE_I64:
    case NB_TYPE_NVFP4: return true; /* a NaN among its scales is read as 0 (numbers.h) */
    default: __builtin_trap();       /* a new type belongs here */
    }
}
