#include "range_observer.h"

#include "../base/numbers.h"
#include "../types/finite.h"
#include "uniform.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

int32_t nb_range_observe(nb_range_observer *o, const float *x, uint64_t rows, uint64_t columns, nb_error *err) {
    if (!rows || !columns)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "a piece of %l rows and %l columns has nothing to observe", rows, columns);
    NB_TRY(nb_matrix_check("the numbers to be observed", x, rows, columns, err));
    nb_range_add(o, x, (size_t)(rows * columns));
    return NB_OK;
}

/* Whether the bins hold as many numbers as were counted. */
static bool has_count(const nb_range_observer *o) {
    uint64_t left = o->count;
    for (int i = 0; i < NB_RANGE_BINS; i++) {
        if (o->above[i] > left || o->below[i] > left - o->above[i])
            return false;
        left -= o->above[i] + o->below[i];
    }
    return left == 0;
}

int32_t nb_range_check(const nb_range_observer *o, nb_error *err) {
    const float ends[] = {o->low, o->high, o->moving_low, o->moving_high};
    bool is_good = nb_are_finite(ends, 4) && o->low <= o->high && o->exponent >= NB_RANGE_LEAST_EXPONENT &&
                   o->exponent <= 128 && NB_MAX(-o->low, o->high) <= nb_power_of_two(o->exponent) && has_count(o);
    return is_good ? NB_OK
                   : NB_FAIL(err, NB_ERR_FORMAT,
                             "the statistics of the observed inputs are damaged: observe the inputs anew");
}

/* ---- clipping ---------------------------------------------------------------------------------------------------- */

/* About how many of the numbers in `bins` are beyond `end`. Of the bin in which `end` lies, the share of its width that
 * is beyond `end` is counted. */
static double beyond(const nb_range_observer *o, const uint64_t *bins, double end) {
    double at = end > 0 ? end / nb_range_bin_width(o) : 0, count = 0;
    for (int i = NB_RANGE_BINS - 1; i >= 0 && i + 1 > at; i--)
        count += (double)bins[i] * (i >= at ? 1 : i + 1 - at);
    return count;
}

static double clipped(const nb_range_observer *o, double low, double high) {
    double count = high < o->high ? beyond(o, o->above, high) : 0;
    count += low > o->low ? beyond(o, o->below, -low) : 0;
    return count / (double)o->count;
}

/* ---- percentile -------------------------------------------------------------------------------------------------- */

/* The smallest edge with at most `most` numbers beyond it, in `bins` and (unless it is NULL) in `second`. */
static int percentile_edge(const uint64_t *bins, const uint64_t *second, double most) {
    double count = 0;
    int edge = NB_RANGE_BINS;
    while (edge > 0) {
        count += (double)bins[edge - 1] + (second ? (double)second[edge - 1] : 0);
        if (count > most)
            break;
        edge--;
    }
    return edge;
}

/* ---- squared error ----------------------------------------------------------------------------------------------- */

/* A search for the least error. Few numbers, such as a small group of weights, fill few bins, so only the filled ones
 * are visited. */
typedef struct error_search {
    const nb_range_observer *o;
    const nb_range_settings *how;
    int filled[2];                   /* the number of filled bins, above and below 0 */
    uint16_t bins[2][NB_RANGE_BINS]; /* their indices */
    int low, high;                   /* the current ends, in bins, low <= 0 <= high */
} error_search;

static const uint64_t *bins_of(const nb_range_observer *o, int side) {
    return side ? o->below : o->above;
}

static void find_filled(error_search *s) {
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < NB_RANGE_BINS; i++)
            if (bins_of(s->o, side)[i])
                s->bins[side][s->filled[side]++] = (uint16_t)i;
}

/* The error of all numbers, each taken as the middle of its bin, for a grid from edge `low` to edge `high`. */
static double squared_error(const error_search *s, int low, int high) {
    const nb_range_settings *how = s->how;
    bool is_narrow = how->is_symmetric && !how->is_wide;
    double steps = (1 << how->bits) - 1 - is_narrow; /* highest code - lowest code */
    double error = 0, step = (high - low) / steps;
    double zero = how->is_symmetric ? 1 << (how->bits - 1) : floor(-low / step + 0.5);
    zero -= is_narrow;
    for (int side = 0; side < 2; side++) {
        const uint64_t *bins = bins_of(s->o, side);
        double last = side ? zero : steps - zero;
        for (int k = 0; k < s->filled[side]; k++) {
            int i = s->bins[side][k];
            double x = i + 0.5, code = floor(x / step + 0.5), off = x - step * (code < last ? code : last);
            error += (double)bins[i] * off * off;
        }
    }
    return error;
}

/* Moves one end to the edge with the least error, trying every eighth edge, and then those around the best. The ends of
 * a symmetric grid move together. */
static double move_end(error_search *s, bool is_low, int farthest, double least) {
    int best = is_low ? -s->low : s->high;
    bool moves_low = is_low || s->how->is_symmetric, moves_high = !is_low || s->how->is_symmetric;
    for (int step = 8; step; step /= 8) {
        int first = step == 8 ? 1 : NB_MAX(1, best - 7), last = step == 8 ? farthest : NB_MIN(farthest, best + 7);
        for (int at = first; at <= last; at += step) {
            double error = squared_error(s, moves_low ? -at : s->low, moves_high ? at : s->high);
            if (error < least) {
                least = error;
                best = at;
            }
        }
    }
    s->low = moves_low ? -best : s->low;
    s->high = moves_high ? best : s->high;
    return least;
}

/* The edge after the last filled bin; 0: all bins are empty. */
static int last_edge(const uint64_t *bins) {
    int edge = NB_RANGE_BINS;
    while (edge > 0 && !bins[edge - 1])
        edge--;
    return edge;
}

static void choose_by_error(const nb_range_observer *o, const nb_range_settings *how, int *low, int *high) {
    int last_low = last_edge(o->below), last_high = last_edge(o->above);
    error_search s = {.o = o, .how = how, .low = -last_low, .high = last_high};
    find_filled(&s);
    if (how->is_symmetric) {
        s.high = NB_MAX(last_low, last_high);
        s.low = -s.high;
        move_end(&s, false, s.high, squared_error(&s, s.low, s.high));
    } else {
        double least = squared_error(&s, s.low, s.high), before;
        do {
            before = least;
            if (last_high)
                least = move_end(&s, false, last_high, least);
            if (last_low)
                least = move_end(&s, true, last_low, least);
        } while (least < before);
    }
    *low = s.low;
    *high = s.high;
}

/* ---- divergence -------------------------------------------------------------------------------------------------- */

/* KL(P || Q) over the bins below edge `end`. P is the distribution of all magnitudes, with those beyond `end` moved
 * into bin end - 1. Q is that of the magnitudes below `end`: each of the `levels` equal intervals spreads its numbers
 * evenly over its filled bins. sums[i]: the numbers in the bins before i. */
static double divergence(const double *bins, const double *sums, int end, int levels) {
    double total = sums[NB_RANGE_BINS], inside = sums[end], sum = 0;
    for (int level = 0; level < levels; level++) {
        int from = (int)((int64_t)end * level / levels), to = (int)((int64_t)end * (level + 1) / levels), filled = 0;
        for (int i = from; i < to; i++)
            filled += bins[i] > 0;
        for (int i = from; i < to; i++) {
            double p = (bins[i] + (i == end - 1 ? total - inside : 0)) / total;
            if (bins[i] > 0)
                sum += p * log(p * inside * filled / (sums[to] - sums[from]));
        }
    }
    return sum;
}

/* Edges after an empty bin are skipped: the clipped numbers would be moved into that bin, where the quantized
 * distribution is 0, and the divergence would be infinite. */
static int choose_by_divergence(const nb_range_observer *o, uint32_t bits) {
    double bins[NB_RANGE_BINS], sums[NB_RANGE_BINS + 1] = {0}, least = 0;
    int last = NB_MAX(last_edge(o->below), last_edge(o->above)), best = last, levels = 1 << (bits - 1);
    for (int i = 0; i < NB_RANGE_BINS; i++) {
        bins[i] = (double)o->above[i] + (double)o->below[i];
        sums[i + 1] = sums[i] + bins[i];
    }
    for (int end = last; end >= levels; end--) {
        double value = bins[end - 1] > 0 ? divergence(bins, sums, end, levels) : HUGE_VAL;
        if (end == last || value < least) {
            least = value;
            best = end;
        }
    }
    return best;
}

/* ---- the choice -------------------------------------------------------------------------------------------------- */

static int32_t check(const nb_range_observer *o, const nb_range_settings *how, nb_error *err) {
    if (!o->count)
        return NB_FAIL(err, NB_ERR_STATE, "nothing was observed yet: no range can be chosen");
    if (how->method > NB_RANGE_DIVERGENCE)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "there is no method %u of choosing a range", how->method);
    if (how->method == NB_RANGE_PERCENTILE && !(how->percentile > 0 && how->percentile <= 100))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "a percentile must be above 0 and at most 100, not %g", how->percentile);
    if (how->method > NB_RANGE_PERCENTILE && (how->bits < 2 || how->bits > 8))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "codes have 2 to 8 bits, not %u", how->bits);
    return NB_OK;
}

/* Edges of bins, low <= 0 <= high. */
static void choose_edges(const nb_range_observer *o, const nb_range_settings *how, int *low, int *high) {
    double outside = how->method == NB_RANGE_PERCENTILE ? (1 - how->percentile / 100) * (double)o->count : 0;
    if (how->method == NB_RANGE_SQUARED_ERROR)
        choose_by_error(o, how, low, high);
    else if (how->method == NB_RANGE_DIVERGENCE)
        *low = -(*high = choose_by_divergence(o, how->bits));
    else if (how->is_symmetric)
        *low = -(*high = percentile_edge(o->above, o->below, outside));
    else {
        *high = percentile_edge(o->above, NULL, outside / 2);
        *low = -percentile_edge(o->below, NULL, outside / 2);
    }
}

int32_t nb_range_choose(const nb_range_observer *o, const nb_range_settings *how, nb_range *range, nb_error *err) {
    NB_TRY(check(o, how, err));
    double low = (double)o->low, high = (double)o->high;
    if (how->method == NB_RANGE_MOVING) {
        low = (double)o->moving_low;
        high = (double)o->moving_high;
    } else if (how->method != NB_RANGE_MIN_MAX) {
        int low_edge, high_edge;
        choose_edges(o, how, &low_edge, &high_edge);
        low = NB_MAX(low, low_edge * nb_range_bin_width(o));
        high = NB_MIN(high, high_edge * nb_range_bin_width(o));
    }
    low = NB_MIN(low, 0);
    high = NB_MAX(high, 0);
    if (how->is_symmetric) {
        high = NB_MAX(-low, high);
        low = -high;
    }
    *range = (nb_range){(float)low, (float)high, clipped(o, low, high)};
    return NB_OK;
}
