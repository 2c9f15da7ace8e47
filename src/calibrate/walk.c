/* Takes texts through a model one layer at a time. */
#include "walk.h"

#include "../base/numbers.h"
#include "../models/bind.h"
#include "../models/weights.h"
#include "../types/finite.h"

#include <math.h>

nb_walk *nb_walk_new(nb_pool *pool, const int32_t *tokens, uint32_t windows, uint32_t window, nb_error *err) {
    uint64_t n = nb_times(windows, window);
    if (!n || n > INT32_MAX)
        return NB_FAIL_NULL(err, NB_ERR_ARGUMENT,
                            "a walk of %u windows of %u tokens is not possible; take 1 to 2147483647 tokens in all",
                            windows, window);
    nb_walk *w = nb_alloc(sizeof *w);
    int32_t *copy = nb_alloc_items(n, sizeof *copy);
    if (!w || !copy) {
        nb_free(w);
        nb_free(copy);
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory for %l tokens", n);
    }
    memcpy(copy, tokens, (size_t)n * sizeof *copy);
    *w = (nb_walk){.pool = pool, .tokens = copy, .windows = windows, .window = window};
    return w;
}

static void leave_layer(nb_walk *w) {
    nb_session_free(w->session);
    w->session = NULL;
    w->model = NULL;
    nb_free(w->noted);
    w->noted = NULL;
}

void nb_walk_free(nb_walk *w) {
    if (!w)
        return;
    leave_layer(w);
    nb_walk_forget(w);
    nb_free(w->streams);
    nb_free(w->tokens);
    nb_free(w);
}

uint32_t nb_walk_tokens(const nb_walk *w) {
    return w->windows * w->window;
}

const float *nb_walk_streams(const nb_walk *w) {
    return w->streams;
}

static float *stream_of(const nb_walk *w, uint32_t token) {
    return w->streams + (size_t)token * w->width;
}

static int32_t check_finite(const nb_walk *w, const nb_session *s, uint32_t done, uint32_t rows, nb_error *err) {
    for (uint32_t i = 0; i < rows; i++)
        if (!nb_are_finite(s->x + (size_t)i * w->width, w->width))
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "the residual stream %s layer %u is not finite at token %u of window %u; the weights are "
                           "damaged, or too large to compute with",
                           w->session ? "after" : "before", w->layer, (done + i) % w->window, (done + i) / w->window);
    return NB_OK;
}

/* The size of a batch that begins at token `done`: it must not cross a window. */
static uint32_t rows_from(const nb_walk *w, const nb_session *s, uint32_t done) {
    return NB_MIN(w->window - done % w->window, s->batch);
}

/* The next slot of RoPE factors, from `s` on; NULL: none. */
static const nb_slot *factors_from(const nb_slot *s) {
    while (s->name && s->columns != NB_EXTENT_PAIRS)
        s++;
    return s->name ? s : NULL;
}

static bool has_vector(const nb_model *model, const nb_slot *s) {
    return *(float *const *)(const void *)((const uint8_t *)model + s->at) != NULL;
}

/* The slots of RoPE factors that the model fills, as bits. */
static uint32_t factors_of(const nb_model *model) {
    uint32_t found = 0, bit = 1;
    for (const nb_slot *s = model->family->slots; (s = factors_from(s)); s++, bit <<= 1)
        found |= has_vector(model, s) ? bit : 0;
    return found;
}

static int32_t begin(nb_walk *w, nb_session *s, nb_error *err) {
    uint32_t n = nb_walk_tokens(w);
    NB_TRY(nb_session_check_tokens(s, w->tokens, 0, n, err));
    for (uint32_t done = 0, rows; done < n; done += rows) {
        rows = rows_from(w, s, done);
        nb_session_place(s, w->tokens + done - done % w->window, done % w->window, rows);
        nb_session_begin(s);
        NB_TRY(check_finite(w, s, done, rows, err));
        memcpy(stream_of(w, done), s->x, (size_t)rows * w->width * sizeof(float));
    }
    return NB_OK;
}

int32_t nb_walk_begin(nb_walk *w, const nb_model *ends, nb_error *err) {
    if (w->streams)
        return NB_FAIL(err, NB_ERR_STATE, "the walk has begun before; make another one");
    nb_session *s;
    NB_TRY(nb_session_new_walk(ends, w->pool, w->window, &s, err));
    int32_t code = nb_model_check_ends(ends, err);
    w->family = ends->family;
    w->width = ends->shape.width;
    w->layers = ends->shape.layers;
    w->factors = factors_of(ends);
    uint64_t floats = nb_times(nb_walk_tokens(w), w->width);
    if (code == NB_OK) {
        w->streams = nb_alloc_items(floats, sizeof(float));
        code = w->streams ? begin(w, s, err)
                          : nb_memory_refuse("the residual streams (fewer or shorter windows need less)",
                                             nb_times(floats, sizeof(float)), err);
    }
    nb_session_free(s);
    if (code < 0) {
        nb_free(w->streams);
        w->streams = NULL;
    }
    return code;
}

/* The model of a layer must match the one that the walk began with. */
static int32_t check_model(const nb_walk *w, const nb_model *m, nb_error *err) {
    if (m->family != w->family || m->shape.width != w->width || m->shape.layers != w->layers)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "the layer is of another model than the one that the walk began with");
    uint32_t bit = 1;
    for (const nb_slot *f = m->family->slots; (f = factors_from(f)); f++, bit <<= 1)
        if (w->factors & bit && !has_vector(m, f))
            return NB_FAIL(err, NB_ERR_FORMAT, "tensor %s is missing, which all layers need", f->name);
    return nb_model_check_layer(m, w->layer, err);
}

int32_t nb_walk_layer(nb_walk *w, nb_model *model, uint32_t layer, nb_error *err) {
    if (!w->streams || w->failed || w->passed || w->part || layer != w->layer || layer >= w->layers)
        return NB_FAIL(err, NB_ERR_STATE, "the walk cannot go on with layer %u: %s", layer,
                       !w->streams            ? "it has not begun"
                       : w->failed            ? "it failed before"
                       : w->passed || w->part ? "the layer before is not finished"
                                              : "it is not the next one");
    leave_layer(w);
    nb_walk_forget(w);
    w->n_groups = 0;
    nb_session *s;
    NB_TRY(nb_session_new_walk(model, w->pool, w->window, &s, err));
    int32_t code = check_model(w, model, err);
    if (code < 0) {
        nb_session_free(s);
        return code;
    }
    w->session = s;
    w->model = model;
    w->is_parallel = nb_layer_is_parallel(model, layer);
    nb_walk_find_groups(w);
    return (int32_t)w->n_groups;
}

int32_t nb_walk_check_layer(const nb_walk *w, nb_error *err) {
    if (!w->session || w->passed || w->failed)
        return NB_FAIL(err, NB_ERR_STATE, "the walk has no layer to work on: %s",
                       w->failed   ? "it failed before"
                       : w->passed ? "tokens have passed through it already"
                                   : "nb_walk_layer comes first");
    return NB_OK;
}

int32_t nb_walk_run(nb_walk *w, uint32_t done, uint32_t to, nb_error *err) {
    nb_session *s = w->session;
    uint32_t first = done % w->window, rows = rows_from(w, s, done);
    memcpy(s->x, stream_of(w, done), (size_t)rows * w->width * sizeof(float));
    nb_forbid_allocation(true);
    nb_session_place(s, w->tokens + done - first, first, rows);
    int32_t code = nb_session_parts(s, w->layer, w->part, to, err);
    nb_forbid_allocation(false);
    return code < 0 ? code : (int32_t)rows;
}

/* An error while an observation is under way. It needs the same weights for all its tokens, and the session's cache. */
static int32_t check_idle(const nb_walk *w, nb_error *err) {
    NB_TRY(nb_walk_check_layer(w, err));
    if (w->observed > 0 && w->observed < nb_walk_tokens(w))
        return NB_FAIL(err, NB_ERR_STATE,
                       "the layer is being observed, and token %u comes next: call nb_walk_observe for the rest first",
                       w->observed);
    return NB_OK;
}

int32_t nb_walk_replace(nb_walk *w, const char *name, size_t name_bytes, uint32_t type, const uint8_t *bytes,
                        size_t size, nb_error *err) {
    NB_TRY(check_idle(w, err));
    return nb_model_replace(w->model, w->layer, (nb_text){name, name_bytes}, type, bytes, size, err);
}

/* Takes the first batch through the layer with its current weights. Returns the number of tokens. */
static int32_t try_batch(nb_walk *w, nb_error *err) {
    NB_TRY(check_idle(w, err));
    if (w->part)
        return NB_FAIL(err, NB_ERR_STATE, "the streams have passed the first part of layer %u: compare outputs before",
                       w->layer);
    w->session->observer = (nb_observer){0};
    return nb_walk_run(w, 0, NB_LAYER_PARTS, err);
}

int32_t nb_walk_note(nb_walk *w, nb_error *err) {
    int32_t rows = try_batch(w, err);
    NB_TRY(rows);
    NB_TRY(check_finite(w, w->session, 0, (uint32_t)rows, err));
    uint64_t floats = nb_times((uint32_t)rows, w->width);
    nb_free(w->noted);
    w->noted = nb_alloc_items(floats, sizeof(float));
    if (!w->noted)
        return nb_memory_refuse("the outputs of a layer", nb_times(floats, sizeof(float)), err);
    memcpy(w->noted, w->session->x, (size_t)floats * sizeof(float));
    return NB_OK;
}

double nb_walk_change(nb_walk *w, nb_error *err) {
    if (!w->noted)
        return NB_FAIL(err, NB_ERR_STATE, "there are no outputs to compare with: call nb_walk_note");
    int32_t rows = try_batch(w, err);
    NB_TRY(rows);
    double change = 0, added = 0;
    for (size_t i = 0; i < (size_t)rows * w->width; i++) {
        double off = (double)w->session->x[i] - (double)w->noted[i], own = (double)w->noted[i] - (double)w->streams[i];
        change += off * off;
        added += own * own;
    }
    return change == 0 ? 0 : sqrt(change / added); /* infinite or NaN if outputs are, or if none were added */
}

/* Takes the next batch through the parts [w->part, to). */
static int32_t pass(nb_walk *w, uint32_t to, int32_t done, nb_error *err) {
    bool is_other = w->passed && to != w->pass_to;
    if (!w->session || w->failed || done < 0 || (uint32_t)done != w->passed || is_other)
        return NB_FAIL(err, NB_ERR_STATE, "the pass cannot go on at token %d: %s", done,
                       w->failed     ? "the walk failed before"
                       : !w->session ? "nb_walk_layer comes first"
                       : is_other    ? "one pass cannot use both nb_walk_pass and nb_walk_pass_part"
                                     : "the last call returned another number");
    w->pass_to = to;
    if (!w->passed)
        nb_walk_forget(w); /* frees the sums of x x^T, which are large, before the next layer's weights are loaded */
    w->session->observer = (nb_observer){0};
    w->failed = true; /* until the batch has passed */
    int32_t rows = nb_walk_run(w, w->passed, to, err);
    NB_TRY(rows);
    NB_TRY(check_finite(w, w->session, w->passed, (uint32_t)rows, err));
    w->failed = false;
    memcpy(stream_of(w, w->passed), w->session->x, (size_t)rows * w->width * sizeof(float));
    w->passed += (uint32_t)rows;
    done = (int32_t)w->passed;
    if (w->passed < nb_walk_tokens(w))
        return done;
    w->passed = 0;
    w->part = to % NB_LAYER_PARTS;
    if (!w->part) {
        leave_layer(w);
        w->layer++;
    }
    return done;
}

int32_t nb_walk_pass(nb_walk *w, int32_t done, nb_error *err) {
    return pass(w, NB_LAYER_PARTS, done, err);
}

int32_t nb_walk_pass_part(nb_walk *w, int32_t done, nb_error *err) {
    if (w->session && w->is_parallel)
        return NB_FAIL(err, NB_ERR_STATE, "both parts of layer %u have the same inputs; call nb_walk_pass", w->layer);
    return pass(w, w->part + 1, done, err);
}
