/* Grids that weights are rounded to in training (nibble_train.h: nb_train_rounding), so that a type of GGUF can store
 * the result exactly.
 *
 * A superblock is the 8 or 16 groups of a row that share d and m in a K type; for other types it is one group here. The
 * steps s and minima z of groups are parameters, or follow from the weights. Before they are used they are rounded to
 * what the type can store:
 *
 *   plain types   s and z in binary16
 *   K types       s_g = d c_g, with d = the largest s of the superblock / the largest code, in binary16, and
 *                 c_g = round(s_g / d); the same for z */
#ifndef NB_WEIGHT_GRID_H
#define NB_WEIGHT_GRID_H

#include "pass.h"

#include "../types/types.h"

enum { NB_MOST_GROUPS = 16 }; /* of a superblock */

typedef struct nb_weight_grid {
    uint32_t method; /* NB_TRAIN_LEARNED or NB_TRAIN_ABSMEAN */
    uint32_t type;   /* of GGUF; NB_TYPE_F32: none */
    int32_t least, most;
    uint32_t group;         /* columns that share a step; 0: all weights of the tensor share one */
    uint32_t in_superblock; /* groups of a superblock; 1 if the type has none */
    int32_t most_scale;     /* of a K type: the largest code of a step or minimum; else 0 */
    bool has_minima;
    bool fits_errors; /* first steps are those with the least error; else LSQ's rule gives them */
} nb_weight_grid;

/* A step and a minimum as the type stores them. For K types also their codes, and the superblock's d and m. */
typedef struct nb_group_step {
    float s, z;
    int32_t scale, minimum;
    float d, m;
} nb_group_step;

/* The grid for a matrix; an error if there is none. */
int32_t nb_weight_grid_of(const nb_train_rounding *rounding, const nb_train_tensor *tensor, nb_weight_grid *grid,
                          nb_error *err);

/* The number of steps of a matrix. It has as many minima, or none. */
uint64_t nb_weight_grid_steps(const nb_weight_grid *grid, uint64_t rows, uint64_t columns);

/* s, z [in_superblock] -> out, rounded to what the type can store. z is NULL if the grid has no minima. */
void nb_weight_grid_round_steps(const nb_weight_grid *grid, const float *s, const float *z, nb_group_step *out);

/* The q of w before rounding. */
static inline float nb_grid_place(const nb_group_step *step, float w) {
    return (w + step->z) / step->s;
}

/* Rounds it to nearest, ties to even, and clips it to least ... most. NaN stays NaN. */
static inline float nb_grid_nearest(const nb_weight_grid *grid, float place) {
    float least = (float)grid->least, most = (float)grid->most;
    place = place < least ? least : place > most ? most : place;
    return place + 0x1.8p23f - 0x1.8p23f; /* floats beyond 2^23 are integers */
}

#endif
