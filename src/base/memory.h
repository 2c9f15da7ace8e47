/* Memory: nb_alloc and nb_free (nibble.h), and arenas cut from them.
 *
 * A model and a session each compute their total size first, allocate one block, and divide it up; freeing is one
 * call. */
#ifndef NB_MEMORY_H
#define NB_MEMORY_H

#include "error.h"

#include <stdbool.h>

/* While allocation is forbidden, nb_alloc traps in the native build. This guards the token loop, which must not
 * allocate. */
#ifdef NB_NATIVE
void nb_forbid_allocation(bool forbidden);
/* For tests of running out of memory: the nth call of nb_alloc from now on returns NULL (0: none does). Returns how
 * many calls were still left until the failure set before, or 0 if that has happened. */
uint64_t nb_refuse_allocation(uint64_t nth);
#else
static inline void nb_forbid_allocation(bool forbidden) {
    (void)forbidden;
}
#endif

/* nb_alloc(count * size); NULL also if the product overflows. */
void *nb_alloc_items(uint64_t count, uint64_t size);

/* The largest allocation for which addresses are free now. The engine may still grant less. */
uint64_t nb_memory_left(void);

/* For messages: in units of 2^20 bytes. */
uint32_t nb_megabytes(uint64_t bytes);

/* NB_ERR_MEMORY, with a message that says how many bytes were needed and how many are left. */
int32_t nb_memory_refuse(const char *what, uint64_t bytes, nb_error *err);

typedef struct nb_arena {
    uint8_t *base; /* NULL while measuring */
    uint64_t size;
    uint64_t used; /* a multiple of 64; while measuring it may exceed any memory */
    bool failed;   /* the size overflowed 64 bits, or the arena was too small */
} nb_arena;

/* An arena is used in two passes over the same code. While base is NULL, nb_arena_take only adds up sizes and returns
 * NULL. Then nb_arena_reserve or nb_arena_allocate allocates the total, and in the second pass nb_arena_take returns
 * addresses. count * size is checked for overflow. */
void *nb_arena_take(nb_arena *arena, uint64_t count, uint64_t size);
/* Uninitialized, for large arenas: the first write to a page costs microseconds, and a page that is never written
 * costs nothing. */
int32_t nb_arena_reserve(nb_arena *arena, const char *what, nb_error *err);
int32_t nb_arena_allocate(nb_arena *arena, const char *what, nb_error *err); /* zeroed */
void nb_arena_free(nb_arena *arena);

/* Grows a zeroed array by doubling: afterwards *items has room for more than `count` items. */
int32_t nb_grow(void **items, uint64_t *capacity, uint64_t count, size_t item_size, const char *what, nb_error *err);

/* Gives a buffer for a file's bytes a larger capacity; its first `filled` bytes stay. */
int32_t nb_enlarge(uint8_t **buffer, size_t *capacity, size_t filled, uint64_t larger, nb_error *err);

#endif
