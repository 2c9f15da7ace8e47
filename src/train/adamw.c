#include "adamw.h"

#include "../base/simd.h"
#include "../kernels/ops.h"

#include <math.h>

static const double PI = 3.14159265358979323846;
static const float LEAST_EPSILON = 1e-20f;

/* The largest learning rate and decay. A single step with them leaves weights finite, even if useless: the next loss
 * shows it, and an earlier checkpoint is still good. */
static const float MOST_RATE = 1e6f;

static bool is_within(float x, float least, float most) { /* false of NaN */
    return x >= least && x <= most;
}

int32_t nb_optimizer_check(const nb_train_optimizer *o, nb_error *err) {
    const float most = 0x1.fffffep127f;
    if (!is_within(o->rate, 0, MOST_RATE) || !is_within(o->last_rate, 0, MOST_RATE))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "learning rates are %g and at the end %g; take 0 to 1000000, usual are 0.0001 to 0.01",
                       (double)o->rate, (double)o->last_rate);
    if (!is_within(o->beta1, 0, 0x1.fffffep-1f) || !is_within(o->beta2, 0, 0x1.fffffep-1f))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "AdamW's betas are %g and %g; take 0 or more and less than 1",
                       (double)o->beta1, (double)o->beta2);
    /* The square of a gradient below about 1e-22 is 0 in F32. With a smaller epsilon such a gradient's step would be
     * huge. */
    if (!is_within(o->epsilon, LEAST_EPSILON, most) || !is_within(o->decay, 0, MOST_RATE) ||
        !is_within(o->clip, 0, most))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "epsilon is %g, decay %g and clip %g; take an epsilon from 1e-20 on, a decay from 0 to 1000000 "
                       "and a clip from 0 on",
                       (double)o->epsilon, (double)o->decay, (double)o->clip);
    if (o->steps && o->steps <= o->warmup)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "a warm-up of %u steps leaves nothing of %u steps; take a shorter one",
                       o->warmup, o->steps);
    return NB_OK;
}

double nb_train_rate(const nb_train_optimizer *o, uint32_t step) {
    double rate = (double)o->rate, last = (double)o->last_rate;
    if (step < o->warmup)
        return rate * (step + 1.0) / o->warmup;
    if (!o->steps)
        return rate;
    if (step >= o->steps)
        return last;
    double part = ((double)step - o->warmup) / ((double)o->steps - o->warmup);
    return last + (rate - last) * (1 + cos(PI * part)) / 2;
}

/* ---- norms ----------------------------------------------------------------------------------------------------- */

typedef struct squares {
    const float *x;
    uint64_t n;
    double *partial;
} squares;

static void sum_squares(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count, (void)thread;
    const squares *s = context;
    uint64_t first = index * NB_PIECE, end = NB_MIN(s->n, first + NB_PIECE);
    double sum = 0;
    for (uint64_t i = first; i < end; i++)
        sum += (double)s->x[i] * (double)s->x[i];
    s->partial[index] = sum;
}

double nb_l2_norm(nb_pool *pool, const float *x, uint64_t n, double *partial) {
    squares s = {x, n, partial};
    uint64_t pieces = nb_pieces(n, NB_PIECE);
    nb_parallel(pool, pieces, false, sum_squares, &s);
    double sum = 0;
    for (uint64_t i = 0; i < pieces; i++)
        sum += partial[i];
    return sqrt(sum);
}

/* ---- the step ---------------------------------------------------------------------------------------------------- */

typedef struct update {
    const nb_parameters *p;
    float scale, beta1, beta2, epsilon;
    float keep;                /* 1 - rate decay */
    float first_by, second_by; /* factors of the moments: rate / (1 - b1^t), 1 / (1 - b2^t) */
} update;

/* Four numbers. */
INLINE void update_lanes(const update *u, float *w, float *g, float *m, float *v) {
    v128_t gradient = wasm_f32x4_mul(wasm_v128_load(g), wasm_f32x4_splat(u->scale));
    v128_t first = wasm_f32x4_mul(wasm_v128_load(m), wasm_f32x4_splat(u->beta1));
    v128_t second = wasm_f32x4_mul(wasm_v128_load(v), wasm_f32x4_splat(u->beta2));
    first = nb_madd(gradient, wasm_f32x4_splat(1 - u->beta1), first);
    second = nb_madd(wasm_f32x4_mul(gradient, gradient), wasm_f32x4_splat(1 - u->beta2), second);
    v128_t root = wasm_f32x4_sqrt(wasm_f32x4_mul(second, wasm_f32x4_splat(u->second_by)));
    v128_t change = wasm_f32x4_div(wasm_f32x4_mul(first, wasm_f32x4_splat(u->first_by)),
                                   wasm_f32x4_add(root, wasm_f32x4_splat(u->epsilon)));
    wasm_v128_store(w, wasm_f32x4_sub(wasm_f32x4_mul(wasm_v128_load(w), wasm_f32x4_splat(u->keep)), change));
    wasm_v128_store(g, wasm_f32x4_splat(0));
    wasm_v128_store(m, first);
    wasm_v128_store(v, second);
}

static void update_numbers(const update *u, float *w, float *g, float *m, float *v, uint64_t n) {
    uint64_t i = 0;
    for (; i + 4 <= n; i += 4)
        update_lanes(u, w + i, g + i, m + i, v + i);
    if (i == n)
        return;
    float rest[4][4] = {{0}};
    float *arrays[4] = {w, g, m, v};
    size_t bytes = (size_t)(n - i) * sizeof(float);
    for (int k = 0; k < 4; k++)
        memcpy(rest[k], arrays[k] + i, bytes);
    update_lanes(u, rest[0], rest[1], rest[2], rest[3]);
    for (int k = 0; k < 4; k++)
        memcpy(arrays[k] + i, rest[k], bytes);
}

static void update_block(const update *u, uint64_t i, uint32_t n) {
    float first[NB_MOMENT_BLOCK], second[NB_MOMENT_BLOCK];
    nb_moments_read(&u->p->moments, i, n, first, second);
    update_numbers(u, u->p->weights + i, u->p->gradients + i, first, second, n);
    nb_moments_write(&u->p->moments, i, n, first, second);
}

static void update_piece(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count, (void)thread;
    const update *u = context;
    const nb_parameters *p = u->p;
    const nb_moments *moments = &p->moments;
    uint64_t i = index * NB_PIECE, end = NB_MIN(p->n, i + NB_PIECE); /* whole blocks, as a block divides a piece */
    if (!moments->maps)
        update_numbers(u, p->weights + i, p->gradients + i, moments->first + i, moments->second + i, end - i);
    for (; moments->maps && i < end; i += NB_MOMENT_BLOCK)
        update_block(u, i, (uint32_t)NB_MIN(end - i, (uint64_t)NB_MOMENT_BLOCK));
}

void nb_adamw_step(nb_pool *pool, const nb_train_optimizer *o, uint32_t step, float scale,
                   const nb_parameters *parameters) {
    double rate = nb_train_rate(o, step), t = step + 1.0;
    update u = {
        .p = parameters,
        .scale = scale,
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .epsilon = o->epsilon,
        .keep = parameters->decays ? (float)(1 - rate * (double)o->decay) : 1,
        .first_by = (float)(rate / (1 - pow((double)o->beta1, t))),
        .second_by = (float)(1 / (1 - pow((double)o->beta2, t))),
    };
    nb_parallel(pool, nb_pieces(parameters->n, NB_PIECE), false, update_piece, &u);
}
