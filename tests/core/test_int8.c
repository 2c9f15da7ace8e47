/* SmoothQuant, W8A8 and LLM.int8() against torchao, compressed-tensors and bitsandbytes
 * (tests/oracles/int8_vectors.py). */
#include "check.h"

#include "../../src/base/cursor.h"
#include "../../src/base/numbers.h"
#include "../../src/nibble_quantize.h"
#include "../../src/quant/int8.h"
#include "../../src/quant/smooth.h"
#include "../../src/types/types.h"

#include <math.h>

static const char VECTORS[] = "tests/fixtures/formats/int8.bin";

enum { MOST = 64, MOST_ROWS = 16 };

static void check_smooth(nb_cursor *in) {
    uint32_t columns = nb_cursor_u32(in), n = nb_cursor_u32(in), rows = nb_cursor_u32(in);
    const float *weights = (const float *)nb_cursor_bytes(in, 4ull * n * rows * columns);
    nb_error err = {0};
    float scales[MOST], largest[MOST];
    if (!CHECK(weights && columns <= MOST, "%s", VECTORS))
        return;
    rows *= n;
    memcpy(largest, nb_cursor_bytes(in, 4ull * columns), columns * sizeof *largest);
    for (uint32_t k = 0, alphas = nb_cursor_u32(in); k < alphas && !in->is_short; k++) {
        float alpha = nb_cursor_f32(in);
        CHECK(nb_smooth_scales(largest, columns, NULL, 0, alpha, weights, rows, scales, &err) == 0, "%s", err.message);
        for (uint32_t i = 0; i < columns; i++) {
            float want = nb_cursor_f32(in);
            CHECK(fabsf(scales[i] / want - 1) < 1e-4f, "alpha %g, column %u: %g, not %g", (double)alpha, i,
                  (double)scales[i], (double)want);
        }
    }
    uint32_t sources[MOST];
    for (uint32_t i = 0; i < columns; i++)
        sources[i] = i / 2;
    CHECK(nb_smooth_scales(largest, columns, sources, columns / 2, 1, weights, rows, scales, &err) == 0, "%s",
          err.message);
    for (uint32_t i = 0; i < columns; i++) /* with alpha 1 the scale is max |x| */
        CHECK(scales[i] == NB_MAX(largest[i], largest[i ^ 1]), "column %u: %g", i, (double)scales[i]);
    CHECK(nb_smooth_scales(largest, columns, sources, 3, 1, weights, rows, scales, &err) == NB_ERR_ARGUMENT, "%s",
          err.message);
    largest[4] = 0;
    CHECK(nb_smooth_scales(largest, columns, NULL, 0, 0.5f, weights, rows, scales, &err) == 0 && scales[4] == 1,
          "a column that was never seen has the scale %g", (double)scales[4]);
    CHECK(nb_smooth_scales(largest, columns, NULL, 0, 1.5f, weights, rows, scales, &err) == NB_ERR_ARGUMENT, "%s",
          err.message);
    largest[7] = NAN;
    CHECK(nb_smooth_scales(largest, columns, NULL, 0, 0.5f, weights, rows, scales, &err) == NB_ERR_FORMAT &&
              test_contains(err.message, "column 7"),
          "%s", err.message);
}

static void check_rows(nb_cursor *in) {
    uint32_t rows = nb_cursor_u32(in), columns = nb_cursor_u32(in), tensors = nb_cursor_u32(in);
    const float *x = (const float *)nb_cursor_bytes(in, 4ull * rows * columns);
    nb_error err = {0};
    if (!CHECK(x && rows <= MOST_ROWS && columns <= MOST, "%s", VECTORS))
        return;
    for (uint32_t k = 0; k < tensors && !in->is_short; k++) {
        int8_t codes[MOST_ROWS * MOST];
        float scales[MOST_ROWS];
        uint32_t type = nb_cursor_u32(in);
        CHECK(nb_int8_rows(x, rows, columns, type, codes, scales, &err) == 0, "%s", err.message);
        for (uint32_t row = 0; row < rows; row++) {
            float want = nb_cursor_f32(in);
            CHECK(scales[row] == want, "type %u, row %u: the scale is %g, not %g", type, row, (double)scales[row],
                  (double)want);
        }
        for (uint32_t i = 0; i < rows * columns; i++) {
            int8_t want = (int8_t)nb_cursor_u8(in);
            CHECK(codes[i] == want, "type %u, number %u: %d, not %d", type, i, codes[i], want);
        }
    }
    float bad[4] = {1, 2, 3, INFINITY}, scales[2];
    int8_t codes[4];
    CHECK(nb_int8_rows(bad, 2, 2, 0, codes, scales, &err) == NB_ERR_FORMAT &&
              test_contains(err.message, "row 1, column 1"),
          "%s", err.message);
    CHECK(nb_int8_rows(bad, 1, 2, 2, codes, scales, &err) == NB_ERR_ARGUMENT, "scales of Q4_0");
}

/* The header's function, whose scales are bytes of their type. */
static void check_bytes(void) {
    float x[64];
    int8_t codes[64];
    uint16_t halves[2];
    nb_error err = {0};
    nb_quantizer *q = nb_quantizer_new(NULL, 32, &err);
    for (int i = 0; i < 64; i++)
        x[i] = (float)(i - 31);
    CHECK(nb_quantizer_int8(q, x, 2, NB_TYPE_BF16, codes, halves, &err) == 0, "%s", err.message);
    /* 31 / 127.5 and 32 / 127.5 as bfloat16 */
    CHECK(halves[0] == 0x3e79 && halves[1] == 0x3e81, "%x, %x", halves[0], halves[1]);
    CHECK(codes[0] == -127 && codes[31] == 0 && codes[63] == 127, "%d, %d, %d", codes[0], codes[31], codes[63]);
    float largest[2];
    uint16_t kept[2];
    uint32_t list[1] = {31};
    CHECK(nb_quantizer_split(q, x, 2, list, 1, codes, largest, kept, &err) == 0 && largest[1] == 31 && codes[63] == 0 &&
              kept[1] == nb_f32_to_f16(32),
          "%s", err.message);
    nb_quantizer_free(q);
}

static void check_ranges(nb_cursor *in) {
    for (uint32_t k = 0, n = nb_cursor_u32(in); k < n && !in->is_short; k++) {
        nb_range range = {nb_cursor_f32(in), nb_cursor_f32(in), 0};
        bool is_symmetric = nb_cursor_u32(in);
        float scale = nb_cursor_f32(in);
        int32_t zero = (int32_t)nb_cursor_u32(in);
        nb_uniform_step step = nb_int8_input(&range, is_symmetric);
        CHECK(step.scale == scale && step.zero == zero, "%g ... %g: %g, %d, not %g, %d", (double)range.low,
              (double)range.high, (double)step.scale, step.zero, (double)scale, zero);
    }
}

static void check_outliers(nb_cursor *in) {
    uint32_t rows = nb_cursor_u32(in), columns = nb_cursor_u32(in), n = nb_cursor_u32(in);
    uint32_t list[MOST] = {0}, found[MOST] = {0};
    float largest[MOST] = {0}, most[MOST_ROWS];
    int8_t codes[MOST_ROWS * MOST];
    uint16_t kept[MOST_ROWS * MOST];
    nb_error err = {0};
    if (!CHECK(rows <= MOST_ROWS && columns <= MOST && n <= columns, "%s", VECTORS))
        return;
    for (uint32_t i = 0; i < n; i++) {
        list[i] = nb_cursor_u32(in);
        largest[list[i]] = 6;
    }
    CHECK(nb_int8_outliers(largest, columns, 6, found, &err) == (int32_t)n && !nb_compare(found, list, 4 * (size_t)n),
          "outliers");
    const float *w = (const float *)nb_cursor_bytes(in, 4ull * rows * columns);
    if (!CHECK(w, "%s is cut off", VECTORS))
        return;
    CHECK(nb_int8_split(w, rows, columns, list, n, codes, most, kept, &err) == 0, "%s", err.message);
    for (uint32_t row = 0; row < rows; row++) {
        float want = nb_cursor_f32(in);
        CHECK(most[row] == want, "row %u: %g, not %g", row, (double)most[row], (double)want);
    }
    for (uint32_t i = 0; i < rows * columns; i++) {
        int8_t want = (int8_t)nb_cursor_u8(in);
        CHECK(codes[i] == want, "code %u: %d, not %d", i, codes[i], want);
    }
    for (uint32_t i = 0; i < rows * n; i++) {
        uint16_t want = nb_cursor_u16(in);
        CHECK(kept[i] == want, "kept %u: %u, not %u", i, kept[i], want);
    }
    float bad[4] = {1, 70000, 1, 1};
    list[0] = 1;
    CHECK(nb_int8_split(bad, 2, 2, list, 1, codes, most, kept, &err) == NB_ERR_FORMAT &&
              test_contains(err.message, "row 0, column 1"),
          "%s", err.message);
    bad[1] = NAN;
    CHECK(nb_int8_split(bad, 2, 2, list, 1, codes, most, kept, &err) == NB_ERR_FORMAT, "%s", err.message);
    bad[1] = 0;
    list[1] = 1;
    CHECK(nb_int8_split(bad, 2, 2, list, 2, codes, most, kept, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    CHECK(nb_int8_split(bad, 2, 2, list, 0, codes, most, kept, &err) == 0 && codes[0] == 127 && codes[1] == 0,
          "without outliers: %s", err.message);
    CHECK(nb_int8_outliers(largest, columns, 0, found, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    largest[9] = -1;
    CHECK(nb_int8_outliers(largest, columns, 6, found, &err) == NB_ERR_FORMAT && test_contains(err.message, "column 9"),
          "%s", err.message);
}

void test_int8(void) {
    size_t size;
    uint8_t *bytes = test_read_all(VECTORS, &size);
    nb_cursor in = nb_cursor_over(bytes, size, 0);
    check_smooth(&in);
    check_rows(&in);
    check_ranges(&in);
    check_outliers(&in);
    check_bytes();
    CHECK(!in.is_short && in.at == size, "%s is cut off", VECTORS);
    nb_free(bytes);
}
