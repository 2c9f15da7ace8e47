/* Pre-tokenizers: where a byte-level BPE text is cut into words before any merge. */
#ifndef NB_PRETOKENIZE_H
#define NB_PRETOKENIZE_H

#include "../base/text.h"

/* One pass: a regular expression as a state machine. Returns where the piece that starts at `at` ends (at < result <=
 * end). text[at] is where the pass's previous piece ended or where its input starts, end is where its input ends: for
 * the expression's lookahead there is nothing beyond. */
typedef struct nb_pass nb_pass;
struct nb_pass {
    size_t (*split)(const nb_pass *pass, const uint8_t *text, size_t at, size_t end);
    uint32_t classes;  /* what it isolates, or takes for letters: a set of 1 << NB_CLASS_... */
    uint32_t run;      /* longest run of numbers */
    const char *extra; /* further ASCII characters that it isolates */
};

enum { NB_MAX_PASSES = 4 };

typedef struct nb_pretokenizer {
    const char *names;  /* values of tokenizer.ggml.pre, each between two spaces */
    nb_pass passes[NB_MAX_PASSES]; /* each within the pieces of the one before */
    bool whole_words;   /* a word that is a token is that token, whatever the merges say */
    bool add_begin;     /* unless the file says otherwise */
} nb_pretokenizer;

const nb_pretokenizer *nb_pretokenizer_find(nb_text name); /* NULL if it is not known */
const char *nb_pretokenizer_names(void);                   /* for messages: the main ones */

/* Walks the words of a text. */
typedef struct nb_words {
    const nb_pretokenizer *pre;
    const uint8_t *text;
    size_t at;                  /* the next word starts here */
    size_t ends[NB_MAX_PASSES]; /* of each pass's current piece; ends[0] is that of the first pass */
    size_t size;
} nb_words;

static inline nb_words nb_words_of(const nb_pretokenizer *pre, const uint8_t *text, size_t size) {
    return (nb_words){.pre = pre, .text = text, .size = size};
}

/* The next word is text[*start ... words->at); false at the end. */
bool nb_words_next(nb_words *words, size_t *start);

#endif
