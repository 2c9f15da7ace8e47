/* Words in which U+2581 is written for spaces (Metaspace). */
#ifndef NB_METASPACE_H
#define NB_METASPACE_H

#include "encoding.h"

/* Encodes a text word by word, with marks for its spaces (in a tokenizer.json only if Metaspace says so). A word ends
 * before a space if no token spans that place, or if Metaspace splits. add_space: one more space stands before the
 * text. */
int32_t nb_encode_escaped(nb_encode_call *e, const uint8_t *text, size_t size, bool add_space, nb_word_encoder encode);

/* The pre-tokenizers WhitespaceSplit and Metaspace of a tokenizer.json, and then the model. first: the whole text
 * begins here. */
int32_t nb_spaced_encode(nb_encode_call *e, const uint8_t *text, size_t size, bool first, nb_word_encoder encode);

#endif
