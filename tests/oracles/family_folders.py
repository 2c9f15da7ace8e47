#!/usr/bin/env python3
"""Small models with random weights as Hugging Face folders, one for each family that nibble reads as GGUF, and OPT.

    family_folders.py [OUTPUT = tests/fixtures/safetensors] [NAME ...]

Models are those of family_models.py with other weights. Beside each folder are the logits of 40 random tokens by
transformers in F32 with the weights of the folder (NAME.json with NAME.bin, layout: logits_vectors.py), for encoders
the embeddings (encoder_models.py). Folders look like those on the hub: experts one by one, and most with keys of
configurations from before transformers 5. transformers reads each back, and must compute the same. This script itself
writes what transformers cannot: the configurations of DeepSeek and Nomic, and the old names and buffers of GPT-2.

folder_mapping.py translates each folder to the keys and tensors of a GGUF, which must be those of family_models.py or
encoder_models.py. With these llama.cpp must agree with transformers, or no logits are written.
"""
import json
import os
import re
import shutil
import sys
import tempfile

import gguf
import numpy as np
import safetensors.torch
import torch
import transformers

import encoder_models
import family_models
import folder_mapping
import gguf_files
import llamacpp
from family_models import MODELS, TOKENS, VOCABULARY, two_ropes
from logits_vectors import cosines, write_vectors

F16, BF16 = torch.float16, torch.bfloat16
THIN = dict(num_hidden_layers=1)
EXPERTS = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=12)
OPT = dict(vocab_size=len(VOCABULARY), hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4,
           max_position_embeddings=62, word_embed_proj_dim=32)
# name: (model of family_models.py or its like, changes for the folder, type, whether the keys are those of today). Add
# lines at the end: the random numbers of a folder come from its place.
FOLDERS = {
    "qwen2": ("qwen2", dict(num_hidden_layers=2), BF16, False),
    "qwen3": ("qwen3", {}, BF16, True),
    "phi3": ("phi3", {}, BF16, False),
    "phi3-partial": ("phi3-partial", {}, BF16, True),
    "phi3-long": ("phi3-long", {}, F16, True),
    "phi3-short": ("phi3-short", {}, BF16, False),
    "phi": ("phi2", {}, F16, False),
    "gemma": ("gemma", {}, BF16, False),
    "gemma2": ("gemma2", dict(num_hidden_layers=2), BF16, True),
    "gpt2": ("gpt2", dict(n_layer=1, n_positions=44), F16, False),
    "gpt2-inner": ("gpt2", dict(n_inner=40), F16, True),
    "opt": (("opt", "OPT", OPT), {}, F16, False),
    "opt-350m": (("opt", "OPT", dict(OPT, do_layer_norm_before=False, word_embed_proj_dim=16)), {}, F16, False),
    "smollm3": ("smollm3", dict(intermediate_size=20), BF16, True),
    "mixtral": ("mixtral", dict(THIN, num_local_experts=4, intermediate_size=40), BF16, False),
    "qwen2-moe": ("qwen2moe", dict(EXPERTS, moe_intermediate_size=8, shared_expert_intermediate_size=20), BF16, False),
    "qwen3-moe": ("qwen3moe", dict(EXPERTS), BF16, False),
    "gpt-neox": ("gptneox", {}, F16, False),
    "gpt-neox-sequential": ("gptneox-sequential", {}, F16, True),
    "stablelm": ("stablelm", {}, F16, False),
    "stablelm-12b": ("stablelm-12b", {}, BF16, True),
    "olmo2": ("olmo2", {}, BF16, False),
    "granite": ("granite", {}, BF16, False),
    "falcon": ("falcon", {}, BF16, False),
    "falcon-40b": ("falcon-40b", {}, BF16, True),
    "deepseek": ("deepseek", dict(EXPERTS, shared_expert_intermediate_size=24), BF16, False),
    "bert": ("Bert", dict(max_position_embeddings=64), F16, False),
    "nomic-bert": ("NomicBert", {}, F16, False),
    "roberta": ("Roberta", dict(max_position_embeddings=62, type_vocab_size=1), F16, False),
    "olmo3": ("olmo3", dict(rope_parameters=two_ropes(500000.0)), BF16, False),
    "ernie4_5": ("ernie4_5", {}, BF16, False),
    "ernie4_5-biases": ("ernie4_5", dict(use_bias=True, tie_word_embeddings=False), BF16, True),
}


ENCODERS = {"Bert": "bert", "Roberta": "bert", "NomicBert": "nomic-bert"}

# Folders that llama.cpp cannot load as GGUF: it has no OPT, and of ERNIE 4.5's biases only those of attention.
UNKNOWN_TO_LLAMACPP = ("opt", "opt-350m", "ernie4_5-biases")

# Keys that family_models.py sets in configurations that do not have them.
STRAY = {"falcon": ("intermediate_size", "num_key_value_heads"), "gpt_neox": ("num_key_value_heads",)}


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as out:
        json.dump(value, out, indent=2)
        out.write("\n")


def write_tokenizer(folder):
    """Writes a tokenizer.json: byte-level BPE without merges."""
    specials = [{"id": i, "content": t, "special": True} for i, t in enumerate(VOCABULARY) if t.startswith("<|")]
    write_json(os.path.join(folder, "tokenizer.json"), {
        "version": "1.0", "added_tokens": specials, "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}, "post_processor": None,
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(VOCABULARY)}, "merges": []}})
    write_json(os.path.join(folder, "tokenizer_config.json"), {
        "bos_token": "<|begin|>", "eos_token": "<|end|>", "add_bos_token": True})


def write_pooling(folder):
    """Writes the files that sentence-transformers has beside a model."""
    os.makedirs(os.path.join(folder, "1_Pooling"))
    parts = ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")
    write_json(os.path.join(folder, "modules.json"), [
        {"idx": i, "name": str(i), "path": at, "type": f"sentence_transformers.models.{kind}"}
        for i, (at, kind) in enumerate(parts)])
    write_json(os.path.join(folder, "1_Pooling/config.json"), {
        "word_embedding_dimension": 32, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False,
        "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False})


def earlier(config):
    """The keys of configurations before transformers 5 (its convert_rope_params_to_dict reads them)."""
    config = dict(config, torch_dtype=config["dtype"], transformers_version="4.40.0")
    for key in ("dtype", "layer_types"):
        config.pop(key, None)
    turns = config.pop("rope_parameters", None)
    two = turns and "full_attention" in turns  # OLMo 3: those of layers with a window were never written
    turns = turns["full_attention"] if two else turns
    if turns:
        neox = config["model_type"] == "gpt_neox"
        config["rotary_emb_base" if neox else "rope_theta"] = turns.pop("rope_theta")
        if "partial_rotary_factor" in turns:
            config["rotary_pct" if neox else "partial_rotary_factor"] = turns.pop("partial_rotary_factor")
        kind = turns.pop("rope_type")
        if kind == "longrope":
            config["original_max_position_embeddings"] = turns.pop("original_max_position_embeddings")
        config["rope_scaling"] = dict(turns, **{"rope_type" if two else "type": kind}) if kind != "default" else None
    if config["model_type"] == "qwen3_moe":
        config["num_experts"] = config.pop("num_local_experts")
    return config


def gpt2_of_2019(config, tensors):
    """Names without a prefix, and the attention mask as a buffer, as in 2019."""
    n = config["n_positions"]
    tensors = {name.removeprefix("transformer."): t for name, t in tensors.items()}
    return dict(config, n_ctx=n), tensors | {"h.0.attn.bias": torch.ones(1, 1, n, n, dtype=torch.uint8).tril()}


def pythia(config, tensors):
    return config, tensors | {"gpt_neox.layers.0.attention.rotary_emb.inv_freq": torch.ones(1),
                              "gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e9)}


def tied_too(config, tensors):
    """Adds the output matrix, although it is tied to the embedding."""
    return config, tensors | {"lm_head.weight": tensors["transformer.word_embeddings.weight"].clone()}


def deepseek(config, tensors):
    """A DeepSeek from a Qwen 2 MoE with biases of 0 and a shared expert whose gate is always 1/2."""
    kept = {}
    for name, t in tensors.items():
        if not name.endswith("proj.bias") and "shared_expert_gate" not in name:
            kept[name.replace("shared_expert.", "shared_experts.")] = t / 2 if "shared_expert.down_proj" in name else t
    names = {"num_experts": "n_routed_experts"}
    gone = ("layer_types", "decoder_sparse_step", "mlp_only_layers", "qkv_bias", "use_sliding_window", "sliding_window",
            "max_window_layers", "shared_expert_intermediate_size")
    new = {names.get(key, key): value for key, value in config.items() if key not in gone}
    shared = config["shared_expert_intermediate_size"] // config["moe_intermediate_size"]
    return dict(new, architectures=["DeepseekForCausalLM"], model_type="deepseek", first_k_dense_replace=1,
                moe_layer_freq=1, n_shared_experts=shared, scoring_func="softmax", attention_bias=False), kept


def nomic(config, tensors):
    """Nomic's own configuration, which has GPT-2's keys."""
    names = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
             "intermediate_size": "n_inner", "max_position_embeddings": "n_positions", "rope_theta": "rotary_emb_base",
             "layer_norm_eps": "layer_norm_epsilon"}
    gone = ("hidden_act", "head_dim", "rope_scaling")
    new = {names.get(key, key): value for key, value in config.items() if key not in gone}
    return dict(new, activation_function="swiglu", causal=False, max_trained_positions=2048, prenorm=False,
                qkv_proj_bias=False, mlp_fc1_bias=False, mlp_fc2_bias=False, rotary_emb_fraction=1.0,
                rotary_emb_interleaved=False, rotary_emb_scale_base=None, use_rms_norm=False), tensors


def sentence_transformer(config, tensors):
    return config, tensors | {"embeddings.position_ids": torch.arange(config["max_position_embeddings"])[None]}


# Folders that transformers cannot read back, because it has no class for them, or no longer.
REWRITTEN = {"gpt2": gpt2_of_2019, "gpt-neox": pythia, "falcon": tied_too, "bert": sentence_transformer}
OTHERS = {"deepseek": deepseek, "nomic-bert": nomic}


def rewrite(folder, change):
    """Applies a change to the content of config.json and the tensors."""
    path, weights = os.path.join(folder, "config.json"), os.path.join(folder, "model.safetensors")
    config = json.load(open(path, encoding="utf-8"))
    config, tensors = change(config, safetensors.torch.load_file(weights))
    write_json(path, config)
    safetensors.torch.save_file({name: t.contiguous() for name, t in tensors.items()}, weights, {"format": "pt"})


def read(folder, kind):
    return kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def of_model(model, tokens):
    with torch.no_grad():
        out = model(torch.tensor([tokens]))
    return (out.logits if hasattr(out, "logits") else out.last_hidden_state)[0].numpy()


def write_folder(folder, name, model, kind, today, tokens):
    """Returns the model with the weights of the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for stray in STRAY.get(model.config.model_type, ()):
        delattr(model.config, stray)
    model.to(kind).save_pretrained(folder)
    held = read(folder, type(model))
    before = of_model(held, tokens)
    if not today:
        rewrite(folder, lambda config, tensors: (earlier(config), tensors))
    if name in REWRITTEN:
        rewrite(folder, REWRITTEN[name])
    if not np.array_equal(of_model(read(folder, type(model)), tokens), before):
        raise SystemExit(f"{name}: transformers reads the rewritten folder as another model")
    if name in OTHERS:
        rewrite(folder, OTHERS[name])
    write_tokenizer(folder)
    if name == "bert":
        write_pooling(folder)
    return held


def gguf_of(architecture, keys, tensors, path):
    out = gguf.GGUFWriter(path, architecture)
    for key, value in keys.items():
        if isinstance(value, str):
            out.add_string(key, value)
        elif isinstance(value, bool):
            out.add_bool(key, value)
        elif isinstance(value, int):
            out.add_uint32(key, value)
        elif isinstance(value, list):
            out.add_array(key, value)
        else:
            out.add_float32(key, value)
    gguf_files.add_vocabulary(out, VOCABULARY, ["a b"])
    for name, data in tensors.items():
        out.add_tensor(name, np.ascontiguousarray(data, np.float32))
    gguf_files.write(out)


def check_mapping(name, folder, held, architecture, module):
    """Checks that folder_mapping.py gives what the GGUF file has; returns its keys and tensors."""
    found, keys, tensors = folder_mapping.convert(folder)
    assert found == architecture, (name, found)
    with torch.no_grad():
        expected = dict(module.tensors(held, architecture) if module is family_models else module.tensors(held))
    path = os.path.join(tempfile.mkdtemp(), "expected.gguf")
    with torch.no_grad():
        module.write_model(path, held, architecture)
    reader = gguf.GGUFReader(path)
    for extra in ("rope_factors_long.weight", "rope_factors_short.weight"):
        for t in reader.tensors:
            if t.name == extra:
                expected[extra] = np.array(t.data)
    if set(tensors) != set(expected):
        raise SystemExit(f"{name}: tensors {sorted(set(tensors) ^ set(expected))}")
    for n, data in tensors.items():
        if data.shape != np.asarray(expected[n]).shape or not np.array_equal(data, expected[n]):
            raise SystemExit(f"{name}: tensor {n} is not what the GGUF file has")
    for key, field in reader.fields.items():
        if not key.startswith(("GGUF.", "tokenizer.ggml.", "general.")) or key.endswith("token_type_count"):
            value = field.contents()
            if key not in keys and not folder_mapping.is_implied(key, value, keys):
                raise SystemExit(f"{name}: no key {key}, which the GGUF file has as {value}")
            if key in keys and not same(keys[key], value):
                raise SystemExit(f"{name}: {key} is {keys[key]}, but {value} in the GGUF file")
    return keys, tensors


def same(a, b):
    return a == b or (not isinstance(a, str) and not isinstance(b, str) and np.float32(a) == np.float32(b))


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/safetensors")
    output = sys.argv[1] if len(sys.argv) > 1 else own
    os.makedirs(output, exist_ok=True)
    for seed, (name, (source, others, kind, today)) in enumerate(FOLDERS.items(), 3001):
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        folder = os.path.join(output, name)
        encoder = source in ENCODERS
        if encoder:
            _, architecture, options = encoder_models.MODELS[ENCODERS[source]]
            model = encoder_models.random_model(source, dict(options, **others), seed)
        else:
            architecture, class_name, values = MODELS[source] if isinstance(source, str) else source
            model = family_models.random_model(class_name, dict(values, **others), seed)
        if architecture == "deepseek":
            family_models.without_gates(model)
        tokens = np.random.default_rng(seed).integers(2, len(VOCABULARY), TOKENS).tolist()
        held = write_folder(folder, name, model, kind, today, tokens)
        logits = of_model(held, tokens)
        least = float("nan")
        if architecture != "opt":
            module = encoder_models if encoder else family_models
            keys, tensors = check_mapping(name, folder, held, architecture, module)
        if name not in UNKNOWN_TO_LLAMACPP:
            path = os.path.join(tempfile.mkdtemp(), "converted.gguf")
            gguf_of(architecture, keys, tensors, path)
            if encoder:
                theirs = llamacpp.hidden_states(path, tokens, encoder=True)
            else:
                context = 512 if name == "phi3-short" else 128
                theirs = llamacpp.LlamaCpp(path, context=context).evaluate(tokens)
            least = cosines(logits, theirs).min()
            if least < (0.9999 if encoder else 0.999999) and name != "phi3":  # llama.cpp knows no window in Phi 3
                raise SystemExit(f"{name}: transformers and llama.cpp disagree, cosine {least:.7f}")
        vectors = os.path.join(output, name + ".json")
        if encoder:
            cases = encoder_models.cases_of(held, tokens)
            encoder_models.write_cases(os.path.join(folder, "config.json"), cases, output=vectors)
        else:
            write_vectors(vectors, os.path.join(folder, "config.json"), tokens, logits, "transformers, F32")
        size = sum(e.stat().st_size for e in os.scandir(folder) if e.is_file())
        print(f"{name}: {size} bytes, logits to {np.abs(logits).max():.2f}, llama.cpp's cosine {least:.8f}", flush=True)


if __name__ == "__main__":
    main()
