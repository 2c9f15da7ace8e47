/* Chooses the range of numbers that a quantizer should cover: numbers beyond it are clipped, and the others get finer
 * steps. An observer sees weights or activations in pieces, and then gives the range by one of these methods:
 *
 *   MIN_MAX        all numbers
 *   MOVING         moving averages of the pieces' ends: end += rate (end of the piece - end)
 *   PERCENTILE     the narrowest range that has that percentage of the numbers; if asymmetric, half of the others are
 *                  beyond each end
 *   SQUARED_ERROR  the least mean squared error of rounding and clipping
 *   DIVERGENCE     the least Kullback-Leibler divergence between the distributions of the numbers and of the quantized
 *                  ones (Migacz 2017, "8-bit Inference with TensorRT"). Its ends are equally far from 0, but not
 *                  farther than the minimum or maximum
 *
 * The last three use a histogram (range_histogram.h). The ends that they choose are edges of its bins. */
#ifndef NB_RANGE_OBSERVER_H
#define NB_RANGE_OBSERVER_H

#include "../base/error.h"
#include "../nibble_quantize.h"
#include "range_histogram.h"

#include <stdbool.h>

typedef struct nb_range_settings {
    uint32_t method;   /* NB_RANGE_... */
    uint32_t bits;     /* of SQUARED_ERROR and DIVERGENCE: bits of the codes, 2 ... 8 */
    bool is_symmetric; /* both ends are equally far from 0; else they are chosen separately, with 0 between them */
    double percentile; /* of PERCENTILE: above 0, at most 100 */
    bool is_wide;      /* of SQUARED_ERROR, symmetric: the grid uses the lowest code (the opposite of is_narrow in
                          nb_uniform) */
} nb_range_settings;

typedef struct nb_range {
    float low, high;
    double clipped; /* the fraction of numbers beyond it; an estimate for MOVING, whose ends may lie within bins */
} nb_range;

/* Adds a piece, rows of numbers. If one is not finite, the error names its row and column, and nothing is added. */
int32_t nb_range_observe(nb_range_observer *o, const float *x, uint64_t rows, uint64_t columns, nb_error *err);

/* An error if the struct cannot be valid. It may come from another module. */
int32_t nb_range_check(const nb_range_observer *o, nb_error *err);

/* An error if nothing was observed, or if there is no such method. */
int32_t nb_range_choose(const nb_range_observer *o, const nb_range_settings *how, nb_range *range, nb_error *err);

#endif
