/* Rounds activations and gradients: the inputs x of the layers' matrices, and the gradients of their outputs
 * (nibble_train.h: nb_train_signals). Only linear.c uses it. */
#ifndef NB_SIGNALS_H
#define NB_SIGNALS_H

#include "pass.h"
#include "weight_grid.h"

/* Of a trainer. Buffers are as large as a batch needs. */
struct nb_signals {
    nb_train_signals settings;
    nb_weight_grid grid;  /* of inputs: least, most, has_minima */
    bool observes;        /* moving averages are updated, and first steps are chosen */
    uint64_t key;         /* of random numbers, different for each micro-batch of each step */
    float *rounded;       /* [n, columns]: x, rounded */
    float *d_rounded;     /* [n, columns]: the gradient with respect to that */
    float *gradient;      /* [n, rows]: the gradient of an output, rounded */
    double *partial;      /* [n, 2] */
    float *inputs_before; /* [layers' matrices, 2]: the steps or ranges of inputs before the current micro-batch */
};

/* How the inputs of a matrix are rounded. */
typedef struct nb_input {
    float *at, *d_at; /* [2], in the trainer's arrays: a step and a minimum, or the ends of a range; both 0: unknown */
    uint32_t id;      /* of the matrix, from 1 on; 0: its inputs and gradients are not rounded */
} nb_input;

int32_t nb_signals_check(const nb_train_signals *settings, nb_signals *signals, nb_error *err);

/* Returns x [n, columns], rounded if it is to be. observes: moving averages and first steps may change. */
const float *nb_input_round(const nb_pass *pass, const nb_input *input, const float *x, uint32_t columns,
                            bool observes);

/* From d_rounded to d_x [n, columns], straight through the rounding. adds: adds to d_x instead. */
void nb_input_back(const nb_pass *pass, const nb_input *input, const float *x, uint32_t columns, float *d_x, bool adds);

/* Returns d [n, rows], rounded if it is to be. */
const float *nb_gradient_round(const nb_pass *pass, const nb_input *input, const float *d, uint32_t rows);

static inline bool nb_inputs_are_rounded(const nb_pass *pass, const nb_input *input) {
    return pass->signals && pass->signals->settings.inputs != NB_TRAIN_PLAIN && input->id;
}

#endif
