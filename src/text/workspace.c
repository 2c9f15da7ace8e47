#include "workspace.h"

#include "../base/memory.h"

int32_t nb_workspace_reserve(nb_workspace *w, size_t symbols, nb_error *err) {
    if (symbols <= w->capacity)
        return NB_OK;
    uint64_t capacity = 256;
    while (capacity < symbols)
        capacity *= 2;
    nb_free(w->block);
    w->capacity = 0;
    size_t each = 2 * sizeof *w->heap + sizeof *w->ids + 3 * sizeof *w->next;
    w->block = nb_alloc_items(capacity, each);
    if (!w->block)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory to tokenize a word of %z bytes; pass less text at once", symbols);
    w->heap = w->block; /* at most 2 items for each symbol (nb_merge) */
    w->ids = (int32_t *)(w->heap + 2 * capacity);
    w->previous = (uint32_t *)(w->ids + capacity);
    w->next = w->previous + capacity;
    w->starts = w->next + capacity;
    w->capacity = (size_t)capacity;
    return NB_OK;
}

void nb_workspace_free(nb_workspace *w) {
    nb_free(w->block);
    nb_free(w->text.data);
    nb_free(w->normal[0].data);
    nb_free(w->normal[1].data);
}
