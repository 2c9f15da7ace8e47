/* Passes bytes from the converter to the loader, for tests and the fuzz target. */
#ifndef NB_DRAIN_H
#define NB_DRAIN_H

#include "../../src/base/numbers.h"
#include "../../src/nibble_convert.h"

/* Gives bytes[n] to the loader. NB_OK, or the loader's first other code. */
static inline int32_t test_feed(nb_loader *l, const uint8_t *bytes, size_t n, nb_error *err) {
    for (size_t capacity, some; n; n -= some, bytes += some) {
        uint8_t *space = nb_loader_space(l, &capacity);
        if (!capacity)
            break;
        some = NB_MIN(n, capacity);
        memcpy(space, bytes, some);
        int32_t code = nb_loader_commit(l, some, err);
        if (code)
            return code;
    }
    return NB_OK;
}

/* Passes what the converter has ready to the loader. NB_OK, or the first other code of either. */
static inline int32_t test_drain(nb_converter *x, nb_loader *l, nb_error *err) {
    const uint8_t *bytes;
    int32_t n, code = NB_OK;
    while (!code && (n = nb_converter_take(x, &bytes, err)) != 0)
        code = n < 0 ? n : test_feed(l, bytes, (size_t)n, err);
    return code;
}

#endif
