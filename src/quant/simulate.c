/* Simulated quantization: weights are rounded to a grid and dequantized immediately. */
#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/threads.h"
#include "../types/traits.h"
#include "lloyd_max.h"
#include "log_levels.h"
#include "quantize_search.h"
#include "range_observer.h"
#include "uniform.h"
#include "weight_rows.h"

#pragma STDC FP_CONTRACT OFF

enum {
    MOST_SAMPLED = 1 << 20, /* weights that a codebook is fitted to */
    F16_TOP = 15            /* the largest power of two in binary16 */
};
static const float MOST_F16 = 65504;

/* The numbers that a group's weights are rounded to. Each kind of grid uses one field. */
typedef struct levels {
    nb_uniform_step step;
    int32_t top;
    float codebook[NB_MOST_ENTRIES];
} levels;

typedef struct simulation {
    const nb_simulation *how;
    nb_uniform uniform;
    uint32_t type, columns, group, first_row;
    void *weights;
    const levels *shared;        /* by the whole matrix; NULL: each group has its own */
    float *x;                    /* [threads, columns] */
    int16_t *codes;              /* [threads, columns] */
    nb_range_observer *observer; /* [threads] */
    double *clipped;             /* [rows] */
    uint32_t bad_row, large_row;
} simulation;

static nb_uniform uniform_of(const nb_simulation *how, uint32_t tensor) {
    return (nb_uniform){.bits = how->bits,
                        .is_symmetric = how->symmetric != 0,
                        .is_signed = how->symmetric != 0,
                        .is_stochastic = how->stochastic != 0,
                        .seed = (uint64_t)tensor << 32 | how->seed,
                        .scale_type = NB_TYPE_F16};
}

static uint32_t entries_of(const nb_simulation *how) {
    return 1u << how->bits;
}

static int32_t check(const nb_simulation *how, uint32_t rows, uint32_t columns, uint64_t *groups, nb_error *err) {
    nb_uniform u = uniform_of(how, 0);
    NB_TRY(nb_uniform_check(&u, err));
    if (how->grid > NB_SIMULATE_CODEBOOK || how->ranges > NB_RANGE_DIVERGENCE)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "there is no grid %u whose range is chosen by method %u", how->grid,
                       how->ranges);
    if (how->grid != NB_SIMULATE_UNIFORM && (how->ranges || how->stochastic))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "only a uniform grid can be clipped or rounded stochastically");
    if (how->ranges == NB_RANGE_PERCENTILE && !(how->percentile > 0 && how->percentile <= 100))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "a percentile must be above 0 and at most 100, not %g", how->percentile);
    *groups = nb_uniform_steps(rows, columns, how->whole ? NB_PER_TENSOR : how->group ? how->group : columns, err);
    return *groups ? NB_OK : NB_ERR_ARGUMENT;
}

int32_t nb_simulate_bits(const nb_simulation *how, uint32_t rows, uint32_t columns, double *bits, nb_error *err) {
    uint64_t groups;
    NB_TRY(check(how, rows, columns, &groups, err));
    double each = how->grid == NB_SIMULATE_LOG      ? 8
                : how->grid == NB_SIMULATE_CODEBOOK ? 16.0 * entries_of(how)
                : how->symmetric                    ? 16
                                                    : 16 + how->bits;
    *bits = (double)rows * columns * how->bits + (double)groups * each;
    return NB_OK;
}

/* ---- the levels of a group ------------------------------------------------------------------------------------ */

/* Adds the number of clipped weights to *clipped. */
static int32_t fit_uniform(const simulation *s, const float *x, size_t n, nb_range_observer *observer, levels *l,
                           double *clipped, nb_error *err) {
    const nb_simulation *how = s->how;
    if (how->ranges == NB_RANGE_MIN_MAX) {
        l->step = nb_uniform_fit_to(&s->uniform, x, n);
        return NB_OK;
    }
    nb_range_settings settings = {.method = how->ranges,
                                  .bits = how->bits,
                                  .is_symmetric = how->symmetric != 0,
                                  .is_wide = true,
                                  .percentile = how->percentile};
    nb_range range;
    nb_range_begin(observer, 0);
    NB_TRY(nb_range_observe(observer, x, 1, n, err));
    NB_TRY(nb_range_choose(observer, &settings, &range, err));
    l->step = nb_uniform_fit(&s->uniform, range.low, range.high);
    *clipped += range.clipped * (double)n;
    return NB_OK;
}

static uint16_t nearest_f16(float x) {
    return nb_f32_to_f16(NB_MAX(-MOST_F16, NB_MIN(x, MOST_F16)));
}

/* If there are very many numbers, the codebook is fitted to a sample of them. */
static int32_t fit_codebook(const simulation *s, const float *x, size_t n, levels *l, nb_error *err) {
    size_t every = (n + MOST_SAMPLED - 1) / MOST_SAMPLED, count = (n + every - 1) / every;
    uint32_t entries = entries_of(s->how);
    nb_arena arena = {0};
    nb_arena_take(&arena, count, sizeof(float));
    nb_arena_take(&arena, count, 1);
    NB_TRY(nb_arena_reserve(&arena, "the numbers of a codebook", err));
    float *sample = nb_arena_take(&arena, count, sizeof *sample);
    uint8_t *codes = nb_arena_take(&arena, count, 1);
    for (size_t i = 0; i < count; i++)
        sample[i] = x[i * every];
    int32_t code = nb_lloyd_max(sample, NULL, count, entries, l->codebook, codes, err);
    nb_arena_free(&arena);
    for (uint32_t i = 0; i < entries && code == NB_OK; i++)
        l->codebook[i] = nb_f16_to_f32(nearest_f16(l->codebook[i]));
    return code;
}

/* Chooses the levels for n finite numbers of a group. */
static int32_t fit(const simulation *s, const float *x, size_t n, nb_range_observer *observer, levels *l,
                   double *clipped, nb_error *err) {
    if (s->how->grid == NB_SIMULATE_UNIFORM)
        return fit_uniform(s, x, n, observer, l, clipped, err);
    if (s->how->grid == NB_SIMULATE_CODEBOOK)
        return fit_codebook(s, x, n, l, err);
    l->top = nb_log_top(nb_largest_magnitude(x, n));
    if (s->type == NB_TYPE_F16)
        l->top = NB_MIN(l->top, F16_TOP);
    return NB_OK;
}

/* Rounds n numbers. place: index of x[0] in its tensor. */
static void apply(const simulation *s, const levels *l, uint64_t place, float *x, size_t n, int16_t *codes) {
    uint8_t *bytes = (uint8_t *)codes;
    switch (s->how->grid) {
    case NB_SIMULATE_UNIFORM:
        nb_uniform_codes(&s->uniform, l->step, place, x, n, codes);
        nb_uniform_values(l->step, codes, n, x);
        return;
    case NB_SIMULATE_LOG:
        nb_log_codes(s->how->bits, l->top, x, n, bytes);
        nb_log_level_values(s->how->bits, l->top, bytes, n, x);
        return;
    default:
        nb_codebook_codes(x, n, l->codebook, entries_of(s->how), bytes);
        for (size_t i = 0; i < n; i++)
            x[i] = l->codebook[bytes[i]];
    }
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static void write_floats(uint32_t type, const float *x, size_t n, void *weights, size_t first) {
    if (type == NB_TYPE_F32)
        memcpy((float *)weights + first, x, n * sizeof *x);
    else
        for (size_t i = 0; i < n; i++)
            ((uint16_t *)weights)[first + i] = nearest_f16(x[i]);
}

static int32_t round_groups(const simulation *s, uint64_t row, float *x, int16_t *codes, nb_range_observer *observer,
                            nb_error *err) {
    uint64_t place = (s->first_row + row) * s->columns;
    if (s->shared)
        apply(s, s->shared, place, x, s->columns, codes);
    for (uint32_t at = 0; at < s->columns && !s->shared; at += s->group) {
        levels own;
        NB_TRY(fit(s, x + at, s->group, observer, &own, &s->clipped[row], err));
        apply(s, &own, place + at, x + at, s->group, codes);
    }
    return NB_OK;
}

/* The largest magnitude that the grid can have, as its codebook's entries or its scales are binary16. */
static float largest_of(const nb_simulation *how) {
    return how->grid == NB_SIMULATE_LOG      ? 0x1.fffffep127f
         : how->grid == NB_SIMULATE_CODEBOOK ? MOST_F16
                                             : MOST_F16 * (float)(entries_of(how) - 1) / 2;
}

static float *row_of_thread(const simulation *s, int32_t thread) {
    return s->x + (size_t)thread * s->columns;
}

static void check_row(void *context, uint64_t row, uint64_t rows, int32_t thread) {
    (void)rows;
    simulation *s = context;
    float *x = row_of_thread(s, thread);
    if (!nb_weights_row(s->columns, s->type, s->weights, (uint32_t)row, x))
        nb_mark_row(&s->bad_row, (uint32_t)row);
    else if (nb_largest_magnitude(x, s->columns) > largest_of(s->how))
        nb_mark_row(&s->large_row, (uint32_t)row);
}

/* Checks all rows before the first one is written. */
static int32_t check_rows(simulation *s, nb_pool *pool, uint32_t rows, nb_error *err) {
    nb_parallel(pool, rows, false, check_row, s);
    if (s->bad_row != NB_NO_ROW)
        return nb_weights_refuse(s->columns, s->type, s->weights, s->bad_row, s->first_row, s->x, err);
    if (s->large_row != NB_NO_ROW)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "row %u has weights beyond %g, which this grid cannot have: its scales or entries are binary16; "
                       "take logarithmic levels",
                       s->first_row + s->large_row, (double)largest_of(s->how));
    return NB_OK;
}

/* It can fail only for codebooks, which need memory. Those are fitted by one thread, as other threads must not
 * allocate. */
static int32_t round_row(simulation *s, uint64_t row, int32_t thread, nb_error *err) {
    float *x = row_of_thread(s, thread);
    nb_weights_row(s->columns, s->type, s->weights, (uint32_t)row, x);
    NB_TRY(round_groups(s, row, x, s->codes + (size_t)thread * s->columns, s->observer + thread, err));
    write_floats(s->type, x, s->columns, s->weights, (size_t)row * s->columns);
    return NB_OK;
}

static void round_row_in_parallel(void *context, uint64_t row, uint64_t rows, int32_t thread) {
    (void)rows;
    round_row(context, row, thread, NULL);
}

static int32_t round_rows(simulation *s, nb_pool *pool, uint32_t rows, nb_error *err) {
    if (s->how->grid != NB_SIMULATE_CODEBOOK) {
        nb_parallel(pool, rows, false, round_row_in_parallel, s);
        return NB_OK;
    }
    for (uint32_t row = 0; row < rows; row++)
        NB_TRY(round_row(s, row, 0, err));
    return NB_OK;
}

/* The levels that all rows share. */
static int32_t fit_whole(simulation *s, uint32_t rows, levels *l, double *clipped, nb_error *err) {
    size_t n = (size_t)rows * s->columns; /* no overflow, as they are in memory */
    if (s->type == NB_TYPE_F32)
        return fit(s, s->weights, n, s->observer, l, clipped, err);
    float *x = nb_alloc_items(n, sizeof *x);
    if (!x)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for a matrix of %z weights", n);
    nb_traits_of(s->type)->dequantize(s->weights, x, n);
    int32_t code = fit(s, x, n, s->observer, l, clipped, err);
    nb_free(x);
    return code;
}

static void place_buffers(simulation *s, uint32_t rows, uint64_t threads, nb_arena *arena) {
    s->x = nb_arena_take(arena, threads * s->columns, sizeof *s->x);
    s->codes = nb_arena_take(arena, threads * s->columns, sizeof *s->codes);
    s->observer = nb_arena_take(arena, threads, sizeof *s->observer);
    s->clipped = nb_arena_take(arena, rows, sizeof *s->clipped);
}

int32_t nb_simulate_rows(nb_pool *pool, const nb_simulation *how, uint32_t tensor, uint32_t type, void *weights,
                         uint32_t first_row, uint32_t rows, uint32_t columns, double *clipped, nb_error *err) {
    uint64_t groups;
    NB_TRY(check(how, rows, columns, &groups, err));
    if (type != NB_TYPE_F32 && type != NB_TYPE_F16)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "a simulated grid's weights are F32 or F16, not of type %u", type);
    simulation s = {.how = how,
                    .uniform = uniform_of(how, tensor),
                    .type = type,
                    .columns = columns,
                    .group = how->group ? how->group : columns,
                    .first_row = first_row,
                    .weights = weights,
                    .bad_row = NB_NO_ROW,
                    .large_row = NB_NO_ROW};
    nb_arena arena = {0};
    uint64_t threads = (uint64_t)nb_pool_threads(pool);
    place_buffers(&s, rows, threads, &arena);
    NB_TRY(nb_arena_allocate(&arena, "rows of weights", err));
    place_buffers(&s, rows, threads, &arena);
    levels l;
    int32_t code = check_rows(&s, pool, rows, err);
    if (code == NB_OK && how->whole)
        code = fit_whole(&s, rows, &l, clipped, err);
    s.shared = how->whole ? &l : NULL;
    if (code == NB_OK)
        code = round_rows(&s, pool, rows, err);
    for (uint32_t row = 0; row < rows; row++)
        *clipped += s.clipped[row];
    nb_arena_free(&arena);
    return code;
}
