/* The pool: every chunk runs exactly once, on a thread that exists, before nb_parallel returns. */
#include "check.h"

#include "../../src/base/threads.h"

enum { CHUNKS = 1000 };

typedef struct work {
    int32_t times[CHUNKS]; /* each chunk's runs */
    int32_t wrong;         /* calls with a count or a thread that cannot be */
    int32_t n_threads, count;
} work;

static void run_chunk(void *context, int32_t index, int32_t count, int32_t thread) {
    work *w = context;
    if (count != w->count || index < 0 || index >= count || thread < 0 || thread >= w->n_threads)
        __atomic_fetch_add(&w->wrong, 1, __ATOMIC_SEQ_CST);
    else
        w->times[index]++;
}

static void check_pool(int32_t n_threads) {
    static const int32_t COUNTS[] = {0, 1, 2, 7, 64, CHUNKS};
    static work w;
    nb_pool *pool = test_pool_new(n_threads);
    if (!pool)
        return;
    int32_t missed = 0;
    for (int32_t round = 0; round < 300; round++) {
        w = (work){.n_threads = nb_pool_threads(pool), .count = COUNTS[round % 6]};
        nb_parallel(pool, w.count, run_chunk, &w);
        for (int32_t i = 0; i < CHUNKS; i++)
            missed += w.times[i] != (i < w.count);
        missed += w.wrong;
    }
    CHECK(missed == 0, "%d chunks of %d threads were missed, repeated or misnumbered", missed, n_threads);
    test_pool_free(pool);
}

void test_threads(void) {
    nb_error err;
    for (int32_t n_threads = 1; n_threads <= 8; n_threads *= 2)
        check_pool(n_threads);
    check_pool(2); /* workers that have left one pool serve another */
    CHECK(!nb_pool_new(0, &err) && err.code == NB_ERR_ARGUMENT, "%s", err.message);
    CHECK(!nb_pool_new(NB_MAX_THREADS + 1, &err) && err.code == NB_ERR_ARGUMENT, "%s", err.message);
    nb_pool_free(NULL);

    work alone = {.n_threads = 1, .count = 3};
    nb_parallel(NULL, 3, run_chunk, &alone);
    CHECK(alone.times[0] == 1 && alone.times[1] == 1 && alone.times[2] == 1 && !alone.wrong, "without a pool");
}
