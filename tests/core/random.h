/* Reproducible random numbers for tests: xorshift32 (Marsaglia 2003). The seed is never 0. */
#ifndef NB_RANDOM_H
#define NB_RANDOM_H

#include <stdint.h>

static inline uint32_t test_random(uint32_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* Within -1 ... 1. */
static inline float test_random_float(uint32_t *seed) {
    return (float)((int32_t)(test_random(seed) >> 8) - (1 << 23)) / (1 << 23);
}

#endif
