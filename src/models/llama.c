#include "llama.h"

#include "../kernels/ops.h"
#include "blocks.h"
#include "slots.h"

static const nb_slot SLOTS[] = {
    NB_MODEL_MATRIX("token_embd.weight", embedding, VOCABULARY, WIDTH, false),
    NB_MODEL_MATRIX("output.weight", output, VOCABULARY, WIDTH, true),
    NB_MODEL_VECTOR("output_norm.weight", output_norm, WIDTH, false),
    NB_MODEL_VECTOR("rope_freqs.weight", shape.ropes[0].factors, PAIRS, true),
    NB_LAYER_VECTOR("attn_norm.weight", attention_norm, WIDTH, false),
    NB_LAYER_MATRIX("attn_q.weight", q, QUERIES, WIDTH),
    NB_LAYER_MATRIX("attn_k.weight", k, KEYS, WIDTH),
    NB_LAYER_MATRIX("attn_v.weight", v, VALUES, WIDTH),
    NB_LAYER_MATRIX("attn_output.weight", o, WIDTH, MIXED),
    NB_LAYER_VECTOR("attn_q.bias", q_bias, QUERIES, true),
    NB_LAYER_VECTOR("attn_k.bias", k_bias, KEYS, true),
    NB_LAYER_VECTOR("attn_v.bias", v_bias, VALUES, true),
    NB_LAYER_VECTOR("attn_output.bias", o_bias, WIDTH, true),
    NB_LAYER_VECTOR("ffn_norm.weight", feed_forward_norm, WIDTH, false),
    NB_LAYER_MATRIX("ffn_gate.weight", gate, FEED_FORWARD, WIDTH),
    NB_LAYER_MATRIX("ffn_up.weight", up, FEED_FORWARD, WIDTH),
    NB_LAYER_MATRIX("ffn_down.weight", down, WIDTH, FEED_FORWARD),
    NB_LAYER_VECTOR("ffn_gate.bias", gate_bias, FEED_FORWARD, true),
    NB_LAYER_VECTOR("ffn_up.bias", up_bias, FEED_FORWARD, true),
    NB_LAYER_VECTOR("ffn_down.bias", down_bias, WIDTH, true),
    {0},
};

static int32_t configure(nb_model *model, nb_error *err) {
    NB_TRY(nb_model_configure(model, err));
    model->shape.ropes[0].interleaved = true; /* GGUF stores Q and K of this family permuted so */
    return NB_OK;
}

static void forward(nb_session *s, uint32_t first, uint32_t n) {
    for (uint32_t i = 0; i < s->model->shape.layers; i++) {
        nb_step p = nb_step_of(s, i, first, n);
        nb_norm_block(&p, p.layer->attention_norm);
        nb_attention_block(&p);
        nb_add_block(&p, p.layer->o_bias, NULL);
        nb_norm_block(&p, p.layer->feed_forward_norm);
        nb_feed_forward_block(&p, nb_silu_multiply);
        nb_add_block(&p, p.layer->down_bias, NULL);
    }
}

const nb_family nb_family_llama = {"llama", SLOTS, configure, forward};
