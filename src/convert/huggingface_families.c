#include "huggingface_families.h"

#include <stddef.h>

#define JSON(...) "{" #__VA_ARGS__ "}"

/* ---- families --------------------------------------------------------------------------------------------------- */

static const nb_hf_pair gemma_norms[] = {
    {"post_attention_layernorm", "post_attention_norm"}, {"pre_feedforward_layernorm", "ffn_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"}, {0}};
static const nb_hf_pair olmo_norms[] = {
    {"post_attention_layernorm", "post_attention_norm"}, {"post_feedforward_layernorm", "post_ffw_norm"}, {0}};

static const nb_hf_pair opt_layer[] = {
    {"self_attn_layer_norm", "attn_norm"}, {"final_layer_norm", "ffn_norm"}, {"self_attn.out_proj", "attn_output"},
    {"fc1", "ffn_up"}, {"fc2", "ffn_down"}, {0}};

enum {
    QWEN_WINDOW = NB_HF_WINDOW | NB_HF_WINDOW_IF_ASKED,
    GEMMA_2 = NB_HF_NORMS_LESS_ONE | NB_HF_WINDOW | NB_HF_WINDOW_BY_PERIOD
};

#define ROBERTA_DEFAULTS \
    JSON("layer_norm_eps": 1e-12, "max_position_embeddings": 512, "type_vocab_size": 2, "pad_token_id": 1)

const nb_hf_family nb_hf_families[] = {
    {"llama", "llama", "silu", NB_HF_TURNED_BY_HALVES, NULL,
     JSON("rms_norm_eps": 1e-6, "max_position_embeddings": 2048), NULL},
    {"mistral", "llama", "silu", NB_HF_TURNED_BY_HALVES | NB_HF_WINDOW, NULL,
     JSON("rms_norm_eps": 1e-6, "max_position_embeddings": 131072, "num_key_value_heads": 8,
          "sliding_window": 4096), NULL},
    {"mixtral", "llama", "silu", NB_HF_TURNED_BY_HALVES | NB_HF_WINDOW, NULL,
     JSON("rms_norm_eps": 1e-5, "max_position_embeddings": 131072, "num_key_value_heads": 8, "rope_theta": 1e6,
          "num_local_experts": 8, "num_experts_per_tok": 2), NULL},
    {"qwen2", "qwen2", "silu", QWEN_WINDOW, NULL, JSON("rms_norm_eps": 1e-6, "max_position_embeddings": 32768), NULL},
    {"qwen3", "qwen3", "silu", QWEN_WINDOW, NULL,
     JSON("rms_norm_eps": 1e-6, "max_position_embeddings": 32768, "head_dim": 128), JSON("attention_bias": false)},
    {"qwen2_moe", "qwen2moe", "silu", QWEN_WINDOW, NULL,
     JSON("rms_norm_eps": 1e-6, "max_position_embeddings": 32768, "num_experts": 60, "num_experts_per_tok": 4,
          "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632),
     JSON("norm_topk_prob": false, "qkv_bias": true)},
    {"qwen3_moe", "qwen3moe", "silu", QWEN_WINDOW, NULL,
     JSON("rms_norm_eps": 1e-6, "max_position_embeddings": 32768, "num_key_value_heads": 4, "num_experts": 128,
          "num_experts_per_tok": 8, "moe_intermediate_size": 768, "norm_topk_prob": false),
     JSON("norm_topk_prob": true, "attention_bias": false)},
    {"deepseek", "deepseek", "silu", NB_HF_TURNED_BY_HALVES, NULL,
     JSON("rms_norm_eps": 1e-6, "max_position_embeddings": 2048, "first_k_dense_replace": 0),
     JSON("norm_topk_prob": false, "scoring_func": "softmax", "attention_bias": false)},
    {"smollm3", "smollm3", "silu", NB_HF_TURNED_BY_HALVES | NB_HF_EVERY_4TH_UNROTATED, NULL,
     JSON("rms_norm_eps": 1e-6, "max_position_embeddings": 32768, "num_key_value_heads": 4, "rope_theta": 2e6,
          "tie_word_embeddings": true),
     JSON("no_rope_layer_interval": 4, "use_sliding_window": false)},
    {"granite", "granite", "silu", NB_HF_TURNED_BY_HALVES, NULL,
     JSON("rms_norm_eps": 1e-6, "max_position_embeddings": 2048, "attention_multiplier": 1), NULL},
    {"olmo2", "olmo2", "silu", 0, olmo_norms, JSON("rms_norm_eps": 1e-5, "max_position_embeddings": 2048),
     JSON("attention_bias": false)},
    {"phi3", "phi3", "silu", NB_HF_WINDOW | NB_HF_LONGROPE, NULL,
     JSON("rms_norm_eps": 1e-5, "max_position_embeddings": 4096, "original_max_position_embeddings": 4096), NULL},
    {"gemma", "gemma", "gelu_pytorch_tanh gelu", NB_HF_NORMS_LESS_ONE, NULL,
     JSON("rms_norm_eps": 1e-6, "max_position_embeddings": 8192, "head_dim": 256, "tie_word_embeddings": true),
     JSON("attention_bias": false)},
    {"gemma2", "gemma2", "gelu_pytorch_tanh", GEMMA_2, gemma_norms,
     JSON("rms_norm_eps": 1e-6, "max_position_embeddings": 8192, "head_dim": 256, "tie_word_embeddings": true,
          "num_key_value_heads": 4, "sliding_window": 4096, "query_pre_attn_scalar": 256, "final_logit_softcapping": 30,
          "attn_logit_softcapping": 50),
     JSON("attention_bias": false)},
    {"gemma3_text", "gemma3", "gelu_pytorch_tanh", GEMMA_2, gemma_norms,
     JSON("rms_norm_eps": 1e-6, "max_position_embeddings": 131072, "head_dim": 256, "tie_word_embeddings": true,
          "num_attention_heads": 8, "num_key_value_heads": 4, "sliding_window": 4096, "query_pre_attn_scalar": 256,
          "rope_theta": 1e6),
     JSON("attention_bias": false)},
    {"phi", "phi2", "gelu_new", NB_HF_FOUR_TIMES, NULL,
     JSON("layer_norm_eps": 1e-5, "max_position_embeddings": 2048, "partial_rotary_factor": 0.5),
     JSON("qk_layernorm": false)},
    {"stablelm", "stablelm", "silu", 0, NULL,
     JSON("layer_norm_eps": 1e-5, "max_position_embeddings": 4096, "partial_rotary_factor": 0.25,
          "use_parallel_residual": false), NULL},
    {"gpt_neox", "gptneox", "gelu", NB_HF_FOUR_TIMES | NB_HF_QKV_BY_GROUP, NULL,
     JSON("layer_norm_eps": 1e-5, "max_position_embeddings": 2048, "rotary_pct": 0.25, "use_parallel_residual": true),
     JSON("attention_bias": true)},
    {"falcon", "falcon", "gelu", NB_HF_FOUR_TIMES | NB_HF_QKV_BY_GROUP | NB_HF_MANY_KV_HEADS, NULL,
     JSON("layer_norm_eps": 1e-5, "max_position_embeddings": 2048, "tie_word_embeddings": true, "multi_query": true,
          "new_decoder_architecture": false),
     JSON("alibi": false, "parallel_attn": true, "bias": false)},
    {"gpt2", "gpt2", "gelu_new", NB_HF_FOUR_TIMES | NB_HF_UNROTATED | NB_HF_CONV1D, NULL,
     JSON("layer_norm_epsilon": 1e-5, "n_positions": 1024, "tie_word_embeddings": true),
     JSON("scale_attn_weights": true, "scale_attn_by_inverse_layer_idx": false, "add_cross_attention": false)},
    {"opt", "opt", "relu", NB_HF_UNROTATED | NB_HF_POSITIONS_FROM_2, opt_layer,
     JSON("max_position_embeddings": 2048, "tie_word_embeddings": true, "do_layer_norm_before": true),
     JSON("enable_bias": true, "layer_norm_elementwise_affine": true, "_remove_final_layer_norm": false)},
    {"bert", "bert", "gelu", NB_HF_ENCODER | NB_HF_UNROTATED, NULL,
     JSON("layer_norm_eps": 1e-12, "max_position_embeddings": 512, "type_vocab_size": 2),
     JSON("is_decoder": false, "position_embedding_type": "absolute")},
    {"roberta", "bert", "gelu", NB_HF_ENCODER | NB_HF_UNROTATED | NB_HF_PADDED_POSITIONS, NULL, ROBERTA_DEFAULTS,
     JSON("is_decoder": false, "position_embedding_type": "absolute")},
    {"xlm-roberta", "bert", "gelu", NB_HF_ENCODER | NB_HF_UNROTATED | NB_HF_PADDED_POSITIONS, NULL, ROBERTA_DEFAULTS,
     JSON("is_decoder": false, "position_embedding_type": "absolute")},
    {"nomic_bert", "nomic-bert", "silu swiglu", NB_HF_ENCODER | NB_HF_FOUR_TIMES, NULL,
     JSON("layer_norm_eps": 1e-12, "max_position_embeddings": 2048, "type_vocab_size": 2, "rope_theta": 1000),
     JSON("qkv_proj_bias": false, "mlp_fc1_bias": false, "mlp_fc2_bias": false, "prenorm": false, "causal": false,
          "rotary_emb_fraction": 1, "rotary_emb_interleaved": false, "use_rms_norm": false)},
    {0},
};

/* ---- names of modules ------------------------------------------------------------------------------------------- */

const char *const nb_hf_prefixes[] = {
    "model.language_model.", "language_model.model.", "language_model.", "model.decoder.", "model.", "decoder.",
    "transformer.", "gpt_neox.", "bert.", "roberta.", NULL};
const char *const nb_hf_layers[] = {"layers.", "h.", "encoder.layer.", "encoder.layers.", NULL};

/* What one family calls so, no other calls otherwise, a few norms apart. */
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

/* Parts that see pictures, and heads that embeddings do without. */
const char *const nb_hf_needless_starts[] = {"vision_tower.", "multi_modal_projector.", "pooler.", "cls.", NULL};
/* Buffers that follow from the configuration: rotations, positions, masks; and LLM.int8()'s note of how it lies. */
const char *const nb_hf_needless_ends[] = {
    "rotary_emb.inv_freq", "embeddings.position_ids", ".attn.bias", ".attn.masked_bias", ".attention.bias",
    ".attention.masked_bias", ".weight_format", NULL};

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

const nb_hf_pair nb_hf_numbers[] = {
    {"hidden_size n_embd d_model", "embedding_length"},
    {"num_hidden_layers n_layer", "block_count"},
    {"intermediate_size n_inner ffn_hidden_size ffn_dim", "feed_forward_length"},
    {"num_attention_heads n_head", "attention.head_count"},
    {"num_key_value_heads", "attention.head_count_kv"},
    {"head_dim", "attention.key_length"},
    {"head_dim", "attention.value_length"},
    {"max_position_embeddings n_positions n_ctx", "context_length"},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon"},
    {"layer_norm_eps layer_norm_epsilon", "attention.layer_norm_epsilon"},
    {"final_logit_softcapping", "final_logit_softcapping"},
    {"attn_logit_softcapping", "attn_logit_softcapping"},
    {"use_parallel_residual", "use_parallel_residual"},
    {"do_layer_norm_before", "do_layer_norm_before"},
    {"attention_multiplier", "attention.scale"},
    {"embedding_multiplier", "embedding_scale"},
    {"residual_multiplier", "residual_scale"},
    {"logits_scaling", "logit_scale"},
    {"num_experts num_local_experts n_routed_experts", "expert_count"},
    {"num_experts_per_tok", "expert_used_count"},
    {"moe_intermediate_size", "expert_feed_forward_length"},
    {"shared_expert_intermediate_size", "expert_shared_feed_forward_length"},
    {"n_shared_experts", "expert_shared_count"},
    {"first_k_dense_replace", "leading_dense_block_count"},
    {0}};

const nb_hf_pair nb_hf_rope_numbers[] = {
    {"factor", "rope.scaling.factor"}, {"original_max_position_embeddings", "rope.scaling.original_context_length"},
    {"beta_fast", "rope.scaling.yarn_beta_fast"}, {"beta_slow", "rope.scaling.yarn_beta_slow"},
    {"low_freq_factor", "rope.scaling.low_freq_factor"}, {"high_freq_factor", "rope.scaling.high_freq_factor"}, {0}};
