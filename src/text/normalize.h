/* Normalization of a text before it is cut into words, and white space at its ends. */
#ifndef NB_NORMALIZE_H
#define NB_NORMALIZE_H

#include "tokenizer_internal.h"
#include "workspace.h"

/* *text and *size are the text at first, and then what it became. That may lie in w. */
int32_t nb_normalize(const nb_tokenizer *t, nb_workspace *w, const uint8_t **text, size_t *size, nb_error *err);

/* Composes a text (Unicode's NFC); out holds only the result. */
int32_t nb_nfc_text(const nb_foldings *f, const uint8_t *text, size_t size, nb_bytes *out, nb_error *err);

/* Skip white space at the beginning or at the end of text[from ... to): where the rest begins, or where it ends. */
size_t nb_skip_white(const nb_tokenizer *t, const uint8_t *text, size_t from, size_t to);
size_t nb_skip_white_back(const nb_tokenizer *t, const uint8_t *text, size_t from, size_t to);

#endif
