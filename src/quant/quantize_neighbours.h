/* Caches the neighbours (quantize.h) of types with a grid. They are made when a type is first needed. */
#ifndef NB_QUANTIZE_NEIGHBOURS_H
#define NB_QUANTIZE_NEIGHBOURS_H

#include "quantize.h"

/* All zero at first. */
typedef struct nb_grids {
    void *neighbours[NB_TYPE_LIMIT]; /* owned */
} nb_grids;

void nb_grids_free(nb_grids *grids);

/* *found: the neighbours for nb_encoding, or NULL for types without a grid. */
int32_t nb_grids_find(nb_grids *grids, uint32_t type, const nb_neighbours **found, nb_error *err);

#endif
