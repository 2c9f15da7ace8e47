/* Merging the symbols of a word, the best pair first: the loop that both kinds of BPE share. A symbol is a byte or a
 * character at first, and later what some of these were merged to. */
#ifndef NB_MERGE_H
#define NB_MERGE_H

#include "encoding.h"

enum {
    NB_SYMBOL_UNKNOWN = -1, /* of ids: a symbol that is no token */
    NB_SYMBOL_GONE = -2,    /* of ids: merged into the symbol before it */
    NB_SYMBOL_END = -1      /* of next and previous */
};

/* The priority (lower is better) of merging the symbols `left` and `right`, or UINT32_MAX; *merged is the outcome. */
typedef uint32_t (*nb_pair_function)(const nb_tokenizer *t, const nb_workspace *w, uint32_t left, uint32_t right,
                                     int32_t *merged);

/* Makes a symbol of each character of a word: its token in w->ids[*n], where it starts in w->starts. */
int32_t nb_symbols_of(nb_encode_call *e, const uint8_t *word, size_t size, uint32_t *n);

/* Merges the symbols w->ids[n], n >= 1. Those that remain are linked by w->next, from symbol 0 to NB_SYMBOL_END. */
void nb_merge(const nb_tokenizer *t, nb_workspace *w, uint32_t n, nb_pair_function pair);

/* Appends the tokens of a word's remaining symbols. A symbol that is no token is written byte by byte. */
void nb_symbols_append(nb_encode_call *e, const uint8_t *word, size_t size);

#endif
