#include "attention.h"

#include "ops.h"
#include "traits.h"

#define INLINE static inline __attribute__((always_inline))

/* A chunk of work is one KV head and some neighbouring tokens: what shares the KV head are its queries, four of which
 * meet a tile of positions at a time, as the four lanes of a vector. A lone token's chunk is one segment of positions. */
enum { TILE = 32, LANES = 4, TOKENS = 16, SEGMENT = 128 };

/* For many queries a tile is widened to floats once. A lone token's few read halves in place, as their bits shifted into a
 * float's place, which mean 2^-112 of the value (simd.h); what they meet makes up for it, exactly, and in two steps, for
 * 2^112 times a large query would overflow. */
#define HALF_QUERY 0x1p96f
#define HALF_SCORE 0x1p16f
#define HALF_VALUE 0x1p112f

/* Of some positions: softmax's maximum and sum, and the values weighted so far. */
typedef struct part {
    float *max, *sum; /* [queries], filled up to whole vectors */
    float *out;       /* [queries, value_size] */
} part;

typedef struct workspace {
    float *q;       /* [queries, head_size], scaled; filled up to LANES */
    float *k, *v;   /* [TILE, head_size], [TILE, value_size]: a tile widened */
    float *scores;  /* [TILE, LANES] */
    part all, next; /* of a chunk's positions so far, and of the segment at hand */
} workspace;

static size_t part_floats(size_t queries, size_t value_size) {
    return NB_ROUND_UP(queries, LANES) * (2 + value_size);
}

static part part_at(float *p, size_t queries) {
    queries = NB_ROUND_UP(queries, LANES);
    return (part){p, p + queries, p + 2 * queries};
}

static size_t workspace_floats(size_t queries, size_t head_size, size_t value_size) {
    return NB_ROUND_UP(queries, LANES) * head_size + TILE * (head_size + value_size + LANES) + 2 * part_floats(queries, value_size);
}

static uint32_t segments_of(uint32_t positions) {
    return (positions + SEGMENT - 1) / SEGMENT;
}

/* Of a lone token: [kv_heads, segments]. */
static uint64_t parts_floats(uint32_t heads, uint32_t kv_heads, uint32_t value_size, uint32_t context) {
    return (uint64_t)kv_heads * segments_of(context) * part_floats(heads / kv_heads, value_size);
}

uint64_t nb_attention_scratch(uint32_t heads, uint32_t kv_heads, uint32_t head_size, uint32_t value_size, uint32_t context,
                              uint32_t threads) {
    return parts_floats(heads, kv_heads, value_size, context) +
           (uint64_t)threads * workspace_floats((size_t)heads / kv_heads * TOKENS, head_size, value_size);
}

static part lone_part(const nb_attention *a, uint32_t kv, uint32_t segment) {
    uint32_t group = a->heads / a->kv_heads;
    return part_at(a->scratch + ((size_t)kv * segments_of(a->context) + segment) * part_floats(group, a->value_size), group);
}

static workspace workspace_at(const nb_attention *a, int32_t thread) {
    size_t queries = a->heads / a->kv_heads * TOKENS;
    workspace w;
    w.q = a->scratch + parts_floats(a->heads, a->kv_heads, a->value_size, a->context) +
          (size_t)thread * workspace_floats(queries, a->head_size, a->value_size);
    w.k = w.q + NB_ROUND_UP(queries, LANES) * a->head_size;
    w.v = w.k + TILE * a->head_size;
    w.scores = w.v + TILE * a->value_size;
    w.all = part_at(w.scores + TILE * LANES, queries);
    w.next = part_at(w.scores + TILE * LANES + part_floats(queries, a->value_size), queries);
    return w;
}

/* ---- the cache ---------------------------------------------------------------------------------------------- */

size_t nb_cache_bytes(uint32_t type, uint32_t size) {
    const nb_traits *traits = nb_traits_of(type);
    return size / traits->block_weights * traits->block_bytes;
}

/* To nearest, ties to even, saturating. Below the least normal half, 2^-14, there is zero: read as above, a subnormal half
 * would be a subnormal float, which costs many times an ordinary one, and it is less than half a last place of 1/8. */
static void store_f16(uint16_t *out, const float *x, uint32_t size) {
    for (uint32_t i = 0; i < size; i += 4) {
        v128_t bits = wasm_v128_load(x + i), magnitude = wasm_v128_and(bits, wasm_i32x4_splat(0x7fffffff));
        v128_t normal = wasm_i32x4_ge(magnitude, wasm_i32x4_splat(0x38800000)); /* 2^-14 */
        v128_t h = wasm_i32x4_min(magnitude, wasm_i32x4_splat(0x477fe000));     /* 65504 */
        h = wasm_i32x4_add(h, wasm_i32x4_add(wasm_i32x4_splat(0xfff), wasm_v128_and(wasm_u32x4_shr(h, 13), wasm_i32x4_splat(1))));
        h = wasm_u32x4_shr(wasm_i32x4_sub(h, wasm_i32x4_splat(0x38000000)), 13);
        h = wasm_v128_and(h, normal);
        h = wasm_v128_or(h, wasm_v128_and(wasm_u32x4_shr(bits, 16), wasm_i32x4_splat(0x8000)));
        h = wasm_u16x8_narrow_i32x4(h, h);
        wasm_v128_store64_lane(out + i, h, 0);
    }
}

static void store_q8_0(nb_block_q8_0 *block, const float *x) {
    float max = 0;
    for (uint32_t i = 0; i < NB_BLOCK; i++)
        max = NB_MAX(max, x[i] < 0 ? -x[i] : x[i]);
    block->d = nb_f32_to_f16(max / 127);
    float d = nb_f16_to_f32(block->d), inverse = d > 0 ? 1 / d : 0;
    for (uint32_t i = 0; i < NB_BLOCK; i += 4) {
        v128_t q = wasm_f32x4_nearest(wasm_f32x4_mul(wasm_v128_load(x + i), wasm_f32x4_splat(inverse)));
        q = wasm_i32x4_trunc_sat_f32x4(q);
        q = wasm_i16x8_narrow_i32x4(q, q);
        wasm_v128_store32_lane(block->q + i, wasm_i8x16_narrow_i16x8(q, q), 0); /* rounding d may leave 128: saturates */
    }
}

void nb_cache_store(uint32_t type, uint8_t *out, const float *x, uint32_t size) {
    if (type == NB_TYPE_F16)
        store_f16((uint16_t *)out, x, size);
    else if (type == NB_TYPE_F32)
        memcpy(out, x, size * sizeof(float));
    else
        for (uint32_t i = 0; i < size / NB_BLOCK; i++)
            store_q8_0((nb_block_q8_0 *)out + i, x + i * NB_BLOCK);
}

static bool reads_halves(const nb_attention *a) {
    return a->type == NB_TYPE_F16 && a->n == 1;
}

static void widen(uint32_t type, float *out, const uint8_t *in, uint32_t n) {
    for (uint32_t i = 0; i < n && type == NB_TYPE_F16; i += 4)
        wasm_v128_store(out + i, nb_load_f16x4(in + 2 * i));
    if (type == NB_TYPE_F16)
        return;
    const nb_block_q8_0 *b = (const nb_block_q8_0 *)in;
    for (; n; n -= NB_BLOCK, b++, out += NB_BLOCK) {
        v128_t d = wasm_f32x4_splat(nb_f16_to_f32(b->d));
        for (uint32_t i = 0; i < NB_BLOCK; i += 8) {
            v128_t q = wasm_i16x8_load8x8(b->q + i);
            wasm_v128_store(out + i, wasm_f32x4_mul(wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(q)), d));
            wasm_v128_store(out + i + 4, wasm_f32x4_mul(wasm_f32x4_convert_i32x4(wasm_i32x4_extend_high_i16x8(q)), d));
        }
    }
}

/* ---- queries meet positions --------------------------------------------------------------------------------- */

/* Eight elements of floats, or of halves as explained above: two vectors. */
INLINE void load8(const uint8_t *p, const bool half, v128_t mask, v128_t *x) {
    if (!half) {
        x[0] = wasm_v128_load(p);
        x[1] = wasm_v128_load(p + 16);
        return;
    }
    v128_t h = wasm_v128_load(p), zero = wasm_i32x4_splat(0); /* shifted left by 16, and back by 3: bits 28 ... 31 are the sign */
    x[0] = wasm_v128_and(wasm_i32x4_shr(wasm_i16x8_shuffle(zero, h, 0, 8, 1, 9, 2, 10, 3, 11), 3), mask);
    x[1] = wasm_v128_and(wasm_i32x4_shr(wasm_i16x8_shuffle(zero, h, 4, 12, 5, 13, 6, 14, 7, 15), 3), mask);
}

INLINE v128_t load4(const uint8_t *p, const bool half, v128_t mask) {
    return half ? wasm_v128_and(wasm_i32x4_shl(wasm_i32x4_load16x4(p), 13), mask) : wasm_v128_load(p);
}

/* Positions to score at a time: enough sums to hide the latency of one, few enough for the registers. */
INLINE uint32_t positions_of(const uint32_t Q) {
    return Q == 1 ? 4 : Q == 3 ? 3 : 2;
}

/* scores[p][lane] = q[lane] . k[p] of `count` positions; lanes < Q are queries. (Here and below the pointers walk: the
 * compiler would compute each address anew.) */
INLINE void score_some(const float *q, const uint8_t *k, float *scores, uint32_t size, const bool half, const uint32_t Q,
                       const uint32_t count) {
    const size_t item = half ? 2 : 4;
    const float *qs[LANES];
    const uint8_t *ks[4];
    v128_t s[4][LANES], mask = nb_held_constant(NB_F16_MASK);
    for (uint32_t lane = 0; lane < Q; lane++)
        qs[lane] = q + (size_t)lane * size;
    for (uint32_t p = 0; p < count; p++) {
        ks[p] = k + p * size * item;
        for (uint32_t lane = 0; lane < LANES; lane++)
            s[p][lane] = wasm_f32x4_splat(0);
    }
    for (uint32_t n = size / 8; n; n--) {
        v128_t x[4][2];
        for (uint32_t p = 0; p < count; p++, ks[p - 1] += 8 * item)
            load8(ks[p], half, mask, x[p]);
        for (uint32_t h = 0; h < 2; h++)
            for (uint32_t lane = 0; lane < Q; lane++) {
                v128_t y = wasm_v128_load(qs[lane] + 4 * h);
                for (uint32_t p = 0; p < count; p++)
                    s[p][lane] = nb_madd(x[p][h], y, s[p][lane]);
            }
        for (uint32_t lane = 0; lane < Q; lane++)
            qs[lane] += 8;
    }
    if (size % 8)
        for (uint32_t p = 0; p < count; p++) {
            v128_t x = load4(ks[p], half, mask);
            for (uint32_t lane = 0; lane < Q; lane++)
                s[p][lane] = nb_madd(x, wasm_v128_load(qs[lane]), s[p][lane]);
        }
    for (uint32_t p = 0; p < count; p++) {
        v128_t sums = nb_sums_f32x4(s[p][0], s[p][1], s[p][2], s[p][3]);
        wasm_v128_store(scores + p * LANES, half ? wasm_f32x4_mul(sums, wasm_f32x4_splat(HALF_SCORE)) : sums);
    }
}

INLINE void score(const float *q, const uint8_t *k, float *scores, uint32_t n, uint32_t size, const bool half, const uint32_t Q) {
    const uint32_t count = positions_of(Q);
    const size_t row = size * (half ? 2 : 4);
    uint32_t j = 0;
    for (; j + count <= n; j += count)
        score_some(q, k + j * row, scores + j * LANES, size, half, Q, count);
    for (; j < n; j++)
        score_some(q, k + j * row, scores + j * LANES, size, half, Q, 1);
}

/* out[lane] = out[lane] * keep[lane] + Σ_j p[j][lane] v[j], of 4 `count` columns; row: bytes from v[j] to v[j + 1]. */
INLINE void accumulate_some(float *out, const uint8_t *v, const float *p, uint32_t n, uint32_t size, size_t row, v128_t keep,
                            const bool half, const uint32_t Q, const uint32_t count) {
    v128_t o[LANES][2], mask = nb_held_constant(NB_F16_MASK), weights[LANES];
    weights[0] = nb_lane_splat(keep, 0), weights[1] = nb_lane_splat(keep, 1);
    weights[2] = nb_lane_splat(keep, 2), weights[3] = nb_lane_splat(keep, 3);
    for (uint32_t lane = 0; lane < Q; lane++)
        for (uint32_t c = 0; c < count; c++)
            o[lane][c] = wasm_f32x4_mul(wasm_v128_load(out + (size_t)lane * size + 4 * c), weights[lane]);
    for (; n; n--, p += LANES, v += row) {
        v128_t all = wasm_v128_load(p), x[2];
        weights[0] = nb_lane_splat(all, 0), weights[1] = nb_lane_splat(all, 1);
        weights[2] = nb_lane_splat(all, 2), weights[3] = nb_lane_splat(all, 3);
        if (count == 2)
            load8(v, half, mask, x);
        else
            x[0] = load4(v, half, mask);
        for (uint32_t c = 0; c < count; c++)
            for (uint32_t lane = 0; lane < Q; lane++)
                o[lane][c] = nb_madd(x[c], weights[lane], o[lane][c]);
    }
    for (uint32_t lane = 0; lane < Q; lane++)
        for (uint32_t c = 0; c < count; c++)
            wasm_v128_store(out + (size_t)lane * size + 4 * c, o[lane][c]);
}

INLINE void accumulate(float *out, const uint8_t *v, const float *p, uint32_t n, uint32_t size, v128_t keep, const bool half,
                       const uint32_t Q) {
    const size_t item = half ? 2 : 4;
    uint32_t i = 0;
    for (; i + 8 <= size; i += 8)
        accumulate_some(out + i, v + i * item, p, n, size, size * item, keep, half, Q, 2);
    if (i < size)
        accumulate_some(out + i, v + i * item, p, n, size, size * item, keep, half, Q, 1);
}

/* n positions of the cache, and which of them each lane's query sees: relative ones, begin <= j < end. */
typedef struct tile {
    const uint8_t *k, *v;
    uint32_t n;
    bool whole; /* every lane sees all */
    v128_t begin, end;
} tile;

/* Q queries meet a tile: scores, running softmax, weighted values. */
INLINE void meet(const nb_attention *a, const workspace *w, const part *to, uint32_t query, const tile *t, const bool half,
                 const uint32_t Q) {
    score(w->q + (size_t)query * a->head_size, t->k, w->scores, t->n, a->head_size, half, Q);
    if (a->cap > 0)
        nb_cap(w->scores, a->cap, (size_t)t->n * LANES);
    const nb_exp_constants c = nb_exp_held();
    v128_t before = wasm_v128_load(to->max + query), max = before, sum = wasm_f32x4_splat(0);
    for (uint32_t j = 0; j < t->n; j++) {
        v128_t s = wasm_v128_load(w->scores + j * LANES);
        if (!t->whole) { /* less than any maximum: weighs nothing as soon as there is a real one */
            v128_t at = wasm_i32x4_splat((int32_t)j), seen = wasm_v128_and(wasm_i32x4_ge(at, t->begin), wasm_i32x4_lt(at, t->end));
            s = wasm_v128_bitselect(s, wasm_f32x4_splat(-2e30f), seen);
            wasm_v128_store(w->scores + j * LANES, s);
        }
        max = wasm_f32x4_pmax(max, s);
    }
    for (uint32_t j = 0; j < t->n; j++) {
        v128_t p = nb_exp_f32x4(wasm_f32x4_sub(wasm_v128_load(w->scores + j * LANES), max), &c);
        sum = wasm_f32x4_add(sum, p);
        wasm_v128_store(w->scores + j * LANES, half ? wasm_f32x4_mul(p, wasm_f32x4_splat(HALF_VALUE)) : p);
    }
    v128_t keep = nb_exp_f32x4(wasm_f32x4_sub(before, max), &c);
    wasm_v128_store(to->max + query, max);
    wasm_v128_store(to->sum + query, wasm_f32x4_add(wasm_f32x4_mul(wasm_v128_load(to->sum + query), keep), sum));
    accumulate(to->out + (size_t)query * a->value_size, t->v, w->scores, t->n, a->value_size, keep, half, Q);
}

/* Compiled for the usual numbers of queries only: where there are fewer, the other lanes compute what nobody reads. */
static void meet_any(const nb_attention *a, const workspace *w, const part *to, uint32_t query, const tile *t, uint32_t Q) {
    if (!reads_halves(a))
        meet(a, w, to, query, t, false, 4);
    else if (Q == 1)
        meet(a, w, to, query, t, true, 1);
    else if (Q <= 3)
        meet(a, w, to, query, t, true, 3);
    else
        meet(a, w, to, query, t, true, 4);
}

/* ---- the work, cut ------------------------------------------------------------------------------------------ */

/* Some tokens of one KV head. */
typedef struct span {
    uint32_t kv, token, tokens;
} span;

/* Positions that token t of the batch sees. */
static uint32_t end_of(const nb_attention *a, uint32_t t) {
    return a->first + (a->both_ways ? a->n : t + 1);
}

static uint32_t begin_of(const nb_attention *a, uint32_t t) {
    return a->window && end_of(a, t) > a->window ? end_of(a, t) - a->window : 0;
}

static void scale_queries(const nb_attention *a, const workspace *w, span s) {
    uint32_t group = a->heads / a->kv_heads;
    v128_t scale = wasm_f32x4_splat(reads_halves(a) ? a->scale * HALF_QUERY : a->scale);
    for (uint32_t t = 0; t < s.tokens; t++)
        for (uint32_t i = 0; i < group * a->head_size; i += 4)
            wasm_v128_store(w->q + (size_t)t * group * a->head_size + i, wasm_f32x4_mul(scale, wasm_v128_load(
                a->q + ((size_t)(s.token + t) * a->heads + s.kv * group) * a->head_size + i)));
}

/* One tile of the cache meets all the span's queries. */
static void meet_tile(const nb_attention *a, const workspace *w, const part *to, span s, uint32_t at, uint32_t n) {
    uint32_t group = a->heads / a->kv_heads, queries = s.tokens * group;
    size_t k_bytes = nb_cache_bytes(a->type, a->head_size), v_bytes = nb_cache_bytes(a->type, a->value_size);
    tile t = {.k = a->k + ((size_t)s.kv * a->context + at) * k_bytes, .v = a->v + ((size_t)s.kv * a->context + at) * v_bytes, .n = n};
    if (a->type != NB_TYPE_F32 && !reads_halves(a)) {
        widen(a->type, w->k, t.k, n * a->head_size);
        widen(a->type, w->v, t.v, n * a->value_size);
        t.k = (const uint8_t *)w->k;
        t.v = (const uint8_t *)w->v;
    }
    for (uint32_t query = 0; query < queries; query += LANES) {
        uint32_t Q = NB_MIN(LANES, queries - query), first = s.token + query / group, last = s.token + (query + Q - 1) / group;
        if (at >= end_of(a, last) || at + n <= begin_of(a, first))
            continue;
        t.whole = at >= begin_of(a, last) && at + n <= end_of(a, first);
        int32_t begin[LANES], end[LANES];
        for (uint32_t lane = 0; lane < LANES && !t.whole; lane++) {
            uint32_t token = s.token + NB_MIN(query + lane, queries - 1) / group;
            begin[lane] = (int32_t)begin_of(a, token) - (int32_t)at;
            end[lane] = (int32_t)end_of(a, token) - (int32_t)at;
        }
        if (!t.whole) {
            t.begin = wasm_v128_load(begin);
            t.end = wasm_v128_load(end);
        }
        meet_any(a, w, to, query, &t, Q);
    }
}

/* The span's queries over the positions of one segment. */
static void attend_segment(const nb_attention *a, const workspace *w, const part *to, span s, uint32_t segment) {
    uint32_t queries = NB_ROUND_UP(s.tokens * (a->heads / a->kv_heads), LANES);
    for (uint32_t i = 0; i < queries; i++) {
        to->max[i] = -1e30f;
        to->sum[i] = 0;
    }
    memset(to->out, 0, (size_t)queries * a->value_size * sizeof(float));
    uint32_t begin = NB_MAX(segment * SEGMENT, begin_of(a, s.token) / TILE * TILE);
    uint32_t end = NB_MIN((segment + 1) * SEGMENT, end_of(a, s.token + s.tokens - 1));
    for (uint32_t at = begin; at < end; at += TILE)
        meet_tile(a, w, to, s, at, NB_MIN(TILE, end - at));
}

/* all += next: positions that follow */
static void merge(const nb_attention *a, const part *all, const part *next, uint32_t queries) {
    const nb_exp_constants c = nb_exp_held();
    for (uint32_t query = 0; query < queries; query += LANES) {
        v128_t m = wasm_v128_load(all->max + query), n = wasm_v128_load(next->max + query), max = wasm_f32x4_pmax(m, n);
        float keep[LANES], add[LANES];
        m = nb_exp_f32x4(wasm_f32x4_sub(m, max), &c);
        n = nb_exp_f32x4(wasm_f32x4_sub(n, max), &c);
        wasm_v128_store(keep, m);
        wasm_v128_store(add, n);
        wasm_v128_store(all->max + query, max);
        wasm_v128_store(all->sum + query, wasm_f32x4_add(wasm_f32x4_mul(wasm_v128_load(all->sum + query), m),
                                                         wasm_f32x4_mul(wasm_v128_load(next->sum + query), n)));
        for (uint32_t lane = 0; lane < LANES && query + lane < queries; lane++)
            for (uint32_t i = 0; i < a->value_size; i += 4) {
                float *out = all->out + (size_t)(query + lane) * a->value_size + i;
                v128_t more = wasm_v128_load(next->out + (size_t)(query + lane) * a->value_size + i);
                wasm_v128_store(out, wasm_f32x4_add(wasm_f32x4_mul(wasm_v128_load(out), wasm_f32x4_splat(keep[lane])),
                                                    wasm_f32x4_mul(more, wasm_f32x4_splat(add[lane]))));
            }
    }
}

static void finish(const nb_attention *a, const part *all, span s) {
    uint32_t group = a->heads / a->kv_heads;
    for (uint32_t query = 0; query < s.tokens * group; query++) {
        float *out = a->out + ((size_t)(s.token + query / group) * a->heads + s.kv * group + query % group) * a->value_size;
        v128_t scale = wasm_f32x4_splat(1 / all->sum[query]);
        for (uint32_t i = 0; i < a->value_size; i += 4)
            wasm_v128_store(out + i, wasm_f32x4_mul(wasm_v128_load(all->out + (size_t)query * a->value_size + i), scale));
    }
}

/* Many tokens: a chunk goes through all the segments that its tokens see. */
static void attend_span(void *context, int32_t index, int32_t count, int32_t thread) {
    (void)count;
    const nb_attention *a = context;
    workspace w = workspace_at(a, thread);
    uint32_t token = (uint32_t)index / a->kv_heads * TOKENS;
    span s = {(uint32_t)index % a->kv_heads, token, NB_MIN(TOKENS, a->n - token)};
    scale_queries(a, &w, s);
    uint32_t segment = begin_of(a, token) / SEGMENT, end = segments_of(end_of(a, token + s.tokens - 1));
    attend_segment(a, &w, &w.all, s, segment);
    while (++segment < end) {
        attend_segment(a, &w, &w.next, s, segment);
        merge(a, &w.all, &w.next, s.tokens * (a->heads / a->kv_heads));
    }
    finish(a, &w.all, s);
}

/* A lone token: a chunk is one segment. */
static void attend_alone(void *context, int32_t index, int32_t count, int32_t thread) {
    (void)count;
    const nb_attention *a = context;
    workspace w = workspace_at(a, thread);
    span s = {(uint32_t)index % a->kv_heads, 0, 1};
    uint32_t segment = begin_of(a, 0) / SEGMENT + (uint32_t)index / a->kv_heads;
    part to = lone_part(a, s.kv, segment);
    scale_queries(a, &w, s);
    attend_segment(a, &w, &to, s, segment);
}

void nb_attend(nb_pool *pool, const nb_attention *a) {
    if (a->n > 1) {
        nb_parallel(pool, (int32_t)(a->kv_heads * ((a->n + TOKENS - 1) / TOKENS)), attend_span, (void *)a);
        return;
    }
    uint32_t first = begin_of(a, 0) / SEGMENT, end = segments_of(end_of(a, 0));
    nb_parallel(pool, (int32_t)(a->kv_heads * (end - first)), attend_alone, (void *)a);
    for (uint32_t kv = 0; kv < a->kv_heads; kv++) {
        part all = lone_part(a, kv, first);
        for (uint32_t segment = first + 1; segment < end; segment++) {
            part next = lone_part(a, kv, segment);
            merge(a, &all, &next, a->heads / a->kv_heads);
        }
        finish(a, &all, (span){kv, 0, 1});
    }
}
