#include "gemma3.h"

#include "../kernels/ops.h"
#include "blocks.h"
#include "slots.h"

#include <math.h>

static const nb_slot SLOTS[] = {
    NB_MODEL_MATRIX("token_embd.weight", embedding, VOCABULARY, WIDTH, false),
    NB_MODEL_MATRIX("output.weight", output, VOCABULARY, WIDTH, true),
    NB_MODEL_VECTOR("output_norm.weight", output_norm, WIDTH, false),
    NB_LAYER_VECTOR("attn_norm.weight", attention_norm, WIDTH, false),
    NB_LAYER_MATRIX("attn_q.weight", q, QUERIES, WIDTH),
    NB_LAYER_MATRIX("attn_k.weight", k, KEYS, WIDTH),
    NB_LAYER_MATRIX("attn_v.weight", v, VALUES, WIDTH),
    NB_LAYER_VECTOR("attn_q_norm.weight", q_norm, HEAD, false),
    NB_LAYER_VECTOR("attn_k_norm.weight", k_norm, HEAD, false),
    NB_LAYER_MATRIX("attn_output.weight", o, WIDTH, MIXED),
    NB_LAYER_VECTOR("post_attention_norm.weight", attention_post_norm, WIDTH, false),
    NB_LAYER_VECTOR("ffn_norm.weight", feed_forward_norm, WIDTH, false),
    NB_LAYER_MATRIX("ffn_gate.weight", gate, FEED_FORWARD, WIDTH),
    NB_LAYER_MATRIX("ffn_up.weight", up, FEED_FORWARD, WIDTH),
    NB_LAYER_MATRIX("ffn_down.weight", down, WIDTH, FEED_FORWARD),
    NB_LAYER_VECTOR("post_ffw_norm.weight", feed_forward_post_norm, WIDTH, false),
    {0},
};

/* Layers with a window are rotated by frequencies of their own: of a smaller base, and never scaled. */
enum { GLOBAL = 0, LOCAL = 1 };

enum { PERIOD = 6, LAYERS_27B = 62 };

static int32_t configure(nb_model *model, nb_error *err) {
    NB_TRY(nb_model_configure(model, err));
    nb_shape *s = &model->shape;
    NB_TRY(nb_model_size(model, "attention.sliding_window_pattern", &s->window_period, PERIOD, 1024, err));
    s->ropes[LOCAL] = (nb_rope){.pairs = s->ropes[GLOBAL].pairs, .attention_factor = 1,
                                .base = (float)nb_model_number(model, "rope.freq_base_swa", 10000)};
    if (!(s->ropes[LOCAL].base > 1))
        return NB_FAIL(err, NB_ERR_FORMAT, "gemma3.rope.freq_base_swa is %g, not more than 1; the file is broken",
                       (double)s->ropes[LOCAL].base);
    double cap = nb_model_number(model, "final_logit_softcapping", 0);
    if (cap != 0)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "gemma3.final_logit_softcapping is %g; logits with a cap are not "
                       "supported (the published models have none)", cap);
    if (s->layers == LAYERS_27B) /* which scales its queries otherwise; no key says so, its size does */
        s->attention_scale = 1 / sqrtf((float)s->width / (float)s->heads);
    return NB_OK;
}

static void forward(nb_session *s, uint32_t first, uint32_t n) {
    const nb_shape *m = &s->model->shape;
    float scale = sqrtf((float)m->width);
    for (size_t i = 0; i < (size_t)n * m->width; i++)
        s->x[i] *= scale;
    for (uint32_t i = 0; i < m->layers; i++) {
        nb_step p = nb_step_of(s, i, first, n);
        p.rotation = &s->rotations[p.window ? LOCAL : GLOBAL];
        nb_norm_block(&p, p.layer->attention_norm);
        nb_attention_block(&p);
        nb_add_block(&p, NULL, p.layer->attention_post_norm);
        nb_norm_block(&p, p.layer->feed_forward_norm);
        nb_feed_forward_block(&p, nb_gelu_multiply);
        nb_add_block(&p, NULL, p.layer->feed_forward_post_norm);
    }
}

const nb_family nb_family_gemma3 = {"gemma3", SLOTS, configure, forward};
