/* Which range of numbers a quantizer should cover: numbers beyond it are clipped, and the others get finer steps.
 * An observer is fed pieces of weights or activations, and then tells the range by any of these methods:
 *
 *   MIN_MAX        all of them
 *   MOVING         means of the pieces' ends, newer pieces counting more: end += rate (end of the piece - end)
 *   PERCENTILE     as narrow as it gets with that share of the numbers inside; asymmetric: with half of the others
 *                  beyond each end
 *   SQUARED_ERROR  the least mean square of what rounding and clipping change
 *   DIVERGENCE     the least Kullback-Leibler divergence of the quantized numbers' distribution from theirs (Migacz
 *                  2017, "8-bit Inference with TensorRT"); its ends are equally far from 0, but not beyond all numbers
 *
 * The last three read a histogram. Its bins cover -2^e ... 2^e, and where a number is beyond, e grows and pairs of bins
 * become one. No number ever changes its place in it, so how the numbers are cut into pieces changes nothing. The ends
 * that these methods choose are edges of bins: a 2048th of 2^e apart. */
#ifndef NB_RANGE_OBSERVER_H
#define NB_RANGE_OBSERVER_H

#include "../base/error.h"

#include <stdbool.h>

enum { NB_RANGE_BINS = 2048 }; /* on each side of 0 */

typedef struct nb_range_observer {
    uint64_t count, pieces;
    float low, high; /* of all numbers */
    float moving_low, moving_high;
    float rate;       /* 0.01, if 0 was given (as torch.ao's observers) */
    int32_t exponent; /* e */
    uint64_t
        above[NB_RANGE_BINS]; /* bin i: width i < x <= width (i + 1), width = 2^e / NB_RANGE_BINS; bin 0 has 0, too */
    uint64_t below[NB_RANGE_BINS]; /* the same of -x */
} nb_range_observer;

enum { NB_RANGE_MIN_MAX, NB_RANGE_MOVING, NB_RANGE_PERCENTILE, NB_RANGE_SQUARED_ERROR, NB_RANGE_DIVERGENCE };

typedef struct nb_range_settings {
    uint32_t method;
    uint32_t bits;     /* of the codes, 2 ... 8: what SQUARED_ERROR and DIVERGENCE need to know */
    bool is_symmetric; /* both ends equally far from 0; else each by itself, with 0 between them */
    double percentile; /* above 0, at most 100 */
} nb_range_settings;

typedef struct nb_range {
    float low, high;
    double clipped; /* the share of the numbers beyond: exact but for MOVING, whose ends may lie within bins */
} nb_range;

void nb_range_begin(nb_range_observer *o, float rate);

/* A piece: rows of numbers. One that is not finite is an error that names its row and column; nothing was counted. */
int32_t nb_range_observe(nb_range_observer *o, const float *x, uint64_t rows, uint64_t columns, nb_error *err);

/* An error if nothing was observed, or if there is no such method. */
int32_t nb_range_choose(const nb_range_observer *o, const nb_range_settings *how, nb_range *range, nb_error *err);

#endif
