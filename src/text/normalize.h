/* Normalization of a text before it is cut into words, and white space at its ends. */
#ifndef NB_NORMALIZE_H
#define NB_NORMALIZE_H

#include "tokenizer_internal.h"
#include "workspace.h"

/* Replaces *text[*size] by its normalized form, which may lie in w. */
int32_t nb_normalize(const nb_tokenizer *t, nb_workspace *w, const uint8_t **text, size_t *size, nb_error *err);

/* Composes a text (Unicode's NFC). The result replaces what out holds. */
int32_t nb_nfc_text(const nb_mappings *m, const uint8_t *text, size_t size, nb_bytes *out, nb_error *err);

/* Where text[from ... to) begins without its leading white space, and where it ends without its trailing white
 * space. */
size_t nb_skip_white(const nb_tokenizer *t, const uint8_t *text, size_t from, size_t to);
size_t nb_skip_white_back(const nb_tokenizer *t, const uint8_t *text, size_t from, size_t to);

#endif
