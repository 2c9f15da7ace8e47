/* Attention of a batch of queries over a KV cache: causal, or of an encoder. */
#ifndef NB_ATTENTION_H
#define NB_ATTENTION_H

#include "../base/threads.h"

#include <stdbool.h>

typedef struct nb_attention {
    const float *q;            /* [n, heads, head_size] */
    float *out;                /* [n, heads, value_size] */
    const uint8_t *k, *v;      /* [kv_heads, context, head_size], [kv_heads, context, value_size] */
    uint32_t type;             /* of the cache: NB_TYPE_F32, NB_TYPE_F16, or NB_TYPE_Q8_0 (sizes are multiples of 32) */
    uint32_t n, first;         /* queries, and the position of the first one */
    uint32_t heads, kv_heads;  /* query heads h with h / (heads / kv_heads) = g share KV head g */
    uint32_t head_size, value_size; /* multiples of 4 */
    uint32_t context;          /* positions in the cache */
    bool both_ways;            /* a query sees the whole batch, what follows it included; n > 1 then has no window */
    uint32_t window;           /* a query sees this many positions, its own included; 0: all */
    float scale;               /* of the scores, usually 1 / sqrt(head_size) */
    float cap;                 /* scores s become cap tanh(s / cap); 0: they stay */
    float *scratch;            /* nb_attention_scratch floats */
} nb_attention;

/* Bytes of one position of one head in a cache. */
size_t nb_cache_bytes(uint32_t type, uint32_t size);

/* x[size] -> its place in a cache. Halves below 2^-14 become zero, and beyond 65504 stay there; blocks have d = max|x| / 127. */
void nb_cache_store(uint32_t type, uint8_t *out, const float *x, uint32_t size);

uint64_t nb_attention_scratch(uint32_t heads, uint32_t kv_heads, uint32_t head_size, uint32_t value_size, uint32_t context,
                              uint32_t threads);

/* out = softmax(scale q k^T) v, each query over the positions 0 ... its own (within the window). One pass with a
 * running maximum and sum (Milakov and Gimelshein 2018; Dao et al. 2022, algorithm 1), all sums in F32. Stretches of
 * positions are summed apart and then merged, in the same order always, so that threads may share them: the result
 * depends neither on the threads nor on how tokens are cut into batches. */
void nb_attend(nb_pool *pool, const nb_attention *a);

#endif
