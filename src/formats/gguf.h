/* GGUF v2 and v3 (little-endian): an incremental parser of a header that arrives in pieces.
 * Format: ggml-org/ggml, docs/gguf.md. */
#ifndef NB_GGUF_H
#define NB_GGUF_H

#include "checkpoint.h"

typedef struct nb_gguf {
    uint64_t file_bytes;          /* 0: not known */
    size_t at;                    /* everything before this is parsed */
    uint64_t items_left;          /* of the array of strings being read */
    uint64_t n_values, n_tensors; /* as the header announces */
    uint64_t alignment;
    bool own;  /* written by nibble's converter: it may have nibble's own types */
    int stage; /* gguf.c: enum stage */
} nb_gguf;

/* general.architecture of a model of integers (docs/integer.md), which the engine itself does not run. */
#define NB_INTEGER_ARCHITECTURE "llama-integer"

enum { NB_GGUF_DONE = 0, NB_GGUF_MORE = 1 };

/* Limits on what a header may claim: far above any real file (the largest header seen is a few tens of megabytes), and
 * low enough that a file of unknown size cannot make its reader wait or allocate for ever. */
enum {
    NB_GGUF_MAX_HEADER = 1 << 28, /* bytes */
    NB_GGUF_MAX_VALUES = 1 << 16,
    NB_GGUF_MAX_TENSORS = 1 << 18,
    NB_GGUF_MAX_NAME = 65535, /* bytes of a key (the format's own limit) or of a tensor's name */
    NB_GGUF_MAX_ALIGNMENT = 1 << 20,
    NB_GGUF_ALIGNMENT = 32 /* of tensor data where general.alignment does not say */
};

/* header: the file's first `size` bytes, all of them in each call (they may move between calls). Parsing continues
 * where the last call stopped, so many small pieces cost no more than one large one. Returns NB_GGUF_MORE, or
 * NB_GGUF_DONE when *c is complete (except c->header and header_size, which the caller sets; g->at is the header's
 * size), or an error that names the offset. After an error *c can only be freed.
 *
 * g and c start zeroed, except g->file_bytes. If file_bytes is known, items or tensors that would end past it are an
 * error at once. So leave it 0 to read the header of a file whose tensors are cut off. At the end of an input of
 * unknown size, set file_bytes = size and call once more: what was NB_GGUF_MORE is then NB_ERR_TRUNCATED (but if size
 * is 0 it stays NB_GGUF_MORE). */
int32_t nb_gguf_parse(nb_gguf *g, nb_checkpoint *c, const uint8_t *header, size_t size, nb_error *err);

#endif
