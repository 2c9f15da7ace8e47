/* BERT's WordPiece. */
#ifndef NB_WORDPIECE_H
#define NB_WORDPIECE_H

#include "encoding.h"

/* Takes memory from the arena: the first run only measures. */
void nb_wordpiece_load(nb_tokenizer *t, const nb_vocabulary_source *source);
int32_t nb_wordpiece_encode(nb_encode_call *e, const uint8_t *text, size_t size);

#endif
