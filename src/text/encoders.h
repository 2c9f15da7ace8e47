/* The encoder of a tokenizer's kind. */
#ifndef NB_ENCODERS_H
#define NB_ENCODERS_H

#include "encoding.h"

/* Encodes a segment: normalized text between special tokens. first: it is the beginning of the whole text. */
int32_t nb_encode_segment(nb_encode_call *e, const uint8_t *text, size_t size, bool first);

#endif
