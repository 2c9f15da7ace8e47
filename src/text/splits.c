/* The expressions are those of the models' own tokenizers, as llama.cpp documents them (src/llama-vocab.cpp). The
 * names are llama.cpp's (tokenizer.ggml.pre). \p{..} and \s are Unicode's. llama.cpp's regular expressions know no
 * upper and lower case beyond ASCII, so it matches something simpler in places. There the model's own expression
 * counts. tests/oracles/split_vectors.py spells out each of them. */
#include "splits.h"

#include "../base/text.h"

static bool in_set(const nb_split *split, uint32_t codepoint) {
    uint32_t low = 0, n = split->n_set;
    while (n > 1) { /* it is in one of n ranges from `low` on, or in none */
        uint32_t half = n / 2;
        if (split->set[2 * (low + half)] <= codepoint)
            low += half;
        n -= half;
    }
    return codepoint >= split->set[2 * low] && codepoint <= split->set[2 * low + 1];
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

/* Like class_here, but letters of the split's set have the class NB_IN_SET. None of them is ASCII. */
static inline uint32_t kind_at(const nb_split *split, const nb_scan *s, size_t at, size_t *next) {
    uint32_t class = class_here(s, at, next);
    size_t length;
    if (split->set && class & NB_LETTERS && s->text[at] >= 0x80 &&
        in_set(split, nb_utf8_decode(s->text + at, s->end - at, &length)))
        return NB_IN_SET;
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
static __attribute__((noinline)) size_t run_of(const nb_split *split, const nb_scan *s, size_t at, uint32_t classes) {
    for (size_t next; kind_at(split, s, at, &next) & classes; at = next)
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
size_t nb_match_gpt2(const nb_split *split, const nb_scan *s, size_t at) {
    size_t length = contraction(s, at, 0);
    if (length)
        return at + length;
    size_t next;
    uint32_t class = class_at(s, at, &next);
    if (s->text[at] == ' ')
        class = class_at(s, next, &next);
    if (class & NB_LETTERS)
        return run_of(split, s, next, NB_LETTERS);
    if (class & NB_NUMBERS)
        return run_of(split, s, next, NB_NUMBERS);
    if (class && !(class & NB_SPACES))
        return run_of(split, s, next, ~(uint32_t)(NB_LETTERS | NB_NUMBERS | NB_SPACES));
    return match_spaces(s, at);
}

/* Where a word of match_word ends, without the character that may precede it; `at` if no word starts there.
 * [classes]+; NB_PHRASES: (?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+ */
static size_t plain_word(const nb_split *split, const nb_scan *s, size_t at) {
    if (!(split->flags & NB_PHRASES))
        return run_of(split, s, at, split->classes);
    size_t next, after;
    for (;;) {
        if (!(class_at(s, at, &next) & NB_LETTERS))
            return at;
        at = run_of(split, s, next, NB_MARKS);
        if (at < s->end && s->text[at] == ' ' && class_at(s, at + 1, &after) & NB_LETTERS)
            at++;
    }
}

/* NB_CASED: [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+, or if capitals alone will do,
 * [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]* */
static size_t cased_word(const nb_split *split, const nb_scan *s, size_t at, bool capitals) {
    const uint32_t both = 1 << NB_CLASS_LETTER | NB_MARKS, upper = both | 1 << NB_CLASS_UPPER;
    size_t end = at, after_both = at, next;
    for (uint32_t class; (class = kind_at(split, s, end, &next)) & upper; end = next)
        if (class & both)
            after_both = next;
    size_t lower = run_of(split, s, end, both | 1 << NB_CLASS_LOWER);
    if (lower > end)
        return lower;
    return after_both > at || !capitals ? after_both : end; /* backtracking: something has to be lower case */
}

/* [^\r\n no_lead]?WORD. Each reading of WORD is tried with the leading character, and then without. */
static size_t match_word(const nb_split *split, const nb_scan *s, size_t at) {
    size_t next, end = at;
    uint32_t class = kind_at(split, s, at, &next);
    bool lead = !is_line_end(s, at) && !(class & split->no_lead), cased = split->flags & NB_CASED;
    for (int capitals = 0; capitals <= cased; capitals++) {
        if (lead) {
            end = cased ? cased_word(split, s, next, capitals) : plain_word(split, s, next);
            if (end > next)
                return end;
        }
        end = cased ? cased_word(split, s, at, capitals) : plain_word(split, s, at);
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
size_t nb_match_words(const nb_split *split, const nb_scan *s, size_t at) {
    size_t next, after, length;
    uint32_t flags = split->flags, class = class_at(s, at, &next);
    if (flags & NB_CONTRACTIONS && (length = contraction(s, at, 0x20)))
        return at + length;
    if (split->set) {
        size_t end = at;
        for (; end < s->end && in_set(split, nb_utf8_decode(s->text + end, s->end - end, &length)); end += length)
            ;
        if (end > at)
            return end;
    }
    if (flags & NB_ASCII_WORDS && s->text[at] < 0x80 && class & (NB_PUNCTUATION | NB_SYMBOLS)) {
        size_t end = next;
        while (end < s->end && (s->text[end] | 0x20) >= 'a' && (s->text[end] | 0x20) <= 'z')
            end++;
        if (end > next)
            return end;
    }
    size_t word = match_word(split, s, at);
    if (word > at)
        return flags & NB_SUFFIXES ? word + contraction(s, word, 0x20) : word;
    if (class & NB_NUMBERS && split->run) {
        for (uint32_t n = 1; n < split->run && class_at(s, next, &after) & NB_NUMBERS; n++)
            next = after;
        return next;
    }
    uint32_t symbol = class;
    after = next;
    if (s->text[at] == ' ')
        symbol = class_at(s, next, &after);
    if (symbol & split->symbols) {
        size_t end = run_of(split, s, after, split->symbols);
        while (flags & NB_TAIL &&
               (is_line_end(s, end) || (flags & NB_TAIL_SLASH && end < s->end && s->text[end] == '/'))) {
            end++;
            if (flags & NB_TAIL_ONE)
                break;
        }
        return end;
    }
    if (flags & NB_LINE && is_line_end(s, at))
        return at + 1;
    size_t line = at;
    /* a line end does not count after white space that NB_HALVES has cut */
    bool halved = flags & NB_HALVES && class_before(s, at) & NB_SPACES && !is_line_end(s, at - 1);
    if (flags & NB_LINES && !halved)
        for (size_t i = at; class_at(s, i, &next) & NB_SPACES; i = next)
            if (is_line_end(s, i))
                line = i + 1;
    if (line > at)
        return line;
    return flags & NB_HALVES && class & NB_SPACES ? match_halves(s, at) : match_spaces(s, at);
}

bool nb_split_isolates(const nb_split *split, uint32_t codepoint, uint32_t class) {
    bool found = 1u << class & split->classes || (split->set && in_set(split, codepoint));
    for (const char *p = split->extra; p && *p && codepoint < 0x80 && !found; p++)
        found = codepoint == (uint8_t)*p;
    return found != ((split->flags & NB_NEGATED) != 0);
}

bool nb_is_isolated(const nb_split *split, const nb_scan *s, size_t at, size_t *next) {
    if (at >= s->end)
        return false;
    if (s->text[at] < 0x80) {
        *next = at + 1;
        return nb_ascii_bit(s->ascii->isolated, s->text[at]);
    }
    size_t length;
    uint32_t codepoint = nb_utf8_decode(s->text + at, s->end - at, &length);
    *next = at + length;
    return nb_split_isolates(split, codepoint, nb_unicode_class(s->unicode, codepoint));
}

/* [classes extra set]{1,run}; NB_AFTER_SPACE:  ?[...]+; NB_AFTER_BLANK: \s?[...]+; NB_AT_END: [...]+$ */
size_t nb_match_run(const nb_split *split, const nb_scan *s, size_t at) {
    size_t next, end = at;
    if (split->flags & NB_AFTER_SPACE && s->text[at] == ' ')
        end = at + 1;
    if (split->flags & NB_AFTER_BLANK && class_at(s, at, &next) & NB_SPACES)
        end = next;
    if (end > at && !nb_is_isolated(split, s, end, &next))
        end = at; /* the space may be isolated itself */
    uint32_t n = 0;
    for (; n < split->run && nb_is_isolated(split, s, end, &next); end = next)
        n++;
    return n && !(split->flags & NB_AT_END && end < s->end) ? end : at;
}

/* [classes]{1,3}(?=(?:[classes]{3})*(?![classes])): numbers in groups of three from the right */
size_t nb_match_groups(const nb_split *split, const nb_scan *s, size_t at) {
    size_t next, n = 0;
    if (!(class_at(s, at, &next) & split->classes))
        return at;
    if (!(class_before(s, at) & split->classes)) /* only the first group may have fewer than three */
        for (size_t i = at; class_at(s, i, &next) & split->classes; i = next)
            n++;
    for (n = n % 3 ? n % 3 : 3; n; n--, at = next)
        class_at(s, at, &next);
    return at;
}

/* [0-9][0-9][0-9] */
size_t nb_match_triple(const nb_split *split, const nb_scan *s, size_t at) {
    (void)split;
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
size_t nb_match_sentinel(const nb_split *split, const nb_scan *s, size_t at) {
    (void)split;
    size_t start = at + literal(s, at, "<sentinel:"), end = start;
    while (start > at && end < s->end && s->text[end] >= '0' && s->text[end] <= '9')
        end++;
    return end > start && literal(s, end, ">") ? end + 1 : at;
}

size_t nb_match_image(const nb_split *split, const nb_scan *s, size_t at) {
    (void)split;
    size_t start = at + literal(s, at, "IMGIMG"), end = start;
    while (start > at && end < s->end && end < start + 4 && s->text[end] >= 'A' && s->text[end] <= 'I')
        end++;
    return end > start && literal(s, end, "Z") ? end + 1 : at;
}

size_t nb_match_indent(const nb_split *split, const nb_scan *s, size_t at) {
    (void)split;
    if (s->text[at] == '\t' || s->text[at] == '\n')
        return at + 1;
    size_t n = literal(s, at, "    ");
    return at + (n ? n : literal(s, at, "  "));
}
