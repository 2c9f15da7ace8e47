/* Encodes rows as the types with blocks of 32 weights. Without an importance matrix the scale follows from the weight
 * with the largest magnitude (or from both ends of the range), and codes are rounded to nearest. With one, both are
 * searched for. Formulas: types.h. Searches and roundings are those of ggml-org/ggml, src/ggml-quants.c. */
#include "quantize.h"
#include "quantize_best.h"

#pragma STDC FP_CONTRACT OFF

/* ---- Q4_0, Q4_1, Q5_0, Q5_1 ------------------------------------------------------------------------------------ */

/* Up to four blocks that are quantized together: w = d (q - origin), or d q + m. */
enum { AT_ONCE = NB_LANES * NB_BLOCK };
typedef struct four_blocks {
    float d[NB_LANES], m[NB_LANES];
    uint8_t codes[AT_ONCE];
} four_blocks;

typedef struct plain_type {
    int most; /* the largest code */
    bool has_minimum;
} plain_type;

/* The code for x, which is the number to be rounded plus 1/2: x without its fraction, at most `most`. x is outside 0
 * ... 256 only if the row is not finite, or if its scale is so small that the reciprocal is infinite. The code is then
 * 0. */
static uint8_t code_of(float x, int most) {
    return x >= 0 && x < 256 ? (uint8_t)NB_MIN((int)x, most) : 0;
}

static float reciprocal(float d) {
    return d != 0 ? 1 / d : 0;
}

/* The weight with the largest magnitude; of several, the first. */
static float farthest(const float *x) {
    float most = 0, found = 0;
    for (int i = 0; i < NB_BLOCK; i++)
        if (most < __builtin_fabsf(x[i])) {
            most = __builtin_fabsf(x[i]);
            found = x[i];
        }
    return found;
}

/* Block i without an importance matrix. */
static void round_block(const plain_type *t, const float *x, four_blocks *out, int i) {
    float low = 0x1.fffffep127f, high = -0x1.fffffep127f, shift = 0.5f, half = (float)(t->most + 1) / 2;
    for (int k = 0; k < NB_BLOCK; k++) {
        low = x[k] < low ? x[k] : low;
        high = x[k] > high ? x[k] : high;
    }
    out->d[i] = t->has_minimum ? (high - low) / (float)t->most : farthest(x) / -half;
    out->m[i] = low;
    if (!t->has_minimum) {
        low = 0;
        shift = half + 0.5f;
    }
    float scale = reciprocal(out->d[i]);
    for (int k = 0; k < NB_BLOCK; k++)
        out->codes[NB_BLOCK * i + k] = code_of((x[k] - low) * scale + shift, t->most);
}

/* n weights of up to four blocks, with the weight of each one's error. Missing blocks are filled with zeros. */
static void search_blocks(const plain_type *t, const float *x, const float *weight, size_t n, four_blocks *out) {
    nb_ranges ranges = {NB_BLOCK, t->most, -0.9f, 0.05f, 36, false};
    float padded[AT_ONCE] = {0}, padded_weight[AT_ONCE] = {0};
    memcpy(padded, x, n * sizeof *x);
    memcpy(padded_weight, weight, n * sizeof *weight);
    if (!t->has_minimum) {
        nb_search_scales(NB_BLOCK, (t->most + 1) / 2, padded, padded_weight, out->d, out->codes);
        return;
    }
    nb_search_ranges(&ranges, padded, padded_weight, out->d, out->m, out->codes);
    for (int i = 0; i < NB_LANES; i++)
        out->m[i] = -out->m[i];
}

/* Encodes block i again by the wider search. */
static void improve_block(const plain_type *t, const float *x, const float *importance, four_blocks *out, int i) {
    int half = t->has_minimum ? 0 : (t->most + 1) / 2;
    nb_best limits = {1, NB_BLOCK, -half, t->most - half, 1, 1, t->has_minimum, t->has_minimum, NULL};
    nb_best_block b = {.d = nb_f32_to_f16(out->d[i]), .scales = {1}, .minima = {t->has_minimum}};
    b.m = t->has_minimum ? nb_f32_to_f16(-out->m[i]) : 0;
    nb_search_best(&limits, x, importance, &b);
    out->d[i] = nb_f16_to_f32(b.d);
    out->m[i] = -nb_f16_to_f32(b.m);
    memcpy(out->codes + NB_BLOCK * i, b.codes, NB_BLOCK);
}

/* Writes d, m if the type has it, the fifth bits of codes if it has them, and the low four bits. Returns the address of
 * the next block. */
static uint8_t *put_block(const plain_type *t, const four_blocks *from, int i, uint8_t *out) {
    uint16_t d = nb_f32_to_f16(from->d[i]), m = nb_f32_to_f16(from->m[i]);
    const uint8_t *codes = from->codes + NB_BLOCK * i;
    uint32_t fifth = 0;
    memcpy(out, &d, 2);
    out += 2;
    if (t->has_minimum) {
        memcpy(out, &m, 2);
        out += 2;
    }
    for (int k = 0; k < NB_BLOCK; k++)
        fifth |= (uint32_t)codes[k] >> 4 << k;
    if (t->most > 15) {
        memcpy(out, &fifth, 4);
        out += 4;
    }
    for (int k = 0; k < 16; k++)
        *out++ = (uint8_t)((codes[k] & 15) | codes[k + 16] << 4);
    return out;
}

static void quantize_plain(const plain_type *t, const nb_encoding *how, const float *x, uint8_t *out, size_t n) {
    const float *importance = how->importance;
    float spread = importance ? nb_sum_of_squares(x, n) / (float)n : 0, weight[AT_ONCE];
    for (size_t at = 0; at < n; at += AT_ONCE) {
        size_t count = NB_MIN(n - at, (size_t)AT_ONCE);
        int blocks = (int)(count / NB_BLOCK);
        four_blocks four;
        if (importance) {
            nb_weigh(x + at, importance + at, spread, weight, (int)count);
            search_blocks(t, x + at, weight, count, &four);
        } else
            for (int i = 0; i < blocks; i++)
                round_block(t, x + at + NB_BLOCK * i, &four, i);
        for (int i = 0; i < blocks && how->best; i++)
            improve_block(t, x + at + NB_BLOCK * i, importance ? importance + at + NB_BLOCK * i : NULL, &four, i);
        for (int i = 0; i < blocks; i++)
            out = put_block(t, &four, i, out);
    }
}

static void quantize_q4_0(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    quantize_plain(&(plain_type){15, false}, how, x, blocks, n);
}

static void quantize_q4_1(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    quantize_plain(&(plain_type){15, true}, how, x, blocks, n);
}

static void quantize_q5_0(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    quantize_plain(&(plain_type){31, false}, how, x, blocks, n);
}

static void quantize_q5_1(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    quantize_plain(&(plain_type){31, true}, how, x, blocks, n);
}

/* ---- Q8_0 ------------------------------------------------------------------------------------------------------ */

static void quantize_q8_0(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    (void)how;
    nb_block_q8_0 *b = blocks;
    for (; n; n -= NB_BLOCK, x += NB_BLOCK, b++) {
        float d = nb_largest_magnitude(x, NB_BLOCK) / 127, scale = reciprocal(d);
        b->d = nb_f32_to_f16(d);
        for (int i = 0; i < NB_BLOCK; i++)
            b->q[i] = (int8_t)nb_rounded_away(x[i] * scale);
    }
}

/* ---- half precision ------------------------------------------------------------------------------------------ */

static void quantize_f16(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    (void)how;
    uint16_t *out = blocks;
    for (size_t i = 0; i < n; i++)
        out[i] = nb_f32_to_f16(x[i]);
}

static void quantize_f32(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    (void)how;
    memcpy(blocks, x, n * sizeof *x);
}

/* To nearest, ties to even; a NaN stays one. */
static void quantize_bf16(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    (void)how;
    uint16_t *out = blocks;
    for (size_t i = 0; i < n; i++) {
        uint32_t u = nb_bits_of(x[i]);
        out[i] = (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? u >> 16 | 64 : (u + 0x7fff + (u >> 16 & 1)) >> 16);
    }
}

int32_t nb_importance_check(const float *importance, size_t n, nb_error *err) {
    bool says_something = false;
    for (size_t i = 0; i < n; i++) {
        if (!(importance[i] >= 0 && importance[i] <= 0x1.fffffep127f))
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "the importance of column %z is %g, but it must be a finite number and not below 0: the "
                           "importance matrix is damaged",
                           i, (double)importance[i]);
        says_something |= importance[i] > 0;
    }
    if (!says_something)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "the importance of all %z columns is 0: the calibration text never used this matrix; quantize "
                       "it without importance",
                       n);
    return NB_OK;
}

nb_quantize *nb_quantizer_of(uint32_t type) {
    switch (type) {
    case NB_TYPE_F32: return quantize_f32;
    case NB_TYPE_F16: return quantize_f16;
    case NB_TYPE_BF16: return quantize_bf16;
    case NB_TYPE_Q4_0: return quantize_q4_0;
    case NB_TYPE_Q4_1: return quantize_q4_1;
    case NB_TYPE_Q5_0: return quantize_q5_0;
    case NB_TYPE_Q5_1: return quantize_q5_1;
    case NB_TYPE_Q8_0: return quantize_q8_0;
    case NB_TYPE_IQ4_NL: return nb_quantize_iq4_nl;
    case NB_TYPE_Q2_K: return nb_quantize_q2_k;
    case NB_TYPE_Q3_K: return nb_quantize_q3_k;
    case NB_TYPE_Q4_K: return nb_quantize_q4_k;
    case NB_TYPE_Q5_K: return nb_quantize_q5_k;
    case NB_TYPE_Q6_K: return nb_quantize_q6_k;
    case NB_TYPE_NF4: return nb_quantize_nf4;
    case NB_TYPE_FP4: return nb_quantize_fp4;
    case NB_TYPE_IQ4_XS: return nb_quantize_iq4_xs;
    case NB_TYPE_MXFP4: return nb_quantize_mxfp4;
    case NB_TYPE_NVFP4: return nb_quantize_nvfp4;
    case NB_TYPE_TQ1_0: return nb_quantize_tq1_0;
    case NB_TYPE_TQ2_0: return nb_quantize_tq2_0;
    case NB_TYPE_Q1_0: return nb_quantize_q1_0;
    case NB_TYPE_Q2_0: return nb_quantize_q2_0;
    default: return NULL;
    }
}

nb_quantize *nb_encoder_of(uint32_t type) {
    nb_quantize *plain = nb_quantizer_of(type);
    return plain ? plain : nb_grid_quantizer_of(type);
}
