#include "dequantize.h"

#include "../base/numbers.h"
#include "../base/simd.h"

#pragma STDC FP_CONTRACT OFF /* d q + m rounds twice, on every machine */

void nb_dequantize_f32(const void *blocks, float *out, size_t n) {
    memcpy(out, blocks, n * sizeof(float));
}

void nb_dequantize_f16(const void *blocks, float *out, size_t n) {
    const uint16_t *in = blocks;
    size_t i = 0;
    v128_t sign = nb_held_constant(NB_F16_MASK), unit = nb_held_constant(NB_F16_UNIT);
    v128_t largest = nb_held_constant(0x0f800000), infinity = nb_held_constant(0x7f800000);
    for (; i + 4 <= n; i += 4) { /* as nb_load_f16x4_with, but infinity and NaN keep the largest exponent */
        v128_t bits = wasm_i32x4_shl(wasm_i32x4_load16x4(in + i), 13);
        v128_t not_finite = wasm_i32x4_eq(wasm_v128_and(bits, largest), largest);
        v128_t value = wasm_f32x4_mul(wasm_v128_and(bits, sign), unit);
        wasm_v128_store(out + i, wasm_v128_or(value, wasm_v128_and(not_finite, wasm_v128_or(bits, infinity))));
    }
    for (; i < n; i++)
        out[i] = nb_f16_to_f32(in[i]);
}

void nb_dequantize_bf16(const void *blocks, float *out, size_t n) {
    const uint16_t *in = blocks;
    for (size_t i = 0; i < n; i++)
        out[i] = nb_bf16_to_f32(in[i]);
}

void nb_dequantize_f8_e4m3(const void *blocks, float *out, size_t n) {
    const uint8_t *in = blocks;
    for (size_t i = 0; i < n; i++)
        out[i] = nb_e4m3_to_f32(in[i]);
}

void nb_dequantize_f8_e5m2(const void *blocks, float *out, size_t n) {
    const uint8_t *in = blocks;
    for (size_t i = 0; i < n; i++)
        out[i] = nb_e5m2_to_f32(in[i]);
}

/* The other types are dequantized at loading, or if they have no kernel: vectorizing them is not worth 10 KB. */
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)

/* ---- numbers ------------------------------------------------------------------------------------------------ */

#define CONVERT(name, type)                                               \
    void nb_dequantize_##name(const void *blocks, float *out, size_t n) { \
        const type *in = blocks;                                          \
        for (size_t i = 0; i < n; i++)                                    \
            out[i] = (float)in[i];                                        \
    }
CONVERT(f64, double)
CONVERT(i8, int8_t)
CONVERT(i16, int16_t)
CONVERT(i32, int32_t)
CONVERT(i64, int64_t)

/* ---- 32 weights a block ------------------------------------------------------------------------------------- */

void nb_dequantize_q4_0(const void *blocks, float *out, size_t n) {
    const nb_block_q4_0 *b = blocks;
    for (; n; n -= NB_BLOCK, out += NB_BLOCK, b++) {
        float d = nb_f16_to_f32(b->d);
        for (int i = 0; i < 16; i++) {
            out[i] = (float)((b->q[i] & 15) - 8) * d;
            out[i + 16] = (float)((b->q[i] >> 4) - 8) * d;
        }
    }
}

void nb_dequantize_q4_1(const void *blocks, float *out, size_t n) {
    const nb_block_q4_1 *b = blocks;
    for (; n; n -= NB_BLOCK, out += NB_BLOCK, b++) {
        float d = nb_f16_to_f32(b->d), m = nb_f16_to_f32(b->m);
        for (int i = 0; i < 16; i++) {
            out[i] = (float)(b->q[i] & 15) * d + m;
            out[i + 16] = (float)(b->q[i] >> 4) * d + m;
        }
    }
}

static uint32_t fifth_bit(const uint8_t *high, int i) {
    return (uint32_t)(high[i / 8] >> (i % 8) & 1) << 4;
}

void nb_dequantize_q5_0(const void *blocks, float *out, size_t n) {
    const nb_block_q5_0 *b = blocks;
    for (; n; n -= NB_BLOCK, out += NB_BLOCK, b++) {
        float d = nb_f16_to_f32(b->d);
        for (int i = 0; i < 16; i++) {
            int32_t q = (int32_t)((b->q[i] & 15u) | fifth_bit(b->high, i));
            int32_t p = (int32_t)((uint32_t)(b->q[i] >> 4) | fifth_bit(b->high, i + 16));
            out[i] = (float)(q - 16) * d;
            out[i + 16] = (float)(p - 16) * d;
        }
    }
}

void nb_dequantize_q5_1(const void *blocks, float *out, size_t n) {
    const nb_block_q5_1 *b = blocks;
    for (; n; n -= NB_BLOCK, out += NB_BLOCK, b++) {
        float d = nb_f16_to_f32(b->d), m = nb_f16_to_f32(b->m);
        for (int i = 0; i < 16; i++) {
            uint32_t q = (b->q[i] & 15u) | fifth_bit(b->high, i);
            uint32_t p = (uint32_t)(b->q[i] >> 4) | fifth_bit(b->high, i + 16);
            out[i] = (float)q * d + m;
            out[i + 16] = (float)p * d + m;
        }
    }
}

void nb_dequantize_q8_0(const void *blocks, float *out, size_t n) {
    const nb_block_q8_0 *b = blocks;
    for (; n; n -= NB_BLOCK, out += NB_BLOCK, b++) {
        float d = nb_f16_to_f32(b->d);
        for (int i = 0; i < NB_BLOCK; i++)
            out[i] = (float)b->q[i] * d;
    }
}

void nb_dequantize_q8_1(const void *blocks, float *out, size_t n) {
    const nb_block_q8_1 *b = blocks;
    for (; n; n -= NB_BLOCK, out += NB_BLOCK, b++) {
        float d = nb_f16_to_f32(b->d);
        for (int i = 0; i < NB_BLOCK; i++)
            out[i] = (float)b->q[i] * d;
    }
}

/* ---- 256 weights a block: types.h explains i, h, r and l ---------------------------------------------------- */

void nb_dequantize_q2_k(const void *blocks, float *out, size_t n) {
    const nb_block_q2_k *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, out += NB_SUPERBLOCK, b++) {
        float d = nb_f16_to_f32(b->d), m = nb_f16_to_f32(b->m);
        for (int i = 0; i < NB_SUPERBLOCK; i++) {
            int h = i / 128, r = i / 32 % 4, l = i % 32, q = b->q[32 * h + l] >> (2 * r) & 3;
            float s = d * (float)(b->scales[i / 16] & 15), z = m * (float)(b->scales[i / 16] >> 4);
            out[i] = s * (float)q - z;
        }
    }
}

void nb_dequantize_q3_k(const void *blocks, float *out, size_t n) {
    const nb_block_q3_k *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, out += NB_SUPERBLOCK, b++) {
        float d = nb_f16_to_f32(b->d);
        for (int i = 0; i < NB_SUPERBLOCK; i++) {
            int h = i / 128, r = i / 32 % 4, l = i % 32, q = b->q[32 * h + l] >> (2 * r) & 3;
            int is_high = b->high[l] >> (4 * h + r) & 1;
            float s = d * (float)nb_q3_k_scale(b->scales, (uint32_t)i / 16);
            out[i] = s * (float)(is_high ? q : q - 4);
        }
    }
}

void nb_dequantize_q4_k(const void *blocks, float *out, size_t n) {
    const nb_block_q4_k *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, out += NB_SUPERBLOCK, b++) {
        float d = nb_f16_to_f32(b->d), m = nb_f16_to_f32(b->m);
        for (int i = 0; i < NB_SUPERBLOCK; i++) {
            int q = b->q[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
            float s = d * (float)nb_q4_k_scale(b->scales, (uint32_t)i / 32);
            float z = m * (float)nb_q4_k_minimum(b->scales, (uint32_t)i / 32);
            out[i] = s * (float)q - z;
        }
    }
}

void nb_dequantize_q5_k(const void *blocks, float *out, size_t n) {
    const nb_block_q5_k *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, out += NB_SUPERBLOCK, b++) {
        float d = nb_f16_to_f32(b->d), m = nb_f16_to_f32(b->m);
        for (int i = 0; i < NB_SUPERBLOCK; i++) {
            int low = b->q[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15, high = b->high[i % 32] >> (i / 32) & 1;
            float s = d * (float)nb_q4_k_scale(b->scales, (uint32_t)i / 32);
            float z = m * (float)nb_q4_k_minimum(b->scales, (uint32_t)i / 32);
            out[i] = s * (float)(low | high << 4) - z;
        }
    }
}

void nb_dequantize_q6_k(const void *blocks, float *out, size_t n) {
    const nb_block_q6_k *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, out += NB_SUPERBLOCK, b++) {
        float d = nb_f16_to_f32(b->d);
        for (int i = 0; i < NB_SUPERBLOCK; i++) {
            int h = i / 128, r = i / 32 % 4, l = i % 32;
            int low = b->q[64 * h + 32 * (r % 2) + l] >> (r / 2 * 4) & 15, high = b->high[32 * h + l] >> (2 * r) & 3;
            int group = i / 16;
            out[i] = d * (float)b->scales[group] * (float)((low | high << 4) - 32);
        }
    }
}

void nb_dequantize_q8_k(const void *blocks, float *out, size_t n) {
    const nb_block_q8_k *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, out += NB_SUPERBLOCK, b++)
        for (int i = 0; i < NB_SUPERBLOCK; i++)
            out[i] = b->d * (float)b->q[i];
}

/* ---- one and one and a half bits ---------------------------------------------------------------------------- */

void nb_dequantize_q1_0(const void *blocks, float *out, size_t n) {
    const nb_block_q1_0 *b = blocks;
    for (; n; n -= NB_BLOCK_Q1_0, out += NB_BLOCK_Q1_0, b++) {
        float d = nb_f16_to_f32(b->d);
        for (int i = 0; i < NB_BLOCK_Q1_0; i++)
            out[i] = b->q[i / 8] >> (i % 8) & 1 ? d : -d;
    }
}

void nb_dequantize_q2_0(const void *blocks, float *out, size_t n) {
    const nb_block_q2_0 *b = blocks;
    for (; n; n -= NB_BLOCK_Q2_0, out += NB_BLOCK_Q2_0, b++) {
        float d = nb_f16_to_f32(b->d);
        for (int i = 0; i < NB_BLOCK_Q2_0; i++)
            out[i] = (float)((b->q[i / 4] >> (i % 4 * 2) & 3) - 1) * d;
    }
}

void nb_dequantize_tq1_0(const void *blocks, float *out, size_t n) {
    static const uint8_t powers[] = {1, 3, 9, 27, 81};
    const nb_block_tq1_0 *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, out += NB_SUPERBLOCK, b++) {
        float d = nb_f16_to_f32(b->d);
        for (int i = 0; i < NB_SUPERBLOCK; i++) {
            int k = i < 160 ? i : i < 240 ? i - 160 : i - 240, run = i < 160 ? 32 : i < 240 ? 16 : 4;
            uint8_t byte = i < 160 ? b->q[k % run] : i < 240 ? b->q[32 + k % run] : b->high[k % run];
            uint8_t fraction = (uint8_t)(byte * powers[k / run]); /* the digits from this one on, times 256 */
            out[i] = d * (float)((fraction * 3 >> 8) - 1);
        }
    }
}

void nb_dequantize_tq2_0(const void *blocks, float *out, size_t n) {
    const nb_block_tq2_0 *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, out += NB_SUPERBLOCK, b++) {
        float d = nb_f16_to_f32(b->d);
        for (int i = 0; i < NB_SUPERBLOCK; i++)
            out[i] = d * (float)((b->q[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3) - 1);
    }
}

#pragma clang attribute pop
