/* Searches that the encoders share: which scale, and which minimum, fits a group of weights best.
 *
 * Sums of F32 depend on their order, and searches on sums. So four groups are searched at once, one in each lane of a
 * vector, and the sums of each group run in the order of its weights, as the reference's do (ggml-org/ggml,
 * src/ggml-quants.c). WebAssembly and native builds give the same bytes. */
#ifndef NB_QUANTIZE_SEARCH_H
#define NB_QUANTIZE_SEARCH_H

#include "../base/numbers.h"
#include "../types/types.h"

enum { NB_LANES = 4, NB_GROUP_LIMIT = 32 };

static const float NB_NOTHING = 1e-15f; /* a group whose weights are all nearer to zero than this becomes zeros */

/* x rounded to nearest, ties to even, within low ... high. The sum with 1.5 * 2^23 has the integer in its last 22 bits;
 * numbers beyond those give whatever these bits hold, which is the same on every machine. */
static inline int32_t nb_nearest(float x, int32_t low, int32_t high) {
    int32_t i = (int32_t)(nb_bits_of(x + 0x1.8p23f) & 0x7fffff) - 0x400000;
    return NB_MAX(low, NB_MIN(i, high));
}

/* x rounded to nearest, ties away from zero; 0 for what is not finite or too large. */
static inline int32_t nb_rounded_away(float x) {
    if (!(__builtin_fabsf(x) < 256))
        return 0;
    int32_t whole = (int32_t)x;
    float rest = x - (float)whole;
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

float nb_largest_magnitude(const float *x, size_t n);

float nb_sum_of_squares(const float *x, size_t n);

/* weight[i] = importance[i] sqrt(spread + x[i]^2): what an error of x[i] counts if there is an importance matrix. NULL:
 * as one that has 1 everywhere. */
void nb_weigh(const float *x, const float *importance, float spread, float *weight, int n);

/* How w = scale q + low is searched for: q from 0 to `most`, groups of `group` weights. The scales that are tried make
 * (most + first + i step) steps of the group's range, i = 0 ... last. */
typedef struct nb_ranges {
    int group, most;
    float first, step;
    int last;
    bool absolute; /* errors count |error|, and not its square */
} nb_ranges;

/* Four groups, one after the other -> scales [4], minima [4] (-low, which is at least 0), codes [4][group]. */
void nb_search_ranges(const nb_ranges *s, const float *x, const float *weight, float *scales, float *minima,
                      uint8_t *codes);

/* Four groups of n for w = scale q, q from -most to most - 1 -> scales [4], codes plus `most` [4][n]. A group of zeros
 * has codes of 0. */
void nb_search_scales(int n, int most, const float *x, const float *weight, float *scales, uint8_t *codes);

/* The same without trying scales: codes are refined from those that make the weight farthest from zero -most. */
void nb_refine_scales(int n, int most, const float *x, const float *weight, float *scales, uint8_t *codes);

/* One group of n for w = scale q, q from 0 to `most` -> scale, codes. */
float nb_search_steps(int n, int most, const float *x, const float *weight, uint8_t *codes);

#endif
