#!/usr/bin/env python3
"""Writes small models with random weights, one for each hyper-parameter and tensor type that nibble knows.

    random_models.py [--output FOLDER] [NAME ...]

Writes NAME.gguf, and NAME.json with NAME.bin: logits of 40 random tokens (layout: logits_vectors.py). The references
are transformers' in F32, with the weights in the file: quantized weights are dequantized by libgguf (or gguf, for types
that libgguf lacks) and written back into the model. If llama.cpp knows the hyper-parameter too, its logits, with the
weights as F32, must agree, or nothing is written. llama.cpp does not read a sliding window in files of the Llama
family.
"""
import argparse
import os
import re
import tempfile

import gguf
import libgguf
import numpy as np
import torch
import transformers
from gguf.quants import quantize

import llamacpp
from gguf_files import add_vocabulary, write
from logits_vectors import cosines, write_vectors

Type = gguf.GGMLQuantizationType
INTEGERS = {Type.I8: np.int8, Type.I16: np.int16, Type.I32: np.int32, Type.I64: np.int64}
TOKENS = 40


def vocabulary():
    """All bytes by GPT-2's names (Radford et al. 2019; printable ones are unchanged), and a few merges."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names = {b: chr(b) for b in printable}
    names |= {b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in names)}
    merges = ["Ġ t", "h e", "i n", "Ġ a", "Ġt he"]
    return ["<|begin|>", "<|end|>"] + [names[b] for b in range(256)] + [m.replace(" ", "") for m in merges], merges


VOCABULARY, MERGES = vocabulary()
BASE = dict(vocab_size=len(VOCABULARY), hidden_size=64, intermediate_size=96, num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=True)
WIDE = dict(BASE, hidden_size=256, intermediate_size=64, num_hidden_layers=1, head_dim=16)
SMALL = dict(BASE, hidden_size=32, intermediate_size=64)
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
GEMMA = dict(vocab_size=len(VOCABULARY), hidden_size=32, intermediate_size=48, num_hidden_layers=3,
             num_attention_heads=4,
             num_key_value_heads=2, head_dim=12, max_position_embeddings=128, sliding_window=11,
             sliding_window_pattern=2)


def rope(kind, **more):
    return {"rope_type": kind, "rope_theta": 10000.0, **more}


# name: (hyper-parameters, tensor type of the matrices that it fits; the others are Q8_0)
# Llama; Mistral if there is a sliding window; Gemma 3 by its name
MODELS = {
    "biases": (dict(SMALL, attention_bias=True, mlp_bias=True), Type.F32),
    "separate-output": (dict(SMALL, tie_word_embeddings=False), Type.F32),
    "head-size": (dict(SMALL, head_dim=24, intermediate_size=32), Type.F32),
    "one-kv-head": (dict(SMALL, num_key_value_heads=1), Type.F32),
    "all-kv-heads": (dict(SMALL, num_key_value_heads=4), Type.F32),
    "odd-sizes": (dict(SMALL, num_hidden_layers=1, hidden_size=42, intermediate_size=50, num_attention_heads=6,
                       num_key_value_heads=3, head_dim=12),
                  Type.F32),
    "rope-base": (dict(SMALL, rope_parameters={"rope_type": "default", "rope_theta": 500000.0}), Type.F32),
    "rope-linear": (dict(SMALL, rope_parameters=rope("linear", factor=4.0)), Type.F32),
    "rope-llama3": (dict(SMALL, rope_parameters=rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                                     original_max_position_embeddings=32)), Type.F32),
    "rope-yarn": (dict(SMALL, rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=32)), Type.F32),
    "sliding-window": (dict(SMALL, sliding_window=12), Type.F32),
    "type-f16": (SMALL, Type.F16), "type-bf16": (SMALL, Type.BF16), "type-q4_0": (BASE, Type.Q4_0),
    "type-q4_1": (BASE, Type.Q4_1),
    "type-q5_0": (BASE, Type.Q5_0), "type-q5_1": (BASE, Type.Q5_1), "type-q8_0": (BASE, Type.Q8_0),
    "type-q2_k": (WIDE, Type.Q2_K), "type-q3_k": (WIDE, Type.Q3_K), "type-q4_k": (WIDE, Type.Q4_K),
    "type-q5_k": (WIDE, Type.Q5_K),
    "type-q6_k": (WIDE, Type.Q6_K),
    "gemma3": (dict(GEMMA, num_hidden_layers=7, sliding_window_pattern=6), Type.F16),
    "gemma3-rope-linear": (dict(GEMMA, rope_parameters={"full_attention": rope("linear", factor=8.0),
                                                        "sliding_attention": PLAIN}), Type.F32),
    "gemma3-rope-bases": (dict(GEMMA,
                               rope_parameters={"full_attention": PLAIN,
                                                "sliding_attention": dict(PLAIN, rope_theta=50.0)}),
                          Type.F32),
    "gemma3-no-window": (dict(GEMMA, sliding_window_pattern=1), Type.F32),
    "gemma3-27b": (dict(GEMMA, num_hidden_layers=62, hidden_size=16, intermediate_size=8, num_attention_heads=2,
                        num_key_value_heads=1, head_dim=4, sliding_window_pattern=6, query_pre_attn_scalar=8),
                        Type.F16),
    "head-size-10": (dict(SMALL, head_dim=10, intermediate_size=32), Type.F16),
    "head-size-14": (dict(SMALL, head_dim=14, intermediate_size=32, attention_bias=True), Type.F16),
    "head-size-18": (dict(SMALL, head_dim=18, intermediate_size=32), Type.F16),
}

# the same with a type for each tensor, by the beginning of its name in the file. Integers are four times a norm's
# weights
TYPES = {
    "types-4-bits": (WIDE, {"token_embd": Type.IQ4_XS, "attn_q": Type.IQ4_NL, "attn_k": Type.MXFP4,
                            "attn_v": Type.IQ4_XS, "attn_output": Type.MXFP4, "ffn_gate": Type.MXFP4,
                            "ffn_up": Type.IQ4_XS, "ffn_down": Type.IQ4_NL}),
    "types-3-bits": (WIDE, {"token_embd": Type.IQ2_S, "attn_q": Type.IQ2_XXS, "attn_k": Type.IQ2_XS,
                            "attn_v": Type.IQ3_S, "attn_output": Type.NVFP4, "ffn_gate": Type.IQ3_XXS,
                            "ffn_up": Type.IQ3_S, "ffn_down": Type.NVFP4, "attn_norm": Type.I16, "ffn_norm": Type.I32}),
    "types-2-bits": (WIDE, {"token_embd": Type.TQ2_0, "attn_q": Type.IQ1_S, "attn_k": Type.IQ1_M, "attn_v": Type.TQ1_0,
                            "attn_output": Type.NVFP4, "ffn_gate": Type.IQ1_M, "ffn_up": Type.Q1_0,
                            "ffn_down": Type.MXFP4, "attn_norm": Type.I8, "ffn_norm": Type.I64,
                            "output_norm": Type.F64}),
    # q, k and v as one matrix, as in families that llama.cpp reads this way: their rows are no multiples of 4
    "head-size-merged": (dict(SMALL, num_hidden_layers=1, intermediate_size=32, num_attention_heads=1,
                              num_key_value_heads=1,
                              head_dim=10), {"attn_q": Type.Q8_0, "attn_k": Type.Q8_0, "attn_v": Type.Q8_0}),
}
SEEDS = {name: seed for seed, name in [*enumerate(MODELS, 1), *enumerate(TYPES, 1001)]}


def random_model(name, options, seed):
    options = dict(options)
    if name.startswith("gemma3"):
        options.setdefault("query_pre_attn_scalar", options["head_dim"])
        config, make = transformers.Gemma3TextConfig, transformers.Gemma3ForCausalLM
    else:
        options.setdefault("rope_parameters", PLAIN)
        kind = "Mistral" if "sliding_window" in options else "Llama"
        config, make = getattr(transformers, kind + "Config"), getattr(transformers, kind + "ForCausalLM")
    config = config(**options, bos_token_id=0, eos_token_id=1, pad_token_id=None)
    config._attn_implementation = "eager"
    model = make(config).float().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if is_gemma(config) and "post_" in name:  # so that all blocks together add about as much as there is
                scale = (2 * config.num_hidden_layers) ** -0.5
                p.copy_(scale * (1 + 0.5 * torch.randn(p.shape, generator=generator)) - norm_shift(config))
            elif name.endswith("norm.weight"):
                p.copy_(1 - norm_shift(config) + 0.2 * torch.randn(p.shape, generator=generator))
            elif p.dim() == 1:
                p.copy_(0.5 * torch.randn(p.shape, generator=generator))
            else:  # larger queries and keys, so that attention is not uniform
                scale = 2.0 if "q_proj" in name or "k_proj" in name else 1.0
                p.copy_(scale * p.shape[1] ** -0.5 * torch.randn(p.shape, generator=generator))
    return model


def interleaved(p, heads):
    """Reorders the rows of q and k: transformers rotates (x[i], x[i + n/2]), GGUF's Llama (x[2i], x[2i + 1])."""
    return p.reshape(heads, 2, p.shape[0] // heads // 2, *p.shape[1:]).swapaxes(1, 2).reshape(p.shape)


def halves(p, heads):
    return p.reshape(heads, p.shape[0] // heads // 2, 2, *p.shape[1:]).swapaxes(1, 2).reshape(p.shape)


NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down",
         "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
         "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
NAMES_GEMMA = NAMES | {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
                       "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
                       "post_feedforward_layernorm": "post_ffw_norm"}


def is_gemma(config):
    return config.model_type == "gemma3_text"


def norm_shift(config):
    """What transformers adds to a norm's weights at run time; in files it is added already."""
    return 1 if is_gemma(config) else 0


def gguf_name(name, config):
    names = NAMES_GEMMA if is_gemma(config) else NAMES
    module, _, leaf = name.rpartition(".")
    if module.startswith("model.layers."):
        _, _, layer, module = module.split(".", 3)
        return f"blk.{layer}.{names[module]}.{leaf}"
    return f"{names[module]}.{leaf}"


def quantized(data, kind):
    """The tensor's bytes, and the numbers that they represent."""
    if kind in (Type.F32, Type.F16, Type.BF16):
        raw = quantize(data, kind)
    elif kind == Type.F64:
        raw = data.astype(np.float64)
    elif kind in INTEGERS:
        raw = np.rint(4 * data).astype(INTEGERS[kind])
    else:
        raw = np.asarray(libgguf.quantize_rows(data, int(kind))).view(np.uint8).reshape(data.shape[0], -1)
    return raw, llamacpp.weights_of(raw, kind)


def fitting(kind, columns):
    """The type, or a similar one whose blocks divide these rows."""
    return kind if columns % gguf.GGML_QUANT_SIZES[kind][0] == 0 else Type.Q8_0


def kind_of(tensor, kind, p):
    if isinstance(kind, dict):
        return next((its for name, its in kind.items() if tensor.removeprefix("blk.0.").startswith(name)), Type.F32)
    return Type.F32 if p.dim() == 1 else fitting(kind, p.shape[1])


def write_model(path, model, kind, merged=False):
    """Writes the file with the keys that llama.cpp's converter writes, and also those that llama.cpp reads and the
    converter never varies. The model's own weights are replaced with those of the file."""
    config = model.config
    gemma = is_gemma(config)
    out = gguf.GGUFWriter(path, "gemma3" if gemma else "llama")
    out.add_vocab_size(config.vocab_size)
    out.add_context_length(config.max_position_embeddings)
    out.add_embedding_length(config.hidden_size)
    out.add_block_count(config.num_hidden_layers)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(config.num_attention_heads)
    out.add_head_count_kv(config.num_key_value_heads)
    head = config.head_dim or config.hidden_size // config.num_attention_heads
    if not gemma:
        out.add_rope_dimension_count(head)
    if head * config.num_attention_heads != config.hidden_size:
        out.add_key_length(head)
        out.add_value_length(head)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    turns = config.rope_parameters["full_attention"] if gemma else config.rope_parameters
    out.add_rope_freq_base(turns["rope_theta"])
    if turns["rope_type"] in ("linear", "yarn"):
        out.add_rope_scaling_type(gguf.RopeScalingType(turns["rope_type"]))
        out.add_rope_scaling_factor(turns["factor"])
    if turns["rope_type"] == "yarn":
        out.add_rope_scaling_orig_ctx_len(turns["original_max_position_embeddings"])
    if turns["rope_type"] == "llama3":  # files have the factors, the ratio of the inverse frequencies
        plain = 10000.0 ** (-torch.arange(0, head, 2, dtype=torch.float32) / head)
        out.add_tensor("rope_freqs.weight", (plain / model.model.rotary_emb.inv_freq).numpy().astype(np.float32))
    period = config._sliding_window_pattern if gemma else None
    if getattr(config, "sliding_window", None) and period != 1:
        out.add_sliding_window(config.sliding_window)
    if gemma and period not in (1, 6):
        out.add_uint32("gemma3.attention.sliding_window_pattern", period)
    if gemma and config.rope_parameters["sliding_attention"]["rope_theta"] != 10000.0:
        out.add_float32("gemma3.rope.freq_base_swa", config.rope_parameters["sliding_attention"]["rope_theta"])
    add_vocabulary(out, VOCABULARY, MERGES)
    parts = []
    with torch.no_grad():
        for name, p in model.named_parameters():
            heads = (None if gemma else config.num_attention_heads if "q_proj" in name else
                     config.num_key_value_heads if "k_proj" in name else None)
            shift = norm_shift(config) if name.endswith("norm.weight") else 0
            data = p.numpy() + np.float32(shift)
            data = interleaved(data, heads) if heads else data
            target = gguf_name(name, config)
            used = kind_of(target, kind, p)
            raw, held = quantized(np.ascontiguousarray(data), used)
            if merged and re.search("attn_[qkv]", target):
                parts.append(raw)
                if len(parts) == 3:
                    out.add_tensor("blk.0.attn_qkv.weight", np.concatenate(parts), raw_dtype=used)
            else:
                out.add_tensor(target, raw, raw_dtype=used)
            p.copy_(torch.from_numpy(np.ascontiguousarray(halves(held, heads) if heads else held)) - shift)
    write(out)


def main():
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--output", default=os.path.join(here, "../fixtures/models"))
    parser.add_argument("names", nargs="*", help="only these")
    arguments = parser.parse_args()
    output = arguments.output
    os.makedirs(output, exist_ok=True)
    for name, (options, kind) in (MODELS | TYPES).items():
        if arguments.names and name not in arguments.names:
            continue
        seed = SEEDS[name]
        path = os.path.join(output, name + ".gguf")
        model = random_model(name, options, seed)
        write_model(path, model, kind, name == "head-size-merged")
        tokens = np.random.default_rng(seed).integers(2, len(VOCABULARY), TOKENS).tolist()
        with torch.no_grad():
            logits = model(torch.tensor([tokens])).logits[0].numpy()
        least = None
        if name != "head-size-merged" and ("sliding_window" not in options or is_gemma(model.config)):
            exact = os.path.join(tempfile.mkdtemp(), "exact.gguf")
            llamacpp.exact_copy(path, exact)
            least = cosines(logits, llamacpp.LlamaCpp(exact, context=128).evaluate(tokens)).min()
            # llama.cpp reads GELU from a table of F16
            if least < (0.99999 if is_gemma(model.config) else 0.999999):
                raise SystemExit(f"{name}: transformers and llama.cpp disagree, cosine {least:.7f}")
        write_vectors(os.path.join(output, name + ".json"), path, tokens, logits, "transformers, F32")
        print(f"{name}: {os.path.getsize(path)} bytes, llama.cpp's cosine with transformers {least}")


if __name__ == "__main__":
    main()
