/* The wider search (`best` of nb_encoding) has less error than llama.cpp's for each type, on rows like those of
 * weights. */
#include "check.h"
#include "random.h"

#include "../../src/base/numbers.h"
#include "../../src/quant/quantize.h"
#include "../../src/types/traits.h"

#include <math.h>

enum { COLUMNS = 256, ROWS = 6 };

static float uniform(uint32_t *seed) { /* within 0 ... 1, without 0 */
    return ((float)(test_random(seed) >> 8) + 0.5f) / (1 << 24);
}

static float gaussian(uint32_t *seed) { /* Box and Muller 1958 */
    float radius = sqrtf(-2 * logf(uniform(seed)));
    return radius * cosf(6.2831853f * uniform(seed));
}

typedef float draw(uint32_t *seed);

static float laplace(uint32_t *seed) {
    float size = -logf(uniform(seed));
    return test_random(seed) & 256 ? size : -size;
}

static float with_outliers(uint32_t *seed) {
    return gaussian(seed) * (uniform(seed) < 0.01f ? 20.0f : 1.0f);
}

static void *neighbours; /* of the current type, if it has a grid */

/* The sum of importance (x - w)^2, in F64, as differences are small. */
static double error_of(uint32_t type, const nb_encoding *how, const float *x, const float *importance, size_t n) {
    _Alignas(4) uint8_t blocks[COLUMNS * 2];
    float w[COLUMNS];
    double sum = 0;
    nb_encoding with = *how;
    with.neighbours = neighbours;
    (neighbours ? nb_grid_quantizer_of(type) : nb_quantizer_of(type))(&with, x, blocks, n);
    nb_traits_of(type)->dequantize(blocks, w, n);
    for (size_t i = 0; i < n; i++)
        sum += (importance ? (double)importance[i] : 1) * ((double)x[i] - (double)w[i]) * ((double)x[i] - (double)w[i]);
    return sum;
}

/* No block may be worse than llama.cpp's, and all together must be better. */
static void compare(uint32_t type, const char *name, draw *from, const float *importance) {
    const nb_traits *traits = nb_traits_of(type);
    uint32_t seed = 9;
    double reference = 0, best = 0;
    for (int row = 0; row < ROWS; row++) {
        float x[COLUMNS];
        for (int i = 0; i < COLUMNS; i++)
            x[i] = 0.03f * from(&seed);
        /* one block is a row, as Q4_0 and similar types weight errors by the row's mean square */
        for (size_t at = 0; at < COLUMNS; at += traits->block_weights) {
            const float *counts = importance ? importance + at : NULL;
            nb_encoding plain = {.importance = counts}, wide = {.importance = counts, .best = true};
            double one = error_of(type, &plain, x + at, counts, traits->block_weights);
            double other = error_of(type, &wide, x + at, counts, traits->block_weights);
            CHECK(other <= one * 1.00001, "%s, %s, row %d, weight %z: the error is %g, not at most %g", traits->name,
                  name, row, at, other, one);
            reference += one;
            best += other;
        }
    }
    CHECK(best < reference, "%s, %s, %s importance: the error is %g, and the reference's %g", traits->name, name,
          importance ? "with" : "without", best, reference);
}

/* Weights that can be encoded exactly are. NaN and infinities do no harm. */
static void test_special(uint32_t type) {
    static const float values[] = {0, 1, -1, 1e-30f, 1e-42f, 60000};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        float x[COLUMNS], importance[COLUMNS];
        nb_encoding plain = {0}, wide = {.best = true}, none = {.importance = importance, .best = true};
        for (int k = 0; k < COLUMNS; k++) {
            x[k] = values[i];
            importance[k] = 0;
        }
        double one = error_of(type, &plain, x, NULL, COLUMNS), other = error_of(type, &wide, x, NULL, COLUMNS);
        CHECK(other <= one, "%s, all %g: the error is %g, not at most %g", nb_traits_of(type)->name, (double)values[i],
              other, one);
        error_of(type, &none, x, importance, COLUMNS);
    }
}

void test_quantize_best(void) {
    static const uint32_t types[] = {
        NB_TYPE_Q4_0,    NB_TYPE_Q4_1,  NB_TYPE_Q5_0,   NB_TYPE_Q5_1,    NB_TYPE_IQ4_NL, NB_TYPE_IQ4_XS,
        NB_TYPE_Q2_K,    NB_TYPE_Q3_K,  NB_TYPE_Q4_K,   NB_TYPE_Q5_K,    NB_TYPE_Q6_K,   NB_TYPE_IQ3_S,
        NB_TYPE_IQ3_XXS, NB_TYPE_IQ2_S, NB_TYPE_IQ2_XS, NB_TYPE_IQ2_XXS, NB_TYPE_MXFP4,  NB_TYPE_NVFP4,
    };
    static const struct {
        const char *name;
        draw *from;
    } sorts[] = {{"Gaussian", gaussian}, {"Laplace", laplace}, {"outliers", with_outliers}};
    float importance[COLUMNS];
    uint32_t seed = 77;
    for (int i = 0; i < COLUMNS; i++)
        importance[i] = expf(gaussian(&seed));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t bytes = nb_neighbours_bytes(types[i]);
        neighbours = bytes ? nb_alloc(bytes) : NULL;
        if (neighbours)
            nb_neighbours_fill(neighbours, types[i]);
        for (size_t k = 0; k < sizeof sorts / sizeof *sorts; k++) {
            compare(types[i], sorts[k].name, sorts[k].from, NULL);
            compare(types[i], sorts[k].name, sorts[k].from, importance);
        }
        test_special(types[i]);
        nb_free(neighbours);
    }
}
