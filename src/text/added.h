/* Added tokens: their names are searched for in the text itself, before anything is merged. The rules are those of
 * Hugging Face's tokenizers library. */
#ifndef NB_ADDED_H
#define NB_ADDED_H

#include "bytes.h"
#include "encoding.h"
#include "needles.h"

/* Two sets of names. From a tokenizer.json: [0] those that are searched for in the original text, [1] those in the
 * normalized text. From other files: [0] user-defined tokens, [1] user-defined, control and unknown tokens. */
typedef struct nb_added {
    nb_needles sets[2];
    nb_bytes names;      /* the normalized names */
    nb_needle *by_token; /* [n_by_token]: the needles of the normalized names, sorted by token */
    uint32_t n_by_token;
} nb_added;

/* Fills t->added, which has memory of its own. */
int32_t nb_added_load(nb_tokenizer *t, nb_error *err);
void nb_added_free(nb_added *a); /* NULL is fine */

/* Cuts a text at its added tokens and encodes what lies between them. parse_special: special tokens are searched for,
 * too. */
int32_t nb_added_encode(nb_encode_call *e, const uint8_t *text, size_t size, bool parse_special);

#endif
