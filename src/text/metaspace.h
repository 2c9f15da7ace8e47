/* Words with spaces written as U+2581 (Metaspace). */
#ifndef NB_METASPACE_H
#define NB_METASPACE_H

#include "encoding.h"

/* Encodes a text word by word, with its spaces written as marks (of a tokenizer.json only if Metaspace says so). A word ends
 * before a space where no token spans that place, or where Metaspace splits. add_space: the text gets one more space at its
 * beginning. */
int32_t nb_encode_escaped(nb_encoding *e, const uint8_t *text, size_t size, bool add_space, nb_word_encoder encode);

/* The pre-tokenizers WhitespaceSplit and Metaspace of a tokenizer.json, and then the model. first: the whole text begins here. */
int32_t nb_spaced_encode(nb_encoding *e, const uint8_t *text, size_t size, bool first, nb_word_encoder encode);

#endif
