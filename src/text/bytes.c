#include "bytes.h"

#include "../base/memory.h"

int32_t nb_bytes_grow(nb_bytes *b, uint64_t bytes, nb_error *err) {
    uint64_t capacity = 256;
    while (capacity < bytes)
        capacity *= 2;
    uint8_t *data = nb_alloc_items(capacity, 1);
    if (!data)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory to tokenize %l bytes; pass less text at once", bytes);
    if (b->used)
        memcpy(data, b->data, b->used);
    nb_free(b->data);
    *b = (nb_bytes){data, b->used, (size_t)capacity};
    return NB_OK;
}

int32_t nb_bytes_append(nb_bytes *b, const void *bytes, size_t size, nb_error *err) {
    NB_TRY(nb_bytes_reserve(b, b->used + size, err));
    if (size)
        memcpy(b->data + b->used, bytes, size);
    b->used += size;
    return NB_OK;
}
