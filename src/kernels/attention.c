#include "attention.h"

#include "ops.h"

/* A chunk of work is one KV head and some neighbouring tokens. The query heads that share the KV head, times those
 * tokens, are its "lanes" of work (called queries here): each tile of the cache is widened to F32 once for all. */
enum { TILE = 32, TOKENS = 8 };

typedef struct workspace {
    float *k;      /* [TILE, head_size] */
    float *v;      /* [TILE, value_size] */
    float *scores; /* [TILE] */
    float *max;    /* [queries] */
    float *sum;    /* [queries] */
    float *out;    /* [queries, value_size] */
} workspace;

static uint32_t queries_of(uint32_t heads, uint32_t kv_heads) {
    return heads / kv_heads * TOKENS;
}

size_t nb_attention_scratch(uint32_t heads, uint32_t kv_heads, uint32_t head_size, uint32_t value_size) {
    size_t queries = queries_of(heads, kv_heads);
    return TILE * ((size_t)head_size + value_size + 1) + queries * (2 + (size_t)value_size);
}

static workspace workspace_at(float *p, const nb_attention *a) {
    uint32_t queries = queries_of(a->heads, a->kv_heads);
    workspace w;
    w.k = p;
    w.v = w.k + TILE * a->head_size;
    w.out = w.v + TILE * a->value_size;
    w.scores = w.out + queries * a->value_size;
    w.max = w.scores + TILE;
    w.sum = w.max + queries;
    return w;
}

static void widen(float *out, const uint8_t *in, size_t n, bool half) {
    if (half)
        nb_from_f16(out, (const uint16_t *)in, n);
    else
        memcpy(out, in, n * sizeof(float));
}

/* scores[j] = scale * (q . k[j]), j < n; k [n, size]. Four positions at a time. */
static void score(const float *q, const float *k, float *scores, uint32_t n, uint32_t size, float scale) {
    uint32_t j = 0;
    for (; j + 4 <= n; j += 4) {
        v128_t s[4] = {wasm_f32x4_splat(0), wasm_f32x4_splat(0), wasm_f32x4_splat(0), wasm_f32x4_splat(0)};
        const float *kj = k + (size_t)j * size;
        for (uint32_t i = 0; i < size; i += 4) {
            v128_t qi = wasm_v128_load(q + i);
            for (uint32_t r = 0; r < 4; r++)
                s[r] = nb_madd(qi, wasm_v128_load(kj + (size_t)r * size + i), s[r]);
        }
        wasm_v128_store(scores + j, wasm_f32x4_mul(nb_sums_f32x4(s[0], s[1], s[2], s[3]), wasm_f32x4_splat(scale)));
    }
    for (; j < n; j++) {
        v128_t s = wasm_f32x4_splat(0);
        for (uint32_t i = 0; i < size; i += 4)
            s = nb_madd(wasm_v128_load(q + i), wasm_v128_load(k + (size_t)j * size + i), s);
        scores[j] = nb_sum_f32x4(s) * scale;
    }
}

/* out = out * keep + Σ_j p[j] v[j]; v [n, size]. Sixteen columns at a time, then four. */
static void accumulate(float *out, const float *v, const float *p, uint32_t n, uint32_t size, float keep) {
    uint32_t i = 0;
    for (; i + 16 <= size; i += 16) {
        v128_t o[4];
        for (uint32_t c = 0; c < 4; c++)
            o[c] = wasm_f32x4_mul(wasm_v128_load(out + i + 4 * c), wasm_f32x4_splat(keep));
        for (uint32_t j = 0; j < n; j++) {
            v128_t pj = wasm_v128_load32_splat(p + j);
            const float *vj = v + (size_t)j * size + i;
            for (uint32_t c = 0; c < 4; c++)
                o[c] = nb_madd(pj, wasm_v128_load(vj + 4 * c), o[c]);
        }
        for (uint32_t c = 0; c < 4; c++)
            wasm_v128_store(out + i + 4 * c, o[c]);
    }
    for (; i < size; i += 4) {
        v128_t o = wasm_f32x4_mul(wasm_v128_load(out + i), wasm_f32x4_splat(keep));
        for (uint32_t j = 0; j < n; j++)
            o = nb_madd(wasm_v128_load32_splat(p + j), wasm_v128_load(v + (size_t)j * size + i), o);
        wasm_v128_store(out + i, o);
    }
}

/* One query meets one tile of n positions: scores, running softmax, weighted values. */
static void meet(const nb_attention *a, const workspace *w, const float *q, uint32_t query, const float *k, const float *v,
                 uint32_t n) {
    score(q, k, w->scores, n, a->head_size, a->scale);
    float max = w->max[query];
    for (uint32_t j = 0; j < n; j++)
        max = NB_MAX(max, w->scores[j]);
    float keep = wasm_f32x4_extract_lane(nb_exp_f32x4(wasm_f32x4_splat(w->max[query] - max)), 0);
    for (uint32_t j = n; j < NB_ROUND_UP(n, 4); j++)
        w->scores[j] = max; /* fills up the last vector; not summed */
    float sum = 0;
    for (uint32_t j = 0; j < n; j += 4) {
        v128_t p = nb_exp_f32x4(wasm_f32x4_sub(wasm_v128_load(w->scores + j), wasm_f32x4_splat(max)));
        wasm_v128_store(w->scores + j, p);
    }
    for (uint32_t j = 0; j < n; j++)
        sum += w->scores[j];
    w->sum[query] = w->sum[query] * keep + sum;
    w->max[query] = max;
    accumulate(w->out + (size_t)query * a->value_size, v, w->scores, n, a->value_size, keep);
}

static void run_chunk(void *context, int32_t index, int32_t count, int32_t thread) {
    (void)count;
    const nb_attention *a = context;
    workspace w = workspace_at(
        a->scratch + (size_t)thread * nb_attention_scratch(a->heads, a->kv_heads, a->head_size, a->value_size), a);
    uint32_t group = a->heads / a->kv_heads, kv = (uint32_t)index % a->kv_heads;
    uint32_t token = (uint32_t)index / a->kv_heads * TOKENS, tokens = NB_MIN(TOKENS, a->n - token);
    size_t item = a->half ? sizeof(uint16_t) : sizeof(float);
    const uint8_t *k = a->k + (size_t)kv * a->context * a->head_size * item;
    const uint8_t *v = a->v + (size_t)kv * a->context * a->value_size * item;
    for (uint32_t i = 0; i < tokens * group; i++) {
        w.max[i] = -1e30f;
        w.sum[i] = 0;
    }
    memset(w.out, 0, (size_t)tokens * group * a->value_size * sizeof(float));
    uint32_t last = a->first + token + tokens, first = a->first + token + 1; /* the first token's positions end here */
    for (uint32_t at = a->window && first > a->window ? (first - a->window) / TILE * TILE : 0; at < last; at += TILE) {
        uint32_t held = NB_MIN(TILE, last - at);
        widen(w.k, k + (size_t)at * a->head_size * item, (size_t)held * a->head_size, a->half);
        widen(w.v, v + (size_t)at * a->value_size * item, (size_t)held * a->value_size, a->half);
        for (uint32_t t = 0; t < tokens; t++) {
            uint32_t end = first + t, begin = a->window && end > a->window ? end - a->window : 0;
            uint32_t from = begin > at ? begin - at : 0, to = end > at ? NB_MIN(held, end - at) : 0;
            if (from >= to)
                continue;
            for (uint32_t h = 0; h < group; h++)
                meet(a, &w, a->q + ((size_t)(token + t) * a->heads + kv * group + h) * a->head_size, t * group + h,
                     w.k + (size_t)from * a->head_size, w.v + (size_t)from * a->value_size, to - from);
        }
    }
    for (uint32_t t = 0; t < tokens; t++)
        for (uint32_t h = 0; h < group; h++) {
            float *out = a->out + ((size_t)(token + t) * a->heads + kv * group + h) * a->value_size;
            v128_t scale = wasm_f32x4_splat(1 / w.sum[t * group + h]);
            for (uint32_t i = 0; i < a->value_size; i += 4)
                wasm_v128_store(out + i, wasm_f32x4_mul(wasm_v128_load(w.out + (size_t)(t * group + h) * a->value_size + i), scale));
        }
}

void nb_attend(nb_pool *pool, const nb_attention *a) {
    nb_parallel(pool, (int32_t)(a->kv_heads * ((a->n + TOKENS - 1) / TOKENS)), run_chunk, (void *)a);
}
