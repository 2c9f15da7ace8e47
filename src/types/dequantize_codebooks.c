/* Types whose codes are indices into a codebook. */
#include "../base/numbers.h"
#include "dequantize.h"
#include "iq_grids.inc"
#include "../base/simd.h"

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((minsize)), apply_to = function) /* as in dequantize.c */

/* 32 weights of 4-bit codes: the low halves first, then the high ones. */
static void fill_from_halves(float *out, const uint8_t *q, const int8_t *codebook, float d) {
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)codebook[q[i] & 15];
        out[i + 16] = d * (float)codebook[q[i] >> 4];
    }
}

void nb_dequantize_iq4_nl(const void *blocks, float *out, size_t n) {
    const nb_block_iq4_nl *b = blocks;
    for (; n; n -= NB_BLOCK, out += NB_BLOCK, b++)
        fill_from_halves(out, b->q, nb_iq4_codebook, nb_f16_to_f32(b->d));
}

void nb_dequantize_mxfp4(const void *blocks, float *out, size_t n) {
    const nb_block_mxfp4 *b = blocks;
    for (; n; n -= NB_BLOCK, out += NB_BLOCK, b++)
        fill_from_halves(out, b->q, nb_mxfp4_codebook, nb_half_e8m0_to_f32(b->e));
}

void nb_dequantize_iq4_xs(const void *blocks, float *out, size_t n) {
    const nb_block_iq4_xs *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, b++)
        for (uint32_t g = 0; g < 8; g++, out += 32)
            fill_from_halves(out, b->q + 16 * g, nb_iq4_codebook, nb_f16_to_f32(b->d) * (float)nb_iq4_xs_scale(b, g));
}

void nb_dequantize_nvfp4(const void *blocks, float *out, size_t n) {
    const nb_block_nvfp4 *b = blocks;
    for (; n; n -= NB_BLOCK_NVFP4, b++)
        for (int run = 0; run < 4; run++, out += 16) {
            float d = nb_half_e4m3_to_f32(b->d[run]);
            for (int i = 0; i < 8; i++) {
                out[i] = d * (float)nb_mxfp4_codebook[b->q[8 * run + i] & 15];
                out[i + 8] = d * (float)nb_mxfp4_codebook[b->q[8 * run + i] >> 4];
            }
        }
}

static void fill_from_pairs(float *out, const nb_block_nf4 *b, const float *codebook, size_t n) {
    for (; n; n -= NB_BLOCK_NF4, b++)
        for (int i = 0; i < 32; i++) {
            *out++ = codebook[b->q[i] >> 4] * b->d;
            *out++ = codebook[b->q[i] & 15] * b->d;
        }
}

void nb_dequantize_nf4(const void *blocks, float *out, size_t n) {
    fill_from_pairs(out, blocks, nb_nf4_codebook, n);
}

void nb_dequantize_fp4(const void *blocks, float *out, size_t n) {
    fill_from_pairs(out, blocks, nb_fp4_codebook, n);
}

/* ---- grids: g is the index of eight weights in a block ------------------------------------------------------ */

/* An entry of eight weights -> the weights' indices, in 16-bit lanes: a product moves each to the top of its lane, a
 * shift moves it down. */
static v128_t indices_of(uint32_t entry) {
    v128_t places = wasm_i16x8_make(1 << 14, 1 << 12, 1 << 10, 1 << 8, 1 << 6, 1 << 4, 1 << 2, 1);
    return wasm_u16x8_shr(wasm_i16x8_mul(wasm_i16x8_splat((int16_t)entry), places), 14);
}

/* The same of two entries of four. */
static v128_t indices_of_two(uint32_t first, uint32_t second) {
    v128_t places = wasm_i16x8_make(1 << 13, 1 << 10, 1 << 7, 1 << 4, 1 << 13, 1 << 10, 1 << 7, 1 << 4);
    v128_t a = wasm_i16x8_splat((int16_t)first), b = wasm_i16x8_splat((int16_t)second);
    return wasm_u16x8_shr(wasm_i16x8_mul(wasm_i64x2_shuffle(a, b, 0, 2), places), 13);
}

static void store_eight(float *out, v128_t w, v128_t shift, float d) {
    v128_t ds = wasm_f32x4_splat(d), low = wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(w));
    v128_t high = wasm_f32x4_convert_i32x4(wasm_i32x4_extend_high_i16x8(w));
    wasm_v128_store(out, wasm_f32x4_mul(wasm_f32x4_add(low, shift), ds));
    wasm_v128_store(out + 4, wasm_f32x4_mul(wasm_f32x4_add(high, shift), ds));
}

/* The magnitudes are in bytes 1 and up, so that the upper bytes of the lanes, which are 0, look up the 0 in byte 0. */
static void fill_eight(float *out, v128_t indices, v128_t magnitudes, float d, uint32_t signs) {
    v128_t w = wasm_i8x16_swizzle(magnitudes, wasm_i16x8_add(indices, wasm_i16x8_splat(1)));
    v128_t bits = wasm_i16x8_make(1, 2, 4, 8, 16, 32, 64, 128);
    v128_t minus = wasm_i16x8_eq(wasm_v128_and(wasm_i16x8_splat((int16_t)signs), bits), bits);
    store_eight(out, wasm_i16x8_sub(wasm_v128_xor(w, minus), minus), wasm_f32x4_splat(0), d);
}

#define IQ2_MAGNITUDES wasm_i8x16_make(0, 8, 25, 43, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
#define IQ3_XXS_MAGNITUDES wasm_i8x16_make(0, 4, 12, 20, 28, 36, 44, 52, 62, 0, 0, 0, 0, 0, 0, 0)
#define IQ3_S_MAGNITUDES wasm_i8x16_make(0, 1, 3, 5, 7, 9, 11, 13, 15, 0, 0, 0, 0, 0, 0, 0)

const uint16_t *nb_iq_grid(uint32_t type, int *entries) {
    static const struct {
        uint32_t type;
        int entries;
        const uint16_t *grid;
    } grids[] = {
        {NB_TYPE_IQ2_XXS, 256, iq2_xxs_grid}, {NB_TYPE_IQ2_XS, 512, iq2_xs_grid}, {NB_TYPE_IQ2_S, 1024, iq2_s_grid},
        {NB_TYPE_IQ3_XXS, 256, iq3_xxs_grid}, {NB_TYPE_IQ3_S, 512, iq3_s_grid},   {NB_TYPE_IQ1_S, 2048, iq1_grid},
        {NB_TYPE_IQ1_M, 2048, iq1_grid},
    };
    for (size_t i = 0; i < sizeof grids / sizeof *grids; i++)
        if (grids[i].type == type) {
            *entries = grids[i].entries;
            return grids[i].grid;
        }
    *entries = 0;
    return NULL;
}

/* Seven sign bits -> eight: the number of minus signs is even. */
static uint32_t completed(uint32_t signs) {
    return signs | (uint32_t)__builtin_parity(signs) << 7;
}

/* Each of IQ1_M's four words of scales has four scales of 3 bits, and above them four of the 16 bits of d. */
static uint32_t iq1_m_d(const uint16_t *s) {
    return s[0] >> 12 | (s[1] >> 8 & 0xf0u) | (s[2] >> 4 & 0xf00u) | (s[3] & 0xf000u);
}

float nb_grid_d(uint32_t type, const void *block) {
    switch (type) {
    case NB_TYPE_IQ1_S: return nb_f16_to_f32(((const nb_block_iq1_s *)block)->d) / 8;
    case NB_TYPE_IQ1_M: return nb_f16_to_f32((uint16_t)iq1_m_d(((const nb_block_iq1_m *)block)->scales)) / 8;
    case NB_TYPE_IQ2_XXS: return nb_f16_to_f32(((const nb_block_iq2_xxs *)block)->d) / 8;
    case NB_TYPE_IQ2_XS: return nb_f16_to_f32(((const nb_block_iq2_xs *)block)->d) / 8;
    case NB_TYPE_IQ2_S: return nb_f16_to_f32(((const nb_block_iq2_s *)block)->d) / 8;
    case NB_TYPE_IQ3_XXS: return nb_f16_to_f32(((const nb_block_iq3_xxs *)block)->d) / 4;
    case NB_TYPE_IQ3_S: return nb_f16_to_f32(((const nb_block_iq3_s *)block)->d);
    case NB_TYPE_TQ1_0: return nb_f16_to_f32(((const nb_block_tq1_0 *)block)->d);
    default: __builtin_trap(); /* a new type with a grid belongs here */
    }
}

/* The n-th four bits of these bytes; a byte's low half comes first. */
static uint32_t half_of(const uint8_t *bytes, uint32_t n) {
    return bytes[n / 2] >> (n % 2 * 4) & 15;
}

uint32_t nb_grid_scale(uint32_t type, const void *block, uint32_t n) {
    switch (type) {
    case NB_TYPE_IQ1_S: return 2u * (((const nb_block_iq1_s *)block)->high[n / 2] >> 12 & 7) + 1;
    case NB_TYPE_IQ1_M: return 2u * (((const nb_block_iq1_m *)block)->scales[n / 4] >> (n % 4 * 3) & 7) + 1;
    case NB_TYPE_IQ2_XXS: return 2u * (((const nb_block_iq2_xxs *)block)->q[n / 2 * 4 + 3] >> 12) + 1;
    case NB_TYPE_IQ2_XS: return 2 * half_of(((const nb_block_iq2_xs *)block)->scales, n) + 1;
    case NB_TYPE_IQ2_S: return 2 * half_of(((const nb_block_iq2_s *)block)->scales, n) + 1;
    case NB_TYPE_IQ3_XXS: return 2u * (((const nb_block_iq3_xxs *)block)->signs[n / 2 * 4 + 3] >> 4) + 1;
    case NB_TYPE_IQ3_S: return 2 * half_of(((const nb_block_iq3_s *)block)->scales, n / 2) + 1;
    default: return 1; /* TQ1_0 */
    }
}

/* What the numbers of eight weights are multiplied by. */
static float scale_of(uint32_t type, const void *block, uint32_t g) {
    return nb_grid_d(type, block) * (float)nb_grid_scale(type, block, g / 2);
}

void nb_dequantize_iq2_xxs(const void *blocks, float *out, size_t n) {
    const nb_block_iq2_xxs *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, b++)
        for (uint32_t g = 0; g < 32; g++, out += 8) {
            const uint16_t *words = &b->q[g / 4 * 4];
            uint32_t code = words[g % 4 / 2] >> (g % 2 * 8) & 255, rest = words[2] | (uint32_t)words[3] << 16;
            fill_eight(out, indices_of(iq2_xxs_grid[code]), IQ2_MAGNITUDES, scale_of(NB_TYPE_IQ2_XXS, b, g),
                       completed(rest >> (g % 4 * 7) & 127));
        }
}

void nb_dequantize_iq2_xs(const void *blocks, float *out, size_t n) {
    const nb_block_iq2_xs *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, b++)
        for (uint32_t g = 0; g < 32; g++, out += 8)
            fill_eight(out, indices_of(iq2_xs_grid[b->q[g] & 511]), IQ2_MAGNITUDES, scale_of(NB_TYPE_IQ2_XS, b, g),
                       completed(b->q[g] >> 9));
}

void nb_dequantize_iq2_s(const void *blocks, float *out, size_t n) {
    const nb_block_iq2_s *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, b++)
        for (uint32_t g = 0; g < 32; g++, out += 8) {
            uint32_t code = b->q[g] | (uint32_t)(b->high[g / 4] >> (g % 4 * 2) & 3) << 8;
            fill_eight(out, indices_of(iq2_s_grid[code]), IQ2_MAGNITUDES, scale_of(NB_TYPE_IQ2_S, b, g), b->signs[g]);
        }
}

void nb_dequantize_iq3_xxs(const void *blocks, float *out, size_t n) {
    const nb_block_iq3_xxs *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, b++)
        for (uint32_t g = 0; g < 32; g++, out += 8) {
            uint32_t rest;
            memcpy(&rest, b->signs + g / 4 * 4, 4);
            fill_eight(out, indices_of_two(iq3_xxs_grid[b->q[2 * g]], iq3_xxs_grid[b->q[2 * g + 1]]),
                       IQ3_XXS_MAGNITUDES, scale_of(NB_TYPE_IQ3_XXS, b, g), completed(rest >> (g % 4 * 7) & 127));
        }
}

void nb_dequantize_iq3_s(const void *blocks, float *out, size_t n) {
    const nb_block_iq3_s *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, b++)
        for (uint32_t g = 0; g < 32; g++, out += 8) {
            uint32_t high = (uint32_t)b->high[g / 4] >> (g % 4 * 2);
            uint32_t first = b->q[2 * g] | (high & 1) << 8, second = b->q[2 * g + 1] | (high & 2) << 7;
            fill_eight(out, indices_of_two(iq3_s_grid[first], iq3_s_grid[second]), IQ3_S_MAGNITUDES,
                       scale_of(NB_TYPE_IQ3_S, b, g), b->signs[g]);
        }
}

/* Eight weights 8 d (q - 1/8) if `less`, else 8 d (q + 1/8), for q = -1, 0, 1. */
static void fill_ternary(float *out, uint32_t entry, float d, bool less) {
    v128_t w = wasm_i16x8_sub(indices_of(entry), wasm_i16x8_splat(1));
    store_eight(out, w, wasm_f32x4_splat(less ? -0.125f : 0.125f), 8 * d);
}

void nb_dequantize_iq1_s(const void *blocks, float *out, size_t n) {
    const nb_block_iq1_s *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, b++)
        for (uint32_t g = 0; g < 32; g++, out += 8) {
            uint32_t high = b->high[g / 4], code = b->q[g] | (high >> (g % 4 * 3) & 7) << 8;
            fill_ternary(out, iq1_grid[code], scale_of(NB_TYPE_IQ1_S, b, g), high >> 15);
        }
}

void nb_dequantize_iq1_m(const void *blocks, float *out, size_t n) {
    const nb_block_iq1_m *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, b++)
        for (uint32_t g = 0; g < 32; g++, out += 8) {
            uint32_t high = b->high[g / 2] >> (g % 2 * 4), code = b->q[g] | (high & 7) << 8;
            fill_ternary(out, iq1_grid[code], scale_of(NB_TYPE_IQ1_M, b, g), high & 8);
        }
}

#pragma clang attribute pop
