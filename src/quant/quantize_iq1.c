/* Encodes rows as IQ1_S and IQ1_M: w = scale (q + shift), q = -1, 0 or 1, shift = 1/8 or -1/8 for all eight weights of
 * a point. As in ggml-org/ggml, src/ggml-quants.c.
 *
 * Without the grid, the best codes can be found exactly: in ascending order the first i weights get -1, those up to j
 * get 0, and the rest get 1, so all i <= j are tried. Then each point that the grid lacks becomes one of its
 * neighbours.
 *
 * llama.cpp needs an importance matrix for IQ1_S; without one all columns are equally important here. It weights errors
 * of IQ1_M with x^2 if there is no importance matrix; `best` weights them as in IQ1_S instead. */
#include "quantize_grid.h"

#pragma STDC FP_CONTRACT OFF

#define SHIFT 0.125f

/* In IQ1_S all 32 weights of a group have the same shift. In IQ1_M each half of the 16 has its own. */
typedef struct group {
    const nb_neighbours *nb;
    int n, halves;
    const float *x;
    float weight[NB_GROUP_LIMIT], scale;
    uint8_t order[NB_GROUP_LIMIT]; /* indices of x in ascending order */
    uint8_t codes[NB_GROUP_LIMIT]; /* q + 1 */
    bool minus[2];                 /* whether the halves are shifted down */
    uint16_t entries[4];
} group;

static float number(const group *g, int place, uint32_t code) {
    bool minus = g->minus[g->halves == 2 && place >= 8];
    return (float)code - 1 + (minus ? -SHIFT : SHIFT);
}

static void sort(group *g) {
    for (int i = 0; i < g->n; i++) {
        int at = i;
        for (; at > 0 && g->x[g->order[at - 1]] > g->x[i]; at--)
            g->order[at] = g->order[at - 1];
        g->order[at] = (uint8_t)i;
    }
}

/* The order cut in three, and the shifts: codes change at `first` and at `second`. */
typedef struct cuts {
    int first, second;
    int shifts; /* bit 1: the first half's, bit 0: the second half's, 1 for minus; -1: no cut was found */
    float scale, score;
} cuts;

static void compare(cuts *best, float xq, float qq, int first, int second, int shifts) {
    if (!(qq > 0 && xq * xq > best->score * qq))
        return;
    float scale = xq / qq;
    *best = (cuts){first, second, shifts, scale, scale * xq};
}

/* One shift for all weights. Sums over a range are differences of prefix sums. */
static cuts cut_as_one(const group *g) {
    cuts best = {.shifts = -1, .score = -0x1.fffffep127f};
    float sum_x[NB_GROUP_LIMIT + 1], sum_w[NB_GROUP_LIMIT + 1];
    sum_x[0] = sum_w[0] = 0;
    for (int i = 0; i < g->n; i++) {
        float w = g->weight[g->order[i]];
        sum_x[i + 1] = sum_x[i] + w * g->x[g->order[i]];
        sum_w[i + 1] = sum_w[i] + w;
    }
    for (int i = 0; i <= g->n; i++)
        for (int j = i; j <= g->n; j++)
            for (int minus = 0; minus < 2; minus++) {
                float shift = minus ? -SHIFT : SHIFT, low = shift - 1, high = shift + 1;
                float xq =
                    (sum_x[i] - sum_x[0]) * low + (sum_x[j] - sum_x[i]) * shift + (sum_x[g->n] - sum_x[j]) * high;
                float qq = (sum_w[i] - sum_w[0]) * low * low + (sum_w[j] - sum_w[i]) * shift * shift +
                           (sum_w[g->n] - sum_w[j]) * high * high;
                compare(&best, xq, qq, i, j, 3 * minus);
            }
    return best;
}

/* Sums for each of the four pairs of shifts, one in each lane. */
typedef float lanes __attribute__((vector_size(16)));
typedef struct sums {
    lanes xq, qq;
} sums;

static sums plus(const group *g, sums s, int at, float q) {
    static const lanes shifts[2] = {{SHIFT, SHIFT, -SHIFT, -SHIFT}, {SHIFT, -SHIFT, SHIFT, -SHIFT}};
    int place = g->order[at];
    lanes w = (lanes){0} + g->weight[place], number = q + shifts[place >= 8];
    s.xq += w * number * g->x[place];
    s.qq += w * number * number;
    return s;
}

static cuts cut_as_halves(const group *g) {
    cuts best = {.shifts = -1, .score = -0x1.fffffep127f};
    sums low = {0};
    for (int i = 0; i <= g->n; i++) {
        sums middle = low;
        for (int j = i; j <= g->n; j++) {
            sums all = middle;
            for (int k = j; k < g->n; k++)
                all = plus(g, all, k, 1);
            for (int shifts = 0; shifts < 4; shifts++)
                compare(&best, all.xq[shifts], all.qq[shifts], i, j, shifts);
            if (j < g->n)
                middle = plus(g, middle, j, 0);
        }
        if (i < g->n)
            low = plus(g, low, i, -1);
    }
    return best;
}

static void fill_costs(const void *context, int first, float cost[NB_GRID_WIDTH][NB_GRID_NUMBERS]) {
    const group *g = context;
    for (int i = first; i < first + 8; i++)
        for (uint32_t code = 0; code < 3; code++) {
            float off = g->scale * number(g, i, code) - g->x[i];
            cost[i - first][code] = g->weight[i] * off * off;
        }
}

/* Finds the grid's entries for the codes. If some points were not on the grid, the scale is fitted again. */
static void put_on_grid(group *g) {
    bool all_on_grid = true, on_grid;
    for (int k = 0; k < g->n / 8; k++) {
        g->entries[k] = (uint16_t)nb_grid_entry(g->nb, g->codes + 8 * k, &on_grid, fill_costs, g, 8 * k);
        all_on_grid &= on_grid;
    }
    float xq = 0, qq = 0;
    for (int i = 0; i < g->n && !all_on_grid; i++) {
        float q = number(g, i, nb_grid_number(g->nb, g->entries[i / 8], i % 8)), w = g->weight[i];
        xq += w * q * g->x[i];
        qq += w * q * q;
    }
    if (xq > 0 && qq > 0)
        g->scale = xq / qq;
}

/* Sets scale, shifts and entries; all are 0 for a group of zeros. */
static void search_group(group *g, float almost_zero) {
    memset(g->entries, 0, sizeof g->entries);
    g->scale = g->minus[0] = g->minus[1] = 0;
    if (nb_largest_magnitude(g->x, (size_t)g->n) < almost_zero)
        return;
    sort(g);
    cuts best = g->halves == 2 ? cut_as_halves(g) : cut_as_one(g);
    if (best.shifts < 0)
        return;
    bool flipped = best.scale < 0; /* scales have no sign */
    for (int i = 0; i < g->n; i++) {
        uint8_t code = (uint8_t)((i >= best.first) + (i >= best.second));
        g->codes[g->order[i]] = flipped ? 2 - code : code;
    }
    g->scale = __builtin_fabsf(best.scale);
    g->minus[0] = (best.shifts >> 1) != flipped;
    g->minus[1] = (best.shifts & 1) != flipped;
    put_on_grid(g);
}

static void weigh(const nb_encoding *how, size_t at, float mean, group *g) {
    if (how->importance || how->best || g->halves == 1)
        nb_weigh(g->x, how->importance ? how->importance + at : NULL, 2 * mean, g->weight, g->n);
    else
        for (int i = 0; i < g->n; i++)
            g->weight[i] = g->x[i] * g->x[i];
}

/* A scale is (2 code + 1) d, and the largest one is 15 d. Returns the code. */
static uint16_t scale_code(float scale, float d) {
    return (uint16_t)nb_nearest(0.5f * (1 / d * scale - 1), 0, 7);
}

void nb_quantize_iq1_s(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    nb_block_iq1_s *b = blocks;
    for (size_t at = 0; at < n; at += NB_SUPERBLOCK, x += NB_SUPERBLOCK, b++) {
        group g = {.nb = how->neighbours, .n = 32, .halves = 1};
        float mean = nb_sum_of_squares(x, NB_SUPERBLOCK) / NB_SUPERBLOCK, scales[8], most = 0;
        memset(b, 0, sizeof *b);
        for (int i = 0; i < 8; i++) {
            g.x = x + 32 * i;
            weigh(how, at + 32 * (size_t)i, mean, &g);
            search_group(&g, 1e-12f);
            for (int k = 0; k < 4; k++) {
                b->q[4 * i + k] = (uint8_t)g.entries[k];
                b->high[i] |= (uint16_t)(g.entries[k] >> 8 << 3 * k);
            }
            b->high[i] |= (uint16_t)(g.minus[0] << 15);
            scales[i] = g.scale;
            most = NB_MAX(most, scales[i]);
        }
        float d = most / 15;
        b->d = nb_f32_to_f16(d * 1.125f);
        for (int i = 0; i < 8 && most > 0; i++)
            b->high[i] |= (uint16_t)(scale_code(scales[i], d) << 12);
    }
}

/* The superblock's scale that fits the codes best, after the groups' scales were rounded. */
static float fit_iq1_m(group *g, const nb_encoding *how, size_t at, const float *x, float mean, float d,
                       const nb_block_iq1_m *b) {
    float xq = 0, qq = 0;
    for (int i = 0; i < 16; i++) {
        float odd = (float)(2 * (b->scales[i / 4] >> i % 4 * 3 & 7) + 1);
        g->x = x + 16 * i;
        weigh(how, at + 16 * (size_t)i, mean, g);
        g->minus[0] = b->high[i] >> 3 & 1;
        g->minus[1] = b->high[i] >> 7;
        for (int k = 0; k < 16; k++) {
            uint32_t entry = b->q[2 * i + k / 8] | (uint32_t)(b->high[i] >> k / 8 * 4 & 7) << 8;
            float q = number(g, k, nb_grid_number(g->nb, entry, k % 8)) * odd, w = g->weight[k];
            xq += w * q * g->x[k];
            qq += w * q * q;
        }
    }
    return qq > 0 ? xq / qq : d;
}

void nb_quantize_iq1_m(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    nb_block_iq1_m *b = blocks;
    for (size_t at = 0; at < n; at += NB_SUPERBLOCK, x += NB_SUPERBLOCK, b++) {
        group g = {.nb = how->neighbours, .n = 16, .halves = 2};
        float mean = nb_sum_of_squares(x, NB_SUPERBLOCK) / NB_SUPERBLOCK, scales[16], most = 0;
        memset(b, 0, sizeof *b);
        for (int i = 0; i < 16; i++) {
            g.x = x + 16 * i;
            weigh(how, at + 16 * (size_t)i, mean, &g);
            search_group(&g, 1e-7f);
            b->q[2 * i] = (uint8_t)g.entries[0];
            b->q[2 * i + 1] = (uint8_t)g.entries[1];
            b->high[i] = (uint8_t)(g.entries[0] >> 8 | g.minus[0] << 3 | g.entries[1] >> 8 << 4 | g.minus[1] << 7);
            scales[i] = g.scale;
            most = NB_MAX(most, scales[i]);
        }
        if (!(most > 0))
            continue;
        float d = most / 15;
        for (int i = 0; i < 16; i++)
            b->scales[i / 4] |= (uint16_t)(scale_code(scales[i], d) << i % 4 * 3);
        uint32_t half = nb_f32_to_f16(fit_iq1_m(&g, how, at, x, mean, d, b) * 1.1125f);
        for (int k = 0; k < 4; k++) /* four bits of it above the scales in each word */
            b->scales[k] |= (uint16_t)(half >> 4 * k << 12);
    }
}
