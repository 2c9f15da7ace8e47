/* A bounds-checked reader for untrusted bytes. A read past the end gives zero and sets is_short, so callers
 * check is_short once, after a group of reads. */
#ifndef NB_CURSOR_H
#define NB_CURSOR_H

#include "text.h"

typedef struct nb_cursor {
    const uint8_t *data;
    size_t size;
    size_t at;
    bool is_short; /* a read went past the end */
} nb_cursor;

static inline nb_cursor nb_cursor_over(const uint8_t *data, size_t size, size_t at) {
    return (nb_cursor){data, size, at, at > size};
}

/* The next n bytes. Past the end: NULL, and is_short is set. */
static inline const uint8_t *nb_cursor_bytes(nb_cursor *c, uint64_t n) {
    if (c->is_short || n > c->size - c->at) {
        c->is_short = true;
        return NULL;
    }
    const uint8_t *p = c->data + c->at;
    c->at += (size_t)n;
    return p;
}

#define NB_CURSOR_READ(name, type)                           \
    static inline type nb_cursor_##name(nb_cursor *c) {      \
        type value = 0;                                      \
        const uint8_t *p = nb_cursor_bytes(c, sizeof(type)); \
        if (p)                                               \
            memcpy(&value, p, sizeof(type)); /* unaligned */ \
        return value;                                        \
    }
NB_CURSOR_READ(u8, uint8_t)
NB_CURSOR_READ(u16, uint16_t)
NB_CURSOR_READ(u32, uint32_t)
NB_CURSOR_READ(u64, uint64_t)
NB_CURSOR_READ(f32, float)
NB_CURSOR_READ(f64, double)
#undef NB_CURSOR_READ

#endif
