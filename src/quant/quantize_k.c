/* Encodes rows as K-quants. A superblock has 256 weights in groups of 16 or 32. For each group a scale (and a minimum)
 * is searched for and rounded to an integer; then each weight gets the nearest code. Formulas: types.h. Searches and
 * roundings are those of ggml-org/ggml, src/ggml-quants.c. */
#include "quantize.h"
#include "quantize_best.h"

#pragma STDC FP_CONTRACT OFF

/* Weights of the errors of a superblock. Without an importance matrix they are x^2 here; some types replace that. */
static void weigh_block(const float *x, const float *importance, float spread, float *weight) {
    if (importance)
        nb_weigh(x, importance, spread * nb_sum_of_squares(x, NB_SUPERBLOCK) / NB_SUPERBLOCK, weight, NB_SUPERBLOCK);
    else
        for (int i = 0; i < NB_SUPERBLOCK; i++)
            weight[i] = x[i] * x[i];
}

/* The importance of superblock `block` of the row. */
static const float *importance_at(const nb_encoding *how, size_t block) {
    return how->importance ? how->importance + block * NB_SUPERBLOCK : NULL;
}

static float largest(const float *x, int n) {
    float most = 0;
    for (int i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

/* Encodes the groups' scales, or minima, as codes from 0 to `most`. Returns their scale. sums: the weight of each
 * group's errors; NULL: no importance. */
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

/* Gives weights the nearest codes under the rounded scales and minima. A group whose scale became 0 keeps its codes.
 * Then runs the wider search if how->best. */
static void finish(const nb_best *s, const nb_encoding *how, const float *importance, const float *x,
                   nb_best_block *k) {
    for (int i = 0; i < NB_SUPERBLOCK; i++) {
        float d = nb_f16_to_f32(k->d) * (float)k->scales[i / s->group];
        float m = nb_f16_to_f32(k->m) * (float)k->minima[i / s->group];
        if (d != 0)
            k->codes[i] = (uint8_t)(nb_nearest((x[i] + m) / d, s->low, s->high) - s->low);
    }
    if (how->best)
        nb_search_best(s, x, importance, k);
}

/* Packs codes of two bits: codes i, i + 32, i + 64 and i + 96 of each half share a byte. */
static void pack_quarters(const uint8_t *codes, uint8_t *q) {
    for (int i = 0; i < 64; i++) {
        const uint8_t *c = codes + i / 32 * 128 + i % 32;
        q[i] = (uint8_t)((c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 | (c[96] & 3) << 6);
    }
}

void nb_quantize_q2_k(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    static const nb_ranges plain = {16, 3, -0.5f, 0.1f, 15, true}, weighted = {16, 3, -0.9f, 0.05f, 36, false};
    static const nb_best limits = {16, 16, 0, 3, 0, 15, 0, 15, NULL};
    nb_block_q2_k *b = blocks;
    for (size_t at = 0; at < n / NB_SUPERBLOCK; at++, x += NB_SUPERBLOCK, b++) {
        const float *importance = importance_at(how, at);
        float scales[16], minima[16], sums[16], weight[NB_SUPERBLOCK];
        uint8_t d_codes[16], m_codes[16];
        nb_best_block k = {0};
        weigh_block(x, importance, 1, weight);
        for (int i = 0; i < NB_SUPERBLOCK && !importance; i++)
            weight[i] = __builtin_fabsf(x[i]);
        sum_groups(weight, 16, 16, sums);
        for (int g = 0; g < 16; g += NB_LANES)
            nb_search_ranges(importance ? &weighted : &plain, x + 16 * g, weight + 16 * g, scales + g, minima + g,
                             k.codes + 16 * g);
        k.d = nb_f32_to_f16(code_scales(scales, importance ? sums : NULL, 16, 15, d_codes));
        k.m = nb_f32_to_f16(code_scales(minima, importance ? sums : NULL, 16, 15, m_codes));
        for (int g = 0; g < 16; g++) {
            k.scales[g] = (int16_t)(d_codes[g] & 15);
            k.minima[g] = (int16_t)((m_codes[g] & 15) | d_codes[g] >> 4);
        }
        finish(&limits, how, importance, x, &k);
        b->d = k.d;
        b->m = k.m;
        for (int g = 0; g < 16; g++)
            b->scales[g] = (uint8_t)(k.scales[g] | k.minima[g] << 4);
        pack_quarters(k.codes, b->q);
    }
}

/* ---- Q4_K, Q5_K: eight groups, scales and minima of six bits --------------------------------------------------- */

/* Without an importance matrix the weights of errors are |x| plus the group's root mean square. */
static void weigh_eight(const float *x, const float *importance, float *weight) {
    weigh_block(x, importance, 2, weight);
    for (int g = 0; g < 8 && !importance; g++) {
        float mean = __builtin_sqrtf(nb_sum_of_squares(x + 32 * g, 32) / 32);
        for (int i = 32 * g; i < 32 * g + 32; i++)
            weight[i] = mean + __builtin_fabsf(x[i]);
    }
}

/* One superblock. */
static void encode_eight(const nb_ranges *plain, const nb_encoding *how, size_t at, const float *x, nb_best_block *k) {
    const nb_ranges weighted = {32, plain->most, -0.9f, 0.05f, 36, false};
    const nb_best limits = {8, 32, 0, plain->most, 0, 63, 0, 63, NULL};
    const float *importance = importance_at(how, at);
    float scales[8], minima[8], sums[8], weight[NB_SUPERBLOCK];
    uint8_t d_codes[8], m_codes[8];
    weigh_eight(x, importance, weight);
    sum_groups(weight, 8, 32, sums);
    for (int g = 0; g < 8; g += NB_LANES)
        nb_search_ranges(importance ? &weighted : plain, x + 32 * g, weight + 32 * g, scales + g, minima + g,
                         k->codes + 32 * g);
    k->d = nb_f32_to_f16(code_scales(scales, importance ? sums : NULL, 8, 63, d_codes));
    k->m = nb_f32_to_f16(code_scales(minima, importance ? sums : NULL, 8, 63, m_codes));
    for (int g = 0; g < 8; g++) {
        k->scales[g] = NB_MIN(d_codes[g], 63);
        k->minima[g] = NB_MIN(m_codes[g], 63);
    }
    finish(&limits, how, importance, x, k);
}

/* The inverse of nb_q4_k_scale and nb_q4_k_minimum (types.h). */
static void pack_six_bits(const nb_best_block *k, uint8_t *packed) {
    for (int g = 0; g < 4; g++) {
        int scale = k->scales[g + 4], minimum = k->minima[g + 4];
        packed[g] = (uint8_t)(k->scales[g] | scale >> 4 << 6);
        packed[g + 4] = (uint8_t)(k->minima[g] | minimum >> 4 << 6);
        packed[g + 8] = (uint8_t)((scale & 15) | (minimum & 15) << 4);
    }
}

/* Packs the low four bits of codes: groups 2i and 2i + 1 share bytes. */
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
        nb_best_block k = {0};
        encode_eight(&plain, how, at, x, &k);
        b->d = k.d;
        b->m = k.m;
        pack_six_bits(&k, b->scales);
        pack_halves(k.codes, b->q);
    }
}

/* Packs one bit of each code: code i's is bit i / 32 of high[i % 32]. */
static void pack_bits(const uint8_t *codes, int bit, uint8_t *high) {
    memset(high, 0, 32);
    for (int i = 0; i < NB_SUPERBLOCK; i++)
        high[i % 32] |= (uint8_t)((codes[i] >> bit & 1) << i / 32);
}

void nb_quantize_q5_k(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    static const nb_ranges plain = {32, 31, -0.5f, 0.1f, 15, false};
    nb_block_q5_k *b = blocks;
    for (size_t at = 0; at < n / NB_SUPERBLOCK; at++, x += NB_SUPERBLOCK, b++) {
        nb_best_block k = {0};
        encode_eight(&plain, how, at, x, &k);
        b->d = k.d;
        b->m = k.m;
        pack_six_bits(&k, b->scales);
        pack_halves(k.codes, b->q);
        pack_bits(k.codes, 4, b->high);
    }
}

/* ---- w = d s q, codes of both signs --------------------------------------------------------------------------- */

/* Of 16 scales the one with the largest magnitude; of several, the first. */
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
    static const nb_best limits = {16, 16, -32, 31, -128, 127, 0, 0, NULL};
    nb_block_q6_k *b = blocks;
    for (size_t at = 0; at < n / NB_SUPERBLOCK; at++, x += NB_SUPERBLOCK, b++) {
        const float *importance = importance_at(how, at);
        float scales[16], weight[NB_SUPERBLOCK];
        nb_best_block k = {0};
        if (!importance)
            weigh_block(x, NULL, 0, weight);
        search_groups(32, x, importance ? importance : weight, scales, k.codes);
        float far = farthest_scale(scales), steps = -128 / far;
        bool exists = !(__builtin_fabsf(far) < NB_ALMOST_ZERO);
        k.d = exists ? nb_f32_to_f16(1 / steps) : 0;
        for (int g = 0; g < 16 && exists; g++)
            k.scales[g] = (int8_t)nb_nearest(steps * scales[g], INT32_MIN, 127);
        finish(&limits, how, importance, x, &k);
        if (k.d == 0 && !exists) {
            memset(b, 0, sizeof *b);
            continue;
        }
        b->d = k.d;
        for (int g = 0; g < 16; g++)
            b->scales[g] = (int8_t)k.scales[g];
        uint8_t fifths[NB_SUPERBLOCK];
        for (int i = 0; i < NB_SUPERBLOCK; i++)
            fifths[i] = k.codes[i] >> 4;
        pack_quarters(fifths, b->high);
        for (int i = 0; i < 128; i++) {
            const uint8_t *c = k.codes + i / 64 * 128 + i % 64;
            b->q[i] = (uint8_t)((c[0] & 15) | c[64] << 4);
        }
    }
}

/* Rounds the groups' scales to integers from -32 to 31. Returns d. */
static float code_q3_k_scales(const float *scales, const float *sums, int16_t *integers) {
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
    for (int g = 0; g < 16; g++)
        integers[g] = (int16_t)(codes[g] - 32);
    return d[0];
}

/* The inverse of nb_q3_k_scale (types.h). */
static void pack_q3_k_scales(const int16_t *scales, uint8_t *packed) {
    memset(packed, 0, NB_K_SCALES);
    for (int g = 0; g < 16; g++) {
        packed[g % 8] |= (uint8_t)(((scales[g] + 32) & 15) << g / 8 * 4);
        packed[8 + g % 4] |= (uint8_t)((scales[g] + 32) >> 4 << g / 4 * 2);
    }
}

void nb_quantize_q3_k(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    static const nb_best limits = {16, 16, -4, 3, -32, 31, 0, 0, NULL};
    nb_block_q3_k *b = blocks;
    for (size_t at = 0; at < n / NB_SUPERBLOCK; at++, x += NB_SUPERBLOCK, b++) {
        const float *importance = importance_at(how, at);
        float scales[16], sums[16], weight[NB_SUPERBLOCK];
        nb_best_block k = {0};
        weigh_block(x, importance, 2, weight);
        sum_groups(weight, 16, 16, sums);
        if (importance)
            search_groups(4, x, weight, scales, k.codes);
        for (int g = 0; g < 16 && !importance; g += NB_LANES)
            nb_refine_scales(16, 4, x + 16 * g, weight + 16 * g, scales + g, k.codes + 16 * g);
        k.d = nb_f32_to_f16(code_q3_k_scales(scales, importance ? sums : NULL, k.scales));
        finish(&limits, how, importance, x, &k);
        b->d = k.d;
        pack_q3_k_scales(k.scales, b->scales);
        pack_quarters(k.codes, b->q);
        pack_bits(k.codes, 2, b->high);
    }
}
