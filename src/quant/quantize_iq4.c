/* Encodes rows as IQ4_NL and IQ4_XS: w = scale q, with q from a codebook of 16 numbers. Searches and roundings are
 * those of ggml-org/ggml, src/ggml-quants.c. */
#include "quantize.h"
#include "quantize_best.h"

#pragma STDC FP_CONTRACT OFF

enum { LOW = -254, HIGH = 226 }; /* twice the codebook's ends */

/* The nearest code for each multiple of 1/2, the upper one of two. That is enough, as the bounds between neighbouring
 * numbers are multiples of 1/2. */
typedef struct nearest_codes {
    uint8_t of[HIGH - LOW + 1];
} nearest_codes;

static void fill_nearest(nearest_codes *codes) {
    uint32_t code = 0;
    for (int twice = LOW; twice <= HIGH; twice++) {
        while (code < 15 && twice >= nb_iq4_codebook[code] + nb_iq4_codebook[code + 1])
            code++;
        codes->of[twice - LOW] = (uint8_t)code;
    }
}

static uint32_t nearest_code(const nearest_codes *codes, float x) {
    float twice = x + x;
    if (twice <= LOW)
        return 0;
    if (!(twice < HIGH)) /* NaN, too */
        return 15;
    int32_t whole = (int32_t)twice;
    return codes->of[whole - ((float)whole > twice) - LOW];
}

/* The scale that fits the codes of x / d best, xq / qq, with xq = sum w x q and qq = sum w q^2. It reduces the error by
 * xq^2 / qq. */
typedef struct fit {
    float scale, xq, qq;
} fit;

static fit fit_of(const nearest_codes *codes, const float *x, const float *weight, float reciprocal_d) {
    fit f = {0};
    for (int i = 0; i < NB_BLOCK; i++) {
        float q = (float)nb_iq4_codebook[nearest_code(codes, reciprocal_d * x[i])];
        f.xq += weight[i] * q * x[i];
        f.qq += weight[i] * q * q;
    }
    f.scale = f.qq > 0 ? f.xq / f.qq : 0;
    return f;
}

/* Tries scales that map the weight with the largest magnitude to one of 15 numbers about the codebook's first one. */
static float search_scale(const nearest_codes *codes, const float *x, const float *weight) {
    float far = 0;
    for (int i = 0; i < NB_BLOCK; i++)
        far = __builtin_fabsf(x[i]) > __builtin_fabsf(far) ? x[i] : far;
    if (__builtin_fabsf(far) < NB_ALMOST_ZERO)
        return 0;
    fit first = fit_of(codes, x, weight, 1 / (-far / (float)nb_iq4_codebook[0]));
    float scale = first.scale, best = first.scale * first.xq;
    for (int step = -7; step <= 7; step++) {
        fit f = fit_of(codes, x, weight, (float)(step + nb_iq4_codebook[0]) / far);
        if (f.qq > 0 && f.xq * f.xq > best * f.qq) {
            scale = f.scale;
            best = scale * f.xq;
        }
    }
    return scale;
}

/* Weights of the errors of n numbers that share a d. Without an importance matrix they are x^2. */
static void weigh(const nb_encoding *how, size_t at, const float *x, float *weight, int n) {
    if (how->importance)
        nb_weigh(x, how->importance + at, 2.0f / (float)n * nb_sum_of_squares(x, (size_t)n), weight, n);
    else
        for (int i = 0; i < n; i++)
            weight[i] = x[i] * x[i];
}

static void pack(const nearest_codes *codes, const float *x, float d, uint8_t *q) {
    float steps = d != 0 ? 1 / d : 0;
    for (int i = 0; i < 16; i++)
        q[i] = (uint8_t)(nearest_code(codes, steps * x[i]) | nearest_code(codes, steps * x[i + 16]) << 4);
}

static void pack_codes(const uint8_t *codes, uint8_t *q) {
    for (int i = 0; i < 16; i++)
        q[i] = (uint8_t)(codes[i] | codes[i + 16] << 4);
}

/* Encodes a block again by the wider search. */
static void improve_nl(const nb_encoding *how, size_t at, const float *x, nb_block_iq4_nl *b) {
    static const nb_best limits = {1, 32, -127, 113, 1, 1, 0, 0, nb_iq4_codebook};
    nb_best_block best = {.d = b->d, .scales = {1}};
    nb_search_best(&limits, x, how->importance ? how->importance + at : NULL, &best);
    b->d = best.d;
    pack_codes(best.codes, b->q);
}

void nb_quantize_iq4_nl(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    nb_block_iq4_nl *b = blocks;
    nearest_codes codes;
    fill_nearest(&codes);
    for (size_t at = 0; at < n; at += NB_BLOCK, b++) {
        float weight[NB_BLOCK];
        weigh(how, at, x + at, weight, NB_BLOCK);
        float d = search_scale(&codes, x + at, weight);
        b->d = nb_f32_to_f16(d);
        pack(&codes, x + at, d, b->q);
        if (how->best)
            improve_nl(how, at, x + at, b);
    }
}

/* The inverse of nb_iq4_xs_scale (types.h). */
static void pack_xs_scales(const int16_t *scales, nb_block_iq4_xs *b) {
    b->high = 0;
    memset(b->low, 0, sizeof b->low);
    for (int g = 0; g < 8; g++) {
        b->low[g / 2] |= (uint8_t)(((scales[g] + 32) & 15) << g % 2 * 4);
        b->high |= (uint16_t)((scales[g] + 32) >> 4 << 2 * g);
    }
}

void nb_quantize_iq4_xs(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    static const nb_best limits = {8, 32, -127, 113, -32, 31, 0, 0, nb_iq4_codebook};
    nb_block_iq4_xs *b = blocks;
    nearest_codes codes;
    fill_nearest(&codes);
    for (size_t at = 0; at < n; at += NB_SUPERBLOCK, b++) {
        float weight[NB_SUPERBLOCK], scales[8], far = 0;
        weigh(how, at, x + at, weight, NB_SUPERBLOCK);
        for (int g = 0; g < 8; g++) {
            scales[g] = search_scale(&codes, x + at + 32 * g, weight + 32 * g);
            far = __builtin_fabsf(scales[g]) > __builtin_fabsf(far) ? scales[g] : far;
        }
        float d = -far / 32;
        nb_best_block found = {.d = nb_f32_to_f16(d)};
        for (int g = 0; g < 8; g++) {
            found.scales[g] = (int16_t)nb_nearest(d != 0 ? 1 / d * scales[g] : 0, -32, 31);
            pack(&codes, x + at + 32 * g, d * (float)found.scales[g], b->q + 16 * g);
        }
        if (how->best) {
            nb_search_best(&limits, x + at, how->importance ? how->importance + at : NULL, &found);
            for (int g = 0; g < 8; g++)
                pack_codes(found.codes + 32 * g, b->q + 16 * g);
        }
        b->d = found.d;
        pack_xs_scales(found.scales, b);
    }
}
