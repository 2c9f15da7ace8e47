/* GPT-NeoX and Pythia (Black et al. 2022): layer norms, RoPE on a part of each head, a feed-forward network without a
 * gate. Attention and feed-forward network run in parallel, each after a norm of its own; or, if the file says so, one
 * after the other. */
#include "../../kernels/ops.h"
#include "../blocks.h"
#include "families.h"
#include "slots.h"

static const nb_slot SLOTS[] = {
    NB_SLOTS_ENDS,
    NB_SLOTS_NORMS,
    NB_SLOTS_NORM_BIASES,
    NB_LAYER_VECTOR("ffn_norm.bias", feed_forward_norm.bias, WIDTH, NB_ALWAYS),
    NB_SLOTS_ATTENTION,
    NB_SLOTS_BIASES_AND_PLAIN(NB_ALWAYS, NB_ALWAYS),
    {0},
};

static int32_t configure(nb_model *model, nb_error *err) {
    NB_TRY(nb_model_configure_layer_norm(model, err));
    NB_TRY(nb_model_require(model, "use_parallel_residual", err));
    return nb_model_flag(model, "use_parallel_residual", true, &model->shape.parallel, err);
}

static void attention(nb_step *p) {
    nb_norm_block(p, &p->layer->attention_norm);
    nb_attention_block(p);
    if (p->s->model->shape.parallel)
        nb_norm_block(p, &p->layer->feed_forward_norm);
    nb_add_block(p, p->layer->o_bias, NULL);
}

static void feed_forward(nb_step *p) {
    if (!p->s->model->shape.parallel)
        nb_norm_block(p, &p->layer->feed_forward_norm);
    nb_plain_feed_forward_block(p, nb_gelu_exact);
    nb_add_block(p, p->layer->down_bias, NULL);
}

const nb_family nb_family_gptneox = {"gptneox", SLOTS, configure, NULL, {attention, feed_forward}};
