/* Two steps alternate, as in Lloyd's algorithm: for given scales each weight gets the nearest code, and for given codes
 * linear regression gives the scales with the least error. Both steps reduce the error, until nothing changes. The
 * result depends on the start, so many starts are tried: first for each group alone, with scales of F32, then for the
 * block. */
#include "quantize_best.h"

#include "quantize_lanes.h"

#pragma STDC FP_CONTRACT OFF

enum { LANES_LIMIT = NB_GROUP_LIMIT / 4, GROUP_ROUNDS = 2, BLOCK_ROUNDS = 4 };

/* A group's numbers, and the weights of their errors. */
typedef struct group {
    lanes x[LANES_LIMIT], weight[LANES_LIMIT];
    float sum_w, sum_x; /* of weight, of weight x */
} group;

typedef struct line {
    float scale, minimum; /* w = scale q - minimum */
} line;

/* The nearest codes under a line: their error, and the sums from which regression computes the best line for them. */
typedef struct sums {
    float error, q, qq, xq;
} sums;

typedef struct search {
    const nb_best *s;
    group groups[16];
    line lines[16]; /* the best line of each group if scales and minima were not rounded */
} search;

static void load(const nb_best *s, const float *x, const float *weight, group *g) {
    lanes sum_w = splat(0), sum_x = splat(0);
    for (int i = 0; i < s->group / 4; i++) {
        memcpy(&g->x[i], x + 4 * i, sizeof g->x[i]);
        g->weight[i] = splat(1);
        if (weight)
            memcpy(&g->weight[i], weight + 4 * i, sizeof g->weight[i]);
        sum_w += g->weight[i];
        sum_x += g->weight[i] * g->x[i];
    }
    g->sum_w = sum_of(sum_w);
    g->sum_x = sum_of(sum_x);
}

/* The numbers q that are nearest to x under a line. */
static lanes numbers_under(const nb_best *s, line l, lanes x) {
    float steps = l.scale != 0 ? 1 / l.scale : 0;
    if (!s->codebook)
        return nearest_lanes((x + l.minimum) * steps, s->low, s->high);
    lanes twice = 2 * steps * x, number = splat((float)s->low);
    for (int i = 0; i < 15; i++) {
        int low = s->codebook[i], high = s->codebook[i + 1];
        number += (lanes)((twice >= splat((float)(low + high))) & (integers)splat((float)(high - low)));
    }
    return number;
}

static sums measure(const nb_best *s, const group *g, line l) {
    lanes error = splat(0), sum_q = splat(0), sum_qq = splat(0), sum_xq = splat(0);
    for (int i = 0; i < s->group / 4; i++) {
        lanes q = numbers_under(s, l, g->x[i]), wq = g->weight[i] * q, off = l.scale * q - l.minimum - g->x[i];
        error += g->weight[i] * off * off;
        sum_q += wq;
        sum_qq += wq * q;
        sum_xq += wq * g->x[i];
    }
    return (sums){sum_of(error), sum_of(sum_q), sum_of(sum_qq), sum_of(sum_xq)};
}

/* The line with the least error for these codes. Minima are at least 0 where the type needs that. */
static line regression(const nb_best *s, const group *g, sums c, line l) {
    float determinant = g->sum_w * c.qq - c.q * c.q;
    if (s->minimum_high && determinant > 0) {
        line found = {(g->sum_w * c.xq - g->sum_x * c.q) / determinant, (c.q * c.xq - c.qq * g->sum_x) / determinant};
        if (found.minimum >= 0 || s->minimum_low)
            return found;
    }
    return c.qq > 0 ? (line){c.xq / c.qq, 0} : l;
}

/* Some rounds from a starting line. *best and *least become those of a smaller error. */
static void descend(const nb_best *s, const group *g, line l, line *best, float *least) {
    for (int round = 0; round <= GROUP_ROUNDS; round++) {
        sums c = measure(s, g, l);
        if (c.error < *least) {
            *least = c.error;
            *best = l;
        }
        l = regression(s, g, c, l);
    }
}

/* Starts from lines that cover the weights' range, and from lines that cover less, as the group may have outliers. */
static line search_line(const nb_best *s, const group *g) {
    static const float cuts[] = {-0.04f, 0, 0.04f, 0.1f, 0.18f, 0.3f, 0.5f};
    enum { CUTS = sizeof cuts / sizeof *cuts };
    float low = s->minimum_low ? g->x[0][0] : 0, high = low, least = 0x1.fffffep127f;
    line best = {0, -low};
    for (int i = 0; i < s->group; i++) {
        low = NB_MIN(low, g->x[i / 4][i % 4]);
        high = NB_MAX(high, g->x[i / 4][i % 4]);
    }
    descend(s, g, best, &best, &least);
    for (int i = 0; i < CUTS && s->minimum_high; i++)
        for (int k = 0; k < CUTS; k++) {
            float from = low + (high - low) * cuts[i] / 2, to = high - (high - low) * cuts[k] / 2;
            from = s->minimum_low ? from : NB_MIN(from, 0);
            descend(s, g, (line){(to - from) / (float)s->high, -from}, &best, &least);
        }
    float far = NB_MAX(high, -low) / (float)-s->low;
    for (int i = 0; i < 18 && !s->minimum_high; i++, far *= 0.93f) {
        descend(s, g, (line){far * 1.08f, 0}, &best, &least);
        descend(s, g, (line){far * -1.08f, 0}, &best, &least);
    }
    return best;
}

/* ---- the block ------------------------------------------------------------------------------------------------- */

typedef struct candidate {
    float d, m; /* numbers of binary16 */
    int16_t scales[16], minima[16];
    float error;
} candidate;

static float rounded(float x) {
    return nb_f16_to_f32(nb_f32_to_f16(x));
}

static line line_of(const candidate *c, int g) {
    return (line){c->d * (float)c->scales[g], c->m * (float)c->minima[g]};
}

static int16_t part_of(float x, float of, int low, int high) {
    return (int16_t)nb_nearest(of != 0 ? x / of : 0, low, high);
}

static void measure_all(const search *f, candidate *c) {
    c->error = 0;
    for (int g = 0; g < f->s->groups; g++)
        c->error += measure(f->s, &f->groups[g], line_of(c, g)).error;
}

/* Gives every group the integers nearest to its line. */
static void round_lines(const search *f, candidate *c) {
    for (int g = 0; g < f->s->groups; g++) {
        c->scales[g] = part_of(f->lines[g].scale, c->d, f->s->scale_low, f->s->scale_high);
        c->minima[g] = part_of(f->lines[g].minimum, c->m, f->s->minimum_low, f->s->minimum_high);
    }
    measure_all(f, c);
}

/* Moves each group's scale and minimum by -1, 0 or 1, whichever is best. */
static void try_neighbours(const search *f, candidate *c) {
    const nb_best *s = f->s;
    for (int g = 0; g < s->groups; g++) {
        candidate tried = *c;
        float least = 0x1.fffffep127f;
        for (int i = -1; i <= 1; i++)
            for (int k = -1; k <= 1; k++) {
                int scale = c->scales[g] + i, minimum = c->minima[g] + k;
                if (scale < s->scale_low || scale > s->scale_high || minimum < s->minimum_low ||
                    minimum > s->minimum_high)
                    continue;
                candidate moved = {.d = c->d, .m = c->m};
                moved.scales[g] = (int16_t)scale;
                moved.minima[g] = (int16_t)minimum;
                float error = measure(s, &f->groups[g], line_of(&moved, g)).error;
                if (error < least) {
                    least = error;
                    tried.scales[g] = (int16_t)scale;
                    tried.minima[g] = (int16_t)minimum;
                }
            }
        c->scales[g] = tried.scales[g];
        c->minima[g] = tried.minima[g];
    }
    measure_all(f, c);
}

/* d and m by regression over all groups, for the current codes: x = d (s q) - m z. */
static void fit_block(const search *f, candidate *c) {
    float aa = 0, ab = 0, bb = 0, ax = 0, bx = 0; /* sums of weight times products of a = s q, b = -z and x */
    for (int g = 0; g < f->s->groups; g++) {
        float scale = c->scales[g], minimum = (float)-c->minima[g];
        sums at = measure(f->s, &f->groups[g], line_of(c, g));
        aa += scale * scale * at.qq;
        ab += scale * minimum * at.q;
        bb += minimum * minimum * f->groups[g].sum_w;
        ax += scale * at.xq;
        bx += minimum * f->groups[g].sum_x;
    }
    float determinant = aa * bb - ab * ab;
    if (determinant > 0) {
        c->d = rounded((ax * bb - bx * ab) / determinant);
        c->m = rounded((bx * aa - ax * ab) / determinant);
    } else if (aa > 0)
        c->d = rounded((ax - c->m * ab) / aa);
    measure_all(f, c);
}

/* Improves a candidate for some rounds. *best keeps the best one seen. */
static void improve(const search *f, candidate *c, candidate *best) {
    for (int round = 0; round < BLOCK_ROUNDS; round++) {
        float before = best->error;
        try_neighbours(f, c);
        if (c->error < best->error)
            *best = *c;
        fit_block(f, c);
        if (c->error < best->error)
            *best = *c;
        if (round > 0 && !(best->error < before))
            break;
    }
}

/* A start: tries d and m near those that give the largest scale and minimum their largest integers. */
static candidate start(const search *f) {
    static const float factors[] = {0.94f, 1, 1.06f};
    const nb_best *s = f->s;
    float far = 0, most = 0;
    for (int g = 0; g < s->groups; g++) {
        far = __builtin_fabsf(f->lines[g].scale) > __builtin_fabsf(far) ? f->lines[g].scale : far;
        most = s->minimum_low ? f->lines[g].minimum : NB_MAX(most, f->lines[g].minimum);
    }
    candidate best = {.error = 0x1.fffffep127f};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < (s->minimum_high ? 3 : 1); k++) {
            candidate c = {
                .d = rounded(far / (float)(s->scale_low < 0 ? s->scale_low : s->scale_high) * factors[i]),
                .m = s->minimum_high ? rounded(most / (float)s->minimum_high * factors[k]) : 0,
            };
            round_lines(f, &c);
            if (c.error < best.error)
                best = c;
        }
    return best;
}

static void code_block(const search *f, const candidate *c, nb_best_block *block) {
    const nb_best *s = f->s;
    block->d = nb_f32_to_f16(c->d);
    block->m = nb_f32_to_f16(c->m);
    memcpy(block->scales, c->scales, sizeof block->scales);
    memcpy(block->minima, c->minima, sizeof block->minima);
    for (int g = 0; g < s->groups; g++)
        for (int i = 0; i < s->group; i++) {
            int number = (int)numbers_under(s, line_of(c, g), f->groups[g].x[i / 4])[i % 4], code = 0;
            while (s->codebook && s->codebook[code] < number)
                code++;
            block->codes[s->group * g + i] = (uint8_t)(s->codebook ? code : number - s->low);
        }
}

float nb_shrinkage_correction(float xx, float xw, float ww, float gained) {
    if (!(xw > 0 && ww > 0 && gained > 0))
        return 1;
    return NB_MAX(1, NB_MIN(xx / xw, 1 + __builtin_sqrtf(gained / 2 / ww)));
}

/* Sums of weight times x^2, x w, w^2 and (w - x)^2, where w has the codes of `codes` but d and m of `c`. */
typedef struct moments {
    float xx, xw, ww, error;
} moments;

static moments moments_of(const search *f, const candidate *codes, const candidate *c) {
    lanes xx = splat(0), xw = splat(0), ww = splat(0), error = splat(0);
    for (int g = 0; g < f->s->groups; g++)
        for (int i = 0; i < f->s->group / 4; i++) {
            line l = line_of(c, g);
            lanes x = f->groups[g].x[i], weight = f->groups[g].weight[i];
            lanes w = l.scale * numbers_under(f->s, line_of(codes, g), x) - l.minimum;
            xx += weight * x * x;
            xw += weight * x * w;
            ww += weight * w * w;
            error += weight * (w - x) * (w - x);
        }
    return (moments){sum_of(xx), sum_of(xw), sum_of(ww), sum_of(error)};
}

static void correct_shrinkage(const search *f, const candidate *best, float gained, nb_best_block *block) {
    moments now = moments_of(f, best, best);
    float factor = nb_shrinkage_correction(now.xx, now.xw, now.ww, gained);
    candidate larger = *best;
    larger.d = rounded(best->d * factor);
    larger.m = rounded(best->m * factor);
    if (moments_of(f, best, &larger).error > best->error + 0.75f * gained) /* d and m were rounded */
        return;
    block->d = nb_f32_to_f16(larger.d);
    block->m = nb_f32_to_f16(larger.m);
}

void nb_search_best(const nb_best *s, const float *x, const float *weight, nb_best_block *block) {
    search f = {.s = s};
    for (int g = 0; g < s->groups; g++) {
        load(s, x + s->group * g, weight ? weight + s->group * g : NULL, &f.groups[g]);
        f.lines[g] = search_line(s, &f.groups[g]);
    }
    candidate best = {.d = nb_f16_to_f32(block->d), .m = nb_f16_to_f32(block->m)};
    memcpy(best.scales, block->scales, sizeof best.scales);
    memcpy(best.minima, block->minima, sizeof best.minima);
    measure_all(&f, &best);
    candidate reference = best, own = start(&f);
    float before = best.error;
    improve(&f, &reference, &best);
    improve(&f, &own, &best);
    code_block(&f, &best, block);
    correct_shrinkage(&f, &best, before - best.error, block);
}
