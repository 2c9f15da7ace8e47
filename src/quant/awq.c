#include "awq.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/threads.h"
#include "awq_fold.h"
#include "output_error.h"
#include "quantize_search.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

enum { RATIOS = NB_AWQ_STEPS - 1 };
enum { BATCH = NB_ERROR_ROWS };

/* ---- shared by both searches ------------------------------------------------------------------------------------- */

typedef struct job {
    const nb_awq_input *input;
    nb_rounding rounding; /* with an importance [columns] */
    uint32_t group;
    const float *weights; /* [rows][columns] */
    const float *scales;
    double *errors; /* of each batch of rows */
    uint8_t *memory;
    uint64_t memory_each; /* of a thread */
    float *clipped;       /* the matrix to be clipped */
    uint32_t rows;
    const float *blocks; /* [groups][group][group] the Hessian's blocks on the diagonal */
} job;

static int32_t check_input(const nb_awq_input *in, nb_error *err) {
    NB_TRY(nb_magnitudes_check("the mean |x|", in->mean, in->columns, err));
    NB_TRY(nb_fold_check_sources(in->sources, in->columns, in->n_sources, err));
    if (in->sources && in->n_sources > in->columns)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%u outputs are more than the %u columns that read them", in->n_sources,
                       in->columns);
    return nb_matrix_check("the Hessian's sums", in->hessian, in->columns, in->columns, err);
}

/* ---- scales ------------------------------------------------------------------------------------------------------ */

/* Scales some rows, rounds them, scales them back, and measures the error. */
static void measure_rows(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count;
    const job *j = context;
    uint32_t columns = j->input->columns, first = (uint32_t)index * BATCH,
             rows = NB_MIN(j->rows - first, (uint32_t)BATCH);
    float *errors = (float *)(j->memory + (uint64_t)thread * j->memory_each);
    void *scratch = errors + (size_t)BATCH * columns;
    for (uint32_t row = 0; row < rows; row++) {
        const float *w = j->weights + (size_t)(first + row) * columns;
        float *e = errors + (size_t)row * columns;
        for (uint32_t i = 0; i < columns; i++)
            e[i] = w[i] * j->scales[i];
        nb_round_row(&j->rounding, e, columns, e, scratch);
        for (uint32_t i = 0; i < columns; i++)
            e[i] = e[i] / j->scales[i] - w[i];
    }
    j->errors[index] = nb_output_error(errors, rows, j->input->hessian, columns);
}

/* The mean of |w| / (the largest |w| of its group), for each column. */
static void mean_weights(const job *j, double *mean) {
    uint32_t columns = j->input->columns;
    memset(mean, 0, columns * sizeof *mean);
    for (uint64_t at = 0; at < (uint64_t)j->rows * columns; at += j->group) {
        float largest = nb_largest_magnitude(j->weights + at, j->group) + 1e-6f;
        for (uint32_t i = 0; i < j->group; i++)
            mean[at % columns + i] += (double)(__builtin_fabsf(j->weights[at + i]) / largest);
    }
    for (uint32_t i = 0; i < columns; i++)
        mean[i] /= j->rows;
}

/* Gives columns that read the same output their mean. sums, counts: [n_sources] */
static void average_shared(const nb_awq_input *in, double *x, double *sums, uint32_t *counts) {
    if (!in->sources)
        return;
    memset(sums, 0, in->n_sources * sizeof *sums);
    memset(counts, 0, in->n_sources * sizeof *counts);
    for (uint32_t i = 0; i < in->columns; i++) {
        sums[in->sources[i]] += x[i];
        counts[in->sources[i]]++;
    }
    for (uint32_t i = 0; i < in->columns; i++)
        x[i] = sums[in->sources[i]] / counts[in->sources[i]];
}

/* The scales for the exponent r. Scales that are not finite become 1. */
static void scales_of(double r, const double *x, const double *w, uint32_t n, float *scales) {
    float least = 0x1.fffffep127f, most = 0;
    for (uint32_t i = 0; i < n; i++) {
        float s = powf((float)x[i], (float)r);
        if (w)
            s /= powf((float)w[i], (float)(1 - r)) + 1e-4f;
        scales[i] = NB_MAX(s, 1e-4f);
        least = NB_MIN(least, scales[i]);
        most = NB_MAX(most, scales[i]);
    }
    float middle = sqrtf(most * least);
    for (uint32_t i = 0; i < n; i++) {
        scales[i] /= middle;
        if (!(scales[i] > 0 && scales[i] <= 0x1.fffffep127f))
            scales[i] = 1;
    }
}

typedef struct workspace {
    double *x, *w, *sums;
    uint32_t *counts;
    float *tried, *importance;
} workspace;

static void place_buffers(nb_arena *arena, job *j, workspace *s, uint32_t batches, uint32_t threads) {
    uint32_t columns = j->input->columns;
    s->x = nb_arena_take(arena, columns, sizeof *s->x);
    s->w = nb_arena_take(arena, columns, sizeof *s->w);
    s->sums = nb_arena_take(arena, columns, sizeof *s->sums);
    s->counts = nb_arena_take(arena, columns, sizeof *s->counts);
    s->tried = nb_arena_take(arena, columns, sizeof *s->tried);
    s->importance = nb_arena_take(arena, columns, sizeof *s->importance);
    j->errors = nb_arena_take(arena, batches, sizeof *j->errors);
    j->memory = nb_arena_take(arena, threads, j->memory_each);
}

static void fill_tried(const job *j, workspace *s, uint32_t step, bool uses_weights) {
    uint32_t columns = j->input->columns;
    for (uint32_t i = 0; i < columns; i++) {
        s->x[i] = (double)j->input->mean[i];
        s->tried[i] = 1;
    }
    if (step == 0)
        return;
    average_shared(j->input, s->x, s->sums, s->counts);
    if (uses_weights) {
        mean_weights(j, s->w);
        average_shared(j->input, s->w, s->sums, s->counts);
    }
    scales_of((double)(step - 1) / RATIOS, s->x, uses_weights ? s->w : NULL, columns, s->tried);
}

/* The diagonal of the Hessian of x / s. nb_quantizer_rows will use it as importance when it rounds the scaled weights,
 * so the search must use it, too. */
static void fill_importance(const nb_awq_input *in, const float *scales, float *importance) {
    for (uint32_t i = 0; i < in->columns; i++)
        importance[i] = in->hessian[(size_t)i * in->columns + i] / scales[i] / scales[i];
}

static int32_t keep_best(const workspace *s, uint32_t step, uint32_t columns, double error, float *scales,
                         nb_awq_found *found, nb_error *err) {
    if (step == 0 && !isfinite(error))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "the error of the outputs is not finite: the weights or the Hessian are too large for F32");
    if (step == 0 || (isfinite(error) && error < found->error)) {
        double ratio = step ? (double)(step - 1) / RATIOS : -1;
        *found = (nb_awq_found){ratio, error, step ? found->plain : error};
        memcpy(scales, s->tried, columns * sizeof *scales);
    }
    return NB_OK;
}

static int32_t check_rows(const float *weights, uint32_t rows, uint32_t columns, nb_error *err) {
    return rows ? nb_matrix_check("the weights", weights, rows, columns, err)
                : NB_FAIL(err, NB_ERR_ARGUMENT, "there are no weights to search for");
}

int32_t nb_awq_try(nb_pool *pool, const nb_awq_input *in, const nb_rounding *r, bool uses_weights, const float *weights,
                   uint32_t rows, uint32_t step, float *scales, nb_awq_found *found, nb_error *err) {
    uint32_t columns = in->columns, batches = (uint32_t)(((uint64_t)rows + BATCH - 1) / BATCH);
    job j = {.input = in, .rounding = *r, .weights = weights, .rows = rows};
    j.group = nb_rounding_group(r, columns, err);
    if (!j.group)
        return NB_ERR_ARGUMENT;
    if (step >= NB_AWQ_STEPS)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "AWQ's search has no step %u", step);
    NB_TRY(check_input(in, err));
    NB_TRY(check_rows(weights, rows, columns, err));
    nb_arena arena = {0};
    workspace s;
    j.memory_each = NB_ROUND_UP(nb_plus(nb_times(columns, 4 * BATCH), nb_rounding_bytes(columns)), 64u);
    place_buffers(&arena, &j, &s, batches, (uint32_t)nb_pool_threads(pool));
    NB_TRY(nb_arena_reserve(&arena, "the search for AWQ's scales", err));
    place_buffers(&arena, &j, &s, batches, (uint32_t)nb_pool_threads(pool));
    fill_tried(&j, &s, step, uses_weights);
    j.scales = s.tried;
    fill_importance(in, s.tried, s.importance);
    j.rounding.how.importance = s.importance;
    nb_parallel(pool, batches, false, measure_rows, &j);
    double error = 0;
    for (uint32_t i = 0; i < batches; i++)
        error += j.errors[i];
    int32_t code = keep_best(&s, step, columns, error, scales, found, err);
    nb_arena_free(&arena);
    return code;
}

/* ---- clipping ---------------------------------------------------------------------------------------------------- */

enum { CLIP_TRIES = 10 }; /* limits of 1, 0.95 ... 0.55 */

static void clip(const float *x, uint32_t n, float limit, float *out) {
    for (uint32_t i = 0; i < n; i++)
        out[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
}

static void clip_row(void *context, uint64_t row, uint64_t count, int32_t thread) {
    (void)count;
    const job *j = context;
    uint32_t columns = j->input->columns, group = j->group;
    float *error = (float *)(j->memory + (uint64_t)thread * j->memory_each);
    void *scratch = error + group;
    for (uint32_t at = 0; at < columns; at += group) {
        float *w = j->clipped + row * columns + at, largest = nb_largest_magnitude(w, group), best = largest;
        double least = 0;
        for (int i = 0; i < CLIP_TRIES && largest > 0; i++) {
            float limit = largest * (float)(1 - (double)i / 20);
            clip(w, group, limit, error);
            nb_round_row(&j->rounding, error, group, error, scratch);
            for (uint32_t k = 0; k < group; k++)
                error[k] = (error[k] - w[k]) / (j->scales ? j->scales[at + k] : 1);
            double change = nb_output_error(error, 1, j->blocks + (size_t)at * group, group);
            if (!i || change < least) {
                least = change;
                best = limit;
            }
        }
        clip(w, group, best, w);
    }
}

int32_t nb_awq_clip(nb_pool *pool, const nb_awq_input *in, const nb_rounding *r, const float *scales, float *weights,
                    uint32_t rows, nb_error *err) {
    uint32_t columns = in->columns, threads = (uint32_t)nb_pool_threads(pool);
    job j = {.input = in, .rounding = *r, .scales = scales, .clipped = weights, .rows = rows};
    j.group = nb_rounding_group(r, columns, err);
    if (!j.group)
        return NB_ERR_ARGUMENT;
    NB_TRY(check_input(in, err));
    NB_TRY(check_rows(weights, rows, columns, err));
    nb_arena arena = {0};
    float *blocks = NULL;
    j.memory_each = NB_ROUND_UP(nb_plus(nb_times(j.group, 4), nb_rounding_bytes(j.group)), 64u);
    for (int pass = 0; pass < 2; pass++) {
        if (pass)
            NB_TRY(nb_arena_reserve(&arena, "the search for AWQ's clipping", err));
        blocks = nb_arena_take(&arena, columns, nb_times(j.group, sizeof *blocks));
        j.memory = nb_arena_take(&arena, threads, j.memory_each);
    }
    for (uint32_t i = 0; i < columns; i++)
        memcpy(blocks + (size_t)i * j.group, in->hessian + (size_t)i * columns + i / j.group * j.group,
               j.group * sizeof *blocks);
    j.blocks = blocks;
    nb_parallel(pool, rows, false, clip_row, &j);
    nb_arena_free(&arena);
    return NB_OK;
}
