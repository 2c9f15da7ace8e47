#include "block_scales.h"

#include "../base/numbers.h"
#include "../types/code_layout.h"
#include "../types/traits.h"

#include <math.h>
#include <stddef.h>

#pragma STDC FP_CONTRACT OFF /* the same sums on every machine */

/* ---- where scales lie -------------------------------------------------------------------------------------------- */

enum { MOST_GROUPS = 16 };

// clang-format off: one type in a line
static const nb_scale_layout layouts[NB_TYPE_LIMIT] = {
    [NB_TYPE_Q4_0] = {offsetof(nb_block_q4_0, d), 1, 0, 0, 0, 0, 8},
    [NB_TYPE_Q4_1] = {offsetof(nb_block_q4_1, d), 2, 1, 0, 0, 0, 0},
    [NB_TYPE_Q5_0] = {offsetof(nb_block_q5_0, d), 1, 0, 0, 0, 0, 16},
    [NB_TYPE_Q5_1] = {offsetof(nb_block_q5_1, d), 2, 1, 0, 0, 0, 0},
    [NB_TYPE_Q8_0] = {offsetof(nb_block_q8_0, d), 1, 0, 0, 0, 0, 128},
    [NB_TYPE_Q2_K] = {offsetof(nb_block_q2_k, d), 2, -1, 16, 0, 15, 0},
    [NB_TYPE_Q3_K] = {offsetof(nb_block_q3_k, d), 1, 0, 16, -32, 31, 4},
    [NB_TYPE_Q4_K] = {offsetof(nb_block_q4_k, d), 2, -1, 8, 0, 63, 0},
    [NB_TYPE_Q5_K] = {offsetof(nb_block_q5_k, d), 2, -1, 8, 0, 63, 0},
    [NB_TYPE_Q6_K] = {offsetof(nb_block_q6_k, d), 1, 0, 16, -128, 127, 32},
    [NB_TYPE_IQ4_NL] = {offsetof(nb_block_iq4_nl, d), 1, 0, 0, 0, 0, 0},
    [NB_TYPE_IQ4_XS] = {offsetof(nb_block_iq4_xs, d), 1, 0, 8, -32, 31, 0},
    [NB_TYPE_TQ2_0] = {offsetof(nb_block_tq2_0, d), 1, 0, 0, 0, 0, 1},
    [NB_TYPE_Q2_0] = {offsetof(nb_block_q2_0, d), 1, 0, 0, 0, 0, 1},
};
// clang-format on

_Static_assert(offsetof(nb_block_q4_1, m) == offsetof(nb_block_q4_1, d) + 2, "m follows d");
_Static_assert(offsetof(nb_block_q5_1, m) == offsetof(nb_block_q5_1, d) + 2, "m follows d");
_Static_assert(offsetof(nb_block_q2_k, m) == offsetof(nb_block_q2_k, d) + 2, "m follows d");
_Static_assert(offsetof(nb_block_q4_k, m) == offsetof(nb_block_q4_k, d) + 2, "m follows d");
_Static_assert(offsetof(nb_block_q5_k, m) == offsetof(nb_block_q5_k, d) + 2, "m follows d");

const nb_scale_layout *nb_scale_layout_of(uint32_t type) {
    return type < NB_TYPE_LIMIT && layouts[type].halves ? &layouts[type] : NULL;
}

uint32_t nb_scale_count(const nb_scale_layout *l) {
    return l->halves * (1u + l->groups);
}

/* ---- the integers s and z of a group ------------------------------------------------------------------------ */

static int32_t s_of(uint32_t type, const void *block, uint32_t g) {
    switch (type) {
    case NB_TYPE_Q2_K: return ((const nb_block_q2_k *)block)->scales[g] & 15;
    case NB_TYPE_Q3_K: return nb_q3_k_scale(((const nb_block_q3_k *)block)->scales, g);
    case NB_TYPE_Q4_K: return (int32_t)nb_q4_k_scale(((const nb_block_q4_k *)block)->scales, g);
    case NB_TYPE_Q5_K: return (int32_t)nb_q4_k_scale(((const nb_block_q5_k *)block)->scales, g);
    case NB_TYPE_Q6_K: return ((const nb_block_q6_k *)block)->scales[g];
    case NB_TYPE_IQ4_XS: return nb_iq4_xs_scale(block, g);
    default: return 1; /* the type has none */
    }
}

static int32_t z_of(uint32_t type, const void *block, uint32_t g) {
    switch (type) {
    case NB_TYPE_Q2_K: return ((const nb_block_q2_k *)block)->scales[g] >> 4;
    case NB_TYPE_Q4_K: return (int32_t)nb_q4_k_minimum(((const nb_block_q4_k *)block)->scales, g);
    case NB_TYPE_Q5_K: return (int32_t)nb_q4_k_minimum(((const nb_block_q5_k *)block)->scales, g);
    default: return 1;
    }
}

/* The inverses of types.h's functions, for all groups. */
static void put_q3_k(const int32_t *s, uint8_t *scales) {
    memset(scales, 0, NB_K_SCALES);
    for (uint32_t g = 0; g < 16; g++) {
        uint32_t bits = (uint32_t)(s[g] + 32);
        scales[g % 8] |= (uint8_t)((bits & 15) << (g / 8 * 4));
        scales[8 + g % 4] |= (uint8_t)(bits >> 4 << (g / 4 * 2));
    }
}

static void put_q4_k(const int32_t *s, const int32_t *z, uint8_t *scales) {
    for (uint32_t g = 0; g < 4; g++) {
        scales[g] = (uint8_t)(s[g] | s[g + 4] >> 4 << 6);
        scales[g + 4] = (uint8_t)(z[g] | z[g + 4] >> 4 << 6);
        scales[g + 8] = (uint8_t)((s[g + 4] & 15) | (z[g + 4] & 15) << 4);
    }
}

static void put_iq4_xs(const int32_t *s, nb_block_iq4_xs *b) {
    b->high = 0;
    memset(b->low, 0, sizeof b->low);
    for (uint32_t g = 0; g < 8; g++) {
        uint32_t bits = (uint32_t)(s[g] + 32);
        b->low[g / 2] |= (uint8_t)((bits & 15) << (g % 2 * 4));
        b->high |= (uint16_t)(bits >> 4 << (2 * g));
    }
}

static void put_integers(uint32_t type, const int32_t *s, const int32_t *z, void *block) {
    switch (type) {
    case NB_TYPE_Q2_K:
        for (uint32_t g = 0; g < 16; g++)
            ((nb_block_q2_k *)block)->scales[g] = (uint8_t)(s[g] | z[g] << 4);
        return;
    case NB_TYPE_Q6_K:
        for (uint32_t g = 0; g < 16; g++)
            ((nb_block_q6_k *)block)->scales[g] = (int8_t)s[g];
        return;
    case NB_TYPE_Q3_K: put_q3_k(s, ((nb_block_q3_k *)block)->scales); return;
    case NB_TYPE_Q4_K: put_q4_k(s, z, ((nb_block_q4_k *)block)->scales); return;
    case NB_TYPE_Q5_K: put_q4_k(s, z, ((nb_block_q5_k *)block)->scales); return;
    case NB_TYPE_IQ4_XS: put_iq4_xs(s, block); return;
    default: return;
    }
}

/* ---- reading and writing --------------------------------------------------------------------------------------- */

static float half_at(const nb_scale_layout *l, const void *block, uint32_t index) {
    uint16_t bits;
    memcpy(&bits, (const uint8_t *)block + l->d_at + 2 * index, sizeof bits);
    return nb_f16_to_f32(bits);
}

static void put_half(const nb_scale_layout *l, uint32_t index, float value, void *block) {
    const float most = 65504;
    uint16_t bits = nb_f32_to_f16(value < -most ? -most : value > most ? most : value);
    memcpy((uint8_t *)block + l->d_at + 2 * index, &bits, sizeof bits);
}

bool nb_scales_read(uint32_t type, const void *block, float *values) {
    const nb_scale_layout *l = nb_scale_layout_of(type);
    bool is_finite = true;
    for (uint32_t i = 0; i < l->halves; i++) {
        *values = half_at(l, block, i);
        is_finite &= isfinite(*values++) != 0;
    }
    for (uint32_t g = 0; g < l->groups; g++, values++) {
        *values = (float)s_of(type, block, g);
        if (l->halves == 2)
            values[l->groups] = (float)z_of(type, block, g);
    }
    return is_finite;
}

static int32_t nearest_integer(float value, float least, float most) {
    return (int32_t)rintf(value < least ? least : NB_MIN(value, most));
}

static bool has_nan(const float *values, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (isnan(values[i]))
            return true;
    return false;
}

void nb_scales_write(uint32_t type, const float *values, void *block) {
    const nb_scale_layout *l = nb_scale_layout_of(type);
    int32_t s[MOST_GROUPS] = {0}, z[MOST_GROUPS] = {0};
    bool is_nan = has_nan(values, nb_scale_count(l));
    for (uint32_t i = 0; i < l->halves; i++)
        put_half(l, i, is_nan ? NAN : values[i], block);
    values += l->halves;
    for (uint32_t g = 0; g < l->groups; g++, values++) {
        s[g] = nearest_integer(*values, l->least, l->most);
        z[g] = l->halves == 2 ? nearest_integer(values[l->groups], 0, l->most) : 0;
    }
    put_integers(type, s, z, block);
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* A_g and B_g of a group, whose weights are [first, first + n). */
static void sum_group(const nb_code_layout *codes, int32_t zero, const uint8_t *block, const float *gradient,
                      uint32_t first, uint32_t n, float *a, float *b) {
    *a = *b = 0;
    for (uint32_t i = first; i < first + n; i++) {
        uint32_t code = nb_code_at(codes, i, block);
        *a += gradient[i] * (float)(codes->codebook ? codes->codebook[code] : (int32_t)code - zero);
        *b += gradient[i];
    }
}

void nb_scales_backward(uint32_t type, const void *block, const float *gradient, float *d_values) {
    const nb_scale_layout *l = nb_scale_layout_of(type);
    const nb_code_layout *codes = nb_code_layout_of(type);
    uint32_t groups = NB_MAX(l->groups, 1), n = nb_traits_of(type)->block_weights / groups;
    float d = half_at(l, block, 0), m = l->halves == 2 ? half_at(l, block, 1) : 0;
    float sum_d = 0, sum_m = 0, *d_s = d_values + l->halves, *d_z = d_s + l->groups;
    for (uint32_t g = 0; g < groups; g++) {
        float a, b;
        sum_group(codes, l->zero, block, gradient, g * n, n, &a, &b);
        sum_d += (float)s_of(type, block, g) * a;
        sum_m += (float)(l->sign * z_of(type, block, g)) * b;
        if (l->groups)
            d_s[g] = d * a;
        if (l->groups && l->halves == 2)
            d_z[g] = (float)l->sign * m * b;
    }
    d_values[0] = sum_d;
    if (l->halves == 2)
        d_values[1] = sum_m;
}
