/* A set of byte strings, numbered in the order in which they were added. */
#ifndef NB_STRINGS_H
#define NB_STRINGS_H

#include "../base/error.h"
#include "../base/text.h"

typedef struct nb_string {
    uint64_t count; /* for the caller */
    uint32_t at, size, hash;
} nb_string;

typedef struct nb_strings {
    nb_string *items; /* [n] */
    uint32_t n;
    uint8_t *bytes; /* [used]: of all strings */
    uint64_t used;
    uint32_t *slots; /* [n_slots]: a hash table, open addressing, at most half full. A string's index + 1; 0: free */
    uint64_t n_slots;
    uint64_t lookups, probes; /* since the table was filled: lookups, and how many other strings they met */
    uint32_t seed;            /* of the hash; it changes when too many strings collide */
    uint64_t item_capacity, byte_capacity;
} nb_strings;

/* Adds the string unless the set has it. *index: the string's number. */
int32_t nb_strings_add(nb_strings *s, nb_text string, uint32_t *index, nb_error *err);
void nb_strings_free(nb_strings *s);

static inline nb_text nb_string_at(const nb_strings *s, uint32_t index) {
    return (nb_text){(const char *)s->bytes + s->items[index].at, s->items[index].size};
}

#endif
