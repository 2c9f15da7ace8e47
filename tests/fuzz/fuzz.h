/* What the fuzz targets share: a condition that must hold, a model out of a GGUF's bytes, and a walk through its text. */
#ifndef NB_FUZZ_H
#define NB_FUZZ_H

#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/nibble.h"

static inline void demand(bool holds) {
    if (!holds)
        __builtin_trap();
}

/* NULL with *err filled, or the model of data[size], given in pieces. */
static inline nb_model *fuzz_load(const uint8_t *data, size_t size, size_t piece, uint32_t flags, nb_error *err) {
    *err = (nb_error){0};
    nb_loader *l = nb_loader_new((double)size, flags, err);
    demand(l != NULL);
    int32_t code = NB_OK;
    for (size_t at = 0, n; at < size && code >= 0; at += n) {
        size_t capacity;
        uint8_t *space = nb_loader_space(l, &capacity);
        if (!capacity)
            break;
        n = NB_MIN(NB_MIN(piece, capacity), size - at);
        memcpy(space, data + at, n);
        code = nb_loader_commit(l, n, err);
        demand(code <= 0);
    }
    nb_model *m = code >= 0 ? nb_loader_finish(l, err) : NULL;
    demand(m || (err->code < 0 && err->message[0]));
    nb_loader_free(l);
    return m;
}

/* The text of tokens[n], asked for with room for nothing first: a refusal must consume nothing. */
static inline void fuzz_detokenize(const nb_model *m, uint32_t flags, const int32_t *tokens, int32_t n) {
    nb_error err;
    nb_detokenizer *d = nb_detokenizer_new(m, flags, &err);
    if (!d)
        return;
    for (int32_t i = 0; i < n; i++) {
        int32_t size = nb_detokenizer_push(d, tokens[i], NULL, 0, &err);
        demand(size >= 0);
        char *out = nb_alloc((size_t)size);
        demand(out && (!size || nb_detokenizer_push(d, tokens[i], out, size, &err) == size));
        nb_free(out);
    }
    char rest[16];
    demand(nb_detokenizer_flush(d, rest, sizeof rest) <= (int32_t)sizeof rest);
    nb_detokenizer_free(d);
}

/* Every text becomes tokens of the vocabulary in every way of asking, and these become text. Returns how many tokens the last
 * way gave; the first of them are in tokens[capacity]. */
static inline int32_t fuzz_text(const nb_model *m, const uint8_t *text, size_t size, int32_t *tokens, int32_t capacity) {
    nb_error err;
    int32_t last = 0;
    char *copy = nb_alloc(size); /* ends where the text does */
    demand(copy != NULL);
    if (size)
        memcpy(copy, text, size);
    for (uint32_t flags = NB_TOKENIZE_BARE; flags <= (NB_TOKENIZE_ADD_SPECIAL | NB_TOKENIZE_PARSE_SPECIAL); flags++) {
        int32_t n = nb_tokenize(m, copy, size, flags, NULL, 0, &err);
        if (n < 0)
            continue;
        int32_t *all = nb_alloc((size_t)n * sizeof *all);
        demand(all && nb_tokenize(m, copy, size, flags, all, n, &err) == n);
        for (int32_t i = 0; i < n; i++)
            demand(all[i] >= 0 && all[i] < nb_model_vocabulary(m));
        fuzz_detokenize(m, NB_DETOKENIZE_TEXT, all, n);
        fuzz_detokenize(m, NB_DETOKENIZE_SPECIAL, all, n);
        last = NB_MIN(n, capacity);
        if (last)
            memcpy(tokens, all, (size_t)last * sizeof *all);
        nb_free(all);
    }
    nb_free(copy);
    return last;
}

#endif
