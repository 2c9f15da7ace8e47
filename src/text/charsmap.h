/* SentencePiece's normalization rules, which are part of a model ("precompiled charsmap"). */
#ifndef NB_CHARSMAP_H
#define NB_CHARSMAP_H

#include "bytes.h"
#include "tokenizer_internal.h"

int32_t nb_charsmap_load(nb_tokenizer *t, nb_text map, nb_error *err);

/* Finds the longest (or shortest) beginning of text[n] that a rule replaces. Returns its replacement, and its size in
 * *used; *used = 0: no rule fits. */
nb_text nb_charsmap_find(const nb_tokenizer *t, const uint8_t *text, size_t n, bool shortest, size_t *used);

/* Whether no rule changes text[0], whatever follows text[n]. */
static inline bool nb_charsmap_is_unmapped(const nb_tokenizer *t, const uint8_t *text, size_t n) {
    return text[0] < 0x80 && (n == 1 || text[1] < 0x80) && t->unmapped[text[0] / 32] >> text[0] % 32 & 1;
}

/* Applies the rules as the tokenizers library does. The result replaces what out holds. */
int32_t nb_charsmap_apply(const nb_tokenizer *t, const uint8_t *text, size_t size, nb_bytes *out, nb_error *err);

#endif
