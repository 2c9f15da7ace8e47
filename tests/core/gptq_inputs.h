/* Weights and correlated inputs for tests of GPTQ, the same as in tests/oracles/gptq_vectors.py. */
#ifndef NB_GPTQ_INPUTS_H
#define NB_GPTQ_INPUTS_H

#include "check.h"
#include "random.h"

#include "../../src/nibble_quantize.h"

enum { TEST_ROWS = 32, TEST_COLUMNS = 256, TEST_TOKENS = 384 };
#define TEST_SEED 2463534242u

/* Sums of three random numbers within -1 ... 1, divided by 32. */
static inline void test_fill_weights(uint32_t *seed, float *w) {
    for (int i = 0; i < TEST_ROWS * TEST_COLUMNS; i++) {
        float a = test_random_float(seed), b = test_random_float(seed), c = test_random_float(seed);
        w[i] = (a + b + c) / 32;
    }
}

/* X^T X. Inputs are integers: three quarters of the neighbour plus a random number, times 1 to 5. */
static inline void test_fill_hessian(uint32_t *seed, uint32_t dead, float *h) {
    int32_t *x = nb_alloc(sizeof *x * TEST_TOKENS * TEST_COLUMNS);
    for (int32_t t = 0; t < TEST_TOKENS; t++)
        for (int32_t c = 0, last = 0; c < TEST_COLUMNS; c++) {
            last = (3 * last >> 2) + (int32_t)((test_random(seed) >> 8) % 33) - 16;
            x[t * TEST_COLUMNS + c] = dead && (uint32_t)c % dead == dead - 1 ? 0 : last * (1 + c * 7 % 5);
        }
    for (int i = 0; i < TEST_COLUMNS; i++)
        for (int j = 0; j < TEST_COLUMNS; j++) {
            int64_t sum = 0;
            for (int t = 0; t < TEST_TOKENS; t++)
                sum += (int64_t)x[t * TEST_COLUMNS + i] * x[t * TEST_COLUMNS + j];
            h[i * TEST_COLUMNS + j] = (float)sum;
        }
    nb_free(x);
}

/* Prepares and factors; a check fails if that fails. */
static inline bool test_factor(nb_quantizer *q, const nb_gptq_settings *settings) {
    nb_error err;
    int32_t left = nb_quantizer_prepare(q, settings, &err);
    do
        left = left < 0 ? left : nb_quantizer_factor(q, &err);
    while (left > 0);
    return CHECK(left == 0, "%s", err.message);
}

#endif
