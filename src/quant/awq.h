/* AWQ, activation-aware weight quantization (Lin et al. 2024). Columns of a matrix that are multiplied with large
 * activations are scaled up before rounding, so that they lose less, and the layer before scales the activations down
 * by as much. Then the range of each group is clipped where that helps.
 *
 *   W x = (W diag(s)) (diag(1/s) x);  s = mean|x|^r, or with the weights mean|x|^r / mean|w|^(1-r)
 *                                             r = 0, 1/20 ... 19/20
 *
 * and s is divided by sqrt(max s min s). Before mean|w| is taken, each weight is divided by the largest of its group.
 * The search keeps the s, including s = 1, that changes the outputs least. The paper and its tool measure this on
 * samples of x. Here the error of the outputs is computed from the Hessian H = sum x x', since sum |E x|^2 = trace(E H
 * E') for a linear layer. That is the exact error over the whole calibration text, and no samples need to be kept.
 *
 * awq_fold.h says which tensor absorbs 1/s. Results do not depend on the number of threads. */
#ifndef NB_AWQ_H
#define NB_AWQ_H

#include "../nibble_quantize.h"
#include "rounding.h"

/* What calibration has observed of the input of some matrices. */
typedef struct nb_awq_input {
    uint32_t columns;
    const float *hessian;    /* [columns][columns], of which only the lower triangle and the diagonal are read */
    const float *mean;       /* [columns] mean |x| */
    const uint32_t *sources; /* [columns] the output of the absorbing tensor that each column reads. Columns that read
                                the same one share a scale. NULL: each column reads its own */
    uint32_t n_sources;      /* outputs that are read, at most `columns` */
} nb_awq_input;

/* One step of the search. Step 0 tries s = 1 and must come first; step i tries the exponent (i - 1) / 20; there are
 * NB_AWQ_STEPS. weights [rows][columns]: of all matrices that share the input, one after the other. r: how rows are
 * rounded. Blocks are encoded with the importance that nb_quantizer_rows will use, the diagonal of the Hessian of x /
 * s. uses_weights: the formula with mean|w|, which is the default of autoawq (duo_scaling). scales [columns] and found
 * hold the best step so far. */
int32_t nb_awq_try(nb_pool *pool, const nb_awq_input *input, const nb_rounding *r, bool uses_weights,
                   const float *weights, uint32_t rows, uint32_t step, float *scales, nb_awq_found *found,
                   nb_error *err);

/* Clips the weights [rows][columns] of a matrix, group by group. Of 1, 0.95 ... 0.55 times the group's largest
 * magnitude, the limit is the one that changes the group's contribution to the outputs least. scales: what the weights
 * were already multiplied by (NULL: nothing). The Hessian is that of x before scaling, so errors are divided by the
 * scales.
 *
 * Do not clip queries and keys (nb_fold_clips): how an error changes their product is not known here. Do not clip for
 * types whose encoders search for a block's range with importance, either: blocks are encoded without it here. */
int32_t nb_awq_clip(nb_pool *pool, const nb_awq_input *input, const nb_rounding *r, const float *scales, float *weights,
                    uint32_t rows, nb_error *err);

#endif
