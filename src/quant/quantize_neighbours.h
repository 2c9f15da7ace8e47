/* The neighbours (quantize.h) of types with a grid: made when a type is first asked for, and kept. */
#ifndef NB_QUANTIZE_NEIGHBOURS_H
#define NB_QUANTIZE_NEIGHBOURS_H

#include "quantize.h"

/* All zero: none yet. */
typedef struct nb_grids {
    void *neighbours[NB_TYPE_LIMIT]; /* owned */
} nb_grids;

void nb_grids_free(nb_grids *grids);

/* What nb_encoding.neighbours is for blocks of the type; NULL for types without a grid. */
int32_t nb_grids_find(nb_grids *grids, uint32_t type, const nb_neighbours **found, nb_error *err);

#endif
