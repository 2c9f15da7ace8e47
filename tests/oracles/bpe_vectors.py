#!/usr/bin/env python3
"""Writes tests/fixtures/train/bpe.bin: vocabularies that the library tokenizers learns from texts.

    bpe_vectors.py [--output FILE]

The library is its BpeTrainer with the 256 characters of ByteLevel as initial alphabet. The texts are those of
tests/fixtures/text/texts.bin (text_fixtures.py), and random ones of few characters, which tests/core/test_bpe_trainer.c
makes by the same generator (tests/core/random.h). In random texts many pairs are equally frequent.

The library refuses texts that are not UTF-8. For such texts the words are cut here, by the same expression in Python's
module regex, where a byte that is not UTF-8 is a lone surrogate, which counts as a symbol. The library then gets each
word, spelled by the characters of its bytes, as a text without a pre-tokenizer. For all other texts both ways must
agree.

The file, little-endian. u32 cases; each: u32 source (0: the texts of texts.bin that are UTF-8; 1: all of them; 2: those
of 0, joined to one text; 3: random), u32 pattern, by_lines, vocabulary, least; of random texts u32 seed and bytes and
u8 n, n bytes of which to choose; u8 special tokens, each u8 bytes and its bytes; then the results: u32 words of the
texts, different words, bytes that are not UTF-8; u32 tokens, each u16 bytes and its name; u32 merges, each u16 left and
right.

Needs tokenizers and regex (tests/oracles/requirements.txt).
"""
import argparse
import json
import struct
import sys
from pathlib import Path

# Unicode 15.1's classes (requirements-unicode.txt), which are nibble's; the library's may be later
sys.path.insert(0, str(Path(sys.prefix) / "unicode-15.1"))
import regex
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from split_vectors import EXPRESSIONS

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
# GPT-2's, and Llama 3's as its tokenizer.json spells it
SPELLED = [EXPRESSIONS["gpt-2"][0],
           r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
           r"\s+(?!\S)|\s+"]
ALPHABET = pre_tokenizers.ByteLevel.alphabet()
TEXTS, ALL, JOINED, RANDOM = range(4)

# source, pattern, by_lines, vocabulary, least, special tokens, (seed, bytes, characters)
CASES = [
    (TEXTS, 0, 0, 560, 0, [], None),
    (TEXTS, 1, 0, 560, 2, ["<|begin|>", "<|end|>"], None),
    (TEXTS, 0, 1, 400, 3, ["<|endoftext|>", "<|endoftext|>"], None),
    (JOINED, 0, 0, 480, 0, [], None),
    (JOINED, 1, 0, 480, 0, [], None),
    (JOINED, 1, 1, 480, 0, [], None),
    (ALL, 0, 0, 480, 0, [], None),
    (ALL, 1, 0, 480, 0, [], None),
    (RANDOM, 0, 0, 400, 0, [], (1, 3000, b"ab ")),
    (RANDOM, 0, 0, 400, 0, ["aab", "ba", "a"], (2, 3000, b"ab \n")),
    (RANDOM, 1, 0, 400, 0, [], (3, 3000, b"aA \n'lLsS1.")),
    (RANDOM, 0, 1, 400, 7, [], (4, 3000, b"-a\n")),
    (RANDOM, 0, 0, 300, 0, [], (5, 1500, b"a")),
    (RANDOM, 0, 0, 2000, 0, ["<s>"], (6, 400, b"abcdefgh ")),  # fewer merges than asked for
    (RANDOM, 0, 0, 600, 0, [], (7, 3, b"word")),  # one word
    (RANDOM, 1, 0, 256, 0, [], (8, 300, b"ab ")),  # no merges
    (RANDOM, 0, 0, 400, 0, ["<s>"], (9, 0, b"a")),  # no text
]


def read_texts():
    data = (FIXTURES / "text" / "texts.bin").read_bytes()
    at, texts = 4, []
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        texts.append(data[at + 4:at + 4 + size])
        at += 4 + size
    return texts


def is_utf8(text):
    try:
        text.decode()
        return True
    except UnicodeDecodeError:
        return False


def random_numbers(seed):  # tests/core/random.h
    while True:
        seed ^= seed << 13 & 0xFFFFFFFF
        seed ^= seed >> 17
        seed ^= seed << 5 & 0xFFFFFFFF
        yield seed


def random_text(seed, size, characters):
    return bytes(characters[number % len(characters)] for number, _ in zip(random_numbers(seed), range(size)))


def lines(text):
    return regex.findall(r"[^\n]*\n|[^\n]+", text)


def character_of_byte():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + i) for i, byte in enumerate(others)}


def learned(texts, pre_tokenizer, vocabulary, least, special):
    tokenizer = Tokenizer(models.BPE())
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocabulary, min_frequency=least, special_tokens=special, initial_alphabet=ALPHABET,
        show_progress=False))
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), model["merges"]


def by_library(texts, pattern, vocabulary, least, special):
    pre = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if pattern == 1:
        pre = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPELLED[1]), "isolated"),
                                       pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return learned(texts, pre, vocabulary, least, special)


def words_of(texts, pattern):
    return [word for text in texts for word in regex.findall(SPELLED[pattern], text)]


def by_words(words, vocabulary, least, special):
    characters = character_of_byte()
    spelled = ["".join(characters[byte] for byte in word.encode(errors="surrogateescape")) for word in words]
    return learned(spelled, None, vocabulary, least, special)


def case(all_texts, source, pattern, by_lines, vocabulary, least, special, chosen):
    whole = [text for text in all_texts if is_utf8(text)]
    raw = {TEXTS: whole, ALL: all_texts, JOINED: [b"".join(whole)]}.get(source) or [random_text(*chosen)]
    texts = [text.decode(errors="surrogateescape") for text in raw]
    if by_lines:
        texts = [line for text in texts for line in lines(text)]
    words = words_of(texts, pattern)
    tokens, merges = by_words(words, vocabulary, least, special)
    if source != ALL:
        assert (tokens, merges) == by_library(texts, pattern, vocabulary, least, special), (source, pattern)
    ids = {token: i for i, token in enumerate(tokens)}
    out = struct.pack("<5I", source, pattern, by_lines, vocabulary, least)
    if chosen:
        out += struct.pack("<2IB", chosen[0], chosen[1], len(chosen[2])) + chosen[2]
    out += bytes([len(special)]) + b"".join(bytes([len(name)]) + name.encode() for name in special)
    broken = sum(0xDC80 <= ord(character) <= 0xDCFF for text in texts for character in text)
    out += struct.pack("<4I", len(words), len(set(words)), broken, len(tokens))
    for token in tokens:
        out += struct.pack("<H", len(token.encode())) + token.encode()
    out += struct.pack("<I", len(merges))
    out += b"".join(struct.pack("<2H", ids[left], ids[right]) for left, right in merges)
    print(f"source {source}, pattern {pattern}: {len(tokens)} tokens, {len(merges)} merges")
    return out


def main():
    assert not regex.match(r"\p{L}", "\U00010d4a"), "this regex has a later Unicode than 15.1"
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=FIXTURES / "train" / "bpe.bin")
    options = parser.parse_args()
    texts = read_texts()
    options.output.write_bytes(struct.pack("<I", len(CASES)) + b"".join(case(texts, *fields) for fields in CASES))


if __name__ == "__main__":
    main()
