/* The expressions are those of the models' own tokenizers, as llama.cpp documents them (src/llama-vocab.cpp). The
 * names are llama.cpp's (tokenizer.ggml.pre). \p{..} and \s are Unicode's. llama.cpp's regular expressions know no
 * upper and lower case beyond ASCII, so it matches something simpler in places. There the model's own expression
 * counts. tests/oracles/split_vectors.py spells out each of them. */
#include "pretokenize.h"

#include "../base/writer.h"

enum {
    CONTRACTIONS = 1 << 0, /* (?i:'s|'t|'re|'ve|'m|'ll|'d) are words of their own */
    SUFFIXES = 1 << 1,     /* ... or the ends of words */
    CASED = 1 << 2,        /* words are cut where upper case begins */
    PHRASES = 1 << 3,      /* words may be joined by single spaces */
    ASCII_WORDS = 1 << 4,  /* an ASCII symbol and the ASCII letters after it are a word */
    TAIL = 1 << 5,         /* line ends after symbols go with them */
    TAIL_SLASH = 1 << 6,   /* ... and slashes */
    TAIL_ONE = 1 << 7,     /* ... but one at most */
    LINES = 1 << 8,        /* white space is cut after its last line end */
    LINE = 1 << 9,         /* a line end is a piece */
    HALVES = 1 << 10,      /* white space is cut into 512, 256, ..., 4, 2, 1 characters */
    NEGATED = 1 << 11,     /* isolates everything else */
    AFTER_SPACE = 1 << 12, /* with one space before it */
    AFTER_BLANK = 1 << 13, /* with one white space before it */
    AT_END = 1 << 14       /* only at the end */
};

enum { IN_SET = 1 << NB_CLASSES }; /* the class of a letter of a pass's set */

static bool in_set(const nb_pass *pass, uint32_t codepoint) {
    uint32_t low = 0, n = pass->n_set;
    while (n > 1) { /* it is in one of n ranges from `low` on, or in none */
        uint32_t half = n / 2;
        if (pass->set[2 * (low + half)] <= codepoint)
            low += half;
        n -= half;
    }
    return codepoint >= pass->set[2 * low] && codepoint <= pass->set[2 * low + 1];
}

/* The class of the character at text[at] as a bit, or 0 at the end. *next: where the next character starts. */
static inline uint32_t class_here(const nb_scan *s, size_t at, size_t *next) {
    if (at >= s->end) {
        *next = s->end;
        return 0;
    }
    if (s->text[at] < 0x80) {
        *next = at + 1;
        return 1u << s->unicode->mixed[0][s->text[at]];
    }
    size_t length;
    uint32_t codepoint = nb_utf8_decode(s->text + at, s->end - at, &length);
    *next = at + length;
    return 1u << nb_unicode_class(s->unicode, codepoint);
}

static __attribute__((noinline)) uint32_t class_at(const nb_scan *s, size_t at, size_t *next) {
    return class_here(s, at, next);
}

/* As class_here. But letters of the pass's set, none of which is ASCII, have the class IN_SET. */
static inline uint32_t kind_at(const nb_pass *pass, const nb_scan *s, size_t at, size_t *next) {
    uint32_t class = class_here(s, at, next);
    size_t length;
    if (pass->set && class & NB_LETTERS && s->text[at] >= 0x80 &&
        in_set(pass, nb_utf8_decode(s->text + at, s->end - at, &length)))
        return IN_SET;
    return class;
}

/* The class of the character that ends at `at`, in an earlier piece; 0 if there is none. */
static uint32_t class_before(const nb_scan *s, size_t at) {
    size_t start = at, next;
    while (start > 0 && at - start < 4 && (start == at || (s->text[start] & 0xc0) == 0x80))
        start--;
    return start < at ? class_at(s, start, &next) : 0;
}

static inline bool is_line_end(const nb_scan *s, size_t at) {
    return at < s->end && (s->text[at] == '\r' || s->text[at] == '\n');
}

/* The end of the run of characters of these classes that starts at `at`. */
static __attribute__((noinline)) size_t run_of(const nb_pass *pass, const nb_scan *s, size_t at, uint32_t classes) {
    for (size_t next; kind_at(pass, s, at, &next) & classes; at = next)
        ;
    return at;
}

/* Bytes of 's 't 'm 'd 're 've 'll at text[at], or 0. fold: 0x20 also accepts upper case. */
static size_t contraction(const nb_scan *s, size_t at, uint8_t fold) {
    if (s->end < at + 2 || s->text[at] != '\'')
        return 0;
    if (fold && s->folds && s->end - at > 2 && s->text[at + 1] == 0xc5 && s->text[at + 2] == 0xbf)
        return 3; /* 's with U+017F, the long s */
    uint8_t a = s->text[at + 1] | fold, b = s->end - at > 2 ? s->text[at + 2] | fold : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* \s+(?!\S)|\s+ at white space: if text follows a run of white space, the run's last character goes with that text. */
static size_t match_spaces(const nb_scan *s, size_t at) {
    size_t last = at, next, after = at;
    while (class_at(s, after, &next) & NB_SPACES) {
        last = after;
        after = next;
    }
    return after < s->end && last > at ? last : after;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+    (GPT-2) */
static size_t match_gpt2(const nb_pass *pass, const nb_scan *s, size_t at) {
    size_t length = contraction(s, at, 0);
    if (length)
        return at + length;
    size_t next;
    uint32_t class = class_at(s, at, &next);
    if (s->text[at] == ' ')
        class = class_at(s, next, &next);
    if (class & NB_LETTERS)
        return run_of(pass, s, next, NB_LETTERS);
    if (class & NB_NUMBERS)
        return run_of(pass, s, next, NB_NUMBERS);
    if (class && !(class & NB_SPACES))
        return run_of(pass, s, next, ~(uint32_t)(NB_LETTERS | NB_NUMBERS | NB_SPACES));
    return match_spaces(s, at);
}

/* The words of match_words, without what may come before one; `at` if none starts there.
 * [classes]+; PHRASES: (?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+ */
static size_t plain_word(const nb_pass *pass, const nb_scan *s, size_t at) {
    if (!(pass->flags & PHRASES))
        return run_of(pass, s, at, pass->classes);
    size_t next, after;
    for (;;) {
        if (!(class_at(s, at, &next) & NB_LETTERS))
            return at;
        at = run_of(pass, s, next, NB_MARKS);
        if (at < s->end && s->text[at] == ' ' && class_at(s, at + 1, &after) & NB_LETTERS)
            at++;
    }
}

/* CASED: [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+, or if capitals alone will do,
 * [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]* */
static size_t cased_word(const nb_pass *pass, const nb_scan *s, size_t at, bool capitals) {
    const uint32_t both = 1 << NB_CLASS_LETTER | NB_MARKS, upper = both | 1 << NB_CLASS_UPPER;
    size_t end = at, after_both = at, next;
    for (uint32_t class; (class = kind_at(pass, s, end, &next)) & upper; end = next)
        if (class & both)
            after_both = next;
    size_t lower = run_of(pass, s, end, both | 1 << NB_CLASS_LOWER);
    if (lower > end)
        return lower;
    return after_both > at || !capitals ? after_both : end; /* backtracking: something has to be lower case */
}

/* [^\r\n no_lead]?WORD, each way to read WORD with the character before it, and then without. */
static size_t match_word(const nb_pass *pass, const nb_scan *s, size_t at) {
    size_t next, end = at;
    uint32_t class = kind_at(pass, s, at, &next);
    bool lead = !is_line_end(s, at) && !(class & pass->no_lead), cased = pass->flags & CASED;
    for (int capitals = 0; capitals <= cased; capitals++) {
        if (lead) {
            end = cased ? cased_word(pass, s, next, capitals) : plain_word(pass, s, next);
            if (end > next)
                return end;
        }
        end = cased ? cased_word(pass, s, at, capitals) : plain_word(pass, s, at);
        if (end > at)
            return end;
    }
    return at;
}

/* \s{512}(?!\S)|\s{256}(?!\S)|...|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1} */
static size_t match_halves(const nb_scan *s, size_t at) {
    uint32_t n = 0, wanted = 512;
    size_t end = at, next;
    for (; n <= wanted && class_at(s, end, &next) & NB_SPACES; end = next)
        n++;
    while (wanted > 1 && !(n > wanted || (n == wanted && end == s->end)))
        wanted /= 2;
    for (; wanted; wanted--, at = next)
        class_at(s, at, &next);
    return at;
}

/* contraction|[^\r\n no_lead]?WORD|\p{N}{1,run}| ?[symbols]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * (Llama 3 and most models after it. The flags say what differs, and `set` which letters are words of their own.) */
static size_t match_words(const nb_pass *pass, const nb_scan *s, size_t at) {
    size_t next, after, length;
    uint32_t flags = pass->flags, class = class_at(s, at, &next);
    if (flags & CONTRACTIONS && (length = contraction(s, at, 0x20)))
        return at + length;
    if (pass->set) {
        size_t end = at;
        for (; end < s->end && in_set(pass, nb_utf8_decode(s->text + end, s->end - end, &length)); end += length)
            ;
        if (end > at)
            return end;
    }
    if (flags & ASCII_WORDS && s->text[at] < 0x80 && class & (NB_PUNCTUATION | NB_SYMBOLS)) {
        size_t end = next;
        while (end < s->end && (s->text[end] | 0x20) >= 'a' && (s->text[end] | 0x20) <= 'z')
            end++;
        if (end > next)
            return end;
    }
    size_t word = match_word(pass, s, at);
    if (word > at)
        return flags & SUFFIXES ? word + contraction(s, word, 0x20) : word;
    if (class & NB_NUMBERS && pass->run) {
        for (uint32_t n = 1; n < pass->run && class_at(s, next, &after) & NB_NUMBERS; n++)
            next = after;
        return next;
    }
    uint32_t symbol = class;
    after = next;
    if (s->text[at] == ' ')
        symbol = class_at(s, next, &after);
    if (symbol & pass->symbols) {
        size_t end = run_of(pass, s, after, pass->symbols);
        while (flags & TAIL && (is_line_end(s, end) || (flags & TAIL_SLASH && end < s->end && s->text[end] == '/'))) {
            end++;
            if (flags & TAIL_ONE)
                break;
        }
        return end;
    }
    if (flags & LINE && is_line_end(s, at))
        return at + 1;
    size_t line = at;
    /* a line's end does not count after white space that HALVES has cut */
    bool halved = flags & HALVES && class_before(s, at) & NB_SPACES && !is_line_end(s, at - 1);
    if (flags & LINES && !halved)
        for (size_t i = at; class_at(s, i, &next) & NB_SPACES; i = next)
            if (is_line_end(s, i))
                line = i + 1;
    if (line > at)
        return line;
    return flags & HALVES && class & NB_SPACES ? match_halves(s, at) : match_spaces(s, at);
}

static bool get_bit(const uint32_t *bits, uint8_t i) {
    return bits[i / 32] >> i % 32 & 1;
}

static bool isolates(const nb_pass *pass, uint32_t codepoint, uint32_t class) {
    bool found = 1u << class & pass->classes || (pass->set && in_set(pass, codepoint));
    for (const char *p = pass->extra; p && *p && codepoint < 0x80 && !found; p++)
        found = codepoint == (uint8_t)*p;
    return found != ((pass->flags & NEGATED) != 0);
}

static bool is_isolated(const nb_pass *pass, const nb_scan *s, size_t at, size_t *next) {
    if (at >= s->end)
        return false;
    if (s->text[at] < 0x80) {
        *next = at + 1;
        return get_bit(s->ascii->isolated, s->text[at]);
    }
    size_t length;
    uint32_t codepoint = nb_utf8_decode(s->text + at, s->end - at, &length);
    *next = at + length;
    return isolates(pass, codepoint, nb_unicode_class(s->unicode, codepoint));
}

/* [classes extra set]{1,run}; AFTER_SPACE:  ?[...]+; AFTER_BLANK: \s?[...]+; AT_END: [...]+$ */
static size_t match_run(const nb_pass *pass, const nb_scan *s, size_t at) {
    size_t next, end = at;
    if (pass->flags & AFTER_SPACE && s->text[at] == ' ')
        end = at + 1;
    if (pass->flags & AFTER_BLANK && class_at(s, at, &next) & NB_SPACES)
        end = next;
    if (end > at && !is_isolated(pass, s, end, &next))
        end = at; /* the space may be isolated itself */
    uint32_t n = 0;
    for (; n < pass->run && is_isolated(pass, s, end, &next); end = next)
        n++;
    return n && !(pass->flags & AT_END && end < s->end) ? end : at;
}

/* [classes]{1,3}(?=(?:[classes]{3})*(?![classes])): numbers in groups of three from the right */
static size_t match_groups(const nb_pass *pass, const nb_scan *s, size_t at) {
    size_t next, n = 0;
    if (!(class_at(s, at, &next) & pass->classes))
        return at;
    if (!(class_before(s, at) & pass->classes)) /* only the first group may have fewer than three */
        for (size_t i = at; class_at(s, i, &next) & pass->classes; i = next)
            n++;
    for (n = n % 3 ? n % 3 : 3; n; n--, at = next)
        class_at(s, at, &next);
    return at;
}

/* [0-9][0-9][0-9] */
static size_t match_triple(const nb_pass *pass, const nb_scan *s, size_t at) {
    (void)pass;
    for (size_t i = at; i < at + 3; i++)
        if (i >= s->end || s->text[i] < '0' || s->text[i] > '9')
            return at;
    return at + 3;
}

/* Bytes of text at text[at], or 0. */
static size_t literal(const nb_scan *s, size_t at, const char *text) {
    size_t n = nb_length(text);
    return s->end - at >= n && nb_compare(s->text + at, text, n) == 0 ? n : 0;
}

/* <sentinel:[0-9]+>, IMGIMG[A-I]{1,4}Z, and a tab, a line's end, four spaces or two (Chameleon) */
static size_t match_sentinel(const nb_pass *pass, const nb_scan *s, size_t at) {
    (void)pass;
    size_t start = at + literal(s, at, "<sentinel:"), end = start;
    while (start > at && end < s->end && s->text[end] >= '0' && s->text[end] <= '9')
        end++;
    return end > start && literal(s, end, ">") ? end + 1 : at;
}

static size_t match_image(const nb_pass *pass, const nb_scan *s, size_t at) {
    (void)pass;
    size_t start = at + literal(s, at, "IMGIMG"), end = start;
    while (start > at && end < s->end && end < start + 4 && s->text[end] >= 'A' && s->text[end] <= 'I')
        end++;
    return end > start && literal(s, end, "Z") ? end + 1 : at;
}

static size_t match_indent(const nb_pass *pass, const nb_scan *s, size_t at) {
    (void)pass;
    if (s->text[at] == '\t' || s->text[at] == '\n')
        return at + 1;
    size_t n = literal(s, at, "    ");
    return at + (n ? n : literal(s, at, "  "));
}

/* ---- which name has which passes --------------------------------------------------------------------------------- */

static const uint32_t cjk[] = {0x3040, 0x30ff, 0x4e00, 0x9fa5};
static const uint32_t cjk_hangul[] = {0x0800, 0x9fa5, 0xac00, 0xd7ff};
static const uint32_t hangul[] = {0x3131, 0x318e, 0xac00, 0xd7a3};
static const uint32_t bopomofo[] = {0x3105, 0x312f};
static const uint32_t wide_punctuation[] = {
    0x2014, 0x2014, 0x2018, 0x2019, 0x201c, 0x201d, 0x2026, 0x2026, 0x3001, 0x303f, 0xfe30, 0xfe4f, 0xff01, 0xff01,
    0xff0c, 0xff0c, 0xff1a, 0xff1b};
static const uint32_t asian[] = { /* AFMoE */
    0x0e40, 0x0e7f, 0x0e80, 0x0eff, 0x1000, 0x109f, 0x1100, 0x11ff, 0x1780, 0x17ff, 0x2f00, 0x2fdf, 0x3040, 0x30ff,
    0x3400, 0x4dbf, 0x4e00, 0x9fff, 0xa9e0, 0xa9ff, 0xaa60, 0xaa7f, 0xac00, 0xd7af, 0xf900, 0xfaff, 0xff65, 0xff9f};
static const uint32_t stops[] = { /* BLOOM */
    0x060c, 0x060c, 0x06d4, 0x06d4, 0x0964, 0x0964, 0x2026, 0x2026, 0x3001, 0x3002, 0xff0c, 0xff0c};
static const uint32_t ascii_and_wide[] = { /* DeepSeek */
    '!', '/', ':', '~', 0x2018, 0x201f, 0x3000, 0x3002, 0xff01, 0xff0f, 0xff1a, 0xff5e};
static const uint32_t ascii_symbols[] = {'!', '/', ':', '@', '[', '`', '{', '~'};
static const uint32_t han[] = { /* Scripts.txt */
    0x2e80, 0x2e99, 0x2e9b, 0x2ef3, 0x2f00, 0x2fd5, 0x3005, 0x3005, 0x3007, 0x3007, 0x3021, 0x3029, 0x3038, 0x303b,
    0x3400, 0x4dbf, 0x4e00, 0x9fff, 0xf900, 0xfa6d, 0xfa70, 0xfad9, 0x16fe2, 0x16fe3, 0x16ff0, 0x16ff1, 0x20000,
    0x2a6df, 0x2a700, 0x2b739, 0x2b740, 0x2b81d, 0x2b820, 0x2cea1, 0x2ceb0, 0x2ebe0, 0x2ebf0, 0x2ee5d, 0x2f800,
    0x2fa1d, 0x30000, 0x3134a, 0x31350, 0x323af};
static const uint32_t deepseek_letters[] = { /* cased letters, as that model lists them */
    0x41, 0x5a, 0x61, 0x7a, 0xb5, 0xb5, 0xc0, 0xd6, 0xd8, 0xf6, 0xf8, 0x1ba, 0x1bc, 0x1bf, 0x1c4, 0x293, 0x295, 0x2af,
    0x370, 0x373, 0x376, 0x377, 0x37b, 0x37d, 0x37f, 0x37f, 0x386, 0x386, 0x388, 0x38a, 0x38c, 0x38c, 0x38e, 0x3a1,
    0x3a3, 0x3f5, 0x3f7, 0x481, 0x48a, 0x52f, 0x531, 0x556, 0x10a0, 0x10c5, 0x13a0, 0x13f5, 0x13f8, 0x13fd, 0x1c90,
    0x1cba, 0x1cbd, 0x1cbf, 0x1d00, 0x1d2b, 0x1d6b, 0x1d77, 0x1d79, 0x1d9a, 0x1e00, 0x1f15, 0x1f18, 0x1f1d, 0x1f20,
    0x1f45, 0x1f48, 0x1f4d, 0x1f50, 0x1f57, 0x1f59, 0x1f59, 0x1f5b, 0x1f5b, 0x1f5d, 0x1f5d, 0x1f5f, 0x1f7d, 0x1f80,
    0x1fb4, 0x1fb6, 0x1fbc, 0x1fbe, 0x1fbe, 0x1fc2, 0x1fc4, 0x1fc6, 0x1fcc, 0x1fd0, 0x1fd3, 0x1fd6, 0x1fdb, 0x1fe0,
    0x1fec, 0x1ff2, 0x1ff4, 0x1ff6, 0x1ffc, 0x2102, 0x2102, 0x2107, 0x2107, 0x210a, 0x2113, 0x2115, 0x2115, 0x2119,
    0x211d, 0x2124, 0x2124, 0x2126, 0x2126, 0x2128, 0x2128, 0x212a, 0x212d, 0x212f, 0x2134, 0x2139, 0x2139, 0x213c,
    0x213f, 0x2145, 0x2149, 0x214e, 0x214e, 0x2183, 0x2184, 0x2c00, 0x2c7b, 0x2c7e, 0x2ce4, 0x2ceb, 0x2cee, 0x2cf2,
    0x2cf3, 0xa640, 0xa66d, 0xa680, 0xa69b, 0xa722, 0xa76f, 0xa771, 0xa787, 0xa78b, 0xa78e, 0xab70, 0xabbf, 0xfb00,
    0xfb06, 0xfb13, 0xfb17, 0xff21, 0xff3a, 0xff41, 0xff5a, 0x10400, 0x1044f, 0x104b0, 0x104d3, 0x104d8, 0x104fb,
    0x10c80, 0x10cb2, 0x10cc0, 0x10cf2, 0x118a0, 0x118df, 0x1e900, 0x1e943};

#define SET(ranges) .set = ranges, .n_set = sizeof ranges / sizeof *ranges / 2
#define PASSES(...)                                                                                                    \
    .passes = (const nb_pass[]){__VA_ARGS__}, .n_passes = sizeof((const nb_pass[]){__VA_ARGS__}) / sizeof(nb_pass)
#define EACH_NUMBER {.match = match_run, .classes = NB_NUMBERS, .run = 1}
#define THREE_NUMBERS {.match = match_run, .classes = NB_NUMBERS, .run = 3}
#define ISOLATE(...) {.match = match_run, .run = UINT32_MAX, __VA_ARGS__}
#define GPT2 {.match = match_gpt2}
#define WORDS(numbers, ...)                                                                                            \
    {.match = match_words, .classes = NB_LETTERS, .no_lead = NB_LETTERS | NB_NUMBERS | IN_SET,                        \
     .symbols = ~(uint32_t)(NB_LETTERS | NB_NUMBERS | NB_SPACES | IN_SET), .run = numbers, __VA_ARGS__}
#define LLAMA3(numbers) WORDS(numbers, .flags = CONTRACTIONS | TAIL | LINES)
#define CASED_WORDS(numbers, more) WORDS(numbers, .flags = CASED | TAIL | TAIL_SLASH | LINES | (more))
#define DEEPSEEK3(line)                                                                                                \
    {.match = match_words, .classes = NB_LETTERS | NB_MARKS, .symbols = NB_PUNCTUATION | NB_SYMBOLS,                  \
     .no_lead = NB_LETTERS | NB_PUNCTUATION | NB_SYMBOLS, .flags = ASCII_WORDS | (line)}
#define LINE_ENDS {.match = match_run, .extra = "\r\n", .run = 1}
#define NEWLINES ISOLATE(.extra = "\n")

static const nb_pretokenizer pretokenizers[] = {
    {.names = " gpt-2 phi-2 jais trillion granite-docling exaone4 gigachat a.x-4.0 mellum modern-bert "
              "roberta-bpe jina-es jina-de jina-v2-es jina-v2-de jina-v1-en jina-v2-code ",
     PASSES(GPT2)},
    {.names = " mpt olmo ", PASSES(GPT2), .nfc = true},
    {.names = " command-r ", PASSES(EACH_NUMBER, GPT2), .nfc = true},
    {.names = " smollm starcoder refact codeshell exaone minerva-7b mellum2 ", PASSES(EACH_NUMBER, GPT2)},
    {.names = " llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano ",
     PASSES(LLAMA3(3)),
     .whole_words = true,
     .add_begin = true},
    {.names = " dbrx smaug-bpe chatglm-bpe ", PASSES(LLAMA3(3))},
    {.names = " glm4 glm5 ", PASSES(LLAMA3(3)), .whole_words = true},
    {.names = " minicpm5 ", PASSES(THREE_NUMBERS, LLAMA3(UINT32_MAX)), .whole_words = true},
    {.names = " jais-2 ", PASSES(WORDS(3, .flags = CONTRACTIONS | TAIL | LINES | HALVES))},
    {.names = " qwen2 ", PASSES(LLAMA3(1)), .nfc = true},
    {.names = " deepseek-r1-qwen stablelm2 hunyuan megrez solar-open grok-2 kormo f2llmv2 bailingmoe bailingmoe2 "
              "llada-moe ",
     PASSES(LLAMA3(1))},
    {.names = " qwen35 ",
     PASSES({.match = match_words, .classes = NB_LETTERS | NB_MARKS, .no_lead = NB_LETTERS | NB_NUMBERS,
             .symbols = ~(uint32_t)(NB_LETTERS | NB_MARKS | NB_NUMBERS | NB_SPACES), .run = 1,
             .flags = CONTRACTIONS | TAIL | LINES}),
     .nfc = true},
    {.names = " ufakzeka ", PASSES(WORDS(1, .flags = TAIL | LINES))},
    {.names = " seed-coder ", PASSES(WORDS(1, .flags = CONTRACTIONS | LINES))},
    {.names = " exaone-moe ",
     PASSES(WORDS(1, .flags = CONTRACTIONS | PHRASES | TAIL | TAIL_SLASH | TAIL_ONE | LINES))},
    {.names = " laguna ", PASSES(NEWLINES, LLAMA3(1))},
    {.names = " tekken ", PASSES(CASED_WORDS(1, 0)), .whole_words = true, .add_begin = true},
    {.names = " gpt-4o llama4 kanana2 talkie minimax-m2 ", PASSES(CASED_WORDS(3, SUFFIXES))},
    {.names = " granite-embed-multi-97m ", PASSES(CASED_WORDS(3, SUFFIXES)), .whole_words = true},
    {.names = " tiny_aya cohere2moe ",
     PASSES({.match = match_groups, .classes = 1 << NB_CLASS_DIGIT}, CASED_WORDS(3, SUFFIXES))},
    {.names = " youtu ",
     PASSES(ISOLATE(SET(hangul)), ISOLATE(SET(wide_punctuation)), ISOLATE(SET(bopomofo)), ISOLATE(SET(cjk)),
            CASED_WORDS(1, SUFFIXES)),
     .whole_words = true},
    {.names = " kimi-k2 ",
     PASSES(WORDS(3, .flags = CASED | SUFFIXES | TAIL | LINES, SET(han)))},
    {.names = " deepseek-v3 hunyuan-dense joyai-llm hy_v4 ",
     PASSES(THREE_NUMBERS, ISOLATE(SET(cjk)), DEEPSEEK3(TAIL | LINES))},
    {.names = " spark2_5 ", PASSES(THREE_NUMBERS, ISOLATE(SET(cjk)), DEEPSEEK3(LINE), EACH_NUMBER)},
    {.names = " afmoe ",
     PASSES({.match = match_groups, .classes = NB_NUMBERS}, ISOLATE(SET(asian)), DEEPSEEK3(TAIL | LINES))},
    {.names = " deepseek-llm ",
     PASSES(LINE_ENDS, ISOLATE(SET(deepseek_letters), .flags = AFTER_BLANK),
            ISOLATE(SET(ascii_and_wide), .flags = AFTER_BLANK), ISOLATE(.classes = NB_SPACES, .flags = AT_END),
            ISOLATE(SET(cjk_hangul)), ISOLATE(.classes = NB_NUMBERS))},
    {.names = " deepseek-coder ",
     PASSES(LINE_ENDS, ISOLATE(.classes = NB_LETTERS, .flags = AFTER_BLANK),
            ISOLATE(.classes = NB_PUNCTUATION, .flags = AFTER_BLANK), ISOLATE(SET(cjk_hangul)), EACH_NUMBER)},
    {.names = " bloom poro-chat gpt3-finnish ",
     PASSES(ISOLATE(.classes = NB_SPACES, .extra = "(|.,!?)", SET(stops), .flags = NEGATED | AFTER_SPACE))},
    {.names = " viking ",
     PASSES(ISOLATE(.classes = NB_SPACES, .extra = "(|.,!?)", SET(stops), .flags = NEGATED | AFTER_SPACE),
            EACH_NUMBER)},
    {.names = " chameleon ",
     PASSES({.match = match_sentinel}, {.match = match_image}, {.match = match_indent}, EACH_NUMBER,
            {.match = match_run, .classes = NB_PUNCTUATION, SET(ascii_symbols), .run = 1}, GPT2),
     .add_begin = true},
    {.names = " superbpe ",
     PASSES(ISOLATE(.classes = NB_NUMBERS), {.match = match_groups, .classes = 1 << NB_CLASS_DIGIT})},
    {.names = " gemma4 granite-embed-multi-311m ",
     PASSES(NEWLINES),
     .whole_lines = true,
     .add_begin = true,
     .raw = true,
     .escape_spaces = true},
    {.names = " sarvam-moe ", PASSES(NEWLINES), .raw = true, .escape_spaces = true},
    {.names = " whitespace ", /* the encoder gets the words only, without the white space */
     PASSES(ISOLATE(.classes = NB_SPACES, .flags = NEGATED)),
     .raw = true,
     .drop_spaces = true},
    {.names = " falcon ",
     PASSES(ISOLATE(.classes = NB_PUNCTUATION, .extra = "$+<=>^~|`"), GPT2, {.match = match_triple})},
    /* for a file without a name */
    {.names = " default ",
     PASSES(ISOLATE(.classes = NB_PUNCTUATION, .extra = "$+<=>^~|"), GPT2, ISOLATE(.classes = NB_NUMBERS),
            {.match = match_triple})},
};

/* Whether the list has this name. */
static bool is_among(nb_text name, const char *names) {
    for (const char *p = names + 1; *p;) {
        size_t n = 0;
        while (p[n] != ' ')
            n++;
        if (nb_text_equal(name, (nb_text){p, n}))
            return true;
        p += n + 1;
    }
    return false;
}

enum { COUNT = sizeof pretokenizers / sizeof *pretokenizers };

const nb_pretokenizer *nb_pretokenizer_find(nb_text name) {
    for (size_t i = 0; i < COUNT; i++)
        if (is_among(name, pretokenizers[i].names))
            return &pretokenizers[i];
    return NULL;
}

void nb_pretokenizer_names(char *out, size_t capacity) {
    nb_writer w = nb_writer_over(out, capacity);
    for (size_t i = 0; i < COUNT; i++) {
        nb_text first = {pretokenizers[i].names + 1, 0};
        while (first.data[first.size] != ' ')
            first.size++;
        nb_write(&w, i ? ", %t" : "%t", first);
    }
}

void nb_pretokenizer_prepare(const nb_pretokenizer *pre, const nb_unicode *unicode, nb_isolated *passes) {
    for (uint32_t i = 0; i < pre->n_passes; i++)
        for (uint32_t c = 0; c < 128; c++) {
            const nb_pass *pass = &pre->passes[i];
            uint32_t class = nb_unicode_class(unicode, c);
            bool isolated = isolates(pass, c, class), other = pass->match != match_run;
            bool before = (pass->flags & AFTER_SPACE && c == ' ') ||
                          (pass->flags & AFTER_BLANK && class == NB_CLASS_SPACE);
            passes[i].isolated[c / 32] |= (uint32_t)isolated << c % 32;
            passes[i].starts[c / 32] |= (uint32_t)(isolated || before || other) << c % 32;
        }
}

/* Where the next match after `at` begins, or the end. What lies before it is a piece, too. */
static size_t next_match(const nb_pass *pass, const nb_scan *s, size_t at) {
    size_t length, next;
    do {
        if (pass->flags & AT_END) /* no match begins within this run */
            while (is_isolated(pass, s, at, &next))
                at = next;
        nb_utf8_decode(s->text + at, s->end - at, &length);
        at += length;
        while (at < s->end && s->text[at] < 0x80 && !get_bit(s->ascii->starts, s->text[at]))
            at++;
    } while (at < s->end && pass->match(pass, s, at) == at);
    return at;
}

bool nb_words_next(nb_words *words, size_t *start) {
    if (words->at >= words->size)
        return false;
    *start = words->at;
    nb_scan s = {words->unicode, words->passes, words->text, words->size, words->folds};
    for (uint32_t i = 0; i < words->pre->n_passes; i++, s.ascii++) {
        const nb_pass *pass = &words->pre->passes[i];
        if (words->at >= words->ends[i]) {
            size_t end = pass->match(pass, &s, words->at);
            words->ends[i] = end > words->at ? end : next_match(pass, &s, words->at);
        }
        s.end = words->ends[i];
    }
    words->at = s.end;
    return true;
}
