#include "threads.h"

#include "memory.h"
#include "numbers.h"

/* A parallel loop is a job. Its chunks are divided into one queue for each thread. A queue has neighbouring chunks, so
 * that a thread reads memory in order. (When two threads took turns along a matrix, each lost a quarter of its time,
 * because its reads jumped every few microseconds.) A thread whose queue is empty runs chunks of the other queues
 * (work stealing).
 *
 * A product with a single token takes some tens of microseconds, and moving a cache line between cores takes up to half
 * a microsecond. So the caller publishes a job by writing one cache line, and each queue has a line of its own, which
 * mostly stays with its thread:
 *
 *     job       one a pool:   number of the job (44 bits) | its number of chunks (20)
 *     ticket    one a queue:  number of the job last claimed from (44 bits) | chunks of it that are claimed (20)
 *
 * A thread claims a chunk by a compare-and-swap of the ticket, which fails if another thread was faster. If the ticket
 * has the number of an earlier job, no chunk of this job is claimed yet. A late thread can never run a chunk of the
 * wrong job: the queues of its own job are exhausted, or have a later number. No barrier is needed: a job is over when
 * its last chunk is done. So `function`, `context` and `n_calls` may be read after claiming, as the job is not over
 * before the claimed chunk is done. 44 bits last for years. */

/* SPIN: how often a thread looks for work, or for the end of a job, before it sleeps. */
enum { STACK_BYTES = 256 << 10, GUARD_BYTES = 64, SPIN = 20000 };
/* Of adapt_to_busy_cores. Only jobs of JUDGED_CHUNKS or more are judged, ROUND of them in a round. After a round
 * without gain, MIN_SERIAL to MAX_SERIAL jobs are run serially. */
enum { JUDGED_CHUNKS = 8, ROUND = 16, MAX_SERIAL = 2048, MIN_SERIAL = 32 };
static const uint8_t GUARD = 0xA5;

#define COUNT_BITS 20
#define COUNT_OF(word) ((uint32_t)(word) & ((1u << COUNT_BITS) - 1))
#define NUMBER_OF(word) ((word) >> COUNT_BITS)
_Static_assert(NB_MAX_CHUNKS < 1 << COUNT_BITS, "a job's number begins where its chunks end");

typedef struct queue {
    _Alignas(64) uint64_t ticket;
} queue;

#ifdef NB_NATIVE
#include <pthread.h>
#include <sched.h>
typedef struct start {
    nb_pool *pool;
    int32_t worker;
    pthread_t thread;
} start;
#endif

struct nb_pool {
    /* used by the caller only */
    uint32_t due;              /* what `done` will be when the current job is over */
    uint32_t judged, unshared; /* short jobs of this round, and those that gained nothing from threads */
    uint32_t serial;           /* short jobs that the caller still runs serially */
    uint32_t next_serial;      /* how many it will run serially after the next round without gain */
    /* [n_threads - 1, STACK_BYTES]; the lowest GUARD_BYTES of each must stay as they are */
    uint8_t *stacks;
    /* the caller writes, and idle workers watch */
    _Alignas(64) uint64_t job;
    nb_chunk_function function;
    void *context;
    uint64_t n_calls; /* of the function: more than there are chunks, if there are more than NB_MAX_CHUNKS */
    int32_t n_threads;
    queue *queues; /* [n_threads] */
    /* workers write, and the caller watches */
    _Alignas(64) uint32_t done;     /* chunks that workers have done, over all jobs */
    uint32_t caller_sleeps;         /* 1: a worker that has done chunks must wake the caller */
    _Alignas(64) uint32_t sleepers; /* workers that sleep, or are about to */
    uint32_t stopped;
#ifdef NB_NATIVE
    start starts[NB_MAX_THREADS]; /* of each worker; that of the caller is unused */
    int32_t started;              /* how many workers have a thread */
#endif
};

#if defined(__wasm__) && defined(NB_THREADS)
/* Not inlined, because of a bug in the first compiler tier of V8 11.3 (Node 20): if the address is a sum, it waits at
 * address 0, where nobody wakes it. In a function of its own the address is an argument. */
static __attribute__((noinline)) void sleep_while(uint32_t *word, uint32_t value) {
    __builtin_wasm_memory_atomic_wait32((int32_t *)word, (int32_t)value, -1);
}
static void wake_all(uint32_t *word) {
    __builtin_wasm_memory_atomic_notify((int32_t *)word, 0xffffffffu);
}
#elif defined(NB_NATIVE)
/* The native build is for tests: yielding needs no wake-up, so none can be missed. */
static void sleep_while(const uint32_t *word, uint32_t value) {
    if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value)
        sched_yield();
}
static void wake_all(const uint32_t *word) {
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

/* The first chunk of a queue. For the queue after the last one: the number of chunks. */
static uint32_t first_of(uint32_t count, int32_t queue, int32_t n_queues) {
    return nb_share(count, (uint32_t)queue, (uint32_t)n_queues);
}

/* Claims the next chunk of a queue that has `count` of them in this job; false: none is left. */
static bool claim(queue *q, uint64_t number, uint32_t count, uint32_t *index) {
    uint64_t ticket = __atomic_load_n(&q->ticket, __ATOMIC_SEQ_CST);
    do {
        *index = NUMBER_OF(ticket) == number ? COUNT_OF(ticket) : 0;
        if (NUMBER_OF(ticket) > number || *index >= count)
            return false;
    } while (!__atomic_compare_exchange_n(&q->ticket, &ticket, number << COUNT_BITS | (*index + 1), false,
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return true;
}

static void run_chunk(const nb_pool *pool, uint64_t chunk, uint64_t count, int32_t thread) {
    uint64_t calls = pool->n_calls;
    if (calls == count) {
        pool->function(pool->context, chunk, count, thread);
        return;
    }
    for (uint64_t i = calls * chunk / count; i < calls * (chunk + 1) / count; i++)
        pool->function(pool->context, i, calls, thread);
}

/* Runs chunks of a job until none is left, those of the thread's own queue first. Returns how many it ran. */
static uint32_t run_chunks(nb_pool *pool, uint64_t job, int32_t thread) {
    uint32_t all = 0, count = COUNT_OF(job);
    for (int32_t i = 0; i < pool->n_threads; i++) {
        int32_t q = (thread + i) % pool->n_threads;
        uint32_t first = first_of(count, q, pool->n_threads), size = first_of(count, q + 1, pool->n_threads) - first;
        uint32_t index, ran = 0;
        while (claim(&pool->queues[q], NUMBER_OF(job), size, &index)) {
            run_chunk(pool, first + index, count, thread);
            ran++;
        }
        if (ran && thread) {
            __atomic_fetch_add(&pool->done, ran, __ATOMIC_SEQ_CST);
            if (__atomic_load_n(&pool->caller_sleeps, __ATOMIC_SEQ_CST))
                wake_all(&pool->done);
        }
        all += ran;
    }
    return all;
}

/* The half of the job's word that changes with each job: idle workers wait on it. */
static uint32_t *watched(nb_pool *pool) {
    return (uint32_t *)&pool->job;
}

static uint64_t publish(nb_pool *pool, uint32_t count) {
    uint64_t job = (NUMBER_OF(pool->job) + 1) << COUNT_BITS | count;
    __atomic_store_n(&pool->job, job, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&pool->sleepers, __ATOMIC_SEQ_CST))
        wake_all(watched(pool));
    return job;
}

/* While other programs use the cores, two threads of the pool may have to share one core for seconds. Then one runs a
 * whole short job before the other gets the core, and waking the other costs more than the job. Or a thread loses its
 * core within a chunk, and the rest wait longer than the job takes. So short jobs are judged in rounds. If half of a
 * round or more gained nothing from threads, the caller runs the next short jobs serially, while the workers sleep and
 * leave it a core of its own. After each such round it runs twice as many serially, as other programs tend to stay. A
 * later round notices that they are gone. Long jobs gain from threads in any case. */
static void adapt_to_busy_cores(nb_pool *pool, bool was_shared) {
    pool->unshared += !was_shared;
    if (++pool->judged < ROUND)
        return;
    if (pool->unshared < ROUND / 2) {
        pool->next_serial = NB_MAX(pool->next_serial / 2, MIN_SERIAL);
    } else {
        pool->serial = pool->next_serial;
        pool->next_serial = NB_MIN(2 * pool->next_serial, MAX_SERIAL);
    }
    pool->judged = pool->unshared = 0;
}

static bool runs_serially(nb_pool *pool, uint64_t count, bool is_short) {
    if (!pool || pool->n_threads == 1 || count <= 1)
        return true;
    if (!is_short || !pool->serial)
        return false;
    pool->serial--;
    return true;
}

/* The workers' stacks have no guard page: an overflow would silently overwrite the memory below. */
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

void nb_parallel(nb_pool *pool, uint64_t count, bool is_short, nb_chunk_function f, void *context) {
    if (runs_serially(pool, count, is_short)) {
        for (uint64_t i = 0; i < count; i++)
            f(context, i, count, 0);
        return;
    }
    uint32_t chunks = (uint32_t)NB_MIN(count, NB_MAX_CHUNKS);
    pool->function = f;
    pool->context = context;
    pool->n_calls = count;
    uint64_t job = publish(pool, chunks);
    uint32_t own = run_chunks(pool, job, 0);
    pool->due += chunks - own;
    bool in_time = true;
    for (int32_t spin = 0; __atomic_load_n(&pool->done, __ATOMIC_SEQ_CST) != pool->due; spin++)
        if (spin == SPIN) {
            in_time = false;
            __atomic_store_n(&pool->caller_sleeps, 1, __ATOMIC_SEQ_CST);
            /* Workers wake the caller once caller_sleeps is set, so the value to sleep on is read after that. */
            uint32_t done;
            while ((done = __atomic_load_n(&pool->done, __ATOMIC_SEQ_CST)) != pool->due)
                sleep_while(&pool->done, done);
            __atomic_store_n(&pool->caller_sleeps, 0, __ATOMIC_SEQ_CST);
            break;
        }
    if (is_short && chunks >= JUDGED_CHUNKS)
        adapt_to_busy_cores(pool, in_time && own > 0 && own < chunks);
    check_guards(pool);
}

void nb_pool_work(nb_pool *pool, int32_t worker) {
    while (!__atomic_load_n(&pool->stopped, __ATOMIC_SEQ_CST)) {
        uint64_t job = __atomic_load_n(&pool->job, __ATOMIC_SEQ_CST);
        run_chunks(pool, job, worker);
        int32_t spin = 0;
        while (__atomic_load_n(&pool->job, __ATOMIC_SEQ_CST) == job && ++spin < SPIN)
            ;
        if (spin < SPIN)
            continue;
        __atomic_fetch_add(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
        if (!__atomic_load_n(&pool->stopped, __ATOMIC_SEQ_CST))
            sleep_while(watched(pool), (uint32_t)job);
        __atomic_fetch_sub(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
    }
}

int32_t nb_pool_threads(const nb_pool *pool) {
    return pool ? pool->n_threads : 1;
}

void *nb_pool_stack(nb_pool *pool, int32_t worker) {
    /* the upper end, from which a stack grows down: worker 1 has the first of the stacks */
    return worker < 1 || worker >= pool->n_threads ? NULL : pool->stacks + (size_t)worker * STACK_BYTES;
}

#ifdef NB_NATIVE
static void *native_worker(void *argument) {
    start *s = argument;
    nb_pool_work(s->pool, s->worker);
    return NULL;
}
#endif

nb_pool *nb_pool_new(int32_t n_threads, nb_error *err) {
    if (n_threads < 1 || n_threads > NB_MAX_THREADS)
        return NB_FAIL_NULL(err, NB_ERR_ARGUMENT, "%d threads were asked for; use 1 to %d", n_threads,
                            (int32_t)NB_MAX_THREADS);
#ifndef NB_THREADS
    if (n_threads > 1)
        return NB_FAIL_NULL(err, NB_ERR_ARGUMENT, "%d threads were asked for, but this build has one", n_threads);
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
    *pool = (nb_pool){.n_threads = n_threads, .next_serial = MIN_SERIAL, .stacks = memory, .queues = queues};
    memset(queues, 0, (size_t)n_threads * sizeof *queues);
    for (int32_t i = 0; i + 1 < n_threads; i++)
        memset(memory + (size_t)i * STACK_BYTES, GUARD, GUARD_BYTES);
#ifdef NB_NATIVE
    /* If the system gives no more threads, those that started also run the chunks of the other queues. */
    for (int32_t i = 1; i < n_threads; i++) {
        pool->starts[i] = (start){pool, i, 0};
        if (pthread_create(&pool->starts[i].thread, NULL, native_worker, &pool->starts[i]) != 0)
            break;
        pool->started = i;
    }
#endif
    return pool;
}

void nb_pool_stop(nb_pool *pool) {
    if (__atomic_exchange_n(&pool->stopped, 1, __ATOMIC_SEQ_CST))
        return;
    publish(pool, 0);
#ifdef NB_NATIVE
    for (int32_t i = 1; i <= pool->started; i++)
        pthread_join(pool->starts[i].thread, NULL);
#endif
}

void nb_pool_free(nb_pool *pool) {
    if (!pool)
        return;
#ifdef NB_NATIVE
    nb_pool_stop(pool);
#endif
    nb_free(pool->stacks);
    nb_free(pool->queues);
    nb_free(pool);
}
