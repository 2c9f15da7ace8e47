/* Numbers m 2^e with integers m and e: the scales of integer inference. I-LLM (arXiv 2405.17849) calls them dyadic. */
#ifndef NB_DYADIC_H
#define NB_DYADIC_H

#include "../base/numbers.h"

enum {
    NB_FRACTION = 16, /* fractional bits of the residual stream, of outputs of matrices, and of logits */
    NB_LEVELS = 127,  /* the largest code of 8 bits; -128 is not used */
    /* The largest code of 12 bits, for the inputs of ffn_down and the output matrix, where single numbers are hundreds
     * of times the others. (I-LLM smooths those of ffn_down instead, which needs a calibration text.) */
    NB_WIDE_LEVELS = 2047
};

/* Rows of more than 8,192 columns get a smaller largest code, as sums must fit 32 bits. */
static inline uint32_t nb_wide_levels(uint32_t columns) {
    return NB_MIN((uint32_t)NB_WIDE_LEVELS, INT32_MAX / 128 / columns);
}

/* m = 0, or 2^30 <= m < 2^31. */
typedef struct nb_dyadic {
    uint32_t m;
    int32_t e;
} nb_dyadic;

static inline int32_t nb_bit_length(uint64_t v) {
    return v ? 64 - __builtin_clzll(v) : 0;
}

static inline uint64_t nb_magnitude(int64_t v) {
    return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

static inline int64_t nb_with_sign(int64_t sign, uint64_t magnitude) {
    return sign < 0 ? -(int64_t)magnitude : (int64_t)magnitude;
}

/* v / 2^s rounded to nearest, ties away from zero; |v| < 2^62, 0 <= s <= 62. (Jacob et al. 2018, section 2.2, round
 * twice: SQRDMULH, then a rounding shift.) */
static inline int64_t nb_round_shift(int64_t v, int32_t s) {
    uint64_t half = s > 0 ? (uint64_t)1 << (s - 1) : 0;
    return nb_with_sign(v, (nb_magnitude(v) + half) >> s);
}

/* The same for any s, saturated to -(2^31 - 1) ... 2^31 - 1. */
static inline int32_t nb_shift(int64_t v, int32_t s) {
    uint64_t magnitude = nb_magnitude(v);
    if (s > 62)
        return 0;
    if (s >= 0)
        magnitude = (magnitude + (s > 0 ? (uint64_t)1 << (s - 1) : 0)) >> s;
    else if (magnitude > (uint64_t)INT32_MAX >> NB_MIN(-s, 31))
        magnitude = INT32_MAX;
    else if (magnitude)
        magnitude <<= -s;
    return (int32_t)nb_with_sign(v, NB_MIN(magnitude, INT32_MAX));
}

/* v 2^e; bits that do not fit into m are cut off. */
static inline nb_dyadic nb_dyadic_of(uint64_t v, int32_t e) {
    int32_t more = nb_bit_length(v) - 31;
    return v ? (nb_dyadic){(uint32_t)(more > 0 ? v >> more : v << -more), e + more} : (nb_dyadic){0, 0};
}

static inline nb_dyadic nb_dyadic_times(nb_dyadic a, nb_dyadic b) {
    return nb_dyadic_of((uint64_t)a.m * b.m, a.e + b.e);
}

/* v times the scale, with NB_FRACTION fractional bits. |v| < 2^31. */
static inline int32_t nb_scaled(int64_t v, nb_dyadic scale) {
    return nb_shift(v * (int64_t)scale.m, -(scale.e + NB_FRACTION));
}

/* The sum, saturated as in nb_shift. */
static inline int32_t nb_saturating_add(int32_t a, int32_t b) {
    int64_t sum = (int64_t)a + b;
    return (int32_t)NB_MAX(NB_MIN(sum, INT32_MAX), -(int64_t)INT32_MAX);
}

#endif
