/* The streaming decoder of nibble.h (nb_detokenizer), made from a tokenizer instead of a model. */
#ifndef NB_DETOKENIZER_H
#define NB_DETOKENIZER_H

#include "tokenizer.h"

/* flags: NB_DETOKENIZE_... The tokenizer must outlive the detokenizer. NULL: there is no memory. */
nb_detokenizer *nb_detokenizer_over(const nb_tokenizer *t, uint32_t flags, nb_error *err);

#endif
