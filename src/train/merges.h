/* The merges of byte-level BPE (Sennrich et al. 2016, algorithm 1): again and again the most frequent pair of
 * neighbours within words becomes a token. Of pairs that are equally frequent the one with the lower left token goes
 * first, then the one with the lower right token, as in the library tokenizers.
 *
 * A merge changes the counts of the pairs beside it. The places of each pair are a linked list, so a merge costs what
 * it changes. The heap of pairs is ordered by older counts: a count that has fallen is noticed when the pair comes
 * first.
 *
 * Only whole tokens are merged, always from left to right. So each token's text is merged in one way only, and a pair
 * with a new token is new itself. */
#ifndef NB_MERGES_H
#define NB_MERGES_H

#include "strings.h"

typedef struct nb_pair {
    uint64_t key;         /* the left token << 32 | the right one */
    uint64_t count;       /* in the text */
    uint32_t first, last; /* places of the pair: symbols where its left token begins; NB_NO_SYMBOL: none */
} nb_pair;

#define NB_NO_SYMBOL UINT32_MAX

/* A pair in the heap. */
typedef struct nb_waiting {
    uint64_t count; /* when it came here */
    uint32_t pair;
} nb_waiting;

typedef struct nb_merges {
    nb_strings names; /* tokens, as a vocabulary spells them (byte_level.h); `count`: symbols of it */
    uint32_t *merges; /* [n_merges, 2]: left, right */
    uint32_t n_merges;
    uint64_t merge_capacity;
    uint64_t least; /* a pair must stand in the text so many times */

    /* Symbols of all different words, one after the other. A symbol is a byte. */
    uint32_t n_symbols;
    uint32_t *tokens;          /* [n_symbols]: the token that begins here */
    uint32_t *starts;          /* [n_symbols]: of a token's last symbol, where the token begins */
    uint32_t *words;           /* [n_symbols]: the number of the word */
    uint32_t *next, *previous; /* [n_symbols]: places of the pair that stands here, in ascending order */
    uint64_t *counts;          /* [words]: how many times the word is in the text */

    nb_pair *pairs; /* [n_pairs] */
    uint32_t n_pairs;
    uint64_t pair_capacity;
    uint32_t *slots; /* [n_slots]: a hash table, open addressing, at most half full. A pair's number + 1; 0: free */
    uint64_t n_slots;
    nb_waiting *heap; /* [n_heap] */
    uint64_t n_heap, heap_capacity;
} nb_merges;

/* names has the special tokens and the bytes, whose tokens are byte_tokens[256]. The words' memory is given back. */
int32_t nb_merges_begin(nb_merges *m, nb_strings *words, const uint32_t *byte_tokens, nb_error *err);

/* Merges one pair. Returns 1, or 0 where there is none. */
int32_t nb_merges_next(nb_merges *m, nb_error *err);
void nb_merges_free(nb_merges *m);

#endif
