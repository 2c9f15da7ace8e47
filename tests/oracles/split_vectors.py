#!/usr/bin/env python3
"""Writes tests/fixtures/text/splits.bin: where each pre-tokenizer cuts the texts of text_cases.py.

    pip install -r tests/oracles/requirements.txt && python3 tests/oracles/split_vectors.py

The cuts are those of Python's regex module with the expressions of the models' own tokenizers (tokenizer.json of each;
llama.cpp's src/llama-vocab.cpp documents them). A pre-tokenizer is a list of expressions; each cuts the pieces of the
previous one into its matches and the text between them. If llama.cpp's own expressions, made for std::regex, are
simplified, the original is used here: upper and lower case beyond ASCII (tekken, gpt-4o), \\p{Han} as the script, the
block of compatibility ideographs (afmoe).

splits.bin: for each pre-tokenizer u8 bytes, its name, and a bit for each byte of texts.bin's texts, one after the
other: whether a piece starts there (bit i of byte i / 8, lowest first). texts.bin: text_fixtures.py.
"""
import pathlib
import struct
import sys

from text_cases import all_texts

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "text" / "splits.bin"

CONTRACTION = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CJK = r"[一-龥\u3040-\u309f\u30a0-\u30ff]+"
WIDE = r"[一-龥ࠀ-一가-\ud7ff]+"
NUMBERS = r"\p{N}{1,3}"
GROUPS = r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"
DIGIT_GROUPS = r"\p{Nd}{1,3}(?=(?:\p{Nd}{3})*(?!\p{Nd}))"
BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"


def llama3(numbers, contraction=CONTRACTION + "|", tail=r"[\r\n]*", spaces=SPACES):
    return contraction + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + numbers + r"| ?[^\s\p{L}\p{N}]+" + tail + spaces


def cased(numbers, suffix=CONTRACTION + "?", upper=UPPER, lower=LOWER, tail=r"[\r\n/]*"):
    lead = r"[^\r\n\p{L}\p{N}]?"
    return (f"{lead}{upper}*{lower}+{suffix}|{lead}{upper}+{lower}*{suffix}|" + r"\p{N}" + numbers +
            r"| ?[^\s\p{L}\p{N}]+" + tail + SPACES)


def deepseek3(rest):
    return (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
            r"| ?[\p{P}\p{S}]+" + rest)


HALVES = "".join(rf"\s{{{n}}}(?!\S)|" for n in (512, 256, 128, 64, 32, 16, 8, 4)) + r"\s{1,2}(?!\S)|\s{1}"
DEEPSEEK_LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376"
    "\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"
    "\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d"
    "\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4"
    "\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d"
    "\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a"
    "\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2"
    "\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943")
ASIAN = ("[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f\u0e80-\u0eff"
         "\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+")
HAN_UPPER, HAN_LOWER = rf"(?:(?!\p{{Han}}){UPPER})", rf"(?:(?!\p{{Han}}){LOWER})"

EXPRESSIONS = {
    "gpt-2": [GPT2],
    "mpt": [GPT2],
    "command-r": [r"\p{N}", GPT2],
    "smollm": [r"\p{N}", GPT2],
    "llama-bpe": [llama3("{1,3}")],
    "dbrx": [llama3("{1,3}")],
    "glm4": [llama3("{1,3}")],
    "minicpm5": [NUMBERS, llama3("+")],
    "jais-2": [llama3("{1,3}", spaces=r"|\s*[\r\n]+|" + HALVES)],
    "qwen2": [llama3("")],
    "bailingmoe": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"],
    "qwen35": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + SPACES],
    "ufakzeka": [llama3("", contraction="")],
    "seed-coder": [llama3("", tail="").replace(r"[^\s\p{L}\p{N}]+", r"[^\s\p{L}\p{N}\r\n]+")],
    "exaone-moe": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"
                   r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"],
    "laguna": [r"[^\n]+|[\n]+", llama3("")],
    "tekken": [cased("", suffix="")],
    "gpt-4o": [cased("{1,3}")],
    "granite-embed-multi-97m": [cased("{1,3}")],
    "tiny_aya": [DIGIT_GROUPS, cased("{1,3}")],
    "youtu": [r"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|" + CJK, cased("")],
    "kimi-k2": [r"\p{Han}+|" + cased("{1,3}", upper=HAN_UPPER, lower=HAN_LOWER, tail=r"[\r\n]*")],
    "deepseek-v3": [NUMBERS, CJK, deepseek3(r"[\r\n]*" + SPACES)],
    "spark2_5": [NUMBERS, CJK, deepseek3(r"|[\r\n]|\s+(?!\S)|\s+"), r"\p{N}"],
    "afmoe": [GROUPS, ASIAN, deepseek3(r"[\r\n]*" + SPACES)],
    "deepseek-llm": [
        r"[\r\n]", rf"\s?[{DEEPSEEK_LETTERS}]+", r"\s?[!-/:-~！-／：-～‘-‟\u3000-。]+", r"\s+\Z", WIDE, r"\p{N}+"],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", WIDE, r"\p{N}"],
    "bloom": [BLOOM],
    "viking": [BLOOM, r"\p{N}"],
    "chameleon": [
        r"<sentinel:[0-9]+>", r"IMGIMG[A-I]{1,4}Z", r"[\t\n]|    |  ", r"\p{N}", r"[\p{P}!-/:-@\[-`{-~]", GPT2],
    "superbpe": [r"\p{N}+", DIGIT_GROUPS],
    "gemma4": [r"[^\n]+|[\n]+"],
    "sarvam-moe": [r"[^\n]+|[\n]+"],
    "whitespace": [r"\S+"],
    "falcon": [r"[\p{P}$+<=>^~|`]+", GPT2, r"[0-9][0-9][0-9]"],
    "default": [r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"],
}


def cut(pieces, expression):
    out = []
    for piece in pieces:
        at = 0
        for match in expression.finditer(piece):
            out += [piece[at:match.start()], match.group()]
            at = match.end()
        out.append(piece[at:])
    return [piece for piece in out if piece]


def main():
    # the classes of Unicode 15.1 (requirements-unicode.txt), as in llama.cpp
    sys.path.insert(0, str(pathlib.Path(sys.prefix) / "unicode-15.1"))
    import regex
    assert not regex.match(r"\p{L}", "\U00010d4a"), "this regex has a later Unicode than 15.1"

    texts = all_texts()
    sizes = [len(text.encode()) for text in texts]
    out = []
    for name, expressions in EXPRESSIONS.items():
        compiled = [regex.compile(e) for e in expressions]
        bits, at, cuts = bytearray(-(-sum(sizes) // 8)), 0, 0
        for text in texts:
            pieces = [text] if text else []
            for expression in compiled:
                pieces = cut(pieces, expression)
            for piece in pieces:
                bits[at >> 3] |= 1 << (at & 7)
                at += len(piece.encode())
                cuts += 1
        assert at == sum(sizes)
        out.append(struct.pack("<B", len(name)) + name.encode() + bits)
        print(f"{name}: {cuts} pieces")
    OUT.write_bytes(b"".join(out))
    print(f"{OUT.name}: {len(EXPRESSIONS)} pre-tokenizers, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
