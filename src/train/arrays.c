/* The layout of the arrays of parameters:
 *
 *     tensors | quantizer parameters of each tensor | steps or ranges of inputs */
#include "trainer.h"

enum { ALIGNMENT = 16 }; /* in floats: each tensor begins on a cache line */

/* Smaller tensors keep their moments in F32, as by bitsandbytes' default. */
enum { LEAST_IN_8_BITS = 4096 };

/* ---- layout ------------------------------------------------------------------------------------------------------ */

/* Adds n parameters, which get their own learning rate and decay. Returns the index of the first. */
static uint64_t add_parameters(nb_trainer *t, uint64_t n, float rate, bool decays) {
    uint64_t first = t->floats;
    if (n)
        t->groups[t->n_groups++] = (nb_parameter_group){.first = first, .n = n, .rate = rate, .decays = decays};
    t->floats = nb_plus(first, NB_ROUND_UP(n, (uint64_t)ALIGNMENT));
    return first;
}

static uint64_t size_of(const nb_derivation *d) {
    return (uint64_t)d->rows * d->columns;
}

static bool has_weights(const nb_derivation *d) { /* as parameters */
    return !d->kind || d->has_master;
}

/* Learned steps of inputs are parameters. Ranges are not, but they are in the arrays so that a checkpoint has them. */
static void lay_out_inputs(nb_trainer *t) {
    const nb_train_signals *s = &t->signals.settings;
    uint64_t n = s->inputs == NB_TRAIN_PLAIN ? 0 : 2 * (uint64_t)t->shape.layers * NB_LAYER_MATRICES;
    bool learns = s->inputs == NB_TRAIN_LEARNED;
    uint32_t groups = t->n_groups;
    t->inputs_first = (uint32_t)add_parameters(t, n, s->rate, false);
    t->n_groups = learns ? t->n_groups : groups;
}

static void lay_out_moments(nb_trainer *t) {
    t->moments_bytes = 0;
    for (uint32_t i = 0; i < t->n_groups; i++) {
        nb_parameter_group *group = &t->groups[i];
        bool is_embedding = i == 0 && has_weights(&t->derivations[0]);
        group->in_8_bits = t->in_8_bits && !is_embedding && group->n >= LEAST_IN_8_BITS;
        group->moments = t->moments_bytes;
        t->moments_bytes = nb_plus(t->moments_bytes, nb_moments_bytes(group->n, group->in_8_bits));
    }
    if (t->in_8_bits)
        nb_moment_maps_fill(&t->maps);
}

static void lay_out(nb_trainer *t) {
    t->floats = t->derived = t->n_groups = 0;
    for (uint32_t i = 0; i < t->n_tensors; i++) {
        const nb_derivation *d = &t->derivations[i];
        t->tensors[i].first = (uint32_t)add_parameters(t, has_weights(d) ? size_of(d) : 0, 1, t->tensors[i].decays);
        if (d->kind)
            t->derived = nb_plus(t->derived, NB_ROUND_UP(size_of(d), (uint64_t)ALIGNMENT));
    }
    for (uint32_t i = 0; i < t->n_tensors; i++)
        t->derivations[i].own_first = (uint32_t)add_parameters(t, t->derivations[i].own, t->derivations[i].rate, false);
    lay_out_inputs(t);
    lay_out_moments(t);
}

/* ---- pointers ---------------------------------------------------------------------------------------------------- */

static float *at(float *array, uint64_t first) {
    return array ? array + first : NULL;
}

static void find_derived(nb_trainer *t) {
    uint64_t first = 0;
    for (uint32_t i = 0; i < t->n_tensors; i++) {
        nb_derivation *d = &t->derivations[i];
        uint32_t place = t->tensors[i].first;
        if (!d->kind)
            continue;
        d->weights = t->derived_weights + first;
        d->gradient = at(t->derived_gradients, first);
        d->master = d->has_master ? t->weights + place : NULL;
        d->d_master = d->has_master ? at(t->gradients, place) : NULL;
        d->own_at = t->weights + d->own_first;
        d->d_own = at(t->gradients, d->own_first);
        first += NB_ROUND_UP(size_of(d), (uint64_t)ALIGNMENT);
    }
}

static nb_gain gain_of(const nb_trainer *t, uint32_t index) {
    const nb_derivation *d = &t->derivations[index];
    uint32_t first = t->tensors[index].first;
    return d->kind ? (nb_gain){d->weights, d->gradient} : (nb_gain){t->weights + first, at(t->gradients, first)};
}

static nb_linear linear_of(const nb_trainer *t, uint32_t index) {
    const nb_train_tensor *tensor = &t->tensors[index];
    nb_gain numbers = gain_of(t, index);
    return (nb_linear){tensor->rows, tensor->columns, numbers.weights, numbers.gradient, {0}};
}

/* `number` counts the matrices of all layers. */
static nb_linear rounding_linear_of(const nb_trainer *t, uint32_t index, uint32_t number) {
    nb_linear linear = linear_of(t, index);
    uint32_t first = t->inputs_first + 2 * number;
    linear.input = (nb_input){t->weights + first, at(t->gradients, first), number + 1};
    return linear;
}

static void find_layers(nb_trainer *t) {
    uint32_t i = 1, k = 0;
    t->embedding = linear_of(t, 0);
    for (uint32_t l = 0; l < t->shape.layers; l++, i += NB_LAYER_TENSORS, k += NB_LAYER_MATRICES)
        t->layers[l] = (nb_trained_layer){
            .attention_norm = gain_of(t, i),
            .q = rounding_linear_of(t, i + 1, k + 0),
            .k = rounding_linear_of(t, i + 2, k + 1),
            .v = rounding_linear_of(t, i + 3, k + 2),
            .o = rounding_linear_of(t, i + 4, k + 3),
            .feed_forward_norm = gain_of(t, i + 5),
            .gate = rounding_linear_of(t, i + 6, k + 4),
            .up = rounding_linear_of(t, i + 7, k + 5),
            .down = rounding_linear_of(t, i + 8, k + 6),
        };
    t->output_norm = gain_of(t, i);
    t->output = linear_of(t, t->shape.is_tied ? 0 : i + 1);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static void place_arrays(nb_trainer *t, nb_arena *a) {
    t->weights = nb_arena_take(a, t->floats, sizeof(float));
    t->derived_weights = nb_arena_take(a, t->derived, sizeof(float));
    if (!t->learns)
        return;
    t->gradients = nb_arena_take(a, t->floats, sizeof(float));
    t->moments = nb_arena_take(a, t->moments_bytes, 1);
    t->derived_gradients = nb_arena_take(a, t->derived, sizeof(float));
    t->partial = nb_arena_take(a, nb_pieces(t->floats, NB_PIECE), sizeof *t->partial);
}

int32_t nb_trainer_make_arrays(nb_trainer *t, nb_error *err) {
    lay_out(t);
    if (t->floats > UINT32_MAX || t->derived > UINT32_MAX)
        return nb_memory_refuse("the weights to be trained", nb_times(nb_plus(t->floats, t->derived), sizeof(float)),
                                err);
    nb_arena arena = {0};
    place_arrays(t, &arena);
    NB_TRY(nb_arena_allocate(&arena, "training (weights, gradients and moments)", err));
    t->arrays = arena;
    place_arrays(t, &arena);
    find_derived(t);
    find_layers(t);
    return NB_OK;
}
