/* What the layers of most families are made of. A block works on the n tokens of a step, in the session's buffers:
 *
 *     x       the residual stream           [n, width]
 *     normed  what a block is given         [n, width]
 *     y       what it makes of it           [n, width]
 */
#ifndef NB_BLOCKS_H
#define NB_BLOCKS_H

#include "session.h"

/* A batch on its way through one layer. */
typedef struct nb_step {
    nb_session *s;
    const nb_layer *layer;
    uint8_t *k, *v;                /* the layer's cache: [kv_heads, context, head_size], [..., value_size] */
    const nb_rotation *rotation;   /* how its heads are rotated */
    uint32_t window;               /* positions that a token sees, its own included; 0: all */
    uint32_t first, n;             /* tokens [first, first + n) of the session */
} nb_step;

/* Layer i as the shape says, with the first rotation. */
nb_step nb_step_of(nb_session *s, uint32_t i, uint32_t first, uint32_t n);

/* normed = norm(x); weight: [width] */
void nb_norm_block(const nb_step *p, const float *weight);

/* y = o(attention(q, k, v)), where q, k and v are the layer's projections of normed, plus their biases, q and k normed
 * head by head, and rotated. Biases and norms where the layer has them. */
void nb_attention_block(const nb_step *p);

/* y = down(act(gate(normed)) * up(normed)). gate_multiply: gate = act(gate) * up, n elements (ops.h). */
typedef void (*nb_gate_multiply)(float *gate, const float *up, size_t n);
void nb_feed_forward_block(const nb_step *p, nb_gate_multiply gate_multiply);

/* x += norm(y + bias); bias, norm: [width], or NULL for none. */
void nb_add_block(const nb_step *p, const float *bias, const float *norm);

#endif
