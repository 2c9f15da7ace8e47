#!/usr/bin/env python3
"""Writes tests/fixtures/train/tokenizers.json: tokenizers trained by the library tokenizers, and transformers' tokens
of texts with them.

    trained_tokenizers.py [--output FILE]

Each case is { options (of trainTokenizer), json (the tokenizer.json that the library writes), texts, ids }. The
training text is the prose, scripts and code of text_cases.py, as one text; with `lines` each line is a text.
transformers reads the json as a PreTrainedTokenizerFast. The texts are random pieces of the training text, and special
tokens.

Each folder, as `nibble tokenizer` writes it, is { end, json, config, texts, ids }: json is the library's, with the
token `end` before each text; config is nibble's tokenizer_config.json. AutoTokenizer reads the two, and must give the
same ids and end token as a tokenizer that got both as arguments. ids include the added tokens.

Needs tokenizers and transformers (tests/oracles/requirements.txt).
"""
import argparse
import json
import random
import tempfile
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from text_cases import CODE, PROSE, SCRIPTS

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
TEXT = PROSE + CODE + "\n".join(SCRIPTS) + " 12 345 6789  \n\n\n  it's 10 \U0001f642\U0001f642!"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
CASES = [
    {"vocabulary": 512, "special": ["<|endoftext|>"], "pattern": "gpt-2"},
    {"vocabulary": 480, "special": ["<s>", "</s>"], "pattern": "llama-3", "minFrequency": 3},
    {"vocabulary": 400, "special": [], "pattern": "gpt-2", "lines": True},
    {"vocabulary": 4096, "special": ["<s>"], "pattern": "gpt-2", "minFrequency": 6},  # fewer than asked for
]


def trained(options):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if options["pattern"] == "llama-3":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=options["vocabulary"], min_frequency=options.get("minFrequency", 0),
                                  special_tokens=options["special"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    if options.get("lines"):  # a file is read line by line
        with tempfile.NamedTemporaryFile("w", newline="", encoding="utf-8") as file:
            file.write(TEXT)
            file.flush()
            tokenizer.train([file.name], trainer)
    else:
        tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer


def random_texts(special):
    generator = random.Random(17)
    texts = ["", " ", "\n\n"]
    for _ in range(25):
        pieces = []
        for _ in range(generator.randint(1, 4)):
            at = generator.randrange(len(TEXT))
            pieces.append(TEXT[at:at + generator.randint(1, 40)])
            if special and generator.random() < 0.3:
                pieces.append(generator.choice(special))
        texts.append("".join(pieces))
    return texts


def case(options):
    written = trained(options).to_str(pretty=True)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(written)
        file.flush()
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=file.name)
    texts = random_texts(options["special"])
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    print(f"{options}: {len(tokenizer)} tokens")
    return {"options": options, "json": written, "texts": texts, "ids": ids}


def folder(end):
    tokenizer = trained({"vocabulary": 512, "special": [end] if end else [], "pattern": "gpt-2"})
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    if end:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{end} $A", pair=f"{end} $A {end} $B", special_tokens=[(end, tokenizer.token_to_id(end))])
        config |= {"bos_token": end, "eos_token": end}
    told = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **({"bos_token": end, "eos_token": end} if end else {}))
    json_text, config_text = tokenizer.to_str(pretty=True), json.dumps(config, indent=2) + "\n"
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "tokenizer.json").write_text(json_text)
        (Path(place) / "tokenizer_config.json").write_text(config_text)
        read = AutoTokenizer.from_pretrained(place)
    texts = random_texts([end] if end else [])
    ids = [read(text)["input_ids"] for text in texts]
    assert ids == [told(text)["input_ids"] for text in texts]
    expected = (0, 0) if end else (None, None)
    assert (read.eos_token_id, read.bos_token_id) == (told.eos_token_id, told.bos_token_id) == expected
    for one in ids:
        assert read.decode(one) == told.decode(one)
    print(f"a folder with the end {end}: {len(read)} tokens")
    return {"end": end, "json": json_text, "config": config_text, "texts": texts, "ids": ids}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=FIXTURES / "train" / "tokenizers.json")
    options = parser.parse_args()
    out = {"text": TEXT, "cases": [case(one) for one in CASES], "folders": [folder("<|endoftext|>"), folder(None)]}
    options.output.write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
