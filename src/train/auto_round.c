/* AutoRound's steps (nibble_train.h: nb_auto_round). Windows pass through the layer one at a time, so that memory does
 * not grow with the batch. The gradients of a batch's windows are added up. */
#include "auto_round.h"

#include "../base/random_bits.h"

#include <math.h>

enum { FIRST_TENSOR = 1 }; /* of the layer; tensor 0 is the embedding */

/* ---- the object -------------------------------------------------------------------------------------------------- */

/* The layer's matrices count as derived (derive.h), by functions that do nothing, so that the trainer keeps no
 * parameters for them. AutoRound itself writes their weights W, and reads the gradients dW. */
static void do_nothing(const nb_derivation *d, nb_pool *pool) {
    (void)d, (void)pool;
}

static int32_t choose_derivations(nb_trainer *t, const void *context, nb_error *err) {
    (void)context, (void)err;
    static const nb_derivation_kind kind = {do_nothing, do_nothing};
    for (uint32_t i = FIRST_TENSOR; i < FIRST_TENSOR + NB_LAYER_TENSORS; i++)
        if (t->tensors[i].decays) /* it is a matrix; norms do not decay */
            t->derivations[i].kind = &kind;
    return NB_OK;
}

static int32_t check_settings(const nb_auto_round_settings *s, nb_error *err) {
    uint64_t tokens = (uint64_t)s->windows * s->window;
    if (!tokens || tokens > INT32_MAX || !s->batch || !s->steps || (uint64_t)s->steps * s->batch > INT32_MAX)
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "AutoRound cannot do %u steps with %u windows each, on a text of %u windows of %u tokens: none "
                       "of these may be 0, and steps x windows each, and windows x tokens, may be 2147483647 at most",
                       s->steps, s->batch, s->windows, s->window);
    return NB_OK;
}

static int32_t make_streams(nb_auto_round *a, nb_error *err) {
    uint64_t floats = nb_times((uint64_t)a->settings.windows * a->settings.window, a->layer->shape.width);
    for (int i = 0; i < 2; i++) {
        a->exact = nb_arena_take(&a->streams, floats, sizeof *a->exact);
        a->inputs = nb_arena_take(&a->streams, floats, sizeof *a->inputs);
        a->order = nb_arena_take(&a->streams, a->settings.windows, sizeof *a->order);
        if (i == 0)
            NB_TRY(nb_arena_allocate(&a->streams, "the streams of a text (fewer or shorter windows need less)", err));
    }
    return NB_OK;
}

static int32_t prepare(nb_auto_round *a, nb_pool *pool, const nb_train_shape *shape, nb_error *err) {
    NB_TRY(check_settings(&a->settings, err));
    a->settings.batch = NB_MIN(a->settings.batch, a->settings.windows);
    nb_train_shape one = *shape;
    one.layers = one.vocabulary = one.is_tied = 1;
    a->layer = nb_trainer_make(pool, &one, 1, a->settings.window, 1, choose_derivations, NULL, err);
    if (!a->layer)
        return NB_ERR_ARGUMENT; /* err has the message */
    nb_trained_layer *layer = &a->layer->layers[0];
    layer->attention_norm.gradient = layer->feed_forward_norm.gradient = NULL;
    return make_streams(a, err);
}

nb_auto_round *nb_auto_round_new(nb_pool *pool, const nb_train_shape *shape, const nb_auto_round_settings *settings,
                                 nb_error *err) {
    nb_auto_round *a = nb_alloc(sizeof *a);
    if (!a)
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory for AutoRound");
    *a = (nb_auto_round){.settings = *settings};
    if (prepare(a, pool, shape, err) == NB_OK)
        return a;
    nb_auto_round_free(a);
    return NULL;
}

void nb_auto_round_free(nb_auto_round *a) {
    if (!a)
        return;
    for (uint32_t i = 0; i < NB_LAYER_TENSORS; i++)
        nb_rounded_matrix_free(&a->matrices[i]);
    nb_trainer_free(a->layer);
    nb_arena_free(&a->streams);
    nb_free(a);
}

float *nb_auto_round_exact(nb_auto_round *a) {
    return a->exact;
}

float *nb_auto_round_inputs(nb_auto_round *a) {
    return a->inputs;
}

double nb_auto_round_first_loss(const nb_auto_round *a) {
    return a->first;
}

double nb_auto_round_least_loss(const nb_auto_round *a) {
    return a->best;
}

/* ---- a layer ----------------------------------------------------------------------------------------------------- */

float *nb_auto_round_tensor(nb_auto_round *a, uint32_t i, nb_train_tensor *tensor) {
    if (i >= NB_LAYER_TENSORS)
        return NULL;
    nb_trainer *t = a->layer;
    const nb_derivation *d = &t->derivations[FIRST_TENSOR + i];
    *tensor = t->tensors[FIRST_TENSOR + i];
    nb_rounded_matrix_free(&a->matrices[i]);
    a->passed = a->step = a->batch_done = 0;
    a->shuffles = 0;
    return d->kind ? d->weights : t->weights + tensor->first;
}

static size_t floats_of(const nb_auto_round *a) { /* of a window */
    return (size_t)a->settings.window * a->layer->shape.width;
}

/* Takes a window's streams through the layer. The outputs are in t->stream. */
static void forward(nb_auto_round *a, const float *streams) {
    nb_trainer *t = a->layer;
    t->pass.n = t->pass.length = a->settings.window;
    memcpy(t->traces[0].x, streams, floats_of(a) * sizeof *streams);
    nb_layer_forward(&t->pass, &t->layers[0], &t->traces[0], t->stream);
}

static int32_t refuse_failed(const nb_auto_round *a, nb_error *err) {
    return a->has_failed ? NB_FAIL(err, NB_ERR_STATE, "AutoRound failed in an earlier step: begin with a new object")
                         : NB_OK;
}

int32_t nb_auto_round_pass(nb_auto_round *a, nb_error *err) {
    NB_TRY(refuse_failed(a, err));
    if (a->passed == a->settings.windows)
        return NB_FAIL(err, NB_ERR_STATE, "all windows have passed the layer; write the next layer's weights");
    float *exact = a->exact + a->passed * floats_of(a);
    forward(a, exact);
    for (size_t i = 0; i < floats_of(a); i++)
        if (!isfinite(a->layer->stream[i]))
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "what the layer puts out is not finite in window %u; the weights are damaged, or too large "
                           "to compute with",
                           a->passed);
    memcpy(exact, a->layer->stream, floats_of(a) * sizeof *exact);
    return (int32_t)(a->settings.windows - ++a->passed);
}

/* Tensor i of the layer as a matrix; NULL: it is a norm. */
static nb_linear *linear_of(nb_auto_round *a, uint32_t i) {
    nb_trained_layer *l = &a->layer->layers[0];
    nb_linear *of_tensor[NB_LAYER_TENSORS] = {NULL, &l->q, &l->k, &l->v, &l->o, NULL, &l->gate, &l->up, &l->down};
    return of_tensor[i];
}

int32_t nb_auto_round_choose(nb_auto_round *a, uint32_t i, const nb_auto_round_grid *grid, const void *blocks,
                             nb_error *err) {
    NB_TRY(refuse_failed(a, err));
    if (i >= NB_LAYER_TENSORS || !linear_of(a, i))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "tensor %u of a layer is not a matrix", i);
    if (a->passed < a->settings.windows || a->step || a->batch_done)
        return NB_FAIL(err, NB_ERR_STATE,
                       "a grid is chosen after nb_auto_round_pass has returned 0, and before the first "
                       "nb_auto_round_step");
    const nb_derivation *d = &a->layer->derivations[FIRST_TENSOR + i];
    const nb_train_tensor *tensor = &a->layer->tensors[FIRST_TENSOR + i];
    int32_t code = nb_rounded_matrix_begin(&a->matrices[i], grid, tensor, d->weights, blocks, err);
    if (code < 0)
        nb_rounded_matrix_free(&a->matrices[i]);
    return code;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* The next window, in a random order. If fewer are left than a batch needs, those are skipped, and all windows are
 * shuffled anew. So no batch has a window twice. */
static uint32_t next_window(nb_auto_round *a) {
    uint32_t n = a->settings.windows;
    if (a->batch_done == 0 && (a->step == 0 || n - a->next < a->settings.batch)) {
        for (uint32_t i = 0; i < n; i++)
            a->order[i] = i;
        for (uint32_t i = n; i > 1; i--) {
            uint32_t k = (uint32_t)(nb_random_bits(a->settings.seed, a->shuffles++) % i), other = a->order[i - 1];
            a->order[i - 1] = a->order[k];
            a->order[k] = other;
        }
        a->next = 0;
    }
    return a->order[a->next++];
}

static void begin_batch(nb_auto_round *a) {
    nb_trainer *t = a->layer;
    memset(t->derived_gradients, 0, (size_t)t->derived * sizeof *t->derived_gradients);
    a->sum = 0;
    for (uint32_t i = 0; i < NB_LAYER_TENSORS; i++) {
        const nb_derivation *d = &t->derivations[FIRST_TENSOR + i];
        bool is_rounded = a->matrices[i].rule != NB_ROUND_NOT;
        if (is_rounded)
            nb_rounded_matrix_round(&a->matrices[i], t->pass.pool, d->weights);
        if (linear_of(a, i))
            linear_of(a, i)->gradient = is_rounded ? d->gradient : NULL;
    }
}

/* Passes back output - exact, which is half the gradient of the sum of squared errors. The loss is their mean, but its
 * gradients have the same signs, and only the signs are used. */
static void run_window(nb_auto_round *a, uint32_t window) {
    nb_trainer *t = a->layer;
    const float *exact = a->exact + window * floats_of(a);
    forward(a, a->inputs + window * floats_of(a));
    for (size_t i = 0; i < floats_of(a); i++) {
        t->d[i] = t->stream[i] - exact[i];
        a->sum += (double)t->d[i] * (double)t->d[i];
    }
    nb_layer_backward(&t->pass, &t->layers[0], &t->traces[0], t->d);
}

static int32_t end_batch(nb_auto_round *a, nb_error *err) {
    nb_trainer *t = a->layer;
    double loss = a->sum / ((double)a->settings.batch * (double)floats_of(a));
    if (!isfinite(loss)) {
        a->has_failed = true;
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "the outputs of the rounded layer are not finite in step %u; take a type of more bits, or GPTQ",
                       a->step);
    }
    bool is_best = a->step == 0 || loss < a->best;
    a->first = a->step ? a->first : loss;
    a->best = is_best ? loss : a->best;
    float rate = (float)((1 - (double)a->step / a->settings.steps) / a->settings.steps);
    for (uint32_t i = 0; i < NB_LAYER_TENSORS; i++) {
        const nb_rounded_matrix *m = &a->matrices[i];
        if (m->rule == NB_ROUND_NOT)
            continue;
        if (is_best)
            nb_rounded_matrix_keep(m);
        nb_rounded_matrix_learn(m, t->pass.pool, t->derivations[FIRST_TENSOR + i].gradient, rate);
    }
    a->step++;
    a->batch_done = 0;
    return NB_OK;
}

int32_t nb_auto_round_step(nb_auto_round *a, nb_error *err) {
    NB_TRY(refuse_failed(a, err));
    const nb_auto_round_settings *s = &a->settings;
    if (a->passed < s->windows || a->step == s->steps)
        return NB_FAIL(err, NB_ERR_STATE, "%s",
                       a->passed < s->windows ? "nb_auto_round_pass must return 0 first" : "all steps are done");
    if (a->batch_done == 0)
        begin_batch(a);
    run_window(a, next_window(a));
    if (++a->batch_done == s->batch)
        NB_TRY(end_batch(a, err));
    return (int32_t)((s->steps - a->step) * s->batch - a->batch_done);
}
