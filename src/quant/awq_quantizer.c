/* nibble_quantize.h's functions for AWQ, SmoothQuant and INT8. They check the arguments, and call awq.c, awq_fold.c,
 * smooth.c and int8.c. */
#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/writer.h"
#include "awq.h"
#include "awq_fold.h"
#include "hessian.h"
#include "int8.h"
#include "smooth.h"

int32_t nb_quantizer_floats(nb_quantizer *q, uint32_t source_type, const void *weights, uint32_t first_row,
                            uint32_t rows, float *out, nb_error *err) {
    NB_TRY(nb_weights_check(q->columns, source_type, err));
    for (uint32_t row = 0; row < rows; row++)
        if (!nb_weights_row(q->columns, source_type, weights, row, out + (size_t)row * q->columns))
            return nb_weights_refuse(q->columns, source_type, weights, row, first_row, q->panel, err);
    return NB_OK;
}

int32_t nb_quantizer_fold(const char *name, size_t name_bytes, uint32_t is_gated, nb_fold_rule *rule) {
    nb_text text = {name, name_bytes};
    nb_fold fold = {0};
    bool is_there = nb_fold_of(text, is_gated != 0, &fold);
    *rule = (nb_fold_rule){.is_norm = fold.is_norm, .clips = nb_fold_clips(text)};
    nb_writer w = nb_writer_over(rule->absorber, sizeof rule->absorber);
    for (int i = 0; is_there && i < 2 && fold.absorbers[i]; i++)
        nb_write(&w, "%s%s", i ? "," : "", fold.absorbers[i]);
    rule->absorber_bytes = (uint32_t)w.length;
    return is_there;
}

/* ---- inputs and roundings ---------------------------------------------------------------------------------------- */

/* *sources: as in nb_awq_input; the caller frees it. NULL if there are as many key-value heads as heads. */
static int32_t find_sources(const nb_quantizer *q, uint32_t heads, uint32_t kv_heads, uint32_t **sources,
                            nb_error *err) {
    *sources = NULL;
    if (heads == kv_heads)
        return NB_OK;
    if (!heads || !kv_heads || heads % kv_heads || q->columns % heads)
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "%u columns cannot be %u heads with %u key-value heads: each must divide the one before",
                       q->columns, heads, kv_heads);
    *sources = nb_alloc_items(q->columns, sizeof **sources);
    if (!*sources)
        return nb_memory_refuse("the heads of columns", nb_times(q->columns, sizeof **sources), err);
    nb_fold_heads(heads, kv_heads, q->columns / heads, *sources);
    return NB_OK;
}

/* The grid of the codes that nb_quantizer_codes will write. rule: with NB_ROWS_BEST, how a group's range is searched
 * for. Here it minimizes the sum of |error|^2; nb_quantizer_codes usually takes |error|^2.4. The ranges are nearly the
 * same, and with 2 the search takes a tenth of the time. */
typedef struct code_grid {
    nb_uniform uniform;
    nb_code_rule rule;
} code_grid;

static code_grid grid_of(const nb_awq_settings *s) {
    return (code_grid){{.bits = s->bits, .is_symmetric = s->symmetric != 0, .scale_type = NB_TYPE_F16},
                       {.bits = s->bits, .is_symmetric = s->symmetric != 0, .power = 2}};
}

static int32_t find_rounding(nb_quantizer *q, const nb_awq_settings *s, const code_grid *grid, nb_rounding *r,
                             nb_error *err) {
    bool is_best = s->flags & NB_ROWS_BEST;
    if (s->bits) {
        *r = (nb_rounding){.uniform = &grid->uniform, .group = s->group ? s->group : q->columns};
        if (is_best && r->group % 4)
            return NB_FAIL(err, NB_ERR_ARGUMENT, "groups of %u columns cannot be searched: take a multiple of 4",
                           r->group);
        r->rule = is_best ? &grid->rule : NULL;
        return NB_OK;
    }
    *r = (nb_rounding){.type = s->type, .how.best = is_best};
    return nb_grids_find(&q->grids, s->type, &r->how.neighbours, err);
}

static nb_awq_input input_of(const nb_quantizer *q, const uint32_t *sources, uint32_t heads, uint32_t kv_heads) {
    return (nb_awq_input){q->columns, q->hessian, q->mean, sources, sources ? q->columns / heads * kv_heads : 0};
}

/* ---- scales ------------------------------------------------------------------------------------------------------ */

int32_t nb_quantizer_awq(nb_quantizer *q, const nb_awq_settings *s, const float *weights, uint32_t rows, uint32_t step,
                         float *scales, nb_awq_found *found, nb_error *err) {
    code_grid grid = grid_of(s);
    nb_rounding r;
    uint32_t *sources;
    NB_TRY(nb_hessian_check_given(q, err));
    NB_TRY(find_rounding(q, s, &grid, &r, err));
    NB_TRY(find_sources(q, s->heads, s->kv_heads, &sources, err));
    nb_awq_input input = input_of(q, sources, s->heads, s->kv_heads);
    int32_t code = nb_awq_try(q->pool, &input, &r, !s->plain, weights, rows, step, scales, found, err);
    nb_free(sources);
    return code;
}

int32_t nb_quantizer_clip(nb_quantizer *q, const nb_awq_settings *s, const float *scales, float *weights, uint32_t rows,
                          nb_error *err) {
    code_grid grid = grid_of(s);
    nb_rounding r;
    NB_TRY(nb_hessian_check_given(q, err));
    NB_TRY(find_rounding(q, s, &grid, &r, err));
    nb_awq_input input = input_of(q, NULL, 0, 0);
    return nb_awq_clip(q->pool, &input, &r, scales, weights, rows, err);
}

int32_t nb_quantizer_smooth(nb_quantizer *q, float alpha, uint32_t heads, uint32_t kv_heads, const float *weights,
                            uint32_t rows, float *scales, nb_error *err) {
    uint32_t *sources;
    NB_TRY(find_sources(q, heads, kv_heads, &sources, err));
    uint32_t n = sources ? q->columns / heads * kv_heads : 0;
    int32_t code = nb_smooth_scales(q->largest, q->columns, sources, n, alpha, weights, rows, scales, err);
    nb_free(sources);
    return code;
}

void nb_quantizer_fold_columns(const nb_quantizer *q, float *weights, uint32_t rows, const float *scales) {
    nb_fold_columns(weights, rows, q->columns, scales);
}

int32_t nb_quantizer_fold_rows(const nb_quantizer *q, float *weights, uint32_t first, uint32_t columns, uint32_t heads,
                               uint32_t kv_heads, const float *scales, nb_error *err) {
    uint32_t *sources;
    NB_TRY(find_sources(q, heads, kv_heads, &sources, err));
    nb_fold_rows(weights, first, columns, scales, sources, q->columns);
    nb_free(sources);
    return NB_OK;
}

/* ---- 8 bits ------------------------------------------------------------------------------------------------------ */

int32_t nb_quantizer_input(const void *observed, const nb_input_settings *how, nb_input_found *found, nb_error *err) {
    nb_uniform grid = {.bits = 8, .scale_type = how->scale_type};
    nb_range_settings settings = {.method = how->ranges,
                                  .bits = grid.bits,
                                  .is_symmetric = how->symmetric != 0,
                                  .percentile = how->percentile,
                                  .is_wide = !grid.is_narrow};
    nb_range range;
    NB_TRY(nb_uniform_check(&grid, err));
    NB_TRY(nb_range_check(observed, err));
    NB_TRY(nb_range_choose(observed, &settings, &range, err));
    nb_uniform_step step = nb_int8_input(&range, settings.is_symmetric, grid.scale_type);
    *found = (nb_input_found){range.clipped, range.low, range.high, step.scale, step.zero};
    return NB_OK;
}

int32_t nb_quantizer_outliers(const nb_quantizer *q, float threshold, uint32_t *list, nb_error *err) {
    return nb_int8_outliers(q->largest, q->columns, threshold, list, err);
}

/* Splits a row into blocks of Q8_0 and outliers in 16 bits. w becomes the weights that these mean. */
static int32_t split_row(float *w, uint32_t columns, uint64_t row, const uint32_t *list, uint32_t n, int8_t *codes,
                         nb_block_q8_0 *blocks, uint16_t *kept, nb_error *err) {
    float most;
    NB_TRY(nb_int8_split(w, row, 1, columns, list, n, codes, &most, kept, err));
    uint16_t d = nb_f32_to_f16(most / 127);
    float scale = nb_f16_to_f32(d);
    for (uint32_t i = 0; i < columns; i++) {
        blocks[i / NB_BLOCK].d = d;
        blocks[i / NB_BLOCK].q[i % NB_BLOCK] = codes[i];
        w[i] = scale * (float)codes[i];
    }
    for (uint32_t i = 0; i < n; i++)
        w[list[i]] = nb_f16_to_f32(kept[i]);
    return NB_OK;
}

int32_t nb_quantizer_split(nb_quantizer *q, uint32_t source_type, const void *weights, uint32_t first_row,
                           uint32_t rows, const uint32_t *list, uint32_t n, void *blocks, uint16_t *kept, float *values,
                           nb_error *err) {
    NB_TRY(nb_quantizer_floats(q, source_type, weights, first_row, rows, values, err));
    int8_t *codes = nb_alloc_items(q->columns, 1);
    int32_t code = codes ? NB_OK : NB_FAIL(err, NB_ERR_MEMORY, "no memory for a row of codes");
    for (uint32_t row = 0; row < rows && code == NB_OK; row++)
        code = split_row(values + (size_t)row * q->columns, q->columns, (uint64_t)first_row + row, list, n, codes,
                         (nb_block_q8_0 *)blocks + (size_t)row * (q->columns / NB_BLOCK), kept + (size_t)row * n, err);
    nb_free(codes);
    return code;
}
