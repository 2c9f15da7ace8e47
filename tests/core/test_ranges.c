/* Range observers against the vectors of tests/oracles/primitive_vectors.py, and what they refuse. */
#include "check.h"

#include "../../src/base/cursor.h"
#include "../../src/base/numbers.h"
#include "../../src/quant/range_observer.h"
#include "../../src/quant/uniform.h"

#include <math.h>

static const char VECTORS[] = "tests/fixtures/formats/ranges.bin";

static nb_range choose(const nb_range_observer *o, uint32_t method, uint32_t bits, bool is_symmetric) {
    nb_range_settings how = {.method = method, .bits = bits, .is_symmetric = is_symmetric, .percentile = 99};
    nb_range range = {0};
    nb_error err = {0};
    CHECK(nb_range_choose(o, &how, &range, &err) == 0, "method %u: %s", method, err.message);
    CHECK(range.low <= 0 && range.high >= 0 && range.clipped >= 0 && range.clipped <= 1, "method %u: %g ... %g, %g",
          method, (double)range.low, (double)range.high, range.clipped);
    return range;
}

static double share_beyond(const float *x, uint32_t n, nb_range range) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        count += x[i] < range.low || x[i] > range.high;
    return (double)count / n;
}

static double mean_square(const float *x, uint32_t n, nb_range range, uint32_t bits, bool is_symmetric) {
    nb_uniform u = {.bits = bits, .is_symmetric = is_symmetric, .is_signed = true, .is_narrow = is_symmetric};
    nb_uniform_step step = nb_uniform_fit(&u, range.low, range.high);
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        int16_t code;
        float value;
        nb_uniform_codes(&u, step, 0, x + i, 1, &code);
        nb_uniform_values(step, &code, 1, &value);
        sum += ((double)value - (double)x[i]) * ((double)value - (double)x[i]);
    }
    return sum / n;
}

/* value must be `exact`, or up to one bin farther from 0. */
static void check_end(const char *what, float value, float exact, double width) {
    double farther = fabs((double)value) - fabs((double)exact);
    CHECK(value * exact > 0 && farther >= 0 && farther <= width, "%s: %g, not %g", what, (double)value, (double)exact);
}

static void check_observer(nb_cursor *in) {
    static nb_range_observer o, other;
    uint32_t pieces = nb_cursor_u32(in), columns = nb_cursor_u32(in), n = pieces * columns;
    const float *x = (const float *)nb_cursor_bytes(in, n * sizeof *x);
    nb_error err = {0};
    if (!CHECK(x, "%s", VECTORS))
        return;
    nb_range_begin(&o, 0);
    nb_range_begin(&other, 0);
    for (uint32_t i = 0; i < pieces; i++)
        CHECK(nb_range_observe(&o, x + i * columns, 1, columns, &err) == 0, "%s", err.message);
    uint32_t rows = columns; /* the same numbers in pieces of another size */
    CHECK(nb_range_observe(&other, x, rows, n / NB_MAX(rows, 1u), &err) == 0, "%s", err.message);
    CHECK(!nb_compare(o.above, other.above, sizeof o.above) && !nb_compare(o.below, other.below, sizeof o.below) &&
              o.exponent == other.exponent && o.count == other.count,
          "pieces change the histogram");
    double width = (double)nb_power_of_two(o.exponent) / NB_RANGE_BINS;
    nb_range all = choose(&o, NB_RANGE_MIN_MAX, 8, false);
    float low = nb_cursor_f32(in), high = nb_cursor_f32(in);
    CHECK(all.low == low && all.high == high && all.clipped == 0, "%g ... %g, %g", (double)all.low, (double)all.high,
          all.clipped);
    nb_range both = choose(&o, NB_RANGE_MIN_MAX, 8, true);
    CHECK(both.high == NB_MAX(-low, high) && both.low == -both.high, "%g ... %g", (double)both.low, (double)both.high);
    nb_range moving = choose(&o, NB_RANGE_MOVING, 8, false);
    low = nb_cursor_f32(in);
    high = nb_cursor_f32(in);
    CHECK(fabsf(moving.low - low) < 1e-5f && fabsf(moving.high - high) < 1e-5f, "moving: %g ... %g, not %g ... %g",
          (double)moving.low, (double)moving.high, (double)low, (double)high);
    uint64_t in_bins = o.above[(int)((double)moving.high / width)] + o.below[(int)((double)-moving.low / width)];
    CHECK(fabs(moving.clipped - share_beyond(x, n, moving)) <= (double)in_bins / n, "moving: %g is clipped, not %g",
          moving.clipped, share_beyond(x, n, moving));
    nb_range percentile = choose(&o, NB_RANGE_PERCENTILE, 8, true);
    check_end("99 %, symmetric", percentile.high, nb_cursor_f32(in), width);
    CHECK(percentile.clipped <= 0.01 && fabs(percentile.clipped - share_beyond(x, n, percentile)) < 1e-9,
          "99 %%: %g is clipped", percentile.clipped);
    percentile = choose(&o, NB_RANGE_PERCENTILE, 8, false);
    check_end("99 %, low", percentile.low, nb_cursor_f32(in), width);
    check_end("99 %, high", percentile.high, nb_cursor_f32(in), width);
    CHECK(percentile.clipped <= 0.01 && fabs(percentile.clipped - share_beyond(x, n, percentile)) < 1e-9,
          "99 %%: %g is clipped", percentile.clipped);
    for (uint32_t i = 0; i < 4; i++) { /* symmetric with 8 and 4 bits, asymmetric with 8 and 4 */
        double least = nb_cursor_f64(in);
        nb_range range = choose(&o, NB_RANGE_SQUARED_ERROR, i % 2 ? 4 : 8, i < 2);
        double error = mean_square(x, n, range, i % 2 ? 4 : 8, i < 2);
        CHECK(error <= least * 1.02, "%u: the mean square is %g, not %g", i, error, least);
        CHECK(fabs(range.clipped - share_beyond(x, n, range)) < 1e-9, "%u: %g is clipped", i, range.clipped);
    }
    for (uint32_t bits = 8; bits >= 4; bits -= 4) {
        float end = nb_cursor_f32(in);
        nb_range range = choose(&o, NB_RANGE_DIVERGENCE, bits, true);
        CHECK(range.high == end && range.low == -end, "%u bits, divergence: %g ... %g, not %g", bits, (double)range.low,
              (double)range.high, (double)end);
        CHECK(fabs(range.clipped - share_beyond(x, n, range)) < 1e-9, "divergence: %g is clipped", range.clipped);
    }
}

/* A number on the edge of a bin belongs to the bin below. Of the numbers 1 ... 8, a quarter is beyond 6. */
static void check_edges(void) {
    static nb_range_observer o;
    static const float x[] = {1, 2, 3, 4, -5, 6, -7, 8};
    nb_range_settings how = {.method = NB_RANGE_PERCENTILE, .bits = 8, .is_symmetric = true, .percentile = 75};
    nb_range range = {0};
    nb_error err = {0};
    nb_range_begin(&o, 0);
    CHECK(nb_range_observe(&o, x, 2, 4, &err) == 0 && nb_range_choose(&o, &how, &range, &err) == 0, "%s", err.message);
    CHECK(range.high == 6 && range.low == -6 && range.clipped == 0.25, "%g ... %g, %g", (double)range.low,
          (double)range.high, range.clipped);
}

static void check_refused(void) {
    static nb_range_observer o;
    nb_error err = {0};
    nb_range range;
    nb_range_settings how = {.method = NB_RANGE_MIN_MAX};
    float x[6] = {0};
    nb_range_begin(&o, 0);
    CHECK(nb_range_choose(&o, &how, &range, &err) == NB_ERR_STATE, "%s", err.message);
    CHECK(nb_range_observe(&o, x, 0, 3, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    x[4] = NAN;
    CHECK(nb_range_observe(&o, x, 2, 3, &err) == NB_ERR_FORMAT && test_contains(err.message, "row 1, column 1") &&
              o.count == 0,
          "%s", err.message);
    x[4] = 0;
    CHECK(nb_range_observe(&o, x, 2, 3, &err) == 0, "%s", err.message);
    for (uint32_t method = 0; method <= NB_RANGE_DIVERGENCE; method++) /* of zeros the range is empty */
        for (int i = 0; i < 2; i++) {
            range = choose(&o, method, 8, i);
            CHECK(range.low == 0 && range.high == 0 && range.clipped == 0, "method %u: %g ... %g", method,
                  (double)range.low, (double)range.high);
        }
    static const nb_range_settings wrong[] = {{.method = NB_RANGE_DIVERGENCE + 1},
                                              {.method = NB_RANGE_PERCENTILE},
                                              {.method = NB_RANGE_PERCENTILE, .percentile = 101},
                                              {.method = NB_RANGE_SQUARED_ERROR, .bits = 1},
                                              {.method = NB_RANGE_DIVERGENCE, .bits = 9}};
    for (int i = 0; i < 5; i++)
        CHECK(nb_range_choose(&o, &wrong[i], &range, &err) == NB_ERR_ARGUMENT, "settings %d", i);
    static const float extremes[] = {3.4e38f, -1e-45f, 0, 1e-30f};
    CHECK(nb_range_observe(&o, extremes, 1, 4, &err) == 0, "%s", err.message);
    for (uint32_t method = 0; method <= NB_RANGE_DIVERGENCE; method++)
        for (int i = 0; i < 2; i++)
            choose(&o, method, 8, i);
    nb_range_begin(&o, 0); /* all on one side */
    for (int i = 0; i < 6; i++)
        x[i] = -1 - (float)i;
    CHECK(nb_range_observe(&o, x, 1, 6, &err) == 0, "%s", err.message);
    for (uint32_t method = 0; method <= NB_RANGE_DIVERGENCE; method++) {
        range = choose(&o, method, 4, false);
        CHECK(range.high == 0 && range.low <= -5, "method %u: %g ... %g", method, (double)range.low,
              (double)range.high);
    }
}

void test_ranges(void) {
    size_t size;
    uint8_t *bytes = test_read_all(VECTORS, &size);
    nb_cursor in = nb_cursor_over(bytes, size, 0);
    uint32_t n = nb_cursor_u32(&in);
    CHECK(n == 2, "%s: %u observers", VECTORS, n);
    for (uint32_t i = 0; i < n && !in.is_short; i++)
        check_observer(&in);
    CHECK(!in.is_short, "%s is cut off", VECTORS);
    nb_free(bytes);
    check_edges();
    check_refused();
}
