#include "tokenizer_steps.h"

#include "../base/writer.h"

static const char *const kind_words[] = {
    [NB_KIND_BPE] = "byte-level BPE",
    [NB_KIND_SPM] = "BPE with byte_fallback",
    [NB_KIND_UNIGRAM] = "Unigram",
    [NB_KIND_WORDPIECE] = "WordPiece",
};

typedef struct composition {
    nb_composer *x;
    nb_node tokenizer, model;
    nb_vocabulary_kind kind;
    bool nfc, prepends, escapes, strips_start, strips_end; /* what the normalizers do */
    uint32_t joins;                                        /* ... with spaces in a row: 1: one space; 2: ▁ */
    nb_node charsmap;
    nb_tokenizer_class class; /* NB_TOKENIZER_FILE if it is of another kind */
    nb_error *err;
} composition;

static nb_node find2(nb_node object, const char *first, const char *second) {
    return nb_node_find(nb_node_find(object, first), second);
}

bool nb_step_is(nb_node step, const char *type) {
    return nb_node_is(nb_node_find(step, "type"), type);
}

/* ---- steps ----------------------------------------------------------------------------------------------------- */

/* The depth of JSON is limited (nb_json_check), so this may recurse. NOLINTNEXTLINE(misc-no-recursion) */
static void add_steps(nb_node part, const char *list, nb_steps *out) {
    if (nb_node_first(part) != '{')
        return; /* null */
    if (nb_step_is(part, "Sequence")) {
        for (nb_members w = nb_members_of(nb_node_find(part, list)); nb_members_next(&w);)
            add_steps(w.value, list, out);
    } else if (out->n < NB_MOST_STEPS) {
        out->step[out->n++] = part;
    } else {
        out->too_many = true;
    }
}

nb_steps nb_steps_of(nb_node tokenizer, const char *part, const char *list) {
    nb_steps out = {0};
    add_steps(nb_node_find(tokenizer, part), list, &out);
    return out;
}

/* The expression or the text that a step searches for. */
static nb_text pattern_of(nb_node step) {
    nb_text regex = nb_node_raw(find2(step, "pattern", "Regex"));
    return regex.data ? regex : nb_node_raw(find2(step, "pattern", "String"));
}

int32_t nb_steps_refuse(nb_error *err, nb_vocabulary_kind kind, const char *part, const nb_steps *s,
                        const char *supported) {
    char listed[320] = "";
    nb_writer w = nb_writer_over(listed, sizeof listed);
    for (uint32_t i = 0; i < s->n; i++) {
        nb_write(&w, i ? ", %t" : "%t", nb_node_raw(nb_node_find(s->step[i], "type")));
        if (pattern_of(s->step[i]).data)
            nb_write(&w, " \"%t\"", pattern_of(s->step[i]));
    }
    return NB_FAIL(err, NB_ERR_UNSUPPORTED, "tokenizer.json: this %s of %s is not supported; supported: %s; it is: %s",
                   part, kind_words[kind], supported, s->n ? listed : "none");
}

/* Whether a string equals this one, in which \r and \n are written as escapes. */
static bool spells(nb_node string, const char *expected) {
    char text[4096];
    nb_text raw = nb_node_raw(string);
    if (!raw.data || raw.size > sizeof text)
        return false;
    size_t n = nb_node_decode(string, text);
    for (size_t i = 0; i < n; i++, expected++) {
        char c = text[i];
        if (c == '\r' || c == '\n') {
            if (*expected++ != '\\')
                return false;
            c = c == '\r' ? 'r' : 'n';
        }
        if (!*expected || *expected != c)
            return false; /* c may be a zero byte */
    }
    return !*expected;
}

/* ---- pre-tokenizers of byte-level BPE -------------------------------------------------------------------------- */

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LLAMA3(numbers) \
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES
#define CASED(numbers, suffix)                                                                          \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" suffix  \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" suffix \
    "|\\p{N}" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES
#define DEEPSEEK3                                                                                       \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+" \
    "| ?[\\p{P}\\p{S}]+[\\r\\n]*" SPACES
#define DEEPSEEK_LETTERS                                                                                             \
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376"  \
    "\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"         \
    "\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"       \
    "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d"  \
    "\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4" \
    "\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"    \
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d"   \
    "\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a"       \
    "\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2"              \
    "\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
#define DEEPSEEK_SYMBOLS "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"
#define KANA_HAN "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
#define WIDE "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
/* The step Digits has the name of the expression that does the same. */
#define DIGIT "\\p{N}"
#define DIGITS "\\p{N}+"
#define PUNCTUATION "Punctuation"     /* Contiguous */
#define BYTES "ByteLevel"             /* without its own expression */
#define GPT2_BYTES "GPT-2, ByteLevel" /* with it, which is GPT-2's */

/* The steps, and GGUF's name for a pre-tokenizer that does the same. whole: the expression matches everything, so "keep
 * the matches" (Isolated) and "remove the rest" (Removed, inverted) are the same. */
static const struct {
    const char *pre;
    bool whole;
    const char *steps[8];
} pretokenizers[] = {
    {"gpt-2", false, {GPT2_BYTES}},
    {"gpt-2", true, {GPT2, BYTES}},
    {"smollm", false, {DIGIT, GPT2_BYTES}},
    {"llama-bpe", true, {LLAMA3("{1,3}"), BYTES}},
    {"qwen2", true, {LLAMA3(""), BYTES}},
    {"qwen35",
     true,
     {CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" SPACES, BYTES}},
    {"tekken", true, {CASED("", ""), BYTES}},
    {"gpt-4o", true, {CASED("{1,3}", CONTRACTION "?"), BYTES}},
    {"deepseek-v3", false, {"\\p{N}{1,3}", KANA_HAN, DEEPSEEK3, BYTES}},
    /* GGUF's cuts by DIGITS. The result is the same, as merges that were learned after DIGIT join no digits. */
    {"deepseek-llm", false, {"[\\r\\n]", "\\s?[" DEEPSEEK_LETTERS "]+", DEEPSEEK_SYMBOLS, "\\s+$", WIDE, DIGIT, BYTES}},
    {"deepseek-coder", false, {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", WIDE, DIGIT, BYTES}},
    /* GGUF's does not cut by DIGITS. The result is the same, as no merge joins a digit and something else. */
    {"falcon", false, {PUNCTUATION, GPT2_BYTES, DIGITS, "[0-9][0-9][0-9]"}},
};

static bool is_step(nb_node step, const char *expected, bool whole) {
    if (nb_step_is(step, "Split")) {
        nb_node behavior = nb_node_find(step, "behavior");
        bool inverted = nb_node_is_set(step, "invert", false);
        bool isolates = inverted ? whole && nb_node_is(behavior, "Removed") : nb_node_is(behavior, "Isolated");
        return isolates && spells(find2(step, "pattern", "Regex"), expected);
    }
    nb_text name = nb_text_of(expected);
    if (nb_step_is(step, "Digits"))
        return nb_text_is(name, nb_node_is_set(step, "individual_digits", false) ? DIGIT : DIGITS);
    if (nb_step_is(step, "Punctuation"))
        return nb_text_is(name, PUNCTUATION) && nb_node_is(nb_node_find(step, "behavior"), "Contiguous");
    return nb_step_is(step, "ByteLevel") &&
           nb_text_is(name, nb_node_is_set(step, "use_regex", true) ? GPT2_BYTES : BYTES);
}

/* In llama.cpp, the name of the pre-tokenizer also says whether the merges of a word that is a token are ignored. Two
 * names with the same expression may differ in that. */
static void compose_pre(const composition *p, const char *pre, bool ignores, bool spaced) {
    bool llama = nb_text_is(nb_text_of(pre), "llama-bpe"), tekken = nb_text_is(nb_text_of(pre), "tekken");
    nb_compose_string(p->x, "tokenizer.ggml.pre", nb_text_of(llama && !ignores ? "smaug-bpe" : pre));
    nb_compose_flag(p->x, "tokenizer.ggml.ignore_merges", ignores);
    nb_compose_flag(p->x, "tokenizer.ggml.add_space_prefix_to_words", spaced);
    if (spaced)
        nb_compose_only_nibble(p->x, "its tokenizer puts a space before a text");
    if (!llama && tekken != ignores)
        nb_compose_only_nibble(p->x, ignores ? "its tokenizer ignores the merges of a word that is a token"
                                             : "its tokenizer heeds the merges of a word that is a token");
}

static int32_t compose_pretokenizer(composition *p) {
    nb_steps s = nb_steps_of(p->tokenizer, "pre_tokenizer", "pretokenizers");
    bool spaced = false;
    for (uint32_t i = 0; i < s.n; i++)
        spaced |= nb_step_is(s.step[i], "ByteLevel") && nb_node_is_set(s.step[i], "add_prefix_space", true);
    if (p->class.kind == NB_TOKENIZER_BYTE_LEVEL && s.n == 1)
        spaced = p->class.prefix_space;
    bool known = !s.too_many && !(spaced && s.n > 1); /* else each piece of the earlier steps would get a space */
    for (size_t i = 0; i < sizeof pretokenizers / sizeof *pretokenizers && known; i++) {
        uint32_t n = 0;
        while (pretokenizers[i].steps[n] && n < s.n &&
               is_step(s.step[n], pretokenizers[i].steps[n], pretokenizers[i].whole))
            n++;
        if (n != s.n || pretokenizers[i].steps[n])
            continue;
        compose_pre(p, pretokenizers[i].pre, nb_node_is_set(p->model, "ignore_merges", false), spaced);
        return NB_OK;
    }
    return nb_steps_refuse(p->err, p->kind, "pre_tokenizer", &s,
                           "those of GPT-2, SmolLM, Llama 3, Qwen, Tekken, GPT-4o, DeepSeek, Falcon");
}

/* ---- normalizers ----------------------------------------------------------------------------------------------- */

static bool is_replacement(nb_node step, const char *pattern, const char *from, const char *to) {
    return nb_step_is(step, "Replace") && spells(find2(step, "pattern", pattern), from) &&
           spells(nb_node_find(step, "content"), to);
}

static void compose_bert_normalizer(const composition *p, bool lower, bool strip, bool clean, bool chinese) {
    nb_compose_flag(p->x, "tokenizer.ggml.normalizer.lowercase", lower);
    nb_compose_flag(p->x, "tokenizer.ggml.normalizer.strip_accents", strip);
    nb_compose_flag(p->x, "tokenizer.ggml.normalizer.clean_text", clean);
    nb_compose_flag(p->x, "tokenizer.ggml.normalizer.handle_chinese_chars", chinese);
}

static void read_bert_normalizer(const composition *p, nb_node step) {
    bool lower = nb_node_is_set(step, "lowercase", true);
    compose_bert_normalizer(p, lower, nb_node_is_set(step, "strip_accents", lower),
                            nb_node_is_set(step, "clean_text", true),
                            nb_node_is_set(step, "handle_chinese_chars", true));
}

/* The order in which normalize.c has the steps. A file must have them in this order. */
enum { NOTHING, COMPOSES, MAPS, STRIPS, JOINS, ESCAPES };

static int32_t read_normalizer(composition *p, nb_node step) {
    if (nb_step_is(step, "NFC"))
        return p->nfc = true, COMPOSES;
    if (p->kind == NB_KIND_SPM) {
        bool prepends = nb_step_is(step, "Prepend") && spells(nb_node_find(step, "prepend"), NB_METASPACE);
        bool escapes = is_replacement(step, "String", " ", NB_METASPACE);
        p->prepends |= prepends;
        p->escapes |= escapes;
        if (prepends || escapes)
            return ESCAPES;
    }
    if (p->kind == NB_KIND_UNIGRAM || p->kind == NB_KIND_SPM) {
        if (nb_step_is(step, "Precompiled")) {
            p->charsmap = nb_node_find(step, "precompiled_charsmap");
            return MAPS;
        }
        if (nb_step_is(step, "Strip")) {
            p->strips_start |= nb_node_is_set(step, "strip_left", true);
            p->strips_end |= nb_node_is_set(step, "strip_right", true);
            return STRIPS;
        }
        bool metaspace = is_replacement(step, "Regex", " {2,}", NB_METASPACE);
        if (!metaspace && !is_replacement(step, "Regex", " {2,}", " "))
            return NOTHING;
        p->joins = metaspace ? 2 : 1;
        return JOINS;
    }
    if (p->kind != NB_KIND_WORDPIECE || !nb_step_is(step, "BertNormalizer"))
        return NOTHING;
    read_bert_normalizer(p, step);
    return MAPS;
}

/* XLMRobertaTokenizer and T5Tokenizer keep no other steps. */
static void keep_precompiled(nb_steps *s) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if (nb_step_is(s->step[i], "Precompiled"))
            s->step[kept++] = s->step[i];
    s->n = kept;
}

static int32_t read_normalizers(composition *p) {
    static const char *const supported[] = {
        [NB_KIND_BPE] = "none, NFC",
        [NB_KIND_SPM] = ("NFC, Precompiled, Strip, Replace \" {2,}\" by one space, Prepend U+2581, Replace \" \" by "
                         "U+2581, in this order"),
        [NB_KIND_UNIGRAM] = "NFC, Precompiled, Strip, Replace \" {2,}\" by one space, in this order",
        [NB_KIND_WORDPIECE] = "NFC, BertNormalizer",
    };
    nb_steps s = nb_steps_of(p->tokenizer, "normalizer", "normalizers");
    if (p->class.kind == NB_TOKENIZER_BERT || p->class.kind == NB_TOKENIZER_LLAMA ||
        p->class.kind == NB_TOKENIZER_BYTE_LEVEL)
        s.n = 0;
    if (p->class.kind == NB_TOKENIZER_BERT) {
        compose_bert_normalizer(p, p->class.lower, p->class.strip_accents, true, p->class.space_chinese);
        return NB_OK;
    }
    if (p->class.kind == NB_TOKENIZER_UNIGRAM)
        keep_precompiled(&s);
    bool known = !s.too_many && (s.n || p->kind != NB_KIND_WORDPIECE);
    for (int32_t i = 0, last = NOTHING, now; i < (int32_t)s.n && known; i++, last = now) {
        now = read_normalizer(p, s.step[i]);
        known = now != NOTHING && (now > last || now == ESCAPES);
    }
    if (!known)
        return nb_steps_refuse(p->err, p->kind, "normalizer", &s, supported[p->kind]);
    nb_compose_flag(p->x, "tokenizer.ggml.normalizer.nfc", p->nfc);
    nb_compose_flag(p->x, "tokenizer.ggml.normalizer.strip_left", p->strips_start);
    nb_compose_flag(p->x, "tokenizer.ggml.normalizer.strip_right", p->strips_end);
    nb_compose_number(p->x, "tokenizer.ggml.normalizer.join_spaces", p->joins);
    nb_compose_flag(p->x, "tokenizer.ggml.normalizer.prepend", p->prepends);
    nb_compose_flag(p->x, "tokenizer.ggml.normalizer.escape", p->escapes);
    return NB_OK;
}

static int32_t sextet(char c) {
    return c >= 'A' && c <= 'Z' ? c - 'A'
         : c >= 'a' && c <= 'z' ? c - 'a' + 26
         : c >= '0' && c <= '9' ? c - '0' + 52
         : c == '+'             ? 62
         : c == '/'             ? 63
                                : -1;
}

/* Base64 (RFC 4648). */
static int32_t compose_charsmap(const composition *p) {
    nb_text raw = nb_node_raw(p->charsmap);
    if (!raw.size)
        return NB_OK;
    nb_compose_array(p->x, "tokenizer.ggml.precompiled_charsmap", NB_VALUE_U8);
    uint32_t bits = 0, n = 0;
    for (size_t i = 0; i < raw.size && raw.data[i] != '='; i++) {
        bool escape = raw.data[i] == '\\' && i + 1 < raw.size && raw.data[i + 1] == '/';
        int32_t value = sextet(raw.data[i += escape]);
        if (value < 0)
            return NB_FAIL(p->err, NB_ERR_FORMAT,
                           "tokenizer.json: precompiled_charsmap is no base64 at its character %z; the file is damaged",
                           i);
        bits = bits << 6 | (uint32_t)value;
        n += 6;
        if (n >= 8)
            nb_compose_u8(p->x, (uint8_t)(bits >> (n -= 8)));
    }
    return NB_OK;
}

/* ---- spaces of SentencePiece's models -------------------------------------------------------------------------- */

static void compose_class_metaspace(const composition *p) {
    bool llama = p->class.kind == NB_TOKENIZER_LLAMA;
    nb_compose_flag(p->x, "tokenizer.ggml.pre_tokenizer.metaspace", true);
    nb_compose_flag(p->x, "tokenizer.ggml.pre_tokenizer.split", !llama);
    nb_compose_flag(p->x, "tokenizer.ggml.pre_tokenizer.split_white", !llama);
    nb_compose_number(p->x, "tokenizer.ggml.pre_tokenizer.prepends",
                      !p->class.prefix_space      ? NB_PREPEND_NEVER
                      : llama && !p->class.legacy ? NB_PREPEND_FIRST
                                                  : NB_PREPEND_ALWAYS);
}

/* Metaspace: spaces become ▁, and one is put before a text that does not begin with a space. */
static bool compose_metaspace(const composition *p, nb_node step) {
    nb_node scheme = nb_node_find(step, "prepend_scheme");
    bool never = nb_node_is(scheme, "never"), first = nb_node_is(scheme, "first");
    bool prepends = scheme.at ? !never : nb_node_is_set(step, "add_prefix_space", true);
    nb_compose_flag(p->x, "tokenizer.ggml.pre_tokenizer.prepend_spaced", nb_node_is_set(step, "prepend_spaced", false));
    nb_compose_flag(p->x, "tokenizer.ggml.pre_tokenizer.metaspace", true);
    nb_compose_flag(p->x, "tokenizer.ggml.pre_tokenizer.split", nb_node_is_set(step, "split", true));
    nb_compose_number(p->x, "tokenizer.ggml.pre_tokenizer.prepends",
                      !prepends ? NB_PREPEND_NEVER
                      : first   ? NB_PREPEND_FIRST
                                : NB_PREPEND_ALWAYS);
    return spells(nb_node_find(step, "replacement"), NB_METASPACE) &&
           (!scheme.at || never || first || nb_node_is(scheme, "always"));
}

/* Writes llama.cpp's keys for spaces. It puts a space before each segment between special tokens, or before none. */
static void compose_space_keys(const composition *p) {
    double prepends = nb_checkpoint_number(p->x->c, "tokenizer.ggml.pre_tokenizer.prepends", NB_PREPEND_NEVER);
    double splits = nb_checkpoint_number(p->x->c, "tokenizer.ggml.pre_tokenizer.split_white", 0);
    bool unigram = p->kind == NB_KIND_UNIGRAM;
    nb_compose_flag(p->x, "tokenizer.ggml.add_space_prefix", p->prepends || prepends != NB_PREPEND_NEVER);
    if (unigram)
        nb_compose_flag(p->x, "tokenizer.ggml.remove_extra_whitespaces", p->joins || splits != 0);
    else if (nb_node_raw(p->charsmap).data || p->strips_start || p->strips_end || p->joins)
        nb_compose_only_nibble(p->x, "its tokenizer normalizes texts");
}

static int32_t compose_spaces(const composition *p) {
    nb_steps s = nb_steps_of(p->tokenizer, "pre_tokenizer", "pretokenizers");
    nb_node step = s.n ? s.step[0] : (nb_node){0};
    bool words = s.n && nb_step_is(step, "WhitespaceSplit"), known;
    if (p->class.kind != NB_TOKENIZER_FILE) {
        compose_class_metaspace(p);
        return compose_charsmap(p);
    }
    nb_compose_flag(p->x, "tokenizer.ggml.pre_tokenizer.split_white", words);
    if (s.n == 1u + words && nb_step_is(s.step[words], "Metaspace"))
        known = compose_metaspace(p, s.step[words]);
    else /* Gemma's file has a Split at spaces, but its normalizer has replaced them all */
        known = p->escapes &&
                (!s.n || (s.n == 1 && nb_step_is(step, "Split") && spells(find2(step, "pattern", "String"), " ")));
    if (!known)
        return nb_steps_refuse(p->err, p->kind, "pre_tokenizer", &s,
                               p->kind == NB_KIND_SPM ? "Metaspace, WhitespaceSplit and Metaspace, or none after a "
                                                        "normalizer that replaces spaces by U+2581"
                                                      : "Metaspace, WhitespaceSplit and Metaspace");
    return compose_charsmap(p);
}

static int32_t check_wordpiece(const composition *p) {
    nb_steps s = nb_steps_of(p->tokenizer, "pre_tokenizer", "pretokenizers");
    if (s.n != 1 || !nb_step_is(s.step[0], "BertPreTokenizer"))
        return nb_steps_refuse(p->err, p->kind, "pre_tokenizer", &s, "BertPreTokenizer");
    if (!nb_node_is(nb_node_find(p->model, "continuing_subword_prefix"), "##") ||
        nb_node_number(nb_node_find(p->model, "max_input_chars_per_word"), 100) != 100)
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "tokenizer.json: a WordPiece model whose continuing_subword_prefix is not \"##\" or whose "
                       "max_input_chars_per_word is not 100 is not supported");
    return NB_OK;
}

/* What the decoders do. Strip works on tokens; only after Fuse it strips the whole text. */
typedef struct decoding {
    bool byte_level, byte_fallback, unescape, drop_first, cleanup, fused, words;
    double strip;
} decoding;

static bool read_decoder(decoding *d, nb_node step, nb_vocabulary_kind kind) {
    if (kind == NB_KIND_BPE)
        return d->byte_level = nb_step_is(step, "ByteLevel");
    if (kind == NB_KIND_WORDPIECE) {
        nb_node prefix = nb_node_find(step, "prefix");
        d->cleanup = nb_node_is_set(step, "cleanup", true);
        return d->words = nb_step_is(step, "WordPiece") && (!prefix.at || nb_node_is(prefix, "##"));
    }
    if (nb_step_is(step, "Metaspace")) {
        nb_node scheme = nb_node_find(step, "prepend_scheme");
        d->unescape = true;
        d->drop_first = scheme.at ? !nb_node_is(scheme, "never") : nb_node_is_set(step, "add_prefix_space", true);
        return !d->fused && spells(nb_node_find(step, "replacement"), NB_METASPACE);
    }
    if (nb_step_is(step, "Strip")) {
        d->strip = nb_node_number(nb_node_find(step, "start"), 0);
        return nb_node_number(nb_node_find(step, "stop"), 0) == 0 &&
               (d->strip == 0 || (d->fused && nb_node_is(nb_node_find(step, "content"), " ")));
    }
    bool bytes = nb_step_is(step, "ByteFallback") && kind == NB_KIND_SPM && !d->fused;
    bool fuses = nb_step_is(step, "Fuse"),
         unescape = is_replacement(step, "String", NB_METASPACE, " ") && !d->drop_first;
    d->byte_fallback |= bytes;
    d->fused |= fuses;
    d->unescape |= unescape;
    return bytes || fuses || unescape;
}

static void compose_decoding(const composition *p, decoding d, bool joins) {
    nb_compose_flag(p->x, "tokenizer.ggml.decoder.byte_level", d.byte_level);
    nb_compose_flag(p->x, "tokenizer.ggml.decoder.byte_fallback", d.byte_fallback);
    nb_compose_flag(p->x, "tokenizer.ggml.decoder.marks", d.unescape);
    nb_compose_flag(p->x, "tokenizer.ggml.decoder.drop_first", d.drop_first);
    nb_compose_flag(p->x, "tokenizer.ggml.decoder.cleanup", d.cleanup);
    nb_compose_flag(p->x, "tokenizer.ggml.decoder.joins", joins);
    nb_compose_number(p->x, "tokenizer.ggml.decoder.strip", d.strip);
}

/* The decoders of a class that has its own. */
static decoding class_decoding(const nb_tokenizer_class *class) {
    if (class->kind == NB_TOKENIZER_BERT)
        return (decoding){.words = true, .cleanup = true};
    if (class->kind == NB_TOKENIZER_LLAMA)
        return (decoding){.byte_fallback = true, .unescape = true, .fused = true, .strip = class->prefix_space};
    return (decoding){.unescape = true, .drop_first = class->prefix_space};
}

static int32_t compose_decoders(const composition *p) {
    static const char *const supported[] = {
        [NB_KIND_BPE] = "ByteLevel",
        [NB_KIND_SPM] = "Replace of U+2581 by a space, ByteFallback, Fuse, Strip of spaces at the beginning, Metaspace",
        [NB_KIND_UNIGRAM] = "Metaspace, Replace of U+2581 by a space, Fuse, Strip of spaces at the beginning",
        [NB_KIND_WORDPIECE] = "WordPiece",
    };
    nb_steps s = nb_steps_of(p->tokenizer, "decoder", "decoders");
    decoding d = {0};
    if (p->class.kind != NB_TOKENIZER_FILE && p->class.kind != NB_TOKENIZER_BYTE_LEVEL) {
        compose_decoding(p, class_decoding(&p->class), false);
        return NB_OK;
    }
    bool known = !s.too_many && (s.n == 1 || p->kind == NB_KIND_SPM || p->kind == NB_KIND_UNIGRAM || !s.n);
    for (uint32_t i = 0; i < s.n && known; i++)
        known = read_decoder(&d, s.step[i], p->kind);
    if (!known)
        return nb_steps_refuse(p->err, p->kind, "decoder", &s, supported[p->kind]);
    compose_decoding(p, d, !s.n);
    return NB_OK;
}

int32_t nb_steps_compose(nb_composer *x, nb_node tokenizer, nb_vocabulary_kind kind, const nb_tokenizer_class *class,
                         nb_error *err) {
    static const nb_vocabulary_kind kinds[] = {
        [NB_TOKENIZER_BERT] = NB_KIND_WORDPIECE,
        [NB_TOKENIZER_BYTE_LEVEL] = NB_KIND_BPE,
        [NB_TOKENIZER_LLAMA] = NB_KIND_SPM,
        [NB_TOKENIZER_UNIGRAM] = NB_KIND_UNIGRAM,
    };
    composition p = {.x = x, .tokenizer = tokenizer, .kind = kind, .err = err};
    p.model = nb_node_find(tokenizer, "model");
    if (class->kind != NB_TOKENIZER_FILE && kinds[class->kind] == kind)
        p.class = *class;
    NB_TRY(read_normalizers(&p));
    NB_TRY(compose_decoders(&p));
    switch (kind) {
    case NB_KIND_BPE: return compose_pretokenizer(&p);
    case NB_KIND_SPM:
    case NB_KIND_UNIGRAM:
        NB_TRY(compose_spaces(&p));
        compose_space_keys(&p);
        break;
    case NB_KIND_WORDPIECE: NB_TRY(check_wordpiece(&p)); break;
    }
    nb_compose_string(x, "tokenizer.ggml.pre", nb_text_of("default"));
    return NB_OK;
}
