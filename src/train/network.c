#include "network.h"

#include "causal.h"

static void copy_width(const nb_pass *pass, float *to, const float *from) {
    memcpy(to, from, (size_t)pass->n * pass->shape.width * sizeof *to);
}

void nb_layer_forward(const nb_pass *pass, const nb_trained_layer *l, const nb_trace *t, float *out) {
    const nb_train_shape *s = &pass->shape;
    nb_norm_forward(pass, &l->attention_norm, t->x, pass->normed); /* [n, width] */
    nb_linear_forward(pass, &l->q, pass->normed, t->q, false);     /* [n, heads * head_size] */
    nb_linear_forward(pass, &l->k, pass->normed, t->k, false);     /* [n, kv_heads * head_size] */
    nb_linear_forward(pass, &l->v, pass->normed, t->v, false);     /* [n, kv_heads * head_size] */
    nb_rope_forward(pass, t->q, s->heads);
    nb_rope_forward(pass, t->k, s->kv_heads);
    nb_attend_forward(pass, t->q, t->k, t->v, t->attended); /* [n, heads * head_size] */
    copy_width(pass, t->middle, t->x);
    nb_linear_forward(pass, &l->o, t->attended, t->middle, true); /* [n, width] */

    nb_norm_forward(pass, &l->feed_forward_norm, t->middle, pass->normed); /* [n, width] */
    nb_linear_forward(pass, &l->gate, pass->normed, t->gate, false);       /* [n, hidden] */
    nb_linear_forward(pass, &l->up, pass->normed, t->up, false);           /* [n, hidden] */
    nb_swiglu_forward(pass, t->gate, t->up, pass->hidden);                 /* [n, hidden] */
    copy_width(pass, out, t->middle);
    nb_linear_forward(pass, &l->down, pass->hidden, out, true); /* [n, width] */
}

/* The outputs of the norms and of SwiGLU are recomputed, because the trace does not keep them. */
void nb_layer_backward(const nb_pass *pass, const nb_trained_layer *l, const nb_trace *t, float *d) {
    const nb_train_shape *s = &pass->shape;
    nb_norm_forward(pass, &l->feed_forward_norm, t->middle, pass->normed);
    nb_swiglu_forward(pass, t->gate, t->up, pass->hidden);
    nb_linear_backward(pass, &l->down, pass->hidden, d, pass->d_hidden, false);           /* [n, hidden] */
    nb_swiglu_backward(pass, t->gate, t->up, pass->d_hidden, pass->d_gate, pass->d_up);   /* [n, hidden] x 2 */
    nb_linear_backward(pass, &l->up, pass->normed, pass->d_up, pass->d_normed, false);    /* [n, width] */
    nb_linear_backward(pass, &l->gate, pass->normed, pass->d_gate, pass->d_normed, true); /* [n, width] */
    nb_norm_backward(pass, &l->feed_forward_norm, t->middle, pass->d_normed, d);          /* [n, width] */

    nb_linear_backward(pass, &l->o, t->attended, d, pass->d_attended, false);  /* [n, heads * head_size] */
    nb_attend_backward(pass, t->q, t->k, t->v, t->attended, pass->d_attended); /* d_q, d_k, d_v */
    nb_rope_backward(pass, pass->d_q, s->heads);
    nb_rope_backward(pass, pass->d_k, s->kv_heads);
    nb_norm_forward(pass, &l->attention_norm, t->x, pass->normed);
    nb_linear_backward(pass, &l->q, pass->normed, pass->d_q, pass->d_normed, false); /* [n, width] */
    nb_linear_backward(pass, &l->k, pass->normed, pass->d_k, pass->d_normed, true);
    nb_linear_backward(pass, &l->v, pass->normed, pass->d_v, pass->d_normed, true);
    nb_norm_backward(pass, &l->attention_norm, t->x, pass->d_normed, d); /* [n, width] */
}
