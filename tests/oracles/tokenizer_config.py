#!/usr/bin/env python3
"""Writes the tokens of transformers' AutoTokenizer for folders whose tokenizer_config.json or special_tokens_map.json
adds to tokenizer.json or contradicts it.

    tokenizer_config.py [OUTPUT = tests/fixtures/text/tokenizer-config.json]

{ texts, cases: [{ of, model_type, config, map?, ids: [...], decoded: [...], around, end }] }: of: the tokenizer of
tests/fixtures/tokenizers; ids: of each text, without added tokens; decoded: their text without special tokens; around:
the ids of the first text with added tokens; end: eos_token.

The table below has every key of the file that transformers reads for the classes that nibble knows: `keys_read` finds
them in the source, and nothing is written if one is missing. "tokens": it changes tokens or texts, and the cases test
it; "refused": nibble reports an error for it; "none": no value that is tried changes tokens or texts, which this script
checks.
"""
import ast
import inspect
import json
import os
import pathlib
import sys
import tempfile
import textwrap

import transformers
from transformers import AutoTokenizer
from transformers.models.bert import tokenization_bert
from transformers.models.gpt2 import tokenization_gpt2
from transformers.models.llama import tokenization_llama
from transformers.models.roberta import tokenization_roberta
from transformers.models.t5 import tokenization_t5
from transformers.models.xlm_roberta import tokenization_xlm_roberta

HERE = pathlib.Path(__file__).resolve().parent
TOKENIZERS = HERE.parent / "fixtures" / "tokenizers"
MODULES = [tokenization_bert, tokenization_gpt2, tokenization_llama, tokenization_roberta, tokenization_t5,
           tokenization_xlm_roberta]

# key: what it does
KEYS = {
    **{key: "tokens" for key in (
        "do_lower_case", "strip_accents", "tokenize_chinese_chars", "add_prefix_space", "legacy",
        "added_tokens_decoder",
        "additional_special_tokens", "extra_special_tokens", "bos_token", "eos_token", "unk_token", "sep_token",
        "pad_token",
        "cls_token", "mask_token", "clean_up_tokenization_spaces", "tokenizer_class")},
    "split_special_tokens": "refused",
    # options of calls, of finding the files, or of Python's objects
    **{key: "none" for key in (
        "add_bos_token", "add_eos_token", "model_max_length", "max_length", "max_len", "padding_side",
        "truncation_side",
        "truncation_strategy", "stride", "pad_token_type_id", "pad_to_multiple_of", "model_input_names", "errors",
        "verbose",
        "name_or_path", "is_local", "local_files_only", "use_default_system_prompt", "trim_offsets", "extra_ids",
        "backend",
        "chat_template", "fix_mistral_regex", "init_inputs", "auto_map", "response_schema", "processor_class",
        "return_token_type_ids", "transformers_version", "model_specific_special_tokens", "special_tokens_pattern",
        "token_type_ids_pattern", "token_type_ids_include_special_tokens", "files_loaded", "device_map",
        "chat_control_tokens",
        "response_template",
        "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output")},
    # keys that the library passes to itself, or reads from other files than tokenizer_config.json
    **{key: "none" for key in (
        "vocab", "merges", "vocab_file", "merges_file", "tokenizer_file", "tokenizer_object", "gguf_file",
        "post_processor",
        "tokenizer_padding", "tokenizer_truncation", "_json_padding", "_json_truncation", "_spm_precompiled_charsmap",
        "unk_id", "tokenizer", "tokenizer_config_file", "special_tokens_map_file", "added_tokens_file",
        "chat_template_file",
        "_commit_hash", "_is_local", "cache_dir", "from_slow", "slow_tokenizer", "special_tokens_map", "tokenizer_type",
        "use_fast", "revision", "subfolder", "token", "trust_remote_code", "force_download", "proxies", "_from_auto",
        "_from_pipeline", "use_auth_token", "commit_hash", "config", "mistral_format", "code_revision")},
}
TRIED = {"add_bos_token": [True], "add_eos_token": [True], "model_max_length": [4], "padding_side": ["left"],
         "truncation_side": ["left"], "errors": ["strict"], "trim_offsets": [False],
         "use_default_system_prompt": [True],
         "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": [True]}
TEXTS = ["Hello  wonderful world, it was n't us .",
         "\u00c9t\u00e9 \u00c5NGSTR\u00d6M \u4eba\u4eba x <|end|>  a</s> b [SEP] c <mask>",
         "  the hello<new>x NEW [PAD]wonderful's <pad> <s>y", "It do not \u3000matter ! 's"]


def keys_read():
    """Keys of keyword arguments in the sources: kwargs["x"], kwargs.get("x"), .pop("x"), "x" in kwargs, and the
    parameters of the classes."""
    import transformers.tokenization_utils_base as base
    import transformers.tokenization_utils_tokenizers as backend
    names = {"kwargs", "init_kwargs", "local_kwargs", "init_configuration"}
    found = set()
    for module in [base.PreTrainedTokenizerBase.__init__, base.PreTrainedTokenizerBase._from_pretrained,
                   backend.TokenizersBackend.__init__, backend.TokenizersBackend.convert_to_native_format, *(
                       getattr(m, n).__init__ for m in MODULES for n in dir(m)
                       if inspect.isclass(getattr(m, n)) and getattr(m, n).__module__ == m.__name__ and
                       "__init__" in getattr(m, n).__dict__)]:
        tree = ast.parse(textwrap.dedent(inspect.getsource(module)))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func,
                                                         ast.Attribute) and isinstance(node.func.value, ast.Name):
                if node.func.value.id in names and node.func.attr in ("get", "pop", "setdefault") and node.args:
                    found |= {node.args[0].value} if isinstance(node.args[0], ast.Constant) else set()
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in names:
                found |= {node.slice.value} if isinstance(node.slice, ast.Constant) else set()
            if isinstance(node, ast.Compare) and isinstance(node.left,
                                                            ast.Constant) and isinstance(node.comparators[0], ast.Name):
                found |= {node.left.value} if node.comparators[0].id in names else set()
        found |= {p for p in inspect.signature(module).parameters
                  if p not in ("self", "args", "kwargs", "cls", "init_inputs", "resolved_vocab_files",
                               "init_configuration",
                               "pretrained_model_name_or_path")}
    return found


def load(of, model_type, config, special_map=None):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        written = json.loads((TOKENIZERS / f"{of}.json").read_text())["tokenizer"]
        written["truncation"] = written["padding"] = None
        (path / "tokenizer.json").write_text(json.dumps(written))
        (path / "config.json").write_text(json.dumps({"model_type": model_type}))
        (path / "tokenizer_config.json").write_text(json.dumps(config))
        if special_map is not None:
            (path / "special_tokens_map.json").write_text(json.dumps(special_map))
        return AutoTokenizer.from_pretrained(folder)


def outcome(tokenizer):
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS]
    return {"ids": ids, "decoded": [tokenizer.decode(i, skip_special_tokens=True) for i in ids],
            "around": tokenizer.encode(TEXTS[0]), "end": tokenizer.eos_token or ""}


def token(content, **flags):
    return {"content": content, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False} | flags


MASK = token("<mask>", lstrip=True) | {"__type": "AddedToken"}
BYTES = {"bos_token": "<|begin|>", "eos_token": "<|end|>"}
ENDS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
XLM = ENDS | {"pad_token": "<pad>"}
CASES = [  # of, model_type, tokenizer_config.json, special_tokens_map.json
    *(("bert", "bert", {"tokenizer_class": "BertTokenizer"} | more) for more in (
        {}, {"do_lower_case": False}, {"strip_accents": False}, {"do_lower_case": False, "strip_accents": True},
        {"tokenize_chinese_chars": False}, {"strip_accents": None}, {"clean_up_tokenization_spaces": True},
        {"do_lower_case": True, "clean_up_tokenization_spaces": False})),
    ("bert-cased", "bert", {}),
    ("bert-cased", "bert", {"do_lower_case": False}),
    ("bert-cased", "llama", {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True}),
    ("bert", "llama", {"tokenizer_class": "BertTokenizerFast", "do_lower_case": False}),
    ("bert", "bert", {"mask_token": MASK, "additional_special_tokens": ["NEW"]}),
    *((name, "gpt2", {"tokenizer_class": "GPT2Tokenizer", **BYTES} | more) for name in ("gpt2", "roberta") for more in (
        {}, {"add_prefix_space": True}, {"add_prefix_space": False})),
    ("gpt2", "llama", {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": True, **BYTES}),
    ("gpt2", "llama", {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True, "add_eos_token": True,
                       **BYTES}),
    ("roberta", "roberta", {"bos_token": "<|begin|>", "eos_token": "<|end|>", "cls_token": "<|begin|>",
                            "sep_token": "<|end|>",
                            "unk_token": "<|end|>", "pad_token": "<|end|>", "mask_token": MASK}),
    ("gpt2", "llama", {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": True, **BYTES}),
    ("gpt2", "llama", {"tokenizer_class": "PreTrainedTokenizerFast"}, BYTES),
    ("gpt2", "llama", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|begin|>"}, BYTES),
    ("gpt2", "llama", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|begin|>",
                       "added_tokens_decoder": {"0": token("<|begin|>", special=True)}}, BYTES),
    ("gpt2", "llama", {"tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": {
        "1": token("<|end|>", special=True, lstrip=True, rstrip=True)}, **BYTES}),
    ("gpt2", "llama", {"tokenizer_class": "PreTrainedTokenizerFast", "extra_special_tokens": ["<new>", "it"], **BYTES}),
    ("gpt2", "llama", {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", **BYTES}),
    ("gpt2", "llama", {"tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": {
        "460": token("NEW"), "461": token("<pad>", special=True, lstrip=True)}, **BYTES}),
    *(("llama2", "llama", {"tokenizer_class": "LlamaTokenizer", **ENDS} | more) for more in (
        {}, {"legacy": True}, {"add_prefix_space": False}, {"add_prefix_space": True, "legacy": True},
        {"legacy": None})),
    ("llama2", "mistral", {"tokenizer_class": "LlamaTokenizer", **ENDS}),
    ("llama2", "ernie4_5", {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": False, **ENDS}),
    ("phi3", "phi3", {"tokenizer_class": "LlamaTokenizer", "legacy": False, "bos_token": "<s>",
                      "eos_token": "<|end|>"}),
    ("gpt2", "llama", {"tokenizer_class": "LlamaTokenizerFast", **BYTES}),
    ("gpt2", "olmo3", {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True, **BYTES}),
    ("llama2", "llama", {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": False, **ENDS}),
    *(("xlm-r-strip", "xlm-roberta", {"tokenizer_class": "XLMRobertaTokenizer", **XLM, "mask_token": MASK} | more)
      for more in ({}, {"add_prefix_space": False}, {"clean_up_tokenization_spaces": True})),
    ("t5", "llama", {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "eos_token": "</s>", "unk_token": "<unk>",
                     "pad_token": "<pad>"}),
    ("t5", "llama", {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": True,
                     "eos_token": "</s>"}),
]


def check_table():
    unknown = keys_read() - set(KEYS)
    assert not unknown, f"transformers reads these keys, which the table does not have: {sorted(unknown)}"
    for of, model_type, config in (("bert", "bert", {}), ("gpt2", "gpt2", BYTES),
                                   ("llama2", "llama", ENDS | {"tokenizer_class": "LlamaTokenizer"})):
        plain = outcome(load(of, model_type, config))
        for key, values in TRIED.items():
            for value in values:
                assert KEYS[key] == "none"
                assert outcome(load(of, model_type, config | {key: value})) == plain, f"{of}: {key} changes something"


def main():
    transformers.logging.set_verbosity_error()
    check_table()
    cases = []
    for of, model_type, config, *special_map in CASES:
        case = {"of": of, "model_type": model_type, "config": config} | ({"map": special_map[0]} if special_map else {})
        cases.append(case | outcome(load(of, model_type, config, *special_map)))
    path = HERE.parent / "fixtures" / "text" / "tokenizer-config.json"
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else path
    path.write_text(json.dumps({"texts": TEXTS, "cases": cases}, separators=(",", ":")) + "\n")
    print(f"{path.name}: {path.stat().st_size} bytes, {len(cases)} cases, {len(KEYS)} keys")


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    main()
