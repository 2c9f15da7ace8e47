#include "weight_rounding.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

/* ---- superblocks ------------------------------------------------------------------------------------------------- */

typedef struct job {
    const nb_derivation *d;
    const nb_weight_grid *grid;
    uint32_t width, superblocks; /* columns of a superblock; superblocks of a row */
    float gradient_scale;        /* of the steps' gradients */
} job;

static job job_of(const nb_derivation *d) {
    const nb_weight_grid *grid = d->context;
    uint32_t width = grid->group ? grid->group * grid->in_superblock : d->columns;
    double shared = grid->group ? grid->group : (double)d->rows * d->columns;
    return (job){d, grid, width, d->columns / width, (float)(1 / sqrt(shared * grid->most))};
}

/* The index of a superblock's first step. */
static size_t step_of(const job *j, uint32_t row, uint32_t superblock) {
    return j->grid->group ? ((size_t)row * j->superblocks + superblock) * j->grid->in_superblock : 0;
}

static size_t minima_at(const job *j) {
    return (size_t)nb_weight_grid_steps(j->grid, j->d->rows, j->d->columns);
}

static void find_steps(const job *j, uint32_t row, uint32_t superblock, nb_group_step *out) {
    const float *s = j->d->own_at + step_of(j, row, superblock);
    nb_weight_grid_round_steps(j->grid, s, j->grid->has_minima ? s + minima_at(j) : NULL, out);
}

void nb_weight_rounding_steps(const nb_derivation *d, uint32_t row, uint32_t superblock, nb_group_step *out) {
    job j = job_of(d);
    find_steps(&j, row, superblock, out);
}

/* ---- first steps, and steps that follow from weights ------------------------------------------------------------- */

typedef struct facts {
    float least, most; /* of the weights and 0 */
    double magnitudes; /* sum of |w| */
    uint64_t n;
} facts;

static facts facts_of(const float *w, uint64_t n) {
    facts f = {.n = n};
    for (uint64_t i = 0; i < n; i++) {
        f.least = NB_MIN(f.least, w[i]);
        f.most = NB_MAX(f.most, w[i]);
        f.magnitudes += (double)fabsf(w[i]);
    }
    return f;
}

/* BitNet b1.58 (Ma et al. 2024, equation 3): the mean magnitude. LSQ (Esser et al. 2020, section 2.1): twice it over
 * sqrt(most). With minima the grid covers all weights. */
static void step_by_rule(const nb_weight_grid *grid, const facts *f, float *s, float *z) {
    double mean = f->magnitudes / (double)f->n;
    *s = (float)(grid->method == NB_TRAIN_ABSMEAN ? mean : 2 * mean / sqrt(grid->most));
    if (!grid->has_minima)
        return;
    *s = (f->most - f->least) / (float)grid->most;
    *z = -f->least;
}

static double error_of(const nb_weight_grid *grid, float s, float z, const float *w, uint64_t n) {
    nb_group_step step = {.s = s, .z = z};
    double sum = 0;
    for (uint64_t i = 0; i < n; i++) {
        double off = (double)(nb_grid_nearest(grid, nb_grid_place(&step, w[i])) * s - z - w[i]);
        sum += off * off;
    }
    return sum;
}

/* Tries steps that cover from 0.3 to 1.2 times the range, and keeps the one with the least sum of squared errors. */
static void step_by_error(const nb_weight_grid *grid, const facts *f, const float *w, uint64_t n, float *s, float *z) {
    enum { FIRST = 6, LAST = 24, WHOLE = 20 };
    float range = grid->has_minima ? (f->most - f->least) / (float)grid->most
                                   : NB_MAX(f->most / (float)grid->most, f->least / (float)grid->least);
    double best = INFINITY;
    for (int i = FIRST; i <= LAST && range > 0; i++) {
        float part = (float)i / WHOLE, low = grid->has_minima ? -f->least * part : 0;
        double error = error_of(grid, range * part, low, w, n);
        if (!(error < best))
            continue;
        best = error;
        *s = range * part;
        if (grid->has_minima)
            *z = low;
    }
}

/* Chooses step `index` and its minimum for n weights. */
static void fit_group(const job *j, const float *w, uint64_t n, size_t index) {
    float *s = j->d->own_at + index, *z = j->grid->has_minima ? s + minima_at(j) : NULL;
    facts f = facts_of(w, n);
    step_by_rule(j->grid, &f, s, z);
    if (j->grid->fits_errors && j->grid->method == NB_TRAIN_LEARNED)
        step_by_error(j->grid, &f, w, n, s, z);
}

static void fit_row(void *context, uint64_t row, uint64_t rows, int32_t thread) {
    (void)rows, (void)thread;
    const job *j = context;
    const float *w = j->d->master + row * j->d->columns;
    size_t index = step_of(j, (uint32_t)row, 0);
    for (uint32_t i = 0; i < j->d->columns; i += j->grid->group)
        fit_group(j, w + i, j->grid->group, index++);
}

void nb_weight_rounding_fit(const nb_derivation *d, nb_pool *pool) {
    job j = job_of(d);
    if (j.grid->group)
        nb_parallel(pool, d->rows, false, fit_row, &j);
    else
        fit_group(&j, d->master, (uint64_t)d->rows * d->columns, 0);
}

/* ---- passes ------------------------------------------------------------------------------------------------------ */

static void round_row(void *context, uint64_t row, uint64_t rows, int32_t thread) {
    (void)rows, (void)thread;
    const job *j = context;
    const float *w = j->d->master + row * j->d->columns;
    float *out = j->d->weights + row * j->d->columns;
    uint32_t n = j->width / j->grid->in_superblock;
    for (uint32_t superblock = 0; superblock < j->superblocks; superblock++) {
        nb_group_step steps[NB_MOST_GROUPS];
        find_steps(j, (uint32_t)row, superblock, steps);
        for (uint32_t g = 0; g < j->grid->in_superblock; g++, w += n, out += n)
            for (uint32_t i = 0; i < n; i++)
                out[i] = nb_grid_nearest(j->grid, nb_grid_place(&steps[g], w[i])) * steps[g].s - steps[g].z;
    }
}

static void forward(const nb_derivation *d, nb_pool *pool) {
    job j = job_of(d);
    if (j.grid->method == NB_TRAIN_ABSMEAN)
        nb_weight_rounding_fit(d, pool);
    nb_parallel(pool, d->rows, false, round_row, &j);
}

/* Adds the gradients of a group's n weights, of its step and of its minimum. */
static void back_group(const job *j, const nb_group_step *step, const float *w, const float *g, uint32_t n, float *d_w,
                       float *d_s, float *d_z) {
    float least = (float)j->grid->least, most = (float)j->grid->most;
    double of_s = 0, of_z = 0;
    for (uint32_t i = 0; i < n; i++) {
        float place = nb_grid_place(step, w[i]), q = nb_grid_nearest(j->grid, place);
        bool is_within = place >= least && place <= most;
        d_w[i] += is_within ? g[i] : 0;
        of_s += (double)(g[i] * (is_within ? q - place : q));
        of_z -= is_within ? 0 : (double)g[i];
    }
    *d_s += (float)(of_s * (double)j->gradient_scale);
    if (d_z)
        *d_z += (float)(of_z * (double)j->gradient_scale);
}

static void back_row(void *context, uint64_t row, uint64_t rows, int32_t thread) {
    (void)rows, (void)thread;
    const job *j = context;
    size_t at = (size_t)row * j->d->columns, step = step_of(j, (uint32_t)row, 0);
    uint32_t n = j->width / j->grid->in_superblock;
    for (uint32_t superblock = 0; superblock < j->superblocks; superblock++) {
        nb_group_step steps[NB_MOST_GROUPS];
        find_steps(j, (uint32_t)row, superblock, steps);
        for (uint32_t g = 0; g < j->grid->in_superblock; g++, at += n, step++) {
            float *d_s = j->d->d_own + step, *d_z = j->grid->has_minima ? d_s + minima_at(j) : NULL;
            back_group(j, &steps[g], j->d->master + at, j->d->gradient + at, n, j->d->d_master + at, d_s, d_z);
        }
    }
}

static void backward(const nb_derivation *d, nb_pool *pool) {
    job j = job_of(d);
    if (j.grid->method == NB_TRAIN_LEARNED && j.grid->group)
        nb_parallel(pool, d->rows, false, back_row, &j);
    else if (j.grid->method == NB_TRAIN_LEARNED) /* one thread, as all rows add to the same step's gradient */
        for (uint32_t row = 0; row < d->rows; row++)
            back_row(&j, row, d->rows, 0);
    else
        for (size_t i = 0; i < (size_t)d->rows * d->columns; i++)
            d->d_master[i] += d->gradient[i];
}

void nb_weight_rounding(nb_derivation *d, const nb_weight_grid *grid, float rate) {
    static const nb_derivation_kind kind = {forward, backward};
    d->kind = &kind;
    d->context = grid;
    d->has_master = true;
    d->own = nb_weight_grid_steps(grid, d->rows, d->columns) << grid->has_minima;
    d->rate = rate;
}
