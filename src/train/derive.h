/* Weights that are computed from parameters.
 *
 * The weights W of a matrix may be a function of parameters, such as F32 weights that are rounded to a grid with
 * learned steps, or fixed codes with learned scales. Before a pass the trainer computes all such W (forward). After a
 * backward pass it has dW, the loss's gradient with respect to W, and turns it into gradients of the parameters
 * (backward). Layers use W and dW, and know nothing of this. */
#ifndef NB_DERIVE_H
#define NB_DERIVE_H

#include "pass.h"

typedef struct nb_derivation nb_derivation;

typedef struct nb_derivation_kind {
    /* Writes d->weights. */
    void (*forward)(const nb_derivation *d, nb_pool *pool);
    /* Adds to d->d_master and d->d_own what follows from d->gradient; nothing else may change. */
    void (*backward)(const nb_derivation *d, nb_pool *pool);
} nb_derivation_kind;

struct nb_derivation {
    const nb_derivation_kind *kind; /* NULL: W is not derived, it is itself a parameter */
    const void *context;            /* of the kind: a grid, codes ... */
    uint32_t rows, columns;         /* of W */
    bool has_master;                /* there are as many parameters as W has weights: what is rounded to W */
    uint64_t own;                   /* how many other parameters there are, such as steps; they never decay */
    float rate;                     /* of the own ones: their learning rate over the optimizer's */

    /* Where the trainer has them. A trainer that does not learn has no d_..., and no gradient. */
    float *weights, *gradient; /* W and dW, [rows, columns]; gradient is 0 before a backward pass */
    float *master, *d_master;  /* [rows, columns], or NULL */
    uint32_t own_first;        /* of the own parameters in the arrays */
    float *own_at, *d_own;     /* [own] */
};

#endif
