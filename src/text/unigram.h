/* SentencePiece's unigram model. */
#ifndef NB_UNIGRAM_H
#define NB_UNIGRAM_H

#include "encoding.h"

/* Takes memory from the arena: the first run only measures. */
void nb_unigram_load(nb_tokenizer *t, const nb_vocabulary_source *source);
int32_t nb_unigram_encode(nb_encode_call *e, const uint8_t *text, size_t size,
                          bool first); /* first: as nb_encode_segment */

#endif
