#!/usr/bin/env python3
"""Logits of the folders in tests/fixtures/safetensors with changed configurations.

    folder_variants.py [OUTPUT = tests/fixtures/formats/folder-variants.json]

A case is a folder, keys that are set or dropped, and some logits that transformers then computes in F32 with the same
weights. The cases have keys that the family does not read, which change nothing, and every form in which a rotation, a
window and the direction of attention can be written. Cases that should change nothing must not, and all others must.
"""
import json
import os
import sys
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"
import numpy as np
import torch
import transformers

FOLDERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/safetensors")
OWN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/formats/folder-variants.json")
ROWS, ENTRIES = 4, 8
DROP = "(drop)"  # as a value: the key is not there

YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, rope_theta=10000.0)
OLD_YARN = dict(type="yarn", factor=4.0, original_max_position_embeddings=16)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, rope_theta=10000.0)
PLAIN = dict(rope_type="default", rope_theta=10000.0)


def turns(base, **more):
    return dict(rope_parameters=dict(base, **more))


def old(scaling, theta=10000.0, **more):
    return dict(rope_parameters=DROP, rope_scaling=scaling, rope_theta=theta, **more)


SLIDES, FULL = "sliding_attention", "full_attention"
# Keys of other families, which a family does not read.
STRAY = dict(attention_multiplier=0.5, embedding_multiplier=3.0, residual_multiplier=0.5, logits_scaling=4.0,
             query_pre_attn_scalar=7, final_logit_softcapping=1.0, attn_logit_softcapping=1.0,
             partial_rotary_factor=0.5,
             rotary_pct=0.5, rotary_emb_base=500.0, rope_local_base_freq=50.0, n_embd=16, n_head=2, n_layer=1,
             n_inner=24,
             layer_norm_eps=0.5, layer_norm_epsilon=0.5, use_parallel_residual=True, do_layer_norm_before=False,
             word_embed_proj_dim=8, n_routed_experts=4, num_local_experts=4, n_shared_experts=2,
             first_k_dense_replace=1,
             max_window_layers=1, no_rope_layers=[0, 0, 0, 0], no_rope_layer_interval=2,
             use_bidirectional_attention=True,
             hidden_activation="relu", activation_function="relu", activation="relu", alibi=True, multi_query=True,
             bias=True,
             n_head_kv=1, num_kv_heads=1, causal=False, prenorm=True, norm_topk_prob=True, qk_layernorm=True,
             use_qkv_bias=True,
             sliding_window_pattern=3, max_trained_positions=4, scoring_func="sigmoid", n_positions=4, n_ctx=4)


def stray(*own, **more):
    return {**{key: value for key, value in STRAY.items() if key not in own}, **more}


SAME, OTHER = True, False
# folder: (whether nothing changes, what is set) ...
CASES = {
    "llama-f32": [
        (SAME, stray()), (SAME, stray(sliding_window=3, use_sliding_window=True, layer_types=[SLIDES])),
        (SAME, dict(head_dim=None)), (SAME, dict(rope_parameters=DROP, rope_scaling=None, rope_theta=10000.0)),
        (SAME, dict(rope_parameters=DROP)), (SAME, turns(PLAIN, partial_rotary_factor=0.5, factor=3.0, beta_fast=2)),
        (OTHER, dict(rms_norm_eps=0.1)), (OTHER, turns(PLAIN, rope_theta=300.0)), (OTHER, old(None, 300.0)),
        (OTHER, turns(YARN)), (OTHER, old(OLD_YARN)), (OTHER, turns(YARN, mscale=1.5, mscale_all_dim=0.5)),
        (OTHER, turns(YARN, mscale=0.7)), (OTHER, turns(YARN, mscale=0.707, mscale_all_dim=0.707)),
        (OTHER, turns(YARN, truncate=False)), (OTHER, turns(YARN, truncate=None)),
        (OTHER, old(dict(OLD_YARN, truncate=False))),
        (OTHER, turns(YARN, attention_factor=1.7)),
        (OTHER, turns(YARN, attention_factor=1.7, mscale=3.0, mscale_all_dim=2.0)),
        (OTHER, turns(YARN, beta_fast=4, beta_slow=2)), (OTHER, turns(YARN, beta_fast=0, beta_slow=None)),
        (OTHER, turns(YARN, beta_fast=1, beta_slow=8)), (OTHER, turns(YARN, original_max_position_embeddings=4)),
        (OTHER, turns(YARN, factor=None)), (OTHER, turns(YARN, factor=0.5)),
        (OTHER, turns({k: v for k, v in YARN.items() if k != "original_max_position_embeddings"})),
        (OTHER, dict(turns(YARN), original_max_position_embeddings=60)),
        (OTHER, dict(turns(LLAMA3, original_max_position_embeddings=64), original_max_position_embeddings=24)),
        (OTHER, turns(LLAMA3, original_max_position_embeddings=24)), (OTHER, turns(LLAMA3)),
        (OTHER, turns(dict(rope_type="linear", factor=3.0, rope_theta=10000.0))),
        (OTHER, old(dict(type="linear", factor=3.0))),
        (OTHER, dict(turns(YARN), rope_scaling=dict(rope_type="linear", factor=3.0), rope_theta=400.0)),
        (SAME, dict(turns(PLAIN), rope_scaling={})),
        (OTHER, turns(dict(type="linear", factor=3.0, rope_theta=10000.0))),
        (OTHER, dict(is_causal=False)), (SAME, dict(is_causal=True)),
    ],
    "mistral": [(SAME, stray()), (OTHER, dict(layer_types=[FULL] * 2)), (SAME, dict(layer_types=[SLIDES] * 2)),
                (OTHER, dict(sliding_window=None)), (OTHER, dict(is_causal=False)),
                (OTHER, dict(sliding_window=4)), (OTHER, dict(is_causal=False, sliding_window=4)),
                (OTHER, dict(is_causal=False, sliding_window=None))],
    "qwen2": [(SAME, stray(*("max_window_layers",))), (OTHER, dict(is_causal=False)),
              (OTHER, dict(use_sliding_window=True, sliding_window=5, max_window_layers=0)),
              (OTHER, dict(use_sliding_window=True, sliding_window=5, layer_types=[SLIDES] * 2)),
              (SAME, dict(use_sliding_window=True, sliding_window=5, layer_types=[FULL] * 2)),
              (OTHER, dict(use_sliding_window=True, sliding_window=5, max_window_layers=0, is_causal=False))],
    "qwen3": [(SAME, stray("max_window_layers")), (OTHER, dict(is_causal=False)), (OTHER, turns(YARN, truncate=False))],
    "qwen2-moe": [(OTHER, dict(is_causal=False)), (OTHER, turns(YARN, mscale=1.5, mscale_all_dim=0.5)),
                  (SAME, dict(use_sliding_window=True, sliding_window=5, max_window_layers=0, layer_types=DROP))],
    "qwen3-moe": [(OTHER, dict(use_sliding_window=True, sliding_window=5, max_window_layers=28,
                               layer_types=[FULL] * 2)),
                  (OTHER, dict(is_causal=False))],
    "mixtral": [(OTHER, dict(is_causal=False)), (OTHER, dict(sliding_window=5))],
    "smollm3": [(SAME, stray("no_rope_layers", "no_rope_layer_interval")), (OTHER, dict(is_causal=False)),
                (OTHER, turns(YARN))],
    "granite": [(OTHER, dict(is_causal=False)), (OTHER, dict(attention_multiplier=DROP)),
                (OTHER, turns(YARN, truncate=False)),
                (SAME, stray("attention_multiplier", "embedding_multiplier", "residual_multiplier", "logits_scaling"))],
    "olmo2": [(SAME, stray()), (OTHER, dict(is_causal=False)), (OTHER, turns(LLAMA3))],
    "ernie4_5": [(SAME, stray()), (OTHER, dict(is_causal=False)), (OTHER, turns(YARN, truncate=False)),
                 (OTHER, turns(LLAMA3)), (OTHER, old(dict(type="linear", factor=4.0)))],
    "ernie4_5-biases": [(OTHER, dict(use_bias=False))],
    "olmo3": [(SAME, stray("partial_rotary_factor")), (OTHER, dict(is_causal=False)),
              (SAME, dict(layer_types=[SLIDES] * 3 + [FULL])), (OTHER, dict(layer_types=[SLIDES, FULL] * 2)),
              (OTHER, dict(layer_types=[FULL] * 4)), (OTHER, dict(layer_types=[SLIDES] * 4)),
              (SAME, dict(original_max_position_embeddings=60)), (OTHER, dict(sliding_window=5)),
              (OTHER, dict(rope_theta=300.0)), (OTHER, dict(rope_scaling=None)),
              (OTHER, dict(rope_scaling=DROP, rope_theta=DROP)), (OTHER, dict(rope_scaling=dict(YARN, truncate=False))),
              (OTHER, old(dict(rope_type="linear", factor=8.0), 500000.0)),
              (OTHER, dict(rope_scaling=DROP, rope_parameters={FULL: dict(YARN, rope_theta=70.0),
                                                               SLIDES: dict(PLAIN, rope_theta=700.0)})),
              (OTHER, dict(rope_scaling=DROP, rope_parameters={FULL: dict(PLAIN, rope_theta=70.0)}))],
    "phi3": [(SAME, stray("partial_rotary_factor")), (OTHER, dict(is_causal=False)),
             (OTHER, dict(sliding_window=None))],
    "phi3-long": [(OTHER, dict(original_max_position_embeddings=64)),
                  (OTHER, dict(original_max_position_embeddings=DROP)),
                  (OTHER, dict(is_causal=False))],
    "gemma": [(SAME, stray("use_bidirectional_attention")), (OTHER, dict(is_causal=False)),
              (SAME, dict(hidden_act="gelu")),
              (OTHER, turns(YARN, truncate=False))],
    "gemma2": [(OTHER, dict(is_causal=False)), (OTHER, dict(layer_types=[FULL] * 2)),
               (OTHER, dict(layer_types=[SLIDES] * 2)),
               (SAME, dict(layer_types=DROP, sliding_window_pattern=1)), (OTHER, dict(query_pre_attn_scalar=3)),
               (OTHER, dict(final_logit_softcapping=None)), (OTHER, dict(attn_logit_softcapping=None)),
               (SAME, dict(hidden_act="relu")), (SAME, dict(layer_types=["sliding_attention", "attention"]))],
    "gemma3": [(OTHER, dict(is_causal=False)), (OTHER, dict(use_bidirectional_attention=True)),
               (OTHER, dict(use_bidirectional_attention=True, is_causal=False)),
               (OTHER, dict(use_bidirectional_attention=True, sliding_window=5)),
               (SAME, dict(attn_logit_softcapping=1.0)), (OTHER, dict(final_logit_softcapping=2.0)),
               (OTHER, dict(layer_types=DROP, sliding_window_pattern=2)),
               (OTHER, dict(layer_types=DROP, sliding_window_pattern=1)),
               (OTHER, old(dict(rope_type="linear", factor=8.0), 1000.0, rope_local_base_freq=100.0)),
               (OTHER, dict(rope_parameters={FULL: dict(YARN, truncate=False)})),
               (OTHER, dict(rope_parameters={FULL: dict(YARN, attention_factor=1.5)})),
               (OTHER, dict(rope_parameters={FULL: YARN}, original_max_position_embeddings=60)),
               (OTHER, dict(rope_parameters={FULL: dict(rope_type="default", rope_theta=700.0),
                                             SLIDES: dict(PLAIN, rope_theta=70.0)}))],
    "phi": [(OTHER, old(None, partial_rotary_factor=1.0)), (OTHER, dict(is_causal=False)),
            (OTHER, turns(dict(YARN, partial_rotary_factor=0.5, truncate=False)))],
    "stablelm": [(OTHER, dict(use_qkv_bias=False)),
                 (OTHER, old(dict(type="linear", factor=4.0), partial_rotary_factor=0.25))],
    "gpt-neox": [(SAME, stray("rotary_pct", "rotary_emb_base", "use_parallel_residual", "layer_norm_eps")),
                 (OTHER, dict(is_causal=False)), (OTHER, old(None, rotary_pct=0.5)),
                 (OTHER, old(None, 7.0, rotary_emb_base=50.0, rotary_pct=0.5)),
                 (OTHER, dict(use_parallel_residual=False)), (SAME, dict(rope_theta=50.0))],
    "falcon": [(OTHER, dict(is_causal=False)),
               (SAME, dict(layer_norm_eps=0.5, n_layer=1, n_head=2, num_ln_in_parallel_attn=None)),
               (OTHER, turns(YARN, truncate=False))],
    "gpt2": [(OTHER, dict(is_causal=False)), (SAME, dict(rope_theta=50.0, layer_norm_eps=0.5, intermediate_size=7))],
    "opt": [(OTHER, dict(is_causal=False)), (SAME, dict(intermediate_size=7, rope_theta=50.0, layer_norm_eps=0.5))],
}


def logits_of(folder, change):
    config = json.load(open(os.path.join(FOLDERS, folder, "config.json"), encoding="utf-8"))
    config = {key: value for key, value in {**config, **change}.items() if value != DROP}
    with tempfile.TemporaryDirectory() as copy:
        with open(os.path.join(copy, "config.json"), "w", encoding="utf-8") as out:
            json.dump(config, out)
        for name in os.listdir(os.path.join(FOLDERS, folder)):
            if name.startswith("model"):
                os.symlink(os.path.abspath(os.path.join(FOLDERS, folder, name)), os.path.join(copy, name))
        model = transformers.AutoModelForCausalLM.from_pretrained(copy, dtype=torch.float32,
                                                                  attn_implementation="eager").eval()
        tokens = json.load(open(os.path.join(FOLDERS, folder + ".json"), encoding="utf-8"))["tokens"]
        with torch.no_grad():
            return tokens, model(torch.tensor([tokens]), use_cache=False).logits[0].numpy()


def main():
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    found = []
    for folder, cases in CASES.items():
        tokens, before = logits_of(folder, {})
        for same, change in cases:
            try:
                _, after = logits_of(folder, change)
            except Exception as failure:
                raise SystemExit(f"{folder} {change}: {type(failure).__name__}: {failure}")
            far = np.abs(after - before).max()
            if (far > 1e-5) == same or (not same and far < 5e-3) or not np.isfinite(far):
                raise SystemExit(f"{folder} {change}: logits are {far} from those without the change")
            at = [round(i) for i in np.linspace(0, len(tokens) - 1, ROWS)]
            of = [round(i) for i in np.linspace(0, after.shape[1] - 1, ENTRIES)]
            found.append({"folder": folder, "same": same, "set": {k: v for k, v in change.items() if v != DROP},
                          "drop": [k for k, v in change.items() if v == DROP], "tokens": tokens, "rows": at,
                          "entries": of,
                          "logits": [[float(f"{v:.6g}") for v in after[i][of]] for i in at]})
        print(f"{folder}: {len(cases)} cases", flush=True)
    with open(sys.argv[1] if len(sys.argv) > 1 else OWN, "w", encoding="utf-8") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in found) + "\n]\n")


if __name__ == "__main__":
    main()
