/* Calls the encoder of the tokenizer's kind: BPE, SPM, Unigram or WordPiece. */
#ifndef NB_ENCODERS_H
#define NB_ENCODERS_H

#include "encoding.h"

/* Appends the tokens of a segment (normalized text between special tokens) to e->out. first: the segment begins the
 * whole text. The Metaspace of a tokenizer.json may be set to put a space only there (metaspace.h). */
int32_t nb_encode_segment(nb_encode_call *e, const uint8_t *text, size_t size, bool first);

#endif
