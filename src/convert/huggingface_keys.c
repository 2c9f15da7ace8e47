#include "huggingface_keys.h"

#include <stddef.h>

/* One line for each key: NUMBER(names, default, GGUF's key); USED(names, default): huggingface_config.c reads it;
 * MUST(names, default, values that it may have). A value of null or 0 counts as false. */
// clang-format off: tables of macros, a subject a line
#define NUMBER(names, fallback, ours) {names, #fallback, ours, NULL}
#define USED(names, fallback) {names, #fallback, "", NULL}
#define MUST(names, fallback, ...) MUST_BE(names, #fallback, __VA_ARGS__)
#define MUST_BE(names, fallback, ...) {names, fallback, NULL, #__VA_ARGS__}

/* ---- what many families have ------------------------------------------------------------------------------------ */

#define SILU "silu" "swish"
/* One formula, five names. */
#define TANH_GELU "gelu_pytorch_tanh" "gelu_new" "gelu_fast" "gelu_python_tanh" "gelu_accurate"
#define EXACT_GELU "gelu" "gelu_python"

#define LAYERS(width, layers, heads, inner, positions)              \
    NUMBER("hidden_size", width, "embedding_length"),              \
    NUMBER("num_hidden_layers", layers, "block_count"),            \
    NUMBER("num_attention_heads", heads, "attention.head_count"),  \
    NUMBER("intermediate_size", inner, "feed_forward_length"),     \
    USED("max_position_embeddings", positions)
#define KV_HEADS(number) NUMBER("num_key_value_heads", number, "attention.head_count_kv")
#define HEAD_SIZE(number) NUMBER("head_dim", number, "attention.key_length attention.value_length")
/* The class has no such key, but its RoPE reads it: it must have the usual value. */
#define NO_HEAD_SIZE USED("head_dim", null)
#define RMS(epsilon) NUMBER("rms_norm_eps", epsilon, "attention.layer_norm_rms_epsilon")
#define LAYER_NORM(name, epsilon) NUMBER(name, epsilon, "attention.layer_norm_epsilon")
#define TIED(is) USED("tie_word_embeddings", is)
#define TWO_ROPES(base)                             \
    USED("rope_theta", base),                       \
    USED("rope_scaling", null),                     \
    USED("rope_parameters", null)
#define ROPE(base)                                  \
    TWO_ROPES(base),                                \
    USED("original_max_position_embeddings", null)
#define PART(is) USED("partial_rotary_factor", is)
#define CAUSAL USED("is_causal", true)
/* If it were false, transformers' implementations of attention would differ from each other. */
#define ALWAYS_CAUSAL MUST("is_causal", null, true)
#define WINDOW(size) USED("sliding_window", size)
#define QWEN_WINDOW                     \
    USED("use_sliding_window", false),  \
    WINDOW(4096),                       \
    USED("max_window_layers", 28),      \
    USED("layer_types", null)
/* Which layers have experts is not read: the tensors tell it. */
#define EXPERTS(names, number, used, width)                                                  \
    NUMBER(names, number, "expert_count"), NUMBER("num_experts_per_tok", used, "expert_used_count"), \
    NUMBER("moe_intermediate_size", width, "expert_feed_forward_length")
#define NO_OTHER_ATTENTION MUST("use_bidirectional_attention", null, false) /* as ALWAYS_CAUSAL */

/* ---- families --------------------------------------------------------------------------------------------------- */

const nb_hf_key nb_hf_everywhere[] = {
    MUST("per_layer_config", null, null),
    MUST("transformers_weights", null, null), /* another name of the weights' file */
    USED("quantization_config", null),
    USED("bos_token_id", null), USED("eos_token_id", null), USED("pad_token_id", null),
    USED("_name_or_path", null),
    {0}};

const nb_hf_key nb_hf_llama_keys[] = {
    LAYERS(4096, 32, 32, 11008, 2048),
    KV_HEADS(null), HEAD_SIZE(null), RMS(1e-6), MUST("hidden_act", "silu", SILU), TIED(false), ROPE(10000),
    PART(null), CAUSAL, USED("attention_bias", false), USED("mlp_bias", false), {0}};

const nb_hf_key nb_hf_mistral_keys[] = {
    LAYERS(4096, 32, 32, 14336, 131072),
    KV_HEADS(8), HEAD_SIZE(null), RMS(1e-6), MUST("hidden_act", "silu", SILU), TIED(false), ROPE(10000),
    PART(null), CAUSAL, WINDOW(4096), USED("layer_types", null), {0}};

const nb_hf_key nb_hf_mixtral_keys[] = {
    LAYERS(4096, 32, 32, 14336, 131072),
    KV_HEADS(8), HEAD_SIZE(null), RMS(1e-5), MUST("hidden_act", "silu", SILU), TIED(false), ROPE(1e6),
    PART(null), CAUSAL, WINDOW(null), NUMBER("num_experts num_local_experts", 8, "expert_count"),
    NUMBER("num_experts_per_tok", 2, "expert_used_count"), {0}};

const nb_hf_key nb_hf_qwen2_keys[] = {
    LAYERS(4096, 32, 32, 22016, 32768),
    KV_HEADS(32), HEAD_SIZE(null), RMS(1e-6), MUST("hidden_act", "silu", SILU), TIED(false), ROPE(10000),
    PART(null), CAUSAL, QWEN_WINDOW, {0}};

const nb_hf_key nb_hf_qwen3_keys[] = {
    LAYERS(4096, 32, 32, 22016, 32768),
    KV_HEADS(32), HEAD_SIZE(128), RMS(1e-6), MUST("hidden_act", "silu", SILU), TIED(false), ROPE(10000),
    PART(null), CAUSAL, QWEN_WINDOW, MUST("attention_bias", false, false), {0}};

const nb_hf_key nb_hf_qwen2_moe_keys[] = {
    LAYERS(2048, 24, 16, 5632, 32768),
    KV_HEADS(16), HEAD_SIZE(null), RMS(1e-6), MUST("hidden_act", "silu", SILU), TIED(false), ROPE(10000),
    PART(null), CAUSAL, QWEN_WINDOW, EXPERTS("num_experts", 60, 4, 1408),
    NUMBER("shared_expert_intermediate_size", 5632, "expert_shared_feed_forward_length"),
    MUST("norm_topk_prob", false, false), MUST("qkv_bias", true, true), {0}};

const nb_hf_key nb_hf_qwen3_moe_keys[] = {
    LAYERS(2048, 24, 32, 6144, 32768),
    KV_HEADS(4), HEAD_SIZE(null), RMS(1e-6), MUST("hidden_act", "silu", SILU), TIED(false), ROPE(10000),
    PART(null), CAUSAL, USED("use_sliding_window", false), WINDOW(4096),
    EXPERTS("num_experts num_local_experts", 128, 8, 768), MUST("norm_topk_prob", false, true),
    MUST("attention_bias", false, false), {0}};

/* DeepSeek 1 has no class in transformers. These are the keys that the program in its own folder reads. */
const nb_hf_key nb_hf_deepseek_keys[] = {
    LAYERS(null, null, null, null, 2048),
    KV_HEADS(null), RMS(1e-6), MUST("hidden_act", "silu", SILU), TIED(false), ROPE(10000),
    EXPERTS("n_routed_experts", null, null, 1407), NUMBER("n_shared_experts", null, "expert_shared_count"),
    NUMBER("first_k_dense_replace", 0, "leading_dense_block_count"), MUST("moe_layer_freq", 1, 1),
    MUST("norm_topk_prob", false, false), MUST("scoring_func", "softmax", "softmax"),
    MUST("attention_bias", false, false),
    {0}};

const nb_hf_key nb_hf_smollm3_keys[] = {
    LAYERS(2048, 36, 16, 11008, 32768),
    KV_HEADS(4), HEAD_SIZE(null), RMS(1e-6), MUST("hidden_act", "silu", SILU), TIED(true), ROPE(2e6),
    PART(null), CAUSAL, MUST("use_sliding_window", false, false), WINDOW(null), USED("layer_types", null),
    USED("no_rope_layers", null), MUST("no_rope_layer_interval", 4, 4), USED("attention_bias", false),
    USED("mlp_bias", false), {0}};

const nb_hf_key nb_hf_granite_keys[] = {
    LAYERS(4096, 32, 32, 11008, 2048),
    KV_HEADS(null), HEAD_SIZE(null), RMS(1e-6), MUST("hidden_act", "silu", SILU), TIED(false), ROPE(10000),
    PART(null), CAUSAL, USED("attention_bias", false), USED("mlp_bias", false),
    NUMBER("attention_multiplier", 1, "attention.scale"), NUMBER("embedding_multiplier", 1, "embedding_scale"),
    NUMBER("residual_multiplier", 1, "residual_scale"), NUMBER("logits_scaling", 1, "logit_scale"), {0}};

const nb_hf_key nb_hf_ernie4_5_keys[] = {
    LAYERS(1024, 18, 16, 3072, 131072),
    KV_HEADS(2), HEAD_SIZE(128), RMS(1e-5), MUST("hidden_act", "silu", SILU), TIED(true), ROPE(500000),
    PART(null), CAUSAL, USED("use_bias", false), {0}};

const nb_hf_key nb_hf_olmo2_keys[] = {
    LAYERS(4096, 32, 32, 11008, 2048),
    KV_HEADS(null), HEAD_SIZE(null), RMS(1e-5), MUST("hidden_act", "silu", SILU), TIED(false), ROPE(10000),
    PART(null), CAUSAL, MUST("attention_bias", false, false), {0}};

const nb_hf_key nb_hf_olmo3_keys[] = {
    LAYERS(4096, 32, 32, 11008, 2048),
    KV_HEADS(null), HEAD_SIZE(null), RMS(1e-5), MUST("hidden_act", "silu", SILU), TIED(false), TWO_ROPES(500000),
    PART(null), CAUSAL, WINDOW(4096), USED("layer_types", null), MUST("attention_bias", false, false), {0}};

const nb_hf_key nb_hf_phi3_keys[] = {
    LAYERS(3072, 32, 32, 8192, 4096),
    KV_HEADS(null), HEAD_SIZE(null), RMS(1e-5), MUST("hidden_act", "silu", SILU), TIED(false),
    USED("rope_theta", 10000), USED("rope_scaling", null), USED("rope_parameters", null),
    USED("original_max_position_embeddings", 4096), PART(1), CAUSAL, WINDOW(null), {0}};

/* The first files say "gelu" but mean the tanh approximation, and transformers reads it so. */
const nb_hf_key nb_hf_gemma_keys[] = {
    LAYERS(3072, 28, 16, 24576, 8192),
    KV_HEADS(16), HEAD_SIZE(256), RMS(1e-6), MUST("hidden_act", "gelu_pytorch_tanh", TANH_GELU "gelu"),
    TIED(true), ROPE(10000), PART(null), CAUSAL, NO_OTHER_ATTENTION, MUST("attention_bias", false, false), {0}};

const nb_hf_key nb_hf_gemma2_keys[] = {
    LAYERS(2304, 26, 8, 9216, 8192),
    KV_HEADS(4), HEAD_SIZE(256), RMS(1e-6), MUST("hidden_activation", "gelu_pytorch_tanh", TANH_GELU),
    TIED(true), ROPE(10000), PART(null), CAUSAL, NO_OTHER_ATTENTION, WINDOW(4096), USED("layer_types", null),
    USED("query_pre_attn_scalar", 256), NUMBER("final_logit_softcapping", 30, "final_logit_softcapping"),
    NUMBER("attn_logit_softcapping", 50, "attn_logit_softcapping"), MUST("attention_bias", false, false), {0}};

const nb_hf_key nb_hf_gemma3_keys[] = {
    LAYERS(2304, 26, 8, 9216, 131072),
    KV_HEADS(4), HEAD_SIZE(256), RMS(1e-6), MUST("hidden_activation", "gelu_pytorch_tanh", TANH_GELU),
    TIED(true), TWO_ROPES(1e6), PART(null), USED("rope_local_base_freq", 10000), CAUSAL,
    USED("use_bidirectional_attention", false), WINDOW(4096), USED("layer_types", null),
    USED("sliding_window_pattern", 6),
    USED("query_pre_attn_scalar", 256), NUMBER("final_logit_softcapping", null, "final_logit_softcapping"),
    MUST("attention_bias", false, false), {0}};

const nb_hf_key nb_hf_phi_keys[] = {
    LAYERS(2048, 24, 32, 8192, 2048),
    KV_HEADS(null), HEAD_SIZE(null), LAYER_NORM("layer_norm_eps", 1e-5),
    MUST("hidden_act", "gelu_new", TANH_GELU), TIED(false), ROPE(10000), PART(0.5), CAUSAL,
    MUST("qk_layernorm", false, false), {0}};

const nb_hf_key nb_hf_stablelm_keys[] = {
    LAYERS(2560, 32, 32, 6912, 4096),
    KV_HEADS(32), NO_HEAD_SIZE, LAYER_NORM("layer_norm_eps", 1e-5), MUST("hidden_act", "silu", SILU),
    TIED(false), ROPE(10000), PART(0.25), ALWAYS_CAUSAL,
    NUMBER("use_parallel_residual", false, "use_parallel_residual"),
    USED("use_qkv_bias", false), USED("qk_layernorm", false), {0}};

const nb_hf_key nb_hf_gpt_neox_keys[] = {
    LAYERS(6144, 44, 64, 24576, 2048),
    NO_HEAD_SIZE, LAYER_NORM("layer_norm_eps", 1e-5), MUST("hidden_act", "gelu", EXACT_GELU), TIED(false),
    USED("rotary_emb_base", 10000), USED("rotary_pct", 0.25), USED("rope_scaling", null), USED("rope_parameters", null),
    USED("original_max_position_embeddings", null), CAUSAL,
    NUMBER("use_parallel_residual", true, "use_parallel_residual"), MUST("attention_bias", true, true), {0}};

const nb_hf_key nb_hf_falcon_keys[] = {
    NUMBER("n_embed hidden_size", 4544, "embedding_length"), NUMBER("num_hidden_layers", 32, "block_count"),
    NUMBER("num_attention_heads", 71, "attention.head_count"), NUMBER("ffn_hidden_size", null, "feed_forward_length"),
    USED("max_position_embeddings", 2048), NO_HEAD_SIZE, USED("num_kv_heads", null),
    USED("new_decoder_architecture", false), USED("multi_query", true), MUST("num_ln_in_parallel_attn", null, null 1 2),
    LAYER_NORM("layer_norm_epsilon", 1e-5), MUST("activation", "gelu", EXACT_GELU), TIED(true), ROPE(10000), PART(null),
    CAUSAL, MUST("alibi", false, false), MUST("parallel_attn", true, true), MUST("bias", false, false), {0}};

const nb_hf_key nb_hf_gpt2_keys[] = {
    NUMBER("hidden_size n_embd", 768, "embedding_length"), NUMBER("num_hidden_layers n_layer", 12, "block_count"),
    NUMBER("num_attention_heads n_head", 12, "attention.head_count"), NUMBER("n_inner", null, "feed_forward_length"),
    USED("max_position_embeddings n_positions", 1024), LAYER_NORM("layer_norm_epsilon", 1e-5),
    MUST("activation_function", "gelu_new", TANH_GELU), TIED(true), CAUSAL, MUST("scale_attn_weights", true, true),
    MUST("scale_attn_by_inverse_layer_idx", false, false), MUST("add_cross_attention", false, false), {0}};

const nb_hf_key nb_hf_opt_keys[] = {
    NUMBER("hidden_size", 768, "embedding_length"), NUMBER("num_hidden_layers", 12, "block_count"),
    NUMBER("num_attention_heads", 12, "attention.head_count"), NUMBER("ffn_dim", 3072, "feed_forward_length"),
    USED("max_position_embeddings", 2048), USED("word_embed_proj_dim", null),
    NUMBER("do_layer_norm_before", true, "do_layer_norm_before"), MUST("activation_function", "relu", "relu"),
    TIED(true),
    CAUSAL, MUST("enable_bias", true, true), MUST("layer_norm_elementwise_affine", true, true),
    MUST("_remove_final_layer_norm", false, false), {0}};

/* position_embedding_type: only versions before 5 read it, but models were trained with other types. */
#define BERT(padding)                                                              \
    LAYERS(768, 12, 12, 3072, 512), LAYER_NORM("layer_norm_eps", 1e-12),           \
    MUST("hidden_act", "gelu", EXACT_GELU),                                        \
    USED("type_vocab_size", 2), USED("pad_token_id", padding), MUST("is_decoder", false, false), \
    MUST("add_cross_attention", false, false), MUST("is_causal", null, false),     \
    MUST("position_embedding_type", "absolute", "absolute")
const nb_hf_key nb_hf_bert_keys[] = {BERT(0), {0}};
const nb_hf_key nb_hf_roberta_keys[] = {BERT(1), {0}};

/* Files have the keys of Nomic's own program, which are GPT-2's, or those of the class in transformers. */
const nb_hf_key nb_hf_nomic_keys[] = {
    NUMBER("hidden_size n_embd", 768, "embedding_length"), NUMBER("num_hidden_layers n_layer", 12, "block_count"),
    NUMBER("num_attention_heads n_head", 12, "attention.head_count"),
    NUMBER("intermediate_size n_inner", null, "feed_forward_length"), HEAD_SIZE(null),
    USED("max_position_embeddings n_positions", 2048), USED("max_trained_positions", null),
    LAYER_NORM("layer_norm_eps layer_norm_epsilon", 1e-12),
    MUST("hidden_act activation_function", "silu", SILU "swiglu"), USED("type_vocab_size", 2),
    USED("rope_theta rotary_emb_base", 1000), USED("rope_scaling", null), USED("rope_parameters", null),
    USED("original_max_position_embeddings", null), PART(null), MUST("is_causal", null, false),
    MUST("qkv_proj_bias", false, false), MUST("mlp_fc1_bias", false, false), MUST("mlp_fc2_bias", false, false),
    MUST("prenorm", false, false), MUST("causal", false, false), MUST("rotary_emb_fraction", 1, 1),
    MUST("rotary_emb_interleaved", false, false), MUST("rotary_emb_scale_base", null, null),
    MUST("use_rms_norm", false, false), MUST("parallel_block", false, false), MUST("moe_every_n_layers", 0, 0), {0}};

/* ---- rotations -------------------------------------------------------------------------------------------------- */

#define TYPE_AND_BASE USED("rope_type", null), USED("type", null), USED("rope_theta", null), PART(null)
#define ORIGINAL USED("original_max_position_embeddings", null)
#define FACTOR NUMBER("factor", null, "rope.scaling.factor")

static const nb_hf_key plain[] = {TYPE_AND_BASE, {0}};
static const nb_hf_key linear[] = {TYPE_AND_BASE, FACTOR, {0}};
static const nb_hf_key llama3[] = {
    TYPE_AND_BASE, FACTOR, ORIGINAL, NUMBER("low_freq_factor", null, "rope.scaling.low_freq_factor"),
    NUMBER("high_freq_factor", null, "rope.scaling.high_freq_factor"), {0}};
static const nb_hf_key yarn[] = {
    TYPE_AND_BASE, USED("factor", null), ORIGINAL, USED("attention_factor", null),
    USED("mscale", null), USED("mscale_all_dim", null), USED("truncate", true), USED("beta_fast", null),
    USED("beta_slow", null), {0}};
static const nb_hf_key longrope[] = {
    TYPE_AND_BASE, USED("factor", null), ORIGINAL, USED("attention_factor", null),
    USED("long_factor", null), USED("short_factor", null), {0}};

const nb_hf_rope_type nb_hf_rope_types[] = {
    {"default", plain}, {"linear", linear}, {"llama3", llama3}, {"yarn", yarn}, {"longrope", longrope}, {0}};

/* ---- what changes nothing --------------------------------------------------------------------------------------- */

const nb_hf_idle nb_hf_idle_keys[] = {
    {"what is loaded; the tensors have their own types and sizes",
     "model_type architectures auto_map name_or_path dtype torch_dtype transformers_version vocab_size _commit_hash "
     "text_config decoder generator is_encoder_decoder is_decoder"},
    {"how work is laid out, over devices and in memory",
     "base_model_tp_plan base_model_pp_plan base_model_ep_plan base_model_fsdp_plan sub_configs_defaults "
     "attribute_map chunk_size_feed_forward use_cache attn_implementation experts_implementation pretraining_tp "
     "fusion_config reorder_and_upcast_attn"},
    {"what is returned beside the result",
     "output_attentions output_hidden_states output_scores output_cross_attentions output_router_logits return_dict "
     "return_dict_in_generate tie_last_hidden_states"},
    {"training: the first weights, what is dropped, what is added to the loss",
     "initializer_range init_std gradient_checkpointing attention_dropout hidden_dropout dropout resid_pdrop "
     "embd_pdrop attn_pdrop attention_probs_dropout_prob hidden_dropout_prob layerdrop router_aux_loss_coef "
     "router_jitter_noise"},
    {"heads that classify, summarize and guess words, where a model has embeddings alone",
     "tie_word_embeddings id2label label2id num_labels problem_type classifier_dropout summary_type summary_use_proj "
     "summary_activation summary_proj_to_labels summary_first_dropout"},
    {"how the next token is chosen from the logits: generate() asks for it, and nibble's callers say it themselves",
     "max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k "
     "top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size "
     "encoder_repetition_penalty bad_words_ids num_return_sequences forced_bos_token_id forced_eos_token_id "
     "remove_invalid_values exponential_decay_length_penalty suppress_tokens begin_suppress_tokens epsilon_cutoff "
     "eta_cutoff num_assistant_tokens num_assistant_tokens_schedule assistant_confidence_threshold "
     "assistant_lookbehind target_lookbehind"},
    {"which layers have experts: the tensors say it", "decoder_sparse_step mlp_only_layers"},
    {"asked for by code that all families share, for the sake of others: caches, checks, pictures",
     "layer_types mlp_layer_types mtp_layer_types kv_sharing_modes attention_chunk_size sliding_window "
     "use_sliding_window num_heads sparse_step attn_logit_softcapping num_key_value_heads intermediate_size head_dim "
     "use_bidirectional_attention vision_aspect_ratio vision_feature_layer vision_feature_select_strategy"},
    {"of RoPE, in families without it",
     "rope_parameters rope_scaling rope_theta partial_rotary_factor original_max_position_embeddings"},
    {0}};
