/* Statistics of numbers: their minimum and maximum, and a histogram. range_observer.h chooses a range by them. The
 * engine fills them in, and the quantizer reads them, so the struct is copied from one module to the other.
 *
 * The bins cover -2^e ... 2^e. When a number is beyond, e grows and pairs of bins are merged. Bins are only merged, so
 * the histogram does not depend on how the numbers are cut into pieces. */
#ifndef NB_RANGE_HISTOGRAM_H
#define NB_RANGE_HISTOGRAM_H

#include "../nibble.h"

enum {
    NB_RANGE_BINS = 2048,          /* on each side of 0 */
    NB_RANGE_LEAST_EXPONENT = -100 /* of e; smaller numbers all lie in the first bin */
};

typedef struct nb_range_observer {
    uint64_t count, pieces;
    float low, high;               /* of all numbers */
    float moving_low, moving_high; /* moving averages of the pieces' minima and maxima */
    float rate;                    /* of the moving averages: 0.01 if 0 was given, as in torch.ao's observers */
    int32_t exponent;              /* e */
    /* bin i: width i < x <= width (i + 1), width = 2^e / NB_RANGE_BINS; bin 0 has 0, too */
    uint64_t above[NB_RANGE_BINS];
    uint64_t below[NB_RANGE_BINS]; /* the same for -x */
} nb_range_observer;
_Static_assert(sizeof(nb_range_observer) == NB_RANGE_BYTES, "the header says how large it is");

void nb_range_begin(nb_range_observer *o, float rate);

/* Adds a piece: n numbers, n > 0, all finite. */
void nb_range_add(nb_range_observer *o, const float *x, size_t n);

/* A power of two. */
double nb_range_bin_width(const nb_range_observer *o);

#endif
