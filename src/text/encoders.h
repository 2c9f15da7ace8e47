/* The encoder of a tokenizer's kind. */
#ifndef NB_ENCODERS_H
#define NB_ENCODERS_H

#include "encoding.h"

/* Encodes what lies between special tokens, once it is normalized. first: the whole text begins with it. */
int32_t nb_encode_piece(nb_encode_call *e, const uint8_t *text, size_t size, bool first);

#endif
