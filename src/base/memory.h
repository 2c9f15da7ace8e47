/* Memory: nb_alloc and nb_free (nibble.h), and arenas cut from them.
 *
 * A model and a session each compute their whole size first, take one block, and cut it up; freeing is one call. */
#ifndef NB_MEMORY_H
#define NB_MEMORY_H

#include "error.h"

#include <stdbool.h>

/* While forbidden, the native build traps on nb_alloc: the token loop allocates nothing, and this keeps it so. */
#ifdef NB_NATIVE
void nb_forbid_allocation(bool forbidden);
/* The tests' way to see what happens where memory ends: of the calls of nb_alloc from now on the nth returns NULL;
 * 0: none. Returns 0, or how many calls there still were until the refusal that was asked for before. */
uint64_t nb_refuse_allocation(uint64_t nth);
#else
static inline void nb_forbid_allocation(bool forbidden) {
    (void)forbidden;
}
#endif

/* nb_alloc of so many items; NULL, too, where there is no such size. */
void *nb_alloc_items(uint64_t count, uint64_t size);

/* Bytes that an allocation may have at most now: of addresses that nobody has. The engine may give less. */
uint64_t nb_memory_left(void);

/* For messages: in units of 2^20 bytes. */
uint32_t nb_megabytes(uint64_t bytes);

/* NB_ERR_MEMORY, in a sentence: so many bytes were wanted, and how many there are. */
int32_t nb_memory_refuse(const char *what, uint64_t bytes, nb_error *err);

typedef struct nb_arena {
    uint8_t *base; /* NULL while measuring */
    uint64_t size;
    uint64_t used; /* a multiple of 64; while measuring it may be more than any memory has */
    bool failed;   /* not even 64 bits hold the size, or the arena was too small */
} nb_arena;

/* Two passes over the same code: with base = NULL nb_arena_take only counts (and returns NULL); after nb_arena_reserve
 * or nb_arena_allocate, where the counting starts anew, it hands out the addresses. count * size is checked. */
void *nb_arena_take(nb_arena *arena, uint64_t count, uint64_t size);
/* For what is large: as it comes. A page of memory that nobody writes to costs nothing; its first byte,
 * microseconds. */
int32_t nb_arena_reserve(nb_arena *arena, const char *what, nb_error *err);
int32_t nb_arena_allocate(nb_arena *arena, const char *what, nb_error *err); /* zeroed */
void nb_arena_free(nb_arena *arena);

/* A zeroed array that grows by doubling: items[count] after the call, with room for one more at least. */
int32_t nb_grow(void **items, uint64_t *capacity, uint64_t count, size_t item_size, const char *what, nb_error *err);

/* Gives a buffer for a file's bytes a larger capacity; its first `filled` bytes stay. */
int32_t nb_enlarge(uint8_t **buffer, size_t *capacity, size_t filled, uint64_t larger, nb_error *err);

#endif
