/* Up to four queries meet one tile of the KV cache: scores, a softmax that runs on, weighted values. */
#ifndef NB_ATTENTION_TILE_H
#define NB_ATTENTION_TILE_H

#include "kv_cache.h"

enum { NB_QUERIES = 4 }; /* queries that meet a tile together */

typedef struct nb_meeting {
    const nb_cache *cache; /* of F32, I16 or Q8_0 */
    const uint8_t *tile;
    uint32_t n;                 /* the tile's first n positions; what lies behind is not read as anything but bits */
    bool whole;                 /* every query sees all of them; else: */
    const int32_t *begin, *end; /* [queries]: each sees positions begin <= j < end of the tile */
    uint32_t queries;           /* up to four */
    const uint8_t *q;           /* nb_lanes_bytes of queries, as nb_place_query has put them */
    const float *units;         /* [4]: what a score is in units of */
    float cap;                  /* scores s become cap tanh(s / cap); 0: they stay */
    float *max, *sum;           /* [4]: softmax's, of the positions met so far */
    float *out;                 /* [4, value_columns]: values weighted so far */
    float *scratch;             /* nb_meeting_scratch floats */
} nb_meeting;

/* Bytes of four queries. */
static inline size_t nb_lanes_bytes(const nb_cache *c) {
    return NB_QUERIES * c->head_size * (nb_cache_of_integers(c) ? sizeof(int16_t) : sizeof(float));
}

/* One query, q[head_size], becomes lane 0 ... 3 of four; *unit: what its scores are in units of. Of integers: a
 * query is rounded to 15 bits, or to as many as 2^31 holds of sums of 32 products, which is most often 12 or 13. */
void nb_place_query(const nb_cache *c, uint8_t *four, uint32_t lane, const float *q, float scale, float *unit);

size_t nb_meeting_scratch(const nb_cache *c);

/* max, sum and out go on. The weights of integers are rounded to 15 bits of the tile's sum of weights. */
void nb_meet(const nb_meeting *m);

#endif
