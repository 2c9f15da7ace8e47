/* Pre-tokenizers cut a text into words before any merge.
 *
 * A pre-tokenizer is a sequence of splits. Each cuts the pieces of the one before it further. A split does what others
 * write as a regular expression: each match is a piece, and so is the text between two matches. */
#ifndef NB_PRETOKENIZE_H
#define NB_PRETOKENIZE_H

#include "../base/text.h"
#include "splits.h"

enum { NB_MAX_SPLITS = 6 };

typedef struct nb_pretokenizer {
    const char *names; /* as files spell them, each between two spaces */
    const nb_split *splits;
    uint32_t n_splits;  /* at most NB_MAX_SPLITS */
    bool whole_words;   /* a word that is a token becomes that token, whatever the merges say */
    bool whole_lines;   /* a word of newlines that is a token becomes that token */
    bool add_begin;     /* BOS is added, unless the file says otherwise */
    bool nfc;           /* the model's own tokenizer composes texts first (Unicode's NFC); llama.cpp does not */
    bool raw;           /* tokens are spelled in UTF-8, and bytes as <0xHH>: not byte-level */
    bool escape_spaces; /* spaces are written as ▁, U+2581 */
    bool drop_spaces;   /* words of white space are left out */
} nb_pretokenizer;

const nb_pretokenizer *nb_pretokenizer_find(nb_text name); /* NULL if it is not known */
/* For messages: writes the first name of each, with a zero at the end. */
void nb_pretokenizer_names(char *out, size_t capacity);

void nb_pretokenizer_prepare(const nb_pretokenizer *pre, const nb_unicode *unicode, nb_split_ascii *splits);

/* An iterator over the words of a text. */
typedef struct nb_words {
    const nb_pretokenizer *pre;
    const nb_split_ascii *splits; /* filled by nb_pretokenizer_prepare */
    const nb_unicode *unicode;
    const uint8_t *text;
    size_t at;                  /* the next word starts here */
    size_t ends[NB_MAX_SPLITS]; /* [i]: where the current piece of split i ends */
    size_t size;
    bool folds; /* as nb_scan has it */
} nb_words;

static inline nb_words nb_words_of(const nb_pretokenizer *pre, const nb_split_ascii *splits, const nb_unicode *unicode,
                                   const uint8_t *text, size_t size) {
    return (nb_words){.pre = pre, .splits = splits, .unicode = unicode, .text = text, .size = size};
}

/* The next word is text[*start ... words->at); false at the end. */
bool nb_words_next(nb_words *words, size_t *start);

#endif
