/* From the last hidden states of a text to its embedding (embedding.h). */
#include "../base/numbers.h"
#include "../kernels/ops.h"
#include "../types/finite.h"
#include "blocks.h"

#include <math.h>

/* A text that is being embedded. */
typedef struct embedded {
    const nb_embedding *steps;
    uint32_t n, from; /* tokens [from, n) are pooled */
} embedded;

/* Adds row, token t's hidden state, to out, the pooled vector so far. */
static void pool_row(nb_pooling pooling, const embedded *e, uint32_t t, const float *row, float *out, uint32_t width) {
    bool alone = (pooling == NB_POOL_CLS && t == e->from) || (pooling == NB_POOL_LAST && t == e->n - 1);
    if (alone || (pooling == NB_POOL_MAX && t == e->from)) {
        memcpy(out, row, width * sizeof *out);
    } else if (pooling == NB_POOL_MAX) {
        for (uint32_t i = 0; i < width; i++)
            out[i] = NB_MAX(out[i], row[i]);
    } else if (pooling == NB_POOL_WEIGHTED) {
        for (uint32_t i = 0; i < width; i++)
            out[i] += (float)(t + 1) * row[i];
    } else if (pooling == NB_POOL_MEAN || pooling == NB_POOL_MEAN_SQRT) {
        nb_add_to(out, row, width);
    }
}

/* Pools the rows of x, which begin with token `first`, in each way. */
static int32_t pool_rows(nb_session *s, const embedded *e, uint32_t first, uint32_t rows, nb_error *err) {
    const nb_shape *m = &s->model->shape;
    for (uint32_t t = NB_MAX(first, e->from); t < first + rows; t++) {
        float *row = s->x + (size_t)(t - first) * m->width;
        if (s->model->output_norm.weight)
            nb_norm_row(m, row, row, &s->model->output_norm, m->width);
        if (!nb_are_finite(row, m->width))
            return nb_session_refuse_numbers(s, "the last hidden states", err);
        for (uint32_t i = 0; i < e->steps->n_poolings; i++)
            pool_row(e->steps->poolings[i], e, t, row, s->pooled + (size_t)i * m->width, m->width);
    }
    return NB_OK;
}

static void begin_pooling(nb_session *s, const embedded *e) {
    memset(s->pooled, 0, (size_t)e->steps->n_poolings * s->model->shape.width * sizeof(float));
}

/* Sums become means. */
static void end_pooling(nb_session *s, const embedded *e) {
    uint32_t width = s->model->shape.width;
    float n = (float)(e->n - e->from), weights = n * ((float)e->from + (float)e->n + 1) / 2; /* of positions, from 1 */
    for (uint32_t i = 0; i < e->steps->n_poolings; i++) {
        nb_pooling pooling = e->steps->poolings[i];
        float divisor = pooling == NB_POOL_MEAN      ? n
                      : pooling == NB_POOL_MEAN_SQRT ? sqrtf(n)
                      : pooling == NB_POOL_WEIGHTED  ? weights
                                                     : 1;
        for (float *x = s->pooled + (size_t)i * width; x < s->pooled + (size_t)(i + 1) * width; x++)
            *x /= divisor;
    }
}

/* Scales x, [n], to length 1, unless it is all zeros. */
static void normalize(float *x, uint32_t n) {
    double squares = 0;
    for (uint32_t i = 0; i < n; i++)
        squares += (double)x[i] * (double)x[i];
    if (squares > 0)
        nb_scale(x, (float)(1 / sqrt(squares)), n);
}

/* The steps after pooling; returns where the result is. */
static const float *run_steps(nb_session *s, const nb_embedding *e) {
    float *x = s->pooled, *y = x + s->model->embedding_steps.widest;
    for (const nb_embedding_step *step = e->steps; step < e->steps + e->n_steps; step++)
        switch (step->kind) {
        case NB_STEP_DENSE: {
            nb_session_multiply(s, x, 1, step->columns, &(nb_matmul_job){&step->weight, y}, 1);
            if (step->bias)
                nb_add_to(y, step->bias, step->rows);
            nb_embedding_activate(step->activation, y, step->rows);
            float *other = x;
            x = y;
            y = other;
            break;
        }
        case NB_STEP_LAYER_NORM: nb_layer_norm(x, x, step->scale, step->bias, step->rows, 1e-5f); break;
        case NB_STEP_NORMALIZE: normalize(x, step->rows); break;
        }
    return x;
}

/* All rows are pooled. out: [size] */
static int32_t finish(nb_session *s, const embedded *e, float *out, nb_error *err) {
    end_pooling(s, e);
    memcpy(out, run_steps(s, e->steps), e->steps->size * sizeof(float));
    return nb_are_finite(out, e->steps->size) ? NB_OK : nb_session_refuse_numbers(s, "the embedding", err);
}

int32_t nb_session_pool(nb_session *s, uint32_t n, float *out, nb_error *err) {
    const embedded e = {&s->model->embedding_steps, n, 0};
    begin_pooling(s, &e);
    NB_TRY(pool_rows(s, &e, 0, n, err));
    return finish(s, &e, out, err);
}

int32_t nb_session_embed(nb_session *s, const int32_t *tokens, int32_t n, int32_t done, uint32_t unpooled,
                         uint32_t second, uint32_t pooling, float *out, nb_error *err) {
    static const nb_pooling poolings[] = {
        [NB_POOLING_MEAN] = NB_POOL_MEAN,
        [NB_POOLING_CLS] = NB_POOL_CLS,
        [NB_POOLING_LAST] = NB_POOL_LAST,
    };
    const nb_model *m = s->model;
    s->logits_rows = 0;
    if (pooling > NB_POOLING_LAST)
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "pooling %u is unknown; use the file's (0), mean (1), first (2) or last (3)", pooling);
    NB_TRY(nb_session_check_length(s, n, err));
    if (unpooled >= (uint32_t)n)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "of %d tokens %u are left out of pooling, but one must remain", n,
                       unpooled);
    if (done < 0 || done >= n || (done && s->sequence->held != (uint32_t)done))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "done is %d of %d tokens, but must be what nb_session_embed returned last",
                       done, n);
    NB_TRY(nb_session_check_tokens(s, tokens, 0, (uint32_t)n, err));
    const nb_embedding plain = {
        .poolings = {poolings[pooling]},
        .n_poolings = 1,
        .n_steps = 1,
        .size = m->shape.width,
        .steps = {{.kind = NB_STEP_NORMALIZE, .rows = m->shape.width}},
    };
    embedded e = {pooling == NB_POOLING_FILE ? &m->embedding_steps : &plain, (uint32_t)n, unpooled};
    uint32_t first = (uint32_t)done, rows = NB_MIN((uint32_t)n - first, s->batch);
    if (!first)
        begin_pooling(s, &e);
    s->second = second;
    nb_forbid_allocation(true);
    int32_t code = nb_session_evaluate(s, tokens, first, rows, err);
    if (code == NB_OK)
        code = pool_rows(s, &e, first, rows, err);
    if (m->shape.bidirectional)
        s->sequence->held = 0;
    if (code == NB_OK && first + rows == (uint32_t)n)
        code = finish(s, &e, out, err);
    nb_forbid_allocation(false);
    return code < 0 ? code : (int32_t)(first + rows);
}
