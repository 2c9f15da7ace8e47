/* Types whose codes stand for the numbers of a codebook. */
#include "../base/numbers.h"
#include "dequantize.h"
#include "iq_grids.inc"

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
    for (; n; n -= NB_BLOCK_NVFP4, out += NB_BLOCK_NVFP4, b++)
        for (int i = 0; i < NB_BLOCK_NVFP4; i++) {
            int code = b->q[i / 16 * 8 + i % 8] >> (i / 8 % 2 * 4) & 15;
            out[i] = nb_half_e4m3_to_f32(b->d[i / 16]) * (float)nb_mxfp4_codebook[code];
        }
}

/* ---- grids: g numbers the groups of eight weights ----------------------------------------------------------- */

static const uint8_t iq2_magnitudes[] = {8, 25, 43}, iq3_xxs_magnitudes[] = {4, 12, 20, 28, 36, 44, 52, 62},
                     iq3_s_magnitudes[] = {1, 3, 5, 7, 9, 11, 13, 15};

static void fill_eight(float *out, uint32_t entry, float d, uint32_t signs) {
    for (uint32_t j = 0; j < 8; j++) {
        float w = d * (float)iq2_magnitudes[entry >> (2 * j) & 3];
        out[j] = signs >> j & 1 ? -w : w;
    }
}

static void fill_four(float *out, uint32_t entry, const uint8_t *magnitudes, float d, uint32_t signs) {
    for (uint32_t j = 0; j < 4; j++) {
        float w = d * (float)magnitudes[entry >> (3 * j) & 7];
        out[j] = signs >> j & 1 ? -w : w;
    }
}

/* Seven signs -> eight. */
static uint32_t completed(uint32_t signs) {
    return signs | (uint32_t)__builtin_parity(signs) << 7;
}

/* Of the 16 weights to which group g belongs: a byte holds two. */
static float iq2_scale(const uint8_t *scales, uint32_t g) {
    return (float)(scales[g / 4] >> (g / 2 % 2 * 4) & 15);
}

void nb_dequantize_iq2_xxs(const void *blocks, float *out, size_t n) {
    const nb_block_iq2_xxs *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, b++)
        for (uint32_t g = 0; g < 32; g++, out += 8) {
            const uint16_t *tile = &b->q[g / 4 * 4];
            uint32_t code = tile[g % 4 / 2] >> (g % 2 * 8) & 255, rest = tile[2] | (uint32_t)tile[3] << 16;
            float d = nb_f16_to_f32(b->d) * (0.5f + (float)(rest >> 28)) * 0.25f;
            fill_eight(out, iq2_xxs_grid[code], d, completed(rest >> (g % 4 * 7) & 127));
        }
}

void nb_dequantize_iq2_xs(const void *blocks, float *out, size_t n) {
    const nb_block_iq2_xs *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, b++)
        for (uint32_t g = 0; g < 32; g++, out += 8) {
            float d = nb_f16_to_f32(b->d) * (0.5f + iq2_scale(b->scales, g)) * 0.25f;
            fill_eight(out, iq2_xs_grid[b->q[g] & 511], d, completed(b->q[g] >> 9));
        }
}

void nb_dequantize_iq2_s(const void *blocks, float *out, size_t n) {
    const nb_block_iq2_s *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, b++)
        for (uint32_t g = 0; g < 32; g++, out += 8) {
            uint32_t code = b->q[g] | (uint32_t)(b->high[g / 4] >> (g % 4 * 2) & 3) << 8;
            float d = nb_f16_to_f32(b->d) * (0.5f + iq2_scale(b->scales, g)) * 0.25f;
            fill_eight(out, iq2_s_grid[code], d, b->signs[g]);
        }
}

void nb_dequantize_iq3_xxs(const void *blocks, float *out, size_t n) {
    const nb_block_iq3_xxs *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, b++)
        for (uint32_t g = 0; g < 32; g++, out += 8) {
            uint32_t rest;
            memcpy(&rest, b->signs + g / 4 * 4, 4);
            float d = nb_f16_to_f32(b->d) * (0.5f + (float)(rest >> 28)) * 0.5f;
            uint32_t signs = completed(rest >> (g % 4 * 7) & 127);
            fill_four(out, iq3_xxs_grid[b->q[2 * g]], iq3_xxs_magnitudes, d, signs);
            fill_four(out + 4, iq3_xxs_grid[b->q[2 * g + 1]], iq3_xxs_magnitudes, d, signs >> 4);
        }
}

void nb_dequantize_iq3_s(const void *blocks, float *out, size_t n) {
    const nb_block_iq3_s *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, b++)
        for (uint32_t k = 0; k < 64; k++, out += 4) { /* fours */
            uint32_t code = b->q[k] | (uint32_t)(b->high[k / 8] >> (k % 8) & 1) << 8;
            float d = nb_f16_to_f32(b->d) * (float)(1 + 2 * (b->scales[k / 16] >> (k / 8 % 2 * 4) & 15));
            fill_four(out, iq3_s_grid[code], iq3_s_magnitudes, d, b->signs[k / 2] >> (k % 2 * 4));
        }
}

static void fill_ternary(float *out, uint32_t entry, float d, float shift) {
    for (uint32_t j = 0; j < 8; j++)
        out[j] = d * ((float)(entry >> (2 * j) & 3) - 1 + shift);
}

void nb_dequantize_iq1_s(const void *blocks, float *out, size_t n) {
    const nb_block_iq1_s *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, b++)
        for (uint32_t g = 0; g < 32; g++, out += 8) {
            uint32_t high = b->high[g / 4], code = b->q[g] | (high >> (g % 4 * 3) & 7) << 8;
            float d = nb_f16_to_f32(b->d) * (float)(2 * (high >> 12 & 7) + 1);
            fill_ternary(out, iq1_grid[code], d, high >> 15 ? -0.125f : 0.125f);
        }
}

/* The scales of 3 bits lie in four words, four to each; the four bits above them are a quarter of d. */
void nb_dequantize_iq1_m(const void *blocks, float *out, size_t n) {
    const nb_block_iq1_m *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, b++) {
        const uint16_t *s = b->scales;
        float d = nb_f16_to_f32((uint16_t)(s[0] >> 12 | (s[1] >> 8 & 0xf0) | (s[2] >> 4 & 0xf00) | (s[3] & 0xf000)));
        for (uint32_t g = 0; g < 32; g++, out += 8) {
            uint32_t high = b->high[g / 2] >> (g % 2 * 4), code = b->q[g] | (high & 7) << 8;
            float of = d * (float)(2 * (s[g / 8] >> (g / 2 % 4 * 3) & 7) + 1);
            fill_ternary(out, iq1_grid[code], of, high & 8 ? -0.125f : 0.125f);
        }
    }
}

#pragma clang attribute pop
