/* A model of integers (docs/integer.md). Its weights point into the file. */
#ifndef NB_INTEGER_MODEL_H
#define NB_INTEGER_MODEL_H

#include "../nibble_integer.h"
#include "integer_matrix.h"
#include "integer_ops.h"

typedef struct nb_integer_layer {
    nb_integer_gain attn_norm, ffn_norm; /* [width] */
    nb_integer_matrix q, k, v, o;     /* [heads * head_size, width], [kv_heads * head_size, width] x 2, [width, ...] */
    nb_integer_matrix gate, up, down; /* [feed_forward, width] x 2, [width, feed_forward] */
} nb_integer_layer;

struct nb_integer_model {
    uint32_t vocabulary, width, layers, feed_forward, heads, kv_heads, head_size, context;
    uint32_t epsilon;                    /* in units of 2^-32 */
    nb_dyadic score;                     /* log2(e) / sqrt(head_size) */
    const uint32_t *steps;               /* [head_size / 2]: RoPE's angle from one position to the next, in units of
                                            2^-32 turns */
    nb_integer_matrix embedding, output; /* [vocabulary, width]; the same one if the file has no output */
    nb_integer_gain output_norm;         /* [width] */
    nb_integer_layer *layer;             /* owned: [layers] */
    nb_integer_sines sines;
};

/* The largest sizes that a file may have. Sums and arrays rely on them. */
enum { NB_INTEGER_MOST_WIDTH = 1 << 16, NB_INTEGER_MOST_HEAD = 512, NB_INTEGER_MOST_CONTEXT = 1 << 20 };

#endif
