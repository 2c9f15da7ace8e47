/* The bytes of a model's tokens, sorted, so that tokens that begin alike stand together. */
#ifndef NB_GRAMMAR_LEXICON_H
#define NB_GRAMMAR_LEXICON_H

#include "../nibble_grammar.h"

/* A longer token is never allowed. */
enum { NB_MOST_TOKEN_BYTES = 1 << 12 };

struct nb_lexicon {
    const uint8_t *bytes;
    const uint32_t *offsets; /* [n_tokens + 1] */
    const uint32_t *order;   /* [n_sorted]: the tokens that have bytes, sorted by them */
    const uint16_t *shared;  /* [n_sorted]: with how many bytes of the one before it a token begins */
    const uint32_t *ends;
    uint32_t first[257]; /* tokens that begin with byte b: order[first[b] ... first[b + 1]) */
    uint32_t n_tokens, n_sorted, n_ends, longest;
};

static inline const uint8_t *nb_lexicon_bytes(const nb_lexicon *l, uint32_t token, uint32_t *n) {
    *n = l->offsets[token + 1] - l->offsets[token];
    return l->bytes + l->offsets[token];
}

static inline uint32_t nb_lexicon_words(const nb_lexicon *l) {
    return (l->n_tokens + 31) / 32;
}

#endif
