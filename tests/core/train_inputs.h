/* Shared by the tests of the trainer: reading the oracles' files, and the random weights that the oracles have, too. */
#ifndef NB_TRAIN_INPUTS_H
#define NB_TRAIN_INPUTS_H

#include "check.h"
#include "random.h"

#include "../../src/base/cursor.h"
#include "../../src/base/memory.h"
#include "../../src/nibble_train.h"

#include <math.h>

/* A copy of the next bytes of a file, aligned as nb_alloc aligns; zeros if the file has fewer. */
static inline const void *test_numbers(nb_cursor *in, uint64_t bytes) {
    const uint8_t *at = nb_cursor_bytes(in, bytes);
    void *copy = nb_alloc((size_t)bytes);
    CHECK(at && copy, "the file has no %l bytes at %z", bytes, in->at);
    if (copy && at)
        memcpy(copy, at, (size_t)bytes);
    else if (copy)
        memset(copy, 0, (size_t)bytes);
    return copy;
}

static inline void test_read_shape(nb_cursor *in, nb_train_shape *s, nb_train_loss *loss) {
    uint32_t *fields[] = {&s->vocabulary, &s->width,     &s->layers, &s->heads,
                          &s->kv_heads,   &s->head_size, &s->hidden, &s->is_tied};
    for (int i = 0; i < 8; i++)
        *fields[i] = nb_cursor_u32(in);
    s->rope_base = nb_cursor_f32(in);
    s->epsilon = nb_cursor_f32(in);
    loss->share = nb_cursor_f32(in);
    loss->temperature = nb_cursor_f32(in);
}

static inline void test_read_optimizer(nb_cursor *in, nb_train_optimizer *o) {
    o->rate = nb_cursor_f32(in);
    o->last_rate = nb_cursor_f32(in);
    o->warmup = nb_cursor_u32(in);
    o->steps = nb_cursor_u32(in);
    float *more[] = {&o->beta1, &o->beta2, &o->epsilon, &o->decay, &o->clip};
    for (int i = 0; i < 5; i++)
        *more[i] = nb_cursor_f32(in);
}

/* Gives all tensors the oracle's weights: r / 4 in matrices, and 1 + r / 4 in norms, which have no weight decay. r is a
 * new random number in [-1, 1) for each weight. */
static inline void test_fill_weights_of(nb_trainer *t, uint32_t *seed) {
    for (uint32_t i = 0; i < nb_trainer_tensors(t); i++) {
        nb_train_tensor tensor;
        CHECK(nb_trainer_tensor(t, i, &tensor) == NB_OK, "tensor %u", i);
        float *w = nb_trainer_weights(t) + tensor.first;
        for (uint32_t k = 0; k < tensor.rows * tensor.columns; k++)
            w[k] = (tensor.decays ? 0.0f : 1.0f) + test_random_float(seed) / 4;
    }
}

/* The L2 norm of x - less. less: NULL for zeros. */
static inline double test_norm_of(const float *x, const float *less, uint32_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += pow((double)x[i] - (less ? (double)less[i] : 0), 2);
    return sqrt(sum);
}

/* Whether both have the same weights and moments, which a checkpoint consists of beside the number of steps. */
static inline bool test_same_arrays(nb_trainer *a, nb_trainer *b) {
    size_t bytes = nb_trainer_floats(a) * sizeof(float), moments = (size_t)nb_trainer_moments_bytes(a);
    return nb_compare(nb_trainer_weights(a), nb_trainer_weights(b), bytes) == 0 &&
           moments == (size_t)nb_trainer_moments_bytes(b) &&
           nb_compare(nb_trainer_moments(a), nb_trainer_moments(b), moments) == 0;
}

/* Copies weights and moments from one trainer to another of the same kind. */
static inline void test_copy_arrays(nb_trainer *to, nb_trainer *from) {
    memcpy(nb_trainer_weights(to), nb_trainer_weights(from), nb_trainer_floats(from) * sizeof(float));
    memcpy(nb_trainer_moments(to), nb_trainer_moments(from), (size_t)nb_trainer_moments_bytes(from));
}

#endif
