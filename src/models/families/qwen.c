/* Qwen 2, 2.5 and 3 (Yang et al. 2024, 2025), and DeepSeek's distillates: Llama's layer; version 2 with biases of q, k
 * and v, version 3 with norms of query and key heads instead. */
#include "../blocks.h"
#include "families.h"
#include "slots.h"

#define HEAD_NORMS                                                  \
    NB_LAYER_VECTOR("attn_q_norm.weight", q_norm, HEAD, NB_ALWAYS), \
        NB_LAYER_VECTOR("attn_k_norm.weight", k_norm, HEAD, NB_ALWAYS)

static const nb_slot QWEN2[] = {
    NB_SLOTS_ENDS,
    NB_SLOTS_NORMS,
    NB_SLOTS_ATTENTION,
    NB_SLOTS_ATTENTION_BIASES(NB_FOLDERS_MUST),
    NB_SLOTS_GATED(NB_ALWAYS),
    NB_MODEL_VECTOR("output.bias", output_bias, VOCABULARY, NB_GGUF_MAY),
    {0},
};

static const nb_slot QWEN3[] = {
    NB_SLOTS_ENDS,
    NB_SLOTS_NORMS,
    NB_SLOTS_ATTENTION,
    NB_SLOTS_ATTENTION_BIASES(NB_GGUF_MAY),
    HEAD_NORMS,
    NB_SLOTS_GATED(NB_ALWAYS),
    {0},
};

static const nb_slot QWEN2MOE[] = {
    NB_SLOTS_ENDS,
    NB_SLOTS_NORMS,
    NB_SLOTS_ATTENTION,
    NB_SLOTS_ATTENTION_BIASES(NB_FOLDERS_MUST),
    NB_SLOTS_GATED(NB_DENSE),
    NB_SLOTS_EXPERTS,
    NB_SLOTS_SHARED_EXPERTS,
    NB_LAYER_VECTOR("ffn_gate_inp_shexp.weight", shared_router, WIDTH, NB_MIXTURE),
    {0},
};

static const nb_slot QWEN3MOE[] = {
    NB_SLOTS_ENDS, NB_SLOTS_NORMS,           NB_SLOTS_ATTENTION, NB_SLOTS_ATTENTION_BIASES(NB_GGUF_MAY),
    HEAD_NORMS,    NB_SLOTS_GATED(NB_DENSE), NB_SLOTS_EXPERTS,   {0},
};

static int32_t configure_qwen3moe(nb_model *model, nb_error *err) {
    NB_TRY(nb_model_configure(model, err));
    model->shape.experts_sum_to_1 = true;
    return NB_OK;
}

const nb_family nb_family_qwen2 = {"qwen2", QWEN2, nb_model_configure, NULL, NB_LLAMA_LAYER};
const nb_family nb_family_qwen3 = {"qwen3", QWEN3, nb_model_configure, NULL, NB_LLAMA_LAYER};
const nb_family nb_family_qwen2moe = {"qwen2moe", QWEN2MOE, nb_model_configure, NULL, NB_LLAMA_LAYER};
const nb_family nb_family_qwen3moe = {"qwen3moe", QWEN3MOE, configure_qwen3moe, NULL, NB_LLAMA_LAYER};
