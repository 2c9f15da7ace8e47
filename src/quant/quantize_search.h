/* Searches that the encoders share: which scale, and which minimum, fits a group of weights best.
 *
 * Sums of F32 depend on their order, and the searches depend on sums. So four groups are searched together, one in each
 * lane of a vector, and each group's sums run in the order of its weights, as in ggml-org/ggml, src/ggml-quants.c.
 * WebAssembly and native builds give the same bytes. */
#ifndef NB_QUANTIZE_SEARCH_H
#define NB_QUANTIZE_SEARCH_H

#include "../base/numbers.h"
#include "../types/types.h"

enum { NB_LANES = 4, NB_GROUP_LIMIT = 32 };

static const float NB_ALMOST_ZERO = 1e-15f; /* a group becomes zeros if all its magnitudes are smaller */

/* x rounded to nearest, ties to even, within low ... high. The integer is in the last 22 bits of x + 1.5 * 2^23. For
 * larger x the result is arbitrary, but the same on every machine. */
static inline int32_t nb_nearest(float x, int32_t low, int32_t high) {
    int32_t i = (int32_t)(nb_bits_of(x + 0x1.8p23f) & 0x7fffff) - 0x400000;
    return NB_MAX(low, NB_MIN(i, high));
}

/* x rounded to nearest, ties away from zero; 0 unless |x| < 256. */
static inline int32_t nb_rounded_away(float x) {
    if (!(__builtin_fabsf(x) < 256))
        return 0;
    int32_t whole = (int32_t)x;
    float rest = x - (float)whole;
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

float nb_largest_magnitude(const float *x, size_t n);

float nb_sum_of_squares(const float *x, size_t n);

/* weight[i] = importance[i] sqrt(spread + x[i]^2): the weight of x[i]'s error if there is an importance matrix.
 * importance: NULL means all 1. */
void nb_weigh(const float *x, const float *importance, float spread, float *weight, int n);

/* A search for w = scale q + low, q from 0 to `most`, in groups of `group` weights. It tries the scales range / (most +
 * first + i step), i = 0 ... last. */
typedef struct nb_ranges {
    int group, most;
    float first, step;
    int last;
    bool absolute; /* minimizes |error| instead of its square */
} nb_ranges;

/* Four groups, one after the other -> scales [4], minima [4] (-low, which is at least 0), codes [4][group]. */
void nb_search_ranges(const nb_ranges *s, const float *x, const float *weight, float *scales, float *minima,
                      uint8_t *codes);

/* Four groups of n for w = scale q, q from -most to most - 1 -> scales [4], codes q + most [4][n]. A group of zeros has
 * codes of 0. */
void nb_search_scales(int n, int most, const float *x, const float *weight, float *scales, uint8_t *codes);

/* The same, but it does not try scales. It starts with the scale that gives the largest magnitude the code -most, and
 * then refines the codes one by one. */
void nb_refine_scales(int n, int most, const float *x, const float *weight, float *scales, uint8_t *codes);

/* One group of n for w = scale q, q from 0 to `most` -> codes. Returns the scale. */
float nb_search_steps(int n, int most, const float *x, const float *weight, uint8_t *codes);

#endif
