#!/usr/bin/env python3
"""Which keys of config.json transformers reads, for each model_type that nibble converts.

    folder_keys.py [OUTPUT = tests/fixtures/formats/folder-keys.json]

Each family's tiny model is built from a configuration, saved, loaded, run, and generates, with eager attention and with
sdpa. Meanwhile every access to an attribute of the configuration is recorded, whether it exists or not, and every
access to a key of rope_parameters. Keys that a configuration class takes from its **kwargs cannot be seen at run time;
they are found in the class's source. Then each boolean key is inverted, and all is run again, to find keys that are
read under a condition. If a run fails, the accesses until then count.

The fixture: "all" are the keys that every family reads, "families" those that each family reads besides; "change" are
keys for which another value changed the output of a model, or its weights; "aliases" are other names of keys;
"attention" says which tokens see which, by key; "rope" are the keys of rope_parameters by rope_type, for any family;
"partial" are the families that use partial_rotary_factor with the rope_type "default". nibble's table
(src/convert/huggingface_keys.c) must have each of these keys, and no key that changes something may be idle in it.
"""
import ast
import inspect
import json
import os
import sys
import tempfile
import textwrap
import warnings

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"
import torch
import transformers
from transformers.configuration_utils import PreTrainedConfig

SIZES = dict(vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, bos_token_id=0, eos_token_id=1, pad_token_id=2)
EXPERTS = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=12)
ALL_HEADS = dict(SIZES, num_key_value_heads=4)
HEADS = dict(SIZES, head_dim=8)
LAYERS = ["sliding_attention", "full_attention"] * 2
FAMILIES = {
    "llama": SIZES, "mistral": dict(SIZES, sliding_window=3), "mixtral": dict(HEADS, num_local_experts=4),
    "qwen2": dict(SIZES, sliding_window=3, max_window_layers=2),
    "qwen3": dict(HEADS, sliding_window=3, max_window_layers=2),
    "qwen2_moe": dict(SIZES, **EXPERTS, shared_expert_intermediate_size=12, sliding_window=3, max_window_layers=2),
    "qwen3_moe": dict(HEADS, **EXPERTS, sliding_window=3), "smollm3": dict(SIZES, sliding_window=3), "granite": SIZES,
    "ernie4_5": HEADS,
    "olmo2": SIZES, "olmo3": dict(SIZES, sliding_window=3, layer_types=LAYERS), "phi3": SIZES, "gemma": HEADS,
    "gemma2": dict(HEADS, sliding_window=3),
    "gemma3_text": dict(HEADS, sliding_window=3, layer_types=LAYERS), "phi": SIZES, "stablelm": ALL_HEADS,
    "gpt_neox": ALL_HEADS,
    "falcon": {k: v for k, v in SIZES.items() if k not in ("intermediate_size", "num_key_value_heads")},
    "gpt2": dict(vocab_size=40, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=0, eos_token_id=1),
    "opt": dict(SIZES, ffn_dim=48, word_embed_proj_dim=16),
    "bert": SIZES, "roberta": SIZES, "xlm-roberta": SIZES, "nomic_bert": SIZES,
}
TWO_ROPES = ("gemma3_text", "olmo3")  # rope_parameters has a set for each kind of layer
ENCODERS = ("bert", "roberta", "xlm-roberta", "nomic_bert")
FACTORS = dict(short_factor=[1.0] * 4, long_factor=[2.0] * 4)
ROPES = {"default": {}, "linear": dict(factor=2.0), "dynamic": dict(factor=2.0), "yarn": dict(factor=2.0),
         "llama3": dict(factor=2.0, low_freq_factor=1.0, high_freq_factor=4.0), "longrope": FACTORS, "proportional": {}}
# Beside the keys that are true or false.
VARIATIONS = (dict(is_causal=False), dict(use_bidirectional_attention=True), dict(layer_types=LAYERS),
              dict(head_dim=None),
              dict(use_sliding_window=True, layer_types=LAYERS), dict(sliding_window=3), dict(num_key_value_heads=None),
              dict(new_decoder_architecture=True, num_ln_in_parallel_attn=1),
              dict(is_decoder=True, add_cross_attention=True))
# Attributes that are read when objects are saved, compared and printed.
WRITERS = ("to_dict", "to_diff_dict", "to_json_string", "__repr__", "__eq__", "_remove_keys_not_serialized",
           "save_pretrained",
           "dict_dtype_to_str")

noted, turned = None, None


def note(config, key):
    if noted is None or key.startswith("__") or sys._getframe(2).f_code.co_name in WRITERS:
        return
    fields = type(config).__dataclass_fields__
    if key in fields or (not key.startswith("_") and inspect.getattr_static(type(config), key, None) is None):
        noted.add(key)


def watch():
    inner = PreTrainedConfig.__getattribute__

    def outer(self, key):
        aliases = inner(self, "attribute_map") if noted is not None and not key.startswith("__") else {}
        note(self, aliases.get(key, key))
        return inner(self, key)
    PreTrainedConfig.__getattribute__ = outer


class Turns(dict):
    """rope_parameters that record which of their keys are read."""

    def note(self, key):
        if turned is not None and sys._getframe(2).f_code.co_name not in WRITERS:
            turned.add(key)

    def __getitem__(self, key):
        self.note(key)
        return super().__getitem__(key)

    def get(self, key, otherwise=None):
        self.note(key)
        return super().get(key, otherwise)

    def setdefault(self, key, value=None):
        self.note(key)
        return super().setdefault(key, value)

    def __deepcopy__(self, _):
        return Turns(self)


def taken_from_kwargs(cls):
    """Keys that the class and those above it take out of **kwargs, by their source."""
    keys = set()
    for part in cls.__mro__:
        if not part.__module__.startswith("transformers.") or part.__name__ == "PushToHubMixin":
            continue
        for function in ("__post_init__", "convert_rope_params_to_dict", "__init__"):
            if function not in vars(part) or not hasattr(vars(part)[function], "__code__"):
                continue
            try:
                tree = ast.parse(textwrap.dedent(inspect.getsource(vars(part)[function])))
            except (OSError, TypeError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args and \
                        getattr(node.func.value, "id", "") == "kwargs" and isinstance(node.args[0], ast.Constant):
                    keys.add(node.args[0].value)
                if isinstance(node, ast.Compare) and getattr(node.comparators[0], "id", "") == "kwargs" and \
                        isinstance(node.left, ast.Constant):
                    keys.add(node.left.value)
    return keys


def run(kind, values, attention, save=False):
    """Builds the model and uses it; False: something failed."""
    global turned
    try:
        config = transformers.CONFIG_MAPPING[kind](**values)
        turned = set()  # ignore what the configuration's own initialization has read
        config._attn_implementation = attention
        auto = transformers.AutoModel if kind in ENCODERS else transformers.AutoModelForCausalLM
        model = auto.from_config(config).eval()
        if save:
            with tempfile.TemporaryDirectory() as folder:
                model.save_pretrained(folder)
                model = auto.from_pretrained(folder, attn_implementation=attention).eval()
        tokens = torch.tensor([[3, 4, 5, 6, 7, 8]])
        with torch.no_grad():
            model(tokens)
            model(tokens, attention_mask=torch.ones_like(tokens))
            if kind not in ENCODERS:
                model.generate(tokens, max_new_tokens=2, do_sample=False)
        return True
    except Exception as failure:  # what was read until then counts
        if os.environ.get("SHOW"):
            print(kind, attention, type(failure).__name__, str(failure)[:150])
        return False


def keys_of(kind):
    global noted
    cls, values = transformers.CONFIG_MAPPING[kind], FAMILIES[kind]
    noted = set()
    ran = [run(kind, values, attention, save=True) for attention in ("eager", "sdpa")]
    if not any(ran):
        raise SystemExit(f"{kind}: not even the plain model runs")
    known = cls.__dataclass_fields__
    changes = [{f.name: not f.default} for f in known.values() if isinstance(f.default, bool)]
    changes += [{key: value for key, value in change.items() if key in known or key in noted} for change in VARIATIONS]
    if "rope_parameters" in known and kind not in TWO_ROPES:
        changes += [dict(rope_parameters=dict(turns, rope_type=name, rope_theta=10000.0))
                    for name, turns in ROPES.items()]
    for change in changes:
        for attention in ("eager", "sdpa"):
            run(kind, dict(values, **change), attention)
    keys, noted = noted | taken_from_kwargs(cls), None
    return keys


def others(kind, key):
    """Other values of a key than the plain model's."""
    field = transformers.CONFIG_MAPPING[kind].__dataclass_fields__.get(key)
    value = FAMILIES[kind].get(key, field.default if field else None)
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, (int, float)):
        return [value + 1, value * 2 + 0.5, 1, 0.0]
    if isinstance(value, str):
        return ["relu", "gelu"]
    return [True, False, 1, 2, 0.5, [0], [1, 0, 1, 0], LAYERS, dict(ROPES["linear"], rope_type="linear")]


def model_of(kind, values):
    config = transformers.CONFIG_MAPPING[kind](**values)
    auto = transformers.AutoModel if kind in ENCODERS else transformers.AutoModelForCausalLM
    return auto.from_config(config, attn_implementation="eager").eval()


def output_of(result):
    return result[0] if isinstance(result, tuple) else result.logits if hasattr(result,
                                                                                "logits") else result.last_hidden_state


def changing(kind, keys):
    """The keys that, set to another value, change the output with the same weights, or need other weights. Many keys
    are set at once; if that changes something, or fails, they are tried by halves."""
    torch.manual_seed(1)
    plain, tokens, found = model_of(kind, FAMILIES[kind]), torch.tensor([[3, 4, 5, 6, 7, 8]]), set()
    difficult = set()  # these fail together with others
    for name, p in plain.named_parameters():
        p.data.copy_(torch.randn(p.shape) * (1 if name.endswith("bias") else 0.3))
    before = output_of(plain(tokens))

    def differs(changes):
        model = model_of(kind, {**FAMILIES[kind], **changes})
        try:
            if any(model.load_state_dict(plain.state_dict(), strict=False)):
                return True
        except RuntimeError:  # weights of other shapes
            return True
        after = output_of(model(tokens))
        return after.shape != before.shape or not torch.allclose(after.float(), before, rtol=1e-3, atol=1e-3)

    def search(changes):
        try:
            if not differs(dict(changes)):
                return
            if len(changes) == 1:
                found.add(changes[0][0])
        except Exception:  # a value that is refused does not count as a change
            if len(changes) == 1:
                difficult.add(changes[0][0])
        if len(changes) > 1:
            search(changes[:len(changes) // 2])
            search(changes[len(changes) // 2:])

    def is_taken(key, value):
        try:
            return transformers.CONFIG_MAPPING[kind](**{**FAMILIES[kind], key: value}) is not None
        except Exception:
            return False

    with torch.no_grad():
        for turn in range(9):
            tried = [(key, others(kind, key)) for key in sorted(keys - found)]
            tried = [(key, values[turn]) for key, values in tried if turn < len(values) and is_taken(key, values[turn])]
            search([(key, value) for key, value in tried if key not in difficult])
            for change in tried:
                if change[0] in difficult:
                    search([change])
    return sorted(found)


def ropes_of(kind):
    global turned
    ropes = {}
    for name, values in ROPES.items():
        turned = None
        turns = Turns(values, rope_type=name, rope_theta=10000.0)
        if kind in TWO_ROPES:
            turns = {"full_attention": turns, "sliding_attention": {"rope_type": "default"}}
        run(kind, dict(FAMILIES[kind], rope_parameters=turns), "eager")
        ropes[name], turned = turned or set(), None
    return ropes


def looks_ahead(kind, key, value, attention):
    """Whether the first token's output depends on the last token; None: the model has no such attention."""
    config = transformers.CONFIG_MAPPING[kind](**FAMILIES[kind], **{key: value})
    auto = transformers.AutoModel if kind in ENCODERS else transformers.AutoModelForCausalLM
    torch.manual_seed(1)
    try:
        model = auto.from_config(config, attn_implementation=attention).eval()
    except ValueError:
        return None
    with torch.no_grad():
        one, other = (model(torch.tensor([[3, 4, 5, last]]))[0][0, 0] for last in (6, 7))
    return not torch.allclose(one, other, atol=1e-5)


def attention_of(key, value):
    """The effect of a key on attention, by family: "causal", "both ways", or "as implemented" if eager and sdpa
    differ."""
    kinds = {}
    for kind in FAMILIES:
        ahead = {looks_ahead(kind, key, value, attention) for attention in ("eager", "sdpa")} - {None}
        kinds.setdefault("as implemented" if len(ahead) > 1 else "both ways" if True in ahead else "causal",
                         []).append(kind)
    return {what: " ".join(kinds[what]) for what in sorted(kinds)}


def main():
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    torch.set_num_threads(1)
    watch()
    found, aliases, ropes, change = {}, {}, {}, {}
    for kind in FAMILIES:
        cls = transformers.CONFIG_MAPPING[kind]
        found[kind] = keys_of(kind)
        change[kind] = changing(kind, found[kind])
        aliases[kind] = dict(cls.attribute_map)
        if "rope_parameters" in cls.__dataclass_fields__:
            ropes[kind] = ropes_of(kind)
        print(f"{kind}: {len(found[kind])} keys", flush=True)
    attention = {f"{key}: {json.dumps(value)}": attention_of(key, value)
                 for key, value in (("is_causal", False), ("is_causal", True), ("use_bidirectional_attention", True))}
    everywhere = set.intersection(*found.values())
    turns = {name: set.union(*(r[name] for r in ropes.values())) for name in ROPES}
    turns["default"] = {"rope_type", "rope_theta", "partial_rotary_factor"}
    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/formats/folder-keys.json")
    with open(sys.argv[1] if len(sys.argv) > 1 else own, "w", encoding="utf-8") as out:
        json.dump({"all": " ".join(sorted(everywhere)),
                   "families": {kind: " ".join(sorted(keys - everywhere)) for kind, keys in found.items()},
                   "change": {kind: " ".join(keys) for kind, keys in change.items()},
                   "aliases": {kind: names for kind, names in aliases.items() if names},
                   "attention": attention,
                   "rope": {name: " ".join(sorted(keys)) for name, keys in turns.items()},
                   "partial": [kind for kind, r in ropes.items() if "partial_rotary_factor" in r["default"]]}, out,
                   indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
