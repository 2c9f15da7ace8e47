#!/usr/bin/env python3
"""Writes tokenizers in the forms of tokenizer.json that nibble reads, and the library tokenizers' tokens of texts.

    tokenizer_json.py [OUTPUT = tests/fixtures/tokenizers]

Each is trained on the texts of tests/fixtures/text/texts.bin and written as NAME.json: { tokenizer, config
(tokenizer_config.json), cases: [[text, ids, their text if it differs]], added: the ids of the first text with the
post-processor's tokens }. The texts are every fourth of texts.bin that is valid UTF-8, different ones for each form,
and three with special tokens.

The parts are those in the tokenizer.json of the models that the comments name. Unigram's are converted from a
sentencepiece model by transformers. Texts for which the library differs from sentencepiece, or from what nibble
considers right, are left out and counted (`excepted` says which and why).
"""
import json
import os
import struct
import sys
import tempfile
import unicodedata

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from split_vectors import DEEPSEEK_LETTERS
from text_cases import PROSE
from text_fixtures import CHARSMAP
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def texts():
    data = open(os.path.join(HERE, "../fixtures/text/texts.bin"), "rb").read()
    at, found = 4, []
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        raw = data[at + 4:at + 4 + size]
        at += 4 + size
        try:
            found.append(raw.decode())
        except UnicodeDecodeError:
            pass
    return found


def byte_level(corpus, pre, ignore_merges=False, normalizer=None):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre, decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=460, special_tokens=["<|begin|>", "<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    if ignore_merges:  # some words are tokens that no merge makes
        written = json.loads(tokenizer.to_str())
        del written["model"]["merges"][3::7]
        tokenizer = Tokenizer.from_str(json.dumps(written))
    return tokenizer


def split(digits):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CONTRACTIONS + digits + REST), "isolated"), BYTES])


def pieces(corpus, prefix, metaspace=None):
    """sentencepiece's BPE, as transformers' converters write it."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    ascii_only = [t for t in corpus if t.isascii()]
    trained.train_from_iterator(ascii_only, trainers.BpeTrainer(vocab_size=330, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    names += [n for n in sorted(model["vocab"], key=model["vocab"].get) if n not in names]
    vocabulary, merges = {n: i for i, n in enumerate(names)}, [tuple(m) for m in model["merges"]]
    tokenizer = Tokenizer(models.BPE(
        vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    steps = [normalizers.Prepend("▁")] if prefix else []
    if metaspace:
        tokenizer.pre_tokenizer = metaspace
    else:
        tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    strip = [decoders.Strip(" ", 1, 0)] if prefix or metaspace else []
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer


def begins(tokenizer, name):
    special = [(name, tokenizer.token_to_id(name))]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{name} $A", special_tokens=special)
    return tokenizer



def sequence(*expressions):
    """Split for each expression, Digits for a number, and ByteLevel."""
    steps = [pre_tokenizers.Digits(individual_digits=e) if isinstance(e, bool) else
             e if isinstance(e, pre_tokenizers.PreTokenizer) else pre_tokenizers.Split(Regex(e), "isolated")
             for e in expressions]
    return pre_tokenizers.Sequence(steps + [BYTES])


def cased(numbers, suffix):
    lead, upper, lower = r"[^\r\n\p{L}\p{N}]?", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
    return (f"{lead}{upper}*{lower}+{suffix}|{lead}{upper}+{lower}*{suffix}|" + r"\p{N}" + numbers +
            r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


SUFFIX = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
DEEPSEEK3 = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
             "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")  # with line ends as they are, not as escapes
WIDE = "[一-龥ࠀ-一가-\ud7ff]+"


def byte_level_kinds(corpus):
    """Names, tokenizers and configurations: Nemo, GPT-4o as in Xenova's files, gpt-oss, DeepSeek, Falcon, NeoX."""
    begin = {"bos_token": "<|begin|>", "eos_token": "<|end|>"}
    yield "tekken", begins(byte_level(corpus, sequence(cased("", "")), ignore_merges=True), "<|begin|>"), begin
    removed = pre_tokenizers.Split(Regex(cased("{1,3}", SUFFIX)), "removed", invert=True)
    yield "gpt-4o", byte_level(corpus, sequence(removed)), begin
    yield "gpt-oss", byte_level(corpus, sequence(cased("{1,3}", SUFFIX)), ignore_merges=True), begin
    v3 = sequence(r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+", DEEPSEEK3)
    yield "deepseek-v3", byte_level(corpus, v3, normalizer=normalizers.Sequence([])), begin
    symbols = "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+"
    llm = sequence("[\r\n]", rf"\s?[{DEEPSEEK_LETTERS}]+", symbols, r"\s+$", WIDE, True)
    yield "deepseek-llm", begins(byte_level(corpus, llm), "<|begin|>"), begin
    yield "deepseek-coder", byte_level(corpus, sequence("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", WIDE, True)), begin
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    falcon = pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("contiguous"), plain, pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")])
    yield "falcon", byte_level(corpus, falcon), begin
    neox = byte_level(corpus, plain, normalizer=normalizers.NFC())
    neox.add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    neox.post_processor = processors.ByteLevel()
    yield "gptneox", neox, begin
    roberta = byte_level(corpus, pre_tokenizers.ByteLevel(add_prefix_space=True))
    roberta.post_processor = processors.RobertaProcessing(("<|end|>", 1), ("<|begin|>", 0))
    roberta.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    yield "roberta", roberta, begin


def unigrams():
    """T5, XLM-R (as transformers wrote it first, and as it does now), Flan-T5, and T5 without `legacy`."""
    with tempfile.TemporaryDirectory() as folder:
        rules = os.path.join(folder, "rules.tsv")
        hexes = lambda text: " ".join(f"{ord(c):X}" for c in text)
        with open(rules, "w") as f:
            f.writelines(f"{hexes(a)}\t{hexes(b)}\n" for a, b in [*CHARSMAP, ("▁", " ")])
        with open(os.path.join(folder, "corpus.txt"), "w") as f:
            f.write(PROSE)
        sentencepiece.SentencePieceTrainer.train(
            input=f.name, model_prefix=os.path.join(folder, "m"), vocab_size=240, model_type="unigram", pad_id=0,
            eos_id=1, unk_id=2, bos_id=3, normalization_rule_tsv=rules, character_coverage=0.98, minloglevel=2,
            num_threads=1)
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(open(os.path.join(folder, "m.model"), "rb").read())
    pieces = [(p.piece, p.score) for p in proto.pieces]
    charsmap = proto.normalizer_spec.precompiled_charsmap
    proto.normalizer_spec.add_dummy_prefix = proto.normalizer_spec.remove_extra_whitespaces = False
    proto.normalizer_spec.escape_whitespaces = False
    reference = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())

    def differs(text):
        """The library replaces a whole cluster of characters with the result of the first rule, sentencepiece only the
        characters of the rule; and it treats U+0085 and others as white space without a rule."""
        normal = reference.normalize(text)
        return normalizers.Precompiled(charsmap).normalize_str(text) != normal or any(
            c.isspace() and c != " " for c in normal)

    split, strip = pre_tokenizers.WhitespaceSplit(), normalizers.Strip(left=False, right=True)
    join = lambda by: normalizers.Replace(Regex(" {2,}"), by)
    space = lambda scheme: pre_tokenizers.Metaspace(prepend_scheme=scheme)
    both = pre_tokenizers.Sequence([split, space("always")])
    for name, more, pre, single in [("t5", [], both, "$A </s>"), ("xlm-r", [join(" ")], both, "<s> $A </s>"),
                                    ("xlm-r-strip", [strip, join("▁")], space("always"), "<s> $A </s>"),
                                    ("unigram-join", [join(" ")], space("always"), "$A </s>"),
                                    ("flan-t5", [], space("always"), "$A </s>"),
                                    ("unigram-first", [strip, join("▁")], space("first"), "$A </s>")]:
        tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap), *more])
        tokenizer.pre_tokenizer, tokenizer.decoder = pre, decoders.Metaspace()
        tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>", "<s>", AddedToken("<mask>", lstrip=True)])
        special = [(t, tokenizer.token_to_id(t)) for t in ("<s>", "</s>")]
        tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=special)
        yield name, tokenizer, {"eos_token": "</s>"}, differs


def word_pieces(corpus):
    """BERT, uncased (MiniLM, bge, e5, nomic) and cased. nibble decodes U+2581 as a space, and the library's punctuation
    is that of Unicode 8."""
    for name, lower in ("bert", True), ("bert-cased", False):
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece(cleanup=False)
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        normal = [tokenizer.normalizer.normalize_str(t) for t in corpus]
        words = sorted({w for t in normal for w, _ in tokenizer.pre_tokenizer.pre_tokenize_str(t) if w.isalnum()})
        letters = sorted({c for w in words for c in w if c < "\u0500"})  # trainers of WordPiece differ from run to run
        names = special + letters + ["##" + c for c in letters] + list("!,.'-()") + [w for w in words if 1 < len(w) < 6]
        names += [f"##{w[k:]}" for w in words if 5 < len(w) < 12 for k in (3, 5)]
        tokenizer.model = models.WordPiece({n: i for i, n in enumerate(dict.fromkeys(names))}, unk_token="[UNK]")
        tokenizer.add_special_tokens(special)
        ends = [(t, tokenizer.token_to_id(t)) for t in ("[SEP]", "[CLS]")]
        tokenizer.post_processor = processors.BertProcessing(*ends) if name == "bert-cased" else (
            processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends))
        tokenizer.enable_truncation(128)
        tokenizer.enable_padding(length=128)
        yield name, tokenizer, {"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}, (
            lambda text: "▁" in text or "\u2e4d" in text)


def kinds(corpus):
    begin = {"bos_token": "<|begin|>", "eos_token": "<|end|>"}
    yield "gpt2", byte_level(corpus, pre_tokenizers.ByteLevel(add_prefix_space=False)), begin
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), plain])
    yield "smollm", byte_level(corpus, digits), begin
    yield "llama3", begins(byte_level(corpus, split(r"\p{N}{1,3}"), ignore_merges=True), "<|begin|>"), begin
    yield "llama3-merges", byte_level(corpus, split(r"\p{N}{1,3}")), begin
    composed = [unicodedata.normalize("NFC", t) for t in corpus]
    qwen2 = byte_level(composed, split(r"\p{N}"), normalizer=normalizers.NFC())
    qwen2.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
    yield "qwen2", qwen2, {"eos_token": {"content": "<|end|>"}, "bos_token": None}
    ends = {"bos_token": "<s>", "eos_token": "</s>"}
    yield "llama2", begins(pieces(corpus, True), "<s>"), ends
    yield "gemma", begins(pieces(corpus, False), "<s>"), ends
    for scheme in ("always", "first"):
        space = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
        yield "metaspace-" + scheme, pieces(corpus, True, space), ends
    phi3 = pieces(corpus, True)
    phi3.add_special_tokens([AddedToken("<|end|>", rstrip=True, normalized=False)])
    yield "phi3", begins(phi3, "<s>"), {"bos_token": "<s>", "eos_token": "<|end|>"}
    yield from byte_level_kinds(corpus)
    yield from unigrams()
    yield from word_pieces(corpus)


def main():
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "../fixtures/tokenizers")
    os.makedirs(output, exist_ok=True)
    corpus = texts()
    for n, (name, tokenizer, config, *excepted) in enumerate(kinds([t for t in corpus if "<" not in t])):
        end = config.get("eos_token", "[SEP]")
        end = end if isinstance(end, str) else end["content"]
        cases = [*corpus[n % 4::4], f"one{end}two{end}", f"{end} a <tool> b", f"a {end} <mask> {end}  b"]
        kept = [t for t in cases if not (excepted and excepted[0](t))]
        written = json.loads(tokenizer.to_str())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        rows = []
        for text in kept:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            decoded = tokenizer.decode(ids)
            rows.append([text, ids] if decoded == text else [text, ids, decoded])
        if name == "falcon":  # as in files before tokenizers 0.20
            written["model"]["merges"] = [" ".join(pair) for pair in written["model"]["merges"]]
        path = os.path.join(output, name + ".json")
        with open(path, "w") as f:
            json.dump({"tokenizer": written, "config": config, "cases": rows,
                       "added": tokenizer.encode(kept[0]).ids}, f, ensure_ascii=False, separators=(",", ":"))
        print(f"{path}: {os.path.getsize(path)} bytes, {tokenizer.get_vocab_size()} tokens, {len(rows)} texts, "
              f"{len(cases) - len(kept)} left out")




if __name__ == "__main__":
    main()
