/* Encodes rows as MXFP4 (OCP Microscaling Formats 1.0) and NVFP4: E2M1 numbers times a scale, which is a float of eight
 * bits. Roundings are those of ggml-org/ggml, src/ggml-quants.c. The wider search tries neighbouring scales. */
#include "quantize.h"
#include "quantize_search.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

/* The code whose number times d is nearest to x; of several, the first. */
static uint32_t nearest_code(float x, float d) {
    uint32_t code = 0;
    float least = __builtin_fabsf(x);
    for (uint32_t i = 1; i < 16; i++) {
        float off = __builtin_fabsf((float)nb_mxfp4_codebook[i] * d - x);
        if (off < least) {
            least = off;
            code = i;
        }
    }
    return code;
}

/* 2 n weights -> n bytes. */
static void pack(const float *x, float d, uint8_t *q, int n) {
    for (int i = 0; i < n; i++)
        q[i] = (uint8_t)(nearest_code(x[i], d) | nearest_code(x[i + n], d) << 4);
}

/* The exponent of the scale 2^(floor(log2(most)) - 2), section 6.3 of the OCP paper, with E8M0's bias of 127. (The
 * largest power of two in E2M1 is 2^2.) Exponents that are too small become 0. */
static uint8_t e8m0_scale(float most) {
    float e = most > 0 && most <= 0x1.fffffep127f ? floorf(log2f(most)) - 2 + 127 : 0;
    return e > 0 ? (uint8_t)e : 0;
}

typedef float scale_of(uint8_t code); /* half the scale of a code */

static float error_of(const float *x, const float *importance, float d, int n) {
    float sum = 0;
    for (int i = 0; i < n; i++) {
        float off = (float)nb_mxfp4_codebook[nearest_code(x[i], d)] * d - x[i];
        sum += (importance ? importance[i] : 1) * off * off;
    }
    return sum;
}

/* The scale's code from `first` to `last` with the least error for n weights, or `code` if none has less. */
static uint8_t search_scale(const float *x, const float *importance, int n, scale_of *scale, uint8_t code, int first,
                            int last) {
    float least = error_of(x, importance, scale(code), n);
    for (int tried = NB_MAX(0, first); tried <= last; tried++) {
        float error = error_of(x, importance, scale((uint8_t)tried), n);
        if (error < least) {
            least = error;
            code = (uint8_t)tried;
        }
    }
    return code;
}

void nb_quantize_mxfp4(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    nb_block_mxfp4 *b = blocks;
    for (size_t at = 0; at < n; at += NB_BLOCK, x += NB_BLOCK, b++) {
        const float *importance = how->importance ? how->importance + at : NULL;
        int e = b->e = e8m0_scale(nb_largest_magnitude(x, NB_BLOCK));
        if (how->best)
            b->e = search_scale(x, importance, NB_BLOCK, nb_half_e8m0_to_f32, b->e, e - 3, NB_MIN(e + 1, 252));
        pack(x, nb_half_e8m0_to_f32(b->e), b->q, 16);
    }
}

/* x >= 0 to E4M3 without its sign, to nearest, halves up; at most 448, which is 0x7e. */
static uint8_t e4m3_scale(float x) {
    if (!(x > 0))
        return 0;
    if (x >= 448)
        return 0x7e;
    if (x < 0x1p-6f) /* subnormal, in units of 2^-9; llama.cpp never rounds up to the first normal number */
        return (uint8_t)NB_MIN((int)(x * 512 + 0.5f), 7);
    uint32_t rounded = (nb_bits_of(x) + 0x80000) >> 20; /* sign, exponent, three bits of mantissa */
    return (uint8_t)NB_MIN(rounded - (120u << 3), 0x7eu);
}

/* The scale maps the largest magnitude of 16 weights to 6, E2M1's largest number. */
void nb_quantize_nvfp4(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    nb_block_nvfp4 *b = blocks;
    for (size_t at = 0; at < n; at += NB_BLOCK_NVFP4, b++)
        for (int group = 0; group < 4; group++, x += 16) {
            const float *importance = how->importance ? how->importance + at + 16 * group : NULL;
            int code = b->d[group] = e4m3_scale(nb_largest_magnitude(x, 16) / 6);
            if (how->best) /* from 0.3 to 1.5 times the scale; eight codes double it */
                b->d[group] = search_scale(x, importance, 16, nb_half_e4m3_to_f32, b->d[group], code - 14,
                                           NB_MIN(code + 5, 0x7e));
            pack(x, nb_half_e4m3_to_f32(b->d[group]), b->q + 8 * group, 8);
        }
}
