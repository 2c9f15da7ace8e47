/* Types whose codes stand for the numbers of a codebook. */
#include "../base/numbers.h"
#include "dequantize.h"

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

#pragma clang attribute pop
