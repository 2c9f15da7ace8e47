/* Measures how much the model's outputs change if one tensor is replaced (nibble.h: nb_probe). An output is the logits
 * of a token, or for encoders the embedding of a window. */
#include "../base/memory.h"
#include "../base/numbers.h"
#include "../models/compare.h"
#include "../models/family.h"
#include "../models/weights.h"
#include "../types/types.h"

#include <math.h>

struct nb_probe {
    nb_model *model;
    nb_session *session;
    int32_t *tokens; /* [windows * window] */
    uint32_t windows, window;
    float *streams;  /* [windows * window, width]: the inputs of layer `layer` */
    float *base;     /* outputs of the original model: [windows * window, vocabulary], or [windows, embedding size] */
    float *vector;   /* of encoders, [embedding size]: the current window's embedding */
    double *numbers; /* of other models, [logits_capacity, NB_COMPARED_NUMBERS] */
    uint32_t layer;
    uint32_t running, done; /* the task of nb_probe_run that is under way, and the tokens it has done */
    bool has_base, failed;
};

static uint32_t tokens_of(const nb_probe *p) {
    return p->windows * p->window;
}

void nb_probe_free(nb_probe *p) {
    if (!p)
        return;
    nb_session_free(p->session);
    nb_free(p->tokens);
    nb_free(p->streams);
    nb_free(p->base);
    nb_free(p->vector);
    nb_free(p->numbers);
    nb_free(p);
}

static int32_t allocate(nb_probe *p, const int32_t *tokens, nb_error *err) {
    const nb_model *m = p->model;
    uint64_t n = tokens_of(p), size = m->embedding_steps.size, streams = nb_times(n, m->shape.width);
    uint64_t outputs = m->shape.encoder ? nb_times(p->windows, size) : nb_times(n, m->shape.vocabulary);
    p->tokens = nb_alloc_items(n, sizeof *p->tokens);
    p->streams = nb_alloc_items(streams, sizeof(float));
    p->base = nb_alloc_items(outputs, sizeof(float));
    p->vector = nb_alloc_items(NB_MAX(size, 1), sizeof(float));
    p->numbers = nb_alloc_items((uint64_t)p->session->logits_capacity * NB_COMPARED_NUMBERS, sizeof(double));
    if (!p->tokens || !p->streams || !p->base || !p->vector || !p->numbers)
        return nb_memory_refuse("a probe's outputs (fewer or shorter windows need less)",
                                nb_times(nb_plus(streams, outputs), sizeof(float)), err);
    memcpy(p->tokens, tokens, (size_t)n * sizeof *tokens);
    return nb_session_check_tokens(p->session, p->tokens, 0, (uint32_t)n, err);
}

nb_probe *nb_probe_new(nb_model *model, nb_pool *pool, const int32_t *tokens, uint32_t windows, uint32_t window,
                       nb_error *err) {
    uint64_t n = nb_times(windows, window);
    if (!n || n > INT32_MAX)
        return NB_FAIL_NULL(err, NB_ERR_ARGUMENT,
                            "a probe of %u windows of %u tokens is not possible; take 1 to 2147483647 tokens in all",
                            windows, window);
    nb_probe *p = nb_alloc(sizeof *p);
    if (!p)
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory for a probe");
    *p = (nb_probe){.model = model, .windows = windows, .window = window};
    model->qkv_whole = true; /* gives sessions the buffer that a replaced q, k or v matrix may need */
    p->session = nb_session_new(model, pool, window, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 1, err);
    if (!p->session || allocate(p, tokens, err) < 0) {
        nb_probe_free(p);
        return NULL;
    }
    return p;
}

/* 1 - cos(a, b), computed as |a / |a| - b / |b||^2 / 2, which is exact for small differences. For vectors of zeros: 0
 * if both are, else 1. */
static double distance(const float *a, const float *b, uint32_t n) {
    double of_a = 0, of_b = 0, sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        of_a += (double)a[i] * (double)a[i];
        of_b += (double)b[i] * (double)b[i];
    }
    if (of_a == 0 || of_b == 0)
        return of_a == of_b ? 0 : 1;
    of_a = sqrt(of_a);
    of_b = sqrt(of_b);
    for (uint32_t i = 0; i < n; i++) {
        double off = (double)a[i] / of_a - (double)b[i] / of_b;
        sum += off * off;
    }
    return sum / 2;
}

/* Keeps or compares the embedding of a window. In an encoder a whole window is one batch. */
static int32_t conclude_window(nb_probe *p, uint32_t what, double *sum, nb_error *err) {
    uint32_t size = p->model->embedding_steps.size;
    float *base = p->base + (size_t)(p->done / p->window) * size;
    if (what == NB_PROBE_BASE)
        return nb_session_pool(p->session, p->window, base, err);
    NB_TRY(nb_session_pool(p->session, p->window, p->vector, err));
    *sum += p->window * distance(base, p->vector, size);
    return NB_OK;
}

/* Keeps or compares the logits of the batch's tokens. */
static int32_t conclude(nb_probe *p, uint32_t what, uint32_t rows, double *sum, nb_error *err) {
    nb_session *s = p->session;
    size_t vocabulary = p->model->shape.vocabulary;
    for (uint32_t row = 0, some; row < rows; row += some) {
        some = NB_MIN(rows - row, s->logits_capacity);
        NB_TRY(nb_session_compute_logits(s, row, some, err));
        float *base = p->base + (p->done + row) * vocabulary;
        if (what == NB_PROBE_BASE) {
            memcpy(base, s->logits, some * vocabulary * sizeof(float));
            continue;
        }
        nb_compare_logits(s, some, base, p->tokens + p->done + row, p->numbers); /* only divergences are used */
        for (uint32_t i = 0; i < some; i++)
            *sum += p->numbers[i * NB_COMPARED_NUMBERS + NB_COMPARED_DIVERGENCE];
    }
    return NB_OK;
}

/* Evaluates the next batch of tokens, all of one window. */
static int32_t run(nb_probe *p, uint32_t what, uint32_t rows, double *sum, nb_error *err) {
    nb_session *s = p->session;
    uint32_t first = p->done % p->window, layers = p->model->shape.layers;
    float *streams = p->streams + (size_t)p->done * p->model->shape.width;
    size_t bytes = (size_t)rows * p->model->shape.width * sizeof(float);
    bool whole = what == NB_PROBE_BASE || what == NB_PROBE_WHOLE;
    nb_session_place(s, p->tokens + p->done - first, first, rows);
    if (whole)
        nb_session_begin(s);
    else
        memcpy(s->x, streams, bytes);
    if (what == NB_PROBE_BASE)
        memcpy(streams, s->x, bytes);
    NB_TRY(nb_session_layers(s, whole ? 0 : p->layer, what == NB_PROBE_NEXT ? p->layer + 1 : layers, err));
    if (what != NB_PROBE_NEXT)
        return p->model->shape.encoder ? conclude_window(p, what, sum, err) : conclude(p, what, rows, sum, err);
    memcpy(streams, s->x, bytes);
    return NB_OK;
}

static int32_t check(const nb_probe *p, uint32_t what, int32_t done, nb_error *err) {
    bool begins = done == 0 && what <= NB_PROBE_NEXT,
         goes_on = done > 0 && what == p->running && (uint32_t)done == p->done;
    bool in_order = what == NB_PROBE_BASE ? !p->has_base : p->has_base;
    bool has_layer = what <= NB_PROBE_WHOLE || p->layer < p->model->shape.layers;
    bool half_way = p->running == NB_PROBE_NEXT && p->done && p->done < tokens_of(p) && !goes_on;
    if (p->failed || !(begins || goes_on) || !in_order || !has_layer || half_way || (uint32_t)done >= tokens_of(p))
        return NB_FAIL(err, NB_ERR_STATE, "the probe cannot go on at token %d: %s", done,
                       p->failed    ? "it failed before"
                       : !in_order  ? "the outputs of the original model come first (NB_PROBE_BASE), and only once"
                       : !has_layer ? "there are no more layers"
                       : half_way   ? "NB_PROBE_NEXT is not finished"
                                    : "the last call returned another number");
    return NB_OK;
}

int32_t nb_probe_run(nb_probe *p, uint32_t what, int32_t done, double *sum, nb_error *err) {
    NB_TRY(check(p, what, done, err));
    p->running = what;
    p->done = (uint32_t)done;
    uint32_t rows = NB_MIN(p->window - p->done % p->window, p->session->batch);
    nb_forbid_allocation(true);
    int32_t code = run(p, what, rows, sum, err);
    nb_forbid_allocation(false);
    p->failed |= code < 0 && (what == NB_PROBE_BASE || what == NB_PROBE_NEXT);
    NB_TRY(code);
    p->done += rows;
    bool all = p->done == tokens_of(p);
    p->has_base |= all && what == NB_PROBE_BASE;
    p->layer += all && what == NB_PROBE_NEXT;
    return (int32_t)p->done;
}

int32_t nb_probe_replace(nb_probe *p, const char *name, size_t name_bytes, uint32_t type, const uint8_t *bytes,
                         size_t size, nb_error *err) {
    nb_text text = {name, name_bytes}, rest = text;
    uint32_t layer = nb_text_take(&rest, "blk.") ? p->layer : NB_NO_LAYER;
    if (layer != NB_NO_LAYER && layer >= p->model->shape.layers)
        return NB_FAIL(err, NB_ERR_STATE, "the probe has passed all layers");
    return nb_model_replace(p->model, layer, text, type, bytes, size, err);
}
