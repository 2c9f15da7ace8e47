#include "attention_tile.h"

#include "ops.h"

typedef struct scratch {
    float *scores;        /* [4, 32], which become softmax weights */
    float *weight_scales; /* [scales of a value, 4]: of the rounded weights */
    int16_t *codes;       /* [scales of a value, 4, 32]: the rounded weights */
} scratch;

size_t nb_attend_tile_scratch(const nb_cache *c) {
    return NB_QUERIES * (NB_CACHE_TILE + c->values.scales * (1 + NB_CACHE_TILE / 2));
}

static scratch scratch_of(const nb_tile_attention *m) {
    float *scales = m->scratch + NB_QUERIES * NB_CACHE_TILE;
    return (scratch){m->scratch, scales, (int16_t *)(scales + m->cache->values.scales * NB_QUERIES)};
}

/* ---- queries ------------------------------------------------------------------------------------------------ */

/* Four queries are floats [4, head_size] or integers [head_size / 2, 4, 2]. */
void nb_pack_query(const nb_cache *c, uint8_t *four, uint32_t lane, const float *q, float scale, float *q_scale) {
    uint32_t size = c->keys.size;
    *q_scale = scale;
    if (!nb_cache_of_integers(c)) {
        memcpy((float *)four + (size_t)lane * size, q, size * sizeof(float));
        return;
    }
    /* A sum of 32 products must be below 2^31. Keys are within keys.most, so the magnitudes of the query's integers may
     * add up to 2^31 / keys.most; rounding may add 1/2 to each. (Keys of Q4_0 come as integers within 120, which
     * 32 * 32767 leave room for, as for those of Q8_0.) */
    float largest_sum = (float)(INT32_MAX / c->keys.most - NB_CACHE_BLOCK), step = 0;
    for (uint32_t from = 0; from < size; from += NB_CACHE_BLOCK) {
        float sum, largest = nb_largest(q + from, NB_MIN(NB_CACHE_BLOCK, size - from), &sum);
        step = NB_MAX(step, NB_MAX(largest / INT16_MAX, sum / largest_sum));
    }
    *q_scale = scale * step;
    for (uint32_t from = 0; from < size; from += NB_CACHE_BLOCK) {
        int16_t codes[NB_CACHE_BLOCK];
        uint32_t n = NB_MIN(NB_CACHE_BLOCK, size - from);
        nb_round_to(codes, q + from, n, step, -INT16_MAX, INT16_MAX);
        for (uint32_t i = 0; i < n; i += 2)
            memcpy(four + ((size_t)(from + i) / 2 * NB_QUERIES + lane) * 4, codes + i, 4);
    }
}

/* ---- scores ------------------------------------------------------------------------------------------------- */

/* Eight pairs of elements from memory -> 16 bits each: two vectors. */
INLINE void load_pairs(const uint8_t *p, const uint32_t item, v128_t *x) {
    x[0] = item == 1 ? wasm_i16x8_load8x8(p) : wasm_v128_load(p);
    x[1] = item == 1 ? wasm_i16x8_load8x8(p + 8) : wasm_v128_load(p + 16);
}

/* scores[lane][j] of all n positions, and of those up to the next multiple of 8; Q: lanes that are computed. (Pointers
 * are incremented, as the compiler would compute each address anew.) */
INLINE void score_integers(const nb_tile_attention *m, float *scores, const uint32_t item, const uint32_t Q) {
    const nb_cache_part *keys = &m->cache->keys;
    const float *scales = (const float *)(m->keys + keys->scales_at);
    const uint8_t *k = m->keys + keys->at;
    for (uint32_t j = 0; j < m->n; j += 8, scores += 8, scales += 8) {
        const uint8_t *q = m->q;
        const float *d = scales;
        for (uint32_t left = keys->size; left; d += NB_CACHE_TILE) {
            uint32_t n = NB_MIN(left, NB_CACHE_BLOCK);
            v128_t sums[NB_QUERIES][2];
            for (uint32_t lane = 0; lane < Q; lane++)
                sums[lane][0] = sums[lane][1] = wasm_i32x4_splat(0);
            bool more = left != keys->size;
            left -= n;
            for (n /= 4; n; n--) {
                for (uint32_t pair = 0; pair < 2; pair++, k += 16 * item, q += 4 * NB_QUERIES) {
                    v128_t x[2];
                    load_pairs(k, item, x);
                    for (uint32_t lane = 0; lane < Q; lane++) {
                        v128_t y = wasm_v128_load32_splat(q + 4 * lane);
                        sums[lane][0] = wasm_i32x4_add(sums[lane][0], wasm_i32x4_dot_i16x8(x[0], y));
                        sums[lane][1] = wasm_i32x4_add(sums[lane][1], wasm_i32x4_dot_i16x8(x[1], y));
                    }
                }
            }
            for (uint32_t lane = 0; lane < Q; lane++)
                for (uint32_t h = 0; h < 2; h++) {
                    float *s = scores + lane * NB_CACHE_TILE + 4 * h;
                    v128_t sum = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(sums[lane][h]), wasm_v128_load(d + 4 * h));
                    wasm_v128_store(s, more ? wasm_f32x4_add(wasm_v128_load(s), sum) : sum);
                }
        }
    }
}

/* The same for floats, `count` positions from j on. */
INLINE void score_some_floats(const nb_tile_attention *m, float *scores, uint32_t j, const uint32_t count) {
    uint32_t size = m->cache->keys.size;
    const float *k = (const float *)(m->keys + m->cache->keys.at) + (size_t)j * size, *q = (const float *)m->q;
    v128_t s[2][NB_QUERIES];
    for (uint32_t p = 0; p < count; p++)
        for (uint32_t lane = 0; lane < NB_QUERIES; lane++)
            s[p][lane] = wasm_f32x4_splat(0);
    for (uint32_t i = 0; i < size; i += 4)
        for (uint32_t lane = 0; lane < NB_QUERIES; lane++) {
            v128_t y = wasm_v128_load(q + (size_t)lane * size + i);
            for (uint32_t p = 0; p < count; p++)
                s[p][lane] = nb_madd(wasm_v128_load(k + (size_t)p * size + i), y, s[p][lane]);
        }
    for (uint32_t p = 0; p < count; p++) {
        v128_t sums = nb_sums_f32x4(s[p][0], s[p][1], s[p][2], s[p][3]);
        wasm_v128_store32_lane(scores + j + p, sums, 0);
        wasm_v128_store32_lane(scores + NB_CACHE_TILE + j + p, sums, 1);
        wasm_v128_store32_lane(scores + 2 * NB_CACHE_TILE + j + p, sums, 2);
        wasm_v128_store32_lane(scores + 3 * NB_CACHE_TILE + j + p, sums, 3);
    }
}

static void score_floats(const nb_tile_attention *m, float *scores) {
    uint32_t j = 0;
    for (; j + 2 <= m->n; j += 2)
        score_some_floats(m, scores, j, 2);
    if (j < m->n)
        score_some_floats(m, scores, j, 1);
}

/* ---- softmax ------------------------------------------------------------------------------------------------ */

/* Which of positions j ... j + 3 a lane sees. */
static v128_t seen(const nb_tile_attention *m, uint32_t lane, uint32_t j) {
    v128_t at = wasm_i32x4_add(wasm_i32x4_splat((int32_t)j), wasm_i32x4_make(0, 1, 2, 3));
    int32_t begin = m->whole ? 0 : m->begin[lane], end = m->whole ? (int32_t)m->n : NB_MIN(m->end[lane], (int32_t)m->n);
    return wasm_v128_and(wasm_i32x4_ge(at, wasm_i32x4_splat(begin)), wasm_i32x4_lt(at, wasm_i32x4_splat(end)));
}

/* Lane i of the result is the largest lane of x[i]. */
static v128_t largest_of(const v128_t *x) {
    v128_t ab = wasm_f32x4_pmax(wasm_i32x4_shuffle(x[0], x[1], 0, 4, 1, 5), wasm_i32x4_shuffle(x[0], x[1], 2, 6, 3, 7));
    v128_t cd = wasm_f32x4_pmax(wasm_i32x4_shuffle(x[2], x[3], 0, 4, 1, 5), wasm_i32x4_shuffle(x[2], x[3], 2, 6, 3, 7));
    return wasm_f32x4_pmax(wasm_i32x4_shuffle(ab, cd, 0, 1, 4, 5), wasm_i32x4_shuffle(ab, cd, 2, 3, 6, 7));
}

/* Scores -> softmax weights relative to the largest score so far. Returns what the weights of earlier positions must be
 * multiplied with. Positions that a query does not see get the weight 0 by a mask. A very low score would not do, as it
 * is multiplied with q_scales, which may be 0 or of any size. */
static v128_t weigh(const nb_tile_attention *m, float *scores) {
    const nb_exp_constants c = nb_exp_held();
    bool all = m->whole && m->n % 4 == 0;
    v128_t none = wasm_f32x4_splat(-3e38f), largest[NB_QUERIES] = {none, none, none, none}, sums[NB_QUERIES] = {0};
    v128_t q_scales = wasm_v128_load(m->q_scales);
    if (m->cap > 0) {
        for (uint32_t lane = 0; lane < m->queries; lane++) {
            /* Positions that a query does not see may never have been written: the cap gets zeros there. */
            for (uint32_t j = 0; j < m->n && !all; j += 4) {
                v128_t x = wasm_v128_load(scores + lane * NB_CACHE_TILE + j);
                wasm_v128_store(scores + lane * NB_CACHE_TILE + j, wasm_v128_and(x, seen(m, lane, j)));
            }
            nb_scale(scores + lane * NB_CACHE_TILE, m->q_scales[lane], NB_ROUND_UP(m->n, 4));
            nb_cap(scores + lane * NB_CACHE_TILE, m->cap, NB_ROUND_UP(m->n, 4));
        }
        q_scales = wasm_f32x4_splat(1);
    }
    for (uint32_t lane = 0; lane < m->queries; lane++)
        for (uint32_t j = 0; j < m->n; j += 4) {
            float *s = scores + lane * NB_CACHE_TILE + j;
            v128_t x = wasm_v128_load(s);
            if (!all)
                wasm_v128_store(s, x = wasm_v128_bitselect(x, none, seen(m, lane, j)));
            largest[lane] = wasm_f32x4_pmax(largest[lane], x);
        }
    v128_t before = wasm_v128_load(m->max), top = largest_of(largest);
    v128_t max = wasm_f32x4_pmax(before, wasm_f32x4_mul(top, q_scales));
    /* a query that sees no position of the tile keeps its maximum */
    max = wasm_v128_bitselect(max, before, wasm_f32x4_gt(top, none));
    v128_t keep = nb_exp_f32x4(wasm_f32x4_sub(before, max), &c);
    float scale_of[NB_QUERIES];
    wasm_v128_store(scale_of, q_scales);
    wasm_v128_store(m->max, max);
    for (uint32_t lane = 0; lane < m->queries; lane++) {
        v128_t own = wasm_v128_load32_splat(m->max + lane), scale = wasm_v128_load32_splat(scale_of + lane);
        float *s = scores + lane * NB_CACHE_TILE;
        for (uint32_t j = 0; j < m->n; j += 4) {
            /* The product is rounded as the maximum was. Unrounded (by a fused multiply-add), a huge one could exceed
             * the maximum, and its weight 1. */
            v128_t p = nb_exp_f32x4(wasm_f32x4_sub(wasm_f32x4_mul(wasm_v128_load(s + j), scale), own), &c);
            if (!all)
                p = wasm_v128_and(p, seen(m, lane, j));
            wasm_v128_store(s + j, p);
            sums[lane] = wasm_f32x4_add(sums[lane], p);
        }
    }
    wasm_v128_store(m->sum, wasm_f32x4_add(wasm_f32x4_mul(wasm_v128_load(m->sum), keep),
                                           nb_sums_f32x4(sums[0], sums[1], sums[2], sums[3])));
    return keep;
}

/* Softmax weights times the values' scales -> integers that add up to about 2^15, so that sums of their products with
 * values fit 31 bits. */
static void round_weights(const nb_tile_attention *m, const scratch *w) {
    bool all = m->whole && m->n % 8 == 0;
    v128_t magic = wasm_f32x4_splat(0x1.8p23f); /* adding it rounds */
    for (uint32_t b = 0; b < m->cache->values.scales; b++)
        for (uint32_t lane = 0; lane < m->queries; lane++) {
            const float *d = (const float *)(m->values + m->cache->values.scales_at) + b * NB_CACHE_TILE,
                        *p = w->scores + lane * NB_CACHE_TILE;
            int16_t *codes = w->codes + (b * NB_QUERIES + lane) * NB_CACHE_TILE;
            v128_t x[NB_CACHE_TILE / 4], sum = wasm_f32x4_splat(0);
            uint32_t n = 0;
            for (; n * 4 < m->n; n++) {
                x[n] = wasm_f32x4_mul(wasm_v128_load(p + 4 * n), wasm_v128_load(d + 4 * n));
                if (!all)
                    x[n] = wasm_v128_and(x[n], seen(m, lane, 4 * n));
                sum = wasm_f32x4_add(sum, x[n]);
            }
            if (n % 2)
                x[n++] = wasm_f32x4_splat(0);
            float total = nb_sum_f32x4(sum);
            v128_t f = wasm_f32x4_splat(total > 0x1p-100f ? INT16_MAX / total : 0);
            w->weight_scales[b * NB_QUERIES + lane] = total * (1.0f / INT16_MAX);
            for (uint32_t i = 0; i < n; i += 2) {
                v128_t low = wasm_i32x4_sub(nb_madd(x[i], f, magic), magic);
                v128_t high = wasm_i32x4_sub(nb_madd(x[i + 1], f, magic), magic);
                wasm_v128_store(codes + 4 * i, wasm_i16x8_narrow_i32x4(low, high));
            }
        }
}

/* ---- values ------------------------------------------------------------------------------------------------- */

/* out[lane] = out[lane] keep[lane] + Σ_j codes[lane][j] v[j] weight_scales[lane], eight columns at a time. */
INLINE void add_integers(const nb_tile_attention *m, const scratch *w, v128_t keep, const uint32_t item,
                         const uint32_t Q) {
    const uint8_t *v = m->values + m->cache->values.at;
    float *out = m->out, keeps[NB_QUERIES];
    uint32_t columns = m->cache->values.columns, pairs = NB_ROUND_UP(m->n, 4) / 2;
    wasm_v128_store(keeps, keep);
    for (uint32_t c = 0; c < columns; c += NB_COLUMNS, out += NB_COLUMNS, v += NB_COLUMNS * NB_CACHE_TILE * item) {
        uint32_t b = c / m->cache->values.block;
        const uint8_t *x = v;
        const int16_t *y = w->codes + b * NB_QUERIES * NB_CACHE_TILE;
        v128_t sums[NB_QUERIES][2];
        for (uint32_t lane = 0; lane < Q; lane++)
            sums[lane][0] = sums[lane][1] = wasm_i32x4_splat(0);
        for (uint32_t left = pairs; left; left -= 2)
            for (uint32_t pair = 0; pair < 2; pair++, x += 16 * item, y += 2) {
                v128_t values[2];
                load_pairs(x, item, values);
                for (uint32_t lane = 0; lane < Q; lane++) {
                    v128_t weights = wasm_v128_load32_splat(y + lane * NB_CACHE_TILE);
                    sums[lane][0] = wasm_i32x4_add(sums[lane][0], wasm_i32x4_dot_i16x8(values[0], weights));
                    sums[lane][1] = wasm_i32x4_add(sums[lane][1], wasm_i32x4_dot_i16x8(values[1], weights));
                }
            }
        for (uint32_t lane = 0; lane < Q; lane++)
            for (uint32_t h = 0; h < 2; h++) {
                float *o = out + (size_t)lane * columns + 4 * h;
                v128_t kept = wasm_f32x4_mul(wasm_v128_load(o), wasm_v128_load32_splat(keeps + lane));
                v128_t scale = wasm_v128_load32_splat(w->weight_scales + b * NB_QUERIES + lane);
                wasm_v128_store(o, nb_madd(wasm_f32x4_convert_i32x4(sums[lane][h]), scale, kept));
            }
    }
}

/* The same for floats, 4 `count` columns from c on. */
INLINE void add_some_floats(const nb_tile_attention *m, const float *weights, const float *keeps, uint32_t c,
                            const uint32_t count) {
    uint32_t size = m->cache->values.size;
    const float *v = (const float *)(m->values + m->cache->values.at) + c;
    v128_t o[NB_QUERIES][2];
    for (uint32_t lane = 0; lane < NB_QUERIES; lane++)
        for (uint32_t h = 0; h < count; h++)
            o[lane][h] = wasm_f32x4_mul(wasm_v128_load(m->out + (size_t)lane * size + c + 4 * h),
                                        wasm_v128_load32_splat(keeps + lane));
    for (uint32_t j = 0; j < m->n; j++, v += size)
        for (uint32_t lane = 0; lane < NB_QUERIES; lane++) {
            v128_t weight = wasm_v128_load32_splat(weights + lane * NB_CACHE_TILE + j);
            for (uint32_t h = 0; h < count; h++)
                o[lane][h] = nb_madd(wasm_v128_load(v + 4 * h), weight, o[lane][h]);
        }
    for (uint32_t lane = 0; lane < NB_QUERIES; lane++)
        for (uint32_t h = 0; h < count; h++)
            wasm_v128_store(m->out + (size_t)lane * size + c + 4 * h, o[lane][h]);
}

static void add_floats(const nb_tile_attention *m, const float *weights, v128_t keep) {
    float keeps[NB_QUERIES];
    uint32_t c = 0;
    wasm_v128_store(keeps, keep);
    for (; c + 8 <= m->cache->values.size; c += 8)
        add_some_floats(m, weights, keeps, c, 2);
    if (c < m->cache->values.size)
        add_some_floats(m, weights, keeps, c, 1);
}

/* Compiled for 1, 3 and 4 queries. If there are fewer, the results of the other lanes are ignored. */
INLINE void attend_integers(const nb_tile_attention *m, const uint32_t item, const uint32_t Q) {
    scratch w = scratch_of(m);
    score_integers(m, w.scores, item, Q);
    v128_t keep = weigh(m, w.scores);
    round_weights(m, &w);
    add_integers(m, &w, keep, item, Q);
}

INLINE void attend_queries(const nb_tile_attention *m, const uint32_t item) {
    if (m->queries == 1)
        attend_integers(m, item, 1);
    else if (m->queries <= 3)
        attend_integers(m, item, 3);
    else
        attend_integers(m, item, 4);
}

static void attend_floats(const nb_tile_attention *m) {
    scratch w = scratch_of(m);
    score_floats(m, w.scores);
    v128_t keep = weigh(m, w.scores);
    add_floats(m, w.scores, keep);
}

void nb_attend_tile(const nb_tile_attention *m) {
    if (!nb_cache_of_integers(m->cache))
        attend_floats(m);
    else if (m->cache->keys.bits == 8)
        attend_queries(m, 1);
    else
        attend_queries(m, 2);
}
