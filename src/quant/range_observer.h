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
 * The last three read a histogram (range_histogram.h), whose edges are the ends that they choose: a 2048th of 2^e
 * apart. */
#ifndef NB_RANGE_OBSERVER_H
#define NB_RANGE_OBSERVER_H

#include "../base/error.h"
#include "../nibble_quantize.h"
#include "range_histogram.h"

#include <stdbool.h>

typedef struct nb_range_settings {
    uint32_t method;   /* NB_RANGE_... */
    uint32_t bits;     /* of the codes, 2 ... 8: what SQUARED_ERROR and DIVERGENCE need to know */
    bool is_symmetric; /* both ends equally far from 0; else each by itself, with 0 between them */
    double percentile; /* above 0, at most 100 */
    bool is_wide;      /* the symmetric grid of SQUARED_ERROR has the lowest code, too (not nb_uniform's is_narrow) */
} nb_range_settings;

typedef struct nb_range {
    float low, high;
    double clipped; /* the share of the numbers beyond: exact but for MOVING, whose ends may lie within bins */
} nb_range;

/* A piece: rows of numbers. One that is not finite is an error that names its row and column; nothing was counted. */
int32_t nb_range_observe(nb_range_observer *o, const float *x, uint64_t rows, uint64_t columns, nb_error *err);

/* An error unless these can be the bytes of an observer: they may come from another module. */
int32_t nb_range_check(const nb_range_observer *o, nb_error *err);

/* An error if nothing was observed, or if there is no such method. */
int32_t nb_range_choose(const nb_range_observer *o, const nb_range_settings *how, nb_range *range, nb_error *err);

#endif
