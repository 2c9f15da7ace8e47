/* Loads model files, for tests. */
#ifndef NB_LOAD_H
#define NB_LOAD_H

#include "../../src/base/numbers.h"
#include "check.h"
#include "random.h"

/* Feeds `size` of the file's bytes in pieces; NULL and *err if it is refused. piece = 0: random sizes. */
static inline nb_model *test_load_as(uint32_t flags, const uint8_t *bytes, size_t size, double announced, size_t piece,
                                     nb_error *err) {
    uint32_t seed = 5;
    nb_loader *l = nb_loader_new(announced, flags, err);
    size_t at = 0;
    while (at < size) {
        size_t capacity, n = piece ? piece : 1 + test_random(&seed) % 70000;
        uint8_t *space = nb_loader_space(l, &capacity);
        if (!capacity)
            break;
        n = NB_MIN(NB_MIN(n, capacity), size - at);
        memcpy(space, bytes + at, n);
        at += n;
        if (nb_loader_commit(l, n, err) < 0) {
            nb_loader_free(l);
            return NULL;
        }
    }
    nb_model *m = nb_loader_finish(l, err);
    nb_loader_free(l);
    return m;
}

static inline nb_model *test_load(const uint8_t *bytes, size_t size, double announced, size_t piece, nb_error *err) {
    return test_load_as(NB_LOAD_ALL, bytes, size, announced, piece, err);
}

/* The model of a file, by its path; a failed check and NULL if it is refused. */
static inline nb_model *test_load_file(const char *path) {
    nb_error err;
    size_t size;
    uint8_t *file = test_read_all(path, &size);
    nb_model *m = test_load(file, size, 0, 0, &err);
    CHECK(m, "%s: %s", path, err.message);
    nb_free(file);
    return m;
}

/* tokens[n]: any of the model's. */
static inline void test_tokens(int32_t *tokens, int32_t n, const nb_model *m, uint32_t seed) {
    for (int32_t i = 0; i < n; i++)
        tokens[i] = (int32_t)(test_random(&seed) % (uint32_t)nb_model_vocabulary(m));
}

#endif
