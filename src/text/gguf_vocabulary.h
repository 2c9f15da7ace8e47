/* Builds a tokenizer from the values of a GGUF file. */
#ifndef NB_GGUF_VOCABULARY_H
#define NB_GGUF_VOCABULARY_H

#include "../formats/checkpoint.h"
#include "tokenizer.h"

/* Unknown kinds and pre-tokenizers are refused by name, with a list of those that are supported. NULL without an
 * error: the file has no vocabulary. c must outlive the tokenizer, which points into c->header. */
nb_tokenizer *nb_tokenizer_new(const nb_checkpoint *c, nb_error *err);

#endif
