#!/usr/bin/env python3
"""Small models with random weights, one for each architecture and each variant of its files.

    family_models.py [OUTPUT = tests/fixtures/models] [NAME ...]

Writes NAME.gguf with the keys and tensors that llama.cpp's converter writes (gguf-py's constants.py names them), and
NAME.json with NAME.bin: logits of 40 random tokens by transformers in F32 (layout: logits_vectors.py). Matrices are F16
to be small, with values that are exact in F16. llama.cpp's logits, with the weights as F32, must agree, or nothing is
written. transformers does not have the first DeepSeek. Here it is a Qwen 2 MoE without biases, whose shared expert's
gate is always 1/2; its file has this factor in the weights.
"""
import math
import os
import re
import sys
import tempfile

import gguf
import numpy as np
import torch
import transformers

import llamacpp
from gguf_files import add_vocabulary, write
from logits_vectors import cosines, write_vectors

TOKENS, WIDTH = 40, 32
VOCABULARY = ["<|begin|>", "<|end|>", "Ċ", "Ġ"] + [chr(c) for c in range(33, 117)]
SIZES = dict(vocab_size=len(VOCABULARY), hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128)
ALL_HEADS = dict(SIZES, num_key_value_heads=4)
MIXTURE = dict(SIZES, num_experts=6, num_experts_per_tok=3, moe_intermediate_size=20)


PLAIN = dict(rope_type="default", rope_theta=10000.0)


def long_rope(original, **more):
    factors = dict(short_factor=[1.0, 1.1, 1.25, 1.5], long_factor=[1.0, 1.6, 2.5, 4.0])
    return dict(rope_parameters=dict(PLAIN, rope_type="longrope", original_max_position_embeddings=original, **factors),
                original_max_position_embeddings=original, **more)


def two_ropes(base):
    """OLMo 3's: YaRN in layers without a window."""
    yarn = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=32.0, beta_slow=1.0,
                attention_factor=0.1 * math.log(4) + 1)
    return dict(full_attention=dict(yarn, rope_theta=base), sliding_attention=dict(PLAIN, rope_theta=base))


# name: (architecture in the file, configuration in transformers, its values). A model's random numbers come from its
# place in this table: add lines at its end, or all that follow change.
MODELS = {
    "qwen2": ("qwen2", "Qwen2", dict(SIZES, tie_word_embeddings=True)),
    "qwen3": ("qwen3", "Qwen3", dict(SIZES, head_dim=12)),
    "phi3": ("phi3", "Phi3", dict(SIZES, sliding_window=13)),
    "phi3-partial": ("phi3", "Phi3", dict(SIZES, rope_parameters=dict(PLAIN, partial_rotary_factor=0.5))),
    "phi3-long": ("phi3", "Phi3", dict(SIZES, **long_rope(32))),
    "phi3-short": ("phi3", "Phi3", dict(SIZES, **long_rope(512, max_position_embeddings=1024))),
    "gemma": ("gemma", "Gemma", dict(SIZES, head_dim=12)),
    "gemma2": ("gemma2", "Gemma2", dict(SIZES, num_hidden_layers=4, head_dim=12, sliding_window=11,
                                        query_pre_attn_scalar=12, attn_logit_softcapping=3.0,
                                        final_logit_softcapping=4.0)),
    "gemma2-27b": ("gemma2", "Gemma2", dict(SIZES, num_hidden_layers=46, hidden_size=8, intermediate_size=8,
                                            num_attention_heads=2, num_key_value_heads=1, head_dim=8, sliding_window=11,
                                            query_pre_attn_scalar=4)),
    "gpt2": ("gpt2", "GPT2", dict(vocab_size=len(VOCABULARY), n_embd=WIDTH, n_layer=2, n_head=4, n_positions=64,
                                  layer_norm_epsilon=1e-3)),
    "smollm3": ("smollm3", "SmolLM3", dict(SIZES, num_hidden_layers=4)),
    "stablelm": ("stablelm", "StableLm", dict(SIZES, partial_rotary_factor=0.25, use_qkv_bias=True)),
    "stablelm-12b": ("stablelm", "StableLm", dict(SIZES, partial_rotary_factor=0.25, qk_layernorm=True,
                                                  use_parallel_residual=True)),
    "phi2": ("phi2", "Phi", dict(ALL_HEADS, partial_rotary_factor=0.5)),
    "gptneox": ("gptneox", "GPTNeoX", dict(ALL_HEADS, rotary_pct=0.25)),
    "gptneox-sequential": ("gptneox", "GPTNeoX", dict(ALL_HEADS, rotary_pct=0.5, use_parallel_residual=False)),
    "olmo2": ("olmo2", "Olmo2", SIZES),
    "granite": ("granite", "Granite", dict(SIZES, embedding_multiplier=3.0, residual_multiplier=0.7,
                                           attention_multiplier=0.2, logits_scaling=2.0, tie_word_embeddings=True)),
    "falcon": ("falcon", "Falcon", dict(ALL_HEADS, multi_query=True)),
    "falcon-40b": ("falcon", "Falcon", dict(ALL_HEADS, num_kv_heads=2, new_decoder_architecture=True)),
    "mixtral": ("llama", "Mixtral", dict(SIZES, num_local_experts=5, num_experts_per_tok=2)),
    "qwen2moe": ("qwen2moe", "Qwen2Moe", dict(MIXTURE, shared_expert_intermediate_size=28)),
    "qwen3moe": ("qwen3moe", "Qwen3Moe", dict(MIXTURE, head_dim=8, norm_topk_prob=True)),
    "deepseek": ("deepseek", "Qwen2Moe", dict(MIXTURE, shared_expert_intermediate_size=40, mlp_only_layers=[0])),
    "olmo3": ("olmo2", "Olmo3", dict(SIZES, num_hidden_layers=4, intermediate_size=20, sliding_window=11,
                                     rope_parameters=two_ropes(100.0))),
    "ernie4_5": ("ernie4_5", "Ernie4_5", dict(SIZES, intermediate_size=20, head_dim=12, tie_word_embeddings=True)),
}

# transformers' names of modules: names in files. The first that fits counts.
NAMES = [(re.compile(f"(^|[.]){a}$"), b) for a, b in (
    ("embed_tokens|wte|embed_in|word_embeddings", "token_embd"), ("wpe", "position_embd"), ("lm_head", "output"),
    ("model.norm|ln_f|final_layernorm|final_layer_norm", "output_norm"),
    ("q_proj", "attn_q"), ("k_proj", "attn_k"), ("v_proj", "attn_v"), ("qkv_proj|c_attn|query_key_value", "attn_qkv"),
    ("q_norm|q_layernorm", "attn_q_norm"), ("k_norm|k_layernorm", "attn_k_norm"),
    ("o_proj|self_attn.dense|attention.dense|self_attention.dense|attn.c_proj", "attn_output"),
    ("input_layernorm|ln_1|ln_mlp", "attn_norm"), ("ln_attn", "attn_norm_2"),
    ("pre_feedforward_layernorm|ln_2", "ffn_norm"), ("post_feedforward_layernorm", "post_ffw_norm"),
    ("mlp.gate", "ffn_gate_inp"), ("shared_expert_gate", "ffn_gate_inp_shexp"),
    (r"shared_expert\.gate_proj", "ffn_gate_shexp"), (r"shared_expert\.up_proj", "ffn_up_shexp"),
    (r"shared_expert\.down_proj", "ffn_down_shexp"), (r"experts\.gate_proj", "ffn_gate_exps"),
    (r"experts\.up_proj", "ffn_up_exps"), (r"experts\.down_proj", "ffn_down_exps"),
    ("gate_proj", "ffn_gate"), ("up_proj|gate_up_proj|fc1|dense_h_to_4h|c_fc", "ffn_up"),
    ("down_proj|fc2|dense_4h_to_h|mlp.c_proj", "ffn_down"))]


def gguf_name(name, architecture):
    module, _, leaf = name.rpartition(".")
    layer = re.search(r"(?:layers|h)\.(\d+)\.", module)
    if module.endswith("post_attention_layernorm"):
        new = "post_attention_norm" if architecture in ("gemma2", "olmo2") else "ffn_norm"
    else:
        new = next(new for old, new in NAMES if old.search(module))
    return (f"blk.{layer[1]}." if layer else "") + f"{new}.{leaf}"


def random_model(kind, values, seed):
    config = getattr(transformers, kind + "Config")(**values, bos_token_id=0, eos_token_id=1, pad_token_id=None)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    suffix = "LMHeadModel" if kind == "GPT2" else "ForCausalLM"
    model = getattr(transformers, kind + suffix)(config).float().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            norm = p.dim() == 1 and name.endswith("weight")
            if norm:
                shift = 1 if kind.startswith("Gemma") else 0  # what transformers adds as it runs
                scale = (2 * config.num_hidden_layers) ** -0.5 if kind == "Gemma2" and "post_" in name else 1
                p.copy_(scale * (1 + 0.2 * torch.randn(p.shape, generator=generator)) - shift)
            elif p.dim() == 1:
                p.copy_(0.5 * torch.randn(p.shape, generator=generator))
            else:  # queries, keys and routers get larger weights
                scale = 2.0 if re.search("[qk]_proj|qkv|query_key_value|c_attn|gate.weight|embed|wte|wpe",
                                         name) else 1.0
                inputs = p.shape[0] if kind == "GPT2" and ".h." in name else p.shape[-1]
                p.copy_((scale * inputs ** -0.5 * torch.randn(p.shape, generator=generator)).half())
    return model


def without_gates(model):
    """Makes a Qwen 2 MoE compute like a DeepSeek."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("bias") or "shared_expert_gate" in name:
                p.zero_()


def interleaved(data, heads):
    """Reorders the rows of q and k: transformers rotates pairs (x[i], x[i + n/2]), these files (x[2i], x[2i + 1])."""
    return data.reshape(heads, 2, data.shape[0] // heads // 2, *data.shape[1:]).swapaxes(1, 2).reshape(data.shape)


def by_kind(data, heads, kv_heads):
    """Rows of q, k and v, group by group (queries, a key, a value) -> all of q, all of k, all of v."""
    size = data.shape[0] // (heads + 2 * kv_heads)
    groups = data.reshape(kv_heads, heads // kv_heads + 2, size, *data.shape[1:])
    parts = groups[:, :-2], groups[:, -2], groups[:, -1]
    return np.concatenate([part.reshape(-1, *data.shape[1:]) for part in parts])


def falcon_kv_heads(config):
    return config.num_kv_heads if config.new_decoder_architecture else 1


def tensors(model, architecture):
    config = model.config
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    state = {name: p.numpy() for name, p in model.named_parameters()}
    own = {}  # StableLM has a module for each head
    for name in list(state):
        if ".norms." in name:
            own.setdefault(re.sub(r"\.norms\.\d+", "", name), []).append(state.pop(name))
    state |= {name: np.stack(parts) for name, parts in own.items()}
    for name, data in state.items():
        if architecture in ("llama", "smollm3", "granite", "deepseek") and re.search("[qk]_proj", name):
            data = interleaved(data, heads if "q_proj" in name else kv_heads)
        if architecture.startswith("gemma") and data.ndim == 1:
            data = data + np.float32(1)
        if architecture == "gpt2" and re.search(r"\.(c_attn|c_proj|c_fc)\.weight", name):
            data = data.T
        if architecture == "gptneox" and "query_key_value" in name:
            data = by_kind(data, heads, heads)
        if architecture == "falcon" and "query_key_value" in name:
            data = by_kind(data, heads, falcon_kv_heads(config))
        if architecture == "deepseek" and (name.endswith("bias") or "shared_expert_gate" in name):
            continue
        if architecture == "deepseek" and "shared_expert.down_proj" in name:
            data = data / 2
        if "shared_expert_gate" in name:
            data = data[0]
        if name.endswith("experts.gate_up_proj"):
            gate, up = np.split(data, 2, axis=1)
            yield gguf_name(name.replace("gate_up_proj", "gate_proj.weight"), architecture), gate
            yield gguf_name(name.replace("gate_up_proj", "up_proj.weight"), architecture), up
        else:
            yield gguf_name(name + (".weight" if name.endswith("experts.down_proj") else ""), architecture), data


def write_model(path, model, architecture):
    config = model.config
    out = gguf.GGUFWriter(path, architecture)
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    out.add_vocab_size(config.vocab_size)
    out.add_context_length(config.max_position_embeddings)
    out.add_embedding_length(config.hidden_size)
    out.add_block_count(config.num_hidden_layers)
    inner = (getattr(config, name, None) for name in ("ffn_hidden_size", "intermediate_size", "n_inner"))
    out.add_feed_forward_length(next((n for n in inner if n), 4 * config.hidden_size))  # Falcon's is the first
    out.add_head_count(heads)
    if architecture == "falcon":
        out.add_tensor_data_layout("jploski")
        out.add_head_count_kv(falcon_kv_heads(config))
    elif architecture not in ("gpt2", "gptneox"):
        out.add_head_count_kv(config.num_key_value_heads)
    if hasattr(config, "rms_norm_eps"):
        out.add_layer_norm_rms_eps(config.rms_norm_eps)
    for name in ("layer_norm_eps", "layer_norm_epsilon"):
        if hasattr(config, name):
            out.add_layer_norm_eps(getattr(config, name))
    turns = getattr(config, "rope_parameters", None)
    turns = turns and turns.get("full_attention", turns)
    if turns and not architecture.startswith("gemma"):
        out.add_rope_freq_base(turns["rope_theta"])
        out.add_rope_dimension_count(int(head * turns.get("partial_rotary_factor", 1.0)))
    if head * heads != config.hidden_size or architecture.startswith("gemma"):
        out.add_key_length(head)
        out.add_value_length(head)
    if turns and turns["rope_type"] == "yarn":
        out.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        out.add_rope_scaling_factor(turns["factor"])
        out.add_rope_scaling_orig_ctx_len(turns["original_max_position_embeddings"])
        out.add_rope_scaling_yarn_attn_factor(turns["attention_factor"])
        out.add_rope_scaling_yarn_beta_fast(turns["beta_fast"])
        out.add_rope_scaling_yarn_beta_slow(turns["beta_slow"])
    if architecture == "olmo2" and hasattr(config, "layer_types"):
        out.add_sliding_window(config.sliding_window)
        out.add_sliding_window_pattern([kind == "sliding_attention" for kind in config.layer_types])
    if architecture == "phi3":
        original = turns.get("original_max_position_embeddings", config.max_position_embeddings)
        out.add_rope_scaling_orig_ctx_len(original)
        out.add_sliding_window(config.sliding_window or 0)
        if turns["rope_type"] == "longrope":
            scale = config.max_position_embeddings / original
            out.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(scale) / np.log(original))))
            out.add_tensor("rope_factors_long.weight", np.array(turns["long_factor"], np.float32))
            out.add_tensor("rope_factors_short.weight", np.array(turns["short_factor"], np.float32))
    if architecture == "gemma2":
        out.add_attn_logit_softcapping(config.attn_logit_softcapping)
        out.add_final_logit_softcapping(config.final_logit_softcapping)
        out.add_sliding_window(config.sliding_window)
    if architecture in ("gptneox", "stablelm"):
        out.add_parallel_residual(config.use_parallel_residual)
    if architecture == "granite":
        out.add_attention_scale(config.attention_multiplier)
        out.add_embedding_scale(config.embedding_multiplier)
        out.add_residual_scale(config.residual_multiplier)
        out.add_logit_scale(config.logits_scaling)
    experts = getattr(config, "num_experts", None) or getattr(config, "num_local_experts", None)
    if experts:
        out.add_expert_count(experts)
        out.add_expert_used_count(config.num_experts_per_tok)
    if hasattr(config, "moe_intermediate_size"):
        out.add_expert_feed_forward_length(config.moe_intermediate_size)
    if architecture == "qwen2moe":
        out.add_expert_shared_feed_forward_length(config.shared_expert_intermediate_size)
    if architecture == "deepseek":
        out.add_rope_scaling_type(gguf.RopeScalingType.NONE)
        out.add_leading_dense_block_count(len(config.mlp_only_layers))
        out.add_expert_weights_scale(1.0)
        out.add_expert_shared_count(config.shared_expert_intermediate_size // config.moe_intermediate_size)
    add_vocabulary(out, VOCABULARY, ["a b"])
    for name, data in tensors(model, architecture):
        narrow = data.ndim > 1 and not re.search("norm|gate_inp|position", name)
        out.add_tensor(name, np.ascontiguousarray(data, np.float16 if narrow else np.float32))
    write(out)


def main():
    torch.set_num_threads(1)
    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/models")
    output = sys.argv[1] if len(sys.argv) > 1 else own
    for seed, (name, (architecture, kind, values)) in enumerate(MODELS.items(), 1001):
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        path = os.path.join(output, name + ".gguf")
        model = random_model(kind, values, seed)
        if architecture == "deepseek":
            without_gates(model)
        with torch.no_grad():
            write_model(path, model, architecture)
            tokens = np.random.default_rng(seed).integers(2, len(VOCABULARY), TOKENS).tolist()
            logits = model(torch.tensor([tokens])).logits[0].numpy()
        exact = os.path.join(tempfile.mkdtemp(), "exact.gguf")
        llamacpp.exact_copy(path, exact)
        engine = llamacpp.LlamaCpp(exact, context=512 if name == "phi3-short" else 128)
        least = cosines(logits, engine.evaluate(tokens)).min()
        # llama.cpp knows no window in Phi 3
        if least < 0.999999 and name != "phi3":
            raise SystemExit(f"{name}: transformers and llama.cpp disagree, cosine {least:.7f}")
        write_vectors(os.path.join(output, name + ".json"), path, tokens, logits, "transformers, F32")
        print(f"{name}: {os.path.getsize(path)} bytes, logits to {np.abs(logits).max():.2f}, "
              f"llama.cpp's cosine with transformers {least:.8f}")


if __name__ == "__main__":
    main()
