#!/usr/bin/env python3
"""Small rerankers with random weights: BERT's, with a pooler and two types of tokens, and XLM-RoBERTa's.

    reranker_models.py [OUTPUT = tests/fixtures/rerankers] [NAME ...]

Writes the folder NAME, as transformers saves it, NAME.gguf as llama.cpp has such models, and NAME.json: queries and
documents, and the logits of pairs by transformers in F32; long documents are cut. of-one-type: BERT's logits if all
tokens are of the first type, as in llama.cpp. llama.cpp's hidden states must agree, or nothing is written.
"""
import json
import os
import re
import shutil
import sys

import gguf
import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

import llamacpp
from encoder_models import gguf_name
from gguf_files import write
from logits_vectors import cosines

POSITIONS = 48
SIZES = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
WORDS = "the a of in is old new bee fox dog red sun moon lake rain falls bright over small river stone".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz"
HEAD = {"bert.pooler.dense": "cls", "classifier.dense": "cls", "classifier.out_proj": "cls.output",
        "classifier": "cls.output"}
CASES = [("the old fox", ["a red fox is old", "rain falls over the lake", "", "the sun, the moon. a stone!"]),
         ("what is a bee?", ["bees!", "the small river of stone " * 12, "zyx"])]


def word_piece():
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"!,.?", *LETTERS, *("##" + c for c in LETTERS),
             *(w for w in WORDS if len(w) > 1)]
    tokenizer = Tokenizer(models.WordPiece({n: i for i, n in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    tokenizer.add_special_tokens(names[:5])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    phantom = [n[2:] if n.startswith("##") else n if n.startswith("[") else "\u2581" + n for n in names]
    keys = dict(model="bert", names=phantom, scores=None, bos=2, eos=3, sep=3, pad=0, unk=1, mask=4, special=5)
    named = dict(cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]")
    return tokenizer, keys, named


def unigram():
    names = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", *"!,.?", *LETTERS, *("\u2581" + w for w in WORDS)]
    scores = [0.0] * 4 + [-2.0] + [-6.0] * 30 + [-3 - 0.1 * i for i in range(len(WORDS))]
    tokenizer = Tokenizer(models.Unigram(list(zip(names, scores)), unk_id=3))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.add_special_tokens(names[:4])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    keys = dict(model="t5", names=names, scores=scores, bos=0, eos=2, sep=2, pad=1, unk=3, special=4)
    named = dict(bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>", pad_token="<pad>",
                 unk_token="<unk>")
    return tokenizer, keys, named


MODELS = {"bert-reranker": ("Bert", word_piece, POSITIONS, 2),
          "xlm-roberta-reranker": ("XLMRoberta", unigram, POSITIONS + 2, 1)}


def random_model(kind, positions, types, keys, seed):
    config = getattr(transformers, kind + "Config")(
        **SIZES, vocab_size=len(keys["names"]), max_position_embeddings=positions, type_vocab_size=types, num_labels=1,
        pad_token_id=keys["pad"], bos_token_id=None, eos_token_id=None)
    model = getattr(transformers, kind + "ForSequenceClassification")(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.copy_((1 if name.endswith("weight") else 0) + 0.2 * torch.randn(p.shape, generator=generator))
            else:
                scale = 2.0 if re.search("query|key|embeddings|classifier|pooler", name) else 1.0
                p.copy_((scale * p.shape[1] ** -0.5 * torch.randn(p.shape, generator=generator)).half())
    return model.float().eval()


def write_gguf(path, model, keys):
    out, config = gguf.GGUFWriter(path, "bert"), model.config
    skipped = config.max_position_embeddings - POSITIONS
    out.add_vocab_size(config.vocab_size)
    out.add_context_length(POSITIONS)
    out.add_embedding_length(config.hidden_size)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_block_count(config.num_hidden_layers)
    out.add_head_count(config.num_attention_heads)
    out.add_layer_norm_eps(config.layer_norm_eps)
    out.add_causal_attention(False)
    out.add_pooling_type(gguf.PoolingType.RANK)
    out.add_token_type_count(config.type_vocab_size)
    out.add_tokenizer_model(keys["model"])
    out.add_token_list(keys["names"])
    out.add_token_types([gguf.TokenType.CONTROL if i < keys["special"] else gguf.TokenType.NORMAL
                         for i in range(len(keys["names"]))])
    if keys["scores"]:
        out.add_token_scores(keys["scores"])
        out.add_add_space_prefix(True)
        out.add_add_bos_token(True)
        out.add_add_eos_token(True)
    out.add_bos_token_id(keys["bos"])
    out.add_eos_token_id(keys["eos"])
    out.add_sep_token_id(keys["sep"])
    out.add_pad_token_id(keys["pad"])
    if "mask" in keys:
        out.add_mask_token_id(keys["mask"])
    out.add_unk_token_id(keys["unk"])
    for name, p in model.named_parameters():
        module, _, leaf = name.rpartition(".")
        new = f"{HEAD[module]}.{leaf}" if module in HEAD else gguf_name(name)
        out.add_tensor(new, p.detach().numpy()[skipped if new == "position_embd.weight" else 0:].copy())
    write(out)


def logits_of(model, encoded, types=True):
    encoded = {k: v for k, v in encoded.items() if k != "token_type_ids" or types}
    with torch.no_grad():
        return model(**encoded).logits[0, 0].item()


def check(path, model, tokens):
    """llama.cpp has all tokens of the first type."""
    with torch.no_grad():
        hidden = model.base_model(torch.tensor([tokens])).last_hidden_state[0].numpy()
    least = cosines(hidden, llamacpp.hidden_states(path, tokens, encoder=True)).min()
    if least < 0.9999:
        raise SystemExit(f"{path}: transformers and llama.cpp disagree, cosine {least:.7f}")
    return least


def main():
    torch.set_num_threads(1)
    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/rerankers")
    output = sys.argv[1] if len(sys.argv) > 1 else own
    for seed, (name, (kind, make, positions, types)) in enumerate(MODELS.items(), 9001):
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        fast, keys, named = make()
        model = random_model(kind, positions, types, keys, seed)
        folder = os.path.join(output, name)
        shutil.rmtree(folder, ignore_errors=True)
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=fast, model_max_length=POSITIONS, **named)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_gguf(folder + ".gguf", model, keys)
        cases = []
        for query, documents in CASES:
            pairs = [tokenizer([query], [text], truncation="only_second", max_length=POSITIONS, return_tensors="pt",
                               return_token_type_ids=types > 1) for text in documents]
            cases.append({"query": query, "documents": documents, "tokens": [p["input_ids"][0].tolist() for p in pairs],
                          "logits": [logits_of(model, p) for p in pairs],
                          "of-one-type": [logits_of(model, p, False) for p in pairs]})
        least = min(check(folder + ".gguf", model, t) for case in cases for t in case["tokens"])
        with open(folder + ".json", "w", encoding="utf-8") as out:
            json.dump({"by": "transformers, F32", "positions": POSITIONS, "cases": cases}, out, indent=0)
            out.write("\n")
        logits = np.array([x for case in cases for x in case["logits"]])
        print(f"{name}: logits from {logits.min():.3f} to {logits.max():.3f}, llama.cpp's least cosine {least:.7f}")


if __name__ == "__main__":
    main()
