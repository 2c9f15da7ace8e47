/* AWQ, activation-aware weight quantization (Lin et al. 2024): columns of a matrix that meet large activations are made
 * larger before rounding, so that they lose less, and the activations smaller by as much in the layer before. Then the
 * range of each group is made narrower where that helps.
 *
 *   W x = (W diag(s)) (diag(1/s) x);  s = mean|x|^r, or with the weights mean|x|^r / mean|w|^(1-r)
 *                                             r = 0, 1/20 ... 19/20
 *
 * and s is divided by sqrt(max s min s). mean|w|: of each weight over the largest of its group. Of these, and of s = 1,
 * the search takes what changes the outputs least. The paper and its tool try this on samples of x; here the error of
 * the outputs is computed from the Hessian H = sum x x', as sum |E x|^2 = trace(E H E') for a linear layer: exactly the
 * same for all of the calibration text, and without any sample being kept.
 *
 * Which tensor absorbs 1/s: awq_fold.h. All results are the same for any number of threads. */
#ifndef NB_AWQ_H
#define NB_AWQ_H

#include "../nibble_quantize.h"
#include "rounding.h"

/* What calibration says of the input of some matrices. */
typedef struct nb_awq_input {
    uint32_t columns;
    const float *hessian;    /* [columns][columns], of which only the lower triangle and the diagonal are read */
    const float *mean;       /* [columns] mean |x| */
    const uint32_t *sources; /* [columns] which output of the absorbing tensor each column is; such columns get one
                                scale. NULL: each its own */
    uint32_t n_sources;      /* their number, at most `columns` */
} nb_awq_input;

/* One step of the search: 0 is s = 1, and begins; step i has r = (i - 1) / 20; there are NB_AWQ_STEPS. weights: [rows]
 * [columns], those of all matrices that share the input, one after the other. Rows are rounded as r says, those of
 * blocks with the importance that nb_quantizer_rows will give them: the diagonal of the Hessian of x / s. uses_weights:
 * mean|w| takes part, as is the default of autoawq (duo_scaling). scales [columns] and found have the best of the steps
 * until now. */
int32_t nb_awq_try(nb_pool *pool, const nb_awq_input *input, const nb_rounding *r, bool uses_weights,
                   const float *weights, uint32_t rows, uint32_t step, float *scales, nb_awq_found *found,
                   nb_error *err);

/* Clips the weights [rows][columns] of a matrix group by group: to that of 1, 0.95 ... 0.55 of the group's largest
 * magnitude that changes the group's part of the outputs least. scales: the weights were already multiplied with these.
 * The Hessian is still that of x before scaling, so errors are divided by them. NULL: not scaled. It is not for queries
 * and keys: what their product makes of an error is not known here (nb_fold_clips). Nor is it for types whose encoders
 * search for the range of a block with importance: blocks are rounded without it here. */
int32_t nb_awq_clip(nb_pool *pool, const nb_awq_input *input, const nb_rounding *r, const float *scales, float *weights,
                    uint32_t rows, nb_error *err);

#endif
