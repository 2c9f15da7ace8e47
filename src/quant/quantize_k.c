/* Rows to the K types, without an importance matrix. A superblock's 256 weights are groups of 16 or 32, each with a
 * scale (and a minimum) that is searched for; those become integers, and then each weight the nearest code. Formulas:
 * types.h; searches and roundings as in ggml-org/ggml, src/ggml-quants.c.
 *
 * Sums of F32 depend on their order, and searches on sums: so four groups are searched at once, one in each lane, and
 * the sums of each run in the order of its weights, as the reference's do. */
#include "../base/numbers.h"
#include "quantize.h"

#pragma STDC FP_CONTRACT OFF

enum { LANES = 4, GROUP_LIMIT = 32 };

typedef float lanes __attribute__((vector_size(16)));
typedef int32_t integers __attribute__((vector_size(16))); /* or masks: 0 and -1 */

static lanes all(float x) {
    return (lanes){x, x, x, x};
}

static lanes either(integers mask, lanes yes, lanes no) {
    return (lanes)(((integers)yes & mask) | ((integers)no & ~mask));
}

static lanes magnitude(lanes x) {
    return (lanes)((integers)x & 0x7fffffff);
}

/* x to nearest, ties to even, within low ... high: the sum with 1.5 * 2^23 has the integer in its last 22 bits. What
 * does not fit those gives what they hold, the same everywhere. */
static int32_t nearest(float x, int32_t low, int32_t high) {
    int32_t i = (int32_t)(nb_bits_of(x + 0x1.8p23f) & 0x7fffff) - 0x400000;
    return NB_MAX(low, NB_MIN(i, high));
}

static lanes nearest_lanes(lanes x, int32_t low, int32_t high) {
    integers i = ((integers)(x + 0x1.8p23f) & 0x7fffff) - 0x400000;
    integers lows = {low, low, low, low}, highs = {high, high, high, high};
    i = (i & (i < highs)) | (highs & (i >= highs));
    i = (i & (i > lows)) | (lows & (i <= lows));
    return __builtin_convertvector(i, lanes);
}

/* Four groups of n weights, one after the other -> weight i of each. */
static void load_groups(const float *x, int n, lanes *out) {
    for (int i = 0; i < n; i++)
        out[i] = (lanes){x[i], x[i + n], x[i + 2 * n], x[i + 3 * n]};
}

/* The other way round, for code i. */
static void store_codes(lanes code, int i, int n, uint8_t *codes) {
    for (int g = 0; g < LANES; g++)
        codes[g * n + i] = (uint8_t)code[g];
}

/* The weights of each group that are the farthest from zero, the first of equals; *most: how far. */
static lanes farthest_weights(const lanes *x, int n, lanes *most) {
    lanes found = all(0);
    *most = all(0);
    for (int i = 0; i < n; i++) {
        integers more = magnitude(x[i]) > *most;
        found = either(more, x[i], found);
        *most = either(more, magnitude(x[i]), *most);
    }
    return found;
}

static const float NOTHING = 1e-15f; /* a group whose weights are all nearer to zero is zero */

/* ---- w = d s q - m z ----------------------------------------------------------------------------------------- */

typedef struct search {
    int group, most; /* weights in a group, the largest code */
    float first;     /* the scales tried make (most + first + i / 10) steps of the range, i = 0 ... last */
    int last;
    bool absolute; /* errors are weighted with |w| and not squared; else with |w| and the root of the mean of w^2 */
} search;

/* What each weight of four groups counts. */
static void weigh(const search *s, const lanes *x, lanes *weight) {
    lanes mean = all(0);
    if (!s->absolute) {
        for (int i = 0; i < s->group; i++)
            mean += x[i] * x[i];
        for (int g = 0; g < LANES; g++)
            mean[g] = __builtin_sqrtf(mean[g] / (float)s->group);
    }
    for (int i = 0; i < s->group; i++)
        weight[i] = mean + magnitude(x[i]);
}

static lanes error_of(const search *s, const lanes *x, const lanes *weight, const lanes *codes, lanes scale,
                      lanes low) {
    lanes sum = all(0);
    for (int i = 0; i < s->group; i++) {
        lanes off = scale * codes[i] + low - x[i];
        sum += weight[i] * (s->absolute ? magnitude(off) : off * off);
    }
    return sum;
}

/* The codes of x in steps of 1 / `steps` above `low`. */
static lanes code_above(const search *s, lanes x, lanes low, lanes steps) {
    return nearest_lanes(steps * (x - low), 0, s->most);
}

/* Four groups of x -> scales, minima (negated: at least 0), codes. A line found better is where the next try starts. */
static void search_ranges(const search *s, const float *x, float *scales, float *minima, uint8_t *codes) {
    lanes v[GROUP_LIMIT], weight[GROUP_LIMIT], code[GROUP_LIMIT];
    load_groups(x, s->group, v);
    weigh(s, v, weight);
    lanes low = v[0], high = v[0], sum_w = weight[0], sum_x = weight[0] * v[0];
    for (int i = 1; i < s->group; i++) {
        low = either(v[i] < low, v[i], low);
        high = either(v[i] > high, v[i], high);
        sum_w += weight[i];
        sum_x += weight[i] * v[i];
    }
    low = either(low > 0, all(0), low);
    integers flat = high == low;
    lanes steps = all((float)s->most) / (high - low), scale = 1 / steps;
    for (int i = 0; i < s->group; i++)
        code[i] = code_above(s, v[i], low, steps);
    lanes best = error_of(s, v, weight, code, scale, low), start = low; /* of the codes; low is the line's */
    for (int try = 0; try <= s->last; try++) {
        lanes tried = all(s->first + 0.1f * (float)try + (float)s->most) / (high - low);
        lanes sum_q = all(0), sum_qq = all(0), sum_xq = all(0);
        for (int i = 0; i < s->group; i++) {
            code[i] = code_above(s, v[i], low, tried);
            lanes wq = weight[i] * code[i];
            sum_q += wq;
            sum_qq += wq * code[i];
            sum_xq += wq * v[i];
        }
        /* weighted linear regression of x on q; a line that starts above 0 is made to start there */
        lanes determinant = sum_w * sum_qq - sum_q * sum_q;
        lanes slope = (sum_w * sum_xq - sum_x * sum_q) / determinant;
        lanes origin = (sum_qq * sum_x - sum_q * sum_xq) / determinant;
        slope = either(origin > 0, sum_xq / sum_qq, slope);
        origin = either(origin > 0, all(0), origin);
        lanes error = error_of(s, v, weight, code, slope, origin);
        integers better = (determinant > 0) & (error < best);
        best = either(better, error, best);
        scale = either(better, slope, scale);
        steps = either(better, tried, steps);
        start = either(better, low, start);
        low = either(better & ~flat, origin, low);
    }
    for (int i = 0; i < s->group; i++)
        store_codes(either(flat, all(0), code_above(s, v[i], start, steps)), i, s->group, codes);
    scale = either(flat, all(0), scale);
    low = -low;
    memcpy(scales, &scale, sizeof scale);
    memcpy(minima, &low, sizeof low);
}

static float largest(const float *x, int n) {
    float most = 0;
    for (int i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

/* Weights to the codes nearest to them under the scale and the minimum that a file can hold; a group whose scale became
 * 0 keeps the codes that it has. */
static void recode(const float *x, int n, float d, float m, int32_t low, int32_t high, uint8_t *codes) {
    for (int i = 0; d != 0 && i < n; i++)
        codes[i] = (uint8_t)(nearest((x[i] + m) / d, low, high) - low);
}

/* Codes of two bits: i, i + 32, i + 64, i + 96 of a half share a byte. */
static void pack_quarters(const uint8_t *codes, uint8_t *q) {
    for (int i = 0; i < 64; i++) {
        const uint8_t *c = codes + i / 32 * 128 + i % 32;
        q[i] = (uint8_t)((c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 | (c[96] & 3) << 6);
    }
}

void nb_quantize_q2_k(const float *x, void *blocks, size_t n) {
    static const search s = {16, 3, -0.5f, 15, true};
    nb_block_q2_k *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, x += NB_SUPERBLOCK, b++) {
        float scales[16], minima[16];
        uint8_t codes[NB_SUPERBLOCK];
        for (int g = 0; g < 16; g += LANES)
            search_ranges(&s, x + 16 * g, scales + g, minima + g, codes + 16 * g);
        float d = largest(scales, 16), m = largest(minima, 16);
        b->d = nb_f32_to_f16(d / 15);
        b->m = nb_f32_to_f16(m / 15);
        for (int g = 0; g < 16; g++) {
            int32_t scale = d > 0 ? nearest(15 / d * scales[g], INT32_MIN, INT32_MAX) : 0;
            int32_t minimum = m > 0 ? nearest(15 / m * minima[g], INT32_MIN, INT32_MAX) : 0;
            b->scales[g] = (uint8_t)((uint32_t)scale | (uint32_t)minimum << 4);
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

/* One superblock: the block's d, m and scales (their places in Q4_K and Q5_K are the same), and the codes. */
static void quantize_eight(const search *s, const float *x, nb_block_q4_k *b, uint8_t *codes) {
    float scales[8], minima[8];
    for (int g = 0; g < 8; g += LANES)
        search_ranges(s, x + 32 * g, scales + g, minima + g, codes + 32 * g);
    float d = largest(scales, 8), m = largest(minima, 8);
    b->d = nb_f32_to_f16(d / 63);
    b->m = nb_f32_to_f16(m / 63);
    for (int g = 0; g < 8; g++) { /* the cast: a scale below 0 counts as the largest */
        uint8_t scale = (uint8_t)nearest((d > 0 ? 63 / d : 0) * scales[g], INT32_MIN, INT32_MAX);
        uint8_t minimum = (uint8_t)nearest((m > 0 ? 63 / m : 0) * minima[g], INT32_MIN, INT32_MAX);
        pack_six_bits(b->scales, g, NB_MIN(scale, 63u), NB_MIN(minimum, 63u));
    }
    for (uint32_t g = 0; g < 8; g++)
        recode(x + 32 * g, 32, nb_f16_to_f32(b->d) * (float)nb_q4_k_scale(b->scales, g),
               nb_f16_to_f32(b->m) * (float)nb_q4_k_minimum(b->scales, g), 0, s->most, codes + 32 * g);
}

/* The low four bits: groups 2i and 2i + 1 share bytes. */
static void pack_halves(const uint8_t *codes, uint8_t *q) {
    for (int i = 0; i < 128; i++) {
        const uint8_t *c = codes + i / 32 * 64 + i % 32;
        q[i] = (uint8_t)((c[0] & 15) | c[32] << 4);
    }
}

void nb_quantize_q4_k(const float *x, void *blocks, size_t n) {
    static const search s = {32, 15, -1, 20, false};
    nb_block_q4_k *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, x += NB_SUPERBLOCK, b++) {
        uint8_t codes[NB_SUPERBLOCK];
        quantize_eight(&s, x, b, codes);
        pack_halves(codes, b->q);
    }
}

/* One bit of each code: that of weight i is bit i / 32 of high[i % 32]. */
static void pack_bits(const uint8_t *codes, int bit, uint8_t *high) {
    memset(high, 0, 32);
    for (int i = 0; i < NB_SUPERBLOCK; i++)
        high[i % 32] |= (uint8_t)((codes[i] >> bit & 1) << i / 32);
}

void nb_quantize_q5_k(const float *x, void *blocks, size_t n) {
    static const search s = {32, 31, -0.5f, 15, false};
    nb_block_q5_k *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, x += NB_SUPERBLOCK, b++) {
        nb_block_q4_k head;
        uint8_t codes[NB_SUPERBLOCK];
        quantize_eight(&s, x, &head, codes);
        b->d = head.d;
        b->m = head.m;
        memcpy(b->scales, head.scales, NB_K_SCALES);
        pack_halves(codes, b->q);
        pack_bits(codes, 4, b->high);
    }
}

/* ---- w = d s q, codes of both signs --------------------------------------------------------------------------- */

/* The scale d and the codes that have the least error, weighted with w^2, are those with the largest (sum w x q)^2 /
 * sum (w q^2), and d = sum w x q / sum w q^2. */

/* The first of 16 that are the farthest from zero. */
static float farthest_scale(const float *scales) {
    float far = 0;
    for (int g = 0; g < 16; g++)
        far = __builtin_fabsf(scales[g]) > __builtin_fabsf(far) ? scales[g] : far;
    return far;
}

/* Four groups of 16 -> scales; codes plus 32. The weight farthest from zero becomes -31.1, -31.2, ... -32.9. */
static void search_scales(const float *x, float *scales, uint8_t *codes) {
    lanes v[16], most, far;
    load_groups(x, 16, v);
    far = farthest_weights(v, 16, &most);
    lanes best = all(0), scale = all(0), steps = all(-32) / far;
    for (int try = 0; try <= 18; try++) {
        float offset = 0.1f * (float)(try == 0 ? 0 : try <= 9 ? try - 10 : try - 9); /* 0 first, the others ascending */
        lanes tried = all(-(32 + offset)) / far, xq = all(0), qq = all(0);
        for (int i = 0; i < 16; i++) {
            lanes q = nearest_lanes(tried * v[i], -32, 31), w = v[i] * v[i];
            xq += w * v[i] * q;
            qq += w * q * q;
        }
        integers better = try == 0 ? qq != 0 : (qq > 0) & (xq * xq > best * qq);
        scale = either(better, xq / qq, scale);
        best = either(better, scale * xq, best);
        steps = either(better, tried, steps);
    }
    integers nothing = most < NOTHING;
    for (int i = 0; i < 16; i++)
        store_codes(either(nothing, all(0), nearest_lanes(steps * v[i], -32, 31) + 32), i, 16, codes);
    scale = either(nothing, all(0), scale);
    memcpy(scales, &scale, sizeof scale);
}

void nb_quantize_q6_k(const float *x, void *blocks, size_t n) {
    nb_block_q6_k *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, x += NB_SUPERBLOCK, b++) {
        float scales[16];
        uint8_t codes[NB_SUPERBLOCK];
        for (int g = 0; g < 16; g += LANES)
            search_scales(x + 16 * g, scales + g, codes + 16 * g);
        float far = farthest_scale(scales);
        if (__builtin_fabsf(far) < NOTHING) {
            memset(b, 0, sizeof *b);
            continue;
        }
        float steps = -128 / far;
        b->d = nb_f32_to_f16(1 / steps);
        for (int g = 0; g < 16; g++) {
            b->scales[g] = (int8_t)nearest(steps * scales[g], INT32_MIN, 127);
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

/* Four groups of 16 -> scales; codes plus 4. Codes are changed one at a time, each to what fits best beside the others,
 * in five rounds. (The reference stops after one that changed nothing; further ones would not either.) */
static void refine_scales(const float *x, float *scales, uint8_t *codes) {
    lanes v[16], q[16], most, far, xq = all(0), qq = all(0);
    load_groups(x, 16, v);
    far = farthest_weights(v, 16, &most);
    for (int i = 0; i < 16; i++) {
        q[i] = nearest_lanes(all(-4) / far * v[i], -4, 3);
        lanes w = v[i] * v[i];
        xq += w * v[i] * q[i];
        qq += w * q[i] * q[i];
    }
    for (int round = 0; round < 5; round++)
        for (int i = 0; i < 16; i++) {
            lanes w = v[i] * v[i], rest_xq = xq - w * v[i] * q[i], rest_qq = qq - w * q[i] * q[i];
            lanes other = nearest_lanes(v[i] * rest_qq / rest_xq, -4, 3);
            integers open = (rest_xq > 0) & (other != q[i]);
            rest_xq += w * v[i] * other;
            rest_qq += w * other * other;
            integers better = open & (rest_qq > 0) & (rest_xq * rest_xq * qq > xq * xq * rest_qq);
            q[i] = either(better, other, q[i]);
            xq = either(better, rest_xq, xq);
            qq = either(better, rest_qq, qq);
        }
    integers nothing = most < NOTHING;
    for (int i = 0; i < 16; i++)
        store_codes(either(nothing, all(0), q[i] + 4), i, 16, codes);
    lanes scale = either((qq > 0) & ~nothing, xq / qq, all(0));
    memcpy(scales, &scale, sizeof scale);
}

void nb_quantize_q3_k(const float *x, void *blocks, size_t n) {
    nb_block_q3_k *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, x += NB_SUPERBLOCK, b++) {
        float scales[16];
        uint8_t codes[NB_SUPERBLOCK];
        for (int g = 0; g < 16; g += LANES)
            refine_scales(x + 16 * g, scales + g, codes + 16 * g);
        float far = farthest_scale(scales);
        memset(b->scales, 0, sizeof b->scales);
        float steps = -32 / far;
        b->d = far != 0 ? nb_f32_to_f16(1 / steps) : 0;
        for (int g = 0; g < 16 && far != 0; g++) { /* as nb_q3_k_scale (types.h) unpacks them */
            uint32_t scale = (uint32_t)(nearest(steps * scales[g], -32, 31) + 32);
            b->scales[g % 8] |= (uint8_t)((scale & 15) << g / 8 * 4);
            b->scales[8 + g % 4] |= (uint8_t)(scale >> 4 << g / 4 * 2);
        }
        for (uint32_t g = 0; g < 16; g++)
            recode(x + 16 * g, 16, nb_f16_to_f32(b->d) * (float)nb_q3_k_scale(b->scales, g), 0, -4, 3,
                   codes + 16 * g);
        pack_quarters(codes, b->q);
        pack_bits(codes, 2, b->high);
    }
}
