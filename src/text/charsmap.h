/* SentencePiece's normalization rules, which are part of a model ("precompiled charsmap"). */
#ifndef NB_CHARSMAP_H
#define NB_CHARSMAP_H

#include "bytes.h"
#include "tokenizer_internal.h"

int32_t nb_charsmap_load(nb_tokenizer *t, nb_text map, nb_error *err);

/* Of the beginnings of text[n] that a rule replaces, the longest (or the shortest): *used is its size, and the result
 * is what replaces it. *used = 0: there is no rule. */
nb_text nb_charsmap_find(const nb_tokenizer *t, const uint8_t *text, size_t n, bool shortest, size_t *used);

/* Whether no rule changes text[0], whatever stands behind text[n]. */
static inline bool nb_charsmap_is_plain(const nb_tokenizer *t, const uint8_t *text, size_t n) {
    return text[0] < 0x80 && (n == 1 || text[1] < 0x80) && t->plain[text[0] / 32] >> text[0] % 32 & 1;
}

/* Applies the rules as the library tokenizers does; out holds only the result. */
int32_t nb_charsmap_apply(const nb_tokenizer *t, const uint8_t *text, size_t size, nb_bytes *out, nb_error *err);

#endif
