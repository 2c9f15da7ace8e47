/* A cache of words and their tokens, because words repeat. It begins with the first long text. */
#ifndef NB_WORD_CACHE_H
#define NB_WORD_CACHE_H

#include "encoding.h"

/* Words with more bytes or tokens are not cached. */
enum { NB_CACHED_BYTES = 24, NB_CACHED_TOKENS = 9 };

typedef struct nb_cached_word {
    uint64_t word[NB_CACHED_BYTES / 8]; /* zeros after its end */
    int32_t tokens[NB_CACHED_TOKENS];
    uint16_t size, count; /* size: bytes of the word, 0 in a free slot; count: tokens */
} nb_cached_word;

/* SPM: what two tokens become, and with which priority. SPM and BPE of characters: which token a character is. */
typedef struct nb_cached_pair {
    uint64_t pair; /* nb_pair_of (base/hash.h); 0 in a free slot */
    uint32_t priority;
    int32_t merged;
} nb_cached_pair;

typedef struct nb_word_cache {
    nb_cached_word *words; /* owned: [word_mask + 1]; NULL: nothing is cached yet */
    nb_cached_pair *pairs; /* [pair_mask + 1], after the words; NULL unless words consist of characters */
    uint32_t word_mask, pair_mask;
} nb_word_cache;

/* Allocates the cache. If there is no memory for it, tokenizing only takes longer. */
void nb_word_cache_open(const nb_tokenizer *t);

/* Appends the tokens of the word, from the cache or from `encode`. */
int32_t nb_encode_word(nb_encode_call *e, const uint8_t *word, size_t size, nb_word_encoder encode);

#endif
