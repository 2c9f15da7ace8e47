/* The thread pool (nibble.h: nb_pool). A parallel loop is divided into chunks, which threads claim one at a time. */
#ifndef NB_THREADS_H
#define NB_THREADS_H

#include "error.h"

#include <stdbool.h>

/* Runs chunk `index` of `count`; `thread` (0: the caller) tells which thread's scratch memory may be used. */
typedef void (*nb_chunk_function)(void *context, uint64_t index, uint64_t count, int32_t thread);

enum { NB_MAX_THREADS = 64, NB_MAX_CHUNKS = (1 << 20) - 1 };

/* Calls f for every chunk 0 ... count-1 and returns when all are done. The caller takes part, and never waits for a
 * worker that has not claimed a chunk. If there are more than NB_MAX_CHUNKS, threads claim several at once.
 * count < 2^43. is_short: all of it takes some tens of microseconds, as with a single token; while other programs use
 * the cores, sharing such a loop can take longer than running it serially. pool = NULL: the caller runs all chunks. */
void nb_parallel(nb_pool *pool, uint64_t count, bool is_short, nb_chunk_function f, void *context);

/* Where share `index` begins if n items are divided into `count` shares; share `count` begins at n. */
static inline uint32_t nb_share(uint32_t n, uint64_t index, uint64_t count) {
    return (uint32_t)(n * index / count);
}

int32_t nb_pool_threads(const nb_pool *pool); /* 1 for NULL */

#endif
