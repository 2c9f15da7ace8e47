/* Words in which spaces are written as ▁, U+2581 (Metaspace). */
#ifndef NB_METASPACE_H
#define NB_METASPACE_H

#include "encoding.h"

/* Encodes a text word by word. Its spaces become ▁, unless there is a tokenizer.json without Metaspace. A word ends
 * before a space if no token spans that place, or if Metaspace splits. add_space: a space is put before the text. */
int32_t nb_encode_escaped(nb_encode_call *e, const uint8_t *text, size_t size, bool add_space, nb_word_encoder encode);

/* Applies the pre-tokenizers WhitespaceSplit and Metaspace of a tokenizer.json, and encodes the words that they give.
 * first: this text is the beginning of the whole text. */
int32_t nb_spaced_encode(nb_encode_call *e, const uint8_t *text, size_t size, bool first, nb_word_encoder encode);

#endif
