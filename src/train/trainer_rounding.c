/* Trainers that round weights (nibble_train.h: nb_train_rounding). */
#include "trainer.h"
#include "weight_rounding.h"

uint32_t nb_train_tensors_of(const nb_train_shape *shape, nb_error *err) {
    return nb_train_check_shape(shape, err) == NB_OK ? nb_train_count_tensors(shape) : 0;
}

int32_t nb_train_tensor_of(const nb_train_shape *shape, uint32_t index, nb_train_tensor *tensor, nb_error *err) {
    NB_TRY(nb_train_check_shape(shape, err));
    if (index >= nb_train_count_tensors(shape))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "there is no tensor %u; the model has %u", index,
                       nb_train_count_tensors(shape));
    nb_train_describe(shape, index, tensor);
    return NB_OK;
}

typedef struct rounding_choice {
    const nb_train_rounding *roundings;
    const nb_train_signals *signals;
} rounding_choice;

static int32_t choose_derivations(nb_trainer *t, const void *context, nb_error *err) {
    const rounding_choice *w = context;
    const nb_train_rounding *roundings = w->roundings;
    if (w->signals)
        NB_TRY(nb_signals_check(w->signals, &t->signals, err));
    for (uint32_t i = 0; i < t->n_tensors; i++) {
        if (roundings[i].method == NB_TRAIN_PLAIN)
            continue;
        NB_TRY(nb_weight_grid_of(&roundings[i], &t->tensors[i], &t->grids[i], err));
        nb_weight_rounding(&t->derivations[i], &t->grids[i], roundings[i].rate);
    }
    return NB_OK;
}

nb_trainer *nb_trainer_new_rounded(nb_pool *pool, const nb_train_shape *shape, const nb_train_rounding *roundings,
                                   const nb_train_signals *signals, uint32_t sequences, uint32_t length,
                                   uint32_t learns, nb_error *err) {
    rounding_choice w = {roundings, signals};
    return nb_trainer_make(pool, shape, sequences, length, learns, choose_derivations, &w, err);
}

static bool is_rounded(const nb_trainer *t, uint32_t index) {
    return t->grids[index].method != NB_TRAIN_PLAIN;
}

int32_t nb_trainer_check_finite(const nb_trainer *t, uint32_t index, nb_error *err) {
    const nb_train_tensor *tensor = &t->tensors[index];
    const float *w = t->derivations[index].master, *own = t->derivations[index].own_at;
    for (size_t i = 0; w && i < (size_t)tensor->rows * tensor->columns; i++)
        if (!__builtin_isfinite(w[i]))
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "%s: the weight in row %u, column %u is not finite; go back to a checkpoint", tensor->name,
                           (uint32_t)(i / tensor->columns), (uint32_t)(i % tensor->columns));
    for (size_t i = 0; i < t->derivations[index].own; i++)
        if (!__builtin_isfinite(own[i]))
            return NB_FAIL(err, NB_ERR_FORMAT, "%s: its step or scale %z is not finite; go back to a checkpoint",
                           tensor->name, i);
    return NB_OK;
}

int32_t nb_trainer_fit_steps(nb_trainer *t, nb_error *err) {
    for (uint32_t i = 0; i < t->n_tensors; i++) {
        if (!is_rounded(t, i))
            continue;
        NB_TRY(nb_trainer_check_finite(t, i, err));
        nb_weight_rounding_fit(&t->derivations[i], t->pass.pool);
    }
    return NB_OK;
}

const float *nb_trainer_rounded(nb_trainer *t, uint32_t index) {
    if (index >= t->n_tensors)
        return NULL;
    const nb_derivation *d = &t->derivations[index];
    if (!d->kind)
        return t->weights + t->tensors[index].first;
    d->kind->forward(d, t->pass.pool);
    return d->weights;
}

uint32_t nb_trainer_own_of(const nb_trainer *t, uint32_t index, uint32_t *first) {
    if (index >= t->n_tensors || !t->derivations[index].own)
        return 0;
    *first = t->derivations[index].own_first;
    return (uint32_t)t->derivations[index].own; /* nb_trainer_make_arrays refuses more */
}

uint32_t nb_trainer_inputs_of(const nb_trainer *t, uint32_t *first) {
    *first = t->inputs_first;
    return t->signals.settings.inputs == NB_TRAIN_PLAIN ? 0 : 2 * t->shape.layers * NB_LAYER_MATRICES;
}
