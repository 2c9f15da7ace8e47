/* Causal attention of a batch of queries over a KV cache. */
#ifndef NB_ATTENTION_H
#define NB_ATTENTION_H

#include "../base/threads.h"

#include <stdbool.h>

typedef struct nb_attention {
    const float *q;            /* [n, heads, head_size] */
    float *out;                /* [n, heads, value_size] */
    const uint8_t *k, *v;      /* [kv_heads, context, head_size], [kv_heads, context, value_size]; halves or floats */
    bool half;                 /* the cache holds halves */
    uint32_t n, first;         /* queries, and the position of the first one */
    uint32_t heads, kv_heads;  /* query heads h with h / (heads / kv_heads) = g share KV head g */
    uint32_t head_size, value_size; /* multiples of 4 */
    uint32_t context;          /* positions in the cache */
    uint32_t window;           /* a query sees this many positions, its own included; 0: all */
    float scale;               /* of the scores, usually 1 / sqrt(head_size) */
    float *scratch;            /* [nb_pool_threads, nb_attention_scratch floats] */
} nb_attention;

size_t nb_attention_scratch(uint32_t heads, uint32_t kv_heads, uint32_t head_size, uint32_t value_size);

/* out = softmax(scale q k^T) v, each query over the positions 0 ... its own (within the window). One pass with a
 * running maximum and sum (Milakov and Gimelshein 2018; Dao et al. 2022, algorithm 1), all sums in F32. */
void nb_attend(nb_pool *pool, const nb_attention *a);

#endif
