#include "matmul.h"

#include "simd.h"

#define DECLARE(weight, TYPE, form, FORM, isa) void nb_matmul_##weight##_##form##__##isa(const nb_matmul_task *task);
NB_MATMUL_KERNELS_SCALAR(DECLARE)
NB_MATMUL_KERNELS_SIMD128(DECLARE)
NB_MATMUL_KERNELS_RELAXED(DECLARE)

#define ROW(weight, TYPE, form, FORM, isa) \
    {"nb_matmul_" #weight "_" #form "__" #isa, NB_TYPE_##TYPE, NB_FORM_##FORM, nb_matmul_##weight##_##form##__##isa},

const nb_matmul_kernel nb_matmul_kernels[] = {
    NB_MATMUL_KERNELS_SCALAR(ROW) NB_MATMUL_KERNELS_SIMD128(ROW)
#ifdef NB_RELAXED
    NB_MATMUL_KERNELS_RELAXED(ROW)
#endif
    {0}};

const nb_matmul_kernel *nb_matmul_kernel_of(uint32_t type, uint32_t precision) {
    const nb_matmul_kernel *best = NULL;
    for (const nb_matmul_kernel *k = nb_matmul_kernels; k->name; k++)
        if ((k->form != NB_FORM_Q8 || precision == NB_PRECISION_FAST) &&
            (k->type == type || (k->type == NB_TYPE_ANY && (!best || best->type == NB_TYPE_ANY))))
            best = k;
    return best;
}

typedef struct plan {
    const nb_matmul_job *jobs;
    uint32_t n_jobs;
    nb_activations *x;
    float *scratch;
    uint64_t groups; /* of a stretch, over all jobs */
} plan;

/* The jobs' stretches stand in one line; a chunk is a part of it. */
static void run_chunk(void *context, int32_t index, int32_t count, int32_t thread) {
    const plan *p = context;
    uint64_t from = p->groups * (uint32_t)index / (uint32_t)count, to = p->groups * ((uint32_t)index + 1) / (uint32_t)count;
    for (uint32_t i = 0; i < p->n_jobs && from < to; i++) {
        const nb_matrix *w = p->jobs[i].w;
        uint32_t groups = nb_stretch_groups(w);
        if (from < groups) {
            uint64_t end = NB_MIN(to, groups);
            nb_matmul_task task = {
                .w = w,
                .first = (uint32_t)from,
                .groups = (uint32_t)(end - from),
                .x = p->x,
                .out = p->jobs[i].out,
                .scratch = p->scratch + (size_t)thread * 4 * w->columns,
            };
            nb_matmul_kernel_of(w->type, p->x->precision)->run(&task);
            from = end;
        }
        from -= groups;
        to -= groups;
    }
}

void nb_matmul(nb_pool *pool, nb_activations *x, const nb_matmul_job *jobs, uint32_t n_jobs, float *scratch) {
    plan p = {jobs, n_jobs, x, scratch, 0};
    uint64_t work = 0; /* weights times tokens */
    for (uint32_t i = 0; i < n_jobs; i++) {
        nb_activations_quantize(x, nb_matmul_kernel_of(jobs[i].w->type, x->precision)->form, pool);
        p.groups += nb_stretch_groups(jobs[i].w);
        work += (uint64_t)jobs[i].w->rows * x->columns * x->n;
    }
    /* Alone, a chunk is as many rows of a stretch as stay in the first-level cache while all tokens pass over them.
     * Together, each thread has 16 chunks, so that one on a slow core holds the others up for a small part of the job, but
     * none takes less than a microsecond or two, so that claiming them costs nothing, and none much more than 50: at the end
     * of a large matrix, threads wait for half a chunk. */
    enum { CACHED_WEIGHTS = 32 << 10, SMALLEST = 32 << 10, LARGEST = 1 << 20 };
    uint32_t threads = (uint32_t)nb_pool_threads(pool);
    uint64_t chunks = threads == 1 ? 1 : NB_MIN(work / SMALLEST, 16 * (uint64_t)threads);
    if (x->n >= NB_PANEL)
        chunks = NB_MAX(chunks, p.groups * NB_GROUP * x->columns / CACHED_WEIGHTS);
    else if (threads > 1)
        chunks = NB_MAX(chunks, work / LARGEST);
    chunks = NB_MAX(1, NB_MIN(NB_MIN(chunks, p.groups), NB_MAX_CHUNKS));
    nb_parallel(pool, (int32_t)chunks, x->n == 1, run_chunk, &p);
}
