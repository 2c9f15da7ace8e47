#!/usr/bin/env python3
"""Writes tests/fixtures/text/: small vocabularies of our own, and llama.cpp's tokens of difficult texts with each.

    pip install -r tests/oracles/requirements.txt && python3 tests/oracles/text_fixtures.py

The vocabularies (GGUF without tensors) are trained on text_cases.py without pre-tokenization, so that merges cross the
boundaries of words and a wrong cut gives different tokens. They have words that no merge makes, special tokens that
overlap, and names that other types of tokenizer use.

texts.bin:        u32 n; n times: u32 bytes, UTF-8
NAME.gguf:        a vocabulary
NAME.expected:    u32 tokens; for each: u8 ends a generation, u8 bytes, text, u8 bytes, text with special tokens
                  (llama.cpp's pieces, decoded with U+FFFD for bytes that are not valid UTF-8 alone);
                  u32 n; n times u16: text, flags of nb_tokenize, n_tokens, tokens
gemma3.json:      if build/models has the model, llama.cpp's tokens of the texts with Gemma 3's own vocabulary, special
                  tokens included; and the SHA-256 of the text of all its tokens, a line for each
All little-endian. llama.cpp is cyllama's; it cannot open files without weights, so it gets a copy with a small layer.
"""
import collections
import hashlib
import io
import json
import pathlib
import struct
import tempfile

import gguf
import numpy as np
import sentencepiece
import tokenizers
from cyllama.llama import llama_cpp
from sentencepiece import sentencepiece_model_pb2

import gguf_files
from text_cases import CODE, HARD, PROSE, SCRIPTS, all_texts

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "text"
GEMMA = OUT.parent.parent.parent / "build" / "models" / "gemma-3-270m.Q4_K_M.gguf"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
CORPUS = (PROSE + CODE) * 2 + "\n".join(SCRIPTS) + "\n".join(
    t for t in HARD if not any(s in t for s in ("<", "[[", "c[", "bcx")))
SPECIAL = [("<|endoftext|>", CONTROL), ("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL), ("[[", USER_DEFINED),
           ("[[[", USER_DEFINED), ("c[", USER_DEFINED), ("abcx", USER_DEFINED), ("bcxy", USER_DEFINED),
           ("<tool>", USER_DEFINED)]


def train(symbols, n_merges, allowed=lambda left, right: True):
    """Byte-pair encoding (Sennrich et al. 2016) of a list of strings; returns the merges in order."""
    names = sorted(set(symbols))
    ids = {name: i for i, name in enumerate(names)}
    text = np.array([ids[s] for s in symbols])
    merges = []
    while len(merges) < n_merges:
        counts = collections.Counter(zip(text[:-1].tolist(), text[1:].tolist()))
        best = max((p for p in counts if allowed(names[p[0]], names[p[1]]) and
                    names[p[0]] + names[p[1]] not in ids), key=lambda p: (counts[p], names[p[0]], names[p[1]]))
        left, right = (names[i] for i in best)
        merges.append((left, right))
        ids[left + right] = len(names)
        names.append(left + right)
        merged, at = [], 0
        old = text.tolist()
        while at < len(old):
            if at + 1 < len(old) and (old[at], old[at + 1]) == best:
                merged.append(ids[left + right])
                at += 2
            else:
                merged.append(old[at])
                at += 1
        text = np.array(merged)
    return merges


def byte_characters():
    """GPT-2's bytes_to_unicode: printable bytes are unchanged, the others follow from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table, n = {}, 0
    for byte in range(256):
        table[byte] = chr(byte if byte in printable else 256 + n)
        n += byte not in printable
    return table


def add_stub_layer(writer, n):
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(32)
    shapes = {"token_embd": (n, 32), "output_norm": (32,), "blk.0.attn_norm": (32,), "blk.0.ffn_norm": (32,)}
    shapes |= {f"blk.0.attn_{k}": (32, 32) for k in ("q", "k", "v", "output")}
    shapes |= {f"blk.0.ffn_{k}": (32, 32) for k in ("gate", "up", "down")}
    for name, shape in shapes.items():
        writer.add_tensor(name + ".weight", np.zeros(shape, np.float32))


def write_gguf(path, vocabulary, stub):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(vocabulary["model"])
    if "pre" in vocabulary:
        writer.add_tokenizer_pre(vocabulary["pre"])
    writer.add_token_list([t for t, _, _ in vocabulary["tokens"]])
    writer.add_token_types([k for _, k, _ in vocabulary["tokens"]])
    if vocabulary["model"] in ("llama", "t5"):
        writer.add_token_scores([s for _, _, s in vocabulary["tokens"]])
    if "merges" in vocabulary:
        writer.add_token_merges([f"{a} {b}" for a, b in vocabulary["merges"]])
    if "charsmap" in vocabulary:
        writer.add_precompiled_charsmap(vocabulary["charsmap"])
    for key, value in vocabulary["keys"].items():
        (writer.add_bool if isinstance(value, bool) else writer.add_uint32)("tokenizer.ggml." + key, value)
    if stub:
        add_stub_layer(writer, len(vocabulary["tokens"]))
    gguf_files.write(writer)


def byte_level(pre, merges, keys):
    table = byte_characters()
    encode = lambda text: "".join(table[b] for b in text.encode())
    names = [table[b] for b in range(256)] + [a + b for a, b in merges]
    names += [n for n in map(encode, ["wonderful", " wonderful", "hello world", " it was ", "1234", "!\n\n\n"])
              if n not in names]  # no merge makes these
    tokens = [(n, NORMAL, 0.0) for n in names] + [(n, k, 0.0) for n, k in SPECIAL]
    ids = {t[0]: i for i, t in enumerate(tokens)}
    keys = {k: ids[v] if isinstance(v, str) else v for k, v in keys.items()}
    return {"model": "gpt2", "pre": pre, "tokens": tokens, "merges": merges, "keys": keys}


def sentence_piece(merges, characters, score, keys, specials):
    tokens = [("<unk>", UNKNOWN, 0.0), ("<s>", CONTROL, 0.0), ("</s>", CONTROL, 0.0)]
    tokens += [(f"<0x{b:02X}>", BYTE, 0.0) for b in range(256)]
    tokens += [(a + b, NORMAL, score(rank)) for rank, (a, b) in enumerate(merges)]
    tokens += [(c, NORMAL, score(len(merges) + i)) for i, c in enumerate(characters)]
    tokens += [(n, k, 0.0) for n, k in specials]
    return {"model": "llama", "tokens": tokens, "keys": keys}


# A few rules like those of sentencepiece's "nmt_nfkc": code points -> code points.
CHARSMAP = [("\ufb01", "fi"), ("\u2026", "..."), ("\u00b2", "2"), ("\u00a0", " "), ("\u3000", " "), ("\t", " "),
            ("\n", " "), ("\r", ""), ("\u200b", ""), ("e\u0301", "\u00e9"), ("\u0415\u0308", "\u0401"),
            ("\uff11", "1"), ("\uff12", "2"), ("\uff13", "3"), ("\uff21", "A"), ("\ufffd", " "), ("\u2163", "IV"),
            ("\u1f80", "\u1f00\u03b9")]


def unigram(keys, folder):
    """A unigram model that sentencepiece trains, with its normalization rules."""
    rules = pathlib.Path(folder) / "rules.tsv"
    hexes = lambda text: " ".join(f"{ord(c):X}" for c in text)
    rules.write_text("".join(f"{hexes(a)}\t{hexes(b)}\n" for a, b in sorted(CHARSMAP)))
    model = io.BytesIO()
    lines = [line for line in CORPUS.replace("\0", "").split("\n") if line.strip()]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=700, model_type="unigram", pad_id=0, unk_id=2,
        eos_id=1, bos_id=-1, normalization_rule_tsv=str(rules), character_coverage=0.98, minloglevel=2, num_threads=1)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    kinds = {1: NORMAL, 2: UNKNOWN, 3: CONTROL, 4: USER_DEFINED, 5: UNUSED, 6: BYTE}
    tokens = [(p.piece, kinds[p.type], p.score) for p in proto.pieces]
    tokens += [(n, k, 0.0) for n, k in SPECIAL[3:5] + SPECIAL[6:]]
    return {"model": "t5", "pre": "default", "tokens": tokens, "keys": keys,
            "charsmap": proto.normalizer_spec.precompiled_charsmap}


def word_piece():
    """A WordPiece vocabulary that tokenizers trains, in GGUF's form; and its own encoder."""
    reference = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    reference.normalizer = tokenizers.normalizers.BertNormalizer()
    reference.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    reference.train_from_iterator(CORPUS.split("\n"), tokenizers.trainers.WordPieceTrainer(
        vocab_size=900, special_tokens=names, show_progress=False, limit_alphabet=500))
    reference.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    ids = reference.get_vocab()
    spelled = {i: n[2:] if n.startswith("##") else "\u2581" + n for n, i in ids.items()}
    tokens = [(n, CONTROL, 0.0) for n in names] + [(spelled[i], NORMAL, 0.0) for i in range(len(names), len(ids))]
    keys = {"bos_token_id": 2, "seperator_token_id": 3, "unknown_token_id": 1}  # (sic)
    return {"model": "bert", "tokens": tokens, "keys": keys}, reference


def vocabularies():
    table = byte_characters()
    merges = train([table[b] for b in CORPUS.encode()], 620)
    # at the ends of contractions, and at the symbols that "default" separates
    across = [(end, "x") for end in ("s", "t", "m", "d", "e", "re", "ve", "l", "ll")] + [(end, "X") for end in "STMDEL"]
    across += [(table[ord(" ")], symbol) for symbol in "`$+<=>^~|"]
    known = {a + b for a, b in merges}
    merges += [(a, b) for a, b in across if a + b not in known and (len(a) == 1 or a in known)]
    chat = {"bos_token_id": "<|im_start|>", "eos_token_id": "<|im_end|>", "add_bos_token": False}
    yield "smollm", byte_level("smollm", merges, chat)
    yield "gpt-2", byte_level("gpt-2", merges, {"bos_token_id": "<|endoftext|>", "eos_token_id": "<|endoftext|>"})
    yield "llama-bpe", byte_level("llama-bpe", merges,
                                  {"bos_token_id": "<|im_start|>", "eos_token_id": "<|endoftext|>"})
    yield "qwen2", byte_level("qwen2", merges, chat)
    yield "default", byte_level("default", merges, chat | {"add_bos_token": True, "add_eos_token": True})

    symbols = list(CORPUS.replace(" ", "\u2581").replace("\0", ""))
    characters = [c for c, n in collections.Counter(symbols).most_common(150) if ord(c) >= 0x20]
    known = [s if s in characters else "\n" for s in symbols]
    inside = lambda left, right: "\n" not in left + right
    words = lambda left, right: inside(left, right) and not (right[0] == "\u2581" and left.strip("\u2581"))
    ids = {"bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0}
    yield "spm", sentence_piece(train(known, 450, words), characters, lambda r: -float(r), ids, SPECIAL[3:])
    # pieces with spaces inside, many equal scores, no space before the text, an end token
    yield "spm-spans", sentence_piece(train(known, 450, inside), characters, lambda r: -float(r // 16),
                                      ids | {"add_space_prefix": False, "add_eos_token": True}, SPECIAL[2:])


def sentence_piece_models():
    with tempfile.TemporaryDirectory() as folder:
        ids = {"eos_token_id": 1, "unknown_token_id": 2}
        yield "unigram", unigram(ids | {"remove_extra_whitespaces": True}, folder)
        # spaces are kept, none is added at the beginning, and the beginning token is added
        yield "unigram-spaces", unigram(ids | {"add_space_prefix": False, "bos_token_id": 0, "add_bos_token": True},
                                        folder)


def open_model(path):
    params = llama_cpp.LlamaModelParams()
    params.n_gpu_layers = 0
    params.use_mmap = False
    return llama_cpp.LlamaModel(str(path), params)  # owns the vocabulary


def write_gemma3(texts):
    model = open_model(GEMMA)
    vocabulary = model.get_vocab()
    pieces = "\n".join(vocabulary.token_to_piece(token, 0, True) for token in range(vocabulary.n_vocab))
    head = {"pieces": hashlib.sha256(pieces.encode()).hexdigest()}
    rows = [json.dumps(list(vocabulary.tokenize(text, True, True)), separators=(",", ":")) for text in texts]
    (OUT / "gemma3.json").write_text(json.dumps(head)[:-1] + ', "tokens": [\n' + ",\n".join(rows) + "\n]}\n")


def expect(path, texts, reference=None):
    """reference: gives the tokens instead of llama.cpp, which supports less of Unicode for WordPiece."""
    model = open_model(path)
    vocabulary = model.get_vocab()
    out = [struct.pack("<I", vocabulary.n_vocab)]
    for token in range(vocabulary.n_vocab):
        out.append(bytes([vocabulary.is_eog(token)]))
        for special in (False, True):
            piece = vocabulary.token_to_piece(token, 0, special).encode()
            out.append(bytes([len(piece)]) + piece)
    cases = []
    for i, text in enumerate(texts):
        special = any(name in text for name in ("<", "[[", "c[", "bc"))
        for flags in range(4) if i % 10 == 0 else (0, 2) if special else (0,):
            if reference:
                if ("[" in text and not flags & 2) or "\u2e4d" in text:
                    continue  # it always parses special tokens, and its punctuation is Unicode 8's
                tokens = reference.encode(text, add_special_tokens=bool(flags & 1)).ids
            else:
                tokens = vocabulary.tokenize(text, bool(flags & 1), bool(flags & 2))
            cases.append(struct.pack(f"<3H{len(tokens)}H", i, flags, len(tokens), *tokens))
    return b"".join(out) + struct.pack("<I", len(cases)) + b"".join(cases), len(cases)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    texts = all_texts()
    encoded = [t.encode() for t in texts]
    (OUT / "texts.bin").write_bytes(
        struct.pack("<I", len(texts)) + b"".join(struct.pack("<I", len(t)) + t for t in encoded))
    word_pieces, reference = word_piece()
    for name, vocabulary in [*vocabularies(), *sentence_piece_models(), ("wordpiece", word_pieces)]:
        write_gguf(OUT / f"{name}.gguf", vocabulary, stub=False)
        with tempfile.TemporaryDirectory() as folder:
            stub = pathlib.Path(folder) / "stub.gguf"
            write_gguf(stub, vocabulary, stub=True)
            expected, n = expect(stub, texts, reference if name == "wordpiece" else None)
        (OUT / f"{name}.expected").write_bytes(expected)
        print(f"{name}: {len(vocabulary['tokens'])} tokens, {n} cases, {len(expected)} bytes")
    if GEMMA.exists():
        write_gemma3(texts)


if __name__ == "__main__":
    main()
