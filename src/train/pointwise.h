/* The operations between products, forward and backward: RMSNorm, RoPE, SwiGLU, the token embedding. */
#ifndef NB_POINTWISE_H
#define NB_POINTWISE_H

#include "pass.h"

typedef struct nb_gain {
    const float *weights; /* [width] */
    float *gradient;      /* [width]; NULL: the weights do not learn */
} nb_gain;

/* y = r w x with r = 1 / sqrt(mean(x^2) + epsilon) (Zhang and Sennrich 2019). x, out: [n, width]. */
void nb_norm_forward(const nb_pass *pass, const nb_gain *gain, const float *x, float *out);

/*     dw += sum over tokens of r x dy,   d_x += r w dy - r^3 x mean(x w dy)
 * x, d_out, d_x: [n, width]. */
void nb_norm_backward(const nb_pass *pass, const nb_gain *gain, const float *x, const float *d_out, float *d_x);

/* RoPE: rotates pairs of x [n, heads * head_size] by the angles of their positions (Su et al. 2021, section 3.4.2).
 * Backward rotates gradients in the other direction. */
void nb_rope_forward(const nb_pass *pass, float *x, uint32_t heads);
void nb_rope_backward(const nb_pass *pass, float *d_x, uint32_t heads);

/* hidden = gate / (1 + e^-gate) * up (Shazeer 2020). All are [n, hidden]. */
void nb_swiglu_forward(const nb_pass *pass, const float *gate, const float *up, float *hidden);

/* With s = 1 / (1 + e^-gate):   d_up = d_hidden gate s,   d_gate = d_hidden up s (1 + gate (1 - s)) */
void nb_swiglu_backward(const nb_pass *pass, const float *gate, const float *up, const float *d_hidden, float *d_gate,
                        float *d_up);

/* out [n, width] = the tokens' rows of the table [vocabulary, width]. Backward adds the gradients to these rows. */
void nb_embed_forward(const nb_pass *pass, const float *table, const int32_t *tokens, float *out);
void nb_embed_backward(const nb_pass *pass, const int32_t *tokens, const float *d_out, float *gradient);

#endif
