#!/usr/bin/env python3
"""Writes random texts and llama.cpp's tokens for them, with the vocabularies of GGUF files.

    gguf_texts.py [--show NAME FIRST | NAME ...]

With names of vocabularies only these are written anew; all of them take some minutes. Writes
tests/fixtures/text/random-gguf.json: { atoms, own, aHash, vocabularies, faults }. A vocabulary is a fixture of
tests/fixtures/text, or one of llama.cpp's own that `make vocabularies` downloads (`real`), with some values changed and
tokens appended. A text is 1 to 12 atoms: from the list, and from `own`, which are names of the vocabulary's tokens. The
generator of random_texts.py chooses them, so texts are not stored. A hash covers 25 texts: their tokens, each text with
different flags, and the text that these tokens are converted back to. --show prints the texts from FIRST on.

In some cases llama.cpp is wrong. `faults` has an example of each: the reason, llama.cpp's result, and its result for an
input that avoids the fault. Atoms that trigger a fault are left out of the texts of that vocabulary. For WordPiece the
tokens are those of the library tokenizers, because llama.cpp's Unicode is too simple there.

llama.cpp is the one of cyllama. It cannot open files without weights, so it gets a copy with a small layer.
"""
import json
import os
import pathlib
import sys
import tempfile
import unicodedata

import gguf
import tokenizers
import transformers
from cyllama.llama import llama_cpp

import gguf_files
from random_texts import A_HASH, ADDED_ATOMS, ATOMS, Random, fnv
from text_fixtures import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, add_stub_layer, open_model

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FIXTURES, REAL = ROOT / "tests" / "fixtures" / "text", ROOT / "build" / "vocabularies"
OUT = FIXTURES / "random-gguf.json"
KEY = "tokenizer.ggml."
TYPES = gguf.GGUFValueType
COMMON = ATOMS + ADDED_ATOMS + ["<|endoftext|>", "</s>", "<s>", "<unk>", "[UNK]", "[MASK]", "[CLS]", "<|im_end|>",
                                "<|im_start|>"]

# Names of pre-tokenizers that cyllama's llama.cpp knows, except those of the fixtures.
PRES = """phi-2 mpt olmo jais trillion granite-docling exaone4 gigachat a.x-4.0 mellum modern-bert roberta-bpe jina-es
  jina-v2-code starcoder refact command-r codeshell exaone minerva-7b llama3 falcon3 pixtral lfm2 dbrx smaug-bpe
  chatglm-bpe glm4 jais-2 deepseek-r1-qwen stablelm2 hunyuan megrez solar-open grok-2 kormo f2llmv2 bailingmoe
  llada-moe qwen35 seed-coder exaone-moe tekken gpt-4o llama4 minimax-m2 tiny_aya youtu kimi-k2 deepseek-v3
  hunyuan-dense joyai-llm afmoe deepseek-llm deepseek-coder bloom poro-chat gpt3-finnish viking chameleon superbpe
  falcon""".split()
COMPOSING = {"qwen2", "qwen35", "mpt", "olmo", "command-r"}

# Tokens of every type. No merge makes the control tokens.
APPENDED = [("<tool>", USER_DEFINED, 0), ("[NEW]", USER_DEFINED, 0), ("<ctl>", CONTROL, 0), ("<unused7>", CONTROL, 0),
            ("word", USER_DEFINED, -1000), ("ab", USER_DEFINED, 0), ("bcd", USER_DEFINED, 0), ("unused_x", UNUSED, -3),
            ("<0x41>x", NORMAL, 0), ("<undef>", 0, 0)]
SPANNING = [(" two  words ", USER_DEFINED, 0), ("\u2581mark", USER_DEFINED, 0), ("\u00e9!", USER_DEFINED, 0)]
LOOKING = [("<|im_end|>", NORMAL, 0), ("<PRE>", NORMAL, 0), ("[PAD]", NORMAL, 0)]  # control tokens by their names
PHI = [(name, CONTROL, 0) for name in ("</s>", "<unk>", "<s>", "<|endoftext|>")]
IDS = ("bos_token_id", "eos_token_id", "unknown_token_id", "add_bos_token", "add_eos_token")


def is_mark(atom):
    return any(unicodedata.category(c)[0] == "M" for c in atom)


# ---- vocabularies ------------------------------------------------------------------------------------------------


class Vocabulary:
    """The vocabulary of a file, with `changes` { key: (type, value) or None } and tokens appended."""

    def __init__(self, path, changes=None, appends=()):
        self.values = {}
        for name, field in gguf.GGUFReader(path).fields.items():
            if name.startswith(KEY) or name in ("general.name", "general.architecture"):
                self.values[name] = (field.types, field.contents())
        for key, change in (changes or {}).items():
            self.values.pop(key, None)
            if change:
                kind, value = getattr(TYPES, {"i32": "INT32",
                                              "u32": "UINT32"}.get(change[0], change[0].upper())), change[1]
                self.values[key] = ([TYPES.ARRAY, kind] if isinstance(value, list) else [kind], value)
        for name, kind, score in appends:
            for key, item in (("tokens", name), ("token_type", kind), ("scores", float(score))):
                if KEY + key in self.values:
                    self.get(key).append(item)
        self.names = self.get("tokens")
        self.types = self.get("token_type") or [NORMAL] * len(self.names)
        self.model = self.get("model")

    def get(self, key):
        return self.values.get(KEY + key, (None, None))[1]

    def changed(self, **changes):
        copy = object.__new__(Vocabulary)
        copy.__dict__ = dict(self.__dict__)
        copy.values = self.values | {KEY + key: ([TYPES.STRING], value) for key, value in changes.items()}
        return copy

    def library(self):
        """The tokenizer that the library tokenizers makes of a WordPiece vocabulary."""
        begins = lambda name: name[:1] == "\u2581" and len(name) > 1
        spell = lambda name, kind: name if kind == CONTROL else name[1:] if begins(name) else "##" + name
        vocab = {spell(name, kind): i for i, (name, kind) in enumerate(zip(self.names, self.types))}
        lower = self.get("normalizer.lowercase") is not False
        out = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocab, unk_token="[UNK]"))
        out.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lower)
        out.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        return out


class LlamaCpp:
    def __init__(self, vocabulary):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "stub.gguf")
            out = gguf.GGUFWriter(path, "llama")
            for key, (types, value) in vocabulary.values.items():
                if key != "general.architecture":
                    out.add_key_value(key, value, types[0], sub_type=types[1] if len(types) > 1 else None)
            add_stub_layer(out, len(vocabulary.names))
            gguf_files.write(out)
            self.model = open_model(path)
        self.own = self.model.get_vocab()

    def tokens(self, text, flags):
        return list(self.own.tokenize(text, bool(flags & 1), bool(flags & 2)))

    def text(self, tokens, special):
        """cyllama removes white space at the beginning, so something else comes first."""
        mark = self.tokens("x", 0)
        before = self.own.detokenize(mark, text_len_max=1 << 16)
        return self.own.detokenize(mark + tokens, text_len_max=1 << 16, unparse_special=special)[len(before):]


class Reference:
    """The expected tokens and texts."""

    def __init__(self, vocabulary):
        v = vocabulary
        pieces = v.model == "bert"
        # as with this architecture, <mask> removes the white space before it
        if "nomic-bert-moe" in v.values["general.architecture"][1]:
            v = v.changed(pre="jina-v2-de")
        self.llama = self.decoder = LlamaCpp(v)
        self.library = v.library() if pieces else None
        self.around = self.llama.tokens("", 1) if pieces else None
        # for BPE llama.cpp removes spaces before punctuation, or not, by the pre-tokenizer's name; transformers never
        # does
        if v.model in ("gpt2", "gemma4"):
            raw = v.model == "gemma4" or v.get("pre") in ("gemma4", "sarvam-moe")
            self.decoder = LlamaCpp(v.changed(model="gpt2", pre="sarvam-moe" if raw else "smollm"))
        default = v.model == "llama"
        self.strips = pieces or v.get("remove_extra_whitespaces") or (default if v.get("add_space_prefix") is None
                                                                      else v.get("add_space_prefix"))
        self.strips = self.strips and v.model not in ("gpt2", "gemma4")
        self.composes = v.get("pre") in COMPOSING

    def tokens(self, text, flags):
        if self.library:
            ids = self.library.encode(text).ids
            return [self.around[0], *ids, self.around[1]] if flags & 1 else ids
        return self.llama.tokens(unicodedata.normalize("NFC", text) if self.composes else text, flags)

    def text(self, tokens, special):
        pieces = [self.llama.own.token_to_piece(token, 0, special) for token in tokens if self.library]
        out = "".join(pieces) if self.library else self.decoder.text(tokens, special)
        # transformers removes the tokenizer's space also after a beginning token; llama.cpp only from the first token
        out = out[1:] if self.strips and out[:1] == " " else out
        # for WordPiece both remove spaces before punctuation, transformers after the first space
        return transformers.PreTrainedTokenizerBase.clean_up_tokenization(None, out) if self.library else out


def merges_of(vocabulary):
    """Merges for tokens that were made by their scores: each of all but the last character, and the last."""
    ordinary = {name for name, kind in zip(vocabulary.names, vocabulary.types) if kind == NORMAL}
    return [f"{name[:-1]} {name[-1]}" for name, kind in zip(vocabulary.names, vocabulary.types)
            if kind == NORMAL and len(name) > 1 and name[:-1] in ordinary and name[-1] in ordinary]


def variants():
    """name, of, number of texts, changes, appended tokens"""
    for of in ("smollm", "gpt-2", "llama-bpe", "qwen2", "default", "spm", "spm-spans", "unigram", "unigram-spaces",
               "wordpiece"):
        yield of, of, 1000, {}, []
    for pre in PRES:
        yield f"pre {pre}", "smollm", 100, {KEY + "pre": ("string", pre)}, []
    boolean = lambda key, value: {KEY + key: ("bool", value)}
    absent = {KEY + key: None for key in IDS}
    for of in ("spm", "spm-spans"):
        yield f"{of}, other prefix", of, 200, boolean("add_space_prefix", of != "spm"), []
        yield f"{of}, no ids", of, 200, absent, []
        yield f"{of}, appended", of, 400, {}, APPENDED + SPANNING + LOOKING
        yield f"{of}, Phi 3", of, 200, {"general.name": ("string", "A Phi-3")}, APPENDED + SPANNING[1:] + PHI
    for of in ("unigram", "unigram-spaces"):
        for key in ("add_space_prefix", "remove_extra_whitespaces"):
            for value in (True, False):
                yield f"{of}, {key} {value}", of, 200, boolean(key, value), []
        yield f"{of}, prefix absent", of, 200, {KEY + "add_space_prefix": None}, []
        yield f"{of}, no ids", of, 200, absent, []
        yield f"{of}, no charsmap", of, 200, {KEY + "precompiled_charsmap": None}, []
        yield f"{of}, appended", of, 400, {}, APPENDED
    for of in ("smollm", "llama-bpe", "default"):
        yield f"{of}, appended", of, 400, {}, APPENDED + SPANNING + LOOKING
        yield f"{of}, Phi 3", of, 200, {"general.name": ("string", "phi3")}, APPENDED + SPANNING[1:] + PHI
        yield f"{of}, <mask>", of, 200, {KEY + "pre": ("string", "jina-v2-de")}, [*APPENDED, ("<mask>", CONTROL, 0)]
        yield f"{of}, no types", of, 200, {KEY + "token_type": None}, []
        yield f"{of}, begins and ends", of, 200, boolean("add_bos_token", True) | boolean("add_eos_token", True), []
    merges = {KEY + "scores": None, KEY + "merges": ("string", merges_of(Vocabulary(FIXTURES / "spm.gguf")))}
    for pre in ("gemma4", "sarvam-moe"):
        yield pre, "spm", 400, merges | {KEY + "model": ("string", "gpt2"),
                                         KEY + "pre": ("string", pre)}, APPENDED + SPANNING
    yield "gemma4 as a model", "spm", 200, merges | {KEY + "model": ("string", "gemma4"), KEY + "pre": None}, APPENDED
    yield "wordpiece, cased", "wordpiece", 400, boolean("normalizer.lowercase", False), []
    for path in sorted(REAL.glob("*.gguf")) if (REAL / "complete").exists() else []:
        yield path.stem[len("ggml-vocab-"):] + ", real", path.name, 300, {}, []


# ---- faults ------------------------------------------------------------------------------------------------------


def faults():
    """Cases in which llama.cpp is wrong. right: (text, changes, appended tokens) of an input that avoids the fault, or
    tokens."""
    of = lambda name, changes=None, appends=(): Vocabulary(FIXTURES / f"{name}.gguf", changes, appends)
    pre = lambda name: {KEY + "pre": ("string", name)}

    def fault(why, name, text, flags, right, changes=None, appends=()):
        vocabulary = of(name, changes, appends)
        wrong = LlamaCpp(vocabulary).tokens(text, flags)
        if not isinstance(right, list):
            other, more, other_appends = right
            right = LlamaCpp(of(name, (changes or {}) | more, other_appends)).tokens(other, flags)
        assert wrong != right, why
        return {"why": why, "of": name, "changes": changes or {}, "appends": appends, "text": text, "flags": flags,
                "wrong": wrong, "right": right}

    ids = {name: i for i, name in enumerate(of("smollm").names)}
    yield fault("overlapping special tokens of equal length: llama.cpp takes the first in the vocabulary, or any; the "
                "library tokenizers takes the first in the text", "smollm", "c[[", 0, [ids["c["], ids["["]])
    for name in sorted(COMPOSING - {"qwen2"}) + ["qwen2"]:
        yield fault(f"texts are not normalized to NFC, unlike in the model's own tokenizer: {name}", "smollm",
                    "e\u0301", 0, ("\u00e9", {}, ()), pre(name))
    for name in ("gpt-4o", "tekken", "kimi-k2"):
        cut = ["-\ufe0f's"] if name == "gpt-4o" or name == "kimi-k2" else ["-\ufe0f", "'s"]
        pieces = LlamaCpp(of("smollm", pre("superbpe")))  # which cuts at numbers only
        yield fault(f"combining marks are not letters in llama.cpp's expression of {name}, but are in the model's",
                    "smollm", "-\ufe0f's", 0,
                    [token for piece in cut for token in pieces.tokens(piece, 0)], pre(name))
    pieces = LlamaCpp(of("smollm", pre("superbpe")))
    yield fault("numbers that are not digits do not match \\p{N} in llama.cpp's expression of afmoe", "smollm",
                "   \u2163", 0,
                pieces.tokens("   ", 0) + pieces.tokens("\u2163", 0), pre("afmoe"))
    for name in ("spm-spans", "llama-bpe"):
        old = of(name)
        types = {KEY + "token_type": ("i32", [CONTROL if n == "it" else t for n, t in zip(old.names, old.types)])}
        renamed = {KEY + "tokens": ("string", ["\ue000" if n == "it" else n for n in old.names])}
        yield fault("a text gives a control token, though special tokens are not parsed: never in sentencepiece",
                    name, "it", 0, ("it", renamed, ()), types)
    yield fault("Unigram: a character that begins like the name of a user-defined token is not normalized, or is split",
                "unigram", "\u2026", 0, ("\u2026", {}, ()), None, [("\u2581mark", USER_DEFINED, 0)])
    names = of("smollm").names
    yield fault("white space is removed after a special token (Phi 3), even if it is a special token itself: the "
                "library tokenizers keeps both", "smollm", "<tool>\n\nx", 0,
                [names.index("<tool>"), len(names), names.index("x")], {"general.name": ("string", "phi3")},
                [("\n\n", USER_DEFINED, 0), *(t for t in PHI if t[0] not in names)])


# ---- texts -------------------------------------------------------------------------------------------------------


def own_atoms(vocabulary):
    """The names of special tokens and of some others."""
    names, types = vocabulary.names, vocabulary.types
    special = [n for n, t in zip(names, types) if t in (UNKNOWN, CONTROL, USER_DEFINED, UNUSED)][:24]
    special += [n for n, t in zip(names, types) if t == BYTE][:3]
    some = [n for n in names[3::max(1, len(names) // 40)] if "\ufffd" not in n]
    return [a for a in special * 3 + [n.lower() for n in special] + [n[:-1] for n in special] + some if a]


def left_out(vocabulary, appends):
    """Atoms that trigger a fault of llama.cpp."""
    atoms = COMMON + own_atoms(vocabulary)
    pre = vocabulary.get("pre")
    out = {a for a in atoms if pre in ("gpt-4o", "tekken", "kimi-k2", "llama4", "minimax-m2") and is_mark(a)}
    out |= {a for a in atoms if pre in COMPOSING and "\u0338" in a}  # it composes with the end of a name
    out |= {a for a in atoms if pre == "afmoe"
            and any(unicodedata.category(c) in ("No", "Nl") for c in a)}  # they do not match as numbers
    equally_long = {"c[", "[["} | ({"abcx", "bcxy"} if appends else set())  # and overlap
    return sorted(out | (equally_long & set(atoms)))


def texts_of(atoms, count):
    random = Random(len(atoms))
    for _ in range(count):
        yield "".join(atoms[random.below(len(atoms))] for _ in range(1 + random.below(12)))


def cases(reference, atoms, count):
    """text, flags, tokens, whether special tokens are written, the text that the tokens are converted back to"""
    for i, text in enumerate(texts_of(atoms, count)):
        flags, special = i & (1 if reference.library else 3), bool(i & 4)
        tokens = reference.tokens(text, flags)
        yield text, flags, tokens, special, reference.text(tokens, special)


def main():
    llama_cpp.set_log_callback(lambda *_: None)
    old = json.loads(OUT.read_text()) if sys.argv[1:] else {"own": {}, "vocabularies": {}}
    own, written = old["own"], old["vocabularies"]
    for name, of, count, changes, appends in variants():
        if sys.argv[1:2] == ["--show"] and name != sys.argv[2]:
            continue
        if sys.argv[1:] and "--show" not in sys.argv and name not in sys.argv:
            continue
        real = of.endswith(".gguf")
        path = REAL / of if real else FIXTURES / f"{of}.gguf"
        appends = [a for a in appends if a[0] not in Vocabulary(path).names]
        vocabulary = Vocabulary(path, changes, appends)
        out = left_out(vocabulary, appends)
        own[of] = own_atoms(Vocabulary(path))
        atoms = [a for a in COMMON + own[of] + [a[0] for a in appends] * 3 if a not in out]
        hashes, hash = [], 0x811C9DC5
        for i, case in enumerate(cases(Reference(vocabulary), atoms, count)):
            if sys.argv[1:2] == ["--show"] and int(sys.argv[3]) <= i < int(sys.argv[3]) + A_HASH:
                print(json.dumps(case))
            hash = fnv(hash, b"".join(token.to_bytes(3, "little") for token in case[2]))
            hash = fnv(hash, case[4].encode())
            if i % A_HASH == A_HASH - 1:
                hashes.append(hash)
                hash = 0x811C9DC5
        written[name] = {"of": of, "real": real, "wordpiece": vocabulary.model == "bert", "changes": changes,
                         "appends": appends,
                         "without": out, "hashes": hashes}
        print(f"{name}: {count} texts", flush=True)
    if sys.argv[1:2] == ["--show"]:
        return
    head = {"atoms": COMMON, "own": own, "aHash": A_HASH, "faults": list(faults())}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(v, separators=(',', ':'))}" for name, v in written.items())
    OUT.write_text(json.dumps(head, separators=(",", ":"))[:-1] + ',"vocabularies":{\n' + lines + "\n}}\n")


if __name__ == "__main__":
    main()
