/* A session of a model of integers, with the memory to compute it. */
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
    int32_t *tokens; /* [context]: what they hold */
    /* [layers, kv_heads, context, head_size], and scales [layers, kv_heads, context] */
    int8_t *keys, *values;
    nb_dyadic *key_scales, *value_scales;
    uint32_t first, rows;     /* the batch at hand: its first token's position, and how many tokens it has */
    int32_t *cosines, *sines; /* [batch, head_size / 2], in units of 2^-15 */
    int32_t *x;               /* [batch, width]: the residual stream */
    int16_t *codes;           /* [batch, columns]: what a matrix is multiplied with */
    nb_dyadic *scales;        /* [batch] */
    int32_t *q, *k, *v;       /* [batch, heads * head_size], [batch, kv_heads * head_size] x 2 */
    int16_t *q_codes;         /* [batch, heads * head_size] */
    nb_dyadic *q_scales;      /* [batch, heads] */
    int32_t *gate, *up;       /* [batch, feed_forward] */
    int32_t *logits;          /* [logits_capacity, vocabulary] */
    uint32_t logits_rows;
    uint64_t wide_size; /* of a thread */
    int64_t *wide;      /* [threads, wide_size] */
};

/* Keys or values of a layer and a head: where they begin in the cache, in positions. */
static inline size_t nb_integer_place(const nb_integer_session *s, uint32_t layer, uint32_t kv_head) {
    return ((size_t)layer * s->model->kv_heads + kv_head) * s->context;
}

/* q of row `row` and head `head`, which looks at all positions up to its own -> its place in s->q. wide: [context]. */
void nb_integer_attend(nb_integer_session *s, uint32_t layer, uint32_t row, uint32_t head, int64_t *wide);

#endif
