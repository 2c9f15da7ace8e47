/* The splits of pre-tokenizers: each cuts a text as a regular expression would (Hugging Face's Split, isolated). */
#ifndef NB_SPLITS_H
#define NB_SPLITS_H

#include "unicode.h"

#include <stdbool.h>

/* What a split does with each ASCII character, a bit each. It is computed once, because most text is ASCII. */
typedef struct nb_split_ascii {
    uint32_t isolated[4]; /* the split isolates it */
    uint32_t starts[4];   /* a match may start with it */
} nb_split_ascii;

/* The text that a split cuts. Its lookahead stops at the end. */
typedef struct nb_scan {
    const nb_unicode *unicode;
    const nb_split_ascii *ascii; /* of the split */
    const uint8_t *text;
    size_t end;
    bool folds; /* (?i:...) goes beyond ASCII, as in the tokenizers library, but not in llama.cpp */
} nb_scan;

/* The functions below have their expressions beside them in splits.c, which say what the fields mean. */
typedef struct nb_split nb_split;
struct nb_split {
    /* Where a match at `at` ends; `at` if there is none. */
    size_t (*match)(const nb_split *split, const nb_scan *s, size_t at);
    uint32_t classes, symbols, no_lead; /* sets of character classes */
    uint32_t run;                       /* the longest run of numbers, or of isolated characters */
    uint32_t flags;
    const char *extra;   /* further ASCII characters that are isolated */
    const uint32_t *set; /* further ranges of characters, in order: first, last */
    uint32_t n_set;
};

enum {                           /* flags */
       NB_CONTRACTIONS = 1 << 0, /* (?i:'s|'t|'re|'ve|'m|'ll|'d) are words of their own */
       NB_SUFFIXES = 1 << 1,     /* ... or the ends of words */
       NB_CASED = 1 << 2,        /* words are cut where upper case begins */
       NB_PHRASES = 1 << 3,      /* words may be joined by single spaces */
       NB_ASCII_WORDS = 1 << 4,  /* an ASCII symbol and the ASCII letters after it are a word */
       NB_TAIL = 1 << 5,         /* line ends after symbols go with them */
       NB_TAIL_SLASH = 1 << 6,   /* ... and slashes */
       NB_TAIL_ONE = 1 << 7,     /* ... but one at most */
       NB_LINES = 1 << 8,        /* white space is cut after its last line end */
       NB_LINE = 1 << 9,         /* a line end is a piece */
       NB_HALVES = 1 << 10,      /* white space is cut into 512, 256, ..., 4, 2, 1 characters */
       NB_NEGATED = 1 << 11,     /* isolates everything else */
       NB_AFTER_SPACE = 1 << 12, /* with one space before it */
       NB_AFTER_BLANK = 1 << 13, /* with one white space before it */
       NB_AT_END = 1 << 14       /* only at the end */
};

enum { NB_IN_SET = 1 << NB_CLASSES }; /* a class: letters of a split's set */

size_t nb_match_gpt2(const nb_split *split, const nb_scan *s, size_t at);
size_t nb_match_words(const nb_split *split, const nb_scan *s, size_t at);
size_t nb_match_run(const nb_split *split, const nb_scan *s, size_t at);
size_t nb_match_groups(const nb_split *split, const nb_scan *s, size_t at);
size_t nb_match_triple(const nb_split *split, const nb_scan *s, size_t at);
size_t nb_match_sentinel(const nb_split *split, const nb_scan *s, size_t at);
size_t nb_match_image(const nb_split *split, const nb_scan *s, size_t at);
size_t nb_match_indent(const nb_split *split, const nb_scan *s, size_t at);

/* Whether the split isolates this character. The second asks it of the one at text[at]; *next: where the next one
 * starts. */
bool nb_split_isolates(const nb_split *split, uint32_t codepoint, uint32_t class);
bool nb_is_isolated(const nb_split *split, const nb_scan *s, size_t at, size_t *next);

static inline bool nb_ascii_bit(const uint32_t *bits, uint8_t i) { /* of nb_split_ascii */
    return bits[i / 32] >> i % 32 & 1;
}

#endif
