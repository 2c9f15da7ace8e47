/* Rounding of what flows through the layers' matrices: their inputs x, and the gradients of their results
 * (nibble_train.h: nb_train_signals). linear.c is the only user. */
#ifndef NB_SIGNALS_H
#define NB_SIGNALS_H

#include "pass.h"
#include "weight_grid.h"

/* Of a trainer. Its memory is of a batch. */
struct nb_signals {
    nb_train_signals settings;
    nb_weight_grid grid; /* of inputs: least, most, has_minima */
    bool observes;       /* ranges move, and first steps are chosen */
    uint64_t key;        /* of the random numbers: other ones for each part of each step */
    float *rounded;      /* [n, columns]: x as the product uses it */
    float *d_rounded;    /* [n, columns]: the gradient with respect to that */
    float *gradient;     /* [n, rows]: the rounded gradient of a result */
    double *partial;     /* [n, 2] */
    float *kept;         /* [layers' matrices, 2]: the numbers of inputs before the part of a batch at hand */
};

/* Of a matrix. Its two numbers are among the parameters: a step and a minimum, or a range's ends; both 0: not known. */
typedef struct nb_input {
    float *at, *d_at;
    uint32_t id; /* of the matrix, from 1 on; 0: its inputs and gradients are not rounded */
} nb_input;

int32_t nb_signals_check(const nb_train_signals *settings, nb_signals *signals, nb_error *err);

/* x [n, columns], or what it is rounded to. observes: ranges and first steps may change. */
const float *nb_input_round(const nb_pass *pass, const nb_input *input, const float *x, uint32_t columns,
                            bool observes);

/* From d_rounded to d_x [n, columns], straight through; adds: to what is there. */
void nb_input_back(const nb_pass *pass, const nb_input *input, const float *x, uint32_t columns, float *d_x, bool adds);

/* d [n, rows], or what it is rounded to. */
const float *nb_gradient_round(const nb_pass *pass, const nb_input *input, const float *d, uint32_t rows);

static inline bool nb_inputs_are_rounded(const nb_pass *pass, const nb_input *input) {
    return pass->signals && pass->signals->settings.inputs != NB_TRAIN_PLAIN && input->id;
}

#endif
