/* Rows to the K types. A superblock's 256 weights are groups of 16 or 32, each with a scale (and a minimum) that is
 * searched for; those become integers, and then each weight the nearest code. Formulas: types.h; searches and roundings
 * as in ggml-org/ggml, src/ggml-quants.c. */
#include "quantize.h"
#include "quantize_search.h"

#pragma STDC FP_CONTRACT OFF

/* What an error of each of 256 weights counts. Without an importance matrix each type has a weighting of its own. */
static void weigh_block(const float *x, const float *importance, float spread, float *weight) {
    if (importance)
        nb_weigh(x, importance, spread * nb_sum_of_squares(x, NB_SUPERBLOCK) / NB_SUPERBLOCK, weight, NB_SUPERBLOCK);
    else
        for (int i = 0; i < NB_SUPERBLOCK; i++)
            weight[i] = x[i] * x[i];
}

/* The matrix's part for superblock `block` of the row. */
static const float *importance_at(const nb_encoding *how, size_t block) {
    return how->importance ? how->importance + block * NB_SUPERBLOCK : NULL;
}

static float largest(const float *x, int n) {
    float most = 0;
    for (int i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

/* The groups' scales, or minima, as codes from 0 to `most`, and the number that they count. sums: NULL, or what errors of
 * each group count. */
static float code_scales(const float *x, const float *sums, int n, int most, uint8_t *codes) {
    if (sums)
        return nb_search_steps(n, most, x, sums, codes);
    float high = largest(x, n);
    for (int g = 0; g < n; g++) /* a scale below 0 becomes the largest byte */
        codes[g] = (uint8_t)(high > 0 ? nb_nearest((float)most / high * x[g], INT32_MIN, INT32_MAX) : 0);
    return high / (float)most;
}

static void sum_groups(const float *weight, int n, int group, float *sums) {
    for (int g = 0; g < n; g++) {
        sums[g] = 0;
        for (int i = 0; i < group; i++)
            sums[g] += weight[g * group + i];
    }
}

/* Weights to the codes nearest to them under the scale and the minimum that a file can hold; a group whose scale became
 * 0 keeps the codes that it has. */
static void recode(const float *x, int n, float d, float m, int32_t low, int32_t high, uint8_t *codes) {
    for (int i = 0; d != 0 && i < n; i++)
        codes[i] = (uint8_t)(nb_nearest((x[i] + m) / d, low, high) - low);
}

/* Codes of two bits: i, i + 32, i + 64, i + 96 of a half share a byte. */
static void pack_quarters(const uint8_t *codes, uint8_t *q) {
    for (int i = 0; i < 64; i++) {
        const uint8_t *c = codes + i / 32 * 128 + i % 32;
        q[i] = (uint8_t)((c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 | (c[96] & 3) << 6);
    }
}

void nb_quantize_q2_k(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    static const nb_ranges plain = {16, 3, -0.5f, 0.1f, 15, true}, weighted = {16, 3, -0.9f, 0.05f, 36, false};
    nb_block_q2_k *b = blocks;
    for (size_t at = 0; at < n / NB_SUPERBLOCK; at++, x += NB_SUPERBLOCK, b++) {
        const float *importance = importance_at(how, at);
        float scales[16], minima[16], sums[16], weight[NB_SUPERBLOCK];
        uint8_t codes[NB_SUPERBLOCK], d_codes[16], m_codes[16];
        weigh_block(x, importance, 1, weight);
        for (int i = 0; i < NB_SUPERBLOCK && !importance; i++)
            weight[i] = __builtin_fabsf(x[i]);
        sum_groups(weight, 16, 16, sums);
        for (int g = 0; g < 16; g += NB_LANES)
            nb_search_ranges(importance ? &weighted : &plain, x + 16 * g, weight + 16 * g, scales + g, minima + g,
                             codes + 16 * g);
        b->d = nb_f32_to_f16(code_scales(scales, importance ? sums : NULL, 16, 15, d_codes));
        b->m = nb_f32_to_f16(code_scales(minima, importance ? sums : NULL, 16, 15, m_codes));
        for (int g = 0; g < 16; g++) {
            b->scales[g] = (uint8_t)(d_codes[g] | m_codes[g] << 4);
            recode(x + 16 * g, 16, nb_f16_to_f32(b->d) * (float)(b->scales[g] & 15),
                   nb_f16_to_f32(b->m) * (float)(b->scales[g] >> 4), 0, 3, codes + 16 * g);
        }
        pack_quarters(codes, b->q);
    }
}

/* ---- Q4_K, Q5_K: eight groups, scales and minima of six bits --------------------------------------------------- */

/* As nb_q4_k_scale and nb_q4_k_minimum (types.h) unpack them. */
static void pack_six_bits(uint8_t *packed, int g, uint32_t scale, uint32_t minimum) {
    if (g < 4) {
        packed[g] = (uint8_t)scale;
        packed[g + 4] = (uint8_t)minimum;
    } else {
        packed[g + 4] = (uint8_t)((scale & 15) | (minimum & 15) << 4);
        packed[g - 4] |= (uint8_t)(scale >> 4 << 6);
        packed[g] |= (uint8_t)(minimum >> 4 << 6);
    }
}

/* Without a matrix errors are weighted with |w| and the root of the mean of w^2 in the group. */
static void weigh_eight(const float *x, const float *importance, float *weight) {
    weigh_block(x, importance, 2, weight);
    for (int g = 0; g < 8 && !importance; g++) {
        float mean = __builtin_sqrtf(nb_sum_of_squares(x + 32 * g, 32) / 32);
        for (int i = 32 * g; i < 32 * g + 32; i++)
            weight[i] = mean + __builtin_fabsf(x[i]);
    }
}

/* One superblock: the block's d, m and scales (their places in Q4_K and Q5_K are the same), and the codes. */
static void quantize_eight(const nb_ranges *plain, const float *importance, const float *x, nb_block_q4_k *b,
                           uint8_t *codes) {
    nb_ranges weighted = {32, plain->most, -0.9f, 0.05f, 36, false};
    float scales[8], minima[8], sums[8], weight[NB_SUPERBLOCK];
    uint8_t d_codes[8], m_codes[8];
    weigh_eight(x, importance, weight);
    sum_groups(weight, 8, 32, sums);
    for (int g = 0; g < 8; g += NB_LANES)
        nb_search_ranges(importance ? &weighted : plain, x + 32 * g, weight + 32 * g, scales + g, minima + g,
                         codes + 32 * g);
    b->d = nb_f32_to_f16(code_scales(scales, importance ? sums : NULL, 8, 63, d_codes));
    b->m = nb_f32_to_f16(code_scales(minima, importance ? sums : NULL, 8, 63, m_codes));
    for (int g = 0; g < 8; g++)
        pack_six_bits(b->scales, g, NB_MIN(d_codes[g], 63u), NB_MIN(m_codes[g], 63u));
    for (uint32_t g = 0; g < 8; g++)
        recode(x + 32 * g, 32, nb_f16_to_f32(b->d) * (float)nb_q4_k_scale(b->scales, g),
               nb_f16_to_f32(b->m) * (float)nb_q4_k_minimum(b->scales, g), 0, plain->most, codes + 32 * g);
}

/* The low four bits: groups 2i and 2i + 1 share bytes. */
static void pack_halves(const uint8_t *codes, uint8_t *q) {
    for (int i = 0; i < 128; i++) {
        const uint8_t *c = codes + i / 32 * 64 + i % 32;
        q[i] = (uint8_t)((c[0] & 15) | c[32] << 4);
    }
}

void nb_quantize_q4_k(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    static const nb_ranges plain = {32, 15, -1, 0.1f, 20, false};
    nb_block_q4_k *b = blocks;
    for (size_t at = 0; at < n / NB_SUPERBLOCK; at++, x += NB_SUPERBLOCK, b++) {
        uint8_t codes[NB_SUPERBLOCK];
        quantize_eight(&plain, importance_at(how, at), x, b, codes);
        pack_halves(codes, b->q);
    }
}

/* One bit of each code: that of weight i is bit i / 32 of high[i % 32]. */
static void pack_bits(const uint8_t *codes, int bit, uint8_t *high) {
    memset(high, 0, 32);
    for (int i = 0; i < NB_SUPERBLOCK; i++)
        high[i % 32] |= (uint8_t)((codes[i] >> bit & 1) << i / 32);
}

void nb_quantize_q5_k(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    static const nb_ranges plain = {32, 31, -0.5f, 0.1f, 15, false};
    nb_block_q5_k *b = blocks;
    for (size_t at = 0; at < n / NB_SUPERBLOCK; at++, x += NB_SUPERBLOCK, b++) {
        nb_block_q4_k head;
        uint8_t codes[NB_SUPERBLOCK];
        quantize_eight(&plain, importance_at(how, at), x, &head, codes);
        b->d = head.d;
        b->m = head.m;
        memcpy(b->scales, head.scales, NB_K_SCALES);
        pack_halves(codes, b->q);
        pack_bits(codes, 4, b->high);
    }
}

/* ---- w = d s q, codes of both signs --------------------------------------------------------------------------- */

/* The first of 16 that are the farthest from zero. */
static float farthest_scale(const float *scales) {
    float far = 0;
    for (int g = 0; g < 16; g++)
        far = __builtin_fabsf(scales[g]) > __builtin_fabsf(far) ? scales[g] : far;
    return far;
}

static void search_groups(int most, const float *x, const float *weight, float *scales, uint8_t *codes) {
    for (int g = 0; g < 16; g += NB_LANES)
        nb_search_scales(16, most, x + 16 * g, weight + 16 * g, scales + g, codes + 16 * g);
}

void nb_quantize_q6_k(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    nb_block_q6_k *b = blocks;
    for (size_t at = 0; at < n / NB_SUPERBLOCK; at++, x += NB_SUPERBLOCK, b++) {
        const float *importance = importance_at(how, at);
        float scales[16], weight[NB_SUPERBLOCK];
        uint8_t codes[NB_SUPERBLOCK];
        if (!importance)
            weigh_block(x, NULL, 0, weight);
        search_groups(32, x, importance ? importance : weight, scales, codes);
        float far = farthest_scale(scales);
        if (__builtin_fabsf(far) < NB_NOTHING) {
            memset(b, 0, sizeof *b);
            continue;
        }
        float steps = -128 / far;
        b->d = nb_f32_to_f16(1 / steps);
        for (int g = 0; g < 16; g++) {
            b->scales[g] = (int8_t)nb_nearest(steps * scales[g], INT32_MIN, 127);
            recode(x + 16 * g, 16, nb_f16_to_f32(b->d) * (float)b->scales[g], 0, -32, 31, codes + 16 * g);
        }
        uint8_t fifths[NB_SUPERBLOCK];
        for (int i = 0; i < NB_SUPERBLOCK; i++)
            fifths[i] = codes[i] >> 4;
        pack_quarters(fifths, b->high);
        for (int i = 0; i < 128; i++) {
            const uint8_t *c = codes + i / 64 * 128 + i % 64;
            b->q[i] = (uint8_t)((c[0] & 15) | c[64] << 4);
        }
    }
}

/* The groups' scales as codes of -32 to 31, stored plus 32 as nb_q3_k_scale (types.h) unpacks them; returns d. */
static float code_q3_k_scales(const float *scales, const float *sums, uint8_t *packed) {
    float padded[4 * 16] = {0}, weight[4 * 16] = {0}, d[NB_LANES] = {0}, far = farthest_scale(scales);
    uint8_t codes[4 * 16] = {0};
    if (sums) {
        memcpy(padded, scales, 16 * sizeof *padded);
        memcpy(weight, sums, 16 * sizeof *weight);
        nb_search_scales(16, 32, padded, weight, d, codes);
    } else if (far != 0) {
        d[0] = 1 / (-32 / far);
        for (int g = 0; g < 16; g++)
            codes[g] = (uint8_t)(nb_nearest(-32 / far * scales[g], -32, 31) + 32);
    }
    memset(packed, 0, NB_K_SCALES);
    for (int g = 0; g < 16; g++) {
        packed[g % 8] |= (uint8_t)((codes[g] & 15) << g / 8 * 4);
        packed[8 + g % 4] |= (uint8_t)(codes[g] >> 4 << g / 4 * 2);
    }
    return d[0];
}

void nb_quantize_q3_k(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    nb_block_q3_k *b = blocks;
    for (size_t at = 0; at < n / NB_SUPERBLOCK; at++, x += NB_SUPERBLOCK, b++) {
        const float *importance = importance_at(how, at);
        float scales[16], sums[16], weight[NB_SUPERBLOCK];
        uint8_t codes[NB_SUPERBLOCK];
        weigh_block(x, importance, 2, weight);
        sum_groups(weight, 16, 16, sums);
        if (importance)
            search_groups(4, x, weight, scales, codes);
        for (int g = 0; g < 16 && !importance; g += NB_LANES)
            nb_refine_scales(16, 4, x + 16 * g, weight + 16 * g, scales + g, codes + 16 * g);
        b->d = nb_f32_to_f16(code_q3_k_scales(scales, importance ? sums : NULL, b->scales));
        for (uint32_t g = 0; g < 16; g++)
            recode(x + 16 * g, 16, nb_f16_to_f32(b->d) * (float)nb_q3_k_scale(b->scales, g), 0, -4, 3,
                   codes + 16 * g);
        pack_quarters(codes, b->q);
        pack_bits(codes, 2, b->high);
    }
}
