/* Memory for one encoding. It grows as words need it. */
#ifndef NB_WORKSPACE_H
#define NB_WORKSPACE_H

#include "bytes.h"

typedef struct nb_workspace {
    int32_t *ids;              /* of each symbol: its token, or < 0 (merge.h) */
    uint32_t *previous, *next; /* of each symbol: its neighbours (merge.h) */
    uint32_t *starts;          /* of each symbol: where it starts in the word */
    uint64_t *heap;            /* two items for each symbol: pairs that may merge (merge.c) */
    size_t capacity;           /* symbols */
    void *block;               /* owned: holds these arrays */
    nb_bytes text;             /* a word or a text with its added space or ▁ */
    nb_text word;              /* SPM: the word whose symbols are merged */
    nb_bytes normal[2];        /* normalization writes one and reads the other */
    bool stripped;             /* normalization removed white space at the beginning */
} nb_workspace;

/* Makes room for a word of so many symbols. The arrays may lose their content. */
int32_t nb_workspace_reserve(nb_workspace *w, size_t symbols, nb_error *err);
void nb_workspace_free(nb_workspace *w);

#endif
