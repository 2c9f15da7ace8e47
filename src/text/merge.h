/* Merging the symbols of a word, the best pair first: the loop that both kinds of BPE share.
 *
 * Of a short word, as nearly all are, the best pair is looked for among all. For a longer one a heap holds one entry
 * for each pair of neighbours that may merge, ordered by priority and then from left to right (Sennrich et al. 2016,
 * algorithm 1, in O(n log n)). Entries are not removed when one of their symbols is merged away: an entry counts only
 * if, when it comes up, the pair now there still has that priority. */
#ifndef NB_MERGE_H
#define NB_MERGE_H

#include "unicode.h"
#include "vocabulary.h"

/* A heap of numbers, the least first: heap[n]. */
void nb_heap_sift_down(uint64_t *heap, size_t n, size_t at);
uint64_t nb_heap_pop(uint64_t *heap, size_t n);              /* n before */
void nb_heap_push(uint64_t *heap, size_t n, uint64_t item); /* n before */

enum {
    NB_SYMBOL_UNKNOWN = -1, /* of ids: a symbol that is no token */
    NB_SYMBOL_GONE = -2,    /* of ids: merged into the symbol before it */
    NB_SYMBOL_END = -1      /* of next and previous */
};

/* The priority (lower is better) of merging the symbols `left` and `right`, or UINT32_MAX; *merged is the outcome. */
typedef uint32_t (*nb_pair_function)(const nb_tokenizer *t, const nb_workspace *w, uint32_t left, uint32_t right,
                                     int32_t *merged);

/* w->ids[n], n >= 1, are the symbols; what is left of them is linked by w->next from symbol 0, (uint32_t)-1 last. */
void nb_merge(const nb_tokenizer *t, nb_workspace *w, uint32_t n, nb_pair_function pair);

/* The characters of a word as symbols: their tokens in w->ids[*n], where they start in w->starts. */
int32_t nb_symbols_of(nb_encoding *e, const uint8_t *word, size_t size, uint32_t *n);

/* What is left of them, as tokens: a symbol that is none byte by byte. */
void nb_symbols_append(nb_encoding *e, const uint8_t *word, size_t size);

#endif
