/* A matrix that AutoRound rounds: its grid, its rounding, and the update of its parameters. nibble_train.h has the
 * formulas. Those of codes with scales are auto-round's (quant_tensor_sym and quant_tensor_asym). */
#include "auto_round.h"

#include "../types/code_layout.h"
#include "../types/traits.h"
#include "block_scales.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

/* ---- grids ------------------------------------------------------------------------------------------------------- */

typedef struct typed_rule {
    uint8_t rule, bits;
} typed_rule;

static typed_rule rule_of_type(uint32_t type) {
    switch (type) {
    case NB_TYPE_Q4_0: return (typed_rule){NB_ROUND_SYMMETRIC, 4};
    case NB_TYPE_Q5_0: return (typed_rule){NB_ROUND_SYMMETRIC, 5};
    case NB_TYPE_Q8_0: return (typed_rule){NB_ROUND_MAGNITUDE, 8};
    case NB_TYPE_Q4_1: return (typed_rule){NB_ROUND_MINIMUM, 4};
    case NB_TYPE_Q5_1: return (typed_rule){NB_ROUND_MINIMUM, 5};
    case NB_TYPE_Q2_K: return (typed_rule){NB_ROUND_FROZEN, 2};
    case NB_TYPE_Q3_K: return (typed_rule){NB_ROUND_FROZEN, 3};
    case NB_TYPE_Q4_K: return (typed_rule){NB_ROUND_FROZEN, 4};
    case NB_TYPE_Q5_K: return (typed_rule){NB_ROUND_FROZEN, 5};
    case NB_TYPE_Q6_K: return (typed_rule){NB_ROUND_FROZEN, 6};
    default: return (typed_rule){NB_ROUND_NOT, 0};
    }
}

int32_t nb_auto_round_takes(uint32_t type) {
    uint8_t rule = rule_of_type(type).rule;
    return rule == NB_ROUND_FROZEN ? 2 : rule != NB_ROUND_NOT;
}

static int32_t set_type(nb_rounded_matrix *m, const nb_train_tensor *tensor, const void *blocks, nb_error *err) {
    typed_rule rule = rule_of_type(m->grid.type);
    const nb_traits *traits = nb_traits_of(m->grid.type);
    if (rule.rule == NB_ROUND_NOT)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "%s: AutoRound does not round to the type %s; take Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 or Q2_K to Q6_K",
                       tensor->name, traits ? traits->name : "of that number");
    if (tensor->columns % traits->block_weights)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%s: its rows of %u weights are not whole blocks of %s, which have %u",
                       tensor->name, tensor->columns, traits->name, traits->block_weights);
    if ((rule.rule == NB_ROUND_FROZEN) != (blocks != NULL))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%s: blocks are needed for K types, and for no others", tensor->name);
    m->rule = rule.rule;
    m->group = nb_code_layout_of(m->grid.type)->granule;
    m->least = m->rule == NB_ROUND_MAGNITUDE ? 1 : 0;
    m->most = (1 << rule.bits) - 1;
    return NB_OK;
}

static int32_t set_codes(nb_rounded_matrix *m, const nb_train_tensor *tensor, nb_error *err) {
    const nb_auto_round_grid *g = &m->grid;
    uint32_t group = g->group ? g->group : tensor->columns;
    if (g->bits < 2 || g->bits > 8 || tensor->columns % group || g->symmetric > 1 || g->least_zero > 1)
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "%s: codes of %u bits in groups of %u columns; take 2 to 8, and a divisor of %u", tensor->name,
                       g->bits, g->group, tensor->columns);
    m->rule = g->symmetric ? NB_ROUND_SYMMETRIC : NB_ROUND_ZERO;
    m->group = group;
    m->least = 0;
    m->most = (1 << g->bits) - 1;
    return NB_OK;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static uint64_t block_bytes(const nb_rounded_matrix *m) {
    const nb_traits *traits = nb_traits_of(m->grid.type);
    return (uint64_t)m->rows * (m->columns / traits->block_weights) * traits->block_bytes;
}

static void place_buffers(nb_rounded_matrix *m, nb_arena *a) {
    uint64_t n = nb_times(m->rows, m->columns), groups = nb_times(m->rows, m->groups);
    m->weights = nb_arena_take(a, n, sizeof *m->weights);
    m->v = nb_arena_take(a, n, sizeof *m->v);
    m->codes = nb_arena_take(a, n, 1);
    m->best_codes = nb_arena_take(a, n, 1);
    m->ranges = nb_arena_take(a, groups, sizeof *m->ranges);
    m->levels = nb_arena_take(a, groups, sizeof *m->levels);
    m->best_levels = nb_arena_take(a, groups, sizeof *m->best_levels);
    m->blocks = m->rule == NB_ROUND_FROZEN ? nb_arena_take(a, block_bytes(m), 1) : NULL;
}

void nb_rounded_matrix_free(nb_rounded_matrix *m) {
    nb_arena_free(&m->arena);
    *m = (nb_rounded_matrix){0};
}

/* ---- levels ------------------------------------------------------------------------------------------------------ */

/* The smallest step, so that nothing is divided by 0: binary16's smallest positive number. */
static const float LEAST_STEP = 0x1p-24f;

static float half(float x) {
    return nb_f16_to_f32(nb_f32_to_f16(x));
}

static float step_of(float s) {
    s = half(s);
    return s < 0 ? NB_MIN(s, -LEAST_STEP) : NB_MAX(s, LEAST_STEP);
}

static nb_round_levels levels_of(const nb_rounded_matrix *m, const nb_round_range *r) {
    float low = r->low * r->a, high = r->high * r->b, most = (float)m->most;
    int32_t middle = (m->most + 1) / 2;
    nb_round_levels l = {0};
    switch (m->rule) {
    case NB_ROUND_SYMMETRIC:
        l.s = step_of((high < -low ? -low : -high) / (float)middle);
        l.z = middle;
        break;
    case NB_ROUND_MAGNITUDE:
        l.s = step_of((high < -low ? -low : high) / (float)(middle - 1));
        l.z = middle;
        break;
    case NB_ROUND_ZERO:
        l.s = step_of((high - low) / most);
        l.z = NB_MAX((int32_t)rintf(NB_MIN(-low / l.s, most)), (int32_t)m->grid.least_zero);
        break;
    default:
        l.s = step_of((high - low) / most);
        l.b = half(low);
        break;
    }
    return l;
}

static bool find_ranges(nb_rounded_matrix *m, uint32_t row) {
    const float *w = m->weights + (size_t)row * m->columns;
    nb_round_range *range = m->ranges + (size_t)row * m->groups;
    for (uint32_t g = 0; g < m->groups; g++, range++) {
        *range = (nb_round_range){.a = 1, .b = 1};
        for (uint32_t i = 0; i < m->group; i++, w++) {
            if (!isfinite(*w))
                return false;
            range->low = NB_MIN(range->low, *w);
            range->high = NB_MAX(range->high, *w);
        }
        nb_round_levels l = levels_of(m, range);
        if (!isfinite(l.s) || !isfinite(l.b))
            return false;
    }
    return true;
}

/* Reads the levels from a row of blocks of a K type: w = d s_g q + sign m z_g (block_scales.h). */
static bool read_levels(nb_rounded_matrix *m, uint32_t row) {
    const nb_traits *traits = nb_traits_of(m->grid.type);
    const nb_scale_layout *l = nb_scale_layout_of(m->grid.type);
    uint32_t blocks = m->columns / traits->block_weights;
    const uint8_t *block = m->blocks + (size_t)row * blocks * traits->block_bytes;
    nb_round_levels *to = m->levels + (size_t)row * m->groups;
    for (uint32_t i = 0; i < blocks; i++, block += traits->block_bytes) {
        float values[NB_MOST_SCALES];
        if (!nb_scales_read(m->grid.type, block, values))
            return false;
        const float *s = values + l->halves, *z = s + l->groups;
        for (uint32_t g = 0; g < l->groups; g++)
            *to++ = (nb_round_levels){
                .s = values[0] * s[g],
                .b = l->halves == 2 ? (float)l->sign * values[1] * z[g] : 0,
                .z = l->zero,
            };
    }
    return true;
}

int32_t nb_rounded_matrix_begin(nb_rounded_matrix *m, const nb_auto_round_grid *grid, const nb_train_tensor *tensor,
                                const float *weights, const void *blocks, nb_error *err) {
    nb_rounded_matrix_free(m);
    m->grid = *grid;
    NB_TRY(grid->type == NB_TYPE_F32 ? set_codes(m, tensor, err) : set_type(m, tensor, blocks, err));
    m->rows = tensor->rows;
    m->columns = tensor->columns;
    m->groups = m->columns / m->group;
    nb_arena arena = {0};
    place_buffers(m, &arena);
    NB_TRY(nb_arena_allocate(&arena, "what AutoRound learns of a matrix", err));
    m->arena = arena;
    place_buffers(m, &arena);
    memcpy(m->weights, weights, (size_t)m->rows * m->columns * sizeof *weights);
    if (m->blocks)
        memcpy(m->blocks, blocks, (size_t)block_bytes(m));
    for (uint32_t row = 0; row < m->rows; row++) {
        bool holds = find_ranges(m, row);
        if (!holds || (m->blocks && !read_levels(m, row)))
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "%s: row %u has a weight that is not finite, or too large for a scale in binary16",
                           tensor->name, row);
    }
    return NB_OK;
}

/* ---- rounding ---------------------------------------------------------------------------------------------------- */

typedef struct job {
    const nb_rounded_matrix *m;
    float *out;
    const float *gradient;
    float rate;
} job;

/* The code of a weight before clipping. Codes far beyond the range are reduced to one beyond it. */
static int32_t code_of(const nb_rounded_matrix *m, const nb_round_levels *l, float w, float v) {
    float place = l->s != 0 ? (w - l->b) / l->s + v : v; /* a K type's s can be 0, and all codes then mean b */
    place = NB_MIN(NB_MAX(place, (float)(m->least - 1 - l->z)), (float)(m->most + 1 - l->z));
    return (int32_t)rintf(place) + l->z;
}

static void round_row(void *context, uint64_t row, uint64_t rows, int32_t thread) {
    (void)rows, (void)thread;
    const job *j = context;
    const nb_rounded_matrix *m = j->m;
    size_t at = (size_t)row * m->columns, group = (size_t)row * m->groups;
    for (uint32_t g = 0; g < m->groups; g++, group++) {
        nb_round_levels *l = &m->levels[group];
        if (m->rule != NB_ROUND_FROZEN)
            *l = levels_of(m, &m->ranges[group]);
        for (uint32_t i = 0; i < m->group; i++, at++) {
            int32_t code = NB_MIN(NB_MAX(code_of(m, l, m->weights[at], m->v[at]), m->least), m->most);
            m->codes[at] = (uint8_t)code;
            j->out[at] = l->s * (float)(code - l->z) + l->b;
        }
    }
}

void nb_rounded_matrix_round(const nb_rounded_matrix *m, nb_pool *pool, float *out) {
    job j = {.m = m, .out = out};
    nb_parallel(pool, m->rows, false, round_row, &j);
}

void nb_rounded_matrix_keep(const nb_rounded_matrix *m) {
    size_t n = (size_t)m->rows * m->columns, groups = (size_t)m->rows * m->groups;
    memcpy(m->best_codes, m->codes, n);
    memcpy(m->best_levels, m->levels, groups * sizeof *m->levels);
}

/* ---- learning ---------------------------------------------------------------------------------------------------- */

static float moved(float p, double gradient, float rate, float least, float most) {
    p -= gradient > 0 ? rate : gradient < 0 ? -rate : 0;
    return NB_MIN(NB_MAX(p, least), most);
}

/* Sums over a group, with `inside` 1 where a code was not clipped, else 0:
 *     of_s = sum of dW (code - z - inside (w - b) / s),   of_b = sum of dW (1 - inside) */
typedef struct sums {
    double of_s, of_b;
} sums;

/* Updates the group's V. dL/dV = dW s where the code was not clipped, else 0. */
static sums learn_offsets(const job *j, const nb_round_levels *l, size_t at) {
    const nb_rounded_matrix *m = j->m;
    sums sum = {0};
    for (uint32_t i = 0; i < m->group; i++, at++) {
        float w = m->weights[at], d = j->gradient[at], place = l->s != 0 ? (w - l->b) / l->s : 0;
        bool inside = code_of(m, l, w, m->v[at]) == m->codes[at];
        sum.of_s += (double)(d * ((float)(m->codes[at] - l->z) - (inside ? place : 0)));
        sum.of_b += inside ? 0 : (double)d;
        m->v[at] = moved(m->v[at], inside ? (double)(d * l->s) : 0, j->rate, -0.5f, 0.5f);
    }
    return sum;
}

/* Updates A and B. A step of the smallest size has no gradient. */
static void learn_range(const nb_rounded_matrix *m, const nb_round_levels *l, sums sum, float rate,
                        nb_round_range *range) {
    float low = range->low * range->a, high = range->high * range->b;
    double of_s = fabsf(l->s) > LEAST_STEP ? sum.of_s : 0, of_low, of_high;
    if (m->rule == NB_ROUND_SYMMETRIC || m->rule == NB_ROUND_MAGNITUDE) { /* s is proportional to one end */
        bool is_low = high < -low;
        of_low = is_low ? -of_s : 0;
        of_high = is_low ? 0 : m->rule == NB_ROUND_SYMMETRIC ? -of_s : of_s;
    } else if (m->rule == NB_ROUND_ZERO) { /* W = s (q - z), and gradients pass straight through z = round(-low / s) */
        double of_z = -(double)l->s * sum.of_b, s = (double)l->s;
        of_s += fabsf(l->s) > LEAST_STEP ? of_z * (double)low / (s * s) : 0;
        of_low = -of_s / m->most - of_z / s;
        of_high = of_s / m->most;
    } else {
        of_low = -of_s / m->most + sum.of_b;
        of_high = of_s / m->most;
    }
    range->a = moved(range->a, of_low * (double)range->low, rate, 0, 1);
    range->b = moved(range->b, of_high * (double)range->high, rate, 0, 1);
}

static void learn_row(void *context, uint64_t row, uint64_t rows, int32_t thread) {
    (void)rows, (void)thread;
    const job *j = context;
    const nb_rounded_matrix *m = j->m;
    size_t at = (size_t)row * m->columns, group = (size_t)row * m->groups;
    for (uint32_t g = 0; g < m->groups; g++, group++, at += m->group) {
        sums sum = learn_offsets(j, &m->levels[group], at);
        if (m->rule != NB_ROUND_FROZEN)
            learn_range(m, &m->levels[group], sum, j->rate, &m->ranges[group]);
    }
}

void nb_rounded_matrix_learn(const nb_rounded_matrix *m, nb_pool *pool, const float *gradient, float rate) {
    job j = {.m = m, .gradient = gradient, .rate = rate};
    nb_parallel(pool, m->rows, false, learn_row, &j);
}
