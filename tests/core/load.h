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

#endif
