/* Attention of up to four queries to one tile of the KV cache: scores, online softmax, weighted values. This is the
 * inner step of FlashAttention. */
#ifndef NB_ATTENTION_TILE_H
#define NB_ATTENTION_TILE_H

#include "kv_cache.h"

enum { NB_QUERIES = 4 }; /* queries that attend to a tile together, one in each lane */

typedef struct nb_tile_attention {
    const nb_cache *cache;        /* nb_cache_attended: F32, I16 or Q8_0 */
    const uint8_t *keys, *values; /* the tiles that have them: mostly the same */
    uint32_t n;                   /* the tile's first n positions count; the others may hold any bits */
    bool whole;                   /* every query sees all of them; else: */
    const int32_t *begin, *end;   /* [queries]: each sees positions begin <= j < end of the tile */
    uint32_t queries;             /* up to four */
    const uint8_t *q;             /* nb_packed_queries_bytes of queries, by nb_pack_query */
    const float *q_scales;        /* [4]: a query's scores are multiplied with this */
    float cap;                    /* scores s become cap tanh(s / cap); 0: they stay */
    float *max, *sum;             /* [4]: softmax's, over the positions so far */
    float *out;                   /* [4, columns of values]: values weighted so far */
    float *scratch;               /* nb_attend_tile_scratch floats */
} nb_tile_attention;

/* Bytes of four packed queries. */
static inline size_t nb_packed_queries_bytes(const nb_cache *c) {
    return NB_QUERIES * c->keys.size * (nb_cache_of_integers(c) ? sizeof(int16_t) : sizeof(float));
}

/* Packs one query, q[head_size], as lane 0 ... 3 of four. *q_scale: what its scores must be multiplied with. For a
 * cache of integers the query is rounded to 15 bits, or to fewer if sums of 32 products would not fit 31 bits: most
 * often 12 or 13. */
void nb_pack_query(const nb_cache *c, uint8_t *four, uint32_t lane, const float *q, float scale, float *q_scale);

size_t nb_attend_tile_scratch(const nb_cache *c);

/* Updates max, sum and out. If the cache has integers, the softmax weights are rounded to 15 bits, relative to their
 * sum over the tile. */
void nb_attend_tile(const nb_tile_attention *m);

#endif
