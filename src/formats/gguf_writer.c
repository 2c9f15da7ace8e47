#include "gguf_writer.h"

#include "gguf.h"

void nb_gguf_put(nb_gguf_writer *w, const void *bytes, size_t n) {
    if (n && w->size <= w->capacity && n <= w->capacity - w->size)
        memcpy(w->out + w->size, bytes, n);
    w->size += n;
}

void nb_gguf_put_u32(nb_gguf_writer *w, uint32_t x) {
    nb_gguf_put(w, &x, sizeof x);
}

void nb_gguf_put_u64(nb_gguf_writer *w, uint64_t x) {
    nb_gguf_put(w, &x, sizeof x);
}

void nb_gguf_put_text(nb_gguf_writer *w, nb_text text) {
    nb_gguf_put_u64(w, text.size);
    nb_gguf_put(w, text.data, text.size);
}

void nb_gguf_put_start(nb_gguf_writer *w, uint64_t n_tensors, uint64_t n_values) {
    nb_gguf_put(w, "GGUF", 4);
    nb_gguf_put_u32(w, 3); /* version */
    nb_gguf_put_u64(w, n_tensors);
    nb_gguf_put_u64(w, n_values);
}

void nb_gguf_put_key(nb_gguf_writer *w, const char *key, uint32_t type) {
    nb_gguf_put_text(w, nb_text_of(key));
    nb_gguf_put_u32(w, type);
}

void nb_gguf_put_value(nb_gguf_writer *w, const nb_checkpoint *c, const nb_value *v) {
    nb_gguf_put_text(w, nb_checkpoint_key(c, v));
    nb_gguf_put_u32(w, v->type);
    if (v->type == NB_VALUE_ARRAY) {
        nb_gguf_put_u32(w, v->item_type);
        nb_gguf_put_u64(w, v->count);
    }
    if (v->type == NB_VALUE_STRING)
        nb_gguf_put_u64(w, v->size);
    nb_gguf_put(w, c->header + v->at, (size_t)v->size);
}

void nb_gguf_put_tensor(nb_gguf_writer *w, nb_text name, uint32_t type, uint32_t n_dimensions, const uint64_t *shape,
                        uint64_t offset) {
    nb_gguf_put_text(w, name);
    nb_gguf_put_u32(w, n_dimensions);
    for (uint32_t i = 0; i < n_dimensions; i++)
        nb_gguf_put_u64(w, shape[i]);
    nb_gguf_put_u32(w, type);
    nb_gguf_put_u64(w, offset);
}

void nb_gguf_put_padding(nb_gguf_writer *w) {
    while (w->size % NB_GGUF_ALIGNMENT)
        nb_gguf_put(w, "", 1);
}
