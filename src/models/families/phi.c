#include "../../kernels/ops.h"
#include "../blocks.h"
#include "families.h"
#include "slots.h"

/* ---- phi2: Phi 1, 1.5 (Li et al. 2023) and 2: layer norms, partial RoPE, parallel blocks after one norm ---- */

static const nb_slot PHI2[] = {
    NB_SLOTS_ENDS,
    NB_MODEL_VECTOR("output.bias", output_bias, VOCABULARY, NB_ALWAYS),
    NB_SLOTS_NORM_BIASES,
    NB_LAYER_VECTOR("attn_norm.weight", attention_norm.weight, WIDTH, NB_ALWAYS),
    NB_SLOTS_ATTENTION,
    NB_SLOTS_BIASES_AND_PLAIN(NB_FOLDERS_MUST, NB_ALWAYS),
    {0},
};

static void feed_forward_phi2(nb_step *p) {
    nb_plain_feed_forward_block(p, nb_gelu);
    nb_add_block(p, p->layer->down_bias, NULL);
}

const nb_family nb_family_phi2 = {"phi2",
                                  PHI2,
                                  nb_model_configure_layer_norm,
                                  NULL,
                                  {nb_usual_attention, feed_forward_phi2}};

/* ---- phi3: Phi 3, 3.5 and 4 (Abdin et al. 2024): Llama's layer with merged tensors, LongRoPE ---- */

static const nb_slot PHI3[] = {
    NB_SLOTS_ENDS,
    NB_SLOTS_NORMS,
    NB_MODEL_VECTOR("rope_factors_short.weight", shape.ropes[0].factors, PAIRS, NB_OPTIONAL),
    NB_MODEL_VECTOR("rope_factors_long.weight", shape.ropes[0].long_factors, PAIRS, NB_OPTIONAL),
    NB_SLOTS_ATTENTION,
    NB_SLOTS_ATTENTION_BIASES(NB_GGUF_MAY),
    NB_LAYER_MATRIX("ffn_up.weight", gate_up, GATE_UP, WIDTH, NB_ALWAYS),
    NB_LAYER_MATRIX("ffn_down.weight", down, WIDTH, FEED_FORWARD, NB_ALWAYS),
    {0},
};

const nb_family nb_family_phi3 = {"phi3", PHI3, nb_model_configure, NULL, NB_LLAMA_LAYER};
