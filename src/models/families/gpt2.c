/* GPT-2 (Radford et al. 2019): layer norms, learned positions, a feed-forward network without a gate. */
#include "../../kernels/ops.h"
#include "../blocks.h"
#include "families.h"
#include "slots.h"

static const nb_slot SLOTS[] = {
    NB_SLOTS_ENDS,
    NB_MODEL_MATRIX("position_embd.weight", positions, CONTEXT, WIDTH, NB_ALWAYS),
    NB_SLOTS_NORMS,
    NB_SLOTS_NORM_BIASES,
    NB_LAYER_VECTOR("ffn_norm.bias", feed_forward_norm.bias, WIDTH, NB_ALWAYS),
    NB_SLOTS_ATTENTION,
    NB_SLOTS_BIASES_AND_PLAIN(NB_ALWAYS, NB_ALWAYS),
    {0},
};

static int32_t configure(nb_model *model, nb_error *err) {
    NB_TRY(nb_model_configure_layer_norm(model, err));
    model->shape.ropes[0].pairs = 0;
    return NB_OK;
}

static void plain(const nb_step *p) {
    nb_plain_feed_forward_block(p, nb_gelu);
}

static void feed_forward(nb_step *p) {
    nb_usual_feed_forward(p, plain);
}

const nb_family nb_family_gpt2 = {"gpt2", SLOTS, configure, nb_add_positions, {nb_usual_attention, feed_forward}};
