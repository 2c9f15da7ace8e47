/* SentencePiece's BPE. */
#ifndef NB_SPM_H
#define NB_SPM_H

#include "encoding.h"

void nb_spm_load(nb_tokenizer *t);
int32_t nb_spm_encode(nb_encode_call *e, const uint8_t *text, size_t size,
                      bool first); /* first: as nb_encode_segment */

#endif
