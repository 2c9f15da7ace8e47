/* The thread pool (nibble.h: nb_pool). A parallel loop is cut into chunks that threads claim one at a time. */
#ifndef NB_THREADS_H
#define NB_THREADS_H

#include "error.h"

#include <stdbool.h>

/* Runs chunk `index` of `count`; `thread` (0: the caller) tells which thread's scratch memory may be used. */
typedef void (*nb_chunk_function)(void *context, int32_t index, int32_t count, int32_t thread);

enum { NB_MAX_THREADS = 64, NB_MAX_CHUNKS = (1 << 20) - 1 };

/* Calls f for every chunk 0 ... count-1 and returns when all are done. The caller takes part; it never waits for a
 * worker that has not claimed a chunk. count <= NB_MAX_CHUNKS. is_short: of a lone token, say; while
 * other programs want the cores, too, sharing such a job can take longer than doing it alone. pool = NULL: runs them all here. */
void nb_parallel(nb_pool *pool, int32_t count, bool is_short, nb_chunk_function f, void *context);

int32_t nb_pool_threads(const nb_pool *pool); /* 1 for NULL */

#endif
