/* OPT (Zhang et al. 2022): GPT-2's layer with ReLU. The model of 350M is post-norm, has no norm at the end, and has
 * embeddings that are narrower than the stream and projected on the way in and out. llama.cpp does not have this
 * architecture: names and keys are nibble's own, for converted folders. */
#include "../../base/numbers.h"
#include "../../kernels/ops.h"
#include "../blocks.h"
#include "families.h"
#include "slots.h"

static const nb_slot SLOTS[] = {
    NB_MODEL_MATRIX("token_embd.weight", embedding, VOCABULARY, EMBEDDING, NB_ALWAYS),
    NB_MODEL_MATRIX("output.weight", output, VOCABULARY, EMBEDDING, NB_OPTIONAL),
    NB_MODEL_MATRIX("project_in.weight", project_in, WIDTH, EMBEDDING, NB_OPTIONAL),
    NB_MODEL_MATRIX("project_out.weight", project_out, EMBEDDING, WIDTH, NB_OPTIONAL),
    NB_MODEL_MATRIX("position_embd.weight", positions, CONTEXT, WIDTH, NB_ALWAYS),
    NB_MODEL_VECTOR("output_norm.weight", output_norm.weight, WIDTH, NB_OPTIONAL),
    NB_MODEL_VECTOR("output_norm.bias", output_norm.bias, WIDTH, NB_OPTIONAL),
    NB_SLOTS_NORMS,
    NB_LAYER_VECTOR("attn_norm.bias", attention_norm.bias, WIDTH, NB_ALWAYS),
    NB_LAYER_VECTOR("ffn_norm.bias", feed_forward_norm.bias, WIDTH, NB_ALWAYS),
    NB_SLOTS_ATTENTION,
    NB_SLOTS_BIASES_AND_PLAIN(NB_ALWAYS, NB_ALWAYS),
    {0},
};

static bool is_absent(const nb_model *model, const char *tensor) {
    return !nb_checkpoint_find_tensor(&model->checkpoint, tensor);
}

static int32_t configure(nb_model *model, nb_error *err) {
    NB_TRY(nb_model_configure_layer_norm(model, err));
    nb_shape *s = &model->shape;
    s->ropes[0].pairs = 0;
    bool before;
    NB_TRY(nb_model_flag(model, "do_layer_norm_before", true, &before, err));
    s->post_norm = !before;
    s->embedding_width = s->width;
    if (is_absent(model, "token_embd.weight")) /* a partial model */
        return NB_OK;
    uint64_t columns = nb_checkpoint_find_tensor(&model->checkpoint, "token_embd.weight")->shape[0];
    s->embedding_width = (uint32_t)NB_MIN(columns, UINT32_MAX);
    bool projects = !is_absent(model, "project_in.weight") && !is_absent(model, "project_out.weight");
    if (s->embedding_width > s->width || (s->embedding_width < s->width && !projects))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "token_embd.weight has %u columns, but opt.embedding_length is %u, and there are no "
                       "project_in.weight and project_out.weight; the file is not whole",
                       s->embedding_width, s->width);
    if (!s->post_norm && (is_absent(model, "output_norm.weight") || is_absent(model, "output_norm.bias")))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "tensor output_norm.weight or output_norm.bias is missing; the file is not whole");
    return NB_OK;
}

static void begin(nb_session *s, uint32_t n) {
    nb_project_embeddings(s, n);
    nb_add_positions(s, n);
}

static void attention(nb_step *p) {
    bool last = p->s->model->shape.post_norm;
    nb_norm_block(p, last ? NULL : &p->layer->attention_norm);
    nb_attention_block(p);
    nb_add_block(p, p->layer->o_bias, NULL);
    if (last)
        nb_renorm_block(p, &p->layer->attention_norm);
}

static void feed_forward(nb_step *p) {
    bool last = p->s->model->shape.post_norm;
    nb_norm_block(p, last ? NULL : &p->layer->feed_forward_norm);
    nb_plain_feed_forward_block(p, nb_relu);
    nb_add_block(p, p->layer->down_bias, NULL);
    if (last)
        nb_renorm_block(p, &p->layer->feed_forward_norm);
}

const nb_family nb_family_opt = {"opt", SLOTS, configure, begin, {attention, feed_forward}};
