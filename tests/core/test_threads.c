/* The pool: every chunk runs exactly once, on a thread that exists, before nb_parallel returns; after a time of running
 * jobs serially, the caller shares them again. */
#include "check.h"

#include "../../src/base/memory.h"
#include "../../src/base/threads.h"

enum { CHUNKS = 70000 }; /* more than 16 bits hold: a long context has as many */

typedef struct work {
    uint8_t times[CHUNKS]; /* each chunk's runs */
    int32_t wrong;         /* calls with a count or a thread that cannot be */
    int32_t n_threads;
    uint64_t count;
} work;

static work w;

static void run_chunk(void *context, uint64_t index, uint64_t count, int32_t thread) {
    work *of = context;
    if (count != of->count || index >= count || thread < 0 || thread >= of->n_threads)
        __atomic_fetch_add(&of->wrong, 1, __ATOMIC_SEQ_CST);
    else
        of->times[index]++;
}

static void check_pool(int32_t n_threads) {
    static const uint64_t COUNTS[] = {0, 1, 2, 7, 1000, CHUNKS};
    nb_pool *pool = test_pool_new(n_threads);
    if (!pool)
        return;
    int32_t missed = 0;
    for (int32_t round = 0; round < 300; round++) {
        w = (work){.n_threads = nb_pool_threads(pool), .count = COUNTS[round % 6]};
        nb_parallel(pool, w.count, round % 4 != 0, run_chunk, &w); /* short jobs and long ones */
        for (uint64_t i = 0; i < CHUNKS; i++)
            missed += w.times[i] != (i < w.count);
        missed += w.wrong;
    }
    CHECK(missed == 0, "%d chunks of %d threads were missed, repeated or misnumbered", missed, n_threads);
    test_pool_free(pool);
}

static void count_call(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)thread;
    work *of = context;
    if (count != of->count || index >= count)
        __atomic_fetch_add(&of->wrong, 1, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_add(&of->times[index % CHUNKS], 1, __ATOMIC_SEQ_CST);
}

/* More chunks than a job's word can count. */
static void check_many(void) {
    enum { TIMES = 31 };
    nb_pool *pool = test_pool_new(3);
    w = (work){.count = (uint64_t)TIMES * CHUNKS};
    CHECK(w.count > 2 * (uint64_t)NB_MAX_CHUNKS, "%l are not many", w.count);
    nb_parallel(pool, w.count, false, count_call, &w);
    int32_t missed = w.wrong;
    for (uint64_t i = 0; i < CHUNKS; i++)
        missed += w.times[i] != TIMES;
    CHECK(missed == 0, "of many chunks %d were missed, repeated or misnumbered", missed);
    test_pool_free(pool);
    CHECK(nb_share(131072, 32767, 32768) == 131068 && nb_share(UINT32_MAX, NB_MAX_CHUNKS, NB_MAX_CHUNKS) == UINT32_MAX,
          "shares of large batches: %u, %u", nb_share(131072, 32767, 32768),
          nb_share(UINT32_MAX, NB_MAX_CHUNKS, NB_MAX_CHUNKS));
}

typedef struct hope {
    int32_t patience; /* how often the caller looks whether a worker has come */
    int32_t helped;
} hope;

static void run_hoping(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)index, (void)count;
    hope *h = context;
    if (thread > 0)
        __atomic_store_n(&h->helped, 1, __ATOMIC_SEQ_CST);
    for (int32_t i = 0; i < h->patience && !__atomic_load_n(&h->helped, __ATOMIC_SEQ_CST); i++)
        ;
}

/* Empty jobs are over before a worker wakes, so the caller soon runs them serially. */
static void check_help(void) {
    nb_pool *pool = test_pool_new(2);
    if (!pool || nb_pool_threads(pool) == 1) {
        test_pool_free(pool);
        return;
    }
    hope in_short = {.patience = 10000}, in_long = {.patience = 1 << 28};
    for (int32_t job = 0; job < 5000; job++) {
        w = (work){.n_threads = 2, .count = 64};
        nb_parallel(pool, w.count, true, run_chunk, &w);
    }
    nb_parallel(pool, 64, false, run_hoping, &in_long);
    CHECK(in_long.helped, "a long job is shared whatever short ones were");
    /* Only one job in some thousands tries again, and on a busy machine its worker may come too late: hence so many. */
    for (int32_t job = 0; job < 50000 && !in_short.helped; job++)
        nb_parallel(pool, 64, true, run_hoping, &in_short);
    CHECK(in_short.helped, "short jobs are shared again");
    test_pool_free(pool);
}

#ifdef NB_NATIVE
/* Each allocation fails once: there is no pool then, and an error. */
static void check_memory(void) {
    bool refused = true;
    for (uint64_t nth = 1; refused; nth++) {
        nb_error err = {0};
        nb_refuse_allocation(nth);
        nb_pool *pool = nb_pool_new(2, &err);
        refused = nb_refuse_allocation(0) == 0;
        CHECK(refused ? !pool && err.code == NB_ERR_MEMORY : pool != NULL, "allocation %u: %d, %s", (uint32_t)nth,
              err.code, err.message);
        nb_pool_free(pool);
    }
}
#endif

void test_threads(void) {
    nb_error err;
    for (int32_t n_threads = 1; n_threads <= 8; n_threads *= 2)
        check_pool(n_threads);
    check_help();
    check_many();
    check_pool(2); /* workers that have left one pool serve another */
    CHECK(!nb_pool_new(0, &err) && err.code == NB_ERR_ARGUMENT, "%s", err.message);
    CHECK(!nb_pool_new(NB_MAX_THREADS + 1, &err) && err.code == NB_ERR_ARGUMENT, "%s", err.message);
    nb_pool_free(NULL);
#ifdef NB_NATIVE
    check_memory();
#endif

    w = (work){.n_threads = 1, .count = 3};
    nb_parallel(NULL, 3, false, run_chunk, &w);
    CHECK(w.times[0] == 1 && w.times[1] == 1 && w.times[2] == 1 && !w.wrong, "without a pool");
}
