/* Reparametrization: weights that are computed from parameters.
 *
 * The weights W of a matrix may be a function of parameters, such as F32 weights rounded to a grid with learned steps,
 * or fixed codes with learned scales. Before a pass the trainer computes all such W (forward). A backward pass gives
 * dW, the loss's gradient with respect to W, and then the trainer turns it into gradients of the parameters (backward).
 * Layers only use W and dW. */
#ifndef NB_DERIVE_H
#define NB_DERIVE_H

#include "pass.h"

typedef struct nb_derivation nb_derivation;

typedef struct nb_derivation_kind {
    /* Writes d->weights. */
    void (*forward)(const nb_derivation *d, nb_pool *pool);
    /* Adds the gradients that follow from d->gradient to d->d_master and d->d_own. It changes nothing else. */
    void (*backward)(const nb_derivation *d, nb_pool *pool);
} nb_derivation_kind;

struct nb_derivation {
    const nb_derivation_kind *kind; /* NULL: W is not derived but is itself a parameter */
    const void *context;            /* for the kind: a grid, codes ... */
    uint32_t rows, columns;         /* of W */
    bool has_master;                /* there are master weights, which are rounded to W */
    uint64_t own;                   /* number of other parameters, such as steps; they have no weight decay */
    float rate;                     /* learning rate of the other parameters, times the optimizer's */

    /* In the trainer's arrays. A trainer that does not learn has no gradient, d_master and d_own. */
    float *weights, *gradient; /* W and dW, [rows, columns]; gradient is 0 before a backward pass */
    float *master, *d_master;  /* [rows, columns], or NULL */
    uint32_t own_first;        /* index of the other parameters in the arrays */
    float *own_at, *d_own;     /* [own]: the other parameters */
};

#endif
