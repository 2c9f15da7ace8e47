/* What an observer of ranges remembers of numbers (range_observer.h chooses by it): their ends, and a histogram. The
 * engine fills it, and the quantizer reads it, so it goes as it is from one module to the other.
 *
 * The bins cover -2^e ... 2^e, and where a number is beyond, e grows and pairs of bins become one. No number ever
 * changes its place in it, so how the numbers are cut into pieces changes nothing. */
#ifndef NB_RANGE_HISTOGRAM_H
#define NB_RANGE_HISTOGRAM_H

#include "../nibble.h"

enum {
    NB_RANGE_BINS = 2048,          /* on each side of 0 */
    NB_RANGE_LEAST_EXPONENT = -100 /* of e; smaller numbers all lie in the first bin */
};

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
_Static_assert(sizeof(nb_range_observer) == NB_RANGE_BYTES, "the header says how large it is");

void nb_range_begin(nb_range_observer *o, float rate);

/* A piece: n numbers, n > 0, all finite. */
void nb_range_add(nb_range_observer *o, const float *x, size_t n);

/* The width of a bin: a power of two. */
double nb_range_width(const nb_range_observer *o);

#endif
