/* What the layers of most families are made of. A block works on the n tokens of a step, in the session's buffers:
 *
 *     x       the residual stream           [n, width]
 *     normed  input of a block              [n, width]
 *     y       output of a block             [n, width]
 *
 * Most layers go  norm, attention, add, norm, feed-forward, add.  If the second norm comes before the first add, both
 * blocks get the same x (parallel attention and feed-forward network); if there is only one norm, the same normed. */
#ifndef NB_BLOCKS_H
#define NB_BLOCKS_H

#include "session.h"

/* A batch on its way through one layer. */
typedef struct nb_step {
    nb_session *s;
    const nb_layer *layer;
    uint8_t *tiles;              /* the layer's cache: [kv_heads, n_pages] */
    const nb_rotation *rotation; /* how its heads are rotated */
    uint32_t window, after;      /* positions that a token sees: up to its own (0: all), and after it */
    uint32_t n;                  /* rows of the session's batch */
} nb_step;

/* The step of the session's batch through layer i. */
nb_step nb_step_of(nb_session *s, uint32_t i);

/* x = project_in(the first embedding_width numbers of x), if the model has project_in. */
void nb_project_embeddings(nb_session *s, uint32_t n);

/* What some families do before their first layer: x += learned positions; x += the first token type; x *= scale. */
void nb_add_positions(nb_session *s, uint32_t n);
void nb_add_token_types(nb_session *s, uint32_t n);
void nb_scale_embeddings(nb_session *s, uint32_t n, float scale);

/* normed = norm(x), or x itself if norm is NULL. */
void nb_norm_block(const nb_step *p, const nb_norm *norm);

/* x = normed = norm(x): for post-norm, where the stream is normalized after each block instead of before. */
void nb_renorm_block(const nb_step *p, const nb_norm *norm);

/* y = o(attention(q, k, v)), where q, k and v are the layer's projections of normed, plus biases; q and k are normed
 * and rotated. Biases and norms only where the layer has them. */
void nb_attention_block(const nb_step *p);

/* y = down(act(gate(normed)) * up(normed)). gate_multiply: gate = act(gate) * up, n elements (ops.h). */
typedef void (*nb_gate_multiply)(float *gate, const float *up, size_t n);
void nb_feed_forward_block(const nb_step *p, nb_gate_multiply gate_multiply);

/* y = down(act(up(normed))). activate: x = act(x), n elements (ops.h). */
typedef void (*nb_activate)(float *x, size_t n);
void nb_plain_feed_forward_block(const nb_step *p, nb_activate activate);

/* y = Σ weight * expert(normed) over a token's experts (Shazeer et al. 2017). These are the experts_used whose weight,
 * softmax(router(normed)), is largest. The output of shared experts is added, if there are any. An expert is a
 * feed-forward network with a gate, as above. */
void nb_experts_block(const nb_step *p, nb_gate_multiply gate_multiply);

/* x += residual_scale * norm(y + bias). bias: [width], or NULL for none; norm: NULL or without a weight for none. */
void nb_add_block(const nb_step *p, const float *bias, const nb_norm *norm);

/* The two parts of a usual (pre-norm) layer: each norms the stream, runs a block, and adds its output. feed_forward:
 * computes y from normed. */
void nb_usual_attention(nb_step *p);
void nb_usual_feed_forward(const nb_step *p, void (*feed_forward)(const nb_step *p));

/* A row of n elements, normed as the shape says. */
void nb_norm_row(const nb_shape *m, float *out, const float *x, const nb_norm *norm, uint32_t n);

#endif
