/* A session of a model of integers: its cache and buffers. */
#ifndef NB_INTEGER_SESSION_H
#define NB_INTEGER_SESSION_H

#include "../base/memory.h"
#include "integer_model.h"

struct nb_integer_session {
    const nb_integer_model *model;
    nb_pool *pool;
    nb_arena arena; /* everything below */
    uint32_t context, batch, logits_capacity;
    uint32_t held;   /* positions of the cache that are filled */
    int32_t *tokens; /* [context]: the tokens at these positions */
    /* [layers, kv_heads, context, head_size], and scales [layers, kv_heads, context] */
    int8_t *keys, *values;
    nb_dyadic *key_scales, *value_scales;
    uint32_t first, rows;     /* the current batch: its first token's position, and its size */
    int32_t *cosines, *sines; /* [batch, head_size / 2], in units of 2^-15 */
    int32_t *x;               /* [batch, width]: the residual stream */
    int16_t *codes;           /* [batch, columns]: the input of a matrix */
    nb_dyadic *scales;        /* [batch] */
    int32_t *q, *k, *v;       /* [batch, heads * head_size], [batch, kv_heads * head_size] x 2 */
    int16_t *q_codes;         /* [batch, heads * head_size] */
    nb_dyadic *q_scales;      /* [batch, heads] */
    int32_t *gate, *up;       /* [batch, feed_forward] */
    int32_t *logits;          /* [logits_capacity, vocabulary] */
    uint32_t logits_rows;
    uint64_t scratch_size; /* of a thread */
    int64_t *scratch;      /* [threads, scratch_size] */
};

/* Where the keys or values of a layer and a head begin in the cache, in positions. */
static inline size_t nb_integer_place(const nb_integer_session *s, uint32_t layer, uint32_t kv_head) {
    return ((size_t)layer * s->model->kv_heads + kv_head) * s->context;
}

/* Attention of query `head` of row `row` over all positions up to its own. The result overwrites it in s->q. scratch:
 * [context]. */
void nb_integer_attend(nb_integer_session *s, uint32_t layer, uint32_t row, uint32_t head, int64_t *scratch);

#endif
