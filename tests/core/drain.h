/* Passes bytes from the converter to the loader, for tests and the fuzz target. */
#ifndef NB_DRAIN_H
#define NB_DRAIN_H

#include "../../src/base/numbers.h"
#include "../../src/nibble_convert.h"

/* Passes what the converter has ready to the loader. NB_OK, or the first other code of either. */
static inline int32_t test_drain(nb_converter *x, nb_loader *l, nb_error *err) {
    const uint8_t *bytes;
    int32_t n;
    while ((n = nb_converter_take(x, &bytes, err)) > 0)
        for (size_t capacity, some; n; n -= (int32_t)some, bytes += some) {
            uint8_t *space = nb_loader_space(l, &capacity);
            if (!capacity)
                break;
            some = NB_MIN((size_t)n, capacity);
            memcpy(space, bytes, some);
            int32_t code = nb_loader_commit(l, some, err);
            if (code)
                return code;
        }
    return n;
}

#endif
