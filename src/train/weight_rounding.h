/* Weights rounded to a grid in each pass, with gradients straight through the rounding (nibble_train.h:
 * nb_train_rounding). */
#ifndef NB_WEIGHT_ROUNDING_H
#define NB_WEIGHT_ROUNDING_H

#include "derive.h"
#include "weight_grid.h"

/* The derivation of W from such weights. grid outlives it. */
void nb_weight_rounding(nb_derivation *d, const nb_weight_grid *grid, float rate);

/* Steps and minima for the weights as they are. */
void nb_weight_rounding_fit(const nb_derivation *d, nb_pool *pool);

/* The steps of tile `tile` of a row, as the grid's type holds them. */
void nb_weight_rounding_steps(const nb_derivation *d, uint32_t row, uint32_t tile, nb_group_step *out);

#endif
