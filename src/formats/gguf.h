/* GGUF v2 and v3 (little-endian): a pull parser over a header that arrives in pieces.
 * Format: ggml-org/ggml, docs/gguf.md. */
#ifndef NB_GGUF_H
#define NB_GGUF_H

#include "checkpoint.h"

typedef struct nb_gguf {
    uint64_t file_bytes; /* 0: not known */
    size_t at;           /* everything before this is parsed */
    uint64_t items_left; /* of the array being walked */
    uint64_t n_values, n_tensors; /* as the header announces */
    uint64_t alignment;
    int stage;
} nb_gguf;

enum { NB_GGUF_DONE = 0, NB_GGUF_MORE = 1 };

/* header: the file's first `size` bytes, all of them each time (it may move between calls). Goes on where the last
 * call stopped, so feeding piece by piece costs as much as feeding at once. Returns NB_GGUF_MORE, or NB_GGUF_DONE when
 * *c is complete (but for c->header and header_size, which the caller sets), or an error that names the offset.
 * g starts zeroed but for file_bytes. */
int32_t nb_gguf_parse(nb_gguf *g, nb_checkpoint *c, const uint8_t *header, size_t size, nb_error *err);


#endif
