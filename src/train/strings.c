#include "strings.h"

#include "../base/hash.h"
#include "../base/memory.h"
#include "../base/numbers.h"

enum { FIRST_SLOTS = 1024, MOST_STRINGS = 1 << 30 };

static uint32_t hash_of(const nb_strings *s, nb_text string) {
    return nb_hash((uint32_t)(nb_hash_seed(s->seed) >> 32), string.data, string.size);
}

/* The string's slot in the table, or a free slot for it. */
static uint64_t find_slot(nb_strings *s, nb_text string, uint32_t hash) {
    uint64_t mask = s->n_slots - 1, at = hash & mask;
    s->lookups++;
    for (uint32_t entry; (entry = s->slots[at]); at = (at + 1) & mask, s->probes++)
        if (s->items[entry - 1].hash == hash && nb_text_equal(nb_string_at(s, entry - 1), string))
            break;
    return at;
}

/* Enters all strings into the table anew, hashed with the current seed. False: too many collide. */
static bool fill(nb_strings *s) {
    memset(s->slots, 0, (size_t)s->n_slots * sizeof *s->slots);
    s->lookups = s->probes = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        nb_text string = nb_string_at(s, i);
        s->items[i].hash = hash_of(s, string);
        s->slots[find_slot(s, string, s->items[i].hash)] = i + 1;
        if (s->probes > nb_most_probes(s->lookups))
            return false;
    }
    return true;
}

/* Enters all strings with the current seed, or else with the next one that gives few collisions. */
static int32_t fill_with_some_seed(nb_strings *s, nb_error *err) {
    for (; s->seed < NB_HASH_SEEDS; s->seed++)
        if (fill(s))
            return NB_OK;
    return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                   "too many of %u different strings (words or tokens) collide in the hash table, so that training "
                   "would take very long. Ordinary text does not do this: leave out the part that was made to cause it",
                   s->n);
}

static int32_t grow_table(nb_strings *s, nb_error *err) {
    uint64_t wanted = NB_MAX((uint64_t)FIRST_SLOTS, 2 * s->n_slots);
    uint32_t *slots = s->n < MOST_STRINGS ? nb_alloc_items(wanted, sizeof *slots) : NULL;
    if (!slots)
        return NB_FAIL(err, NB_ERR_MEMORY,
                       "no memory for more than %u different strings (words or tokens); take less text", s->n);
    nb_free(s->slots);
    s->slots = slots;
    s->n_slots = wanted;
    return fill_with_some_seed(s, err);
}

/* Makes room for `more` bytes after those in use. */
static int32_t reserve(nb_strings *s, size_t more, nb_error *err) {
    uint64_t wanted = nb_plus(s->used, more);
    if (wanted <= s->byte_capacity)
        return NB_OK;
    uint64_t capacity = NB_MAX((uint64_t)4096, 2 * wanted);
    uint8_t *bytes = wanted <= UINT32_MAX ? nb_alloc_items(capacity, 1) : NULL;
    if (!bytes)
        return NB_FAIL(err, NB_ERR_MEMORY,
                       "no memory for %l bytes of different strings (words or tokens); take less text", wanted);
    if (s->used)
        memcpy(bytes, s->bytes, (size_t)s->used);
    nb_free(s->bytes);
    s->bytes = bytes;
    s->byte_capacity = capacity;
    return NB_OK;
}

int32_t nb_strings_add(nb_strings *s, nb_text string, uint32_t *index, nb_error *err) {
    if (2 * (uint64_t)s->n >= s->n_slots)
        NB_TRY(grow_table(s, err));
    if (s->probes > nb_most_probes(s->lookups)) {
        s->seed++;
        NB_TRY(fill_with_some_seed(s, err));
    }
    uint32_t hash = hash_of(s, string);
    uint64_t slot = find_slot(s, string, hash);
    if (!s->slots[slot]) {
        NB_TRY(reserve(s, string.size, err));
        NB_TRY(nb_grow((void **)&s->items, &s->item_capacity, s->n, sizeof *s->items, "different strings", err));
        memcpy(s->bytes + s->used, string.data, string.size);
        s->items[s->n] = (nb_string){.at = (uint32_t)s->used, .size = (uint32_t)string.size, .hash = hash};
        s->used += string.size;
        s->slots[slot] = ++s->n;
    }
    *index = s->slots[slot] - 1;
    return NB_OK;
}

void nb_strings_free(nb_strings *s) {
    nb_free(s->items);
    nb_free(s->bytes);
    nb_free(s->slots);
    *s = (nb_strings){0};
}
