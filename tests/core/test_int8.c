/* SmoothQuant, W8A8 and LLM.int8() against torchao, compressed-tensors and bitsandbytes
 * (tests/oracles/int8_vectors.py). */
#include "check.h"

#include "../../src/base/cursor.h"
#include "../../src/base/numbers.h"
#include "../../src/nibble_quantize.h"
#include "../../src/quant/int8.h"
#include "../../src/quant/smooth.h"
#include "../../src/types/traits.h"
#include "../../src/types/types.h"

#include <math.h>

static const char VECTORS[] = "tests/fixtures/formats/int8.bin";

enum { MOST = 64, MOST_ROWS = 16, ZERO_ROW = 3 }; /* whose scale is not used */

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

/* Rounded to nearest, as nb_quantizer_pack packs them. */
static void check_rows(nb_cursor *in) {
    uint32_t rows = nb_cursor_u32(in), columns = nb_cursor_u32(in), tensors = nb_cursor_u32(in);
    const float *x = (const float *)nb_cursor_bytes(in, 4ull * rows * columns);
    nb_error err = {0};
    if (!CHECK(x && rows <= MOST_ROWS && columns <= MOST, "%s", VECTORS))
        return;
    nb_quantizer *q = nb_quantizer_new(NULL, columns, &err);
    CHECK(q && nb_quantizer_prepare(q, &(nb_gptq_settings){0}, &err) == 0, "%s", err.message);
    for (uint32_t k = 0; k < tensors && !in->is_short; k++) {
        uint8_t codes[MOST_ROWS * MOST], zeros[MOST_ROWS], packed[MOST_ROWS * MOST];
        uint32_t scales[MOST_ROWS], type = nb_cursor_u32(in);
        float values[MOST_ROWS * MOST];
        nb_code_format format = {NB_FORMAT_INT8, 8, 0, 1, 0, type};
        if (!CHECK(nb_quantizer_codes(q, &format, NB_ROWS_NEAREST, NB_TYPE_F32, x, 0, rows, codes, scales, zeros,
                                      values, &err) == 0 &&
                       nb_quantizer_pack(&format, NB_PART_CODES, codes, rows, columns, packed, &err) == 0 &&
                       nb_quantizer_part_bytes(&format, NB_PART_SCALES, rows, columns) == rows * (type ? 2 : 4),
                   "%s", err.message))
            break;
        for (uint32_t row = 0; row < rows; row++) {
            float want = nb_cursor_f32(in), found = 0;
            nb_traits_of(type)->dequantize((const uint8_t *)scales + row * (type ? 2 : 4), &found, 1);
            CHECK(found == want || row == ZERO_ROW, "type %u, row %u: the scale is %g, not %g", type, row,
                  (double)found, (double)want);
            for (uint32_t i = row * columns; i < (row + 1) * columns; i++)
                CHECK(values[i] == found * (float)(int8_t)packed[i], "type %u, number %u", type, i);
        }
        for (uint32_t i = 0; i < rows * columns; i++) {
            int8_t want = (int8_t)nb_cursor_u8(in);
            CHECK((int8_t)packed[i] == want, "type %u, number %u: %d, not %d", type, i, (int8_t)packed[i], want);
        }
    }
    static const nb_code_format wrong[] = {{NB_FORMAT_INT8, 4, 0, 1, 0, 0},
                                           {NB_FORMAT_INT8, 8, 32, 1, 0, 0},
                                           {NB_FORMAT_INT8, 8, 0, 0, 0, 0},
                                           {NB_FORMAT_INT8, 8, 0, 1, 0, 2}};
    for (int i = 0; i < 4; i++)
        CHECK(nb_quantizer_codes(q, &wrong[i], NB_ROWS_NEAREST, NB_TYPE_F32, x, 0, 1, NULL, NULL, NULL, NULL, &err) ==
                  NB_ERR_ARGUMENT,
              "format %d", i);
    nb_code_format format = {NB_FORMAT_INT8, 8, 0, 1, 0, 0};
    CHECK(nb_quantizer_codes(q, &format, 0, NB_TYPE_F32, x, 0, 1, NULL, NULL, NULL, NULL, &err) == NB_ERR_STATE, "%s",
          err.message);
    nb_quantizer_free(q);
}

/* GPTQ makes the output error smaller if the inputs are correlated. */
static void check_feedback(void) {
    enum { COLUMNS = 64, ROWS = 4 };
    static float w[ROWS * COLUMNS], values[2][ROWS * COLUMNS];
    uint8_t codes[ROWS * COLUMNS], zeros[ROWS];
    uint16_t scales[ROWS];
    double errors[2];
    nb_code_format format = {NB_FORMAT_INT8, 8, 0, 1, 0, NB_TYPE_BF16};
    nb_error err = {0};
    for (int i = 0; i < ROWS * COLUMNS; i++)
        w[i] = (float)(i * 37 % 101 - 50) / 50;
    for (uint32_t i = 0; i < 2; i++) {
        nb_quantizer *q = nb_quantizer_new(NULL, COLUMNS, &err);
        float *h = nb_quantizer_hessian(q);
        for (int k = 0; k < COLUMNS * COLUMNS; k++)
            h[k] = k / COLUMNS == k % COLUMNS ? 1 : 0.9f;
        CHECK(nb_quantizer_prepare(q, &(nb_gptq_settings){0.01f, 0, 0}, &err) == 0, "%s", err.message);
        while (i && nb_quantizer_factor(q, &err) > 0)
            ;
        CHECK(nb_quantizer_codes(q, &format, i ? NB_ROWS_PLAINLY : NB_ROWS_NEAREST, NB_TYPE_F32, w, 0, ROWS, codes,
                                 scales, zeros, values[i], &err) == 0,
              "%s", err.message);
        errors[i] = nb_quantizer_error(q, NB_TYPE_F32, w, NB_TYPE_F32, values[i], ROWS, &err);
        nb_quantizer_free(q);
    }
    CHECK(errors[1] < 0.5 * errors[0] && errors[1] > 0, "%g, to nearest %g", errors[1], errors[0]);
}

/* A histogram -> the scale and zero point of static activations. */
static void check_input(void) {
    static nb_range_observer o;
    nb_error err = {0};
    float x[100];
    for (int i = 0; i < 100; i++)
        x[i] = (float)(i - 20);
    nb_input_settings how = {.ranges = NB_RANGE_MIN_MAX, .scale_type = NB_TYPE_F32};
    nb_input_found found;
    nb_range_begin(&o, 0);
    CHECK(nb_quantizer_input(&o, &how, &found, &err) == NB_ERR_STATE, "%s", err.message);
    nb_range_add(&o, x, 100);
    CHECK(nb_quantizer_input(&o, &how, &found, &err) == 0, "%s", err.message);
    CHECK(found.low == -20 && found.high == 79 && found.clipped == 0 && found.scale == 99.0f / 255 &&
              found.zero == -128 + 52, /* 20 / (99 / 255) is 51.5..., which becomes 52 */
          "%g ... %g, %g: %g, %d", (double)found.low, (double)found.high, found.clipped, (double)found.scale,
          found.zero);
    how = (nb_input_settings){.ranges = NB_RANGE_PERCENTILE, .symmetric = 1, .percentile = 95, .scale_type = 30};
    CHECK(nb_quantizer_input(&o, &how, &found, &err) == 0, "%s", err.message);
    CHECK(found.high == 74 && fabs(found.clipped - 0.05) < 1e-12 && found.zero == 0 && found.scale == 0.58203125f,
          "%g, %g: %g, %d", (double)found.high, found.clipped, (double)found.scale,
          found.zero); /* 74 / 127.5 as bfloat16 */
    how.scale_type = NB_TYPE_Q4_0;
    CHECK(nb_quantizer_input(&o, &how, &found, &err) == NB_ERR_ARGUMENT, "%s", err.message);
}

/* Bytes that no observer can have written are refused. */
static void check_damaged_input(void) {
    static nb_range_observer o, bad;
    nb_error err = {0};
    const float x[] = {-3, 1, 2};
    nb_input_settings how = {.ranges = NB_RANGE_SQUARED_ERROR, .scale_type = NB_TYPE_F32};
    nb_input_found found;
    nb_range_begin(&o, 0);
    nb_range_add(&o, x, 3);
    CHECK(nb_quantizer_input(&o, &how, &found, &err) == 0, "%s", err.message);
#define REFUSED(change)                                                                                            \
    (bad = o, (change),                                                                                            \
     CHECK(nb_quantizer_input(&bad, &how, &found, &err) == NB_ERR_FORMAT && test_contains(err.message, "damaged"), \
           "%s: %s", #change, err.message))
    REFUSED(bad.count = 4);
    REFUSED(bad.above[0]++);
    REFUSED((bad.below[5] = UINT64_MAX, bad.count = 2));
    REFUSED(bad.low = NAN);
    REFUSED(bad.high = INFINITY);
    REFUSED(bad.low = 2.5f);
    REFUSED(bad.moving_high = NAN);
    REFUSED(bad.exponent = 129);
    REFUSED(bad.exponent = -101);
    REFUSED(bad.exponent = 1); /* 3 is beyond 2^1 */
#undef REFUSED
}

static void check_split(void) {
    enum { COLUMNS = 32 };
    float x[2 * COLUMNS], values[2 * COLUMNS];
    nb_block_q8_0 blocks[2];
    uint16_t kept[2];
    uint32_t list[1] = {31};
    nb_error err = {0};
    nb_quantizer *q = nb_quantizer_new(NULL, COLUMNS, &err);
    for (int i = 0; i < 2 * COLUMNS; i++)
        x[i] = (float)(i - 31);
    CHECK(nb_quantizer_split(q, NB_TYPE_F32, x, 0, 2, list, 1, blocks, kept, values, &err) == 0, "%s", err.message);
    CHECK(blocks[1].q[30] == 127 && blocks[1].q[31] == 0 && blocks[1].d == nb_f32_to_f16(31 / 127.0f) &&
              kept[1] == nb_f32_to_f16(32) && values[63] == 32 && values[36] == nb_f16_to_f32(blocks[1].d) * 20,
          "%g, %g", (double)values[63], (double)values[36]);
    x[40] = 1e6f;
    CHECK(nb_quantizer_split(q, NB_TYPE_F32, x, 7, 2, list, 1, blocks, kept, values, &err) == NB_ERR_FORMAT &&
              test_contains(err.message, "row 8, column 8 is"),
          "%s", err.message);
    nb_quantizer_free(q);
}

static void check_ranges(nb_cursor *in) {
    for (uint32_t k = 0, n = nb_cursor_u32(in); k < n && !in->is_short; k++) {
        nb_range range = {nb_cursor_f32(in), nb_cursor_f32(in), 0};
        bool is_symmetric = nb_cursor_u32(in);
        float scale = nb_cursor_f32(in);
        int32_t zero = (int32_t)nb_cursor_u32(in);
        nb_uniform_step step = nb_int8_input(&range, is_symmetric, NB_TYPE_F32);
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
    CHECK(nb_int8_split(w, 0, rows, columns, list, n, codes, most, kept, &err) == 0, "%s", err.message);
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
    CHECK(nb_int8_split(bad, 0, 2, 2, list, 1, codes, most, kept, &err) == NB_ERR_FORMAT &&
              test_contains(err.message, "row 0, column 1"),
          "%s", err.message);
    bad[1] = NAN;
    CHECK(nb_int8_split(bad, 0, 2, 2, list, 1, codes, most, kept, &err) == NB_ERR_FORMAT, "%s", err.message);
    bad[1] = 0;
    list[1] = 1;
    CHECK(nb_int8_split(bad, 0, 2, 2, list, 2, codes, most, kept, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    CHECK(nb_int8_split(bad, 0, 2, 2, list, 0, codes, most, kept, &err) == 0 && codes[0] == 127 && codes[1] == 0,
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
    check_feedback();
    check_input();
    check_damaged_input();
    check_split();
    CHECK(!in.is_short && in.at == size, "%s is cut off", VECTORS);
    nb_free(bytes);
}
