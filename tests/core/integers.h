/* Models of integers, as the tests make them. */
#ifndef NB_INTEGERS_H
#define NB_INTEGERS_H

#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/nibble_integer.h"
#include "../../src/nibble_quantize.h"
#include "check.h"
#include "random.h"

/* Feeds a GGUF in pieces of random sizes. Returns the GGUF of integers, which the caller frees, or NULL and *err. */
static inline uint8_t *test_integers_of(const uint8_t *file, size_t size, size_t *out_size, nb_error *err) {
    uint32_t seed = 9;
    size_t capacity = 2 * size + (1 << 16);
    uint8_t *out = nb_alloc(capacity);
    nb_integer_maker *m = nb_integer_maker_new(err);
    int32_t code = m ? NB_OK : err->code;
    *out_size = 0;
    for (size_t at = 0; at < size && code == NB_OK;) {
        size_t room, ready;
        uint8_t *space = nb_integer_maker_space(m, &room);
        size_t n = 1 + test_random(&seed) % 9000;
        n = NB_MIN(NB_MIN(n, room), size - at);
        if (!n)
            break;
        memcpy(space, file + at, n);
        at += n;
        code = nb_integer_maker_commit(m, n, err);
        const uint8_t *bytes = nb_integer_maker_take(m, &ready);
        if (code == NB_OK && ready && CHECK(*out_size + ready <= capacity, "more bytes than the test has room for")) {
            memcpy(out + *out_size, bytes, ready);
            *out_size += ready;
        }
    }
    if (code == NB_OK)
        code = nb_integer_maker_end(m, err);
    nb_integer_maker_free(m);
    if (code == NB_OK)
        return out;
    nb_free(out);
    return NULL;
}

#endif
