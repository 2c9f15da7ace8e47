/* A writer of GGUF files for tests, and a function that gives them to the parser. The layout comes from the format's
 * description (ggml-org/ggml, docs/gguf.md). */
#ifndef NB_GGUF_FILES_H
#define NB_GGUF_FILES_H

#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/formats/gguf.h"
#include "check.h"

/* ---- a writer -------------------------------------------------------------------------------------------------- */

typedef struct file {
    uint8_t *data;
    size_t size, capacity;
} file;

static inline file file_new(void) {
    size_t capacity = 1 << 20;
    return (file){nb_alloc(capacity), 0, capacity};
}

static inline void put(file *f, const void *bytes, size_t n) {
    if (n && f->size + n <= f->capacity)
        memcpy(f->data + f->size, bytes, n);
    f->size += n;
}

static inline void put_u32(file *f, uint32_t x) {
    put(f, &x, 4);
}
static inline void put_u64(file *f, uint64_t x) {
    put(f, &x, 8);
}

static inline void put_text(file *f, const char *s) {
    put_u64(f, nb_length(s));
    put(f, s, nb_length(s));
}

static inline void put_start(file *f, uint64_t n_tensors, uint64_t n_values) {
    f->size = 0;
    put(f, "GGUF", 4);
    put_u32(f, 3);
    put_u64(f, n_tensors);
    put_u64(f, n_values);
}

static inline void put_value(file *f, const char *key, uint32_t type, const void *payload, size_t n) {
    put_text(f, key);
    put_u32(f, type);
    put(f, payload, n);
}

static inline void put_array(file *f, const char *key, uint32_t item_type, uint64_t count) {
    put_value(f, key, NB_VALUE_ARRAY, &item_type, 4);
    put_u64(f, count);
}

static inline void put_tensor(file *f, const char *name, uint32_t type, uint64_t offset, uint32_t n_dimensions,
                              const uint64_t *shape) {
    put_text(f, name);
    put_u32(f, n_dimensions);
    for (uint32_t i = 0; i < n_dimensions; i++)
        put_u64(f, shape[i]);
    put_u32(f, type);
    put_u64(f, offset);
}

/* Zeros up to a multiple of `alignment`, and then `bytes` of them. */
static inline void put_data(file *f, size_t alignment, size_t bytes) {
    static const uint8_t zeros[64];
    while (f->size % alignment)
        put(f, zeros, 1);
    for (; bytes; bytes -= NB_MIN(bytes, sizeof zeros))
        put(f, zeros, NB_MIN(bytes, sizeof zeros));
}

static const uint64_t FLAT[] = {64}; /* the shape of a tensor */

/* ---- parsing --------------------------------------------------------------------------------------------------- */

/* Feeds the first `size` bytes in pieces. Each call gets a block of its own that ends where the bytes end, so that the
 * sanitizer notices a read past them, or an address kept from an earlier call. On NB_GGUF_DONE *c owns the last
 * block. */
static inline int32_t parse(const uint8_t *data, size_t size, size_t piece, uint64_t file_bytes, nb_checkpoint *c,
                            nb_error *err) {
    nb_gguf g = {.file_bytes = file_bytes};
    *c = (nb_checkpoint){0};
    *err = (nb_error){0};
    for (size_t n = NB_MIN(piece, size);; n = NB_MIN(n + piece, size)) {
        uint8_t *block = nb_alloc(n);
        if (n)
            memcpy(block, data, n);
        int32_t code = nb_gguf_parse(&g, c, block, n, err);
        if (code != NB_GGUF_MORE || n == size) {
            CHECK(code != NB_GGUF_DONE || g.at <= n, "the parser claims %u of %u bytes", (unsigned)g.at, (unsigned)n);
            c->header = block;
            c->header_size = code == NB_GGUF_DONE ? g.at : n;
            return code;
        }
        nb_free(block);
    }
}

#endif
