#define _POSIX_C_SOURCE 200112L /* posix_memalign */ // NOLINT(bugprone-reserved-identifier): POSIX names it so

#include "memory.h"

#include "numbers.h"

enum { ALIGNMENT = 64 };

#ifdef __wasm__

/* First fit over an address-ordered free list with coalescing. There are a few dozen blocks in a process's life, so
 * the simplest allocator is the right one. Every block starts with a header of ALIGNMENT bytes. Only the instance
 * that owns the model allocates, never a worker: no lock. */

typedef struct block {
    size_t size; /* header included; a multiple of ALIGNMENT */
    struct block *next;
} block;

extern uint8_t __heap_base; /* set by the linker */
static block *free_list;
static uintptr_t top; /* everything above was never used */

enum { PAGE = 65536 };

/* A memory of 4 GB ends at 2^32, which no 32-bit pointer can hold: its last page stays unused. */
#define MAX_ADDRESS ((uint64_t)UINT32_MAX + 1 - PAGE)
#define MAX_BYTES (MAX_ADDRESS - 2 * ALIGNMENT)

static void release(block *b) {
    block **link = &free_list;
    while (*link && *link < b)
        link = &(*link)->next;
    b->next = *link;
    *link = b;
    if (b->next && (uint8_t *)b + b->size == (uint8_t *)b->next) {
        b->size += b->next->size;
        b->next = b->next->next;
    }
    if (link != &free_list) {
        block *previous = (block *)((uint8_t *)link - offsetof(block, next));
        if ((uint8_t *)previous + previous->size == (uint8_t *)b) {
            previous->size += b->size;
            previous->next = b->next;
        }
    }
}

static bool extend(size_t bytes) {
    if (!top)
        top = NB_ROUND_UP((uintptr_t)&__heap_base, ALIGNMENT);
    uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) * PAGE, end = (uint64_t)top + bytes;
    if (end > MAX_ADDRESS)
        return false;
    if (end > have && __builtin_wasm_memory_grow(0, (size_t)((end - have + PAGE - 1) / PAGE)) == (uintptr_t)-1)
        return false;
    block *b = (block *)top;
    b->size = bytes;
    top += bytes;
    release(b);
    return true;
}

uint64_t nb_memory_left(void) {
    uint64_t left = MAX_ADDRESS - NB_MAX(top, (uintptr_t)&__heap_base), largest = 0;
    for (const block *b = free_list; b; b = b->next) {
        largest = NB_MAX(largest, b->size);
        if ((uintptr_t)b + b->size == top)
            left += b->size;
    }
    largest = NB_MAX(largest, left);
    return largest - NB_MIN(largest, 2 * ALIGNMENT);
}

void *nb_alloc(size_t bytes) {
    if (bytes > MAX_BYTES)
        return NULL;
    size_t need = NB_ROUND_UP(bytes, (size_t)ALIGNMENT) + ALIGNMENT;
    for (int attempt = 0; attempt < 2; attempt++) {
        block *last = NULL;
        for (block **link = &free_list; *link; link = &(*link)->next) {
            block *b = *link;
            last = b;
            if (b->size < need)
                continue;
            if (b->size - need >= 2 * ALIGNMENT) {
                block *rest = (block *)((uint8_t *)b + need);
                rest->size = b->size - need;
                rest->next = b->next;
                *link = rest;
                b->size = need;
            } else {
                *link = b->next;
            }
            return (uint8_t *)b + ALIGNMENT;
        }
        /* if the last free block ends at the top, only the difference is needed */
        size_t have = last && (uintptr_t)last + last->size == top ? last->size : 0;
        if (attempt || !extend(need - have))
            break;
    }
    return NULL;
}

void nb_free(void *p) {
    if (p)
        release((block *)((uint8_t *)p - ALIGNMENT));
}

#else

#include <stdlib.h>

#define MAX_BYTES (SIZE_MAX / 2)

uint64_t nb_memory_left(void) {
    return MAX_BYTES;
}

/* Static, as the native tests use one session at a time. */
static bool allocation_forbidden;
static uint64_t until_refusal; /* counts down to the call that fails; 0: none does */

void nb_forbid_allocation(bool forbidden) {
    allocation_forbidden = forbidden;
}

uint64_t nb_refuse_allocation(uint64_t nth) {
    uint64_t left = until_refusal;
    until_refusal = nth;
    return left;
}

void *nb_alloc(size_t bytes) {
    if (allocation_forbidden)
        __builtin_trap();
    if (until_refusal && !--until_refusal)
        return NULL;
    /* Not aligned_alloc, whose size must be rounded up: the sanitizers should catch the first byte past the end. */
    void *p = NULL;
    return bytes > MAX_BYTES || posix_memalign(&p, ALIGNMENT, bytes ? bytes : 1) ? NULL : p;
}

void nb_free(void *p) {
    free(p);
}

#endif

void *nb_alloc_items(uint64_t count, uint64_t size) {
    uint64_t bytes = nb_times(count, size);
    return bytes <= SIZE_MAX ? nb_alloc((size_t)bytes) : NULL;
}

void *nb_arena_take(nb_arena *arena, uint64_t count, uint64_t size) {
    uint64_t bytes, end;
    if (!nb_multiply(count, size, &bytes) || bytes > UINT64_MAX - ALIGNMENT ||
        !nb_add(arena->used, NB_ROUND_UP(bytes, (uint64_t)ALIGNMENT), &end) || (arena->base && end > arena->size)) {
        arena->failed = true;
        return NULL;
    }
    uint8_t *p = arena->base ? arena->base + arena->used : NULL;
    if (p) /* defined, so that the whole arena has a checksum */
        memset(p + bytes, 0, (size_t)(end - arena->used - bytes));
    arena->used = end;
    return p;
}

uint32_t nb_megabytes(uint64_t bytes) {
    return (uint32_t)NB_MIN(bytes >> 20, UINT32_MAX);
}

int32_t nb_memory_refuse(const char *what, uint64_t bytes, nb_error *err) {
    uint64_t left = nb_memory_left();
    if (bytes > left)
        return NB_FAIL(err, NB_ERR_MEMORY,
                       "%s: %u MB are needed, and %u MB are left of the %u MB that WebAssembly can address; use a "
                       "smaller model, one with fewer bits, or a smaller context",
                       what, nb_megabytes(bytes), nb_megabytes(left), nb_megabytes(MAX_BYTES));
    return NB_FAIL(err, NB_ERR_MEMORY,
                   "%s: %u MB are needed, and this engine or device gives no more memory; close other pages and "
                   "programs, or use a smaller model, one with fewer bits, or a smaller context",
                   what, nb_megabytes(bytes));
}

int32_t nb_arena_reserve(nb_arena *arena, const char *what, nb_error *err) {
    uint64_t bytes = arena->failed ? UINT64_MAX : arena->used;
    arena->base = bytes <= MAX_BYTES ? nb_alloc((size_t)bytes) : NULL;
    if (!arena->base)
        return nb_memory_refuse(what, bytes, err);
    arena->size = arena->used;
    arena->used = 0;
    return NB_OK;
}

int32_t nb_arena_allocate(nb_arena *arena, const char *what, nb_error *err) {
    NB_TRY(nb_arena_reserve(arena, what, err));
    memset(arena->base, 0, (size_t)arena->size);
    return NB_OK;
}

void nb_arena_free(nb_arena *arena) {
    nb_free(arena->base);
    *arena = (nb_arena){0};
}

int32_t nb_grow(void **items, uint64_t *capacity, uint64_t count, size_t item_size, const char *what, nb_error *err) {
    if (count < *capacity)
        return NB_OK;
    uint64_t wanted = NB_MAX(16, nb_times(count, 2));
    void *grown = nb_alloc_items(wanted, item_size);
    if (!grown)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %l %s", wanted, what);
    memset(grown, 0, (size_t)(wanted * item_size));
    if (*items)
        memcpy(grown, *items, (size_t)(count * item_size));
    nb_free(*items);
    *items = grown;
    *capacity = wanted;
    return NB_OK;
}

int32_t nb_enlarge(uint8_t **buffer, size_t *capacity, size_t filled, uint64_t larger, nb_error *err) {
    uint8_t *bytes = nb_alloc_items(larger, 1);
    if (!bytes)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %l bytes of the file", larger);
    if (filled)
        memcpy(bytes, *buffer, filled);
    nb_free(*buffer);
    *buffer = bytes;
    *capacity = (size_t)larger;
    return NB_OK;
}
