/* Linear layers. All products with weights go through here, forward and backward, and so does all rounding of
 * activations and gradients for them. */
#ifndef NB_LINEAR_H
#define NB_LINEAR_H

#include "signals.h"

/* y = W x. */
typedef struct nb_linear {
    uint32_t rows, columns;
    const float *weights; /* [rows, columns] */
    float *gradient;      /* [rows, columns]; NULL: the weights do not learn */
    nb_input input;
} nb_linear;

/* out [n, rows] = x [n, columns] W^T. adds: adds to `out` instead. */
void nb_linear_forward(const nb_pass *pass, const nb_linear *linear, const float *x, float *out, bool adds);

/* d_out [n, rows] is the loss's gradient with respect to out.
 *     dW += d_out^T x,   d_x [n, columns] = d_out W, or with `adds` += d_out W */
void nb_linear_backward(const nb_pass *pass, const nb_linear *linear, const float *x, const float *d_out, float *d_x,
                        bool adds);

#endif
