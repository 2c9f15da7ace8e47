/* Vectors of four numbers. */
#ifndef NB_QUANTIZE_LANES_H
#define NB_QUANTIZE_LANES_H

#include <stdint.h>

typedef float lanes __attribute__((vector_size(16)));
typedef int32_t integers __attribute__((vector_size(16))); /* or masks: 0 and -1 */

static inline lanes splat(float x) {
    return (lanes){x, x, x, x};
}

static inline lanes select_lanes(integers mask, lanes yes, lanes no) {
    return (lanes)(((integers)yes & mask) | ((integers)no & ~mask));
}

static inline lanes magnitude(lanes x) {
    return (lanes)((integers)x & 0x7fffffff);
}

/* nb_nearest (quantize_search.h) in each lane. */
static inline lanes nearest_lanes(lanes x, int32_t low, int32_t high) {
    integers i = ((integers)(x + 0x1.8p23f) & 0x7fffff) - 0x400000;
    integers lows = {low, low, low, low}, highs = {high, high, high, high};
    i = (i & (i < highs)) | (highs & (i >= highs));
    i = (i & (i > lows)) | (lows & (i <= lows));
    return __builtin_convertvector(i, lanes);
}

static inline float sum_of(lanes x) {
    return (x[0] + x[2]) + (x[1] + x[3]);
}

#endif
