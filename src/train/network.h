/* A layer of the Llama family, forward and backward. It is independent of other layers, so one layer can also be run
 * and trained alone. */
#ifndef NB_NETWORK_H
#define NB_NETWORK_H

#include "linear.h"
#include "pointwise.h"

typedef struct nb_trained_layer {
    nb_gain attention_norm;
    nb_linear q, k, v,
        o; /* [heads * head_size, width], [kv_heads * head_size, width] x 2, [width, heads * head_size] */
    nb_gain feed_forward_norm;
    nb_linear gate, up, down; /* [hidden, width] x 2, [width, hidden] */
} nb_trained_layer;

/* Saved activations: what the backward pass needs from the forward pass. Cheap ones, such as norms, are computed
 * again. */
typedef struct nb_trace {
    float *x;         /* [n, width]: the layer's input */
    float *q, *k, *v; /* [n, heads * head_size], [n, kv_heads * head_size] x 2: q and k after RoPE */
    float *attended;  /* [n, heads * head_size]: attention's output, before the output matrix */
    float *middle;    /* [n, width]: the residual stream after attention */
    float *gate, *up; /* [n, hidden] */
} nb_trace;

/* From trace->x to out [n, width], which may be trace->x. */
void nb_layer_forward(const nb_pass *pass, const nb_trained_layer *layer, const nb_trace *trace, float *out);

/* d [n, width]: the loss's gradient with respect to `out`, which becomes that with respect to x. The gradients of
 * weights are added to those that are there. */
void nb_layer_backward(const nb_pass *pass, const nb_trained_layer *layer, const nb_trace *trace, float *d);

#endif
