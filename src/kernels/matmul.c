#include "matmul.h"

#include "ops.h"
#include "../base/simd.h"

#define DECLARE(weight, TYPE, form, FORM, isa) void nb_matmul_##weight##_##form##__##isa(const nb_matmul_task *task);
NB_MATMUL_KERNELS_SCALAR(DECLARE)
NB_MATMUL_KERNELS_SIMD128(DECLARE)
NB_MATMUL_KERNELS_RELAXED(DECLARE)
NB_MATMUL_KERNELS_DOT(DECLARE)

#define ROW(weight, TYPE, form, FORM, isa) \
    {"nb_matmul_" #weight "_" #form "__" #isa, NB_TYPE_##TYPE, NB_FORM_##FORM, nb_matmul_##weight##_##form##__##isa},

const nb_matmul_kernel nb_matmul_kernels[] = {
    NB_MATMUL_KERNELS_SCALAR(ROW) NB_MATMUL_KERNELS_SIMD128(ROW) NB_MATMUL_KERNELS_RELAXED(ROW)
        NB_MATMUL_KERNELS_DOT(ROW){0},
};

const nb_matmul_kernel *nb_matmul_kernel_of(uint32_t type, uint32_t precision) {
    const nb_matmul_kernel *any = NULL;
    type = nb_kernel_type(type);
    for (const nb_matmul_kernel *k = nb_matmul_kernels + sizeof nb_matmul_kernels / sizeof *k - 1;
         k-- > nb_matmul_kernels;)
        if (k->type == type && (k->form != NB_FORM_Q8 || precision == NB_PRECISION_FAST))
            return k;
        else if (k->type == NB_TYPE_ANY && !any)
            any = k;
    return any;
}

/* What all threads read of a product. On cache lines of its own, to avoid false sharing with the caller's stack. */
typedef struct product {
    _Alignas(64) nb_matmul_job jobs[NB_MATMUL_JOBS];
    const nb_matmul_kernel *kernels[NB_MATMUL_JOBS];
    uint32_t n_jobs;
    uint32_t queues; /* into which the pool divides the chunks; 0: chunks of equal size */
    uint64_t groups; /* of a section, over all jobs */
    float *scratch;
    nb_activations x;
} product;

/* Where chunk `index` begins. The chunks of a queue shrink evenly towards its end (guided scheduling): few of them have
 * to be claimed, and still all threads finish together. */
static uint64_t begin_of(const product *p, uint64_t index, uint64_t count) {
    if (!p->queues)
        return p->groups * index / count;
    uint64_t each = count / p->queues, queue = index / each, left = each - index % each;
    uint64_t from = p->groups * queue / p->queues, to = p->groups * (queue + 1) / p->queues;
    return to - (to - from) * left * left / (each * each);
}

/* The groups of a section are counted over all jobs, one job after the other; a chunk is a range of them. */
static void run_chunk(void *context, uint64_t index, uint64_t count, int32_t thread) {
    const product *p = context;
    uint64_t from = begin_of(p, index, count), to = begin_of(p, index + 1, count);
    for (uint32_t i = 0; i < p->n_jobs && from < to; i++) {
        const nb_matrix *w = p->jobs[i].w;
        uint32_t groups = nb_section_groups(w);
        if (from < groups) {
            uint64_t end = NB_MIN(to, groups);
            p->kernels[i]->run(&(nb_matmul_task){
                .w = w,
                .first = (uint32_t)from,
                .groups = (uint32_t)(end - from),
                .x = &p->x,
                .out = p->jobs[i].out,
                .scratch = p->scratch + (size_t)thread * NB_MATMUL_SCRATCH * w->columns,
            });
            from = end;
        }
        from -= groups;
        to -= groups;
    }
}

void nb_matmul(nb_pool *pool, nb_activations *x, const nb_matmul_job *jobs, uint32_t n_jobs, float *scratch) {
    product p = {.n_jobs = n_jobs, .scratch = scratch};
    uint64_t work = 0; /* weights times tokens */
    for (uint32_t i = 0; i < n_jobs; i++) {
        p.jobs[i] = jobs[i];
        p.kernels[i] = nb_matmul_kernel_of(jobs[i].w->type, x->precision);
        nb_activations_quantize(x, p.kernels[i]->form, pool);
        p.groups += nb_section_groups(jobs[i].w);
        work += (uint64_t)jobs[i].w->rows * x->columns * x->n;
    }
    p.x = *x;
    /* A thread's queue begins with large chunks and ends with one of a group or a few: that takes about the square root
     * of its number of groups, 16 at most. Work of less than a microsecond or two is not shared, as sharing would cost
     * as much. */
    enum { MIN_SHARED = 32 << 10, MAX_A_QUEUE = 16 };
    uint64_t chunks = 1, a_queue = 1;
    uint32_t threads = (uint32_t)nb_pool_threads(pool);
    if (threads > 1 && work >= (uint64_t)threads * MIN_SHARED) {
        while (a_queue < MAX_A_QUEUE && (a_queue + 1) * (a_queue + 1) <= p.groups / threads)
            a_queue++;
        p.queues = threads;
        chunks = NB_MIN(a_queue, NB_MAX_CHUNKS / threads) * threads;
    }
    nb_parallel(pool, chunks, x->n == 1, run_chunk, &p);
    for (uint32_t i = 0; i < n_jobs; i++)
        if (jobs[i].w->scales)
            nb_scale(jobs[i].out, *jobs[i].w->scales, (size_t)x->n * jobs[i].w->rows);
}
