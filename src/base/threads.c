#include "threads.h"

#include "memory.h"
#include "numbers.h"

/* A job's chunks are cut into one queue for each thread: neighbouring chunks, so that a thread reads on where it stopped. (When
 * two threads took turns along a matrix, each had to find its place in memory anew every few microseconds, which cost a
 * quarter of their time.) Whose queue is empty helps with the others'. One 64-bit ticket publishes a queue and hands out its chunks:
 *
 *     generation (32 bits) | number of chunks (16) | next chunk (16)
 *
 * A thread claims a chunk by adding 1. Because generation, count and index come out of the same atomic operation, a
 * thread that was late can never mistake one job's chunk for another's, so nobody has to wait for all workers to
 * check in or out: a job is over when its last chunk is done. A claimed chunk keeps its job alive, so `function`, `context` and
 * `count` may be read after claiming. A worker overshoots by a few claims a job at most, so the 16 bits hold. */

enum { STACK_BYTES = 256 << 10, GUARD_BYTES = 64, SPIN = 20000 };
enum { FAIR_CHUNKS = 8, ROUND = 16, ALONE = 2048, LEAST_ALONE = 32 };
static const uint8_t GUARD = 0xA5;

#define COUNT_SHIFT 16
#define GENERATION_SHIFT 32

typedef struct queue {
    _Alignas(64) uint64_t ticket; /* on a line of its own: mostly one thread writes it */
} queue;

struct nb_pool {
    int32_t n_threads;
    nb_chunk_function function;
    void *context;
    uint32_t count;               /* chunks of the job at hand */
    uint32_t looked_at, unshared; /* short jobs of this round, and those of them in which nobody helped anybody (see look_at) */
    uint32_t alone, next_alone;   /* short jobs that the caller is still to run alone, and after the next such round */
    /* on lines of their own: threads write these while others poll */
    _Alignas(64) uint32_t generation; /* of the job; what idle workers wait on */
    _Alignas(64) uint32_t done;   /* chunks of this job */
    uint32_t caller_sleeps;
    _Alignas(64) uint32_t sleepers;
    uint32_t stopped;
    queue *queues;                /* [n_threads] */
    uint8_t *stacks;              /* [n_threads - 1, STACK_BYTES]; the lowest GUARD_BYTES of each must stay as they are */
#ifdef NB_NATIVE
    void *handles;
#endif
};

#if defined(__wasm__) && defined(NB_THREADS)
/* Not inlined: where the address is a sum, the first compiler tier of V8 11.3 (Node 20) waits at address 0 instead, and
 * nobody ever wakes that. As a function of its own it gets the address as it is. */
static __attribute__((noinline)) void sleep_while(uint32_t *word, uint32_t value) {
    __builtin_wasm_memory_atomic_wait32((int32_t *)word, (int32_t)value, -1);
}
static void wake_all(uint32_t *word) {
    __builtin_wasm_memory_atomic_notify((int32_t *)word, 0xffffffffu);
}
#elif defined(NB_NATIVE)
#include <pthread.h>
#include <sched.h>
/* The native build exists for tests: yielding is a wait that no wake-up can miss. */
static void sleep_while(uint32_t *word, uint32_t value) {
    if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value)
        sched_yield();
}
static void wake_all(uint32_t *word) {
    (void)word;
}
#else
static void sleep_while(uint32_t *word, uint32_t value) {
    (void)word, (void)value;
}
static void wake_all(uint32_t *word) {
    (void)word;
}
#endif

/* The first chunk of a queue; that of the queue behind the last is the number of chunks. */
static uint32_t first_of(uint32_t count, int32_t queue, int32_t n_queues) {
    return (uint32_t)((uint64_t)count * (uint32_t)queue / (uint32_t)n_queues);
}

static bool is_empty(uint64_t ticket) {
    return (ticket & 0xffff) >= (ticket >> COUNT_SHIFT & 0xffff);
}

/* Claims and runs chunks, first of the thread's own queue, until there is none. Returns how many. */
static uint32_t run_chunks(nb_pool *pool, int32_t thread) {
    uint32_t all = 0;
    for (int32_t i = 0; i < pool->n_threads; i++) {
        int32_t q = (thread + i) % pool->n_threads;
        uint64_t *at = &pool->queues[q].ticket, ticket;
        uint32_t ran = 0, count = 0;
        while (!is_empty(__atomic_load_n(at, __ATOMIC_SEQ_CST)) &&
               !is_empty(ticket = __atomic_fetch_add(at, 1, __ATOMIC_SEQ_CST))) {
            count = pool->count;
            pool->function(pool->context, (int32_t)(first_of(count, q, pool->n_threads) + (ticket & 0xffff)), (int32_t)count, thread);
            ran++;
        }
        if (ran && __atomic_add_fetch(&pool->done, ran, __ATOMIC_SEQ_CST) == count &&
            __atomic_load_n(&pool->caller_sleeps, __ATOMIC_SEQ_CST))
            wake_all(&pool->done);
        all += ran;
    }
    return all;
}

static void publish(nb_pool *pool, uint32_t count) {
    uint32_t generation = pool->generation + 1;
    for (int32_t q = 0; q < pool->n_threads; q++) {
        uint64_t own = first_of(count, q + 1, pool->n_threads) - first_of(count, q, pool->n_threads);
        __atomic_store_n(&pool->queues[q].ticket, (uint64_t)generation << GENERATION_SHIFT | own << COUNT_SHIFT, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&pool->generation, generation, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&pool->sleepers, __ATOMIC_SEQ_CST))
        wake_all(&pool->generation);
}

/* Where threads outnumber the free cores, two of them may sit on one core for seconds, while the other is a neighbour's. Then
 * either runs a whole job before the other gets the core, and being woken for it costs more than a short job; or a thread
 * loses its core amid a chunk, and the rest wait longer than the job is. A thread that never wakes leaves the caller a core
 * of its own. So after a round of short jobs most of which were not shared, the caller runs some of them alone, and more
 * each time, for neighbours stay; a later round finds out when they are gone. Long jobs gain even so. */
static void look_at(nb_pool *pool, bool was_shared) {
    pool->unshared += !was_shared;
    if (++pool->looked_at < ROUND)
        return;
    if (pool->unshared < ROUND / 2) {
        pool->next_alone = NB_MAX(pool->next_alone / 2, LEAST_ALONE);
    } else {
        pool->alone = pool->next_alone;
        pool->next_alone = NB_MIN(2 * pool->next_alone, ALONE);
    }
    pool->looked_at = pool->unshared = 0;
}

static bool runs_alone(nb_pool *pool, int32_t count, bool is_short) {
    if (!pool || pool->n_threads == 1 || count <= 1)
        return true;
    if (!is_short || !pool->alone)
        return false;
    pool->alone--;
    return true;
}

/* Own stacks have no guard page: an overflow would silently destroy what lies below. */
static void check_guards(const nb_pool *pool) {
#ifdef __wasm__
    for (int32_t i = 0; i + 1 < pool->n_threads; i++)
        for (int32_t j = 0; j < GUARD_BYTES; j++)
            if (pool->stacks[(size_t)i * STACK_BYTES + (size_t)j] != GUARD)
                __builtin_trap();
#else
    (void)pool;
#endif
}

void nb_parallel(nb_pool *pool, int32_t count, bool is_short, nb_chunk_function f, void *context) {
    if (runs_alone(pool, count, is_short)) {
        for (int32_t i = 0; i < count; i++)
            f(context, i, count, 0);
        return;
    }
    pool->function = f;
    pool->context = context;
    pool->count = (uint32_t)count;
    __atomic_store_n(&pool->done, 0, __ATOMIC_SEQ_CST);
    publish(pool, (uint32_t)count);
    uint32_t own = run_chunks(pool, 0), done;
    bool enough = true;
    for (int32_t spin = 0; (done = __atomic_load_n(&pool->done, __ATOMIC_SEQ_CST)) != (uint32_t)count; spin++)
        if (spin == SPIN) {
            enough = false;
            __atomic_store_n(&pool->caller_sleeps, 1, __ATOMIC_SEQ_CST);
            /* Only the last chunk wakes the caller, so sleep on the value read after announcing it. */
            while ((done = __atomic_load_n(&pool->done, __ATOMIC_SEQ_CST)) != (uint32_t)count)
                sleep_while(&pool->done, done);
            __atomic_store_n(&pool->caller_sleeps, 0, __ATOMIC_SEQ_CST);
            break;
        }
    if (is_short && count >= FAIR_CHUNKS)
        look_at(pool, enough && own > 0 && own < (uint32_t)count);
    check_guards(pool);
}

void nb_pool_work(nb_pool *pool, int32_t worker) {
    while (!__atomic_load_n(&pool->stopped, __ATOMIC_SEQ_CST)) {
        uint32_t generation = __atomic_load_n(&pool->generation, __ATOMIC_SEQ_CST);
        run_chunks(pool, worker);
        int32_t spin = 0;
        while (__atomic_load_n(&pool->generation, __ATOMIC_SEQ_CST) == generation && ++spin < SPIN)
            ;
        if (spin < SPIN)
            continue;
        __atomic_fetch_add(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
        if (!__atomic_load_n(&pool->stopped, __ATOMIC_SEQ_CST))
            sleep_while(&pool->generation, generation);
        __atomic_fetch_sub(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
    }
}

int32_t nb_pool_threads(const nb_pool *pool) {
    return pool ? pool->n_threads : 1;
}

void *nb_pool_stack(nb_pool *pool, int32_t worker) {
    return worker < 1 || worker >= pool->n_threads ? NULL : pool->stacks + (size_t)worker * STACK_BYTES;
}

#ifdef NB_NATIVE
typedef struct start {
    nb_pool *pool;
    int32_t worker;
    pthread_t thread;
} start;

static void *native_worker(void *argument) {
    start *s = argument;
    nb_pool_work(s->pool, s->worker);
    return NULL;
}
#endif

nb_pool *nb_pool_new(int32_t n_threads, nb_error *err) {
    if (n_threads < 1 || n_threads > NB_MAX_THREADS)
        return NB_FAIL_NULL(err, NB_ERR_ARGUMENT, "%d threads asked for; take 1 to %d", n_threads, (int32_t)NB_MAX_THREADS);
#ifndef NB_THREADS
    if (n_threads > 1)
        return NB_FAIL_NULL(err, NB_ERR_ARGUMENT, "%d threads asked for, but this build has one", n_threads);
#endif
    size_t stacks = (size_t)(n_threads - 1) * STACK_BYTES;
    nb_pool *pool = nb_alloc(sizeof *pool);
    uint8_t *memory = nb_alloc(stacks);
    queue *queues = nb_alloc((size_t)n_threads * sizeof *queues);
    if (!pool || !memory || !queues) {
        nb_free(pool);
        nb_free(memory);
        nb_free(queues);
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory for %d threads", n_threads);
    }
    *pool = (nb_pool){.n_threads = n_threads, .next_alone = LEAST_ALONE, .stacks = memory, .queues = queues};
    memset(queues, 0, (size_t)n_threads * sizeof *queues);
    for (int32_t i = 0; i + 1 < n_threads; i++)
        memset(memory + (size_t)i * STACK_BYTES, GUARD, GUARD_BYTES);
#ifdef NB_NATIVE
    start *starts = nb_alloc((size_t)n_threads * sizeof *starts);
    pool->handles = starts;
    for (int32_t i = 1; i < n_threads; i++) {
        starts[i] = (start){pool, i, 0};
        pthread_create(&starts[i].thread, NULL, native_worker, &starts[i]);
    }
#endif
    return pool;
}

void nb_pool_stop(nb_pool *pool) {
    if (__atomic_exchange_n(&pool->stopped, 1, __ATOMIC_SEQ_CST))
        return;
    publish(pool, 0);
#ifdef NB_NATIVE
    start *starts = pool->handles;
    for (int32_t i = 1; i < pool->n_threads; i++)
        pthread_join(starts[i].thread, NULL);
#endif
}

void nb_pool_free(nb_pool *pool) {
    if (!pool)
        return;
#ifdef NB_NATIVE
    nb_pool_stop(pool);
    nb_free(pool->handles);
#endif
    nb_free(pool->stacks);
    nb_free(pool->queues);
    nb_free(pool);
}
