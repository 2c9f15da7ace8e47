/* Softmax, and the losses with their gradients (nibble_train.h: nb_train_loss). */
#ifndef NB_LOSSES_H
#define NB_LOSSES_H

#include "pass.h"

/* x = softmax(scale x) of n > 0 numbers. Returns ln(e^(scale x[0]) + ... + e^(scale x[n - 1])). */
double nb_softmax(float *x, uint32_t n, float scale);

/* Writes the loss of each token to losses [n], and replaces logits [n, vocabulary] by the loss's gradient with respect
 * to them. Both are 0 for negative targets. teacher: [n, vocabulary], or NULL if the share is 0. scratch: [threads, 3,
 * vocabulary]. */
void nb_losses(const nb_pass *pass, const nb_train_loss *loss, float *logits, const int32_t *targets,
               const float *teacher, float *scratch, double *losses);

#endif
