/* SmoothQuant (Xiao et al. 2023): activations with a few large columns do not fit 8 bits, while weights have room. So a
 * part of the difficulty goes over to the weights:
 *
 *   W x = (W diag(s)) (diag(1/s) x);  s_j = max|x_j|^a / max|w_j|^(1-a),  a = 0.5 as a rule
 *
 * with max|w_j| over the columns j of all matrices that share the input. 1/s goes into the norm before (awq_fold.h). A
 * column that was never seen, or that has no weights, keeps s = 1. */
#ifndef NB_SMOOTH_H
#define NB_SMOOTH_H

#include "uniform.h"

/* largest [columns]: max |x|. sources: as nb_awq_input has them, or NULL. alpha: 0 ... 1. weights: [rows][columns],
 * those of all matrices that share the input, one after the other. -> scales [columns] */
int32_t nb_smooth_scales(const float *largest, uint32_t columns, const uint32_t *sources, uint32_t n_sources,
                         float alpha, const float *weights, uint32_t rows, float *scales, nb_error *err);

#endif
