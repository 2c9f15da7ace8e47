#include "rope.h"

#include "../base/numbers.h"

#include <math.h>

/* The (fractional) pair that turns `turns` times over the original context. */
static float pair_turning(const nb_rope *r, float turns) {
    return (float)r->pairs * logf(r->original_context / (turns * 6.2831853f)) / logf(r->base);
}

void nb_rope_frequencies(const nb_rope *r, uint32_t context, float *frequencies, float *magnitude) {
    float first = 0, last = 0;
    const float *factors = r->long_factors && (float)context > r->original_context ? r->long_factors : r->factors;
    *magnitude = r->attention_factor;
    if (r->scaling == NB_ROPE_YARN) {
        first = NB_MAX(0, floorf(pair_turning(r, r->beta_fast)));
        last = NB_MIN((float)(2 * r->pairs - 1), ceilf(pair_turning(r, r->beta_slow)));
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
            float keep = 1 - NB_MIN(1, NB_MAX(0, ((float)i - first) / NB_MAX(0.001f, last - first)));
            f = f / r->factor * (1 - keep) + f * keep;
        }
        frequencies[i] = f;
    }
}

void nb_rope_angles(const float *frequencies, float magnitude, uint32_t pairs, uint32_t first, uint32_t n, float *cosines,
                    float *sines) {
    for (uint32_t t = 0; t < n; t++)
        for (uint32_t i = 0; i < pairs; i++) {
            float angle = (float)(first + t) * frequencies[i];
            cosines[(size_t)t * pairs + i] = cosf(angle) * magnitude;
            sines[(size_t)t * pairs + i] = sinf(angle) * magnitude;
        }
}
