#include "weight_grid.h"

#include "../types/traits.h"

#pragma STDC FP_CONTRACT OFF

/* ---- the types --------------------------------------------------------------------------------------------------- */

enum { MOST_LEVELS = 256 };

typedef struct typed_grid {
    uint16_t group, in_superblock;
    int16_t least, most, most_scale;
    bool has_minima;
} typed_grid;

/* As everywhere in nibble, Q8_0 does not use the code -128. The scales of Q3_K and Q6_K are signed. */
static const typed_grid grids[NB_TYPE_LIMIT] = {
    [NB_TYPE_Q8_0] = {32, 1, -127, 127, 0, false}, [NB_TYPE_Q4_0] = {32, 1, -8, 7, 0, false},
    [NB_TYPE_Q4_1] = {32, 1, 0, 15, 0, true},      [NB_TYPE_Q5_0] = {32, 1, -16, 15, 0, false},
    [NB_TYPE_Q5_1] = {32, 1, 0, 31, 0, true},      [NB_TYPE_TQ2_0] = {256, 1, -1, 1, 0, false},
    [NB_TYPE_Q2_0] = {64, 1, -1, 2, 0, false},     [NB_TYPE_Q2_K] = {16, 16, 0, 3, 15, true},
    [NB_TYPE_Q3_K] = {16, 16, -4, 3, 31, false},   [NB_TYPE_Q4_K] = {32, 8, 0, 15, 63, true},
    [NB_TYPE_Q5_K] = {32, 8, 0, 31, 63, true},     [NB_TYPE_Q6_K] = {16, 16, -32, 31, 127, false},
};

static int32_t set_type(const nb_train_rounding *r, const nb_train_tensor *tensor, nb_weight_grid *grid,
                        nb_error *err) {
    const nb_traits *traits = nb_traits_of(r->type);
    if (!traits || !grids[r->type].group)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "%s: weights cannot be trained for tensors of type %s; take Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K "
                       "to Q6_K, TQ2_0 or Q2_0",
                       tensor->name, traits ? traits->name : "that number");
    if (tensor->columns % traits->block_weights)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%s: its rows of %u weights are not whole blocks of %s, which have %u",
                       tensor->name, tensor->columns, traits->name, traits->block_weights);
    const typed_grid *g = &grids[r->type];
    grid->least = g->least;
    grid->most = g->most;
    grid->most_scale = g->most_scale;
    grid->has_minima = g->has_minima;
    grid->group = g->group;
    grid->in_superblock = g->in_superblock;
    return NB_OK;
}

static int32_t set_levels(const nb_train_rounding *r, const nb_train_tensor *tensor, nb_weight_grid *grid,
                          nb_error *err) {
    if (r->levels < 3 || r->levels > MOST_LEVELS)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%s: a grid of %u numbers; take 3 to %u", tensor->name, r->levels,
                       (uint32_t)MOST_LEVELS);
    grid->has_minima = r->has_minima;
    grid->least = r->has_minima ? 0 : -(int32_t)(r->levels / 2);
    grid->most = grid->least + (int32_t)r->levels - 1;
    grid->group = tensor->columns;
    grid->in_superblock = 1;
    return NB_OK;
}

static int32_t set_group(const nb_train_rounding *r, const nb_train_tensor *tensor, nb_weight_grid *grid,
                         nb_error *err) {
    if (r->group == NB_TRAIN_GROUP_OF_TYPE)
        return NB_OK;
    uint32_t unit = r->type == NB_TYPE_F32 ? 1 : grid->group;
    uint32_t columns = r->group > 0 ? (uint32_t)r->group : tensor->columns;
    if (grid->in_superblock > 1 || r->group < NB_TRAIN_GROUP_TENSOR || columns % unit || tensor->columns % columns)
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "%s: groups of %d columns; take 0, or where a type has no superblocks a multiple of %u that "
                       "divides %u, the columns of a row",
                       tensor->name, r->group, unit, tensor->columns);
    grid->group = r->group == NB_TRAIN_GROUP_TENSOR ? 0 : columns;
    return NB_OK;
}

int32_t nb_weight_grid_of(const nb_train_rounding *r, const nb_train_tensor *tensor, nb_weight_grid *grid,
                          nb_error *err) {
    *grid = (nb_weight_grid){.method = r->method, .type = r->type, .fits_errors = r->fit == NB_TRAIN_FIT_ERROR};
    if (!tensor->decays)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%s: only matrices are rounded", tensor->name);
    if (r->method > NB_TRAIN_ABSMEAN || r->fit > NB_TRAIN_FIT_MEAN || r->has_minima > 1 ||
        !(r->rate >= 0 && r->rate <= 1e6f))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "%s: there is no such way to round (method %u, first steps %u, minima %u, rate %g)",
                       tensor->name, r->method, r->fit, r->has_minima, (double)r->rate);
    NB_TRY(r->type == NB_TYPE_F32 ? set_levels(r, tensor, grid, err) : set_type(r, tensor, grid, err));
    NB_TRY(set_group(r, tensor, grid, err));
    if (r->method == NB_TRAIN_ABSMEAN && (grid->least != -1 || grid->in_superblock > 1))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "%s: the mean magnitude is a step for ternary weights: take TQ2_0, Q2_0 or 3 numbers",
                       tensor->name);
    if (r->method == NB_TRAIN_ABSMEAN)
        grid->most = 1; /* Q2_0 has a code for 2, too */
    return NB_OK;
}

uint64_t nb_weight_grid_steps(const nb_weight_grid *grid, uint64_t rows, uint64_t columns) {
    return grid->group ? rows * (columns / grid->group) : 1;
}

/* ---- rounding of steps ------------------------------------------------------------------------------------------- */

/* binary16's smallest and largest positive number. Steps stay positive, so that a step that became small can grow
 * again. */
static const float LEAST_STEP = 0x1p-24f, MOST_STEP = 0x1.ffcp15f;

static float within(float x, float least, float most) { /* NaN stays NaN */
    return x < least ? least : x > most ? most : x;
}

static float half(float x) {
    return nb_f16_to_f32(nb_f32_to_f16(x));
}

static void round_plain(const nb_weight_grid *grid, const float *s, const float *z, nb_group_step *out) {
    float step = within(*s, LEAST_STEP, MOST_STEP), minimum = z ? within(*z, -MOST_STEP, MOST_STEP) : 0;
    *out = grid->type == NB_TYPE_F32 ? (nb_group_step){.s = step, .z = minimum}
                                     : (nb_group_step){.s = half(step), .z = half(minimum)};
    out->d = out->s;
    out->m = out->z;
}

static float largest(const float *x, uint32_t n, float least) {
    for (uint32_t i = 0; i < n; i++)
        least = x[i] > least ? x[i] : least;
    return least;
}

/* The code of x, x / unit rounded and clipped to least ... most. If the unit is 0, the code is 0. */
static int32_t code_of(float x, float unit, int32_t least, int32_t most) {
    float code = unit > 0 ? within(x / unit, (float)least, (float)most) : 0;
    return code == code ? (int32_t)(code + 0x1.8p23f - 0x1.8p23f) : least;
}

static void round_superblock(const nb_weight_grid *grid, const float *s, const float *z, nb_group_step *out) {
    float most = (float)grid->most_scale;
    float d = half(within(largest(s, grid->in_superblock, 0) / most, LEAST_STEP, MOST_STEP));
    float m = z ? half(within(largest(z, grid->in_superblock, 0) / most, 0, MOST_STEP)) : 0;
    for (uint32_t g = 0; g < grid->in_superblock; g++) {
        nb_group_step *o = &out[g];
        o->d = d;
        o->m = m;
        o->scale = code_of(s[g], d, 1, grid->most_scale);
        o->minimum = z ? code_of(z[g], m, 0, grid->most_scale) : 0;
        o->s = d * (float)o->scale + 0 * s[g]; /* NaN stays NaN */
        o->z = z ? m * (float)o->minimum + 0 * z[g] : 0;
    }
}

void nb_weight_grid_round_steps(const nb_weight_grid *grid, const float *s, const float *z, nb_group_step *out) {
    (grid->most_scale ? round_superblock : round_plain)(grid, s, z, out);
}
