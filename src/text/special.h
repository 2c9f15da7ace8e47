/* Special tokens: which tokens begin, end and stop a text, and which names are those of control tokens. */
#ifndef NB_SPECIAL_H
#define NB_SPECIAL_H

#include "tokenizer_internal.h"

void nb_special_load(nb_tokenizer *t, const nb_vocabulary_source *source);

#endif
