/* Attention of a batch of queries over a KV cache: causal, or not. */
#ifndef NB_ATTENTION_H
#define NB_ATTENTION_H

#include "../base/threads.h"
#include "kv_cache.h"

/* Queries of one sequence: rows [row, row + n) of a batch are positions [first, first + n) of the sequence. */
typedef struct nb_run {
    uint32_t row, n, first;
    const uint32_t *pages; /* the sequence's: of positions 0 ... 31, 32 ... 63, and so on (kv_cache.h) */
} nb_run;

/* Read by all threads. On cache lines of its own, to avoid false sharing with the caller's stack. */
typedef struct nb_attention {
    _Alignas(64) const float *q; /* [rows of all runs, heads, head_size] */
    float *out;                  /* [rows of all runs, heads, value_size] */
    const nb_cache *cache;
    const uint8_t *tiles; /* [kv_heads, pages] of the layer */
    uint32_t pages;       /* the cache's, of all sequences */
    const nb_run *runs;   /* [n_runs]: together all rows */
    uint32_t n_runs;
    uint32_t heads, kv_heads; /* query heads h with h / (heads / kv_heads) = g share KV head g */
    uint32_t context;         /* positions that a sequence may have */
    uint32_t window;          /* a query sees this many positions up to its own; 0: all */
    uint32_t after;           /* and so many that follow it in its run */
    float scale;              /* of the scores, usually 1 / sqrt(head_size) */
    float cap;                /* scores s become cap tanh(s / cap); 0: they stay */
    float *scratch;           /* nb_attention_scratch floats */
} nb_attention;

uint64_t nb_attention_scratch(const nb_cache *cache, uint32_t heads, uint32_t kv_heads, uint32_t context,
                              uint32_t threads);

/* out = softmax(scale q k^T) v, each query over the positions of its sequence that it sees. One pass with a running
 * maximum and sum (online softmax: Milakov and Gimelshein 2018; Dao et al. 2022, algorithm 1); all sums are in F32, or
 * exact. Segments of positions are summed separately, so that threads can share them, and merged in a fixed order. So
 * the result does not depend on the number of threads, on how tokens are divided into batches, or on other sequences in
 * a batch. */
void nb_attend(nb_pool *pool, const nb_attention *a);

#endif
