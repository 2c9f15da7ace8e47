/* A byte buffer that grows. */
#ifndef NB_BYTES_H
#define NB_BYTES_H

#include "../nibble.h"
#include "vocabulary.h"

typedef struct nb_bytes {
    uint8_t *data; /* owned */
    size_t used, capacity;
} nb_bytes;

int32_t nb_bytes_grow(nb_bytes *b, uint64_t bytes, nb_error *err);

/* Makes the capacity at least `bytes`. The content stays. */
static inline int32_t nb_bytes_reserve(nb_bytes *b, uint64_t bytes, nb_error *err) {
    return bytes <= b->capacity ? NB_OK : nb_bytes_grow(b, bytes, err);
}

int32_t nb_bytes_append(nb_bytes *b, const void *bytes, size_t size, nb_error *err);

/* Appends ▁ (U+2581). The capacity must suffice. */
static inline void nb_bytes_put_metaspace(nb_bytes *b) {
    memcpy(b->data + b->used, NB_METASPACE, NB_METASPACE_SIZE);
    b->used += NB_METASPACE_SIZE;
}

#endif
