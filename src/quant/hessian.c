/* Makes the quantizer's object, and measures the error of quantized rows. */
#include "hessian.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "output_error.h"

enum { MOST_COLUMNS = 1 << 16 };

static void place_buffers(nb_quantizer *q, nb_arena *arena) {
    uint64_t n = q->columns, threads = (uint64_t)nb_pool_threads(q->pool);
    q->mean = nb_arena_take(arena, n, sizeof(float));
    q->largest = nb_arena_take(arena, n, sizeof(float));
    q->importance = nb_arena_take(arena, n, sizeof(float));
    q->order = nb_arena_take(arena, n, sizeof(uint32_t));
    q->diagonal = nb_arena_take(arena, n, NB_TILE * sizeof(float));
    q->panel = nb_arena_take(arena, n, NB_TILE * sizeof(float));
    q->scratch = nb_arena_take(arena, threads * n, NB_TILE * sizeof(float));
}

nb_quantizer *nb_quantizer_new(nb_pool *pool, uint32_t columns, nb_error *err) {
    if (columns == 0 || columns % NB_TILE || columns > MOST_COLUMNS)
        return NB_FAIL_NULL(err, NB_ERR_ARGUMENT,
                            "calibrated quantization needs rows of a multiple of %d weights, at most %d; these have %u",
                            (int32_t)NB_TILE, (int32_t)MOST_COLUMNS, columns);
    nb_quantizer *q = nb_alloc(sizeof *q);
    if (!q)
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory for a quantizer");
    *q = (nb_quantizer){.pool = pool, .columns = columns, .tiles = columns / NB_TILE};
    nb_arena arena = {0};
    place_buffers(q, &arena);
    if (nb_arena_allocate(&arena, "what is observed of a matrix", err)) {
        nb_free(q);
        return NULL;
    }
    q->memory = arena.base;
    place_buffers(q, &arena);
    return q;
}

void nb_quantizer_free(nb_quantizer *q) {
    if (!q)
        return;
    nb_grids_free(&q->grids);
    nb_free(q->hessian);
    nb_free(q->memory);
    nb_free(q);
}

float *nb_quantizer_hessian(nb_quantizer *q) {
    uint64_t n = nb_times(q->columns, q->columns);
    if (!q->hessian) {
        q->hessian = nb_alloc_items(n, sizeof(float));
        if (q->hessian)
            memset(q->hessian, 0, (size_t)n * sizeof(float));
    }
    return q->hessian;
}

int32_t nb_hessian_check_given(const nb_quantizer *q, nb_error *err) {
    return q->hessian
             ? NB_OK
             : NB_FAIL(err, NB_ERR_STATE, "no Hessian was given: write it to where nb_quantizer_hessian points");
}

float *nb_quantizer_mean(nb_quantizer *q) {
    return q->mean;
}

float *nb_quantizer_largest(nb_quantizer *q) {
    return q->largest;
}

/* ---- the error of quantized rows --------------------------------------------------------------------------------- */

typedef struct comparison {
    const nb_quantizer *q;
    uint32_t source_type, type;
    const void *weights, *blocks;
    double *errors; /* [rows] */
    uint32_t bad_row;
} comparison;

static void compare_row(void *context, uint64_t row, uint64_t rows, int32_t thread) {
    (void)rows;
    comparison *c = context;
    const nb_quantizer *q = c->q;
    float *x = q->scratch + (size_t)thread * q->columns * NB_TILE, *y = x + q->columns;
    bool is_finite = nb_weights_row(q->columns, c->source_type, c->weights, (uint32_t)row, x);
    nb_weights_row(q->columns, c->type, c->blocks, (uint32_t)row, y);
    for (uint32_t i = 0; i < q->columns; i++)
        x[i] -= y[i];
    c->errors[row] = nb_output_error(x, 1, q->hessian, q->columns);
    if (!is_finite)
        nb_mark_row(&c->bad_row, (uint32_t)row);
}

double nb_quantizer_error(nb_quantizer *q, uint32_t source_type, const void *weights, uint32_t type, const void *blocks,
                          uint32_t rows, nb_error *err) {
    NB_TRY(nb_hessian_check_given(q, err));
    NB_TRY(nb_weights_check(q->columns, source_type, err));
    NB_TRY(nb_weights_check(q->columns, type, err));
    comparison c = {q, source_type, type, weights, blocks, nb_alloc_items(rows, sizeof(double)), NB_NO_ROW};
    if (!c.errors)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for the errors of %u rows", rows);
    nb_parallel(q->pool, rows, false, compare_row, &c);
    double sum = 0;
    for (uint32_t row = 0; row < rows; row++)
        sum += c.errors[row];
    nb_free(c.errors);
    if (c.bad_row != NB_NO_ROW)
        return nb_weights_refuse(q->columns, source_type, weights, c.bad_row, 0, q->panel, err);
    if (!(__builtin_fabs(sum) <= 0x1p1000)) /* NB_MAX would make 0 of NaN */
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "the error of the outputs is not finite: the blocks are damaged, or the "
                       "Hessian is too large");
    return NB_MAX(sum, 0);
}
