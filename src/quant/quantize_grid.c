/* The search of IQ2 and IQ3, as in ggml-org/ggml, src/ggml-quants.c, with sums in the same order. */
#include "quantize_grid.h"

#pragma STDC FP_CONTRACT OFF

/* A group of weights, without signs. */
typedef struct group {
    const nb_grid_search *s;
    const nb_neighbours *nb;
    float x[NB_GROUP_LIMIT], weight[NB_GROUP_LIMIT], root[NB_GROUP_LIMIT]; /* root: of weight */
    float scale;                                                           /* for which costs are computed */
} group;

typedef struct found {
    uint16_t entries[8];
    bool on_grid[8];
    float xq, qq; /* sum w x q, sum w q^2 */
} found;

static void split_signs(group *g, const float *x, uint8_t *signs) {
    for (int k = 0; k < g->s->group / 8; k++) {
        const float *weight = g->weight + 8 * k;
        int least = 0;
        signs[k] = 0;
        for (int i = 0; i < 8; i++, x++) {
            g->x[8 * k + i] = *x >= 0 ? *x : -*x;
            signs[k] |= (uint8_t)(!(*x >= 0) << i);
        }
        if (!g->s->is_even || !__builtin_parity(signs[k]))
            continue;
        for (int i = 1; i < 8; i++) /* the sign is flipped where it costs least */
            if (weight[i] * x[i - 8] * x[i - 8] < weight[least] * x[least - 8] * x[least - 8])
                least = i;
        g->x[8 * k + least] = -g->x[8 * k + least];
        signs[k] ^= (uint8_t)(1 << least);
    }
}

/* As in llama.cpp, neighbours are compared with the square roots of the errors' weights. */
static void fill_costs(const void *context, int first, float cost[NB_GRID_WIDTH][NB_GRID_NUMBERS]) {
    const group *g = context;
    for (int i = 0; i < g->nb->width; i++)
        for (int k = 0; k < g->nb->magnitudes; k++) {
            float off = g->scale * (float)(2 * k + 1) - g->x[first + i];
            cost[i][k] = g->root[first + i] * off * off;
        }
}

/* Rounds point k of the group and finds its entry. steps: 1 / scale. */
static void look_up(const group *g, int k, float steps, found *out) {
    uint8_t point[NB_GRID_WIDTH];
    int first = g->nb->width * k;
    for (int i = 0; i < g->nb->width; i++)
        point[i] = (uint8_t)nb_nearest(0.5f * (steps * g->x[first + i] - 1), 0, g->nb->magnitudes - 1);
    out->entries[k] = (uint16_t)nb_grid_entry(g->nb, point, &out->on_grid[k], fill_costs, g, first);
}

static void sum_up(const group *g, found *out) {
    out->xq = out->qq = 0;
    const float *x = g->x, *w = g->weight;
    for (int k = 0; k < g->s->group / g->nb->width; k++)
        for (int i = 0; i < g->nb->width; i++, x++, w++) {
            float q = (float)(2 * nb_grid_number(g->nb, out->entries[k], i) + 1);
            out->xq += *w * *x * q;
            out->qq += *w * q * q;
        }
}

/* Looks points up again under the scale that was found, which may round them to other ones. Returns the new scale. */
static float look_again(group *g, float scale, found *best) {
    int points = g->s->group / g->nb->width;
    bool all_on_grid = true;
    for (int k = 0; k < points; k++)
        all_on_grid &= best->on_grid[k];
    if ((all_on_grid && !g->s->starts_from_fit) || !(scale > 0))
        return scale;
    g->scale = scale;
    for (int k = 0; k < points; k++)
        if (g->s->looks_again || !best->on_grid[k])
            look_up(g, k, 1 / scale, best);
    sum_up(g, best);
    return best->qq > 0 ? best->xq / best->qq : scale;
}

/* Finds the group's entries and the scale that fits them. False: the group becomes zeros. */
static bool search_group(group *g, uint16_t *entries, float *scale) {
    int top = 2 * g->nb->magnitudes - 1, points = g->s->group / g->nb->width;
    float most = g->x[0], best_score = 0;
    found best = {.entries = {0}, .on_grid = {true, true, true, true, true, true, true, true}}, tried;
    for (int i = 1; i < g->s->group; i++)
        most = NB_MAX(most, g->x[i]);
    if (most < g->s->almost_zero || most == 0)
        return false;
    *scale = most / (float)top;
    if (g->s->starts_from_fit) {
        uint8_t codes[NB_GROUP_LIMIT];
        *scale = nb_search_steps(g->s->group, g->nb->magnitudes + 1, g->x, g->weight, codes);
        most = *scale * (float)g->nb->magnitudes;
        if (!(most > 0))
            return false;
    }
    if (g->s->looks_again)
        memset(best.on_grid, 0, sizeof best.on_grid);
    for (int try = -g->s->tries; try <= g->s->tries; try++) {
        float steps = ((float)top + (float)try * g->s->step) / most;
        g->scale = 1 / steps;
        for (int k = 0; k < points; k++)
            look_up(g, k, steps, &tried);
        sum_up(g, &tried);
        if (tried.qq > 0 && tried.xq * tried.xq > best_score * tried.qq) {
            best = tried;
            *scale = tried.xq / tried.qq;
            best_score = *scale * tried.xq;
        }
    }
    *scale = look_again(g, *scale, &best);
    memcpy(entries, best.entries, (size_t)points * sizeof *entries);
    return true;
}

/* How a group's errors are weighted: as in llama.cpp, or by importance alone, as in the error of the wider search. */
typedef enum weighting { REFERENCE, IMPORTANCE } weighting;

static void weigh(const nb_grid_search *s, weighting way, const float *importance, const float *x, float mean,
                  group *g) {
    if (importance || s->needs_importance)
        nb_weigh(x, importance, s->spread * mean, g->weight, s->group);
    for (int i = 0; i < s->group; i++) {
        if (way == IMPORTANCE)
            g->weight[i] = importance ? importance[i] : 1;
        else if (!importance && !s->needs_importance)
            g->weight[i] = s->floor * mean + x[i] * x[i];
        g->root[i] = way == IMPORTANCE ? g->weight[i] : __builtin_sqrtf(g->weight[i]);
    }
}

static void search_superblock(const nb_grid_search *s, weighting way, const nb_encoding *how, size_t at, const float *x,
                              nb_grid_block *out) {
    group g = {.s = s, .nb = how->neighbours};
    float mean = nb_sum_of_squares(x, NB_SUPERBLOCK) / NB_SUPERBLOCK, scales[16], most = 0;
    int groups = NB_SUPERBLOCK / s->group;
    *out = (nb_grid_block){0};
    for (int i = 0; i < groups; i++) {
        const float *part = x + s->group * i;
        uint8_t *signs = out->signs + s->group / 8 * i;
        weigh(s, way, how->importance ? how->importance + at + s->group * i : NULL, part, mean, &g);
        split_signs(&g, part, signs);
        bool exists = search_group(&g, out->entries + s->group / g.nb->width * i, &scales[i]);
        scales[i] = exists ? scales[i] : 0;
        for (int k = 0; k < s->group / 8 && (!exists || scales[i] < 0); k++)
            signs[k] = exists ? (uint8_t)~signs[k] : 0; /* scales have no sign */
        scales[i] = __builtin_fabsf(scales[i]);
        most = NB_MAX(most, scales[i]);
    }
    float d = most / 31; /* scales are d / 2 times an odd number up to 31 */
    out->d = nb_f32_to_f16(d * s->correction);
    for (int i = 0; i < groups; i++)
        out->scales[i] = most > 0 ? (uint8_t)nb_nearest(0.5f * (1 / d * scales[i] - 1), 0, 15) : 0;
}

const float nb_iq2_magnitudes[3] = {1, 25 / 8.0f, 43 / 8.0f};
const float nb_iq3_xxs_magnitudes[8] = {1, 3, 5, 7, 9, 11, 13, 62 / 4.0f};
const float nb_iq3_s_magnitudes[8] = {1, 3, 5, 7, 9, 11, 13, 15};

void nb_search_grid(const nb_grid_search *s, const nb_encoding *how, size_t at, const float *x, nb_grid_block *out) {
    search_superblock(s, REFERENCE, how, at, x, out);
    if (!how->best)
        return;
    nb_grid_block other;
    search_superblock(s, IMPORTANCE, how, at, x, &other);
    nb_improve_grid(s, how, at, x, out, &other);
}
