/* The one door to products with a model's matrices. */
#include "session.h"

#include "../kernels/matmul.h"

/* x: [n, columns] in the order that a matrix wants (nb_matrix). */
static const float *ordered(nb_session *s, const float *x, uint32_t n, uint32_t columns, const int32_t *order) {
    if (!order)
        return x;
    for (uint32_t t = 0; t < n; t++, x += columns)
        for (uint32_t i = 0; i < columns; i++)
            s->ordered[(size_t)t * columns + i] = x[order[i]];
    return s->ordered;
}

static void clear(const nb_matmul_job *jobs, uint32_t n_jobs, uint32_t n) {
    for (uint32_t i = 0; i < n_jobs; i++)
        memset(jobs[i].out, 0, (size_t)n * jobs[i].w->rows * sizeof *jobs[i].out);
}

bool nb_session_multiply(nb_session *s, const float *x, uint32_t n, uint32_t columns, const nb_matmul_job *jobs,
                         uint32_t n_jobs) {
    bool all = true;
    for (uint32_t i = 0, end; i < n_jobs; i = end) {
        const int32_t *order = jobs[i].w->order;
        for (end = i + 1; end < n_jobs && jobs[end].w->order == order;)
            end++;
        const float *in = ordered(s, x, n, columns, order);
        if (s->observer.see && !s->observer.see(s->observer.context, jobs + i, end - i, in, n)) {
            clear(jobs + i, end - i, n);
            all = false;
            continue;
        }
        nb_activations_set(&s->activations, in, n, columns);
        nb_matmul(s->pool, &s->activations, jobs + i, end - i, s->matmul_scratch);
    }
    return all;
}
