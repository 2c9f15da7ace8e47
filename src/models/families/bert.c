/* Encoders: BERT (Devlin et al. 2019), which MiniLM, BGE and E5 are, too, and Nomic's (Nussbaum et al. 2024), with RoPE
 * and a gate. Post-norm: the stream is normalized after each block instead of before, and so are the embeddings. */
#include "../../kernels/ops.h"
#include "../blocks.h"
#include "families.h"
#include "slots.h"

#define COMMON                                                                                              \
    NB_MODEL_MATRIX("token_embd.weight", embedding, VOCABULARY, WIDTH, NB_ALWAYS),                          \
        NB_MODEL_MATRIX("token_types.weight", token_types, TYPES, WIDTH, NB_OPTIONAL),                      \
        NB_MODEL_VECTOR("token_embd_norm.weight", embedding_norm.weight, WIDTH, NB_ALWAYS),                 \
        NB_MODEL_VECTOR("token_embd_norm.bias", embedding_norm.bias, WIDTH, NB_ALWAYS), NB_SLOTS_ATTENTION, \
        NB_LAYER_VECTOR("attn_output_norm.weight", attention_post_norm.weight, WIDTH, NB_ALWAYS),           \
        NB_LAYER_VECTOR("attn_output_norm.bias", attention_post_norm.bias, WIDTH, NB_ALWAYS),               \
        NB_LAYER_VECTOR("layer_output_norm.weight", feed_forward_post_norm.weight, WIDTH, NB_ALWAYS),       \
        NB_LAYER_VECTOR("layer_output_norm.bias", feed_forward_post_norm.bias, WIDTH, NB_ALWAYS)

static const nb_slot BERT[] = {
    COMMON,
    NB_MODEL_MATRIX("position_embd.weight", positions, CONTEXT, WIDTH, NB_ALWAYS),
    NB_SLOTS_BIASES_AND_PLAIN(NB_FOLDERS_MUST, NB_FOLDERS_MUST),
    {0},
};

static const nb_slot NOMIC[] = {
    COMMON,
    NB_SLOTS_GATED(NB_ALWAYS),
    NB_SLOTS_ATTENTION_BIASES(NB_GGUF_MAY),
    NB_LAYER_VECTOR("attn_output.bias", o_bias, WIDTH, NB_GGUF_MAY),
    {0},
};

static int32_t configure(nb_model *model, nb_error *err) {
    NB_TRY(nb_model_configure_layer_norm(model, err));
    nb_shape *s = &model->shape;
    s->encoder = s->bidirectional = true;
    s->window = 0;
    double types = 0;
    NB_TRY(nb_checkpoint_read(&model->checkpoint, "tokenizer.ggml.token_type_count", (nb_limits){0, 1 << 20}, &types,
                              err));
    s->token_types = (uint32_t)types;
    return NB_OK;
}

static int32_t configure_bert(nb_model *model, nb_error *err) {
    NB_TRY(configure(model, err));
    model->shape.ropes[0].pairs = 0;
    return NB_OK;
}

static void begin(nb_session *s, uint32_t n) {
    nb_add_token_types(s, n);
    if (s->model->positions.rows)
        nb_add_positions(s, n);
    nb_renorm_block(&(nb_step){.s = s, .n = n}, &s->model->embedding_norm);
}

/* A block's input is the residual stream itself, as it is already normalized. */
static void attention(nb_step *p) {
    nb_norm_block(p, NULL);
    nb_attention_block(p);
    nb_add_block(p, p->layer->o_bias, NULL);
    nb_renorm_block(p, &p->layer->attention_post_norm);
}

static void feed_forward(nb_step *p) {
    nb_norm_block(p, NULL);
    if (p->layer->gate.rows)
        nb_feed_forward_block(p, nb_silu_multiply);
    else
        nb_plain_feed_forward_block(p, nb_gelu_exact);
    nb_add_block(p, p->layer->down_bias, NULL);
    nb_renorm_block(p, &p->layer->feed_forward_post_norm);
}

const nb_family nb_family_bert = {"bert", BERT, configure_bert, begin, {attention, feed_forward}};
const nb_family nb_family_nomic_bert = {"nomic-bert", NOMIC, configure, begin, {attention, feed_forward}};
