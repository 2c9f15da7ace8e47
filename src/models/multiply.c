/* All products with a model's matrices. */
#include "adapter.h"

#include "../kernels/matmul.h"
#include "../kernels/ops.h"

/* Gathers the numbers of x [n, columns] that a matrix needs, in its order (nb_matrix): [n, wanted]. */
static const float *ordered(nb_session *s, const float *x, uint32_t n, uint32_t columns, const int32_t *order,
                            uint32_t wanted) {
    if (!order)
        return x;
    for (uint32_t t = 0; t < n; t++, x += columns)
        for (uint32_t i = 0; i < wanted; i++)
            s->ordered[(size_t)t * wanted + i] = x[order[i]];
    return s->ordered;
}

/* Whether two matrices have the same inputs: they have the same order and the same columns of outliers. */
static bool share_inputs(const nb_matrix *a, const nb_matrix *b) {
    const nb_matrix *p = a->outliers, *q = b->outliers;
    if (a->order != b->order || !p != !q || (p && p->columns != q->columns))
        return false;
    return !p || nb_compare(p->order, q->order, p->columns * sizeof *p->order) == 0;
}

/* x with zeros in the columns of outliers, so that the other inputs, which are smaller, are rounded in finer steps. */
static const float *without_outliers(nb_session *s, const float *x, uint32_t n, uint32_t columns,
                                     const nb_matrix *outliers) {
    if (!outliers)
        return x;
    memcpy(s->ordered, x, (size_t)n * columns * sizeof *x);
    for (uint32_t t = 0; t < n; t++)
        for (uint32_t i = 0; i < outliers->columns; i++)
            s->ordered[(size_t)t * columns + (uint32_t)outliers->order[i]] = 0;
    return s->ordered;
}

/* Adds the products with the outliers (outliers.h). Their inputs stay F32. */
static void add_outliers(nb_session *s, const float *x, uint32_t n, uint32_t columns, const nb_matmul_job *job) {
    nb_matrix outliers = nb_matrix_view(job->w->outliers, job->w->first, job->w->rows);
    outliers.scales = job->w->scales;
    const float *in = ordered(s, x, n, columns, outliers.order, outliers.columns); /* [n, outliers.columns] */
    nb_activations_set(&s->activations, in, n, outliers.columns);
    nb_matmul(s->pool, &s->activations, &(nb_matmul_job){&outliers, s->of_outliers}, 1, s->matmul_scratch);
    nb_add_to(job->out, s->of_outliers, (size_t)n * outliers.rows);
}

static void clear(const nb_matmul_job *jobs, uint32_t n_jobs, uint32_t n) {
    for (uint32_t i = 0; i < n_jobs; i++)
        memset(jobs[i].out, 0, (size_t)n * jobs[i].w->rows * sizeof *jobs[i].out);
}

bool nb_session_multiply(nb_session *s, const float *x, uint32_t n, uint32_t columns, const nb_matmul_job *jobs,
                         uint32_t n_jobs) {
    bool all = true;
    for (uint32_t i = 0, end; i < n_jobs; i = end) {
        const nb_matrix *first = jobs[i].w;
        for (end = i + 1; end < n_jobs && share_inputs(jobs[end].w, first);)
            end++;
        const float *all_in = ordered(s, x, n, columns, first->order, columns);
        const float *in = without_outliers(s, all_in, n, columns, first->outliers);
        const nb_observer *o = &s->observer;
        if (o->see && !o->see(o->context, jobs + i, end - i, o->sees_zeros ? in : all_in, n)) {
            clear(jobs + i, end - i, n);
            all = false;
            continue;
        }
        nb_activations_set(&s->activations, in, n, columns);
        nb_matmul(s->pool, &s->activations, jobs + i, end - i, s->matmul_scratch);
        for (; i < end; i++) {
            if (jobs[i].w->outliers)
                add_outliers(s, x, n, columns, &jobs[i]);
            nb_adapters_add(s, x, n, columns, &jobs[i]);
        }
    }
    return all;
}
