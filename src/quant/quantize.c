/* Rows to the plain types, of 32 weights a block: the scale serves the weight farthest from zero (or both ends of the
 * range), codes are rounded to nearest. Formulas: types.h; roundings as in ggml-org/ggml, src/ggml-quants.c. */
#include "quantize.h"

#include "../base/numbers.h"

#pragma STDC FP_CONTRACT OFF

/* A code: x, which stands 1/2 above the number to be rounded, without its fraction, at most `most`. x is negative or
 * large only if it is not finite (for the row is not, or its scale is so small that the reciprocal is not): then 0. */
static uint32_t code_of(float x, uint32_t most) {
    return x >= 0 && x < 256 ? NB_MIN((uint32_t)x, most) : 0;
}

static float reciprocal(float d) {
    return d != 0 ? 1 / d : 0;
}

/* The first of the weights that are the farthest from zero. */
static float farthest(const float *x) {
    float most = 0, found = 0;
    for (int i = 0; i < NB_BLOCK; i++)
        if (most < __builtin_fabsf(x[i])) {
            most = __builtin_fabsf(x[i]);
            found = x[i];
        }
    return found;
}

typedef struct range {
    float low, high;
} range;

static range range_of(const float *x) {
    range r = {0x1.fffffep127f, -0x1.fffffep127f};
    for (int i = 0; i < NB_BLOCK; i++) {
        r.low = x[i] < r.low ? x[i] : r.low;
        r.high = x[i] > r.high ? x[i] : r.high;
    }
    return r;
}

/* 32 codes (x - origin) / d, plus `shift`, into 16 bytes and, if they have five bits, the four bytes high. */
static void pack(const float *x, float origin, float d, float shift, uint32_t most, uint8_t *q, uint8_t *high) {
    float scale = reciprocal(d);
    uint32_t fifth = 0;
    for (int i = 0; i < 16; i++) {
        uint32_t a = code_of((x[i] - origin) * scale + shift, most);
        uint32_t b = code_of((x[i + 16] - origin) * scale + shift, most);
        q[i] = (uint8_t)((a & 15) | b << 4);
        fifth |= a >> 4 << i | b >> 4 << (i + 16);
    }
    if (high)
        memcpy(high, &fifth, 4);
}

static void quantize_q4_0(const float *x, void *blocks, size_t n) {
    nb_block_q4_0 *b = blocks;
    for (; n; n -= NB_BLOCK, x += NB_BLOCK, b++) {
        float d = farthest(x) / -8;
        b->d = nb_f32_to_f16(d);
        pack(x, 0, d, 8.5f, 15, b->q, NULL);
    }
}

static void quantize_q4_1(const float *x, void *blocks, size_t n) {
    nb_block_q4_1 *b = blocks;
    for (; n; n -= NB_BLOCK, x += NB_BLOCK, b++) {
        range r = range_of(x);
        float d = (r.high - r.low) / 15;
        b->d = nb_f32_to_f16(d);
        b->m = nb_f32_to_f16(r.low);
        pack(x, r.low, d, 0.5f, 15, b->q, NULL);
    }
}

static void quantize_q5_0(const float *x, void *blocks, size_t n) {
    nb_block_q5_0 *b = blocks;
    for (; n; n -= NB_BLOCK, x += NB_BLOCK, b++) {
        float d = farthest(x) / -16;
        b->d = nb_f32_to_f16(d);
        pack(x, 0, d, 16.5f, 31, b->q, b->high);
    }
}

static void quantize_q5_1(const float *x, void *blocks, size_t n) {
    nb_block_q5_1 *b = blocks;
    for (; n; n -= NB_BLOCK, x += NB_BLOCK, b++) {
        range r = range_of(x);
        float d = (r.high - r.low) / 31;
        b->d = nb_f32_to_f16(d);
        b->m = nb_f32_to_f16(r.low);
        pack(x, r.low, d, 0.5f, 31, b->q, b->high);
    }
}

/* To nearest, ties away from zero; 0 for what is not finite. */
static int8_t rounded_away(float x) {
    if (!(__builtin_fabsf(x) < 256))
        return 0;
    int32_t whole = (int32_t)x;
    float rest = x - (float)whole;
    return (int8_t)(whole + (rest >= 0.5f) - (rest <= -0.5f));
}

static float largest_magnitude(const float *x, size_t n) {
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = most > __builtin_fabsf(x[i]) ? most : __builtin_fabsf(x[i]);
    return most;
}

static void quantize_q8_0(const float *x, void *blocks, size_t n) {
    nb_block_q8_0 *b = blocks;
    for (; n; n -= NB_BLOCK, x += NB_BLOCK, b++) {
        float d = largest_magnitude(x, NB_BLOCK) / 127, scale = reciprocal(d);
        b->d = nb_f32_to_f16(d);
        for (int i = 0; i < NB_BLOCK; i++)
            b->q[i] = rounded_away(x[i] * scale);
    }
}

/* ---- IQ4_NL -------------------------------------------------------------------------------------------------- */

enum { IQ4_LOW = -254, IQ4_HIGH = 226 }; /* twice the codebook's ends */

/* By whole halves (bounds between numbers are such): the code of the number nearest to them, the upper of two. */
static void fill_nearest_iq4(uint8_t codes[IQ4_HIGH - IQ4_LOW + 1]) {
    uint32_t code = 0;
    for (int twice = IQ4_LOW; twice <= IQ4_HIGH; twice++) {
        while (code < 15 && twice >= nb_iq4_codebook[code] + nb_iq4_codebook[code + 1])
            code++;
        codes[twice - IQ4_LOW] = (uint8_t)code;
    }
}

static uint32_t nearest_iq4(const uint8_t *codes, float x) {
    float twice = x + x;
    if (twice <= IQ4_LOW)
        return 0;
    if (!(twice < IQ4_HIGH)) /* NaN, too */
        return 15;
    int32_t whole = (int32_t)twice;
    return codes[whole - ((float)whole > twice) - IQ4_LOW];
}

/* Codes of x / d -> the scale whose products with them have the least error, weighted with x^2, and what tells how
 * much it takes off that error: sum (w x q)^2 / sum (w q^2). */
typedef struct fit {
    float scale, xq, qq;
} fit;

static fit fit_of(const uint8_t *codes, const float *x, float reciprocal_d) {
    fit f = {0};
    for (int i = 0; i < NB_BLOCK; i++) {
        float q = (float)nb_iq4_codebook[nearest_iq4(codes, reciprocal_d * x[i])], w = x[i] * x[i];
        f.xq += w * q * x[i];
        f.qq += w * q * q;
    }
    f.scale = f.qq > 0 ? f.xq / f.qq : 0;
    return f;
}

/* The weight farthest from zero becomes one of 15 numbers about the codebook's first, whichever fits the block best. */
static void quantize_iq4_nl(const float *x, void *blocks, size_t n) {
    nb_block_iq4_nl *b = blocks;
    uint8_t codes[IQ4_HIGH - IQ4_LOW + 1];
    fill_nearest_iq4(codes);
    for (; n; n -= NB_BLOCK, x += NB_BLOCK, b++) {
        float far = farthest(x), d = 0;
        if (__builtin_fabsf(far) >= 1e-15f) {
            fit first = fit_of(codes, x, 1 / (-far / (float)nb_iq4_codebook[0]));
            float best = first.scale * first.xq;
            d = first.scale;
            for (int step = -7; step <= 7; step++) {
                fit f = fit_of(codes, x, (float)(step + nb_iq4_codebook[0]) / far);
                if (f.qq > 0 && f.xq * f.xq > best * f.qq) {
                    d = f.scale;
                    best = d * f.xq;
                }
            }
        }
        b->d = nb_f32_to_f16(d);
        float scale = reciprocal(d);
        for (int i = 0; i < 16; i++)
            b->q[i] = (uint8_t)(nearest_iq4(codes, scale * x[i]) | nearest_iq4(codes, scale * x[i + 16]) << 4);
    }
}

/* ---- half precision ------------------------------------------------------------------------------------------ */

static void quantize_f16(const float *x, void *blocks, size_t n) {
    uint16_t *out = blocks;
    for (size_t i = 0; i < n; i++)
        out[i] = nb_f32_to_f16(x[i]);
}

/* To nearest, ties to even; a NaN stays one. */
static void quantize_bf16(const float *x, void *blocks, size_t n) {
    uint16_t *out = blocks;
    for (size_t i = 0; i < n; i++) {
        uint32_t u = nb_bits_of(x[i]);
        out[i] = (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? u >> 16 | 64 : (u + 0x7fff + (u >> 16 & 1)) >> 16);
    }
}

nb_quantize *nb_quantizer_of(uint32_t type) {
    switch (type) {
    case NB_TYPE_F16: return quantize_f16;
    case NB_TYPE_BF16: return quantize_bf16;
    case NB_TYPE_Q4_0: return quantize_q4_0;
    case NB_TYPE_Q4_1: return quantize_q4_1;
    case NB_TYPE_Q5_0: return quantize_q5_0;
    case NB_TYPE_Q5_1: return quantize_q5_1;
    case NB_TYPE_Q8_0: return quantize_q8_0;
    case NB_TYPE_IQ4_NL: return quantize_iq4_nl;
    case NB_TYPE_Q2_K: return nb_quantize_q2_k;
    case NB_TYPE_Q3_K: return nb_quantize_q3_k;
    case NB_TYPE_Q4_K: return nb_quantize_q4_k;
    case NB_TYPE_Q5_K: return nb_quantize_q5_k;
    case NB_TYPE_Q6_K: return nb_quantize_q6_k;
    case NB_TYPE_NF4: return nb_quantize_nf4;
    case NB_TYPE_FP4: return nb_quantize_fp4;
    default: return NULL;
    }
}
