/* The merges of byte-level BPE (Sennrich et al. 2016, algorithm 1): again and again the most frequent pair of adjacent
 * tokens within words becomes a token. Of equally frequent pairs the one with the lower left token comes first, then
 * the one with the lower right token, as in the library tokenizers.
 *
 * A merge changes the counts of the pairs next to it. The places of each pair are a linked list, so only what changes
 * is visited. The heap of pairs keeps the counts that were pushed. If a pair's count has fallen since, that is noticed
 * when the pair comes to the top.
 *
 * The places of a pair are merged from left to right, all at once. So a token's text is always made by the same merge,
 * and a pair with a new token is itself new. */
#ifndef NB_MERGES_H
#define NB_MERGES_H

#include "strings.h"

typedef struct nb_pair {
    uint64_t key;         /* the left token << 32 | the right one */
    uint64_t count;       /* in the text */
    uint32_t first, last; /* list of the pair's places: symbols where its left token begins; NB_NO_SYMBOL: none */
} nb_pair;

#define NB_NO_SYMBOL UINT32_MAX

typedef struct nb_heap_item {
    uint64_t count; /* of the pair, when the item was pushed */
    uint32_t pair;
} nb_heap_item;

typedef struct nb_merges {
    nb_strings names; /* of tokens, as a vocabulary spells them (byte_level.h); `count`: the token's symbols */
    uint32_t *merges; /* [n_merges, 2]: left, right */
    uint32_t n_merges;
    uint64_t merge_capacity;
    uint64_t least; /* the least count of a pair that is merged */

    /* The symbols of all different words, one word after the other. A symbol is a byte. */
    uint32_t n_symbols;
    uint32_t *tokens;          /* [n_symbols]: the token that begins here */
    uint32_t *starts;          /* [n_symbols]: for a token's last symbol, where the token begins */
    uint32_t *words;           /* [n_symbols]: the word's index */
    uint32_t *next, *previous; /* [n_symbols]: links in the list of the pair that begins here, in ascending order */
    uint64_t *counts;          /* [words]: how often the word occurs in the text */

    nb_pair *pairs; /* [n_pairs] */
    uint32_t n_pairs;
    uint64_t pair_capacity;
    uint32_t *slots; /* [n_slots]: a hash table, open addressing, at most half full. A pair's index + 1; 0: free */
    uint64_t n_slots;
    nb_heap_item *heap; /* [n_heap] */
    uint64_t n_heap, heap_capacity;
} nb_merges;

/* names must have the special tokens and the bytes. byte_tokens[256]: the tokens of the bytes. The words are freed. */
int32_t nb_merges_begin(nb_merges *m, nb_strings *words, const uint32_t *byte_tokens, nb_error *err);

/* Merges one pair everywhere. Returns 1, or 0 if no pair is left. */
int32_t nb_merges_next(nb_merges *m, nb_error *err);
void nb_merges_free(nb_merges *m);

#endif
