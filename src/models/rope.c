#include "rope.h"

#include "../base/numbers.h"

#include <math.h>

/* The pair, as a fraction, that makes so many turns over the original context (YaRN's find_correction_dim). */
static float pair_turning(const nb_rope *r, float turns) {
    return (float)r->pairs * logf(r->original_context / (turns * 6.2831853f)) / logf(r->base);
}

void nb_rope_frequencies(const nb_rope *r, uint32_t context, float *frequencies, float *magnitude) {
    float first = 0, last = 0;
    const float *factors = r->long_factors && (float)context > r->original_context ? r->long_factors : r->factors;
    *magnitude = r->attention_factor;
    if (r->scaling == NB_ROPE_YARN) {
        first = r->ramp_first >= 0 ? r->ramp_first : NB_MAX(0, floorf(pair_turning(r, r->beta_fast)));
        last =
            r->ramp_first >= 0 ? r->ramp_last : NB_MIN((float)(2 * r->pairs - 1), ceilf(pair_turning(r, r->beta_slow)));
        if (r->ramp_first < 0 || first == last)
            last = NB_MAX(last, first + 0.001f);
        if (r->factor > 1)
            *magnitude *= 0.1f * logf(r->factor) + 1;
    }
    for (uint32_t i = 0; i < r->pairs; i++) {
        float f = 1 / powf(r->base, (float)i / (float)r->pairs);
        if (factors)
            f /= factors[i];
        if (r->scaling == NB_ROPE_LINEAR)
            f /= r->factor;
        if (r->scaling == NB_ROPE_YARN) {
            float keep = 1 - NB_MIN(1, NB_MAX(0, ((float)i - first) / (last - first)));
            f = f / r->factor * (1 - keep) + f * keep;
        }
        if (r->scaling == NB_ROPE_LLAMA3) {
            float turns = r->original_context * f / 6.2831853f; /* over the original context */
            float keep = NB_MIN(1, NB_MAX(0, (turns - r->beta_slow) / (r->beta_fast - r->beta_slow)));
            f = f / r->factor * (1 - keep) + f * keep;
        }
        frequencies[i] = f;
    }
}

/* Subtracts quarter turns in double precision, then uses Taylor polynomials within an eighth of a turn (remainders
 * below 1e-12). The results are those of the C library, in a tenth of the code: its reduction of angles beyond 2^28
 * alone is 4 KB long. */
static void cosine_and_sine(float angle, float *cosine, float *sine) {
    if (!(angle >= 0 && angle < 0x1p28f)) /* only in a broken file */
        angle = 0;
    int32_t quarters = (int32_t)((double)angle * 0.63661977236758134 + 0.5);
    /* pi / 2 in two parts, the first of so few bits that the product is exact */
    double x = (double)angle - quarters * 1.57079631090164184570 - quarters * 1.58932547735281966916e-08, y = x * x;
    double s = x * (1 - y / 6 * (1 - y / 20 * (1 - y / 42 * (1 - y / 72 * (1 - y / 110 * (1 - y / 156))))));
    double c = 1 - y / 2 * (1 - y / 12 * (1 - y / 30 * (1 - y / 56 * (1 - y / 90 * (1 - y / 132)))));
    *cosine = (float)(quarters & 1 ? s : c);
    *sine = (float)(quarters & 1 ? c : s);
    if ((quarters + 1) & 2)
        *cosine = -*cosine;
    if (quarters & 2)
        *sine = -*sine;
}

void nb_rope_angles(const float *frequencies, float magnitude, uint32_t pairs, uint32_t first, uint32_t n,
                    float *cosines, float *sines) {
    for (uint32_t t = 0; t < n; t++)
        for (uint32_t i = 0; i < pairs; i++) {
            float angle = (float)(first + t) * frequencies[i];
            cosine_and_sine(angle, &cosines[(size_t)t * pairs + i], &sines[(size_t)t * pairs + i]);
            cosines[(size_t)t * pairs + i] *= magnitude;
            sines[(size_t)t * pairs + i] *= magnitude;
        }
}
