/* SmoothQuant (Xiao et al. 2023): activations with a few large columns do not fit 8 bits well, while weights do. So the
 * columns are scaled to move a part of the difficulty to the weights:
 *
 *   W x = (W diag(s)) (diag(1/s) x);  s_j = max|x_j|^a / max|w_j|^(1-a),  a = 0.5 as a rule
 *
 * with max|w_j| over the columns j of all matrices that share the input. The norm before them absorbs 1/s (awq_fold.h).
 * max|w_j| and s_j are 1e-5 at least. s = 1 for a column whose inputs or weights are all 0. */
#ifndef NB_SMOOTH_H
#define NB_SMOOTH_H

#include "uniform.h"

/* largest [columns]: max |x|. sources, n_sources: as in nb_awq_input. alpha: 0 ... 1. weights [rows][columns]: of all
 * matrices that share the input, one after the other. -> scales [columns] */
int32_t nb_smooth_scales(const float *largest, uint32_t columns, const uint32_t *sources, uint32_t n_sources,
                         float alpha, const float *weights, uint32_t rows, float *scales, nb_error *err);

#endif
