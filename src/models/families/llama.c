#include "../../kernels/ops.h"
#include "../blocks.h"
#include "families.h"
#include "slots.h"

/* ---- llama: Llama 1-3, Mistral, SmolLM2, and with experts Mixtral (Touvron et al. 2023, Jiang et al. 2024) ---- */

static const nb_slot LLAMA[] = {
    NB_SLOTS_ENDS,
    NB_SLOTS_NORMS,
    NB_SLOTS_ATTENTION,
    NB_SLOTS_ATTENTION_BIASES(NB_OPTIONAL),
    NB_SLOTS_GATED(NB_DENSE),
    NB_SLOTS_EXPERTS,
    NB_MODEL_VECTOR("rope_freqs.weight", shape.ropes[0].factors, PAIRS, NB_OPTIONAL),
    NB_MODEL_VECTOR("rope_factors_short.weight", shape.ropes[0].factors, PAIRS, NB_GGUF_MAY),
    NB_MODEL_VECTOR("rope_factors_long.weight", shape.ropes[0].long_factors, PAIRS, NB_GGUF_MAY),
    NB_LAYER_VECTOR("ffn_gate.bias", gate_bias, FEED_FORWARD, NB_OPTIONAL),
    NB_SLOTS_OUTPUT_BIASES(NB_OPTIONAL),
    {0},
};

static int32_t configure_llama(nb_model *model, nb_error *err) {
    NB_TRY(nb_model_configure(model, err));
    model->shape.ropes[0].interleaved = true; /* the rows of q and k are permuted so (convert/reshape.h) */
    model->shape.experts_sum_to_1 = true;
    return NB_OK;
}

static void feed_forward(const nb_step *p) {
    if (p->layer->router.rows)
        nb_experts_block(p, nb_silu_multiply);
    else
        nb_feed_forward_block(p, nb_silu_multiply);
}

void nb_llama_feed_forward(nb_step *p) {
    nb_usual_feed_forward(p, feed_forward);
}

const nb_family nb_family_llama = {"llama", LLAMA, configure_llama, NULL, NB_LLAMA_LAYER};

/* ---- smollm3: every fourth layer is not rotated (Yang et al. 2025) ---- */

static int32_t configure_smollm3(nb_model *model, nb_error *err) {
    NB_TRY(configure_llama(model, err));
    model->shape.unrotated_period = 4; /* no key says so */
    return NB_OK;
}

const nb_family nb_family_smollm3 = {"smollm3", LLAMA, configure_smollm3, NULL, NB_LLAMA_LAYER};

/* ---- ernie4_5: the dense models of ERNIE 4.5 (Baidu 2025) ---- */

/* Their own files rotate neighbours, too, so nothing is permuted. */
const nb_family nb_family_ernie4_5 = {"ernie4_5", LLAMA, configure_llama, NULL, NB_LLAMA_LAYER};

/* ---- granite: four multipliers ---- */

/* To llama.cpp 0 means that the key is absent. */
static int32_t read_scale(const nb_model *model, const char *suffix, float *out, nb_error *err) {
    NB_TRY(nb_model_float(model, suffix, 1, 0, 1e6, out, err));
    *out = *out == 0 ? 1 : *out;
    return NB_OK;
}

static int32_t configure_granite(nb_model *model, nb_error *err) {
    NB_TRY(configure_llama(model, err));
    nb_shape *s = &model->shape;
    float divisor;
    bool rotated;
    NB_TRY(read_scale(model, "embedding_scale", &s->embedding_scale, err));
    NB_TRY(read_scale(model, "residual_scale", &s->residual_scale, err));
    NB_TRY(nb_model_float(model, "logit_scale", NB_REQUIRED, 1e-6, 1e6, &divisor, err));
    NB_TRY(nb_model_flag(model, "rope.scaling.finetuned", true, &rotated, err));
    s->logit_scale = 1 / divisor;
    if (!rotated)
        s->ropes[0].pairs = 0;
    return NB_OK;
}

static void begin_granite(nb_session *s, uint32_t n) {
    nb_scale_embeddings(s, n, s->model->shape.embedding_scale);
}

const nb_family nb_family_granite = {"granite", LLAMA, configure_granite, begin_granite, NB_LLAMA_LAYER};

/* ---- deepseek: version 1 (Dai et al. 2024) ---- */

/* Some layers without experts come first, then layers that also have shared experts. */
static const nb_slot DEEPSEEK[] = {
    NB_SLOTS_ENDS,
    NB_SLOTS_NORMS,
    NB_SLOTS_ATTENTION,
    NB_SLOTS_ATTENTION_BIASES(NB_GGUF_MAY),
    NB_SLOTS_GATED(NB_DENSE),
    NB_SLOTS_EXPERTS,
    NB_SLOTS_SHARED_EXPERTS,
    {0},
};

static int32_t configure_deepseek(nb_model *model, nb_error *err) {
    NB_TRY(configure_llama(model, err));
    model->shape.experts_sum_to_1 = false;
    float dense;
    NB_TRY(nb_model_float(model, "leading_dense_block_count", 0, 0, 1024, &dense, err));
    model->shape.dense_layers = (uint32_t)dense;
    NB_TRY(nb_model_require(model, "expert_feed_forward_length", err));
    return nb_model_require(model, "expert_shared_count", err);
}

const nb_family nb_family_deepseek = {"deepseek", DEEPSEEK, configure_deepseek, NULL, NB_LLAMA_LAYER};
