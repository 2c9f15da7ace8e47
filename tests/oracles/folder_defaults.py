#!/usr/bin/env python3
"""The defaults of transformers' configuration classes for missing keys of config.json, under GGUF's keys.

    folder_defaults.py [OUTPUT = tests/fixtures/formats/folder-defaults.json]

Defaults that GGUF has without a key, too, are left out: the head size hidden_size / heads, and as many KV heads as
heads.
"""
import json
import os
import sys

import transformers

import folder_mapping

SILENT = {"attention.key_length": lambda c: c.hidden_size // c.num_attention_heads,
          "attention.value_length": lambda c: c.hidden_size // c.num_attention_heads,
          "attention.head_count_kv": lambda c: c.num_attention_heads, "embedding_scale": lambda c: 1,
          "residual_scale": lambda c: 1, "logit_scale": lambda c: 1, "expert_shared_count": lambda c: 0}


def defaults(kind):
    config = transformers.CONFIG_MAPPING[kind]()
    architecture = "gemma3" if kind == "gemma3_text" else folder_mapping.FAMILIES[kind].architecture
    keys = {}
    for names, key in folder_mapping.NUMBERS:
        values = [getattr(config, name, None) for name in names.split()]
        value = next((v for v in values if isinstance(v, (int, float))), None)
        if value is not None and not (key in SILENT and value == SILENT[key](config)):
            keys[f"{architecture}.{key}"] = value
    if getattr(config, "query_pre_attn_scalar", None):
        keys[f"{architecture}.attention.scale"] = config.query_pre_attn_scalar ** -0.5
    layers = getattr(config, "layer_types", None) or ["sliding_attention"]
    if getattr(config, "sliding_window", None) and "sliding_attention" in layers:
        keys[f"{architecture}.attention.sliding_window"] = config.sliding_window
    if "full_attention" in layers and "sliding_attention" in layers:
        keys[f"{architecture}.attention.sliding_window_pattern"] = layers.index("full_attention") + 1
    if kind == "roberta":
        keys["bert.context_length"] -= config.pad_token_id + 1
    turns = getattr(config, "rope_parameters", None)
    if turns and "rope_theta" in turns and kind not in folder_mapping.ROTATED_NOT:
        keys[f"{architecture}.rope.freq_base"] = turns["rope_theta"]
        part = turns.get("partial_rotary_factor", 1)
        if part != 1:
            head = config.hidden_size // config.num_attention_heads
            keys[f"{architecture}.rope.dimension_count"] = int(head * part)
    elif turns:  # a set for each kind of layer
        keys[f"{architecture}.rope.freq_base"] = turns["full_attention"]["rope_theta"]
        keys[f"{architecture}.rope.freq_base_swa"] = turns["sliding_attention"]["rope_theta"]
    return {"tied": bool(config.tie_word_embeddings), "keys": keys}


def main():
    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/formats/folder-defaults.json")
    kinds = [*folder_mapping.FAMILIES, "gemma3_text"]
    found = {kind: defaults(kind) for kind in kinds if kind in transformers.CONFIG_MAPPING}
    with open(sys.argv[1] if len(sys.argv) > 1 else own, "w", encoding="utf-8") as out:
        json.dump(found, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
