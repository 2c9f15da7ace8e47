/* OLMo 2 and 3 (OLMo Team 2025): norms of what the blocks add, none of what they are given; all query heads are normed
 * as one row, and all key heads. */
#include "../../kernels/ops.h"
#include "../blocks.h"
#include "families.h"
#include "slots.h"

static const nb_slot SLOTS[] = {
    NB_SLOTS_ENDS,
    NB_SLOTS_ATTENTION,
    NB_SLOTS_ATTENTION_BIASES(NB_GGUF_MAY),
    NB_LAYER_VECTOR("attn_q_norm.weight", q_norm, QUERIES, NB_ALWAYS),
    NB_LAYER_VECTOR("attn_k_norm.weight", k_norm, KEYS, NB_ALWAYS),
    NB_LAYER_VECTOR("post_attention_norm.weight", attention_post_norm.weight, WIDTH, NB_ALWAYS),
    NB_SLOTS_GATED(NB_ALWAYS),
    NB_LAYER_VECTOR("post_ffw_norm.weight", feed_forward_post_norm.weight, WIDTH, NB_ALWAYS),
    {0},
};

/* In GGUF an OLMo 3 is an OLMo 2 with a window, which every fourth layer does not have. Only layers without a window
 * have scaled RoPE (YaRN). */
static int32_t configure(nb_model *model, nb_error *err) {
    NB_TRY(nb_model_configure(model, err));
    model->shape.head_norms = NB_HEAD_NORMS_WHOLE;
    if (!model->shape.window)
        return NB_OK;
    NB_TRY(nb_model_configure_pattern(model, 4, err));
    return nb_model_configure_window_rope(model, model->shape.ropes[0].base, err);
}

static void attention(nb_step *p) {
    nb_norm_block(p, NULL);
    nb_attention_block(p);
    nb_add_block(p, NULL, &p->layer->attention_post_norm);
}

static void feed_forward(nb_step *p) {
    nb_norm_block(p, NULL);
    nb_feed_forward_block(p, nb_silu_multiply);
    nb_add_block(p, NULL, &p->layer->feed_forward_post_norm);
}

const nb_family nb_family_olmo2 = {"olmo2", SLOTS, configure, NULL, {attention, feed_forward}};
