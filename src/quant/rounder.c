/* Rounds rows of weights to nearest and measures the loss. Of the inputs it only needs an importance matrix, so it
 * needs no memory for a Hessian. */
#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/threads.h"
#include "../nibble_quantize.h"
#include "../types/traits.h"
#include "imatrix.h"
#include "quantize_neighbours.h"
#include "weight_rows.h"

struct nb_rounder {
    nb_pool *pool;
    nb_imatrix *imatrix;
    nb_grids grids;
    /* the tensor that nb_rounder_tensor chose */
    bool is_end; /* token_embd or output, which need no importance */
    uint32_t columns, matrices;
    const float *importance; /* [matrices, columns]; NULL: all columns are equally important */
};

nb_rounder *nb_rounder_new(nb_pool *pool, nb_error *err) {
    nb_rounder *r = nb_alloc(sizeof *r);
    if (!r)
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory for a rounder");
    *r = (nb_rounder){.pool = pool};
    return r;
}

void nb_rounder_free(nb_rounder *r) {
    if (!r)
        return;
    nb_grids_free(&r->grids);
    nb_imatrix_free(r->imatrix);
    nb_free(r);
}

int32_t nb_rounder_importance(nb_rounder *r, const uint8_t *bytes, size_t n, nb_error *err) {
    nb_imatrix *imatrix;
    NB_TRY(nb_imatrix_read(bytes, n, &imatrix, err));
    nb_imatrix_free(r->imatrix);
    r->imatrix = imatrix;
    r->columns = 0; /* r->importance pointed into the old one */
    return NB_OK;
}

int32_t nb_rounder_tensor(nb_rounder *r, const char *name, size_t name_bytes, uint32_t columns, uint32_t matrices,
                          nb_error *err) {
    nb_text text = {name, name_bytes};
    r->columns = r->matrices = 0;
    r->importance = NULL;
    if (!columns || !matrices)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "tensor %t has no weights", text);
    int32_t found = r->imatrix ? nb_imatrix_find(r->imatrix, text, columns, matrices, &r->importance, err) : 0;
    NB_TRY(found);
    r->is_end = nb_text_is(text, "token_embd.weight") || nb_text_is(text, "output.weight");
    r->columns = columns;
    r->matrices = matrices;
    return found;
}

int32_t nb_rounder_takes(const nb_rounder *r, uint32_t type) {
    static const char any[] = "q4_0";
    bool needs = !r->is_end && nb_preset_needs_importance(nb_preset_of(nb_text_of(any)), nb_text_of(""), type);
    return r->columns && nb_encoder_of(type) && r->columns % nb_traits_of(type)->block_weights == 0 &&
           (r->importance || !needs);
}

typedef struct rounding {
    const nb_rounder *r;
    uint32_t source_type;
    const nb_traits *to;
    nb_quantize *encode;
    nb_encoding how;
    const void *weights;
    uint8_t *out;    /* NULL: not wanted */
    float *rows;     /* [threads, 2, columns] */
    uint8_t *blocks; /* [threads, to_bytes]: used if `out` is NULL */
    double *losses;  /* [rows] */
    size_t to_bytes; /* of a row */
    uint32_t bad_row;
} rounding;

static double loss_of(const float *importance, const float *x, const float *y, uint32_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        double off = (double)x[i] - (double)y[i];
        sum += (importance ? (double)importance[i] : 1) * off * off;
    }
    return sum;
}

static void round_row(void *context, uint64_t row, uint64_t rows, int32_t thread) {
    (void)rows;
    rounding *p = context;
    uint32_t n = p->r->columns;
    float *x = p->rows + (size_t)thread * 2 * n, *y = x + n;
    uint8_t *blocks = p->out ? p->out + row * p->to_bytes : p->blocks + (size_t)thread * p->to_bytes;
    if (!nb_weights_row(n, p->source_type, p->weights, (uint32_t)row, x)) {
        nb_mark_row(&p->bad_row, (uint32_t)row);
        return;
    }
    p->encode(&p->how, x, blocks, n);
    p->to->dequantize(blocks, y, n);
    p->losses[row] = loss_of(p->how.importance, x, y, n);
}

static void place_buffers(rounding *p, uint32_t rows, nb_arena *arena) {
    uint64_t threads = (uint64_t)nb_pool_threads(p->r->pool);
    p->rows = nb_arena_take(arena, threads * 2 * p->r->columns, sizeof(float));
    p->blocks = nb_arena_take(arena, p->out ? 0 : threads, p->to_bytes);
    p->losses = nb_arena_take(arena, rows, sizeof(double));
}

int32_t nb_rounder_rows(nb_rounder *r, uint32_t matrix, uint32_t type, uint32_t flags, uint32_t source_type,
                        const void *weights, uint32_t first_row, uint32_t rows, void *out, double *loss,
                        nb_error *err) {
    if (!nb_rounder_takes(r, type) || matrix >= r->matrices)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "matrix %u of this tensor cannot become type %u", matrix, type);
    NB_TRY(nb_weights_check(r->columns, source_type, err));
    rounding p = {.r = r,
                  .source_type = source_type,
                  .to = nb_traits_of(type),
                  .encode = nb_encoder_of(type),
                  .weights = weights,
                  .out = out,
                  .bad_row = NB_NO_ROW};
    p.how = (nb_encoding){.importance = r->importance ? r->importance + (size_t)matrix * r->columns : NULL,
                          .best = flags & NB_ROWS_BEST};
    p.to_bytes = nb_weights_row_bytes(r->columns, type);
    NB_TRY(nb_grids_find(&r->grids, type, &p.how.neighbours, err));
    nb_arena arena = {0};
    place_buffers(&p, rows, &arena);
    NB_TRY(nb_arena_allocate(&arena, "rows of weights", err));
    place_buffers(&p, rows, &arena);
    nb_parallel(r->pool, rows, false, round_row, &p);
    for (uint32_t row = 0; row < rows; row++)
        *loss += p.losses[row];
    int32_t code = p.bad_row == NB_NO_ROW
                     ? NB_OK
                     : nb_weights_refuse(r->columns, source_type, weights, p.bad_row, first_row, p.rows, err);
    nb_arena_free(&arena);
    return code;
}
