/* Rows to IQ4_NL and IQ4_XS: w = scale q, with q from a codebook of 16 numbers. Searches and roundings as in
 * ggml-org/ggml, src/ggml-quants.c. */
#include "quantize.h"
#include "quantize_search.h"

#pragma STDC FP_CONTRACT OFF

enum { LOW = -254, HIGH = 226 }; /* twice the codebook's ends */

/* For whole halves (bounds between numbers are such): the code of the number nearest to them, the upper of two. */
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

/* Codes of x / d -> the scale whose products with them have the least error, and what tells how much it takes off that
 * error: (sum w x q)^2 / sum w q^2. */
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

/* The weight farthest from zero becomes one of 15 numbers about the codebook's first, whichever fits 32 weights best. */
static float search_scale(const nearest_codes *codes, const float *x, const float *weight) {
    float far = 0;
    for (int i = 0; i < NB_BLOCK; i++)
        far = __builtin_fabsf(x[i]) > __builtin_fabsf(far) ? x[i] : far;
    if (__builtin_fabsf(far) < NB_NOTHING)
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

/* n weights that share a scale of F16. Without a matrix errors are weighted with x^2. */
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
    }
}

void nb_quantize_iq4_xs(const nb_encoding *how, const float *x, void *blocks, size_t n) {
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
        memset(b, 0, sizeof *b);
        b->d = nb_f32_to_f16(d);
        for (int g = 0; g < 8; g++) { /* as nb_iq4_xs_scale (types.h) unpacks them */
            int32_t scale = nb_nearest(d != 0 ? 1 / d * scales[g] : 0, -32, 31);
            b->low[g / 2] |= (uint8_t)(((scale + 32) & 15) << g % 2 * 4);
            b->high |= (uint16_t)((scale + 32) >> 4 << 2 * g);
            pack(&codes, x + at + 32 * g, d * (float)scale, b->q + 16 * g);
        }
    }
}
