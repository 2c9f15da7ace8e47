/* Writes GGUF version 3 (little-endian) into memory. A writer counts all bytes that it is given and stores those that
 * fit, as snprintf does. So the same code measures a file, with a writer of no memory, and then writes it.
 * Format: ggml-org/ggml, docs/gguf.md. */
#ifndef NB_GGUF_WRITER_H
#define NB_GGUF_WRITER_H

#include "checkpoint.h"

typedef struct nb_gguf_writer {
    uint8_t *out; /* NULL: only counts */
    size_t capacity;
    size_t size; /* of all that was put; more than capacity if it did not fit */
} nb_gguf_writer;

void nb_gguf_put(nb_gguf_writer *w, const void *bytes, size_t n);
void nb_gguf_put_u32(nb_gguf_writer *w, uint32_t x);
void nb_gguf_put_u64(nb_gguf_writer *w, uint64_t x);
void nb_gguf_put_text(nb_gguf_writer *w, nb_text text); /* its length in 8 bytes comes first */

/* A file is: a start, the values, the tensors' infos, padding, the tensors' data with padding after each. */
void nb_gguf_put_start(nb_gguf_writer *w, uint64_t n_tensors, uint64_t n_values);
/* A value is a key and its payload, or a copy of a value of a file that was read. */
void nb_gguf_put_key(nb_gguf_writer *w, const char *key, uint32_t type);
void nb_gguf_put_value(nb_gguf_writer *w, const nb_checkpoint *c, const nb_value *v);
/* offset: of the tensor's data, from where the data of the first one begin. */
void nb_gguf_put_tensor(nb_gguf_writer *w, nb_text name, uint32_t type, uint32_t n_dimensions, const uint64_t *shape,
                        uint64_t offset);
void nb_gguf_put_padding(nb_gguf_writer *w); /* zeros up to a multiple of NB_GGUF_ALIGNMENT */

#endif
