#include "range_histogram.h"

#include "../base/numbers.h"

#pragma STDC FP_CONTRACT OFF

enum { BINS_EXPONENT = 11 };
_Static_assert(NB_RANGE_BINS == 1 << BINS_EXPONENT, "the number of bins is a power of two");

void nb_range_begin(nb_range_observer *o, float rate) {
    *o = (nb_range_observer){.rate = rate > 0 ? rate : 0.01f, .exponent = NB_RANGE_LEAST_EXPONENT};
}

static void merge_pairs(uint64_t *bins) {
    for (int i = 0; i < NB_RANGE_BINS; i++)
        bins[i] = i < NB_RANGE_BINS / 2 ? bins[2 * i] + bins[2 * i + 1] : 0;
}

double nb_range_bin_width(const nb_range_observer *o) {
    return (double)nb_power_of_two(o->exponent - BINS_EXPONENT);
}

/* Doubles the range of the bins until it covers a number of this magnitude. */
static void cover(nb_range_observer *o, float largest) {
    while (largest > nb_power_of_two(o->exponent)) {
        o->exponent++;
        if (!o->count)
            continue;
        merge_pairs(o->above);
        merge_pairs(o->below);
    }
}

void nb_range_add(nb_range_observer *o, const float *x, size_t n) {
    float low = x[0], high = x[0];
    for (size_t i = 1; i < n; i++) {
        low = NB_MIN(low, x[i]);
        high = NB_MAX(high, x[i]);
    }
    cover(o, NB_MAX(-low, high));
    double scale = 1 / nb_range_bin_width(o);
    for (size_t i = 0; i < n; i++) {
        double at = (double)x[i] * scale; /* exact */
        uint64_t *bins = at < 0 ? o->below : o->above;
        at = at < 0 ? -at : at;
        uint32_t bin = (uint32_t)at;
        bins[bin - (bin == at && bin > 0)]++;
    }
    bool is_first = !o->pieces++;
    o->count += n;
    o->low = is_first || low < o->low ? low : o->low;
    o->high = is_first || high > o->high ? high : o->high;
    o->moving_low = is_first ? low : o->moving_low + o->rate * (low - o->moving_low);
    o->moving_high = is_first ? high : o->moving_high + o->rate * (high - o->moving_high);
}
