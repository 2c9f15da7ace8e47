/* The thread pool (nibble.h: nb_pool). A parallel loop is cut into chunks that threads claim one at a time. */
#ifndef NB_THREADS_H
#define NB_THREADS_H

#include "error.h"

#include <stdbool.h>

/* Runs chunk `index` of `count`; `thread` (0: the caller) tells which thread's scratch memory may be used. */
typedef void (*nb_chunk_function)(void *context, uint64_t index, uint64_t count, int32_t thread);

enum { NB_MAX_THREADS = 64, NB_MAX_CHUNKS = (1 << 20) - 1 };

/* Calls f for every chunk 0 ... count-1 and returns when all are done. The caller takes part; it never waits for a
 * worker that has not claimed a chunk. Of more than NB_MAX_CHUNKS several are claimed at once. count < 2^43.
 * is_short: of a lone token, say; while other programs want the cores, too, sharing such a job can take longer than
 * doing it alone. pool = NULL: runs them all here. */
void nb_parallel(nb_pool *pool, uint64_t count, bool is_short, nb_chunk_function f, void *context);

/* Where share `index` of n items begins, if they are cut into `count` of them; share `count` begins at n. */
static inline uint32_t nb_share(uint32_t n, uint64_t index, uint64_t count) {
    return (uint32_t)(n * index / count);
}

int32_t nb_pool_threads(const nb_pool *pool); /* 1 for NULL */

#endif
