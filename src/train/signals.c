#include "signals.h"

#include "../base/random_bits.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

int32_t nb_signals_check(const nb_train_signals *s, nb_signals *signals, nb_error *err) {
    if (s->inputs > NB_TRAIN_AVERAGE || s->inputs == NB_TRAIN_ABSMEAN || s->input_minima > 1 ||
        (s->inputs && (s->input_levels < 3 || s->input_levels > 256)))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "there is no such way to round inputs (method %u, %u numbers, minima %u); take 3 to 256 numbers",
                       s->inputs, s->input_levels, s->input_minima);
    if (!(s->average >= 0 && s->average < 1) || !(s->rate >= 0 && s->rate <= 1e6f))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "moving averages keep %g of the old range, and steps learn at %g times the rate; take 0 to less "
                       "than 1, such as 0.99, and 0 to 10^6",
                       (double)s->average, (double)s->rate);
    if (s->gradient_bits == 1 || s->gradient_bits > 8)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "gradients of %u bits; take 2 to 8, or 0 for F32", s->gradient_bits);
    int32_t levels = s->inputs ? (int32_t)s->input_levels : 0, least = s->input_minima ? 0 : -((levels - 1) / 2);
    *signals = (nb_signals){
        .settings = *s,
        .grid = {.least = least,
                 .most = s->input_minima ? levels - 1 : (levels - 1) / 2,
                 .has_minima = s->input_minima},
    };
    return NB_OK;
}

/* ---- steps of inputs --------------------------------------------------------------------------------------------- */

/* The step whose grid covers low ... high. Zero is a point of the grid (Jacob et al. 2018, section 2.1). If the range
 * is not finite, the step is NaN, and so the loss is, too. */
static nb_group_step covering(const nb_weight_grid *grid, float low, float high) {
    float finite = 0 * (low + high), most = (float)grid->most;
    low = NB_MIN(low, 0), high = NB_MAX(high, 0);
    float s = (grid->has_minima ? high - low : NB_MAX(high, -low)) / most + finite;
    if (s == 0)
        return (nb_group_step){.s = 1};
    return (nb_group_step){.s = s, .z = grid->has_minima ? nb_grid_nearest(grid, -low / s) * s : 0};
}

static void find_range(const float *x, size_t n, float *low, float *high) {
    *low = *high = 0;
    for (size_t i = 0; i < n; i++) {
        *low = NB_MIN(*low, x[i]);
        *high = NB_MAX(*high, x[i]);
    }
}

/* The range is that of the first micro-batch, and then a moving average (Jacob et al. 2018, section 3.1). */
static void move_range(const nb_signals *s, float *range, float low, float high) {
    float keep = range[0] == 0 && range[1] == 0 ? 0 : s->settings.average;
    range[0] = keep * range[0] + (1 - keep) * low;
    range[1] = keep * range[1] + (1 - keep) * high;
}

/* The first step by LSQ's rule (Esser et al. 2020, section 2.1). With minima the grid covers nine tenths of the
 * range. */
static void choose_first(const nb_signals *s, float *own, const float *x, size_t n, float low, float high) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)fabsf(x[i]);
    own[0] = s->grid.has_minima ? 0.9f * (high - low) / (float)s->grid.most
                                : (float)(2 * sum / ((double)n * sqrt(s->grid.most)));
    own[1] = s->grid.has_minima ? -0.9f * low : 0;
}

static void observe(const nb_signals *s, float *own, const float *x, size_t n) {
    float low, high;
    bool learns = s->settings.inputs == NB_TRAIN_LEARNED;
    if (s->settings.inputs == NB_TRAIN_TOKENS || (learns && own[0] != 0))
        return;
    find_range(x, n, &low, &high);
    if (learns)
        choose_first(s, own, x, n, low, high);
    else
        move_range(s, own, low, high);
}

/* A learned step with a lower bound, so that it can grow again. NaN stays NaN. */
static float bounded(float step) {
    const float least = 0x1p-24f;
    return step < least ? least : step;
}

/* The step for a row of x. s = 0: it is not known yet, and nothing is rounded. */
static nb_group_step step_of(const nb_signals *s, const float *own, const float *x, uint32_t columns) {
    float low, high;
    switch (s->settings.inputs) {
    case NB_TRAIN_TOKENS: find_range(x, columns, &low, &high); return covering(&s->grid, low, high);
    case NB_TRAIN_AVERAGE: return own[0] == 0 && own[1] == 0 ? (nb_group_step){0} : covering(&s->grid, own[0], own[1]);
    default: return own[0] == 0 ? (nb_group_step){0} : (nb_group_step){.s = bounded(own[0]), .z = own[1]};
    }
}

/* ---- inputs ------------------------------------------------------------------------------------------------------ */

typedef struct job {
    const nb_signals *signals;
    const nb_input *input;
    const float *x;
    float *d_x;
    uint32_t columns;
    bool adds;
    double *partial;
} job;

static void round_token(void *context, uint64_t token, uint64_t tokens, int32_t thread) {
    (void)tokens, (void)thread;
    const job *j = context;
    size_t at = (size_t)token * j->columns;
    const float *x = j->x + at;
    float *out = j->signals->rounded + at;
    nb_group_step step = step_of(j->signals, j->input->at, x, j->columns);
    if (step.s == 0)
        memcpy(out, x, j->columns * sizeof *x);
    for (uint32_t i = 0; i < j->columns && step.s != 0; i++)
        out[i] = nb_grid_nearest(&j->signals->grid, nb_grid_place(&step, x[i])) * step.s - step.z;
}

const float *nb_input_round(const nb_pass *pass, const nb_input *input, const float *x, uint32_t columns,
                            bool observes) {
    if (!nb_inputs_are_rounded(pass, input))
        return x;
    const nb_signals *s = pass->signals;
    if (observes && s->observes)
        observe(s, input->at, x, (size_t)pass->n * columns);
    job j = {.signals = s, .input = input, .x = x, .columns = columns};
    nb_parallel(pass->pool, pass->n, false, round_token, &j);
    return s->rounded;
}

/* Computes a token's d_x, and in `partial` its terms of the gradients of the step and the minimum. */
static void back_token(void *context, uint64_t token, uint64_t tokens, int32_t thread) {
    (void)tokens, (void)thread;
    const job *j = context;
    const nb_signals *s = j->signals;
    size_t at = (size_t)token * j->columns;
    const float *x = j->x + at, *d = s->d_rounded + at;
    float *out = j->d_x + at, least = (float)s->grid.least, most = (float)s->grid.most;
    nb_group_step step = step_of(s, j->input->at, x, j->columns);
    bool is_inside_all = s->settings.inputs == NB_TRAIN_TOKENS || step.s == 0; /* nothing is clipped */
    double of_s = 0, of_z = 0;
    for (uint32_t i = 0; i < j->columns; i++) {
        float place = is_inside_all ? 0 : nb_grid_place(&step, x[i]), q = nb_grid_nearest(&s->grid, place);
        bool is_within = is_inside_all || (place >= least && place <= most);
        out[i] = (j->adds ? out[i] : 0) + (is_within ? d[i] : 0);
        of_s += (double)(d[i] * (is_within ? q - place : q));
        of_z -= is_within ? 0 : (double)d[i];
    }
    s->partial[2 * token] = of_s;
    s->partial[2 * token + 1] = of_z;
}

void nb_input_back(const nb_pass *pass, const nb_input *input, const float *x, uint32_t columns, float *d_x,
                   bool adds) {
    const nb_signals *s = pass->signals;
    job j = {.signals = s, .input = input, .x = x, .d_x = d_x, .columns = columns, .adds = adds};
    nb_parallel(pass->pool, pass->n, false, back_token, &j);
    if (s->settings.inputs != NB_TRAIN_LEARNED || input->at[0] == 0)
        return;
    double sums[2] = {0}, gradient_scale = 1 / sqrt((double)columns * s->grid.most);
    for (uint32_t i = 0; i < pass->n; i++)
        for (int k = 0; k < 2; k++)
            sums[k] += s->partial[2 * i + (uint32_t)k];
    input->d_at[0] += (float)(sums[0] * gradient_scale);
    if (s->grid.has_minima)
        input->d_at[1] += (float)(sums[1] * gradient_scale);
}

/* ---- gradients --------------------------------------------------------------------------------------------------- */

typedef struct gradient_job {
    const nb_signals *signals;
    const float *d;
    uint32_t rows;
    uint64_t key;
} gradient_job;

/* DoReFa (Zhou et al. 2016, equation 12) for a token's gradient d, with r its largest magnitude and k = 2^bits - 1:
 *     2 r (round(k (d / (2 r) + 1/2) + noise) / k - 1/2),   noise within -1/2 ... 1/2 */
static void round_gradient(void *context, uint64_t token, uint64_t tokens, int32_t thread) {
    (void)tokens, (void)thread;
    const gradient_job *j = context;
    size_t at = (size_t)token * j->rows;
    const float *d = j->d + at;
    float *out = j->signals->gradient + at, r = 0, k = (float)((1 << j->signals->settings.gradient_bits) - 1);
    for (uint32_t i = 0; i < j->rows; i++)
        r = NB_MAX(r, fabsf(d[i]));
    for (uint32_t i = 0; i < j->rows; i++) {
        float place = k * (d[i] / (2 * r) + 0.5f) + (float)(nb_random_fraction(j->key, at + i) - 0.5);
        place = place < 0 ? 0 : place > k ? k : place; /* NaN stays NaN */
        out[i] = r > 0 ? 2 * r * ((place + 0x1.8p23f - 0x1.8p23f) / k - 0.5f) : d[i];
    }
}

const float *nb_gradient_round(const nb_pass *pass, const nb_input *input, const float *d, uint32_t rows) {
    const nb_signals *s = pass->signals;
    if (!s || !s->settings.gradient_bits || !input->id)
        return d;
    gradient_job j = {s, d, rows, nb_random_bits(s->key, input->id)};
    nb_parallel(pass->pool, pass->n, false, round_gradient, &j);
    return s->gradient;
}
