/* Simulated grids against the vectors of tests/oracles/simulated_vectors.py, and what they refuse. */
#include "check.h"
#include "random.h"

#include "../../src/base/cursor.h"
#include "../../src/base/numbers.h"
#include "../../src/nibble_quantize.h"
#include "../../src/types/types.h"

#include <math.h>

static const char VECTORS[] = "tests/fixtures/formats/simulated.bin";

enum { ROWS = 4, COLUMNS = 128, MOST = ROWS * COLUMNS };

static int32_t simulate(const nb_simulation *how, float *x, double *clipped, nb_error *err) {
    *clipped = 0;
    return nb_simulate_rows(NULL, how, 0, NB_TYPE_F32, x, 0, ROWS, COLUMNS, clipped, err);
}

static double squares(const float *a, const float *b, uint32_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

/* Errors may differ, as a chosen range ends at the edge of a bin, and a codebook's entries are rounded to binary16, by
 * at most 2^-12. */
static void check_error(const nb_simulation *how, uint32_t number, double error, double least, double size) {
    double most = how->grid == NB_SIMULATE_CODEBOOK ? sqrt(least) + size * 0x1p-11 : sqrt(least * 1.02);
    CHECK(sqrt(error) <= most, "case %u: a squared error of %g, not %g", number, error, least);
    if (how->grid == NB_SIMULATE_CODEBOOK)
        CHECK(error >= least * (1 - 1e-9), "case %u: a squared error of %g, below %g", number, error, least);
}

static void check_case(nb_cursor *in, uint32_t number) {
    nb_simulation how = {.grid = nb_cursor_u32(in)};
    how.bits = nb_cursor_u32(in);
    how.group = nb_cursor_u32(in);
    how.whole = nb_cursor_u32(in);
    how.symmetric = nb_cursor_u32(in);
    how.ranges = nb_cursor_u32(in) ? NB_RANGE_SQUARED_ERROR : NB_RANGE_MIN_MAX;
    uint32_t rows = nb_cursor_u32(in), columns = nb_cursor_u32(in);
    const float *x = (const float *)nb_cursor_bytes(in, MOST * sizeof *x);
    if (!CHECK(x && rows == ROWS && columns == COLUMNS, "case %u", number))
        return;
    nb_error err = {0};
    double bits = 0, clipped, known = nb_cursor_f64(in);
    CHECK(nb_simulate_bits(&how, rows, columns, &bits, &err) == 0 && bits == known, "case %u: %g bits, not %g; %s",
          number, bits, known, err.message);
    float got[MOST];
    for (uint32_t i = 0; i < MOST; i++)
        got[i] = x[i];
    if (!CHECK(simulate(&how, got, &clipped, &err) == 0, "case %u: %s", number, err.message))
        return;
    bool is_known = how.grid != NB_SIMULATE_CODEBOOK && !how.ranges;
    CHECK(how.ranges ? clipped >= 0 && clipped < MOST : clipped == 0, "case %u: %g are clipped", number, clipped);
    for (uint32_t i = 0; i < MOST && is_known; i++) {
        float value = nb_cursor_f32(in);
        CHECK(got[i] == value, "case %u: weight %u is %g, not %g", number, i, (double)got[i], (double)value);
    }
    uint32_t each = how.whole ? MOST : how.group ? how.group : COLUMNS;
    static const float zeros[MOST];
    for (uint32_t i = 0; i < MOST && !is_known; i += each)
        check_error(&how, number, squares(got + i, x + i, each), nb_cursor_f64(in), sqrt(squares(x + i, zeros, each)));
}

static void check_vectors(void) {
    size_t size;
    uint8_t *bytes = test_read_all(VECTORS, &size);
    nb_cursor in = nb_cursor_over(bytes, size, 0);
    uint32_t cases = nb_cursor_u32(&in);
    for (uint32_t i = 0; i < cases; i++)
        check_case(&in, i);
    CHECK(cases > 10 && !in.is_short && in.at == size, "%s: %u cases", VECTORS, cases);
    nb_free(bytes);
}

/* ---- pieces, threads, types -------------------------------------------------------------------------------------- */

static void fill(float *x) {
    uint32_t seed = 3;
    for (uint32_t i = 0; i < MOST; i++)
        x[i] = test_random_float(&seed);
}

/* Neither the rows of each call nor threads change the result. The tensor and the seed do. */
static void check_pieces(void) {
    nb_pool *pool = test_pool_new(3);
    nb_simulation how = {.bits = 3, .group = 32, .symmetric = 1, .stochastic = 1, .seed = 5};
    float all[MOST], pieces[MOST], other[MOST];
    nb_error err = {0};
    double clipped = 0;
    fill(all);
    fill(pieces);
    fill(other);
    CHECK(simulate(&how, all, &clipped, &err) == 0, "%s", err.message);
    for (uint32_t row = 0; row < ROWS; row += 2)
        CHECK(nb_simulate_rows(pool, &how, 0, NB_TYPE_F32, pieces + row * COLUMNS, row, 2, COLUMNS, &clipped, &err) ==
                  0,
              "%s", err.message);
    CHECK(!nb_compare(all, pieces, sizeof all), "pieces or threads change codes");
    CHECK(nb_simulate_rows(pool, &how, 1, NB_TYPE_F32, other, 0, ROWS, COLUMNS, &clipped, &err) == 0, "%s",
          err.message);
    CHECK(nb_compare(all, other, sizeof all), "two tensors have the same random numbers");
    fill(other);
    how.seed = 6;
    CHECK(simulate(&how, other, &clipped, &err) == 0, "%s", err.message);
    CHECK(nb_compare(all, other, sizeof all), "two seeds have the same random numbers");
    test_pool_free(pool);
}

/* Weights of F16 give the same as those of F32, rounded to binary16. */
static void check_f16(void) {
    for (uint32_t grid = NB_SIMULATE_UNIFORM; grid <= NB_SIMULATE_CODEBOOK; grid++)
        for (uint32_t whole = 0; whole < 2; whole++) {
            nb_simulation how = {.grid = grid, .bits = 4, .whole = whole, .symmetric = 1};
            float x[MOST];
            uint16_t half[MOST];
            nb_error err = {0};
            double clipped = 0;
            fill(x);
            for (uint32_t i = 0; i < MOST; i++) {
                half[i] = nb_f32_to_f16(x[i]);
                x[i] = nb_f16_to_f32(half[i]);
            }
            CHECK(simulate(&how, x, &clipped, &err) == 0, "%s", err.message);
            CHECK(nb_simulate_rows(NULL, &how, 0, NB_TYPE_F16, half, 0, ROWS, COLUMNS, &clipped, &err) == 0, "%s",
                  err.message);
            for (uint32_t i = 0; i < MOST; i++)
                CHECK(half[i] == nb_f32_to_f16(x[i]), "grid %u: weight %u is %g", grid, i,
                      (double)nb_f16_to_f32(half[i]));
        }
}

/* ---- what is refused --------------------------------------------------------------------------------------------- */

static void check_refused(nb_simulation how, const char *part) {
    nb_error err = {0};
    double bits;
    CHECK(nb_simulate_bits(&how, ROWS, COLUMNS, &bits, &err) == NB_ERR_ARGUMENT && test_contains(err.message, part),
          "not \"%s\": %s", part, err.message);
}

static void check_refusals(void) {
    check_refused((nb_simulation){.bits = 1}, "2 to 8 bits, not 1");
    check_refused((nb_simulation){.bits = 9}, "2 to 8 bits, not 9");
    check_refused((nb_simulation){.bits = 4, .group = 48}, "groups of 48 columns do not divide rows of 128");
    check_refused((nb_simulation){.bits = 4, .grid = 3}, "no grid 3");
    check_refused((nb_simulation){.bits = 4, .ranges = 5}, "by method 5");
    check_refused((nb_simulation){.bits = 4, .ranges = NB_RANGE_PERCENTILE}, "a percentile");
    check_refused((nb_simulation){.bits = 4, .grid = NB_SIMULATE_LOG, .stochastic = 1}, "only a uniform grid");
    float x[MOST], kept[MOST];
    nb_error err = {0};
    double clipped = 0;
    nb_simulation how = {.bits = 4, .group = 32};
    CHECK(nb_simulate_rows(NULL, &how, 0, NB_TYPE_Q4_0, x, 0, ROWS, COLUMNS, &clipped, &err) == NB_ERR_ARGUMENT, "%s",
          err.message);
    for (uint32_t grid = 0; grid < 6; grid++) {
        fill(x);
        x[2 * COLUMNS + 5] = grid % 2 ? NAN : INFINITY;
        how = (nb_simulation){.bits = 4, .group = 32, .grid = grid / 2, .whole = grid % 2};
        CHECK(nb_simulate_rows(NULL, &how, 0, NB_TYPE_F32, x, 10, ROWS, COLUMNS, &clipped, &err) == NB_ERR_FORMAT &&
                  test_contains(err.message, "not finite: row 12, column 5"),
              "%s", err.message);
        fill(kept);
        CHECK(!nb_compare(x, kept, (2 * COLUMNS + 5) * sizeof *x), "grid %u: weights before the bad one changed", grid);
    }
}

/* Numbers beyond binary16: powers of two beyond 2^15, and entries and scales beyond 65504. */
static void check_large(void) {
    float x[MOST];
    uint16_t half[MOST];
    nb_error err = {0};
    double clipped = 0;
    nb_simulation how = {.grid = NB_SIMULATE_LOG, .bits = 4, .group = 32};
    for (uint32_t i = 0; i < MOST; i++)
        half[i] = nb_f32_to_f16(i % 3 ? (i % 2 ? 60000.0f : -65504.0f) : 300.0f);
    CHECK(nb_simulate_rows(NULL, &how, 0, NB_TYPE_F16, half, 0, ROWS, COLUMNS, &clipped, &err) == 0, "%s", err.message);
    for (uint32_t i = 0; i < MOST; i++) {
        float want = i % 3 ? (i % 2 ? 0x1p15f : -0x1p15f) : 0x1p9f; /* the least of 7 levels */
        CHECK(nb_f16_to_f32(half[i]) == want, "weight %u is %g, not %g", i, (double)nb_f16_to_f32(half[i]),
              (double)want);
    }
    for (uint32_t grid = NB_SIMULATE_UNIFORM; grid <= NB_SIMULATE_CODEBOOK; grid++) {
        how.grid = grid;
        fill(x);
        x[COLUMNS + 3] = grid == NB_SIMULATE_UNIFORM ? -5e5f : 65505; /* a step of 5e5 / 7.5 */
        int32_t code = nb_simulate_rows(NULL, &how, 0, NB_TYPE_F32, x, 20, ROWS, COLUMNS, &clipped, &err);
        CHECK(grid == NB_SIMULATE_LOG ? code == 0
                                      : code == NB_ERR_UNSUPPORTED && test_contains(err.message, "row 21 has weights"),
              "grid %u: %s", grid, err.message);
    }
}

void test_simulate(void) {
    check_vectors();
    check_pieces();
    check_f16();
    check_refusals();
    check_large();
}
