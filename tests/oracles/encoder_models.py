#!/usr/bin/env python3
"""Small encoders with random weights: BERT and Nomic's.

    encoder_models.py [OUTPUT = tests/fixtures/encoders] [NAME ...]

Writes NAME.gguf as family_models.py does, and NAME.json: the embeddings of 40 random tokens, and of the first 7 of
them, by transformers in F32: mean, first and last of the last hidden states, scaled to length 1. llama.cpp's hidden
states must agree, or nothing is written.
"""
import json
import os
import re
import sys

import gguf
import numpy as np
import torch
import transformers

import llamacpp
from family_models import SIZES, TOKENS, VOCABULARY
from gguf_files import add_vocabulary, write
from logits_vectors import cosines

MODELS = {"bert": ("Bert", "bert", {}), "nomic-bert": ("NomicBert", "nomic-bert", dict(head_dim=8)),
          "bert-head-9": ("Bert", "bert", dict(hidden_size=36)),
          "bert-head-13": ("Bert", "bert", dict(hidden_size=39, num_attention_heads=3))}
LENGTHS = (TOKENS, 7)
POSITIONS = "position_embd.weight"
NAMES = [("word_embeddings", "token_embd"), ("position_embeddings", "position_embd"),
         ("token_type_embeddings", "token_types"),
         ("attention.output.LayerNorm|post_attention_layernorm", "attn_output_norm"),
         (r"\.output.LayerNorm|post_mlp_layernorm", "layer_output_norm"), ("embeddings.LayerNorm", "token_embd_norm"),
         ("query|q_proj", "attn_q"), ("key|k_proj", "attn_k"), ("value|v_proj", "attn_v"),
         ("attention.output.dense|o_proj", "attn_output"), ("gate_proj", "ffn_gate"),
         ("intermediate.dense|up_proj", "ffn_up"),
         ("output.dense|down_proj", "ffn_down")]


def random_model(kind, options, seed):
    options = {k: v for k, v in dict(SIZES, **options).items() if k != "num_key_value_heads"}
    model = getattr(transformers, kind + "Model")(getattr(transformers, kind + "Config")(**options, pad_token_id=0))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.copy_((1 if name.endswith("weight") else 0) + 0.2 * torch.randn(p.shape, generator=generator))
            else:
                scale = 2.0 if re.search("query|key|[qk]_proj|embeddings", name) else 1.0
                p.copy_((scale * p.shape[1] ** -0.5 * torch.randn(p.shape, generator=generator)).half())
    return model.float().eval()


def skipped(model):
    """The number of RoBERTa's positions that no token has."""
    return model.config.pad_token_id + 1 if model.config.model_type == "roberta" else 0


def gguf_name(name):
    """The tensor's name in GGUF; None: files do not have it."""
    if "pooler" in name:
        return None
    layer = re.search(r"(?:layer|layers)\.(\d+)\.", name)
    new = next(new for old, new in NAMES if re.search(old, name)) + "." + name.rpartition(".")[2]
    return (f"blk.{layer[1]}." if layer else "") + new


def matrix_name(name, architecture):
    """The file's matrix with the same inputs as this one. For Nomic's merged matrix this is the first part in
    transformers."""
    name = gguf_name(name)
    if architecture == "nomic-bert" and name and "attn_q." in name:
        return name.replace("attn_q", "attn_qkv")
    return None if architecture == "nomic-bert" and name and re.search("attn_[kv]", name) else name


def tensors(model):
    state = {}
    for name, p in model.named_parameters():
        new = gguf_name(name)
        if new:
            state[new] = p.detach().numpy()[skipped(model) if new == POSITIONS else 0:]
    for name in [n for n in state if n.endswith("attn_q.weight")]:  # Nomic's files have them as one
        if name.replace("weight", "bias") not in state:
            parts = [state.pop(name.replace("attn_q", part)) for part in ("attn_q", "attn_k", "attn_v")]
            state[name.replace("attn_q", "attn_qkv")] = np.concatenate(parts)
    return state


def write_model(path, model, architecture):
    config = model.config
    out = gguf.GGUFWriter(path, architecture)
    out.add_vocab_size(config.vocab_size)
    out.add_context_length(config.max_position_embeddings - skipped(model))
    out.add_embedding_length(config.hidden_size)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_block_count(config.num_hidden_layers)
    out.add_head_count(config.num_attention_heads)
    out.add_layer_norm_eps(config.layer_norm_eps)
    out.add_causal_attention(False)
    out.add_pooling_type(gguf.PoolingType.CLS)
    if architecture == "nomic-bert":
        out.add_rope_freq_base(config.rope_parameters["rope_theta"])
    out.add_token_type_count(config.type_vocab_size)
    add_vocabulary(out, VOCABULARY, ["a b"])
    for name, data in tensors(model).items():
        narrow = data.ndim > 1 and not re.search("position_embd|token_types", name)
        out.add_tensor(name, np.ascontiguousarray(data, np.float16 if narrow else np.float32))
    write(out)


def unit(x):
    return x / np.linalg.norm(x)


def hidden_of(model, tokens):
    with torch.no_grad():
        return model(torch.tensor([tokens])).last_hidden_state[0].numpy()


def digits(vectors):
    return {name: [float(f"{x:.7g}") for x in vector] for name, vector in vectors.items()}


def pooled(hidden):
    return digits({"mean": unit(hidden.mean(0)), "cls": unit(hidden[0]), "last": unit(hidden[-1])})


def cases_of(model, tokens):
    return [{"tokens": tokens[:n]} | pooled(hidden_of(model, tokens[:n])) for n in LENGTHS]


def write_cases(path, cases, by="transformers, F32", output=None):
    """output: NAME.json beside the model NAME.gguf, unless it is named."""
    with open(output or path.replace(".gguf", ".json"), "w", encoding="utf-8") as out:
        json.dump({"model": os.path.basename(path), "by": by, "cases": cases}, out, indent=0)
        out.write("\n")


def of_name(name):
    """The model that main() writes as NAME.gguf."""
    kind, _, options = MODELS[name]
    return random_model(kind, options, 2001 + list(MODELS).index(name))


def main():
    torch.set_num_threads(1)
    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/encoders")
    output = sys.argv[1] if len(sys.argv) > 1 else own
    os.makedirs(output, exist_ok=True)
    for seed, (name, (_, architecture, _)) in enumerate(MODELS.items(), 2001):
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        path = os.path.join(output, name + ".gguf")
        model = of_name(name)
        write_model(path, model, architecture)
        tokens = np.random.default_rng(seed).integers(2, len(VOCABULARY), TOKENS).tolist()
        least = 1
        for n in LENGTHS:
            least = min(least, cosines(hidden_of(model, tokens[:n]),
                                       llamacpp.hidden_states(path, tokens[:n], encoder=True)).min())
        if least < 0.9999:
            raise SystemExit(f"{name}: transformers and llama.cpp disagree, cosine {least:.7f}")
        write_cases(path, cases_of(model, tokens))
        print(f"{name}: {os.path.getsize(path)} bytes, llama.cpp's least cosine with transformers {least:.7f}")


if __name__ == "__main__":
    main()
