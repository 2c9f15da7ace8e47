"""Translates a Hugging Face folder to GGUF: names of keys and tensors, and changes of the data.

convert(folder) -> architecture, keys, tensors (F32). In the tables, transformers' names are on the left
(configuration_*.py, modeling_*.py, and conversion_mapping.py for files from before version 5), and GGUF's on the right,
as llama.cpp's converter writes them. family_folders.py checks all of it: against the GGUF files of family_models.py,
and with llama.cpp against transformers.
"""
import json
import math
import os
import re

import numpy as np
import safetensors.torch

# ---- names that mean the same in every family -------------------------------------------------------------------

# If there are several names, the first one that is there and not null counts. If none is, it is the family's default;
# if there is no default, the key is left out.
NUMBERS = [
    ("hidden_size n_embd d_model", "embedding_length"),
    ("num_hidden_layers n_layer", "block_count"),
    ("intermediate_size n_inner ffn_hidden_size ffn_dim", "feed_forward_length"),
    ("num_attention_heads n_head", "attention.head_count"),
    ("num_key_value_heads", "attention.head_count_kv"),
    ("head_dim", "attention.key_length"), ("head_dim", "attention.value_length"),
    ("max_position_embeddings n_positions n_ctx", "context_length"),
    ("rms_norm_eps", "attention.layer_norm_rms_epsilon"),
    ("layer_norm_eps layer_norm_epsilon", "attention.layer_norm_epsilon"),
    ("final_logit_softcapping", "final_logit_softcapping"), ("attn_logit_softcapping", "attn_logit_softcapping"),
    ("use_parallel_residual", "use_parallel_residual"),
    ("attention_multiplier", "attention.scale"), ("embedding_multiplier", "embedding_scale"),
    ("residual_multiplier", "residual_scale"), ("logits_scaling", "logit_scale"),
    ("num_experts num_local_experts n_routed_experts", "expert_count"), ("num_experts_per_tok", "expert_used_count"),
    ("moe_intermediate_size", "expert_feed_forward_length"),
    ("shared_expert_intermediate_size", "expert_shared_feed_forward_length"),
    ("n_shared_experts", "expert_shared_count"), ("first_k_dense_replace", "leading_dense_block_count"),
]
ACTIVATIONS = "hidden_activation hidden_act activation_function activation"
PREFIXES = ("model.language_model.", "language_model.model.", "language_model.", "model.", "transformer.", "gpt_neox.",
            "bert.", "roberta.")
LAYER = re.compile(r"(?:encoder\.layers|encoder\.layer|layers|h)\.(\d+)\.(.*)")

# Tensors outside the layers. A name means the same in all families.
MODULES = {
    "embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output",
    "final_layernorm": "output_norm",  # Phi
    "wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm",  # GPT-2; ln_f: Falcon, too
    "embed_in": "token_embd", "final_layer_norm": "output_norm", "embed_out": "output",  # GPT-NeoX
    "word_embeddings": "token_embd",  # Falcon
    # BERT, Nomic
    "embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types", "embeddings.LayerNorm": "token_embd_norm",
    "emb_ln": "token_embd_norm",
}
LAYER_MODULES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    # Phi, and Phi 3
    "self_attn.dense": "attn_output", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down",
    "self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up",
    # mixtures: Mixtral; Qwen 2 and 3; DeepSeek
    "block_sparse_moe.gate": "ffn_gate_inp", "block_sparse_moe.experts.*.w1": "ffn_gate_exps",
    "block_sparse_moe.experts.*.w3": "ffn_up_exps", "block_sparse_moe.experts.*.w2": "ffn_down_exps",
    "mlp.gate": "ffn_gate_inp", "mlp.experts.*.gate_proj": "ffn_gate_exps", "mlp.experts.*.up_proj": "ffn_up_exps",
    "mlp.experts.*.down_proj": "ffn_down_exps", "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
    "mlp.shared_expert.gate_proj": "ffn_gate_shexp", "mlp.shared_expert.up_proj": "ffn_up_shexp",
    "mlp.shared_expert.down_proj": "ffn_down_shexp",
    "mlp.shared_experts.gate_proj": "ffn_gate_shexp", "mlp.shared_experts.up_proj": "ffn_up_shexp",
    "mlp.shared_experts.down_proj": "ffn_down_shexp",
    # StableLM 2 12B
    "self_attn.q_layernorm.norms.*": "attn_q_norm", "self_attn.k_layernorm.norms.*": "attn_k_norm",
    # GPT-2
    "ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
    # GPT-NeoX, and Falcon
    "attention.query_key_value": "attn_qkv", "attention.dense": "attn_output", "mlp.dense_h_to_4h": "ffn_up",
    "mlp.dense_4h_to_h": "ffn_down", "self_attention.query_key_value": "attn_qkv",
    "self_attention.dense": "attn_output", "ln_mlp": "attn_norm", "ln_attn": "attn_norm_2",
    # BERT
    "attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm",
    # Nomic: 11 is up, 12 the gate
    "attn.Wqkv": "attn_qkv", "attn.out_proj": "attn_output", "norm1": "attn_output_norm", "mlp.fc11": "ffn_up",
    "mlp.fc12": "ffn_gate", "norm2": "layer_output_norm",
}
# The only names whose meaning differs between families.
GEMMA_NORMS = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
               "post_feedforward_layernorm": "post_ffw_norm"}
OLMO_NORMS = {"post_attention_layernorm": "post_attention_norm", "post_feedforward_layernorm": "post_ffw_norm"}

# Tensors that are not needed: buffers that follow from the configuration, and heads for other tasks.
NEEDLESS = re.compile(r"rotary_emb\.inv_freq$|\.(attn|attention)\.(masked_)?bias$|^embeddings\.position_ids$|"
                      r"^(pooler|cls)\.")

# ---- families ---------------------------------------------------------------------------------------------------

RMS = dict(rms_norm_eps=1e-6, tie_word_embeddings=False, rope_theta=10000.0)
LAYER_NORM = dict(layer_norm_eps=1e-5, tie_word_embeddings=False, rope_theta=10000.0)
GEMMA = dict(RMS, head_dim=256, tie_word_embeddings=True)
QWEN = dict(RMS, max_position_embeddings=32768)


class Family:
    def __init__(self, architecture, activations, defaults, norms=None, fits=None):
        self.architecture, self.activations, self.defaults = architecture, activations.split(), defaults
        self.norms = norms or {}
        self.fits = fits or {}  # keys that must have this value, if they are there


FAMILIES = {
    "llama": Family("llama", "silu", dict(RMS, max_position_embeddings=2048)),
    "mistral": Family("llama", "silu", dict(RMS, num_key_value_heads=8, max_position_embeddings=131072,
                                            sliding_window=4096)),
    "mixtral": Family("llama", "silu", dict(RMS, rms_norm_eps=1e-5, num_key_value_heads=8, rope_theta=1e6,
                                            max_position_embeddings=131072, num_local_experts=8,
                                            num_experts_per_tok=2)),
    "qwen2": Family("qwen2", "silu", QWEN),
    "qwen3": Family("qwen3", "silu", dict(QWEN, head_dim=128), fits=dict(attention_bias=False)),
    "qwen2_moe": Family("qwen2moe", "silu", dict(QWEN, num_experts=60, num_experts_per_tok=4,
                                                 moe_intermediate_size=1408, shared_expert_intermediate_size=5632),
                        fits=dict(norm_topk_prob=False, qkv_bias=True)),
    # norm_topk_prob must be there: the default is false, which is not supported
    "qwen3_moe": Family("qwen3moe", "silu", dict(QWEN, num_key_value_heads=4, num_experts=128, num_experts_per_tok=8,
                                                 moe_intermediate_size=768, norm_topk_prob=False),
                        fits=dict(norm_topk_prob=True, attention_bias=False)),
    "deepseek": Family("deepseek", "silu", dict(RMS, max_position_embeddings=2048, first_k_dense_replace=0),
                       fits=dict(norm_topk_prob=False, scoring_func="softmax", attention_bias=False)),
    # its no_rope_layers must be every fourth, too
    "smollm3": Family("smollm3", "silu", dict(RMS, tie_word_embeddings=True, rope_theta=2e6, num_key_value_heads=4,
                                              max_position_embeddings=32768),
                      fits=dict(no_rope_layer_interval=4)),
    "granite": Family("granite", "silu", dict(RMS, max_position_embeddings=2048, attention_multiplier=1.0)),
    "ernie4_5": Family("ernie4_5", "silu", dict(RMS, rms_norm_eps=1e-5, tie_word_embeddings=True, rope_theta=500000.0,
                                                num_key_value_heads=2, head_dim=128, max_position_embeddings=131072)),
    "olmo2": Family("olmo2", "silu", dict(RMS, rms_norm_eps=1e-5, max_position_embeddings=2048), OLMO_NORMS,
                    fits=dict(attention_bias=False)),
    "olmo3": Family("olmo2", "silu", dict(RMS, rms_norm_eps=1e-5, rope_theta=500000.0, max_position_embeddings=2048,
                                          sliding_window=4096), OLMO_NORMS, fits=dict(attention_bias=False)),
    "phi3": Family("phi3", "silu", dict(RMS, rms_norm_eps=1e-5, max_position_embeddings=4096,
                                        original_max_position_embeddings=4096)),
    "gemma": Family("gemma", "gelu gelu_pytorch_tanh", dict(GEMMA, max_position_embeddings=8192),
                    fits=dict(attention_bias=False)),
    "gemma2": Family("gemma2", "gelu_pytorch_tanh",
                     dict(GEMMA, max_position_embeddings=8192, num_key_value_heads=4, sliding_window=4096,
                          query_pre_attn_scalar=256, final_logit_softcapping=30.0, attn_logit_softcapping=50.0),
                     GEMMA_NORMS, fits=dict(attention_bias=False)),
    "phi": Family("phi2", "gelu_new", dict(LAYER_NORM, max_position_embeddings=2048, partial_rotary_factor=0.5),
                  fits=dict(qk_layernorm=False)),
    "stablelm": Family("stablelm", "silu", dict(LAYER_NORM, max_position_embeddings=4096, partial_rotary_factor=0.25,
                                                use_parallel_residual=False)),
    "gpt_neox": Family("gptneox", "gelu", dict(LAYER_NORM, max_position_embeddings=2048, rotary_pct=0.25,
                                               use_parallel_residual=True), fits=dict(attention_bias=True)),
    "falcon": Family("falcon", "gelu", dict(LAYER_NORM, tie_word_embeddings=True, max_position_embeddings=2048,
                                            multi_query=True, new_decoder_architecture=False),
                     fits=dict(alibi=False, parallel_attn=True, bias=False)),
    "gpt2": Family("gpt2", "gelu_new", dict(layer_norm_epsilon=1e-5, tie_word_embeddings=True, n_positions=1024),
                   fits=dict(scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False,
                             add_cross_attention=False)),
    "bert": Family("bert", "gelu", dict(layer_norm_eps=1e-12, max_position_embeddings=512, type_vocab_size=2),
                   fits=dict(is_decoder=False, position_embedding_type="absolute")),
    # the first pad_token_id + 1 positions are not used
    "roberta": Family("bert", "gelu", dict(layer_norm_eps=1e-12, max_position_embeddings=512, type_vocab_size=2,
                                           pad_token_id=1), fits=dict(is_decoder=False)),
    "nomic_bert": Family("nomic-bert", "silu swiglu", dict(layer_norm_eps=1e-12, max_position_embeddings=2048,
                                                           type_vocab_size=2, rope_theta=1000.0),
                         {"post_attention_layernorm": "attn_output_norm", "post_mlp_layernorm": "layer_output_norm"},
                         fits=dict(qkv_proj_bias=False, mlp_fc1_bias=False, mlp_fc2_bias=False, prenorm=False,
                                   causal=False, rotary_emb_fraction=1.0, rotary_emb_interleaved=False,
                                   use_rms_norm=False)),
}
ROTATED_NOT = ("gpt2", "bert", "roberta")
PERMUTED = ("llama", "smollm3", "granite", "deepseek")
NORMS_LESS_ONE = ("gemma", "gemma2", "gemma3")
# The feed-forward network's width, if no key has it.
FOUR_TIMES = ("gpt2", "falcon", "phi", "gpt_neox", "nomic_bert")


class Config:
    def __init__(self, folder):
        self.own = json.load(open(os.path.join(folder, "config.json"), encoding="utf-8"))
        self.family = FAMILIES[self.own["model_type"]]

    def get(self, names, otherwise=None):
        for source in (self.own, self.family.defaults):
            for name in names.split():
                if source.get(name) is not None:
                    return source[name]
            if any(name in source for name in names.split()):
                break  # null is not the class's default
        return otherwise

    def check(self):
        act = self.get(ACTIVATIONS, self.family.activations[0])
        if act not in self.family.activations:
            raise ValueError(f"the activation {act}")
        for key, value in self.family.fits.items():
            if self.get(key, value) != value:
                raise ValueError(f"{key} is {self.get(key)}")


def sizes(config):
    heads = config.get("num_attention_heads n_head")
    kv_heads = config.get("num_key_value_heads", heads)
    if config.own["model_type"] == "falcon":  # num_kv_heads counts only in one of three cases
        many = config.get("new_decoder_architecture"), config.get("multi_query")
        kv_heads = config.get("num_kv_heads n_head_kv", heads) if many[0] else 1 if many[1] else heads
    return heads, kv_heads, config.get("head_dim", config.get("hidden_size n_embd") // heads)


def rope_keys(config, keys, arch):
    own = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    own = own.get("full_attention", own)
    theta = own.get("rope_theta") or config.get("rope_theta rotary_emb_base")
    keys[f"{arch}.rope.freq_base"] = float(theta)
    part = own.get("partial_rotary_factor") or config.get("partial_rotary_factor rotary_pct", 1.0)
    _, _, head = sizes(config)
    if part != 1:
        keys[f"{arch}.rope.dimension_count"] = int(head * part)
    kind = own.get("rope_type") or own.get("type") or "default"
    if kind in ("su", "yarn") and arch == "phi3":
        kind = "longrope"
    if kind == "default":
        return {}
    if kind == "yarn":  # of the keys with "yarn" in their names llama.cpp reads none, and takes what is usual
        keys[f"{arch}.rope.scaling.type"] = "yarn"
        keys[f"{arch}.rope.scaling.factor"] = own["factor"]
        keys[f"{arch}.rope.scaling.original_context_length"] = own["original_max_position_embeddings"]
        for name, key in ("attention_factor", "attn_factor"), ("beta_fast", "beta_fast"), ("beta_slow", "beta_slow"):
            keys[f"{arch}.rope.scaling.yarn_{key}"] = own[name]
        return {}
    if kind != "longrope":
        raise ValueError(f"rope of kind {kind}: as for Llama")
    # Phi 3 has two sets of factors, which are tensors in GGUF, and a factor for cosines and sines
    context, original = keys[f"{arch}.context_length"], own.get("original_max_position_embeddings")
    original = original or config.get("original_max_position_embeddings", context)
    factor = own.get("factor") or context / original
    magnitude = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    keys[f"{arch}.rope.scaling.original_context_length"] = original
    keys[f"{arch}.rope.scaling.attn_factor"] = own.get("attention_factor") or magnitude
    return {f"rope_factors_{n}.weight": np.array(own[f"{n}_factor"], np.float32) for n in ("long", "short")}


def window_keys(config, keys, arch):
    """Sliding windows are used by Mistral, Mixtral, Phi 3, Gemma 2 (in every other layer, by the architecture), and
    OLMo 3 (in the layers that layer_types lists, or in all but every fourth). Qwen and SmolLM 3 use them only with
    use_sliding_window, from layer max_window_layers on, which GGUF cannot express."""
    window = config.get("sliding_window", 0)
    if arch.startswith("qwen") or arch == "smollm3":
        if config.get("use_sliding_window", False) and window:
            raise ValueError("a window in some layers")
        return
    if window:
        keys[f"{arch}.attention.sliding_window"] = window
    if config.own["model_type"] == "olmo3":
        kinds = config.get("layer_types", ["sliding_attention"] * 3 + ["full_attention"])
        layers = keys[f"{arch}.block_count"]
        keys[f"{arch}.attention.sliding_window_pattern"] = [
            kinds[i % len(kinds)] == "sliding_attention" for i in range(layers)]


def pooling(folder):
    """The pooling of sentence-transformers: 1 mean, 2 first, 3 last; None if no file says it."""
    path = os.path.join(folder, "1_Pooling/config.json")
    if not os.path.exists(path):
        return None
    says = json.load(open(path, encoding="utf-8"))
    kinds = (1, "mean_tokens"), (2, "cls_token"), (3, "lasttoken")
    return next((i for i, kind in kinds if says.get("pooling_mode_" + kind)), 0)


def keys_of(config, folder):
    arch, kind, keys = config.family.architecture, config.own["model_type"], {}
    for names, key in NUMBERS:
        value = config.get(names)
        if value is not None:
            keys[f"{arch}.{key}"] = value
    heads, kv_heads, _ = sizes(config)
    keys[f"{arch}.attention.head_count_kv"] = kv_heads
    if kind in FOUR_TIMES:
        keys.setdefault(f"{arch}.feed_forward_length", 4 * keys[f"{arch}.embedding_length"])
    trained = config.get("max_trained_positions")  # beyond it, Nomic uses another rotation
    if trained:
        keys[f"{arch}.context_length"] = min(trained, keys[f"{arch}.context_length"])
    scalar = config.get("query_pre_attn_scalar")
    if scalar:
        keys[f"{arch}.attention.scale"] = 1 / math.sqrt(scalar)
    if kind == "roberta":
        keys[f"{arch}.context_length"] -= config.get("pad_token_id") + 1
    if kind in ("bert", "roberta", "nomic_bert"):
        keys[f"{arch}.attention.causal"] = False
        keys["tokenizer.ggml.token_type_count"] = config.get("type_vocab_size")
        if pooling(folder) is not None:
            keys[f"{arch}.pooling_type"] = pooling(folder)
    window_keys(config, keys, arch)
    extra = {} if kind in ROTATED_NOT else rope_keys(config, keys, arch)
    return keys, extra


def is_implied(key, value, keys):
    """Whether a key of a GGUF file has the value that holds without it."""
    arch, _, name = key.partition(".")
    get = lambda other: keys.get(f"{arch}.{other}")
    head = get("attention.key_length") or get("embedding_length") // get("attention.head_count")
    return name == "vocab_size" or (name, value) in (
        ("rope.dimension_count", head), ("attention.key_length", head), ("attention.value_length", head),
        ("attention.sliding_window", 0), ("rope.scaling.original_context_length", get("context_length")),
        ("rope.scaling.type", "none"), ("expert_weights_scale", 1.0), ("tensor_data_layout", "jploski"),
        ("pooling_type", 2))


# ---- tensors ----------------------------------------------------------------------------------------------------


def name_of(config, name):
    """"model.layers.7.mlp.experts.3.up_proj.weight" -> "blk.7.ffn_up_exps.weight", 3; None: not needed."""
    rest = name
    for prefix in PREFIXES:
        if name.startswith(prefix):
            rest = name[len(prefix):]
            break
    if NEEDLESS.search(rest) or (rest == "lm_head.weight" and config.get("tie_word_embeddings", False)):
        return None, 0
    rest = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", rest))
    layer = LAYER.match(rest)
    module, _, leaf = (layer[2] if layer else rest).rpartition(".")
    number = re.search(r"(?:experts|norms)\.(\d+)", module)
    module = re.sub(r"(experts|norms)\.\d+", r"\1.*", module)
    if layer:
        found = config.family.norms.get(module) or LAYER_MODULES[module]
        return f"blk.{layer[1]}.{found}.{leaf}", int(number[1]) if number else 0
    return f"{MODULES[module]}.{leaf}", 0


def permuted(data, heads):
    """The rows of each head in the order 0, n/2, 1, n/2 + 1, ..., because for some architectures GGUF rotates pairs of
    neighbours."""
    return data.reshape(heads, 2, data.shape[0] // heads // 2, *data.shape[1:]).swapaxes(1, 2).reshape(data.shape)


def by_kind(data, heads, kv_heads):
    """Rows of each group (its queries, a key, a value) -> all queries, all keys, all values."""
    size = data.shape[0] // (heads + 2 * kv_heads)
    groups = data.reshape(kv_heads, heads // kv_heads + 2, size, *data.shape[1:])
    kinds = groups[:, :-2], groups[:, -2], groups[:, -1]
    return np.concatenate([part.reshape(-1, *data.shape[1:]) for part in kinds])


def transformed(config, name, data):
    """The tensor's data as GGUF has it."""
    arch = config.family.architecture
    heads, kv_heads, _ = sizes(config)
    part = name.split(".")[-2]
    if arch in PERMUTED and part in ("attn_q", "attn_k"):
        return permuted(data, heads if part == "attn_q" else kv_heads)
    if arch in NORMS_LESS_ONE and part.endswith("norm"):
        return data + np.float32(1)
    if arch == "gpt2" and data.ndim == 2 and part in ("attn_qkv", "attn_output", "ffn_up", "ffn_down"):
        return data.T
    if arch in ("gptneox", "falcon") and part == "attn_qkv":
        return by_kind(data, heads, kv_heads)
    if config.own["model_type"] == "roberta" and part == "position_embd":
        return data[config.get("pad_token_id") + 1:]
    if part == "ffn_gate_inp_shexp":
        return data[0]
    return data


def convert(folder):
    config = Config(folder)
    config.check()
    keys, tensors = keys_of(config, folder)
    stacks = {}
    for name, t in safetensors.torch.load_file(os.path.join(folder, "model.safetensors")).items():
        new, number = name_of(config, name)
        if not new:
            continue
        if re.search(r"(experts|norms)\.\d", name):
            stacks.setdefault(new, {})[number] = t.float().numpy()
        else:
            tensors[new] = transformed(config, new, t.float().numpy())
    tensors |= {name: np.stack([parts[i] for i in range(len(parts))]) for name, parts in stacks.items()}
    return config.family.architecture, keys, tensors
