#include "grids.h"

#include "../base/memory.h"
#include "../types/traits.h"

void nb_grids_free(nb_grids *grids) {
    for (uint32_t type = 0; type < NB_TYPE_LIMIT; type++)
        nb_free(grids->neighbours[type]);
}

int32_t nb_grids_find(nb_grids *grids, uint32_t type, const nb_neighbours **found, nb_error *err) {
    size_t bytes = nb_neighbours_bytes(type);
    *found = NULL;
    if (!bytes)
        return NB_OK;
    if (!grids->neighbours[type]) {
        void *memory = nb_alloc(bytes);
        if (!memory)
            return NB_FAIL(err, NB_ERR_MEMORY, "no memory for the grid of type %s (%z bytes)", nb_traits_of(type)->name,
                           bytes);
        nb_neighbours_fill(memory, type);
        grids->neighbours[type] = memory;
    }
    *found = grids->neighbours[type];
    return NB_OK;
}
