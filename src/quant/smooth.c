#include "smooth.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "awq_fold.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

/* Scales and max |w| are 1e-5 at least, as in the authors' code. */
static const float LEAST = 1e-5f;

/* From max |x| and max |w| of each column to those of the columns that read each source: both [2][n_sources]. */
static void gather(const float *largest_x, const float *largest_w, uint32_t columns, const uint32_t *sources,
                   float *both, uint32_t n_sources) {
    memset(both, 0, 2 * (size_t)n_sources * sizeof *both);
    for (uint32_t i = 0; i < columns; i++) {
        float *x = both + (sources ? sources[i] : i), *w = x + n_sources;
        *x = NB_MAX(*x, largest_x[i]);
        *w = NB_MAX(*w, largest_w[i]);
    }
}

static int32_t check(const float *largest, uint32_t columns, const uint32_t *sources, uint32_t n_sources, float alpha,
                     nb_error *err) {
    if (!(alpha >= 0 && alpha <= 1))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "SmoothQuant's alpha must be from 0 to 1, not %g", (double)alpha);
    NB_TRY(nb_magnitudes_check("the largest |x|", largest, columns, err));
    return nb_fold_check_sources(sources, columns, n_sources, err);
}

int32_t nb_smooth_scales(const float *largest, uint32_t columns, const uint32_t *sources, uint32_t n_sources,
                         float alpha, const float *weights, uint32_t rows, float *scales, nb_error *err) {
    NB_TRY(check(largest, columns, sources, n_sources, alpha, err));
    NB_TRY(nb_matrix_check("the weights", weights, rows, columns, err));
    uint32_t count = sources ? n_sources : columns;
    /* until the scales are known, their place holds max |w| of each column */
    for (uint32_t i = 0; i < columns; i++)
        scales[i] = 0;
    for (uint64_t at = 0; at < (uint64_t)rows * columns; at += columns)
        for (uint32_t i = 0; i < columns; i++)
            scales[i] = NB_MAX(scales[i], __builtin_fabsf(weights[at + i]));
    float *both = nb_alloc_items(count, 2 * sizeof *both);
    if (!both)
        return nb_memory_refuse("SmoothQuant's scales", nb_times(count, 2 * sizeof *both), err);
    gather(largest, scales, columns, sources, both, count);
    for (uint32_t i = 0; i < columns; i++) {
        uint32_t source = sources ? sources[i] : i;
        float x = both[source], w = NB_MAX(both[count + source], LEAST);
        bool is_used = x > 0 && both[count + source] > 0;
        scales[i] = is_used ? NB_MAX(powf(x, alpha) / powf(w, 1 - alpha), LEAST) : 1;
    }
    nb_free(both);
    return NB_OK;
}
