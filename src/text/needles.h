/* Multi-pattern search: names that are searched for at every place of a text. */
#ifndef NB_NEEDLES_H
#define NB_NEEDLES_H

#include "../nibble.h"

#include <stdbool.h>

typedef struct nb_needle {
    uint32_t at, size; /* bytes of the name */
    int32_t token;
} nb_needle;

typedef struct nb_needles {
    const uint8_t *bytes; /* all names lie in it */
    nb_needle *items;     /* [n], sorted by their names, each name once */
    uint32_t n;
    uint8_t starts[8192]; /* bit a | b << 8: some name starts with the bytes a, b */
} nb_needles;

/* Sorts items[n], which may be in any order, and fills `starts`. Of several tokens with the same name, the one with the
 * highest token number stays. */
int32_t nb_needles_sort(nb_needles *s, nb_error *err);

/* Whether a name may start at text[at]. At the text's last byte, where only a name of one byte can match, the next byte
 * is taken to be 0: a name of one byte has its bit set for every next byte. */
static inline __attribute__((always_inline)) bool nb_needle_may_start(const nb_needles *s, const uint8_t *text,
                                                                      size_t at, size_t size) {
    uint32_t a = text[at], b = at + 1 < size ? text[at + 1] : 0;
    return s->starts[(a | b << 8) >> 3] >> (a & 7) & 1;
}

/* Lists the names that a text begins with, the shortest first. */
typedef struct nb_needle_walk {
    const nb_needles *set;
    const uint8_t *text;
    size_t n;
    uint32_t low, high, depth; /* items[low ... high) begin with the text's first `depth` bytes */
} nb_needle_walk;

static inline nb_needle_walk nb_needle_walk_of(const nb_needles *s, const uint8_t *text, size_t n) {
    return (nb_needle_walk){.set = s, .text = text, .n = n, .high = s->n};
}

const nb_needle *nb_needle_next(nb_needle_walk *walk); /* NULL: no more */

/* The longest name that text[n] begins with, or NULL. */
const nb_needle *nb_needles_longest(const nb_needles *s, const uint8_t *text, size_t n);

#endif
