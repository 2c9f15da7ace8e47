/* The derivation of weights that are rounded to a grid in each pass, with gradients straight through the rounding
 * (nibble_train.h: nb_train_rounding). */
#ifndef NB_WEIGHT_ROUNDING_H
#define NB_WEIGHT_ROUNDING_H

#include "derive.h"
#include "weight_grid.h"

/* Fills in the derivation. grid must outlive it. */
void nb_weight_rounding(nb_derivation *d, const nb_weight_grid *grid, float rate);

/* Chooses steps and minima for the current weights. */
void nb_weight_rounding_fit(const nb_derivation *d, nb_pool *pool);

/* The steps of a superblock of a row, rounded to what the grid's type can store. */
void nb_weight_rounding_steps(const nb_derivation *d, uint32_t row, uint32_t superblock, nb_group_step *out);

#endif
