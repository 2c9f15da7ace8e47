/* The streaming decoder of nibble.h, over a tokenizer. */
#ifndef NB_DETOKENIZER_H
#define NB_DETOKENIZER_H

#include "tokenizer.h"

nb_detokenizer *nb_detokenizer_over(const nb_tokenizer *t, uint32_t flags, nb_error *err);

#endif
