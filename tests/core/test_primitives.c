/* Uniform grids, logarithmic levels and Lloyd-Max codebooks against the vectors of
 * tests/oracles/primitive_vectors.py. */
#include "check.h"
#include "random.h"

#include "../../src/base/cursor.h"
#include "../../src/base/numbers.h"
#include "../../src/quant/lloyd_max.h"
#include "../../src/quant/log_levels.h"
#include "../../src/quant/uniform.h"
#include "../../src/types/types.h"

#include <math.h>

static const char PRIMITIVES[] = "tests/fixtures/formats/primitives.bin";

enum { MOST = 512 };

/* ---- uniform grids ----------------------------------------------------------------------------------------------- */

static void check_grid(nb_cursor *in, uint32_t number) {
    nb_error err = {0};
    nb_uniform u = {.bits = nb_cursor_u32(in)};
    u.is_symmetric = nb_cursor_u32(in);
    u.is_signed = nb_cursor_u32(in);
    u.is_narrow = nb_cursor_u32(in);
    u.scale_type = nb_cursor_u32(in);
    uint32_t group = nb_cursor_u32(in), rows = nb_cursor_u32(in), columns = nb_cursor_u32(in), n = rows * columns;
    uint64_t steps = nb_uniform_steps(rows, columns, group, &err);
    const float *x = (const float *)nb_cursor_bytes(in, n * sizeof *x);
    if (!CHECK(x && steps > 0 && n <= MOST, "grid %u: %s", number, err.message))
        return;
    nb_uniform_step got[MOST];
    int16_t codes[MOST], again[MOST];
    CHECK(nb_uniform_matrix(&u, group, x, rows, columns, got, codes, &err) == 0, "grid %u: %s", number, err.message);
    CHECK(nb_uniform_matrix_with(&u, group, x, rows, columns, got, again, &err) == 0, "grid %u: %s", number,
          err.message);
    CHECK(!nb_compare(codes, again, n * sizeof *codes), "grid %u: known steps give other codes", number);
    for (uint32_t i = 0; i < steps; i++) {
        float scale = nb_cursor_f32(in);
        CHECK(got[i].scale == scale, "grid %u: scale %u is %g, not %g", number, i, (double)got[i].scale, (double)scale);
    }
    for (uint32_t i = 0; i < steps; i++) {
        int32_t zero = (int32_t)nb_cursor_u32(in);
        CHECK(got[i].zero == zero, "grid %u: zero %u is %d, not %d", number, i, got[i].zero, zero);
    }
    for (uint32_t i = 0; i < n; i++) {
        int16_t code = (int16_t)nb_cursor_u16(in);
        CHECK(codes[i] == code, "grid %u: code %u is %d, not %d", number, i, codes[i], code);
    }
}

/* Half a step at most is lost, and 0 stays 0. */
static void check_values(void) {
    nb_uniform u = {.bits = 5};
    float x[64], back[64];
    int16_t codes[64];
    uint32_t seed = 5;
    for (int i = 0; i < 64; i++)
        x[i] = i == 9 ? 0 : test_random_float(&seed);
    nb_uniform_step step = nb_uniform_fit_to(&u, x, 64);
    nb_uniform_codes(&u, step, 0, x, 64, codes);
    nb_uniform_values(step, codes, 64, back);
    for (int i = 0; i < 64; i++)
        CHECK(fabsf(back[i] - x[i]) <= 0.5001f * step.scale, "number %d: %g became %g", i, (double)x[i],
              (double)back[i]);
    CHECK(back[9] == 0, "0 became %g", (double)back[9]);
}

/* The mean of 40,000 roundings of each number is the number: within five standard deviations of at most 1/2 a step. */
static void check_stochastic(void) {
    enum { TIMES = 40000, PIECE = 400 };
    static const float numbers[] = {0.25f, -2.7f, 3, -0.01f, 6.5f};
    nb_uniform u = {.bits = 4, .is_symmetric = true, .is_signed = true, .is_stochastic = true, .seed = 7};
    nb_uniform_step step = {1, 0};
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
        double sum = 0;
        float x[PIECE];
        int16_t codes[PIECE], slice[PIECE];
        for (int i = 0; i < PIECE; i++)
            x[i] = numbers[k];
        for (uint64_t first = 0; first < TIMES; first += PIECE) {
            nb_uniform_codes(&u, step, first, x, PIECE, codes);
            for (int i = 0; i < PIECE; i++) {
                sum += codes[i];
                CHECK(fabsf((float)codes[i] - x[i]) < 1, "%g became %d", (double)x[i], codes[i]);
            }
        }
        double mean = sum / TIMES;
        CHECK(fabs(mean - (double)numbers[k]) < 5 * 0.5 / 200, "the mean of %g is %g", (double)numbers[k], mean);
        nb_uniform_codes(&u, step, TIMES - 100, x, 100, slice);
        CHECK(!nb_compare(slice, codes + PIECE - 100, 100 * sizeof *codes), "a slice has other codes");
        u.seed++;
        nb_uniform_codes(&u, step, TIMES - PIECE, x, PIECE, slice);
        CHECK(!nb_compare(slice, codes, sizeof codes) == (numbers[k] == 3), "%g: another seed", (double)numbers[k]);
    }
}

static void check_refused(void) {
    float x[12] = {0};
    nb_uniform_step steps[12];
    int16_t codes[12];
    nb_error err = {0};
    static const nb_uniform wrong[] = {{.bits = 1},
                                       {.bits = 9},
                                       {.bits = 4, .is_narrow = true},
                                       {.bits = 4, .scale_type = 2}};
    for (int i = 0; i < 4; i++)
        CHECK(nb_uniform_matrix(&wrong[i], 4, x, 3, 4, steps, codes, &err) == NB_ERR_ARGUMENT, "grid %d", i);
    nb_uniform u = {.bits = 4};
    CHECK(nb_uniform_matrix(&u, 3, x, 3, 4, steps, codes, &err) == NB_ERR_ARGUMENT &&
              test_contains(err.message, "groups of 3 columns do not divide rows of 4"),
          "%s", err.message);
    CHECK(nb_uniform_matrix(&u, 4, x, 0, 4, steps, codes, &err) == NB_ERR_ARGUMENT, "no rows");
    CHECK(nb_uniform_matrix(&u, 4, x, 3, 4, steps, codes, &err) == 0 && steps[2].scale == 1 && codes[11] == 0,
          "zeros: %s", err.message);
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        x[6] = bad[i];
        CHECK(nb_uniform_matrix(&u, 2, x, 3, 4, steps, codes, &err) == NB_ERR_FORMAT &&
                  test_contains(err.message, "in row 1, column 2"),
              "%s", err.message);
    }
    static const float extremes[] = {3e38f, -3e38f, 1e-45f, 0};
    static const uint32_t types[] = {NB_TYPE_F32, NB_TYPE_F16, NB_TYPE_BF16};
    for (int i = 0; i < 6; i++) { /* the sanitizers watch, and scales are positive and finite */
        nb_uniform v = {.bits = 8, .is_symmetric = i % 2, .scale_type = types[i / 2]};
        CHECK(nb_uniform_matrix(&v, 1, extremes, 2, 2, steps, codes, &err) == 0, "%s", err.message);
        CHECK(nb_uniform_matrix(&v, NB_PER_TENSOR, extremes, 2, 2, steps + 4, codes, &err) == 0, "%s", err.message);
        for (int k = 0; k < 5; k++)
            CHECK(steps[k].scale > 0 && steps[k].scale <= 3.4e38f, "scale %d is %g", k, (double)steps[k].scale);
    }
}

/* ---- levels ------------------------------------------------------------------------------------------------------ */

static void check_levels(nb_cursor *in, uint32_t number) {
    uint32_t bits = nb_cursor_u32(in), n = nb_cursor_u32(in);
    const float *x = (const float *)nb_cursor_bytes(in, n * sizeof *x);
    int32_t want = (int32_t)nb_cursor_u32(in), top;
    uint8_t codes[MOST];
    float values[MOST];
    nb_error err = {0};
    if (!CHECK(x && n <= MOST && nb_log_levels(bits, x, n, &top, codes, &err) == 0, "levels %u: %s", number,
               err.message))
        return;
    nb_log_level_values(bits, top, codes, n, values);
    CHECK(top == want, "levels %u: the top is %d, not %d", number, top, want);
    for (uint32_t i = 0; i < n; i++) {
        float value = nb_cursor_f32(in);
        CHECK(codes[i] < 1 << bits && values[i] == value, "levels %u: number %u, %g, became %g, not %g", number, i,
              (double)x[i], (double)values[i], (double)value);
    }
}

static void check_levels_refused(void) {
    float x[4] = {1, 2, NAN, 3};
    int32_t top;
    uint8_t codes[4];
    nb_error err = {0};
    CHECK(nb_log_levels(1, x, 2, &top, codes, &err) == NB_ERR_ARGUMENT, "1 bit");
    CHECK(nb_log_levels(9, x, 2, &top, codes, &err) == NB_ERR_ARGUMENT, "9 bits");
    CHECK(nb_log_levels(4, x, 4, &top, codes, &err) == NB_ERR_FORMAT && test_contains(err.message, "column 2"), "%s",
          err.message);
}

/* ---- codebooks --------------------------------------------------------------------------------------------------- */

static double error_of(const float *x, const float *weight, uint32_t n, const float *codebook, const uint8_t *codes) {
    double error = 0;
    for (uint32_t i = 0; i < n; i++) {
        double off = (double)x[i] - (double)codebook[codes[i]];
        error += (double)weight[i] * off * off;
    }
    return error;
}

static void check_codebook(nb_cursor *in) {
    uint32_t entries = nb_cursor_u32(in), n = nb_cursor_u32(in);
    const float *x = (const float *)nb_cursor_bytes(in, n * sizeof *x);
    const float *weight = (const float *)nb_cursor_bytes(in, n * sizeof *weight);
    const float *start = (const float *)nb_cursor_bytes(in, entries * sizeof *start);
    const float *want = (const float *)nb_cursor_bytes(in, entries * sizeof *want);
    double error = nb_cursor_f64(in), least = nb_cursor_f64(in);
    float codebook[NB_MOST_ENTRIES];
    uint8_t codes[MOST];
    nb_error err = {0};
    if (!CHECK(want && n <= MOST && entries <= NB_MOST_ENTRIES, "a codebook of %u", entries))
        return;
    memcpy(codebook, start, entries * sizeof *start);
    CHECK(nb_lloyd_max_from(x, weight, n, entries, codebook, codes, &err) == 0, "%s", err.message);
    if (error > 0) /* else scikit-learn moves entries that have no numbers */
        for (uint32_t i = 0; i < entries; i++)
            CHECK(fabsf(codebook[i] - want[i]) < 1e-5f, "%u numbers: entry %u of %u is %g, not %g", n, i, entries,
                  (double)codebook[i], (double)want[i]);
    CHECK(fabs(error_of(x, weight, n, codebook, codes) - error) < 1e-4 * error + 1e-9, "%u of %u: the error is not %g",
          entries, n, error);
    CHECK(nb_lloyd_max(x, weight, n, entries, codebook, codes, &err) == 0, "%s", err.message);
    double best = error_of(x, weight, n, codebook, codes);
    CHECK(best <= least * 1.000001 + 1e-12, "%u of %u: the error is %g, not %g", entries, n, best, least);
}

/* More numbers than the start looks at one by one. */
static void check_many(void) {
    enum { MANY = 20000 };
    float *x = nb_alloc(MANY * sizeof *x), codebook[8], before = -2;
    uint8_t *codes = nb_alloc(MANY);
    nb_error err = {0};
    for (uint32_t i = 0; i < MANY; i++) /* even: the best entries are the middles of eight equal parts */
        x[i] = (float)((i * 7919 % MANY + 0.5) / MANY);
    CHECK(nb_lloyd_max(x, NULL, MANY, 8, codebook, codes, &err) == 0, "%s", err.message);
    for (int i = 0; i < 8; i++) {
        CHECK(fabsf(codebook[i] - ((float)i + 0.5f) / 8) < 1e-3f && codebook[i] > before, "entry %d is %g", i,
              (double)codebook[i]);
        before = codebook[i];
    }
    nb_free(codes);
    nb_free(x);
}

static void check_codebooks_refused(void) {
    float x[4] = {1, 2, 3, 4}, importance[4] = {0}, codebook[4] = {0, 2, 1, 3};
    uint8_t codes[4];
    nb_error err = {0};
    CHECK(nb_lloyd_max(x, NULL, 4, 0, codebook, codes, &err) == NB_ERR_ARGUMENT, "no entries");
    CHECK(nb_lloyd_max(x, NULL, 4, 257, codebook, codes, &err) == NB_ERR_ARGUMENT, "257 entries");
    CHECK(nb_lloyd_max(x, NULL, 0, 4, codebook, codes, &err) == NB_ERR_ARGUMENT, "no numbers");
    CHECK(nb_lloyd_max_from(x, NULL, 4, 4, codebook, codes, &err) == NB_ERR_ARGUMENT &&
              test_contains(err.message, "entry 2"),
          "%s", err.message);
    CHECK(nb_lloyd_max(x, importance, 4, 2, codebook, codes, &err) == 0 && codebook[0] == 1.5f && codebook[1] == 3.5f,
          "if nothing counts, all count alike: %g, %g", (double)codebook[0], (double)codebook[1]);
    importance[3] = -1;
    CHECK(nb_lloyd_max(x, importance, 4, 2, codebook, codes, &err) == NB_ERR_ARGUMENT, "a negative importance");
    x[1] = INFINITY;
    CHECK(nb_lloyd_max(x, NULL, 4, 2, codebook, codes, &err) == NB_ERR_FORMAT && test_contains(err.message, "column 1"),
          "%s", err.message);
}

void test_primitives(void) {
    size_t size;
    uint8_t *bytes = test_read_all(PRIMITIVES, &size);
    nb_cursor in = nb_cursor_over(bytes, size, 0);
    for (uint32_t i = 0, n = nb_cursor_u32(&in); i < n && !in.is_short; i++)
        check_grid(&in, i);
    for (uint32_t i = 0, n = nb_cursor_u32(&in); i < n && !in.is_short; i++)
        check_levels(&in, i);
    for (uint32_t i = 0, n = nb_cursor_u32(&in); i < n && !in.is_short; i++)
        check_codebook(&in);
    CHECK(!in.is_short, "%s is cut off", PRIMITIVES);
    nb_free(bytes);
    check_values();
    check_stochastic();
    check_refused();
    check_levels_refused();
    check_many();
    check_codebooks_refused();
}
