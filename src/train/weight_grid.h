/* Grids that weights are rounded to in training (nibble_train.h: nb_train_rounding), so that a type of GGUF holds the
 * result exactly.
 *
 * A tile of a row is what a block of the type holds: one group, or for the K types the 8 or 16 groups of a
 * superblock. The steps s and minima z of the groups are parameters, or follow from the weights. Before they are used
 * they are rounded to what the type can hold:
 *
 *   plain types   s and z to binary16
 *   K types       s_g = d c_g, with d = the largest s of the superblock / the largest code, in binary16, and
 *                 c_g = round(s_g / d); the same with z */
#ifndef NB_WEIGHT_GRID_H
#define NB_WEIGHT_GRID_H

#include "pass.h"

#include "../types/types.h"

enum { NB_MOST_GROUPS = 16 }; /* of a tile */

typedef struct nb_weight_grid {
    uint32_t method; /* NB_TRAIN_LEARNED or NB_TRAIN_ABSMEAN */
    uint32_t type;   /* NB_TYPE_F32: no type holds it */
    int32_t least, most;
    uint32_t group;     /* columns that share a step; 0: all weights of the tensor share one */
    uint32_t in_tile;   /* groups of a tile: 1, or of a K type's superblock */
    int32_t most_scale; /* of a K type: the largest code of a step or minimum; else 0 */
    bool has_minima;
    bool fits_errors; /* first steps are those of the least error, not of LSQ's rule */
} nb_weight_grid;

/* A step and a minimum as the type holds them. Of a K type also their codes, and d and m, which a tile shares. */
typedef struct nb_group_step {
    float s, z;
    int32_t scale, minimum;
    float d, m;
} nb_group_step;

/* The grid of a matrix of these columns; an error if there is none. */
int32_t nb_weight_grid_of(const nb_train_rounding *rounding, const nb_train_tensor *tensor, nb_weight_grid *grid,
                          nb_error *err);

/* How many steps a matrix has. It has as many minima, or none. */
uint64_t nb_weight_grid_steps(const nb_weight_grid *grid, uint64_t rows, uint64_t columns);

/* s, z [in_tile] -> what the type holds. z is NULL if the grid has no minima. */
void nb_weight_grid_hold(const nb_weight_grid *grid, const float *s, const float *z, nb_group_step *out);

/* Where w lies between the grid's points, in steps. */
static inline float nb_grid_place(const nb_group_step *step, float w) {
    return (w + step->z) / step->s;
}

/* The q of such a place: the nearest whole number within least ... most, ties to even. NaN stays NaN. */
static inline float nb_grid_nearest(const nb_weight_grid *grid, float place) {
    float least = (float)grid->least, most = (float)grid->most;
    place = place < least ? least : place > most ? most : place;
    return place + 0x1.8p23f - 0x1.8p23f; /* beyond 2^23 there are whole numbers only */
}

#endif
