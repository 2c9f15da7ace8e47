#include "attention.h"

#include "attention_tile.h"
#include "ops.h"

/* A chunk of work is one KV head and up to TOKENS neighbouring tokens. Their queries that share the KV head attend
 * together, four of them to one tile of the cache at a time. For a single token, a chunk is one KV head and one segment
 * of positions. Before position 256 segments are short, so that several threads have work even if there are few heads.
 * Later ones are longer, because each has to be merged. */
enum {
    TOKENS = 16,
    SEGMENT = 128,
    FINE_POSITIONS = 256,
    FINE_SEGMENT = 64,
    FINE_SEGMENTS = FINE_POSITIONS / FINE_SEGMENT
};

/* The result of attention to some of the positions: softmax's maximum and sum, and the weighted sum of values. */
typedef struct partial {
    float *max, *sum; /* [queries], padded to NB_QUERIES */
    float *out;       /* [queries, columns of values], padded likewise */
} partial;

/* Queries that share a KV head, packed for nb_attend_tile. */
typedef struct queries {
    uint8_t *q;    /* [n / 4] of nb_packed_queries_bytes */
    float *scales; /* [n], padded to NB_QUERIES */
} queries;

typedef struct workspace {
    queries own;
    uint8_t *tile;     /* by nb_cache_widen, if attention reads another layout; before that, a query */
    float *scratch;    /* of nb_attend_tile */
    partial all, next; /* over the chunk's positions so far; over the current segment */
} workspace;

static uint64_t partial_floats(const nb_cache *c, uint32_t n) {
    return nb_times(NB_ROUND_UP(n, NB_QUERIES), 2 + c->values.columns);
}

static partial partial_at(float *p, uint32_t n) {
    n = NB_ROUND_UP(n, NB_QUERIES);
    return (partial){p, p + n, p + 2 * (size_t)n};
}

static uint64_t widened_floats(const nb_cache *c) {
    nb_cache attended = nb_cache_attended(c);
    return attended.type != c->type ? attended.tile_bytes / sizeof(float) : 0;
}

static uint64_t queries_floats(const nb_cache *c, uint32_t n) {
    return nb_times((n + NB_QUERIES - 1) / NB_QUERIES, nb_packed_queries_bytes(c) / sizeof(float) + NB_QUERIES);
}

static queries queries_at(const nb_cache *c, float *p, uint32_t n) {
    return (queries){(uint8_t *)p, p + queries_floats(c, n) - NB_ROUND_UP(n, NB_QUERIES)};
}

static uint64_t workspace_floats(const nb_cache *c, uint32_t n) {
    return queries_floats(c, n) + widened_floats(c) + nb_attend_tile_scratch(c) + 2 * partial_floats(c, n);
}

static uint32_t segment_at(uint32_t position) {
    return position < FINE_POSITIONS ? position / FINE_SEGMENT : FINE_SEGMENTS + (position - FINE_POSITIONS) / SEGMENT;
}

static uint32_t segment_begin(uint32_t i) {
    return i < FINE_SEGMENTS ? i * FINE_SEGMENT : FINE_POSITIONS + (i - FINE_SEGMENTS) * SEGMENT;
}

static uint32_t segments_of(uint32_t positions) {
    return segment_at(positions - 1) + 1;
}

/* Scratch for a single token: queries [kv_heads], and partial results [kv_heads, segments]. */
static uint64_t single_floats(const nb_cache *c, uint32_t heads, uint32_t kv_heads, uint32_t context) {
    uint32_t group = heads / kv_heads;
    return nb_times(kv_heads,
                    nb_plus(queries_floats(c, group), nb_times(segments_of(context), partial_floats(c, group))));
}

uint64_t nb_attention_scratch(const nb_cache *cache, uint32_t heads, uint32_t kv_heads, uint32_t context,
                              uint32_t threads) {
    uint64_t own = nb_times(threads, workspace_floats(cache, heads / kv_heads * TOKENS));
    return nb_plus(single_floats(cache, heads, kv_heads, context), own);
}

static queries single_queries(const nb_attention *a, uint32_t kv) {
    uint32_t group = a->heads / a->kv_heads;
    return queries_at(a->cache, a->scratch + (size_t)kv * queries_floats(a->cache, group), group);
}

static partial single_partial(const nb_attention *a, uint32_t kv, uint32_t segment) {
    uint32_t group = a->heads / a->kv_heads;
    float *all = a->scratch + a->kv_heads * queries_floats(a->cache, group);
    return partial_at(all + ((size_t)kv * segments_of(a->context) + segment) * partial_floats(a->cache, group), group);
}

static workspace workspace_at(const nb_attention *a, int32_t thread) {
    const nb_cache *c = a->cache;
    uint32_t n = a->heads / a->kv_heads * TOKENS;
    workspace w;
    float *p =
        a->scratch + single_floats(c, a->heads, a->kv_heads, a->context) + (size_t)thread * workspace_floats(c, n);
    w.own = queries_at(c, p, n);
    p += queries_floats(c, n);
    w.tile = (uint8_t *)p;
    w.scratch = p += widened_floats(c);
    w.all = partial_at(p += nb_attend_tile_scratch(c), n);
    w.next = partial_at(p + partial_floats(c, n), n);
    return w;
}

/* ---- dividing the work -------------------------------------------------------------------------------------- */

/* Tokens [token, token + tokens) of a run, and one KV head. */
typedef struct span {
    const nb_run *run;
    uint32_t kv, token, tokens;
} span;

/* Positions that token t of a run sees: [begin, end). */
static uint32_t end_of(const nb_attention *a, const nb_run *r, uint32_t t) {
    return r->first + t + 1 + NB_MIN(a->after, r->n - t - 1);
}

static uint32_t begin_of(const nb_attention *a, const nb_run *r, uint32_t t) {
    uint32_t own = r->first + t + 1;
    return a->window && own > a->window ? own - a->window : 0;
}

static void pack_queries(const nb_attention *a, const workspace *w, const queries *to, span s) {
    uint32_t group = a->heads / a->kv_heads, size = a->cache->keys.size;
    for (uint32_t i = 0; i < s.tokens * group; i++) {
        const float *q =
            a->q + ((size_t)(s.run->row + s.token + i / group) * a->heads + s.kv * group + i % group) * size;
        if (a->cache->keys.transformed) {
            float *transformed = memcpy(w->tile, q, size * sizeof *q);
            nb_hadamard(transformed, size);
            q = transformed;
        }
        nb_pack_query(a->cache, to->q + i / NB_QUERIES * nb_packed_queries_bytes(a->cache), i % NB_QUERIES, q, a->scale,
                      to->scales + i);
    }
}

/* All queries of the span attend to positions [at, at + n), which are in one tile. */
static void attend_tile(const nb_attention *a, const workspace *w, const queries *from, const partial *to, span s,
                        uint32_t at, uint32_t n) {
    uint32_t group = a->heads / a->kv_heads, all = s.tokens * group;
    nb_cache cache = nb_cache_attended(a->cache);
    nb_tile_attention m = {.cache = &cache, .n = n, .cap = a->cap, .scratch = w->scratch};
    const uint8_t *tile = a->tiles + nb_cache_tile_at(a->cache, a->pages, s.kv, s.run->pages[at / NB_CACHE_TILE]);
    if (cache.type != a->cache->type)
        nb_cache_widen(a->cache, w->tile, tile, n);
    m.keys = cache.keys.type == a->cache->keys.type ? tile : w->tile;
    m.values = cache.values.type == a->cache->values.type ? tile : w->tile;
    for (uint32_t query = 0; query < all; query += NB_QUERIES) {
        m.queries = NB_MIN(NB_QUERIES, all - query);
        uint32_t first = s.token + query / group, last = s.token + (query + m.queries - 1) / group;
        if (at >= end_of(a, s.run, last) || at + n <= begin_of(a, s.run, first))
            continue;
        int32_t begin[NB_QUERIES], end[NB_QUERIES];
        for (uint32_t lane = 0; lane < m.queries; lane++) {
            uint32_t token = s.token + (query + lane) / group;
            begin[lane] = (int32_t)begin_of(a, s.run, token) - (int32_t)at;
            end[lane] = (int32_t)end_of(a, s.run, token) - (int32_t)at;
        }
        m.whole = at >= begin_of(a, s.run, last) && at + n <= end_of(a, s.run, first);
        m.begin = begin;
        m.end = end;
        m.q = from->q + query / NB_QUERIES * nb_packed_queries_bytes(a->cache);
        m.q_scales = from->scales + query;
        m.max = to->max + query;
        m.sum = to->sum + query;
        m.out = to->out + (size_t)query * cache.values.columns;
        nb_attend_tile(&m);
    }
}

/* All queries of the span attend to the positions of one segment. */
static void attend_segment(const nb_attention *a, const workspace *w, const queries *from, const partial *to, span s,
                           uint32_t segment) {
    uint32_t n = NB_ROUND_UP(s.tokens * (a->heads / a->kv_heads), NB_QUERIES);
    for (uint32_t i = 0; i < n; i++) {
        to->max[i] = -1e30f;
        to->sum[i] = 0;
    }
    memset(to->out, 0, (size_t)n * a->cache->values.columns * sizeof(float));
    uint32_t begin = NB_MAX(segment_begin(segment), begin_of(a, s.run, s.token) / NB_CACHE_TILE * NB_CACHE_TILE);
    uint32_t end = NB_MIN(segment_begin(segment + 1), end_of(a, s.run, s.token + s.tokens - 1));
    for (uint32_t at = begin; at < end; at += NB_CACHE_TILE)
        attend_tile(a, w, from, to, s, at, NB_MIN(NB_CACHE_TILE, end - at));
}

/* Merges `next`, the result over the positions that follow, into `all`. */
static void merge(const nb_attention *a, const partial *all, const partial *next, uint32_t n_queries) {
    const nb_exp_constants c = nb_exp_held();
    uint32_t columns = a->cache->values.columns;
    for (uint32_t query = 0; query < n_queries; query += NB_QUERIES) {
        v128_t m = wasm_v128_load(all->max + query), n = wasm_v128_load(next->max + query), max = wasm_f32x4_pmax(m, n);
        float keep[NB_QUERIES], add[NB_QUERIES];
        m = nb_exp_f32x4(wasm_f32x4_sub(m, max), &c);
        n = nb_exp_f32x4(wasm_f32x4_sub(n, max), &c);
        wasm_v128_store(keep, m);
        wasm_v128_store(add, n);
        wasm_v128_store(all->max + query, max);
        wasm_v128_store(all->sum + query, wasm_f32x4_add(wasm_f32x4_mul(wasm_v128_load(all->sum + query), m),
                                                         wasm_f32x4_mul(wasm_v128_load(next->sum + query), n)));
        for (uint32_t lane = 0; lane < NB_QUERIES && query + lane < n_queries; lane++)
            for (uint32_t i = 0; i < columns; i += 4) {
                float *out = all->out + (size_t)(query + lane) * columns + i;
                v128_t more = wasm_v128_load(next->out + (size_t)(query + lane) * columns + i);
                wasm_v128_store(out, wasm_f32x4_add(wasm_f32x4_mul(wasm_v128_load(out), wasm_f32x4_splat(keep[lane])),
                                                    wasm_f32x4_mul(more, wasm_f32x4_splat(add[lane]))));
            }
    }
}

static void finish(const nb_attention *a, const partial *all, span s) {
    uint32_t group = a->heads / a->kv_heads, size = a->cache->values.size;
    for (uint32_t query = 0; query < s.tokens * group; query++) {
        float *out =
            a->out + ((size_t)(s.run->row + s.token + query / group) * a->heads + s.kv * group + query % group) * size;
        v128_t scale = wasm_f32x4_splat(1 / all->sum[query]);
        for (uint32_t i = 0; i < size; i += 4)
            wasm_v128_store(out + i,
                            wasm_f32x4_mul(wasm_v128_load(all->out + (size_t)query * a->cache->values.columns + i),
                                           scale));
        if (a->cache->values.transformed)
            nb_hadamard(out, size);
    }
}

static uint32_t chunks_of(const nb_run *r) {
    return (r->n + TOKENS - 1) / TOKENS;
}

/* Many tokens: a chunk goes through all the segments that its tokens see. */
static void attend_span(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count;
    const nb_attention *a = context;
    workspace w = workspace_at(a, thread);
    uint32_t chunk = (uint32_t)(index / a->kv_heads);
    const nb_run *run = a->runs;
    for (; chunk >= chunks_of(run); run++)
        chunk -= chunks_of(run);
    uint32_t token = chunk * TOKENS;
    span s = {run, (uint32_t)(index % a->kv_heads), token, NB_MIN(TOKENS, run->n - token)};
    pack_queries(a, &w, &w.own, s);
    uint32_t segment = segment_at(begin_of(a, s.run, token)), end = segments_of(end_of(a, s.run, token + s.tokens - 1));
    attend_segment(a, &w, &w.own, &w.all, s, segment);
    while (++segment < end) {
        attend_segment(a, &w, &w.own, &w.next, s, segment);
        merge(a, &w.all, &w.next, s.tokens * (a->heads / a->kv_heads));
    }
    finish(a, &w.all, s);
}

/* A single token: a chunk is one segment, and neighbouring chunks are of the same head. */
static void attend_single(void *context, uint64_t index, uint64_t count, int32_t thread) {
    const nb_attention *a = context;
    workspace w = workspace_at(a, thread);
    uint64_t segments = count / a->kv_heads;
    span s = {a->runs, (uint32_t)(index / segments), 0, 1};
    uint32_t segment = segment_at(begin_of(a, s.run, 0)) + (uint32_t)(index % segments);
    queries from = single_queries(a, s.kv);
    partial to = single_partial(a, s.kv, segment);
    attend_segment(a, &w, &from, &to, s, segment);
}

void nb_attend(nb_pool *pool, const nb_attention *a) {
    const nb_run *run = a->runs;
    if (a->n_runs > 1 || run->n > 1) {
        uint64_t chunks = 0;
        for (; run < a->runs + a->n_runs; run++)
            chunks += chunks_of(run);
        nb_parallel(pool, a->kv_heads * chunks, false, attend_span, (void *)a);
        return;
    }
    workspace w = workspace_at(a, 0);
    for (uint32_t kv = 0; kv < a->kv_heads; kv++) {
        queries to = single_queries(a, kv);
        pack_queries(a, &w, &to, (span){run, kv, 0, 1});
    }
    uint32_t first = segment_at(begin_of(a, run, 0)), end = segments_of(end_of(a, run, 0));
    nb_parallel(pool, (uint64_t)a->kv_heads * (end - first), true, attend_single, (void *)a);
    for (uint32_t kv = 0; kv < a->kv_heads; kv++) {
        partial all = single_partial(a, kv, first);
        for (uint32_t segment = first + 1; segment < end; segment++) {
            partial next = single_partial(a, kv, segment);
            merge(a, &all, &next, a->heads / a->kv_heads);
        }
        finish(a, &all, (span){run, kv, 0, 1});
    }
}
