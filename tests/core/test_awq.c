/* AWQ's searches and packing against autoawq's own (tests/oracles/awq_vectors.py). */
#include "check.h"

#include "../../src/base/cursor.h"
#include "../../src/base/numbers.h"
#include "../../src/quant/awq.h"
#include "../../src/quant/awq_fold.h"
#include "../../src/quant/output_error.h"
#include "../../src/nibble_quantize.h"

#include <math.h>

static const char VECTORS[] = "tests/fixtures/formats/awq.bin";

enum { MOST = 96, MOST_ROWS = 128 };

typedef struct sample {
    uint32_t bits, group, rows;
    bool has_zeros, uses_weights;
    nb_awq_input input;
    const float *weights; /* of all matrices */
    uint32_t all_rows;
    const float *scales, *limits;
    double ratio, error, plain;
} sample;

static bool read_sample(nb_cursor *in, sample *s) {
    *s = (sample){.bits = nb_cursor_u32(in)};
    s->has_zeros = nb_cursor_u32(in);
    s->uses_weights = nb_cursor_u32(in);
    s->group = nb_cursor_u32(in);
    uint32_t columns = s->input.columns = nb_cursor_u32(in);
    uint32_t matrices = nb_cursor_u32(in);
    s->rows = nb_cursor_u32(in);
    s->all_rows = matrices * s->rows;
    if (!CHECK(!in->is_short && columns <= MOST && s->all_rows <= MOST_ROWS && s->rows <= MOST, "%s", VECTORS))
        return false;
    s->weights = (const float *)nb_cursor_bytes(in, 4ull * s->all_rows * columns);
    s->input.hessian = (const float *)nb_cursor_bytes(in, 4ull * columns * columns);
    s->input.mean = (const float *)nb_cursor_bytes(in, 4ull * columns);
    s->scales = (const float *)nb_cursor_bytes(in, 4ull * columns);
    s->ratio = nb_cursor_f64(in);
    s->error = nb_cursor_f64(in);
    s->plain = nb_cursor_f64(in);
    s->limits = (const float *)nb_cursor_bytes(in, 4ull * s->rows * columns / s->group);
    return CHECK(s->limits, "%s is cut off", VECTORS);
}

static nb_uniform grid_of(const sample *s) {
    return (nb_uniform){.bits = s->bits,
                        .is_symmetric = !s->has_zeros,
                        .is_signed = !s->has_zeros,
                        .is_narrow = !s->has_zeros};
}

/* All steps of the search; stops at an error. */
static int32_t search(nb_pool *pool, const nb_awq_input *input, const nb_rounding *r, bool uses_weights,
                      const float *weights, uint32_t rows, float *scales, nb_awq_found *found, nb_error *err) {
    int32_t code = 0;
    for (uint32_t step = 0; step < NB_AWQ_STEPS && code == 0; step++)
        code = nb_awq_try(pool, input, r, uses_weights, weights, rows, step, scales, found, err);
    return code;
}

static void check_search(const sample *s, nb_pool *pool) {
    float scales[MOST];
    nb_awq_found found;
    nb_error err = {0};
    nb_uniform u = grid_of(s);
    nb_rounding r = {.uniform = &u, .group = s->group};
    if (!CHECK(search(pool, &s->input, &r, s->uses_weights, s->weights, s->all_rows, scales, &found, &err) == 0, "%s",
               err.message))
        return;
    CHECK(found.ratio == s->ratio, "%u bits: the ratio is %g, not %g", s->bits, found.ratio, s->ratio);
    CHECK(fabs(found.error / s->error - 1) < 1e-4, "%u bits: the error is %g, not %g", s->bits, found.error, s->error);
    CHECK(fabs(found.plain / s->plain - 1) < 1e-4, "%u bits: the plain error is %g, not %g", s->bits, found.plain,
          s->plain);
    for (uint32_t i = 0; i < s->input.columns; i++)
        CHECK(fabsf(scales[i] / s->scales[i] - 1) < 1e-5f, "%u bits: scale %u is %g, not %g", s->bits, i,
              (double)scales[i], (double)s->scales[i]);
}

/* The limits could differ from autoawq's only where the errors of two limits are nearly equal. None differs. */
static void check_clip(const sample *s, nb_pool *pool) {
    uint32_t columns = s->input.columns, groups = columns / s->group;
    float *w = nb_alloc(s->rows * columns * sizeof *w);
    nb_error err = {0};
    nb_uniform u = grid_of(s);
    nb_rounding r = {.uniform = &u, .group = s->group};
    memcpy(w, s->weights, s->rows * columns * sizeof *w);
    nb_fold_columns(w, s->rows, columns, s->scales);
    float *scaled = nb_alloc(s->rows * columns * sizeof *w);
    memcpy(scaled, w, s->rows * columns * sizeof *w);
    CHECK(nb_awq_clip(pool, &s->input, &r, s->scales, w, s->rows, &err) == 0, "%s", err.message);
    for (uint32_t i = 0; i < s->rows * columns; i++) {
        float limit = s->limits[i / columns * groups + i % columns / s->group];
        float want = scaled[i] > limit ? limit : scaled[i] < -limit ? -limit : scaled[i];
        CHECK(fabsf(w[i] - want) <= 1e-6f * limit, "%u bits: weight %u, %g, is %g, not %g", s->bits, i,
              (double)scaled[i], (double)w[i], (double)want);
    }
    nb_free(scaled);
    nb_free(w);
}

/* The output error. back [rows][columns]: the rounded weights times scales. */
static double error_after(const sample *s, float *back, const float *scales) {
    uint32_t columns = s->input.columns;
    for (uint32_t i = 0; i < s->rows * columns; i++)
        back[i] = back[i] / scales[i % columns] - s->weights[i];
    return nb_output_error(back, s->rows, s->input.hessian, columns);
}

/* The output error of blocks that nb_quantizer_rows rounds to nearest, with the observations of inputs / scales. */
static double rounded_error(const sample *s, uint32_t flags, const float *scaled, const float *scales) {
    uint32_t columns = s->input.columns, n = s->rows * columns;
    nb_error err = {0};
    nb_gptq_settings settings = {0, NB_ORDER_NATURAL, 0};
    nb_quantizer *q = nb_quantizer_new(NULL, columns, &err);
    float *h = nb_quantizer_hessian(q), *back = nb_alloc(n * sizeof *back);
    uint8_t *blocks = nb_alloc(n);
    for (uint32_t i = 0; i < columns * columns; i++)
        h[i] = s->input.hessian[i] / scales[i / columns] / scales[i % columns];
    CHECK(nb_quantizer_prepare(q, &settings, &err) == 0 &&
              nb_quantizer_rows(q, NB_TYPE_Q4_0, flags | NB_ROWS_NEAREST, NB_TYPE_F32, scaled, 0, s->rows, blocks,
                                &err) == 0 &&
              nb_quantizer_floats(q, NB_TYPE_Q4_0, blocks, 0, s->rows, back, &err) == 0,
          "%s", err.message);
    double error = error_after(s, back, scales);
    nb_free(blocks);
    nb_free(back);
    nb_quantizer_free(q);
    return error;
}

/* For an encoder of GGUF's types: the loss with scales is smaller than without, and is what the search has reported,
 * with both of the encoder's searches. */
static void check_blocks(const sample *s) {
    float scales[MOST], scaled[MOST * MOST];
    for (uint32_t flags = NB_ROWS_PLAINLY; flags <= NB_ROWS_BEST; flags++) {
        nb_awq_found found;
        nb_error err = {0};
        nb_rounding r = {.type = NB_TYPE_Q4_0, .how.best = flags == NB_ROWS_BEST};
        uint32_t columns = s->input.columns;
        CHECK(search(NULL, &s->input, &r, true, s->weights, s->rows, scales, &found, &err) == 0, "%s", err.message);
        CHECK(found.error < found.plain, "Q4_0: %g, and plainly %g", found.error, found.plain);
        memcpy(scaled, s->weights, s->rows * columns * sizeof *scaled);
        nb_fold_columns(scaled, s->rows, columns, scales);
        double error = rounded_error(s, flags, scaled, scales);
        CHECK(fabs(error / found.error - 1) < 1e-5, "Q4_0: the error is %g, and the search said %g", error,
              found.error);
    }
}

/* Clipping for an encoder that does not search for the range. */
static void check_clipped_blocks(const sample *s) {
    float scales[MOST], clipped[MOST * MOST];
    uint8_t scratch[MOST * 4];
    nb_awq_found found;
    nb_error err = {0};
    nb_rounding r = {.type = NB_TYPE_Q8_0};
    uint32_t columns = s->input.columns;
    CHECK(search(NULL, &s->input, &r, true, s->weights, s->rows, scales, &found, &err) == 0, "%s", err.message);
    memcpy(clipped, s->weights, s->rows * columns * sizeof *clipped);
    nb_fold_columns(clipped, s->rows, columns, scales);
    CHECK(nb_awq_clip(NULL, &s->input, &r, scales, clipped, s->rows, &err) == 0, "%s", err.message);
    for (uint32_t row = 0; row < s->rows; row++)
        nb_round_row(&r, clipped + row * columns, columns, clipped + row * columns, scratch);
    double error = error_after(s, clipped, scales);
    CHECK(error <= found.error, "Q8_0, clipped: %g, before %g", error, found.error);
}

/* Columns that read the same output get the same scale, and folding both ways does not change the product. */
static void check_sources(const sample *s) {
    enum { HEADS = 4, KV_HEADS = 2, WIDTH = 16 };
    uint32_t sources[HEADS * WIDTH];
    float scales[MOST];
    nb_awq_found found;
    nb_error err = {0};
    nb_uniform u = grid_of(s);
    nb_rounding r = {.uniform = &u, .group = s->group};
    nb_awq_input input = s->input;
    nb_fold_heads(HEADS, KV_HEADS, WIDTH, sources);
    CHECK(sources[17] == 1 && sources[33] == 17 && sources[63] == 31, "%u, %u, %u", sources[17], sources[33],
          sources[63]);
    input.sources = sources;
    input.n_sources = KV_HEADS * WIDTH;
    CHECK(search(NULL, &input, &r, s->uses_weights, s->weights, s->all_rows, scales, &found, &err) == 0, "%s",
          err.message);
    CHECK(found.ratio >= 0 && found.error < found.plain && found.error >= s->error * 0.999, "%g, %g", found.ratio,
          found.error);
    for (uint32_t i = 0; i < WIDTH; i++)
        CHECK(scales[i] == scales[i + WIDTH] && scales[i + 2 * WIDTH] == scales[i + 3 * WIDTH], "column %u", i);
    float values[2 + KV_HEADS * WIDTH][3], matrix[2][HEADS * WIDTH];
    for (int i = 0; i < 2 + KV_HEADS * WIDTH; i++)
        for (int k = 0; k < 3; k++)
            values[i][k] = (float)(i + k + 1);
    for (int i = 0; i < HEADS * WIDTH; i++)
        matrix[0][i] = matrix[1][i] = (float)(i + 1);
    nb_fold_rows(values[0], 2, 3, scales, sources, HEADS * WIDTH);
    nb_fold_columns(matrix[0], 2, HEADS * WIDTH, scales);
    CHECK(values[1][2] == 4, "a row before the first is scaled");
    for (int i = 0; i < HEADS * WIDTH; i++) {
        float product = values[2 + sources[i]][1] * matrix[1][i], want = (float)((sources[i] + 4) * (i + 1u));
        CHECK(fabsf(product / want - 1) < 1e-6f, "column %d: %g, not %g", i, (double)product, (double)want);
    }
    sources[5] = KV_HEADS * WIDTH;
    CHECK(search(NULL, &input, &r, true, s->weights, s->rows, scales, &found, &err) == NB_ERR_ARGUMENT &&
              test_contains(err.message, "column 5"),
          "%s", err.message);
}

static void check_packing(nb_cursor *in) {
    uint32_t columns = nb_cursor_u32(in), rows = nb_cursor_u32(in), group = nb_cursor_u32(in);
    uint32_t n = rows * columns, steps = n / NB_MAX(group, 1u);
    const uint8_t *codes = nb_cursor_bytes(in, n);
    const uint8_t *scales = nb_cursor_bytes(in, 4ull * steps), *zeros = nb_cursor_bytes(in, steps);
    const uint8_t *want = nb_cursor_bytes(in, n / 2 + steps / 2 + 2 * steps);
    nb_error err = {0};
    if (!CHECK(want && n <= MOST * MOST, "%s is cut off", VECTORS))
        return;
    uint16_t halves[MOST];
    for (uint32_t i = 0; i < steps; i++) {
        float scale;
        memcpy(&scale, scales + 4 * (size_t)i, 4);
        halves[i] = nb_f32_to_f16(scale);
    }
    nb_code_format format = {NB_FORMAT_AWQ, 4, group, 0, 0, 0};
    const void *parts[] = {codes, zeros, halves};
    for (uint32_t part = 0; part < 3; part++) {
        uint8_t *out = nb_alloc(n);
        size_t size = (size_t)nb_quantizer_part_bytes(&format, part, rows, columns);
        CHECK(nb_quantizer_pack(&format, part, parts[part], rows, columns, out, &err) == 0, "%s", err.message);
        for (size_t i = 0; i < size; i++)
            CHECK(out[i] == want[i], "part %u: byte %z is %u, not %u", part, i, out[i], want[i]);
        want += size;
        nb_free(out);
    }
    format.bits = 3;
    CHECK(nb_quantizer_pack(&format, 0, codes, rows, columns, NULL, &err) == NB_ERR_ARGUMENT &&
              test_contains(err.message, "AWQ: only 4"),
          "%s", err.message);
}

/* A norm divided by the fitted scales can be stored exactly in the type, and the scales change only a little. */
static void check_fitted(uint32_t type, float less) {
    enum { N = 64 };
    float norm[N], scales[N], before[N], divided[N];
    uint8_t held[4 * N];
    nb_error err = {0};
    for (int i = 0; i < N; i++) {
        norm[i] = 0.01f + (float)(i * i) / 7;
        scales[i] = before[i] = 0.3f + (float)((i * 37) % N) / 11;
    }
    CHECK(nb_quantizer_fit_scales(type, less, norm, N, scales, &err) == 0, "%s", err.message);
    for (int i = 0; i < N; i++)
        divided[i] = norm[i] / scales[i];
    CHECK(nb_quantizer_narrow(type, less, divided, N, held, &err) == 0, "%s", err.message);
    for (int i = 0; i < N; i++) {
        uint16_t half;
        float number;
        memcpy(&half, held + 2 * i, 2);
        memcpy(&number, held + 4 * i, 4);
        number = type == NB_TYPE_F32 ? number : type == NB_TYPE_F16 ? nb_f16_to_f32(half) : nb_bf16_to_f32(half);
        CHECK(fabsf((number + less) / divided[i] - 1) < 1e-6f, "type %u: %g is %g in the file", type,
              (double)divided[i], (double)(number + less));
        bool is_near = fabsf(scales[i] / before[i] - 1) < (type == NB_TYPE_BF16 ? 4e-3f : 5e-4f);
        CHECK(is_near || (less != 0 && divided[i] < 0.5f), "type %u: a scale of %g became %g", type, (double)before[i],
              (double)scales[i]);
    }
}

static void check_kept_types(void) {
    float zero = 0, large = 70000, scale = 3;
    uint16_t half;
    nb_error err = {0};
    check_fitted(NB_TYPE_F32, 0);
    check_fitted(NB_TYPE_F16, 0);
    check_fitted(NB_TYPE_BF16, 0);
    check_fitted(NB_TYPE_BF16, 1);
    CHECK(nb_quantizer_fit_scales(NB_TYPE_BF16, 0, &zero, 1, &scale, &err) == 0 && scale == 3, "%g", (double)scale);
    CHECK(nb_quantizer_narrow(NB_TYPE_F16, 0, &large, 1, &half, &err) == NB_ERR_UNSUPPORTED &&
              test_contains(err.message, "value 0 is 70000, which the file's type (F16) does not hold"),
          "%s", err.message);
    CHECK(nb_quantizer_narrow(NB_TYPE_Q8_0, 0, &large, 1, &half, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    CHECK(nb_quantizer_fit_scales(NB_TYPE_Q8_0, 0, &large, 1, &scale, &err) == NB_ERR_ARGUMENT, "%s", err.message);
}

static void check_folds(void) {
    static const struct {
        const char *name, *absorber;
        bool is_gated, is_norm, clips;
    } folds[] = {
        {"blk.3.attn_q.weight", "attn_norm_2", true, true, false},
        {"attn_v", "attn_norm_2", true, true, true},
        {"blk.0.attn_output.weight", "attn_v", false, false, true},
        {"blk.11.ffn_up.weight", "ffn_norm", false, true, true},
        {"blk.1.ffn_down.weight", "ffn_up", true, false, true},
        {"blk.1.ffn_down.weight", NULL, false, false, true},
        {"ffn_down_exps", "ffn_up_exps", true, false, true},
        {"output.weight", NULL, true, true, true},
        {"blk.0.attn_qkv.weight", "attn_norm_2", true, true, false},
    };
    for (size_t i = 0; i < sizeof folds / sizeof *folds; i++) {
        nb_fold fold = {0};
        nb_text name = nb_text_of(folds[i].name);
        bool there = nb_fold_of(name, folds[i].is_gated, &fold);
        CHECK(there == (folds[i].absorber != NULL), "%s", folds[i].name);
        CHECK(!there ||
                  (nb_text_is(nb_text_of(fold.absorbers[0]), folds[i].absorber) && fold.is_norm == folds[i].is_norm),
              "%s: %s", folds[i].name, there ? fold.absorbers[0] : "none");
        CHECK(nb_fold_clips(name) == folds[i].clips, "%s: clips", folds[i].name);
    }
}

static void check_refused(void) {
    enum { N = 4 };
    float h[N * N] = {0}, mean[N] = {0}, w[2 * N] = {0}, scales[N];
    nb_awq_input input = {N, h, mean, NULL, 0};
    nb_uniform u = {.bits = 4};
    nb_rounding r = {.uniform = &u, .group = 2};
    nb_awq_found found;
    nb_error err = {0};
    CHECK(search(NULL, &input, &r, true, w, 2, scales, &found, &err) == 0 && scales[3] == 1 && found.ratio < 0,
          "nothing but zeros: %s, %g", err.message, found.ratio);
    CHECK(nb_awq_clip(NULL, &input, &r, NULL, w, 2, &err) == 0 && w[0] == 0, "%s", err.message);
    CHECK(search(NULL, &input, &r, true, w, 0, scales, &found, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    r.group = 3;
    CHECK(search(NULL, &input, &r, true, w, 2, scales, &found, &err) == NB_ERR_ARGUMENT &&
              test_contains(err.message, "groups of 3"),
          "%s", err.message);
    nb_rounding blocks = {.type = NB_TYPE_Q4_0}, none = {.type = NB_TYPE_I32};
    CHECK(search(NULL, &input, &blocks, true, w, 2, scales, &found, &err) == NB_ERR_ARGUMENT &&
              test_contains(err.message, "Q4_0"),
          "%s", err.message);
    CHECK(nb_awq_clip(NULL, &input, &none, NULL, w, 2, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    r.group = 2;
    w[6] = NAN;
    CHECK(search(NULL, &input, &r, true, w, 2, scales, &found, &err) == NB_ERR_FORMAT &&
              test_contains(err.message, "row 1, column 2"),
          "%s", err.message);
    CHECK(nb_awq_clip(NULL, &input, &r, NULL, w, 2, &err) == NB_ERR_FORMAT, "%s", err.message);
    w[6] = 0;
    mean[3] = -1;
    CHECK(search(NULL, &input, &r, true, w, 2, scales, &found, &err) == NB_ERR_FORMAT &&
              test_contains(err.message, "column 3"),
          "%s", err.message);
    mean[3] = 1;
    h[9] = INFINITY;
    CHECK(search(NULL, &input, &r, true, w, 2, scales, &found, &err) == NB_ERR_FORMAT &&
              test_contains(err.message, "Hessian"),
          "%s", err.message);
}

/* Errors in columns whose inputs were always 0 cost nothing. Sums beyond F32 are an error. */
static void check_unseen(void) {
    enum { N = 256, ROWS = 2 };
    static const uint32_t types[] = {NB_TYPE_Q4_0, NB_TYPE_Q4_1,  NB_TYPE_Q5_1, NB_TYPE_IQ4_NL, NB_TYPE_IQ4_XS,
                                     NB_TYPE_Q2_K, NB_TYPE_Q3_K,  NB_TYPE_Q4_K, NB_TYPE_Q5_K,   NB_TYPE_Q6_K,
                                     NB_TYPE_NF4,  NB_TYPE_MXFP4, NB_TYPE_NVFP4};
    static float h[N * N], w[ROWS * N];
    float mean[N] = {0}, scales[N];
    nb_awq_input input = {N, h, mean, NULL, 0};
    nb_rounding r = {0};
    nb_awq_found found;
    nb_error err = {0};
    for (int i = 0; i < ROWS * N; i++)
        w[i] = (float)(i % 13) - 5.5f;
    for (uint32_t i = 0; i < 2 * sizeof types / sizeof *types; i++) {
        r = (nb_rounding){.type = types[i / 2], .how.best = i % 2};
        h[0] = 0;
        CHECK(search(NULL, &input, &r, true, w, ROWS, scales, &found, &err) == 0 && found.error == 0, "type %u: %s, %g",
              r.type, err.message, found.error);
        h[0] = 1; /* the inputs of all other columns were 0 */
        CHECK(search(NULL, &input, &r, true, w, ROWS, scales, &found, &err) == 0 && isfinite(found.plain) &&
                  found.error <= found.plain,
              "type %u: %s, %g", r.type, err.message, found.plain);
    }
    r.type = NB_TYPE_Q4_0;
    for (int i = 0; i < N; i++)
        h[i * N + i] = 3e38f;
    for (int i = 0; i < ROWS * N; i++)
        w[i] *= 1e20f;
    CHECK(search(NULL, &input, &r, true, w, ROWS, scales, &found, &err) == NB_ERR_FORMAT &&
              test_contains(err.message, "too large for F32"),
          "%s", err.message);
}

/* nb_output_error against its definition, for columns not a multiple of 4 and rows not a multiple of 8. */
static void check_output_error(void) {
    enum { ROWS = 11, COLUMNS = 7 };
    float e[ROWS][COLUMNS], h[COLUMNS][COLUMNS];
    double want = 0;
    for (int i = 0; i < COLUMNS; i++)
        for (int k = 0; k < COLUMNS; k++)
            h[i][k] = (float)((i + 2) * (k + 2) % 11) + (i == k ? 8.0f : 0.0f);
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < COLUMNS; i++)
            e[row][i] = (float)((row * 5 + i * 3) % 11) - 5;
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < COLUMNS; i++)
            for (int k = 0; k < COLUMNS; k++)
                want += (double)e[row][i] * (double)h[i][k] * (double)e[row][k];
    double got = nb_output_error(e[0], ROWS, h[0], COLUMNS);
    CHECK(fabs(got / want - 1) < 1e-9, "%g, not %g", got, want);
}

/* The number of threads changes nothing, not even the last bit. */
static void check_threads(const sample *s) {
    float one[MOST], three[MOST];
    nb_awq_found a, b;
    nb_error err = {0};
    nb_uniform u = grid_of(s);
    nb_rounding r = {.uniform = &u, .group = s->group};
    search(NULL, &s->input, &r, true, s->weights, s->all_rows, one, &a, &err);
    nb_pool *pool = test_pool_new(3);
    CHECK(search(pool, &s->input, &r, true, s->weights, s->all_rows, three, &b, &err) == 0, "%s", err.message);
    check_clip(s, pool);
    test_pool_free(pool);
    CHECK(a.error == b.error && a.plain == b.plain && !nb_compare(one, three, s->input.columns * sizeof *one), "%g, %g",
          a.error, b.error);
}

/* tr(E H E') of codes of columns that were scaled. */
static double coded_error(const sample *s, const nb_code_format *format, const float *weights, const float *scales) {
    uint32_t columns = s->input.columns, n = s->rows * columns;
    nb_error err = {0};
    nb_quantizer *plain = nb_quantizer_new(NULL, columns, &err); /* nothing observed: rounding to nearest */
    nb_gptq_settings settings = {0.01f, NB_ORDER_NATURAL, 0};
    float *back = nb_alloc(n * sizeof *back);
    uint8_t *codes = nb_alloc(n), *zeros = nb_alloc(n);
    uint16_t *steps = nb_alloc(n * sizeof *steps);
    CHECK(nb_quantizer_prepare(plain, &settings, &err) == 0, "%s", err.message);
    CHECK(nb_quantizer_codes(plain, format, NB_ROWS_NEAREST, NB_TYPE_F32, weights, 0, s->rows, codes, steps, zeros,
                             back, &err) == 0,
          "%s", err.message);
    for (uint32_t i = 0; i < n; i++)
        back[i] = back[i] / (scales ? scales[i % columns] : 1) - s->weights[i];
    double error = nb_output_error(back, s->rows, s->input.hessian, columns);
    nb_free(steps);
    nb_free(zeros);
    nb_free(codes);
    nb_free(back);
    nb_quantizer_free(plain);
    return error;
}

/* The error that the search reports is that of the codes that nb_quantizer_codes then makes, also with the search for
 * their scales. */
static void check_best_codes(const sample *s, nb_quantizer *q, const float *weights, double without) {
    nb_error err = {0};
    nb_awq_settings settings = {.bits = s->bits, .group = s->group, .flags = NB_ROWS_BEST};
    nb_code_format format = {NB_FORMAT_AWQ, 4, s->group, 0, 2, 0};
    nb_awq_found found;
    uint32_t n = s->rows * s->input.columns;
    float scales[MOST], *w = nb_alloc(n * sizeof *w);
    memcpy(w, weights, n * sizeof *w);
    for (uint32_t step = 0; step < NB_AWQ_STEPS; step++)
        CHECK(nb_quantizer_awq(q, &settings, w, s->rows, step, scales, &found, &err) == 0, "%s", err.message);
    double plain = coded_error(s, &format, w, NULL);
    nb_quantizer_fold_columns(q, w, s->rows, scales);
    double scaled = coded_error(s, &format, w, scales);
    CHECK(fabs(plain / found.plain - 1) < 0.01 && fabs(scaled / found.error - 1) < 0.01, "%g, %g and %g, %g", plain,
          found.plain, scaled, found.error);
    CHECK(found.error < without, "%g with the better search, %g without", found.error, without);
    settings.group = 2;
    CHECK(nb_quantizer_awq(q, &settings, w, s->rows, 0, scales, &found, &err) == NB_ERR_ARGUMENT, "groups of 2");
    nb_free(w);
}

/* The functions of nibble_quantize.h, from observations to codes: the error is smaller than without scales, as
 * reported. */
static void check_quantizer(const sample *s) {
    uint32_t columns = s->input.columns, n = s->rows * columns;
    nb_error err = {0};
    nb_quantizer *q = nb_quantizer_new(NULL, columns, &err);
    nb_awq_settings settings = {.bits = s->bits, .group = s->group};
    nb_code_format format = {NB_FORMAT_AWQ, 4, s->group, 0, 0, 0};
    nb_awq_found found;
    float scales[MOST], *w = nb_alloc(n * sizeof *w);
    memcpy(nb_quantizer_hessian(q), s->input.hessian, 4 * (size_t)columns * columns);
    memcpy(nb_quantizer_mean(q), s->input.mean, 4 * (size_t)columns);
    CHECK(nb_quantizer_floats(q, NB_TYPE_F32, s->weights, 0, s->rows, w, &err) == 0, "%s", err.message);
    for (uint32_t step = 0; step < NB_AWQ_STEPS; step++)
        CHECK(nb_quantizer_awq(q, &settings, w, s->rows, step, scales, &found, &err) == 0, "%s", err.message);
    CHECK(found.ratio == s->ratio && fabs(found.error / s->error - 1) < 0.01, "%g, %g", found.ratio, found.error);
    check_best_codes(s, q, w, found.error);
    double plain = coded_error(s, &format, w, NULL);
    nb_quantizer_fold_columns(q, w, s->rows, scales);
    double scaled = coded_error(s, &format, w, scales);
    CHECK(fabs(plain / found.plain - 1) < 0.01 && fabs(scaled / found.error - 1) < 0.01, "%g, %g and %g, %g", plain,
          found.plain, scaled, found.error);
    CHECK(nb_quantizer_clip(q, &settings, scales, w, s->rows, &err) == 0, "%s", err.message);
    double clipped = coded_error(s, &format, w, scales);
    CHECK(clipped < scaled, "clipped: %g, before %g", clipped, scaled);
    CHECK(nb_quantizer_awq(q, &settings, w, s->rows, NB_AWQ_STEPS, scales, &found, &err) == NB_ERR_ARGUMENT, "%s",
          err.message);
    settings.heads = 3;
    settings.kv_heads = 2;
    CHECK(nb_quantizer_awq(q, &settings, w, s->rows, 0, scales, &found, &err) == NB_ERR_ARGUMENT &&
              test_contains(err.message, "3 heads with 2 key-value heads"),
          "%s", err.message);
    settings = (nb_awq_settings){.type = NB_TYPE_Q4_0, .heads = 4, .kv_heads = 2};
    for (uint32_t step = 0; step < NB_AWQ_STEPS; step++)
        CHECK(nb_quantizer_awq(q, &settings, s->weights, s->rows, step, scales, &found, &err) == 0, "%s", err.message);
    CHECK(found.error < found.plain && scales[3] == scales[19], "Q4_0: %g, %g", found.error, found.plain);
    float vector[32];
    for (int i = 0; i < 32; i++)
        vector[i] = 1;
    CHECK(nb_quantizer_fold_rows(q, vector, 0, 1, 4, 2, scales, &err) == 0 && vector[17] == 1 / scales[33], "%g",
          (double)vector[17]);
    memcpy(nb_quantizer_largest(q), s->input.mean, 4 * (size_t)columns);
    CHECK(nb_quantizer_smooth(q, 1, 4, 4, s->weights, s->rows, scales, &err) == 0 && scales[5] == s->input.mean[5],
          "%g", (double)scales[5]);
    uint32_t list[MOST];
    CHECK(nb_quantizer_outliers(q, 1e9f, list, &err) == 0 && nb_quantizer_outliers(q, 1e-9f, list, &err) == 64,
          "outliers");
    w[columns + 3] = NAN;
    CHECK(nb_quantizer_floats(q, NB_TYPE_F32, w, 7, 2, w, &err) == NB_ERR_FORMAT &&
              test_contains(err.message, "row 8, column 3"),
          "%s", err.message);
    nb_fold_rule rule;
    CHECK(nb_quantizer_fold("blk.0.attn_q.weight", 19, 1, &rule) == 1 && rule.is_norm && !rule.clips &&
              nb_text_is((nb_text){rule.absorber, rule.absorber_bytes}, "attn_norm_2,attn_norm"),
          "%s", rule.absorber);
    CHECK(nb_quantizer_fold("output.weight", 13, 1, &rule) == 0 && rule.absorber_bytes == 0, "%s", rule.absorber);
    nb_free(w);
    nb_quantizer_free(q);
}

void test_awq(void) {
    size_t size;
    uint8_t *bytes = test_read_all(VECTORS, &size);
    nb_cursor in = nb_cursor_over(bytes, size, 0);
    uint32_t n = nb_cursor_u32(&in);
    CHECK(n > 2, "%s: %u cases", VECTORS, n);
    for (uint32_t i = 0; i < n; i++) {
        sample s;
        if (!read_sample(&in, &s))
            break;
        check_search(&s, NULL);
        check_clip(&s, NULL);
        if (i == 0) {
            check_blocks(&s);
            check_clipped_blocks(&s);
            check_sources(&s);
            check_quantizer(&s);
        }
        if (i == 1)
            check_threads(&s);
    }
    check_packing(&in);
    CHECK(!in.is_short, "%s is cut off", VECTORS);
    nb_free(bytes);
    check_output_error();
    check_folds();
    check_kept_types();
    check_refused();
    check_unseen();
}
