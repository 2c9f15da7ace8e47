/* AdamW, its schedule, and gradient norms (nibble_train.h: nb_train_optimizer). */
#ifndef NB_ADAMW_H
#define NB_ADAMW_H

#include "moments.h"
#include "pass.h"

/* n parameters with their gradients and moments. */
typedef struct nb_parameters {
    float *weights, *gradients; /* [n] each */
    nb_moments moments;
    uint64_t n;
    bool decays;
} nb_parameters;

int32_t nb_optimizer_check(const nb_train_optimizer *optimizer, nb_error *err);

/* The L2 norm of x [n]. partial: [nb_pieces(n, NB_PIECE)]. */
double nb_l2_norm(nb_pool *pool, const float *x, uint64_t n, double *partial);

/* Step `step`, counted from 0. With g = scale * gradient and t = step + 1:
 *     m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2
 *     w -= rate decay w + rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
 * Gradients become 0. */
void nb_adamw_step(nb_pool *pool, const nb_train_optimizer *optimizer, uint32_t step, float scale,
                   const nb_parameters *parameters);

#endif
