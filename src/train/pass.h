/* What all steps of a forward and a backward pass share: the shape, the threads, and working memory. A batch has
 * n = sequences * length tokens, one sequence after the other. */
#ifndef NB_PASS_H
#define NB_PASS_H

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/threads.h"
#include "../nibble_train.h"
#include "product.h"

typedef struct nb_signals nb_signals; /* signals.h */

typedef struct nb_pass {
    nb_train_shape shape;
    nb_pool *pool;
    const nb_signals *signals;            /* NULL: inputs and gradients of products are not rounded */
    uint32_t n, length;                   /* tokens; tokens of each sequence */
    float *cosines, *sines, *minus_sines; /* [length, head_size / 2] */
    float *products;                      /* [threads, NB_PRODUCT_SCRATCH] */
    float *scores;                        /* [threads, 2, NB_QUERY_BLOCK, length] */
    float *normed;                        /* [n, width] */
    float *hidden;                        /* [n, hidden] */
    float *inverse;                       /* [n]: 1 / root mean square. Backward only, as all below */
    float *d_normed;                      /* [n, width] */
    float *d_gate, *d_up, *d_hidden;      /* [n, hidden] */
    float *d_q, *d_k, *d_v, *d_attended;  /* [n, heads * head_size], [n, kv_heads * head_size] x 2, as d_q */
} nb_pass;

enum { NB_QUERY_BLOCK = 32 }; /* queries of a block of attention */

static inline uint32_t nb_query_width(const nb_pass *p) {
    return p->shape.heads * p->shape.head_size;
}

static inline uint32_t nb_key_width(const nb_pass *p) {
    return p->shape.kv_heads * p->shape.head_size;
}

/* Work that a thread claims at a time: numbers of a vector, or tokens of a batch. These sizes do not depend on the
 * number of threads, so the order of sums is fixed. */
enum { NB_PIECE = 4096, NB_TOKENS = 16 };

static inline uint64_t nb_pieces(uint64_t n, uint64_t size) {
    return (n + size - 1) / size;
}

#endif
