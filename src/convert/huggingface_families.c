#include "huggingface_families.h"

#include <stddef.h>

/* ---- families --------------------------------------------------------------------------------------------------- */

// clang-format off: names of one model on a line
static const nb_hf_pair gemma_norms[] = {
    {"post_attention_layernorm", "post_attention_norm"}, {"pre_feedforward_layernorm", "ffn_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"}, {0}};
static const nb_hf_pair olmo_norms[] = {
    {"post_attention_layernorm", "post_attention_norm"}, {"post_feedforward_layernorm", "post_ffw_norm"}, {0}};

static const nb_hf_pair opt_layer[] = {
    {"self_attn_layer_norm", "attn_norm"}, {"final_layer_norm", "ffn_norm"}, {"self_attn.out_proj", "attn_output"},
    {"fc1", "ffn_up"}, {"fc2", "ffn_down"}, {0}};

enum {
    LLAMA = NB_HF_PERMUTED_QK,
    GEMMA_2 = NB_HF_NORMS_LESS_ONE | NB_HF_WINDOW_BY_PERIOD,
    OLMO_3 = NB_HF_WINDOW_BY_PERIOD | NB_HF_EVERY_4TH_FULL | NB_HF_TWO_ROPES,
    BERT = NB_HF_ENCODER | NB_HF_UNROTATED,
    ROBERTA = BERT | NB_HF_PADDED_POSITIONS
};

const nb_hf_family nb_hf_families[] = {
    {"llama", "llama", LLAMA, NULL, nb_hf_llama_keys},
    {"mistral", "llama", LLAMA | NB_HF_NO_BIASES, NULL, nb_hf_mistral_keys},
    {"mixtral", "llama", LLAMA | NB_HF_NO_BIASES, NULL, nb_hf_mixtral_keys},
    {"qwen2", "qwen2", 0, NULL, nb_hf_qwen2_keys},
    {"qwen3", "qwen3", 0, NULL, nb_hf_qwen3_keys},
    {"qwen2_moe", "qwen2moe", NB_HF_WINDOW_EVERY_2ND, NULL, nb_hf_qwen2_moe_keys},
    {"qwen3_moe", "qwen3moe", 0, NULL, nb_hf_qwen3_moe_keys},
    {"deepseek", "deepseek", LLAMA | NB_HF_LINEAR_ROPE, NULL, nb_hf_deepseek_keys},
    {"smollm3", "smollm3", LLAMA | NB_HF_EVERY_4TH_UNROTATED, NULL, nb_hf_smollm3_keys},
    {"granite", "granite", LLAMA, NULL, nb_hf_granite_keys},
    {"ernie4_5", "ernie4_5", 0, NULL, nb_hf_ernie4_5_keys},
    {"olmo2", "olmo2", 0, olmo_norms, nb_hf_olmo2_keys},
    {"olmo3", "olmo2", OLMO_3, olmo_norms, nb_hf_olmo3_keys},
    {"phi3", "phi3", NB_HF_LONGROPE | NB_HF_PARTLY_ROTATED, NULL, nb_hf_phi3_keys},
    {"gemma", "gemma", NB_HF_NORMS_LESS_ONE, NULL, nb_hf_gemma_keys},
    {"gemma2", "gemma2", GEMMA_2, gemma_norms, nb_hf_gemma2_keys},
    {"gemma3_text", "gemma3", GEMMA_2 | NB_HF_TWO_ROPES, gemma_norms, nb_hf_gemma3_keys},
    {"phi", "phi2", NB_HF_FOUR_TIMES | NB_HF_PARTLY_ROTATED, NULL, nb_hf_phi_keys},
    {"stablelm", "stablelm", NB_HF_PARTLY_ROTATED, NULL, nb_hf_stablelm_keys},
    {"gpt_neox", "gptneox", NB_HF_FOUR_TIMES | NB_HF_PARTLY_ROTATED | NB_HF_QKV_BY_GROUP, NULL, nb_hf_gpt_neox_keys},
    {"falcon", "falcon", NB_HF_FOUR_TIMES | NB_HF_QKV_BY_GROUP | NB_HF_MANY_KV_HEADS, NULL, nb_hf_falcon_keys},
    {"gpt2", "gpt2", NB_HF_FOUR_TIMES | NB_HF_UNROTATED | NB_HF_CONV1D, NULL, nb_hf_gpt2_keys},
    {"opt", "opt", NB_HF_UNROTATED | NB_HF_POSITIONS_FROM_2 | NB_HF_FIXED_EPSILON, opt_layer, nb_hf_opt_keys},
    {"bert", "bert", BERT, NULL, nb_hf_bert_keys},
    {"roberta", "bert", ROBERTA, NULL, nb_hf_roberta_keys},
    {"xlm-roberta", "bert", ROBERTA, NULL, nb_hf_roberta_keys},
    {"nomic_bert", "nomic-bert", NB_HF_ENCODER | NB_HF_FOUR_TIMES, NULL, nb_hf_nomic_keys},
    {0},
};

/* ---- names of modules ------------------------------------------------------------------------------------------- */

const char *const nb_hf_prefixes[] = {
    "model.language_model.", "language_model.model.", "language_model.", "model.decoder.", "model.", "decoder.",
    "transformer.", "gpt_neox.", "bert.", "roberta.", NULL};
const char *const nb_hf_layers[] = {"layers.", "h.", "encoder.layer.", "encoder.layers.", NULL};

/* One table serves all families: apart from a few norms, no name means different things in two of them. */
const nb_hf_pair nb_hf_modules[] = {
    {"embed_tokens", "token_embd"}, {"norm", "output_norm"}, {"lm_head", "output"},
    {"final_layernorm", "output_norm"}, /* Phi */
    {"wte", "token_embd"}, {"wpe", "position_embd"}, {"ln_f", "output_norm"}, /* GPT-2; ln_f: Falcon, too */
    {"embed_in", "token_embd"}, {"final_layer_norm", "output_norm"}, {"embed_out", "output"}, /* GPT-NeoX */
    {"word_embeddings", "token_embd"}, /* Falcon */
    {"embed_positions", "position_embd"}, {"project_in", "project_in"}, {"project_out", "project_out"}, /* OPT */
    {"embeddings.word_embeddings", "token_embd"}, {"embeddings.position_embeddings", "position_embd"}, /* BERT, Nomic */
    {"embeddings.token_type_embeddings", "token_types"}, {"embeddings.LayerNorm", "token_embd_norm"},
    {"emb_ln", "token_embd_norm"},
    /* heads of rerankers: BERT's, RoBERTa's */
    {"pooler.dense", "cls"}, {"classifier", "cls.output"}, {"classifier.dense", "cls"},
    {"classifier.out_proj", "cls.output"},
    {0}};

const nb_hf_pair nb_hf_layer_modules[] = {
    {"self_attn.q_proj", "attn_q"}, {"self_attn.k_proj", "attn_k"}, {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"}, {"self_attn.q_norm", "attn_q_norm"}, {"self_attn.k_norm", "attn_k_norm"},
    {"mlp.gate_proj", "ffn_gate"}, {"mlp.up_proj", "ffn_up"}, {"mlp.down_proj", "ffn_down"},
    {"input_layernorm", "attn_norm"}, {"post_attention_layernorm", "ffn_norm"},
    /* Phi, and Phi 3 */
    {"self_attn.dense", "attn_output"}, {"mlp.fc1", "ffn_up"}, {"mlp.fc2", "ffn_down"},
    {"self_attn.qkv_proj", "attn_qkv"}, {"mlp.gate_up_proj", "ffn_up"},
    /* mixtures: Mixtral; Qwen 2 and 3; DeepSeek */
    {"block_sparse_moe.gate", "ffn_gate_inp"}, {"block_sparse_moe.experts.*.w1", "ffn_gate.*"},
    {"block_sparse_moe.experts.*.w3", "ffn_up.*"}, {"block_sparse_moe.experts.*.w2", "ffn_down.*"},
    {"mlp.gate", "ffn_gate_inp"}, {"mlp.experts.*.gate_proj", "ffn_gate.*"}, {"mlp.experts.*.up_proj", "ffn_up.*"},
    {"mlp.experts.*.down_proj", "ffn_down.*"}, {"mlp.shared_expert_gate", "ffn_gate_inp_shexp"},
    {"mlp.shared_expert.gate_proj", "ffn_gate_shexp"}, {"mlp.shared_expert.up_proj", "ffn_up_shexp"},
    {"mlp.shared_expert.down_proj", "ffn_down_shexp"},
    {"mlp.shared_experts.gate_proj", "ffn_gate_shexp"}, {"mlp.shared_experts.up_proj", "ffn_up_shexp"},
    {"mlp.shared_experts.down_proj", "ffn_down_shexp"},
    /* StableLM 2 12B */
    {"self_attn.q_layernorm.norms.*", "attn_q_norm"}, {"self_attn.k_layernorm.norms.*", "attn_k_norm"},
    /* GPT-2 */
    {"ln_1", "attn_norm"}, {"attn.c_attn", "attn_qkv"}, {"attn.c_proj", "attn_output"}, {"ln_2", "ffn_norm"},
    {"mlp.c_fc", "ffn_up"}, {"mlp.c_proj", "ffn_down"},
    /* GPT-NeoX, and Falcon */
    {"attention.query_key_value", "attn_qkv"}, {"attention.dense", "attn_output"}, {"mlp.dense_h_to_4h", "ffn_up"},
    {"mlp.dense_4h_to_h", "ffn_down"}, {"self_attention.query_key_value", "attn_qkv"},
    {"self_attention.dense", "attn_output"}, {"ln_mlp", "attn_norm"}, {"ln_attn", "attn_norm_2"},
    /* BERT */
    {"attention.self.query", "attn_q"}, {"attention.self.key", "attn_k"}, {"attention.self.value", "attn_v"},
    {"attention.output.dense", "attn_output"}, {"attention.output.LayerNorm", "attn_output_norm"},
    {"intermediate.dense", "ffn_up"}, {"output.dense", "ffn_down"}, {"output.LayerNorm", "layer_output_norm"},
    /* Nomic: 11 is up, 12 the gate */
    {"attn.Wqkv", "attn_qkv"}, {"attn.out_proj", "attn_output"}, {"norm1", "attn_output_norm"}, {"mlp.fc11", "ffn_up"},
    {"mlp.fc12", "ffn_gate"}, {"norm2", "layer_output_norm"},
    {0}};
// clang-format on

/* Vision modules, and heads that embeddings do not need. */
const char *const nb_hf_unneeded_prefixes[] = {"vision_tower.", "multi_modal_projector.", "pooler.", "cls.", NULL};
/* Buffers that follow from the configuration: rotations, positions, masks; and how LLM.int8() lays out its weights. */
const char *const nb_hf_unneeded_suffixes[] = {
    "rotary_emb.inv_freq", "embeddings.position_ids", ".attn.bias",     ".attn.masked_bias",
    ".attention.bias",     ".attention.masked_bias",  ".weight_format", NULL,
};
