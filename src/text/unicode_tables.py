#!/usr/bin/env python3
"""Writes unicode_tables.inc: the Unicode properties that tokenizers ask for, as runs of bytes that unicode.c expands.

llama.cpp's splits are those of Unicode 15.1, so that is the version written, whatever Python runs this:
    pip install unicodedata2==15.1.0 && python3 src/text/unicode_tables.py
"""
import pathlib

import unicodedata2

assert unicodedata2.unidata_version == "15.1.0", unicodedata2.unidata_version

# In unicode.h's order. SPACE is White_Space; ALTERNATING stands for a run of upper, lower, upper, ... letters.
CLASSES = ["OTHER", "CONTROL", "UPPER", "LOWER", "LETTER", "DIGIT", "NUMBER", "NONSPACING", "MARK", "PUNCTUATION",
           "SYMBOL", "SPACE", "ALTERNATING"]
BY_CATEGORY = {"Lu": "UPPER", "Lt": "UPPER", "Ll": "LOWER", "Lm": "LETTER", "Lo": "LETTER", "Nd": "DIGIT",
               "Nl": "NUMBER", "No": "NUMBER", "Mn": "NONSPACING", "Mc": "MARK", "Me": "MARK", "P": "PUNCTUATION",
               "S": "SYMBOL", "Z": "SPACE", "Cc": "CONTROL", "Cf": "CONTROL", "Co": "CONTROL"}
BLOCK = 128  # unicode.h: NB_UNICODE_BLOCK


def classify(codepoint):
    character = chr(codepoint)
    # White_Space (PropList.txt): the bidirectional classes of str.isspace without the separators U+001C ... U+001F
    if character.isspace() and not 0x1C <= codepoint <= 0x1F:
        return "SPACE"
    category = unicodedata2.category(character)
    return BY_CATEGORY.get(category) or BY_CATEGORY.get(category[0], "OTHER")


def varint(number):
    out = []
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return out + [number]


def class_runs(classes):
    """A byte for each run: length << 4 | class, the length 1 ... 15; or 0, and then a varint of the length."""
    out, at = [], 0
    while at < len(classes):
        end, alternating = at + 1, at + 1
        while end < len(classes) and classes[end] == classes[at]:
            end += 1
        if classes[at] == "UPPER":
            while {classes[alternating], classes[alternating - 1]} == {"UPPER", "LOWER"}:
                alternating += 1
        length, name = (alternating - at, "ALTERNATING") if alternating - at > 2 else (end - at, classes[at])
        out += [length << 4 | CLASSES.index(name)] if length < 16 else [CLASSES.index(name)] + varint(length)
        at += length
    return out


def mapping_runs(pairs):
    """Runs of n code points, `stride` apart, whose images are `step` apart: three varints each, of the distance from
    the last run's first code point, of (n * 3 + step) * 2 + stride - 1, and of the first image's distance from the last
    run's first image (zigzag)."""
    out, at, last, last_image = [], 0, 0, 0
    while at < len(pairs):
        (first, image), best = pairs[at], (1, 0, 1)
        for stride in (1, 2):
            for step in (0, 1, 2):
                n = 1
                while at + n < len(pairs) and pairs[at + n] == (first + n * stride, image + n * step):
                    n += 1
                best = max(best, (n, step, stride), key=lambda b: b[0])
        n, step, stride = best
        distance = image - last_image
        out += varint(first - last) + varint((n * 3 + step) * 2 + stride - 1)
        out += varint(2 * distance if distance >= 0 else -2 * distance - 1)
        last, last_image = first, image
        at += n
    return out


def decompositions():
    """(character, first, second or 0, whether the pair is composed again) of each canonical decomposition. Hangul is
    decomposed by rule."""
    for c in range(0x110000):
        parts = unicodedata2.decomposition(chr(c)).split()
        if parts and not parts[0].startswith("<"):
            first, second = int(parts[0], 16), int(parts[1], 16) if len(parts) > 1 else 0
            composed = unicodedata2.normalize("NFC", chr(first) + (chr(second) if second else ""))
            yield c, first, second, len(parts) > 1 and composed == chr(c)


def combining_runs():
    """Runs of characters of one combining class: varints of the distance from the last run's end, of the length; class."""
    out, runs, end, c = [], 0, 0, 0
    while c < 0x110000:
        first, combining = c, unicodedata2.combining(chr(c))
        while c < 0x110000 and unicodedata2.combining(chr(c)) == combining:
            c += 1
        if combining:
            out += varint(first - end) + varint(c - first) + [combining]
            end = c
            runs += 1
    return out, runs


def array(name, numbers, per_row=22):
    rows = [f"static const uint8_t {name}[] = {{"]
    rows += ["    " + " ".join(f"{n}," for n in numbers[row:row + per_row])
             for row in range(0, len(numbers), per_row)]
    return rows + ["};", ""]


everything = range(0x110000)
classes = [classify(c) for c in everything]
mixed = sum(len(set(classes[block:block + BLOCK])) > 1 for block in range(0, len(classes), BLOCK))
lower = [(c, ord(chr(c).lower())) for c in everything if len(chr(c).lower()) == 1 and chr(c).lower() != chr(c)]
decomposed = list(decompositions())
seconds = sorted({d[2] for d in decomposed})
assert len(seconds) <= 128 and seconds[0] == 0
second_bytes = [seconds.index(second) | 0x80 * composed for _, _, second, composed in decomposed]
combining, n_combining = combining_runs()

lines = ["/* Generated by unicode_tables.py from Unicode 15.1: do not edit. */", f"enum {{ MIXED_BLOCKS = {mixed}, "
         f"LOWER_PAIRS = {len(lower)}, DECOMPOSITIONS = {len(decomposed)}, COMBINING_RUNS = {n_combining} }};", ""]
lines += array("class_runs", class_runs(classes)) + array("lower_runs", mapping_runs(lower))
lines += ["/* Canonical decompositions: the first character of each; the number of the second, 128: the pair is composed. */"]
lines += array("first_runs", mapping_runs([d[:2] for d in decomposed])) + array("second_numbers", second_bytes)
lines += ["static const uint32_t seconds[] = {"]
lines += ["    " + " ".join(f"{c:#x}," for c in seconds[row:row + 12]) for row in range(0, len(seconds), 12)]
lines += ["};", ""] + array("combining_runs", combining)
path = pathlib.Path(__file__).with_name("unicode_tables.inc")
path.write_text("\n".join(lines))
print(f"{path.name}: {len(class_runs(classes))} bytes of classes, {len(mapping_runs(lower))} of lower case, "
      f"{len(mapping_runs([d[:2] for d in decomposed])) + len(second_bytes)} of decompositions, {len(combining)} of "
      "combining classes")
