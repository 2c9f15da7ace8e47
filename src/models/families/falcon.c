/* Falcon (Almazrouei et al. 2023): layer norms, no other biases, attention and feed-forward network in parallel; in the
 * larger models attention has a norm of its own. */
#include "../../kernels/ops.h"
#include "../blocks.h"
#include "families.h"
#include "slots.h"

static const nb_slot SLOTS[] = {
    NB_SLOTS_ENDS,
    NB_SLOTS_NORM_BIASES,
    NB_LAYER_VECTOR("attn_norm.weight", attention_norm.weight, WIDTH, NB_ALWAYS),
    NB_LAYER_VECTOR("attn_norm_2.weight", attention_norm_2.weight, WIDTH, NB_OPTIONAL),
    NB_LAYER_VECTOR("attn_norm_2.bias", attention_norm_2.bias, WIDTH, NB_OPTIONAL),
    NB_SLOTS_ATTENTION,
    NB_SLOTS_PLAIN(NB_ALWAYS),
    {0},
};

static void attention(nb_step *p) {
    bool two = p->layer->attention_norm_2.weight;
    nb_norm_block(p, two ? &p->layer->attention_norm_2 : &p->layer->attention_norm);
    nb_attention_block(p);
    if (two)
        nb_norm_block(p, &p->layer->attention_norm);
    nb_add_block(p, NULL, NULL);
}

static void feed_forward(nb_step *p) {
    nb_plain_feed_forward_block(p, nb_gelu_exact);
    nb_add_block(p, NULL, NULL);
}

const nb_family nb_family_falcon = {"falcon", SLOTS, nb_model_configure_layer_norm, NULL, {attention, feed_forward}};
