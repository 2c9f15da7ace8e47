/* Encodes rows as bitsandbytes' types, rounded as its functions do on a CPU (bitsandbytes 0.50.2,
 * backends/default/ops.py and csrc/cpu_ops.cpp): an absmax for 64 weights, and for each weight the nearest number of a
 * codebook. */
#include "../base/numbers.h"
#include "bnb.h"
#include "quantize.h"

#pragma STDC FP_CONTRACT OFF

/* FP4's codes in the order of their numbers. -0 comes after 0, so the smallest positive weights get its code. */
static const uint8_t fp4_order[16] = {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3};

typedef struct codebook {
    const float *numbers;
    const uint8_t *order; /* the codes in the order of their numbers; NULL: 0, 1, 2 ... */
    float bounds[15];     /* halfway between neighbours; a number on a bound gets the lower one's code */
} codebook;

static codebook codebook_of(uint32_t type) {
    codebook c = {type == NB_TYPE_NF4 ? nb_nf4_codebook : nb_fp4_codebook, type == NB_TYPE_NF4 ? NULL : fp4_order, {0}};
    for (int i = 0; i < 15; i++) {
        int low = c.order ? c.order[i] : i, high = c.order ? c.order[i + 1] : i + 1;
        c.bounds[i] = (c.numbers[low] + c.numbers[high]) / 2;
    }
    return c;
}

/* x is within -1 ... 1, or a rounding error beyond, which changes no code. */
static uint8_t code_of(const codebook *c, float x) {
    uint8_t code = 0;
    for (int k = 0; k < 15; k++)
        code = (uint8_t)(code + (x > c->bounds[k]));
    return c->order ? c->order[code] : code;
}

/* n weights -> q [n / 2, rounded up], two codes in a byte, the first in the upper half. Returns the absmax. As in the
 * library, a whole block is multiplied by the inverse of the absmax, and an incomplete one at the matrix's end is
 * divided by it. */
static float quantize_block(const codebook *c, const float *x, size_t n, bool is_whole, uint8_t *q) {
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = most < __builtin_fabsf(x[i]) ? __builtin_fabsf(x[i]) : most;
    float least = NB_MAX(most, 1e-38f), scale = 1 / least;
    for (size_t i = 0; i < n; i += 2) {
        float second = i + 1 < n ? x[i + 1] : 0;
        uint8_t high = code_of(c, is_whole ? x[i] * scale : x[i] / least);
        q[i / 2] = (uint8_t)(high << 4 | code_of(c, is_whole ? second * scale : second / least));
    }
    return is_whole ? most : least;
}

void nb_bnb_codes(uint32_t type, const float *x, size_t n, size_t block, uint8_t *codes, float *absmax) {
    codebook c = codebook_of(type);
    for (size_t at = 0; at < n; at += block)
        *absmax++ = quantize_block(&c, x + at, NB_MIN(block, n - at), block <= n - at, codes + at / 2);
}

static void quantize_to_codebook(uint32_t type, const float *x, nb_block_nf4 *b, size_t n) {
    codebook c = codebook_of(type);
    for (; n; n -= NB_BLOCK_NF4, x += NB_BLOCK_NF4, b++)
        b->d = quantize_block(&c, x, NB_BLOCK_NF4, true, b->q);
}

void nb_quantize_nf4(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    (void)how;
    quantize_to_codebook(NB_TYPE_NF4, x, blocks, n);
}

void nb_quantize_fp4(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    (void)how;
    quantize_to_codebook(NB_TYPE_FP4, x, blocks, n);
}

/* ---- LLM.int8() ---------------------------------------------------------------------------------------------- */

/* Rounds to nearest, ties to even: the last bit of the sum with 1.5 * 2^23 means 1. 0 if x is not finite. */
static int8_t rounded(float x) {
    return __builtin_fabsf(x) < 127.5f ? (int8_t)(x + 0x1.8p23f - 0x1.8p23f) : 0;
}

static float half(float x) {
    return nb_f16_to_f32(nb_f32_to_f16(x));
}

/* Weights are converted to binary16 first. */
static float largest_half(const float *x, size_t n) {
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = NB_MAX(most, __builtin_fabsf(x[i]));
    return half(most); /* rounding is monotonous */
}

/* 127 / most, rounded twice, as torch divides a number by a tensor. */
static float int8_scale(float most) {
    return 1 / most * 127;
}

/* Whether column i is the next outlier of the list; then *next moves on. */
static bool is_outlier_next(const uint32_t *list, uint32_t outliers, uint32_t *next, size_t i) {
    bool is_outlier = *next < outliers && list[*next] == i;
    *next += is_outlier;
    return is_outlier;
}

float nb_bnb_int8(const float *x, size_t n, const uint32_t *list, uint32_t outliers, int8_t *codes) {
    float most = 0;
    uint32_t next = 0;
    for (size_t i = 0; i < n; i++)
        if (!is_outlier_next(list, outliers, &next, i))
            most = NB_MAX(most, largest_half(x + i, 1));
    float scale = int8_scale(most);
    next = 0;
    for (size_t i = 0; i < n; i++)
        codes[i] = is_outlier_next(list, outliers, &next, i) ? 0 : rounded(half(x[i]) * scale);
    return most;
}

void nb_quantize_int8(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    (void)how;
    nb_block_q8_0 *b = blocks;
    float most = largest_half(x, n), scale = int8_scale(most);
    uint16_t d = nb_f32_to_f16(most / 127);
    for (; n; n -= NB_BLOCK, x += NB_BLOCK, b++) {
        b->d = d;
        for (int i = 0; i < NB_BLOCK; i++)
            b->q[i] = rounded(half(x[i]) * scale);
    }
}

/* ---- double quantization ------------------------------------------------------------------------------------- */

enum { NESTED = NB_BNB_NESTED, ZERO = 127 /* the code of 0 */ };

/* End i of the equal parts of 0.1 ... 1, computed from the nearer end and rounded once, as in torch.linspace. */
static float part_end(int i, int parts) {
    float step = (1 - 0.1f) / (float)parts;
    return (float)(i < (parts + 1) / 2 ? 0.1f + (double)step * i : 1 - (double)step * (parts - i));
}

/* The signed dynamic 8-bit type (Dettmers 2016, section 2.1; bitsandbytes' create_dynamic_map), ascending: code 127 is
 * 0, and the last is 1. The others are +- 10^-6, 10^-5 ... 1 times the middles of 1, 2, 4, ... 64 equal parts of 0.1
 * ... 1. */
void nb_bnb_dynamic_map(float map[256]) {
    double power = 1e-6;
    int at = ZERO;
    map[at++] = 0;
    map[255] = 1;
    for (int parts = 1; parts <= 64; parts *= 2, power *= 10)
        for (int i = 0; i < parts; i++, at++) {
            map[at] = (float)power * ((part_end(i, parts) + part_end(i + 1, parts)) / 2);
            map[2 * ZERO - at] = -map[at];
        }
}

/* The code whose number is nearest to x in -1 ... 1. First x is rounded to one of 65,536 numbers, by which bitsandbytes
 * looks codes up on a CPU. (On a GPU the code may be a neighbour where the map is finer.) */
static uint32_t nearest_dynamic(const float map[256], float x) {
    x = x < -1 ? -1 : x > 1 ? 1 : x == x ? x : 0;
    int32_t bin = (int32_t)((x + 1) * 0.5f * 65535 + 0.5f);
    x = -1 + 2 * (float)bin / 65535;
    uint32_t low = 0, high = 255;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (0.5f * (map[middle] + map[middle + 1]) < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The mean of n numbers that lie `stride` numbers apart. torch.mean adds in F32 in another order, so its result may
 * differ in the last bit. */
static float mean_of(const float *x, size_t n, size_t stride) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i * stride];
    return (float)(sum / (double)n);
}

/* Up to NESTED numbers -> codes. Returns their absmax. */
static float quantize_scales(const float map[256], const float *x, size_t n, size_t stride, float mean,
                             uint8_t *codes) {
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = NB_MAX(most, __builtin_fabsf(x[i * stride] - mean));
    float scale = 1 / most;
    for (size_t i = 0; i < n; i++)
        codes[i] = (uint8_t)(most != 0 ? nearest_dynamic(map, (x[i * stride] - mean) * scale) : 0);
    return most;
}

float nb_bnb_scales(const float *absmax, size_t n, uint8_t *codes, float *nested) {
    float map[256], mean = mean_of(absmax, n, 1);
    nb_bnb_dynamic_map(map);
    for (size_t at = 0; at < n; at += NESTED)
        *nested++ = quantize_scales(map, absmax + at, NB_MIN(n - at, NESTED), 1, mean, codes + at);
    return mean;
}

void nb_quantize_scales(nb_block_nf4 *blocks, uint8_t *codes, size_t n) {
    enum { STRIDE = sizeof *blocks / sizeof(float) };
    _Static_assert(STRIDE * sizeof(float) == sizeof *blocks, "scales are F32 numbers of an array");
    const float *scales = (const float *)(const void *)((const uint8_t *)blocks + offsetof(nb_block_nf4, d));
    float map[256], mean = n ? mean_of(scales, n, STRIDE) : 0;
    nb_bnb_dynamic_map(map);
    for (size_t at = 0; at < n; at += NESTED) {
        uint8_t part[NESTED];
        size_t some = NB_MIN(n - at, NESTED);
        float most = quantize_scales(map, scales + at * STRIDE, some, STRIDE, mean, part);
        for (size_t i = 0; i < some; i++)
            blocks[at + i].d = map[part[i]] * most + mean;
        if (codes)
            memcpy(codes + at, part, some);
    }
}
