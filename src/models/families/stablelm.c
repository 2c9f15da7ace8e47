/* StableLM 3B and 2 (Bellagente et al. 2024): Llama's layer with layer norms, and RoPE on a part of each head. The 12B
 * model has norms of heads, and parallel blocks after one norm. */
#include "../../kernels/ops.h"
#include "../blocks.h"
#include "families.h"
#include "slots.h"

static const nb_slot SLOTS[] = {
    NB_SLOTS_ENDS,
    NB_SLOTS_NORM_BIASES,
    NB_LAYER_VECTOR("attn_norm.weight", attention_norm.weight, WIDTH, NB_ALWAYS),
    NB_LAYER_VECTOR("ffn_norm.weight", feed_forward_norm.weight, WIDTH, NB_OPTIONAL),
    NB_LAYER_VECTOR("ffn_norm.bias", feed_forward_norm.bias, WIDTH, NB_OPTIONAL),
    NB_LAYER_NORMS("attn_q_norm.weight", q_norm, HEADS),
    NB_LAYER_NORMS("attn_k_norm.weight", k_norm, KV_HEADS),
    NB_SLOTS_ATTENTION,
    NB_SLOTS_ATTENTION_BIASES(NB_OPTIONAL),
    NB_SLOTS_GATED(NB_ALWAYS),
    {0},
};

static int32_t configure(nb_model *model, nb_error *err) {
    NB_TRY(nb_model_configure_layer_norm(model, err));
    model->shape.head_norms = NB_HEAD_NORMS_OWN;
    return NB_OK;
}

static void attention(nb_step *p) {
    nb_norm_block(p, &p->layer->attention_norm);
    nb_attention_block(p);
    nb_add_block(p, NULL, NULL);
}

static void feed_forward(nb_step *p) {
    if (p->layer->feed_forward_norm.weight)
        nb_norm_block(p, &p->layer->feed_forward_norm);
    nb_feed_forward_block(p, nb_silu_multiply);
    nb_add_block(p, NULL, NULL);
}

const nb_family nb_family_stablelm = {"stablelm", SLOTS, configure, NULL, {attention, feed_forward}};
