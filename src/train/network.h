/* A layer of the Llama family, forward and backward. It needs nothing of other layers, so that one layer alone can be
 * run and learn, too. */
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

/* What the backward pass needs of the forward pass. Cheap steps, such as norms, are done again instead. */
typedef struct nb_trace {
    float *x;         /* [n, width]: what the layer is given */
    float *q, *k, *v; /* [n, heads * head_size], [n, kv_heads * head_size] x 2: q and k are turned */
    float *attended;  /* [n, heads * head_size] */
    float *middle;    /* [n, width]: x and what attention adds to it */
    float *gate, *up; /* [n, hidden] */
} nb_trace;

/* From trace->x to out [n, width], which may be trace->x. */
void nb_layer_forward(const nb_pass *pass, const nb_trained_layer *layer, const nb_trace *trace, float *out);

/* d [n, width]: the loss's gradient with respect to `out` becomes that with respect to x. Gradients of the weights are
 * added to what is there. */
void nb_layer_backward(const nb_pass *pass, const nb_trained_layer *layer, const nb_trace *trace, float *d);

#endif
